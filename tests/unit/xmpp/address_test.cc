// Addresses: what is the same, what is none, and how long one may be.
#include "firmware/xmpp/address.h"

#include <gtest/gtest.h>

#include <string>

namespace gh::xmpp::test {
namespace {

std::string Full(std::string_view text) {
  const auto parsed = Address::Parse(text);
  return parsed.ok() ? std::string(parsed->full()) : "none";
}

TEST(XmppAddress, PartsArePrepared) {
  EXPECT_EQ(Full("Alice@Example.COM/Phone 1"), "alice@example.com/Phone 1");
  EXPECT_EQ(Full("example.com"), "example.com");
  EXPECT_EQ(Full("example.com."), "example.com");
  EXPECT_EQ(Full("example.com/a@b/c"), "example.com/a@b/c");
  EXPECT_EQ(Full("a@[2001:DB8::1]"), "a@[2001:db8::1]");
  EXPECT_EQ(Full("\xC3\x84rger@example.com"), "\xC3\xA4rger@example.com");  // capital a umlaut
  EXPECT_EQ(Full("\xEF\xBC\xA1@example.com"), "a@example.com");             // a wide A
  EXPECT_EQ(Full("\xCF\x83@example.com"), "\xCF\x83@example.com");          // sigma
  const auto parsed = Address::Parse("a@b.c/d");
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->local(), "a");
  EXPECT_EQ(parsed->domain(), "b.c");
  EXPECT_EQ(parsed->bare(), "a@b.c");
  EXPECT_EQ(parsed->resource(), "d");
}

// RFC 7622 section 3.5, table 2, and more of the kind.
TEST(XmppAddress, WhatIsNone) {
  for (const char* text : {"",
                           "@example.com",
                           "a@",
                           "/res",
                           "a@example.com/",
                           "\"juliet\"@example.com",
                           "foo bar@example.com",
                           "henry\xE2\x85\xA3@example.com",
                           "\xE2\x99\x9A@example.com",
                           "a@b@example.com",
                           "a b@example.com",
                           "a@ex ample.com",
                           "a@-example.com",
                           "a@ex..com",
                           "a@example.com/\x01",
                           "a@example.com/\xC0\x80",
                           "a@example.com/\xED\xA0\x80",
                           "e\xCC\x81@example.com",          // not in form C
                           "a\xE2\x80\x8B@example.com",      // zero width
                           "\xD9\xA1\xDB\xB1@example.com"})  // digits of two kinds
  {
    EXPECT_EQ(Full(text), "none") << text;
  }
  EXPECT_NE(Full("\xD9\xA1\xD9\xA2@example.com"), "none");
  EXPECT_NE(Full("a@example.com/\xE2\x99\x9A"), "none");  // a resource may be a chess king
}

TEST(XmppAddress, LengthsAtTheirEdge) {
  const std::string local(kLocalMax, 'a');
  const std::string label(60, 'b');
  const std::string domain = label + "." + label + "." + label + ".12345678";
  ASSERT_EQ(domain.size(), kDomainMax);
  const std::string resource(kResourceMax, 'r');
  EXPECT_EQ(Full(local + "@" + domain + "/" + resource), local + "@" + domain + "/" + resource);
  EXPECT_EQ(Full(local + "a@" + domain), "none");
  EXPECT_EQ(Full(local + "@" + domain + "9"), "none");
  EXPECT_EQ(Full(local + "@" + domain + "/" + resource + "r"), "none");
}

}  // namespace
}  // namespace gh::xmpp::test
