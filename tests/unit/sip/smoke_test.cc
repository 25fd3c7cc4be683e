#include <gtest/gtest.h>

#include "tests/unit/sip/world.h"

namespace gh::sip::test {
namespace {

TEST(Smoke, OptionsToUsIsAnswered) {
  World world;
  world.Deliver(At("192.0.2.10:5070"), Crlf("OPTIONS sip:example.com SIP/2.0\n"
                                           "Via: SIP/2.0/UDP 192.0.2.10:5070;branch=z9hG4bK1;rport\n"
                                           "Max-Forwards: 70\n"
                                           "From: <sip:a@example.com>;tag=1\n"
                                           "To: <sip:example.com>\n"
                                           "Call-ID: x@y\n"
                                           "CSeq: 1 OPTIONS\n"
                                           "Content-Length: 0\n\n"));
  const Sent sent = world.Take();
  EXPECT_EQ(sent.Status(), 200) << sent.text;
  EXPECT_EQ(sent.to, At("192.0.2.10:5070"));
  EXPECT_NE(sent.Header("Via").find("rport=5070;received=192.0.2.10"), std::string::npos);
  EXPECT_EQ(world.Busy(), "");
}

}  // namespace
}  // namespace gh::sip::test
