// The machine's memory as the loader handed it over, minus what the image and the persistent area
// occupy: what may be mapped, where the firmware's tables may be read, and the largest free piece.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "board/pc/acpi.h"
#include "boot/handover.h"
#include "hal/rt/result.h"

namespace gh::pc {

class MemoryMap final : public PhysicalMemory {
 public:
  MemoryMap() = default;
  MemoryMap(const MemoryMap&) = delete;
  MemoryMap& operator=(const MemoryMap&) = delete;

  // kMalformed: ranges not page-aligned, not ascending, overlapping, or image outside of them.
  Result<void> Load(const boot::Handover& handover);
  std::span<const boot::MemoryRange> ranges() const { return {ranges_.data(), range_count_}; }
  uint64_t ram_bytes() const;
  // The largest free range above 1 MiB (below it live the firmware's leftovers).
  boot::MemoryRange LargestFree() const;
  // The largest free range below 1 MiB, page 0 left out; empty: none.
  boot::MemoryRange LargestLow() const;
  // RAM and ACPI ranges only.
  std::span<const uint8_t> At(uint64_t address, uint64_t size) const override;

 private:
  void Append(uint64_t start, uint64_t end, boot::MemoryKind kind, uint32_t uefi_type);
  struct Hole {
    uint64_t start;
    uint64_t end;
    boot::MemoryKind kind;
  };

  // Each hole may split a range in two.
  static constexpr uint32_t kRangeMax = boot::kMemoryRangeMax + 4;
  std::array<boot::MemoryRange, kRangeMax> ranges_ = {};
  uint32_t range_count_ = 0;
};

}  // namespace gh::pc
