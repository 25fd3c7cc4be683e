// Turns UEFI's memory map into the hand-over's ranges: sorted, merged, with the loader's own marks.
#pragma once

#include <cstdint>
#include <span>

#include "boot/handover.h"
#include "hal/rt/result.h"

namespace gh::boot {

// Descriptors as GetMemoryMap leaves them: `map` is a whole number of `descriptor_size` records.
struct UefiMemoryMap {
  std::span<const uint8_t> map;
  uint64_t descriptor_size = 0;
};

// A page-aligned stretch whose kind the loader knows better than UEFI: the image, persistent RAM.
struct MemoryMark {
  uint64_t start = 0;
  uint64_t size = 0;
  MemoryKind kind = MemoryKind::kReserved;
};

// Fills handover.memory_ranges. Descriptors that overlap or do not fit are an error: a wrong map
// would have the image use memory that is not its own.
Result<void> ConvertMemoryMap(const UefiMemoryMap& map, std::span<const MemoryMark> marks,
                              Handover& handover);

}  // namespace gh::boot
