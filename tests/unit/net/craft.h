// Frames made by hand, for what no well-behaved peer sends.
#pragma once

#include "tests/unit/net/fake_wire.h"

namespace gh::net::test {

inline void Put16(Bytes& b, size_t at, uint32_t v) {
  b[at] = static_cast<uint8_t>(v >> 8);
  b[at + 1] = static_cast<uint8_t>(v);
}
inline void Put32(Bytes& b, size_t at, uint32_t v) {
  Put16(b, at, v >> 16);
  Put16(b, at + 2, v & 0xffff);
}
inline uint16_t Sum16(std::span<const uint8_t> data, uint32_t sum = 0) {
  for (size_t i = 0; i < data.size(); ++i) {
    sum += i % 2 == 0 ? uint32_t{data[i]} << 8 : data[i];
  }
  while (sum >> 16 != 0) {
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return static_cast<uint16_t>(sum);
}

inline Bytes Ethernet(const hal::MacAddress& to, uint16_t type,
                      const hal::MacAddress& from = {2, 0, 0, 0, 0, 99}) {
  Bytes b(to.begin(), to.end());
  b.insert(b.end(), from.begin(), from.end());
  b.push_back(static_cast<uint8_t>(type >> 8));
  b.push_back(static_cast<uint8_t>(type));
  return b;
}

// An IP packet with `payload` behind its header; the checksum at `sum_at` of the payload is filled
// in (negative: none), with the pseudo header unless it is ICMPv4.
inline Bytes IpFrame(const hal::MacAddress& to, const IpAddress& source,
                     const IpAddress& destination, uint8_t protocol, Bytes payload, int sum_at,
                     uint16_t fragment = 0, uint8_t hop_limit = 64) {
  const bool v6 = source.is_v6();
  const size_t n = source.byte_count();
  if (sum_at >= 0) {
    uint32_t start = 0;
    if (protocol != kProtocolIcmp) {
      start = Sum16({source.bytes.data(), n}) + Sum16({destination.bytes.data(), n}) + protocol +
              static_cast<uint32_t>(payload.size());
    }
    Put16(payload, static_cast<size_t>(sum_at), 0);
    Put16(payload, static_cast<size_t>(sum_at), static_cast<uint16_t>(~Sum16(payload, start)));
  }
  Bytes b = Ethernet(to, v6 ? kEtherIpv6 : kEtherIpv4);
  Bytes ip(v6 ? 40 : 20);
  if (v6) {
    ip[0] = 0x60;
    Put16(ip, 4, static_cast<uint32_t>(payload.size()));
    ip[6] = protocol;
    ip[7] = hop_limit;
    std::memcpy(&ip[8], source.bytes.data(), 16);
    std::memcpy(&ip[24], destination.bytes.data(), 16);
  } else {
    ip[0] = 0x45;
    Put16(ip, 2, static_cast<uint32_t>(20 + payload.size()));
    Put16(ip, 4, 0x1234);
    Put16(ip, 6, fragment);
    ip[8] = hop_limit;
    ip[9] = protocol;
    std::memcpy(&ip[12], source.bytes.data(), 4);
    std::memcpy(&ip[16], destination.bytes.data(), 4);
    Put16(ip, 10, static_cast<uint16_t>(~Sum16(ip)));
  }
  b.insert(b.end(), ip.begin(), ip.end());
  b.insert(b.end(), payload.begin(), payload.end());
  return b;
}

inline Bytes UdpFrame(const hal::MacAddress& to, const Endpoint& source,
                      const Endpoint& destination, const Bytes& data) {
  Bytes udp(8);
  Put16(udp, 0, source.port);
  Put16(udp, 2, destination.port);
  Put16(udp, 4, static_cast<uint32_t>(8 + data.size()));
  udp.insert(udp.end(), data.begin(), data.end());
  return IpFrame(to, source.address, destination.address, kProtocolUdp, udp, 6);
}

inline Bytes TcpFrame(const hal::MacAddress& to, const Endpoint& source,
                      const Endpoint& destination, uint8_t flags, uint32_t sequence,
                      uint32_t acknowledgement, const Bytes& data = {}, const Bytes& options = {}) {
  Bytes tcp(20);
  Put16(tcp, 0, source.port);
  Put16(tcp, 2, destination.port);
  Put32(tcp, 4, sequence);
  Put32(tcp, 8, acknowledgement);
  tcp[12] = static_cast<uint8_t>((20 + options.size()) / 4 << 4);
  tcp[13] = flags;
  Put16(tcp, 14, 64240);
  tcp.insert(tcp.end(), options.begin(), options.end());
  tcp.insert(tcp.end(), data.begin(), data.end());
  return IpFrame(to, source.address, destination.address, kProtocolTcp, tcp, 16);
}

inline Bytes IcmpFrame(const hal::MacAddress& to, const IpAddress& source,
                       const IpAddress& destination, uint8_t type, uint8_t code, const Bytes& body,
                       uint8_t hop_limit = 64) {
  Bytes icmp{type, code, 0, 0};
  icmp.insert(icmp.end(), body.begin(), body.end());
  return IpFrame(to, source, destination, source.is_v6() ? kProtocolIcmpv6 : kProtocolIcmp, icmp, 2,
                 0, hop_limit);
}

inline Bytes ArpFrame(const hal::MacAddress& to, uint16_t operation,
                      const hal::MacAddress& sender_mac, const IpAddress& sender,
                      const IpAddress& target) {
  Bytes b = Ethernet(to, kEtherArp, sender_mac);
  const Bytes fixed{0, 1, 8, 0, 6, 4, 0, static_cast<uint8_t>(operation)};
  b.insert(b.end(), fixed.begin(), fixed.end());
  b.insert(b.end(), sender_mac.begin(), sender_mac.end());
  b.insert(b.end(), sender.bytes.begin(), sender.bytes.begin() + 4);
  b.insert(b.end(), 6, 0);
  b.insert(b.end(), target.bytes.begin(), target.bytes.begin() + 4);
  return b;
}

}  // namespace gh::net::test
