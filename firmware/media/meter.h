// Meters: what has passed, and what may, bytes a second with a burst of one second. Meters form a
// chain (an allocation's, its user's, all), and a packet passes when each of them lets it.
//
// Both planes may pass packets by one meter at a time: each counts in numbers of its own, and a
// limit is one word, the time up to which what passed has used the rate up (the generic cell rate
// algorithm), taken by compare and swap. Nothing waits.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "hal/rt/counter.h"
#include "hal/rt/time.h"

namespace gh::media {

// Who passes a packet.
enum class Side : uint8_t { kControl, kMedia };
inline constexpr uint32_t kSideCount = 2;

class Meter {
 public:
  Meter* parent = nullptr;  // set before the first packet

  void SetLimit(uint64_t bytes_per_s) {
    bytes_per_s_.store(bytes_per_s, std::memory_order_relaxed);
    used_until_.store(0, std::memory_order_relaxed);
  }

  bool Take(Instant now, uint32_t size, Side side = Side::kControl) {
    for (Meter* m = this; m != nullptr; m = m->parent) {
      if (!m->Reserve(now, size)) {
        for (Meter* done = this; done != m; done = done->parent) {
          done->GiveBack(size);
        }
        ++CountsOf(side).dropped;
        return false;
      }
    }
    for (Meter* m = this; m != nullptr; m = m->parent) {
      ++m->CountsOf(side).packets;
      m->CountsOf(side).bytes += size;
    }
    return true;
  }

  uint64_t packets() const { return counts_[0].packets + counts_[1].packets; }
  uint64_t bytes() const { return counts_[0].bytes + counts_[1].bytes; }
  uint64_t dropped() const { return counts_[0].dropped + counts_[1].dropped; }

 private:
  static constexpr int64_t kBurstNs = 1'000'000'000;
  struct Counts {
    Counter packets;
    Counter bytes;
    Counter dropped;
  };

  Counts& CountsOf(Side side) { return counts_[static_cast<uint8_t>(side)]; }
  static int64_t CostNs(uint32_t size, uint64_t rate) {
    return static_cast<int64_t>(uint64_t{size} * 1'000'000'000 / rate);
  }
  bool Reserve(Instant now, uint32_t size) {
    const uint64_t rate = bytes_per_s_.load(std::memory_order_relaxed);
    if (rate == 0) {
      return true;
    }
    const int64_t cost = CostNs(size, rate);
    int64_t seen = used_until_.load(std::memory_order_relaxed);
    int64_t next = 0;
    do {
      next = (seen > now.ns ? seen : now.ns) + cost;
      if (next - now.ns > kBurstNs) {
        return false;
      }
    } while (!used_until_.compare_exchange_weak(seen, next, std::memory_order_relaxed));
    return true;
  }
  void GiveBack(uint32_t size) {
    if (const uint64_t rate = bytes_per_s_.load(std::memory_order_relaxed); rate != 0) {
      used_until_.fetch_sub(CostNs(size, rate), std::memory_order_relaxed);
    }
  }

  std::array<Counts, kSideCount> counts_ = {};
  std::atomic<uint64_t> bytes_per_s_ = 0;  // 0: no limit
  std::atomic<int64_t> used_until_ = 0;
};

}  // namespace gh::media
