// How a line of xStatus gives a figure: " name=value".
#pragma once

#include <cstdint>
#include <string_view>

#include "hal/rt/bytes.h"

namespace gh {

inline void Tell(ByteWriter& out, std::string_view name, uint64_t number) {
  out.Char(' ');
  out.Text(name);
  out.Char('=');
  out.Decimal(number);
}

inline void Tell(ByteWriter& out, std::string_view name, std::string_view text) {
  out.Char(' ');
  out.Text(name);
  out.Char('=');
  out.Text(text);
}

}  // namespace gh
