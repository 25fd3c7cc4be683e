#include "firmware/sip/overload.h"

namespace gh::sip {
namespace {

constexpr uint32_t kTakenMin = 10;     // fewer in a period say nothing
constexpr uint32_t kNoTimeLeft = 980;  // of 1000
constexpr int64_t kStepMin = 20;
constexpr int64_t kStepMax = 100;
constexpr int64_t kShareDivisor = 1000;  // of all, at least

}  // namespace

// How many more or fewer are wanted, of 1000.
int64_t OverloadControl::ChangeFor(uint32_t occupancy, uint32_t target) {
  // Half of the way: what was let in is work for some periods more.
  const bool has_no_time = occupancy >= kNoTimeLeft;
  const uint32_t seen = has_no_time ? 1000 : std::max(occupancy_, 1u);
  const int64_t change = (int64_t{target} * 1000 / seen - 1000) / (has_no_time ? 1 : 2);
  const bool is_up = change > 0;
  step_ = is_up == was_up_ ? step_ * 4 / 3 + 1 : step_ / 2;
  step_ = std::clamp(step_, kStepMin, kStepMax);
  was_up_ = is_up;
  return 1000 + std::clamp(change, -step_, step_);
}

void OverloadControl::OnPeriod(uint32_t occupancy, uint32_t target) {
  always_left_ = kOverloadAlwaysPerPeriod;
  told_left_ = kOverloadToldPerPeriod + 1;
  occupancy_ = (occupancy_ + std::min(occupancy, 1000u)) / 2;
  if (asked_ >= kTakenMin) {
    mean_weight_ = std::max((mean_weight_ + weights_ * kMeanUnit / asked_) / 2, 1u);
  }
  weights_ = asked_ = 0;
  const uint32_t taken = std::exchange(taken_, 0);
  taken_most_ = std::max(taken_most_ - taken_most_ / kTakenMostDecay, taken * 256);
  answers_left_ = taken_most_ / 256 * kAnswersPerTaken;
  if (target >= 1000) {
    share_ = kWhole;
    return;
  }
  const int64_t change = ChangeFor(occupancy, target);
  const bool tells = is_active() && taken >= kTakenMin;
  if (!tells) {
    wanted_ = 0;  // nothing was held back, or too few came
  } else {
    wanted_ = (wanted_ == 0 ? int64_t{taken} * 1000 : wanted_) * change / 1000;
  }
  const int64_t share = tells ? share_ * wanted_ / (int64_t{taken} * 1000) : share_ * change / 1000;
  const int64_t stepped = std::clamp<int64_t>(share, share_ / 2, share_ + share_ / 4 + 1);
  share_ =
      static_cast<uint32_t>(std::clamp<int64_t>(stepped, kWhole / kShareDivisor, int64_t{kWhole}));
}

}  // namespace gh::sip
