#include "firmware/occupancy.h"

#include <gtest/gtest.h>

namespace gh {
namespace {

constexpr Duration kPeriod = Duration::Milliseconds(100);

Instant At(int64_t ms) { return Instant{} + Duration::Milliseconds(ms); }

TEST(Occupancy, IsWhatTurnsTakeOfAPeriod) {
  Occupancy occupancy;
  EXPECT_TRUE(occupancy.OnTurn(At(1000), At(1000), At(1010), kPeriod));  // since the start
  EXPECT_FALSE(occupancy.OnTurn(At(1010), At(1040), At(1080), kPeriod));
  EXPECT_EQ(occupancy.OnTurn(At(1080), At(1100), At(1150), kPeriod), 500u);
  EXPECT_EQ(occupancy.OnTurn(At(1200), At(1200), At(1300), kPeriod), 0u)
      << "the next is counted anew";
}

TEST(Occupancy, BetweenTurnsWithoutASleepTheProcessorIsBusyToo) {
  Occupancy occupancy;
  EXPECT_TRUE(occupancy.OnTurn(At(1000), At(1000), At(1000), kPeriod));
  EXPECT_FALSE(occupancy.OnTurn(At(1010), At(1050), At(1050), kPeriod));
  EXPECT_EQ(occupancy.OnTurn(At(1070), At(1100), At(1101), kPeriod), 1000u);
  EXPECT_EQ(occupancy.OnTurn(At(1190), At(1200), At(1200), kPeriod), 100u) << "that was a sleep";
}

}  // namespace
}  // namespace gh
