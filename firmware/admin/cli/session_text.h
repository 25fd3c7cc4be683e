// Small pieces of text work that the files of a session share.
#pragma once

#include <algorithm>
#include <string_view>

#include "firmware/config/line.h"
#include "firmware/config/types.h"
#include "firmware/config/value.h"
#include "hal/rt/bytes.h"

namespace gh::admin {

inline constexpr std::string_view kMorePrompt = "--More-- (space: page, Enter: line, q: quit)";

// The first word of `rest`, which then begins at the next.
inline std::string_view TakeWord(std::string_view& rest) {
  rest = config::Trim(rest);
  const size_t size = std::min(rest.find(' '), rest.size());
  const std::string_view word = rest.substr(0, size);
  rest = config::Trim(rest.substr(size));
  return word;
}

// "Whether SIP is served over UDP; expected one of Off, On; default On"
inline void DescribeSetting(const config::SettingInfo& setting, ByteWriter& out) {
  out.Text(setting.help);
  out.Text("; expected ");
  config::DescribeExpected(setting, out);
  if (setting.default_text[0] != '\0') {
    out.Text("; default ");
    out.Text(setting.default_text);
  }
  out.Text(setting.needs_restart() ? "; needs a restart" : "");
}

}  // namespace gh::admin
