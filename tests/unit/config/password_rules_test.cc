// The rules for passwords, each at its edge: lengths, kinds, repetitions, the user's name, and the
// words that guessers try first.
#include <gtest/gtest.h>

#include <string>

#include "firmware/config/password.h"
#include "firmware/config/settings.h"

namespace gh::config {
namespace {

AdministrationPassword Rules(OnOff strict = OnOff::kOn) {
  AdministrationPassword rules;
  rules.strict = strict;
  rules.length_min = kAdminPasswordMin;
  rules.classes_min = 1;
  return rules;
}

std::string Judge(const AdministrationPassword& rules, const std::string& password,
                  const char* user = "admin") {
  Message expected;
  const auto checked = CheckAdminPassword(rules, user, password, expected);
  EXPECT_EQ(checked.ok(), expected.empty()) << password;
  return std::string(expected.view());
}

// Letters in an order that repeats none and spells nothing.
std::string Letters(size_t size) {
  std::string text;
  for (size_t i = 0; i < size; ++i) {
    text += static_cast<char>('a' + i * 7 % 26);
  }
  return text;
}

TEST(PasswordRules, LengthsAtTheirEdges) {
  const AdministrationPassword strict = Rules();
  EXPECT_NE(Judge(strict, Letters(kAdminPasswordMin - 1)), "");
  EXPECT_EQ(Judge(strict, Letters(kAdminPasswordMin)), "");
  EXPECT_EQ(Judge(strict, Letters(kPasswordMax)), "");
  EXPECT_NE(Judge(strict, Letters(kPasswordMax + 1)), "");
  const AdministrationPassword lax = Rules(OnOff::kOff);
  EXPECT_NE(Judge(lax, Letters(kLaxPasswordMin - 1)), "");
  EXPECT_EQ(Judge(lax, Letters(kLaxPasswordMin)), "");
  EXPECT_EQ(Judge(lax, Letters(kPasswordMax)), "");
  EXPECT_NE(Judge(lax, Letters(kPasswordMax + 1)), "");
  Message expected;
  EXPECT_FALSE(CheckSipPassword(std::string(kSipPasswordMin - 1, 'x'), expected).ok());
  for (const size_t size : {size_t{kSipPasswordMin}, size_t{kPasswordMax}}) {
    Message none;
    EXPECT_TRUE(CheckSipPassword(std::string(size, 'x'), none).ok()) << size;
  }
  Message longer;
  EXPECT_FALSE(CheckSipPassword(std::string(kPasswordMax + 1, 'x'), longer).ok());
}

TEST(PasswordRules, KindsAndCountsAtTheirEdges) {
  AdministrationPassword rules = Rules();
  const std::string base = Letters(12);
  rules.classes_min = 4;
  EXPECT_NE(Judge(rules, base + "A1"), "");
  EXPECT_EQ(Judge(rules, base + "A1-"), "");
  rules = Rules();
  rules.digits_min = 2;
  EXPECT_NE(Judge(rules, base + "4"), "");
  EXPECT_EQ(Judge(rules, base + "49"), "");
  rules = Rules();
  rules.upper_min = 2;
  EXPECT_NE(Judge(rules, base + "Q"), "");
  EXPECT_EQ(Judge(rules, base + "QZ"), "");
  rules = Rules();
  rules.others_min = 1;
  EXPECT_NE(Judge(rules, base), "");
  EXPECT_EQ(Judge(rules, base + "-"), "");
  rules = Rules();
  rules.repeat_max = 2;
  EXPECT_EQ(Judge(rules, base + "xx"), "");
  EXPECT_NE(Judge(rules, base + "xxx"), "");
}

TEST(PasswordRules, NamesAndCommonWordsAreRefusedHoweverTheyAreDressed) {
  const AdministrationPassword rules = Rules();
  EXPECT_NE(Judge(rules, "longusername", "longusername"), "");
  EXPECT_NE(Judge(rules, "LONGUSERNAME", "longusername"), "");
  EXPECT_NE(Judge(rules, "emanresugnol", "longusername"), "");
  EXPECT_EQ(Judge(rules, "longusernamf", "longusername"), "");
  for (const char* common :
       {"password", "P@ssw0rd", "password123456", "Welcome!!!!2026", "$3cret", "C1scoc1sco"}) {
    EXPECT_TRUE(IsCommonPassword(common)) << common;
  }
  for (const char* fine : {"passwordless-horse", "Correct-Horse-7", "", "!!!!", "0123456789"}) {
    EXPECT_FALSE(IsCommonPassword(fine)) << fine;
  }
}

}  // namespace
}  // namespace gh::config
