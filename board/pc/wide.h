// 64-bit arithmetic with 128-bit intermediates.
#pragma once

#include <cstdint>

namespace gh::pc {

__extension__ typedef unsigned __int128 Wide;

// a * b / c, cut to the largest uint64_t.
inline uint64_t MulDiv(uint64_t a, uint64_t b, uint64_t c) {
  const Wide result = static_cast<Wide>(a) * b / c;
  return result > UINT64_MAX ? UINT64_MAX : static_cast<uint64_t>(result);
}

}  // namespace gh::pc
