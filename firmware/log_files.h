// /logs: the event log as one text, from the oldest event on the disk to the newest, and the log
// bundle, one tar file with all that support asks for.
//
// The text is never kept: a line is made when it is read. What is kept is where every
// so-and-so-many lines begin, so that a size is known and any place is found by reading a few
// lines. Fault model: the log's ring on the disk may overtake a slow reader (told), and holds
// whatever the disk gives.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/admin/commands.h"
#include "firmware/admin/file_service.h"
#include "firmware/admin/status.h"
#include "firmware/appliance.h"
#include "firmware/operator/event_log.h"

namespace gh {

// The event log as bytes with positions that stay: a line once counted keeps its place.
class EventText {
 public:
  static constexpr uint32_t kMarkMax = 512;
  static constexpr uint32_t kStrideFirst = 32;  // lines between two marks; doubled when full

  EventText(EventLog& events, log::Log& log) : events_(events), log_(log) {}

  // Counts up to so many events. True: there is none left to count.
  bool Advance(uint32_t count_max);
  // Positions of what can be read: from the first mark that was not overwritten.
  uint64_t begin();
  uint64_t end() const { return end_; }

  struct Place {
    uint64_t sequence = 0;
    uint64_t position = 0;  // where that event's line begins
  };
  // Bytes from `position` on, fewer than asked only at `end`. `hint`: where the last read stopped.
  // kWrongState: they were overwritten.
  Result<size_t> Read(uint64_t position, uint64_t end, Place& hint, std::span<uint8_t> out);

 private:
  uint64_t FirstSequence();
  void AddMark(const Place& place);
  Place MarkBefore(uint64_t position) const;

  EventLog& events_;
  log::Log& log_;
  std::array<Place, kMarkMax> marks_ = {};
  uint32_t mark_count_ = 0;
  uint32_t stride_ = kStrideFirst;
  uint32_t since_mark_ = 0;
  uint64_t next_sequence_ = 1;
  uint64_t end_ = 0;
};

// xCommand Log Collect: configuration without secrets, status, counters over time, crash records
// and the newest events, in memory until the next start. Made in slices.
class LogBundle {
 public:
  LogBundle(Appliance::Rooms& rooms, EventText& text, std::span<uint8_t> memory)
      : rooms_(rooms), text_(text), memory_(memory) {}
  void AddTo(admin::CommandTable& commands);

  bool is_whole() const { return step_ == Step::kWhole; }
  std::span<const uint8_t> file() const { return memory_.first(is_whole() ? size_ : 0); }
  std::string_view name() const { return name_.view(); }
  int64_t made_s() const { return made_s_; }
  uint64_t generation() const { return generation_; }

 private:
  enum class Step : uint8_t {
    kNone,
    kConfiguration,
    kStatus,
    kCounters,
    kCrashes,
    kEvents,
    kWhole
  };
  Result<void> Start();
  bool Next(uint64_t& cursor, ByteWriter& out);
  void Slice(ByteWriter& said);
  bool NextConfigurationLine(ByteWriter& out);
  bool NextStatusLine(ByteWriter& out);
  bool NextCounterLine(ByteWriter& out);
  void SliceCrash(ByteWriter& said);
  void SliceEvents(ByteWriter& said);
  bool BeginMember(std::string_view name);
  void AddText(std::string_view text);
  void EndMember(ByteWriter& said);
  void Go(Step step, const char* member);

  Appliance::Rooms& rooms_;
  EventText& text_;
  std::span<uint8_t> memory_;
  FixedString<admin::kFileNameMax> name_;
  FixedString<admin::kFileNameMax> folder_;
  FixedString<admin::kFileNameMax> member_;
  Step step_ = Step::kNone;
  size_t size_ = 0;
  size_t member_begin_ = 0;  // of its header
  size_t member_end_ = 0;    // not to be passed
  bool is_cut_ = false;
  uint64_t cursor_ = 0;
  uint32_t node_ = 0;
  uint64_t position_ = 0;  // in the events' text
  uint64_t events_end_ = 0;
  EventText::Place hint_;
  int64_t made_s_ = 0;
  uint64_t generation_ = 0;
};

class LogFolder final : public admin::FileProvider {
 public:
  LogFolder(EventText& text, LogBundle& bundle) : text_(text), bundle_(bundle) {}
  bool List(uint32_t index, admin::FileInfo& out) override;
  // kWouldBlock: not all events are counted yet; ask again.
  Result<void> OpenRead(std::string_view name, admin::FileReading& reading) override;
  Result<size_t> Read(std::string_view name, admin::FileReading& reading,
                      std::span<uint8_t> out) override;

 private:
  EventText& text_;
  LogBundle& bundle_;
};

// The header block of one file in a tar archive (POSIX ustar). Names of up to 99 bytes.
void WriteTarHeader(std::string_view name, uint64_t size, int64_t modified_s,
                    std::span<uint8_t, 512> out);

}  // namespace gh
