// Time zones as an operator types them, names and POSIX rules: what is taken has an offset of at
// most a day at any time of any year, and is not moved by asking again.
#include <cstdint>

#include "firmware/log/time_zone.h"
#include "hal/rt/assert.h"
#include "hal/rt/bytes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto zone = gh::log::TimeZone::Of(gh::AsText({data, size}));
  if (!zone.ok()) {
    return 0;
  }
  for (int64_t at = -100'000'000'000; at <= 300'000'000'000; at += 7'777'777'777) {
    const int32_t offset = zone->OffsetAt(at);
    GH_ASSERT(offset >= -7 * 86400 && offset <= 7 * 86400);
    GH_ASSERT_EQ(offset, zone->OffsetAt(at));
  }
  return 0;
}
