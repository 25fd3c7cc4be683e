#include "firmware/log/time_zone.h"

#include <algorithm>

#include "firmware/log/render.h"

namespace gh::log {
namespace {

struct Zone {
  const char* name;
  const char* rule;
};
constexpr Zone kZones[] = {
#include "firmware/log/time_zones.inc"
};

constexpr int64_t kDay = 86400;

int64_t DaysOf(int64_t year, int64_t month, int64_t day) {
  const int64_t y = year - (month <= 2 ? 1 : 0);
  const int64_t era = (y >= 0 ? y : y - 399) / 400;
  const int64_t of_era = y - era * 400;
  const int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
  return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

int64_t YearOf(int64_t unix_seconds) {
  const int64_t days = (unix_seconds >= 0 ? unix_seconds : unix_seconds - kDay + 1) / kDay;
  int64_t year = 1970 + days / 366;
  while (DaysOf(year + 1, 1, 1) <= days) {
    ++year;  // at most a few: 366 is nearly a year
  }
  while (DaysOf(year, 1, 1) > days) {
    --year;
  }
  return year;
}

bool TakeNumber(std::string_view& text, int32_t max, int32_t& out) {
  size_t digits = 0;
  out = 0;
  while (digits < text.size() && digits < 3 && text[digits] >= '0' && text[digits] <= '9') {
    out = out * 10 + (text[digits++] - '0');
  }
  text.remove_prefix(digits);
  return digits > 0 && out <= max;
}

bool TakeChar(std::string_view& text, char c) {
  const bool found = !text.empty() && text.front() == c;
  text.remove_prefix(found ? 1 : 0);
  return found;
}

// [+-]h[h[h]][:mm[:ss]], in seconds.
bool TakeTime(std::string_view& text, int32_t hours_max, int32_t& out) {
  const bool minus = TakeChar(text, '-');
  if (!minus) {
    (void)TakeChar(text, '+');
  }
  int32_t hours = 0, minutes = 0, seconds = 0;
  if (!TakeNumber(text, hours_max, hours) ||
      (TakeChar(text, ':') && (!TakeNumber(text, 59, minutes) ||
                               (TakeChar(text, ':') && !TakeNumber(text, 59, seconds))))) {
    return false;
  }
  out = hours * 3600 + minutes * 60 + seconds;
  out = minus ? -out : out;
  return true;
}

// Three letters or more, or anything between < and >.
bool TakeName(std::string_view& text) {
  size_t size = 0;
  if (text.starts_with('<')) {
    size = text.find('>');
    if (size == text.npos || size < 4) {
      return false;
    }
    text.remove_prefix(size + 1);
    return true;
  }
  while (size < text.size() && ((text[size] | 32) >= 'a' && (text[size] | 32) <= 'z')) {
    ++size;
  }
  text.remove_prefix(size);
  return size >= 3;
}

bool EqualsNoCase(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 32) : c; };
  return std::ranges::equal(a, b, [&](char x, char y) { return lower(x) == lower(y); });
}

}  // namespace

Result<TimeZone> TimeZone::Of(std::string_view name) {
  if (name.empty()) {
    return TimeZone();
  }
  for (const Zone& zone : kZones) {
    if (EqualsNoCase(zone.name, name)) {
      return Parse(zone.rule);
    }
  }
  return Parse(name);
}

bool TimeZone::ParseChange(std::string_view& text, Change& out) {
  if (!TakeChar(text, ',') || !TakeChar(text, 'M') || !TakeNumber(text, 12, out.month) ||
      !TakeChar(text, '.') || !TakeNumber(text, 5, out.week) || !TakeChar(text, '.') ||
      !TakeNumber(text, 6, out.weekday) || out.month == 0 || out.week == 0) {
    return false;
  }
  return !TakeChar(text, '/') || TakeTime(text, 167, out.seconds);
}

Result<TimeZone> TimeZone::Parse(std::string_view rule) {
  const Error wrong(ErrorCode::kInvalidArgument,
                    "expected a time zone as Europe/Oslo, or a rule as CET-1CEST,M3.5.0,M10.5.0/3");
  TimeZone zone;
  int32_t west = 0;
  if (!TakeName(rule) || !TakeTime(rule, 24, west)) {
    return wrong;
  }
  zone.standard_ = -west;
  if (rule.empty()) {
    return zone;
  }
  zone.has_summer_ = true;
  zone.summer_ = zone.standard_ + 3600;
  if (!TakeName(rule)) {
    return wrong;
  }
  if (!rule.starts_with(',')) {
    if (!TakeTime(rule, 24, west)) {
      return wrong;
    }
    zone.summer_ = -west;
  }
  if (!ParseChange(rule, zone.begin_) || !ParseChange(rule, zone.end_) || !rule.empty()) {
    return wrong;
  }
  return zone;
}

// Local time of the change as if it were UTC.
int64_t TimeZone::SecondsOf(const Change& change, int64_t year) {
  const int64_t first = DaysOf(year, change.month, 1);
  const int64_t next =
      change.month == 12 ? DaysOf(year + 1, 1, 1) : DaysOf(year, change.month + 1, 1);
  const int64_t weekday = ((first + 4) % 7 + 7) % 7;  // 1970-01-01 was a Thursday
  int64_t day = first + (change.weekday - weekday + 7) % 7 + (change.week - 1) * 7;
  while (day >= next) {
    day -= 7;
  }
  return day * kDay + change.seconds;
}

int32_t TimeZone::OffsetAt(int64_t unix_seconds) const {
  if (!has_summer_) {
    return standard_;
  }
  const int64_t year = YearOf(unix_seconds + standard_);
  const int64_t begin = SecondsOf(begin_, year) - standard_;
  const int64_t end = SecondsOf(end_, year) - summer_;
  const bool is_summer = begin < end ? unix_seconds >= begin && unix_seconds < end
                                     : unix_seconds >= begin || unix_seconds < end;
  return is_summer ? summer_ : standard_;
}

void FormatLocalTime(const WallTime& wall, const TimeZone& zone, ByteWriter& out) {
  const int32_t offset = wall.is_set ? zone.OffsetAt(wall.unix_seconds()) : 0;
  if (offset == 0) {
    FormatTimestamp(wall, out);
    return;
  }
  WallTime local = wall;
  local.unix_ns += int64_t{offset} * 1'000'000'000;
  uint8_t bytes[40];
  ByteWriter text(bytes);
  FormatTimestamp(local, text);
  out.Text(text.text().substr(0, text.size() - 1));  // without the Z
  const auto minutes = static_cast<uint32_t>(offset < 0 ? -offset : offset) / 60;
  out.Char(offset < 0 ? '-' : '+');
  out.Char(static_cast<char>('0' + minutes / 600));
  out.Char(static_cast<char>('0' + minutes / 60 % 10));
  out.Char(':');
  out.Char(static_cast<char>('0' + minutes % 60 / 10));
  out.Char(static_cast<char>('0' + minutes % 10));
}

}  // namespace gh::log
