// Counters over time: what each second, minute and hour saw, for the last two minutes, two hours
// and week. Taken once a second; a minute is made of its seconds, an hour of its minutes, so that
// nothing is counted twice and nothing is asked again. Fixed rings, no allocation.
//
// Engine without I/O: the appliance gives absolute readings, differences are made here; a counter
// that went backwards (a device that started anew) counts as nothing for that second.
#pragma once

#include <array>
#include <cstdint>

#include "hal/rt/bytes.h"

namespace gh {

enum class Period : uint8_t { kSeconds, kMinutes, kHours };

// Sums add up over a span, levels keep their greatest.
struct Reading {
  static constexpr uint32_t kSums = 9;
  static constexpr uint32_t kLevels = 5;
  // busy_us, received packets and bytes, sent packets and bytes, dropped, SIP messages in and out,
  // events.
  std::array<uint64_t, kSums> sums = {};
  // Frames in use, TCP connections, TCP buffer bytes, registrations, calls.
  std::array<uint64_t, kLevels> levels = {};
};

extern const char* const kSumNames[Reading::kSums];
extern const char* const kLevelNames[Reading::kLevels];

class History {
 public:
  static constexpr uint32_t kSecondCount = 120;
  static constexpr uint32_t kMinuteCount = 120;
  static constexpr uint32_t kHourCount = 168;

  // Once a second, with counters as they are now. The first one only sets where to count from.
  void Take(const Reading& now);
  uint32_t count(Period span) const { return RingOf(span).count; }
  // 0: the latest that is complete.
  const Reading& at(Period span, uint32_t age) const;

 private:
  struct Ring {
    Reading* rows;
    uint32_t size;
    uint32_t next;
    uint32_t count;
    Reading open;  // being added up
    uint32_t parts;
  };
  const Ring& RingOf(Period span) const { return rings_[static_cast<size_t>(span)]; }
  void Add(Period span, const Reading& part);

  std::array<Reading, kSecondCount> seconds_ = {};
  std::array<Reading, kMinuteCount> minutes_ = {};
  std::array<Reading, kHourCount> hours_ = {};
  std::array<Ring, 3> rings_ = {{{seconds_.data(), kSecondCount, 0, 0, {}, 0},
                                 {minutes_.data(), kMinuteCount, 0, 0, {}, 0},
                                 {hours_.data(), kHourCount, 0, 0, {}, 0}}};
  Reading before_;
  bool has_before_ = false;
};

}  // namespace gh
