// The hash table against a model, and under keys chosen to flood it.
#include "hal/rt/hash_table.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "tests/unit/rt/test_arena.h"

namespace gh {
namespace {

struct Entry {
  uint64_t key = 0;
  std::string name;
  HashNode key_node;
  HashNode name_node;
};
struct ByKey {
  using Key = uint64_t;
  static uint64_t KeyOf(const Entry& entry) { return entry.key; }
};
struct ByName {
  using Key = std::string_view;
  static std::string_view KeyOf(const Entry& entry) { return entry.name; }
};
// As a table without a key would be: the caller's number is the hash.
struct ByKeyUnhashed : ByKey {
  static uint64_t HashOf(const SipKey&, const uint64_t& key) { return key; }
};
using KeyTable = HashTable<Entry, &Entry::key_node, ByKey>;
using NameTable = HashTable<Entry, &Entry::name_node, ByName>;
using UnhashedTable = HashTable<Entry, &Entry::key_node, ByKeyUnhashed>;

constexpr SipKey kKey{0x0123456789abcdef, 0xfedcba9876543210};

TEST(HashTableTest, InsertFindRemove) {
  TestArena arena;
  KeyTable by_key(arena, 4, kKey);
  NameTable by_name(arena, 4, kKey);
  Entry alice{1, "alice", {}, {}}, bob{2, "bob", {}, {}};
  EXPECT_TRUE(by_key.empty());
  EXPECT_EQ(by_key.Find(1), nullptr);
  EXPECT_EQ(by_key.Insert(alice), HashInsert::kInserted);
  EXPECT_EQ(by_name.Insert(alice), HashInsert::kInserted);
  EXPECT_EQ(by_name.Insert(bob), HashInsert::kInserted);
  EXPECT_EQ(by_key.Find(1), &alice);
  EXPECT_EQ(by_name.Find("bob"), &bob);
  EXPECT_EQ(by_name.Find(""), nullptr);
  EXPECT_TRUE(KeyTable::IsLinked(alice));
  EXPECT_FALSE(KeyTable::IsLinked(bob));
  EXPECT_EQ(by_name.Take("alice"), &alice);
  EXPECT_EQ(by_name.Take("alice"), nullptr);
  EXPECT_EQ(by_name.size(), 1u);
  by_key.Remove(alice);
  EXPECT_TRUE(by_key.empty());
}

TEST(HashTableTest, RefusesDuplicatesAndOverflow) {
  TestArena arena;
  KeyTable table(arena, 3, kKey);  // 4 buckets, 3 entries
  EXPECT_EQ(table.bucket_count(), 4u);
  Entry entries[5];
  for (uint64_t i = 0; i < 5; ++i) {
    entries[i].key = i;
  }
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(table.Insert(entries[i]), HashInsert::kInserted);
  }
  entries[4].key = 2;
  EXPECT_EQ(table.Insert(entries[4]), HashInsert::kExists);
  EXPECT_EQ(table.Insert(entries[3]), HashInsert::kExhausted);
  EXPECT_EQ(table.refused_count(), 1u);
  EXPECT_FALSE(KeyTable::IsLinked(entries[3]));
  table.Remove(entries[0]);
  EXPECT_EQ(table.Insert(entries[3]), HashInsert::kInserted);
}

TEST(HashTableTest, CapacityOne) {
  TestArena arena;
  KeyTable table(arena, 1, kKey);
  Entry entry;
  EXPECT_EQ(table.Insert(entry), HashInsert::kInserted);
  EXPECT_EQ(table.Find(0), &entry);
  EXPECT_EQ(table.Find(1), nullptr);
}

TEST(HashTableTest, ForEachMayRemove) {
  TestArena arena;
  KeyTable table(arena, 64, kKey);
  std::vector<Entry> entries(64);
  for (size_t i = 0; i < entries.size(); ++i) {
    entries[i].key = i;
    ASSERT_EQ(table.Insert(entries[i]), HashInsert::kInserted);
  }
  uint32_t seen = 0;
  for (uint32_t bucket = 0; bucket < table.bucket_count(); bucket += 7) {
    table.ForEachIn(bucket, 7, [&](Entry& entry) {
      ++seen;
      if (entry.key % 2 == 0) {
        table.Remove(entry);
      }
    });
  }
  EXPECT_EQ(seen, 64u);
  table.ForEach([](Entry& entry) { EXPECT_EQ(entry.key % 2, 1u); });
  EXPECT_EQ(table.size(), 32u);
}

TEST(HashTableTest, AgreesWithAModel) {
  TestArena arena;
  KeyTable table(arena, 300, kKey);
  std::vector<Entry> entries(500);
  std::unordered_map<uint64_t, Entry*> model;
  std::mt19937_64 random(3);
  for (int step = 0; step < 200'000; ++step) {
    Entry& entry = entries[random() % entries.size()];
    if (KeyTable::IsLinked(entry)) {
      table.Remove(entry);
      model.erase(entry.key);
    } else {
      entry.key = random() % 400;
      const HashInsert expected = model.contains(entry.key) ? HashInsert::kExists
                                  : model.size() == 300     ? HashInsert::kExhausted
                                                            : HashInsert::kInserted;
      ASSERT_EQ(table.Insert(entry), expected);
      if (expected == HashInsert::kInserted) {
        model[entry.key] = &entry;
      }
    }
    const uint64_t probe = random() % 400;
    auto found = model.find(probe);
    ASSERT_EQ(table.Find(probe), found == model.end() ? nullptr : found->second);
    ASSERT_EQ(table.size(), model.size());
  }
}

// Keys chosen so that an unkeyed table puts all of them into one bucket; also keys that collide
// under one SipHash key, used against a table with another.
TEST(HashTableTest, AdversarialKeysDoNotLengthenChains) {
  constexpr uint32_t kCount = 1 << 16;
  TestArena arena(16 << 20);
  KeyTable table(arena, kCount, kKey);
  std::vector<Entry> entries(kCount);
  for (uint64_t i = 0; i < kCount; ++i) {
    entries[i].key = i << 32;
    ASSERT_EQ(table.Insert(entries[i]), HashInsert::kInserted);
  }
  EXPECT_LE(table.chain_max(), 12u);  // Poisson(1): P(any of 65536 chains > 12) is about 1e-5
  EXPECT_EQ(table.refused_count(), 0u);

  const SipKey guessed{1, 1};
  KeyTable other(arena, 1024, SipKey{2, 2});
  uint32_t inserted = 0;
  for (uint64_t key = 0; inserted < 1024; ++key) {
    if ((SipHash13(guessed, key) & 1023) == 0) {
      Entry& entry = entries[inserted++];
      table.Remove(entry);
      entry.key = key;
      ASSERT_EQ(other.Insert(entry), HashInsert::kInserted);
    }
  }
  EXPECT_LE(other.chain_max(), 10u);
}

// With the key known (or no key at all) the bound still holds: the flood is refused, nothing else.
TEST(HashTableTest, ChainBoundIsHard) {
  TestArena arena;
  UnhashedTable table(arena, 1024, kKey);
  std::vector<Entry> entries(kHashChainMax + 2);
  for (uint32_t i = 0; i < kHashChainMax; ++i) {
    entries[i].key = i * 1024;
    ASSERT_EQ(table.Insert(entries[i]), HashInsert::kInserted);
  }
  EXPECT_EQ(table.chain_max(), kHashChainMax);
  Entry& flood = entries[kHashChainMax];
  flood.key = kHashChainMax * 1024;
  EXPECT_EQ(table.Insert(flood), HashInsert::kExhausted);
  EXPECT_EQ(table.refused_count(), 1u);
  EXPECT_EQ(table.Find(flood.key), nullptr);
  Entry& victim = entries[kHashChainMax + 1];
  victim.key = 1;
  EXPECT_EQ(table.Insert(victim), HashInsert::kInserted);
  table.Remove(entries[7]);
  EXPECT_EQ(table.Insert(flood), HashInsert::kInserted);
}

TEST(HashTableDeathTest, MisuseIsCaught) {
  TestArena arena;
  KeyTable table(arena, 4, kKey);
  KeyTable other(arena, 4, kKey);
  Entry entry;
  EXPECT_DEATH(table.Remove(entry), "linked");
  ASSERT_EQ(table.Insert(entry), HashInsert::kInserted);
  EXPECT_DEATH((void)table.Insert(entry), "linked");
  Entry second;
  second.key = 1;
  ASSERT_EQ(other.Insert(second), HashInsert::kInserted);
  EXPECT_DEATH(other.Remove(entry), "link != nullptr");
  EXPECT_DEATH(KeyTable(arena, 0, kKey), "capacity > 0");
}

}  // namespace
}  // namespace gh
