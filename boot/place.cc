#include "boot/place.h"

#include <algorithm>

#include "boot/limits.h"
#include "hal/rt/bytes.h"

namespace gh::boot {
namespace {

constexpr uint32_t kConventional = 7;  // UEFI 2.10, 7.2
constexpr uint64_t kDescriptorSizeMin = 40;

struct FreeRange {
  uint64_t start = 0;
  uint64_t size = 0;
};

// The conventional range that descriptor `at` tells of; empty for any other.
FreeRange RangeAt(const UefiMemoryMap& map, uint64_t at) {
  ByteReader reader(map.map.subspan(at * map.descriptor_size, map.descriptor_size));
  const uint32_t type = reader.U32Le();
  reader.Skip(4);
  const uint64_t start = reader.U64Le();
  reader.Skip(8);  // virtual address
  const uint64_t pages = reader.U64Le();
  if (type != kConventional || start % kPageSize != 0 || start >= kPlaceEnd ||
      pages > (kPlaceEnd - start) / kPageSize) {
    return {};
  }
  // Low memory belongs to old habits of firmware and to the start-up of other processors.
  const uint64_t end = start + pages * kPageSize;
  const uint64_t from = std::max(start, kPlaceStart);
  return {from, end > from ? end - from : 0};
}

uint64_t CountOf(const UefiMemoryMap& map) {
  return map.descriptor_size < kDescriptorSizeMin ? 0 : map.map.size() / map.descriptor_size;
}

FreeRange Restrict(const FreeRange& range, uint64_t largest, uint64_t size) {
  if (range.size < largest) {
    return range;
  }
  const uint64_t tail = std::min(
      range.size,
      std::max((range.size >> kPlaceTailShift) / kPageSize * kPageSize, size + kPlaceTailMin));
  return {range.start + range.size - tail, tail};
}

uint64_t LargestOf(const UefiMemoryMap& map) {
  uint64_t largest = 0;
  for (uint64_t i = 0; i < CountOf(map); ++i) {
    largest = std::max(largest, RangeAt(map, i).size);
  }
  return largest;
}

}  // namespace

uint64_t CountPlaces(const UefiMemoryMap& map, uint64_t size) {
  const uint64_t largest = LargestOf(map);
  uint64_t count = 0;
  for (uint64_t i = 0; i < CountOf(map); ++i) {
    const FreeRange range = Restrict(RangeAt(map, i), largest, size);
    count += range.size < size || size == 0 ? 0 : (range.size - size) / kPageSize + 1;
  }
  return count;
}

uint64_t ChoosePlace(const UefiMemoryMap& map, uint64_t size, uint64_t random) {
  const uint64_t largest = LargestOf(map);
  const uint64_t count = CountPlaces(map, size);
  if (count == 0) {
    return 0;
  }
  uint64_t left = random % count;
  for (uint64_t i = 0; i < CountOf(map); ++i) {
    const FreeRange range = Restrict(RangeAt(map, i), largest, size);
    const uint64_t places = range.size < size ? 0 : (range.size - size) / kPageSize + 1;
    if (left < places) {
      return range.start + left * kPageSize;
    }
    left -= places;
  }
  return 0;
}

}  // namespace gh::boot
