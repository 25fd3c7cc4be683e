#include "firmware/operator/alarm_commands.h"

#include <charconv>

namespace gh {
namespace {

using store::Table;

struct Key {
  uint8_t bytes[10];
  size_t size = 0;
  std::string_view view() const { return AsText(std::span(bytes).first(size)); }
};

Key KeyOf(uint32_t number) {
  Key key;
  ByteWriter out(key.bytes);
  out.Decimal(number);
  key.size = out.size();
  return key;
}

bool ReadNumber(std::string_view text, uint32_t& number) {
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  return parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
}

class Loader final : public store::EntryVisitor {
 public:
  explicit Loader(alarm::Alarms& alarms) : alarms_(alarms) {}
  void OnEntry(std::string_view key, std::span<const uint8_t> value) override {
    const auto memory = alarm::DecodeAlarm(value);
    uint32_t number = 0;
    if (memory.ok() && ReadNumber(key, number)) {
      alarms_.Remember(number, *memory);
    }
  }

 private:
  alarm::Alarms& alarms_;
};

Result<void> Write(store::Store& store, const alarm::Alarms& alarms) {
  for (uint32_t i = 0; i < log::kAlarmCount; ++i) {
    const Key key = KeyOf(log::kAlarms[i].id);
    const alarm::AlarmState& state = alarms.state(i);
    if (!state.raised) {
      GH_TRY(store.RemoveIn(Table::kAlarms, key.view()));
      continue;
    }
    uint8_t bytes[alarm::kAlarmMemoryMax];
    ByteWriter out(bytes);
    alarm::EncodeAlarm(state, out);
    GH_TRY(store.PutIn(Table::kAlarms, key.view(), out.written()));
  }
  return Ok();
}

}  // namespace

void AlarmCommands::AddTo(admin::CommandTable& commands) {
  admin::Command acknowledge = {"Alarm Acknowledge", "Says that an alarm is known"};
  acknowledge.context = this;
  acknowledge.value_help = "number of a raised alarm, see xStatus Alarm, or all";
  acknowledge.run_value = [](void* self, std::string_view by, std::string_view value, ByteWriter&) {
    return static_cast<AlarmCommands*>(self)->Acknowledge(value, by);
  };
  commands.Add(acknowledge);
}

Result<void> AlarmCommands::Acknowledge(std::string_view value, std::string_view by) {
  if (value == "all" || value == "All") {
    for (uint32_t i = 0; i < log::kAlarmCount; ++i) {
      if (alarms_.state(i).raised && !alarms_.state(i).acknowledged) {
        GH_TRY(alarms_.Acknowledge(log::kAlarms[i].id, by));
      }
    }
    return Ok();
  }
  uint32_t number = 0;
  if (!ReadNumber(value, number)) {
    return Error(ErrorCode::kInvalidArgument, "expected the number of an alarm, or all");
  }
  return alarms_.Acknowledge(number, by);
}

void AlarmCommands::Load(store::Store& store) {
  Loader loader(alarms_);
  (void)store.ForEachIn(Table::kAlarms, "", UINT32_MAX, loader);
}

void AlarmCommands::Save(store::Store& store) {
  if (saved_ == alarms_.change_count() || !store.status().persistent) {
    return;
  }
  saved_ = alarms_.change_count();
  Result<void> written = store.BeginLater();
  if (!written.ok()) {
    return;  // the store says itself what is wrong
  }
  written = Write(store, alarms_);
  if (!written.ok()) {
    store.Rollback();
    return;
  }
  store.CommitLater().ignore("an alarm is told by events too; the next change is written again");
}

}  // namespace gh
