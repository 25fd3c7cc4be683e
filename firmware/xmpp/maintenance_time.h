// When maintenance ends what it let go on: once, so long after it began; never, if that is zero.
#pragma once

#include "hal/rt/time.h"

namespace gh::xmpp {

class MaintenanceTime {
 public:
  // To be asked again and again; true once.
  bool IsOver(bool is_on, Duration limit, Instant now) {
    if (!is_on || !was_on_) {
      since_ = now;
      is_done_ = false;
    }
    was_on_ = is_on;
    const bool is_over = is_on && limit > Duration() && now - since_ >= limit && !is_done_;
    is_done_ = is_done_ || is_over;
    return is_over;
  }

 private:
  Instant since_;
  bool was_on_ = false;
  bool is_done_ = false;
};

}  // namespace gh::xmpp
