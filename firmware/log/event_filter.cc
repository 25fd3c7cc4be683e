#include "firmware/log/event_filter.h"

#include <algorithm>
#include <charconv>

#include "firmware/log/events.gen.h"
#include "firmware/log/render.h"
#include "hal/rt/ascii.h"

namespace gh::log {
namespace {

constexpr uint32_t kLastMax = 10'000;

template <typename Number>
bool ReadNumber(std::string_view text, Number& out) {
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), out);
  return parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
}

Result<void> Apply(std::string_view name, std::string_view value, EventFilter& out) {
  if (EqualsIgnoringCase(name, "category")) {
    for (uint32_t i = 0; i < kCategoryCount; ++i) {
      if (EqualsIgnoringCase(value, CategoryName(static_cast<Category>(i)))) {
        out.category = static_cast<Category>(i);
        out.has_category = true;
        return Ok();
      }
    }
    return Error(
        ErrorCode::kInvalidArgument,
        "expected category=system, alarm, audit, store, network, firewall, sip, turn or xmpp");
  }
  if (EqualsIgnoringCase(name, "severity")) {
    for (uint8_t i = 0; i <= static_cast<uint8_t>(Severity::kDebug); ++i) {
      if (EqualsIgnoringCase(value, SeverityName(static_cast<Severity>(i)))) {
        out.severity = static_cast<Severity>(i);
        return Ok();
      }
    }
    return Error(ErrorCode::kInvalidArgument, "expected severity=emergency to debug");
  }
  if (EqualsIgnoringCase(name, "since")) {
    GH_TRY_ASSIGN(out.since_ns, ParseTime(value));
    out.has_since = true;
    return Ok();
  }
  if (EqualsIgnoringCase(name, "until")) {
    GH_TRY_ASSIGN(out.until_ns, ParseTime(value));
    out.has_until = true;
    return Ok();
  }
  if (EqualsIgnoringCase(name, "text") && !value.empty()) {
    return out.text.Assign(value)
               ? Ok()
               : Error(ErrorCode::kInvalidArgument, "expected text= of at most 64 characters");
  }
  if (EqualsIgnoringCase(name, "last") && ReadNumber(value, out.last) && out.last >= 1 &&
      out.last <= kLastMax) {
    return Ok();
  }
  return Error(ErrorCode::kInvalidArgument,
               "expected all, category=, severity=, since=, until=, text= or last=1..10000");
}

}  // namespace

Result<int64_t> ParseTime(std::string_view text) {
  const Error wrong(ErrorCode::kInvalidArgument, "expected a time as 2026-11-21T08:30, UTC");
  if (text.ends_with('Z')) {
    text.remove_suffix(1);
  }
  const bool has_seconds = text.size() == 19;
  if (text.size() != 16 && !has_seconds) {
    return wrong;
  }
  uint32_t year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
  const bool shaped = text[4] == '-' && text[7] == '-' && (text[10] == 'T' || text[10] == '_') &&
                      text[13] == ':' && (!has_seconds || text[16] == ':');
  const bool numbers = shaped && ReadNumber(text.substr(0, 4), year) &&
                       ReadNumber(text.substr(5, 2), month) && ReadNumber(text.substr(8, 2), day) &&
                       ReadNumber(text.substr(11, 2), hour) &&
                       ReadNumber(text.substr(14, 2), minute) &&
                       (!has_seconds || ReadNumber(text.substr(17, 2), second));
  // Nanoseconds since 1970 in 64 bits end in 2262.
  if (!numbers || year < 1970 || year > 2261 || month < 1 || month > 12 || day < 1 || day > 31 ||
      hour > 23 || minute > 59 || second > 60) {
    return wrong;
  }
  // Days from civil, years begin in March.
  const int64_t y = int64_t{year} - (month <= 2 ? 1 : 0);
  const int64_t era = y / 400;
  const int64_t of_era = y - era * 400;
  const int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
  const int64_t days = era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
  return (days * 86400 + hour * 3600 + minute * 60 + second) * 1'000'000'000;
}

Result<EventFilter> ParseEventFilter(std::string_view text) {
  EventFilter filter;
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (word.empty() || EqualsIgnoringCase(word, "all")) {
      continue;
    }
    const size_t equals = std::min(word.find('='), word.size());
    GH_TRY(Apply(word.substr(0, equals), word.substr(std::min(equals + 1, word.size())), filter));
  }
  return filter;
}

void FormatLine(const Record& record, const TimeZone& zone, ByteWriter& out) {
  const EventInfo& info = kEvents[record.event];
  out.Decimal(record.sequence);
  out.Text(": ");
  FormatLocalTime(record.wall, zone, out);
  out.Char(' ');
  out.Text(SeverityName(info.severity));
  out.Char(' ');
  out.Text(CategoryName(info.category));
  out.Char(' ');
  out.Text(info.name);
  out.Char(' ');
  FormatText(record, out);
}

bool Matches(const EventFilter& filter, const Record& record) {
  const EventInfo& info = kEvents[record.event];
  if ((filter.has_category && info.category != filter.category) ||
      info.severity > filter.severity ||
      (filter.has_since && (!record.wall.is_set || record.wall.unix_ns < filter.since_ns)) ||
      (filter.has_until && (!record.wall.is_set || record.wall.unix_ns > filter.until_ns))) {
    return false;
  }
  if (filter.text.empty()) {
    return true;
  }
  uint8_t bytes[1024];
  ByteWriter out(bytes);
  FormatLine(record, TimeZone(), out);
  const std::string_view line = out.text();
  const std::string_view wanted = filter.text.view();
  return std::search(line.begin(), line.end(), wanted.begin(), wanted.end(),
                     [](char a, char b) { return AsciiLower(a) == AsciiLower(b); }) != line.end();
}

}  // namespace gh::log
