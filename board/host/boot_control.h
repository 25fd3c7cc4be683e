// How a run of the process began and how it may end.
#pragma once

#include <array>

#include "board/host/crash.h"
#include "board/host/limits.h"
#include "hal/boot_control.h"
#include "hal/reset_button.h"

namespace gh::board {

class HostBootControl final : public hal::BootControl {
 public:
  HostBootControl(Instant process_start, hal::ResetCause cause, int crash_fd);

  // Runs before the process ends by Restart or PowerOff: disks are drained, the terminal restored.
  void SetBeforeEnd(void (*before_end)(void* context), void* context) {
    before_end_ = before_end;
    before_end_context_ = context;
  }
  void SetProvisioning(std::string_view text, const char* source) {
    provision_text_ = text;
    provision_source_ = source;
  }

  const hal::BootReport& report() const override { return report_; }
  [[noreturn]] void Restart() override;
  [[noreturn]] void PowerOff() override;
  std::string_view provision_text() const override { return provision_text_; }
  const char* provision_source() const override { return provision_source_; }
  std::span<const uint8_t> crash_record() const override { return crash_; }
  void ClearCrashRecord() override;
  void SetCrashWitness(hal::CrashWitness* witness) override { board::SetCrashWitness(witness); }

 private:
  [[noreturn]] void End(int exit_code);

  hal::BootReport report_;
  int crash_fd_;
  std::array<uint8_t, kCrashRecordBytesMax> crash_buffer_ = {};
  std::span<const uint8_t> crash_;
  std::string_view provision_text_;
  const char* provision_source_ = "";
  void (*before_end_)(void* context) = nullptr;
  void* before_end_context_ = nullptr;
};

class HostResetButton final : public hal::ResetButton {
 public:
  explicit HostResetButton(bool held) : held_(held) {}
  bool held_at_power_on() const override { return held_; }

 private:
  bool held_;
};

}  // namespace gh::board
