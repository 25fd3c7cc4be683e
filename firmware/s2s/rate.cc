// How fast stanzas are taken: a stream's allowance grows with time and is spent by its stanzas.
// Who has none left waits in his connection, which TCP tells him by its window.
#include <algorithm>

#include "firmware/s2s/federation.h"

namespace gh::s2s {

bool Federation::IsTooFast(Link& link) {
  const uint32_t rate =
      link.door == Door::kComponents ? config_.component_rate : config_.stanza_rate;
  if (rate == 0 || link.unproven || link.door == Door::kRelay) {
    return false;
  }
  const int64_t most = int64_t{rate} * kStanzaAllowance * kRateBurstSeconds;
  const Instant now = timers_.now();
  link.allowance =
      link.counted == Instant()
          ? most
          : std::min(most, link.allowance + (now - link.counted).microseconds() * int64_t{rate});
  link.counted = now;
  if (link.allowance > 0) {
    return false;
  }
  if (!link.fast_node.linked()) {
    ++counters_.held_back;
    fast_.PushBack(link);
  }
  if (!rate_timer_.armed()) {
    timers_.Arm(rate_timer_, Duration::Milliseconds(kRateMilliseconds));
  }
  return true;
}

void Federation::OnRate() {
  for (uint32_t count = fast_.size(); count > 0; --count) {
    Link* link = fast_.PopFront();
    if (link == nullptr) {
      return;
    }
    host_.Resume(link->stream);
  }
}

}  // namespace gh::s2s
