// Places a verified ELF64 into memory: x86-64, position independent, relative relocations only.
//
// Pure, no recursion, everything bounded: the file was signed, but a loader that trusts offsets
// because of that would turn a build mistake into a jump to nowhere.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "boot/limits.h"
#include "hal/rt/result.h"

namespace gh::boot {

struct ElfSegment {
  uint64_t file_offset = 0;
  uint64_t file_size = 0;
  uint64_t address = 0;  // from the image's base
  uint64_t memory_size = 0;
  bool is_code = false;
};

struct ElfPlan {
  std::array<ElfSegment, kElfSegmentMax> segments;
  uint32_t segment_count = 0;
  uint64_t memory_size = 0;  // whole pages
  uint64_t entry = 0;        // from the image's base
  uint64_t relocations_address = 0;
  uint64_t relocations_size = 0;
  std::span<const ElfSegment> all() const { return {segments.data(), segment_count}; }
};

Result<ElfPlan> PlanElf(std::span<const uint8_t> file);

// Fills `memory` (exactly plan.memory_size bytes, which the image will see at address `base`):
// zeroes it, copies the segments and relocates them.
Result<void> LoadElf(const ElfPlan& plan, std::span<const uint8_t> file, std::span<uint8_t> memory,
                     uint64_t base);

}  // namespace gh::boot
