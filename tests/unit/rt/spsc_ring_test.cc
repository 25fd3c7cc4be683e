// The ring between two planes: against a model, and with two threads.
#include "hal/rt/spsc_ring.h"

#include <gtest/gtest.h>

#include <deque>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include "tests/unit/rt/test_arena.h"

namespace gh {
namespace {

TEST(SpscRingTest, FullAndEmpty) {
  TestArena arena;
  SpscRing<int> ring(arena, 4);
  int out = 0;
  EXPECT_FALSE(ring.Pop(&out));
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(ring.Push(i));
  }
  EXPECT_FALSE(ring.Push(4));
  EXPECT_EQ(ring.size(), 4u);
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(ring.Pop(&out));
    EXPECT_EQ(out, i);
  }
  EXPECT_TRUE(ring.empty());
}

TEST(SpscRingTest, BatchesAgreeWithAModel) {
  TestArena arena;
  SpscRing<int> ring(arena, 16);
  std::deque<int> model;
  std::mt19937 random(5);
  int next = 0;
  for (int step = 0; step < 50'000; ++step) {
    if (random() % 2 == 0) {
      std::vector<int> items(random() % 24);
      std::iota(items.begin(), items.end(), next);
      const uint32_t pushed = ring.PushBatch(items);
      ASSERT_EQ(pushed, std::min(items.size(), 16 - model.size()));
      model.insert(model.end(), items.begin(), items.begin() + pushed);
      next += static_cast<int>(pushed);
    } else {
      std::vector<int> out(random() % 24);
      const uint32_t popped = ring.PopBatch(out);
      ASSERT_EQ(popped, std::min(out.size(), model.size()));
      for (uint32_t i = 0; i < popped; ++i) {
        ASSERT_EQ(out[i], model.front());
        model.pop_front();
      }
    }
    ASSERT_EQ(ring.size(), model.size());
  }
}

TEST(SpscRingTest, TwoThreadsLoseAndReorderNothing) {
  struct Item {
    uint64_t number;
    uint64_t check;
  };
  constexpr uint64_t kCount = 300'000;
  TestArena arena;
  SpscRing<Item> ring(arena, 256);
  std::thread producer([&ring] {
    uint64_t number = 0;
    while (number < kCount) {
      Item batch[32];
      const uint64_t want = std::min<uint64_t>(1 + number % 32, kCount - number);
      for (uint64_t i = 0; i < want; ++i) {
        batch[i] = {number + i, ~(number + i)};
      }
      const uint32_t pushed = ring.PushBatch({batch, want});
      number += pushed;
      if (pushed == 0) {
        std::this_thread::yield();
      }
    }
  });
  uint64_t expected = 0;
  uint64_t wrong = 0;
  while (expected < kCount) {
    Item batch[48];
    const uint32_t popped = ring.PopBatch(batch);
    for (uint32_t i = 0; i < popped; ++i, ++expected) {
      wrong += batch[i].number != expected || batch[i].check != ~expected ? 1 : 0;
    }
    if (popped == 0) {
      std::this_thread::yield();
    }
  }
  producer.join();
  EXPECT_EQ(wrong, 0u);
  EXPECT_TRUE(ring.empty());
}

TEST(SpscRingDeathTest, CapacityIsAPowerOfTwo) {
  TestArena arena;
  EXPECT_DEATH(SpscRing<int>(arena, 3), "has_single_bit");
  EXPECT_DEATH(SpscRing<int>(arena, 0), "has_single_bit");
  EXPECT_DEATH(SpscRing<int>(arena, kRingCapacityMax * 2), "kRingCapacityMax");
}

}  // namespace
}  // namespace gh
