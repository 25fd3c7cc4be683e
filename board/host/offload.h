// What Linux leaves to the "hardware": unfinished checksums and oversized segments.
//
// Packets that a local sender hands over by veth or TAP carry only the pseudo-header sum, and TCP
// may arrive as one packet of up to 64 KiB. The appliance sees neither: received checksums are
// completed, oversized packets are cut into what a wire would have carried. Lengths and offsets
// come from the kernel but are checked as if they did not.
#pragma once

#include <cstdint>
#include <span>

#include "hal/frame.h"

namespace gh::board {

// The kernel's virtio_net_hdr; <linux/virtio_net.h> is not C++.
struct VirtioNetHeader {
  uint8_t flags = 0;
  uint8_t gso_type = 0;
  uint16_t hdr_len = 0;
  uint16_t gso_size = 0;
  uint16_t csum_start = 0;
  uint16_t csum_offset = 0;
};
static_assert(sizeof(VirtioNetHeader) == 10);
inline constexpr uint8_t kVirtioNeedsChecksum = 1;
inline constexpr uint8_t kVirtioDataValid = 2;
inline constexpr uint8_t kVirtioGsoNone = 0;
inline constexpr uint8_t kVirtioGsoTcp4 = 1;
inline constexpr uint8_t kVirtioGsoTcp6 = 4;
inline constexpr uint8_t kVirtioGsoUdp = 5;
inline constexpr uint8_t kVirtioGsoEcn = 0x80;

// Ones' complement sum of `bytes` (big endian words), not inverted, folded to 16 bits.
uint16_t ChecksumSum(std::span<const uint8_t> bytes, uint32_t initial = 0);

// Applies a received header to a frame: completes a partial checksum in place and marks the frame
// kFrameChecksumGood when it is vouched for. False: the header does not fit the frame; drop it.
bool AcceptReceived(hal::Frame& frame, const VirtioNetHeader& header);

// The header to send `frame` with (kFrameChecksumPartial or nothing).
VirtioNetHeader HeaderFor(const hal::Frame& frame);

// Cuts `packet` into frames of header.gso_size payload bytes each, linked by Frame::next, checksums
// filled. Null when it cannot be (unknown kind, odd lengths, pool empty): nothing is kept then.
hal::Frame* CutSegments(std::span<const uint8_t> packet, const VirtioNetHeader& header,
                        hal::FramePool& pool);

}  // namespace gh::board
