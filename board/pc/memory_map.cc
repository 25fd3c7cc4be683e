#include "board/pc/memory_map.h"

#include <algorithm>

#include "board/pc/limits.h"

namespace gh::pc {

using boot::MemoryKind;
using boot::MemoryRange;

namespace {

constexpr uint64_t kLegacyEnd = 1u << 20;

bool IsRam(MemoryKind kind) {
  return kind == MemoryKind::kFree || kind == MemoryKind::kLoader || kind == MemoryKind::kImage ||
         kind == MemoryKind::kPersistent;
}

bool IsReadable(MemoryKind kind) {
  return IsRam(kind) || kind == MemoryKind::kAcpiTables || kind == MemoryKind::kFirmwareRuntime;
}

}  // namespace

void MemoryMap::Append(uint64_t start, uint64_t end, MemoryKind kind, uint32_t uefi_type) {
  if (start >= end) {
    return;
  }
  if (range_count_ != 0) {
    MemoryRange& last = ranges_[range_count_ - 1];
    if (last.kind == kind && last.start + last.size == start) {
      last.size += end - start;
      return;
    }
  }
  GH_ASSERT_LT(range_count_, kRangeMax);
  ranges_[range_count_++] = {start, end - start, kind, uefi_type};
}

Result<void> MemoryMap::Load(const boot::Handover& handover) {
  Hole holes[] = {
      {handover.image_start, handover.image_start + handover.image_size, MemoryKind::kImage},
      {handover.persistent_start, handover.persistent_start + handover.persistent_size,
       MemoryKind::kPersistent}};
  if (holes[0].start > holes[1].start) {
    std::swap(holes[0], holes[1]);
  }
  if (holes[0].end > holes[1].start && holes[0].end != holes[0].start) {
    return Error(ErrorCode::kMalformed, "image overlaps the persistent area");
  }
  uint64_t previous_end = 0;
  for (uint32_t i = 0; i < handover.memory_range_count; ++i) {
    const MemoryRange& range = handover.memory_ranges[i];
    const uint64_t end = range.start + range.size;
    if (range.start % kPageSize != 0 || range.size % kPageSize != 0 || end < range.start ||
        range.start < previous_end) {
      return Error(ErrorCode::kMalformed, "memory ranges are not in order");
    }
    previous_end = end;
    uint64_t at = range.start;
    for (const Hole& hole : holes) {
      if (hole.start >= at && hole.start < end && hole.end > hole.start) {
        if (hole.end > end || !IsRam(range.kind)) {
          return Error(ErrorCode::kMalformed, "image does not lie in one range of RAM");
        }
        Append(at, hole.start, range.kind, range.uefi_type);
        Append(hole.start, hole.end, hole.kind, range.uefi_type);
        at = hole.end;
      }
    }
    Append(at, end, range.kind, range.uefi_type);
  }
  return Ok();
}

uint64_t MemoryMap::ram_bytes() const {
  uint64_t bytes = 0;
  for (const MemoryRange& range : ranges()) {
    bytes += IsRam(range.kind) || range.kind == MemoryKind::kAcpiTables ? range.size : 0;
  }
  return bytes;
}

MemoryRange MemoryMap::LargestFree() const {
  MemoryRange best = {};
  for (MemoryRange range : ranges()) {
    if (range.kind != MemoryKind::kFree || range.start + range.size <= kLegacyEnd) {
      continue;
    }
    if (range.start < kLegacyEnd) {
      range.size -= kLegacyEnd - range.start;
      range.start = kLegacyEnd;
    }
    best = range.size > best.size ? range : best;
  }
  return best;
}

MemoryRange MemoryMap::LargestLow() const {
  MemoryRange best = {};
  for (MemoryRange range : ranges()) {
    const uint64_t start = std::max(range.start, kPageSize);
    const uint64_t end = std::min(range.start + range.size, kLegacyEnd);
    if (range.kind == MemoryKind::kFree && start < end && end - start > best.size) {
      best = {start, end - start, range.kind, range.uefi_type};
    }
  }
  return best;
}

std::span<const uint8_t> MemoryMap::At(uint64_t address, uint64_t size) const {
  for (const MemoryRange& range : ranges()) {
    if (IsReadable(range.kind) && address >= range.start && address - range.start < range.size &&
        size <= range.size - (address - range.start) && address >= kPageSize) {
      return {reinterpret_cast<const uint8_t*>(address), size};
    }
  }
  return {};
}

}  // namespace gh::pc
