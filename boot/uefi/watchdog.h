// Arms the machine's watchdog (Intel 6300ESB, QEMU's i6300esb) before the jump, so that a firmware
// that hangs before it arms its own comes back. UEFI's own watchdog ends with boot services.
//
// The flag that says "it was the watchdog" is left for the firmware to read.
#pragma once

#include <cstdint>

namespace gh::boot {

// False: there is none on bus 0.
bool ArmWatchdog(uint32_t seconds);

}  // namespace gh::boot
