// The disk's layout, in one table: roles, GPT types, names and sizes.
#pragma once

#include <array>
#include <cstdint>

#include "image/gpt.h"

namespace gh::image {

enum class PartitionRole : uint8_t {
  kEsp,        // FAT with the loader, EFI/BOOT/BOOTX64.EFI
  kBootState,  // image/bootstate.h
  kSlotA,
  kSlotB,
  kFactory,  // the golden image
  kStore,
  kLog,
};

struct PartitionSpec {
  PartitionRole role;
  const char* name;
  uint64_t size;  // bytes, a multiple of 1 MiB
  Guid type;
};

// Types of our own: 47617465-686f-7573-65xx-..., "Gatehouse" in ASCII.
constexpr Guid GatehouseType(uint8_t number) {
  return MakeGuid(0x47617465, 0x686f, 0x7573, {0x65, number, 0x2d, 0x64, 0x69, 0x73, 0x6b, 0x31});
}

inline constexpr uint64_t kMebibyte = 1 << 20;
inline constexpr std::array<PartitionSpec, 7> kPartitions = {{
    {PartitionRole::kEsp, "esp", 64 * kMebibyte,
     MakeGuid(0xc12a7328, 0xf81f, 0x11d2, {0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b})},
    {PartitionRole::kBootState, "bootstate", 1 * kMebibyte, GatehouseType(1)},
    {PartitionRole::kSlotA, "slot-a", 72 * kMebibyte, GatehouseType(2)},
    {PartitionRole::kSlotB, "slot-b", 72 * kMebibyte, GatehouseType(3)},
    {PartitionRole::kFactory, "factory", 80 * kMebibyte, GatehouseType(4)},
    {PartitionRole::kStore, "store", 256 * kMebibyte, GatehouseType(5)},
    {PartitionRole::kLog, "log", 64 * kMebibyte, GatehouseType(6)},
}};

constexpr const PartitionSpec& SpecOf(PartitionRole role) {
  return kPartitions[static_cast<size_t>(role)];
}

constexpr bool IsPartitionTableInOrder() {
  for (size_t i = 0; i < kPartitions.size(); ++i) {
    if (static_cast<size_t>(kPartitions[i].role) != i || kPartitions[i].size % kMebibyte != 0) {
      return false;
    }
  }
  return true;
}
static_assert(IsPartitionTableInOrder());
static_assert(kSlotSizeMax <= SpecOf(PartitionRole::kSlotA).size);
static_assert(kSlotSizeMax <= SpecOf(PartitionRole::kSlotB).size);
static_assert(kSlotSizeMax <= SpecOf(PartitionRole::kFactory).size);
static_assert(kSnapshotsOffset + kSnapshotsSize <= SpecOf(PartitionRole::kBootState).size);

}  // namespace gh::image
