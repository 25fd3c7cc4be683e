// The arena: alignment, accounts, the seal, and what happens when memory runs out.
#include "hal/rt/arena.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "tests/unit/rt/test_arena.h"

namespace gh {
namespace {

TEST(ArenaTest, ZeroesAlignsAndCounts) {
  std::vector<uint8_t> memory(4096, 0xee);
  Arena arena(memory);
  auto* first = static_cast<uint8_t*>(arena.Allocate(3, 1));
  auto* second = static_cast<uint8_t*>(arena.Allocate(64, 64));
  EXPECT_EQ(first, memory.data());
  EXPECT_EQ(reinterpret_cast<uintptr_t>(second) % 64, 0u);
  for (int i = 0; i < 64; ++i) {
    EXPECT_EQ(second[i], 0);
  }
  EXPECT_EQ(arena.used(), static_cast<uint64_t>(second + 64 - memory.data()));
  EXPECT_TRUE(arena.Contains(first));
  EXPECT_TRUE(arena.Contains(memory.data() + 4095));
  EXPECT_FALSE(arena.Contains(memory.data() + 4096));
}

TEST(ArenaTest, UsesTheLastByte) {
  std::vector<uint8_t> memory(128);
  Arena arena(memory);
  EXPECT_NE(arena.Allocate(128, 1), nullptr);
  EXPECT_EQ(arena.used(), arena.size());
  EXPECT_NE(arena.Allocate(0, 1), nullptr);
}

TEST(ArenaTest, AccountsAddUpByName) {
  TestArena arena(4096);
  (void)arena->Allocate(5, 1);
  arena->OpenAccount("sip/registrar", 10);
  (void)arena->Allocate(100, 1);
  arena->OpenAccount("net", 1);
  (void)arena->Allocate(50, 1);
  const std::string same = "sip/registrar";
  arena->OpenAccount(same.c_str(), 5);
  (void)arena->Allocate(1, 1);
  ASSERT_EQ(arena->accounts().size(), 3u);
  EXPECT_STREQ(arena->accounts()[0].name, "unnamed");
  EXPECT_EQ(arena->accounts()[0].bytes, 5u);
  EXPECT_EQ(arena->accounts()[1].bytes, 101u);
  EXPECT_EQ(arena->accounts()[1].items, 15u);
  EXPECT_EQ(arena->accounts()[2].bytes, 50u);
  arena->Seal();
  EXPECT_TRUE(arena->sealed());
}

TEST(ArenaTest, BuildsObjects) {
  struct Point {
    int x = 7;
    int y;
    explicit Point(int y_in = 3) : y(y_in) {}
  };
  TestArena arena;
  EXPECT_EQ(arena->New<Point>(9)->y, 9);
  auto points = arena->NewArray<Point>(4);
  ASSERT_EQ(points.size(), 4u);
  EXPECT_EQ(points[3].x, 7);
  EXPECT_EQ(points[3].y, 3);
}

TEST(ArenaDeathTest, SealIsFinal) {
  TestArena arena(4096);
  arena->Seal();
  EXPECT_DEATH((void)arena->Allocate(1, 1), "after the seal");
  EXPECT_DEATH((void)arena->Allocate(0, 1), "after the seal");
  EXPECT_DEATH((void)arena->New<int>(1), "after the seal");
  EXPECT_DEATH(arena->OpenAccount("late"), "after the seal");
  EXPECT_DEATH(arena->Seal(), "sealed_");
}

TEST(ArenaDeathTest, RefusesWhatDoesNotFit) {
  TestArena arena(128);
  EXPECT_DEATH((void)arena->Allocate(129, 1), "memory exhausted.*left 129, right 128");
  EXPECT_DEATH((void)arena->Allocate(SIZE_MAX, 1), "memory exhausted");
  EXPECT_DEATH((void)arena->Allocate(1, 3), "has_single_bit");
  EXPECT_DEATH((void)arena->NewArray<uint64_t>(SIZE_MAX / 4), "SIZE_MAX / count");
}

TEST(ArenaDeathTest, AccountTableIsBounded) {
  TestArena arena(4096);
  std::vector<std::string> names;
  for (uint32_t i = 0; i <= kArenaAccountMax; ++i) {
    names.push_back("account " + std::to_string(i));
  }
  for (uint32_t i = 0; i < kArenaAccountMax; ++i) {
    arena->OpenAccount(names[i].c_str());
  }
  EXPECT_EQ(arena->accounts().size(), kArenaAccountMax);
  EXPECT_DEATH(arena->OpenAccount(names.back().c_str()), "kArenaAccountMax");
}

}  // namespace
}  // namespace gh
