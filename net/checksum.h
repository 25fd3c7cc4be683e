// The Internet checksum (RFC 1071) over memory, 32 bytes a step.
#pragma once

#include <cstdint>
#include <span>

#include "hal/frame.h"
#include "net/packet.h"

namespace gh::net {

// One's complement sum of 16-bit words in memory order (not inverted, not swapped).
uint16_t ChecksumSum(std::span<const uint8_t> bytes, uint32_t start = 0);
// Sum of the pseudo header of TCP, UDP or ICMPv6; `address_bytes` is source then destination.
uint16_t PseudoHeaderSum(std::span<const uint8_t> address_bytes, uint8_t protocol, uint32_t size);

// Of a whole UDP datagram that ParsePacket has taken apart, and of its IPv4 header.
bool UdpChecksumIsGood(const hal::Frame& frame, const PacketView& view);

inline uint32_t FoldSum(uint32_t sum) {
  sum = (sum & 0xffff) + (sum >> 16);
  return (sum & 0xffff) + (sum >> 16);
}

}  // namespace gh::net
