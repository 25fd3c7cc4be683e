// Which events an operator asks for: "category=sip severity=warning since=2026-11-21T08:00
// until=2026-11-21T09:00 text=bob last=50", any of them, in any order; "all" for none. Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include "firmware/log/event.h"
#include "firmware/log/time_zone.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/result.h"

namespace gh::log {

struct EventFilter {
  bool has_category = false;
  Category category = Category::kSystem;
  Severity severity = Severity::kDebug;  // this and graver
  bool has_since = false;
  int64_t since_ns = 0;  // UTC
  bool has_until = false;
  int64_t until_ns = 0;
  FixedString<64> text;  // somewhere in the line, letters of either case
  uint32_t last = 0;     // only so many, the latest; 0: all
};

// kInvalidArgument: `what` says what was expected.
Result<EventFilter> ParseEventFilter(std::string_view text);
bool Matches(const EventFilter& filter, const Record& record);

// "2026-11-21T08:30[:15][Z]", UTC.
Result<int64_t> ParseTime(std::string_view text);
// 42: 2026-11-21T08:00:00.000000Z warning sip sip-refused ...
void FormatLine(const Record& record, const TimeZone& zone, ByteWriter& out);

}  // namespace gh::log
