#include "firmware/acme/json.h"

#include <algorithm>

namespace gh::acme {
namespace {

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// The value of a hexadecimal digit; -1: none.
int HexOf(char c) {
  return IsDigit(c)               ? c - '0'
         : (c >= 'a' && c <= 'f') ? c - 'a' + 10
         : (c >= 'A' && c <= 'F') ? c - 'A' + 10
                                  : -1;
}

// Four hexadecimal digits at the front; -1: none.
int32_t Hex4(std::string_view text) {
  if (text.size() < 4) {
    return -1;
  }
  int32_t value = 0;
  for (size_t i = 0; i < 4; ++i) {
    const int digit = HexOf(text[i]);
    if (digit < 0) {
      return -1;
    }
    value = value << 4 | digit;
  }
  return value;
}

void WriteUtf8(uint32_t code, ByteWriter& out) {
  if (code < 0x80) {
    out.U8(static_cast<uint8_t>(code));
  } else if (code < 0x800) {
    out.U8(static_cast<uint8_t>(0xc0 | code >> 6));
    out.U8(static_cast<uint8_t>(0x80 | (code & 0x3f)));
  } else if (code < 0x10000) {
    out.U8(static_cast<uint8_t>(0xe0 | code >> 12));
    out.U8(static_cast<uint8_t>(0x80 | (code >> 6 & 0x3f)));
    out.U8(static_cast<uint8_t>(0x80 | (code & 0x3f)));
  } else {
    out.U8(static_cast<uint8_t>(0xf0 | code >> 18));
    out.U8(static_cast<uint8_t>(0x80 | (code >> 12 & 0x3f)));
    out.U8(static_cast<uint8_t>(0x80 | (code >> 6 & 0x3f)));
    out.U8(static_cast<uint8_t>(0x80 | (code & 0x3f)));
  }
}

// One escape behind its backslash, off the front of `text`. False: it is none.
bool TakeEscape(std::string_view& text, ByteWriter& out) {
  if (text.empty()) {
    return false;
  }
  const char c = text.front();
  text.remove_prefix(1);
  constexpr std::string_view kShort = "\"\\/bfnrt";
  constexpr std::string_view kMeaning = "\"\\/\b\f\n\r\t";
  if (const size_t at = kShort.find(c); at != kShort.npos) {
    out.Char(kMeaning[at]);
    return true;
  }
  int32_t code = c == 'u' ? Hex4(text) : -1;
  if (code < 0 || (code >= 0xdc00 && code < 0xe000)) {
    return false;
  }
  text.remove_prefix(4);
  if (code >= 0xd800 && code < 0xdc00) {
    const int32_t low = text.starts_with("\\u") ? Hex4(text.substr(2)) : -1;
    if (low < 0xdc00 || low >= 0xe000) {
      return false;
    }
    text.remove_prefix(6);
    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
  }
  WriteUtf8(static_cast<uint32_t>(code), out);
  return true;
}

// -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?
bool IsNumber(std::string_view text) {
  const auto digits = [&text] {
    const size_t count =
        static_cast<size_t>(std::ranges::find_if_not(text, IsDigit) - text.begin());
    text.remove_prefix(count);
    return count;
  };
  if (text.starts_with('-')) {
    text.remove_prefix(1);
  }
  const bool is_zero = text.starts_with('0');
  const size_t whole = digits();
  if (whole == 0 || (is_zero && whole > 1)) {
    return false;
  }
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    if (digits() == 0) {
      return false;
    }
  }
  if (text.starts_with('e') || text.starts_with('E')) {
    text.remove_prefix(1);
    if (text.starts_with('+') || text.starts_with('-')) {
      text.remove_prefix(1);
    }
    if (digits() == 0) {
      return false;
    }
  }
  return text.empty();
}

}  // namespace

class Json::Parser {
 public:
  Parser(Json& json, std::string_view text) : json_(json), text_(text) {}

  Result<void> Run() {
    GH_TRY(TakeValue());
    while (depth_ > 0) {
      GH_TRY(TakeMember());
    }
    SkipBlanks();
    return at_ == text_.size() ? Ok() : Bad("something follows the JSON document");
  }

 private:
  static Result<void> Bad(const char* what) { return Error(ErrorCode::kMalformed, what); }
  char Peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void SkipBlanks() {
    while (at_ < text_.size() && IsBlank(text_[at_])) {
      ++at_;
    }
  }
  Level& top() { return levels_[depth_ - 1]; }

  // Between the brackets of the innermost value: one more member, or its end.
  Result<void> TakeMember() {
    const bool is_object = json_.nodes_[top().node].kind == Kind::kObject;
    const bool is_first = top().last == kNothing;
    SkipBlanks();
    if (Peek() == (is_object ? '}' : ']')) {
      ++at_;
      --depth_;
      return Ok();
    }
    if (!is_first) {
      if (Peek() != ',') {
        return Bad("JSON: a comma is missing");
      }
      ++at_;
      SkipBlanks();
    }
    if (is_object) {
      GH_TRY(TakeString(name_begin_, name_size_));
      SkipBlanks();
      if (Peek() != ':') {
        return Bad("JSON: a colon is missing");
      }
      ++at_;
    }
    return TakeValue();
  }

  Result<void> TakeValue() {
    SkipBlanks();
    if (json_.count_ == kJsonNodesMax) {
      return Error(ErrorCode::kTooLarge, "the JSON document has too many values");
    }
    const auto node = static_cast<Node>(json_.count_++);
    Entry& entry = json_.nodes_[node];
    entry = {};
    if (depth_ > 0) {
      entry.name_begin = name_begin_;
      entry.name_size = name_size_;
      Node& link =
          top().last == kNothing ? json_.nodes_[top().node].first : json_.nodes_[top().last].next;
      link = top().last = node;
    }
    if (Peek() == '{' || Peek() == '[') {
      entry.kind = Peek() == '{' ? Kind::kObject : Kind::kArray;
      ++at_;
      if (depth_ == kJsonDepthMax) {
        return Error(ErrorCode::kTooLarge, "the JSON document is too deep");
      }
      levels_[depth_++] = {node, kNothing};
      name_begin_ = name_size_ = 0;
      return Ok();
    }
    if (Peek() == '"') {
      entry.kind = Kind::kString;
      return TakeString(entry.begin, entry.size);
    }
    return TakeWord(entry);
  }

  Result<void> TakeWord(Entry& entry) {
    const size_t begin = at_;
    while (at_ < text_.size() && !IsBlank(text_[at_]) &&
           std::string_view(",]}").find(text_[at_]) == std::string_view::npos) {
      ++at_;
    }
    const std::string_view word = text_.substr(begin, at_ - begin);
    entry.begin = static_cast<uint32_t>(begin);
    entry.size = static_cast<uint32_t>(word.size());
    entry.kind = word == "true"    ? Kind::kTrue
                 : word == "false" ? Kind::kFalse
                 : word == "null"  ? Kind::kNull
                 : IsNumber(word)  ? Kind::kNumber
                                   : Kind::kNone;
    return entry.kind == Kind::kNone ? Bad("JSON: neither a value nor its end") : Ok();
  }

  // Escapes are checked by decoding them.
  Result<void> TakeString(uint32_t& begin, uint32_t& size) {
    if (Peek() != '"') {
      return Bad("JSON: a name is missing");
    }
    begin = static_cast<uint32_t>(++at_);
    while (at_ < text_.size() && text_[at_] != '"') {
      if (static_cast<unsigned char>(text_[at_]) < 0x20) {
        return Bad("JSON: a control character in a string");
      }
      if (text_[at_] != '\\') {
        ++at_;
        continue;
      }
      std::string_view rest = text_.substr(at_ + 1);
      uint8_t bytes[4];
      ByteWriter decoded(bytes);
      if (!TakeEscape(rest, decoded)) {
        return Bad("JSON: a string has a wrong escape");
      }
      at_ = text_.size() - rest.size();
    }
    if (at_ >= text_.size()) {
      return Bad("JSON: a string does not end");
    }
    size = static_cast<uint32_t>(at_) - begin;
    ++at_;
    return Ok();
  }

  Json& json_;
  std::string_view text_;
  size_t at_ = 0;
  std::array<Level, kJsonDepthMax> levels_;
  uint32_t depth_ = 0;
  uint32_t name_begin_ = 0;
  uint32_t name_size_ = 0;
};

Result<void> Json::Parse(std::string_view text) {
  count_ = 0;
  text_ = text;
  if (text.size() > UINT32_MAX / 2) {
    return Error(ErrorCode::kTooLarge, "the JSON document is too large");
  }
  auto done = Parser(*this, text).Run();
  if (!done.ok()) {
    count_ = 0;
  }
  return done;
}

Json::Node Json::First(Node parent) const {
  return parent == kNothing ? kNothing : nodes_[parent].first;
}

Json::Node Json::Find(Node object, std::string_view name) const {
  if (kind(object) != Kind::kObject) {
    return kNothing;
  }
  Node node = First(object);
  while (node != kNothing &&
         text_.substr(nodes_[node].name_begin, nodes_[node].name_size) != name) {
    node = Next(node);
  }
  return node;
}

bool Json::Text(Node node, ByteWriter& out) const {
  if (kind(node) != Kind::kString) {
    return false;
  }
  std::string_view rest = text_.substr(nodes_[node].begin, nodes_[node].size);
  while (!rest.empty()) {
    const size_t plain = std::min(rest.find('\\'), rest.size());
    out.Text(rest.substr(0, plain));
    rest.remove_prefix(plain);
    if (!rest.empty()) {
      rest.remove_prefix(1);
      if (!TakeEscape(rest, out)) {
        return false;
      }
    }
  }
  return out.ok();
}

bool Json::Is(Node node, std::string_view text) const {
  return kind(node) == Kind::kString && text_.substr(nodes_[node].begin, nodes_[node].size) == text;
}

}  // namespace gh::acme
