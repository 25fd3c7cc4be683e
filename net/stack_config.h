// What the operator decides about the network: plain values, validated by Stack::Configure.
#pragma once

#include <array>
#include <cstdint>

#include "net/address.h"
#include "net/limits.h"

namespace gh::net {

enum class Ipv4Mode : uint8_t { kOff, kStatic, kDhcp };
enum class Ipv6Mode : uint8_t { kOff, kStatic, kSlaac };

struct PortConfig {
  Ipv4Mode ipv4_mode = Ipv4Mode::kOff;
  IpPrefix ipv4_address;   // the port's address with its prefix length
  IpAddress ipv4_gateway;  // default gateway on this port; none: no default route here
  Ipv6Mode ipv6_mode = Ipv6Mode::kOff;
  IpPrefix ipv6_address;
  IpAddress ipv6_gateway;
  uint16_t mtu = 0;  // 0: the device's
  friend bool operator==(const PortConfig&, const PortConfig&) = default;
};

struct RouteConfig {
  IpPrefix destination;
  IpAddress gateway;
  uint8_t port_index = 0;
  friend bool operator==(const RouteConfig&, const RouteConfig&) = default;
};

inline constexpr uint8_t kNoPort = 0xff;

struct StackConfig {
  std::array<PortConfig, kPortMax> ports = {};
  std::array<RouteConfig, kRouteMax> routes = {};
  uint32_t route_count = 0;
  // A port that is kept apart: what comes from its addresses leaves by it, and nothing that comes
  // from the others' does. kNoPort: none.
  uint8_t management_port = kNoPort;
  // Static servers come before those DHCP and router advertisements give.
  std::array<IpAddress, kDnsServerMax> dns_servers = {};
  uint32_t dns_server_count = 0;
  char host_name[kHostNameMax + 1] = {};  // sent to DHCP servers
};

}  // namespace gh::net
