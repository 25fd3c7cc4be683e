// Relay delays by steps of a sixteenth: edges of the buckets, percentiles, nothing counted yet.
#include "firmware/media/delays.h"

#include <gtest/gtest.h>

namespace gh::media {
namespace {

TEST(Delays, BucketsHaveTheirEdges) {
  for (uint32_t i = 0; i + 1 < kDelayBucketMax; ++i) {
    Delays delays;
    const auto bound = static_cast<int64_t>(Delays::BoundNs(i));
    delays.Count(Duration::Nanoseconds(bound - 1), 1);
    EXPECT_EQ(delays.bucket(i), 1u) << bound;
    delays.Count(Duration::Nanoseconds(bound), 1);
    EXPECT_EQ(delays.bucket(i + 1), 1u) << bound;
  }
  EXPECT_EQ(Delays::BoundNs(kDelayBucketMax - 2), 1'048'576'000u);
  Delays delays;
  delays.Count(Duration::Hours(1), 1);
  EXPECT_EQ(delays.bucket(kDelayBucketMax - 1), 1u);
  delays.Count(Duration::Milliseconds(-1), 1);  // a clock that went back counts as no delay
  EXPECT_EQ(delays.bucket(0), 1u);
}

TEST(Delays, AStepIsSmallBesideTheDelay) {
  for (uint32_t i = kDelaySteps; i + 1 < kDelayBucketMax; ++i) {
    const double before = static_cast<double>(Delays::BoundNs(i - 1));
    EXPECT_LE(static_cast<double>(Delays::BoundNs(i)), before * 1.065) << i;
  }
}

TEST(Delays, PercentilesAreBounds) {
  Delays delays;
  EXPECT_EQ(delays.PermilleNs(990), 0u);
  delays.Count(Duration::Microseconds(5), 980);
  delays.Count(Duration::Microseconds(100), 10);
  delays.Count(Duration::Microseconds(1000), 9);
  delays.Count(Duration::Hours(1), 1);
  EXPECT_EQ(delays.PermilleNs(500), 5'250u);
  EXPECT_EQ(delays.PermilleNs(990), 104'000u);
  EXPECT_EQ(delays.PermilleNs(999), 1'024'000u);
  EXPECT_EQ(delays.PermilleNs(1000), Delays::BoundNs(kDelayBucketMax - 2));
  EXPECT_EQ(delays.total(), 1000u);
}

}  // namespace
}  // namespace gh::media
