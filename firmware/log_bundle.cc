// The log bundle: one tar file made in slices, in memory. See log_files.h.
#include <algorithm>

#include "firmware/config/tree.h"
#include "firmware/config/value.h"
#include "firmware/log_files.h"
#include "firmware/operator/crashes.h"
#include "firmware/rooms.h"

namespace gh {
namespace {

constexpr size_t kTarBlock = 512;
constexpr uint32_t kLinesPerSlice = 100;
constexpr uint32_t kCountPerSlice = 400;
constexpr size_t kEventsPerSlice = 16 * 1024;
constexpr std::string_view kCut = "-- cut here: there is no room for more in the bundle --\n";
// Parts of the memory that a member may fill, in percent of it; the events get what is left.
constexpr size_t kConfigurationShare = 25;
constexpr size_t kStatusShare = 25;
constexpr size_t kCountersShare = 10;
constexpr size_t kCrashShare = 15;
static_assert(kConfigurationShare + kStatusShare + kCountersShare + kCrashShare < 90);

constexpr size_t Padded(size_t size) { return (size + kTarBlock - 1) / kTarBlock * kTarBlock; }

// A number in octal with leading zeros, and a NUL: `out` has both.
void WriteOctal(uint64_t value, std::span<uint8_t> out) {
  out.back() = 0;
  for (size_t i = out.size() - 1; i > 0; --i) {
    out[i - 1] = static_cast<uint8_t>('0' + (value & 7));
    value >>= 3;
  }
}

}  // namespace

void WriteTarHeader(std::string_view name, uint64_t size, int64_t modified_s,
                    std::span<uint8_t, 512> out) {
  std::fill(out.begin(), out.end(), uint8_t{0});
  std::copy_n(name.begin(), std::min<size_t>(name.size(), 99), out.begin());
  WriteOctal(0600, out.subspan<100, 8>());
  WriteOctal(0, out.subspan<108, 8>());
  WriteOctal(0, out.subspan<116, 8>());
  WriteOctal(size, out.subspan<124, 12>());
  WriteOctal(static_cast<uint64_t>(std::max<int64_t>(modified_s, 0)), out.subspan<136, 12>());
  std::fill_n(out.begin() + 148, 8, uint8_t{' '});
  out[156] = '0';
  constexpr std::string_view kMagic("ustar\00000", 8);
  std::copy(kMagic.begin(), kMagic.end(), out.begin() + 257);
  uint32_t sum = 0;
  for (const uint8_t byte : out) {
    sum += byte;
  }
  WriteOctal(sum, out.subspan<148, 7>());
}

void LogBundle::AddTo(admin::CommandTable& commands) {
  admin::Command collect = {"Log Collect",
                            "Makes one tar file in /logs: configuration without secrets, status, "
                            "counters, crash records and the newest events"};
  collect.context = this;
  collect.only_looks = true;
  collect.run = [](void* self, std::string_view, ByteWriter&) {
    return static_cast<LogBundle*>(self)->Start();
  };
  collect.next = [](void* self, uint64_t& cursor, ByteWriter& out) {
    return static_cast<LogBundle*>(self)->Next(cursor, out);
  };
  collect.pending = [](void* self, uint64_t) {
    const auto* bundle = static_cast<LogBundle*>(self);
    return bundle->step_ != Step::kNone && !bundle->is_whole();
  };
  collect.cancel = [](void* self) { static_cast<LogBundle*>(self)->step_ = Step::kNone; };
  commands.Add(collect);
}

Result<void> LogBundle::Start() {
  if (step_ != Step::kNone && step_ != Step::kWhole) {
    return Error(ErrorCode::kWrongState, "another session is collecting already");
  }
  const WallTime wall = rooms_.machine.clock.Wall();
  made_s_ = wall.is_set ? wall.unix_seconds() : 0;
  folder_.Assign("gatehouse-");
  uint8_t number[20];
  ByteWriter digits(number);
  digits.Decimal(static_cast<uint64_t>(made_s_));
  folder_.Append(digits.text());
  name_.Assign(folder_.view());
  name_.Append(".tar");
  size_ = 0;
  ++generation_;
  Go(Step::kConfiguration, "configuration.txt");
  return Ok();
}

// A session's listing: a line for each member that is done.
bool LogBundle::Next(uint64_t& cursor, ByteWriter& out) {
  if (is_whole()) {
    if (cursor != 0) {
      return false;
    }
    cursor = 1;
    out.Text("Log Bundle: /logs/");
    out.Text(name_.view());
    out.Text(" has ");
    out.Decimal(size_);
    out.Text(" bytes, until the next start; fetch it by sftp or scp");
    return true;
  }
  Slice(out);
  return out.size() > 0;
}

void LogBundle::Slice(ByteWriter& said) {
  switch (step_) {
    case Step::kNone:
    case Step::kWhole:
      return;
    case Step::kCrashes:
      return SliceCrash(said);
    case Step::kEvents:
      return SliceEvents(said);
    case Step::kConfiguration:
    case Step::kStatus:
    case Step::kCounters:
      break;
  }
  for (uint32_t i = 0; i < kLinesPerSlice; ++i) {
    uint8_t bytes[admin::kOutputLineMax];
    ByteWriter line{std::span<uint8_t>(bytes)};
    const bool has_line = step_ == Step::kConfiguration ? NextConfigurationLine(line)
                          : step_ == Step::kStatus      ? NextStatusLine(line)
                                                        : NextCounterLine(line);
    if (!has_line || is_cut_) {
      EndMember(said);
      step_ == Step::kConfiguration ? Go(Step::kStatus, "status.txt")
      : step_ == Step::kStatus      ? Go(Step::kCounters, "counters.txt")
                                    : Go(Step::kCrashes, "");
      return;
    }
    AddText(line.text());
    AddText("\n");
  }
}

void LogBundle::Go(Step step, const char* member) {
  step_ = step;
  cursor_ = 0;
  node_ = 0;
  if (step == Step::kEvents) {
    hint_ = {};
    events_end_ = 0;
  }
  if (member[0] != '\0') {
    (void)BeginMember(member);
  }
}

// --- What goes into it --------------------------------------------------------------------------

// The cursor: setting and instance, as in an export; a secret is asterisks.
bool LogBundle::NextConfigurationLine(ByteWriter& out) {
  const config::RawSettings& settings = rooms_.configuration->active();
  while ((cursor_ & 0xffff) < config::kSettingCount) {
    const config::Selector here = {static_cast<uint32_t>(cursor_ & 0xffff),
                                   static_cast<uint32_t>(cursor_ >> 16)};
    const config::GroupInfo& group = config::GroupOf(here);
    config::Selector next = {here.setting + 1, here.instance};
    if (next.setting == uint32_t{group.setting_first} + group.setting_count) {
      const bool goes_on = here.instance + 1 < settings.instance_count(config::InfoOf(here).group);
      next = goes_on ? config::Selector{group.setting_first, here.instance + 1}
                     : config::Selector{next.setting, 0};
    }
    cursor_ = next.setting | uint64_t{next.instance} << 16;
    if (config::IsDefault(config::InfoOf(here), settings.Field(here))) {
      continue;
    }
    uint8_t bytes[config::kStoredValueMax + 112];
    ByteWriter value(bytes);
    config::FormatValue(config::InfoOf(here), settings.Field(here), value);
    out.Text("xConfiguration ");
    config::FormatPath(here, out);
    out.Text(": ");
    config::WriteQuoted(out, value.text());
    return true;
  }
  return false;
}

// All of xStatus, what it leaves out for its length included.
bool LogBundle::NextStatusLine(ByteWriter& out) {
  const auto nodes = rooms_.status.nodes();
  for (; node_ < nodes.size(); ++node_, cursor_ = 0) {
    if (nodes[node_].next(nodes[node_].context, cursor_, out)) {
      return true;
    }
  }
  return false;
}

bool LogBundle::NextCounterLine(ByteWriter& out) {
  for (; node_ <= static_cast<uint32_t>(Period::kHours); ++node_, cursor_ = 0) {
    if (rooms_.diagnostics.NextHistoryLineOf(static_cast<Period>(node_), cursor_, out)) {
      return true;
    }
  }
  return false;
}

void LogBundle::SliceCrash(ByteWriter& said) {
  uint64_t number = 0;
  const std::string_view text = rooms_.crashes->TextAt(node_, number);
  if (text.empty()) {
    Go(Step::kEvents, "");
    return;
  }
  uint8_t bytes[48];
  ByteWriter name(bytes);
  name.Text("crashes/crash-");
  name.Decimal(number);
  name.Text(".txt");
  ++node_;
  if (!BeginMember(name.text())) {
    Go(Step::kEvents, "");
    return;
  }
  AddText(rooms_.crashes->TextAt(node_ - 1, number));
  EndMember(said);
}

void LogBundle::SliceEvents(ByteWriter& said) {
  if (events_end_ == 0) {
    if (!text_.Advance(kCountPerSlice)) {
      return;
    }
    (void)BeginMember("events.log");
    const uint64_t begin = text_.begin();
    events_end_ = text_.end();
    const uint64_t room = member_end_ - size_;
    position_ = events_end_ - begin > room ? events_end_ - room : begin;
    hint_ = {};
  }
  const size_t wanted = std::min<uint64_t>(kEventsPerSlice, events_end_ - position_);
  const auto read = text_.Read(position_, events_end_, hint_, memory_.subspan(size_).first(wanted));
  const size_t count = read.value_or(0);
  size_ += count;
  position_ += count;
  if (count > 0 && position_ < events_end_) {
    return;
  }
  EndMember(said);
  std::fill_n(memory_.begin() + static_cast<ptrdiff_t>(size_), 2 * kTarBlock, uint8_t{0});
  size_ += 2 * kTarBlock;
  step_ = Step::kWhole;
}

// --- The archive --------------------------------------------------------------------------------

// False: there is no room for another one.
bool LogBundle::BeginMember(std::string_view name) {
  const size_t share = step_ == Step::kConfiguration ? kConfigurationShare
                       : step_ == Step::kStatus      ? kStatusShare
                       : step_ == Step::kCounters    ? kCountersShare
                                                     : kCrashShare;
  const size_t last = memory_.size() - 3 * kTarBlock;  // padding, and the archive's end
  // All crash records together have one share: room for the events is left.
  const size_t end = step_ == Step::kEvents    ? last
                     : step_ == Step::kCrashes ? memory_.size() / 100 * 75
                                               : size_ + memory_.size() / 100 * share;
  if (size_ + kTarBlock + kCut.size() > end) {
    return false;
  }
  member_.Assign(name);
  member_begin_ = size_;
  member_end_ = end;
  is_cut_ = false;
  size_ += kTarBlock;
  return true;
}

void LogBundle::AddText(std::string_view text) {
  if (is_cut_) {
    return;
  }
  if (text.size() + kCut.size() > member_end_ - size_) {
    is_cut_ = true;
    text = kCut;
  }
  std::copy(text.begin(), text.end(), memory_.begin() + static_cast<ptrdiff_t>(size_));
  size_ += text.size();
}

void LogBundle::EndMember(ByteWriter& said) {
  FixedString<99> path(folder_.view());
  path.Append('/');
  path.Append(member_.view());
  const size_t length = size_ - member_begin_ - kTarBlock;
  WriteTarHeader(path.view(), length, made_s_, memory_.subspan(member_begin_).first<kTarBlock>());
  const size_t end = member_begin_ + kTarBlock + Padded(length);
  std::fill(memory_.begin() + static_cast<ptrdiff_t>(size_),
            memory_.begin() + static_cast<ptrdiff_t>(end), uint8_t{0});
  size_ = end;
  said.Text("Log Bundle ");
  said.Text(member_.view());
  said.Text(": ");
  said.Decimal(length);
  said.Text(is_cut_ ? " bytes, cut" : " bytes");
}

}  // namespace gh
