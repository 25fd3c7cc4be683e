// SIP over WebSocket (RFC 7118): a script in a browser registers, calls and is called; what is not
// a WebSocket, comes from a foreign page or breaks the frames is refused and closed.
#include <gtest/gtest.h>

#include "tests/unit/sip/phone.h"

namespace gh::sip::test {
namespace {

using net::test::ClientFrame;
using net::test::ClientHandshake;
using net::test::ServerFramePayload;

constexpr std::string_view kWebSocketServer = "192.0.2.1:5066";

Config WithWebSocket() {
  Config config = World::DefaultConfig();
  config.AddListener(TransportKind::kWs, At(kWebSocketServer));
  return config;
}

class WebSocketTest : public testing::Test {
 protected:
  World world{WithWebSocket()};
  Phone alice{world, "alice", "192.0.2.20:5060"};
  Phone browser{world, "bob", "198.51.100.7:49152"};

  void SetUp() override {
    EXPECT_TRUE(browser.UseWebSocket(At(kWebSocketServer)).text.starts_with("HTTP/1.1 101 "));
    ASSERT_EQ(browser.Register().Status(), 200);
    ASSERT_EQ(alice.Register().Status(), 200);
    world.events.clear();
  }
  void TearDown() override {
    world.Advance(Duration::Seconds(300));
    world.Advance(Duration::Hours(24));
    world.Clear();
    EXPECT_EQ(world.Busy(), "");
  }
  std::string Options() {
    Phone::Spec spec{.method = "OPTIONS", .uri = "sip:example.com"};
    return browser.Build(spec);
  }
  // A connection that is not a WebSocket yet, after it sent this.
  Sent Ask(const std::string& text, net::StreamId* stream = nullptr) {
    const net::Endpoint at = At("203.0.113.5:1234");
    const net::StreamId id = world.Accept(at, At(kWebSocketServer));
    world.Feed(id, text);
    if (stream != nullptr) {
      *stream = id;
    }
    return world.TakeTo(at);
  }
};

TEST_F(WebSocketTest, ABrowserIsCalledAndHangsUp) {
  Phone::Spec invite_spec{.method = "INVITE", .uri = browser.uri()};
  invite_spec.body = "v=0\r\n";
  alice.Send(invite_spec);
  EXPECT_EQ(alice.Take().Status(), 100);
  const Sent invite = browser.Take();
  EXPECT_EQ(invite.StartLine(), "INVITE sip:bob@df7jal23ls0d.invalid;transport=ws SIP/2.0");
  EXPECT_TRUE(invite.Header("Via").starts_with("SIP/2.0/WS 192.0.2.1:5066;branch=z9hG4bK"));
  const auto routes = invite.Headers("Record-Route");
  ASSERT_EQ(routes.size(), 2u);  // one for each side
  EXPECT_NE(routes[0].find("@192.0.2.1:5066;transport=ws;lr>"), std::string::npos);
  EXPECT_NE(routes[1].find("@192.0.2.1:5060;lr>"), std::string::npos);
  browser.Respond(invite, 200, "tt", {}, "v=0\r\n");
  const Sent answer = alice.Take();
  EXPECT_EQ(answer.Status(), 200);

  Phone::Spec ack{.method = "ACK", .uri = "sip:bob@df7jal23ls0d.invalid;transport=ws"};
  ack.to = browser.uri();
  ack.to_tag = "tt";
  ack.headers = RouteSet(answer, true);
  alice.Send(ack);
  EXPECT_EQ(browser.Take().Method(), "ACK");

  Phone::Spec bye{.method = "BYE", .uri = "sip:alice@192.0.2.20:5060", .to = alice.uri()};
  bye.from_tag = "tt";
  bye.to_tag = "ft";
  bye.headers = RouteSet(invite, false);
  browser.Send(bye);
  const Sent got = alice.Take();
  EXPECT_EQ(got.Method(), "BYE");
  alice.Respond(got, 200, "ft");
  EXPECT_EQ(browser.Take().Status(), 200);
}

TEST_F(WebSocketTest, ABrowserCallsAPhone) {
  Phone::Spec spec{.method = "INVITE", .uri = alice.uri()};
  browser.Send(spec);
  EXPECT_EQ(browser.Take().Status(), 100);
  const Sent invite = alice.Take();
  EXPECT_EQ(invite.Headers("Via").size(), 2u);
  alice.Respond(invite, 486);
  EXPECT_EQ(alice.Take().Method(), "ACK");
  EXPECT_EQ(browser.Take().Status(), 486);
  Phone::Spec ack{.method = "ACK", .uri = alice.uri(), .to_tag = "tt"};
  ack.branch = browser.last_branch();
  browser.Send(ack);
}

TEST_F(WebSocketTest, AMessageNeedsNoContentLength) {
  std::string text = Options();
  const size_t at = text.find("Content-Length");
  text.erase(at, text.find("\r\n", at) + 2 - at);
  browser.Deliver(text);
  EXPECT_EQ(browser.Take().Status(), 200);
}

TEST_F(WebSocketTest, CutAnywhereInFragmentsWithPingsBetween) {
  const std::string text = Options();
  const std::string frames = ClientFrame(0x01, text.substr(0, 20)) + ClientFrame(0x89, "here?") +
                             ClientFrame(0x00, text.substr(20, 90)) +
                             ClientFrame(0x80, text.substr(110));
  for (size_t cut = 1; cut < frames.size(); cut += 5) {
    world.Feed(browser.stream(), frames.substr(0, cut));
    world.Feed(browser.stream(), frames.substr(cut));
    EXPECT_EQ(ServerFramePayload(world.TakeTo(browser.at()).text, 0x8a), "here?") << cut;
    EXPECT_EQ(browser.Take().Status(), 200) << cut;
  }
  EXPECT_EQ(world.Busy(), "");
}

TEST_F(WebSocketTest, AKeepAliveMessageIsAnswered) {
  browser.Deliver("\r\n\r\n");
  EXPECT_EQ(browser.Take().text, "\r\n");
  browser.Deliver("\r\n");
  EXPECT_TRUE(world.empty());
}

TEST_F(WebSocketTest, ACloseIsAnsweredAndTheBindingCannotBeReached) {
  world.Feed(browser.stream(), ClientFrame(0x88, std::string("\x03\xe9", 2)));
  EXPECT_EQ(world.TakeTo(browser.at()).text, std::string("\x88\x02\x03\xe9", 4));
  EXPECT_FALSE(world.stream(browser.stream()).open);
  alice.Send({.method = "OPTIONS", .uri = browser.uri()});
  EXPECT_EQ(alice.Take().Status(), 480);
}

TEST_F(WebSocketTest, BrokenFramesEndTheStreamWithACode) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {ClientFrame(0x81, "not masked", false), std::string("\x88\x02\x03\xea", 4)},
      {ClientFrame(0x81, "\xff\xfe"), std::string("\x88\x02\x03\xef", 4)},
      {ClientFrame(0x82, std::string(kWebSocketMessageMax + 1, 'x')).substr(0, 14),
       std::string("\x88\x02\x03\xf1", 4)}};
  for (const auto& [frame, reply] : cases) {
    net::StreamId stream;
    EXPECT_TRUE(Ask(ClientHandshake(), &stream).text.starts_with("HTTP/1.1 101 "));
    world.Feed(stream, frame);
    EXPECT_EQ(world.TakeTo(At("203.0.113.5:1234")).text, reply);
    EXPECT_FALSE(world.stream(stream).open);
  }
  EXPECT_TRUE(world.HasEvent("refused"));
}

TEST_F(WebSocketTest, TheLargestMessageArrives) {
  Phone::Spec spec{.method = "OPTIONS", .uri = "sip:example.com"};
  spec.body = std::string(kWebSocketMessageMax - browser.Build(spec).size() - 4, 'b');
  const std::string text = browser.Build(spec);
  ASSERT_LE(text.size(), kWebSocketMessageMax);
  ASSERT_GT(text.size(), kWebSocketMessageMax - 8);
  const std::string frame = ClientFrame(0x81, text);
  for (size_t at = 0; at < frame.size(); at += 1460) {
    world.Feed(browser.stream(), frame.substr(at, 1460));
  }
  EXPECT_EQ(browser.Take().Status(), 200);
}

TEST_F(WebSocketTest, ALongReadBehindThePartOfAFrameIsTakenWhole) {
  std::string all;
  size_t count = 0;
  for (; all.size() < kBufferSizes.back() + 1000; ++count) {
    all += ClientFrame(0x81, Options());
  }
  world.Feed(browser.stream(), all.substr(0, 1000));
  world.Feed(browser.stream(), all.substr(1000));
  ASSERT_TRUE(world.stream(browser.stream()).open);
  for (size_t i = 0; i < count; ++i) {
    ASSERT_EQ(browser.Take().Status(), 200) << i;
  }
}

TEST_F(WebSocketTest, WhatIsNoHandshakeIsToldSo) {
  net::StreamId stream;
  EXPECT_TRUE(Ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n", &stream).text.starts_with("HTTP/1.1 426 "));
  EXPECT_FALSE(world.stream(stream).open);
  EXPECT_TRUE(Ask(Options()).text.starts_with("HTTP/1.1 405 "));
  EXPECT_TRUE(Ask(ClientHandshake("Sec-WebSocket-Protocol")).text.starts_with("HTTP/1.1 400 "));
}

TEST_F(WebSocketTest, OnlyTheListedPagesMayConnect) {
  Config config = WithWebSocket();
  ASSERT_TRUE(config.AddOrigin("https://Example.com"));
  world.engine().Apply(config);
  EXPECT_TRUE(Ask(ClientHandshake()).text.starts_with("HTTP/1.1 101 "));
  EXPECT_TRUE(Ask(ClientHandshake("Origin", "Origin: https://evil.example"))
                  .text.starts_with("HTTP/1.1 403 "));
  EXPECT_TRUE(Ask(ClientHandshake("Origin")).text.starts_with("HTTP/1.1 403 "));
}

TEST_F(WebSocketTest, AHandshakeThatNeverEndsIsCutOff) {
  net::StreamId stream;
  EXPECT_EQ(Ask("GET / HTTP/1.1\r\n", &stream).text, "");
  EXPECT_TRUE(world.stream(stream).open);
  world.Advance(world.engine().config().message_deadline + Duration::Seconds(1));
  EXPECT_FALSE(world.stream(stream).open);
}

TEST_F(WebSocketTest, WhatASlowReaderIsOwedWaitsInWholeFrames) {
  world.stream(browser.stream()).blocked = true;
  browser.Deliver(Options());
  EXPECT_EQ(browser.Take().text, "");
  world.Unblock(browser.stream());
  EXPECT_EQ(browser.Take().Status(), 200);
}

}  // namespace
}  // namespace gh::sip::test
