// What remains of a run that ended badly: a crash record (hal/rt/crash_record.h) in a file, written
// from the panic handler or a signal handler, found at the next start.
//
// The writer uses nothing but its own static buffers and async-signal-safe calls. It writes twice:
// before it asks the firmware for its last events, and after, so that a second failure in there
// costs those alone. The reader treats the file as hostile: what does not decode is no record.
#pragma once

#include <cstdint>
#include <span>

#include "hal/boot_control.h"

namespace gh::board {

inline constexpr int kExitWatchdog = 71;
inline constexpr int kExitRestart = 42;

// Directs records to `fd` (-1: stderr only), takes over panics and the fatal signals, and prepares
// the signal stack. Before the seal: the first backtrace loads libgcc.
void InstallCrashHandlers(int fd);

// Runs before the process ends in any of these ways, e.g. to restore the terminal.
// On a thread other than the one that installed the handlers, first thing.
void UseThreadCrashStack();
void SetCrashCleanup(void (*cleanup)());

// Who adds the last events to a record; null: nobody.
void SetCrashWitness(hal::CrashWitness* witness);

// Writes a record with `reason` and ends the process with `exit_code`. For the watchdog, from its
// signal handler; `context` is its ucontext.
[[noreturn]] void EndWithRecord(const char* reason, void* context, int exit_code);

struct PreviousCrash {
  std::span<const uint8_t> record;  // encoded; empty: none
  hal::ResetCause cause = hal::ResetCause::kPowerOn;
};
// Reads and checks the record in `fd` into `buffer`.
PreviousCrash ReadCrashRecord(int fd, std::span<uint8_t> buffer);
void ClearCrashRecord(int fd);

}  // namespace gh::board
