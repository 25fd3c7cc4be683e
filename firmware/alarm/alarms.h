// Alarms: conditions that last until somebody or something mends them. Each has a stable number
// (declared in firmware/log/events.proto), and is raised and lowered with an event.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/log/log.h"
#include "hal/clock.h"
#include "hal/rt/bytes.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/result.h"

namespace gh::alarm {

inline constexpr uint32_t kDetailMax = 120;

struct AlarmState {
  bool raised = false;
  uint32_t raise_count = 0;
  Instant first_raised;  // of the present or last time
  Instant last_raised;
  WallTime raised_wall;
  FixedString<kDetailMax> detail;
  bool acknowledged = false;  // somebody knows; until it is lowered
  FixedString<32> acknowledged_by;
};

// What outlives a restart: since when an alarm is raised and whether somebody knows. The alarm
// itself is raised anew by whoever finds the condition again.
struct AlarmMemory {
  WallTime raised_wall;
  uint32_t raise_count = 0;
  bool acknowledged = false;
  FixedString<32> acknowledged_by;
};
inline constexpr size_t kAlarmMemoryMax = 64;  // encoded
void EncodeAlarm(const AlarmState& state, ByteWriter& out);
Result<AlarmMemory> DecodeAlarm(std::span<const uint8_t> bytes);

class Alarms {
 public:
  Alarms(log::Log& log, hal::Clock& clock) : log_(log), clock_(clock) {}
  Alarms(const Alarms&) = delete;
  Alarms& operator=(const Alarms&) = delete;

  // Raising a raised alarm renews its detail and time, without another event.
  void Raise(log::AlarmId id, std::string_view detail);
  void Lower(log::AlarmId id);
  void Set(log::AlarmId id, bool raised, std::string_view detail) {
    raised ? Raise(id, detail) : Lower(id);
  }
  bool IsRaised(log::AlarmId id) const { return states_[IndexOf(id)].raised; }
  uint32_t raised_count() const;
  // kNotFound: no alarm of that number is raised.
  Result<void> Acknowledge(uint32_t number, std::string_view by);
  // Of the run before: taken over when the alarm is raised again.
  void Remember(uint32_t number, const AlarmMemory& memory);
  // Counts every change that ought to be kept.
  uint64_t change_count() const { return change_count_; }
  // By index into log::kAlarms.
  const AlarmState& state(uint32_t index) const { return states_[index]; }

 private:
  static uint32_t IndexOf(log::AlarmId id);

  log::Log& log_;
  hal::Clock& clock_;
  std::array<AlarmState, log::kAlarmCount> states_ = {};
  std::array<AlarmMemory, log::kAlarmCount> memories_ = {};  // raise_count 0: none
  uint64_t change_count_ = 0;
};

}  // namespace gh::alarm
