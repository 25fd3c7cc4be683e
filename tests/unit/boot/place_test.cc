// The image's place: every place is one of free memory, all of them are drawn, the largest range
// stays whole but for its end, and maps that make no sense give no place.
#include "boot/place.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "boot/limits.h"
#include "hal/rt/bytes.h"

namespace gh::boot {
namespace {

constexpr uint64_t kMebi = 1 << 20;
constexpr uint64_t kPage = kPageSize;

struct Descriptor {
  uint32_t type;
  uint64_t start;
  uint64_t size;
};

std::vector<uint8_t> Encode(const std::vector<Descriptor>& descriptors, size_t step = 48) {
  std::vector<uint8_t> bytes(descriptors.size() * step);
  for (size_t i = 0; i < descriptors.size(); ++i) {
    ByteWriter out{std::span(bytes).subspan(i * step, step)};
    out.U32Le(descriptors[i].type);
    out.U32Le(0);
    out.U64Le(descriptors[i].start);
    out.U64Le(0);
    out.U64Le(descriptors[i].size / kPage);
    out.U64Le(0xf);
  }
  return bytes;
}

TEST(Place, EveryPlaceOfASmallRangeIsDrawnAndNoOther) {
  const auto map =
      Encode({{7, 4 * kMebi, 8 * kPage}, {3, 8 * kMebi, 64 * kPage}, {7, 64 * kMebi, 512 * kMebi}});
  // 8 - 3 + 1 places there; of the large range 1/16, which is as much as the least.
  const uint64_t tail = 3 * kPage + kPlaceTailMin;
  ASSERT_EQ(CountPlaces({map, 48}, 3 * kPage), 6 + tail / kPage - 2);
  std::set<uint64_t> places;
  for (uint64_t random = 0; random < CountPlaces({map, 48}, 3 * kPage); ++random) {
    const uint64_t place = ChoosePlace({map, 48}, 3 * kPage, random);
    const bool in_small = place >= 4 * kMebi && place + 3 * kPage <= 4 * kMebi + 8 * kPage;
    const bool in_tail = place >= 576 * kMebi - tail && place + 3 * kPage <= 576 * kMebi;
    ASSERT_TRUE(in_small || in_tail) << place;
    ASSERT_EQ(place % kPage, 0u);
    places.insert(place);
  }
  EXPECT_EQ(places.size(), 6 + tail / kPage - 2);
}

TEST(Place, AnyRandomNumberGivesAPlace) {
  const auto map = Encode({{7, 64 * kMebi, 512 * kMebi}});
  for (const uint64_t random : {uint64_t{0}, uint64_t{1} << 63, UINT64_MAX}) {
    EXPECT_NE(ChoosePlace({map, 48}, kMebi, random), 0u);
  }
}

TEST(Place, OneGibibyteHasThousandsOfPlaces) {
  const auto map = Encode({{7, 16 * kMebi, 16 * kMebi}, {7, 33 * kMebi, 900 * kMebi}});
  EXPECT_GT(CountPlaces({map, 48}, 10 * kMebi), 10'000u);
}

TEST(Place, LowMemoryIsLeftAlone) {
  const auto map = Encode({{7, 0, kPlaceStart + 2 * kPage}});
  EXPECT_EQ(CountPlaces({map, 48}, 2 * kPage), 1u);
  EXPECT_EQ(ChoosePlace({map, 48}, 2 * kPage, 77), kPlaceStart);
  EXPECT_EQ(ChoosePlace({map, 48}, 3 * kPage, 77), 0u);
}

TEST(Place, NothingFitsOrTheMapMakesNoSense) {
  EXPECT_EQ(ChoosePlace({{}, 48}, kPage, 1), 0u);
  const auto map = Encode({{7, 64 * kMebi, 512 * kMebi}});
  EXPECT_EQ(ChoosePlace({map, 48}, 513 * kMebi, 1), 0u);
  EXPECT_EQ(ChoosePlace({map, 48}, 0, 1), 0u);
  EXPECT_EQ(ChoosePlace({map, 0}, kPage, 1), 0u);
  EXPECT_EQ(ChoosePlace({map, 39}, kPage, 1), 0u);
  EXPECT_EQ(ChoosePlace({Encode({{7, kPlaceEnd - kPage, 2 * kPage}}), 48}, kPage, 1), 0u);
  EXPECT_EQ(ChoosePlace({Encode({{7, 64 * kMebi + 1, 512 * kMebi}}), 48}, kPage, 1), 0u);
}

}  // namespace
}  // namespace gh::boot
