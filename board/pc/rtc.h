// Calendar arithmetic and the register format of the CMOS real-time clock; pure.
#pragma once

#include <cstdint>

#include "hal/rt/result.h"

namespace gh::pc {

struct CivilTime {
  uint32_t year = 0;   // 1970 to 2199
  uint32_t month = 0;  // 1 to 12
  uint32_t day = 0;
  uint32_t hour = 0;
  uint32_t minute = 0;
  uint32_t second = 0;
  friend constexpr bool operator==(const CivilTime&, const CivilTime&) = default;
};

// The registers as read: BCD or binary, 12 or 24 hours, as status B says.
struct RtcRegisters {
  uint8_t second = 0;
  uint8_t minute = 0;
  uint8_t hour = 0;
  uint8_t day = 0;
  uint8_t month = 0;
  uint8_t year = 0;
  uint8_t century = 0;  // 0: no such register
  uint8_t status_b = 0;
  friend constexpr bool operator==(const RtcRegisters&, const RtcRegisters&) = default;
};

int64_t UnixSeconds(const CivilTime& time);
CivilTime CivilFromUnix(int64_t unix_seconds);
// The clock counts whole seconds, and neither a reading nor a setting moves where they begin: each
// is taken for the middle of its second, half a second off at the most.
int64_t UnixNsFromRtc(const CivilTime& time);
CivilTime RtcFromUnixNs(int64_t unix_ns);
// kMalformed: a field that no calendar has.
Result<CivilTime> DecodeRtc(const RtcRegisters& registers);
// In the format that `status_b` asks for.
RtcRegisters EncodeRtc(const CivilTime& time, uint8_t status_b, bool has_century);

}  // namespace gh::pc
