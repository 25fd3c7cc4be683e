// What the loader asks QEMU's fw_cfg for: the reset button, and settings of tests and emulators.
#pragma once

#include <cstdint>

namespace gh::boot {

struct MachineSettings {
  bool is_reset_button_down = false;  // opt/gatehouse/reset-button: 1
  bool is_recovery_wanted = false;    // opt/gatehouse/recovery: 1
  uint32_t watchdog_seconds;          // opt/gatehouse/loader-watchdog; 0: none
};

// All defaults on a machine that is not QEMU.
MachineSettings ReadMachineSettings();

}  // namespace gh::boot
