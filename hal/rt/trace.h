// TraceRing: the last few things that happened, at a few nanoseconds each, for the crash record.
//
// A trace point is a time, an id and two values; no text, no formatting, no filter. The ring is
// written by one core; the panic path reads it on the same core, wherever it was interrupted: a
// point is complete before it is counted.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <span>

#include "hal/rt/arena.h"
#include "hal/rt/limits.h"
#include "hal/rt/time.h"

namespace gh {

// High 16 bits: the room; low 16 bits: its own numbering. Stable, as they appear in crash records.
enum class TraceRoom : uint16_t {
  kRuntime = 1,
  kBoard = 2,
  kNet = 3,
  kCrypto = 4,
  kSip = 5,
  kStore = 6,
  kAdmin = 7,
  kAppliance = 8,
};
constexpr uint32_t TraceId(TraceRoom room, uint16_t point) {
  return static_cast<uint32_t>(room) << 16 | point;
}

struct TracePoint {
  int64_t time_ns = 0;
  uint32_t id = 0;
  uint64_t first = 0;
  uint64_t second = 0;
  friend bool operator==(const TracePoint&, const TracePoint&) = default;
};

class TraceRing {
 public:
  // `capacity` is a power of two.
  TraceRing(Arena& arena, uint32_t capacity) : points_(arena.NewArray<TracePoint>(capacity)) {
    GH_ASSERT(std::has_single_bit(capacity));
    GH_ASSERT_LE(capacity, kRingCapacityMax);
  }
  TraceRing(const TraceRing&) = delete;
  TraceRing& operator=(const TraceRing&) = delete;

  void Add(Instant time, uint32_t id, uint64_t first = 0, uint64_t second = 0) {
    points_[count_ & (points_.size() - 1)] = {time.ns, id, first, second};
    std::atomic_signal_fence(std::memory_order_release);
    ++count_;
  }
  // The latest points, oldest first, as many as `out` holds; returns how many.
  uint32_t Latest(std::span<TracePoint> out) const {
    const uint64_t kept = std::min<uint64_t>(count_, points_.size());
    const uint64_t count = std::min<uint64_t>(kept, out.size());
    for (uint64_t i = 0; i < count; ++i) {
      out[i] = points_[(count_ - count + i) & (points_.size() - 1)];
    }
    return static_cast<uint32_t>(count);
  }
  uint64_t count() const { return count_; }  // points ever added
  uint32_t capacity() const { return static_cast<uint32_t>(points_.size()); }

 private:
  std::span<TracePoint> points_;
  uint64_t count_ = 0;
};

}  // namespace gh
