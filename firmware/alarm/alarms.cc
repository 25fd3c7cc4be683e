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
  ++state.raise_count;
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

}  // namespace gh::alarm
