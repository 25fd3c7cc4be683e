// Stated maxima of the image room: everything a disk or an update file can claim is capped by these
// before it enters arithmetic.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gh::image {

// A slot: header, manifest, signatures, key list, leaf table, payload; each starts at a multiple of
// kSectionAlignment.
inline constexpr uint32_t kSlotHeaderSize = 4096;
inline constexpr uint32_t kSectionAlignment = 4096;
inline constexpr uint32_t kManifestSizeMax = 16 * 1024;
inline constexpr uint32_t kSignatureCountMax = 8;
inline constexpr uint32_t kKeyListSizeMax = 16 * 1024;
inline constexpr uint32_t kKeyListHeaderSize = 24;
inline constexpr uint32_t kBlockSizeMin = 4096;
inline constexpr uint32_t kBlockSizeMax = 1 << 20;
inline constexpr uint32_t kBlockSizeDefault = 16 * 1024;
inline constexpr uint64_t kPayloadSizeMax = 64ull << 20;
inline constexpr uint32_t kBlockCountMax = kPayloadSizeMax / kBlockSizeMin;
inline constexpr uint32_t kHashSize = 32;
inline constexpr uint32_t kTreeSizeMax = kBlockCountMax * kHashSize;
inline constexpr uint32_t kTreeDepthMax = 16;
inline constexpr uint32_t kSegmentCountMax = 8;
inline constexpr uint32_t kBoardCountMax = 8;
inline constexpr uint32_t kTrustedKeyCountMax = 16;
// Everything before the payload.
inline constexpr uint32_t kMetadataSizeMax =
    kSlotHeaderSize + kManifestSizeMax + kSectionAlignment + kKeyListSizeMax + kTreeSizeMax;
inline constexpr uint64_t kSlotSizeMax = kMetadataSizeMax + kPayloadSizeMax;

static_assert(kBlockCountMax <= 1u << (kTreeDepthMax - 1));
static_assert(kPayloadSizeMax % kBlockSizeMax == 0);
static_assert(kBlockSizeMin % kSectionAlignment == 0 || kSectionAlignment % kBlockSizeMin == 0);

// GPT: what we read of a table at most, and the disks we accept.
inline constexpr uint32_t kGptEntryCountMax = 128;
inline constexpr uint32_t kGptEntrySize = 128;
inline constexpr uint32_t kGptEntriesSize = kGptEntryCountMax * kGptEntrySize;
inline constexpr uint32_t kGptPartitionMax = 32;
inline constexpr uint32_t kGptBlockSizeMax = 4096;
inline constexpr uint32_t kGptNameSizeMax = 36;

// Boot state: four copies, each its own block, spread over the partition.
inline constexpr uint32_t kBootStateCopyCount = 4;
inline constexpr uint32_t kBootStateCopySize = 4096;
inline constexpr uint32_t kBootStateCopyStride = 64 * 1024;
inline constexpr uint32_t kSlotReasonSizeMax = 79;  // why a slot failed, in words
inline constexpr uint32_t kTriesDefault = 3;
inline constexpr uint32_t kTriesMax = 10;
inline constexpr uint32_t kConfirmSecondsMin = 30;
inline constexpr uint32_t kConfirmSecondsDefault = 300;
inline constexpr uint32_t kConfirmSecondsMax = 3600;
// A confirmed slot that was started so often without once being healthy ranks behind the others.
inline constexpr uint32_t kUnhealthyStartsMax = 8;

// The other areas of the boot state partition (image/bootstate.h says what they are for).
inline constexpr uint32_t kStoreKeyOffset = 0x40000;
inline constexpr uint32_t kStoreKeySize = 0x10000;
inline constexpr uint32_t kKeyListAreaOffset = 0x50000;
inline constexpr uint32_t kKeyListAreaStride = 0x10000;
inline constexpr uint32_t kKeyListAreaCount = 2;
inline constexpr uint32_t kKeptSettingsOffset = 0x70000;
inline constexpr uint32_t kKeptSettingsSize = 0x10000;
inline constexpr uint32_t kSnapshotsOffset = 0x80000;
inline constexpr uint32_t kSnapshotsSize = 0x80000;
static_assert(kKeyListSizeMax <= kKeyListAreaStride);
static_assert(kBootStateCopyCount * kBootStateCopyStride <= kStoreKeyOffset);
static_assert(kStoreKeyOffset + kStoreKeySize <= kKeyListAreaOffset);
static_assert(kKeyListAreaOffset + kKeyListAreaCount * kKeyListAreaStride <= kKeptSettingsOffset);
static_assert(kKeptSettingsOffset + kKeptSettingsSize <= kSnapshotsOffset);

// YMODEM.
inline constexpr uint32_t kYmodemBlockSizeMax = 1024;
inline constexpr uint32_t kYmodemNameSizeMax = 64;
inline constexpr uint32_t kYmodemFaultMax = 10;  // in a row
inline constexpr uint32_t kYmodemReplySizeMax = 16;

}  // namespace gh::image
