// A received Ethernet frame, taken apart: pure functions over bytes, nothing trusted.
//
// Every offset lies within the frame and within the IP packet's own length; trailing padding is
// outside. Only the facts steering and the firewall need are read.
#pragma once

#include <cstdint>
#include <span>

#include "hal/rt/result.h"
#include "net/address.h"

namespace gh::net {

inline constexpr uint16_t kEtherIpv4 = 0x0800;
inline constexpr uint16_t kEtherArp = 0x0806;
inline constexpr uint16_t kEtherIpv6 = 0x86dd;
inline constexpr uint32_t kEtherHeaderSize = 14;

inline constexpr uint8_t kProtocolIcmp = 1;
inline constexpr uint8_t kProtocolTcp = 6;
inline constexpr uint8_t kProtocolUdp = 17;
inline constexpr uint8_t kProtocolFragment = 44;
inline constexpr uint8_t kProtocolIcmpv6 = 58;

enum TcpFlags : uint8_t {
  kTcpFin = 0x01,
  kTcpSyn = 0x02,
  kTcpRst = 0x04,
  kTcpPush = 0x08,
  kTcpAck = 0x10,
};

struct PacketView {
  uint16_t ether_type = 0;
  uint8_t protocol = 0;  // transport, behind any extension headers
  uint8_t hop_limit = 0;
  bool is_v6 = false;
  bool is_fragment = false;
  uint16_t l3 = kEtherHeaderSize;  // offset of the IP header
  uint16_t l4 = 0;                 // offset of the transport header
  uint16_t l4_size = 0;            // transport header and payload, without padding
  uint16_t source_port = 0;        // TCP and UDP, unless a fragment
  uint16_t destination_port = 0;
  uint8_t tcp_flags = 0;
  uint8_t tcp_header_size = 0;
  uint8_t icmp_type = 0;
  uint8_t icmp_code = 0;

  std::span<const uint8_t> source_bytes(const uint8_t* frame) const {
    return is_v6 ? std::span(frame + l3 + 8, 16) : std::span(frame + l3 + 12, 4);
  }
  std::span<const uint8_t> destination_bytes(const uint8_t* frame) const {
    return is_v6 ? std::span(frame + l3 + 24, 16) : std::span(frame + l3 + 16, 4);
  }
  IpAddress Source(const uint8_t* frame) const;
  IpAddress Destination(const uint8_t* frame) const;
};

// kMalformed: not a packet; kUnsupported: well formed as far as read, but nothing we speak.
Result<void> ParsePacket(std::span<const uint8_t> frame, PacketView& view);

// The same from an IP header on, as ICMP errors quote it; the packet may be cut short behind the
// transport's ports.
Result<void> ParseQuotedPacket(std::span<const uint8_t> packet, bool is_v6, PacketView& view);

inline uint16_t LoadBe16(const uint8_t* p) { return static_cast<uint16_t>(p[0] << 8 | p[1]); }
inline uint32_t LoadBe32(const uint8_t* p) {
  return static_cast<uint32_t>(p[0]) << 24 | static_cast<uint32_t>(p[1]) << 16 |
         static_cast<uint32_t>(p[2]) << 8 | p[3];
}
inline void StoreBe16(uint8_t* p, uint16_t v) {
  p[0] = static_cast<uint8_t>(v >> 8);
  p[1] = static_cast<uint8_t>(v);
}
inline void StoreBe32(uint8_t* p, uint32_t v) {
  StoreBe16(p, static_cast<uint16_t>(v >> 16));
  StoreBe16(p + 2, static_cast<uint16_t>(v));
}

}  // namespace gh::net
