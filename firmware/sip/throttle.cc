#include "firmware/sip/throttle.h"

#include <algorithm>

namespace gh::sip {
namespace {

constexpr uint32_t kValidityMax = 60'000;

// "1282321615.782" as thousandths.
uint64_t ParseSequence(std::string_view text) {
  const size_t dot = std::min(text.find('.'), text.size());
  const uint64_t whole = ParseNumber(text.substr(0, dot), UINT32_MAX).value_or(0);
  uint64_t part = 0;
  for (size_t i = 1; i <= 3; ++i) {
    const char c = dot + i < text.size() ? text[dot + i] : '0';
    part = part * 10 + static_cast<uint64_t>(Is(c, kDigit) ? c - '0' : 0);
  }
  return whole * 1000 + part;
}

}  // namespace

std::optional<OverloadWord> ParseOverloadWord(std::string_view via_params) {
  OverloadWord word;
  bool is_said = false;
  Scanner scanner(via_params);
  Param param;
  while (NextParam(scanner, param) == Next::kItem) {
    if (param.name.size() < 2 || !EqualsNoCase(param.name.substr(0, 2), "oc")) {
      continue;
    }
    if (EqualsNoCase(param.name, "oc")) {
      const auto percent = ParseNumber(param.value, 100);
      is_said = percent.has_value();
      word.loss_percent = percent.value_or(0);
    } else if (EqualsNoCase(param.name, "oc-algo") && !EqualsNoCase(param.value, "loss")) {
      return std::nullopt;
    } else if (EqualsNoCase(param.name, "oc-validity")) {
      word.validity =
          Duration::Milliseconds(ParseNumberClamped(param.value, kValidityMax).value_or(500));
    } else if (EqualsNoCase(param.name, "oc-seq")) {
      word.sequence_ms = ParseSequence(param.value);
    }
  }
  return is_said ? std::optional(word) : std::nullopt;
}

}  // namespace gh::sip
