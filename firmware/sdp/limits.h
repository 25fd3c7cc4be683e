// The limits of the SDP room: what a description may hold. Beyond them it is refused, never cut.
#pragma once

#include <cstdint>

namespace gh::sdp {

inline constexpr uint32_t kBodyMax = 16 * 1024;
inline constexpr uint32_t kLineMax = 2048;  // of one line, without its end
inline constexpr uint32_t kLinesMax = 512;
inline constexpr uint32_t kMediaMax = 12;  // m= sections
inline constexpr uint32_t kFormatsMax = 64;
inline constexpr uint32_t kCryptoMax = 8;             // a=crypto lines of one section
inline constexpr uint32_t kCryptoTagMax = 999999999;  // RFC 4568 9.1: nine digits

}  // namespace gh::sdp
