// What stands in front of a relayed payload: Ethernet, IP and UDP headers, and the UDP checksum.
// Pure: a frame and where it goes come in, the frame goes out ready to be sent.
#pragma once

#include <span>

#include "hal/frame.h"
#include "net/address.h"
#include "net/steering.h"

namespace gh::media {

inline constexpr uint32_t kUdpHeaderSize = 8;
inline constexpr uint32_t kChannelHeaderSize = 4;

struct HeaderFields {
  uint8_t traffic_class = 0;
  bool dont_fragment = false;
  uint16_t ip_id = 0;  // IPv4, when it may be fragmented
};

// In front of what the frame holds; the UDP checksum is zero.
void WriteHeaders(const net::NextHop& hop, const net::Endpoint& from, const net::Endpoint& to,
                  const HeaderFields& fields, hal::Frame& frame);
// In full, or left to the device.
void FillChecksum(const net::NextHop& hop, hal::Frame& frame, bool is_v6);
// Source and destination, as they follow one another in an IP header.
std::span<const uint8_t> AddressesOf(const uint8_t* ip, bool is_v6);

}  // namespace gh::media
