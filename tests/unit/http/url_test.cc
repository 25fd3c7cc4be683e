// URLs: what is taken, what is refused, and where redirections lead.
#include "net/http/url.h"

#include <gtest/gtest.h>

#include <string>

namespace gh::net {
namespace {

TEST(HttpsUrl, TakesApart) {
  struct Case {
    const char* text;
    const char* host;
    uint16_t port;
    const char* target;
  };
  for (const Case& c : {
           Case{"https://a.example", "a.example", 443, "/"},
           Case{"HTTPS://A.example:8443/x/y?z=1#part", "A.example", 8443, "/x/y?z=1"},
           Case{"https://192.0.2.1/f.update", "192.0.2.1", 443, "/f.update"},
           Case{"https://[2001:db8::1]:444/f", "2001:db8::1", 444, "/f"},
           Case{"https://a.example?q", "a.example", 443, "/?q"},
       }) {
    const auto url = HttpsUrl::Parse(c.text);
    ASSERT_TRUE(url.ok()) << c.text << ": " << url.error().what;
    EXPECT_EQ(url.value().host, c.host);
    EXPECT_EQ(url.value().port, c.port);
    EXPECT_EQ(url.value().target, c.target);
  }
}

TEST(HttpsUrl, Refuses) {
  for (const char* text :
       {"", "http://a.example/", "https:/a", "https://", "https:///x", "https://u@a.example/",
        "https://a.example:0/", "https://a.example:65536/", "https://a.example:/",
        "https://a.example:4x/", "https://a b/", "https://[::1/", "https://[1.2.3.4]/",
        "https://[::1]x/", "https://a.example/a b", "https://a.example/\r\nHost: x",
        "ftp://a.example/"}) {
    EXPECT_FALSE(HttpsUrl::Parse(text).ok()) << text;
  }
}

TEST(HttpsUrl, LengthAtTheEdge) {
  const std::string head = "https://a.example";
  const std::string fits = head + "/" + std::string(kHttpUrlMax - head.size() - 1, 'x');
  EXPECT_TRUE(HttpsUrl::Parse(fits).ok());
  EXPECT_EQ(HttpsUrl::Parse(fits + "x").code(), ErrorCode::kTooLarge);
  EXPECT_TRUE(HttpsUrl::Parse("https://" + std::string(kDnsNameMax, 'a')).ok());
  EXPECT_EQ(HttpsUrl::Parse("https://" + std::string(kDnsNameMax + 1, 'a')).code(),
            ErrorCode::kTooLarge);
}

TEST(HttpsUrl, Follows) {
  const auto from = HttpsUrl::Parse("https://a.example:444/x/y");
  ASSERT_TRUE(from.ok());
  const auto path = from.value().Follow("/z?1");
  ASSERT_TRUE(path.ok());
  EXPECT_EQ(path.value().host, "a.example");
  EXPECT_EQ(path.value().port, 444);
  EXPECT_EQ(path.value().target, "/z?1");
  const auto other = from.value().Follow("https://b.example/");
  ASSERT_TRUE(other.ok());
  EXPECT_EQ(other.value().host, "b.example");
  EXPECT_EQ(other.value().port, 443);
  EXPECT_FALSE(from.value().Follow("http://a.example/").ok());
  EXPECT_FALSE(from.value().Follow("//b.example/").ok());
  EXPECT_FALSE(from.value().Follow("").ok());
}

}  // namespace
}  // namespace gh::net
