// What the process may still do once it runs: no capabilities, no new privileges, and only the
// system calls the devices of this board make. Anything else ends in a crash record that names it.
#pragma once

#include "hal/rt/result.h"

namespace gh::board {

// Drops every capability of the calling thread; each thread does it for itself.
void DropCapabilities();

// Drops the caller's capabilities and installs the filter for all threads.
Result<void> EnterSandbox();

}  // namespace gh::board
