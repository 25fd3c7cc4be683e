#include "firmware/operator/event_log.h"

#include <algorithm>

#include "firmware/log/render.h"

namespace gh {
namespace {

using log::AlarmId;
constexpr uint32_t kScanMax = 2000;        // events looked at for one line
constexpr uint32_t kScanBackMax = 20'000;  // and to find where the last ones begin
constexpr uint32_t kLastDefault = 100;
constexpr uint32_t kListingShift = 56;

}  // namespace

void LogFollower::Enter(Instant) {
  next_ = log_.next_sequence();
  line_size_ = line_sent_ = 0;
  is_busy_ = true;
}

bool LogFollower::Serve(admin::Terminal& terminal, Instant) {
  uint8_t typed[16];
  if (terminal.Read(typed) > 0) {
    return false;
  }
  for (uint32_t i = 0; i < 64; ++i) {
    if (line_sent_ < line_size_) {
      const auto rest =
          std::span<const uint8_t>(line_).subspan(line_sent_, line_size_ - line_sent_);
      line_sent_ += terminal.Write(rest);
      if (line_sent_ < line_size_) {
        return true;
      }
    }
    next_ = std::max(next_, log_.first_sequence());
    const log::Record* record = log_.Find(next_);
    if (record == nullptr) {
      return true;
    }
    ++next_;
    if (log::Matches(filter_, *record)) {
      ByteWriter out(line_);
      out.Text("Log ");
      log::FormatLine(*record, zone_, out);
      out.Text("\r\n");
      line_size_ = out.size();
      line_sent_ = 0;
    }
  }
  return true;
}

void LogFollower::Leave(ByteWriter& out) {
  is_busy_ = false;
  out.Text("OK");
}

void EventLog::Open() {
  if (machine_.log == nullptr) {
    return;
  }
  machine_.arena.OpenAccount("firmware/event log");
  store_ = machine_.arena.New<log::EventStore>(machine_.arena, *machine_.log, log_);
  if (auto opened = store_->Open(); !opened.ok()) {
    open_fault_ = opened.error().what;
    store_ = nullptr;
    return;
  }
  log_.StartAt(store_->next_sequence());
}

Instant EventLog::Step(Instant now) {
  return store_ != nullptr ? store_->Step(now) : Instant::Max();
}

void EventLog::Watch() {
  const char* fault = store_ != nullptr ? store_->fault() : open_fault_;
  alarms_.Set(AlarmId::kLogFailed, fault[0] != '\0', fault);
}

// A zone that is neither a name nor a rule is told, and UTC.
void EventLog::ApplySettings(const config::Settings& settings) {
  const auto zone = log::TimeZone::Of(settings.time().zone.view());
  zone_ = zone.ok() ? *zone : log::TimeZone();
  if (!zone.ok()) {
    log_.Emit(log::event::ServiceFailed{.service = "time zone", .reason = zone.error().what});
  }
  const config::Log& levels = settings.log();
  const int32_t by_category[] = {levels.system_level, levels.alarm_level,   levels.audit_level,
                                 levels.store_level,  levels.network_level, levels.firewall_level,
                                 levels.sip_level,    levels.turn_level,    levels.xmpp_level};
  static_assert(std::size(by_category) == log::kCategoryCount);
  for (uint32_t i = 0; i < log::kCategoryCount; ++i) {
    log_.SetLevel(static_cast<log::Category>(i), static_cast<uint8_t>(by_category[i]));
  }
}

const log::Record* EventLog::FindFrom(uint64_t sequence) {
  if (sequence < log_.first_sequence() && store_ != nullptr && store_->Find(sequence, record_) &&
      record_.sequence < log_.first_sequence()) {
    return &record_;
  }
  return log_.Find(std::max(sequence, log_.first_sequence()));
}

uint64_t EventLog::MarkOf(uint32_t server) {
  return store_ != nullptr ? store_->MarkOf(server) : 0;
}

void EventLog::SetMark(uint32_t index, uint32_t server, uint64_t next) {
  if (store_ != nullptr) {
    store_->SetMark(index, {server, next});
  }
}

const log::Record* EventLog::FindBefore(uint64_t sequence) {
  if (sequence > log_.first_sequence()) {
    return log_.Find(sequence - 1);
  }
  if (store_ == nullptr || sequence <= 1 || !store_->Find(sequence - 1, record_) ||
      record_.sequence >= sequence) {
    return nullptr;
  }
  return &record_;
}

void EventLog::AddTo(admin::CommandTable& commands) {
  using Self = EventLog;
  admin::Command show = {"Log Show", "Shows events, filtered; the last 100 unless asked for more"};
  show.context = this;
  show.only_looks = true;
  show.value_help =
      "all, or some of category=, severity=, since=2026-11-21T08:30, until=, text=, last=";
  show.run_value = [](void* self, std::string_view, std::string_view value, ByteWriter&) {
    return static_cast<Self*>(self)->Show(value);
  };
  show.next = [](void* self, uint64_t& cursor, ByteWriter& out) {
    return static_cast<Self*>(self)->NextLine(cursor, out);
  };
  commands.Add(show);
  admin::Command follow = {"Log Follow", "Shows events as they come, until a key is pressed"};
  follow.context = this;
  follow.only_looks = true;
  follow.value_help = "all, or some of category=, severity=, text=";
  follow.guest = &follower_;
  follow.run_value = [](void* context, std::string_view, std::string_view value,
                        ByteWriter& out) -> Result<void> {
    auto* self = static_cast<Self*>(context);
    if (self->follower_.is_busy()) {
      return Error(ErrorCode::kWrongState, "another session follows the log already");
    }
    GH_TRY_ASSIGN(const log::EventFilter filter, log::ParseEventFilter(value));
    self->follower_.SetFilter(filter);
    out.Text("Events as they come; any key ends.");
    return Ok();
  };
  commands.Add(follow);
}

// Where a listing begins: back from the newest until enough match.
uint64_t EventLog::FirstOf(const log::EventFilter& filter) {
  const uint32_t wanted = filter.last != 0 ? filter.last : filter.has_since ? 0 : kLastDefault;
  uint64_t at = log_.next_sequence();
  uint32_t matched = 0;
  for (uint32_t i = 0; i < kScanBackMax && (wanted == 0 || matched < wanted); ++i) {
    const log::Record* record = FindBefore(at);
    if (record == nullptr) {
      break;
    }
    const bool is_before =
        filter.has_since && record->wall.is_set && record->wall.unix_ns < filter.since_ns;
    if (is_before) {
      break;
    }
    at = record->sequence;
    matched += log::Matches(filter, *record) ? 1 : 0;
  }
  return at;
}

Result<void> EventLog::Show(std::string_view value) {
  GH_TRY_ASSIGN(const log::EventFilter filter, log::ParseEventFilter(value));
  listing_ = (listing_ + 1) % kListings;
  filters_[listing_] = filter;
  starts_[listing_] = FirstOf(filter);
  return Ok();
}

// The cursor: which listing, and the event that was shown last.
bool EventLog::NextLine(uint64_t& cursor, ByteWriter& out) {
  if (cursor == 0) {
    cursor = uint64_t{listing_} << kListingShift | (starts_[listing_] - 1);
  }
  const uint64_t listing = cursor >> kListingShift;
  uint64_t at = cursor & ((uint64_t{1} << kListingShift) - 1);
  const log::EventFilter& filter = filters_[listing];
  for (uint32_t i = 0; i < kScanMax; ++i) {
    const log::Record* record = FindFrom(at + 1);
    if (record == nullptr) {
      return false;
    }
    at = record->sequence;
    if (filter.has_until && record->wall.is_set && record->wall.unix_ns > filter.until_ns) {
      return false;
    }
    if (log::Matches(filter, *record)) {
      cursor = listing << kListingShift | at;
      out.Text("Log ");
      log::FormatLine(*record, zone_, out);
      return true;
    }
  }
  cursor = listing << kListingShift | at;
  out.Text("Log: nothing up to event ");
  out.Decimal(at);
  return true;
}

}  // namespace gh
