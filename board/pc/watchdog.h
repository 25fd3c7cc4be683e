// Intel 6300ESB watchdog (QEMU's i6300esb): two timers in a row, then a reset of the machine.
//
// Arm() also sets the loop's own limit, a little shorter: a hang is then caught with interrupts on,
// and leaves a crash record; the hardware is there for the hangs that this cannot catch.
#pragma once

#include <cstdint>

#include "board/pc/idle.h"
#include "board/pc/pci.h"
#include "hal/watchdog.h"

namespace gh::pc {

class PcWatchdog final : public hal::Watchdog {
 public:
  explicit PcWatchdog(PcIdle& idle) : idle_(idle) {}
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

  PcIdle& idle_;
  const Pci* pci_ = nullptr;
  PciAddress address_;
  Mmio registers_;
  bool fired_before_ = false;
};

}  // namespace gh::pc
