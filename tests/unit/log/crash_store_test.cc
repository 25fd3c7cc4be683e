// Crash records on the log partition: numbers, the full ring, acknowledging and clearing, every cut
// with damage, every failing request, and partitions that hold anything.
#include "firmware/log/crash_store.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "tests/unit/rt/test_arena.h"
#include "tests/unit/store/fake_disk.h"

namespace gh::log {
namespace {

using store::FakeDisk;
using Numbers = std::vector<uint64_t>;

std::vector<uint8_t> Sample(uint64_t n) {
  return std::vector<uint8_t>(100 + n * 131 % (kCrashRecordBytesMax - 99), static_cast<uint8_t>(n));
}

struct Store {
  explicit Store(hal::BlockDevice& device) : store(arena, device) {}
  Numbers numbers() const { return {store.numbers().begin(), store.numbers().end()}; }
  bool Holds(uint64_t number, const std::vector<uint8_t>& bytes) {
    const auto read = store.Read(number);
    return read.ok() && std::equal(read->begin(), read->end(), bytes.begin(), bytes.end());
  }
  TestArena arena;
  CrashStore store;
};

FakeDisk NewDisk(uint32_t block_size = 512) {
  return FakeDisk(block_size, kCrashAreaBytes / block_size);
}

TEST(CrashStore, KeepsRecordsOverARestart) {
  for (const uint32_t block_size : {512u, 4096u}) {
    FakeDisk disk = NewDisk(block_size);
    {
      Store first(disk);
      ASSERT_TRUE(first.store.Open().ok());
      EXPECT_TRUE(first.numbers().empty());
      EXPECT_EQ(*first.store.Append(Sample(1)), 1u);
      EXPECT_EQ(*first.store.Append(std::vector<uint8_t>(kCrashRecordBytesMax, 7)), 2u);
    }
    Store again(disk);
    ASSERT_TRUE(again.store.Open().ok());
    EXPECT_EQ(again.numbers(), (Numbers{1, 2}));
    EXPECT_TRUE(again.Holds(1, Sample(1)));
    EXPECT_TRUE(again.Holds(2, std::vector<uint8_t>(kCrashRecordBytesMax, 7)));
    EXPECT_EQ(again.store.Read(3).code(), ErrorCode::kNotFound);
    EXPECT_EQ(again.store.Read(0).code(), ErrorCode::kNotFound);
  }
}

TEST(CrashStore, TheSameRecordAgainIsNotAnother) {
  FakeDisk disk = NewDisk();
  Store one(disk);
  ASSERT_TRUE(one.store.Open().ok());
  EXPECT_EQ(*one.store.Append(Sample(1)), 1u);
  EXPECT_EQ(*one.store.Append(Sample(1)), 1u);
  EXPECT_EQ(*one.store.Append(Sample(2)), 2u);
  EXPECT_EQ(*one.store.Append(Sample(1)), 3u);  // not the latest: it happened once more
}

TEST(CrashStore, AFullRingOverwritesTheOldest) {
  FakeDisk disk = NewDisk();
  Store one(disk);
  ASSERT_TRUE(one.store.Open().ok());
  for (uint64_t n = 1; n <= kCrashSlotCount + 5; ++n) {
    ASSERT_EQ(*one.store.Append(Sample(n)), n);
  }
  Store again(disk);
  ASSERT_TRUE(again.store.Open().ok());
  ASSERT_EQ(again.numbers().size(), kCrashSlotCount);
  EXPECT_EQ(again.numbers().front(), 6u);
  for (const uint64_t n : again.numbers()) {
    EXPECT_TRUE(again.Holds(n, Sample(n))) << n;
  }
  EXPECT_EQ(again.store.Read(5).code(), ErrorCode::kNotFound);
}

TEST(CrashStore, AcknowledgedAndClearedStaySoAndNumbersGoOn) {
  FakeDisk disk = NewDisk();
  {
    Store one(disk);
    ASSERT_TRUE(one.store.Open().ok());
    ASSERT_TRUE(one.store.Append(Sample(1)).ok());
    EXPECT_EQ(one.store.unacknowledged_count(), 1u);
    ASSERT_TRUE(one.store.Acknowledge().ok());
    ASSERT_TRUE(one.store.Append(Sample(2)).ok());
    EXPECT_EQ(one.store.unacknowledged_count(), 1u);
  }
  {
    Store two(disk);
    ASSERT_TRUE(two.store.Open().ok());
    EXPECT_TRUE(two.store.IsAcknowledged(1));
    EXPECT_FALSE(two.store.IsAcknowledged(2));
    ASSERT_TRUE(two.store.Clear().ok());
    EXPECT_TRUE(two.numbers().empty());
  }
  Store three(disk);
  ASSERT_TRUE(three.store.Open().ok());
  EXPECT_TRUE(three.numbers().empty());
  EXPECT_EQ(*three.store.Append(Sample(3)), 3u);
  EXPECT_EQ(three.store.unacknowledged_count(), 1u);
}

TEST(CrashStore, ClearedRecordsCannotBeReadFromTheDisk) {
  FakeDisk disk = NewDisk();
  Store one(disk);
  ASSERT_TRUE(one.store.Open().ok());
  const std::string secret = "what a register held";
  ASSERT_TRUE(one.store.Append(AsBytes(secret)).ok());
  ASSERT_TRUE(one.store.Clear().ok());
  std::vector<uint8_t> all(kCrashAreaBytes);
  ASSERT_TRUE(hal::ReadBlocks(disk, 0, all).ok());
  EXPECT_EQ(AsText(all).find(secret), std::string_view::npos);
}

TEST(CrashStore, APartitionThatIsTooSmallIsRefused) {
  FakeDisk small(512, kCrashAreaBytes / 512 - 1);
  EXPECT_EQ(Store(small).store.Open().code(), ErrorCode::kUnsupported);
  FakeDisk odd(8192, 100);
  EXPECT_EQ(Store(odd).store.Open().code(), ErrorCode::kUnsupported);
}

TEST(CrashStore, AnythingOnThePartitionIsNoRecord) {
  std::mt19937_64 random(1);
  FakeDisk disk = NewDisk();
  std::vector<uint8_t> rubbish(kCrashAreaBytes);
  for (uint8_t& byte : rubbish) {
    byte = static_cast<uint8_t>(random());
  }
  ASSERT_TRUE(hal::WriteBlocks(disk, 0, rubbish).ok());
  Store one(disk);
  ASSERT_TRUE(one.store.Open().ok());
  EXPECT_TRUE(one.numbers().empty());
  EXPECT_EQ(*one.store.Append(Sample(1)), 1u);
}

// A record copied over another slot, and every bit of one flipped: neither is believed.
TEST(CrashStore, AMisplacedOrDamagedRecordDoesNotExist) {
  FakeDisk disk = NewDisk();
  {
    Store one(disk);
    ASSERT_TRUE(one.store.Open().ok());
    ASSERT_TRUE(one.store.Append(Sample(1)).ok());
  }
  std::vector<uint8_t> slot(kCrashSlotBytes);
  const uint64_t first = (2 * kCrashMarkBytes + kCrashSlotBytes) / 512;
  ASSERT_TRUE(hal::ReadBlocks(disk, first, slot).ok());
  ASSERT_TRUE(hal::WriteBlocks(disk, first + kCrashSlotBytes / 512, slot).ok());
  Store two(disk);
  ASSERT_TRUE(two.store.Open().ok());
  EXPECT_EQ(two.numbers(), (Numbers{1}));
  std::mt19937_64 random(2);
  for (int i = 0; i < 300; ++i) {
    const size_t at = i < 80 ? static_cast<size_t>(i) : random() % slot.size();
    slot[at] ^= 0x10;
    ASSERT_TRUE(hal::WriteBlocks(disk, first, slot).ok());
    Store damaged(disk);
    ASSERT_TRUE(damaged.store.Open().ok());
    EXPECT_TRUE(damaged.numbers().empty()) << at;
    EXPECT_FALSE(two.store.Read(1).ok()) << at;
    slot[at] ^= 0x10;
  }
}

// The power goes after each write or flush of appending to a full ring, acknowledging and clearing.
TEST(CrashStore, ACutAtAnyPointCostsAtMostTheRecordBeingReplaced) {
  uint32_t cut_count = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    bool finished = false;
    for (uint64_t cut = 0; !finished; ++cut) {
      std::mt19937_64 random(seed * 1000 + cut);
      FakeDisk disk = NewDisk();
      uint64_t appended = kCrashSlotCount;
      bool acknowledged = false, cleared = false;
      {
        Store one(disk);
        ASSERT_TRUE(one.store.Open().ok());
        for (uint64_t n = 1; n <= kCrashSlotCount; ++n) {
          ASSERT_TRUE(one.store.Append(Sample(n)).ok());
        }
        disk.CutAfter(cut);
        if (one.store.Append(Sample(kCrashSlotCount + 1)).ok()) {
          ++appended;
          acknowledged = one.store.Acknowledge().ok();
          cleared = acknowledged && one.store.Clear().ok();
        }
        finished = !disk.is_off();
      }
      disk.PowerCut(random);
      ++cut_count;
      Store after(disk);
      ASSERT_TRUE(after.store.Open().ok());
      if (cleared) {
        EXPECT_TRUE(after.numbers().empty());
        continue;
      }
      if (acknowledged && after.numbers().empty()) {
        continue;  // the clearing mark was there already, its answer was not
      }
      for (uint64_t n = 2; n <= appended; ++n) {
        // While it is being cleared what is left may be gone, but never wrong.
        EXPECT_TRUE(after.Holds(n, Sample(n)) || acknowledged) << seed << " " << cut << " " << n;
      }
      EXPECT_TRUE(!acknowledged || after.store.unacknowledged_count() == 0);
      EXPECT_TRUE(after.store.Append(Sample(99)).ok());
      EXPECT_TRUE(after.Holds(after.numbers().back(), Sample(99)));
    }
  }
  EXPECT_GT(cut_count, 400u);
}

TEST(CrashStore, EveryFailingRequestIsAnErrorAndNothingWorse) {
  for (uint64_t fail = 1; fail < 200; ++fail) {
    FakeDisk disk = NewDisk();
    {
      Store one(disk);
      ASSERT_TRUE(one.store.Open().ok());
      ASSERT_TRUE(one.store.Append(Sample(1)).ok());
    }
    disk.FailAt(fail, false);
    Store one(disk);
    bool ok = one.store.Open().ok();
    ok = ok && one.store.Append(Sample(2)).ok();
    ok = ok && one.store.Acknowledge().ok();
    EXPECT_TRUE(!ok || !disk.failed() || one.numbers().size() == 2) << fail;
    disk.FailAt(0, false);
    Store after(disk);
    ASSERT_TRUE(after.store.Open().ok());
    EXPECT_TRUE(after.Holds(1, Sample(1))) << fail;
  }
}

}  // namespace
}  // namespace gh::log
