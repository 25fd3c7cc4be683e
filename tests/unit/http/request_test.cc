// HTTP requests: what is read, what is refused, limits at their edges.
#include "net/http_request.h"

#include <gtest/gtest.h>

#include <string>

namespace gh::net {
namespace {

ErrorCode CodeOf(const std::string& head) { return ParseHttpRequest(head).code(); }

TEST(HttpRequestTest, ReadsARequest) {
  const std::string text =
      "GET /metrics?a=b HTTP/1.1\r\nHost: edge:9100\r\nAccept: */*\r\n\r\nrest";
  const size_t size = HttpHeadSize(text);
  ASSERT_EQ(size, text.size() - 4);
  const auto request = ParseHttpRequest(std::string_view(text).substr(0, size));
  ASSERT_TRUE(request.ok());
  EXPECT_EQ(request->method, "GET");
  EXPECT_EQ(request->path, "/metrics");
  EXPECT_EQ(request->query, "a=b");
  EXPECT_EQ(request->host, "edge:9100");
  EXPECT_FALSE(request->has_body);
  EXPECT_EQ(HttpHeadSize("GET / HTTP/1.1\r\n"), 0u);
}

TEST(HttpRequestTest, SeesThatABodyFollows) {
  EXPECT_TRUE(ParseHttpRequest("POST / HTTP/1.1\r\ncontent-LENGTH: 5\r\n\r\n")->has_body);
  EXPECT_TRUE(ParseHttpRequest("POST / HTTP/1.1\r\nTransfer-Encoding: x\r\n\r\n")->has_body);
  EXPECT_FALSE(ParseHttpRequest("GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n")->has_body);
}

TEST(HttpRequestTest, SaysHowLongABodyIsAndWhatFollows) {
  const auto sized =
      ParseHttpRequest("POST / HTTP/1.1\r\nContent-Length: 517\r\nConnection: Close\r\n\r\n");
  ASSERT_TRUE(sized.ok());
  EXPECT_TRUE(sized->has_length && sized->closes && !sized->is_chunked);
  EXPECT_EQ(sized->length, 517u);
  EXPECT_TRUE(ParseHttpRequest("GET / HTTP/1.0\r\n\r\n")->closes);
  EXPECT_FALSE(ParseHttpRequest("GET / HTTP/1.1\r\n\r\n")->closes);
  EXPECT_TRUE(ParseHttpRequest("POST / HTTP/1.1\r\nTransfer-Encoding: x\r\n\r\n")->is_chunked);
  for (const std::string length : {"", "x", "-1", "1x", "18446744073709551616", "1, 1"}) {
    EXPECT_EQ(CodeOf("POST / HTTP/1.1\r\nContent-Length: " + length + "\r\n\r\n"),
              ErrorCode::kMalformed)
        << length;
  }
  EXPECT_EQ(CodeOf("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"),
            ErrorCode::kMalformed);
}

TEST(HttpRequestTest, RefusesWhatIsNoRequest) {
  for (const std::string head :
       {"\r\n\r\n", "GET\r\n\r\n", "GET /\r\n\r\n", "GET  HTTP/1.1\r\n\r\n",
        "G T / HTTP/1.1\r\n\r\n", "GET /a b HTTP/1.1\r\n\r\n", "GET http://a/ HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost\r\n\r\n", "GET / HTTP/1.1\r\n folded: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n", "GET / HTTP/1.1\r\nA: \x01\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET / HTTP/1.1"}) {
    EXPECT_EQ(CodeOf(head), ErrorCode::kMalformed) << head;
  }
  EXPECT_EQ(CodeOf("GET / HTTP/2.0\r\n\r\n"), ErrorCode::kUnsupported);
  EXPECT_EQ(CodeOf("GET / http/1.1\r\n\r\n"), ErrorCode::kUnsupported);
}

TEST(HttpRequestTest, FieldsAreCounted) {
  std::string head = "GET / HTTP/1.1\r\n";
  for (size_t i = 0; i < kHttpRequestFieldMax; ++i) {
    head += "A: b\r\n";
  }
  EXPECT_EQ(CodeOf(head + "\r\n"), ErrorCode::kOk);
  EXPECT_EQ(CodeOf(head + "A: b\r\n\r\n"), ErrorCode::kTooLarge);
}

}  // namespace
}  // namespace gh::net
