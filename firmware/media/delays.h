// How long relayed packets took, from the begin of the turn that read them to the end of the one
// that sent them: counts by powers of two, so that a percentile is known to within a factor of two.
// One writer, whoever runs the fast path; any may read.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

#include "firmware/media/limits.h"
#include "hal/rt/counter.h"

namespace gh::media {

class Delays {
 public:
  void Count(Duration delay, uint64_t packets) {
    const auto us = static_cast<uint64_t>(std::max<int64_t>(delay.ns, 0)) / 1000;
    const auto index = static_cast<uint32_t>(std::bit_width(us / 2));
    buckets_[std::min(index, kDelayBucketMax - 1)] += packets;
  }
  // Packets that took less than BoundUs(index), and not less than the one before; the last: more.
  uint64_t bucket(uint32_t index) const { return buckets_[index]; }
  static constexpr uint32_t BoundUs(uint32_t index) { return 2u << index; }
  uint64_t total() const {
    uint64_t sum = 0;
    for (const Counter& count : buckets_) {
      sum += count;
    }
    return sum;
  }
  // So many percent took less than this; beyond the last bound: twice that. 0: none was counted.
  uint32_t PercentileUs(uint32_t percent) const {
    const uint64_t wanted = total() * percent / 100;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < kDelayBucketMax; ++i) {
      sum += buckets_[i];
      if (sum > 0 && sum >= wanted) {
        return BoundUs(i);
      }
    }
    return 0;
  }

 private:
  std::array<Counter, kDelayBucketMax> buckets_ = {};
};

}  // namespace gh::media
