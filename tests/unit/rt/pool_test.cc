// Pools: exhaustion, handles that outlive their object, and misuse.
#include "hal/rt/pool.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "tests/unit/rt/test_arena.h"

namespace gh {
namespace {

struct Counted {
  static inline int live = 0;
  explicit Counted(int v = 0) : value(v) { ++live; }
  ~Counted() { --live; }
  int value;
};

TEST(PoolTest, GivesEveryObjectOnceThenNull) {
  TestArena arena;
  Pool<Counted> pool(arena, 3);
  std::set<Counted*> objects;
  for (int i = 0; i < 3; ++i) {
    Counted* object = pool.Allocate(i);
    ASSERT_NE(object, nullptr);
    EXPECT_EQ(object->value, i);
    EXPECT_TRUE(objects.insert(object).second);
  }
  EXPECT_EQ(Counted::live, 3);
  EXPECT_EQ(pool.Allocate(), nullptr);
  EXPECT_EQ(pool.exhausted_count(), 1u);
  EXPECT_EQ(pool.free_count(), 0u);
  EXPECT_EQ(pool.free_count_min(), 0u);
  for (Counted* object : objects) {
    pool.Release(object);
  }
  EXPECT_EQ(Counted::live, 0);
  EXPECT_EQ(pool.used_count(), 0u);
  EXPECT_EQ(pool.free_count_min(), 0u);
}

TEST(PoolTest, HandlesNeverNameASuccessor) {
  TestArena arena;
  Pool<Counted> pool(arena, 1);
  EXPECT_FALSE(Handle().valid());
  EXPECT_EQ(pool.Resolve(Handle()), nullptr);
  EXPECT_EQ(pool.Resolve({0, 0}), nullptr);
  EXPECT_EQ(pool.Resolve({1, 1}), nullptr);
  Handle previous;
  for (int i = 0; i < 1000; ++i) {
    Counted* object = pool.Allocate(i);
    const Handle handle = pool.HandleOf(*object);
    EXPECT_EQ(pool.Resolve(handle), object);
    EXPECT_EQ(pool.Resolve(previous), nullptr);
    EXPECT_EQ(pool.IndexOf(*object), 0u);
    EXPECT_EQ(pool.At(0), object);
    pool.Release(object);
    EXPECT_EQ(pool.Resolve(handle), nullptr);
    EXPECT_EQ(pool.At(0), nullptr);
    previous = handle;
  }
}

TEST(PoolTest, KeepsAlignment) {
  struct alignas(64) Wide {
    uint8_t bytes[65];
  };
  TestArena arena;
  Pool<Wide> pool(arena, 4);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(pool.Allocate()) % 64, 0u);
  }
}

TEST(PoolDeathTest, MisuseIsCaught) {
  TestArena arena;
  Pool<Counted> pool(arena, 2);
  Pool<Counted> other(arena, 2);
  Counted* object = pool.Allocate();
  EXPECT_DEATH(other.Release(object), "slot >= slots_.data");
  EXPECT_DEATH((void)pool.At(2), "slots_.size");
  pool.Release(object);
  EXPECT_DEATH(pool.Release(object), "slot.used");
}

#ifdef GH_ASAN
TEST(PoolDeathTest, UseAfterReleaseIsCaughtBySanitizers) {
  TestArena arena;
  Pool<int64_t> pool(arena, 2);
  volatile int64_t* object = pool.Allocate(5);
  pool.Release(const_cast<int64_t*>(object));
  EXPECT_DEATH((void)*object, "use-after-poison");
}
#endif

}  // namespace
}  // namespace gh
