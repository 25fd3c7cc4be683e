// What the media plane asks of the stack: next hops from lwIP's neighbour tables, and the slow way
// out for what has none yet.
#include "net/datagram_sockets.h"
#include "net/lwip_glue.h"
#include "net/stack.h"

extern "C" {
#include "lwip/etharp.h"
#include "lwip/nd6.h"
#include "lwip/priv/nd6_priv.h"
}

namespace gh::net {
namespace {

Result<hal::MacAddress> FindArp(netif* out, const ip4_addr_t& hop) {
  eth_addr* mac = nullptr;
  const ip4_addr_t* found = nullptr;
  if (etharp_find_addr(out, &hop, &mac, &found) < 0) {
    return ErrorCode::kNotFound;
  }
  hal::MacAddress address;
  std::memcpy(address.data(), mac->addr, address.size());
  return address;
}

bool IsSameIpv6(const ip6_addr_t& a, const ip6_addr_t& b) {
  return std::memcmp(a.addr, b.addr, sizeof(a.addr)) == 0;
}

// Only what lwIP has resolved itself is used: routers and redirects are its business.
Result<hal::MacAddress> FindNeighbor(netif* out, const ip6_addr_t& destination) {
  for (int i = 0; i < LWIP_ND6_NUM_DESTINATIONS; ++i) {
    const nd6_destination_cache_entry& known = destination_cache[i];
    if (!IsSameIpv6(known.destination_addr, destination)) {
      continue;
    }
    for (int k = 0; k < LWIP_ND6_NUM_NEIGHBORS; ++k) {
      const nd6_neighbor_cache_entry& neighbor = neighbor_cache[k];
      if (neighbor.state >= ND6_REACHABLE && neighbor.netif == out &&
          IsSameIpv6(neighbor.next_hop_address, known.next_hop_addr)) {
        hal::MacAddress address;
        std::memcpy(address.data(), neighbor.lladdr, address.size());
        return address;
      }
    }
    break;
  }
  return ErrorCode::kNotFound;
}

}  // namespace

Result<NextHop> Stack::FindNextHop(const IpAddress& source, const IpAddress& destination) {
  LwipScope scope(lwip_);
  const bool is_v6 = destination.is_v6();
  netif* out = is_v6 ? RouteIpv6(source, destination) : RouteIpv4(source, destination);
  if (out == nullptr) {
    return ErrorCode::kUnreachable;
  }
  const auto& port = *static_cast<Port*>(out->state);
  ip4_addr_t hop = ToLwip4(destination);
  if (!is_v6 && !ip4_addr_net_eq(&hop, netif_ip4_addr(out), netif_ip4_netmask(out))) {
    const RouteConfig* route = StaticRoute(destination, port.index);
    hop = route != nullptr ? ToLwip4(route->gateway) : *netif_ip4_gw(out);
  }
  const auto mac = is_v6 ? FindNeighbor(out, ToLwip6(destination)) : FindArp(out, hop);
  if (!mac.ok() || !port.link_up) {
    return ErrorCode::kNotFound;
  }
  NextHop next;
  next.destination = *mac;
  next.source = port.mac;
  next.mtu = out->mtu;
  next.port_index = port.index;
  next.fills_checksum = port.fills_checksum;
  return next;
}

Result<void> Stack::SendUnbound(const Endpoint& from, const Endpoint& to,
                                std::span<const uint8_t> data, uint8_t traffic_class) {
  return datagrams_->SendUnbound(from, to, data, traffic_class);
}

}  // namespace gh::net
