// Blocks, filter rules and the management port: what may begin, what may stay, what stays apart.
#include "net/firewall.h"

#include <gtest/gtest.h>

#include "tests/unit/net/craft.h"
#include "tests/unit/net/fake_wire.h"

namespace gh::net {
namespace {

using test::Bytes;
using test::DatagramRecorder;
using test::FakePort;
using test::Lab;
using test::Node;
using test::StreamRecorder;

constexpr Duration kSoon = Duration::Seconds(5);
const Instant kNow{1'000'000'000};
const IpAddress kAlice = IpAddress::V4(10, 0, 0, 1);
const IpAddress kBob = IpAddress::V4(10, 0, 1, 1);

struct FirewallListsTest : testing::Test {
  static constexpr size_t kSize = 1 << 20;
  std::unique_ptr<uint8_t[]> memory{new uint8_t[kSize + 64]};
  Arena arena{std::span(Node::Aligned(memory.get()), kSize)};
  Firewall firewall{arena};

  DropReason Judge(const IpAddress& source, uint16_t port = 22, uint8_t port_index = 0,
                   FilterProtocol protocol = FilterProtocol::kTcp, Instant now = kNow) {
    return firewall.Judge({protocol, source, port, port_index}, now);
  }
};

TEST_F(FirewallListsTest, WithoutRulesAndBlocksEverythingMayBegin) {
  EXPECT_EQ(Judge(kAlice), DropReason::kCount);
}

TEST_F(FirewallListsTest, TheFirstRuleThatFitsDecides) {
  FilterRule allow{FilterAction::kAllow, FilterProtocol::kTcp, 1, {kAlice, 32}, 22, 22, 0};
  FilterRule drop{FilterAction::kDrop, FilterProtocol::kAny, kAllPorts, {}, 22, 25, 0};
  ASSERT_TRUE(firewall.SetFilter(std::array{allow, drop}).ok());
  EXPECT_EQ(Judge(kAlice), DropReason::kCount);
  EXPECT_EQ(Judge(kAlice, 22, 1), DropReason::kFiltered);  // another LAN port
  EXPECT_EQ(Judge(kAlice, 22, 0, FilterProtocol::kUdp), DropReason::kFiltered);
  EXPECT_EQ(Judge(kBob), DropReason::kFiltered);
  EXPECT_EQ(Judge(kBob, 21), DropReason::kCount);
  EXPECT_EQ(Judge(kBob, 25), DropReason::kFiltered);
  EXPECT_EQ(Judge(kBob, 26), DropReason::kCount);
  EXPECT_EQ(Judge(IpAddress::Parse("2001:db8::1").value(), 23), DropReason::kFiltered);
  EXPECT_EQ(Judge(kBob, 0, 0, FilterProtocol::kEcho), DropReason::kCount);
  EXPECT_EQ(firewall.filter_counters(0).matched, 1u);
  EXPECT_EQ(firewall.filter_counters(1).matched, 5u);
  EXPECT_TRUE(firewall.Tolerates({FilterProtocol::kTcp, kAlice, 22, 0}, kNow));
  EXPECT_FALSE(firewall.Tolerates({FilterProtocol::kTcp, kBob, 22, 0}, kNow));
  EXPECT_EQ(firewall.filter_counters(1).matched, 5u);
}

TEST_F(FirewallListsTest, RulesThatStayKeepTheirCounters) {
  FilterRule first{FilterAction::kDrop, FilterProtocol::kTcp, kAllPorts, {kAlice, 32}, 22, 22, 0};
  FilterRule second{FilterAction::kDrop, FilterProtocol::kEcho, kAllPorts, {}, 0, 0, 0};
  ASSERT_TRUE(firewall.SetFilter(std::array{first}).ok());
  EXPECT_EQ(Judge(kAlice), DropReason::kFiltered);
  ASSERT_TRUE(firewall.SetFilter(std::array{second, first}).ok());
  EXPECT_EQ(firewall.filter_counters(0).matched, 0u);
  EXPECT_EQ(firewall.filter_counters(1).matched, 1u);
}

TEST_F(FirewallListsTest, ARateLetsThatManyThroughASecond) {
  FilterRule rule{FilterAction::kAllow, FilterProtocol::kTcp, kAllPorts, {}, 22, 22, 10};
  ASSERT_TRUE(firewall.SetFilter(std::array{rule}).ok());
  Instant now = kNow;
  uint32_t passed = 0;
  for (int i = 0; i < 1000; ++i, now = now + Duration::Milliseconds(10)) {
    passed += Judge(kAlice, 22, 0, FilterProtocol::kTcp, now) == DropReason::kCount ? 1 : 0;
  }
  EXPECT_GE(passed, 105u);  // ten seconds and the burst
  EXPECT_LE(passed, 111u);
  EXPECT_EQ(firewall.filter_counters(0).limited, 1000u - passed);
}

TEST_F(FirewallListsTest, RefusesRulesThatMakeNoSense) {
  std::array<FilterRule, kFilterRuleMax + 1> many = {};
  EXPECT_TRUE(firewall.SetFilter(std::span(many).first(kFilterRuleMax)).ok());
  EXPECT_EQ(firewall.SetFilter(many).code(), ErrorCode::kExhausted);
  FilterRule rule{FilterAction::kDrop, FilterProtocol::kAny, kAllPorts, {}, 10, 9, 0};
  EXPECT_EQ(firewall.SetFilter(std::array{rule}).code(), ErrorCode::kInvalidArgument);
  rule = {FilterAction::kAllow, FilterProtocol::kAny, kAllPorts, {}, 1, 9, kFilterRateMax + 1};
  EXPECT_EQ(firewall.SetFilter(std::array{rule}).code(), ErrorCode::kInvalidArgument);
  rule.rate = kFilterRateMax;
  EXPECT_TRUE(firewall.SetFilter(std::array{rule}).ok());
}

TEST_F(FirewallListsTest, BlocksEndAndAreLifted) {
  firewall.Block(kAlice, kNow + Duration::Seconds(60), 22);
  firewall.Block(kBob, kNow + Duration::Seconds(60));
  EXPECT_EQ(Judge(kAlice), DropReason::kBlocked);
  EXPECT_EQ(Judge(kAlice, 5060), DropReason::kCount);
  EXPECT_EQ(Judge(kBob, 5060), DropReason::kBlocked);
  EXPECT_EQ(firewall.blocks().size(), 2u);
  const Instant later = kNow + Duration::Seconds(60);
  EXPECT_EQ(Judge(kBob, 22, 0, FilterProtocol::kTcp, later), DropReason::kCount);
  firewall.Block(kAlice, kNow + Duration::Seconds(10), 22);  // never shortens
  EXPECT_TRUE(firewall.IsBlocked(kAlice, 22, kNow + Duration::Seconds(59)));
  EXPECT_TRUE(firewall.Unblock(kAlice));
  EXPECT_FALSE(firewall.Unblock(kAlice));
  EXPECT_EQ(Judge(kAlice), DropReason::kCount);
  firewall.ExpireBlocks(later);
  EXPECT_TRUE(firewall.blocks().empty());
}

TEST_F(FirewallListsTest, AnIpv6SenderIsBlockedByItsNetwork) {
  firewall.Block(IpAddress::Parse("2001:db8:1:2:3::4").value(), kNow + Duration::Seconds(9));
  EXPECT_EQ(Judge(IpAddress::Parse("2001:db8:1:2:ffff::1").value()), DropReason::kBlocked);
  EXPECT_EQ(Judge(IpAddress::Parse("2001:db8:1:3::4").value()), DropReason::kCount);
}

TEST_F(FirewallListsTest, BlocksAreBoundedAndTheOneThatEndsFirstGivesWay) {
  const auto address = [](uint32_t i) {
    return IpAddress::V4(172, 16, static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i));
  };
  for (uint32_t i = 0; i < kBlockMax; ++i) {  // in no order
    firewall.Block(address(i * 7919 % kBlockMax), kNow + Duration::Seconds(100 + i));
  }
  EXPECT_EQ(firewall.blocks().size(), kBlockMax);
  firewall.Block(kBob, kNow + Duration::Seconds(1000));
  EXPECT_EQ(firewall.blocks().size(), kBlockMax);
  EXPECT_EQ(Judge(address(0)), DropReason::kCount);  // i = 0 ended first
  for (uint32_t i = 1; i < kBlockMax; ++i) {
    ASSERT_EQ(Judge(address(i * 7919 % kBlockMax)), DropReason::kBlocked) << i;
  }
  EXPECT_EQ(Judge(kBob), DropReason::kBlocked);
}

// --- In the stack -------------------------------------------------------------------------------

const IpAddress kAny4 = IpAddress::V4(0, 0, 0, 0);
const Endpoint kServer{IpAddress::V4(10, 0, 0, 2), 5060};

struct Pair : Lab {
  Pair() : a(Add(1)), b(Add(2)) {
    a.ConfigureStatic(1);
    b.ConfigureStatic(2);
    Run(Duration::Seconds(3));
    b.stack.firewall().Allow({Transport::kUdp, 5060, 5060}).ignore("constant");
    b.stack.firewall().Allow({Transport::kTcp, 5060, 5060}).ignore("constant");
  }
  Node& a;
  Node& b;
};

TEST(FirewallStackTest, ABlockedPeerBeginsNothingAndItsConnectionsEnd) {
  Pair lab;
  StreamRecorder client(lab.a.stack);
  StreamRecorder server(lab.b.stack);
  DatagramRecorder datagrams(lab.b.stack);
  DatagramRecorder sender(lab.a.stack);
  ASSERT_TRUE(lab.b.stack.streams().Listen({kAny4, 5060}, {}, server).ok());
  ASSERT_TRUE(lab.b.stack.datagrams().OpenDatagram({kAny4, 5060}, datagrams).ok());
  const SocketId socket = lab.a.stack.datagrams().OpenDatagram({kAny4, 0}, sender).value();
  ASSERT_TRUE(lab.a.stack.streams().Connect(kServer, {}, client).ok());
  ASSERT_TRUE(lab.RunUntil([&] { return client.open_count == 1; }, kSoon));

  lab.b.stack.firewall().Block(kAlice, lab.clock.now + Duration::Seconds(30));
  lab.b.stack.EnforceFirewall();
  ASSERT_TRUE(lab.RunUntil([&] { return !client.closed.empty(); }, kSoon));
  EXPECT_EQ(client.reasons[0], StreamClose::kReset);
  ASSERT_TRUE(lab.a.stack.datagrams().SendDatagram(socket, kServer, Bytes(10)).ok());
  lab.Run(Duration::Seconds(1));
  EXPECT_TRUE(datagrams.datagrams.empty());
  EXPECT_GE(lab.b.stack.firewall().drops(DropReason::kBlocked), 1u);

  lab.Run(Duration::Seconds(30));
  ASSERT_TRUE(lab.a.stack.datagrams().SendDatagram(socket, kServer, Bytes(10)).ok());
  EXPECT_TRUE(lab.RunUntil([&] { return datagrams.datagrams.size() == 1; }, kSoon));
}

TEST(FirewallStackTest, AFilterRuleKeepsConnectionsFromBeginning) {
  Pair lab;
  StreamRecorder client(lab.a.stack);
  StreamRecorder server(lab.b.stack);
  ASSERT_TRUE(lab.b.stack.streams().Listen({kAny4, 5060}, {}, server).ok());
  const FilterRule drop{FilterAction::kDrop, FilterProtocol::kTcp, 1, {kAlice, 32}, 5060, 5060, 0};
  ASSERT_TRUE(lab.b.stack.firewall().SetFilter(std::array{drop}).ok());
  ASSERT_TRUE(lab.a.stack.streams().Connect(kServer, {}, client).ok());
  lab.Run(Duration::Seconds(4));
  EXPECT_EQ(client.open_count, 0u);
  EXPECT_GE(lab.b.stack.firewall().filter_counters(0).matched, 1u);
  ASSERT_TRUE(lab.b.stack.firewall().SetFilter({}).ok());
  EXPECT_TRUE(lab.RunUntil([&] { return client.open_count == 1; }, Duration::Seconds(30)));
}

TEST(FirewallStackTest, AServiceClosedOnThisPortResetsItsConnections) {
  Pair lab;
  StreamRecorder client(lab.a.stack);
  StreamRecorder server(lab.b.stack);
  ASSERT_TRUE(lab.b.stack.streams().Listen({kAny4, 5060}, {}, server).ok());
  ASSERT_TRUE(lab.a.stack.streams().Connect(kServer, {}, client).ok());
  ASSERT_TRUE(lab.RunUntil([&] { return client.open_count == 1; }, kSoon));
  lab.b.stack.EnforceFirewall();  // nothing has changed
  lab.Run(Duration::Seconds(1));
  EXPECT_TRUE(client.closed.empty());
  lab.b.stack.firewall().RevokeAll();
  lab.b.stack.firewall().Allow({Transport::kTcp, 5060, 5060, 4}).ignore("constant");
  lab.b.stack.EnforceFirewall();
  EXPECT_TRUE(lab.RunUntil([&] { return !client.closed.empty(); }, kSoon));
}

TEST(FirewallStackTest, FilteredEchoRequestsAreNotAnswered) {
  Pair lab;
  uint32_t replies = 0;
  lab.wire.filter = [&](const Bytes& frame) {
    replies += frame.size() > 34 && frame[12] == 8 && frame[23] == 1 && frame[34] == 0 ? 1 : 0;
    return true;
  };
  const auto ping = [&] {
    lab.b.port.Arrive(test::IcmpFrame(lab.b.port.mac(), kAlice, kServer.address, 8, 0, Bytes(8)));
    lab.Run(Duration::Seconds(2));
  };
  ping();
  EXPECT_EQ(replies, 1u);
  const FilterRule drop{FilterAction::kDrop, FilterProtocol::kEcho, 1, {}, 0, 0, 0};
  ASSERT_TRUE(lab.b.stack.firewall().SetFilter(std::array{drop}).ok());
  ping();
  EXPECT_EQ(replies, 1u);
}

// A machine with a signalling and a management port, each on a wire of its own.
struct TwoPorts {
  static constexpr size_t kMemory = 96 * 1024 * 1024;
  test::FakeClock clock;
  test::FakeWire lan{clock, 1};
  test::FakeWire management{clock, 2};
  std::unique_ptr<uint8_t[]> memory{new uint8_t[kMemory + 64]};
  Arena arena{std::span(Node::Aligned(memory.get()), kMemory)};
  hal::FramePool frames{arena, 1024};
  EventLoop loop{clock};
  test::SeededEntropy entropy{9};
  crypto::Random random{entropy};
  test::RecordingObserver observer;
  FakePort first{lan, frames, 1};
  FakePort third{management, frames, 3};
  Stack stack{{arena, frames, loop, random, observer, {&first, nullptr, &third}}, {}};
  StackConfig config;

  TwoPorts() {
    config.ports[0].ipv4_mode = Ipv4Mode::kStatic;
    config.ports[0].ipv4_address = {IpAddress::V4(10, 0, 0, 9), 24};
    config.ports[0].ipv4_gateway = IpAddress::V4(10, 0, 0, 254);
    config.ports[2].ipv4_mode = Ipv4Mode::kStatic;
    config.ports[2].ipv4_address = {IpAddress::V4(10, 9, 0, 9), 24};
    config.ports[2].mtu = 1280;
    config.management_port = 2;
    GH_ASSERT(stack.Configure(config).ok());
    Run(Duration::Seconds(1));
  }
  void Run(Duration duration) {
    const Instant end = clock.now + duration;
    while (clock.now < end) {
      lan.Deliver();
      management.Deliver();
      loop.RunOnce();
      clock.now = clock.now + Duration::Milliseconds(10);
    }
  }
  // By which wire a datagram from `source` (or the request for its next hop) went to `to`.
  std::pair<bool, bool> Send(const IpAddress& source, const IpAddress& to) {
    DatagramRecorder ears(stack);
    const SocketId socket = stack.datagrams().OpenDatagram({source, 0}, ears).value();
    Run(Duration::Seconds(20));  // requests for earlier next hops are given up
    const uint64_t on_lan = lan.frame_count;
    const uint64_t on_management = management.frame_count;
    stack.datagrams().SendDatagram(socket, {to, 9}, Bytes(20)).ignore("counted on the wires");
    loop.RunOnce();
    stack.datagrams().CloseDatagram(socket);
    return {lan.frame_count > on_lan, management.frame_count > on_management};
  }
};

TEST(ManagementPortTest, WhatGoesToItsSubnetLeavesByIt) {
  TwoPorts box;
  EXPECT_EQ(box.Send(kAny4, IpAddress::V4(10, 9, 0, 1)), std::pair(false, true));
  EXPECT_EQ(box.Send(kAny4, IpAddress::V4(10, 0, 0, 1)), std::pair(true, false));
  EXPECT_EQ(box.Send(kAny4, IpAddress::V4(192, 0, 2, 1)), std::pair(true, false));
}

TEST(ManagementPortTest, AStaticRouteTakesAServerBeyondItsSubnetThere) {
  TwoPorts box;
  box.config.routes[0] = {{IpAddress::V4(192, 0, 2, 0), 24}, IpAddress::V4(10, 9, 0, 254), 2};
  box.config.route_count = 1;
  ASSERT_TRUE(box.stack.Configure(box.config).ok());
  EXPECT_EQ(box.Send(kAny4, IpAddress::V4(192, 0, 2, 1)), std::pair(false, true));
  EXPECT_EQ(box.Send(IpAddress::V4(10, 9, 0, 9), IpAddress::V4(192, 0, 2, 1)),
            std::pair(false, true));
}

TEST(ManagementPortTest, NothingOfTheOtherPortsLeavesByItNorTheOtherWay) {
  TwoPorts box;
  const IpAddress lan = IpAddress::V4(10, 0, 0, 9);
  const IpAddress management = IpAddress::V4(10, 9, 0, 9);
  EXPECT_EQ(box.Send(lan, IpAddress::V4(10, 9, 0, 1)), std::pair(false, false));
  EXPECT_EQ(box.Send(management, IpAddress::V4(10, 0, 0, 1)), std::pair(false, false));
  EXPECT_EQ(box.Send(management, IpAddress::V4(192, 0, 2, 1)),
            std::pair(false, false));  // no route
  EXPECT_EQ(box.Send(management, IpAddress::V4(10, 9, 0, 1)), std::pair(false, true));
}

TEST(ManagementPortTest, HasAnMtuOfItsOwn) {
  TwoPorts box;
  EXPECT_EQ(box.stack.port_status(0).mtu, 1500);
  EXPECT_EQ(box.stack.port_status(2).mtu, 1280);
  box.config.ports[2].mtu = kPortMtuMin - 1;
  EXPECT_EQ(box.stack.Configure(box.config).code(), ErrorCode::kInvalidArgument);
  box.config.ports[2].mtu = kPortMtuMin;
  EXPECT_TRUE(box.stack.Configure(box.config).ok());
  box.config.ports[2].ipv6_mode = Ipv6Mode::kStatic;
  box.config.ports[2].ipv6_address = {IpAddress::Parse("fd09::9").value(), 64};
  EXPECT_EQ(box.stack.Configure(box.config).code(), ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace gh::net
