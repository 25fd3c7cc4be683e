// The limits of the store room, and where things are on the partition.
#pragma once

#include <cstdint>

#include "firmware/store/store.h"

namespace gh::store {

// Everything is in sectors of this size, whatever the device's blocks are.
inline constexpr uint32_t kSectorSize = 4096;
// Sectors 0 and 1: the file table's two copies. 2..15: kept for the sealed store's key record.
inline constexpr uint64_t kTableSectors = 2;
inline constexpr uint64_t kReservedSectors = 16;
inline constexpr uint64_t kPartitionSectorsMin = 128;       // 512 KiB
inline constexpr uint64_t kPartitionSectorsMax = 1u << 20;  // 4 GiB are used at most
inline constexpr uint64_t kHeapBytesMin = 1u << 20;
inline constexpr uint32_t kCachePages = 64;

static_assert(kKeyMax + kValueMax < kSectorSize);

}  // namespace gh::store
