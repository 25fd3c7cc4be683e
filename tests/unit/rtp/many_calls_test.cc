// Ten thousand calls on the large profile, all of which talk: frames of every leg reach the media
// plane at 50 packets a second, IPv4 on the callers' side and IPv6 on the callees', and each has to
// come out at the other side. The memory of both rooms is what the profile says, and not a byte
// more.
#include "firmware/media/plane.h"
#include "tests/unit/net/craft.h"
#include "tests/unit/rtp/world.h"

namespace gh::rtp::test {
namespace {

using media::Plane;
using net::test::Lab;
using net::test::Node;
using net::test::Put16;
using net::test::Put32;

constexpr uint32_t kCalls = 10'000;
constexpr uint32_t kLegs = 2 * kCalls;
constexpr uint32_t kPeriod = 20;  // ms, of a packet
constexpr uint32_t kBatch = 32;   // frames of a turn
constexpr uint16_t kPhonePorts = 10'000;
constexpr uint64_t kPlaneBytes = 256 << 10;  // beside its flows

// The phones' side of a call, and our port towards it.
struct Leg {
  net::Endpoint phone;
  net::Endpoint ours;
  Bytes rtp, rtcp;      // frames
  uint16_t number = 0;  // of the last packet
  uint32_t sent = 0;
  uint32_t skipped = 0;
  uint32_t heard = 0;  // of its packets, by the other side
  uint32_t rtcp_heard = 0;
};

// As G.729's, of 20 bytes. Number and time stand a second time, complemented: the checksum stays.
Bytes Voice(uint32_t leg) {
  Bytes packet(12 + 20, 0xff);
  packet[0] = 0x80;
  packet[1] = 18;
  Put32(packet, 8, leg);
  return packet;
}
void Number(Bytes& frame, size_t at, uint16_t number) {
  const uint32_t time = number * 160u;
  Put16(frame, at + 2, number);
  Put32(frame, at + 4, time);
  Put16(frame, at + 12, ~uint32_t{number} & 0xffff);
  Put32(frame, at + 14, ~time);
}

class ManyCalls : public testing::Test {
 protected:
  ManyCalls() : w(Config::When::kAlways, Capacity::For(kCalls)), legs(kLegs) {
    const uint64_t bytes = Capacity::For(kCalls).flows() * Plane::bytes_per_flow() + kPlaneBytes;
    memory.reset(new uint8_t[bytes + 64]);
    arena = std::make_unique<Arena>(std::span(Node::Aligned(memory.get()), bytes));
    plane = arena->New<Plane>(media::PlaneParts{*arena, edge.stack, edge.random, edge.loop},
                              Capacity::For(kCalls).flows());
    edge.stack.AddTap(*plane);
    uint8_t number = 0;
    for (Node* node : {&callers, &edge, &callees}) {
      node->ConfigureStatic(++number);
    }
    Pass(Duration::Seconds(3));
    w.carrier = plane;
    w.Configure([](Config& config) { config.addresses = {kInside, kOutside}; });
    plane->SetRelayPorts(w.relay, std::array{kInside, kOutside}, 36002, 59999, Plane::kRtpRange);
    w.caller.local = w.caller.shown = kInside;
    w.caller.remote = {net::IpAddress::V4(10, 0, 0, 1), 5060};
    w.callee.local = w.callee.shown = kOutside;
    w.callee.remote = {Node::V6(3), 5060};
    for (const auto& [from, to] : {std::pair{kInside, w.caller.remote.address},
                                   std::pair{kOutside, w.callee.remote.address}}) {
      (void)plane->Send({from, 36001}, {to, 9}, Bytes(4, 1), false);  // neighbours are asked for
    }
    Pass(Duration::Seconds(1));
    lab.wire.filter = [this](const Bytes& frame) { return !Hear(frame); };
  }
  ~ManyCalls() override {
    w.relay->Apply({});
    plane->~Plane();
  }

  void Pass(Duration duration) {
    lab.Run(duration);
    w.Tick(duration);
  }
  void Establish(uint32_t call) {
    Leg& caller = legs[call * 2];
    Leg& callee = legs[call * 2 + 1];
    const auto port = static_cast<uint16_t>(kPhonePorts + call * 2);
    caller.phone = {w.caller.remote.address, port};
    callee.phone = {w.callee.remote.address, port};
    w.call_id = "call" + std::to_string(call);
    w.is_answered = false;
    callee.ours = {kOutside, PortIn(w.Offer(Sdp("10.0.0.1", port)))};
    std::string sdp = Sdp("fd00::3", port);
    for (size_t at = sdp.find("IP4"); at != std::string::npos; at = sdp.find("IP4")) {
      sdp.replace(at, 3, "IP6");
    }
    caller.ours = {kInside, PortIn(w.Answer(sdp))};
    ASSERT_NE(caller.ours.port, 0) << call;
    ASSERT_NE(callee.ours.port, 0) << call;
    for (const uint32_t leg : {call * 2, call * 2 + 1}) {
      Leg& own = legs[leg];
      const auto frame = [&](uint16_t more, const Bytes& data) {
        return net::test::UdpFrame(
            edge.port.mac(), {own.phone.address, static_cast<uint16_t>(own.phone.port + more)},
            {own.ours.address, static_cast<uint16_t>(own.ours.port + more)}, data);
      };
      Bytes report = {0x80, 201, 0, 1, 0, 0, 0, 0};
      Put32(report, 4, leg);
      own.rtp = frame(0, Voice(leg));
      own.rtcp = frame(1, report);
    }
  }
  static size_t PayloadAt(const Bytes& frame) { return frame.size() - 32; }

  void Arrive(const Bytes& frame) {
    edge.port.Arrive(frame);
    if (++waiting == kBatch) {
      Turn();
    }
  }
  void Turn() {
    (void)edge.loop.RunOnce();
    waiting = 0;
  }
  // One of 25 packets of every tenth leg is lost before it comes to us.
  void Speak(uint32_t index) {
    Leg& leg = legs[index];
    Number(leg.rtp, PayloadAt(leg.rtp), ++leg.number);
    if (index % 10 == 3 && leg.number % 25 == 7) {
      ++leg.skipped;
      return;
    }
    ++leg.sent;
    Arrive(leg.rtp);
  }
  // All legs talk, each in a millisecond of its own.
  void Talk(Duration duration, uint32_t period_ms) {
    for (int64_t ms = 0; ms < duration.milliseconds(); ++ms) {
      for (auto leg = static_cast<uint32_t>(ms % period_ms); leg < kLegs; leg += period_ms) {
        Speak(leg);
      }
      Turn();
      Pass(Duration::Milliseconds(1));
    }
  }
  void Report() {
    for (const Leg& leg : legs) {
      Arrive(leg.rtcp);
    }
    Turn();
  }

  // Of what leaves: true where it is media, which has to be right.
  bool Hear(const Bytes& frame) {
    net::PacketView view;
    if (std::memcmp(&frame[6], edge.port.mac().data(), 6) != 0 ||
        !net::ParsePacket(frame, view).ok() || view.protocol != net::kProtocolUdp) {
      return false;
    }
    const uint8_t* data = &frame[view.l4 + 8u];
    const bool is_rtcp = IsRtcpType(data[1]);
    const uint32_t index = net::LoadBe32(data + (is_rtcp ? 4 : 8));
    const uint16_t more = is_rtcp ? 1 : 0;
    if (index >= kLegs) {
      ++wrong;
      return true;
    }
    Leg& leg = legs[index];
    const Leg& other = legs[index ^ 1];
    const Bytes& came = is_rtcp ? leg.rtcp : leg.rtp;
    const size_t size = is_rtcp ? 8 : 32;
    const bool is_right = view.l4_size == 8 + size && view.source_port == other.ours.port + more &&
                          view.destination_port == other.phone.port + more &&
                          view.Source(frame.data()) == other.ours.address &&
                          view.Destination(frame.data()) == other.phone.address &&
                          std::memcmp(data, &came[came.size() - size], size) == 0;
    wrong += is_right ? 0 : 1;
    ++(is_rtcp ? leg.rtcp_heard : leg.heard);
    return true;
  }
  // Every packet of every leg came out, and what was lost before us is what the meters say.
  void CheckAll(uint32_t rtcp) {
    EXPECT_EQ(wrong, 0u);
    uint32_t cursor = 0, streams = 0;
    for (const Session* s = w.relay->Next(cursor); s != nullptr; s = w.relay->Next(cursor)) {
      const Stream& stream = *s->streams[0];
      for (uint32_t end = 0; end < 2; ++end, ++streams) {
        const Leg& leg = legs[(stream.ends[end].now.rtp.port - kPhonePorts) + end];
        const StreamCounters& counters = stream.paths[end].meter.counters;
        ASSERT_EQ(leg.ours.port, stream.ends[end].port);
        ASSERT_EQ(leg.heard, leg.sent);
        ASSERT_EQ(counters.received, leg.sent);
        ASSERT_EQ(counters.lost(), leg.skipped);
        ASSERT_EQ(counters.rtcp, rtcp);
        ASSERT_EQ(leg.rtcp_heard, rtcp);
        ASSERT_EQ(counters.malformed + counters.unauthentic + counters.repeated, 0u);
      }
    }
    EXPECT_EQ(streams, kLegs);
    const media::PlaneCounters seen = plane->counters();
    EXPECT_EQ(seen.over_limit + seen.malformed + seen.by_processor + seen.bad_checksum +
                  seen.no_port + seen.no_frame + seen.too_large,
              0u);
    EXPECT_EQ(w.relay->counters().dropped_source + w.relay->counters().dropped_other, 0u);
  }

  static inline const net::IpAddress kInside = net::IpAddress::V4(10, 0, 0, 2);
  static inline const net::IpAddress kOutside = Node::V6(2);
  std::unique_ptr<uint8_t[]> memory;
  std::unique_ptr<Arena> arena;
  Plane* plane = nullptr;
  Lab lab;
  Node& callers = lab.Add(1);
  Node& edge = lab.Add(2);
  Node& callees = lab.Add(3);
  World w;
  std::vector<Leg> legs;
  uint32_t waiting = 0;
  uint64_t wrong = 0;
};

TEST_F(ManyCalls, TenThousandTalkBothWaysAndNoPacketIsLost) {
  for (uint32_t call = 0; call < kCalls; ++call) {
    ASSERT_NO_FATAL_FAILURE(Establish(call));
  }
  // The first of each leg and component latch it, by the engine.
  Talk(Duration::Milliseconds(kPeriod), kPeriod);
  Report();
  EXPECT_EQ(w.relay->counters().latched, kLegs * 2);
  EXPECT_EQ(w.relay->counters().by_engine, kLegs * 2);
  EXPECT_EQ(plane->flow_count(), kLegs * 2);
  EXPECT_EQ(plane->counters().relayed, 0u);
  // From then on the plane alone.
  Talk(Duration::Milliseconds(700), kPeriod);
  EXPECT_EQ(w.relay->counters().by_engine, kLegs * 2);
  EXPECT_GE(plane->counters().relayed, kLegs * 34);
  ASSERT_NO_FATAL_FAILURE(CheckAll(1));
  // Beyond the age of a next hop, by a packet in two seconds and a report each.
  Talk(Duration::Seconds(6), 2000);
  Report();
  Talk(Duration::Milliseconds(200), kPeriod);
  ASSERT_NO_FATAL_FAILURE(CheckAll(2));
  EXPECT_GT(w.relay->counters().by_engine, kLegs * 2);  // the neighbours were asked anew
  EXPECT_EQ(w.relay->session_count(), kCalls);
  EXPECT_EQ(w.relay->counters().refused_capacity, 0u);
  EXPECT_EQ(edge.frames.free_count(), edge.frames.frame_count());
  // All hang up; what still comes finds nobody.
  for (uint32_t call = 0; call < kCalls; ++call) {
    w.anchor->OnEnded("call" + std::to_string(call), "a", "b");
  }
  EXPECT_EQ(plane->flow_count(), 0u);
  EXPECT_EQ(w.relay->session_count() + w.relay->stream_count() + w.relay->port_count(), 0u);
  const uint64_t sent = legs[0].heard;
  Speak(0);
  Turn();
  EXPECT_EQ(legs[0].heard, sent);
  EXPECT_EQ(plane->counters().no_port, 1u);
}

}  // namespace
}  // namespace gh::rtp::test
