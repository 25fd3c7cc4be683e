// Stated maxima of the loader.
#pragma once

#include <cstdint>

namespace gh::boot {

// The first loader. An image says which one it needs at least.
inline constexpr uint32_t kLoaderVersion = 1;
// The oldest security version this loader starts at all; the record on disk adds to it later.
inline constexpr uint64_t kSecurityVersionMin = 1;

inline constexpr uint32_t kPageSize = 4096;
inline constexpr uint32_t kElfSegmentMax = 8;
inline constexpr uint32_t kElfDynamicMax = 64;
inline constexpr uint64_t kElfFileSizeMax = 64ull << 20;
inline constexpr uint64_t kElfMemorySizeMax = 256ull << 20;
// The image's place in memory: above the first megabytes, within what both page tables reach, and
// of the largest range only the last 1/16, at least this much more than the image.
inline constexpr uint64_t kPlaceStart = 1ull << 20;
inline constexpr uint64_t kPlaceEnd = 1ull << 46;
inline constexpr uint32_t kPlaceTailShift = 4;
inline constexpr uint64_t kPlaceTailMin = 32ull << 20;
inline constexpr uint32_t kPlaceAttemptMax = 8;
inline constexpr uint32_t kSlotCount = 3;  // a, b, golden
// What a factory reset overwrites at a time.
inline constexpr uint32_t kEraseChunkSize = 1 << 20;
inline constexpr uint32_t kReportLineMax = 160;
inline constexpr uint64_t kReadChunkSize = 2ull << 20;
inline constexpr uint32_t kMemoryMapSizeMax = 128 * 1024;
inline constexpr uint32_t kExitAttemptMax = 8;
inline constexpr uint32_t kDevicePathSizeMax = 1024;
// The TPM: an event's name and the event with it, the one command we send and its answer.
inline constexpr uint32_t kTpmEventTextMax = 64;
inline constexpr uint32_t kTpmEventSizeMax = 18 + kTpmEventTextMax;
inline constexpr uint32_t kTpmCommandSizeMax = 128;
inline constexpr uint32_t kTpmResponseSizeMax = 512;
// A security version that is further ahead of the TPM's counter is not counted up to in one start.
inline constexpr uint64_t kTpmCounterStepMax = 64;

// The watchdog that is armed before the jump: for a firmware that hangs before it arms its own.
inline constexpr uint32_t kWatchdogSecondsDefault = 60;
inline constexpr uint32_t kWatchdogSecondsMax = 1000;
inline constexpr uint32_t kFwCfgFileMax = 1024;
inline constexpr uint32_t kFwCfgTextMax = 16;
// The recovery console.
inline constexpr uint32_t kLogTextMax = 8 * 1024;
inline constexpr uint32_t kCommandSizeMax = 64;
inline constexpr uint32_t kBounceSize = 64 * 1024;
inline constexpr uint32_t kPendingKeyMax = 16;

}  // namespace gh::boot
