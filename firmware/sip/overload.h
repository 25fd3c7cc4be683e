// Overload control (RFC 7339 and RFC 7415 in kind): which part of what is new is refused, so that
// the processor stays as busy as it may be and what was begun is finished.
//
// In: how busy the processor was, each kOverloadPeriod. Out: whether one more new request is taken.
// The share that is taken follows measured over wanted occupancy (the "OCC" controller of RFC 6357
// section 5) half of the way at a time, and grows by a tenth per period at most. A few new requests
// per second are always taken: a burst of other work must not silence a quiet system.
#pragma once

#include <algorithm>
#include <cstdint>

#include "hal/rt/time.h"

namespace gh::sip {

inline constexpr Duration kOverloadPeriod = Duration::Milliseconds(100);
inline constexpr uint32_t kOverloadAlwaysPerPeriod = 5;  // new requests that are taken anyway
inline constexpr uint32_t kOverloadToldPerPeriod = 3;    // refusals that are told in full

class OverloadControl {
 public:
  // A period is over, in which the processor was busy for `occupancy` of 1000.
  void OnPeriod(uint32_t occupancy, uint32_t target) {
    always_left_ = kOverloadAlwaysPerPeriod;
    told_left_ = kOverloadToldPerPeriod + 1;
    occupancy_ = (occupancy_ + std::min(occupancy, 1000u)) / 2;
    if (target >= 1000) {
      share_ = 1000;
      return;
    }
    // Half of the way: what was let in is work for some periods more.
    const int64_t wanted = int64_t{share_} * target / std::max(occupancy_, 1u);
    const int64_t step = std::min((wanted - share_) / 2, int64_t{share_ / 10 + 1});
    share_ = static_cast<uint32_t>(std::clamp<int64_t>(share_ + step, kShareMin, 1000));
  }
  // Whether a new request is taken, of those that count `weight` times. Refusals are spread evenly.
  bool Admits(uint32_t weight = 1) {
    if (share_ == 1000 || always_left_ != 0) {
      always_left_ -= always_left_ != 0 ? 1 : 0;
      return true;
    }
    credit_ += std::min(share_ * weight, 1000u);
    if (credit_ < 1000) {
      return false;
    }
    credit_ -= 1000;
    return true;
  }
  // Refusals of a period that are worth all their words, to the log and the call's ladder.
  bool TakesTelling() {
    told_left_ -= told_left_ != 0 ? 1 : 0;
    return told_left_ != 0;
  }
  bool is_active() const { return share_ < 1000; }
  uint32_t share() const { return share_; }          // of 1000 new requests
  uint32_t occupancy() const { return occupancy_; }  // of 1000, over some periods
  // What senders are asked to hold back, as RFC 7415's "oc" says it.
  uint32_t loss_percent() const { return (1000 - share_) / 10; }

 private:
  static constexpr uint32_t kShareMin = 10;

  uint32_t share_ = 1000;
  uint32_t occupancy_ = 0;
  uint32_t credit_ = 0;
  uint32_t always_left_ = kOverloadAlwaysPerPeriod;
  uint32_t told_left_ = 0;
};

}  // namespace gh::sip
