// The four copies of the boot state as one record: every combination of good, old, broken and
// misplaced copies; what is written when; and every byte of a copy.
#include "image/bootstate_copies.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <vector>

namespace gh::image {
namespace {

BootState State(uint64_t sequence) {
  BootState state;
  state.sequence = sequence;
  state.security_version = sequence / 2;
  state.slots[0].state = SlotState::kConfirmed;
  state.slots[0].install_sequence = sequence;
  return state;
}

// A partition in memory that notes its writes between flushes.
class MemoryDisk final : public StateDisk {
 public:
  MemoryDisk() : bytes_(kBootStateCopyCount * kBootStateCopyStride) {}
  Result<void> Read(uint64_t offset, std::span<uint8_t> out) override {
    std::copy_n(bytes_.begin() + static_cast<ptrdiff_t>(offset), out.size(), out.begin());
    return (read_fails & 1u << offset / kBootStateCopyStride) != 0
               ? Result<void>(Error(ErrorCode::kIoError, "read"))
               : Ok();
  }
  Result<void> Write(uint64_t offset, std::span<const uint8_t> data) override {
    if (write_fails) {
      return Error(ErrorCode::kIoError, "write");
    }
    std::copy(data.begin(), data.end(), bytes_.begin() + static_cast<ptrdiff_t>(offset));
    pending |= static_cast<CopyMask>(1u << offset / kBootStateCopyStride);
    return Ok();
  }
  Result<void> Flush() override {
    groups.push_back(pending);
    pending = 0;
    return Ok();
  }
  std::span<uint8_t, kBootStateCopySize> Copy(uint32_t index) {
    return std::span(bytes_)
        .subspan(size_t{index} * kBootStateCopyStride)
        .first<kBootStateCopySize>();
  }
  void PutAll(const BootState& state) {
    for (uint32_t i = 0; i < kBootStateCopyCount; ++i) {
      EncodeBootState(state, i, Copy(i));
    }
  }

  std::vector<CopyMask> groups;  // written before each flush
  CopyMask pending = 0;
  uint32_t read_fails = 0;
  bool write_fails = false;

 private:
  std::vector<uint8_t> bytes_;
};

enum Kind : uint32_t { kGood, kOld, kBroken, kMisplaced, kKindCount };

void Place(MemoryDisk& disk, uint32_t copy, Kind kind) {
  const BootState fresh = State(21);
  const BootState old = State(20);
  EncodeBootState(kind == kOld ? old : fresh,
                  kind == kMisplaced ? (copy + 1) % kBootStateCopyCount : copy, disk.Copy(copy));
  if (kind == kBroken) {
    disk.Copy(copy)[100 + copy] ^= 0x10;
  }
}

TEST(BootStateCopies, AllCombinationsOfGoodOldBrokenAndMisplaced) {
  uint32_t lost = 0;
  for (uint32_t combination = 0; combination < 256; ++combination) {
    MemoryDisk disk;
    uint32_t good = 0, old = 0;
    for (uint32_t copy = 0; copy < kBootStateCopyCount; ++copy) {
      const auto kind = static_cast<Kind>(combination >> 2 * copy & 3);
      Place(disk, copy, kind);
      good |= kind == kGood ? 1u << copy : 0;
      old |= kind == kOld ? 1u << copy : 0;
    }
    BootStateCopies copies(disk);
    const auto loaded = copies.Load();
    if ((good | old) == 0) {
      ++lost;
      EXPECT_EQ(loaded.code(), ErrorCode::kNotFound);
      EXPECT_EQ(copies.status(), RecordStatus::kLost);
      continue;
    }
    ASSERT_TRUE(loaded.ok()) << combination;
    const uint32_t holders = good != 0 ? good : old;
    EXPECT_EQ(*loaded, State(good != 0 ? 21 : 20)) << combination;
    EXPECT_EQ(copies.holders_at_load(), holders);
    EXPECT_EQ(copies.status(),
              holders == kAllCopies ? RecordStatus::kGood : RecordStatus::kRepaired);
    // Repaired: all four hold it, and no copy that held it was written.
    for (uint32_t copy = 0; copy < kBootStateCopyCount; ++copy) {
      const auto state = DecodeBootState(disk.Copy(copy), copy);
      ASSERT_TRUE(state.ok());
      EXPECT_EQ(*state, *loaded);
    }
    ASSERT_EQ(disk.groups.size(), holders == kAllCopies ? 0u : 1u);
    if (!disk.groups.empty()) {
      EXPECT_EQ(disk.groups[0], kAllCopies & ~holders);
    }
  }
  EXPECT_EQ(lost, 16u);
}

TEST(BootStateCopies, AfterALossTheSequenceStartsAgain) {
  MemoryDisk disk;
  BootStateCopies copies(disk);
  EXPECT_FALSE(copies.Load().ok());
  BootState state = State(0);
  ASSERT_TRUE(copies.Save(state).ok());
  EXPECT_EQ(state.sequence, 1u);
  BootStateCopies again(disk);
  const auto loaded = again.Load();
  ASSERT_TRUE(loaded.ok());
  EXPECT_EQ(*loaded, state);
}

TEST(BootStateCopies, AWriteNeverTouchesAllCopiesBetweenFlushes) {
  for (uint32_t holders = 0; holders <= kAllCopies; ++holders) {
    const auto order = OrderBootStateWrite(static_cast<CopyMask>(holders));
    EXPECT_EQ(order.first | order.second, kAllCopies);
    EXPECT_EQ(order.first & order.second, 0);
    EXPECT_NE(order.first, kAllCopies);
    EXPECT_GE(std::popcount(order.first), 2);
    if (holders != 0) {
      EXPECT_NE(order.second & holders, 0) << "no holder is kept while the first are written";
    }
  }
  MemoryDisk disk;
  disk.PutAll(State(5));
  BootStateCopies copies(disk);
  ASSERT_TRUE(copies.Load().ok());
  BootState state = State(5);
  ASSERT_TRUE(copies.Save(state).ok());
  EXPECT_EQ(disk.groups, (std::vector<CopyMask>{0b0011, 0b1100}));
}

// Two records of one number: the one with more copies; a number is never given out twice.
TEST(BootStateCopies, OfTwoRecordsOfOneSequenceTheOneWithMoreCopies) {
  MemoryDisk disk;
  BootState other = State(7);
  other.security_version = 1;
  disk.PutAll(State(7));
  EncodeBootState(other, 0, disk.Copy(0));
  BootStateCopies copies(disk);
  const auto loaded = copies.Load();
  ASSERT_TRUE(loaded.ok());
  EXPECT_EQ(*loaded, State(7));
  BootState next = *loaded;
  ASSERT_TRUE(copies.Save(next).ok());
  EXPECT_EQ(next.sequence, 8u);
}

TEST(BootStateCopies, CopiesThatCannotBeReadAreLostCopies) {
  MemoryDisk disk;
  disk.PutAll(State(3));
  disk.read_fails = 0b0111;
  BootStateCopies copies(disk);
  const auto loaded = copies.Load();
  ASSERT_TRUE(loaded.ok());
  EXPECT_EQ(*loaded, State(3));
  EXPECT_EQ(copies.status(), RecordStatus::kRepaired);
}

TEST(BootStateCopies, AFailedRepairIsSaid) {
  MemoryDisk disk;
  disk.PutAll(State(3));
  disk.Copy(2)[9] ^= 1;
  disk.write_fails = true;
  BootStateCopies copies(disk);
  ASSERT_TRUE(copies.Load().ok());
  EXPECT_EQ(copies.status(), RecordStatus::kDamaged);
  BootState state = State(3);
  EXPECT_EQ(copies.Save(state).code(), ErrorCode::kIoError);
}

// Every byte of every copy, changed: that copy is refused and the record is read from the others.
TEST(BootStateCopies, EveryByteOfEveryCopyCounts) {
  MemoryDisk disk;
  disk.PutAll(State(30));
  uint32_t refused = 0;
  for (uint32_t copy = 0; copy < kBootStateCopyCount; ++copy) {
    for (uint32_t at = 0; at < kBootStateCopySize; ++at) {
      disk.Copy(copy)[at] ^= 0x40;
      refused += DecodeBootState(disk.Copy(copy), copy).ok() ? 0 : 1;
      disk.Copy(copy)[at] ^= 0x40;
    }
  }
  EXPECT_EQ(refused, kBootStateCopyCount * kBootStateCopySize);
  RecordProperty("bytes_refused", static_cast<int>(refused));
}

}  // namespace
}  // namespace gh::image
