// Both planes by hand: the media core's turns and the control plane's are the test's to give, so
// that either can be away. A client (1) and a peer (3) answer for their addresses; the edge (2) has
// its port behind the core. Each test ends with every frame back in one of the two pools.
#include "firmware/media/core.h"

#include <gtest/gtest.h>

#include "crypto/init.h"
#include "firmware/media/plane.h"
#include "tests/unit/net/craft.h"

namespace gh::media {
namespace {

using net::Endpoint;
using net::IpAddress;
using net::test::Bytes;
using net::test::FakePort;
using net::test::Lab;
using net::test::Node;
using net::test::Put16;

constexpr uint16_t kListen = 3478;
constexpr uint16_t kRelayPort = 24001;
constexpr uint32_t kFrames = 2048;
constexpr uint32_t kFlowCount = 5000;

struct NoProcessor final : hal::MediaProcessor {
  Result<void> Start(hal::ProcessorBody&) override { return Ok(); }
  void WakeMedia() override { ++media_woken; }
  void WakeControl() override { ++control_woken; }
  const char* name() const override { return "by hand"; }
  uint32_t media_woken = 0;
  uint32_t control_woken = 0;
};

struct Heard final : RelayHandler {
  bool OnRelayDatagram(const Endpoint&, const Endpoint&, std::span<uint8_t>) override {
    ++count;
    return true;
  }
  void OnRelayError(const Endpoint&, const Endpoint&, uint8_t, uint8_t, uint32_t) override {}
  uint32_t count = 0;
};

struct Edge {
  Edge(net::test::FakeClock& clock, net::test::FakeWire& wire)
      : memory(new uint8_t[Node::kMemory + 64]),
        arena(std::span(Node::Aligned(memory.get()), Node::kMemory)),
        frames(arena, kFrames),
        loop(clock),
        entropy(2),
        random(entropy),
        port(wire, frames, 2),
        ports{&port, nullptr, nullptr},
        core({arena, clock, frames, ports, processor}),
        stack({arena, frames, loop, random, observer, ports}, net::Capacity{}),
        plane({arena, stack, random, loop, &core}, kFlowCount) {
    stack.AddTap(plane);
  }

  std::unique_ptr<uint8_t[]> memory;
  Arena arena;
  hal::FramePool frames;
  EventLoop loop;
  net::test::SeededEntropy entropy;
  crypto::Random random;
  net::test::RecordingObserver observer;
  NoProcessor processor;
  FakePort port;
  std::array<hal::EthernetPort*, hal::kEthernetPortMax> ports;
  MediaCore core;
  net::Stack stack;
  Plane plane;
};

struct TwoCores : Lab {
  TwoCores() : edge(clock, wire) {
    crypto::Initialise();
    Add(1).ConfigureStatic(1);
    Add(3).ConfigureStatic(3);
    net::StackConfig config;
    config.ports[0].ipv4_mode = net::Ipv4Mode::kStatic;
    config.ports[0].ipv4_address = {V4(2), 24};
    GH_ASSERT(edge.core.Start().ok());
    GH_ASSERT(edge.stack.Configure(config).ok());
    const std::array<IpAddress, 1> relays = {V4(2)};
    edge.plane.SetRelayPorts(&engine, relays, 24000, 29999);
    Go(Duration::Seconds(1));
    Meet();
    wire.filter = [this](const Bytes& frame) {
      relayed += frame[6 + 5] == 2 && frame.size() > 100 ? 1 : 0;
      return true;
    };
  }
  ~TwoCores() {
    Go(Duration::Milliseconds(50));
    EXPECT_EQ(edge.frames.held_count() + edge.core.free_frame_count(), kFrames);
    EXPECT_GE(edge.frames.held_count() + kFrameSlack, edge.frames.frame_count());
    EXPECT_GE(edge.core.free_frame_count() + kFrameSlack, edge.core.frame_count());
    EXPECT_EQ(edge.frames.frame_count() + edge.core.frame_count(), kFrames);
  }

  static IpAddress V4(uint8_t number) { return IpAddress::V4(10, 0, 0, number); }

  // Both cores turn, the others as well.
  void Go(Duration duration) {
    const Instant end = clock.now + duration;
    while (clock.now < end) {
      (void)edge.core.RunOnce();
      (void)edge.loop.RunOnce();
      limit = std::min(end, clock.now + Duration::Milliseconds(1));
      Step();
    }
  }
  void Meet() {
    for (const uint8_t number : {uint8_t{1}, uint8_t{3}}) {
      (void)edge.plane.Send({V4(2), 24999}, {V4(number), 9}, Bytes(4, 1), false);
    }
    Go(Duration::Milliseconds(200));
  }
  FlowSpec Spec(uint16_t channel = 0x4001) {
    return {.local = {V4(2), kListen},
            .remote = {V4(1), 5000},
            .channel_in = channel,
            .from = {V4(2), kRelayPort},
            .to = {V4(3), 6000},
            .channel_out = 0,
            .meter = &meter};
  }
  // A flow that knows its next hop.
  Flow* Ready() {
    Flow* flow = edge.plane.AddFlow(Spec());
    GH_ASSERT(flow != nullptr);
    Arrive(1);
    Go(Duration::Milliseconds(5));
    engine.count = 0;
    relayed = 0;
    return flow;
  }
  void Arrive(uint32_t count, uint16_t channel = 0x4001) {
    Bytes data(164, 7);
    Put16(data, 0, channel);
    Put16(data, 2, 160);
    const auto frame = net::test::UdpFrame(edge.port.mac(), {V4(1), 5000}, {V4(2), kListen}, data);
    for (uint32_t i = 0; i < count; ++i) {
      edge.port.Arrive(frame);
    }
  }
  // What is no flow's: to a relay port, for the engine.
  void ArriveForEngine(uint32_t count) {
    const auto frame =
        net::test::UdpFrame(edge.port.mac(), {V4(3), 6001}, {V4(2), kRelayPort}, Bytes(160, 9));
    for (uint32_t i = 0; i < count; ++i) {
      edge.port.Arrive(frame);
    }
  }
  void MediaTurns(uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) {
      (void)edge.core.RunOnce();
    }
  }

  Edge edge;
  Heard engine;
  Meter meter;
  uint64_t relayed = 0;
};

TEST(MediaCore, RelaysWhileTheControlPlaneIsAway) {
  TwoCores two;
  Flow* flow = two.Ready();
  two.Arrive(500);
  two.MediaTurns(10);
  EXPECT_EQ(two.relayed, 500u);
  EXPECT_GE(two.meter.packets(), 500u);
  EXPECT_EQ(two.edge.processor.control_woken > 0, true);
  two.edge.plane.RemoveFlow(flow);
}

TEST(MediaCore, DelayIsFromTheArrivalOfEachPacket) {
  TwoCores two;
  Flow* flow = two.Ready();
  const uint64_t before = two.edge.plane.delays().total();
  two.edge.port.received = two.clock.now - Duration::Microseconds(700);
  two.Arrive(10);
  two.MediaTurns(2);
  two.edge.port.received = {};
  two.Arrive(30);  // nobody has noted when these came
  two.MediaTurns(2);
  const Delays& delays = two.edge.plane.delays();
  EXPECT_EQ(delays.total(), before + 40);
  EXPECT_EQ(delays.bucket(Delays::IndexOf(Duration::Microseconds(700))), 10u);
  two.edge.plane.RemoveFlow(flow);
}

TEST(MediaCore, AnUnansweredNextHopServesOn) {
  TwoCores two;
  Flow* flow = two.Ready();
  two.clock.now = two.clock.now + kNextHopFresh;
  two.Arrive(100);
  two.MediaTurns(4);
  EXPECT_EQ(two.relayed, 99u);  // one went by way of the control plane, which asks the neighbour
  two.Go(Duration::Milliseconds(20));
  two.relayed = 0;
  two.Arrive(100);
  two.MediaTurns(4);
  EXPECT_EQ(two.relayed, 100u);
  two.edge.plane.RemoveFlow(flow);
}

TEST(MediaCore, NothingPassesARemovedFlow) {
  TwoCores two;
  Flow* flow = two.Ready();
  const uint64_t passed = two.meter.packets();
  two.edge.plane.RemoveFlow(flow);
  two.Arrive(20);
  two.MediaTurns(3);  // the first of which takes the command
  EXPECT_EQ(two.relayed, 0u);
  EXPECT_EQ(two.meter.packets(), passed);
  EXPECT_EQ(two.edge.plane.flow_count(), 0u);
}

TEST(MediaCore, WhatIsNoFlowsReachesTheEngineAndTheStack) {
  TwoCores two;
  two.ArriveForEngine(100);
  two.Go(Duration::Milliseconds(20));
  EXPECT_EQ(two.engine.count, 100u);
  EXPECT_EQ(two.edge.plane.counters().to_engine, 100u);
}

TEST(MediaCore, AFloodForAControlPlaneThatIsAwayIsDroppedAndMediaGoesOn) {
  TwoCores two;
  Flow* flow = two.Ready();
  const uint64_t dropped = two.edge.ports[0]->counters().rx_dropped;
  two.ArriveForEngine(5000);
  two.Arrive(300);
  two.MediaTurns(100);
  EXPECT_EQ(two.relayed, 300u);
  const uint64_t lost = two.edge.ports[0]->counters().rx_dropped - dropped;
  EXPECT_GT(lost, 4000u);
  two.Go(Duration::Milliseconds(50));
  EXPECT_EQ(two.engine.count, 5000u - lost);
  two.edge.plane.RemoveFlow(flow);
}

TEST(MediaCore, MoreFlowsThanTheRingHoldsComeAndGo) {
  TwoCores two;
  std::vector<Flow*> flows;
  const auto add = [&] {
    Flow* flow = two.edge.plane.AddFlow(two.Spec(static_cast<uint16_t>(0x4000 + flows.size())));
    if (flow != nullptr) {
      flows.push_back(flow);
    }
    return flow != nullptr;
  };
  while (add()) {
  }
  EXPECT_EQ(flows.size(), kFlowCommands);  // the ring is full, and the engine relays
  two.Go(Duration::Milliseconds(200));
  while (add()) {
  }
  EXPECT_EQ(flows.size(), kFlowCount);
  two.Go(Duration::Milliseconds(200));
  for (Flow* flow : flows) {
    two.edge.plane.RemoveFlow(flow);
  }
  EXPECT_EQ(two.edge.plane.flow_count(), 0u);
  EXPECT_EQ(two.edge.plane.AddFlow(two.Spec()), nullptr);  // some are still to be taken out
  two.Go(Duration::Milliseconds(500));
  flows.clear();
  while (add()) {
  }
  EXPECT_EQ(flows.size(), kFlowCommands);
  two.Go(Duration::Milliseconds(200));
  two.Arrive(1, 0x4000);  // asks for the next hop
  two.Go(Duration::Milliseconds(20));
  two.Arrive(10, 0x4000);
  two.MediaTurns(1);
  EXPECT_EQ(two.relayed, 10u);
}

TEST(MediaCore, ASecondFlowOfOneKeyIsTheEngines) {
  TwoCores two;
  Flow* first = two.Ready();
  Flow* second = two.edge.plane.AddFlow(two.Spec());
  ASSERT_NE(second, nullptr);
  two.Go(Duration::Milliseconds(5));
  two.edge.plane.RemoveFlow(second);
  two.Go(Duration::Milliseconds(5));
  two.Arrive(5);
  two.MediaTurns(2);
  EXPECT_EQ(two.relayed, 5u);
  two.edge.plane.RemoveFlow(first);
}

TEST(MediaCore, FramesTheControlPlaneSendsComeBackToIt) {
  TwoCores two;
  for (int round = 0; round < 100; ++round) {
    for (int i = 0; i < 50; ++i) {
      ASSERT_TRUE(
          two.edge.plane.Send({two.V4(2), kRelayPort}, {two.V4(3), 6000}, Bytes(160, 1), false)
              .ok());
    }
    two.Go(Duration::Milliseconds(2));
  }
  EXPECT_EQ(two.relayed, 5000u);
  EXPECT_EQ(two.edge.plane.counters().no_frame, 0u);
}

net::CaptureFilter FilterOf(uint16_t port) {
  net::CaptureFilter filter;
  filter.port = port;
  return filter;
}

TEST(MediaCore, ACaptureShowsWhatTheCoreRelays) {
  TwoCores two;
  Flow* flow = two.Ready();
  net::PacketCapture capture(two.edge.arena, two.clock, 1 << 20);
  two.edge.stack.SetCapture(&capture);
  capture.Start(FilterOf(6000), 1 << 20, net::WhenFull::kStop);
  two.Go(Duration::Milliseconds(5));
  two.Arrive(40);
  two.Go(Duration::Milliseconds(20));
  EXPECT_EQ(two.relayed, 40u);
  EXPECT_EQ(capture.packet_count(), 40u);  // as sent; as received they have another port
  capture.Stop();
  capture.Start(FilterOf(kListen), 1 << 20, net::WhenFull::kStop);
  two.Arrive(40);
  two.Go(Duration::Milliseconds(20));
  EXPECT_EQ(capture.packet_count(), 40u);
  capture.Stop();
  two.edge.stack.SetCapture(nullptr);
  two.edge.plane.RemoveFlow(flow);
}

TEST(MediaCore, ThePortsStateIsTheDevices) {
  TwoCores two;
  hal::EthernetPort& port = *two.edge.ports[0];
  EXPECT_EQ(port.mac(), two.edge.port.mac());
  EXPECT_EQ(port.mtu(), two.edge.port.mtu());
  EXPECT_STREQ(port.driver(), "fake");
  EXPECT_TRUE(port.link_up());
  two.edge.port.link = false;
  two.MediaTurns(1);
  EXPECT_FALSE(port.link_up());
}

}  // namespace
}  // namespace gh::media
