// A hardware watchdog. When it is not petted in time the machine resets and the loader counts it.
#pragma once

#include "hal/rt/time.h"

namespace gh::hal {

class Watchdog {
 public:
  virtual bool present() const = 0;
  virtual void Arm(Duration timeout) = 0;
  virtual void Pet() = 0;
  virtual void Disarm() = 0;
  virtual const char* name() const = 0;  // "i6300esb", "none", "sim"

 protected:
  ~Watchdog() = default;
};

}  // namespace gh::hal
