#include "firmware/history.h"

#include <algorithm>

#include "hal/rt/assert.h"

namespace gh {
namespace {

constexpr uint32_t kParts[] = {1, 60, 60};  // of the next smaller span

void Merge(const Reading& part, Reading& whole) {
  for (uint32_t i = 0; i < Reading::kSums; ++i) {
    whole.sums[i] += part.sums[i];
  }
  for (uint32_t i = 0; i < Reading::kLevels; ++i) {
    whole.levels[i] = std::max(whole.levels[i], part.levels[i]);
  }
}

}  // namespace

const char* const kSumNames[] = {"busy_us",      "received_packets", "received_bytes",
                                 "sent_packets", "sent_bytes",       "dropped",
                                 "sip_in",       "sip_out",          "events"};
const char* const kLevelNames[] = {"frames", "connections", "buffer_bytes", "registrations",
                                   "calls"};

void History::Take(const Reading& now) {
  if (has_before_) {
    Reading second = now;
    for (uint32_t i = 0; i < Reading::kSums; ++i) {
      second.sums[i] = now.sums[i] >= before_.sums[i] ? now.sums[i] - before_.sums[i] : 0;
    }
    Add(Period::kSeconds, second);
  }
  before_ = now;
  has_before_ = true;
}

void History::Add(Period span, const Reading& part) {
  for (auto at = static_cast<size_t>(span); at < rings_.size(); ++at) {
    Ring& ring = rings_[at];
    // What fills a span is the part of the next larger one.
    Merge(at == static_cast<size_t>(span)
              ? part
              : rings_[at - 1]
                    .rows[(rings_[at - 1].next + rings_[at - 1].size - 1) % rings_[at - 1].size],
          ring.open);
    if (++ring.parts < kParts[at]) {
      return;
    }
    ring.rows[ring.next] = ring.open;
    ring.next = (ring.next + 1) % ring.size;
    ring.count = std::min(ring.count + 1, ring.size);
    ring.open = {};
    ring.parts = 0;
  }
}

const Reading& History::at(Period span, uint32_t age) const {
  const Ring& ring = RingOf(span);
  GH_ASSERT_LT(age, ring.count);
  return ring.rows[(ring.next + ring.size - 1 - age) % ring.size];
}

}  // namespace gh
