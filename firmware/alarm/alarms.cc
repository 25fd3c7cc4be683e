#include "firmware/alarm/alarms.h"

namespace gh::alarm {

uint32_t Alarms::IndexOf(log::AlarmId id) {
  for (uint32_t i = 0; i < log::kAlarmCount; ++i) {
    if (log::kAlarms[i].id == static_cast<uint32_t>(id)) {
      return i;
    }
  }
  GH_UNREACHABLE();
}

void Alarms::Raise(log::AlarmId id, std::string_view detail) {
  const uint32_t index = IndexOf(id);
  AlarmState& state = states_[index];
  state.last_raised = clock_.Now();
  state.detail.Assign(detail);
  if (state.raised) {
    return;
  }
  state.raised = true;
  state.first_raised = state.last_raised;
  state.raised_wall = clock_.Wall();
  state.acknowledged = false;
  state.acknowledged_by.Clear();
  AlarmMemory& memory = memories_[index];
  if (memory.raise_count > 0 && state.raise_count == 0) {  // raised when the last run ended
    state.raised_wall = memory.raised_wall;
    state.acknowledged = memory.acknowledged;
    state.acknowledged_by.Assign(memory.acknowledged_by.view());
    state.raise_count = memory.raise_count - 1;
  }
  memory = {};
  ++state.raise_count;
  ++change_count_;
  const log::AlarmInfo& info = log::kAlarms[index];
  log_.Emit(log::event::AlarmRaised{.alarm = info.id,
                                    .title = info.title,
                                    .level = log::SeverityName(info.level),
                                    .detail = detail});
}

void Alarms::Lower(log::AlarmId id) {
  const uint32_t index = IndexOf(id);
  if (!states_[index].raised) {
    return;
  }
  states_[index].raised = false;
  states_[index].acknowledged = false;
  ++change_count_;
  const log::AlarmInfo& info = log::kAlarms[index];
  log_.Emit(log::event::AlarmLowered{.alarm = info.id, .title = info.title});
}

uint32_t Alarms::raised_count() const {
  uint32_t count = 0;
  for (const AlarmState& state : states_) {
    count += state.raised ? 1 : 0;
  }
  return count;
}

Result<void> Alarms::Acknowledge(uint32_t number, std::string_view by) {
  for (uint32_t i = 0; i < log::kAlarmCount; ++i) {
    AlarmState& state = states_[i];
    if (log::kAlarms[i].id != number || !state.raised) {
      continue;
    }
    state.acknowledged = true;
    state.acknowledged_by.Assign(by);
    ++change_count_;
    log_.Emit(
        log::event::AlarmAcknowledged{.alarm = number, .title = log::kAlarms[i].title, .by = by});
    return Ok();
  }
  return Error(ErrorCode::kNotFound, "no alarm of that number is raised");
}

void Alarms::Remember(uint32_t number, const AlarmMemory& memory) {
  for (uint32_t i = 0; i < log::kAlarmCount; ++i) {
    if (log::kAlarms[i].id != number) {
      continue;
    }
    if (states_[i].raised) {  // already, in this start
      states_[i].raised_wall = memory.raised_wall;
      states_[i].acknowledged = memory.acknowledged;
      states_[i].acknowledged_by.Assign(memory.acknowledged_by.view());
    } else {
      memories_[i] = memory;
    }
  }
}

void EncodeAlarm(const AlarmState& state, ByteWriter& out) {
  out.U8(1);
  out.U64Le(static_cast<uint64_t>(state.raised_wall.unix_ns));
  out.U8(static_cast<uint8_t>((state.raised_wall.is_set ? 1 : 0) | (state.acknowledged ? 2 : 0)));
  out.U32Le(state.raise_count);
  out.Text(state.acknowledged_by.view());
  GH_ASSERT(out.ok());
}

Result<AlarmMemory> DecodeAlarm(std::span<const uint8_t> bytes) {
  ByteReader in(bytes);
  AlarmMemory memory;
  const uint8_t version = in.U8();
  memory.raised_wall.unix_ns = static_cast<int64_t>(in.U64Le());
  const uint8_t flags = in.U8();
  memory.raised_wall.is_set = (flags & 1) != 0;
  memory.acknowledged = (flags & 2) != 0;
  memory.raise_count = in.U32Le();
  if (!in.ok() || version != 1 || flags > 3 || memory.raise_count == 0 ||
      !memory.acknowledged_by.Assign(AsText(in.Take(in.remaining())))) {
    return Error(ErrorCode::kCorrupt, "not an alarm's row");
  }
  return memory;
}

}  // namespace gh::alarm
