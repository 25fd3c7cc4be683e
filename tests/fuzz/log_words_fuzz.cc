// The words that choose events: syslog's categories and fingerprint, and the filter of Log Show.
#include <cstdint>

#include "firmware/log/event_filter.h"
#include "firmware/log/syslog.h"
#include "hal/rt/assert.h"
#include "hal/rt/bytes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gh::log;
  const std::string_view text = gh::AsText({data, size});
  const auto categories = ParseCategories(text);
  GH_ASSERT(!categories.ok() || (*categories != 0 && (*categories & ~kAllCategories) == 0));
  (void)ParseFingerprint(text).ok();
  const auto filter = ParseEventFilter(text);
  GH_ASSERT(!filter.ok() || !filter->has_category ||
            static_cast<uint32_t>(filter->category) < kCategoryCount);
  return 0;
}
