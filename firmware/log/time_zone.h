// A time zone for display: a name of the time zone database ("Europe/Oslo"), or a rule of its own
// in POSIX form ("CET-1CEST,M3.5.0,M10.5.0/3"). Everything kept and sent is in UTC.
//
// Names stand for the rule in force since the table was made (time_zones.inc): times of before a
// zone changed its rule are shown by the present one. Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include "hal/rt/bytes.h"
#include "hal/rt/result.h"
#include "hal/rt/time.h"

namespace gh::log {

class TimeZone {
 public:
  TimeZone() = default;  // UTC
  // kInvalidArgument: neither a known name nor a rule.
  static Result<TimeZone> Of(std::string_view name);

  // Seconds east of UTC at that time.
  int32_t OffsetAt(int64_t unix_seconds) const;

 private:
  // "M3.5.0/2": month, week (5: the last), weekday (0: Sunday), seconds after midnight.
  struct Change {
    int32_t month = 0;
    int32_t week = 0;
    int32_t weekday = 0;
    int32_t seconds = 7200;
  };
  static Result<TimeZone> Parse(std::string_view rule);
  static bool ParseChange(std::string_view& text, Change& out);
  static int64_t SecondsOf(const Change& change, int64_t year);

  int32_t standard_ = 0;  // east of UTC
  int32_t summer_ = 0;
  bool has_summer_ = false;
  Change begin_;
  Change end_;
};

// "2026-11-21T09:30:05.123456+01:00"; UTC as FormatTimestamp does.
void FormatLocalTime(const WallTime& wall, const TimeZone& zone, ByteWriter& out);

}  // namespace gh::log
