#include "firmware/sip/text.h"

#include "firmware/sip/limits.h"

namespace gh::sip {

std::optional<uint32_t> ParseNumber(std::string_view text, uint32_t max) {
  if (text.empty()) {
    return std::nullopt;
  }
  uint64_t value = 0;
  for (char c : text) {
    if (!Is(c, kDigit)) {
      return std::nullopt;
    }
    value = value * 10 + static_cast<uint64_t>(c - '0');
    if (value > max) {
      return std::nullopt;
    }
  }
  return static_cast<uint32_t>(value);
}

std::optional<uint32_t> ParseNumberClamped(std::string_view text, uint32_t max) {
  if (text.empty() || !AllAre(text, kDigit)) {
    return std::nullopt;
  }
  return ParseNumber(text, max).value_or(max);
}

std::optional<uint16_t> ParseQvalue(std::string_view text) {
  if (text.empty() || text.size() > 5 || (text[0] != '0' && text[0] != '1')) {
    return std::nullopt;
  }
  uint32_t value = text[0] == '1' ? 1000 : 0;
  if (text.size() > 1 && text[1] != '.') {
    return std::nullopt;
  }
  uint32_t unit = 100;
  for (size_t i = 2; i < text.size(); ++i) {
    if (!Is(text[i], kDigit)) {
      return std::nullopt;
    }
    value += unit * static_cast<uint32_t>(text[i] - '0');
    unit /= 10;
  }
  if (value > 1000) {
    return std::nullopt;
  }
  return static_cast<uint16_t>(value);
}

namespace {

// The next character with %XX decoded, or -1 at a malformed escape.
int NextUnescaped(std::string_view text, size_t& at) {
  const char c = text[at++];
  if (c != '%') {
    return static_cast<uint8_t>(c);
  }
  if (text.size() - at < 2) {
    return -1;
  }
  const int high = HexValue(text[at]);
  const int low = HexValue(text[at + 1]);
  at += 2;
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

}  // namespace

bool AllAreOrEscaped(std::string_view text, uint16_t classes) {
  for (size_t at = 0; at < text.size();) {
    if (Is(text[at], classes)) {
      ++at;
    } else if (text[at] != '%' || NextUnescaped(text, at) < 0) {
      return false;
    }
  }
  return true;
}

bool EqualsUnescaped(std::string_view a, std::string_view b, bool fold_case) {
  size_t at_a = 0;
  size_t at_b = 0;
  while (at_a < a.size() && at_b < b.size()) {
    int left = NextUnescaped(a, at_a);
    int right = NextUnescaped(b, at_b);
    if (left < 0 || right < 0) {
      return false;
    }
    if (fold_case) {
      left = static_cast<uint8_t>(Lower(static_cast<char>(left)));
      right = static_cast<uint8_t>(Lower(static_cast<char>(right)));
    }
    if (left != right) {
      return false;
    }
  }
  return at_a == a.size() && at_b == b.size();
}

std::optional<size_t> Unescape(std::string_view text, char* out, size_t room) {
  size_t size = 0;
  for (size_t at = 0; at < text.size();) {
    const int c = NextUnescaped(text, at);
    if (c < 0 || size == room) {
      return std::nullopt;
    }
    out[size++] = static_cast<char>(c);
  }
  return size;
}

std::optional<std::string_view> Scanner::Quoted() {
  if (!Take('"')) {
    return std::nullopt;
  }
  const size_t start = at_;
  while (at_ < text_.size()) {
    const char c = text_[at_];
    if (c == '"') {
      return text_.substr(start, at_++ - start);
    }
    at_ += c == '\\' ? 2 : 1;
  }
  at_ = text_.size();
  return std::nullopt;
}

std::optional<std::string_view> Scanner::Until(char stop) {
  const size_t found = text_.find(stop, at_);
  if (found == std::string_view::npos) {
    return std::nullopt;
  }
  const auto taken = text_.substr(at_, found - at_);
  at_ = found;
  return taken;
}

Next NextParam(Scanner& scanner, Param& param) {
  if (scanner.at_end() || scanner.PeekIs(',')) {
    return Next::kEnd;
  }
  if (!scanner.Take(';')) {
    return Next::kMalformed;
  }
  param = {};
  param.name = scanner.Run(kToken);
  if (param.name.empty()) {
    return Next::kMalformed;
  }
  if (!scanner.Take('=')) {
    return Next::kItem;
  }
  param.has_value = true;
  if (scanner.PeekIs('"')) {
    const auto inside = scanner.Quoted();
    param.quoted = true;
    param.value = inside.value_or(std::string_view());
    return inside ? Next::kItem : Next::kMalformed;
  }
  // token / host: an IPv6 reference has brackets and colons (RFC 5118 4.5: with and without).
  param.value = scanner.Run(kToken | kHostChar | kUriParamChar);
  return param.value.empty() ? Next::kMalformed : Next::kItem;
}

Next NextUriParam(std::string_view& rest, Param& param) {
  if (rest.empty()) {
    return Next::kEnd;
  }
  const size_t semicolon = rest.find(';');
  std::string_view one = rest.substr(0, semicolon);
  rest = semicolon == std::string_view::npos ? std::string_view() : rest.substr(semicolon + 1);
  const bool trailing = semicolon != std::string_view::npos && rest.empty();
  param = {};
  const size_t equals = one.find('=');
  param.name = one.substr(0, equals);
  if (equals != std::string_view::npos) {
    param.has_value = true;
    param.value = one.substr(equals + 1);
  }
  const bool good = !trailing && !param.name.empty() && (!param.has_value || !param.value.empty());
  return good ? Next::kItem : Next::kMalformed;
}

std::optional<Param> FindParam(std::string_view params, std::string_view name) {
  Scanner scanner(params);
  Param param;
  while (NextParam(scanner, param) == Next::kItem) {
    if (EqualsNoCase(param.name, name)) {
      return param;
    }
  }
  return std::nullopt;
}

std::optional<Param> FindUriParam(std::string_view params, std::string_view name) {
  Param param;
  while (NextUriParam(params, param) == Next::kItem) {
    if (EqualsUnescaped(param.name, name, true)) {
      return param;
    }
  }
  return std::nullopt;
}

}  // namespace gh::sip
