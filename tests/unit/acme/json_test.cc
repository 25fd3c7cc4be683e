// The reader of JSON: what it finds, what it refuses, its limits at their edges.
#include "firmware/acme/json.h"

#include <gtest/gtest.h>

#include <string>

namespace gh::acme {
namespace {

std::string TextOf(const Json& json, Json::Node node) {
  uint8_t bytes[64];
  ByteWriter out(bytes);
  return json.Text(node, out) ? std::string(out.text()) : "(none)";
}

TEST(Json, FindsMembersOfObjectsAndArrays) {
  static Json json;
  ASSERT_TRUE(json.Parse(R"( {"a" : "one", "list":["x", {"deep":true}, -1.5e+3], "n":null,
                             "empty":{}, "none":[]} )")
                  .ok());
  const auto root = json.root();
  EXPECT_EQ(TextOf(json, json.Find(root, "a")), "one");
  EXPECT_EQ(json.kind(json.Find(root, "n")), Json::Kind::kNull);
  EXPECT_EQ(json.Find(root, "missing"), Json::kNothing);
  const auto list = json.Find(root, "list");
  auto at = json.First(list);
  EXPECT_TRUE(json.Is(at, "x"));
  at = json.Next(at);
  EXPECT_TRUE(json.IsTrue(json.Find(at, "deep")));
  at = json.Next(at);
  EXPECT_EQ(json.kind(at), Json::Kind::kNumber);
  EXPECT_EQ(json.Next(at), Json::kNothing);
  EXPECT_EQ(json.First(json.Find(root, "empty")), Json::kNothing);
  EXPECT_EQ(json.First(json.Find(root, "none")), Json::kNothing);
  EXPECT_EQ(json.Find(list, "a"), Json::kNothing);  // not an object
  EXPECT_EQ(json.Find(Json::kNothing, "a"), Json::kNothing);
}

TEST(Json, DecodesEscapes) {
  static Json json;
  ASSERT_TRUE(json.Parse(R"(["\"\\\/\b\f\n\r\t", "\u0041\u00e9\u20ac", "\ud83d\ude00"])").ok());
  auto at = json.First(json.root());
  EXPECT_EQ(TextOf(json, at), "\"\\/\b\f\n\r\t");
  at = json.Next(at);
  EXPECT_EQ(TextOf(json, at), "A\xc3\xa9\xe2\x82\xac");
  EXPECT_EQ(TextOf(json, json.Next(at)), "\xf0\x9f\x98\x80");
}

TEST(Json, RefusesWhatIsNone) {
  static Json json;
  for (const char* text :
       {"",         " ",         "{",         "}",           "[1,]",        "[,1]",
        "{\"a\":}", "{\"a\" 1}", "{a:1}",     "{\"a\":1,}",  "[1 2]",       "\"open",
        "\"a\nb\"", "\"\\x\"",   "\"\\u12\"", "\"\\ud800\"", "\"\\udc00\"", "\"\\ud800\\u0041\"",
        "01",       "-",         "1.",        ".5",          "1e",          "+1",
        "tru",      "nulls",     "{} {}",     "[1]]",        "'a'",         "/* */ 1",
        "{\"a\":1]"}) {
    EXPECT_EQ(json.Parse(text).code(), ErrorCode::kMalformed) << text;
    EXPECT_EQ(json.root(), Json::kNothing);
  }
  for (const char* text : {"0", "-0.5", "10e5", "1E-2", "true", "\"\"", "{}", "[[],{}]"}) {
    EXPECT_TRUE(json.Parse(text).ok()) << text;
  }
}

TEST(Json, ItsLimitsHoldAtTheEdge) {
  static Json json;
  EXPECT_TRUE(json.Parse(std::string(kJsonDepthMax, '[') + std::string(kJsonDepthMax, ']')).ok());
  EXPECT_EQ(
      json.Parse(std::string(kJsonDepthMax + 1, '[') + std::string(kJsonDepthMax + 1, ']')).code(),
      ErrorCode::kTooLarge);
  std::string full = "[0";
  for (uint32_t i = 2; i < kJsonNodesMax; ++i) {
    full += ",0";
  }
  EXPECT_TRUE(json.Parse(full + "]").ok());
  EXPECT_EQ(json.Parse(full + ",0]").code(), ErrorCode::kTooLarge);
  const std::string fits = "\"" + std::string(64, 'x') + "\"";
  ASSERT_TRUE(json.Parse(fits).ok());
  EXPECT_EQ(TextOf(json, json.root()).size(), 64u);
  const std::string longer = "\"" + std::string(65, 'x') + "\"";
  ASSERT_TRUE(json.Parse(longer).ok());
  EXPECT_EQ(TextOf(json, json.root()), "(none)");
}

}  // namespace
}  // namespace gh::acme
