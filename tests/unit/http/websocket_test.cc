// The server's end of a WebSocket: RFC 6455's own examples, frames cut at every byte, fragments
// with control frames between them, and each refusal. Fault model: a hostile client.
#include "net/websocket.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/unit/http/websocket_client.h"

namespace gh::net {
namespace {

using Kind = WebSocketReader::Kind;
using test::ClientFrame;
using test::ClientHandshake;
constexpr size_t kMax = 1000;

WebSocketRefusal Read(const std::string& text, WebSocketRequest& out) {
  return ReadWebSocketRequest(AsBytes(text), "sip", out);
}

uint16_t StatusOf(const std::string& text) {
  WebSocketRequest request;
  return Read(text, request).status;
}

// A stream's owner: keeps what Settle() says, tells what came.
struct Peer {
  explicit Peer(size_t max = kMax) : message_max(max) {}
  void Feed(const std::string& text) {
    kept.insert(kept.end(), text.begin(), text.end());
    while (true) {
      const auto event = reader.Next(kept, message_max);
      switch (event.kind) {
        case Kind::kNone:
          kept.resize(reader.Settle(kept));
          return;
        case Kind::kFragment:
          continue;
        case Kind::kFault:
          said.push_back("fault " + std::to_string(event.fault));
          return;
        default:
          said.push_back((event.kind == Kind::kMessage ? "message "
                          : event.kind == Kind::kPing  ? "ping "
                          : event.kind == Kind::kPong  ? "pong "
                                                       : "close ") +
                         std::string(AsText(event.payload)));
          if (event.kind == Kind::kClose) {
            return;
          }
      }
    }
  }
  size_t message_max;
  WebSocketReader reader;
  std::vector<uint8_t> kept;
  std::vector<std::string> said;
};

std::vector<std::string> Said(const std::string& frames, size_t max = kMax) {
  Peer peer(max);
  peer.Feed(frames);
  return peer.said;
}

TEST(WebSocketHandshake, ReadsWhatABrowserSends) {
  WebSocketRequest request;
  const std::string text = ClientHandshake();
  const std::string stream = text + "more";
  EXPECT_EQ(Read(stream, request).status, 0);
  EXPECT_EQ(request.size, text.size());
  EXPECT_EQ(request.target, "/chat");
  EXPECT_EQ(request.host, "server.example.com");
  EXPECT_EQ(request.origin, "https://example.com");
}

TEST(WebSocketHandshake, WaitsForTheWholeRequest) {
  const std::string text = ClientHandshake();
  for (size_t size = 0; size < text.size(); ++size) {
    WebSocketRequest request;
    EXPECT_EQ(Read(text.substr(0, size), request).status, 0) << size;
    EXPECT_EQ(request.size, 0u) << size;
  }
}

TEST(WebSocketHandshake, AcceptsAsInTheRfc) {  // RFC 6455 1.3
  uint8_t bytes[300];
  ByteWriter out(bytes);
  WriteWebSocketAcceptance(out, "dGhlIHNhbXBsZSBub25jZQ==", "sip");
  ASSERT_TRUE(out.ok());
  EXPECT_EQ(out.text(),
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
            "Sec-WebSocket-Protocol: sip\r\n\r\n");
}

TEST(WebSocketHandshake, RefusesEachByItsStatus) {
  EXPECT_EQ(StatusOf("POST / HTTP/1.1\r\n"), 405);
  EXPECT_EQ(StatusOf("P"), 405);
  EXPECT_EQ(StatusOf(ClientHandshake("GET", "GET /chat HTTP/1.0")), 400);
  EXPECT_EQ(StatusOf(ClientHandshake("GET", "GET chat HTTP/1.1")), 400);
  EXPECT_EQ(StatusOf(ClientHandshake("Host")), 400);
  EXPECT_EQ(StatusOf(ClientHandshake("Host", "Host: a\r\nHost: b")), 400);
  EXPECT_EQ(StatusOf(ClientHandshake("Upgrade")), 426);
  EXPECT_EQ(StatusOf(ClientHandshake("Connection", "Connection: keep-alive")), 426);
  EXPECT_EQ(StatusOf(ClientHandshake("Sec-WebSocket-Version", "Sec-WebSocket-Version: 8")), 426);
  EXPECT_EQ(StatusOf(ClientHandshake("Sec-WebSocket-Key", "Sec-WebSocket-Key: c2hvcnQ=")), 400);
  EXPECT_EQ(StatusOf(ClientHandshake("Sec-WebSocket-Key")), 400);
  EXPECT_EQ(StatusOf(ClientHandshake("Sec-WebSocket-Protocol", "Sec-WebSocket-Protocol: xmpp")),
            400);
  EXPECT_EQ(StatusOf(ClientHandshake("Origin", "Content-Length: 5")), 400);
  EXPECT_EQ(StatusOf(ClientHandshake("Origin", "Transfer-Encoding: chunked")), 400);
  EXPECT_EQ(StatusOf(ClientHandshake("Origin", "Folded:\r\n line")), 400);
  EXPECT_EQ(StatusOf(ClientHandshake("Origin", "Space : x")), 400);
  EXPECT_EQ(StatusOf(ClientHandshake("Origin", "Null: a\x01z")), 400);
}

TEST(WebSocketHandshake, BoundsTheRequest) {
  std::string text = ClientHandshake("Origin", "X: ");
  const size_t pad = kWebSocketHandshakeMax - text.size();
  EXPECT_EQ(StatusOf(ClientHandshake("Origin", "X: " + std::string(pad, 'a'))), 0);
  EXPECT_EQ(StatusOf(ClientHandshake("Origin", "X: " + std::string(pad + 1, 'a'))), 400);
  EXPECT_EQ(StatusOf("GET /" + std::string(kWebSocketHandshakeMax, 'a')), 400);
}

TEST(WebSocketHandshake, ARefusalSaysWhy) {
  uint8_t bytes[300];
  ByteWriter out(bytes);
  WriteWebSocketRefusal(out, {426, "WebSocket version 13 only"});
  EXPECT_EQ(out.text(),
            "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Connection: close\r\nContent-Type: text/plain\r\nContent-Length: 26\r\n\r\n"
            "WebSocket version 13 only\n");
}

TEST(WebSocketFrames, TheExamplesOfTheRfc) {  // RFC 6455 5.7
  EXPECT_EQ(Said(std::string("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11)),
            std::vector<std::string>{"message Hello"});
  EXPECT_EQ(ClientFrame(0x81, "Hello"),
            std::string("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11));
  EXPECT_EQ(Said(ClientFrame(0x01, "Hel") + ClientFrame(0x80, "lo")),
            std::vector<std::string>{"message Hello"});
  EXPECT_EQ(Said(ClientFrame(0x89, "Hello")), std::vector<std::string>{"ping Hello"});
}

TEST(WebSocketFrames, CutAtEveryByteTheSameComesOut) {
  const std::string frames = ClientFrame(0x82, "one") + ClientFrame(0x01, "t") +
                             ClientFrame(0x8a, "") + ClientFrame(0x00, "w") +
                             ClientFrame(0x89, "p") + ClientFrame(0x80, "o") +
                             ClientFrame(0x82, std::string(300, 'x')) + ClientFrame(0x81, "");
  const std::vector<std::string> wanted = {
      "message one", "pong ", "ping p", "message two", "message " + std::string(300, 'x'),
      "message "};
  EXPECT_EQ(Said(frames), wanted);
  for (size_t cut = 1; cut < frames.size(); ++cut) {
    Peer peer;
    peer.Feed(frames.substr(0, cut));
    peer.Feed(frames.substr(cut));
    EXPECT_EQ(peer.said, wanted) << cut;
    EXPECT_TRUE(peer.kept.empty()) << cut;
  }
  Peer peer;
  for (const char c : frames) {
    peer.Feed(std::string(1, c));
  }
  EXPECT_EQ(peer.said, wanted);
}

TEST(WebSocketFrames, KeepsOnlyWhatIsNeeded) {
  Peer peer;
  peer.Feed(ClientFrame(0x02, "abc") + ClientFrame(0x89, "ping") +
            ClientFrame(0x00, "def").substr(0, 3));
  EXPECT_EQ(peer.kept.size(), 3u + 3u);  // the payload so far, and the begin of a frame
}

TEST(WebSocketFrames, BoundsAMessage) {
  EXPECT_EQ(Said(ClientFrame(0x82, std::string(kMax, 'a'))).size(), 1u);
  EXPECT_EQ(Said(ClientFrame(0x82, std::string(kMax + 1, 'a')).substr(0, 4)),
            std::vector<std::string>{"fault 1009"});  // before it has come
  EXPECT_EQ(Said(ClientFrame(0x02, std::string(kMax, 'a')) + ClientFrame(0x80, "")).size(), 1u);
  EXPECT_EQ(Said(ClientFrame(0x02, std::string(kMax, 'a')) + ClientFrame(0x80, "b")),
            std::vector<std::string>{"fault 1009"});
  EXPECT_EQ(Said(ClientFrame(0x82, std::string(70000, 'a')), 70000).size(), 1u);
}

TEST(WebSocketFrames, FaultsEndIt) {
  const std::vector<std::string> fault = {"fault 1002"};
  EXPECT_EQ(Said(ClientFrame(0x81, "plain", false)), fault);
  EXPECT_EQ(Said(ClientFrame(0xc1, "reserved")), fault);
  EXPECT_EQ(Said(ClientFrame(0x83, "unknown")), fault);
  EXPECT_EQ(Said(ClientFrame(0x8b, "unknown")), fault);
  EXPECT_EQ(Said(ClientFrame(0x80, "nothing to continue")), fault);
  EXPECT_EQ(Said(ClientFrame(0x01, "a") + ClientFrame(0x81, "b")), fault);
  EXPECT_EQ(Said(ClientFrame(0x09, "")), fault);
  EXPECT_EQ(Said(ClientFrame(0x89, std::string(126, 'x'))), fault);
  EXPECT_EQ(Said(std::string("\x82\xfe\x00\x05", 4)), fault);
  EXPECT_EQ(Said(std::string("\x82\xff\x00\x00\x00\x00\x00\x00\x00\x05", 10)), fault);
  EXPECT_EQ(Said(std::string("\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff", 10)),
            std::vector<std::string>{"fault 1009"});
}

TEST(WebSocketFrames, TextIsUtf8) {
  EXPECT_EQ(Said(ClientFrame(0x81, "\xc3\xa9")), std::vector<std::string>{"message \xc3\xa9"});
  EXPECT_EQ(Said(ClientFrame(0x01, "\xc3") + ClientFrame(0x80, "\xa9")),
            std::vector<std::string>{"message \xc3\xa9"});
  for (const char* bad : {"\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff"}) {
    EXPECT_EQ(Said(ClientFrame(0x81, bad)), std::vector<std::string>{"fault 1007"});
    EXPECT_EQ(Said(ClientFrame(0x82, bad)).at(0).substr(0, 8), "message ");
  }
}

TEST(WebSocketFrames, HeadersOfOurs) {
  for (const auto& [size, header] :
       {std::pair<size_t, std::string>{125, std::string("\x82\x7d", 2)},
        {126, std::string("\x82\x7e\x00\x7e", 4)},
        {65535, std::string("\x82\x7e\xff\xff", 4)},
        {65536, std::string("\x82\x7f\0\0\0\0\0\1\0\0", 10)}}) {
    uint8_t bytes[kWebSocketHeaderMax];
    ByteWriter out(bytes);
    WriteWebSocketHeader(out, WebSocketOpcode::kBinary, size);
    EXPECT_EQ(out.text(), header);
  }
  uint8_t bytes[4];
  ByteWriter out(bytes);
  WriteWebSocketClose(out, kWebSocketTooLarge);
  EXPECT_EQ(out.text(), "\x88\x02\x03\xf1");
}

}  // namespace
}  // namespace gh::net
