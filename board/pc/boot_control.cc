#include "board/pc/boot_control.h"

#include <algorithm>
#include <cstring>

#include "board/pc/power.h"

namespace gh::pc {
namespace {

// NUL-terminated text of a fixed field, whatever is in it.
template <size_t To, size_t From>
void CopyText(char (&to)[To], const char (&from)[From]) {
  const size_t size = strnlen(from, std::min(From, To - 1));
  std::memcpy(to, from, size);
  to[size] = '\0';
}

}  // namespace

const char* ResetCauseName(hal::ResetCause cause) {
  switch (cause) {
    case hal::ResetCause::kPowerOn:
      return "power-on";
    case hal::ResetCause::kRestart:
      return "restart";
    case hal::ResetCause::kWatchdog:
      return "watchdog";
    case hal::ResetCause::kPanic:
      return "crash";
    case hal::ResetCause::kUnknown:
      break;
  }
  return "unknown";
}

void PcBootControl::Load(const boot::Handover& handover, const PreviousRun& previous,
                         bool watchdog_fired) {
  report_.slot = handover.slot;
  report_.is_development = (handover.flags & boot::kHandoverDevelopment) != 0;
  report_.security_version = handover.security_version;
  CopyText(report_.version, handover.image_version);
  CopyText(report_.key_id, handover.key_id);
  report_.loader_entry = clock_.AtTsc(handover.tsc_entry);
  report_.loader_time = clock_.AtTsc(handover.tsc_jump) - report_.loader_entry;
  report_.cause = watchdog_fired ? hal::ResetCause::kWatchdog : previous.cause;
  crash_ = previous.crash;
}

void PcBootControl::SetProvision(std::string_view text, const char* source) {
  provision_ = text;
  provision_source_ = source;
}

// What the console still holds is worth a moment; a reset would drop it.
void PcBootControl::DrainConsole() {
  const Instant end = clock_.Now() + Duration::Milliseconds(500);
  while (!console_uart.drained() && clock_.Now() < end) {
  }
  console_uart.Detach();
}

void PcBootControl::Restart() {
  MarkRestart();
  DrainConsole();
  ResetMachine();
}

void PcBootControl::PowerOff() {
  MarkRestart();
  DrainConsole();
  PowerOffMachine();
}

void PcBootControl::ClearCrashRecord() {
  crash_ = {};
  ClearCrash();
}

}  // namespace gh::pc
