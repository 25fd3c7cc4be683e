// The functions lwIP calls (net/lwip/arch/gh_hooks.h), for the instance that is active.
#include <cstring>

#include "hal/rt/assert.h"
#include "net/checksum.h"
#include "net/lwip_glue.h"
#include "net/stack.h"
#include "net/streams.h"

extern "C" {
#include "arch/gh_hooks.h"
}

namespace gh::net {

struct StackHooks {
  static Stack& Active() {
    GH_ASSERT(internal::g_lwip_active.instance != nullptr);
    return internal::g_lwip_active.instance->owner();
  }

  // Addresses and ports of a connection, hashed under `key`.
  static uint64_t HashOf(const SipKey& key, const ip_addr_t* local, uint16_t local_port,
                         const ip_addr_t* remote, uint16_t remote_port) {
    uint8_t bytes[36];
    const size_t n = remote->type == IPADDR_TYPE_V6 ? 16 : 4;
    std::memcpy(bytes, &local->u_addr, n);
    std::memcpy(bytes + n, &remote->u_addr, n);
    std::memcpy(bytes + 2 * n, &local_port, 2);
    std::memcpy(bytes + 2 * n + 2, &remote_port, 2);
    return SipHash13(key, std::span<const uint8_t>(bytes, 2 * n + 4));
  }

  static uint32_t TcpHash(const ip_addr_t* local, uint16_t local_port, const ip_addr_t* remote,
                          uint16_t remote_port) {
    return static_cast<uint32_t>(
        HashOf(Active().hash_key_, local, local_port, remote, remote_port));
  }

  // RFC 6528: a 4 us clock plus a keyed hash of the connection.
  static uint32_t InitialSequence(const ip_addr_t* local, uint16_t local_port,
                                  const ip_addr_t* remote, uint16_t remote_port) {
    Stack& stack = Active();
    if (stack.streams_->replays_) {
      return stack.streams_->replay_isn_;
    }
    const auto clock = static_cast<uint32_t>(stack.loop_.now().ns / 4000);
    return clock +
           static_cast<uint32_t>(HashOf(stack.isn_key_, local, local_port, remote, remote_port));
  }

  static void ArmAckTimer() {
    Stack& stack = Active();
    stack.loop_.timers().Arm(stack.ack_timer_,
                             stack.loop_.now() + Duration::Milliseconds(kDelayedAckMs));
  }

  // Out-of-order segments pin the frames they came in: only while most of the pool is free.
  static bool MayHold() {
    const hal::FramePool& frames = Active().frames_;
    return frames.free_count() > frames.frame_count() / 2;
  }

  static bool MaySendError() {
    Stack& stack = Active();
    return stack.error_bucket_.Take(stack.loop_.now());
  }

  static netif* RouteIpv4(const ip4_addr_t* source, const ip4_addr_t* destination) {
    return Active().RouteIpv4(source == nullptr ? IpAddress() : FromLwip4(*source),
                              FromLwip4(*destination));
  }
  static netif* RouteIpv6(const ip6_addr_t* source, const ip6_addr_t* destination) {
    return Active().RouteIpv6(source == nullptr ? IpAddress() : FromLwip6(*source),
                              FromLwip6(*destination));
  }

  // lwIP wants a pointer that lives on: routes are members of the stack.
  static const ip4_addr_t* GatewayIpv4(netif* out, const ip4_addr_t* destination) {
    Stack& stack = Active();
    const auto& port = *static_cast<Stack::Port*>(out->state);
    const RouteConfig* route = stack.StaticRoute(FromLwip4(*destination), port.index);
    static_assert(sizeof(ip4_addr_t) == 4);
    return route == nullptr ? nullptr
                            : reinterpret_cast<const ip4_addr_t*>(route->gateway.bytes.data());
  }
  static const ip6_addr_t* GatewayIpv6(netif* out, const ip6_addr_t* destination) {
    Stack& stack = Active();
    const auto& port = *static_cast<Stack::Port*>(out->state);
    const RouteConfig* route = stack.StaticRoute(FromLwip6(*destination), port.index);
    const IpAddress& gateway = route != nullptr ? route->gateway : port.gateway_v6;
    if (gateway.is_unspecified()) {
      return nullptr;
    }
    static_assert(sizeof(ip6_addr_t) <= sizeof(stack.lwip_address_));
    auto* address = new (stack.lwip_address_) ip6_addr_t(ToLwip6(gateway));
    ip6_addr_assign_zone(address, IP6_UNICAST, out);
    return address;
  }

  static void SetDnsServer(uint32_t index, const ip_addr_t* server) {
    Stack& stack = Active();
    // IPv4 servers come from DHCP, IPv6 ones from router advertisements: four places each.
    // Only a withdrawn advertisement takes one away.
    const bool is_v6 = server == nullptr || server->type == IPADDR_TYPE_V6;
    const uint32_t place = index + (is_v6 ? 4 : 0);
    if (index >= 4) {
      return;
    }
    const IpAddress fresh = server == nullptr ? IpAddress() : FromLwip(*server);
    if (stack.learnt_dns_[place] != fresh) {
      stack.learnt_dns_[place] = fresh;
      stack.servers_changed_ = stack.addresses_changed_ = true;
    }
  }

  // What a withdrawn advertisement is compared with.
  static const ip_addr_t* DnsServer(uint32_t index) {
    Stack& stack = Active();
    static_assert(sizeof(ip_addr_t) <= sizeof(stack.lwip_address_));
    return new (stack.lwip_address_) ip_addr_t(ToLwip(stack.learnt_dns_[4 + index % 4]));
  }

  static void SetNtpServers(uint32_t count, const ip4_addr_t* servers) {
    Stack& stack = Active();
    for (uint32_t i = 0; i < stack.learnt_ntp_.size(); ++i) {
      const IpAddress fresh = i < count ? FromLwip4(servers[i]) : IpAddress();
      if (stack.learnt_ntp_[i] != fresh) {
        stack.learnt_ntp_[i] = fresh;
        stack.servers_changed_ = stack.addresses_changed_ = true;
      }
    }
  }

  static uint32_t Random() { return Active().random_.U32(); }
};

}  // namespace gh::net

using gh::net::StackHooks;

extern "C" {

void gh_lwip_panic(const char* message, const char* file, int line) {
  gh::PanicAt(message, file, static_cast<uint32_t>(line));
}
uint32_t gh_lwip_random(void) { return StackHooks::Random(); }
uint16_t gh_lwip_checksum(const void* data, int size) {
  return gh::net::ChecksumSum({static_cast<const uint8_t*>(data), static_cast<size_t>(size)});
}
uint32_t gh_lwip_tcp_hash(const ip_addr_t* local, uint16_t local_port, const ip_addr_t* remote,
                          uint16_t remote_port) {
  return StackHooks::TcpHash(local, local_port, remote, remote_port);
}
uint32_t gh_lwip_tcp_isn(const ip_addr_t* local, uint16_t local_port, const ip_addr_t* remote,
                         uint16_t remote_port) {
  return StackHooks::InitialSequence(local, local_port, remote, remote_port);
}
void gh_lwip_ack_timer_needed(void) { StackHooks::ArmAckTimer(); }
int gh_lwip_may_hold(void) { return StackHooks::MayHold() ? 1 : 0; }
int gh_lwip_may_send_error(void) { return StackHooks::MaySendError() ? 1 : 0; }
struct netif* gh_lwip_ip4_route(const ip4_addr_t* source, const ip4_addr_t* destination) {
  return StackHooks::RouteIpv4(source, destination);
}
const ip4_addr_t* gh_lwip_ip4_gateway(struct netif* netif, const ip4_addr_t* destination) {
  return StackHooks::GatewayIpv4(netif, destination);
}
struct netif* gh_lwip_ip6_route(const ip6_addr_t* source, const ip6_addr_t* destination) {
  return StackHooks::RouteIpv6(source, destination);
}
const ip6_addr_t* gh_lwip_ip6_gateway(struct netif* netif, const ip6_addr_t* destination) {
  return StackHooks::GatewayIpv6(netif, destination);
}
void dns_setserver(uint8_t index, const ip_addr_t* server) {
  StackHooks::SetDnsServer(index, server);
}
const ip_addr_t* dns_getserver(uint8_t index) { return StackHooks::DnsServer(index); }
void dhcp_set_ntp_servers(uint8_t count, const ip4_addr_t* servers) {
  StackHooks::SetNtpServers(count, servers);
}

}  // extern "C"
