// A rate with a burst: for what outsiders can make us send or log.
#pragma once

#include <cstdint>

#include "hal/rt/time.h"

namespace gh::net {

class TokenBucket {
 public:
  constexpr TokenBucket(uint32_t per_second, uint32_t burst)
      : per_second_(per_second), burst_(burst), tokens_(burst) {}

  bool Take(Instant now) {
    const int64_t period_ns = 1'000'000'000 / per_second_;
    if (now > filled_at_) {
      const int64_t fresh = (now - filled_at_).ns / period_ns;
      if (fresh > 0) {
        tokens_ = fresh > burst_ || tokens_ + fresh > burst_
                      ? burst_
                      : tokens_ + static_cast<uint32_t>(fresh);
        filled_at_ = filled_at_ + Duration::Nanoseconds(fresh * period_ns);
      }
    }
    if (tokens_ == 0) {
      return false;
    }
    --tokens_;
    return true;
  }

 private:
  uint32_t per_second_;
  uint32_t burst_;
  uint32_t tokens_;
  Instant filled_at_;
};

}  // namespace gh::net
