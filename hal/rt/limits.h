// The runtime's own maxima, in one place. Capacities that depend on the machine's memory (pools,
// tables, rings) are constructor arguments taken from the capacity profile, not constants here.
#pragma once

#include <cstdint>

namespace gh {

// Arena: named accounts in the memory table.
inline constexpr uint32_t kArenaAccountMax = 64;

// EventLoop: timers fired in one turn; the rest stay due and the loop asks to be called at once.
inline constexpr uint32_t kTimerFirePerTurnMax = 256;
// TimerWheel: timers moved between levels for each one that may fire, so that a crowded slot of a
// high level is taken apart over several turns instead of stalling one.
inline constexpr uint32_t kTimerMovePerFireMax = 4;

// HashTable: longest chain. Load is at most one entry a bucket, so with a keyed hash chain lengths
// are Poisson(1): a chain of 32 has a probability below 1e-35 per bucket. An insertion that would
// exceed it is refused and counted; it cannot happen by chance, nor by choice without the key.
inline constexpr uint32_t kHashChainMax = 32;
inline constexpr uint32_t kHashCapacityMax = 1u << 28;

// SpscRing, TraceRing.
inline constexpr uint32_t kRingCapacityMax = 1u << 24;

// Heap: 2^30 units of 16 bytes.
inline constexpr uint64_t kHeapBytesMax = (uint64_t{1} << 30) * 16;
inline constexpr uint64_t kHeapBytesMin = 64;
inline constexpr uint32_t kHeapOwnerMax = 1u << 20;

// Crash record.
inline constexpr uint32_t kCrashMessageMax = 160;
inline constexpr uint32_t kCrashFileMax = 96;
inline constexpr uint32_t kCrashBuildIdMax = 64;
inline constexpr uint32_t kCrashRegisterMax = 32;
inline constexpr uint32_t kCrashBacktraceMax = 24;
inline constexpr uint32_t kCrashTraceMax = 32;
inline constexpr uint32_t kCrashEventTextMax = 1024;
inline constexpr uint32_t kCrashRecordBytesMax = 4096;  // encoded; one page, eight 512-byte sectors

static_assert(kTimerFirePerTurnMax > 0 && kTimerMovePerFireMax > 0);

}  // namespace gh
