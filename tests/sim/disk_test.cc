// The simulated disk alone: what a flush promises, what a power cut may do, faults by count.
#include "board/sim/disk.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <set>

namespace gh::sim {
namespace {

using Block = std::array<uint8_t, 512>;

Block Filled(uint8_t value) {
  Block block;
  block.fill(value);
  return block;
}

uint8_t FirstOf(const SimDisk& disk, uint64_t sector) { return disk.durable()[sector * 512]; }

TEST(SimDisk, ReadsSeeWritesBeforeTheFlushAndTheMediumOnlyAfter) {
  SimDisk disk("d", Random(1), 65536);
  ASSERT_TRUE(hal::WriteBlocks(disk, 3, Filled(7)).ok());
  Block read = {};
  ASSERT_TRUE(hal::ReadBlocks(disk, 3, read).ok());
  EXPECT_EQ(read[0], 7);
  EXPECT_EQ(FirstOf(disk, 3), 0);
  ASSERT_TRUE(hal::FlushBlocks(disk).ok());
  EXPECT_EQ(FirstOf(disk, 3), 7);
  EXPECT_EQ(disk.unflushed_sector_count(), 0u);
}

TEST(SimDisk, OutOfRangeIsRefused) {
  SimDisk disk("d", Random(1), 65536);
  EXPECT_EQ(hal::WriteBlocks(disk, 128, Filled(1)).code(), ErrorCode::kOutOfRange);
  EXPECT_TRUE(hal::WriteBlocks(disk, 127, Filled(1)).ok());
}

// Each subset of two unflushed sectors turns up, each version of a rewritten one, and the flushed
// one never changes.
TEST(SimDisk, ACutKeepsAnySubsetInAnyOrder) {
  std::set<std::array<uint8_t, 2>> seen;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    SimDisk disk("d", Random(seed), 65536);
    ASSERT_TRUE(hal::WriteBlocks(disk, 0, Filled(9)).ok());
    ASSERT_TRUE(hal::FlushBlocks(disk).ok());
    ASSERT_TRUE(hal::WriteBlocks(disk, 1, Filled(1)).ok());
    ASSERT_TRUE(hal::WriteBlocks(disk, 1, Filled(2)).ok());
    ASSERT_TRUE(hal::WriteBlocks(disk, 2, Filled(3)).ok());
    disk.CutPower({.tear = Tear::kNone});
    EXPECT_EQ(FirstOf(disk, 0), 9);
    seen.insert({FirstOf(disk, 1), FirstOf(disk, 2)});
  }
  const std::set<std::array<uint8_t, 2>> all = {{0, 0}, {1, 0}, {2, 0}, {0, 3}, {1, 3}, {2, 3}};
  EXPECT_EQ(seen, all);
}

TEST(SimDisk, ATornSectorIsPartOldPartNewOrNoise) {
  bool prefix = false;
  bool suffix = false;
  bool noise = false;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    SimDisk disk("d", Random(seed), 65536);
    ASSERT_TRUE(hal::WriteBlocks(disk, 0, Filled(0xaa)).ok());
    ASSERT_TRUE(hal::FlushBlocks(disk).ok());
    ASSERT_TRUE(hal::WriteBlocks(disk, 0, Filled(0xbb)).ok());
    disk.CutPower({.keep = Keep::kNone});
    const auto sector = disk.durable().first(512);
    const bool pure =
        std::all_of(sector.begin(), sector.end(), [](uint8_t b) { return b == 0xaa || b == 0xbb; });
    prefix = prefix || (pure && sector[0] == 0xbb && sector[511] == 0xaa);
    suffix = suffix || (pure && sector[0] == 0xaa && sector[511] == 0xbb);
    noise = noise || !pure;
  }
  EXPECT_TRUE(prefix && suffix && noise);
}

TEST(SimDisk, ADiskWithoutPowerFailsEverything) {
  SimDisk disk("d", Random(1), 65536);
  ASSERT_TRUE(hal::WriteBlocks(disk, 0, Filled(5)).ok());
  disk.CutPower({.keep = Keep::kAll, .tear = Tear::kNone});
  EXPECT_EQ(hal::WriteBlocks(disk, 1, Filled(6)).code(), ErrorCode::kIoError);
  EXPECT_EQ(hal::FlushBlocks(disk).code(), ErrorCode::kIoError);
  disk.PowerOn();
  Block read = {};
  ASSERT_TRUE(hal::ReadBlocks(disk, 0, read).ok());
  EXPECT_EQ(read[0], 5);
  ASSERT_TRUE(hal::ReadBlocks(disk, 1, read).ok());
  EXPECT_EQ(read[0], 0);
}

TEST(SimDisk, APlannedCutStrikesItsRequestWhileItIsUnderWay) {
  std::set<uint8_t> seen;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    SimDisk disk("d", Random(seed), 65536);
    disk.PlanCut(2, {.tear = Tear::kNone});
    ASSERT_TRUE(hal::WriteBlocks(disk, 0, Filled(1)).ok());
    EXPECT_EQ(hal::WriteBlocks(disk, 1, Filled(2)).code(), ErrorCode::kIoError);
    EXPECT_TRUE(disk.cut_happened());
    seen.insert(FirstOf(disk, 1));
  }
  EXPECT_EQ(seen, (std::set<uint8_t>{0, 2}));  // done or not, as it falls
}

TEST(SimDisk, FaultsStrikeByCount) {
  SimDisk disk("d", Random(1), 65536);
  disk.PlanFault({.fault = Fault::kFail, .first = 2, .count = 2});
  EXPECT_TRUE(hal::WriteBlocks(disk, 0, Filled(1)).ok());
  EXPECT_EQ(hal::WriteBlocks(disk, 1, Filled(1)).code(), ErrorCode::kIoError);
  EXPECT_EQ(hal::FlushBlocks(disk).code(), ErrorCode::kIoError);
  EXPECT_TRUE(hal::FlushBlocks(disk).ok());
  EXPECT_EQ(FirstOf(disk, 0), 1);
  EXPECT_EQ(FirstOf(disk, 1), 0);

  SimDisk liar("d", Random(1), 65536);
  liar.PlanFault({.fault = Fault::kLose, .first = 1});
  EXPECT_TRUE(hal::WriteBlocks(liar, 0, Filled(1)).ok());
  EXPECT_TRUE(hal::FlushBlocks(liar).ok());
  EXPECT_EQ(FirstOf(liar, 0), 0);

  SimDisk astray("d", Random(1), 65536);
  astray.PlanFault({.fault = Fault::kMisdirect, .first = 1});
  EXPECT_TRUE(hal::WriteBlocks(astray, 0, Filled(1)).ok());
  EXPECT_TRUE(hal::FlushBlocks(astray).ok());
  EXPECT_EQ(FirstOf(astray, 0), 0);
  EXPECT_EQ(std::count(astray.durable().begin(), astray.durable().end(), 1), 512);
}

TEST(SimDisk, AFourKilobyteBlockTearsAtItsSectors) {
  bool split = false;
  for (uint64_t seed = 0; seed < 50 && !split; ++seed) {
    SimDisk disk("d", Random(seed), 65536, 4096);
    std::array<uint8_t, 4096> block;
    block.fill(1);
    ASSERT_TRUE(hal::WriteBlocks(disk, 1, block).ok());
    disk.CutPower({.tear = Tear::kNone});
    const auto kept = std::count(disk.durable().begin(), disk.durable().end(), 1);
    split = kept > 0 && kept < 4096;
  }
  EXPECT_TRUE(split);
}

TEST(SimDisk, FlushDoesNotCoverWritesThatWereUnderWay) {
  SimDisk disk("d", Random(1), 65536);
  Block data = Filled(4);
  const auto ignore = [](hal::BlockRequest&) {};
  hal::BlockRequest write{.op = hal::BlockOp::kWrite,
                          .block = 0,
                          .block_count = 1,
                          .data = data.data(),
                          .done = ignore};
  hal::BlockRequest flush{.op = hal::BlockOp::kFlush, .done = ignore};
  ASSERT_TRUE(disk.Submit(write).ok());
  ASSERT_TRUE(disk.Submit(flush).ok());
  disk.Poll();
  EXPECT_EQ(FirstOf(disk, 0), 0);
  ASSERT_TRUE(hal::FlushBlocks(disk).ok());
  EXPECT_EQ(FirstOf(disk, 0), 4);
}

TEST(SimDisk, AChangedBufferIsNoticed) {
  SimDisk disk("d", Random(1), 65536);
  Block data = Filled(4);
  hal::BlockRequest write{.op = hal::BlockOp::kWrite,
                          .block = 0,
                          .block_count = 1,
                          .data = data.data(),
                          .done = [](hal::BlockRequest&) {}};
  ASSERT_TRUE(disk.Submit(write).ok());
  data[100] = 5;
  disk.Poll();
  EXPECT_EQ(disk.unstable_buffer_count(), 1u);
}

}  // namespace
}  // namespace gh::sim
