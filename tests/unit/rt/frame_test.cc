// Frames and their pool: in-place growth, reuse, and double release.
#include "hal/frame.h"

#include <gtest/gtest.h>

#include <array>
#include <set>

#include "hal/rt/sanitizer.h"
#include "tests/unit/rt/test_arena.h"

namespace gh::hal {
namespace {

TEST(FramePoolTest, GivesEveryFrameOnceThenNull) {
  TestArena arena;
  FramePool pool(arena, 8);
  std::set<uint8_t*> buffers;
  Frame* frames[8];
  for (Frame*& frame : frames) {
    frame = pool.Allocate();
    ASSERT_NE(frame, nullptr);
    EXPECT_TRUE(buffers.insert(frame->buffer).second);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(frame->buffer) % kFrameBufferSize, 0u);
    EXPECT_EQ(frame->start, kFrameHeadroom);
    EXPECT_EQ(frame->size, 0);
  }
  EXPECT_EQ(pool.Allocate(), nullptr);
  EXPECT_EQ(pool.free_count_min(), 0u);
  for (Frame* frame : frames) {
    pool.Release(frame);
  }
  EXPECT_EQ(pool.free_count(), 8u);
  EXPECT_EQ(pool.frame_count(), 8u);
}

TEST(FramePoolTest, ReusedFramesAreReset) {
  TestArena arena;
  FramePool pool(arena, 1);
  Frame* frame = pool.Allocate();
  frame->start = 0;
  frame->size = 99;
  frame->flags = kFrameChecksumPartial;
  frame->checksum_start = 5;
  frame->port_index = 2;
  frame->next = frame;
  pool.Release(frame);
  frame = pool.Allocate();
  EXPECT_EQ(frame->start, kFrameHeadroom);
  EXPECT_EQ(frame->size, 0);
  EXPECT_EQ(frame->flags, 0);
  EXPECT_EQ(frame->checksum_start, 0);
  EXPECT_EQ(frame->port_index, 0);
  EXPECT_EQ(frame->next, nullptr);
}

TEST(FramePoolTest, BooksItsOwnAccount) {
  TestArena arena;
  FramePool pool(arena, 4);
  const ArenaAccount& account = arena->accounts().back();
  EXPECT_STREQ(account.name, "hal/frames");
  EXPECT_EQ(account.items, 4u);
  EXPECT_GE(account.bytes, 4 * (kFrameBufferSize + sizeof(Frame)));
}

TEST(FrameTest, GrowsAndShrinksInPlace) {
  TestArena arena;
  FramePool pool(arena, 1);
  Frame* frame = pool.Allocate();
  EXPECT_EQ(frame->tailroom(), kFrameBufferSize - kFrameHeadroom);
  frame->size = 100;
  uint8_t* ethernet = frame->data();
  frame->TrimFront(14);
  EXPECT_EQ(frame->data(), ethernet + 14);
  EXPECT_EQ(frame->bytes().size(), 86u);
  EXPECT_EQ(frame->Prepend(14), ethernet);
  EXPECT_EQ(frame->Prepend(kFrameHeadroom), frame->buffer);
  EXPECT_EQ(frame->size, 100 + kFrameHeadroom);
  frame->TrimFront(frame->size);
  EXPECT_TRUE(frame->bytes().empty());
}

TEST(FrameTest, TwoPoolsShareTheFramesOfOneMachine) {
  TestArena arena;
  FramePool control(arena, 16);
  FramePool media(control, 6);
  EXPECT_EQ(control.frame_count(), 10u);
  EXPECT_EQ(media.frame_count(), 6u);
  EXPECT_EQ(media.machine_count(), 16u);
  // Either takes the other's frames, and owes what is beyond its share.
  for (int i = 0; i < 6; ++i) {
    control.Release(media.Allocate());
  }
  EXPECT_EQ(media.Allocate(), nullptr);
  EXPECT_EQ(control.held_count(), 16u);
  EXPECT_EQ(control.free_count(), 10u);
  std::array<Frame*, 4> batch;
  EXPECT_EQ(control.TakeSurplus(batch, 6), 0u);  // within the slack
  EXPECT_EQ(control.TakeSurplus(batch, 5), 4u);
  for (Frame* frame : batch) {
    media.Release(frame);
  }
  EXPECT_EQ(control.TakeSurplus(batch, 0), 2u);
  media.Release(batch[0]);
  media.Release(batch[1]);
  EXPECT_EQ(control.TakeSurplus(batch, 0), 0u);
  EXPECT_EQ(media.held_count(), 6u);
}

TEST(FrameDeathTest, MisuseIsCaught) {
  TestArena arena;
  FramePool pool(arena, 2), other(arena, 2);
  Frame* frame = pool.Allocate();
  EXPECT_DEATH(frame->Prepend(kFrameHeadroom + 1), "start >= count");
  EXPECT_DEATH(frame->TrimFront(1), "size >= count");
  EXPECT_DEATH(other.Release(frame), "frames_\\[frame->index\\]");
  EXPECT_DEATH(pool.Release(nullptr), "nullptr");
  pool.Release(frame);
  EXPECT_DEATH(pool.Release(frame), "is_free");
#ifdef GH_ASAN
  EXPECT_DEATH(*const_cast<volatile uint8_t*>(frame->buffer) = 1, "use-after-poison");
#endif
}

}  // namespace
}  // namespace gh::hal
