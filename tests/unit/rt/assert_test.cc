// Assertions: what a panic says, and that nothing survives one.
#include "hal/rt/assert.h"

#include <gtest/gtest.h>

#include <csetjmp>
#include <cstring>

namespace gh {
namespace {

TEST(AssertDeathTest, SaysExpressionPlaceAndValues) {
  int answer = 41;
  EXPECT_DEATH(GH_ASSERT(answer == 42), "panic: answer == 42 at .*assert_test.cc:");
  EXPECT_DEATH(GH_ASSERT_EQ(answer, 42), "answer == 42 at .*\\(left 41, right 42\\)");
  EXPECT_DEATH(GH_ASSERT_NE(answer, 41), "left 41, right 41");
  EXPECT_DEATH(GH_ASSERT_LT(answer, 41), "answer < 41");
  EXPECT_DEATH(GH_ASSERT_LE(answer, 40), "answer <= 40");
  EXPECT_DEATH(GH_ASSERT_GT(answer, 41), "answer > 41");
  EXPECT_DEATH(GH_ASSERT_GE(answer, 42), "answer >= 42");
  EXPECT_DEATH(GH_PANIC("out of ideas"), "panic: out of ideas");
  EXPECT_DEATH(GH_UNREACHABLE(), "unreachable");
}

TEST(AssertTest, PassesAndEvaluatesOnce) {
  int calls = 0;
  auto next = [&calls] { return ++calls; };
  GH_ASSERT(next() == 1);
  GH_ASSERT_EQ(next(), 2);
  EXPECT_EQ(calls, 2);
}

TEST(AssertDeathTest, HandlerThatReturnsStillStops) {
  EXPECT_DEATH(
      {
        SetPanicHandler([](const PanicInfo&) {});
        GH_PANIC("ignored");
      },
      "");
}

std::jmp_buf g_back;
PanicInfo g_info;

TEST(AssertTest, InstalledHandlerSeesEverything) {
  PanicHandler previous = SetPanicHandler([](const PanicInfo& info) {
    g_info = info;
    std::longjmp(g_back, 1);
  });
  if (setjmp(g_back) == 0) {
    PanicValues("a < b", "file.cc", 7, -1, INT64_MIN);
  }
  SetPanicHandler(previous);
  EXPECT_STREQ(g_info.message, "a < b");
  EXPECT_STREQ(g_info.file, "file.cc");
  EXPECT_EQ(g_info.line, 7u);
  EXPECT_TRUE(g_info.has_values);
  EXPECT_EQ(g_info.left, -1);
  EXPECT_EQ(g_info.right, INT64_MIN);
}

}  // namespace
}  // namespace gh
