// What happens when we are wrong: a crash record to the console and to RAM that survives the reset,
// then the reset. Also keeps why the machine was reset.
//
// The persistent area is outside the image, named by the loader. Its content is whatever the memory
// held: everything in it is under a checksum, and a text is only believed within it.
#pragma once

#include <cstdint>
#include <span>

#include "board/pc/interrupts.h"
#include "boot/handover.h"
#include "hal/boot_control.h"
#include "hal/clock.h"

namespace gh::pc {

// Installs the panic handler. Output works at once, the persistent area when it was given.
void InitialiseCrash(uint64_t persistent_start, uint64_t persistent_size);

// For the time in the record.
// There are two processors: a crash of one stops the other.
void SetOtherProcessors(uint32_t boot_apic_id, uint32_t media_apic_id);
void SetCrashClock(hal::Clock& clock);
// For the last events and trace points in it; null: none.
void SetCrashWitness(hal::CrashWitness* witness);

// Reads what the previous run left and marks this run as running. The watchdog knows better than
// RAM whether it fired: its driver says so with `watchdog_fired`.
struct PreviousRun {
  hal::ResetCause cause = hal::ResetCause::kUnknown;
  std::span<const uint8_t> crash;  // the record, encoded; empty if none; stays valid
};
PreviousRun TakePreviousRun();
void ClearCrash();
// The hardware's watchdog reset the machine and the interrupted run left no record (interrupts were
// off, or it lost control altogether): makes one that says so.
std::span<const uint8_t> RecordSilentReset();
// Before a wanted restart, so that the next boot can tell it from a crash.
void MarkRestart();

[[noreturn]] void CrashOnTrap(const TrapFrame& frame);
// From the timer interrupt: the watchdog has not been petted for most of its time; `frame` is where
// the loop was.
[[noreturn]] void CrashOnHang(const TrapFrame& frame);
// From the loop itself: it turns, but does not pet the watchdog.
[[noreturn]] void CrashOnNeglect();

}  // namespace gh::pc
