// The media plane on a wire: frames made by hand go in, what leaves is taken apart and summed
// again.
//
// Three machines: a client (1), the edge with the plane (2), a peer (3). Frames are injected as the
// client's or the peer's; what the edge sends is recorded off the wire.
#include "firmware/media/plane.h"

#include <gtest/gtest.h>

#include "crypto/init.h"
#include "tests/unit/net/craft.h"

namespace gh::media {
namespace {

using net::Endpoint;
using net::IpAddress;
using net::test::Bytes;
using net::test::Lab;
using net::test::Node;
using net::test::Put16;
using net::test::Sum16;

constexpr uint16_t kListen = 3478;
constexpr uint16_t kRelayPort = 24001;
constexpr uint16_t kChannel = 0x4001;
constexpr Duration kSoon = Duration::Seconds(1);

struct Heard {
  Endpoint local;
  Endpoint remote;
  Bytes data;
};

// The engine's side: what reaches it, in order.
class Recorder final : public RelayHandler {
 public:
  bool OnRelayDatagram(const Endpoint& local, const Endpoint& remote,
                       std::span<uint8_t> data) override {
    heard.push_back({local, remote, Bytes(data.begin(), data.end())});
    return owns;
  }
  void OnRelayError(const Endpoint& local, const Endpoint& remote, uint8_t type, uint8_t,
                    uint32_t) override {
    errors.push_back({local, remote, {type}});
  }
  std::vector<Heard> heard;
  std::vector<Heard> errors;
  bool owns = true;
};

struct Sent {
  Bytes frame;
  net::PacketView view;
  Bytes payload() const {
    return Bytes(frame.begin() + view.l4 + 8, frame.begin() + view.l4 + view.l4_size);
  }
  // Over the pseudo header, header and payload: right when all bits are set.
  uint16_t udp_sum() const {
    const auto from = view.source_bytes(frame.data());
    const auto to = view.destination_bytes(frame.data());
    return Sum16({&frame[view.l4], view.l4_size},
                 Sum16(from) + Sum16(to) + net::kProtocolUdp + uint32_t{view.l4_size});
  }
  uint16_t udp_field() const { return net::LoadBe16(&frame[view.l4 + 6]); }
};

struct Scene : Lab {
  explicit Scene(bool offload = false, uint32_t flow_count = 8)
      : client(Add(1)), edge(Add(2, {}, 2048, offload)), peer(Add(3)) {
    crypto::Initialise();
    plane = edge.arena.New<Plane>(PlaneParts{edge.arena, edge.stack, edge.random, edge.loop},
                                  flow_count);
    edge.stack.AddTap(*plane);
    uint8_t number = 0;
    for (Node* node : {&client, &edge, &peer}) {
      node->ConfigureStatic(++number);
    }
    Run(Duration::Seconds(3));
    const std::array<IpAddress, 2> relays = {V4(2), Node::V6(2)};
    plane->SetRelayPorts(&engine, relays, 24000, 29999);
    wire.filter = [this](const Bytes& frame) {
      if (std::memcmp(&frame[6], edge.port.mac().data(), 6) == 0) {
        Sent sent{frame, {}};
        if (net::ParsePacket(frame, sent.view).ok() && sent.view.protocol == net::kProtocolUdp) {
          out.push_back(sent);
        }
      }
      return true;
    };
  }
  ~Scene() { plane->~Plane(); }

  static IpAddress V4(uint8_t number) { return IpAddress::V4(10, 0, 0, number); }
  static IpAddress Of(uint8_t number, bool v6) { return v6 ? Node::V6(number) : V4(number); }

  void Inject(const Bytes& frame) {
    edge.port.Arrive(frame);
    Run(Duration::Milliseconds(1));
  }
  // Neighbours are asked for when something is sent to them.
  void Meet(const IpAddress& from, const IpAddress& to) {
    (void)plane->Send({from, 24999}, {to, 9}, Bytes(4, 1), false);
    Run(kSoon);
    out.clear();
  }
  Flow* Up(bool client_v6, bool peer_v6) {
    Meet(Of(2, peer_v6), Of(3, peer_v6));
    return plane->AddFlow({.local = {Of(2, client_v6), kListen},
                           .remote = {Of(1, client_v6), 5000},
                           .channel_in = kChannel,
                           .from = {Of(2, peer_v6), kRelayPort},
                           .to = {Of(3, peer_v6), 6000},
                           .channel_out = 0,
                           .meter = &meter});
  }
  Flow* Down(bool client_v6, bool peer_v6) {
    Meet(Of(2, client_v6), Of(1, client_v6));
    return plane->AddFlow({.local = {Of(2, peer_v6), kRelayPort},
                           .remote = {Of(3, peer_v6), 6000},
                           .channel_in = 0,
                           .from = {Of(2, client_v6), kListen},
                           .to = {Of(1, client_v6), 5000},
                           .channel_out = kChannel,
                           .meter = &meter});
  }
  Bytes UpFrame(const Bytes& media, bool v6 = false, int padding = 0) {
    Bytes data(4);
    Put16(data, 0, kChannel);
    Put16(data, 2, static_cast<uint32_t>(media.size()));
    data.insert(data.end(), media.begin(), media.end());
    data.insert(data.end(), static_cast<size_t>(padding), 0xee);
    return net::test::UdpFrame(edge.port.mac(), {Of(1, v6), 5000}, {Of(2, v6), kListen}, data);
  }
  Bytes DownFrame(const Bytes& media, bool v6 = false) {
    return net::test::UdpFrame(edge.port.mac(), {Of(3, v6), 6000}, {Of(2, v6), kRelayPort}, media);
  }

  Node& client;
  Node& edge;
  Node& peer;
  Plane* plane = nullptr;
  Recorder engine;
  Meter meter;
  std::vector<Sent> out;
};

Bytes Media(size_t size) {
  Bytes bytes(size);
  for (size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<uint8_t>(i * 7 + 3);
  }
  return bytes;
}

struct Families {
  bool client_v6;
  bool peer_v6;
  bool offload;
};
class EveryFamily : public ::testing::TestWithParam<Families> {};
INSTANTIATE_TEST_SUITE_P(
    Media, EveryFamily,
    ::testing::Values(Families{false, false, false}, Families{false, true, false},
                      Families{true, false, false}, Families{true, true, false},
                      Families{false, false, true}, Families{true, true, true}));

TEST_P(EveryFamily, UpLosesTheChannelHeaderAndKeepsARightChecksum) {
  Scene scene(GetParam().offload);
  ASSERT_NE(scene.Up(GetParam().client_v6, GetParam().peer_v6), nullptr);
  for (const size_t size : {0u, 1u, 2u, 3u, 159u, 160u, 161u, 1200u}) {
    scene.out.clear();
    scene.Inject(scene.UpFrame(Media(size), GetParam().client_v6));
    ASSERT_EQ(scene.out.size(), 1u) << size;
    const Sent& sent = scene.out[0];
    EXPECT_EQ(sent.payload(), Media(size));
    EXPECT_EQ(sent.udp_sum(), 0xffff) << size;
    EXPECT_EQ(sent.view.source_port, kRelayPort);
    EXPECT_EQ(sent.view.destination_port, 6000);
    EXPECT_EQ(sent.view.Destination(sent.frame.data()), Scene::Of(3, GetParam().peer_v6));
    EXPECT_EQ(sent.view.hop_limit, kHopLimit);
    EXPECT_EQ(sent.view.is_v6, GetParam().peer_v6);
  }
  EXPECT_EQ(scene.plane->counters().relayed, 8u);
  EXPECT_EQ(scene.edge.frames.free_count(), scene.edge.frames.frame_count());
}

TEST_P(EveryFamily, DownGetsTheChannelHeaderAndKeepsARightChecksum) {
  Scene scene(GetParam().offload);
  ASSERT_NE(scene.Down(GetParam().client_v6, GetParam().peer_v6), nullptr);
  for (const size_t size : {0u, 1u, 159u, 160u, 1200u}) {
    scene.out.clear();
    scene.Inject(scene.DownFrame(Media(size), GetParam().peer_v6));
    ASSERT_EQ(scene.out.size(), 1u) << size;
    const Bytes data = scene.out[0].payload();
    ASSERT_EQ(data.size(), size + 4);
    EXPECT_EQ(net::LoadBe16(&data[0]), kChannel);
    EXPECT_EQ(net::LoadBe16(&data[2]), size);
    EXPECT_EQ(Bytes(data.begin() + 4, data.end()), Media(size));
    EXPECT_EQ(scene.out[0].udp_sum(), 0xffff);
  }
  EXPECT_TRUE(scene.engine.heard.empty());
}

struct DatagramCatcher final : net::DatagramHandler {
  DatagramCatcher(Node& node, const Endpoint& at) : stack(node.stack) {
    stack.firewall().Allow({net::Transport::kUdp, at.port, at.port}).ignore("constant");
    socket = *stack.datagrams().OpenDatagram(at, *this);
  }
  ~DatagramCatcher() { stack.datagrams().CloseDatagram(socket); }
  void OnDatagram(const net::DatagramInfo&, std::span<uint8_t> data) override {
    heard.emplace_back(data.begin(), data.end());
  }
  net::Stack& stack;
  net::SocketId socket;
  std::vector<Bytes> heard;
};

// Fragments of one datagram from the peer to a relay port, with this UDP sum added to the right
// one.
std::vector<Bytes> Fragments(Scene& scene, const Bytes& data, uint16_t port, uint32_t damage) {
  const Bytes whole =
      net::test::UdpFrame(scene.edge.port.mac(), {Scene::V4(3), 6000}, {Scene::V4(2), port}, data);
  Bytes udp(whole.begin() + 34, whole.end());
  Put16(udp, 6, net::LoadBe16(&udp[6]) + damage);
  constexpr size_t kPiece = 1480;
  std::vector<Bytes> out;
  for (size_t at = 0; at < udp.size(); at += kPiece) {
    const size_t end = std::min(udp.size(), at + kPiece);
    const auto offset = static_cast<uint16_t>(at / 8 | (end < udp.size() ? 0x2000 : 0));
    out.push_back(net::test::IpFrame(
        scene.edge.port.mac(), Scene::V4(3), Scene::V4(2), net::kProtocolUdp,
        Bytes(udp.begin() + static_cast<int>(at), udp.begin() + static_cast<int>(end)), -1,
        offset));
  }
  return out;
}

TEST(PlaneFragments, ToARelayPortReachTheEngineWhole) {
  Scene scene;
  for (const bool is_reversed : {false, true}) {
    scene.engine.heard.clear();
    auto pieces = Fragments(scene, Media(2000), kRelayPort, 0);
    ASSERT_EQ(pieces.size(), 2u);
    if (is_reversed) {
      std::swap(pieces[0], pieces[1]);
    }
    scene.Inject(pieces[0]);
    EXPECT_TRUE(scene.engine.heard.empty());
    scene.Inject(pieces[1]);
    ASSERT_EQ(scene.engine.heard.size(), 1u);
    EXPECT_EQ(scene.engine.heard[0].data, Media(2000));
    EXPECT_EQ(scene.engine.heard[0].local, (Endpoint{Scene::V4(2), kRelayPort}));
    EXPECT_EQ(scene.engine.heard[0].remote, (Endpoint{Scene::V4(3), 6000}));
  }
  EXPECT_EQ(scene.plane->counters().to_engine, 2u);
}

TEST(PlaneFragments, DamagedElsewhereOrWithoutTurnTheyAreDropped) {
  Scene scene;
  for (const auto& [port, damage] :
       {std::pair<uint16_t, uint32_t>{kRelayPort, 1}, {uint16_t{23999}, 0}, {uint16_t{30000}, 0}}) {
    for (const Bytes& piece : Fragments(scene, Media(2000), port, damage)) {
      scene.Inject(piece);
    }
  }
  scene.plane->SetRelayPorts(nullptr, {}, 24000, 29999);
  for (const Bytes& piece : Fragments(scene, Media(2000), kRelayPort, 0)) {
    scene.Inject(piece);
  }
  EXPECT_TRUE(scene.engine.heard.empty());
  EXPECT_TRUE(scene.out.empty());  // nobody is told
  scene.Run(Duration::Seconds(10));
  EXPECT_EQ(scene.edge.frames.free_count(), scene.edge.frames.frame_count());
}

TEST(PlaneFragments, WhatIsTooLargeForAFrameLeavesInFragments) {
  Scene scene;
  for (const bool v6 : {false, true}) {
    scene.Meet(Scene::Of(2, v6), Scene::Of(3, v6));
    DatagramCatcher peer(scene.peer, {Scene::Of(3, v6), 6000});
    for (const size_t size : {1472u, 1473u, 1900u, 2044u}) {
      ASSERT_TRUE(
          scene.plane
              ->Send({Scene::Of(2, v6), kRelayPort}, {Scene::Of(3, v6), 6000}, Media(size), false)
              .ok());
      scene.Run(Duration::Milliseconds(10));
      ASSERT_FALSE(peer.heard.empty()) << size;
      EXPECT_EQ(peer.heard.back(), Media(size));
    }
  }
}

TEST(Plane, ADatagramWithoutChecksumLeavesWithoutOneOverIpv4AndWithOneOverIpv6) {
  for (const bool peer_v6 : {false, true}) {
    Scene scene;
    ASSERT_NE(scene.Up(false, peer_v6), nullptr);
    Bytes frame = scene.UpFrame(Media(99));
    Put16(frame, 14 + 20 + 6, 0);
    scene.Inject(frame);
    ASSERT_EQ(scene.out.size(), 1u);
    EXPECT_EQ(scene.out[0].udp_field() == 0, !peer_v6);
    EXPECT_TRUE(!peer_v6 || scene.out[0].udp_sum() == 0xffff);
  }
}

// Relaying in place must not repair what was broken on the way in: the receiver is to notice.
TEST(Plane, DamageOnTheWayInIsStillSeenAtTheEnd) {
  Scene scene;
  ASSERT_NE(scene.Up(false, false), nullptr);
  Bytes frame = scene.UpFrame(Media(160));
  frame.back() ^= 0x40;
  scene.Inject(frame);
  ASSERT_EQ(scene.out.size(), 1u);
  EXPECT_NE(scene.out[0].udp_sum(), 0xffff);
}

TEST(Plane, PaddingBehindChannelDataIsLeftOut) {
  Scene scene;
  ASSERT_NE(scene.Up(false, false), nullptr);
  scene.Inject(scene.UpFrame(Media(161), false, 3));
  ASSERT_EQ(scene.out.size(), 1u);
  EXPECT_EQ(scene.out[0].payload(), Media(161));
  EXPECT_EQ(scene.out[0].udp_sum(), 0xffff);
}

TEST(Plane, ChannelDataShorterThanItSaysIsDropped) {
  Scene scene;
  ASSERT_NE(scene.Up(false, false), nullptr);
  Bytes frame = scene.UpFrame(Media(160));
  Put16(frame, 14 + 20 + 8 + 2, 161);
  scene.Inject(frame);
  EXPECT_TRUE(scene.out.empty());
  EXPECT_EQ(scene.plane->counters().malformed, 1u);
  EXPECT_EQ(scene.edge.frames.free_count(), scene.edge.frames.frame_count());
}

TEST(Plane, OthersFramesAreTheStacks) {
  Scene scene;
  ASSERT_NE(scene.Up(false, false), nullptr);
  Bytes stranger = scene.UpFrame(Media(20));
  const Bytes data(stranger.begin() + 42, stranger.end());
  // Another source port, another channel, no channel, a group address.
  const Endpoint listen{Scene::V4(2), kListen};
  scene.Inject(net::test::UdpFrame(scene.edge.port.mac(), {Scene::V4(1), 5001}, listen, data));
  Bytes other = data;
  other[1] ^= 1;
  scene.Inject(net::test::UdpFrame(scene.edge.port.mac(), {Scene::V4(1), 5000}, listen, other));
  scene.Inject(net::test::UdpFrame(scene.edge.port.mac(), {Scene::V4(1), 5000}, listen, {0, 1}));
  scene.Inject(net::test::UdpFrame({1, 0, 0x5e, 0, 0, 1}, {Scene::V4(1), 5000}, listen, data));
  EXPECT_EQ(scene.plane->counters().relayed, 0u);
  EXPECT_TRUE(scene.engine.heard.empty());
}

TEST(Plane, ATaggedFrameIsNobodysHere) {
  Scene scene;
  ASSERT_NE(scene.Up(false, false), nullptr);
  Bytes frame = scene.UpFrame(Media(160));
  const Bytes tag{0x81, 0, 0, 5};
  frame.insert(frame.begin() + 12, tag.begin(), tag.end());
  scene.Inject(frame);
  EXPECT_TRUE(scene.out.empty());
  EXPECT_EQ(scene.plane->counters().relayed, 0u);
  EXPECT_EQ(scene.edge.frames.free_count(), scene.edge.frames.frame_count());
}

TEST(Plane, FragmentsAreNeverRelayedAsIfTheyWereWhole) {
  Scene scene;
  ASSERT_NE(scene.Down(false, false), nullptr);
  for (const uint16_t fragment : {uint16_t{0x2000}, uint16_t{0x0010}, uint16_t{0x2010}}) {
    Bytes udp(8 + 64);
    Put16(udp, 0, 6000);
    Put16(udp, 2, kRelayPort);
    Put16(udp, 4, 8 + 64);
    scene.Inject(net::test::IpFrame(scene.edge.port.mac(), Scene::V4(3), Scene::V4(2),
                                    net::kProtocolUdp, udp, -1, fragment));
  }
  EXPECT_TRUE(scene.out.empty());
  EXPECT_TRUE(scene.engine.heard.empty());
  EXPECT_EQ(scene.plane->counters().relayed, 0u);
}

TEST(Plane, ARelayPortOutsideFlowsIsTheEnginesIfTheSumIsRight) {
  Scene scene;
  scene.Inject(scene.DownFrame(Media(50)));
  ASSERT_EQ(scene.engine.heard.size(), 1u);
  EXPECT_EQ(scene.engine.heard[0].data, Media(50));
  EXPECT_EQ(scene.engine.heard[0].local, (Endpoint{Scene::V4(2), kRelayPort}));
  EXPECT_EQ(scene.engine.heard[0].remote, (Endpoint{Scene::V4(3), 6000}));
  Bytes broken = scene.DownFrame(Media(50));
  broken.back() ^= 1;
  scene.Inject(broken);
  EXPECT_EQ(scene.engine.heard.size(), 1u);
  EXPECT_EQ(scene.plane->counters().bad_checksum, 1u);
  scene.engine.owns = false;
  scene.Inject(scene.DownFrame(Media(50)));
  EXPECT_EQ(scene.plane->counters().no_port, 1u);
}

TEST(Plane, PortsAtTheEdgesOfTheRange) {
  Scene scene;
  for (const uint16_t port : std::to_array<uint16_t>({23999, 24000, 29999, 30000})) {
    scene.Inject(net::test::UdpFrame(scene.edge.port.mac(), {Scene::V4(3), 6000},
                                     {Scene::V4(2), port}, Media(5)));
  }
  ASSERT_EQ(scene.engine.heard.size(), 2u);
  EXPECT_EQ(scene.engine.heard[0].local.port, 24000);
  EXPECT_EQ(scene.engine.heard[1].local.port, 29999);
}

TEST(Plane, WithoutANextHopUpGoesTheSlowWayAndDownToTheEngine) {
  Scene scene;
  scene.peer.port.link = false;
  ASSERT_NE(scene.plane->AddFlow({.local = {Scene::V4(2), kRelayPort},
                                  .remote = {Scene::V4(3), 6000},
                                  .channel_in = 0,
                                  .from = {Scene::V4(2), kListen},
                                  .to = {Scene::V4(77), 5000},  // nobody
                                  .channel_out = kChannel,
                                  .meter = &scene.meter}),
            nullptr);
  scene.Inject(scene.DownFrame(Media(10)));
  EXPECT_EQ(scene.engine.heard.size(), 1u);
  EXPECT_EQ(scene.plane->counters().relayed, 0u);
}

// The neighbour is asked again by one packet that goes by way of the stack.
TEST(Plane, ANextHopIsConfirmedWhenItIsNoLongerFresh) {
  Scene scene;
  ASSERT_NE(scene.Down(false, false), nullptr);
  scene.Inject(scene.DownFrame(Media(10)));
  EXPECT_EQ(scene.plane->counters().relayed, 1u);
  scene.Run(kNextHopFresh - Duration::Milliseconds(10));
  scene.Inject(scene.DownFrame(Media(10)));
  EXPECT_EQ(scene.plane->counters().relayed, 2u);
  scene.Run(Duration::Milliseconds(20));
  scene.Inject(scene.DownFrame(Media(10)));
  EXPECT_EQ(scene.plane->counters().relayed, 2u);
  EXPECT_EQ(scene.engine.heard.size(), 1u);
  scene.Inject(scene.DownFrame(Media(10)));
  EXPECT_EQ(scene.plane->counters().relayed, 3u);
}

TEST(Plane, TheMtuIsTheEdgeOfRelayingInPlace) {
  Scene scene;
  ASSERT_NE(scene.Down(false, false), nullptr);
  scene.Inject(scene.DownFrame(Media(1500 - 28 - 4)));
  EXPECT_EQ(scene.plane->counters().relayed, 1u);
  ASSERT_EQ(scene.out.size(), 1u);
  EXPECT_EQ(scene.out[0].frame.size(), 1514u);
  scene.Inject(scene.DownFrame(Media(1500 - 28 - 3)));
  EXPECT_EQ(scene.plane->counters().relayed, 1u);
  EXPECT_EQ(scene.engine.heard.size(), 1u);
}

TEST(Plane, SendRefusesWhatMustNotBeFragmentedBeyondTheMtu) {
  Scene scene;
  scene.Meet(Scene::V4(2), Scene::V4(3));
  const Endpoint from{Scene::V4(2), kRelayPort};
  const Endpoint to{Scene::V4(3), 6000};
  EXPECT_TRUE(scene.plane->Send(from, to, Media(1472), true).ok());
  EXPECT_EQ(scene.plane->Send(from, to, Media(1473), true).code(), ErrorCode::kTooLarge);
  EXPECT_EQ(scene.plane->counters().too_large, 1u);
  scene.Run(kSoon);
  ASSERT_EQ(scene.out.size(), 1u);
  EXPECT_EQ(net::LoadBe16(&scene.out[0].frame[14 + 6]), 0x4000);
  EXPECT_EQ(scene.out[0].udp_sum(), 0xffff);
}

TEST(Plane, TrafficClassIsKeptOrMarked) {
  Scene scene;
  ASSERT_NE(scene.Up(false, true), nullptr);
  Bytes frame = scene.UpFrame(Media(10));
  frame[15] = 46 << 2 | 1;  // expedited, ECN capable
  Put16(frame, 24, 0);
  Put16(frame, 24, static_cast<uint16_t>(~Sum16({&frame[14], 20})));
  scene.Inject(frame);
  scene.plane->SetDscp(10);
  scene.Inject(frame);
  ASSERT_EQ(scene.out.size(), 2u);
  const auto traffic_class = [](const Sent& s) { return net::LoadBe16(&s.frame[14]) >> 4 & 0xff; };
  EXPECT_EQ(traffic_class(scene.out[0]), 46 << 2 | 1);
  EXPECT_EQ(traffic_class(scene.out[1]), 10 << 2 | 1);
}

TEST(Plane, WhatAnEngineSendsItselfBearsTheMarkOfItsRange) {
  for (const bool is_v6 : {false, true}) {
    const auto traffic_class = [is_v6](const Sent& s) {
      return is_v6 ? net::LoadBe16(&s.frame[14]) >> 4 & 0xff : s.frame[15];
    };
    Scene scene;
    scene.plane->SetDscp(10);  // of every range, but where one has its own
    const Endpoint from{Scene::Of(2, is_v6), kRelayPort};
    const Endpoint to{Scene::Of(3, is_v6), 6000};
    EXPECT_TRUE(scene.plane->Send(from, to, Media(20), false).ok());
    scene.plane->SetDscp(46, Plane::kTurnRange);
    EXPECT_TRUE(scene.plane->Send(from, to, Media(21), false).ok());
    scene.Run(kSoon);
    // By way of the stack, for the neighbour was not known; what waited for it keeps its mark.
    EXPECT_GE(scene.plane->counters().sent_by_stack, 1u);
    scene.out.clear();
    EXPECT_TRUE(scene.plane->Send(from, to, Media(22), false).ok());
    scene.plane->SetDscp(-1, Plane::kTurnRange);
    EXPECT_TRUE(scene.plane->Send(from, to, Media(23), false).ok());
    EXPECT_TRUE(scene.plane->Send({from.address, 24999 + 7000}, to, Media(24), false).ok());
    scene.Run(kSoon);
    ASSERT_EQ(scene.out.size(), 3u);
    EXPECT_EQ(traffic_class(scene.out[0]), 46 << 2);
    EXPECT_EQ(traffic_class(scene.out[1]), 0);
    EXPECT_EQ(traffic_class(scene.out[2]), 10 << 2);
  }
}

TEST(Plane, BandwidthIsTakenFromEveryMeterOfTheChain) {
  Scene scene;
  Meter all;
  all.SetLimit(1000);
  scene.meter.parent = &all;
  ASSERT_NE(scene.Up(false, false), nullptr);
  scene.Inject(scene.UpFrame(Media(600)));
  scene.Inject(scene.UpFrame(Media(600)));
  EXPECT_EQ(scene.plane->counters().relayed, 1u);
  EXPECT_EQ(scene.plane->counters().over_limit, 1u);
  EXPECT_EQ(scene.meter.dropped(), 1u);
  EXPECT_EQ(all.packets(), 1u);
  scene.Run(Duration::Seconds(1));
  scene.Inject(scene.UpFrame(Media(600)));
  EXPECT_EQ(scene.plane->counters().relayed, 2u);
}

TEST(Plane, ErrorsThatQuoteARelayPortReachTheEngine) {
  Scene scene;
  scene.Meet(Scene::V4(2), Scene::V4(3));
  const Bytes quoted = net::test::UdpFrame(scene.peer.port.mac(), {Scene::V4(2), kRelayPort},
                                           {Scene::V4(3), 6000}, Media(30));
  Bytes body(4);
  body.insert(body.end(), quoted.begin() + 14, quoted.begin() + 14 + 28);
  scene.Inject(net::test::IcmpFrame(scene.edge.port.mac(), Scene::V4(3), Scene::V4(2), 3, 3, body));
  ASSERT_EQ(scene.engine.errors.size(), 1u);
  EXPECT_EQ(scene.engine.errors[0].local.port, kRelayPort);
  EXPECT_EQ(scene.engine.errors[0].remote, (Endpoint{Scene::V4(3), 6000}));
  // An echo reply is no error, and a quote of another port is the stack's.
  Put16(body, 4 + 20, 80);
  scene.Inject(net::test::IcmpFrame(scene.edge.port.mac(), Scene::V4(3), Scene::V4(2), 3, 3, body));
  EXPECT_EQ(scene.engine.errors.size(), 1u);
}

TEST(Plane, FlowsEndAtTheCapacityAndTwinsAreRefused) {
  Scene scene(false, 4);
  FlowSpec spec{.local = {Scene::V4(2), kListen},
                .remote = {Scene::V4(1), 5000},
                .channel_in = kChannel,
                .from = {Scene::V4(2), kRelayPort},
                .to = {Scene::V4(3), 6000},
                .channel_out = 0,
                .meter = &scene.meter};
  std::vector<Flow*> flows{scene.plane->AddFlow(spec)};
  ASSERT_NE(flows[0], nullptr);
  EXPECT_EQ(scene.plane->AddFlow(spec), nullptr);
  EXPECT_EQ(scene.plane->flow_count(), 1u);
  while (flows.size() < scene.plane->flow_capacity()) {
    ++spec.remote.port;
    flows.push_back(scene.plane->AddFlow(spec));
    ASSERT_NE(flows.back(), nullptr);
  }
  ++spec.remote.port;
  EXPECT_EQ(scene.plane->AddFlow(spec), nullptr);
  scene.plane->RemoveFlow(flows[1]);
  EXPECT_NE(scene.plane->AddFlow(spec), nullptr);
}

TEST(Plane, AnEmptyFramePoolLosesOnlyWhatWouldBeBuilt) {
  Scene scene;
  scene.Meet(Scene::V4(2), Scene::V4(3));
  std::vector<hal::Frame*> held;
  while (hal::Frame* frame = scene.edge.frames.Allocate()) {
    held.push_back(frame);
  }
  EXPECT_EQ(
      scene.plane->Send({Scene::V4(2), kRelayPort}, {Scene::V4(3), 6000}, Media(5), false).code(),
      ErrorCode::kExhausted);
  EXPECT_EQ(scene.plane->counters().no_frame, 1u);
  for (hal::Frame* frame : held) {
    scene.edge.frames.Release(frame);
  }
}

TEST(Plane, RelayAddressesBeyondTheLimitAreNotTaken) {
  Scene scene;
  std::vector<IpAddress> many(kRelayAddressMax, Scene::V4(90));
  many.push_back(Scene::V4(2));
  scene.plane->SetRelayPorts(&scene.engine, many, 24000, 29999);
  scene.Inject(scene.DownFrame(Media(5)));
  EXPECT_TRUE(scene.engine.heard.empty());
  many.erase(many.begin());
  scene.plane->SetRelayPorts(&scene.engine, many, 24000, 29999);
  scene.Inject(scene.DownFrame(Media(5)));
  EXPECT_EQ(scene.engine.heard.size(), 1u);
}

}  // namespace
}  // namespace gh::media
