#include "net/address.h"

#include <gtest/gtest.h>

#include <string>

namespace gh::net {
namespace {

std::string Text(std::string_view text) {
  const auto address = IpAddress::Parse(text);
  return address.ok() ? std::string(ToText(*address).view()) : "error";
}

TEST(IpAddressTest, V4RoundTripsAndRefusesEverythingElse) {
  EXPECT_EQ(Text("192.0.2.1"), "192.0.2.1");
  EXPECT_EQ(Text("0.0.0.0"), "0.0.0.0");
  EXPECT_EQ(Text("255.255.255.255"), "255.255.255.255");
  for (const char* bad : {"", "1", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.04", "01.2.3.4",
                          " 1.2.3.4", "1.2.3.4 ", "1..2.3", "1.2.3.", ".1.2.3", "1.2.3.4/8",
                          "1.2.3.1000", "a.b.c.d", "0x1.2.3.4", "-1.2.3.4"}) {
    EXPECT_EQ(Text(bad), "error") << bad;
  }
}

TEST(IpAddressTest, V6TextIsCanonicalAsRfc5952Says) {
  EXPECT_EQ(Text("::"), "::");
  EXPECT_EQ(Text("::1"), "::1");
  EXPECT_EQ(Text("1::"), "1::");
  EXPECT_EQ(Text("2001:0DB8:0:0:0:0:0:1"), "2001:db8::1");
  EXPECT_EQ(Text("2001:db8:0:1:1:1:1:1"), "2001:db8:0:1:1:1:1:1");  // 4.2.2
  EXPECT_EQ(Text("2001:0:0:1:0:0:0:1"), "2001:0:0:1::1");           // 4.2.3 longest
  EXPECT_EQ(Text("2001:db8:0:0:1:0:0:1"), "2001:db8::1:0:0:1");     // first of equals
  EXPECT_EQ(Text("0:0:0:0:0:0:0:1"), "::1");
  EXPECT_EQ(Text("1:2:3:4:5:6:0:0"), "1:2:3:4:5:6::");
  EXPECT_EQ(Text("::ffff:192.0.2.128"), "::ffff:192.0.2.128");
  EXPECT_EQ(Text("64:ff9b::192.0.2.33"), "64:ff9b::c000:221");
  EXPECT_EQ(Text("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
}

TEST(IpAddressTest, V6RefusesWhatIsNoAddress) {
  for (const char* bad : {":",
                          ":::",
                          "1:",
                          ":1",
                          "1:2:3:4:5:6:7",
                          "1:2:3:4:5:6:7:8:9",
                          "1::2::3",
                          "12345::",
                          "1:2:3:4:5:6:7:8::",
                          "::1:2:3:4:5:6:7:8",
                          "g::",
                          "1:2:3:4:5:6:7:1.2.3.4",
                          "::1.2.3",
                          "::1.2.3.4:5",
                          "fe80::1%eth0",
                          "[::1]",
                          "1:2:3:4::5:6:7:8",
                          ":1:2:3:4:5:6:7:8",
                          "1.2.3.4::",
                          "::256.1.1.1"}) {
    EXPECT_EQ(Text(bad), "error") << bad;
  }
}

TEST(IpAddressTest, ClassesAreThoseOfTheRegistries) {
  EXPECT_TRUE(IpAddress::Parse("127.1.2.3")->is_loopback());
  EXPECT_TRUE(IpAddress::Parse("::1")->is_loopback());
  EXPECT_FALSE(IpAddress::Parse("::2")->is_loopback());
  EXPECT_TRUE(IpAddress::Parse("224.0.0.1")->is_multicast());
  EXPECT_TRUE(IpAddress::Parse("ff02::1")->is_multicast());
  EXPECT_FALSE(IpAddress::Parse("240.0.0.1")->is_multicast());
  EXPECT_TRUE(IpAddress::Parse("169.254.9.9")->is_link_local());
  EXPECT_TRUE(IpAddress::Parse("febf::1")->is_link_local());
  EXPECT_FALSE(IpAddress::Parse("fec0::1")->is_link_local());
  EXPECT_TRUE(IpAddress().is_unspecified());
  EXPECT_TRUE(IpAddress::Parse("::")->is_unspecified());
}

TEST(IpPrefixTest, ContainsToTheBit) {
  const IpPrefix p = IpPrefix::Parse("10.16.0.0/12").value();
  EXPECT_TRUE(p.Contains(*IpAddress::Parse("10.31.255.255")));
  EXPECT_FALSE(p.Contains(*IpAddress::Parse("10.32.0.0")));
  EXPECT_FALSE(p.Contains(*IpAddress::Parse("a10::")));
  EXPECT_TRUE(IpPrefix::Parse("0.0.0.0/0")->Contains(*IpAddress::Parse("9.9.9.9")));
  EXPECT_TRUE(IpPrefix::Parse("::1/128")->Contains(*IpAddress::Parse("::1")));
  EXPECT_FALSE(IpPrefix::Parse("::1/128")->Contains(*IpAddress::Parse("::")));
  for (const char* bad : {"10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/08", "::/129",
                          "10.0.0.0/-1", "/8", "10.0.0.0/8/8"}) {
    EXPECT_FALSE(IpPrefix::Parse(bad).ok()) << bad;
  }
}

TEST(EndpointTest, RoundTrips) {
  for (const char* text : {"192.0.2.1:5060", "[2001:db8::1]:5061", "[::ffff:1.2.3.4]:65535"}) {
    EXPECT_EQ(ToText(Endpoint::Parse(text).value()).view(), text);
  }
  for (const char* bad : {"1.2.3.4", "1.2.3.4:", "1.2.3.4:65536", "::1:5060", "[1.2.3.4]:1",
                          "[::1]", "[::1]5060", "1.2.3.4:+1", "1.2.3.4:123456"}) {
    EXPECT_FALSE(Endpoint::Parse(bad).ok()) << bad;
  }
  Endpoint longest = Endpoint::Parse("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535").value();
  EXPECT_EQ(ToText(longest).view(), "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
}

}  // namespace
}  // namespace gh::net
