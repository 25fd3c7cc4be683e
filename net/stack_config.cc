// Ports, addresses, routes and timers of the stack.
#include <algorithm>
#include <cstring>

#include "net/datagram_sockets.h"
#include "net/lwip_glue.h"
#include "net/stack.h"
#include "net/streams.h"

extern "C" {
#include "arch/gh_hooks.h"
#include "lwip/dhcp.h"
#include "lwip/etharp.h"
#include "lwip/ethip6.h"
#include "lwip/init.h"
#include "lwip/ip4_frag.h"
#include "lwip/ip6_frag.h"
#include "lwip/mld6.h"
#include "lwip/nd6.h"
#include "lwip/priv/nd6_priv.h"
#include "lwip/priv/tcp_priv.h"
#include "netif/ethernet.h"
}

namespace gh::net {
namespace {

constexpr Duration kSecond = Duration::Seconds(1);
constexpr Duration kTick = Duration::Milliseconds(100);
constexpr Duration kSlowTick = Duration::Milliseconds(2 * TCP_TMR_INTERVAL);
// With every connection silent only keep-alives and TIME-WAIT are due: a slower step is enough.
constexpr Duration kIdleTick = Duration::Seconds(1);
constexpr Duration kSettling = Duration::Seconds(10);  // after a change, all timers run
constexpr uint8_t kIpv6PrefixLength = 64;

err_t InitNetif(netif* n) {
  n->name[0] = 'l';
  n->name[1] = 'n';
  n->hwaddr_len = 6;
  n->output = etharp_output;
  n->output_ip6 = ethip6_output;
  n->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET | NETIF_FLAG_MLD6;
  return ERR_OK;
}

bool IsUsable(const netif* n) { return n != nullptr && netif_is_up(n) && netif_is_link_up(n); }

ip4_addr_t MaskOf(uint8_t length) {
  ip4_addr_t mask;
  mask.addr = lwip_htonl(length == 0 ? 0 : ~uint32_t{0} << (32 - length));
  return mask;
}

uint8_t LengthOf(const ip4_addr_t& mask) { return static_cast<uint8_t>(std::popcount(mask.addr)); }

Result<void> CheckPort(const PortConfig& port, bool present) {
  const bool used = port.ipv4_mode != Ipv4Mode::kOff || port.ipv6_mode != Ipv6Mode::kOff;
  if (used && !present) {
    return Error(ErrorCode::kInvalidArgument, "no such Ethernet port");
  }
  if (port.ipv4_mode == Ipv4Mode::kStatic &&
      (!port.ipv4_address.address.is_v4() || port.ipv4_address.address.is_unspecified() ||
       port.ipv4_address.address.is_multicast() || port.ipv4_address.address.is_loopback() ||
       port.ipv4_address.length == 0 || port.ipv4_address.length > 32)) {
    return Error(ErrorCode::kInvalidArgument, "expected an IPv4 host address with prefix length");
  }
  if (port.ipv4_mode == Ipv4Mode::kStatic && !port.ipv4_gateway.is_none() &&
      (!port.ipv4_gateway.is_v4() || !port.ipv4_address.Contains(port.ipv4_gateway))) {
    return Error(ErrorCode::kInvalidArgument, "expected an IPv4 gateway within the port's prefix");
  }
  if (port.ipv6_mode == Ipv6Mode::kStatic &&
      (!port.ipv6_address.address.is_v6() || port.ipv6_address.address.is_unspecified() ||
       port.ipv6_address.address.is_multicast() || port.ipv6_address.address.is_loopback() ||
       port.ipv6_address.length != kIpv6PrefixLength)) {
    return Error(ErrorCode::kInvalidArgument, "expected an IPv6 address with prefix length 64");
  }
  const bool has_v6 = port.ipv6_mode != Ipv6Mode::kOff;
  if (port.mtu != 0 && port.mtu < (has_v6 ? kPortMtuMinIpv6 : kPortMtuMin)) {
    return Error(ErrorCode::kInvalidArgument, "expected an MTU of at least 576, 1280 with IPv6");
  }
  if (!port.ipv6_gateway.is_none() && !port.ipv6_gateway.is_v6()) {
    return Error(ErrorCode::kInvalidArgument, "expected an IPv6 gateway");
  }
  return Ok();
}

Result<void> CheckRoute(const RouteConfig& route, bool present) {
  if (!present) {
    return Error(ErrorCode::kInvalidArgument, "a route names an Ethernet port that is not there");
  }
  if (route.destination.address.is_none() || route.gateway.is_unspecified() ||
      route.destination.address.family != route.gateway.family ||
      route.destination.length > route.destination.address.byte_count() * 8) {
    return Error(ErrorCode::kInvalidArgument, "expected a prefix and a gateway of one family");
  }
  return Ok();
}

}  // namespace

Stack::Stack(const StackParts& parts, const Capacity& capacity)
    : arena_(parts.arena),
      frames_(parts.frames),
      loop_(parts.loop),
      random_(parts.random),
      observer_(parts.observer),
      capacity_(capacity),
      lwip_((parts.arena.OpenAccount("net/lwip", capacity.connection_count), parts.arena), capacity,
            *this),
      firewall_((parts.arena.OpenAccount("net/firewall"), parts.arena)),
      hash_key_{parts.random.U64(), parts.random.U64()},
      isn_key_{parts.random.U64(), parts.random.U64()},
      flush_task_(
          [](void* context) {
            auto& self = *static_cast<Stack*>(context);
            if (self.streams_->Dispatch()) {
              self.FlushSoon();
            }
            self.Flush();
          },
          this) {
  poll_name = "net";
  LwipScope scope(lwip_);
  lwip_init();
  arena_.OpenAccount("net/datagrams", capacity.datagram_socket_count);
  // Every pending question has a socket of its own.
  datagrams_ = arena_.New<DatagramSockets>(
      *this, arena_, capacity.datagram_socket_count + capacity.dns_query_count);
  arena_.OpenAccount("net/streams", capacity.connection_count);
  streams_ = arena_.New<Streams>(*this, arena_, capacity, random_);
  arena_.OpenAccount("net/dns", capacity.dns_cache_count);
  resolver_ =
      arena_.New<DnsResolver>(DnsResolver::Parts{arena_, loop_, random_, *datagrams_, *streams_},
                              capacity.dns_query_count, capacity.dns_cache_count);
  arena_.OpenAccount("net/stack");
  second_timer_.Bind<&Stack::OnSecond>(this);
  tick_timer_.Bind<&Stack::OnTick>(this);
  slow_timer_.Bind<&Stack::OnSlowTimer>(this);
  ack_timer_.Bind<&Stack::OnAckTimer>(this);
  for (uint8_t i = 0; i < kPortMax; ++i) {
    ports_[i].index = i;
    ports_[i].stack = this;
    if (parts.ports[i] != nullptr) {
      AddPort(i, parts.ports[i]);
    }
  }
  slow_at_ = loop_.now();
  loop_.timers().Arm(second_timer_, loop_.now() + kSecond);
  loop_.Add(*this);
}

Stack::~Stack() {
  loop_.Remove(*this);
  loop_.Cancel(flush_task_);
  resolver_->~DnsResolver();
  streams_->~Streams();
}

void Stack::AddPort(uint8_t index, hal::EthernetPort* device) {
  Port& port = ports_[index];
  port.device = device;
  port.mac = device->mac();
  port.fills_checksum = device->can_fill_checksum();
  port.netif = arena_.New<netif>();
  netif_add(port.netif, IP4_ADDR_ANY4, IP4_ADDR_ANY4, IP4_ADDR_ANY4, &port, InitNetif,
            ethernet_input);
  netif* n = port.netif;
  std::memcpy(n->hwaddr, port.mac.data(), 6);
  n->mtu = n->mtu6 = device->mtu();
  n->linkoutput = [](netif* out, pbuf* p) -> err_t {
    auto& to = *static_cast<Port*>(out->state);
    return static_cast<err_t>(to.stack->LinkOutput(to, p));
  };
  netif_set_status_callback(n, [](netif* changed) {
    static_cast<Port*>(changed->state)->stack->addresses_changed_ = true;
  });
  if (port.fills_checksum) {
    n->chksum_flags =
        static_cast<u16_t>(n->chksum_flags & ~(NETIF_CHECKSUM_GEN_TCP | NETIF_CHECKSUM_GEN_UDP));
  }
}

Result<void> Stack::Configure(const StackConfig& config) {
  for (uint32_t i = 0; i < kPortMax; ++i) {
    GH_TRY(CheckPort(config.ports[i], ports_[i].device != nullptr));
  }
  if (config.route_count > kRouteMax || config.dns_server_count > kDnsServerMax) {
    return ErrorCode::kTooLarge;
  }
  for (uint32_t i = 0; i < config.route_count; ++i) {
    const uint8_t port = config.routes[i].port_index;
    GH_TRY(CheckRoute(config.routes[i], port < kPortMax && ports_[port].device != nullptr));
  }
  const StackConfig old = config_;
  config_ = config;
  config_.host_name[kHostNameMax] = 0;
  WatchLinks();
  LwipScope scope(lwip_);
  for (Port& port : ports_) {
    if (port.device != nullptr) {
      ApplyPort(port, old.ports[port.index], config_.ports[port.index]);
    }
  }
  // Next hops are remembered per destination: forget them with the routes they came from.
  nd6_clear_destination_cache();
  addresses_changed_ = servers_changed_ = true;
  NeedTicks();
  FlushSoon();
  return Ok();
}

void Stack::ApplyPort(Port& port, const PortConfig& old, const PortConfig& fresh) {
  netif* n = port.netif;
  n->hostname = config_.host_name[0] == 0 ? nullptr : config_.host_name;
  const uint16_t device_mtu = port.device->mtu();
  n->mtu = n->mtu6 = fresh.mtu == 0 ? device_mtu : std::min(fresh.mtu, device_mtu);
  port.gateway_v6 = fresh.ipv6_mode == Ipv6Mode::kOff ? IpAddress() : fresh.ipv6_gateway;
  const bool used = fresh.ipv4_mode != Ipv4Mode::kOff || fresh.ipv6_mode != Ipv6Mode::kOff;
  if (used && !netif_is_up(n)) {
    netif_set_up(n);
  }
  if (old.ipv4_mode != fresh.ipv4_mode || old.ipv4_address != fresh.ipv4_address ||
      old.ipv4_gateway != fresh.ipv4_gateway) {
    if (old.ipv4_mode == Ipv4Mode::kDhcp && fresh.ipv4_mode != Ipv4Mode::kDhcp) {
      dhcp_release_and_stop(n);
      dhcp_cleanup(n);
    }
    if (fresh.ipv4_mode == Ipv4Mode::kStatic) {
      const ip4_addr_t address = ToLwip4(fresh.ipv4_address.address);
      const ip4_addr_t mask = MaskOf(fresh.ipv4_address.length);
      const ip4_addr_t gateway = ToLwip4(fresh.ipv4_gateway);
      netif_set_addr(n, &address, &mask, &gateway);
    } else {
      netif_set_addr(n, IP4_ADDR_ANY4, IP4_ADDR_ANY4, IP4_ADDR_ANY4);
    }
    if (fresh.ipv4_mode == Ipv4Mode::kDhcp) {
      dhcp_start(n);
    }
  }
  if (old.ipv6_mode != fresh.ipv6_mode || old.ipv6_address != fresh.ipv6_address) {
    for (s8_t i = 0; i < LWIP_IPV6_NUM_ADDRESSES; ++i) {
      netif_ip6_addr_set_state(n, i, IP6_ADDR_INVALID);
    }
    netif_set_ip6_autoconfig_enabled(n, fresh.ipv6_mode == Ipv6Mode::kSlaac ? 1 : 0);
    if (fresh.ipv6_mode != Ipv6Mode::kOff) {
      netif_create_ip6_linklocal_address(n, 1);
      netif_ip6_addr_set_state(n, 0, IP6_ADDR_TENTATIVE);
    }
    if (fresh.ipv6_mode == Ipv6Mode::kStatic) {
      const ip6_addr_t address = ToLwip6(fresh.ipv6_address.address);
      netif_ip6_addr_set(n, 1, &address);
      netif_ip6_addr_set_state(n, 1, IP6_ADDR_TENTATIVE);
    }
    if (fresh.ipv6_mode == Ipv6Mode::kSlaac) {
      nd6_restart_netif(n);
    }
  }
  if (!used && netif_is_up(n)) {
    netif_set_down(n);
  }
}

void Stack::WatchLinks() {
  for (Port& port : ports_) {
    if (port.device == nullptr || port.device->link_up() == port.link_up) {
      continue;
    }
    port.link_up = !port.link_up;
    LwipScope scope(lwip_);
    if (port.link_up) {
      netif_set_link_up(port.netif);
    } else {
      netif_set_link_down(port.netif);
    }
    observer_.OnLink(port.index, port.link_up);
    addresses_changed_ = true;
    NeedTicks();
  }
}

AddressSource Stack::SourceOf(const Port& port, const IpAddress& address) const {
  const PortConfig& config = config_.ports[port.index];
  if (address.is_v4()) {
    return config.ipv4_mode == Ipv4Mode::kDhcp ? AddressSource::kDhcp : AddressSource::kStatic;
  }
  if (address.is_link_local()) {
    return AddressSource::kLinkLocal;
  }
  return config.ipv6_mode == Ipv6Mode::kSlaac ? AddressSource::kSlaac : AddressSource::kStatic;
}

PortStatus Stack::port_status(uint8_t port_index) const {
  GH_ASSERT_LT(port_index, kPortMax);
  const Port& port = ports_[port_index];
  PortStatus status;
  if (port.device == nullptr) {
    return status;
  }
  status.present = true;
  status.link_up = port.link_up;
  status.mac = port.mac;
  status.mtu = port.netif->mtu;
  status.driver = port.device->driver();
  status.counters = port.device->counters();
  const netif* n = port.netif;
  if (netif_is_up(n) && !ip4_addr_isany_val(*netif_ip4_addr(n))) {
    const IpAddress address = FromLwip4(*netif_ip4_addr(n));
    status.addresses[status.address_count++] = {address, LengthOf(*netif_ip4_netmask(n)),
                                                SourceOf(port, address)};
    status.ipv4_gateway = FromLwip4(*netif_ip4_gw(n));
  }
  for (uint32_t i = 0; i < LWIP_IPV6_NUM_ADDRESSES && netif_is_up(n); ++i) {
    if (ip6_addr_isvalid(netif_ip6_addr_state(n, i))) {
      const IpAddress address = FromLwip6(*netif_ip6_addr(n, i));
      status.addresses[status.address_count++] = {address, kIpv6PrefixLength,
                                                  SourceOf(port, address)};
    }
  }
  status.ipv6_gateway = port.gateway_v6;
  return status;
}

void Stack::ReportAddresses() {
  for (Port& port : ports_) {
    if (port.device != nullptr) {
      ReportPortAddresses(port);
    }
  }
  if (servers_changed_) {
    servers_changed_ = false;
    std::array<IpAddress, 2 * kDnsServerMax> servers;
    resolver_->SetServers(std::span(servers).first(DnsServers(servers)));
    observer_.OnServersChanged();
  }
}

void Stack::ReportPortAddresses(Port& port) {
  const PortStatus status = port_status(port.index);
  std::array<IpAddress, kPortAddressMax> current = {};
  for (uint32_t i = 0; i < status.address_count; ++i) {
    current[i] = status.addresses[i].address;
  }
  const auto has = [](const std::array<IpAddress, kPortAddressMax>& list, const IpAddress& a) {
    return std::find(list.begin(), list.end(), a) != list.end();
  };
  for (const IpAddress& before : port.reported) {
    if (!before.is_none() && !has(current, before)) {
      observer_.OnAddressLost(port.index, before);
    }
  }
  for (const IpAddress& now : current) {
    if (!now.is_none() && !has(port.reported, now)) {
      observer_.OnAddressAcquired(port.index, now, SourceOf(port, now));
    }
  }
  port.reported = current;
}

bool Stack::addresses_ready() const {
  for (const Port& port : ports_) {
    const PortConfig& config = config_.ports[port.index];
    if (port.device == nullptr || !port.link_up) {
      continue;
    }
    const PortStatus status = port_status(port.index);
    bool has_v4 = false;
    bool has_v6 = false;
    for (uint32_t i = 0; i < status.address_count; ++i) {
      has_v4 = has_v4 || status.addresses[i].address.is_v4();
      has_v6 = has_v6 || status.addresses[i].source == AddressSource::kStatic ||
               status.addresses[i].source == AddressSource::kSlaac;
    }
    if ((config.ipv4_mode != Ipv4Mode::kOff && !has_v4) ||
        (config.ipv6_mode != Ipv6Mode::kOff && !has_v6)) {
      return false;
    }
  }
  return true;
}

// The most specific static route to `destination`; on one port only unless port_index is negative.
const RouteConfig* Stack::StaticRoute(const IpAddress& destination, int port_index) const {
  const RouteConfig* best = nullptr;
  for (uint32_t i = 0; i < config_.route_count; ++i) {
    const RouteConfig& route = config_.routes[i];
    if ((port_index < 0 || route.port_index == port_index) &&
        route.destination.Contains(destination) && IsUsable(ports_[route.port_index].netif) &&
        (best == nullptr || route.destination.length > best->destination.length)) {
      best = &route;
    }
  }
  return best;
}

netif* Stack::KeepApart(netif* out, const IpAddress& source) const {
  if (out == nullptr || source.is_unspecified() || config_.management_port >= kPortMax) {
    return out;
  }
  const PortConfig& apart = config_.ports[config_.management_port];
  const bool from_apart =
      source == apart.ipv4_address.address || source == apart.ipv6_address.address;
  // Link-local sources belong to the port they were chosen for.
  if (source.is_link_local()) {
    return out;
  }
  return from_apart == (out == ports_[config_.management_port].netif) ? out : nullptr;
}

netif* Stack::RouteIpv4(const IpAddress& source, const IpAddress& destination) {
  return KeepApart(FindRouteIpv4(source, destination), source);
}

netif* Stack::RouteIpv6(const IpAddress& source, const IpAddress& destination) {
  return KeepApart(FindRouteIpv6(source, destination), source);
}

netif* Stack::FindRouteIpv4(const IpAddress& source, const IpAddress& destination) {
  const ip4_addr_t to = ToLwip4(destination);
  const ip4_addr_t from = ToLwip4(source);
  netif* fallback = nullptr;
  netif* of_source = nullptr;
  for (Port& port : ports_) {
    netif* n = port.netif;
    if (!IsUsable(n) || ip4_addr_isany_val(*netif_ip4_addr(n))) {
      continue;
    }
    if (ip4_addr_eq(&to, netif_ip4_addr(n))) {
      return nullptr;  // our own address: there is no loop-back interface
    }
    if (ip4_addr_net_eq(&to, netif_ip4_addr(n), netif_ip4_netmask(n))) {
      return n;
    }
    if (!ip4_addr_isany_val(*netif_ip4_gw(n))) {
      fallback = fallback == nullptr ? n : fallback;
      of_source = ip4_addr_eq(&from, netif_ip4_addr(n)) ? n : of_source;
    }
  }
  if (const RouteConfig* route = StaticRoute(destination, -1); route != nullptr) {
    return ports_[route->port_index].netif;
  }
  return of_source != nullptr ? of_source : fallback;
}

netif* Stack::FindRouteIpv6(const IpAddress& source, const IpAddress& destination) {
  const ip6_addr_t to = ToLwip6(destination);
  netif* fallback = nullptr;
  netif* of_source = nullptr;
  netif* usable = nullptr;
  for (Port& port : ports_) {
    netif* n = port.netif;
    if (!IsUsable(n) || config_.ports[port.index].ipv6_mode == Ipv6Mode::kOff) {
      continue;
    }
    usable = usable == nullptr ? n : usable;
    bool has_source = false;
    for (s8_t i = 0; i < LWIP_IPV6_NUM_ADDRESSES; ++i) {
      if (!ip6_addr_isvalid(netif_ip6_addr_state(n, i))) {
        continue;
      }
      const ip6_addr_t* own = netif_ip6_addr(n, i);
      has_source = has_source || std::memcmp(own->addr, source.bytes.data(), 16) == 0;
      if (!ip6_addr_islinklocal(own) && ip6_addr_net_zoneless_eq(&to, own)) {
        return ip6_addr_zoneless_eq(&to, own) ? nullptr : n;
      }
    }
    const bool has_router = !port.gateway_v6.is_none() || nd6_find_route(&to) == n;
    fallback = fallback == nullptr && has_router ? n : fallback;
    of_source = has_source ? n : of_source;
  }
  if (destination.is_link_local() || destination.is_multicast()) {
    return of_source != nullptr ? of_source : usable;
  }
  if (const RouteConfig* route = StaticRoute(destination, -1); route != nullptr) {
    return ports_[route->port_index].netif;
  }
  return of_source != nullptr && !source.is_unspecified() ? of_source : fallback;
}

IpAddress Stack::SourceFor(const IpAddress& destination) {
  LwipScope scope(lwip_);
  netif* out = destination.is_v6() ? RouteIpv6({}, destination) : RouteIpv4({}, destination);
  if (out == nullptr) {
    return {};
  }
  const ip_addr_t remote = ToLwip(destination);
  const ip_addr_t* chosen = ip_netif_get_local_ip(out, &remote);
  return chosen == nullptr || ip_addr_isany(chosen) ? IpAddress() : FromLwip(*chosen);
}

uint32_t Stack::DnsServers(std::span<IpAddress> out) const {
  uint32_t count = 0;
  const auto add = [&](const IpAddress& server) {
    if (!server.is_unspecified() && count < out.size() &&
        std::find(out.begin(), out.begin() + count, server) == out.begin() + count) {
      out[count++] = server;
    }
  };
  for (uint32_t i = 0; i < config_.dns_server_count; ++i) {
    add(config_.dns_servers[i]);
  }
  for (const IpAddress& server : learnt_dns_) {
    add(server);
  }
  return count;
}

uint32_t Stack::LearntNtpServers(std::span<IpAddress> out) const {
  uint32_t count = 0;
  for (const IpAddress& server : learnt_ntp_) {
    if (!server.is_unspecified() && count < out.size()) {
      out[count++] = server;
    }
  }
  return count;
}

StackStatus Stack::status() const {
  LwipScope scope(const_cast<LwipInstance&>(lwip_));
  StackStatus status;
  status.connection_count = streams_->connection_count();
  status.connection_max = capacity_.connection_count;
  status.active_count = gh_tcp.active_count;
  status.idle_count = gh_tcp.idle_count;
  status.half_open_count = gh_tcp.half_open_count;
  status.time_wait_count = gh_tcp.time_wait_count;
  status.cookie_sent_count = streams_->cookie_sent_count();
  status.cookie_accepted_count = streams_->cookie_accepted_count();
  status.received_datagrams = datagrams_->received_count();
  status.sent_datagrams = datagrams_->sent_count();
  ip4_addr_t* address = nullptr;
  netif* n = nullptr;
  eth_addr* mac = nullptr;
  for (size_t i = 0; i < ARP_TABLE_SIZE; ++i) {
    status.arp_count += etharp_get_entry(i, &address, &n, &mac) != 0 ? 1 : 0;
  }
  for (uint32_t i = 0; i < LWIP_ND6_NUM_NEIGHBORS; ++i) {
    status.neighbor_count += neighbor_cache[i].state != ND6_NO_ENTRY ? 1 : 0;
  }
  const Heap& heap = const_cast<LwipInstance&>(lwip_).memory().heap();
  status.buffer_bytes_used = heap.used_bytes();
  status.buffer_bytes_max = heap.used_bytes_max();
  status.buffer_bytes_capacity = heap.capacity();
  return status;
}

// --- Timers --------------------------------------------------------------------------------------

void Stack::OnSecond() {
  loop_.timers().Arm(second_timer_, loop_.now() + kSecond);
  LwipScope scope(lwip_);
  etharp_tmr();
  nd6_tmr();
  ip_reass_tmr();
  ip6_reass_tmr();
  if (++minute_phase_ == DHCP_COARSE_TIMER_SECS) {
    minute_phase_ = 0;
    dhcp_coarse_tmr();
  }
  if (TickNeeded() && !tick_timer_.armed()) {
    loop_.timers().Arm(tick_timer_, loop_.now() + kTick);
  }
  addresses_changed_ = true;  // duplicate address detection ends silently
  FlushSoon();
}

bool Stack::TickNeeded() const {
  if (loop_.now() < tick_until_) {
    return true;
  }
  for (const Port& port : ports_) {
    if (port.netif == nullptr) {
      continue;
    }
    const dhcp* client = netif_dhcp_data(port.netif);
    if (client != nullptr && client->request_timeout > 0) {
      return true;
    }
    for (const mld_group* group = netif_mld6_data(port.netif); group != nullptr;
         group = group->next) {
      if (group->timer > 0) {
        return true;
      }
    }
  }
  return false;
}

void Stack::NeedTicks() {
  tick_until_ = loop_.now() + kSettling;
  if (!tick_timer_.armed()) {
    loop_.timers().Arm(tick_timer_, loop_.now() + kTick);
  }
}

void Stack::OnTick() {
  LwipScope scope(lwip_);
  mld6_tmr();
  if (++tick_phase_ % 5 == 0) {
    dhcp_fine_tmr();
  }
  if (TickNeeded()) {
    loop_.timers().Arm(tick_timer_, loop_.now() + kTick);
  }
  FlushSoon();
}

void Stack::OnSlowTimer() {
  const int64_t elapsed = (loop_.now() - slow_at_).ns;
  const auto ticks = static_cast<uint32_t>(elapsed / kSlowTick.ns);
  if (ticks > 0 && !slow_pending_) {
    slow_at_ = slow_at_ + kSlowTick * ticks;
    slow_pending_ = streams_->RunSlowTimer(ticks);
  }
  FlushSoon();
}

void Stack::OnAckTimer() {
  LwipScope scope(lwip_);
  gh_tcp_flush_acks();
  FlushSoon();
}

// Runs while there are connections: often while one has a timer running, seldom while all are
// silent, never without any.
void Stack::ArmSlowTimer() {
  LwipScope scope(lwip_);
  const bool active = gh_tcp.active_count > 0 || streams_->has_starved();
  const bool any = active || gh_tcp.idle_count > 0 || gh_tcp.time_wait_count > 0;
  if (!any) {
    loop_.timers().Cancel(slow_timer_);
    return;
  }
  const Instant wanted = loop_.now() + (active ? kSlowTick : kIdleTick);
  if (!slow_timer_.armed()) {
    // Time without connections counts for nobody.
    slow_at_ = std::max(slow_at_, loop_.now() - kIdleTick);
    loop_.timers().Arm(slow_timer_, wanted);
  } else if (wanted < slow_timer_.deadline()) {
    loop_.timers().Arm(slow_timer_, wanted);
  }
}

}  // namespace gh::net
