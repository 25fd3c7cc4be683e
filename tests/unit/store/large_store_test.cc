// Partitions beyond 512 MiB: how much of them is used, what that takes of memory, what a user with
// a list of contacts takes of the disk, and stores that were made when 512 MiB were all.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "firmware/store/sqlite_store.h"
#include "firmware/xmpp/limits.h"
#include "firmware/xmpp/row_key.h"
#include "hal/rt/siphash.h"
#include "tests/unit/store/store_machine.h"

namespace gh::store {
namespace {

constexpr uint32_t kUsersOfLarge = 100'000;  // where memory is enough (appliance_test)
constexpr uint64_t kGibibyte = uint64_t{1} << 30;

// Only what was written takes memory.
class SparseDisk final : public hal::BlockDevice {
 public:
  explicit SparseDisk(uint64_t bytes) : bytes_(bytes) {}
  uint32_t block_size() const override { return kSectorSize; }
  uint64_t block_count() const override { return bytes_ / kSectorSize; }
  const char* name() const override { return "sparse"; }
  void Grow(uint64_t bytes) { bytes_ = bytes; }
  Result<void> Submit(hal::BlockRequest& request) override {
    queue_.push_back(&request);
    return Ok();
  }
  uint32_t Poll() override {
    std::vector<hal::BlockRequest*> ready;
    ready.swap(queue_);
    for (hal::BlockRequest* request : ready) {
      for (uint32_t i = 0; i < request->block_count; ++i) {
        Run(*request, i);
      }
      request->status = ErrorCode::kOk;
      request->done(*request);
    }
    return static_cast<uint32_t>(ready.size());
  }

 private:
  void Run(const hal::BlockRequest& request, uint32_t i) {
    uint8_t* at = request.data + size_t{i} * kSectorSize;
    const auto kept = blocks_.find(request.block + i);
    if (request.op == hal::BlockOp::kWrite) {
      blocks_[request.block + i].assign(at, at + kSectorSize);
    } else if (request.op == hal::BlockOp::kRead && kept != blocks_.end()) {
      std::copy(kept->second.begin(), kept->second.end(), at);
    } else if (request.op == hal::BlockOp::kRead) {
      std::fill_n(at, kSectorSize, uint8_t{0});
    }
  }

  uint64_t bytes_;
  std::unordered_map<uint64_t, std::vector<uint8_t>> blocks_;
  std::vector<hal::BlockRequest*> queue_;
};

struct LargeMachine {
  explicit LargeMachine(SparseDisk& disk)
      : memory((8u << 20) + BytesBeyondUsual(disk.block_count() * disk.block_size())),
        arena({memory.data(), memory.size()}) {
    store = std::make_unique<SqliteStore>(arena, disk, clock, 1u << 20, Sealing{random, wrapper});
    opened = store->Open();
  }
  Result<void> Put(std::string_view key, std::string_view value) {
    GH_TRY(store->Begin());
    GH_TRY(store->Put(key, AsBytes(value)));
    return store->Commit();
  }
  Contents Read() {
    Collector collector;
    EXPECT_TRUE(store->ForEach(collector).ok());
    return collector.contents;
  }
  std::vector<uint8_t> memory;
  Arena arena;
  FakeClock clock;
  FakeEntropy entropy;
  crypto::Random random{entropy};
  NoWrapper wrapper;
  std::unique_ptr<SqliteStore> store;
  Result<void> opened;
};

TEST(LargeStore, SixteenGibibytesAreUsed) {
  for (const uint64_t bytes : {16 * kGibibyte, 16 * kGibibyte + kUnitSize, 64 * kGibibyte}) {
    SparseDisk disk(bytes);
    LargeMachine machine(disk);
    ASSERT_TRUE(machine.opened.ok());
    EXPECT_GT(machine.store->status().bytes_capacity, 2 * kGibibyte * 98 / 100);
    EXPECT_LT(machine.store->status().bytes_capacity, 2 * kGibibyte);
  }
}

TEST(LargeStore, TheProfileIsToldWhatALargePartitionTakesOfMemory) {
  EXPECT_EQ(BytesBeyondUsual(kGibibyte / 2), 0u);
  EXPECT_EQ(BytesBeyondUsual(kGibibyte), uint64_t{1} << 19);
  EXPECT_EQ(BytesBeyondUsual(64 * kGibibyte), BytesBeyondUsual(16 * kGibibyte));
  SparseDisk usual(kGibibyte / 2);
  SparseDisk large(16 * kGibibyte);
  const uint64_t least = LargeMachine(usual).arena.used();
  const uint64_t most = LargeMachine(large).arena.used();
  EXPECT_LE(most - least, BytesBeyondUsual(16 * kGibibyte));
  EXPECT_GE(most - least, BytesBeyondUsual(16 * kGibibyte) * 9 / 10);
}

TEST(LargeStore, OneThatWasMadeWithin512MebibytesKeepsToThem) {
  SparseDisk disk(kGibibyte / 2);
  uint64_t capacity = 0;
  {
    LargeMachine machine(disk);
    ASSERT_TRUE(machine.Put("a", "1").ok());
    capacity = machine.store->status().bytes_capacity;
  }
  disk.Grow(4 * kGibibyte);  // what an older version left unused
  LargeMachine machine(disk);
  ASSERT_TRUE(machine.opened.ok());
  EXPECT_EQ(machine.Read(), (Contents{{"a", "1"}}));
  EXPECT_EQ(machine.store->status().bytes_capacity, capacity);
  ASSERT_TRUE(machine.Put("b", "2").ok());
  ASSERT_TRUE(machine.store->Reformat().ok());
  EXPECT_TRUE(machine.Read().empty());
  EXPECT_GT(machine.store->status().bytes_capacity, 7 * capacity);
  ASSERT_TRUE(machine.Put("c", "3").ok());
  machine.store.reset();
  LargeMachine again(disk);
  EXPECT_EQ(again.Read(), (Contents{{"c", "3"}}));
}

// What is large rests between two copies of it, however often it changes.
TEST(LargeStore, IsNotCopiedForEveryLittleChange) {
  SparseDisk disk(kGibibyte);
  LargeMachine machine(disk);
  const std::string row(kValueMax, 'x');
  ASSERT_TRUE(machine.store->Begin().ok());
  for (uint32_t i = 0; i < 14 * (kCopyBytesPerSecond / kValueMax); ++i) {
    ASSERT_TRUE(machine.store->Put("row" + std::to_string(i), AsBytes(row)).ok());
  }
  ASSERT_TRUE(machine.store->Commit().ok());
  Instant now;
  const auto generation_after = [&](int seconds) {
    for (int i = 0; i < seconds; ++i) {
      now = now + Duration::Seconds(1);
      (void)machine.store->StepCopy(now);
    }
    const CopyHeader* copy = machine.store->good_copy();
    return copy == nullptr ? 0 : copy->generation;
  };
  EXPECT_EQ(generation_after(12), 1u);
  ASSERT_TRUE(machine.Put("one", "more").ok());
  EXPECT_EQ(generation_after(kCopyPauseSeconds + 3), 1u);
  EXPECT_EQ(generation_after(30), 2u);
}

// Lists as clients and imports make them, in the order of their users.
TEST(LargeStore, HoldsTheListsOfTheLargeProfile) {
  constexpr uint32_t kUsers = 60, kContacts = 50;
  SparseDisk disk(kGibibyte);
  LargeMachine machine(disk);
  ASSERT_TRUE(machine.opened.ok());
  const uint64_t before = machine.store->status().bytes_used;
  for (uint32_t user = 1; user <= kUsers; ++user) {
    ASSERT_TRUE(machine.store->Begin().ok());
    ASSERT_TRUE(machine.store->PutIn(Table::kXmpp, xmpp::RowKey('a', user), {}).ok());
    for (uint32_t i = 0; i < kContacts; ++i) {
      const std::string contact = "employee" + std::to_string(user * 37 + i) + "@example.com";
      const std::string row(9 + contact.size() + 24 + 14, 'x');  // name and group
      const xmpp::RowKey key('c', user, SipHash13(SipKey{}, contact));
      ASSERT_TRUE(machine.store->PutIn(Table::kXmpp, key, AsBytes(row)).ok());
    }
    ASSERT_TRUE(machine.store->Commit().ok());
  }
  const uint64_t of_user = (machine.store->status().bytes_used - before) / kUsers;
  RecordProperty("bytes_of_a_user_with_50_contacts", std::to_string(of_user));
  EXPECT_LT(of_user, 9000u);
  // The database is an eighth; lists stop at a mark, and archives give way to them before.
  EXPECT_LT(uint64_t{kUsersOfLarge} * of_user,
            2 * kGibibyte * 98 / 100 * (xmpp::kArchiveStorePercent - 10) / 100);
}

}  // namespace
}  // namespace gh::store
