// ICE at the anchor: a plain phone and one that speaks ICE, with us between them as a full agent,
// straight or by our own TURN engine; and two that speak it with each other, by us in the last
// resort.
#include "tests/unit/rtp/ice_lab.h"
#include "tests/unit/turn/world.h"

namespace gh::rtp::test {
namespace {

const net::Endpoint kPlain = At("10.1.1.50:4000");
const net::Endpoint kServer = At("9.9.9.9:3478");
const net::IpAddress kOurs = Ip("203.0.113.1"), kNat = Ip("192.0.2.77");

std::string LineIn(const std::string& sdp, const std::string& name) {
  const size_t at = sdp.find("\r\na=" + name);
  const size_t begin = at + 4 + name.size();
  return at == std::string::npos ? "" : sdp.substr(begin, sdp.find('\r', begin) - begin);
}
bool Holds(const std::string& sdp, const std::string& text) {
  return sdp.find(text) != std::string::npos;
}

// A plain caller inside; a callee outside with an agent of its own.
struct Scene {
  explicit Scene(Capacity capacity = Capacity::For(20))
      : w(Config::When::kAlways, capacity), peer(lab, "198.51.100.7:5000") {
    w.callee.speaks_ice = true;
    lab.passes = [this](Datagram& d) {
      from_peer.push_back(d);
      return false;
    };
  }
  std::string PeerSdp(const std::string& more = "a=rtcp-mux\r\n") const {
    return Sdp("198.51.100.7", 5000, "RTP/AVP",
               "a=ice-ufrag:" + std::string(peer.agent.own().user.view()) +
                   "\r\na=ice-pwd:" + std::string(peer.agent.own().password.view()) +
                   "\r\na=candidate:1 1 udp 2130706431 198.51.100.7 5000 typ host\r\n" + more);
  }
  void Hear(const std::string& sdp, bool it_offered) {
    IceTerms terms;
    terms.is_set = true;
    terms.user.Assign(LineIn(sdp, "ice-ufrag:"));
    terms.password.Assign(LineIn(sdp, "ice-pwd:"));
    for (size_t at = 0; (at = sdp.find("a=candidate:", at)) != std::string::npos; at += 12) {
      const size_t begin = at + 12;
      const std::string_view line(sdp.data() + begin, sdp.find('\r', begin) - begin);
      const auto candidate = sdp::ParseCandidate(line);
      ASSERT_TRUE(candidate.has_value());
      terms.Add(*candidate);
    }
    peer.agent.Start(terms, it_offered, 1);
  }
  // Of the plain phone's offer and the other one's answer.
  void Call() {
    offer = w.Offer(Sdp("10.1.1.50", 4000));
    peer.agent.DrawCredentials();
    answer = w.Answer(PeerSdp());
    Hear(offer, false);
  }
  // Datagrams on their ways, until nothing moves.
  void Run(Duration duration) {
    for (int64_t left = duration.ns / 5'000'000; left > 0; --left) {
      w.Tick(Duration::Milliseconds(5));
      if (engine != nullptr) {
        engine->Pass(Duration::Milliseconds(5));
      }
      lab.Run(Duration::Milliseconds(5));
      for (int i = 0; i < 50 && (!w.sent.empty() || !from_peer.empty() || HasMore()); ++i) {
        Pump();
      }
    }
  }
  // As the world sees us, and back.
  net::Endpoint Seen(const net::Endpoint& from) const {
    const auto port = static_cast<uint16_t>(from.port + 1000);
    return has_nat && from.address == kOurs ? net::Endpoint{kNat, port} : from;
  }
  net::Endpoint Real(const net::Endpoint& to) const {
    const auto port = static_cast<uint16_t>(to.port - 1000);
    return has_nat && to.address == kNat ? net::Endpoint{kOurs, port} : to;
  }
  void UseTurn(turn::test::World& server) {
    engine = &server;
    w.Configure([](Config& config) {
      config.turn.at = kServer;
      config.turn.user.Assign("alice");
      config.turn.password.Assign("secret");
      config.turn_local = kOurs;
    });
    Run(Duration::Seconds(3));
  }
  bool HasMore() const { return engine != nullptr && !engine->sent.empty(); }
  void Pump() {
    std::vector<Sent> ours;
    ours.swap(w.sent);
    for (const Sent& sent : ours) {
      if (engine != nullptr && sent.to == kServer) {
        turn::ClientPath path;
        path.local = kServer;
        path.remote = Seen(sent.from);
        engine->Give(path, sent.data);
      } else if (sent.to == peer.host && !(is_closed && !(sent.from.address == Ip("9.9.9.9")))) {
        (void)peer.agent.Take(IceLocal::kHost, Seen(sent.from), sent.data);
      } else {
        others.push_back(sent);
      }
    }
    while (HasMore()) {
      const auto sent = *engine->Take();
      Bytes data = sent.data;
      if (sent.to == peer.host) {
        arrived.push_back({sent.from, sent.to, data});
        (void)peer.agent.Take(IceLocal::kHost, sent.from, data);
      } else {
        (void)w.relay->OnRelayDatagram(Real(sent.to), kServer, data);
      }
    }
    std::vector<Datagram> theirs;
    theirs.swap(from_peer);
    for (Datagram& d : theirs) {
      if (engine != nullptr && d.to.address == Ip("9.9.9.9")) {
        (void)engine->engine().OnRelayDatagram(d.to, d.from, d.data);
      } else if (!is_closed && !(has_nat && d.to.address == kOurs)) {
        (void)w.relay->OnRelayDatagram(Real(d.to), d.from, d.data);
      }
    }
  }

  World w;
  Lab lab;
  Peer peer;
  std::string offer, answer;
  std::vector<Datagram> from_peer;
  std::vector<Sent> others;
  std::vector<Sent> arrived;  // at the peer, by the TURN engine
  turn::test::World* engine = nullptr;
  bool has_nat = false;    // of our side outside
  bool is_closed = false;  // nothing passes straight between us and the peer
};

TEST(IceCall, APhoneThatSpeaksIceIsAskedAndThenMediaFlows) {
  Scene s;
  s.Call();
  EXPECT_TRUE(Holds(s.offer, "a=candidate:1 1 UDP 2130706431 203.0.113.1 "));
  EXPECT_TRUE(Holds(s.offer, "a=rtcp-mux"));
  EXPECT_FALSE(Holds(s.offer, "ice-lite"));
  for (const char* gone : {"ice-", "candidate", "rtcp-mux"}) {
    EXPECT_FALSE(Holds(s.answer, gone)) << s.answer;
  }
  const net::Endpoint outside{Ip("203.0.113.1"), PortIn(s.offer)};
  const net::Endpoint inside{Ip("10.1.1.1"), PortIn(s.answer)};
  // Nobody's media is taken before a check was good: not even the peer's own.
  EXPECT_TRUE(s.w.Give(outside, s.peer.host, Rtp(1)).empty());
  s.Run(Duration::Seconds(2));
  ASSERT_EQ(s.w.agreed.size(), 1u);
  EXPECT_EQ(s.w.agreed[0].from, outside);
  EXPECT_EQ(s.w.agreed[0].to, s.peer.host);
  EXPECT_EQ(s.peer.at, outside);
  auto out = s.w.Give(outside, s.peer.host, Rtp(1));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].to, kPlain);
  out = s.w.Give(inside, kPlain, Rtp(2));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].to, s.peer.host);
  EXPECT_EQ(s.w.flows.size(), 2u);
  // RTCP comes by the one port and leaves by the phone's other one.
  const Bytes report = {0x80, 201, 0, 1, 1, 2, 3, 4};
  out = s.w.Give(outside, s.peer.host, report);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].to, At("10.1.1.50:4001"));
  s.w.anchor->OnEnded(s.w.call_id, "a", "b");
  EXPECT_EQ(s.w.relay->ice_count(), 0u);
  EXPECT_TRUE(s.w.flows.empty());
}

TEST(IceCall, ACallerThatSpeaksIceControls) {
  Scene s;
  std::swap(s.w.caller.speaks_ice, s.w.callee.speaks_ice);
  s.w.caller.remote = At("198.51.100.7:5060");
  s.peer.agent.DrawCredentials();
  s.offer = s.w.Offer(s.PeerSdp());
  EXPECT_FALSE(Holds(s.offer, "ice-ufrag"));
  s.answer = s.w.Answer(Sdp("198.51.100.8", 6000));
  EXPECT_TRUE(Holds(s.answer, "a=ice-ufrag:"));
  EXPECT_TRUE(Holds(s.answer, "a=rtcp-mux"));
  s.Hear(s.answer, true);
  s.Run(Duration::Seconds(2));
  EXPECT_TRUE(s.peer.agent.is_controlling());
  EXPECT_EQ(s.peer.agent.state(), IceAgent::State::kAgreed);
  EXPECT_EQ(s.w.agreed.size(), 1u);
}

TEST(IceCall, WhoAnswersWithoutIceIsLatchedAsEver) {
  Scene s;
  s.offer = s.w.Offer(Sdp("10.1.1.50", 4000));
  s.answer = s.w.Answer(Sdp("198.51.100.7", 5000));
  EXPECT_EQ(s.w.relay->ice_count(), 0u);
  const net::Endpoint outside{Ip("203.0.113.1"), PortIn(s.offer)};
  EXPECT_EQ(s.w.Give(outside, s.peer.host, Rtp(1)).size(), 1u);
}

TEST(IceCall, WhoFindsAMismatchIsLatchedAsEver) {
  Scene s;
  s.offer = s.w.Offer(Sdp("10.1.1.50", 4000));
  s.answer = s.w.Answer(s.PeerSdp("a=ice-mismatch\r\n"));
  EXPECT_EQ(s.w.relay->ice_count(), 0u);
  const net::Endpoint outside{Ip("203.0.113.1"), PortIn(s.offer)};
  EXPECT_EQ(s.w.Give(outside, s.peer.host, Rtp(1)).size(), 1u);
}

TEST(IceCall, WithoutRoomForItAnOfferGoesWithoutIce) {
  Capacity capacity = Capacity::For(20);
  capacity.ices = 1;
  Scene s(capacity);
  s.Call();
  s.w.call_id = "two@example.com";
  s.w.is_answered = false;
  const std::string second = s.w.Offer(Sdp("10.1.1.50", 4000));
  EXPECT_FALSE(Holds(second, "ice-ufrag"));
  EXPECT_NE(PortIn(second), 0);
  EXPECT_EQ(s.w.relay->counters().refused_capacity, 1u);
}

TEST(IceCall, NoWayMeansNoMediaAndIsTold) {
  Scene s;
  s.is_closed = true;
  s.Call();
  s.Run(Duration::Seconds(20));
  EXPECT_EQ(s.w.ice_lost, std::vector<std::string>{"no pair of candidates works"});
  const net::Endpoint inside{Ip("10.1.1.1"), PortIn(s.answer)};
  EXPECT_TRUE(s.w.Give(inside, kPlain, Rtp(2)).empty());
  // The next offer tries anew, with other credentials.
  const std::string again = s.w.Offer(Sdp("10.1.1.50", 4000));
  EXPECT_NE(LineIn(again, "ice-ufrag:"), LineIn(s.offer, "ice-ufrag:"));
}

TEST(IceCall, ConsentThatEndsStopsMedia) {
  Scene s;
  s.Call();
  s.Run(Duration::Seconds(2));
  const net::Endpoint inside{Ip("10.1.1.1"), PortIn(s.answer)};
  EXPECT_EQ(s.w.Give(inside, kPlain, Rtp(2)).size(), 1u);
  s.is_closed = true;
  s.Run(Duration::Seconds(45));
  EXPECT_EQ(s.w.ice_lost, std::vector<std::string>{"the peer does not consent any more"});
  EXPECT_TRUE(s.w.Give(inside, kPlain, Rtp(3)).empty());
}

TEST(IceCall, BehindAFirewallMediaGoesByOurTurnEngine) {
  Scene s;
  turn::Config policy = turn::test::World::MakeConfig();
  policy.allowed.Add(turn::test::Net("198.51.100.0/24"));
  turn::test::World engine(policy);
  s.engine = &engine;
  s.is_closed = true;
  s.w.Configure([](Config& config) {
    config.turn.at = kServer;
    config.turn.user.Assign("alice");
    config.turn.password.Assign("secret");
    config.turn_local = Ip("10.1.1.1");
  });
  s.Run(Duration::Seconds(3));  // allocations are made before anybody calls
  EXPECT_EQ(engine.engine().allocation_count(), kTurnWarm);
  s.Call();
  EXPECT_TRUE(Holds(s.offer, " typ relay raddr 10.1.1.1 rport "));
  s.Run(Duration::Seconds(5));
  ASSERT_EQ(s.w.agreed.size(), 1u);
  EXPECT_EQ(s.w.agreed[0].from.address, Ip("9.9.9.9"));
  EXPECT_EQ(s.peer.at, s.w.agreed[0].from);
  EXPECT_EQ(engine.engine().allocation_count(), kTurnWarm + 1);  // one takes its place
  // Media by the channel: what the plane is told, and what leaves.
  const net::Endpoint inside{Ip("10.1.1.1"), PortIn(s.answer)};
  s.arrived.clear();
  const auto out = s.w.Give(inside, kPlain, Rtp(2));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].to, kServer);
  EXPECT_EQ(out[0].data[0], 0x40);
  EXPECT_EQ(Bytes(out[0].data.begin() + 4, out[0].data.end()), Rtp(2));
  s.from_peer.push_back({s.peer.host, s.peer.at, Rtp(9)});
  s.others.clear();
  s.Run(Duration::Milliseconds(10));
  ASSERT_EQ(s.others.size(), 1u);
  EXPECT_EQ(s.others[0].to, kPlain);
  EXPECT_EQ(s.others[0].data, Rtp(9));
  ASSERT_EQ(s.w.flows.size(), 2u);
  for (const media::Flow* flow : s.w.flows) {
    const bool is_inward = flow->spec.remote == kServer;
    EXPECT_EQ(is_inward ? flow->spec.channel_in : flow->spec.channel_out, kTurnChannel);
    EXPECT_EQ(is_inward ? flow->spec.to : flow->spec.remote, kPlain);
  }
  s.w.anchor->OnEnded(s.w.call_id, "a", "b");
  s.Run(Duration::Seconds(1));
  EXPECT_EQ(engine.engine().allocation_count(), kTurnWarm);
  s.w.Configure([](Config& config) { config.turn = {}; });
  s.Run(Duration::Milliseconds(10));
  EXPECT_EQ(engine.engine().allocation_count(), 0u);
  EXPECT_EQ(s.w.relay->turn_count(), 0u);
}

turn::Config Policy() {
  turn::Config policy = turn::test::World::MakeConfig();
  policy.allowed.Add(turn::test::Net("198.51.100.0/24"));
  return policy;
}

TEST(IceCall, BehindANatPeersAreToldWhatTheTurnServerSees) {
  turn::test::World engine(Policy());
  Scene s;
  s.has_nat = true;
  s.UseTurn(engine);
  EXPECT_EQ(s.w.relay->port_count(), 2 * kTurnWarm);
  s.Call();
  const net::Endpoint outside{kOurs, PortIn(s.offer)};
  const std::string seen = std::to_string(outside.port + 1000);
  EXPECT_TRUE(Holds(s.offer, "a=candidate:3 1 UDP 1694498815 192.0.2.77 " + seen +
                                 " typ srflx raddr 203.0.113.1 rport " +
                                 std::to_string(outside.port)))
      << s.offer;
  EXPECT_TRUE(Holds(s.offer, " typ relay raddr 192.0.2.77 rport " + seen));
  s.Run(Duration::Seconds(5));
  ASSERT_EQ(s.w.agreed.size(), 1u);
  EXPECT_EQ(s.w.agreed[0].from, outside);
  EXPECT_EQ(s.peer.at, s.Seen(outside));
  auto out = s.w.Give(outside, s.peer.host, Rtp(1));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].to, kPlain);
  out = s.w.Give({Ip("10.1.1.1"), PortIn(s.answer)}, kPlain, Rtp(2));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].from, outside);
  EXPECT_EQ(out[0].to, s.peer.host);
  s.w.anchor->OnEnded(s.w.call_id, "a", "b");
  s.Run(Duration::Seconds(1));
  EXPECT_EQ(engine.engine().allocation_count(), kTurnWarm);
  EXPECT_EQ(s.w.relay->port_count(), 2 * kTurnWarm);
}

TEST(IceCall, WithoutANatThereIsNothingToTell) {
  turn::test::World engine(Policy());
  Scene s;
  s.UseTurn(engine);
  s.Call();
  EXPECT_FALSE(Holds(s.offer, "srflx"));
  EXPECT_TRUE(
      Holds(s.offer, "typ relay raddr 203.0.113.1 rport " + std::to_string(PortIn(s.offer))));
}

TEST(IceCall, WhoAnswersWithoutIceHasTheAllocationsPortsAndNoAllocation) {
  turn::test::World engine(Policy());
  Scene s;
  s.UseTurn(engine);
  s.offer = s.w.Offer(Sdp("10.1.1.50", 4000));
  s.Run(Duration::Seconds(1));
  EXPECT_EQ(engine.engine().allocation_count(), kTurnWarm + 1);
  s.answer = s.w.Answer(Sdp("198.51.100.7", 5000));
  s.Run(Duration::Seconds(1));
  EXPECT_EQ(engine.engine().allocation_count(), kTurnWarm);
  const uint16_t port = PortIn(s.offer);
  EXPECT_EQ(s.w.Give({kOurs, port}, s.peer.host, Rtp(1)).size(), 1u);
  const Bytes report = {0x80, 201, 0, 1, 1, 2, 3, 4};
  const net::Endpoint rtcp{kOurs, static_cast<uint16_t>(port + 1)};
  EXPECT_EQ(s.w.Give(rtcp, At("198.51.100.7:5001"), report).size(), 1u);
  s.w.anchor->OnEnded(s.w.call_id, "a", "b");
  EXPECT_EQ(s.w.relay->port_count(), 2 * kTurnWarm);
}

TEST(IceCall, PortsOutliveTheAllocationTheyWereOf) {
  turn::test::World engine(Policy());
  Scene s;
  s.UseTurn(engine);
  s.w.Configure([](Config& config) { config.inactivity = Duration::Minutes(10); });
  s.Call();
  s.Run(Duration::Seconds(2));
  ASSERT_EQ(s.w.agreed.size(), 1u);
  (void)engine.engine().CloseAll(turn::EndReason::kByOperator);
  s.Run(kTurnRenewal + Duration::Seconds(1));
  EXPECT_EQ(s.w.turn_lost.size(), 1u);
  EXPECT_TRUE(s.w.ice_lost.empty());
  EXPECT_EQ(s.w.Give({kOurs, PortIn(s.offer)}, s.peer.host, Rtp(1)).size(), 1u);
  EXPECT_EQ(s.w.relay->port_count(), 4 + 2 * s.w.relay->turn_count());
  s.w.anchor->OnEnded(s.w.call_id, "a", "b");
  EXPECT_EQ(s.w.relay->port_count(), 2 * s.w.relay->turn_count());
}

TEST(IceCall, AServerThatIsNotThereIsToldOnceAndTriedAgain) {
  Scene s;
  s.w.Configure([](Config& config) {
    config.turn.at = kServer;
    config.turn.user.Assign("alice");
    config.turn_local = Ip("10.1.1.1");
  });
  s.Run(Duration::Seconds(40));
  EXPECT_EQ(s.w.turn_lost.size(), 1u);
  s.Call();
  EXPECT_FALSE(Holds(s.offer, "typ relay"));
  turn::test::World engine;
  engine.AddUser("alice", "");
  s.engine = &engine;
  s.Run(kTurnRetry + Duration::Seconds(35));
  EXPECT_EQ(engine.engine().allocation_count(), kTurnWarm);
  s.w.Configure([](Config& config) { config.turn = {}; });
  s.Run(Duration::Milliseconds(10));
}

TEST(IceCall, CandidatesPassBetweenPartiesThatMayHaveThem) {
  World w;
  w.caller.passes_ice = w.callee.passes_ice = true;
  const auto ice = [](const char* user, const char* at) {
    return std::string("a=ice-ufrag:") + user +
           "\r\na=ice-pwd:0123456789012345678901\r\na=candidate:1 1 udp 2130706431 " + at +
           " typ host\r\na=rtcp-mux\r\n";
  };
  const std::string offer =
      w.Offer(Sdp("10.1.1.50", 4000, "UDP/TLS/RTP/SAVP", ice("left", "10.1.1.50 4000")));
  EXPECT_TRUE(Holds(offer, "a=ice-ufrag:left"));
  EXPECT_TRUE(Holds(offer, "10.1.1.50 4000 typ host"));
  const auto port = std::to_string(PortIn(offer));
  EXPECT_TRUE(Holds(offer, "a=candidate:gatehouse 1 UDP 255 203.0.113.1 " + port + " typ relay"));
  EXPECT_TRUE(Holds(offer, "c=IN IP4 203.0.113.1"));
  const std::string answer =
      w.Answer(Sdp("198.51.100.7", 5000, "UDP/TLS/RTP/SAVP", ice("right", "198.51.100.7 5000")));
  EXPECT_TRUE(Holds(answer, "a=ice-ufrag:right"));
  EXPECT_EQ(w.relay->ice_count(), 0u);
  // By us pass their checks and their handshakes as they are, beside media.
  const net::Endpoint inside{Ip("10.1.1.1"), PortIn(answer)};
  const net::Endpoint outside{Ip("203.0.113.1"), PortIn(offer)};
  Bytes check(40, 0);
  check[1] = 1;
  auto out = w.Give(inside, kPlain, check);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].to, At("198.51.100.7:5000"));
  EXPECT_EQ(out[0].data, check);
  out = w.Give(outside, At("198.51.100.7:5000"), check);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].to, kPlain);
  EXPECT_EQ(w.Give(inside, kPlain, Rtp(1)).size(), 1u);
  // Where one side may not, nobody's candidates go.
  w.call_id = "two@example.com";
  w.is_answered = false;
  w.callee.passes_ice = false;
  EXPECT_FALSE(Holds(
      w.Offer(Sdp("10.1.1.50", 4000, "UDP/TLS/RTP/SAVP", ice("left", "10.1.1.50 4000"))), "ice-"));
}

// --- Parties that fall silent -------------------------------------------------------------------

struct Talk {
  Talk() {
    w.Configure([](Config& config) { config.party_inactivity = Duration::Seconds(10); });
    inside = {Ip("203.0.113.1"), PortIn(w.Offer(Sdp("10.1.1.50", 4000)))};
    outside = {Ip("10.1.1.1"), PortIn(w.Answer(Sdp("198.51.100.7", 6000)))};
  }
  void Speak(bool caller, bool callee, int seconds) {
    for (int i = 0; i < seconds; ++i) {
      if (caller) {
        (void)w.Give(outside, kPlain, Rtp(static_cast<uint16_t>(i + 1)));
      }
      if (callee) {
        (void)w.Give(inside, At("198.51.100.7:6000"), Rtp(static_cast<uint16_t>(i + 1)));
      }
      w.Pass(Duration::Seconds(1));
    }
  }
  World w;
  net::Endpoint inside, outside;
};

TEST(PartySilence, AnEndThatStopsIsToldOnce) {
  Talk t;
  t.Speak(true, true, 20);
  EXPECT_TRUE(t.w.silent_parties.empty());
  t.Speak(true, false, 9);
  EXPECT_TRUE(t.w.silent_parties.empty());
  t.Speak(true, false, 20);
  EXPECT_EQ(t.w.silent_parties, std::vector<uint32_t>{kCallee});
  t.Speak(true, true, 3);  // and again when it has come and gone
  t.Speak(true, false, 15);
  EXPECT_EQ(t.w.silent_parties.size(), 2u);
  EXPECT_FALSE(t.w.anchor->IsHeard(t.w.call_id, "a", "b", false, Duration::Seconds(10)));
  EXPECT_TRUE(t.w.anchor->IsHeard(t.w.call_id, "a", "b", true, Duration::Seconds(10)));
}

TEST(PartySilence, WhoNeverSentOrIsNotToSendIsLeftAlone) {
  Talk t;
  t.Speak(true, false, 40);
  EXPECT_TRUE(t.w.silent_parties.empty());  // nothing was ever heard of the callee
  t.Speak(true, true, 3);
  (void)t.w.Offer(Sdp("10.1.1.50", 4000, "RTP/AVP", "a=sendonly\r\n"));  // on hold
  (void)t.w.Answer(Sdp("198.51.100.7", 6000, "RTP/AVP", "a=recvonly\r\n"));
  t.Speak(true, false, 40);
  EXPECT_TRUE(t.w.silent_parties.empty());
}

TEST(PartySilence, BothAtOnceMayEndTheSessionFromWithin) {
  Talk t;
  t.w.ends_silent = true;
  t.Speak(true, true, 3);
  t.Speak(false, false, 15);
  EXPECT_EQ(t.w.silent_parties.size(), 1u);
  EXPECT_EQ(t.w.relay->session_count(), 0u);
}

}  // namespace
}  // namespace gh::rtp::test
