// Relay delays by powers of two: edges of the buckets, percentiles, nothing counted yet.
#include "firmware/media/delays.h"

#include <gtest/gtest.h>

namespace gh::media {
namespace {

TEST(Delays, BucketsHaveTheirEdges) {
  for (uint32_t i = 0; i + 1 < kDelayBucketMax; ++i) {
    Delays delays;
    const int64_t bound = Delays::BoundUs(i);
    delays.Count(Duration::Microseconds(bound - 1), 1);
    EXPECT_EQ(delays.bucket(i), 1u) << bound;
    delays.Count(Duration::Microseconds(bound), 1);
    EXPECT_EQ(delays.bucket(i + 1), 1u) << bound;
  }
  Delays delays;
  delays.Count(Duration::Hours(1), 1);
  EXPECT_EQ(delays.bucket(kDelayBucketMax - 1), 1u);
  delays.Count(Duration::Milliseconds(-1), 1);  // a clock that went back counts as no delay
  EXPECT_EQ(delays.bucket(0), 1u);
}

TEST(Delays, PercentilesAreBounds) {
  Delays delays;
  EXPECT_EQ(delays.PercentileUs(99), 0u);
  delays.Count(Duration::Microseconds(5), 98);
  delays.Count(Duration::Microseconds(100), 1);
  delays.Count(Duration::Microseconds(1000), 1);
  EXPECT_EQ(delays.PercentileUs(50), 8u);
  EXPECT_EQ(delays.PercentileUs(99), 128u);
  EXPECT_EQ(delays.PercentileUs(100), 1024u);
  EXPECT_EQ(delays.total(), 100u);
}

}  // namespace
}  // namespace gh::media
