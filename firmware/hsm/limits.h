// Limits of the HSM room.
#pragma once

#include <cstdint>

#include "hal/rt/time.h"

namespace gh::hsm {

inline constexpr uint32_t kModulesMax = 4;
inline constexpr uint32_t kKeysMax = 8;
inline constexpr uint32_t kJobsMax = 64;  // signatures under way or waiting, of all keys

// A module that has not answered a signature by then is tried no longer when there is another.
inline constexpr Duration kAttemptMax = Duration::Milliseconds(1500);
inline constexpr Duration kCheckPeriod = Duration::Seconds(2);
inline constexpr Duration kCheckWait = Duration::Seconds(3);
// The circuit breaker: so many failures in a row, and nothing but a check goes there for a while.
inline constexpr uint32_t kBreakerFailures = 3;
inline constexpr Duration kBreakerRest = Duration::Seconds(5);
// What an operator asks for may take: RSA 4096 in a small token.
inline constexpr Duration kChoreWait = Duration::Seconds(120);

}  // namespace gh::hsm
