#include "firmware/operator/crashes.h"

#include <algorithm>
#include <charconv>

#include "firmware/log/render.h"

namespace gh {
namespace {

using log::AlarmId;
constexpr uint32_t kTracePoints = 256;
constexpr uint32_t kTextBytes = 8 * 1024;

// "12.345 [warning] text\n", without what is not printable: a record is read in odd circumstances.
void FormatEvent(const log::Record& event, ByteWriter& out) {
  const auto ms = static_cast<uint64_t>(std::max<int64_t>(event.when.ns, 0)) / 1'000'000;
  out.Decimal(ms / 1000);
  out.Char('.');
  out.Decimal(ms / 100 % 10);
  out.Decimal(ms / 10 % 10);
  out.Decimal(ms % 10);
  out.Text(" [");
  out.Text(log::SeverityName(log::kEvents[event.event].severity));
  out.Text("] ");
  log::FormatText(event, out);
  out.Char('\n');
}

void FormatBacktrace(const CrashRecord& record, ByteWriter& out) {
  for (uint32_t i = 0; i < record.backtrace_count; ++i) {
    out.Text(i == 0 ? "" : " ");
    out.Hex(record.backtrace[i] - record.image_base);
  }
}

void FormatPlace(const CrashRecord& record, ByteWriter& out) {
  if (!record.file.empty()) {
    out.Text(record.file);
    out.Char(':');
    out.Decimal(record.line);
  } else if (record.backtrace_count > 0) {
    out.Text("image + ");
    out.Hex(record.backtrace[0] - record.image_base);
  } else {
    out.Text("an unknown place");
  }
}

}  // namespace

Crashes::Crashes(hal::Machine& machine, log::Log& log, alarm::Alarms& alarms)
    : machine_(machine),
      log_(log),
      alarms_(alarms),
      trace_(machine.arena, kTracePoints),
      text_(machine.arena.NewArray<uint8_t>(kTextBytes)) {
  machine_.boot.SetCrashWitness(this);
}

Crashes::~Crashes() { machine_.boot.SetCrashWitness(nullptr); }

// --- While it crashes ---------------------------------------------------------------------------

// The latest events that fit, oldest first. On its own stack: text_ may be what was in use.
void Crashes::Describe(CrashRecord& record) {
  record.SetTrace(trace_);
  uint8_t bytes[kCrashEventTextMax];
  size_t room = sizeof(bytes);
  const uint64_t first = log_.first_sequence();
  uint64_t at = log_.next_sequence();
  uint64_t begin = at;
  // Twice the same way: once to see how many fit, once to write them in their order.
  uint8_t line_bytes[512];
  for (; at > first; --at) {
    const log::Record* event = log_.Find(at - 1);
    ByteWriter line(line_bytes);
    if (event == nullptr) {
      break;
    }
    FormatEvent(*event, line);
    if (line.size() > room) {
      break;
    }
    room -= line.size();
    begin = at - 1;
  }
  ByteWriter out(bytes);
  for (at = begin; at < log_.next_sequence(); ++at) {
    ByteWriter line(line_bytes);
    FormatEvent(*log_.Find(at), line);
    out.Bytes(line.written());
  }
  record.SetEventText(out.text());
}

void Crashes::Trace(ApplianceTrace point, uint64_t first, uint64_t second) {
  trace_.Add(machine_.clock.Now(), TraceId(TraceRoom::kAppliance, static_cast<uint16_t>(point)),
             first, second);
}

void Crashes::TraceTurn(Instant now) {
  ++turn_count_;
  if (now - turn_traced_ >= kTurnTracePeriod) {
    turn_traced_ = now;
    trace_.Add(now, TraceId(TraceRoom::kAppliance, static_cast<uint16_t>(ApplianceTrace::kTurn)),
               turn_count_);
  }
}

// --- At the next boot ---------------------------------------------------------------------------

Result<uint64_t> Crashes::Keep(std::span<const uint8_t> encoded) {
  if (store_ == nullptr) {
    return Error(ErrorCode::kUnsupported, store_fault_);
  }
  return store_->Append(encoded);
}

std::string_view Crashes::TakeOver() {
  store_fault_ = "the machine has no log partition";
  if (machine_.log != nullptr) {
    store_ = machine_.arena.New<log::CrashStore>(machine_.arena, *machine_.log);
    if (const auto opened = store_->Open(); !opened.ok()) {
      store_fault_ = opened.error().what;
      log_.Emit(log::event::ServiceFailed{.service = "crash records", .reason = store_fault_});
      store_ = nullptr;
    }
  }
  std::string_view shown;
  const auto encoded = machine_.boot.crash_record();
  if (!encoded.empty()) {
    const Result<void> decoded = DecodeCrashRecord(encoded, record_);
    if (!decoded.ok()) {
      record_ = CrashRecord();
      record_.message.Assign(decoded.error().what);
    }
    const auto kept = Keep(encoded);
    kept_by_board_ = !kept.ok();
    if (kept.ok()) {
      machine_.boot.ClearCrashRecord();
    }
    Report(kept.value_or(0));
    ByteWriter out(text_);
    FormatCrashRecord(record_, out);
    shown = out.text();
  }
  UpdateAlarm();
  return shown;
}

void Crashes::Report(uint64_t number) {
  uint8_t place_bytes[160];
  ByteWriter place(place_bytes);
  FormatPlace(record_, place);
  uint8_t trace_bytes[24 * kCrashBacktraceMax];
  ByteWriter backtrace(trace_bytes);
  FormatBacktrace(record_, backtrace);
  log_.Emit(log::event::CrashReported{
      .record = number,
      .cause = CrashCauseName(record_.cause),
      .message = record_.message.view(),
      .place = place.text(),
      .uptime_s = static_cast<uint64_t>(std::max<int64_t>(record_.uptime_ns, 0)) / 1'000'000'000,
      .build = record_.build_id.view(),
      .backtrace = backtrace.text()});
}

void Crashes::UpdateAlarm() {
  const uint32_t count = store_ == nullptr ? 0 : store_->unacknowledged_count();
  if (count == 0 && !kept_by_board_) {
    alarms_.Lower(AlarmId::kCrashed);
    return;
  }
  const bool is_loaded = kept_by_board_ || Load(store_->numbers().back()).ok();
  uint8_t bytes[40];
  ByteWriter detail(bytes);
  if (!kept_by_board_) {
    detail.Decimal(count);
    detail.Text(count == 1 ? " record, " : " records, the last: ");
  }
  FixedString<alarm::kDetailMax> text(detail.text());
  uint8_t summary_bytes[400];
  ByteWriter summary(summary_bytes);
  FormatCrashSummary(record_, summary);
  text.Append(is_loaded ? summary.text() : "which cannot be read");
  alarms_.Raise(AlarmId::kCrashed, text.view());
}

// --- For the operator ---------------------------------------------------------------------------

Result<void> Crashes::Load(uint64_t number) {
  if (store_ == nullptr) {
    return Error(ErrorCode::kNotFound, store_fault_);
  }
  GH_TRY_ASSIGN(const auto encoded, store_->Read(number));
  return DecodeCrashRecord(encoded, record_);
}

void Crashes::FormatLine(uint64_t number, ByteWriter& out) {
  const auto loaded = Load(number);
  if (!loaded.ok()) {
    out.Text(loaded.error().what);
    return;
  }
  FormatCrashSummary(record_, out);
  out.Text(store_->IsAcknowledged(number) ? ", acknowledged" : ", NEW");
  out.Text(", up ");
  out.Decimal(static_cast<uint64_t>(std::max<int64_t>(record_.uptime_ns, 0)) / 1'000'000'000);
  out.Text(" s, ");
  log::FormatTimestamp({record_.unix_ns, record_.unix_ns != 0}, out);
  out.Text(", build ");
  out.Text(record_.build_id);
}

// One line of counts, then one a record; on the disk, read as they are shown.
bool Crashes::NextStatus(uint64_t& cursor, ByteWriter& out) {
  const uint64_t at = cursor++;
  const auto numbers = store_ == nullptr ? std::span<const uint64_t>() : store_->numbers();
  if (at == 0) {
    out.Text("CrashRecord Count: ");
    out.Decimal(numbers.size());
    out.Text(" of ");
    out.Decimal(store_ == nullptr ? 0 : log::kCrashSlotCount);
    out.Text(", not acknowledged ");
    out.Decimal(store_ == nullptr ? 0 : store_->unacknowledged_count());
    if (store_ == nullptr) {
      out.Text(" (");
      out.Text(store_fault_);
      out.Char(')');
    }
    return true;
  }
  if (at - 1 >= numbers.size()) {
    return false;
  }
  out.Text("CrashRecord ");
  out.Decimal(numbers[at - 1]);
  out.Text(": ");
  FormatLine(numbers[at - 1], out);
  return true;
}

bool Crashes::NextLineOfList(uint64_t& cursor, ByteWriter& out) {
  const auto numbers = store_ == nullptr ? std::span<const uint64_t>() : store_->numbers();
  if (numbers.empty() && cursor == 0) {
    ++cursor;
    out.Text(store_ == nullptr ? store_fault_ : "There are no crash records.");
    return true;
  }
  if (cursor >= numbers.size()) {
    return false;
  }
  const uint64_t number = numbers[cursor++];
  out.Decimal(number);
  out.Text(": ");
  FormatLine(number, out);
  return true;
}

bool Crashes::NextLineOfText(uint64_t& cursor, ByteWriter& out) {
  if (cursor >= shown_.size()) {
    return false;
  }
  const std::string_view rest = shown_.substr(cursor);
  const size_t end = std::min(rest.find('\n'), rest.size());
  out.Text(rest.substr(0, end));
  cursor += end + 1;
  return true;
}

std::string_view Crashes::TextAt(uint32_t index, uint64_t& number) {
  const auto numbers = store_ == nullptr ? std::span<const uint64_t>() : store_->numbers();
  if (index >= numbers.size() || !Load(numbers[index]).ok()) {
    return {};
  }
  number = numbers[index];
  ByteWriter out(text_);
  FormatCrashRecord(record_, out);
  shown_ = {};  // a listing of it ends
  return out.text();
}

Result<void> Crashes::Show(std::string_view value) {
  uint64_t number = 0;
  const auto [end, code] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (code != std::errc() || end != value.data() + value.size()) {
    return Error(ErrorCode::kInvalidArgument, "expected the number of a crash record");
  }
  GH_TRY(Load(number));
  ByteWriter out(text_);
  FormatCrashRecord(record_, out);
  shown_ = out.text();
  return Ok();
}

Result<void> Crashes::Acknowledge(bool remove, std::string_view by, ByteWriter& out) {
  uint64_t count = kept_by_board_ ? 1 : 0;
  if (store_ != nullptr) {
    count += remove ? store_->numbers().size() : store_->unacknowledged_count();
    GH_TRY(remove ? store_->Clear() : store_->Acknowledge());
  }
  if (kept_by_board_) {
    machine_.boot.ClearCrashRecord();
    kept_by_board_ = false;
  }
  const char* action = remove ? "removed" : "acknowledged";
  log_.Emit(log::event::CrashesCleared{.count = count, .action = action, .by = by});
  UpdateAlarm();
  out.Decimal(count);
  out.Text(count == 1 ? " crash record " : " crash records ");
  out.Text(action);
  out.Char('.');
  return Ok();
}

void Crashes::AddTo(admin::CommandTable& commands) {
  const auto nothing = [](void*, std::string_view, ByteWriter&) -> Result<void> { return Ok(); };
  commands.Add({.path = "CrashRecord List",
                .help = "Lists the crash records that are kept",
                .run = nothing,
                .context = this,
                .next =
                    [](void* context, uint64_t& cursor, ByteWriter& out) {
                      return static_cast<Crashes*>(context)->NextLineOfList(cursor, out);
                    },
                .only_looks = true});
  commands.Add(
      {.path = "CrashRecord Show",
       .help = "Shows a crash record: registers, backtrace, last events",
       .context = this,
       .value_help = "<number>",
       .run_value = [](void* context, std::string_view, std::string_view value,
                       ByteWriter&) { return static_cast<Crashes*>(context)->Show(value); },
       .next =
           [](void* context, uint64_t& cursor, ByteWriter& out) {
             return static_cast<Crashes*>(context)->NextLineOfText(cursor, out);
           },
       .only_looks = true});
  commands.Add({.path = "CrashRecord Acknowledge",
                .help = "Lowers the alarm of a crash; the records stay",
                .run =
                    [](void* context, std::string_view by, ByteWriter& out) {
                      return static_cast<Crashes*>(context)->Acknowledge(false, by, out);
                    },
                .context = this});
  commands.Add({.path = "CrashRecord Clear",
                .help = "Removes all crash records",
                .question = "Remove all crash records?",
                .run =
                    [](void* context, std::string_view by, ByteWriter& out) {
                      return static_cast<Crashes*>(context)->Acknowledge(true, by, out);
                    },
                .context = this});
}

}  // namespace gh
