// The limits of the store room, and where things are on the partition.
#pragma once

#include <cstdint>

#include "firmware/store/store.h"

namespace gh::store {

// Plain text comes in sectors of this size, whatever the device's blocks are; each lies sealed in a
// unit of twice the size: 4 KiB of cipher text, then nonce and tag in a block of their own.
inline constexpr uint32_t kSectorSize = 4096;
inline constexpr uint32_t kUnitSize = 2 * kSectorSize;
// Units 0 and 1: the file table's two copies. 2 to 7: kept, for the key record on boards without a
// boot state partition.
inline constexpr uint64_t kTableUnits = 2;
inline constexpr uint64_t kReservedUnits = 8;
inline constexpr uint64_t kPartitionUnitsMin = 64;          // 512 KiB
inline constexpr uint64_t kPartitionUnitsMax = 1u << 21;    // 16 GiB are used at most
inline constexpr uint64_t kPartitionUnitsUsual = 1u << 16;  // 512 MiB, all that was used once
inline constexpr uint64_t kHeapBytesMin = 1u << 20;
inline constexpr uint64_t kHeapBytesMax = 8u << 20;
// SQLite's memory, by the machine's: a page that is not in its cache is read and opened anew.
inline constexpr uint64_t kHeapForMemory = 256u << 20;
constexpr uint64_t HeapBytesFor(uint64_t memory_bytes) {
  return memory_bytes < kHeapForMemory ? kHeapBytesMin : kHeapBytesMax;
}
constexpr uint64_t CachePagesFor(uint64_t heap_bytes) {
  return 64 + (heap_bytes > kHeapBytesMin ? heap_bytes - kHeapBytesMin : 0) / (kSectorSize + 512);
}

// The key record: two copies of 4 KiB, 16 KiB apart.
inline constexpr uint32_t kStoreKeyBytes = 32;
inline constexpr uint32_t kWrappedKeyMax = 1024;
inline constexpr uint32_t kKeyCopies = 2;
inline constexpr uint32_t kKeyCopyBytes = 4096;
inline constexpr uint64_t kKeyCopyStride = 0x4000;
inline constexpr uint64_t kKeyAreaBytes = kKeyCopyStride + kKeyCopyBytes;
inline constexpr uint64_t kKeyOffsetInStore = kTableUnits * kUnitSize;

// At start: units that are read by one request, and how large a database may be for SQLite to go
// through its structures once more when every page has proved to be the one last written.
inline constexpr uint64_t kFetchUnitsMax = 32;
inline constexpr uint64_t kCheckedBytesMax = 64u << 20;
// Writes on their way to the disk: units kept for them, as a share of the partition, and how many
// the disk is given at once.
inline constexpr uint64_t kQueueShare = 16;
inline constexpr uint64_t kQueueUnitsMin = 8;
inline constexpr uint64_t kQueueUnitsMax = 512;
inline constexpr uint32_t kQueueInFlightMax = 16;
inline constexpr uint64_t kQueueBytesMax =
    kQueueUnitsMax * (kUnitSize + 256) + kPartitionUnitsUsual * 4;
// What a larger partition takes besides: where each unit waits, and a hash for each fourth.
constexpr uint64_t BytesBeyondUsual(uint64_t partition_bytes) {
  const uint64_t units = partition_bytes / kUnitSize;
  const uint64_t used = units < kPartitionUnitsMax ? units : kPartitionUnitsMax;
  return used > kPartitionUnitsUsual ? (used - kPartitionUnitsUsual) * (4 + 16 / 4) : 0;
}

// The last good copy: rows read in one turn while it is written, how long the store is left alone
// after a commit before it is copied, and how many bytes of it are worth a second's rest.
inline constexpr uint32_t kCopyRowsPerTurn = 1024;
inline constexpr int64_t kCopyPauseSeconds = 5;
inline constexpr int64_t kCopyLatestSeconds = 60;
inline constexpr uint64_t kCopyBytesPerSecond = 1u << 20;

static_assert(kKeyMax + kValueMax < kSectorSize);
static_assert(kKeyOffsetInStore + kKeyAreaBytes <= kReservedUnits * kUnitSize);

}  // namespace gh::store
