// What an event is made of: its row in the table, its record in the ring, and the writer of fields.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "firmware/log/limits.h"
#include "hal/rt/bytes.h"
#include "hal/rt/time.h"

namespace gh::log {

// RFC 5424, table 2; less is graver.
enum class Severity : uint8_t {
  kEmergency = 0,
  kAlert = 1,
  kCritical = 2,
  kError = 3,
  kWarning = 4,
  kNotice = 5,
  kInformational = 6,
  kDebug = 7,
};

enum class Category : uint8_t {
  kSystem,
  kAlarm,
  kAudit,
  kStore,
  kNetwork,
  kFirewall,
  kSip,
  kTurn,
  kXmpp
};

inline constexpr uint32_t kCategoryCount = static_cast<uint32_t>(Category::kXmpp) + 1;
inline constexpr uint32_t kAllCategories = (1u << kCategoryCount) - 1;

const char* SeverityName(Severity severity);  // "warning"
const char* CategoryName(Category category);  // "network"

struct EventInfo {
  uint32_t id;
  const char* name;
  const char* text;  // {field} stands for the field's value
  const char* const* field_names;
  uint32_t field_count;
  Severity severity;
  Category category;
  uint32_t rate;   // a second, in the long run
  uint32_t burst;  // at once
  uint8_t level;   // 1 to 4: from which log level of its category on it is recorded
};

struct AlarmInfo {
  uint32_t id;
  const char* title;
  const char* action;
  Severity level;
};

// One event in the ring. Values are kept as text, each behind a 16-bit size.
struct Record {
  uint64_t sequence = 0;  // from 1; 0: no record
  Instant when;
  WallTime wall;
  uint16_t event = 0;       // index into kEvents
  uint16_t size = 0;        // of data
  uint32_t suppressed = 0;  // events of this kind that the rate limit held back before this one
  bool truncated = false;   // values were cut
  std::array<uint8_t, kRecordDataMax> data = {};
};

class FieldWriter {
 public:
  explicit FieldWriter(Record& record) : record_(record), out_(record.data) {}
  ~FieldWriter() { record_.size = static_cast<uint16_t>(out_.size()); }
  FieldWriter(const FieldWriter&) = delete;
  FieldWriter& operator=(const FieldWriter&) = delete;

  void Add(std::string_view value) {
    if (out_.room() < 2) {
      record_.truncated = true;
      return;
    }
    size_t size = value.size() < kFieldValueMax ? value.size() : kFieldValueMax;
    size = size < out_.room() - 2 ? size : out_.room() - 2;
    record_.truncated = record_.truncated || size < value.size();
    out_.U16Be(static_cast<uint16_t>(size));
    out_.Text(value.substr(0, size));
  }
  void Add(uint64_t value) {
    uint8_t digits[20];
    ByteWriter text(digits);
    text.Decimal(value);
    Add(text.text());
  }
  void Add(int64_t value) {
    uint8_t digits[21];
    ByteWriter text(digits);
    text.SignedDecimal(value);
    Add(text.text());
  }
  void Add(bool value) { Add(std::string_view(value ? "true" : "false")); }

 private:
  Record& record_;
  ByteWriter out_;
};

}  // namespace gh::log
