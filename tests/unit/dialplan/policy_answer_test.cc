// The text that goes to a policy service, and what it may answer.
#include "firmware/dialplan/policy_answer.h"

#include <gtest/gtest.h>

#include <string>

namespace gh::dialplan {
namespace {

TEST(PolicyAnswer, AllowAndRejectAreTaken) {
  for (const char* text : {"allow", "allow\n", "allow\r\n", "allow\r\nmore"}) {
    const auto answer = ParsePolicyAnswer(text);
    ASSERT_TRUE(answer.ok()) << text;
    EXPECT_TRUE(answer->allows);
  }
  const auto plain = ParsePolicyAnswer("reject\r\n");
  ASSERT_TRUE(plain.ok());
  EXPECT_FALSE(plain->allows);
  EXPECT_EQ(plain->status, 403);
  const auto whole = ParsePolicyAnswer("reject 603  Not today\n");
  ASSERT_TRUE(whole.ok());
  EXPECT_EQ(whole->status, 603);
  EXPECT_EQ(whole->phrase.view(), "Not today");
}

TEST(PolicyAnswer, AnythingElseIsNoAnswer) {
  for (const char* text :
       {"", "\n", "ALLOW", "allowed", "allow bob", "deny", "reject 399", "reject 700", "reject 40",
        "reject 4033", "reject 4x3", "reject 403 a\tb", "reject 403 \xc3\xa9", "<html>allow"}) {
    EXPECT_FALSE(ParsePolicyAnswer(text).ok()) << text;
  }
  const std::string at_the_edge(kPolicyPhraseBytesMax, 'x');
  EXPECT_TRUE(ParsePolicyAnswer("reject 403 " + at_the_edge).ok());
  EXPECT_FALSE(ParsePolicyAnswer("reject 403 " + at_the_edge + "x").ok());
}

TEST(PolicyAnswer, FieldsAreEscaped) {
  uint8_t bytes[64];
  ByteWriter out(bytes);
  WriteFormField(out, "source", "a b&c=d@e.f");
  WriteFormField(out, "zone", "");
  EXPECT_EQ(out.text(), "source=a%20b%26c%3dd%40e.f&zone=");
}

}  // namespace
}  // namespace gh::dialplan
