// What this boot was, the reset button, and the ways to end it.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "board/pc/clock.h"
#include "board/pc/crash.h"
#include "board/pc/fw_cfg.h"
#include "board/pc/uart.h"
#include "boot/handover.h"
#include "hal/boot_control.h"
#include "hal/reset_button.h"

namespace gh::pc {

class PcBootControl final : public hal::BootControl, public hal::ResetButton {
 public:
  explicit PcBootControl(PcClock& clock) : clock_(clock) {}
  PcBootControl(const PcBootControl&) = delete;
  PcBootControl& operator=(const PcBootControl&) = delete;

  void Load(const boot::Handover& handover, const PreviousRun& previous, bool watchdog_fired);
  // The text must stay where it is.
  void SetProvision(std::string_view text, const char* source);
  void SetReach(std::string_view text) { reach_ = text; }
  void SetResetButton(bool held) { button_held_ = held; }

  const hal::BootReport& report() const override { return report_; }
  [[noreturn]] void Restart() override;
  [[noreturn]] void PowerOff() override;
  std::string_view provision_text() const override { return provision_; }
  const char* provision_source() const override { return provision_source_; }
  std::string_view reach_text() const override { return reach_; }
  std::span<const uint8_t> crash_record() const override { return crash_; }
  void ClearCrashRecord() override;
  void SetCrashWitness(hal::CrashWitness* witness) override { pc::SetCrashWitness(witness); }
  bool held_at_power_on() const override { return button_held_; }

 private:
  void LoadChoice(const boot::Handover& handover);
  void DrainConsole();

  PcClock& clock_;
  hal::BootReport report_;
  std::string_view provision_;
  const char* provision_source_ = "";
  std::string_view reach_;
  std::span<const uint8_t> crash_;
  bool button_held_ = false;
};

const char* ResetCauseName(hal::ResetCause cause);

}  // namespace gh::pc
