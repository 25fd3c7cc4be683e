#include "firmware/store/sqlite_store.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "hal/rt/bytes.h"
#include "tests/unit/store/fake_disk.h"

namespace gh::store {
namespace {

using Contents = std::map<std::string, std::string>;

class Collector final : public EntryVisitor {
 public:
  void OnEntry(std::string_view key, std::span<const uint8_t> value) override {
    contents[std::string(key)] = std::string(AsText(value));
  }
  Contents contents;
};

// A store with memory of its own, opened on a disk: what a machine is between two power cuts.
class Machine {
 public:
  explicit Machine(FakeDisk& disk) : memory_(2u << 20), arena_({memory_.data(), memory_.size()}) {
    store = arena_.New<SqliteStore>(arena_, disk, clock_, 1u << 20);
    opened = store->Open();
  }
  // Without a word: a power cut runs no destructors.
  void Drop() { store = nullptr; }
  ~Machine() {
    if (store != nullptr) {
      store->~SqliteStore();
    }
  }
  Contents Read() {
    Collector collector;
    EXPECT_TRUE(store->ForEach(collector).ok());
    return collector.contents;
  }
  Result<void> Write(const Contents& put, const std::vector<std::string>& remove = {}) {
    GH_TRY(store->Begin());
    for (const auto& [key, value] : put) {
      if (auto done = store->Put(key, AsBytes(value)); !done.ok()) {
        store->Rollback();
        return done;
      }
    }
    for (const std::string& key : remove) {
      if (auto done = store->Remove(key); !done.ok()) {
        store->Rollback();
        return done;
      }
    }
    return store->Commit();
  }
  SqliteStore* store;
  Result<void> opened;

 private:
  std::vector<uint8_t> memory_;
  Arena arena_;
  FakeClock clock_;
};

constexpr uint64_t kDiskBytes = 1u << 20;

TEST(SqliteStore, KeepsWhatWasCommitted) {
  for (uint32_t block_size : {512u, 4096u}) {
    FakeDisk disk(block_size, kDiskBytes / block_size);
    {
      Machine machine(disk);
      ASSERT_TRUE(machine.opened.ok());
      EXPECT_TRUE(machine.Read().empty());
      ASSERT_TRUE(machine.Write({{"b", "2"}, {"a", "1"}, {"c", ""}}).ok());
      ASSERT_TRUE(machine.Write({{"a", "one"}}, {"b", "never there"}).ok());
    }
    Machine machine(disk);
    ASSERT_TRUE(machine.opened.ok());
    EXPECT_EQ(machine.Read(), (Contents{{"a", "one"}, {"c", ""}}));
    EXPECT_TRUE(machine.store->status().persistent);
  }
}

TEST(SqliteStore, RollbackKeepsNothing) {
  FakeDisk disk(512, kDiskBytes / 512);
  Machine machine(disk);
  ASSERT_TRUE(machine.Write({{"a", "1"}}).ok());
  ASSERT_TRUE(machine.store->Begin().ok());
  ASSERT_TRUE(machine.store->Put("a", AsBytes("2")).ok());
  ASSERT_TRUE(machine.store->RemoveAll().ok());
  machine.store->Rollback();
  EXPECT_EQ(machine.Read(), (Contents{{"a", "1"}}));
}

TEST(SqliteStore, TooSmallOrOddDevicesAreRefused) {
  FakeDisk small(512, 127 * 8);
  EXPECT_EQ(Machine(small).opened.code(), ErrorCode::kOutOfRange);
  FakeDisk odd(520, 10000);
  EXPECT_EQ(Machine(odd).opened.code(), ErrorCode::kUnsupported);
}

TEST(SqliteStore, FullPartitionRefusesTheWriteAndKeepsTheRest) {
  FakeDisk disk(512, 128 * 8);
  Machine machine(disk);
  ASSERT_TRUE(machine.opened.ok());
  ASSERT_TRUE(machine.Write({{"kept", "yes"}}).ok());
  Contents many;
  for (int i = 0; i < 1000; ++i) {
    many["key" + std::to_string(i)] = std::string(1000, 'x');
  }
  EXPECT_EQ(machine.Write(many).code(), ErrorCode::kNoSpace);
  EXPECT_EQ(machine.Read(), (Contents{{"kept", "yes"}}));
  EXPECT_TRUE(machine.Write({{"after", "fits"}}).ok());
  EXPECT_EQ(machine.Read().size(), 2u);
}

TEST(SqliteStore, ManyRowsInOneTransactionStayWithinTheHeap) {
  FakeDisk disk(512, (16u << 20) / 512);
  Machine machine(disk);
  Contents many;
  for (int i = 0; i < 20000; ++i) {
    many["Authentication User " + std::to_string(i) + " Name"] = "user" + std::to_string(i);
  }
  ASSERT_TRUE(machine.Write(many).ok());
  EXPECT_EQ(machine.Read(), many);
  const StoreStatus status = machine.store->status();
  EXPECT_LT(status.heap_max, status.heap_capacity);
}

TEST(SqliteStore, DamageIsFoundAndReformatIsTheWayOut) {
  FakeDisk disk(512, kDiskBytes / 512);
  {
    Machine machine(disk);
    ASSERT_TRUE(machine.Write({{"key", "a value to find on the disk"}}).ok());
  }
  // A flipped bit inside a value: no fault to SQLite, one to us.
  const std::string needle = "a value to find";
  auto& raw = disk.raw();
  const auto at = std::search(raw.begin(), raw.end(), needle.begin(), needle.end());
  ASSERT_NE(at, raw.end());
  disk.FlipBit(static_cast<uint64_t>(at - raw.begin()) * 8 + 1);
  {
    Machine machine(disk);
    ASSERT_TRUE(machine.opened.ok());
    Collector collector;
    EXPECT_EQ(machine.store->ForEach(collector).code(), ErrorCode::kCorrupt);
  }
  // Both file tables.
  disk.FlipBit(100 * 8);
  disk.FlipBit((4096 + 100) * 8);
  Machine machine(disk);
  EXPECT_EQ(machine.opened.code(), ErrorCode::kCorrupt);
  ASSERT_TRUE(machine.store->Reformat().ok());
  EXPECT_TRUE(machine.Read().empty());
  EXPECT_TRUE(machine.Write({{"a", "1"}}).ok());
}

TEST(SqliteStore, OneDamagedFileTableIsSurvived) {
  for (uint64_t copy : {0u, 1u}) {
    FakeDisk disk(512, kDiskBytes / 512);
    {
      Machine machine(disk);
      ASSERT_TRUE(machine.Write({{"a", "1"}}).ok());
      ASSERT_TRUE(machine.Write({{"a", "2"}}).ok());
    }
    disk.FlipBit((copy * 4096 + 40) * 8);
    Machine machine(disk);
    EXPECT_TRUE(machine.opened.ok()) << copy;
  }
}

// SQLite's first loop: the Nth disk operation fails, for N = 1, 2, ... until a run has no failure.
TEST(SqliteStore, AnyFailingOperationLeavesAllOrNothing) {
  for (bool stays : {false, true}) {
    uint64_t n = 1;
    for (bool clean = false; !clean; ++n) {
      ASSERT_LT(n, 2000u);
      FakeDisk disk(512, kDiskBytes / 512);
      const Contents before = {{"a", "1"}, {"b", "2"}};
      const Contents after = {{"a", "one"}, {"c", "3"}};
      {
        Machine machine(disk);
        ASSERT_TRUE(machine.Write(before).ok());
        disk.FailAt(n, stays);
        const bool committed = machine.Write({{"a", "one"}, {"c", "3"}}, {"b"}).ok();
        clean = !disk.failed();
        disk.FailAt(0, false);
        EXPECT_TRUE(committed || !clean);
        const Contents now = machine.Read();
        EXPECT_EQ(now, committed ? after : now == after ? after : before) << "operation " << n;
        if (committed) {
          EXPECT_EQ(now, after);
        }
        EXPECT_TRUE(machine.Write({{"d", "4"}}).ok()) << "operation " << n;
      }
      Machine machine(disk);
      ASSERT_TRUE(machine.opened.ok()) << "operation " << n;
      EXPECT_EQ(machine.Read().count("d"), 1u);
    }
    EXPECT_GT(n, 10u);
  }
}

// A run of commits with the power cut after the Nth write, then a second cut during recovery.
// Returns false when the run ended before the cut.
bool CutOnce(uint64_t n, uint64_t seed, bool again) {
  std::mt19937_64 random(seed * 1000003 + n);
  FakeDisk disk(n % 2 == 0 ? 512 : 4096, kDiskBytes / (n % 2 == 0 ? 512 : 4096));
  Contents acknowledged;
  Contents attempted;
  disk.CutAfter(n);
  {
    Machine machine(disk);
    for (int i = 0; i < 6 && machine.opened.ok() && !disk.is_off(); ++i) {
      attempted = acknowledged;
      Contents put;
      for (int k = 0; k < 20; ++k) {
        const std::string key = "key" + std::to_string((i * 7 + k) % 40);
        put[key] = std::string(static_cast<size_t>(50 + i * 100), static_cast<char>('a' + i));
        attempted[key] = put[key];
      }
      if (machine.Write(put).ok()) {
        acknowledged = attempted;
      }
    }
    machine.Drop();
  }
  const bool cut = disk.is_off();
  disk.PowerCut(random);
  if (again) {
    disk.CutAfter(random() % 8);
    Machine machine(disk);
    machine.Drop();
    disk.PowerCut(random);
  }
  Machine machine(disk);
  EXPECT_TRUE(machine.opened.ok()) << "cut after " << n << " seed " << seed << ": "
                                   << (machine.opened.ok() ? "" : machine.opened.error().what);
  if (machine.opened.ok()) {
    const Contents now = machine.Read();
    EXPECT_TRUE(now == acknowledged || now == attempted) << "cut after " << n << " seed " << seed;
    EXPECT_TRUE(machine.Write({{"later", "works"}}).ok());
  }
  return cut;
}

TEST(SqliteStore, PowerCutAfterAnyWriteLosesNothingAcknowledged) {
  uint64_t cuts = 0;
  for (uint64_t seed = 0; seed < 3; ++seed) {
    for (uint64_t n = 0; CutOnce(n, seed, false) && !HasFailure(); ++n) {
      ++cuts;
    }
  }
  EXPECT_GT(cuts, 150u);
}

TEST(SqliteStore, SecondCutDuringRecoveryLosesNothingEither) {
  uint64_t cuts = 0;
  for (uint64_t seed = 10; seed < 13; ++seed) {
    for (uint64_t n = 0; CutOnce(n, seed, true) && !HasFailure(); ++n) {
      ++cuts;
    }
  }
  EXPECT_GT(cuts, 150u);
}

// The harness sees what it should: a disk that lies about flushes does lose acknowledged commits.
TEST(SqliteStore, CanaryADiskThatIgnoresFlushesIsCaught) {
  bool lost = false;
  for (uint64_t seed = 0; seed < 20 && !lost; ++seed) {
    std::mt19937_64 random(seed);
    FakeDisk disk(512, kDiskBytes / 512);
    disk.IgnoreFlushes();
    {
      Machine machine(disk);
      EXPECT_TRUE(machine.Write({{"a", "1"}}).ok());
      machine.Drop();
    }
    disk.PowerCut(random);
    Machine machine(disk);
    lost = !machine.opened.ok() || machine.Read() != Contents{{"a", "1"}};
  }
  EXPECT_TRUE(lost);
}

}  // namespace
}  // namespace gh::store
