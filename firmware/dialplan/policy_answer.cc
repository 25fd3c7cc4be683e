#include "firmware/dialplan/policy_answer.h"

#include <algorithm>

#include "hal/rt/ascii.h"

namespace gh::dialplan {
namespace {

constexpr bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// The word at the front, which goes with the blanks behind it.
std::string_view TakeWord(std::string_view& text) {
  const std::string_view word = text.substr(0, text.find(' '));
  text.remove_prefix(word.size());
  text = TrimBlanks(text);
  return word;
}

}  // namespace

Result<PolicyAnswer> ParsePolicyAnswer(std::string_view body) {
  std::string_view line = body.substr(0, body.find('\n'));
  if (line.ends_with('\r')) {
    line.remove_suffix(1);
  }
  PolicyAnswer answer;
  const std::string_view word = TakeWord(line);
  if (word == "allow" && line.empty()) {
    answer.allows = true;
    return answer;
  }
  if (word != "reject") {
    return Error(ErrorCode::kMalformed, "the answer is neither allow nor reject");
  }
  if (line.empty()) {
    return answer;
  }
  const std::string_view status = TakeWord(line);
  if (status.size() != 3 || !std::ranges::all_of(status, IsDigit) || status[0] < '4' ||
      status[0] > '6') {
    return Error(ErrorCode::kMalformed, "the status of a refusal is not of 400 to 699");
  }
  answer.status =
      static_cast<uint16_t>((status[0] - '0') * 100 + (status[1] - '0') * 10 + (status[2] - '0'));
  if (!std::ranges::all_of(line, [](char c) { return c >= ' ' && c <= '~'; }) ||
      line.size() > kPolicyPhraseBytesMax) {
    return Error(ErrorCode::kMalformed, "the phrase of a refusal cannot stand in a message");
  }
  answer.phrase.Assign(line);
  return answer;
}

void WriteFormField(ByteWriter& out, std::string_view name, std::string_view value) {
  if (out.size() != 0) {
    out.Char('&');
  }
  out.Text(name);
  out.Char('=');
  for (const char c : value) {
    const bool is_plain = IsDigit(c) || (AsciiLower(c) >= 'a' && AsciiLower(c) <= 'z') ||
                          c == '-' || c == '.' || c == '_' || c == '~';
    if (is_plain) {
      out.Char(c);
    } else {
      out.Char('%');
      out.Hex(static_cast<uint8_t>(c), 2);
    }
  }
}

}  // namespace gh::dialplan
