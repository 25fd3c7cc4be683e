#include "firmware/sdp/candidate.h"

#include <gtest/gtest.h>

#include <string>

namespace gh::sdp {
namespace {

constexpr std::string_view kRelayed =
    "2 1 UDP 16777215 192.0.2.3 28991 typ relay raddr 10.77.0.2 rport 36357";

TEST(Candidate, WhatIsReadIsWrittenTheSame) {
  for (const std::string_view text :
       {std::string_view("1 1 UDP 2130706431 192.0.2.1 36104 typ host"), kRelayed}) {
    const auto candidate = ParseCandidate(text);
    ASSERT_TRUE(candidate.has_value());
    uint8_t bytes[200];
    ByteWriter out(bytes);
    WriteCandidate(*candidate, out);
    EXPECT_EQ(out.text(), "a=candidate:" + std::string(text) + "\r\n");
  }
  EXPECT_EQ(ParseCandidate(kRelayed)->related.port, 36357);
  EXPECT_TRUE(ParseCandidate("1 1 udp 1 2001:db8::1 9 typ srflx generation 0").has_value());
}

TEST(Candidate, WhatIsNotForUsIsNone) {
  for (const char* text :
       {"", "1", "1 1 UDP 1 192.0.2.1 9", "1 1 TCP 1 192.0.2.1 9 typ host tcptype active",
        "1 1 UDP 1 abc.local 9 typ host", "1 1 UDP 1 192.0.2.1 0 typ host",
        "1 1 UDP 1 192.0.2.1 65536 typ host", "1 0 UDP 1 192.0.2.1 9 typ host",
        "1 257 UDP 1 192.0.2.1 9 typ host", "1 1 UDP 0 192.0.2.1 9 typ host",
        "1 1 UDP 2147483648 192.0.2.1 9 typ host", "1 1 UDP -1 192.0.2.1 9 typ host",
        "1 1 UDP 1 192.0.2.1 9 typ other", "1 1 UDP 1 192.0.2.1 9 type host"}) {
    EXPECT_FALSE(ParseCandidate(text).has_value()) << text;
  }
  const std::string rest = " 256 UDP 2147483647 192.0.2.1 65535 typ host";
  EXPECT_TRUE(ParseCandidate(std::string(32, 'f') + rest).has_value());
  EXPECT_FALSE(ParseCandidate(std::string(33, 'f') + rest).has_value());
}

TEST(Candidate, PrioritiesAreThoseOfTheirTypes) {
  EXPECT_EQ(PriorityOf(CandidateType::kHost, 65535, 1), 2130706431u);
  EXPECT_EQ(PriorityOf(CandidateType::kRelayed, 65535, 1), 16777215u);
  EXPECT_EQ(PriorityOf(CandidateType::kRelayed, 0, 2), 254u);
}

}  // namespace
}  // namespace gh::sdp
