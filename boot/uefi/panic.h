// Where a failed assertion of the loader ends.
#pragma once

#include <cstdint>

namespace gh::boot {

class Console;

// The console that panics are told on; null at first.
void SetPanicConsole(Console* console);
[[noreturn]] void StopOnPanic(const char* message, const char* file, uint32_t line);
// Stays here until the machine is reset or switched off; never back to the firmware.
[[noreturn]] void StopForGood();

}  // namespace gh::boot
