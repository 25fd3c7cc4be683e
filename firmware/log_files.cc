// The event log as a text with places, and /logs. See log_files.h.
#include "firmware/log_files.h"

#include <algorithm>

#include "firmware/log/render.h"
#include "firmware/rooms.h"

namespace gh {
namespace {

using admin::FileInfo;
using admin::FileReading;

constexpr std::string_view kEventsName = "events.log";
constexpr uint32_t kCountPerOpen = 400;   // events counted in one turn
constexpr uint32_t kLinesPerRead = 2000;  // looked at for one read
constexpr Error kOverwritten = {ErrorCode::kWrongState,
                                "events were overwritten while they were read"};

// The event's line with its end, in UTC whatever the zone is: what was counted stays true.
std::string_view LineOf(const log::Record& record, std::span<uint8_t> memory) {
  ByteWriter out(memory);
  log::FormatTimestamp(record.wall, out);
  const log::EventInfo& info = log::kEvents[record.event];
  out.Char(' ');
  out.Decimal(record.sequence);
  out.Char(' ');
  out.Text(log::SeverityName(info.severity));
  out.Char(' ');
  out.Text(log::CategoryName(info.category));
  out.Char(' ');
  out.Text(info.name);
  out.Text(": ");
  log::FormatText(record, out);
  const size_t size = std::min(out.size(), memory.size() - 1);
  memory[size] = '\n';
  return AsText(memory.first(size + 1));
}

}  // namespace

// --- The text -----------------------------------------------------------------------------------

uint64_t EventText::FirstSequence() {
  log::EventStore* store = events_.store();
  return store != nullptr ? std::min(store->first_sequence(), log_.first_sequence())
                          : log_.first_sequence();
}

void EventText::AddMark(const Place& place) {
  if (mark_count_ == kMarkMax) {
    for (uint32_t i = 0; i < kMarkMax / 2; ++i) {
      marks_[i] = marks_[2 * i];
    }
    mark_count_ = kMarkMax / 2;
    stride_ *= 2;
  }
  marks_[mark_count_++] = place;
}

bool EventText::Advance(uint32_t count_max) {
  for (uint32_t i = 0; i < count_max; ++i) {
    const log::Record* record = events_.FindFrom(next_sequence_);
    if (record == nullptr) {
      return true;
    }
    if (since_mark_ == 0) {
      AddMark({record->sequence, end_});
    }
    since_mark_ = (since_mark_ + 1) % stride_;
    uint8_t memory[admin::kOutputLineMax];
    end_ += LineOf(*record, memory).size();
    next_sequence_ = record->sequence + 1;
  }
  return false;
}

uint64_t EventText::begin() {
  const uint64_t first = FirstSequence();
  uint32_t gone = 0;
  while (gone < mark_count_ && marks_[gone].sequence < first) {
    ++gone;
  }
  std::copy(marks_.begin() + gone, marks_.begin() + mark_count_, marks_.begin());
  mark_count_ -= gone;
  if (mark_count_ == 0) {
    since_mark_ = 0;  // the next event counted begins anew
    return end_;
  }
  return marks_[0].position;
}

EventText::Place EventText::MarkBefore(uint64_t position) const {
  const auto* const last = marks_.data() + mark_count_;
  const auto* at =
      std::upper_bound(marks_.data(), last, position,
                       [](uint64_t wanted, const Place& place) { return wanted < place.position; });
  return at == marks_.data() ? Place() : *(at - 1);
}

Result<size_t> EventText::Read(uint64_t position, uint64_t end, Place& hint,
                               std::span<uint8_t> out) {
  const Place mark = MarkBefore(position);
  if (hint.sequence == 0 || position < hint.position || mark.position > hint.position) {
    hint = mark;
  }
  if (hint.sequence == 0 || hint.sequence < FirstSequence()) {
    return kOverwritten;
  }
  size_t count = 0;
  for (uint32_t i = 0; i < kLinesPerRead && count < out.size() && position < end; ++i) {
    const log::Record* record = events_.FindFrom(hint.sequence);
    if (record == nullptr) {
      return kOverwritten;
    }
    uint8_t memory[admin::kOutputLineMax];
    const std::string_view line = LineOf(*record, memory);
    if (position < hint.position + line.size()) {
      const std::string_view rest = line.substr(position - hint.position);
      const size_t part = std::min({rest.size(), out.size() - count, size_t{end - position}});
      std::copy_n(rest.begin(), part, out.begin() + static_cast<ptrdiff_t>(count));
      count += part;
      position += part;
      if (part < rest.size()) {
        break;  // the rest of this line is for the next read
      }
    }
    hint = {record->sequence + 1, hint.position + line.size()};
  }
  return count;
}

// --- /logs --------------------------------------------------------------------------------------

bool LogFolder::List(uint32_t index, FileInfo& out) {
  out = {};
  if (index == 0) {
    (void)text_.Advance(kCountPerOpen);
    out.name.Assign(kEventsName);
    out.size = text_.end() - text_.begin();
    return true;
  }
  if (index > 1 || !bundle_.is_whole()) {
    return false;
  }
  out.name.Assign(bundle_.name());
  out.size = bundle_.file().size();
  out.modified_s = bundle_.made_s();
  return true;
}

// notes: of the events where they begin and end, and the last read's place; of the bundle which.
Result<void> LogFolder::OpenRead(std::string_view name, FileReading& reading) {
  if (name != kEventsName) {
    reading.size = bundle_.file().size();
    reading.notes[0] = bundle_.generation();
    return Ok();
  }
  if (!text_.Advance(kCountPerOpen)) {
    return Error{ErrorCode::kWouldBlock, "the events are being counted"};
  }
  reading.notes = {text_.begin(), text_.end(), 0, 0};
  reading.size = reading.notes[1] - reading.notes[0];
  return Ok();
}

Result<size_t> LogFolder::Read(std::string_view name, FileReading& reading,
                               std::span<uint8_t> out) {
  if (name != kEventsName) {
    const auto file = bundle_.file();
    if (reading.notes[0] != bundle_.generation() || reading.offset > file.size()) {
      return Error{ErrorCode::kWrongState, "the bundle was made anew while it was read"};
    }
    const auto rest = file.subspan(reading.offset);
    const size_t count = std::min(rest.size(), out.size());
    std::copy_n(rest.begin(), count, out.begin());
    return count;
  }
  EventText::Place hint = {reading.notes[2], reading.notes[3]};
  auto count = text_.Read(reading.notes[0] + reading.offset, reading.notes[1], hint, out);
  reading.notes[2] = hint.sequence;
  reading.notes[3] = hint.position;
  return count;
}

}  // namespace gh
