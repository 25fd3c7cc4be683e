// Responses: framing, limits at their edges, and every way of cutting the bytes into pieces.
#include "net/http/response.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "hal/rt/bytes.h"

namespace gh::net {
namespace {

struct Outcome {
  std::unique_ptr<HttpResponse> response = std::make_unique<HttpResponse>();
  std::string body;
  ErrorCode error = ErrorCode::kOk;
  size_t left = 0;
};

Outcome Read(std::string_view text, size_t piece = SIZE_MAX) {
  Outcome out;
  for (size_t at = 0; at < text.size() && out.error == ErrorCode::kOk; at += piece) {
    auto bytes = AsBytes(text.substr(at, piece));
    while (!bytes.empty() && !out.response->complete()) {
      const auto body = out.response->Feed(bytes);
      if (!body.ok()) {
        out.error = body.code();
        break;
      }
      out.body += AsText(body.value());
    }
    out.left = bytes.size();
    if (piece == SIZE_MAX) {
      break;
    }
  }
  return out;
}

TEST(HttpResponse, LengthAndChunksInAnyPieces) {
  const std::string counted = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nX: y\r\n\r\n0123456789";
  const std::string chunked =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
      "4;ext=1\r\n0123\r\n6\r\n456789\r\n0\r\nTrailer: x\r\n\r\n";
  for (const std::string& text : {counted, chunked}) {
    for (size_t piece = 1; piece <= text.size(); ++piece) {
      const Outcome got = Read(text, piece);
      EXPECT_EQ(got.error, ErrorCode::kOk);
      EXPECT_TRUE(got.response->complete()) << piece;
      EXPECT_EQ(got.body, "0123456789") << piece;
    }
    for (size_t cut = 0; cut < text.size(); ++cut) {
      const Outcome got = Read(text.substr(0, cut));
      EXPECT_FALSE(got.response->complete());
      EXPECT_EQ(got.response->End().code(), ErrorCode::kTruncated) << cut;
    }
  }
}

TEST(HttpResponse, UntilCloseAndWhatFollows) {
  Outcome open = Read("HTTP/1.0 200\r\n\r\nall of it");
  EXPECT_FALSE(open.response->complete());
  EXPECT_EQ(open.body, "all of it");
  EXPECT_TRUE(open.response->End().ok());
  EXPECT_TRUE(open.response->complete());

  const Outcome more = Read("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabc");
  EXPECT_EQ(more.body, "a");
  EXPECT_EQ(more.left, 2u);
  EXPECT_TRUE(Read("HTTP/1.1 204 No Content\r\n\r\n").response->complete());
  EXPECT_TRUE(Read("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").response->complete());
}

TEST(HttpResponse, HeadFacts) {
  const Outcome part = Read(
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 206 Partial Content\r\n"
      "content-range: bytes 100-199/1000\r\nContent-Length:\t100 \r\n\r\n");
  EXPECT_EQ(part.response->status(), 206u);
  EXPECT_EQ(part.response->range_start(), 100u);
  EXPECT_EQ(part.response->range_total(), 1000u);
  EXPECT_EQ(part.response->content_length(), 100u);
  EXPECT_FALSE(Read("HTTP/1.1 206 x\r\nContent-Range: bytes 1-2/*\r\nContent-Length: 2\r\n\r\n")
                   .response->range_total());
  EXPECT_FALSE(Read("HTTP/1.1 416 x\r\nContent-Range: bytes */9\r\nContent-Length: 0\r\n\r\n")
                   .response->range_start());
  EXPECT_EQ(
      Read("HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n").response->location(),
      "/x");
}

TEST(HttpResponse, Refuses) {
  const std::string head = "HTTP/1.1 200 OK\r\n";
  for (const std::string& text : {
           std::string("HTTP/2 200 OK\r\n"),
           std::string("HTTP/1.2 200 OK\r\n"),
           std::string("HTTP/1.1 99 x\r\n"),
           std::string("HTTP/1.1 600 x\r\n"),
           std::string("HTTP/1.1  200\r\n"),
           std::string("HTTP/1.1 2000\r\n"),
           std::string("HTTP/1.1 200 OK\n"),
           std::string("ICY 200 OK\r\n\r\n"),
           std::string("HTTP/1.1 101 Switching\r\n\r\n"),
           head + "No colon\r\n",
           head + " folded: x\r\n",
           head + "A : x\r\n",
           head + ": x\r\n",
           head + "A: x\ry\r\n",
           head + "Content-Length: -1\r\n",
           head + "Content-Length: 1, 1\r\n",
           head + "Content-Length: 99999999999999999999\r\n",
           head + "Content-Length: 1\r\nContent-Length: 2\r\n",
           head + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
           head + "Transfer-Encoding: gzip, chunked\r\n",
           head + "Content-Encoding: gzip\r\n",
           head + "Transfer-Encoding: chunked\r\n\r\nx\r\n",
           head + "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
           head + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
           head + "Content-Range: bytes 5-4/10\r\n",
           head + "Content-Range: bytes 0-10/10\r\n",
       }) {
    EXPECT_NE(Read(text).error, ErrorCode::kOk) << text;
  }
}

TEST(HttpResponse, LimitsAtTheirEdges) {
  const std::string head = "HTTP/1.1 200 OK\r\n";
  const auto field = [](size_t line) { return "A: " + std::string(line - 3, 'x') + "\r\n"; };
  EXPECT_EQ(Read(head + field(kHttpLineMax - 1)).error, ErrorCode::kOk);
  EXPECT_EQ(Read(head + field(kHttpLineMax)).error, ErrorCode::kTooLarge);
  std::string full = head;
  while (full.size() + 102 + 2 <= kHttpHeadMax) {
    full += field(100);
  }
  full += "B: " + std::string(kHttpHeadMax - full.size() - 7, 'y') + "\r\n";
  ASSERT_EQ(full.size() + 2, kHttpHeadMax);
  EXPECT_EQ(Read(full + "\r\n").error, ErrorCode::kOk);
  EXPECT_EQ(Read(full + "C:1\r\n").error, ErrorCode::kTooLarge);

  std::string interim;
  for (uint32_t i = 0; i < kHttpInterimMax; ++i) {
    interim += "HTTP/1.1 103 Early Hints\r\n\r\n";
  }
  EXPECT_TRUE(Read(interim + "HTTP/1.1 204 x\r\n\r\n").response->complete());
  EXPECT_NE(Read(interim + "HTTP/1.1 103 Early Hints\r\n\r\n").error, ErrorCode::kOk);
  // Many chunks are no large head; an endless trailer is.
  std::string chunks = head + "Transfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 5000; ++i) {
    chunks += "1\r\nx\r\n";
  }
  EXPECT_TRUE(Read(chunks + "0\r\n\r\n").response->complete());
  chunks += "0\r\n";
  for (int i = 0; i < 90; ++i) {
    chunks += field(100);
  }
  EXPECT_EQ(Read(chunks).error, ErrorCode::kTooLarge);
}

}  // namespace
}  // namespace gh::net
