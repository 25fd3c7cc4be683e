// What the appliance does about crashes: adds the last events and trace points to a record being
// made, and takes a record that the previous run left from the board to the log partition, to the
// console, the log (and so syslog) and the alarm, which stays until somebody acknowledges it.
//
// Trace points, room kAppliance (hal/rt/trace.h): 1 the loop turns (turns so far; at most one every
// kTurnTracePeriod), 2 settings are applied (bits of groups), 3 housekeeping, 4 work that was put
// off begins (a password check), 5 the machine ends (Ending).
#pragma once

#include <cstdint>
#include <string_view>

#include "firmware/admin/commands.h"
#include "firmware/alarm/alarms.h"
#include "firmware/log/crash_store.h"
#include "firmware/log/log.h"
#include "hal/machine.h"
#include "hal/rt/bytes.h"
#include "hal/rt/crash_record.h"
#include "hal/rt/trace.h"

namespace gh {

enum class ApplianceTrace : uint16_t {
  kTurn = 1,
  kSettings = 2,
  kHousekeeping = 3,
  kDeferred = 4,
  kEnding = 5,
};

class Crashes final : public hal::CrashWitness {
 public:
  Crashes(hal::Machine& machine, log::Log& log, alarm::Alarms& alarms);
  ~Crashes();
  Crashes(const Crashes&) = delete;
  Crashes& operator=(const Crashes&) = delete;

  // Before the seal. Text for the console, empty when the previous run did not crash; good until
  // the next call of any function here.
  std::string_view TakeOver();
  void AddTo(admin::CommandTable& commands);
  bool NextStatus(uint64_t& cursor, ByteWriter& out);

  // The index-th record as text and its number; empty when there is none (or it cannot be read).
  // Good until the next call of any function here.
  std::string_view TextAt(uint32_t index, uint64_t& number);

  void Trace(ApplianceTrace point, uint64_t first = 0, uint64_t second = 0);
  void TraceTurn(Instant now);
  void Describe(CrashRecord& record) override;

 private:
  static constexpr Duration kTurnTracePeriod = Duration::Milliseconds(500);

  Result<uint64_t> Keep(std::span<const uint8_t> encoded);
  void Report(uint64_t number);
  void UpdateAlarm();
  Result<void> Load(uint64_t number);  // into record_
  Result<void> Show(std::string_view value);
  Result<void> Acknowledge(bool remove, std::string_view by, ByteWriter& out);
  bool NextLineOfList(uint64_t& cursor, ByteWriter& out);
  bool NextLineOfText(uint64_t& cursor, ByteWriter& out);
  void FormatLine(uint64_t number, ByteWriter& out);

  hal::Machine& machine_;
  log::Log& log_;
  alarm::Alarms& alarms_;
  TraceRing trace_;
  Instant turn_traced_;
  uint64_t turn_count_ = 0;
  log::CrashStore* store_ = nullptr;
  const char* store_fault_ = "";  // why there is none
  bool kept_by_board_ = false;    // a record that could not be stored
  CrashRecord record_;
  std::span<uint8_t> text_;  // of the record being shown
  std::string_view shown_;
};

}  // namespace gh
