// What outlives a restart of the appliance: the descriptors of interfaces, disks, console and crash
// record, opened once with whatever privileges that takes, and the supervisor that holds them.
//
// The supervisor is the machine's reset line: it runs the appliance in a child and starts it again
// when it asks for a restart, panics or is ended by its watchdog; it gives up when panics repeat.
#pragma once

#include <span>
#include <string_view>

#include "board/host/console.h"
#include "board/host/options.h"
#include "board/host/token_module.h"
#include "hal/boot_control.h"

namespace gh::board {

struct Hardware {
  int port_fds[hal::kEthernetPortMax] = {-1, -1, -1};
  int store_fd = -1;
  int log_fd = -1;
  int crash_fd = -1;
  int token_listener = -1;
  ModuleDescriptors token_module;
  ConsoleDescriptors console;
  char provision[kProvisionBytesMax];
  size_t provision_size = 0;
};

// Opens everything the options name; on failure says on stderr what and why.
Result<void> OpenHardware(const Options& options, Hardware& hardware);

// Calls `run` in a child, again and again; returns the exit code for the whole process.
using RunAppliance = int (*)(const Options& options, Hardware& hardware, hal::ResetCause cause);
int Supervise(const Options& options, Hardware& hardware, RunAppliance run);

// What a child's wait status means for the machine.
enum class Outcome : uint8_t { kEnded, kRestart, kCrashed };
struct ChildEnd {
  Outcome outcome = Outcome::kEnded;
  hal::ResetCause cause = hal::ResetCause::kPowerOn;
  int exit_code = 0;
};
ChildEnd Interpret(int wait_status);

}  // namespace gh::board
