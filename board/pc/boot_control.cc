#include "board/pc/boot_control.h"

#include <algorithm>
#include <cstring>

#include "board/pc/power.h"
#include "hal/rt/bytes.h"

namespace gh::pc {
static_assert(hal::kTrustedKeyMax == boot::kHandoverKeyMax);
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
  report_.secure_boot = (handover.flags & boot::kHandoverSecureBoot) != 0 ? hal::SecureBoot::kOn
                                                                          : hal::SecureBoot::kOff;
  report_.is_measured = (handover.flags & boot::kHandoverMeasured) != 0;
  static_assert(hal::kPcrReportMax == boot::kHandoverPcrMax);
  report_.pcr_count = std::min(handover.pcr_count, hal::kPcrReportMax);
  for (uint32_t i = 0; i < report_.pcr_count; ++i) {
    report_.pcrs[i].index = handover.pcrs[i].index;
    std::ranges::copy(handover.pcrs[i].sha256, report_.pcrs[i].sha256.begin());
  }
  report_.loader_entry = clock_.AtTsc(handover.tsc_entry);
  report_.loader_time = clock_.AtTsc(handover.tsc_jump) - report_.loader_entry;
  report_.loader_version = handover.loader_version;
  LoadChoice(handover);
  report_.root_signature_count_min = std::max<uint32_t>(handover.root_signature_count_min, 1);
  report_.trusted_key_count = std::min(handover.trusted_key_count, hal::kTrustedKeyMax);
  for (uint32_t i = 0; i < report_.trusted_key_count; ++i) {
    const boot::HandoverKey& row = handover.trusted_keys[i];
    std::memcpy(report_.trusted_keys[i].key, row.key, sizeof(row.key));
    report_.trusted_keys[i].role = row.role;
    report_.trusted_keys[i].is_development = row.is_development != 0;
  }
  report_.cause = watchdog_fired ? hal::ResetCause::kWatchdog : previous.cause;
  crash_ = watchdog_fired ? RecordSilentReset() : previous.crash;
}

void PcBootControl::LoadChoice(const boot::Handover& handover) {
  using hal::StartReason;
  static constexpr StartReason kReasons[] = {StartReason::kConfirmed, StartReason::kTrial,
                                             StartReason::kFallback, StartReason::kGolden,
                                             StartReason::kOperator};
  const auto reason = static_cast<size_t>(handover.start_reason);
  report_.start_reason = reason < std::size(kReasons) ? kReasons[reason] : StartReason::kUnknown;
  report_.tries_left = handover.tries_left;
  report_.reset_done = handover.reset_done;
  report_.security_floor =
      std::max(handover.record_security_version, handover.counter_security_version);
  ByteWriter failed({reinterpret_cast<uint8_t*>(report_.failed), sizeof(report_.failed) - 1});
  const uint32_t count = std::min(handover.failure_count, boot::kSlotFailureMax);
  for (const boot::SlotFailure& failure : std::span(handover.failures).first(count)) {
    failed.Text(failed.size() == 0 ? "slot " : "; slot ");
    failed.Char(failure.slot);
    failed.Text(": ");
    failed.Text({failure.text, strnlen(failure.text, sizeof(failure.text))});
  }
}

void PcBootControl::SetProvision(std::string_view text, const char* source) {
  provision_ = text;
  provision_source_ = source;
}

// What the console still holds is worth a moment; a reset would drop it.
void PcBootControl::DrainConsole() {
  const Instant end = clock_.Now() + Duration::Milliseconds(500);
  while (!console_uart.drained() && clock_.Now() < end) {
    console_uart.Poll();
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
