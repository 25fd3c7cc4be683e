#include "firmware/config/line.h"

#include <algorithm>

#include "hal/rt/ascii.h"
#include "hal/rt/bytes.h"

namespace gh::config {
namespace {

constexpr bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\r'; }

std::string_view TakeWord(std::string_view& rest) {
  size_t size = 0;
  while (size < rest.size() && !IsSpace(rest[size]) && rest[size] != ':') {
    ++size;
  }
  const std::string_view word = rest.substr(0, size);
  rest.remove_prefix(size);
  return word;
}

// The value after ':'; quotes are taken off, what follows them must be nothing.
Result<void> ParseValue(std::string_view text, Line& line, Message& expected) {
  text = Trim(text);
  const auto too_long = [&]() -> Error {
    MessageWriter(expected).Add("value too long: expected at most 255 characters");
    return {ErrorCode::kTooLarge, "value too long"};
  };
  if (text.empty() || text.front() != '"') {
    if (text.size() > line.value.max_size()) {
      return too_long();
    }
    line.value.Set(text);
    return Ok();
  }
  char unquoted[255];
  size_t size = 0;
  size_t at = 1;
  for (; at < text.size() && text[at] != '"'; ++at) {
    if (text[at] == '\\' && at + 1 < text.size()) {
      ++at;
    }
    if (size == sizeof(unquoted)) {
      return too_long();
    }
    unquoted[size++] = text[at];
  }
  if (at >= text.size()) {
    MessageWriter(expected).Add("expected a closing quote (\") at the end of the value");
    return Error{ErrorCode::kMalformed, "no closing quote"};
  }
  if (at + 1 != text.size()) {
    MessageWriter(expected).Add("expected nothing after the closing quote");
    return Error{ErrorCode::kMalformed, "text after the closing quote"};
  }
  line.value.Set({unquoted, size});
  return Ok();
}

}  // namespace

bool EqualsIgnoreCase(std::string_view a, std::string_view b) {
  return a.size() == b.size() && StartsWithIgnoreCase(a, b);
}

bool StartsWithIgnoreCase(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size() &&
         std::equal(prefix.begin(), prefix.end(), text.begin(),
                    [](char a, char b) { return AsciiLower(a) == AsciiLower(b); });
}

bool ContainsIgnoreCase(std::string_view text, std::string_view part) {
  for (size_t at = 0; at + part.size() <= text.size(); ++at) {
    if (StartsWithIgnoreCase(text.substr(at), part)) {
      return true;
    }
  }
  return false;
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && IsSpace(text.front())) {
    text.remove_prefix(1);
  }
  while (!text.empty() && IsSpace(text.back())) {
    text.remove_suffix(1);
  }
  return text;
}

bool IsIgnorableLine(std::string_view text) {
  text = Trim(text);
  return text.empty() || text.front() == '#' || text.starts_with("**");
}

Result<Line> ParsePath(std::string_view text, Message& expected) {
  Line line;
  std::string_view rest = Trim(text);
  if (rest.starts_with("//")) {
    line.is_search = true;
    line.search = Trim(rest.substr(2));
    return line;
  }
  for (;;) {
    rest = Trim(rest);
    if (rest.empty()) {
      return line;
    }
    if (rest.front() == ':') {
      line.has_value = true;
      GH_TRY(ParseValue(rest.substr(1), line, expected));
      return line;
    }
    const std::string_view word = TakeWord(rest);
    if (line.word_count == kPathWordMax) {
      MessageWriter(expected).Add("expected at most ").Add(kPathWordMax).Add(" words before ':'");
      return Error{ErrorCode::kTooLarge, "too many words"};
    }
    line.words[line.word_count++] = word;
  }
}

Result<Line> ParseLine(std::string_view text, Message& expected) {
  std::string_view rest = Trim(text);
  if (rest.size() > kLineMax) {
    MessageWriter(expected).Add("line too long: expected at most ").Add(kLineMax).Add(" bytes");
    return Error{ErrorCode::kTooLarge, "line too long"};
  }
  for (char c : rest) {
    if (static_cast<unsigned char>(c) < 0x20 && c != '\t') {
      MessageWriter(expected).Add("expected no control characters");
      return Error{ErrorCode::kMalformed, "control character"};
    }
  }
  if (rest.starts_with("*c ")) {
    rest = Trim(rest.substr(3));
  }
  const std::string_view verb = TakeWord(rest);
  if (!EqualsIgnoreCase(verb, "xConfiguration")) {
    MessageWriter(expected).Add("expected a line that begins \"xConfiguration\"");
    return Error{ErrorCode::kMalformed, "not an xConfiguration line"};
  }
  return ParsePath(rest, expected);
}

void WriteQuoted(ByteWriter& out, std::string_view value) {
  out.Char('"');
  for (char c : value) {
    if (c == '"' || c == '\\') {
      out.Char('\\');
    }
    out.Char(c);
  }
  out.Char('"');
}

MessageWriter& MessageWriter::Add(std::string_view text) {
  const size_t room = message_.max_size() - message_.size;
  const size_t size = std::min(room, text.size());
  std::memcpy(message_.data + message_.size, text.data(), size);
  message_.size = static_cast<uint8_t>(message_.size + size);
  return *this;
}

MessageWriter& MessageWriter::Add(int64_t number) {
  uint8_t digits[24];
  ByteWriter writer(digits);
  writer.SignedDecimal(number);
  return Add(writer.text());
}

}  // namespace gh::config
