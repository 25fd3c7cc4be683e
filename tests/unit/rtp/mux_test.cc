// Media between the two sides of a traversal zone on one port: an Edge and a Core, each with a
// phone, and a NAT between them that lets nothing in that was not asked for. Strangers on the
// shared port, sides that do not know it, a server that falls silent, channels at their edge, and
// what the line in a description may say.
#include "firmware/turn/stun.h"
#include "net/packet.h"
#include "tests/unit/rtp/world.h"

namespace gh::rtp {
namespace {

using namespace test;

const net::Endpoint kEdgeMux = At("203.0.113.1:2776");
const net::Endpoint kCoreMux = At("10.1.1.1:2776");
const net::Endpoint kNat = At("198.51.100.7:61000");
const net::Endpoint kOutside = At("198.51.100.99:4000");
const net::Endpoint kInside = At("10.1.1.50:6000");
const Bytes kReport = {0x80, 201, 0, 1, 1, 2, 3, 4};

Capacity Small(uint32_t muxes) {
  Capacity c = Capacity::For(20);
  c.muxes = muxes;
  return c;
}

struct Pair {
  explicit Pair(uint32_t muxes = 20, bool core_can = true)  // who cannot relays all the same
      : edge(Config::When::kNeeded, Small(muxes)),
        core(core_can ? Config::When::kNeeded : Config::When::kAlways, Small(muxes)) {
    edge.caller.local = edge.caller.shown = Ip("203.0.113.1");
    edge.caller.remote = At("198.51.100.99:5060");
    edge.callee.remote = At("198.51.100.7:40000");
    edge.callee.traversal = sip::TraversalRole::kServer;
    core.caller.remote = At("203.0.113.1:7001");
    core.caller.traversal = sip::TraversalRole::kClient;
    core.callee.local = core.callee.shown = Ip("10.1.1.1");
    core.callee.remote = At("10.1.1.50:5060");
    SetPort(edge, 2776);
    SetPort(core, core_can ? 2776 : 0);
  }
  static void SetPort(World& w, uint16_t port) {
    Config config = w.relay->config();
    config.mux_port = port;
    w.relay->Apply(config);
  }
  // The phone outside calls the one inside.
  void Call() {
    to_core = edge.Offer(Sdp("198.51.100.99", 4000));
    to_phone = core.Offer(to_core);
    core_asks = core.sent;
    from_core = core.Answer(Sdp("10.1.1.50", 6000));
    to_caller = edge.Answer(from_core);
  }
  // What the Core sent comes to the Edge by the NAT, and its answers back.
  void Cross(const std::vector<Sent>& asks) {
    for (const Sent& one : asks) {
      EXPECT_EQ(one.from, kCoreMux);
      EXPECT_EQ(one.to, kEdgeMux);
      for (const Sent& answer : edge.Give(kEdgeMux, kNat, one.data)) {
        EXPECT_EQ(answer.to, kNat);
        EXPECT_EQ(answer.from, kEdgeMux);
        core.Give(kCoreMux, kEdgeMux, answer.data);
      }
    }
  }
  net::Endpoint outside() const { return {Ip("203.0.113.1"), PortIn(to_caller)}; }
  net::Endpoint inside() const { return {Ip("10.1.1.1"), PortIn(to_phone)}; }

  World edge, core;
  std::string to_core, to_phone, from_core, to_caller;
  std::vector<Sent> core_asks;
};

TEST(Mux, ACallCrossesOnOnePortThatTheCoreOpened) {
  Pair p;
  p.Call();
  EXPECT_NE(p.to_core.find("a=x-gatehouse-mux:1 2776 "), std::string::npos);
  EXPECT_NE(p.from_core.find("a=x-gatehouse-mux:1\r\n"), std::string::npos);
  EXPECT_NE(p.from_core.find("m=audio 2776 "), std::string::npos);
  for (const std::string& told : {p.to_phone, p.to_caller}) {
    EXPECT_EQ(told.find("gatehouse"), std::string::npos);
  }
  // Nothing goes inwards before the Core asked, and the Edge holds no other port for it.
  EXPECT_TRUE(p.edge.Give(p.outside(), kOutside, Rtp(1)).empty());
  EXPECT_EQ(p.edge.relay->port_count(), 2u);
  EXPECT_EQ(p.core.relay->port_count(), 2u);
  ASSERT_EQ(p.core_asks.size(), 1u);
  p.Cross(p.core_asks);
  auto out = p.edge.Give(p.outside(), kOutside, Rtp(1));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].to, kNat);
  EXPECT_EQ(out[0].from, kEdgeMux);
  EXPECT_EQ(out[0].data.size(), 4 + Rtp(1).size());
  out = p.core.Give(kCoreMux, kEdgeMux, out[0].data);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].to, kInside);
  EXPECT_EQ(out[0].from, p.inside());
  EXPECT_EQ(out[0].data, Rtp(1));
  // Back, and RTCP the same way though both phones have a port for it.
  out = p.core.Give(p.inside(), kInside, Rtp(9));
  ASSERT_EQ(out.size(), 1u);
  out = p.edge.Give(kEdgeMux, kNat, out[0].data);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].to, kOutside);
  EXPECT_EQ(out[0].data, Rtp(9));
  out = p.core.Give({p.inside().address, uint16_t(p.inside().port + 1)}, At("10.1.1.50:6001"),
                    kReport);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].to, kEdgeMux);
  out = p.edge.Give(kEdgeMux, kNat, out[0].data);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].to, At("198.51.100.99:4001"));
  EXPECT_EQ(out[0].data, kReport);
  // The flows are the channel's.
  uint32_t framed = 0;
  for (const media::Flow* flow : p.edge.flows) {
    framed += flow->spec.channel_in != 0 || flow->spec.channel_out != 0 ? 1 : 0;
  }
  EXPECT_GE(framed, 2u);
  p.edge.anchor->OnEnded(p.edge.call_id, "a", "b");
  p.core.anchor->OnEnded(p.core.call_id, "a", "b");
  EXPECT_EQ(p.edge.relay->mux_count() + p.core.relay->mux_count(), 0u);
}

TEST(Mux, ACallOutwardsCrossesToo) {
  Pair p;
  std::swap(p.edge.caller, p.edge.callee);
  std::swap(p.core.caller, p.core.callee);
  const std::string to_edge = p.core.Offer(Sdp("10.1.1.50", 6000));
  EXPECT_NE(to_edge.find("a=x-gatehouse-mux:1\r\n"), std::string::npos);
  const std::string to_phone = p.edge.Offer(to_edge);
  const std::string from_edge = p.edge.Answer(Sdp("198.51.100.99", 4000));
  EXPECT_NE(from_edge.find("a=x-gatehouse-mux:1 2776 "), std::string::npos);
  p.core.sent.clear();
  const std::string back = p.core.Answer(from_edge);
  ASSERT_EQ(p.core.sent.size(), 1u);
  p.Cross(std::vector<Sent>(p.core.sent));
  auto out = p.core.Give({Ip("10.1.1.1"), PortIn(back)}, kInside, Rtp(1));
  ASSERT_EQ(out.size(), 1u);
  out = p.edge.Give(kEdgeMux, kNat, out[0].data);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].to, kOutside);
  EXPECT_EQ(out[0].data, Rtp(1));
}

// The Core asks at the address that the Edge is shown by; its requests come to the Edge's own.
TEST(Mux, AnEdgeBehindAStaticNatIsAskedWhereItIsShown) {
  Pair p;
  p.edge.callee.shown = p.edge.caller.shown = Ip("192.0.2.9");
  p.core.caller.remote = At("192.0.2.9:7001");
  p.Call();
  ASSERT_EQ(p.core_asks.size(), 1u);
  EXPECT_EQ(p.core_asks[0].to, At("192.0.2.9:2776"));
  for (const Sent& answer : p.edge.Give(kEdgeMux, kNat, p.core_asks[0].data)) {
    p.core.Give(kCoreMux, At("192.0.2.9:2776"), answer.data);
  }
  auto out = p.edge.Give(p.outside(), kOutside, Rtp(1));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].from, kEdgeMux);
  out = p.core.Give(kCoreMux, At("192.0.2.9:2776"), out[0].data);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].to, kInside);
}

TEST(Mux, StrangersGetNothing) {
  Pair p;
  p.Call();
  p.Cross(p.core_asks);
  const auto out = p.core.Give(p.inside(), kInside, Rtp(1));
  ASSERT_EQ(out.size(), 1u);
  const net::Endpoint stranger = At("192.0.2.66:2776");
  EXPECT_TRUE(p.edge.Give(kEdgeMux, stranger, out[0].data).empty());
  EXPECT_TRUE(p.core.Give(kCoreMux, stranger, out[0].data).empty());
  Bytes damaged = p.core_asks[0].data;
  damaged[damaged.size() - 20] ^= 1;  // of its integrity; the sum behind it tells, too
  EXPECT_TRUE(p.edge.Give(kEdgeMux, stranger, damaged).empty());
  Bytes other = out[0].data;
  other[1] ^= 1;  // another channel
  EXPECT_TRUE(p.edge.Give(kEdgeMux, kNat, other).empty());
  for (size_t size = 0; size < 8; ++size) {
    EXPECT_TRUE(p.edge.Give(kEdgeMux, kNat, Bytes(size, 0x40)).empty());
  }
}

TEST(Mux, TheWayIsKeptOpenAndFoundAnewBehindANat) {
  Pair p;
  p.Call();
  p.Cross(p.core_asks);
  p.core.sent.clear();
  p.core.Pass(kMuxPeriod + Duration::Seconds(1));
  ASSERT_FALSE(p.core.sent.empty());
  const net::Endpoint moved = At("198.51.100.7:61999");
  ASSERT_EQ(p.edge.Give(kEdgeMux, moved, p.core.sent[0].data).size(), 1u);
  const auto out = p.edge.Give(p.outside(), kOutside, Rtp(1));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].to, moved);
}

TEST(Mux, AServerThatDoesNotAnswerIsToldOnce) {
  Pair p;
  p.Call();
  p.core.Pass(Duration::Seconds(60));
  EXPECT_EQ(p.core.mux_lost, 1);
}

TEST(Mux, ACoreThatDoesNotKnowItHasPortsInstead) {
  Pair p(20, false);
  p.Call();
  EXPECT_EQ(p.from_core.find("gatehouse"), std::string::npos);
  const net::Endpoint edge_port{Ip("203.0.113.1"), PortIn(p.to_core)};
  EXPECT_NE(edge_port.port, 2776);
  const auto out = p.core.Give(p.inside(), kInside, Rtp(1));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].to, edge_port);
}

TEST(Mux, WithoutAChannelThereArePorts) {
  Pair p(1);
  p.Call();
  p.edge.call_id = p.core.call_id = "two@example.com";
  p.edge.is_answered = p.core.is_answered = false;
  p.Call();
  EXPECT_EQ(p.to_core.find("gatehouse-mux:1 "), std::string::npos);
  EXPECT_NE(PortIn(p.to_core), 2776);
}

// All of the large profile's at one Edge, from a hundred Cores behind NATs of their own: each has a
// channel of the one port, and hears its own call alone.
TEST(Mux, TenThousandCallsShareThePort) {
  constexpr uint32_t kCalls = 10'000;
  World w(Config::When::kNeeded, Capacity::For(kCalls));
  w.caller.local = w.caller.shown = Ip("203.0.113.1");
  w.caller.remote = At("198.51.100.99:5060");
  w.callee.traversal = sip::TraversalRole::kServer;
  Config config = w.relay->config();
  config.mux_port = 2776;
  config.port_rest = {};  // of ports that were offered beside: it bounds how fast calls may come
  w.relay->Apply(config);
  std::set<uint16_t> channels;
  for (uint32_t i = 0; i < kCalls; ++i) {
    w.call_id = "call" + std::to_string(i);
    w.is_answered = false;
    const std::string offer = w.Offer(Sdp("198.51.100.99", 4000));
    const size_t at = offer.find("a=x-gatehouse-mux:") + 18;
    const std::string line = offer.substr(at, offer.find('\r', at) - at);
    const auto said = ParseMux(line);
    ASSERT_TRUE(said) << i;
    channels.insert(said->channel);
    const std::string answer =
        w.Answer(Sdp("198.51.100.7", 2776, "RTP/AVP", "a=x-gatehouse-mux:1\r\n"));
    if (i % 100 != 0) {
      continue;
    }
    Bytes ask(kIceAnswerMax);
    turn::Builder b(ask, turn::Class::kRequest, turn::Method::kBinding, {1, 2, 3});
    b.Text(turn::kUserName, std::string(said->user) + ":core");
    b.U32(turn::kChannelNumber, static_cast<uint32_t>(said->channel) << 16);
    b.Sign(turn::Integrity::kSha1, AsBytes(said->password));
    b.Fingerprint();
    ask.resize(b.Finish().size());
    const net::Endpoint core{Ip("198.51.100.7"), static_cast<uint16_t>(20'000 + i / 100)};
    ASSERT_EQ(w.Give(kEdgeMux, core, ask).size(), 1u);
    const auto out = w.Give({Ip("203.0.113.1"), PortIn(answer)}, kOutside, Rtp(1));
    ASSERT_EQ(out.size(), 1u) << i;
    EXPECT_EQ(out[0].to, core);
    EXPECT_EQ(net::LoadBe16(out[0].data.data()), said->channel);
  }
  EXPECT_EQ(channels.size(), kCalls);
  EXPECT_EQ(w.relay->mux_count(), kCalls);
  EXPECT_EQ(w.relay->port_count(), kCalls * 2);
}

TEST(Mux, TheLineIsReadStrictly) {
  const std::string user(kIceUserSize, 'u');
  const std::string password(kIcePasswordSize, 'p');
  const auto line = [&](const std::string& port, const std::string& channel) {
    return "1 " + port + " " + channel + " " + user + " " + password;
  };
  ASSERT_TRUE(ParseMux("1"));
  EXPECT_EQ(ParseMux("1")->port, 0);
  ASSERT_TRUE(ParseMux(line("2776", "16384")));
  EXPECT_EQ(ParseMux(line("65535", "32767"))->channel, 32767);
  for (const std::string& bad :
       {std::string(""), std::string("2"), line("0", "16384"), line("65536", "16384"),
        line("2776", "16383"), line("2776", "32768"), line("x", "16384"),
        line("2776", "16384") + " ", line("2776", "16384") + " more", "1 2776 16384 " + user,
        std::string("1 2776")}) {
    EXPECT_FALSE(ParseMux(bad)) << bad;
  }
  uint8_t bytes[kMuxTextMax];
  ByteWriter out(bytes);
  WriteMux({65535, 32767, user, password}, out);
  ASSERT_TRUE(out.ok());
  EXPECT_EQ(out.text(), line("65535", "32767"));
}

TEST(Mux, ThePortIsAmongThoseFirewallsLetPass) {
  EXPECT_EQ(UsualMuxPort(kMuxLargeCalls - 1), 2776);
  EXPECT_EQ(UsualMuxPort(kMuxLargeCalls), 36000);
}

}  // namespace
}  // namespace gh::rtp
