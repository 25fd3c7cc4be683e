// A watchdog without a thread: an interval timer's signal looks at the last Pet().
#pragma once

#include "hal/watchdog.h"

namespace gh::board {

// When the appliance stops turning, the handler writes a crash record with the place it hangs and
// ends the process with kExitWatchdog; the supervisor starts it again. One a process (the timer
// is).
class HostWatchdog final : public hal::Watchdog {
 public:
  explicit HostWatchdog(bool present) : present_(present) {}
  bool present() const override { return present_; }
  void Arm(Duration timeout) override;
  void Pet() override;
  void Disarm() override;
  const char* name() const override { return present_ ? "sigalrm" : "none"; }

 private:
  bool present_;
};

}  // namespace gh::board
