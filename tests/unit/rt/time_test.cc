// Instants and durations at their extremes.
#include "hal/rt/time.h"

#include <gtest/gtest.h>

namespace gh {
namespace {

static_assert(Duration::Hours(2) == Duration::Minutes(120));
static_assert(Duration::Seconds(1) == Duration::Milliseconds(1000));
static_assert(Duration::Milliseconds(1) == Duration::Microseconds(1000));
static_assert(Duration::Microseconds(1) == Duration::Nanoseconds(1000));
static_assert(Duration::Seconds(90).milliseconds() == 90'000);
static_assert(Duration::Nanoseconds(1'999'999'999).seconds() == 1);
static_assert(Duration::Seconds(3) * 2 / 3 == Duration::Seconds(2));

TEST(TimeTest, InstantsAndDurations) {
  const Instant start{100};
  EXPECT_EQ(start + Duration{5}, Instant{105});
  EXPECT_EQ(start - Duration{5}, Instant{95});
  EXPECT_EQ(Instant{105} - start, Duration{5});
  EXPECT_LT(start, start + Duration{1});
  EXPECT_GT(Duration{2}, Duration{1} - Duration{1});
}

TEST(TimeTest, ExtremesAddWithoutOverflow) {
  const Instant late = Instant::Max() + Duration::Max();
  EXPECT_GT(late, Instant::Max());
  EXPECT_EQ(late - Duration::Max(), Instant::Max());
}

TEST(TimeTest, WallTime) {
  EXPECT_FALSE(WallTime().is_set);
  EXPECT_EQ((WallTime{1'700'000'000'999'999'999, true}.unix_seconds()), 1'700'000'000);
}

}  // namespace
}  // namespace gh
