// Torture messages as the RFCs print them. Lines end in LF here and in CRLF on the wire;
// <hex>..</hex> and <repeat count=N>..</repeat> mean what RFC 4475 2.2 and 2.3 say. <nolf/> drops
// the line end that follows it.
#pragma once

#include <string>
#include <string_view>

namespace gh::sip::test {

enum class Outcome {
  kForwarded,  // reaches the registered contact or the next hop
  kStatus,     // answered with `status`
  kDropped,    // nothing is sent at all
};

struct Torture {
  const char* section;
  const char* name;
  Outcome outcome;
  int status;
  const char* text;
};

inline std::string Expand(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const std::string_view rest = text.substr(at);
    if (rest.starts_with("<hex>")) {
      const size_t end = rest.find("</hex>");
      std::string digits;
      for (char c : rest.substr(5, end - 5)) {
        if (c != '\n') {
          digits += c;
        }
      }
      for (size_t i = 0; i + 1 < digits.size(); i += 2) {
        out += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
      }
      at += end + 6;
    } else if (rest.starts_with("<repeat count=")) {
      const size_t close = rest.find('>');
      const size_t end = rest.find("</repeat>");
      const int count = std::stoi(std::string(rest.substr(14, close - 14)));
      for (int i = 0; i < count; ++i) {
        out += rest.substr(close + 1, end - close - 1);
      }
      at += end + 9;
    } else if (rest.starts_with("<nolf/>\n")) {
      at += 8;
    } else {
      out += rest[0] == '\n' ? std::string("\r\n") : std::string(1, rest[0]);
      ++at;
    }
  }
  return out;
}

}  // namespace gh::sip::test
