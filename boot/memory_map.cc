#include "boot/memory_map.h"

#include <algorithm>

#include "boot/limits.h"
#include "hal/rt/bytes.h"

namespace gh::boot {

namespace {

constexpr uint64_t kDescriptorSizeMin = 40;
constexpr uint64_t kDescriptorSizeMax = 1024;
constexpr uint64_t kAddressEnd = 1ull << 52;  // what x86-64 can address physically

// UEFI 2.10, 7.2: EFI_MEMORY_TYPE.
MemoryKind KindOf(uint32_t uefi_type) {
  switch (uefi_type) {
    case 1:  // loader code
    case 2:  // loader data
      return MemoryKind::kLoader;
    case 3:  // boot services code
    case 4:  // boot services data
    case 7:  // conventional
      return MemoryKind::kFree;
    case 5:   // runtime services code
    case 6:   // runtime services data
    case 10:  // ACPI NVS
      return MemoryKind::kFirmwareRuntime;
    case 9:
      return MemoryKind::kAcpiTables;
    case 11:
    case 12:
      return MemoryKind::kMmio;
    default:
      return MemoryKind::kReserved;
  }
}

class RangeList {
 public:
  explicit RangeList(Handover& handover) : handover_(handover) { handover_.memory_range_count = 0; }

  bool Insert(const MemoryRange& range) {
    uint32_t& count = handover_.memory_range_count;
    if (count == kMemoryRangeMax) {
      return false;
    }
    uint32_t at = count;
    while (at > 0 && ranges()[at - 1].start > range.start) {
      ranges()[at] = ranges()[at - 1];
      --at;
    }
    ranges()[at] = range;
    ++count;
    return true;
  }

  bool HasOverlap() const {
    for (uint32_t i = 1; i < handover_.memory_range_count; ++i) {
      const MemoryRange& before = handover_.memory_ranges[i - 1];
      if (before.start + before.size > handover_.memory_ranges[i].start) {
        return true;
      }
    }
    return false;
  }

  void Merge() {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < handover_.memory_range_count; ++i) {
      const MemoryRange range = ranges()[i];
      MemoryRange* last = kept > 0 ? &ranges()[kept - 1] : nullptr;
      if (last != nullptr && last->kind == range.kind && last->start + last->size == range.start) {
        last->size += range.size;
      } else {
        ranges()[kept++] = range;
      }
    }
    handover_.memory_range_count = kept;
  }

 private:
  MemoryRange* ranges() { return handover_.memory_ranges; }
  Handover& handover_;
};

// Inserts `range` cut into pieces, so that each piece is wholly inside or outside every mark.
bool InsertMarked(RangeList& list, MemoryRange range, std::span<const MemoryMark> marks) {
  uint64_t end = range.start + range.size;
  while (range.start < end) {
    MemoryRange piece = range;
    uint64_t piece_end = end;
    for (const MemoryMark& mark : marks) {
      const uint64_t mark_end = mark.start + mark.size;
      if (range.start >= mark.start && range.start < mark_end) {
        piece.kind = mark.kind;
        piece_end = std::min(piece_end, mark_end);
      } else if (mark.start > range.start) {
        piece_end = std::min(piece_end, mark.start);
      }
    }
    piece.size = piece_end - piece.start;
    if (!list.Insert(piece)) {
      return false;
    }
    range.start = piece_end;
  }
  return true;
}

}  // namespace

Result<void> ConvertMemoryMap(const UefiMemoryMap& map, std::span<const MemoryMark> marks,
                              Handover& handover) {
  const uint64_t step = map.descriptor_size;
  if (step < kDescriptorSizeMin || step > kDescriptorSizeMax || map.map.size() % step != 0) {
    return Error(ErrorCode::kUnsupported, "memory map: descriptor size is out of range");
  }
  RangeList list(handover);
  for (uint64_t at = 0; at < map.map.size(); at += step) {
    ByteReader reader(map.map.subspan(at, step));
    const uint32_t type = reader.U32Le();
    reader.Skip(4);
    const uint64_t start = reader.U64Le();
    reader.Skip(8);  // virtual address
    const uint64_t pages = reader.U64Le();
    if (pages == 0) {
      continue;
    }
    if (start % kPageSize != 0 || start >= kAddressEnd ||
        pages > (kAddressEnd - start) / kPageSize) {
      return Error(ErrorCode::kMalformed, "memory map: a descriptor is out of range");
    }
    if (!InsertMarked(list, {start, pages * kPageSize, KindOf(type), type}, marks)) {
      return Error(ErrorCode::kTooLarge, "memory map: too many ranges");
    }
  }
  if (list.HasOverlap()) {
    return Error(ErrorCode::kMalformed, "memory map: descriptors overlap");
  }
  list.Merge();
  return Ok();
}

}  // namespace gh::boot
