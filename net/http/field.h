// One header field of HTTP/1.1 (RFC 9110 5.1, RFC 9112 5): strict, for either end.
#pragma once

#include <algorithm>
#include <optional>
#include <string_view>

#include "hal/rt/ascii.h"

namespace gh::net {

struct HttpField {
  std::string_view name;
  std::string_view value;
};

constexpr bool IsHttpToken(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= '0' && c <= '9') || (AsciiLower(c) >= 'a' && AsciiLower(c) <= 'z') ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  });
}

// "Name: value" without its line end. Nothing: no colon, no token before it (a space there, as in
// obsolete folding, has made smuggling possible).
constexpr std::optional<HttpField> ParseHttpField(std::string_view line) {
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || !IsHttpToken(line.substr(0, colon))) {
    return std::nullopt;
  }
  return HttpField{line.substr(0, colon), TrimBlanks(line.substr(colon + 1))};
}

}  // namespace gh::net
