// The machine's clocks. Now() is cheap (a TSC read or vDSO call) and never goes back.
#pragma once

#include "hal/rt/time.h"

namespace gh::hal {

class Clock {
 public:
  virtual Instant Now() = 0;
  virtual WallTime Wall() = 0;
  // Steps the wall clock (SNTP, operator); boards with an RTC write it back. Never moves Now().
  virtual void SetWall(int64_t unix_ns) = 0;

 protected:
  ~Clock() = default;
};

}  // namespace gh::hal
