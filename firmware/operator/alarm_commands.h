// xCommand Alarm Acknowledge, and what is kept of alarms over a restart (Table::kAlarms).
#pragma once

#include <cstdint>
#include <string_view>

#include "firmware/admin/commands.h"
#include "firmware/alarm/alarms.h"
#include "firmware/log/log.h"
#include "firmware/store/store.h"

namespace gh {

class AlarmCommands {
 public:
  AlarmCommands(alarm::Alarms& alarms, log::Log& log) : alarms_(alarms), log_(log) {}
  void AddTo(admin::CommandTable& commands);
  // When the store is open.
  void Load(store::Store& store);
  // Now and then: writes what has changed.
  void Save(store::Store& store);

 private:
  Result<void> Acknowledge(std::string_view value, std::string_view by);

  alarm::Alarms& alarms_;
  log::Log& log_;
  uint64_t saved_ = 0;
};

}  // namespace gh
