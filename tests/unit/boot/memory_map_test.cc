// UEFI's memory map to ranges: order, merging, marks, and maps that make no sense.
#include "boot/memory_map.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "hal/rt/bytes.h"

namespace gh::boot {
namespace {

struct Descriptor {
  uint32_t type;
  uint64_t start;
  uint64_t pages;
};

std::vector<uint8_t> Encode(const std::vector<Descriptor>& descriptors, size_t step = 48) {
  std::vector<uint8_t> bytes(descriptors.size() * step);
  for (size_t i = 0; i < descriptors.size(); ++i) {
    ByteWriter out{std::span(bytes).subspan(i * step, step)};
    out.U32Le(descriptors[i].type);
    out.U32Le(0);
    out.U64Le(descriptors[i].start);
    out.U64Le(0);
    out.U64Le(descriptors[i].pages);
    out.U64Le(0xf);
  }
  return bytes;
}

class MemoryMapTest : public testing::Test {
 protected:
  std::string Convert(const std::vector<Descriptor>& descriptors,
                      const std::vector<MemoryMark>& marks = {}, size_t step = 48) {
    const auto bytes = Encode(descriptors, step);
    const auto result = ConvertMemoryMap({bytes, step}, marks, *handover_);
    if (!result.ok()) {
      return result.error().what;
    }
    std::string text;
    for (uint32_t i = 0; i < handover_->memory_range_count; ++i) {
      const MemoryRange& range = handover_->memory_ranges[i];
      text += std::to_string(range.start / kPage) + "+" + std::to_string(range.size / kPage) + ":" +
              std::to_string(static_cast<uint32_t>(range.kind)) + " ";
    }
    return text;
  }
  static constexpr uint64_t kPage = 4096;
  std::unique_ptr<Handover> handover_ = std::make_unique<Handover>();
};

TEST_F(MemoryMapTest, SortsMergesAndClassifies) {
  EXPECT_EQ(Convert({{7, 100 * kPage, 10},  // conventional
                     {3, 110 * kPage, 5},   // boot services: free as well
                     {0, 0, 1},             // reserved
                     {9, 50 * kPage, 2},    // ACPI tables
                     {10, 52 * kPage, 2},   // ACPI NVS
                     {6, 54 * kPage, 1},    // runtime
                     {2, 115 * kPage, 3},   // loader data
                     {11, 200 * kPage, 4},  // MMIO
                     {0x80000000, 300 * kPage, 1}}),
            "0+1:0 50+2:4 52+3:5 100+15:1 115+3:2 200+4:6 300+1:0 ");
}

TEST_F(MemoryMapTest, MarksCutRanges) {
  const MemoryMark image = {103 * kPage, 4 * kPage, MemoryKind::kImage};
  const MemoryMark persistent = {32 * kPage, 2 * kPage, MemoryKind::kPersistent};
  EXPECT_EQ(Convert({{1, 100 * kPage, 20}, {7, 0, 100}}, {image, persistent}),
            "0+32:1 32+2:7 34+66:1 100+3:2 103+4:3 107+13:2 ");
  // A mark over several descriptors, and one that covers a descriptor exactly.
  EXPECT_EQ(Convert({{1, 100 * kPage, 5}, {7, 105 * kPage, 5}}, {image}),
            "100+3:2 103+4:3 107+3:1 ");
  EXPECT_EQ(Convert({{1, 103 * kPage, 4}}, {image}), "103+4:3 ");
}

TEST_F(MemoryMapTest, RefusesNonsense) {
  EXPECT_EQ(Convert({{7, 0, 10}, {7, 9 * kPage, 10}}), "memory map: descriptors overlap");
  EXPECT_EQ(Convert({{7, 1, 10}}), "memory map: a descriptor is out of range");
  EXPECT_EQ(Convert({{7, 0, UINT64_MAX}}), "memory map: a descriptor is out of range");
  EXPECT_EQ(Convert({{7, UINT64_MAX & ~4095ull, 1}}), "memory map: a descriptor is out of range");
  EXPECT_EQ(Convert({{7, 5 * kPage, 0}}), "");
  EXPECT_EQ(Convert({{7, 0, 1}}, {}, 2000), "memory map: descriptor size is out of range");
  const std::vector<uint8_t> odd(100);
  EXPECT_FALSE(ConvertMemoryMap({odd, 48}, {}, *handover_).ok());
  EXPECT_FALSE(ConvertMemoryMap({odd, 0}, {}, *handover_).ok());
}

TEST_F(MemoryMapTest, TooManyRangesIsAnErrorNotAnOverrun) {
  std::vector<Descriptor> descriptors;
  for (uint32_t i = 0; i < kMemoryRangeMax; ++i) {
    descriptors.push_back({7, i * 2 * kPage, 1});
  }
  EXPECT_EQ(Convert(descriptors).substr(0, 8), "0+1:1 2+");
  EXPECT_EQ(handover_->memory_range_count, kMemoryRangeMax);
  descriptors.push_back({7, 5000 * kPage, 1});
  EXPECT_EQ(Convert(descriptors), "memory map: too many ranges");
}

}  // namespace
}  // namespace gh::boot
