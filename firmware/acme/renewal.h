// When a certificate is asked for again. Pure.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>

#include "firmware/acme/limits.h"

namespace gh::acme {

// Less than a third of its life is left. Seconds since 1970.
inline bool IsRenewalDue(int64_t valid_from_s, int64_t valid_until_s, int64_t now_s) {
  return valid_until_s - now_s < (valid_until_s - valid_from_s) / 3;
}

// After so many failures in a row before this one; never sooner than the authority wants.
inline int64_t BackOffSeconds(uint32_t failure_count, int64_t retry_after_s) {
  const auto last = static_cast<uint32_t>(std::size(kBackOff)) - 1;
  return std::max(kBackOff[std::min(failure_count, last)], retry_after_s);
}

}  // namespace gh::acme
