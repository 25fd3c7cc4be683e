// Bandwidth read from and written into descriptions.
#include "firmware/sdp/bandwidth.h"

#include <gtest/gtest.h>

#include <string>

namespace gh::sdp {
namespace {

std::string Limited(std::string_view body, uint32_t kbps, size_t room = 1000) {
  std::string text(room, '\0');
  ByteWriter out({reinterpret_cast<uint8_t*>(text.data()), text.size()});
  LimitBandwidth(body, kbps, out);
  return out.ok() ? std::string(out.text()) : "no room";
}

TEST(BandwidthTest, SessionDecidesElseTheSumOfItsMedia) {
  EXPECT_EQ(BandwidthOf(""), 0u);
  EXPECT_EQ(BandwidthOf("v=0\r\nt=0 0\r\nm=audio 1 RTP/AVP 0\r\n"), 0u);
  EXPECT_EQ(BandwidthOf("v=0\r\nb=AS:100\r\nb=CT:200\r\nt=0 0\r\nm=a 1 x 0\r\nb=AS:900\r\n"), 200u);
  EXPECT_EQ(BandwidthOf("m=a 1 x 0\r\nb=AS:64\r\nm=v 2 x 0\r\nb=TIAS:512001\r\n"), 64u + 513u);
  EXPECT_EQ(BandwidthOf("m=a 1 x 0\nb=AS:64\nm=v 0 x 0\nb=AS:512\n"), 64u);  // switched off
  EXPECT_EQ(BandwidthOf("m=a 1 x 0\r\nb=RS:8000\r\nb=X-YZ:9\r\nb=AS:\r\nb=AS:-4\r\nb=AS"), 0u);
  EXPECT_EQ(BandwidthOf("b=AS:99999999999999999999999\r\n"), 0u);  // no number
  EXPECT_EQ(BandwidthOf("b=AS:18446744073709551615\r\n"), 100'000'000u);
}

TEST(BandwidthTest, LinesShrinkInProportion) {
  const char* body = "v=0\r\nb=AS:1000\r\nt=0 0\r\nm=a 1 x 0\r\nb=TIAS:64000\r\nb=RR:5\r\n";
  EXPECT_EQ(Limited(body, 500),
            "v=0\r\nb=AS:500\r\nt=0 0\r\nm=a 1 x 0\r\nb=TIAS:32000\r\nb=RR:5\r\n");
  EXPECT_EQ(Limited(body, 1000), body);
  EXPECT_EQ(Limited(body, 999).substr(0, 15), "v=0\r\nb=AS:999\r\n");
}

TEST(BandwidthTest, SharesAreOfAllThatIsAskedForHoweverMuch) {
  const std::string media = "m=audio 4000 RTP/AVP 0\r\nb=AS:100000000\r\n";
  EXPECT_EQ(BandwidthOf(Limited(media + media + media, 300)), 300u);
}

TEST(BandwidthTest, DescriptionThatSaysNothingGetsALine) {
  EXPECT_EQ(Limited("v=0\r\ns=-\r\nt=0 0\r\nm=a 1 x 0\r\n", 128),
            "v=0\r\ns=-\r\nb=AS:128\r\nt=0 0\r\nm=a 1 x 0\r\n");
  EXPECT_EQ(Limited("no description", 128), "no description");
}

TEST(BandwidthTest, RoomIsNeverOverrun) {
  const std::string body = "v=0\r\nb=AS:1000\r\nt=0 0\r\n";
  EXPECT_EQ(Limited(body, 10, body.size() - 2), "v=0\r\nb=AS:10\r\nt=0 0\r\n");
  EXPECT_EQ(Limited(body, 10, body.size() - 3), "no room");
}

}  // namespace
}  // namespace gh::sdp
