// Wake-ups between two threads: one that got lost would end a wait only by its time limit.
#include "hal/rt/wake_flag.h"

#include <gtest/gtest.h>

#include <chrono>
#include <semaphore>
#include <thread>

#include "hal/rt/spsc_ring.h"
#include "tests/unit/rt/test_arena.h"

namespace gh {
namespace {

TEST(WakeFlagTest, SaysWhoSleepsAndWhatCameMeanwhile) {
  WakeFlag flag;
  EXPECT_FALSE(flag.Post());  // awake: no bell
  EXPECT_FALSE(flag.BeginSleep());
  flag.EndSleep();
  EXPECT_TRUE(flag.BeginSleep());
  EXPECT_TRUE(flag.Post());
  EXPECT_TRUE(flag.is_pending());
  flag.EndSleep();
  EXPECT_FALSE(flag.is_pending());
}

TEST(WakeFlagTest, NoWakeUpIsLostBetweenThreads) {
  constexpr int kCount = 20'000;
  TestArena arena;
  SpscRing<int> ring(arena, 16);
  WakeFlag flag;
  std::counting_semaphore<1 << 20> bell(0);
  std::atomic<int> lost = 0;
  std::thread sleeper([&] {
    for (int next = 0; next < kCount && lost == 0;) {
      int got = 0;
      while (ring.Pop(&got)) {
        EXPECT_EQ(got, next);
        ++next;
      }
      if (next < kCount && flag.BeginSleep()) {
        lost += bell.try_acquire_for(std::chrono::seconds(20)) ? 0 : 1;
      }
      flag.EndSleep();
    }
  });
  for (int i = 0; i < kCount && lost == 0;) {
    i += ring.Push(i) ? 1 : 0;
    if (flag.Post()) {
      bell.release();
    }
    if (i % 8 == 0) {
      std::this_thread::yield();
    }
  }
  sleeper.join();
  EXPECT_EQ(lost, 0);
}

}  // namespace
}  // namespace gh
