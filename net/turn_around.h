// A packet goes back to its sender, in the frame in which it came and by its MAC, whatever the
// routes say. Only for packets without IP options or extension headers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>

#include "net/checksum.h"
#include "net/packet.h"

namespace gh::net {

inline constexpr uint8_t kTurnedHopLimit = 64;

inline uint32_t HeaderSize(const PacketView& view) { return view.is_v6 ? 40 : 20; }

inline std::span<const uint8_t> AddressesOf(const uint8_t* frame, const PacketView& view) {
  return view.is_v6 ? std::span(frame + view.l3 + 8, 32) : std::span(frame + view.l3 + 12, 8);
}

// Sender and receiver change places, in Ethernet's header and IP's; `size` bytes follow it.
inline void TurnAround(uint8_t* bytes, const PacketView& view, uint8_t protocol, uint32_t size) {
  std::swap_ranges(bytes, bytes + 6, bytes + 6);
  uint8_t* ip = bytes + view.l3;
  if (view.is_v6) {
    std::swap_ranges(ip + 8, ip + 24, ip + 24);
    StoreBe16(ip + 4, static_cast<uint16_t>(size));
    ip[6] = protocol;
    ip[7] = kTurnedHopLimit;
    return;
  }
  std::swap_ranges(ip + 12, ip + 16, ip + 16);
  StoreBe16(ip + 2, static_cast<uint16_t>(20 + size));
  StoreBe16(ip + 6, 0);
  ip[8] = kTurnedHopLimit;
  ip[9] = protocol;
  StoreBe16(ip + 10, 0);
  const auto sum = static_cast<uint16_t>(~ChecksumSum({ip, 20}));
  std::memcpy(ip + 10, &sum, 2);
}

}  // namespace gh::net
