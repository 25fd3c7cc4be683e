// The log: a ring of events in memory. Emitting never blocks and never allocates.
//
// Sinks (console, syslog servers, xStatus Log) read the ring at their own pace by sequence number;
// one that falls behind by more than the ring holds has lost events, and can say how many. Each
// kind of event has a rate and a burst; what exceeds them is counted and the count is told.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "firmware/log/event.h"
#include "firmware/log/events.gen.h"
#include "hal/clock.h"
#include "hal/rt/arena.h"

namespace gh::log {

class Log {
 public:
  Log(Arena& arena, hal::Clock& clock, uint32_t record_count);
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  // log.Emit(event::LinkUp{.port = "LAN1"});
  template <typename Event>
  void Emit(const Event& event) {
    Record* record = Open(Event::kIndex);
    if (record == nullptr) {
      return;
    }
    FieldWriter writer(*record);
    event.Write(writer);
  }

  // Goes on with that number; before the first event.
  void StartAt(uint64_t sequence);
  // Events of this category above the level (EventInfo::level) are not recorded.
  void SetLevel(Category category, uint8_t level) {
    levels_[static_cast<uint8_t>(category)] = level;
  }
  Instant now() const { return clock_.Now(); }

  // Tells of suppressed events whose kind has fallen silent; call now and then.
  void ReportSuppressed(Instant now);

  uint64_t first_sequence() const;  // the oldest record kept; next_sequence() when there is none
  uint64_t next_sequence() const { return next_sequence_; }
  // The record, or null when it is overwritten or not yet written.
  const Record* Find(uint64_t sequence) const;
  uint32_t record_count() const { return static_cast<uint32_t>(records_.size()); }
  uint64_t suppressed_count() const { return suppressed_total_; }

 private:
  struct Limiter {
    int64_t tokens_micro = 0;  // millionths of an event
    Instant refilled;
    uint32_t suppressed = 0;
    Instant suppressed_since;
  };
  Record* Open(uint16_t event);
  bool Admit(uint16_t event, Instant now);

  hal::Clock& clock_;
  std::span<Record> records_;
  std::span<Limiter> limiters_;
  std::array<uint8_t, kCategoryCount> levels_ = {};
  uint64_t start_sequence_ = 1;
  uint64_t next_sequence_ = 1;
  uint64_t suppressed_total_ = 0;
};

}  // namespace gh::log
