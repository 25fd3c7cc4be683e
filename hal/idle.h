// How a machine waits when there is nothing to do.
#pragma once

#include "hal/rt/time.h"

namespace gh::hal {

class Idle {
 public:
  // Returns when `deadline` has passed or a device may have work, whichever is first; at once when
  // work is already pending. HLT, epoll or a simulated step. Must not lose a wake-up.
  virtual void WaitUntil(Instant deadline) = 0;

 protected:
  ~Idle() = default;
};

}  // namespace gh::hal
