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
inline constexpr uint32_t kBareRangeMax = 2;         // engines that own ports: TURN and RTP
inline constexpr uint32_t kRelayRangeMax = 3;        // and the port whose datagrams are ChannelData
inline constexpr uint32_t kProcessorGrowthMax = 32;  // bytes a processor may add to a payload
inline constexpr uint8_t kHopLimit = 64;
inline constexpr uint32_t kDelaySteps = 16;  // of a histogram of delays, to each doubling
inline constexpr uint32_t kDelayBucketMax = 21 * kDelaySteps + 1;  // to 1.05 s, and more
inline constexpr uint32_t kDelayRows = 22;                         // of kDelaySteps buckets
inline constexpr uint32_t kTurnArrivalMax = 256;  // times of arrival kept until a turn ends

// Between the two cores. A port's ring is a part of the media core's frames: what waits in it for a
// control plane that is busy cannot be used to relay.
inline constexpr uint32_t kPortRingShare = 8;
inline constexpr uint32_t kPortRingMin = 64;
inline constexpr uint32_t kPortRingMax = 1024;
inline constexpr uint32_t kFlowCommands = 4096;
inline constexpr uint32_t kFlowNotes = 4096;
inline constexpr uint32_t kFlowCommandBatch = 32;
inline constexpr uint32_t kFlowNoteBatch = 64;
inline constexpr uint32_t kMirroredFrames = 256;
inline constexpr uint32_t kCoreReceiveBatch = 64;
inline constexpr uint32_t kFrameSlack = 64;  // more than its share before a pool gives back
inline constexpr Duration kCoreBeat = Duration::Milliseconds(500);  // the longest sleep
static_assert((kHopCacheSize & (kHopCacheSize - 1)) == 0);

}  // namespace gh::media
