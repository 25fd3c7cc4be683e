// Two stacks on a wire: ARP, ICMP, UDP, TCP, with and without faults.
#include "net/stack.h"

#include <gtest/gtest.h>

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
  explicit Pair(uint64_t seed = 1, bool offload = false)
      : Lab(seed), a(Add(1, {}, 2048, offload)), b(Add(2, {}, 2048, offload)) {
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
  ASSERT_TRUE(lab.RunUntil([&] { return client.received.size() == 200'000; },
                           Duration::Seconds(60)));
  EXPECT_EQ(client.received, Pattern(200'000));
  EXPECT_TRUE(server.infos[0].accepted);
  lab.a.stack.streams().CloseStream(id);
  ASSERT_TRUE(lab.RunUntil([&] { return client.closed.size() == 1 && server.closed.size() == 1; },
                           kSoon));
  EXPECT_EQ(client.reasons[0], StreamClose::kByUs);
  EXPECT_EQ(server.reasons[0], StreamClose::kByPeer);
  EXPECT_EQ(lab.a.stack.streams().InfoOf(id), nullptr);
  lab.Run(Duration::Minutes(2));
  EXPECT_EQ(lab.a.stack.status().time_wait_count, 0u);
  EXPECT_EQ(lab.b.stack.status().buffer_bytes_used, 0u);
  EXPECT_EQ(lab.b.frames.free_count(), lab.b.frames.frame_count());
}

}  // namespace
}  // namespace gh::net
