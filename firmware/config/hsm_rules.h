// Rules between the settings of the hardware security module.
#pragma once

#include "firmware/config/settings.h"
#include "hal/rt/result.h"

namespace gh::config {

// R-HSM-16, R-HSM-24: the mode is On only with a module. An error names in `expected` what is
// wrong first.
Result<void> CheckHsm(const Settings& settings, Message& expected);

}  // namespace gh::config
