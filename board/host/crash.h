// What remains of a run that ended badly: a text record in a file, written from the panic handler
// or a signal handler, shown at the next start.
//
// The writer uses nothing but its own static buffer and async-signal-safe calls. The reader treats
// the file as hostile: bounded, printable characters only, ignored without its last line (a record
// cut short by a second failure).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "hal/boot_control.h"

namespace gh::board {

inline constexpr int kExitWatchdog = 71;
inline constexpr int kExitRestart = 42;

// Directs records to `fd` (-1: stderr only), takes over panics and the fatal signals, and prepares
// the signal stack. Before the seal: the first backtrace loads libgcc.
void InstallCrashHandlers(int fd);

// Runs before the process ends in any of these ways, e.g. to restore the terminal.
void SetCrashCleanup(void (*cleanup)());

// Writes a record with `reason` and ends the process with `exit_code`. For the watchdog, from its
// signal handler; `context` is its ucontext.
[[noreturn]] void EndWithRecord(const char* reason, void* context, int exit_code);

struct PreviousCrash {
  std::string_view text;  // empty: none
  hal::ResetCause cause = hal::ResetCause::kPowerOn;
};
// Reads and checks the record in `fd` into `buffer`.
PreviousCrash ReadCrashRecord(int fd, std::span<char> buffer);
void ClearCrashRecord(int fd);

}  // namespace gh::board
