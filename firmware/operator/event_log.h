// The event log as the operator meets it: kept on the log partition, listed with filters, followed.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "firmware/admin/commands.h"
#include "firmware/alarm/alarms.h"
#include "firmware/config/settings.h"
#include "firmware/log/event_filter.h"
#include "firmware/log/event_store.h"
#include "firmware/log/log.h"
#include "firmware/log/syslog.h"
#include "hal/machine.h"

namespace gh {

// Shows events as they come, until a key is pressed.
class LogFollower final : public admin::TerminalGuest {
 public:
  LogFollower(log::Log& log, const log::TimeZone& zone) : log_(log), zone_(zone) {}
  void SetFilter(const log::EventFilter& filter) { filter_ = filter; }
  bool is_busy() const { return is_busy_; }
  void Enter(Instant now) override;
  bool Serve(admin::Terminal& terminal, Instant now) override;
  void Leave(ByteWriter& out) override;

 private:
  log::Log& log_;
  const log::TimeZone& zone_;
  log::EventFilter filter_;
  uint64_t next_ = 0;
  std::array<uint8_t, 1200> line_ = {};
  size_t line_size_ = 0;
  size_t line_sent_ = 0;
  bool is_busy_ = false;
};

class EventLog final : public log::EventSource {
 public:
  EventLog(hal::Machine& machine, log::Log& log, alarm::Alarms& alarms)
      : machine_(machine), log_(log), alarms_(alarms), follower_(log, zone_) {}
  EventLog(const EventLog&) = delete;
  EventLog& operator=(const EventLog&) = delete;

  // First of all that may emit an event: the log goes on where the last run ended.
  void Open();
  void AddTo(admin::CommandTable& commands);
  void ApplySettings(const config::Settings& settings);
  // Times are shown in it.
  const log::TimeZone& zone() const { return zone_; }
  // Each turn; when to be called again.
  Instant Step(Instant now);
  void Watch();  // once a second
  log::EventStore* store() { return store_; }
  // The event of that number, or the next one there is: from memory, else from the disk.
  const log::Record* FindFrom(uint64_t sequence) override;
  uint64_t MarkOf(uint32_t server) override;
  void SetMark(uint32_t index, uint32_t server, uint64_t next) override;
  // Before it; null: none.
  const log::Record* FindBefore(uint64_t sequence);

 private:
  static constexpr uint32_t kListings = 8;
  Result<void> Show(std::string_view value);
  bool NextLine(uint64_t& cursor, ByteWriter& out);
  uint64_t FirstOf(const log::EventFilter& filter);

  hal::Machine& machine_;
  log::Log& log_;
  alarm::Alarms& alarms_;
  log::EventStore* store_ = nullptr;
  const char* open_fault_ = "";
  log::TimeZone zone_;
  LogFollower follower_;
  log::Record record_;  // read from the disk
  std::array<log::EventFilter, kListings> filters_ = {};
  std::array<uint64_t, kListings> starts_ = {};
  uint32_t listing_ = 0;
};

}  // namespace gh
