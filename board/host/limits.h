// Named maxima of the Linux process board.
#pragma once

#include <cstddef>
#include <cstdint>

#include "hal/machine.h"

namespace gh::board {

inline constexpr uint32_t kDiskQueueMax = 64;           // requests in flight per device
inline constexpr uint32_t kDiskBlockSizeDefault = 512;  // as virtio-blk presents it
inline constexpr uint64_t kDiskBytesMin = 64 * 1024;
inline constexpr uint64_t kDiskBytesMax = uint64_t{1} << 40;
inline constexpr size_t kDiskThreadStackBytes = 256 * 1024;
inline constexpr size_t kProvisionBytesMax = 512 * 1024;
inline constexpr size_t kCrashTextMax = 8 * 1024;          // a crash record as it is shown
inline constexpr size_t kBootHeapBytes = 8 * 1024 * 1024;  // libc and libraries, before the seal
inline constexpr size_t kSignalStackBytes = 64 * 1024;
inline constexpr uint64_t kMemoryBytesMin = uint64_t{16} << 20;
inline constexpr uint32_t kFramesDefault = 8192;  // 2 KiB each
inline constexpr uint32_t kMediaStackBytes = 512 << 10;
inline constexpr uint32_t kPollFdsMax = 16;
inline constexpr uint32_t kPacketBatchMax = 64;   // frames per sendmmsg
inline constexpr uint32_t kRingSlotBytes = 2048;  // header, virtio header, one frame of 1514
inline constexpr uint32_t kRingSlots = 4096;
inline constexpr uint32_t kRingBlockBytes = 1u << 16;
inline constexpr size_t kGsoBytesMax = 65536 + 256;  // what Linux may hand over as one packet
inline constexpr uint32_t kGsoSegmentsMax = 64;
inline constexpr uint32_t kRestartBurstMax = 5;  // panics within kRestartBurstSeconds
inline constexpr int64_t kRestartBurstSeconds = 60;

static_assert(kPacketBatchMax <= hal::kFrameBatchMax);

}  // namespace gh::board
