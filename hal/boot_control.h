// What the machine knows about this boot, and how to end it. Slots, confirm and revert join here
// with the boot chain.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "hal/rt/crash_record.h"
#include "hal/rt/result.h"
#include "hal/rt/time.h"

namespace gh::hal {

enum class ResetCause : uint8_t { kPowerOn, kRestart, kWatchdog, kPanic, kUnknown };

// Why the loader chose this slot.
enum class StartReason : uint8_t {
  kUnknown,    // no loader, or none that says
  kConfirmed,  // the newest confirmed slot
  kTrial,      // an update, not confirmed yet
  kFallback,   // a better choice failed
  kGolden,     // neither slot could be started
  kOperator,   // chosen by the operator, for this start only
};

// A key whose signature on an image, or on a list of keys, counts on this machine.
struct TrustedKey {
  uint8_t key[32] = {};
  uint32_t role = 0;  // as in image/manifest.proto
  bool is_development = false;
};
inline constexpr uint32_t kTrustedKeyMax = 16;

// Whether the machine's own firmware checked the loader's signature.
enum class SecureBoot : uint8_t { kUnknown, kOff, kOn };

// A register of the TPM as the loader left it, SHA-256 bank.
struct PcrReport {
  uint32_t index = 0;
  std::array<uint8_t, 32> sha256 = {};
};
inline constexpr uint32_t kPcrReportMax = 4;

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
  SecureBoot secure_boot = SecureBoot::kUnknown;
  bool is_measured = false;  // a TPM took the loader's measurements of manifest and payload
  uint32_t pcr_count = 0;
  std::array<PcrReport, kPcrReportMax> pcrs = {};
  StartReason start_reason = StartReason::kUnknown;
  uint8_t tries_left = 0;  // of a trial, after this start
  uint8_t reset_done = 0;  // 1: the loader completed a factory reset
  char failed[160] = {};   // what the loader could not start before this, and why; "" if nothing
  uint32_t loader_version = 0;
  uint64_t security_floor = 0;  // images of a lower security version are not started
  // The loader's, for checking an update the way the loader will.
  uint32_t root_signature_count_min = 1;  // root keys that must sign a key list
  uint32_t trusted_key_count = 0;
  std::array<TrustedKey, kTrustedKeyMax> trusted_keys = {};
};

// Adds what only the firmware knows to a crash record: the last events and trace points. Called
// from the panic path, wherever it struck: no allocation, no waiting, nothing that may be half
// made.
class CrashWitness {
 public:
  virtual void Describe(CrashRecord& record) = 0;

 protected:
  ~CrashWitness() = default;
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
  // The crash record of the previous run (hal/rt/crash_record.h, encoded), empty when there is
  // none. It stays, over restarts as well, until it was kept elsewhere and is cleared here.
  virtual std::span<const uint8_t> crash_record() const = 0;
  virtual void ClearCrashRecord() = 0;
  // Null: none. The witness outlives the machine or is taken away before.
  virtual void SetCrashWitness(CrashWitness* witness) = 0;

 protected:
  ~BootControl() = default;
};

}  // namespace gh::hal
