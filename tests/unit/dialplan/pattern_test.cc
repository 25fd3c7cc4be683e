// Patterns: what they match and make of an alias, what is refused, and that hostile ones cost no
// more than states times characters. Regular expressions are compared with std::regex over random
// ones.
#include "firmware/dialplan/pattern.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <random>
#include <regex>
#include <string>

namespace gh::dialplan {
namespace {

class PatternTest : public testing::Test {
 protected:
  std::unique_ptr<uint8_t[]> memory_{new uint8_t[4 << 20]};
  Arena arena_{{memory_.get(), 4 << 20}};
  PatternStore store_{arena_};

  bool Matches(PatternType type, std::string_view pattern, std::string_view alias) {
    store_.Clear();
    auto compiled = Pattern::Compile(store_, type, pattern);
    EXPECT_TRUE(compiled.ok()) << pattern << ": " << compiled.error().what;
    return compiled.ok() && compiled->Matches(alias);
  }
  PatternKey KeyOf(PatternType type, std::string_view pattern) {
    store_.Clear();
    const auto compiled = Pattern::Compile(store_, type, pattern);
    EXPECT_TRUE(compiled.ok()) << pattern << ": " << compiled.error().what;
    return compiled->Key();
  }
  bool Regex(std::string_view pattern, std::string_view alias) {
    return Matches(PatternType::kRegex, pattern, alias);
  }
  ErrorCode Refused(std::string_view pattern) {
    store_.Clear();
    return Pattern::Compile(store_, PatternType::kRegex, pattern).code();
  }
  std::string Changed(PatternType type, std::string_view pattern, PatternBehavior behavior,
                      std::string_view replacement, std::string_view alias) {
    store_.Clear();
    FixedString<kAliasBytesMax> out;
    auto compiled = Pattern::Compile(store_, type, pattern);
    EXPECT_TRUE(compiled.ok()) << pattern;
    return compiled->Apply(alias, behavior, replacement, out) ? std::string(out.view()) : "(none)";
  }
};

TEST_F(PatternTest, SimpleTypesInEitherCase) {
  EXPECT_TRUE(Matches(PatternType::kExact, "Bob@Example.com", "bob@example.COM"));
  EXPECT_FALSE(Matches(PatternType::kExact, "bob@example.com", "bob@example.comm"));
  EXPECT_TRUE(Matches(PatternType::kPrefix, "9", "9123@x"));
  EXPECT_FALSE(Matches(PatternType::kPrefix, "91", "9"));
  EXPECT_TRUE(Matches(PatternType::kSuffix, "@example.com", "a@EXAMPLE.com"));
  EXPECT_FALSE(Matches(PatternType::kSuffix, "a@example.com", "@example.com"));
}

TEST_F(PatternTest, RegularExpressions) {
  EXPECT_TRUE(Regex(".*@example\\.com", "bob@Example.Com"));
  EXPECT_FALSE(Regex(".*@example\\.com", "bob@example-com"));
  EXPECT_FALSE(Regex("bob", "bobby"));  // the whole alias
  EXPECT_TRUE(Regex("\\d{4}@.*", "1234@x"));
  EXPECT_FALSE(Regex("\\d{4}@.*", "123@x"));
  EXPECT_TRUE(Regex("(a|bc)*d?", "abcad"));
  EXPECT_TRUE(Regex("(a|bc)*d?", ""));
  EXPECT_TRUE(Regex("[^@]+@[a-z0-9.-]+", "x.y@a-1.b"));
  EXPECT_FALSE(Regex("[^@]+@[a-z0-9.-]+", "x@y@z"));
  EXPECT_TRUE(Regex("[]x]+", "]x"));
  EXPECT_TRUE(Regex("a{2,3}", "aaa"));
  EXPECT_FALSE(Regex("a{2,3}", "aaaa"));
  EXPECT_TRUE(Regex("a{2,}", "aaaaaaa"));
  EXPECT_TRUE(Regex("a{0}b", "b"));
  EXPECT_TRUE(Regex("^a$|^b$", "b"));
  EXPECT_FALSE(Regex("a^b", "ab"));
  EXPECT_TRUE(Regex("(?:\\w|-)+\\s?", "a_1-b "));
  EXPECT_TRUE(Regex("((a*)*)*b", "aaab"));
  EXPECT_TRUE(Regex("\\D\\W\\S", "a@b"));
}

TEST_F(PatternTest, NotBeginningLikeThat) {
  const char* pattern = "(?!.*@example\\.com$).*";
  EXPECT_FALSE(Regex(pattern, "bob@example.com"));
  EXPECT_TRUE(Regex(pattern, "bob@example.org"));
  EXPECT_TRUE(Regex(pattern, "bob@example.com.evil.org"));
  EXPECT_FALSE(Regex("(?!9|0).*", "0123"));
  EXPECT_TRUE(Regex("(?!9|0).*", "123"));
  EXPECT_EQ(Changed(PatternType::kRegex, "(?!9)(.).*", PatternBehavior::kReplace, "\\1", "123"),
            "1");
}

TEST_F(PatternTest, Behaviours) {
  using enum PatternBehavior;
  EXPECT_EQ(Changed(PatternType::kPrefix, "9", kStrip, "", "9123@x"), "123@x");
  EXPECT_EQ(Changed(PatternType::kPrefix, "9", kReplace, "+44", "9123@x"), "+44123@x");
  EXPECT_EQ(Changed(PatternType::kSuffix, "@a.b", kReplace, "@c.d", "x@A.B"), "x@c.d");
  EXPECT_EQ(Changed(PatternType::kSuffix, "@a.b", kStrip, "", "x@a.b"), "x");
  EXPECT_EQ(Changed(PatternType::kExact, "x@y", kReplace, "z@y", "X@Y"), "z@y");
  EXPECT_EQ(Changed(PatternType::kExact, "x@y", kLeave, "", "X@Y"), "X@Y");
  EXPECT_EQ(Changed(PatternType::kRegex, "(\\d+)@(.*)", kReplace, "\\2-\\1@z\\\\\\0", "12@ab"),
            "ab-12@z\\12@ab");
  EXPECT_EQ(Changed(PatternType::kRegex, "(a)|(b)", kReplace, "[\\1\\2]", "b"), "[b]");
  // The first alternative and the longest repetition are preferred; with '?' the shortest.
  EXPECT_EQ(Changed(PatternType::kRegex, "(a*)(a*)", kReplace, "\\1.\\2", "aaa"), "aaa.");
  EXPECT_EQ(Changed(PatternType::kRegex, "(a*?)(a*)", kReplace, "\\1.\\2", "aaa"), ".aaa");
  EXPECT_EQ(Changed(PatternType::kRegex, ".", kReplace, std::string(120, 'x'), "a").size(), 120u);
  // Twice 200 characters do not fit into an alias.
  EXPECT_EQ(Changed(PatternType::kRegex, ".*", kReplace, "\\0\\0", std::string(200, 'a')),
            "(none)");
}

TEST_F(PatternTest, RefusesWhatItCannotDo) {
  EXPECT_EQ(Refused(""), ErrorCode::kMalformed);
  for (const char* bad : {"(", ")", "a)", "(a", "[a", "[", "*a", "a**", "a|*", "a{", "a{2", "a{,3}",
                          "\\", "[\\", "[z-a]", "(?!a", "a{x}"}) {
    EXPECT_EQ(Refused(bad), ErrorCode::kMalformed) << bad;
  }
  EXPECT_EQ(Refused("(a)\\1"), ErrorCode::kUnsupported);
  EXPECT_EQ(Refused("a(?!b)"), ErrorCode::kUnsupported);
  EXPECT_EQ(Refused("(?<=a)b"), ErrorCode::kUnsupported);
  EXPECT_EQ(Refused("a{3,2}"), ErrorCode::kTooLarge);
}

TEST_F(PatternTest, LimitsAtTheirEdges) {
  EXPECT_EQ(Refused(std::string(kPatternBytesMax, 'a')), ErrorCode::kOk);
  EXPECT_EQ(Refused(std::string(kPatternBytesMax + 1, 'a')), ErrorCode::kTooLarge);
  EXPECT_EQ(Refused("a{100}"), ErrorCode::kOk);
  EXPECT_EQ(Refused("a{101}"), ErrorCode::kTooLarge);
  static_assert(kRepeatMax == 100);
  // What \0 to \9 can name is nine groups and the whole; a tenth group matches all the same.
  std::string groups;
  for (uint32_t i = 0; i < kGroupMax + 1; ++i) {
    groups += "(a)";
  }
  EXPECT_TRUE(Regex(groups, std::string(kGroupMax + 1, 'a')));
  const std::string open(kNestingMax, '(');
  const std::string close(kNestingMax, ')');
  EXPECT_EQ(Refused(open + "a" + close), ErrorCode::kOk);
  EXPECT_EQ(Refused("(" + open + "a" + close + ")"), ErrorCode::kTooLarge);
  // kInstructionMax - 1 and the match at the end: 5 x 100 + 11 = 511.
  EXPECT_EQ(Refused("(?:aaaaa){100}aaaaaaaaaaa"), ErrorCode::kOk);
  EXPECT_EQ(Refused("(?:aaaaa){100}aaaaaaaaaaaa"), ErrorCode::kTooLarge);
  EXPECT_EQ(Refused("(?!(?:aaaaa){100}aaaaaaaaaa)"), ErrorCode::kOk);
  EXPECT_EQ(Refused("(?!(?:aaaaa){100}aaaaaaaaaaa)"), ErrorCode::kTooLarge);
  EXPECT_TRUE(Regex(".*", std::string(kAliasBytesMax, 'a')));
  EXPECT_FALSE(Regex(".*", std::string(kAliasBytesMax + 1, 'a')));
}

TEST_F(PatternTest, AFullStoreRefuses) {
  PatternStore small(arena_, 10, 1);
  EXPECT_TRUE(Pattern::Compile(small, PatternType::kRegex, "[ab]cde").ok());
  EXPECT_EQ(Pattern::Compile(small, PatternType::kRegex, "[ab]").code(), ErrorCode::kExhausted);
  EXPECT_EQ(Pattern::Compile(small, PatternType::kRegex, "abcdef").code(), ErrorCode::kExhausted);
  EXPECT_TRUE(Pattern::Compile(small, PatternType::kRegex, "abcd").ok());
}

TEST_F(PatternTest, KeysRuleOutWhatCannotMatch) {
  struct Case {
    PatternType type;
    const char* pattern;
    const char* may;
    const char* may_not;
  };
  for (const Case& one : {Case{PatternType::kExact, "bob@a", "BOB@A", "bob@b"},
                          Case{PatternType::kExact, "bob@a", "bob@a", "bob@aa"},
                          Case{PatternType::kPrefix, "bob", "Bobby@a", "bo"},
                          Case{PatternType::kPrefix, "bob", "bob", "rob@bob"},
                          Case{PatternType::kSuffix, "@a.com", "bob@A.com", "bob@a.co"},
                          Case{PatternType::kSuffix, "@a.com", "@a.com", "@a.com.org"},
                          Case{PatternType::kRegex, ".*@A\\.com", "x@a.com", "x@b.com"},
                          Case{PatternType::kRegex, "90(\\d+)", "90x", "91"},
                          Case{PatternType::kRegex, "^(90)*", "", nullptr},
                          Case{PatternType::kRegex, "(.*)@a1.b.com", "x@a1.b.com", "x@a2.b.com"},
                          Case{PatternType::kRegex, "(.*)@(a1.*)", "x@a1", nullptr},
                          Case{PatternType::kRegex, ".bob\\d@a", "xBob1@b", "xbab1@a"},
                          Case{PatternType::kRegex, "a(b|c)d", "acd", "acb"},
                          Case{PatternType::kRegex, "(?:ab)+c", "ababc", "xbc"},
                          Case{PatternType::kRegex, "(?!90)9\\d", "90", "8"}}) {
    const PatternKey key = KeyOf(one.type, one.pattern);
    EXPECT_TRUE(AliasSums(one.may).MayMatch(key)) << one.pattern;
    EXPECT_FALSE(one.may_not != nullptr && AliasSums(one.may_not).MayMatch(key)) << one.pattern;
  }
  const std::string longest(kAliasBytesMax, 'a');
  EXPECT_TRUE(AliasSums(longest).MayMatch(KeyOf(PatternType::kPrefix, "aaa")));
  EXPECT_FALSE(AliasSums(longest).MayMatch(KeyOf(PatternType::kSuffix, "b")));
}

// What takes a backtracking matcher longer than the universe has.
TEST_F(PatternTest, HostilePatternsTakeLinearTime) {
  const auto begin = std::chrono::steady_clock::now();
  const std::string alias(kAliasBytesMax - 1, 'a');
  EXPECT_FALSE(Regex("(a*)*b", alias));
  EXPECT_FALSE(Regex("(a|a)*(a|aa)*b", alias));
  EXPECT_FALSE(Regex("(((a?){20}){2})*b", alias));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

// The same verdict as the standard library's, over small alphabets.
TEST_F(PatternTest, AgreesWithStdRegex) {
  std::mt19937 random(7);
  const char* pieces[] = {"a", "b", ".", "[ab]", "[^a]", "(a|b)", "(ab|)", "(?:ba)", "\\d"};
  const char* repeats[] = {"", "", "", "*", "+", "?", "{2}", "{1,2}", "{0,1}", "*?"};
  uint32_t matched = 0;
  uint32_t ruled_out = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string pattern;
    const auto count = 1 + random() % 4;
    for (uint32_t i = 0; i < count; ++i) {
      pattern += pieces[random() % std::size(pieces)];
      pattern += repeats[random() % std::size(repeats)];
      if (random() % 8 == 0 && i + 1 < count) {
        pattern += "|";
      }
    }
    std::string alias;
    for (auto size = random() % 6; size > 0; --size) {
      alias += "ab1"[random() % 3];
    }
    const bool expected = std::regex_match(alias, std::regex(pattern));
    EXPECT_EQ(Regex(pattern, alias), expected) << pattern << " on " << alias;
    matched += expected ? 1 : 0;
    const bool is_ruled_out = !AliasSums(alias).MayMatch(KeyOf(PatternType::kRegex, pattern));
    EXPECT_FALSE(expected && is_ruled_out) << pattern << " on " << alias;
    ruled_out += is_ruled_out ? 1 : 0;
  }
  EXPECT_GT(matched, 300u);
  EXPECT_GT(ruled_out, 500u);
}

}  // namespace
}  // namespace gh::dialplan
