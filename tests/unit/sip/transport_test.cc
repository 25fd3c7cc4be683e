// Streams: framing, keep-alives, deadlines, queues; and the units under the engine.
#include <gtest/gtest.h>

#include "firmware/sip/dialog_token.h"
#include "firmware/sip/keyed_hash.h"
#include "tests/unit/sip/phone.h"

namespace gh::sip::test {
namespace {

class StreamTest : public testing::Test {
 protected:
  World world;
  Phone alice{world, "alice", "192.0.2.20:40000"};
  std::string Options(const std::string& call_id = "x") {
    Phone::Spec spec{.method = "OPTIONS", .uri = "sip:example.com"};
    spec.call_id = call_id;
    return alice.Build(spec);
  }
  void SetUp() override { alice.UseTcp(); }
};

TEST_F(StreamTest, OneByteAtATime) {
  const std::string text = Options();
  for (const char c : text) {
    EXPECT_TRUE(world.empty());
    world.Feed(alice.stream(), std::string(1, c));
  }
  EXPECT_EQ(alice.Take().Status(), 200);
  EXPECT_EQ(world.Busy(), "");
}

TEST_F(StreamTest, SplitAnywhereAndSeveralInOneRead) {
  const std::string text = Options("a") + Options("b") + Options("c");
  for (size_t cut = 1; cut < text.size(); cut += 7) {
    world.Feed(alice.stream(), text.substr(0, cut));
    world.Feed(alice.stream(), text.substr(cut));
    for (const char* id : {"a", "b", "c"}) {
      EXPECT_EQ(alice.Take().Header("Call-ID"), id) << cut;
    }
    EXPECT_TRUE(world.empty());
  }
  EXPECT_EQ(world.Busy(), "");
}

TEST_F(StreamTest, PingIsAnsweredByPongAndLoneCrlfSkipped) {
  world.Feed(alice.stream(), "\r\n\r\n");
  EXPECT_EQ(world.Take().text, "\r\n");
  world.Feed(alice.stream(), "\r\n\r");
  EXPECT_TRUE(world.empty());
  world.Feed(alice.stream(), "\n");
  EXPECT_EQ(world.Take().text, "\r\n");
  world.Feed(alice.stream(), "\r\n" + Options());
  EXPECT_EQ(alice.Take().Status(), 200);
  world.Feed(alice.stream(), std::string("\r\n\r\n") + Options());
  EXPECT_EQ(world.Take().text, "\r\n");
  EXPECT_EQ(alice.Take().Status(), 200);
}

TEST_F(StreamTest, WhatIsNotFramedEndsTheStream) {
  for (const char* bad :
       {"OPTIONS sip:example.com SIP/2.0\r\nVia: x\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "A\r\nContent-Length: 4294967330\r\n\r\n", "A\r\nContent-Length: -1\r\n\r\n",
        "A\r\nl: 70000\r\n\r\n"}) {
    const net::StreamId stream = world.Accept(At("192.0.2.99:1234"));
    world.Feed(stream, bad);
    EXPECT_FALSE(world.stream(stream).open) << bad;
  }
  EXPECT_EQ(world.engine().stream_count(), 1u);
}

TEST_F(StreamTest, EndlessHeaderIsCutOff) {
  world.Feed(alice.stream(), "OPTIONS sip:example.com SIP/2.0\r\n");
  for (int i = 0; i < 80 && world.stream(alice.stream()).open; ++i) {
    world.Feed(alice.stream(), "X: " + std::string(1000, 'x') + "\r\n");
  }
  EXPECT_FALSE(world.stream(alice.stream()).open);
  EXPECT_EQ(world.Busy(), "");
}

TEST_F(StreamTest, Deadlines) {
  const net::StreamId slow = world.Accept(At("192.0.2.98:1"));
  const net::StreamId silent = world.Accept(At("192.0.2.99:1"));
  world.Feed(slow, "OPTIONS sip:");
  world.Advance(Duration::Seconds(29));
  EXPECT_TRUE(world.stream(slow).open);
  world.Advance(Duration::Seconds(2));
  EXPECT_FALSE(world.stream(slow).open);  // a message that began must end
  EXPECT_TRUE(world.stream(silent).open);
  world.Advance(Duration::Seconds(30));
  EXPECT_FALSE(world.stream(silent).open);  // nobody was let in on it
}

TEST_F(StreamTest, RegisteredStreamStaysUntilItIsIdle) {
  alice.Register();
  world.Advance(Duration::Minutes(40));
  world.Feed(alice.stream(), "\r\n\r\n");
  world.Advance(Duration::Minutes(59));
  EXPECT_TRUE(world.stream(alice.stream()).open);
  world.Advance(Duration::Minutes(2));
  EXPECT_FALSE(world.stream(alice.stream()).open);
}

TEST_F(StreamTest, FullStreamQueuesAndFlushesInOrder) {
  world.stream(alice.stream()).blocked = true;
  for (int i = 0; i < 3; ++i) {
    world.Feed(alice.stream(), Options(std::to_string(i)));
  }
  EXPECT_TRUE(world.empty());
  world.Unblock(alice.stream());
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(alice.Take().Header("Call-ID"), std::to_string(i));
  }
  EXPECT_EQ(world.Busy(), "");
}

TEST_F(StreamTest, AnswersThatFindNoRoomHoldThePeerBackAndNoneIsLost) {
  world.stream(alice.stream()).blocked = true;
  std::string all;
  for (size_t i = 0; i < 3 * kStreamHoldAt; ++i) {
    all += Options(std::to_string(i));
  }
  // At once, and in pieces that cut messages.
  world.Feed(alice.stream(), all.substr(0, all.size() / 2));
  EXPECT_GT(world.unread(alice.stream()), 0u);
  for (size_t at = all.size() / 2; at < all.size(); at += 100) {
    world.Feed(alice.stream(), all.substr(at, 100));
  }
  EXPECT_TRUE(world.empty());
  world.Unblock(alice.stream());
  for (size_t i = 0; i < 3 * kStreamHoldAt; ++i) {
    EXPECT_EQ(alice.Take().Header("Call-ID"), std::to_string(i));
  }
  EXPECT_EQ(world.unread(alice.stream()), 0u);
  EXPECT_EQ(world.Busy(), "");
}

TEST_F(StreamTest, WholeMessagesThatWereKeptAreHeardAfterwards) {
  world.stream(alice.stream()).blocked = true;
  for (size_t i = 0; i + 1 < kStreamHoldAt; ++i) {
    world.Feed(alice.stream(), Options(std::to_string(i)));
  }
  // A part waits for its rest, which brings two more messages with it.
  const std::string first = Options("a");
  world.Feed(alice.stream(), first.substr(0, 100));
  world.Feed(alice.stream(), first.substr(100) + Options("b") + Options("c"));
  world.Unblock(alice.stream());
  for (size_t i = 0; i + 1 < kStreamHoldAt; ++i) {
    EXPECT_EQ(alice.Take().Header("Call-ID"), std::to_string(i));
  }
  for (const char* id : {"a", "b", "c"}) {
    EXPECT_EQ(alice.Take().Header("Call-ID"), id);
  }
  EXPECT_EQ(world.Busy(), "");
}

TEST_F(StreamTest, ALongReadBehindThePartOfAMessageIsTakenWhole) {
  std::string all;
  size_t count = 0;
  for (; all.size() < 2 * kBufferSizes.back(); ++count) {
    all += Options(std::to_string(count));
  }
  for (const size_t first : {size_t{1}, size_t{10}, Options("0").size() - 1}) {
    world.Feed(alice.stream(), all.substr(0, first));
    world.Feed(alice.stream(), all.substr(first, kBufferSizes.back()));
    world.Feed(alice.stream(), all.substr(first + kBufferSizes.back()));
    ASSERT_TRUE(world.stream(alice.stream()).open) << first;
    for (size_t i = 0; i < count; ++i) {
      ASSERT_EQ(alice.Take().Header("Call-ID"), std::to_string(i)) << first;
    }
    EXPECT_EQ(world.Busy(), "");
  }
}

// Streams whose parts of messages hold all large buffers, and one more that wants one.
class Starved : public StreamTest {
 protected:
  void SetUp() override {
    StreamTest::SetUp();
    holders.resize(World::SmallCapacity().buffers.back());
    std::ranges::for_each(holders, [this](auto& holder) { Hold(holder); });
    world.Feed(alice.stream(), Large().substr(0, kBufferSizes[3] + 1));
    EXPECT_TRUE(world.empty());
    EXPECT_GT(world.unread(alice.stream()), 0u);
  }
  std::string Large() {
    Phone::Spec spec{.method = "OPTIONS", .uri = "sip:example.com"};
    spec.call_id = "large";
    spec.body = std::string(kBufferSizes[3], 'x');
    return alice.Build(spec);
  }
  void Hold(net::StreamId& holder) {
    holder = world.Accept({At("192.0.2.99").address, ++port});
    world.Feed(holder, Large().substr(0, kBufferSizes[3] + 1));
  }
  std::vector<net::StreamId> holders;
  uint16_t port = 1000;
};

TEST_F(Starved, AStreamWaitsForABufferAndLosesNothing) {
  world.Advance(Duration::Seconds(1));
  world.Resume();
  EXPECT_GT(world.unread(alice.stream()), 0u);
  world.Hangup(holders[0]);
  world.Advance(Duration::Milliseconds(kStarvedRetryMs));
  world.Resume();
  EXPECT_EQ(world.unread(alice.stream()), 0u);
  world.Feed(alice.stream(), Large().substr(kBufferSizes[3] + 1) + Options("small"));
  EXPECT_EQ(alice.Take().Header("Call-ID"), "large");
  EXPECT_EQ(alice.Take().Header("Call-ID"), "small");
}

TEST_F(Starved, WhatIsWholeNeedsNoBuffer) {
  world.Feed(alice.stream(), Large().substr(kBufferSizes[3] + 1) + Options("small"));
  world.Advance(Duration::Milliseconds(kStarvedRetryMs));
  world.Resume();
  EXPECT_EQ(alice.Take().Header("Call-ID"), "large");
  EXPECT_EQ(alice.Take().Header("Call-ID"), "small");
  EXPECT_EQ(world.unread(alice.stream()), 0u);
}

TEST_F(Starved, ItWaitsNoLongerThanAMessageMayTake) {
  world.Advance(Duration::Seconds(20));
  for (net::StreamId& holder : holders) {  // others come before their own time is over
    world.Hangup(holder);
    Hold(holder);
  }
  for (int i = 20; i < 32; ++i) {
    EXPECT_EQ(world.stream(alice.stream()).open, i <= 30) << i;
    world.Advance(Duration::Seconds(1));
    world.Resume();
  }
}

TEST_F(StreamTest, WhoDoesNotReadForTooLongIsLost) {
  world.stream(alice.stream()).blocked = true;
  world.Feed(alice.stream(), Options());
  world.Advance(Duration::Seconds(29));
  EXPECT_TRUE(world.stream(alice.stream()).open);
  world.Advance(Duration::Seconds(2));
  EXPECT_FALSE(world.stream(alice.stream()).open);
  EXPECT_EQ(world.Busy(), "");
}

TEST_F(StreamTest, QueueOfOneStreamHasAnEnd) {
  alice.Register();
  world.stream(alice.stream()).blocked = true;
  Phone bob(world, "bob", "192.0.2.21:5060");
  Phone::Spec spec{.method = "MESSAGE", .uri = "sip:alice@example.com"};
  for (size_t i = 0; i < kStreamQueueMax + 5; ++i) {
    spec.call_id = std::to_string(i);
    bob.Send(spec);
  }
  world.Clear();
  world.Unblock(alice.stream());
  size_t count = 0;
  while (!world.empty()) {
    count += world.Take().Method() == "MESSAGE" ? 1 : 0;
  }
  // Here half of the buffers are soon used, by the transactions too.
  EXPECT_GE(count, kStreamQueueShortMax);
  EXPECT_LT(count, kStreamQueueMax);
}

// What waits on a stream that does not take any more, of so many messages sent to its peer.
size_t CountWaiting(const Capacity& capacity, size_t sent) {
  World world(World::DefaultConfig(), capacity, 64u << 20);
  Phone alice(world, "alice", "192.0.2.20:40000");
  alice.UseTcp();
  alice.Register();
  world.stream(alice.stream()).blocked = true;
  Phone bob(world, "bob", "192.0.2.21:5060");
  Phone::Spec spec{.method = "MESSAGE", .uri = "sip:alice@example.com"};
  for (size_t i = 0; i < sent; ++i) {
    spec.call_id = std::to_string(i);
    bob.Send(spec);
  }
  world.Clear();
  world.Unblock(alice.stream());
  size_t count = 0;
  while (!world.empty()) {
    count += world.Take().Method() == "MESSAGE" ? 1 : 0;
  }
  return count;
}

TEST(StreamQueue, ATrunkMayHaveAShareOfAllBuffersWaiting) {
  Capacity capacity = World::SmallCapacity();
  capacity.server_transactions = capacity.client_transactions = capacity.proxies = 1000;
  capacity.buffers = {2000, 8000, 1000, 30, 4};
  EXPECT_EQ(CountWaiting(capacity, kStreamQueueMax + 10), kStreamQueueMax);
  capacity.buffers = {2000, 20'000, 1000, 30, 4};
  const size_t share = 23'034 / kStreamQueueShare;
  ASSERT_GT(share, kStreamQueueMax);
  EXPECT_EQ(CountWaiting(capacity, share + 10), share);
}

TEST_F(StreamTest, AsManyStreamsAsThereIsRoomFor) {
  std::vector<net::StreamId> streams;
  for (uint16_t i = 0; i < 15; ++i) {
    streams.push_back(world.Accept({At("192.0.2.99").address, static_cast<uint16_t>(1000 + i)}));
    EXPECT_TRUE(streams.back().valid());
  }
  EXPECT_FALSE(world.Accept(At("192.0.2.99:2000")).valid());
  world.Hangup(streams[3]);
  EXPECT_TRUE(world.Accept(At("192.0.2.99:2000")).valid());
}

TEST_F(StreamTest, ResponseGoesToTheSentByPortWhenTheStreamIsGone) {
  Phone bob(world, "bob", "192.0.2.30:5060");
  bob.Register();
  alice.Send({.method = "MESSAGE", .uri = "sip:bob@example.com"});
  const Sent got = bob.Take();
  world.Hangup(alice.stream());
  bob.Respond(got, 200);
  const Sent sent = world.TakeTo(At("192.0.2.20:40000"));
  EXPECT_EQ(sent.Status(), 200);
  EXPECT_NE(sent.stream.index, alice.stream().index);
}

TEST(Datagrams, RportAndReceived) {
  World world;
  Phone phone(world, "alice", "192.0.2.20:5060");
  Phone::Spec spec{.method = "OPTIONS", .uri = "sip:example.com"};
  spec.rport = false;
  const std::string text = phone.Build(spec);
  world.Deliver(At("203.0.113.7:4444"), text);  // behind NAT
  const Sent sent = world.Take();
  EXPECT_EQ(sent.to, At("203.0.113.7:5060"));  // no rport: the port in sent-by (RFC 3261 18.2.2)
  EXPECT_NE(sent.Header("Via").find("received=203.0.113.7"), std::string::npos);
  spec.rport = true;
  world.Deliver(At("203.0.113.7:4444"), phone.Build(spec));
  EXPECT_EQ(world.Take().to, At("203.0.113.7:4444"));
}

TEST(Datagrams, KeepAlivesAndRubbishGetNoReply) {
  World world;
  for (const char* text :
       {"", "\r\n", "\r\n\r\n", "x", "hello", "\r\n\r\nhello\r\n\r\n", "SIP/2.0 200 OK\r\n\r\n"}) {
    world.Deliver(At("192.0.2.9:5060"), text);
    EXPECT_TRUE(world.empty()) << text;
  }
  world.Deliver(At("192.0.2.9:5060"), std::string_view("\0\0\0\0\0\0\0\0", 8));
  EXPECT_TRUE(world.empty());
}

TEST(KeyedHashTest, MatchesTheReferenceAndSeparatesParts) {
  const HashKey key{1, 2};
  const auto hash = [&](auto... parts) {
    KeyedHash h(key, 7);
    (h.Add(std::string_view(parts)), ...);
    return h.Value();
  };
  EXPECT_NE(hash("ab", "c"), hash("a", "bc"));
  EXPECT_NE(hash("abc"), hash("abc", ""));
  EXPECT_EQ(KeyedHash(key, 1).AddNoCase("Example.COM and more").Value(),
            KeyedHash(key, 1).AddNoCase("eXAMPLE.com AND MORE").Value());
  EXPECT_NE(KeyedHash(key, 1).AddNoCase("a[").Value(), KeyedHash(key, 1).AddNoCase("a{").Value());
  EXPECT_NE(KeyedHash(key, 1).Add("x").Value(), KeyedHash(key, 2).Add("x").Value());
}

TEST(Branches, ParseOnlyWhatWeWrite) {
  EXPECT_FALSE(TransactionLayer::ParseBranch(""));
  EXPECT_FALSE(TransactionLayer::ParseBranch("z9hG4bKg"));
  const std::string good =
      "z9hG4bKg"
      "00000001"
      "00000002"
      "00000000000000aa"
      "00000000000000bb";
  const auto parts = TransactionLayer::ParseBranch(good);
  ASSERT_TRUE(parts);
  EXPECT_EQ(parts->handle.index, 1u);
  EXPECT_EQ(parts->handle.generation, 2u);
  EXPECT_EQ(parts->cookie, 0xaau);
  EXPECT_EQ(parts->loop, 0xbbu);
  EXPECT_FALSE(TransactionLayer::ParseBranch(good + "0"));
  EXPECT_FALSE(TransactionLayer::ParseBranch(good.substr(0, 55) + "x"));
}

TEST(Branches, ResponseWithAGuessedBranchIsStray) {
  World world;
  Phone alice(world, "alice", "192.0.2.20:5060");
  Phone bob(world, "bob", "192.0.2.30:5060");
  bob.Register();
  alice.Send({.method = "MESSAGE", .uri = "sip:bob@example.com"});
  Sent got = bob.Take();
  const size_t at = got.text.find("branch=z9hG4bKg") + 15 + 20;
  got.text[at] = got.text[at] == '0' ? '1' : '0';
  bob.Respond(got, 200);
  EXPECT_TRUE(alice.Take().text.empty());
  EXPECT_EQ(world.engine().statistics().dropped_stray, 1u);
}

// RFC 5922, 5923: a connection of ours belongs to the name its peer proved, and is used again for
// that name alone, though another be at the same address.
class TlsPeer : public testing::Test {
 protected:
  static Config MakeConfig() {
    Config config = World::DefaultConfig();
    config.AddListener(TransportKind::kTls, At("192.0.2.1:5061"));
    return config;
  }
  void SetUp() override {
    world.AddAddress("far.example", "198.51.100.1");
    world.AddAddress("other.example", "198.51.100.1");
  }
  net::StreamId StreamOf(const std::string& uri, const std::string& call_id) {
    Phone::Spec spec{.method = "MESSAGE", .uri = uri};
    spec.call_id = call_id;
    alice.Send(spec);
    const Sent sent = world.TakeTo(At("198.51.100.1:5061"));
    EXPECT_EQ(sent.Method(), "MESSAGE");
    world.Feed(sent.stream, alice.Response(sent, 200));
    EXPECT_EQ(alice.Take().Status(), 200);
    return sent.stream;
  }
  World world{MakeConfig()};
  Phone alice{world, "alice", "192.0.2.20:5060"};
};

TEST_F(TlsPeer, AConnectionIsUsedAgainForTheSameName) {
  const net::StreamId first = StreamOf("sip:x@far.example;transport=tls", "one");
  EXPECT_EQ(StreamOf("sip:y@far.example;transport=tls", "two"), first);
  EXPECT_EQ(world.engine().stream_count(), 1u);
}

// RFC 5923: what is for the host that connected goes back by its connection.
TEST_F(TlsPeer, AnInboundConnectionIsUsedForTheNamesItsCertificateHolds) {
  const auto accept = [&](const std::string& from, const std::string& name, const char* alias) {
    const net::StreamId id = world.Accept(At(from), At("192.0.2.1:5061"), net::StreamKind::kTls);
    world.peer_names[id.index] = name;
    world.Feed(id, Crlf("OPTIONS sip:192.0.2.1 SIP/2.0\nVia: SIP/2.0/TLS 198.51.100.1:5061"
                        ";branch=z9hG4bKa" +
                        from + std::string(alias) +
                        "\nFrom: <sip:far.example>;tag=1\nTo: <sip:192.0.2.1>\nCall-ID: " + from +
                        "\nCSeq: 1 OPTIONS\nMax-Forwards: 70\nContent-Length: 0\n\n"));
    EXPECT_EQ(world.TakeTo(At(from)).Status(), 200);
    return id;
  };
  const auto stream_of = [&](const std::string& uri, const std::string& call_id) {
    Phone::Spec spec{.method = "MESSAGE", .uri = uri};
    spec.call_id = call_id;
    alice.Send(spec);
    const Sent sent = world.Take();
    EXPECT_EQ(sent.Method(), "MESSAGE") << sent.text;
    // Who is at a connection of ours is asked to come by it as well; who opened it did so himself.
    const bool asks = sent.Header("Via").find(";alias") != std::string::npos;
    EXPECT_EQ(asks, !world.stream(sent.stream).info.accepted) << sent.Header("Via");
    world.Feed(sent.stream, alice.Response(sent, 200));
    EXPECT_EQ(alice.Take().Status(), 200);
    return sent.stream;
  };
  accept("198.51.100.1:40001", "far.example", "");          // did not ask for it
  accept("198.51.100.9:40002", "far.example", ";alias");    // is at another address
  accept("198.51.100.1:40003", "third.example", ";alias");  // has another name
  const net::StreamId ours = stream_of("sip:x@far.example;transport=tls", "one");
  EXPECT_EQ(world.stream(ours).info.accepted, false);
  world.Hangup(ours);
  const net::StreamId theirs = accept("198.51.100.1:40004", "far.example", ";alias");
  EXPECT_EQ(stream_of("sip:x@far.example;transport=tls", "two"), theirs);
  EXPECT_NE(stream_of("sip:x@other.example;transport=tls", "three"), theirs);
  // Another port is another server; and a connection that is gone is not used.
  EXPECT_NE(stream_of("sip:x@far.example:5071;transport=tls", "four"), theirs);
  world.Hangup(theirs);
  EXPECT_NE(stream_of("sip:x@far.example;transport=tls", "five"), theirs);
}

// RFC 5923 4: the peer of a connection of ours calls us by it, in a call's dialog and outside.
TEST_F(TlsPeer, WhoWeConnectedToComesByTheSameConnection) {
  Config config = MakeConfig();
  config.accept_foreign_senders = true;
  world.engine().Apply(config);
  ASSERT_EQ(alice.Register().Status(), 200);
  const net::StreamId ours = StreamOf("sip:x@far.example;transport=tls", "one");
  world.Feed(ours, Crlf("MESSAGE sip:alice@example.com SIP/2.0\nVia: SIP/2.0/TLS 198.51.100.1:5061"
                        ";branch=z9hG4bKback\nFrom: <sip:x@far.example>;tag=1\n"
                        "To: <sip:alice@example.com>\nCall-ID: back\nCSeq: 1 MESSAGE\n"
                        "Max-Forwards: 70\nContent-Length: 0\n\n"));
  const Sent got = alice.Take();
  ASSERT_EQ(got.Method(), "MESSAGE");
  EXPECT_EQ(got.Header("Via").find(";alias"), std::string::npos);  // UDP has no connections
  alice.Respond(got, 200);
  EXPECT_EQ(world.TakeTo(At("198.51.100.1:5061")).Status(), 200);
  EXPECT_EQ(world.engine().stream_count(), 1u);
}

TEST_F(TlsPeer, AConnectionIsForTheNameItProved) {
  const net::StreamId first = StreamOf("sip:x@far.example;transport=tls", "one");
  EXPECT_NE(StreamOf("sip:x@other.example;transport=tls", "two"), first);
  EXPECT_EQ(world.engine().stream_count(), 2u);
}

}  // namespace
}  // namespace gh::sip::test
