// Overload control (RFC 7339 and RFC 7415 in kind): which part of what is new is refused, so that
// the processor stays as busy as it may be and what was begun is finished.
//
// In: how busy the processor was, each kOverloadPeriod. Out: whether one more new request is taken.
// What is steered is how many are taken in a period: it follows wanted over measured occupancy (the
// "OCC" controller of RFC 6357 section 5), half of the way at a time and by no more than a step,
// which grows while the way stays the same and is halved where it turns: a processor that is cut
// off from without knows no more than "idle" and "no time left". The share of new requests that
// gives so many follows from how many the share before gave, whatever their senders weigh and
// repeat. A few are always taken: a burst of other work must not silence a quiet system.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "hal/rt/time.h"

namespace gh::sip {

inline constexpr Duration kOverloadPeriod = Duration::Milliseconds(100);
inline constexpr uint32_t kOverloadAlwaysPerPeriod = 5;  // new requests that are taken anyway
inline constexpr uint32_t kOverloadToldPerPeriod = 3;    // refusals that are told in full

class OverloadControl {
 public:
  // A period is over, in which the processor was busy for `occupancy` of 1000.
  void OnPeriod(uint32_t occupancy, uint32_t target);
  // Whether a new request is taken: of senders that count `weight` times beside others, `boost`
  // times as readily. Refusals are spread evenly.
  bool Admits(uint32_t weight = 1, uint32_t boost = 1) {
    weights_ += weight;
    ++asked_;
    if (share_ == kWhole || always_left_ != 0) {
      always_left_ -= always_left_ != 0 ? 1 : 0;
      ++taken_;
      return true;
    }
    credit_ += static_cast<uint32_t>(
        std::min<uint64_t>(uint64_t{share_} * weight * boost * kMeanUnit / mean_weight_, kWhole));
    if (credit_ < kWhole) {
      return false;
    }
    credit_ -= kWhole;
    ++taken_;
    return true;
  }
  // For what was taken, in eighths of a refusal.
  void AllowRefusals(uint32_t eighths) {
    refusal_eighths_ = std::min(refusal_eighths_ + eighths, kRefusalEighthsMax);
  }
  // Whether the sender of one more refused datagram is told.
  bool TakesRefusal() {
    const bool takes = refusal_eighths_ >= 8;
    refusal_eighths_ -= takes ? 8 : 0;
    return takes;
  }
  // The same at the door, where it costs less: so many in a period as there were taken in the best
  // of late, some times. By those that are taken now they would be the fewer the more need them.
  bool TakesAnswer() {
    const bool takes = answers_left_ != 0;
    answers_left_ -= takes ? 1 : 0;
    return takes;
  }
  // Refusals of a period that are worth all their words, to the log and the call's ladder.
  bool TakesTelling() {
    told_left_ -= told_left_ != 0 ? 1 : 0;
    return told_left_ != 0;
  }
  bool has_telling() const { return told_left_ > 1; }
  bool is_active() const { return share_ < kWhole; }
  uint32_t share() const { return share_ / (kWhole / 1000); }  // of 1000 new requests
  uint32_t occupancy() const { return occupancy_; }            // of 1000, over some periods
  // What senders are asked to hold back, as RFC 7415's "oc" says it.
  uint32_t loss_percent() const { return (kWhole - share_) / (kWhole / 100); }

 private:
  static constexpr uint32_t kWhole = 100'000;
  static constexpr uint32_t kMeanUnit = 16;
  static constexpr uint32_t kRefusalEighthsMax = 512;
  static constexpr uint32_t kAnswersPerTaken = 3;
  static constexpr uint32_t kTakenMostDecay = 256;  // a period takes this part of it away

  int64_t ChangeFor(uint32_t occupancy, uint32_t target);

  uint32_t share_ = kWhole;
  uint32_t mean_weight_ = kMeanUnit;  // of those that asked, in sixteenths
  uint32_t asked_ = 0;                // in this period
  uint32_t weights_ = 0;
  uint32_t taken_ = 0;
  int64_t wanted_ = 0;  // in a period, in thousandths; 0: not known
  int64_t step_ = 0;    // of 1000
  bool was_up_ = false;
  uint32_t occupancy_ = 0;
  uint32_t credit_ = 0;
  uint32_t always_left_ = kOverloadAlwaysPerPeriod;
  uint32_t told_left_ = 0;
  uint32_t refusal_eighths_ = kRefusalEighthsMax;
  uint32_t taken_most_ = 0;  // in a period, of late; in 256ths
  uint32_t answers_left_ = 0;
};

}  // namespace gh::sip
