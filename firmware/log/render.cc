#include "firmware/log/render.h"

#include <algorithm>

#include "firmware/log/events.gen.h"
#include "hal/rt/utf8.h"

namespace gh::log {
namespace {

// 32473 is the number RFC 5612 reserves for documentation; an own enterprise number replaces it.
constexpr std::string_view kSdId = "gatehouse@32473";
constexpr uint32_t kFacilityLocal0 = 16;
constexpr uint32_t kFacilityAuthpriv = 10;
constexpr uint64_t kSequenceIdMax = 2147483647;  // RFC 5424 7.3.1

// Copies text as printable UTF-8: what is not becomes '?'. `escape`: RFC 5424 6.3.3.
void WriteClean(std::string_view text, bool escape, ByteWriter& out) {
  while (!text.empty()) {
    const size_t size = Utf8Size(text);
    const char c = text.front();
    if (size == 0 || static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out.Char('?');
      text.remove_prefix(1);
      continue;
    }
    if (escape && (c == '"' || c == '\\' || c == ']')) {
      out.Char('\\');
    }
    out.Text(text.substr(0, size));
    text.remove_prefix(size);
  }
}

// A header word: printable ASCII without spaces, "-" when empty.
void WriteHeaderWord(std::string_view text, size_t size_max, ByteWriter& out) {
  if (text.empty()) {
    out.Char('-');
    return;
  }
  for (char c : text.substr(0, size_max)) {
    out.Char(c > 0x20 && c < 0x7f ? c : '?');
  }
}

void WriteTwoDigits(uint32_t value, ByteWriter& out) {
  out.Char(static_cast<char>('0' + value / 10 % 10));
  out.Char(static_cast<char>('0' + value % 10));
}

std::string_view FieldAt(const Record& record, uint32_t index) {
  ByteReader reader({record.data.data(), record.size});
  for (uint32_t i = 0; i < index; ++i) {
    reader.Skip(reader.U16Be());
  }
  const auto value = reader.Take(reader.U16Be());
  return reader.ok() ? AsText(value) : std::string_view();
}

}  // namespace

void FormatTimestamp(const WallTime& wall, ByteWriter& out) {
  if (!wall.is_set || wall.unix_ns < 0) {
    out.Char('-');
    return;
  }
  const int64_t seconds = wall.unix_seconds();
  const auto of_day = static_cast<uint32_t>(seconds % 86400);
  // Days to civil date, by 400-year eras that begin on 1 March.
  const int64_t days = seconds / 86400 + 719468;
  const int64_t era = days / 146097;
  const int64_t day_of_era = days - era * 146097;
  const int64_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const int64_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t month_from_march = (5 * day_of_year + 2) / 153;
  const int64_t day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
  const int64_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
  const int64_t year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
  out.SignedDecimal(year);
  out.Char('-');
  WriteTwoDigits(static_cast<uint32_t>(month), out);
  out.Char('-');
  WriteTwoDigits(static_cast<uint32_t>(day), out);
  out.Char('T');
  WriteTwoDigits(of_day / 3600, out);
  out.Char(':');
  WriteTwoDigits(of_day / 60 % 60, out);
  out.Char(':');
  WriteTwoDigits(of_day % 60, out);
  out.Char('.');
  const auto micros = static_cast<uint32_t>(wall.unix_ns % 1'000'000'000 / 1000);
  WriteTwoDigits(micros / 10000, out);
  WriteTwoDigits(micros / 100 % 100, out);
  WriteTwoDigits(micros % 100, out);
  out.Char('Z');
}

std::string_view FieldOf(const Record& record, std::string_view name) {
  const EventInfo& info = kEvents[record.event];
  for (uint32_t i = 0; i < info.field_count; ++i) {
    if (info.field_names[i] == name) {
      return FieldAt(record, i);
    }
  }
  return {};
}

void FormatText(const Record& record, ByteWriter& out) {
  std::string_view text = kEvents[record.event].text;
  while (!text.empty()) {
    const size_t open = text.find('{');
    const size_t close = open == text.npos ? text.npos : text.find('}', open);
    if (close == text.npos) {
      out.Text(text);
      return;
    }
    out.Text(text.substr(0, open));
    WriteClean(FieldOf(record, text.substr(open + 1, close - open - 1)), false, out);
    text.remove_prefix(close + 1);
  }
}

void FormatFields(const Record& record, ByteWriter& out) {
  const EventInfo& info = kEvents[record.event];
  for (uint32_t i = 0; i < info.field_count; ++i) {
    out.Char(' ');
    out.Text(info.field_names[i]);
    out.Text("=\"");
    WriteClean(FieldAt(record, i), true, out);
    out.Char('"');
  }
}

void FormatSyslog(const Record& record, const SyslogIdentity& identity, ByteWriter& out) {
  const EventInfo& info = kEvents[record.event];
  const uint32_t facility = info.category == Category::kAudit ? kFacilityAuthpriv : kFacilityLocal0;
  out.Char('<');
  out.Decimal(facility * 8 + static_cast<uint32_t>(info.severity));
  out.Text(">1 ");
  FormatTimestamp(record.wall, out);
  out.Char(' ');
  WriteHeaderWord(identity.host_name, 255, out);
  out.Char(' ');
  WriteHeaderWord(identity.app_name, 48, out);
  out.Char(' ');
  WriteHeaderWord(identity.proc_id, 128, out);
  out.Char(' ');
  WriteHeaderWord(info.name, 32, out);
  out.Text(" [meta sequenceId=\"");
  out.Decimal((record.sequence - 1) % kSequenceIdMax + 1);
  out.Text("\"][");
  out.Text(kSdId);
  out.Text(" id=\"");
  out.Decimal(info.id);
  out.Text("\" category=\"");
  out.Text(CategoryName(info.category));
  out.Char('"');
  FormatFields(record, out);
  if (record.suppressed > 0) {
    out.Text(" suppressed=\"");
    out.Decimal(record.suppressed);
    out.Char('"');
  }
  out.Text(record.truncated ? " truncated=\"true\"] " : "] ");
  // RFC 5424 6.4: a BOM says that the text is UTF-8; plain ASCII needs none.
  uint8_t text_bytes[1024];
  ByteWriter text(text_bytes);
  FormatText(record, text);
  bool ascii = true;
  for (uint8_t byte : text.written()) {
    ascii = ascii && byte < 0x80;
  }
  out.Text(ascii ? "" : "\xef\xbb\xbf");
  std::string_view rest = text.text();
  while (!rest.empty() && out.room() > 4) {
    const size_t size = Utf8Size(rest);
    out.Text(rest.substr(0, size == 0 ? 1 : size));
    rest.remove_prefix(size == 0 ? 1 : size);
  }
}

void FormatBsdSyslog(const Record& record, const SyslogIdentity& identity, ByteWriter& out) {
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const EventInfo& info = kEvents[record.event];
  const uint32_t facility = info.category == Category::kAudit ? kFacilityAuthpriv : kFacilityLocal0;
  out.Char('<');
  out.Decimal(facility * 8 + static_cast<uint32_t>(info.severity));
  out.Char('>');
  // Out of "2026-11-21T08:30:05..."; a clock that is not set is 1970.
  WallTime wall = record.wall;
  wall.is_set = true;
  wall.unix_ns = record.wall.is_set ? std::max<int64_t>(wall.unix_ns, 0) : 0;
  uint8_t stamp_bytes[40];
  ByteWriter stamp(stamp_bytes);
  FormatTimestamp(wall, stamp);
  const std::string_view text = stamp.text();
  const size_t year = text.find('-');  // of four digits for thousands of years
  const auto month = static_cast<size_t>((text[year + 1] - '0') * 10 + text[year + 2] - '0');
  out.Text(kMonths[month - 1]);
  out.Char(' ');
  out.Char(text[year + 4] == '0' ? ' ' : text[year + 4]);
  out.Char(text[year + 5]);
  out.Char(' ');
  out.Text(text.substr(year + 7, 8));
  out.Char(' ');
  WriteHeaderWord(identity.host_name, 255, out);
  out.Char(' ');
  out.Text(identity.app_name);
  out.Char('[');
  WriteHeaderWord(identity.proc_id, 128, out);
  out.Text("]: ");
  out.Text(info.name);
  out.Text(": ");
  uint8_t bytes[1024];
  ByteWriter sentence(bytes);
  FormatText(record, sentence);
  out.Text(sentence.text().substr(0, std::min(sentence.size(), out.room())));
}

}  // namespace gh::log
