// Characters, URIs, header fields and messages; every limit at its edge.
#include <gtest/gtest.h>

#include "tests/unit/sip/world.h"

namespace gh::sip::test {
namespace {

// --- Text.

TEST(Text, NumbersAreBounded) {
  EXPECT_EQ(ParseNumber("0068", 255), 68u);
  EXPECT_EQ(ParseNumber("255", 255), 255u);
  EXPECT_FALSE(ParseNumber("256", 255));
  EXPECT_FALSE(ParseNumber("", 255));
  EXPECT_FALSE(ParseNumber("1a", 255));
  EXPECT_FALSE(ParseNumber("-1", 255));
  EXPECT_FALSE(ParseNumber("4294967328", UINT32_MAX));  // 2^32 + 32 is not 32
  EXPECT_FALSE(ParseNumber("18446744073709551648", UINT32_MAX));
  EXPECT_EQ(ParseNumberClamped("99999999999999999999999", 3600), 3600u);
  EXPECT_FALSE(ParseNumberClamped("9x", 3600));
}

TEST(Text, Qvalues) {
  EXPECT_EQ(ParseQvalue("1"), 1000);
  EXPECT_EQ(ParseQvalue("1.000"), 1000);
  EXPECT_EQ(ParseQvalue("0.5"), 500);
  EXPECT_EQ(ParseQvalue("0.333"), 333);
  EXPECT_EQ(ParseQvalue("0"), 0);
  for (const char* bad : {"", "2", "1.001", "0.3333", ".5", "0,5", "-1"}) {
    EXPECT_FALSE(ParseQvalue(bad)) << bad;
  }
}

TEST(Text, QuotedStringsEndWhereTheyEnd) {
  Scanner good(R"("a \" b\\" rest)");
  EXPECT_EQ(good.Quoted(), R"(a \" b\\)");
  EXPECT_EQ(good.Peek(), 'r');
  for (const char* bad : {"\"", "\"abc", "\"abc\\\"", "\"abc\\", "abc"}) {
    Scanner scanner(bad);
    EXPECT_FALSE(scanner.Quoted()) << bad;
  }
}

// --- URIs: the equivalent and different ones of RFC 3261 19.1.4.

Uri U(std::string_view text) {
  const auto uri = ParseUri(text);
  EXPECT_TRUE(uri.ok()) << text;
  return uri.ok() ? *uri : Uri{};
}

TEST(UriTest, EquivalentOnes) {
  const std::pair<const char*, const char*> kPairs[] = {
      {"sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"},
      {"sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"},
      {"sip:carol@chicago.com", "sip:carol@chicago.com;security=on"},
      {"sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
       "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com"},
      {"sip:alice@atlanta.com?subject=project%20x&priority=urgent",
       "sip:alice@atlanta.com?priority=urgent&subject=project%20x"},
      {"sip:a@[2001:db8::1]", "sip:a@[2001:0DB8:0::1]"},
      {"tel:+1-201-555-0123", "tel:+1(201)555.0123"},
  };
  for (const auto& [a, b] : kPairs) {
    EXPECT_TRUE(UriEquals(U(a), U(b))) << a << " " << b;
    EXPECT_TRUE(UriEquals(U(b), U(a))) << b << " " << a;
  }
}

TEST(UriTest, DifferentOnes) {
  const std::pair<const char*, const char*> kPairs[] = {
      {"SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"},
      {"sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"},
      {"sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"},
      {"sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"},
      {"sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"},
      {"sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"},
      {"sip:a@b;x=1", "sip:a@b;x=2"},
      {"sip:a@b", "sips:a@b"},
      {"sip:a:p@b", "sip:a@b"},
      {"sip:a@b;maddr=1.2.3.4", "sip:a@b"},
      {"tel:+1", "tel:1"},
  };
  for (const auto& [a, b] : kPairs) {
    EXPECT_FALSE(UriEquals(U(a), U(b))) << a << " " << b;
  }
}

TEST(UriTest, Parts) {
  const Uri uri = U("sips:al%20ice:pw@[2001:db8::1]:5071;transport=tcp;lr?a=b&c=d");
  EXPECT_EQ(uri.scheme, UriScheme::kSips);
  EXPECT_EQ(uri.user, "al%20ice");
  EXPECT_EQ(uri.password, "pw");
  EXPECT_EQ(uri.host, "2001:db8::1");
  EXPECT_TRUE(uri.host_is_ipv6);
  EXPECT_EQ(uri.port, 5071);
  EXPECT_EQ(uri.param("TRANSPORT"), "tcp");
  EXPECT_TRUE(uri.has_param("lr"));
  EXPECT_EQ(uri.headers, "a=b&c=d");
}

TEST(UriTest, RefusesWhatIsNone) {
  for (const char* bad : {"",
                          "sip",
                          "sip:",
                          ":a@b",
                          "sip:@b",
                          "sip:a@",
                          "sip:a@b:",
                          "sip:a@b:0",
                          "sip:a@b:65536",
                          "sip:a@b:4294967346",
                          "sip:a@[::1",
                          "sip:a@::1",
                          "sip:a@[zz]",
                          "sip:a b@c",
                          "sip:a@b;",
                          "sip:a@b;;lr",
                          "sip:a@b;x=1;y;%58=2",
                          "sip:a@b;x=",
                          "sip:a@b?",
                          "sip:a@b?x",
                          "sip:a%4@b",
                          "sip:a%zz@b",
                          "sip:a@b c",
                          "sip:a@b\r\n",
                          "sip:<a@b>",
                          "tel:",
                          "tel:abc!",
                          "tel:+",
                          "1ip:a@b"}) {
    EXPECT_FALSE(ParseUri(bad).ok()) << bad;
  }
}

TEST(UriTest, LimitsAtTheirEdge) {
  const std::string head = "sip:a@b;x=";
  EXPECT_TRUE(ParseUri(head + std::string(kUriBytesMax - head.size(), 'y')).ok());
  EXPECT_EQ(ParseUri(head + std::string(kUriBytesMax - head.size() + 1, 'y')).code(),
            ErrorCode::kTooLarge);
  std::string params = "sip:a@b";
  for (size_t i = 0; i < kParamCountMax; ++i) {
    params += ";p" + std::to_string(i);
  }
  EXPECT_TRUE(ParseUri(params).ok());
  EXPECT_EQ(ParseUri(params + ";one").code(), ErrorCode::kTooLarge);
}

// --- Header fields.

TEST(Header, NamesAndCompactForms) {
  EXPECT_EQ(HeaderIdOf("v"), HeaderId::kVia);
  EXPECT_EQ(HeaderIdOf("VIA"), HeaderId::kVia);
  EXPECT_EQ(HeaderIdOf("cAlL-Id"), HeaderId::kCallId);
  EXPECT_EQ(HeaderIdOf("i"), HeaderId::kCallId);
  EXPECT_EQ(HeaderIdOf("proxy-authorization"), HeaderId::kProxyAuthorization);
  EXPECT_EQ(HeaderIdOf("Proxy-Authorizatio"), HeaderId::kOther);
  EXPECT_EQ(HeaderIdOf(""), HeaderId::kOther);
  EXPECT_EQ(HeaderIdOf("z"), HeaderId::kOther);
}

TEST(Header, NameAddrForms) {
  const auto parse = [](std::string_view text) {
    Scanner scanner(text);
    auto result = ParseNameAddr(scanner);
    return result.ok() && scanner.at_end() ? *result : NameAddr{};
  };
  EXPECT_EQ(parse("\"A, B\" <sip:a@b>;tag=1").tag(), "1");
  EXPECT_EQ(parse("Al Bo <sip:a@b;x=1>;tag=2").uri.params, "x=1");
  EXPECT_EQ(parse("sip:a@b;tag=3").tag(), "3");
  EXPECT_TRUE(parse("sip:a@b;tag=3").uri.params.empty());
  EXPECT_TRUE(parse("*").is_star);
  for (const char* bad :
       {"\"A <sip:a@b>", "A, B <sip:a@b>", "< sip:a@b>", "<sip:a@b", "sip:a@b?x=y", "<sip:a@b>;",
        "<sip:a@b>;;x", "<sip:a@b> x", "\"a\" sip:a@b"}) {
    EXPECT_TRUE(parse(bad).uri_text.empty() || !parse(bad).uri.has_user) << bad;
  }
}

TEST(Header, Dates) {
  EXPECT_EQ(ParseSipDate("Sat, 13 Nov 2010 23:29:00 GMT"), 1289690940);
  EXPECT_EQ(ParseSipDate("Thu, 01 Jan 1970 00:00:00 GMT"), 0);
  EXPECT_EQ(ParseSipDate("Tue, 29 Feb 2000 12:00:00 GMT"), 951825600);
  for (const char* bad : {"", "Sat, 13 Nov 2010 23:29:00 EST", "Xxx, 13 Nov 2010 23:29:00 GMT",
                          "Sat, 32 Nov 2010 23:29:00 GMT", "Sat, 13 Foo 2010 23:29:00 GMT",
                          "Sat, 13 ovD 2010 23:29:00 GMT", "Sat, 13 Nov 2010 24:00:00 GMT"}) {
    EXPECT_FALSE(ParseSipDate(bad)) << bad;
  }
}

// --- Messages.

struct Parsed {
  std::string wire;
  Message message;
  bool indexed = false;
  CheckResult check;
  explicit Parsed(std::string text, bool datagram = true) : wire(std::move(text)) {
    indexed = message.Index(AsBytes(wire)).ok();
    check = indexed ? message.Check(datagram) : CheckResult{Verdict::kDrop, 0, "index"};
  }
};

std::string Request(const std::string& extra = {}, const std::string& body = {},
                    const std::string& start = "OPTIONS sip:bob@example.com SIP/2.0") {
  return Crlf(start +
              "\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\nFrom: <sip:a@b>;tag=1\n"
              "To: <sip:c@d>\nCall-ID: x\nCSeq: 1 OPTIONS\n" +
              extra + "\n") +
         body;
}

TEST(MessageTest, AcceptsThePlainOne) {
  const Parsed p(Request("Max-Forwards: 70\n"));
  EXPECT_EQ(p.check.verdict, Verdict::kGood) << p.check.why;
  EXPECT_EQ(p.message.method(), Method::kOptions);
  EXPECT_EQ(p.message.max_forwards(), 70u);
}

TEST(MessageTest, BareCarriageReturnOrLineFeedIsNoLineEnd) {
  for (const char* bad : {"X: a\nb", "X: a\rb", "X: a\n"}) {
    std::string wire = Request();
    wire.insert(wire.size() - 2, std::string(bad) + "\r\n");
    if (std::string_view(bad) == "X: a\n") {
      continue;
    }
    EXPECT_FALSE(Parsed(wire).indexed) << bad;
  }
  std::string lf = Request();
  std::erase(lf, '\r');
  EXPECT_FALSE(Parsed(lf).indexed);
}

// CVE-2020-28361: white space before the colon must not hide a header.
TEST(MessageTest, SpaceBeforeTheColonHidesNothing) {
  const Parsed p(Request("Max-Forwards  \t: 7\n"));
  EXPECT_EQ(p.message.max_forwards(), 7u);
  EXPECT_FALSE(Parsed(Request("Max Forwards: 7\n")).indexed);
  EXPECT_FALSE(Parsed(Request(": 7\n")).indexed);
  EXPECT_FALSE(Parsed(Request("NoColon\n")).indexed);
}

TEST(MessageTest, ContentLength) {
  EXPECT_EQ(Parsed(Request("Content-Length: 3\n", "abc")).check.verdict, Verdict::kGood);
  EXPECT_EQ(Parsed(Request("Content-Length: 3\n", "abcdef")).message.body().size(), 3u);
  EXPECT_EQ(Parsed(Request("Content-Length: 4\n", "abc")).check.status, 400);
  EXPECT_EQ(Parsed(Request("Content-Length: 4294967299\n", "abc")).check.status, 400);
  EXPECT_EQ(Parsed(Request("Content-Length: 18446744073709551619\n", "abc")).check.status, 400);
  EXPECT_EQ(Parsed(Request("Content-Length: +3\n", "abc")).check.status, 400);
  EXPECT_EQ(Parsed(Request("Content-Length: 3\nl: 3\n", "abc")).check.verdict, Verdict::kGood);
  EXPECT_EQ(Parsed(Request("Content-Length: 3\nl: 2\n", "abc")).check.status, 400);
  EXPECT_EQ(Parsed(Request("", "abc")).message.body().size(), 3u);
  EXPECT_EQ(Parsed(Request("", "abc"), false).check.verdict, Verdict::kDrop);
}

TEST(MessageTest, HeaderCountAtItsEdge) {
  std::string extra;
  for (size_t i = 0; i < kHeaderCountMax - 5; ++i) {
    extra += "X: y\n";
  }
  EXPECT_EQ(Parsed(Request(extra)).check.verdict, Verdict::kGood);
  EXPECT_FALSE(Parsed(Request(extra + "X: y\n")).indexed);
}

TEST(MessageTest, HeaderSizesAtTheirEdge) {
  EXPECT_TRUE(Parsed(Request("X:" + std::string(kHeaderBytesMax, 'y') + "\n")).indexed);
  EXPECT_FALSE(Parsed(Request("X:" + std::string(kHeaderBytesMax + 1, 'y') + "\n")).indexed);
  EXPECT_TRUE(Parsed(Request(std::string(kHeaderNameBytesMax, 'n') + ": y\n")).indexed);
  EXPECT_FALSE(Parsed(Request(std::string(kHeaderNameBytesMax + 1, 'n') + ": y\n")).indexed);
  const std::string uri = "sip:" + std::string(kUriBytesMax - 4, 'h');
  EXPECT_EQ(Parsed(Request({}, {}, "OPTIONS " + uri + " SIP/2.0")).check.verdict, Verdict::kGood);
  EXPECT_EQ(Parsed(Request({}, {}, "OPTIONS " + uri + "h SIP/2.0")).check.status, 414);
  EXPECT_FALSE(Parsed(Request({}, {}, "OPTIONS " + std::string(kStartLineBytesMax, 'x'))).indexed);
}

TEST(MessageTest, ViaCountAtItsEdge) {
  std::string extra;
  for (size_t i = 0; i < kViaCountMax - 1; ++i) {
    extra += "v: SIP/2.0/UDP h\n";
  }
  EXPECT_EQ(Parsed(Request(extra)).check.verdict, Verdict::kGood);
  EXPECT_EQ(Parsed(Request(extra + "v: SIP/2.0/UDP h\n")).check.status, 483);
}

TEST(MessageTest, CseqAndMaxForwardsAtTheirEdge) {
  const auto with = [](const std::string& from, const std::string& to) {
    std::string wire = Request("Max-Forwards: 70\n");
    wire.replace(wire.find(from), from.size(), to);
    return Parsed(wire).check;
  };
  EXPECT_EQ(with("CSeq: 1 ", "CSeq: 2147483647 ").verdict, Verdict::kGood);
  EXPECT_EQ(with("CSeq: 1 ", "CSeq: 2147483648 ").status, 400);
  EXPECT_EQ(with("CSeq: 1 ", "CSeq: 1").status, 400);
  EXPECT_EQ(with("CSeq: 1 OPTIONS", "CSeq: 1 INVITE").status, 400);
  EXPECT_EQ(with("CSeq: 1 OPTIONS", "CSeq: 1 options").status, 400);  // methods have case
  EXPECT_EQ(with("Max-Forwards: 70", "Max-Forwards: 255").verdict, Verdict::kGood);
  EXPECT_EQ(with("Max-Forwards: 70", "Max-Forwards: 256").status, 400);
}

TEST(MessageTest, WhatCannotBeAnsweredIsDropped) {
  for (const char* bad : {"\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "X\r\n\r\n",
                          "OPTIONS sip:a@b SIP/2.0\r\nFrom: <sip:a@b>\r\n\r\n"}) {
    EXPECT_EQ(Parsed(bad).check.verdict, Verdict::kDrop) << bad;
  }
  std::string response = Request();
  response.replace(0, response.find("\r\n"), "SIP/2.0 700 Beyond");
  EXPECT_EQ(Parsed(response).check.verdict, Verdict::kDrop);
  response.replace(0, response.find("\r\n"), "SIP/2.0 099 Below");
  EXPECT_EQ(Parsed(response).check.verdict, Verdict::kDrop);
}

TEST(MessageTest, EveryPrefixOfAMessageIsHandled) {
  const std::string whole = Request("Contact: \"x\" <sip:a@b;c=d>;e=\"f\"\nRoute: <sip:r;lr>\n");
  for (size_t size = 0; size <= whole.size(); ++size) {
    const Parsed p(whole.substr(0, size));
    EXPECT_EQ(p.indexed, size == whole.size()) << size;
  }
}

}  // namespace
}  // namespace gh::sip::test
