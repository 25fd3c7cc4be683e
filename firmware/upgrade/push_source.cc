#include "firmware/upgrade/push_source.h"

namespace gh::upgrade {

Result<void> PushSource::Open(std::string_view name, uint64_t announced, Instant now) {
  if (is_mine() && upgrade_.active()) {
    return Error(ErrorCode::kWrongState, "an upgrade is on its way already");
  }
  GH_TRY(intake_.MayUpgrade());
  GH_TRY(intake_.BeginUpgrade(name, announced, now));
  run_ = last_ = upgrade_.run();
  return Ok();
}

Result<size_t> PushSource::Write(std::span<const uint8_t> bytes, Instant now) {
  if (!is_mine()) {
    return Error(ErrorCode::kWrongState, "the upgrade has ended");
  }
  const size_t taken = upgrade_.Offer(bytes, now);
  if (upgrade_.phase() == Phase::kFailed) {
    run_ = 0;
    return outcome().error();
  }
  return taken;
}

PushSource::End PushSource::Close(Instant now) {
  if (!is_mine()) {
    return End::kFailed;
  }
  upgrade_.End(now);
  if (upgrade_.active()) {
    return End::kPending;
  }
  run_ = 0;
  return upgrade_.phase() == Phase::kInstalled ? End::kInstalled : End::kFailed;
}

void PushSource::Abort(const char* why, Instant now) {
  if (is_mine()) {
    upgrade_.Cancel(why, now);
  }
  run_ = 0;
}

Result<void> PushSource::outcome() const {
  if (upgrade_.run() != last_) {
    return Error(ErrorCode::kWrongState, "the upgrade has ended");
  }
  if (upgrade_.phase() == Phase::kInstalled) {
    return Ok();
  }
  return Error(ErrorCode::kRefused, upgrade_.reason());
}

}  // namespace gh::upgrade
