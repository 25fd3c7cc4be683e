// Intel 6300ESB watchdog (QEMU's i6300esb): two timers in a row, then a reset of the machine.
//
// Arm() also sets the loop's own limit, a little shorter: a hang is then caught with interrupts on,
// and leaves a crash record; the hardware is there for the hangs that this cannot catch. To write
// its registers takes a virtual machine's host longer than many a turn of the loop takes: not each
// Pet() does.
#pragma once

#include <cstdint>

#include "board/pc/clock.h"
#include "board/pc/idle.h"
#include "board/pc/pci.h"
#include "hal/watchdog.h"

namespace gh::pc {

class PcWatchdog final : public hal::Watchdog {
 public:
  PcWatchdog(PcIdle& idle, PcClock& clock) : idle_(idle), clock_(clock) {}
  PcWatchdog(const PcWatchdog&) = delete;
  PcWatchdog& operator=(const PcWatchdog&) = delete;

  // Looks for the device and stops it if it runs.
  void Initialise(PageTables& pages, const Pci& pci);
  // It was this watchdog that reset the machine.
  bool fired_before() const { return fired_before_; }

  bool present() const override { return pci_ != nullptr; }
  void Arm(Duration timeout) override;
  void Pet() override;
  void Disarm() override;
  const char* name() const override { return present() ? "i6300esb" : "none"; }

 private:
  void Unlock() const;
  void Reload();

  PcIdle& idle_;
  PcClock& clock_;
  Duration reload_interval_;
  Instant reloaded_;
  const Pci* pci_ = nullptr;
  PciAddress address_;
  Mmio registers_;
  bool fired_before_ = false;
};

}  // namespace gh::pc
