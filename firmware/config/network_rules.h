// Rules between network settings, and those of the management interface.
#pragma once

#include "firmware/config/settings.h"
#include "hal/rt/result.h"

namespace gh::config {

// An error names in `expected` what is wrong first.
Result<void> CheckNetwork(const Settings& settings, Message& expected);

}  // namespace gh::config
