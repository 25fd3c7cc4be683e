// Ethernet frames in pinned memory.
//
// A Frame is a descriptor and a fixed buffer of kFrameBufferSize bytes from one FramePool that all
// ports of a machine share, so that a frame received on one port can be rewritten in place and sent
// on another without a copy. Whoever holds a Frame* owns it: it is transmitted or released, once.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "hal/rt/arena.h"
#include "hal/rt/assert.h"
#include "hal/rt/time.h"

namespace gh::hal {

inline constexpr uint32_t kFrameBufferSize = 2048;
// Room in front of the received Ethernet header: driver headers (virtio-net: 12) and encapsulation.
inline constexpr uint32_t kFrameHeadroom = 128;
inline constexpr uint32_t kFrameBatchMax = 64;

enum FrameFlags : uint16_t {
  kFrameChecksumGood = 1 << 0,     // rx: device verified the L4 checksum
  kFrameChecksumPartial = 1 << 1,  // tx: device fills L4 checksum (checksum_start/_offset are set)
};

struct Frame {
  uint8_t* buffer = nullptr;     // kFrameBufferSize bytes, never changes
  uint16_t start = 0;            // first byte of the Ethernet header within the buffer
  uint16_t size = 0;             // bytes from `start`, without FCS
  uint16_t flags = 0;            // FrameFlags
  uint16_t checksum_start = 0;   // relative to `start`
  uint16_t checksum_offset = 0;  // relative to checksum_start
  uint8_t port_index = 0;        // rx: which port it came from
  bool is_free = true;           // pool bookkeeping: catches double release
  uint32_t index = 0;            // position in the pool, never changes
  Instant received;              // rx: when it reached the machine; 0: nobody has noted it
  Frame* next = nullptr;         // for the current owner's queues

  uint8_t* data() { return buffer + start; }
  const uint8_t* data() const { return buffer + start; }
  std::span<uint8_t> bytes() { return {buffer + start, size}; }
  std::span<const uint8_t> bytes() const { return {buffer + start, size}; }
  uint32_t tailroom() const { return kFrameBufferSize - start - size; }
  // Grows or shrinks at the front; Prepend must fit the headroom.
  uint8_t* Prepend(uint16_t count) {
    GH_ASSERT_GE(start, count);
    start = static_cast<uint16_t>(start - count);
    size = static_cast<uint16_t>(size + count);
    return data();
  }
  void TrimFront(uint16_t count) {
    GH_ASSERT_GE(size, count);
    start = static_cast<uint16_t>(start + count);
    size = static_cast<uint16_t>(size - count);
  }
};

// Frames of one machine. Allocation is a pop, release a push (LIFO keeps buffers in cache). A pool
// is one processor's. A second processor has a pool of its own with a share of the frames: either
// takes back whatever frame of the machine it is given, and TakeSurplus() is what a pool owes the
// other one.
class FramePool {
 public:
  FramePool(Arena& arena, uint32_t frame_count);
  // `share` of the free frames of `other`, which keeps the rest.
  FramePool(FramePool& other, uint32_t share);
  FramePool(const FramePool&) = delete;
  FramePool& operator=(const FramePool&) = delete;

  Frame* Allocate();  // null when empty; start = kFrameHeadroom, size = 0, flags = 0
  void Release(Frame* frame);

  // Frames beyond this pool's share, at most `out.size()`; to be released to the other pool. None
  // unless `slack` more than the share are free.
  uint32_t TakeSurplus(std::span<Frame*> out, uint32_t slack);

  uint32_t frame_count() const { return share_; }
  uint32_t machine_count() const { return frame_count_; }  // of all pools
  uint32_t free_count() const { return free_count_ < share_ ? free_count_ : share_; }
  uint32_t held_count() const { return free_count_; }  // free ones, the other pool's included
  uint32_t free_count_min() const { return free_count_min_; }

 private:
  Frame* frames_ = nullptr;
  Frame* free_list_ = nullptr;
  uint32_t frame_count_ = 0;  // of the machine
  uint32_t share_ = 0;        // this pool's
  uint32_t free_count_ = 0;
  uint32_t free_count_min_ = 0;
};

}  // namespace gh::hal
