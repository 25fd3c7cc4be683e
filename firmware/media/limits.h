// The limits of the media plane.
#pragma once

#include <cstdint>

#include "hal/rt/time.h"

namespace gh::media {

// A next hop is used this long before a packet goes by way of the stack, which keeps the neighbour
// tables true.
inline constexpr Duration kNextHopFresh = Duration::Seconds(5);
inline constexpr uint32_t kHopCacheSize = 1024;  // destinations of datagrams outside flows
inline constexpr uint32_t kRelayAddressMax = 8;
inline constexpr uint8_t kHopLimit = 64;
static_assert((kHopCacheSize & (kHopCacheSize - 1)) == 0);

}  // namespace gh::media
