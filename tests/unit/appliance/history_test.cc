// Seconds add up to minutes, minutes to hours; rings forget the oldest.
#include "firmware/history.h"

#include <gtest/gtest.h>

#include <memory>

namespace gh {
namespace {

TEST(HistoryTest, SecondsAddUpToMinutesAndHours) {
  auto history = std::make_unique<History>();
  Reading now;
  history->Take(now);
  EXPECT_EQ(history->count(Period::kSeconds), 0u);
  for (uint64_t second = 1; second <= 7200; ++second) {
    now.sums[0] += 3;
    now.sums[8] += second;
    now.levels[0] = second % 60;
    history->Take(now);
  }
  EXPECT_EQ(history->count(Period::kSeconds), History::kSecondCount);
  EXPECT_EQ(history->count(Period::kMinutes), History::kMinuteCount);
  EXPECT_EQ(history->count(Period::kHours), 2u);
  EXPECT_EQ(history->at(Period::kSeconds, 0).sums[8], 7200u);
  EXPECT_EQ(history->at(Period::kSeconds, 119).sums[8], 7081u);
  EXPECT_EQ(history->at(Period::kMinutes, 0).sums[0], 180u);
  EXPECT_EQ(history->at(Period::kMinutes, 0).levels[0], 59u);
  EXPECT_EQ(history->at(Period::kHours, 0).sums[0], 10'800u);
  EXPECT_EQ(history->at(Period::kHours, 0).sums[8], (3601u + 7200u) * 3600u / 2);
  EXPECT_EQ(history->at(Period::kHours, 1).sums[8], 3600u * 3601u / 2);
}

TEST(HistoryTest, ACounterThatStartsAnewCountsAsNothing) {
  auto history = std::make_unique<History>();
  Reading now;
  now.sums[1] = 1000;
  history->Take(now);
  now.sums[1] = 10;
  history->Take(now);
  EXPECT_EQ(history->at(Period::kSeconds, 0).sums[1], 0u);
  now.sums[1] = 15;
  history->Take(now);
  EXPECT_EQ(history->at(Period::kSeconds, 0).sums[1], 5u);
}

TEST(HistoryTest, RingsForgetTheOldest) {
  auto history = std::make_unique<History>();
  Reading now;
  history->Take(now);
  for (uint32_t second = 0; second < 3600 * (History::kHourCount + 5); ++second) {
    now.sums[2] += 1;
    history->Take(now);
  }
  EXPECT_EQ(history->count(Period::kHours), History::kHourCount);
  EXPECT_EQ(history->at(Period::kHours, History::kHourCount - 1).sums[2], 3600u);
}

}  // namespace
}  // namespace gh
