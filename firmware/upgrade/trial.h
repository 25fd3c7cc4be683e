// The health check after a start, and the verdict on an image on trial.
//
// Healthy without a break for kHealthySpan: the image is confirmed, or, with manual confirmation,
// waits for the operator. Not confirmed within the time set: it is given up and the machine goes
// back. An image confirmed long ago is confirmed anew at each start and never given up here: the
// loader counts starts that were not healthy. Pure.
#pragma once

#include <cstdint>

#include "firmware/upgrade/limits.h"
#include "hal/rt/time.h"

namespace gh::upgrade {

struct Health {
  bool storage = false;  // the store can be written
  bool network = false;  // a configured port has a link and an address
  bool engines = false;  // what is configured to listen does
  bool good() const { return storage && network && engines; }
  // "the store cannot be written"; "" when all is well.
  const char* complaint() const {
    return !storage   ? "the store cannot be written"
           : !network ? "no configured network port has a link and an address"
           : !engines ? "an engine does not listen"
                      : "";
  }
};

enum class Verdict : uint8_t { kWait, kConfirm, kGiveUp };

class Trial {
 public:
  void Start(bool on_trial, Instant now) {
    on_trial_ = on_trial;
    started_ = now;
    open_ = true;
  }
  // By the operator's word: confirmed whatever the health check says.
  void Close() { open_ = false; }
  bool open() const { return open_; }
  bool on_trial() const { return open_ && on_trial_; }
  const Health& health() const { return health_; }
  Duration time_left(Duration limit, Instant now) const { return limit - (now - started_); }

  // kConfirm and kGiveUp come once.
  Verdict Judge(const Health& health, bool is_automatic, Duration limit, Instant now) {
    if (!open_) {
      return Verdict::kWait;
    }
    healthy_since_ = health.good() && health_.good() ? healthy_since_ : now;
    health_ = health;
    const bool may_confirm = is_automatic || !on_trial_;
    if (health.good() && may_confirm && now - healthy_since_ >= kHealthySpan) {
      open_ = false;
      return Verdict::kConfirm;
    }
    if (on_trial_ && now - started_ >= limit) {
      open_ = false;
      return Verdict::kGiveUp;
    }
    return Verdict::kWait;
  }

 private:
  bool open_ = false;
  bool on_trial_ = false;
  Instant started_;
  Instant healthy_since_;
  Health health_;
};

}  // namespace gh::upgrade
