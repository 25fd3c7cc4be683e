#include "firmware/store/sqlite_store.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "hal/rt/bytes.h"
#include "tests/unit/store/store_machine.h"

namespace gh::store {
namespace {

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

constexpr uint64_t kUnitBits = uint64_t{kUnitSize} * 8;
// Journal, database, copies: a quarter each.
uint64_t FirstDatabaseUnit(uint64_t bytes) {
  return kReservedUnits + (bytes / kUnitSize - kReservedUnits) / 4;
}

TEST(SqliteStore, DamageIsFoundAndReformatIsTheWayOut) {
  FakeDisk disk(512, kDiskBytes / 512);
  {
    Machine machine(disk);
    ASSERT_TRUE(machine.Write({{"key", "a value"}}).ok());
  }
  disk.FlipBit((FirstDatabaseUnit(kDiskBytes) + 1) * kUnitBits + 77);
  EXPECT_EQ(Machine(disk).opened.code(), ErrorCode::kCorrupt);
  // Both file tables.
  disk.FlipBit(100 * 8);
  disk.FlipBit(kUnitBits + 100 * 8);
  Machine machine(disk);
  EXPECT_EQ(machine.opened.code(), ErrorCode::kCorrupt);
  EXPECT_EQ(machine.store->Recover().code(), ErrorCode::kNotFound);
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
      machine.StepCopies();  // both tables know the content when the store has come to rest
    }
    disk.FlipBit(copy * kUnitBits + 40 * 8);
    Machine machine(disk);
    ASSERT_TRUE(machine.opened.ok()) << copy;
    EXPECT_EQ(machine.Read(), (Contents{{"a", "2"}}));
  }
}

TEST(SqliteStore, NothingOfItIsOnTheRawDisk) {
  FakeDisk disk(512, kDiskBytes / 512);
  const std::string planted = "a planted secret, long enough to be found";
  Machine machine(disk);
  ASSERT_TRUE(machine.Write({{"secret", planted}, {"planted-key", "x"}}).ok());
  ASSERT_TRUE(machine.Write({{"secret", planted + " twice"}}).ok());
  machine.StepCopies();
  const std::string raw(disk.raw().begin(), disk.raw().end());
  for (const char* needle : {"planted", "SQLite format", "CREATE TABLE", "GHCOPY"}) {
    EXPECT_EQ(raw.find(needle), raw.npos) << needle;
  }
}

TEST(SqliteStore, OnePagePutBackToAnOlderStateIsFound) {
  uint32_t changed = 0;
  for (uint64_t page = 0; page < 12; ++page) {
    FakeDisk disk(512, kDiskBytes / 512);
    Contents rows;
    for (int i = 0; i < 60; ++i) {
      rows["row" + std::to_string(i)] = std::string(400, 'a');
    }
    {
      Machine machine(disk);
      ASSERT_TRUE(machine.Write(rows).ok());
    }
    const auto older = disk.raw();
    for (auto& [key, value] : rows) {
      value = std::string(400, 'b');
    }
    {
      Machine machine(disk);
      ASSERT_TRUE(machine.Write(rows).ok());
      ASSERT_TRUE(machine.Write({{"last", "commit"}}).ok());
    }
    const uint64_t at = (FirstDatabaseUnit(kDiskBytes) + page) * kUnitSize;
    if (std::equal(older.begin() + static_cast<long>(at),
                   older.begin() + static_cast<long>(at + kUnitSize),
                   disk.raw().begin() + static_cast<long>(at))) {
      continue;  // not used, or the same in both
    }
    ++changed;
    disk.Put(at, {older.data() + at, kUnitSize});
    EXPECT_EQ(Machine(disk).opened.code(), ErrorCode::kCorrupt) << "page " << page;
  }
  EXPECT_GT(changed, 4u);
}

TEST(SqliteStore, APageAtAnotherPlaceIsFound) {
  FakeDisk disk(512, kDiskBytes / 512);
  {
    Machine machine(disk);
    ASSERT_TRUE(machine.Write({{"a", std::string(3000, 'x')}, {"b", std::string(3000, 'y')}}).ok());
  }
  const uint64_t first = FirstDatabaseUnit(kDiskBytes) * kUnitSize;
  const std::vector<uint8_t> moved(disk.raw().begin() + static_cast<long>(first + kUnitSize),
                                   disk.raw().begin() + static_cast<long>(first + 2 * kUnitSize));
  disk.Put(first + 2 * kUnitSize, moved);
  EXPECT_EQ(Machine(disk).opened.code(), ErrorCode::kCorrupt);
}

TEST(SqliteStore, WithoutItsKeyItIsGoneAndReformatMakesAnother) {
  FakeDisk disk(512, kDiskBytes / 512);
  { EXPECT_TRUE(Machine(disk).Write({{"a", "1"}}).ok()); }
  const auto key = std::vector<uint8_t>(disk.raw().begin() + kKeyOffsetInStore,
                                        disk.raw().begin() + kKeyOffsetInStore + kKeyAreaBytes);
  disk.Put(kKeyOffsetInStore, std::vector<uint8_t>(kKeyAreaBytes));
  {
    Machine machine(disk);
    EXPECT_EQ(machine.opened.code(), ErrorCode::kCorrupt);
    EXPECT_EQ(machine.store->Recover().code(), ErrorCode::kNotFound);
    ASSERT_TRUE(machine.store->Reformat().ok());
  }
  // The old key does not open the new store.
  disk.Put(kKeyOffsetInStore, key);
  EXPECT_EQ(Machine(disk).opened.code(), ErrorCode::kCorrupt);
}

TEST(SqliteStore, OneKeyCopyIsEnough) {
  for (uint64_t copy : {0u, 1u}) {
    FakeDisk disk(512, kDiskBytes / 512);
    { EXPECT_TRUE(Machine(disk).Write({{"a", "1"}}).ok()); }
    disk.FlipBit((kKeyOffsetInStore + copy * kKeyCopyStride + 30) * 8);
    Machine machine(disk);
    ASSERT_TRUE(machine.opened.ok());
    EXPECT_EQ(machine.Read(), (Contents{{"a", "1"}}));
  }
}

TEST(SqliteStore, AStoreFromBeforeSealingIsEmptiedAndSaysSo) {
  FakeDisk disk(512, kDiskBytes / 512);
  const std::string old = "GHSTORE1 and what it held in clear";
  disk.Put(0, {reinterpret_cast<const uint8_t*>(old.data()), old.size()});
  Machine machine(disk);
  ASSERT_TRUE(machine.opened.ok());
  EXPECT_EQ(machine.store->origin(), StoreOrigin::kWasUnsealed);
  EXPECT_TRUE(machine.Read().empty());
}

TEST(SqliteStore, RecoversFromTheLastGoodCopy) {
  FakeDisk disk(512, kDiskBytes / 512);
  const Contents good = {{"a", "1"}, {"b", std::string(3000, 'b')}};
  {
    Machine machine(disk);
    ASSERT_TRUE(machine.Write(good).ok());
    ASSERT_TRUE(machine.store->Begin().ok());
    ASSERT_TRUE(machine.store->PutIn(Table::kTrust, "root", AsBytes("pem")).ok());
    ASSERT_TRUE(machine.store->PutIn(Table::kHistory, "1", AsBytes("who")).ok());
    ASSERT_TRUE(machine.store->Commit().ok());
    machine.StepCopies();
    ASSERT_NE(machine.store->good_copy(), nullptr);
    // Later, and in no copy yet.
    ASSERT_TRUE(machine.Write({{"late", "1"}}).ok());
  }
  disk.FlipBit((FirstDatabaseUnit(kDiskBytes) + 1) * kUnitBits + 5);
  {
    Machine machine(disk);
    ASSERT_EQ(machine.opened.code(), ErrorCode::kCorrupt);
    ASSERT_TRUE(machine.store->Recover().ok());
    EXPECT_EQ(machine.store->origin(), StoreOrigin::kRecovered);
    EXPECT_EQ(machine.Read(), good);
    Collector trust;
    EXPECT_EQ(*machine.store->ForEachIn(Table::kTrust, "", 10, trust), 1u);
    EXPECT_EQ(*machine.store->ForEachIn(Table::kHistory, "", 10, trust), 0u);
  }
  Machine again(disk);
  EXPECT_TRUE(again.opened.ok());
  EXPECT_EQ(again.Read(), good);
}

TEST(SqliteStore, ADamagedCopyFallsBackToTheOneBefore) {
  FakeDisk disk(512, kDiskBytes / 512);
  {
    Machine machine(disk);
    ASSERT_TRUE(machine.Write({{"a", "1"}}).ok());
    machine.StepCopies();
    ASSERT_TRUE(machine.Write({{"a", "2"}}).ok());
    machine.StepCopies();
    EXPECT_EQ(machine.store->good_copy()->generation, 2u);
  }
  const uint64_t quarter = (kDiskBytes / kUnitSize - kReservedUnits) / 4;
  disk.FlipBit((kReservedUnits + 3 * quarter + 1) * kUnitBits + 9);  // the second's rows
  Machine machine(disk);
  ASSERT_TRUE(machine.store->Recover().ok());
  EXPECT_EQ(machine.Read(), (Contents{{"a", "1"}}));
}

TEST(SqliteStore, AFullStoreFitsItsCopy) {
  FakeDisk disk(512, kDiskBytes / 512);
  Machine machine(disk);
  Contents many;
  for (int i = 0; i < 100; ++i) {
    const Contents row = {{"row" + std::to_string(i), std::string(3000, 'x')}};
    if (!machine.Write(row).ok()) {
      break;
    }
    many.insert(row.begin(), row.end());
  }
  EXPECT_GT(many.size(), 15u);
  EXPECT_LT(many.size(), 100u);
  machine.StepCopies();
  ASSERT_NE(machine.store->good_copy(), nullptr);
  EXPECT_EQ(machine.store->good_copy()->rows, many.size());
  EXPECT_STREQ(machine.store->copy_fault(), "");
}

// Chat never comes to rest: its rows are copied while it goes on, the configuration's are not.
TEST(SqliteStore, ACopyGoesOnWhileXmppChanges) {
  FakeDisk disk(512, 4 * kDiskBytes / 512);
  {
    Machine machine(disk);
    ASSERT_TRUE(machine.Write({{"a", "1"}}).ok());
    const auto put = [&](const std::string& key, std::string_view value) {
      ASSERT_TRUE(machine.store->PutIn(Table::kXmpp, key, AsBytes(value)).ok());
    };
    ASSERT_TRUE(machine.store->Begin().ok());
    for (uint32_t i = 0; i < 2 * kCopyRowsPerTurn; ++i) {
      put("m" + std::to_string(1'000'000 + i), "before");
    }
    ASSERT_TRUE(machine.store->Commit().ok());
    Instant now;
    const auto step = [&] {
      now = now + Duration::Seconds(kCopyPauseSeconds);
      return machine.store->StepCopy(now);
    };
    ASSERT_FALSE(step());  // the commit is seen
    ASSERT_TRUE(step());   // and a turn's rows are copied
    for (const char* key : {"m1000000", "m9000000"}) {
      ASSERT_TRUE(machine.store->Begin().ok());
      put(key, "after");
      ASSERT_TRUE(machine.store->Commit().ok());
      (void)step();
    }
    while (step()) {
    }
    ASSERT_NE(machine.store->good_copy(), nullptr);
    EXPECT_EQ(machine.store->good_copy()->generation, 1u);
    EXPECT_EQ(machine.store->good_copy()->rows, 2 * kCopyRowsPerTurn + 2);
    EXPECT_TRUE(step());  // there was a change since: another one follows
  }
}

TEST(SqliteStore, TablesAreApart) {
  FakeDisk disk(512, kDiskBytes / 512);
  Machine machine(disk);
  SqliteStore& store = *machine.store;
  ASSERT_TRUE(store.Begin().ok());
  for (uint8_t table = 0; table < kTableCount; ++table) {
    const std::string value(1, static_cast<char>('0' + table));
    ASSERT_TRUE(
        store.PutIn(static_cast<Table>(table), "same", AsBytes(std::string_view(value))).ok());
    ASSERT_TRUE(store.PutIn(static_cast<Table>(table), "more", AsBytes("x")).ok());
  }
  ASSERT_TRUE(store.Commit().ok());
  EXPECT_EQ(machine.Read(), (Contents{{"same", "0"}, {"more", "x"}}));
  ASSERT_TRUE(store.Begin().ok());
  ASSERT_TRUE(store.RemoveAll().ok());
  ASSERT_TRUE(store.RemoveIn(Table::kKeys, "same").ok());
  ASSERT_TRUE(store.Commit().ok());
  EXPECT_TRUE(machine.Read().empty());
  Collector keys, notes, page;
  EXPECT_EQ(*store.ForEachIn(Table::kKeys, "", 10, keys), 1u);
  EXPECT_EQ(*store.ForEachIn(Table::kNotes, "", 10, notes), 2u);
  EXPECT_EQ(*store.ForEachIn(Table::kNotes, "more", 10, page), 1u);
  EXPECT_EQ(page.contents, (Contents{{"same", "5"}}));
  ASSERT_TRUE(store.Begin().ok());
  ASSERT_TRUE(store.RemoveEverything().ok());
  ASSERT_TRUE(store.Commit().ok());
  EXPECT_EQ(*store.ForEachIn(Table::kNotes, "", 10, notes), 0u);
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
