#include "board/pc/memory_map.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "board/pc/limits.h"

namespace gh::pc {
namespace {

using boot::MemoryKind;
using boot::MemoryRange;

class MemoryMapTest : public testing::Test {
 protected:
  MemoryMapTest() : handover_(std::make_unique<boot::Handover>()) {
    handover_->image_start = 0x100'0000;
    handover_->image_size = 0x10'0000;
    handover_->persistent_start = boot::kPersistentAddress;
    handover_->persistent_size = boot::kPersistentSize;
    ranges_ = {{0, 0xa0000, MemoryKind::kFree, 7},
               {0xf0000, 0x10000, MemoryKind::kReserved, 0},
               {0x100000, 0x3f00000, MemoryKind::kFree, 7},
               {0x4000000, 0x1000, MemoryKind::kAcpiTables, 9},
               {0x4001000, 0x1000, MemoryKind::kFirmwareRuntime, 10},
               {0x4002000, 0x100000, MemoryKind::kLoader, 2},
               {0xe0000000, 0x10000000, MemoryKind::kMmio, 11}};
  }
  Result<void> Load() {
    handover_->memory_range_count = static_cast<uint32_t>(ranges_.size());
    std::copy(ranges_.begin(), ranges_.end(), handover_->memory_ranges);
    map_ = std::make_unique<MemoryMap>();
    return map_->Load(*handover_);
  }
  std::unique_ptr<boot::Handover> handover_;
  std::vector<MemoryRange> ranges_;
  std::unique_ptr<MemoryMap> map_;
};

TEST_F(MemoryMapTest, CutsImageAndPersistentAreaOut) {
  ASSERT_TRUE(Load().ok());
  uint64_t end = 0;
  uint64_t image_bytes = 0;
  uint64_t persistent_bytes = 0;
  for (const MemoryRange& range : map_->ranges()) {
    EXPECT_GE(range.start, end);
    end = range.start + range.size;
    image_bytes += range.kind == MemoryKind::kImage ? range.size : 0;
    persistent_bytes += range.kind == MemoryKind::kPersistent ? range.size : 0;
  }
  EXPECT_EQ(image_bytes, handover_->image_size);
  EXPECT_EQ(persistent_bytes, handover_->persistent_size);
  const MemoryRange largest = map_->LargestFree();
  EXPECT_EQ(largest.kind, MemoryKind::kFree);
  EXPECT_EQ(largest.start, boot::kPersistentAddress + boot::kPersistentSize);
  EXPECT_EQ(largest.start + largest.size, 0x4000000u);
}

TEST_F(MemoryMapTest, TheSameWhenTheLoaderNamedThemItself) {
  ranges_[2] = {0x100000, 0xf00000, MemoryKind::kFree, 7};
  ranges_.insert(ranges_.begin() + 3, {0x1000000, 0x100000, MemoryKind::kImage, 2});
  ranges_.insert(ranges_.begin() + 4, {0x1100000, 0xf00000, MemoryKind::kFree, 7});
  ranges_.insert(ranges_.begin() + 5,
                 {boot::kPersistentAddress, boot::kPersistentSize, MemoryKind::kPersistent, 2});
  ranges_.insert(ranges_.begin() + 6, {0x2010000, 0x1ff0000, MemoryKind::kFree, 7});
  ASSERT_TRUE(Load().ok());
  EXPECT_EQ(map_->LargestFree().start, 0x2010000u);
}

TEST_F(MemoryMapTest, WithoutAPersistentArea) {
  handover_->persistent_start = handover_->persistent_size = 0;
  ASSERT_TRUE(Load().ok());
  for (const MemoryRange& range : map_->ranges()) {
    EXPECT_NE(range.kind, MemoryKind::kPersistent);
  }
}

TEST_F(MemoryMapTest, MemoryBelowOneMebibyteIsNotForUs) {
  ranges_ = {{0, 0x200000, MemoryKind::kFree, 7},
             {0x1000000, 0x100000, MemoryKind::kFree, 7},
             {boot::kPersistentAddress, boot::kPersistentSize, MemoryKind::kFree, 7}};
  ASSERT_TRUE(Load().ok());
  EXPECT_EQ(map_->LargestFree().start, 0x100000u);
  EXPECT_EQ(map_->LargestFree().size, 0x100000u);
  // But for the second processor's first page: never page 0, nor what the firmware keeps.
  EXPECT_EQ(map_->LargestLow().start, 0x1000u);
  EXPECT_EQ(map_->LargestLow().size, 0xff000u);
}

TEST_F(MemoryMapTest, RefusesRangesThatMakeNoSense) {
  const auto good = ranges_;
  const auto code_with = [&](size_t index, const MemoryRange& range) {
    ranges_ = good;
    ranges_[index] = range;
    return Load().code();
  };
  ASSERT_TRUE(Load().ok());
  EXPECT_EQ(code_with(0, {1, 0x1000, MemoryKind::kFree, 7}), ErrorCode::kMalformed);
  EXPECT_EQ(code_with(0, {0, 0x1001, MemoryKind::kFree, 7}), ErrorCode::kMalformed);
  EXPECT_EQ(code_with(0, {0, 0x200000, MemoryKind::kFree, 7}), ErrorCode::kMalformed);
  EXPECT_EQ(code_with(6, {0x1000, 0x1000, MemoryKind::kFree, 7}), ErrorCode::kMalformed);
  EXPECT_EQ(code_with(6, {~0xfffull, 0x2000, MemoryKind::kFree, 7}), ErrorCode::kMalformed);
  // The image in memory that is not RAM, or across a border.
  EXPECT_EQ(code_with(2, {0x100000, 0x3f00000, MemoryKind::kReserved, 0}), ErrorCode::kMalformed);
  EXPECT_EQ(code_with(2, {0x100000, 0xf10000, MemoryKind::kFree, 7}), ErrorCode::kMalformed);
  ranges_ = good;
  handover_->persistent_start = handover_->image_start + 0x1000;
  EXPECT_EQ(Load().code(), ErrorCode::kMalformed);
}

TEST_F(MemoryMapTest, TablesAreReadOnlyWhereThereIsMemory) {
  ASSERT_TRUE(Load().ok());
  EXPECT_EQ(map_->At(0x4000000, 0x1000).size(), 0x1000u);
  EXPECT_EQ(map_->At(0x4000ff0, 0x10).size(), 0x10u);
  EXPECT_TRUE(map_->At(0x4002000 + 0x100000, 1).empty());
  EXPECT_TRUE(map_->At(0x4102000 - 8, 16).empty());
  EXPECT_TRUE(map_->At(0xe0000000, 16).empty());  // a device is no table
  EXPECT_TRUE(map_->At(0xf0000, 16).empty());
  EXPECT_TRUE(map_->At(0, 16).empty());  // page 0 is not mapped
  EXPECT_TRUE(map_->At(0x4000000, UINT64_MAX).empty());
  EXPECT_TRUE(map_->At(UINT64_MAX - 4, 16).empty());
}

}  // namespace
}  // namespace gh::pc
