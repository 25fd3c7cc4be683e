// Token buckets per source address for replies to senders who proved nothing: bounds what a spoofed
// source can be made to receive. A fixed direct-mapped table; sources that collide share a bucket,
// so nothing grows. Proving oneself gives the token back: phones that answer their challenge never
// run out.
#pragma once

#include <algorithm>
#include <span>

#include "firmware/sip/core.h"

namespace gh::sip {

class RateLimit {
 public:
  RateLimit(Core& core, Arena& arena) : core_(core), slots_(arena.NewArray<Slot>(kRateTableSize)) {}

  // Whether one more reply may go there.
  bool Take(const net::IpAddress& source) {
    const Config& config = core_.config;
    if (config.unproven_replies_per_s == 0) {
      return true;
    }
    Slot& slot = SlotOf(source);
    const int64_t now_ms = core_.now().ns / 1'000'000;
    if (!slot.used) {
      slot.milli_tokens = int64_t{config.unproven_replies_burst} * 1000;
      slot.filled_ms = now_ms;
      slot.used = true;
    }
    slot.milli_tokens =
        std::min(slot.milli_tokens + (now_ms - slot.filled_ms) * config.unproven_replies_per_s,
                 int64_t{config.unproven_replies_burst} * 1000);
    slot.filled_ms = now_ms;
    if (slot.milli_tokens < 1000) {
      ++core_.statistics.rate_limited;
      return false;
    }
    slot.milli_tokens -= 1000;
    return true;
  }
  // Counts a new request; how many there were in this second.
  uint32_t CountNew(const net::IpAddress& source) {
    Slot& slot = SlotOf(source);
    const auto second = static_cast<uint32_t>(core_.now().ns / 1'000'000'000);
    if (slot.new_second != second) {
      slot.is_again = slot.new_count != 0 && second - slot.new_second <= kAgainSeconds;
      slot.new_count = 0;
      slot.new_second = second;
    }
    return ++slot.new_count;
  }
  // Whether what was counted last was not the first for some time.
  bool IsAgain(const net::IpAddress& source) {
    const Slot& slot = SlotOf(source);
    return slot.is_again || slot.new_count > 1;
  }
  void GiveBack(const net::IpAddress& source) {
    Slot& slot = SlotOf(source);
    slot.milli_tokens += slot.used ? 1000 : 0;
  }

 private:
  static constexpr uint32_t kAgainSeconds = 5;  // what is repeated comes again within T2, 4 s

  struct Slot {
    int64_t filled_ms = 0;
    int64_t milli_tokens = 0;
    uint32_t new_second = 0;
    uint32_t new_count = 0;
    bool used = false;
    bool is_again = false;
  };
  Slot& SlotOf(const net::IpAddress& source) {
    // IPv6: one subscriber is a /64.
    const std::span<const uint8_t> key(source.bytes.data(), source.is_v6() ? 8 : 4);
    return slots_[core_.Hash(kHashSource).Add(key).Value() % kRateTableSize];
  }

  Core& core_;
  std::span<Slot> slots_;
};

}  // namespace gh::sip
