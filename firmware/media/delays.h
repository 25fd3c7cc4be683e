// How long relayed packets took: from their arrival, by the kernel's stamp where there is one
// (hal::Frame::received) and else from the begin of the turn that read them, to the end of the turn
// that sent them. Counts by 16 steps to each doubling, so that a percentile is known to within 6 %
// from 1 us on (and 63 ns below). One writer, whoever runs the fast path; any may read.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

#include "firmware/media/limits.h"
#include "hal/rt/counter.h"
#include "hal/rt/time.h"

namespace gh::media {

class Delays {
 public:
  void Count(Duration delay, uint64_t packets) { buckets_[IndexOf(delay)] += packets; }
  static constexpr uint32_t IndexOf(Duration delay) {
    const auto ns = static_cast<uint64_t>(std::max<int64_t>(delay.ns, 0));
    const uint64_t steps = std::min<uint64_t>(ns, kBeyondNs) * kDelaySteps / 1000;
    const auto width = static_cast<uint32_t>(std::bit_width(steps));
    const uint32_t shift = width > kFirstWidth ? width - kFirstWidth : 0;
    return std::min(static_cast<uint32_t>(shift * kDelaySteps + (steps >> shift)),
                    kDelayBucketMax - 1);
  }
  // Packets that took less than BoundNs(index), and not less than the one before; the last: more.
  uint64_t bucket(uint32_t index) const { return buckets_[index]; }
  static constexpr uint64_t BoundNs(uint32_t index) {
    const uint64_t next = index + 1;
    const uint64_t shift = next < 2 * kDelaySteps ? 0 : next / kDelaySteps - 1;
    const uint64_t steps = (next - shift * kDelaySteps) << shift;
    return (steps * 1000 + kDelaySteps - 1) / kDelaySteps;
  }
  uint64_t total() const {
    uint64_t sum = 0;
    for (const Counter& count : buckets_) {
      sum += count;
    }
    return sum;
  }
  // So many of a thousand took less than this; beyond the last bound: that one. 0: none was.
  uint64_t PermilleNs(uint32_t permille) const {
    const uint64_t wanted = total() * permille / 1000;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < kDelayBucketMax; ++i) {
      sum += buckets_[i];
      if (sum > 0 && sum >= wanted) {
        return BoundNs(std::min(i, kDelayBucketMax - 2));
      }
    }
    return 0;
  }

 private:
  static constexpr uint32_t kFirstWidth = std::bit_width(kDelaySteps);  // shown step by step
  static constexpr uint64_t kBeyondNs = uint64_t{4} << 30;

  std::array<Counter, kDelayBucketMax> buckets_ = {};
};

}  // namespace gh::media
