// Characters and small pieces of SIP grammar (RFC 3261 25): classes, comparison, numbers, linear
// white space, quoted strings. Pure functions over views; nothing here can read past its input.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

namespace gh::sip {

enum CharClass : uint16_t {
  kToken = 1,  // alphanum / "-.!%*_+`'~"
  kDigit = 2,
  kHexDigit = 4,
  kAlpha = 8,
  kLws = 16,       // SP HTAB, and CR LF as they occur inside a folded value
  kUserChar = 32,  // unreserved / user-unreserved (no escape)
  kPasswordChar = 64,
  kUriParamChar = 128,
  kHostChar = 256,  // alphanum "-" "." ("_" tolerated)
  kUriHeaderChar = 512,
  kWordChar = 1024,    // "word" of Call-ID, and "@"
  kOpaqueChar = 2048,  // what an unknown scheme may hold
};

constexpr std::array<uint16_t, 256> MakeCharTable() {
  std::array<uint16_t, 256> table = {};
  auto add = [&table](std::string_view set, uint16_t bits) {
    for (char c : set) {
      auto& entry = table[static_cast<uint8_t>(c)];
      entry = static_cast<uint16_t>(entry | bits);
    }
  };
  add("0123456789", kDigit | kHexDigit);
  add("abcdefABCDEF", kHexDigit);
  add("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", kAlpha);
  const uint16_t everywhere = kToken | kUserChar | kPasswordChar | kUriParamChar | kHostChar |
                              kUriHeaderChar | kWordChar | kOpaqueChar;
  add("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", everywhere);
  add("-.!%*_+`'~", kToken);
  add(" \t\r\n", kLws);
  const uint16_t unreserved = kUserChar | kPasswordChar | kUriParamChar | kUriHeaderChar;
  add("-_.!~*'()", unreserved);
  add("&=+$,;?/", kUserChar);
  add("&=+$,", kPasswordChar);
  add("[]/:&+$", kUriParamChar);
  add("[]/?:+$", kUriHeaderChar);
  add("-._", kHostChar);
  add("-.!%*_+`'~()<>:\\\"/[]?{}@", kWordChar);
  add("-_.!~*'();/?:@&=+$,%[]", kOpaqueChar);
  return table;
}
inline constexpr std::array<uint16_t, 256> kCharTable = MakeCharTable();

constexpr bool Is(char c, uint16_t classes) {
  return (kCharTable[static_cast<uint8_t>(c)] & classes) != 0;
}
constexpr bool AllAre(std::string_view text, uint16_t classes) {
  for (char c : text) {
    if (!Is(c, classes)) {
      return false;
    }
  }
  return true;
}
constexpr char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
constexpr bool EqualsNoCase(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) {
    return false;
  }
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] != b[i] && Lower(a[i]) != Lower(b[i])) {
      return false;
    }
  }
  return true;
}
constexpr int HexValue(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  const char lower = Lower(c);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}
constexpr std::string_view TrimLws(std::string_view text) {
  while (!text.empty() && Is(text.front(), kLws)) {
    text.remove_prefix(1);
  }
  while (!text.empty() && Is(text.back(), kLws)) {
    text.remove_suffix(1);
  }
  return text;
}

// Digits only, any number of leading zeros; values above `max` give nothing (or `max` itself with
// the clamping form, for fields where a huge value just means "very long").
std::optional<uint32_t> ParseNumber(std::string_view text, uint32_t max);
std::optional<uint32_t> ParseNumberClamped(std::string_view text, uint32_t max);
// "0", "0.7", "1.000" as thousandths (RFC 3261 qvalue).
std::optional<uint16_t> ParseQvalue(std::string_view text);

// Every byte of `classes`, or a well-formed %XX escape.
bool AllAreOrEscaped(std::string_view text, uint16_t classes);
// Compares with %XX decoded on both sides (RFC 3261 19.1.4).
bool EqualsUnescaped(std::string_view a, std::string_view b, bool fold_case);
// Decodes %XX into `out`; the size, or nothing when it does not fit or is malformed.
std::optional<size_t> Unescape(std::string_view text, char* out, size_t room);

// Walks a header value. All steps skip leading LWS where the grammar allows it.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool at_end() {
    SkipLws();
    return at_ == text_.size();
  }
  size_t offset() const { return at_; }
  std::string_view rest() const { return text_.substr(at_); }
  void SkipLws() {
    while (at_ < text_.size() && Is(text_[at_], kLws)) {
      ++at_;
    }
  }
  char Peek() {
    SkipLws();
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool PeekIs(char c) { return !at_end() && text_[at_] == c; }
  bool Take(char c) {
    if (!PeekIs(c)) {
      return false;
    }
    ++at_;
    return true;
  }
  // Longest run of `classes` (after LWS); may be empty.
  std::string_view Run(uint16_t classes) {
    SkipLws();
    const size_t start = at_;
    while (at_ < text_.size() && Is(text_[at_], classes)) {
      ++at_;
    }
    return text_.substr(start, at_ - start);
  }
  // A quoted string's inside (escapes kept), or nothing. The opening quote must be next.
  std::optional<std::string_view> Quoted();
  // Up to `stop` (not taken); nothing when it does not come.
  std::optional<std::string_view> Until(char stop);
  std::string_view Slice(size_t from, size_t to) const { return text_.substr(from, to - from); }
  void Skip(size_t count) { at_ = at_ + count < text_.size() ? at_ + count : text_.size(); }

 private:
  std::string_view text_;
  size_t at_ = 0;
};

struct Param {
  std::string_view name;
  std::string_view value;  // inside of the quotes when quoted
  bool has_value = false;
  bool quoted = false;
};
enum class Next : uint8_t { kItem, kEnd, kMalformed };

// Next ";name[=value]" of a header's parameters. Stops (kEnd) at the end or at a comma.
Next NextParam(Scanner& scanner, Param& param);
// Next "name[=value]" of URI parameters ("a=b;c;d=e", no white space). `rest` is consumed.
Next NextUriParam(std::string_view& rest, Param& param);
// The parameter of that name (case-insensitive) in header parameters already found well-formed.
std::optional<Param> FindParam(std::string_view params, std::string_view name);
std::optional<Param> FindUriParam(std::string_view params, std::string_view name);

}  // namespace gh::sip
