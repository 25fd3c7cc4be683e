// Days to dates and back as in Howard Hinnant's "chrono-compatible low-level date algorithms".
#include "firmware/xmpp/stamp.h"

#include <charconv>

namespace gh::xmpp {
namespace {

void WriteTwo(uint32_t value, ByteWriter& out) {
  out.Char(static_cast<char>('0' + value / 10 % 10));
  out.Char(static_cast<char>('0' + value % 10));
}

// `count` digits off the front, then `end`.
bool Take(std::string_view& text, size_t count, char end, uint32_t& out) {
  if (text.size() <= count || text[count] != end) {
    return false;
  }
  const char* stop = text.data() + count;
  const auto [at, error] = std::from_chars(text.data(), stop, out);
  text = text.substr(count + 1);
  return error == std::errc() && at == stop;
}

int64_t DaysOf(uint32_t year, uint32_t month, uint32_t day) {
  const int64_t y = static_cast<int64_t>(year) - (month <= 2 ? 1 : 0);
  const int64_t era = y / 400;
  const auto year_of_era = static_cast<uint32_t>(y - era * 400);
  const uint32_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
  const uint32_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146097 + day_of_era - 719468;
}

}  // namespace

void WriteStamp(int64_t unix_seconds, ByteWriter& out) {
  const int64_t seconds = unix_seconds < 0 ? 0 : unix_seconds;
  const int64_t days = seconds / 86400 + 719468;
  const auto rest = static_cast<uint32_t>(seconds % 86400);
  const int64_t era = days / 146097;
  const auto day_of_era = static_cast<uint32_t>(days - era * 146097);
  const uint32_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const uint32_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const uint32_t shifted = (5 * day_of_year + 2) / 153;
  const uint32_t month = shifted < 10 ? shifted + 3 : shifted - 9;
  out.Decimal(static_cast<uint64_t>(era * 400 + year_of_era + (month <= 2 ? 1 : 0)));
  out.Char('-');
  WriteTwo(month, out);
  out.Char('-');
  WriteTwo(day_of_year - (153 * shifted + 2) / 5 + 1, out);
  out.Char('T');
  WriteTwo(rest / 3600, out);
  out.Char(':');
  WriteTwo(rest / 60 % 60, out);
  out.Char(':');
  WriteTwo(rest % 60, out);
  out.Char('Z');
}

bool ReadStamp(std::string_view text, int64_t& unix_seconds) {
  uint32_t year = 0, month = 0, day = 0, hour = 0, minute = 0;
  if (!Take(text, 4, '-', year) || !Take(text, 2, '-', month) || !Take(text, 2, 'T', day) ||
      !Take(text, 2, ':', hour) || !Take(text, 2, ':', minute) || text.size() < 3) {
    return false;
  }
  uint32_t second = 0;
  const char* stop = text.data() + 2;
  const auto [at, error] = std::from_chars(text.data(), stop, second);
  text = text.substr(2);
  if (!text.empty() && text[0] == '.') {
    const size_t digits = text.find_first_not_of("0123456789", 1);
    text = digits == std::string_view::npos ? std::string_view() : text.substr(digits);
  }
  int64_t offset = 0;
  if (text.size() == 6 && (text[0] == '+' || text[0] == '-') && text[3] == ':') {
    uint32_t hours = 0, minutes = 0;
    std::string_view rest = text.substr(1);
    const bool read = Take(rest, 2, ':', hours) &&
                      std::from_chars(rest.data(), rest.data() + 2, minutes).ec == std::errc();
    offset = (text[0] == '-' ? -1 : 1) * (int64_t{hours} * 3600 + minutes * 60);
    text = read ? "Z" : "";
  }
  if (error != std::errc() || at != stop || text != "Z" || month < 1 || month > 12 || day < 1 ||
      day > 31 || hour > 23 || minute > 59 || second > 60 || year < 1970) {
    return false;
  }
  unix_seconds = DaysOf(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset;
  return true;
}

}  // namespace gh::xmpp
