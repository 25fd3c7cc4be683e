// How busy the control plane's processor is: all of its time but what it sleeps, in thousandths of
// a period. What the board does between two turns without a sleep is work, too.
#pragma once

#include <cstdint>
#include <optional>

#include "hal/rt/time.h"

namespace gh {

class Occupancy {
 public:
  // A turn went from `start` to `end`; the next is wanted at `next`. Something: a period is over.
  std::optional<uint32_t> OnTurn(Instant start, Instant end, Instant next, Duration period) {
    busy_ = busy_ + (end - (sleeps_ ? start : turn_end_));
    sleeps_ = next > end;
    turn_end_ = end;
    const Duration passed = end - period_begin_;
    if (passed < period) {
      return {};
    }
    const auto permille = static_cast<uint32_t>(busy_.ns * 1000 / passed.ns);
    busy_ = {};
    period_begin_ = end;
    return permille;
  }

 private:
  Duration busy_;  // since `period_begin_`
  Instant period_begin_;
  Instant turn_end_;
  bool sleeps_ = true;
};

}  // namespace gh
