#include "firmware/hsm/module.h"

#include <algorithm>

namespace gh::hsm {

void Module::Configure(const ModuleConfig& config, bool mode_on) {
  const bool should_run = config.is_set && mode_on;
  const bool is_same = is_on_ && should_run && config.link == config_.link &&
                       config.provider == config_.provider &&
                       config.token.serial == config_.token.serial.view() &&
                       config.token.pin == config_.token.pin.view();
  config_ = config;
  if (is_same) {
    return;  // a name or a priority: nothing is opened anew for it
  }
  token_.Disable();
  is_on_ = should_run;
  is_tripped_ = false;
  failures_in_row_ = 0;
  handles_ = {};
  link_.Set(config.link);
  provider_.Set(config.provider);
  if (is_on_) {
    token_.Configure(config.token);
  }
}

bool Module::Poll(Instant now) {
  now_ = now;
  const bool more = token_.Poll(now);
  if (!is_ready()) {
    return more;
  }
  if (token_.opened_count() != opened_seen_) {
    opened_seen_ = token_.opened_count();
    ++counters_.opened;
    next_check_ = now + kCheckPeriod;
    is_tripped_ = false;
    failures_in_row_ = 0;
    handles_ = {};
    next_key_ = 0;
  }
  LookForKeys(now);
  if (now >= next_check_ && now >= rest_until_ && !check_.is_pending) {
    check_.work = p11::TokenWork::kCheck;
    check_.deadline = now + kCheckWait;
    next_check_ = now + kCheckPeriod;
    if (!token_.Start(check_, now)) {
      Note(false, check_.error, now);
    }
  }
  return more;
}

void Module::SetKeyLabels(std::span<const FixedString<p11::kLabelMax>> labels) {
  for (uint32_t i = 0; i < kKeysMax; ++i) {
    if (!(labels[i] == labels_[i])) {
      handles_[i] = 0;
      labels_[i] = labels[i];
    }
  }
  next_key_ = 0;
}

void Module::LookForKeys(Instant now) {
  while (next_key_ < kKeysMax && !find_.is_pending) {
    if (labels_[next_key_].empty() || handles_[next_key_] != 0) {
      ++next_key_;
      continue;
    }
    find_.work = p11::TokenWork::kFindPrivate;
    find_.label = labels_[next_key_];
    find_.deadline = now + kCheckWait;
    if (!token_.Start(find_, now)) {
      return;  // at the next turn
    }
  }
}

void Module::OnTokenDone(p11::TokenRequest& request) {
  if (&request == &check_) {
    Note(request.ok, request.error, now_);
    if (request.ok) {
      is_tripped_ = false;
    }
    return;
  }
  // The labels may have changed while this one was looked for.
  if (next_key_ < kKeysMax && request.label == labels_[next_key_].view()) {
    handles_[next_key_] = request.ok ? request.handle : 0;
    if (request.ok || request.error.code != ErrorCode::kTimeout) {
      ++next_key_;
    }
  }
}

// What the token refuses for reasons of its own (a mechanism, a label) is not a failing module.
void Module::Note(bool ok, const Error& error, Instant now) {
  if (ok) {
    failures_in_row_ = 0;
    return;
  }
  const bool counts = error.code == ErrorCode::kTimeout || error.code == ErrorCode::kIoError ||
                      error.code == ErrorCode::kMalformed || error.code == ErrorCode::kUnauthentic;
  if (!counts) {
    return;
  }
  ++counters_.failures;
  if (++failures_in_row_ >= kBreakerFailures || is_tripped_) {
    counters_.breaker_trips += is_tripped_ ? 0 : 1;
    is_tripped_ = true;
    rest_until_ = now + kBreakerRest;
  }
}

}  // namespace gh::hsm
