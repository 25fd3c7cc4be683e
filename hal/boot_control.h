// What the machine knows about this boot, and how to end it. Slots, confirm and revert join here
// with the boot chain.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "hal/rt/result.h"
#include "hal/rt/time.h"

namespace gh::hal {

enum class ResetCause : uint8_t { kPowerOn, kRestart, kWatchdog, kPanic, kUnknown };

// What the loader measured and chose; all zero on boards without a loader.
struct BootReport {
  char slot = '-';             // 'a', 'b', 'g'olden, '-' none
  bool is_development = true;  // signed by a development key
  uint64_t security_version = 0;
  char version[32] = {};  // from the manifest, for comparison with the built-in version
  char key_id[17] = {};   // hex, of the first valid signature
  Duration loader_time;   // loader entry to jump
  Instant loader_entry;   // on this machine's Clock; boot time is counted from here
  ResetCause cause = ResetCause::kUnknown;
};

class BootControl {
 public:
  virtual const BootReport& report() const = 0;
  [[noreturn]] virtual void Restart() = 0;
  [[noreturn]] virtual void PowerOff() = 0;
  // First-boot provisioning text found by the board (fw_cfg, volume GATEHOUSE, --provision), empty
  // when there is none. `source` names it for the console.
  virtual std::string_view provision_text() const = 0;
  virtual const char* provision_source() const = 0;
  // How this machine's services are reached from outside it, one a line, when whoever started it
  // said so (fw_cfg opt/gatehouse/reach); shown at the end of the boot report.
  virtual std::string_view reach_text() const { return {}; }
  // The crash record of the previous run, empty when there is none; Clear after it was reported.
  virtual std::string_view crash_record() const = 0;
  virtual void ClearCrashRecord() = 0;

 protected:
  ~BootControl() = default;
};

}  // namespace gh::hal
