// Addresses: what is the same, what is none, and how long one may be.
#include "firmware/xmpp/address.h"

#include <gtest/gtest.h>

#include <string>

#include "firmware/xmpp/unicode.h"

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
  for (const char* text :
       {"", "@example.com", "a@", "/res", "a@example.com/", "\"juliet\"@example.com",
        "foo bar@example.com", "henry\xE2\x85\xA3@example.com", "\xE2\x99\x9A@example.com",
        "a@b@example.com", "a b@example.com", "a@ex ample.com", "a@-example.com", "a@ex..com",
        "a@example.com/\x01", "a@example.com/\xC0\x80", "a@example.com/\xED\xA0\x80",
        "a\xE2\x80\x8B@example.com",      // zero width
        "\xD9\xA1\xDB\xB1@example.com"})  // digits of two kinds
  {
    EXPECT_EQ(Full(text), "none") << text;
  }
  EXPECT_NE(Full("\xD8\xA7\xD9\xA1\xD9\xA2@example.com"), "none");
  EXPECT_NE(Full("a@example.com/\xE2\x99\x9A"), "none");  // a resource may be a chess king
}

// However it was typed, it is one address (RFC 8265 section 3.3, UAX 15).
TEST(XmppAddress, IsBroughtIntoFormC) {
  EXPECT_EQ(Full("Andre\u0301@example.com"), "andr\u00E9@example.com");
  EXPECT_EQ(Full("a@example.com/e\u0301"), "a@example.com/\u00E9");
  // Marks in any order, a mark that comes late, one that stands alone for two.
  EXPECT_EQ(Full("o\u0323\u0302@example.com"), "\u1ED9@example.com");
  EXPECT_EQ(Full("\u00F4\u0323@example.com"), "\u1ED9@example.com");
  EXPECT_EQ(Full("\u212B@example.com"), "\u00E5@example.com");              // the sign of Angstrom
  EXPECT_EQ(Full("\u0130@example.com"), "i\u0307@example.com");             // a capital of two
  EXPECT_EQ(Full("\u1112\u1161\u11AB@example.com"), "\uD55C@example.com");  // Hangul
  EXPECT_EQ(Full("\uFF76\uFF9E@example.com"), "\u30AC@example.com");        // narrow Katakana
  EXPECT_EQ(Full("a@example.com/x\u00A0y"), "a@example.com/x y");
  // A mark that does not compose stays, and nothing composes across it.
  EXPECT_EQ(Full("q\u0301@example.com"), "q\u0301@example.com");
  EXPECT_EQ(Full("a\u0327\u0301b@example.com"), "\u00E1\u0327b@example.com");
}

// RFC 5892 appendix A.
TEST(XmppAddress, SomeNeedTheirNeighbours) {
  const struct {
    const char* good;
    const char* bad;
  } cases[] = {{"l\u00B7l", "a\u00B7l"},
               {"\u0375\u03B1", "\u0375a"},
               {"\u05D0\u05F3", "a\u05F3"},
               {"\u30AB\u30FB", "a\u30FB"},
               {"\u0915\u094D\u200D\u0937", "\u0915\u200D\u0937"},
               {"\u0915\u094D\u200C\u0937", "\u0915\u200C\u0937"},
               {"\u0645\u06CC\u200C\u062E\u0648", "\u0648\u200C\u062E"}};  // Persian
  for (const auto& each : cases) {
    EXPECT_EQ(Full(std::string(each.good) + "@example.com"),
              std::string(each.good) + "@example.com");
    EXPECT_EQ(Full(std::string(each.bad) + "@example.com"), "none") << each.bad;
  }
}

// RFC 5893 section 2; a resource may be of all directions.
TEST(XmppAddress, GoesOneWay) {
  for (const char* good : {"\u05D0\u05D1", "\u0627\u0628", "\u05D01", "\u0627\u0661",
                           "\u05D0-\u05D1", "\u05D0\u05B0", "a1", "1"}) {
    EXPECT_NE(Full(std::string(good) + "@example.com"), "none") << good;
  }
  for (const char* bad :
       {"a\u05D0", "\u05D0a", "1\u05D0", "\u05D0-", "\u05D01\u0661", "\u05B0\u05D0"}) {
    EXPECT_EQ(Full(std::string(bad) + "@example.com"), "none") << bad;
  }
  EXPECT_NE(Full("a@example.com/a\u05D0"), "none");
  // One such label, and all labels are held to it.
  EXPECT_NE(Full("a@\u05D0.example"), "none");
  EXPECT_EQ(Full("a@\u05D0.1example"), "none");
  EXPECT_NE(Full("a@b.1example"), "none");
}

// What DNS has in place of a label is that label (RFC 7622 section 3.2.1).
TEST(XmppAddress, LabelsAreThemselves) {
  EXPECT_EQ(Full("a@xn--bcher-kva.example"), "a@b\u00FCcher.example");
  EXPECT_EQ(Full("a@XN--Bcher-KVA.example"), "a@b\u00FCcher.example");
  EXPECT_EQ(Full("a@B\u00DCCHER.example"), "a@b\u00FCcher.example");
  EXPECT_EQ(Full("xn--mgbh0fb.xn--kgbechtv"),
            "\u0645\u062B\u0627\u0644.\u0625\u062E\u062A\u0628\u0627\u0631");
  // What stands for nothing, or for what no label may be, stays.
  for (const char* text : {"xn--a", "xn--99999999", "xn--i-7iq.ws", "xn--abc-.example"}) {
    EXPECT_TRUE(Full(text) == text || Full(text) == "none") << text;
  }
  EXPECT_EQ(Full("xn--i-7iq.ws"), "xn--i-7iq.ws");
  EXPECT_EQ(Full("a--b.example"), "a--b.example");
  // Longer in DNS than in itself: the bound is that of what it is.
  const std::string label = std::string(45, 'a') + "\u00FC";
  const std::string domain = label + "." + label + "." + label + "." + label;
  FixedString<kDnsDomainMax> encoded;
  ASSERT_TRUE(DomainForDns(domain, encoded));
  EXPECT_TRUE(domain.size() <= kDomainMax && encoded.size() > kDomainMax);
  EXPECT_EQ(Full(encoded.view()), domain);
  EXPECT_EQ(Full("xn--akn--mgb"), "xn--akn--mgb");  // it would end with a hyphen
  EXPECT_EQ(Full("\u0301a.example"), "none");       // begins with a mark
  FixedString<kDnsDomainMax> out;
  ASSERT_TRUE(DomainForDns("b\u00FCcher.example", out));
  EXPECT_EQ(out.view(), "xn--bcher-kva.example");
  ASSERT_TRUE(DomainForDns("\u0645\u062B\u0627\u0644.x", out));
  EXPECT_EQ(out.view(), "xn--mgbh0fb.x");
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
  static_assert(kAddressMax == kBareMax + 1 + kResourceMax);
}

// A part is measured when it is prepared; what it is made of is bounded too.
TEST(XmppAddress, DecomposedLengthsAtTheirEdge) {
  const auto resource = [](uint32_t marks) {
    std::string text = "a@example.com/e";
    for (uint32_t i = 0; i < marks; ++i) {
      text += "\u0301";
    }
    return Full(text);
  };
  EXPECT_NE(resource((kResourceMax - 2) / 2 + 1), "none");
  EXPECT_EQ(resource((kResourceMax - 2) / 2 + 2), "none");
  CodeText codes;
  std::string text;
  for (uint32_t i = 0; i < kCodesMax / 2; ++i) {
    text += "\u00E9";  // two when it is taken apart
  }
  EXPECT_TRUE(codes.Read(text, PartKind::kResource));
  EXPECT_FALSE(codes.Read(text + "e", PartKind::kResource));
  // A label of 63 in DNS.
  FixedString<kLabelMax> label;
  std::string longest = "\u00FC";
  while (LabelForDns(longest + "a", label)) {
    longest += "a";
  }
  EXPECT_TRUE(LabelForDns(longest, label));
  EXPECT_EQ(label.size(), kLabelMax);
  EXPECT_NE(Full(longest + ".example"), "none");
  EXPECT_EQ(Full(longest + "a.example"), "none");
  FixedString<kDnsDomainMax> domain;
  std::string many = longest;
  for (int i = 0; i < 3; ++i) {
    many += "." + longest;
  }
  EXPECT_FALSE(DomainForDns(many, domain));  // four of 63, and dots
  EXPECT_TRUE(DomainForDns(many.substr(longest.size() + 1) + "." + std::string(60, 'b'), domain));
}

}  // namespace
}  // namespace gh::xmpp::test
