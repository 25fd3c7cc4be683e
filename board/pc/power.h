// Reset and power-off: ACPI first, then what PCs have always had.
#pragma once

#include "board/pc/acpi.h"

namespace gh::pc {

// Keeps what the two calls below need; they work (less well) before it.
void SetPowerControl(const FadtInfo& fadt);
[[noreturn]] void ResetMachine();
[[noreturn]] void PowerOffMachine();

}  // namespace gh::pc
