// Two stacks on a wire: ARP, ICMP, UDP, TCP, with and without faults.
#include "net/stack.h"

#include <gtest/gtest.h>

#include "net/checksum.h"
#include "tests/unit/net/craft.h"
#include "tests/unit/net/fake_wire.h"

namespace gh::net {
namespace {

using test::Bytes;
using test::DatagramRecorder;
using test::Lab;
using test::Node;
using test::Pattern;
using test::StreamRecorder;

constexpr Duration kSoon = Duration::Seconds(5);

struct Pair : Lab {
  explicit Pair(uint64_t seed = 1, bool offload = false, const Capacity& of_b = {})
      : Lab(seed), a(Add(1, {}, 2048, offload)), b(Add(2, of_b, 2048, offload)) {
    a.ConfigureStatic(1);
    b.ConfigureStatic(2);
    Run(Duration::Seconds(3));  // duplicate address detection
    EXPECT_TRUE(a.stack.addresses_ready());
    EXPECT_TRUE(b.stack.addresses_ready());
    b.stack.firewall().Allow({Transport::kUdp, 5060, 5060}).ignore("constant");
    b.stack.firewall().Allow({Transport::kTcp, 5060, 5060}).ignore("constant");
  }
  Node& a;
  Node& b;
};

const IpAddress kAny4 = IpAddress::V4(0, 0, 0, 0);
const IpAddress kAny6 = IpAddress::Parse("::").value();
const Endpoint kB4{IpAddress::V4(10, 0, 0, 2), 5060};
const Endpoint kB6{Node::V6(2), 5060};

class FamilyTest : public ::testing::TestWithParam<bool> {
 protected:
  Endpoint b() const { return GetParam() ? kB6 : kB4; }
  IpAddress any() const { return GetParam() ? kAny6 : kAny4; }
};
INSTANTIATE_TEST_SUITE_P(Ip, FamilyTest, ::testing::Bool(),
                         [](const auto& p) { return p.param ? "v6" : "v4"; });

TEST_P(FamilyTest, UdpEchoes) {
  Pair lab;
  DatagramRecorder client(lab.a.stack);
  DatagramRecorder server(lab.b.stack, true);
  const SocketId s = lab.b.stack.datagrams().OpenDatagram({any(), 5060}, server).value();
  const SocketId c = lab.a.stack.datagrams().OpenDatagram({any(), 0}, client).value();
  EXPECT_TRUE(s.valid());
  const Bytes hello = Pattern(100);
  ASSERT_TRUE(lab.a.stack.datagrams().SendDatagram(c, b(), hello).ok());
  ASSERT_TRUE(lab.RunUntil([&] { return client.datagrams.size() == 1; }, kSoon));
  EXPECT_EQ(client.datagrams[0], hello);
  EXPECT_EQ(client.infos[0].remote, b());
  EXPECT_EQ(server.infos[0].local, b());
  EXPECT_EQ(lab.a.frames.free_count(), lab.a.frames.frame_count());
  EXPECT_EQ(lab.b.frames.free_count(), lab.b.frames.frame_count());
}

TEST_P(FamilyTest, UdpLargerThanTheMtuIsFragmentedAndPutTogether) {
  Pair lab;
  DatagramRecorder client(lab.a.stack);
  DatagramRecorder server(lab.b.stack, true);
  lab.b.stack.datagrams().OpenDatagram({any(), 5060}, server).value();
  const SocketId c = lab.a.stack.datagrams().OpenDatagram({any(), 0}, client).value();
  for (size_t size : {1472u, 1473u, 1800u, 1900u, 4000u, 9000u}) {
    client.datagrams.clear();
    ASSERT_TRUE(lab.a.stack.datagrams().SendDatagram(c, b(), Pattern(size)).ok()) << size;
    ASSERT_TRUE(lab.RunUntil([&] { return client.datagrams.size() == 1; }, kSoon)) << size;
    EXPECT_EQ(client.datagrams[0], Pattern(size));
  }
  EXPECT_EQ(lab.a.stack.datagrams().SendDatagram(c, b(), Pattern(kDatagramSizeMax + 1)).code(),
            ErrorCode::kTooLarge);
  lab.Run(Duration::Seconds(10));
  EXPECT_EQ(lab.a.frames.free_count(), lab.a.frames.frame_count());
  EXPECT_EQ(lab.b.frames.free_count(), lab.b.frames.frame_count());
}

TEST_P(FamilyTest, TcpEchoesBothWaysAndCloses) {
  Pair lab;
  StreamRecorder client(lab.a.stack);
  StreamRecorder server(lab.b.stack, true);
  ASSERT_TRUE(lab.b.stack.streams().Listen({any(), 5060}, {}, server).ok());
  const StreamId id = lab.a.stack.streams().Connect(b(), {}, client).value();
  ASSERT_TRUE(lab.RunUntil([&] { return client.open_count == 1; }, kSoon));
  EXPECT_FALSE(client.infos[0].accepted);
  EXPECT_EQ(client.infos[0].remote, b());
  client.pending = Pattern(200'000);
  client.Push(id);
  ASSERT_TRUE(
      lab.RunUntil([&] { return client.received.size() == 200'000; }, Duration::Seconds(60)));
  EXPECT_EQ(client.received, Pattern(200'000));
  EXPECT_TRUE(server.infos[0].accepted);
  lab.a.stack.streams().CloseStream(id);
  ASSERT_TRUE(
      lab.RunUntil([&] { return client.closed.size() == 1 && server.closed.size() == 1; }, kSoon));
  EXPECT_EQ(client.reasons[0], StreamClose::kByUs);
  EXPECT_EQ(server.reasons[0], StreamClose::kByPeer);
  EXPECT_EQ(lab.a.stack.streams().InfoOf(id), nullptr);
  lab.Run(Duration::Minutes(2));
  EXPECT_EQ(lab.a.stack.status().time_wait_count, 0u);
  EXPECT_EQ(lab.b.stack.status().buffer_bytes_used, 0u);
  EXPECT_EQ(lab.b.frames.free_count(), lab.b.frames.frame_count());
}

class FaultTest : public ::testing::TestWithParam<uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Seeds, FaultTest, ::testing::Range<uint64_t>(1, 9));

TEST_P(FaultTest, TcpSurvivesLossReorderingAndDuplication) {
  Pair lab(GetParam(), GetParam() % 2 == 0);
  lab.wire.faults = {50, 50, 100, Duration::Milliseconds(2)};
  StreamRecorder client(lab.a.stack);
  StreamRecorder server(lab.b.stack, true);
  ASSERT_TRUE(lab.b.stack.streams().Listen({kAny4, 5060}, {}, server).ok());
  const StreamId id = lab.a.stack.streams().Connect(kB4, {}, client).value();
  client.pending = Pattern(100'000);
  ASSERT_TRUE(lab.RunUntil([&] { return client.open_count == 1; }, Duration::Minutes(1)));
  client.Push(id);
  ASSERT_TRUE(
      lab.RunUntil([&] { return client.received.size() >= 100'000; }, Duration::Minutes(10)))
      << client.received.size();
  EXPECT_EQ(client.received, Pattern(100'000));
  lab.a.stack.streams().CloseStream(id);
  EXPECT_TRUE(lab.RunUntil([&] { return server.closed.size() == 1; }, Duration::Minutes(2)));
  lab.wire.faults = {};
  lab.Run(Duration::Minutes(3));
  EXPECT_EQ(lab.a.frames.free_count(), lab.a.frames.frame_count());
  EXPECT_EQ(lab.b.frames.free_count(), lab.b.frames.frame_count());
  EXPECT_EQ(lab.a.stack.status().buffer_bytes_used, 0u);
  EXPECT_EQ(lab.b.stack.status().buffer_bytes_used, 0u);
}

TEST(StackTest, ARunIsTheSameEveryTime) {
  const auto run = [] {
    Pair lab(7);
    lab.wire.faults = {30, 30, 30, Duration::Milliseconds(1)};
    uint64_t digest = 0;
    lab.wire.filter = [&](const Bytes& frame) {
      for (uint8_t byte : frame) {
        digest = digest * 1099511628211u + byte;
      }
      digest += static_cast<uint64_t>(lab.clock.now.ns);
      return true;
    };
    StreamRecorder client(lab.a.stack);
    StreamRecorder server(lab.b.stack, true);
    EXPECT_TRUE(lab.b.stack.streams().Listen({kAny4, 5060}, {}, server).ok());
    const StreamId id = lab.a.stack.streams().Connect(kB4, {}, client).value();
    lab.RunUntil([&] { return client.open_count == 1; }, kSoon);
    client.pending = Pattern(50'000);
    client.Push(id);
    lab.Run(Duration::Seconds(30));
    lab.wire.filter = nullptr;
    return digest;
  };
  EXPECT_EQ(run(), run());
}

TEST(StackTest, AReaderThatDoesNotConsumeHoldsTheSenderBack) {
  Pair lab;
  StreamRecorder client(lab.a.stack);
  StreamRecorder server(lab.b.stack);
  server.consume_max = 0;
  ASSERT_TRUE(lab.b.stack.streams().Listen({kAny4, 5060}, {}, server).ok());
  const StreamId id = lab.a.stack.streams().Connect(kB4, {}, client).value();
  lab.RunUntil([&] { return client.open_count == 1; }, kSoon);
  client.pending = Pattern(400'000);
  client.Push(id);
  lab.Run(Duration::Seconds(20));
  EXPECT_LE(server.offered_max, size_t{kStreamQueueMax});
  EXPECT_GT(server.offered_max, size_t{kStreamQueueMax} / 2);
  EXPECT_GT(client.pending.size(), 400'000u - 3 * kStreamQueueMax);
  EXPECT_EQ(lab.a.stack.streams().SendStream(id, Pattern(60'000)).code(), ErrorCode::kWouldBlock);
  // What is held costs no frames.
  EXPECT_EQ(lab.b.frames.free_count(), lab.b.frames.frame_count());
  server.consume_max = 1000;
  for (int i = 0; i < 10; ++i) {
    lab.b.stack.streams().ResumeStream(server.opened[0]);
    lab.Run(Duration::Milliseconds(10));
  }
  EXPECT_EQ(server.received.size(), 10'000u);
  server.consume_max = SIZE_MAX;
  lab.b.stack.streams().ResumeStream(server.opened[0]);
  ASSERT_TRUE(lab.RunUntil([&] { return server.received.size() >= 400'000; }, Duration::Minutes(5)))
      << server.received.size();
  EXPECT_EQ(server.received, Pattern(400'000));
  EXPECT_GT(client.writable_count, 0u);
}

TEST(StackTest, WhatWasNotConsumedIsOfferedALastTimeWhenThePeerCloses) {
  Pair lab;
  StreamRecorder client(lab.a.stack);
  StreamRecorder server(lab.b.stack);
  server.consume_max = 0;
  ASSERT_TRUE(lab.b.stack.streams().Listen({kAny4, 5060}, {}, server).ok());
  const StreamId id = lab.a.stack.streams().Connect(kB4, {}, client).value();
  lab.RunUntil([&] { return client.open_count == 1; }, kSoon);
  ASSERT_TRUE(lab.a.stack.streams().SendStream(id, Pattern(3000)).ok());
  lab.Run(Duration::Milliseconds(100));
  EXPECT_EQ(server.received.size(), 0u);
  server.consume_max = 2000;
  lab.a.stack.streams().CloseStream(id);
  ASSERT_TRUE(lab.RunUntil([&] { return server.closed.size() == 1; }, kSoon));
  EXPECT_EQ(server.received.size(), 2000u);
  EXPECT_EQ(server.reasons[0], StreamClose::kByPeer);
  lab.Run(Duration::Seconds(1));  // the last FIN is acknowledged
  EXPECT_EQ(lab.b.stack.status().buffer_bytes_used, 0u);
}

TEST(StackTest, WhatAKeepingReaderHoldsBackOutlastsThePeersClose) {
  Pair lab;
  StreamRecorder client(lab.a.stack);
  StreamRecorder server(lab.b.stack);
  server.consume_max = 0;
  ASSERT_TRUE(lab.b.stack.streams().Listen({kAny4, 5060}, {.keep_until_read = true}, server).ok());
  const StreamId id = lab.a.stack.streams().Connect(kB4, {}, client).value();
  lab.RunUntil([&] { return client.open_count == 1; }, kSoon);
  ASSERT_TRUE(lab.a.stack.streams().SendStream(id, Pattern(3000)).ok());
  lab.a.stack.streams().CloseStream(id);
  lab.Run(Duration::Seconds(5));
  EXPECT_TRUE(server.closed.empty());
  server.consume_max = 1000;
  for (size_t read = 1000; read <= 3000; read += 1000) {
    EXPECT_TRUE(server.closed.empty());
    lab.b.stack.streams().ResumeStream(server.opened[0]);
    lab.Run(Duration::Milliseconds(10));
    EXPECT_EQ(server.received.size(), read);
  }
  EXPECT_EQ(server.received, Pattern(3000));
  ASSERT_EQ(server.closed.size(), 1u);
  EXPECT_EQ(server.reasons[0], StreamClose::kByPeer);
  lab.Run(Duration::Seconds(1));
  EXPECT_EQ(lab.b.stack.status().buffer_bytes_used, 0u);
}

TEST(StackTest, AKeepingReaderMayGiveUpWhatItHoldsBack) {
  Pair lab;
  StreamRecorder client(lab.a.stack);
  StreamRecorder server(lab.b.stack);
  server.consume_max = 0;
  ASSERT_TRUE(lab.b.stack.streams().Listen({kAny4, 5060}, {.keep_until_read = true}, server).ok());
  const StreamId id = lab.a.stack.streams().Connect(kB4, {}, client).value();
  lab.RunUntil([&] { return client.open_count == 1; }, kSoon);
  ASSERT_TRUE(lab.a.stack.streams().SendStream(id, Pattern(3000)).ok());
  lab.a.stack.streams().CloseStream(id);
  lab.Run(Duration::Seconds(1));
  lab.b.stack.streams().CloseStream(server.opened[0]);
  ASSERT_TRUE(lab.RunUntil([&] { return server.closed.size() == 1; }, kSoon));
  EXPECT_EQ(server.reasons[0], StreamClose::kByUs);
  lab.Run(Duration::Seconds(1));
  EXPECT_EQ(lab.b.stack.status().buffer_bytes_used, 0u);
}

// A crowd that is told much at once, and speaks while it is.
TEST(StackTest, WhatIsSentLeavesRoomForWhatComes) {
  Capacity small;
  small.buffer_bytes = 512 * 1024;
  Pair lab(1, false, small);
  StreamRecorder client(lab.a.stack);
  StreamRecorder server(lab.b.stack);
  server.consume_max = 0;
  ASSERT_TRUE(lab.b.stack.streams().Listen({kAny4, 5060}, {}, server).ok());
  std::vector<StreamId> ids;
  for (uint32_t i = 0; i < 30; ++i) {
    ids.push_back(lab.a.stack.streams().Connect(kB4, {}, client).value());
  }
  ASSERT_TRUE(lab.RunUntil([&] { return server.open_count == 30; }, kSoon));
  lab.wire.filter = [&](const Bytes& frame) {  // what is said is long on its way
    PacketView view;
    return !ParsePacket(frame, view).ok() || view.source_port != 5060;
  };
  for (const StreamId id : server.opened) {
    while (lab.b.stack.streams().SendStream(id, Pattern(4000)).ok()) {
    }
  }
  EXPECT_GT(lab.b.stack.status().buffer_bytes_used, small.buffer_bytes / 2);
  for (const StreamId id : ids) {
    ASSERT_TRUE(lab.a.stack.streams().SendStream(id, Pattern(1000)).ok());
  }
  lab.Run(Duration::Milliseconds(200));
  EXPECT_GE(server.data_calls, 30u);
  EXPECT_TRUE(server.closed.empty());
  // Nothing was lost: both go on when the wire does.
  lab.wire.filter = nullptr;
  server.consume_max = SIZE_MAX;
  for (const StreamId id : server.opened) {
    lab.b.stack.streams().ResumeStream(id);
  }
  EXPECT_TRUE(
      lab.RunUntil([&] { return server.received.size() == 30'000 && server.writable_count == 30; },
                   Duration::Minutes(1)));
  EXPECT_TRUE(client.closed.empty());
}

TEST(StackTest, ConnectToNobodyIsRefusedOrTimesOut) {
  Pair lab;
  StreamRecorder client(lab.a.stack);
  // Closed port behind the firewall: silence.
  ASSERT_TRUE(lab.a.stack.streams().Connect({kB4.address, 9999}, {}, client).ok());
  ASSERT_TRUE(lab.RunUntil([&] { return client.closed.size() == 1; }, Duration::Minutes(2)));
  EXPECT_EQ(client.reasons[0], StreamClose::kTimeout);
  EXPECT_EQ(client.open_count, 0u);
  // No such network.
  EXPECT_EQ(lab.a.stack.streams()
                .Connect({IpAddress::Parse("2001:db8::1").value(), 1}, {}, client)
                .code(),
            ErrorCode::kUnreachable);
}

TEST(StackTest, APortIsUsedAgainBeforeTimeWaitIsOver) {
  Pair lab;
  StreamRecorder client(lab.a.stack);
  StreamRecorder server(lab.b.stack);
  ASSERT_TRUE(lab.b.stack.streams().Listen({kAny4, 5060}, {}, server).ok());
  ASSERT_TRUE(lab.a.stack.streams().Connect(kB4, {}, client).ok());
  ASSERT_TRUE(lab.RunUntil([&] { return server.open_count == 1; }, kSoon));
  std::vector<std::pair<uint8_t, uint32_t>> answers;  // flags, acknowledged
  uint32_t sequence = 0;                              // the client's latest
  lab.wire.filter = [&](const Bytes& frame) {
    PacketView view;
    if (ParsePacket(frame, view).ok() && view.protocol == kProtocolTcp) {
      if (view.source_port == 5060) {
        answers.emplace_back(view.tcp_flags, LoadBe32(frame.data() + view.l4 + 8));
      } else {
        sequence = LoadBe32(frame.data() + view.l4 + 4);
      }
    }
    return true;
  };
  lab.b.stack.streams().CloseStream(server.opened[0]);  // who closes first has to remember
  ASSERT_TRUE(lab.RunUntil([&] { return server.closed.size() == 1; }, kSoon));
  lab.Run(Duration::Seconds(1));
  ASSERT_EQ(lab.b.stack.status().time_wait_count, 1u);
  const auto ask = [&](uint32_t first) {
    answers.clear();
    lab.wire.Send(nullptr, test::TcpFrame(lab.b.port.mac(), client.infos[0].local, kB4, kTcpSyn,
                                          first, 0, {}, {2, 4, 5, 180}));
    lab.Run(Duration::Milliseconds(20));
  };
  // From before the end: an old duplicate, which is told where the connection stood.
  const uint32_t end = sequence;
  ask(end - 1);
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(answers[0].first, kTcpAck);
  EXPECT_EQ(lab.b.stack.status().time_wait_count, 1u);
  // Behind it: a new connection.
  ask(end + 64'000);
  ASSERT_FALSE(answers.empty());
  EXPECT_EQ(answers[0].first, kTcpSyn | kTcpAck);
  EXPECT_EQ(answers[0].second, end + 64'001);
  EXPECT_EQ(lab.b.stack.status().time_wait_count, 0u);
}

TEST(StackTest, AnIcmpPortUnreachableFailsAConnectInProgressOnly) {
  Pair lab;
  StreamRecorder client(lab.a.stack);
  Bytes syn;
  lab.wire.filter = [&](const Bytes& frame) {
    PacketView view;
    if (ParsePacket(frame, view).ok() && view.protocol == kProtocolTcp &&
        view.tcp_flags == kTcpSyn) {
      syn = frame;
      return false;
    }
    return true;
  };
  ASSERT_TRUE(lab.a.stack.streams().Connect(kB4, {}, client).ok());
  lab.Run(Duration::Milliseconds(50));
  ASSERT_FALSE(syn.empty());
  const auto unreachable = [&](uint32_t sequence_error) {
    Bytes body(4, 0);
    body.insert(body.end(), syn.begin() + 14, syn.begin() + 14 + 28);
    body[4 + 20 + 7] = static_cast<uint8_t>(body[4 + 20 + 7] + sequence_error);
    lab.wire.Send(nullptr, test::IcmpFrame(lab.a.port.mac(), kB4.address,
                                           IpAddress::V4(10, 0, 0, 1), 3, 3, body));
    lab.Run(Duration::Milliseconds(10));
  };
  unreachable(1);
  EXPECT_TRUE(client.closed.empty());
  unreachable(0);
  ASSERT_EQ(client.closed.size(), 1u);
  EXPECT_EQ(client.reasons[0], StreamClose::kRefused);
}

TEST(StackTest, AbortIsAResetAtThePeer) {
  Pair lab;
  StreamRecorder client(lab.a.stack);
  StreamRecorder server(lab.b.stack);
  ASSERT_TRUE(lab.b.stack.streams().Listen({kAny4, 5060}, {}, server).ok());
  const StreamId id = lab.a.stack.streams().Connect(kB4, {}, client).value();
  lab.RunUntil([&] { return server.open_count == 1; }, kSoon);
  lab.a.stack.streams().AbortStream(id);
  ASSERT_TRUE(lab.RunUntil([&] { return server.closed.size() == 1; }, kSoon));
  EXPECT_EQ(server.reasons[0], StreamClose::kReset);
  EXPECT_EQ(client.reasons[0], StreamClose::kByUs);
  EXPECT_EQ(lab.a.stack.streams().SendStream(id, Pattern(1)).code(), ErrorCode::kClosed);
  lab.a.stack.streams().AbortStream(id);  // no effect
  lab.a.stack.streams().CloseStream(id);
  EXPECT_EQ(lab.a.stack.status().connection_count, 0u);
}

TEST(StackTest, ARefusedStreamIsResetAndForgotten) {
  Pair lab;
  StreamRecorder client(lab.a.stack);
  StreamRecorder server(lab.b.stack);
  server.accept = false;
  ASSERT_TRUE(lab.b.stack.streams().Listen({kAny4, 5060}, {}, server).ok());
  ASSERT_TRUE(lab.a.stack.streams().Connect(kB4, {}, client).ok());
  ASSERT_TRUE(lab.RunUntil([&] { return client.closed.size() == 1; }, kSoon));
  EXPECT_EQ(client.reasons[0], StreamClose::kReset);
  EXPECT_TRUE(server.closed.empty());
  EXPECT_EQ(lab.b.stack.status().connection_count, 0u);
}

TEST(StackTest, BytesQueuedBeforeCloseArrive) {
  Pair lab;
  StreamRecorder client(lab.a.stack);
  StreamRecorder server(lab.b.stack);
  ASSERT_TRUE(lab.b.stack.streams().Listen({kAny4, 5060}, {}, server).ok());
  const StreamId id = lab.a.stack.streams().Connect(kB4, {}, client).value();
  lab.RunUntil([&] { return client.open_count == 1; }, kSoon);
  ASSERT_TRUE(lab.a.stack.streams().SendStream(id, Pattern(50'000)).ok());
  lab.a.stack.streams().CloseStream(id);
  ASSERT_TRUE(lab.RunUntil([&] { return server.closed.size() == 1; }, kSoon));
  EXPECT_EQ(server.received, Pattern(50'000));
  EXPECT_EQ(server.reasons[0], StreamClose::kByPeer);
}

TEST(StackTest, ADeadPeerIsNoticedByRetransmissionAndByKeepAlive) {
  Pair lab;
  StreamRecorder client(lab.a.stack);
  StreamRecorder server(lab.b.stack);
  ASSERT_TRUE(lab.b.stack.streams().Listen({kAny4, 5060}, {}, server).ok());
  const StreamId first = lab.a.stack.streams().Connect(kB4, {}, client).value();
  lab.a.stack.streams().Connect(kB4, {}, client).value();
  lab.RunUntil([&] { return server.open_count == 2; }, kSoon);
  lab.Run(Duration::Minutes(5));
  EXPECT_TRUE(client.closed.empty());  // keep-alives are answered
  EXPECT_EQ(lab.a.stack.status().idle_count, 2u);
  lab.wire.faults.lose = 1000;
  ASSERT_TRUE(lab.a.stack.streams().SendStream(first, Pattern(10)).ok());
  ASSERT_TRUE(lab.RunUntil([&] { return client.closed.size() == 2 && server.closed.size() == 2; },
                           Duration::Minutes(10)));
  for (StreamClose why : client.reasons) {
    EXPECT_EQ(why, StreamClose::kTimeout);
  }
}

TEST(StackTest, AClosedConnectionWhosePeerIsSilentEndsByTheDeadline) {
  Pair lab;
  StreamRecorder client(lab.a.stack);
  StreamRecorder server(lab.b.stack);
  ASSERT_TRUE(lab.b.stack.streams().Listen({kAny4, 5060}, {}, server).ok());
  const StreamId id = lab.a.stack.streams().Connect(kB4, {}, client).value();
  lab.RunUntil([&] { return client.open_count == 1; }, kSoon);
  lab.wire.faults.lose = 1000;
  ASSERT_TRUE(lab.a.stack.streams().SendStream(id, Pattern(1000)).ok());
  lab.a.stack.streams().CloseStream(id);
  lab.Run(Duration::Milliseconds(kCloseDeadlineMs - 2000));
  EXPECT_EQ(lab.a.stack.status().active_count, 1u);
  lab.Run(Duration::Seconds(3));
  EXPECT_EQ(lab.a.stack.status().active_count, 0u);
  EXPECT_EQ(lab.a.stack.status().buffer_bytes_used, 0u);
}

TEST(StackTest, PingIsAnsweredUnlessForbidden) {
  Pair lab;
  uint32_t replies = 0;
  lab.wire.filter = [&](const Bytes& frame) {
    PacketView view;
    if (ParsePacket(frame, view).ok() &&
        ((view.protocol == kProtocolIcmp && view.icmp_type == 0) ||
         (view.protocol == kProtocolIcmpv6 && view.icmp_type == 129))) {
      ++replies;
    }
    return true;
  };
  const auto ping = [&](const IpAddress& from, const IpAddress& to) {
    lab.wire.Send(nullptr, test::IcmpFrame(lab.b.port.mac(), from, to, from.is_v6() ? 128 : 8, 0,
                                           Pattern(64)));
    lab.Run(Duration::Milliseconds(5));
  };
  ping(IpAddress::V4(10, 0, 0, 1), kB4.address);
  EXPECT_EQ(replies, 1u);
  ping(Node::V6(1), kB6.address);
  EXPECT_EQ(replies, 2u);
  lab.b.stack.firewall().AllowEcho(false);
  ping(IpAddress::V4(10, 0, 0, 1), kB4.address);
  EXPECT_EQ(replies, 2u);
  lab.b.stack.firewall().AllowEcho(true);
  replies = 0;
  for (int i = 0; i < 2000; ++i) {
    lab.wire.Send(nullptr, test::IcmpFrame(lab.b.port.mac(), IpAddress::V4(10, 0, 0, 1),
                                           kB4.address, 8, 0, Pattern(8)));
  }
  lab.Run(Duration::Milliseconds(1));
  EXPECT_LE(replies, 210u);
  EXPECT_GE(replies, 190u);
}

TEST(FirewallStackTest, NothingIsHeardUnlessItIsAllowed) {
  Pair lab;
  lab.b.stack.firewall().RevokeAll();
  DatagramRecorder udp(lab.b.stack);
  StreamRecorder tcp(lab.b.stack);
  ASSERT_TRUE(lab.b.stack.datagrams().OpenDatagram({kAny4, 5060}, udp).ok());
  ASSERT_TRUE(lab.b.stack.streams().Listen({kAny4, 5060}, {}, tcp).ok());
  uint32_t answers = 0;
  lab.wire.filter = [&](const Bytes& frame) {
    PacketView view;
    answers += ParsePacket(frame, view).ok() && view.ether_type != kEtherArp &&
                       std::memcmp(&frame[6], lab.b.port.mac().data(), 6) == 0
                   ? 1
                   : 0;
    return true;
  };
  const Endpoint from{IpAddress::V4(10, 0, 0, 1), 1234};
  const auto send = [&] {
    lab.wire.Send(nullptr, test::UdpFrame(lab.b.port.mac(), from, kB4, Pattern(5)));
    lab.wire.Send(nullptr, test::TcpFrame(lab.b.port.mac(), from, kB4, kTcpSyn, 1, 0));
    lab.wire.Send(nullptr, test::TcpFrame(lab.b.port.mac(), from, kB4, kTcpAck, 1, 1));
    lab.Run(Duration::Milliseconds(50));
  };
  send();
  EXPECT_EQ(udp.datagrams.size(), 0u);
  EXPECT_EQ(answers, 0u);
  EXPECT_EQ(lab.b.stack.firewall().drops(DropReason::kClosedPort), 2u);
  EXPECT_EQ(lab.b.stack.firewall().drops(DropReason::kNoConnection), 1u);
  lab.b.stack.firewall().Allow({Transport::kUdp, 5060, 5060}).ignore("constant");
  send();
  EXPECT_EQ(udp.datagrams.size(), 1u);
  EXPECT_EQ(answers, 0u);
  lab.b.stack.firewall().Allow({Transport::kTcp, 5060, 5060, 0b110}).ignore("constant");
  send();
  EXPECT_EQ(answers, 0u);  // allowed on other Ethernet ports only
  lab.b.stack.firewall().Allow({Transport::kTcp, 5060, 5060, 0b001}).ignore("constant");
  send();
  EXPECT_GE(answers, 1u);
  lab.Run(Duration::Seconds(2));
  EXPECT_GE(lab.b.observer.drop_reports, 1u);
  EXPECT_LE(lab.b.observer.drop_reports, 6u);
}

// Answers every datagram for port 5060 with as many bytes as it is told.
struct AnsweringTap final : FrameTap {
  explicit AnsweringTap(Stack& of) : stack(of) { stack.AddTap(*this); }
  bool OnFrame(hal::Frame* frame, const PacketView* view) override {
    if (view == nullptr || view->protocol != kProtocolUdp || view->destination_port != 5060) {
      return false;
    }
    const bool is_answered = stack.Reply(frame, *view, Pattern(size));
    (is_answered ? answered : left) += 1;
    return is_answered;
  }
  Stack& stack;
  size_t size = 300;
  uint32_t answered = 0;
  uint32_t left = 0;
};

TEST_P(FamilyTest, ATapAnswersADatagramInItsOwnFrame) {
  Pair lab;
  AnsweringTap tap(lab.b.stack);
  DatagramRecorder to_a(lab.a.stack);
  DatagramRecorder to_b(lab.b.stack);
  lab.a.stack.firewall().Allow({Transport::kUdp, 1234, 1234}).ignore("constant");
  ASSERT_TRUE(lab.b.stack.datagrams().OpenDatagram({any(), 5060}, to_b).ok());
  const auto socket = lab.a.stack.datagrams().OpenDatagram({any(), 1234}, to_a);
  ASSERT_TRUE(socket.ok());
  const auto send = [&](size_t answer_size) {
    tap.size = answer_size;
    ASSERT_TRUE(lab.a.stack.datagrams().SendDatagram(*socket, b(), Pattern(500), {}).ok());
    lab.Run(Duration::Milliseconds(20));
  };
  for (const size_t size : {300, 500, 1400}) {
    to_a.datagrams.clear();
    send(size);
    ASSERT_EQ(to_a.datagrams.size(), 1u) << size;
    EXPECT_EQ(to_a.datagrams[0], Pattern(size));
    EXPECT_TRUE(to_a.infos.back().remote == b());
  }
  EXPECT_EQ(tap.answered, 3u);
  EXPECT_TRUE(to_b.datagrams.empty());
  send(1480);
  EXPECT_EQ(tap.left, 1u) << "larger than a packet may be";
  EXPECT_EQ(to_b.datagrams.size(), 1u) << "and goes on untouched";
}

TEST_P(FamilyTest, WhatTheFirewallKeepsOutOrIsDamagedIsNotAnswered) {
  Pair lab;
  AnsweringTap tap(lab.b.stack);
  const Endpoint from{GetParam() ? Node::V6(1) : IpAddress::V4(10, 0, 0, 1), 1234};
  const auto send = [&](Bytes frame) {
    lab.wire.Send(nullptr, frame);
    lab.Run(Duration::Milliseconds(5));
  };
  const Bytes good = test::UdpFrame(lab.b.port.mac(), from, b(), Pattern(100));
  send(good);
  EXPECT_EQ(tap.answered, 1u);
  Bytes damaged = good;
  damaged.back() ^= 1;
  send(damaged);
  Bytes for_all = good;
  std::fill(for_all.begin(), for_all.begin() + 6, 0xff);
  send(for_all);
  const Endpoint elsewhere{GetParam() ? Node::V6(9) : IpAddress::V4(10, 0, 0, 9), 5060};
  send(test::UdpFrame(lab.b.port.mac(), from, elsewhere, Pattern(100)));
  send(test::UdpFrame(lab.b.port.mac(), b(), b(), Pattern(100)));
  EXPECT_EQ(tap.left, 4u);
  const FilterRule rule{FilterAction::kDrop, FilterProtocol::kAny, kAllPorts, {}, 0, 0, 0};
  ASSERT_TRUE(lab.b.stack.firewall().SetFilter(std::array{rule}).ok());
  send(good);
  EXPECT_EQ(tap.answered, 1u);
}

// Every answer to what a rule rejects, as the sender sees it.
TEST(FirewallStackTest, WhatIsRejectedIsAnsweredAtABoundedRate) {
  Pair lab;
  Firewall& firewall = lab.b.stack.firewall();
  const FilterRule rule{FilterAction::kReject, FilterProtocol::kAny, kAllPorts, {}, 0, 0, 0};
  ASSERT_TRUE(firewall.SetFilter(std::array{rule}).ok());
  DatagramRecorder udp(lab.b.stack);
  StreamRecorder tcp(lab.b.stack);
  for (const IpAddress& any : {kAny4, kAny6}) {
    ASSERT_TRUE(lab.b.stack.datagrams().OpenDatagram({any, 5060}, udp).ok());
    ASSERT_TRUE(lab.b.stack.streams().Listen({any, 5060}, {}, tcp).ok());
  }
  std::vector<Bytes> answers;
  lab.wire.filter = [&](const Bytes& frame) {
    PacketView view;
    if (ParsePacket(frame, view).ok() && view.ether_type != kEtherArp &&
        std::memcmp(&frame[6], lab.b.port.mac().data(), 6) == 0) {
      answers.push_back(frame);
    }
    return true;
  };
  for (const bool v6 : {false, true}) {
    const Endpoint from{v6 ? Node::V6(1) : IpAddress::V4(10, 0, 0, 1), 1234};
    const Endpoint to = v6 ? kB6 : kB4;
    answers.clear();
    const Bytes datagram = test::UdpFrame(lab.b.port.mac(), from, to, Pattern(900));
    lab.wire.Send(nullptr, datagram);
    lab.wire.Send(nullptr,
                  test::TcpFrame(lab.b.port.mac(), from, to, kTcpSyn, 7000, 0, {}, {2, 4, 5, 180}));
    lab.wire.Send(nullptr, test::IcmpFrame(lab.b.port.mac(), from.address, to.address, v6 ? 128 : 8,
                                           0, Pattern(64)));
    Bytes damaged = datagram;
    damaged.back() ^= 1;
    lab.wire.Send(nullptr, damaged);
    lab.Run(Duration::Milliseconds(20));
    ASSERT_EQ(answers.size(), 3u) << v6;
    PacketView view;
    ASSERT_TRUE(ParsePacket(answers[0], view).ok());
    EXPECT_EQ(view.icmp_type, v6 ? 1 : 3);
    EXPECT_EQ(view.icmp_code, v6 ? 1 : 13);
    EXPECT_TRUE(view.Destination(answers[0].data()) == from.address);
    EXPECT_LE(view.l4 + view.l4_size - view.l3, v6 ? 1280 : 576);
    const auto quoted = std::span(answers[0]).subspan(view.l4 + 8u, 60);
    EXPECT_TRUE(std::equal(quoted.begin(), quoted.end(), datagram.begin() + 14));
    const uint16_t start =
        v6 ? PseudoHeaderSum({answers[0].data() + view.l3 + 8, 32}, kProtocolIcmpv6, view.l4_size)
           : uint16_t{0};
    EXPECT_EQ(ChecksumSum({answers[0].data() + view.l4, view.l4_size}, start), 0xffff);
    ASSERT_TRUE(ParsePacket(answers[1], view).ok());
    EXPECT_EQ(view.tcp_flags, kTcpRst | kTcpAck);
    EXPECT_EQ(LoadBe32(answers[1].data() + view.l4 + 8), 7001u);
    EXPECT_EQ(view.destination_port, 1234);
    ASSERT_TRUE(ParsePacket(answers[2], view).ok());
    EXPECT_EQ(view.icmp_type, v6 ? 1 : 3);
  }
  EXPECT_EQ(udp.datagrams.size(), 0u);
  EXPECT_EQ(firewall.drops(DropReason::kRejected), 8u);
  lab.Run(Duration::Seconds(2));  // the allowance is whole again
  answers.clear();
  const Endpoint from{IpAddress::V4(10, 0, 0, 1), 1234};
  for (uint32_t i = 0; i < 2 * kRejectBurst; ++i) {
    lab.wire.Send(nullptr, test::UdpFrame(lab.b.port.mac(), from, kB4, Pattern(8)));
  }
  lab.Run(Duration::Milliseconds(5));
  EXPECT_EQ(answers.size(), kRejectBurst) << "a flood must not become one of ours";
  answers.clear();
  lab.Run(Duration::Seconds(1));
  EXPECT_TRUE(answers.empty());
}

TEST(FirewallStackTest, AConnectionToARejectedServiceIsRefusedAtOnce) {
  Pair lab;
  const FilterRule rule{FilterAction::kReject, FilterProtocol::kTcp, kAllPorts, {}, 5060, 5060, 0};
  ASSERT_TRUE(lab.b.stack.firewall().SetFilter(std::array{rule}).ok());
  StreamRecorder client(lab.a.stack);
  ASSERT_TRUE(lab.a.stack.streams().Connect({kB4.address, 5060}, {}, client).ok());
  ASSERT_TRUE(lab.RunUntil([&] { return client.closed.size() == 1; }, Duration::Seconds(1)));
  EXPECT_EQ(client.reasons[0], StreamClose::kRefused);
}

TEST(FirewallStackTest, OddSourcesAndDestinationsAreDroppedAndCounted) {
  Pair lab;
  DatagramRecorder udp(lab.b.stack);
  ASSERT_TRUE(lab.b.stack.datagrams().OpenDatagram({kAny4, 5060}, udp).ok());
  const auto drops = [&](DropReason reason, const Bytes& frame) {
    const uint64_t before = lab.b.stack.firewall().drops(reason);
    lab.wire.Send(nullptr, frame);
    lab.Run(Duration::Milliseconds(2));
    return lab.b.stack.firewall().drops(reason) - before;
  };
  const auto mac = lab.b.port.mac();
  const auto from = [&](const char* text) {
    return test::UdpFrame(mac, {*IpAddress::Parse(text), 5}, kB4, Pattern(5));
  };
  for (const char* bad : {"127.0.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "10.0.0.2"}) {
    EXPECT_EQ(drops(DropReason::kBadSource, from(bad)), 1u) << bad;
  }
  const Endpoint a{IpAddress::V4(10, 0, 0, 1), 5};
  EXPECT_EQ(drops(DropReason::kNotForUs,
                  test::UdpFrame(mac, a, {IpAddress::V4(10, 0, 0, 77), 5060}, Pattern(5))),
            1u);
  EXPECT_EQ(drops(DropReason::kNotForUs,
                  test::UdpFrame({255, 255, 255, 255, 255, 255}, a,
                                 {IpAddress::V4(10, 0, 0, 255), 5060}, Pattern(5))),
            1u);
  Bytes bad_sum = test::UdpFrame(mac, a, kB4, Pattern(5));
  bad_sum.back() ^= 1;
  EXPECT_EQ(drops(DropReason::kBadChecksum, bad_sum), 1u);
  Bytes bad_header = test::UdpFrame(mac, a, kB4, Pattern(5));
  bad_header[14 + 8] ^= 1;
  EXPECT_EQ(drops(DropReason::kBadChecksum, bad_header), 1u);
  EXPECT_EQ(drops(DropReason::kFragment, test::IpFrame(mac, a.address, kB4.address, kProtocolTcp,
                                                       Pattern(40), -1, 0x2000)),
            1u);
  EXPECT_EQ(
      drops(DropReason::kProtocol, test::IpFrame(mac, a.address, kB4.address, 47, Pattern(40), -1)),
      1u);
  EXPECT_EQ(
      drops(DropReason::kIcmp, test::IcmpFrame(mac, a.address, kB4.address, 5, 0, Pattern(40))),
      1u);
  EXPECT_EQ(drops(DropReason::kProtocol, test::Ethernet(mac, 0x88cc)), 1u);
  EXPECT_EQ(drops(DropReason::kMalformed, Bytes(mac.begin(), mac.end())), 1u);
  EXPECT_EQ(udp.datagrams.size(), 0u);
  EXPECT_EQ(lab.b.frames.free_count(), lab.b.frames.frame_count());
}

TEST(FirewallStackTest, AnEphemeralSocketHearsOnlyThoseItAsked) {
  Pair lab;
  DatagramRecorder client(lab.b.stack);
  const SocketId id = lab.b.stack.datagrams().OpenDatagram({kAny4, 0}, client).value();
  const Endpoint server{IpAddress::V4(10, 0, 0, 1), 53};
  uint16_t port = 0;
  lab.wire.filter = [&](const Bytes& frame) {
    PacketView view;
    if (ParsePacket(frame, view).ok() && view.destination_port == 53) {
      port = view.source_port;
    }
    return true;
  };
  ASSERT_TRUE(lab.b.stack.datagrams().SendDatagram(id, server, Pattern(3)).ok());
  lab.Run(Duration::Milliseconds(20));
  // Where no media is relayed.
  ASSERT_TRUE(port >= 60000 || (port >= 30000 && port < 36000)) << port;
  const Endpoint to{kB4.address, port};
  lab.wire.Send(nullptr, test::UdpFrame(lab.b.port.mac(), server, to, Pattern(9)));
  lab.wire.Send(nullptr, test::UdpFrame(lab.b.port.mac(), {server.address, 54}, to, Pattern(9)));
  lab.wire.Send(nullptr,
                test::UdpFrame(lab.b.port.mac(), {IpAddress::V4(10, 0, 0, 9), 53}, to, Pattern(9)));
  lab.Run(Duration::Milliseconds(20));
  EXPECT_EQ(client.datagrams.size(), 1u);
  EXPECT_EQ(lab.b.stack.firewall().drops(DropReason::kNotAReply), 2u);
}

TEST(FirewallStackTest, FragmentsDoNotPassWhatIsClosed) {
  Pair lab;
  DatagramRecorder client(lab.a.stack);
  DatagramRecorder server(lab.b.stack);
  ASSERT_TRUE(lab.b.stack.datagrams().OpenDatagram({kAny4, 5060}, server).ok());
  ASSERT_TRUE(lab.b.stack.datagrams().OpenDatagram({kAny4, 7000}, server).ok());
  const SocketId c = lab.a.stack.datagrams().OpenDatagram({kAny4, 0}, client).value();
  uint32_t icmp = 0;
  lab.wire.filter = [&](const Bytes& frame) {
    PacketView view;
    icmp += ParsePacket(frame, view).ok() && view.protocol == kProtocolIcmp ? 1 : 0;
    return true;
  };
  for (int i = 0; i < 100; ++i) {
    for (uint16_t port : {uint16_t{7000}, uint16_t{7001}}) {
      lab.a.stack.datagrams().SendDatagram(c, {kB4.address, port}, Pattern(3000)).ignore("flood");
    }
    lab.Run(Duration::Milliseconds(1));
  }
  EXPECT_TRUE(server.datagrams.empty());
  EXPECT_EQ(icmp, 0u);  // silence, as to what comes whole
  ASSERT_TRUE(lab.a.stack.datagrams().SendDatagram(c, kB4, Pattern(3000)).ok());
  lab.Run(Duration::Milliseconds(10));
  EXPECT_EQ(server.datagrams.size(), 1u);
}

TEST(FloodTest, ASynFloodLeavesConnectionsAloneAndNewOnesGetIn) {
  Capacity capacity;
  capacity.connection_count = 100;
  capacity.half_open_count = 16;
  capacity.source_connection_max = 100;
  Lab lab;
  Node& a = lab.Add(1);
  Node& b = lab.Add(2, capacity);
  a.ConfigureStatic(1);
  b.ConfigureStatic(2);
  lab.Run(Duration::Seconds(3));
  b.stack.firewall().Allow({Transport::kTcp, 5060, 5060}).ignore("constant");
  StreamRecorder client(a.stack);
  StreamRecorder server(b.stack, true);
  ASSERT_TRUE(b.stack.streams().Listen({kAny4, 5060}, {}, server).ok());
  ASSERT_TRUE(b.stack.streams().Listen({kAny6, 5060}, {}, server).ok());
  const StreamId old = a.stack.streams().Connect(kB4, {}, client).value();
  lab.RunUntil([&] { return server.open_count == 1; }, kSoon);
  uint32_t number = 0;
  const auto flood = [&](uint32_t count) {
    for (uint32_t i = 0; i < count; ++i, ++number) {
      const Endpoint from{IpAddress::V4(10, 0, static_cast<uint8_t>(1 + number / 200 % 200),
                                        static_cast<uint8_t>(1 + number % 200)),
                          static_cast<uint16_t>(1024 + number % 50000)};
      b.port.Arrive(test::TcpFrame(b.port.mac(), from, kB4, kTcpSyn, number * 7919, 0));
    }
  };
  for (int i = 0; i < 50; ++i) {
    flood(100);
    lab.Run(Duration::Milliseconds(10));
  }
  EXPECT_EQ(b.stack.status().half_open_count, 16u);
  EXPECT_GT(b.stack.status().cookie_sent_count, 4000u);
  ASSERT_TRUE(a.stack.streams().SendStream(old, Pattern(5000)).ok());
  for (int i = 0; i < 20; ++i) {
    flood(100);
    lab.Run(Duration::Milliseconds(10));
  }
  EXPECT_EQ(client.received.size(), 5000u);
  // New connections come in by cookie, of both families, and carry data.
  for (const Endpoint& to : {kB4, kB6}) {
    StreamRecorder late(a.stack);
    const StreamId id = a.stack.streams().Connect(to, {}, late).value();
    for (int i = 0; i < 20 && late.open_count == 0; ++i) {
      flood(50);
      lab.Run(Duration::Milliseconds(10));
    }
    ASSERT_EQ(late.open_count, 1u);
    late.pending = Pattern(30'000);
    late.Push(id);
    ASSERT_TRUE(lab.RunUntil([&] { return late.received.size() == 30'000; }, kSoon));
    EXPECT_EQ(late.received, Pattern(30'000));
    a.stack.streams().CloseStream(id);
    lab.Run(Duration::Milliseconds(100));
  }
  EXPECT_EQ(b.stack.status().cookie_accepted_count, 2u);
  lab.Run(Duration::Seconds(15));
  EXPECT_EQ(b.stack.status().half_open_count, 0u) << b.stack.status().active_count;
  EXPECT_EQ(b.frames.free_count(), b.frames.frame_count());
}

TEST(FloodTest, ForgedAcknowledgementsOpenNothing) {
  Pair lab;
  StreamRecorder server(lab.b.stack);
  ASSERT_TRUE(lab.b.stack.streams().Listen({kAny4, 5060}, {}, server).ok());
  uint32_t resets = 0;
  lab.wire.filter = [&](const Bytes& frame) {
    PacketView view;
    resets += ParsePacket(frame, view).ok() && (view.tcp_flags & kTcpRst) != 0 ? 1 : 0;
    return true;
  };
  for (uint32_t i = 0; i < 5000; ++i) {
    const Endpoint from{IpAddress::V4(10, 0, 0, 1), static_cast<uint16_t>(1024 + i)};
    lab.b.port.Arrive(
        test::TcpFrame(lab.b.port.mac(), from, kB4, kTcpAck, i * 31, i * 0x10001, Pattern(10)));
    if (i % 100 == 0) {
      lab.Run(Duration::Milliseconds(1));
    }
  }
  EXPECT_EQ(server.open_count, 0u);
  EXPECT_EQ(lab.b.stack.status().cookie_accepted_count, 0u);
  EXPECT_LE(resets, 120u);
  EXPECT_GE(resets, 100u);
}

TEST(LimitTest, PerSourcePerListenerAndInAll) {
  Capacity capacity;
  capacity.connection_count = 12;
  capacity.source_connection_max = 5;
  Lab lab;
  Node& a = lab.Add(1);
  Node& c = lab.Add(3);
  Node& d = lab.Add(4);
  Node& b = lab.Add(2, capacity);
  for (Node* n : {&a, &b, &c, &d}) {
    n->ConfigureStatic(static_cast<uint8_t>(n == &a ? 1 : n == &b ? 2 : n == &c ? 3 : 4));
  }
  lab.Run(Duration::Seconds(3));
  b.stack.firewall().Allow({Transport::kTcp, 5060, 5061}).ignore("constant");
  StreamRecorder server(b.stack);
  const ListenerId main = b.stack.streams().Listen({kAny4, 5060}, {}, server).value();
  const ListenerId small = b.stack.streams().Listen({kAny4, 5061}, {}, server).value();
  EXPECT_TRUE(main.valid());
  b.stack.SetListenerLimit(small, 2);
  StreamRecorder client(a.stack);
  std::vector<StreamId> ids;
  for (int i = 0; i < 8; ++i) {
    ids.push_back(a.stack.streams().Connect(kB4, {}, client).value());
    lab.Run(Duration::Milliseconds(50));
  }
  EXPECT_EQ(server.open_count, 5u);
  EXPECT_GE(b.stack.firewall().drops(DropReason::kSourceLimit), 3u);
  StreamRecorder other(c.stack);
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(c.stack.streams().Connect({kB4.address, 5061}, {}, other).ok());
    lab.Run(Duration::Milliseconds(50));
  }
  EXPECT_EQ(server.open_count, 7u);
  EXPECT_GE(b.stack.firewall().drops(DropReason::kListenerLimit), 2u);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(c.stack.streams().Connect(kB4, {}, other).ok());
  }
  StreamRecorder third(d.stack);
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(d.stack.streams().Connect(kB4, {}, third).ok());
  }
  lab.Run(Duration::Milliseconds(500));
  EXPECT_EQ(server.open_count, 12u);
  EXPECT_EQ(b.stack.status().connection_count, 12u);
  EXPECT_GE(b.stack.firewall().drops(DropReason::kNoResource) + third.reasons.size() +
                other.reasons.size(),
            3u);
  // One goes, one of the waiting gets in by its retransmitted SYN.
  a.stack.streams().AbortStream(ids[0]);
  ASSERT_TRUE(lab.RunUntil([&] { return server.open_count >= 13; }, Duration::Seconds(30)));
}

TEST(LimitTest, WhatIsRememberedOfASourceIsNoneOfItsConnections) {
  Capacity capacity;
  capacity.connection_count = 12;
  capacity.source_connection_max = 5;
  Lab lab;
  Node& a = lab.Add(1);
  Node& b = lab.Add(2, capacity);
  a.ConfigureStatic(1);
  b.ConfigureStatic(2);
  lab.Run(Duration::Seconds(3));
  b.stack.firewall().Allow({Transport::kTcp, 5060, 5060}).ignore("constant");
  StreamRecorder server(b.stack);
  ASSERT_TRUE(b.stack.streams().Listen({kAny4, 5060}, {}, server).ok());
  // All log out and in again: the old connections end in TIME-WAIT here.
  for (uint32_t round = 1; round <= 3; ++round) {
    StreamRecorder client(a.stack);
    std::vector<StreamId> ids;
    for (int i = 0; i < 5; ++i) {
      ids.push_back(a.stack.streams().Connect(kB4, {}, client).value());
    }
    ASSERT_TRUE(lab.RunUntil([&] { return server.open_count == 5 * round; }, kSoon));
    for (const StreamId id : server.opened) {
      b.stack.streams().CloseStream(id);
    }
    server.opened.clear();
    lab.Run(Duration::Milliseconds(100));
    for (const StreamId id : ids) {
      a.stack.streams().CloseStream(id);
    }
    lab.Run(Duration::Milliseconds(100));
    EXPECT_EQ(b.stack.status().time_wait_count, 5 * round);
  }
  EXPECT_EQ(b.stack.firewall().drops(DropReason::kSourceLimit), 0u);
}

TEST(StackTest, ListenerClosedAndOpenedAgainKeepsItsConnections) {
  Pair lab;
  StreamRecorder client(lab.a.stack);
  StreamRecorder server(lab.b.stack, true);
  const ListenerId listener = lab.b.stack.streams().Listen({kAny4, 5060}, {}, server).value();
  EXPECT_EQ(lab.b.stack.streams().Listen({kAny4, 5060}, {}, server).code(),
            ErrorCode::kAlreadyExists);
  const StreamId id = lab.a.stack.streams().Connect(kB4, {}, client).value();
  lab.RunUntil([&] { return server.open_count == 1; }, kSoon);
  lab.b.stack.streams().CloseListener(listener);
  ASSERT_TRUE(lab.b.stack.streams().Listen({kAny4, 5060}, {}, server).ok());
  ASSERT_TRUE(lab.a.stack.streams().SendStream(id, Pattern(100)).ok());
  ASSERT_TRUE(lab.RunUntil([&] { return client.received.size() == 100; }, kSoon));
  ASSERT_TRUE(lab.a.stack.streams().Connect(kB4, {}, client).ok());
  ASSERT_TRUE(lab.RunUntil([&] { return server.open_count == 2; }, kSoon));
}

TEST(StackTest, LinkLossAndAddressChangeAreReportedAndSurvived) {
  Pair lab;
  StreamRecorder client(lab.a.stack);
  StreamRecorder server(lab.b.stack);
  ASSERT_TRUE(lab.b.stack.streams().Listen({kAny4, 5060}, {}, server).ok());
  const StreamId id = lab.a.stack.streams().Connect(kB4, {}, client).value();
  lab.RunUntil([&] { return server.open_count == 1; }, kSoon);
  EXPECT_TRUE(lab.a.observer.Has("link 0 up"));
  EXPECT_TRUE(lab.a.observer.Has("acquired 0 10.0.0.1"));
  EXPECT_TRUE(lab.a.observer.Has("acquired 0 fd00::1"));
  lab.a.port.link = false;
  lab.Run(Duration::Seconds(3));
  EXPECT_TRUE(lab.a.observer.Has("link 0 down"));
  ASSERT_TRUE(lab.a.stack.streams().SendStream(id, Pattern(100)).ok());
  lab.a.port.link = true;
  ASSERT_TRUE(lab.RunUntil([&] { return server.received.size() == 100; }, Duration::Seconds(30)));
  lab.a.ConfigureStatic(5);
  lab.Run(Duration::Seconds(2));
  EXPECT_TRUE(lab.a.observer.Has("lost 0 10.0.0.1"));
  EXPECT_TRUE(lab.a.observer.Has("acquired 0 10.0.0.5"));
  EXPECT_EQ(client.closed.size(), 1u);
  ASSERT_TRUE(lab.a.stack.streams().Connect(kB4, {}, client).ok());
  ASSERT_TRUE(lab.RunUntil([&] { return server.open_count == 2; }, kSoon));
  EXPECT_EQ(server.infos[1].remote.address, IpAddress::V4(10, 0, 0, 5));
}

TEST(StackTest, AnotherMachineWithOurAddressIsReportedAndNotLearnt) {
  Pair lab;
  lab.wire.Send(nullptr, test::ArpFrame({255, 255, 255, 255, 255, 255}, 1, {2, 0, 0, 0, 0, 66},
                                        IpAddress::V4(10, 0, 0, 2), IpAddress::V4(10, 0, 0, 2)));
  lab.Run(Duration::Milliseconds(10));
  EXPECT_TRUE(lab.b.observer.Has("conflict 0 10.0.0.2"));
}

TEST(StackTest, StaticAndDefaultRoutesChooseTheGateway) {
  Pair lab;
  StackConfig config = lab.a.stack.config();
  config.routes[0] = {*IpPrefix::Parse("192.0.2.0/24"), IpAddress::V4(10, 0, 0, 253), 0};
  config.routes[1] = {*IpPrefix::Parse("192.0.2.128/25"), IpAddress::V4(10, 0, 0, 252), 0};
  config.route_count = 2;
  ASSERT_TRUE(lab.a.stack.Configure(config).ok());
  std::vector<uint8_t> asked;
  lab.wire.filter = [&](const Bytes& frame) {
    if (frame[12] == 8 && frame[13] == 6 && (asked.empty() || asked.back() != frame[14 + 27])) {
      asked.push_back(frame[14 + 27]);
    }
    return true;
  };
  DatagramRecorder client(lab.a.stack);
  const SocketId id = lab.a.stack.datagrams().OpenDatagram({kAny4, 0}, client).value();
  for (const char* to : {"192.0.2.1", "192.0.2.200", "198.51.100.1", "10.0.0.77"}) {
    ASSERT_TRUE(
        lab.a.stack.datagrams().SendDatagram(id, {*IpAddress::Parse(to), 9}, Pattern(1)).ok());
    lab.Run(Duration::Milliseconds(1));
  }
  EXPECT_EQ(asked, (std::vector<uint8_t>{253, 252, 254, 77}));
  EXPECT_EQ(lab.a.stack.SourceFor(*IpAddress::Parse("198.51.100.1")), IpAddress::V4(10, 0, 0, 1));
  EXPECT_TRUE(lab.a.stack.SourceFor(*IpAddress::Parse("2001:db8::1")).is_none());
  config.routes[0].port_index = 2;
  EXPECT_EQ(lab.a.stack.Configure(config).code(), ErrorCode::kInvalidArgument);
}

TEST(StackTest, ATapSeesFramesFirst) {
  struct Tap final : FrameTap {
    bool OnFrame(hal::Frame* frame, const PacketView*) override {
      PacketView view;
      if (ParsePacket(frame->bytes(), view).ok() && view.destination_port == 5060) {
        ++taken;
        frames->Release(frame);
        return true;
      }
      return false;
    }
    hal::FramePool* frames = nullptr;
    uint32_t taken = 0;
  } tap;
  Pair lab;
  tap.frames = &lab.b.frames;
  lab.b.stack.AddTap(tap);
  DatagramRecorder server(lab.b.stack);
  ASSERT_TRUE(lab.b.stack.datagrams().OpenDatagram({kAny4, 5060}, server).ok());
  DatagramRecorder client(lab.a.stack);
  const SocketId id = lab.a.stack.datagrams().OpenDatagram({kAny4, 0}, client).value();
  ASSERT_TRUE(lab.a.stack.datagrams().SendDatagram(id, kB4, Pattern(1)).ok());
  lab.Run(Duration::Milliseconds(10));
  EXPECT_EQ(tap.taken, 1u);
  EXPECT_TRUE(server.datagrams.empty());
}

TEST_P(FamilyTest, ATapIsOfferedWhatIsPutTogetherForPortsWithoutASocket) {
  struct Tap final : FrameTap {
    bool OnFrame(hal::Frame*, const PacketView*) override { return false; }
    bool OnReassembled(const Endpoint& at, const Endpoint& from, std::span<uint8_t> data) override {
      local = at;
      remote = from;
      heard.emplace_back(data.begin(), data.end());
      return at.port == 24000;
    }
    Endpoint local;
    Endpoint remote;
    std::vector<Bytes> heard;
  } tap;
  Pair lab;
  lab.b.stack.AddTap(tap);
  DatagramRecorder server(lab.b.stack);
  ASSERT_TRUE(lab.b.stack.datagrams().OpenDatagram({any(), 5060}, server).ok());
  const IpAddress a = GetParam() ? Node::V6(1) : IpAddress::V4(10, 0, 0, 1);
  for (const uint16_t port : {uint16_t{24000}, uint16_t{5060}, uint16_t{24001}}) {
    ASSERT_TRUE(
        lab.a.stack.SendUnbound({a, 4000}, {b().address, port}, Pattern(kDatagramSizeMax), 0).ok());
    lab.Run(Duration::Milliseconds(100));
  }
  ASSERT_EQ(tap.heard.size(), 2u);  // not what has a socket
  EXPECT_EQ(tap.heard[0], Pattern(kDatagramSizeMax));
  EXPECT_EQ(tap.local, (Endpoint{b().address, 24001}));
  EXPECT_EQ(tap.remote, (Endpoint{a, 4000}));
  ASSERT_EQ(server.datagrams.size(), 1u);
  EXPECT_EQ(lab.a.stack.SendUnbound({a, 4000}, b(), Pattern(kDatagramSizeMax + 1), 0).code(),
            ErrorCode::kTooLarge);
  lab.Run(Duration::Seconds(10));
  EXPECT_EQ(lab.a.frames.free_count(), lab.a.frames.frame_count());
  EXPECT_EQ(lab.b.frames.free_count(), lab.b.frames.frame_count());
  EXPECT_EQ(lab.a.stack.status().buffer_bytes_used, 0u);
}

TEST(StackTest, WithoutFramesSendingSaysSoAndRecovers) {
  Lab lab;
  Node& a = lab.Add(1, {}, 64);
  a.ConfigureStatic(1);
  lab.Run(Duration::Seconds(3));
  std::vector<hal::Frame*> taken;
  while (hal::Frame* frame = a.frames.Allocate()) {
    taken.push_back(frame);
  }
  DatagramRecorder client(a.stack);
  const SocketId id = a.stack.datagrams().OpenDatagram({kAny4, 0}, client).value();
  EXPECT_EQ(a.stack.datagrams().SendDatagram(id, kB4, Pattern(1)).code(), ErrorCode::kExhausted);
  StreamRecorder stream(a.stack);
  const StreamId s = a.stack.streams().Connect(kB4, {}, stream).value();
  lab.Run(Duration::Seconds(1));
  for (hal::Frame* frame : taken) {
    a.frames.Release(frame);
  }
  EXPECT_TRUE(a.stack.datagrams().SendDatagram(id, kB4, Pattern(1)).ok());
  a.stack.streams().AbortStream(s);
  lab.Run(Duration::Seconds(30));
  EXPECT_EQ(a.frames.free_count(), a.frames.frame_count());
}

TEST(StackTest, SocketsAreRefusedWhenTaken) {
  Pair lab;
  DatagramRecorder r(lab.a.stack);
  const SocketId one = lab.a.stack.datagrams().OpenDatagram({kAny4, 5060}, r).value();
  EXPECT_EQ(lab.a.stack.datagrams().OpenDatagram({kAny4, 5060}, r).code(),
            ErrorCode::kAlreadyExists);
  EXPECT_TRUE(lab.a.stack.datagrams().OpenDatagram({kAny6, 5060}, r).ok());
  EXPECT_EQ(lab.a.stack.datagrams().OpenDatagram({IpAddress::V4(10, 0, 0, 1), 5060}, r).code(),
            ErrorCode::kAlreadyExists);
  lab.a.stack.datagrams().CloseDatagram(one);
  EXPECT_TRUE(lab.a.stack.datagrams().OpenDatagram({IpAddress::V4(10, 0, 0, 1), 5060}, r).ok());
  EXPECT_EQ(lab.a.stack.datagrams().SendDatagram(one, kB4, Pattern(1)).code(), ErrorCode::kOk);
  uint32_t opened = 0;
  while (lab.a.stack.datagrams().OpenDatagram({kAny4, 0}, r).ok()) {
    ++opened;
  }
  EXPECT_EQ(opened, Capacity().datagram_socket_count + Capacity().dns_query_count - 2);
}

TEST(StackTest, MemoryOfASilentConnection) {
  // What one more connection takes from the arena, lwIP's control block included.
  const auto arena_for = [](uint32_t connections) {
    Capacity c;
    c.connection_count = connections;
    c.time_wait_count = 64;
    c.half_open_count = 64;
    c.segment_count = 1024;
    Lab lab;
    return lab.Add(1, c).arena.used();
  };
  const uint64_t bytes = (arena_for(5120 + 2048) - arena_for(5120)) / 2048;
  RecordProperty("bytes_per_silent_connection", static_cast<int>(bytes));
  printf("silent connection: %u bytes\n", static_cast<unsigned>(bytes));
  EXPECT_LE(bytes, 4096u);
}

}  // namespace
}  // namespace gh::net
