// IP addresses, prefixes and endpoints: value types without a socket in sight.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "hal/rt/bytes.h"
#include "hal/rt/result.h"

namespace gh::net {

enum class IpFamily : uint8_t { kNone = 0, kIpv4 = 4, kIpv6 = 6 };

// Network byte order; IPv4 uses the first four bytes, the rest are zero.
struct IpAddress {
  std::array<uint8_t, 16> bytes = {};
  IpFamily family = IpFamily::kNone;

  static constexpr IpAddress V4(uint8_t a, uint8_t b, uint8_t c, uint8_t d) {
    return {{a, b, c, d}, IpFamily::kIpv4};
  }
  static IpAddress V4FromBytes(std::span<const uint8_t, 4> b) { return V4(b[0], b[1], b[2], b[3]); }
  static IpAddress V6FromBytes(std::span<const uint8_t, 16> b) {
    IpAddress a;
    std::memcpy(a.bytes.data(), b.data(), 16);
    a.family = IpFamily::kIpv6;
    return a;
  }
  // "192.0.2.1", "2001:db8::1" (RFC 4291; no brackets, no zone). kMalformed otherwise.
  static Result<IpAddress> Parse(std::string_view text);

  bool is_v4() const { return family == IpFamily::kIpv4; }
  bool is_v6() const { return family == IpFamily::kIpv6; }
  bool is_none() const { return family == IpFamily::kNone; }
  bool is_unspecified() const;  // none, 0.0.0.0 or ::
  bool is_loopback() const;
  bool is_multicast() const;
  bool is_link_local() const;
  size_t byte_count() const { return is_v4() ? 4 : is_v6() ? 16 : 0; }
  void Format(ByteWriter& out) const;  // RFC 5952
  friend bool operator==(const IpAddress&, const IpAddress&) = default;
};

struct IpPrefix {
  IpAddress address;
  uint8_t length = 0;
  bool Contains(const IpAddress& a) const;
  static Result<IpPrefix> Parse(std::string_view text);  // "10.0.0.0/8"
  friend bool operator==(const IpPrefix&, const IpPrefix&) = default;
};

struct Endpoint {
  IpAddress address;
  uint16_t port = 0;
  void Format(ByteWriter& out) const;  // "192.0.2.1:5060", "[2001:db8::1]:5060"
  static Result<Endpoint> Parse(std::string_view text);
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

// Text of an address or endpoint in a buffer of its own, for logs and messages.
struct EndpointText {
  char text[56];
  uint8_t size;
  std::string_view view() const { return {text, size}; }
};
EndpointText ToText(const IpAddress& address);
EndpointText ToText(const Endpoint& endpoint);

}  // namespace gh::net
