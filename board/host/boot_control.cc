#include "board/host/boot_control.h"

#include <unistd.h>

#include <cstring>

#include "board/host/text.h"
#include "version.h"

namespace gh::board {

HostBootControl::HostBootControl(Instant process_start, hal::ResetCause cause, int crash_fd)
    : crash_fd_(crash_fd) {
  const PreviousCrash previous = ReadCrashRecord(crash_fd, crash_buffer_);
  crash_ = previous.record;
  report_.loader_entry = process_start;
  // Unsupervised, or the first run after a crash: the record knows what the parent does not.
  const bool parent_knows = cause != hal::ResetCause::kPowerOn || previous.record.empty();
  report_.cause = parent_knows ? cause : previous.cause;
  CopyText(report_.version, kVersion);
}

void HostBootControl::ClearCrashRecord() {
  board::ClearCrashRecord(crash_fd_);
  crash_ = {};
}

void HostBootControl::Restart() { End(kExitRestart); }

void HostBootControl::PowerOff() { End(0); }

void HostBootControl::End(int exit_code) {
  if (before_end_ != nullptr) {
    before_end_(before_end_context_);
  }
  _exit(exit_code);
}

}  // namespace gh::board
