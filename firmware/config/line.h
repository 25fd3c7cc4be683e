// One line of xConfiguration text, taken apart. Pure: bytes in, words and a value out.
//
//   line    = [ "*c" ] "xConfiguration" *word [ ":" [ value ] ]
//   value   = <"> *( char / "\" char ) <"> / text to the end of the line, trimmed
//   search  = "xConfiguration" "//" text
//
// Fault model: operators, provisioning files and the terminal send anything; every fault is a
// Result with a message that says what was expected.
#pragma once

#include <array>
#include <span>
#include <string_view>

#include "firmware/config/limits.h"
#include "firmware/config/types.h"
#include "hal/rt/bytes.h"
#include "hal/rt/result.h"

namespace gh::config {

struct Line {
  std::array<std::string_view, kPathWordMax> words = {};
  uint32_t word_count = 0;
  bool has_value = false;
  Text<255> value;  // unquoted
  bool is_search = false;
  std::string_view search;

  std::span<const std::string_view> path() const { return {words.data(), word_count}; }
};

// `text` outlives the Line. Leading "xConfiguration" is needed; case does not matter.
Result<Line> ParseLine(std::string_view text, Message& expected);
// The same of what follows "xConfiguration".
Result<Line> ParsePath(std::string_view text, Message& expected);

// Blank lines and comments (#, or the "*" lines of a listing's frame: "** end").
bool IsIgnorableLine(std::string_view text);

bool EqualsIgnoreCase(std::string_view a, std::string_view b);
bool StartsWithIgnoreCase(std::string_view text, std::string_view prefix);
bool ContainsIgnoreCase(std::string_view text, std::string_view part);
std::string_view Trim(std::string_view text);

// Quotes a value where a reader of lines needs it: "" and \ escapes.
void WriteQuoted(ByteWriter& out, std::string_view value);

// Appends to a message, cutting at its end.
class MessageWriter {
 public:
  explicit MessageWriter(Message& message) : message_(message) { message_ = {}; }
  MessageWriter& Add(std::string_view text);
  MessageWriter& Add(int64_t number);

 private:
  Message& message_;
};

}  // namespace gh::config
