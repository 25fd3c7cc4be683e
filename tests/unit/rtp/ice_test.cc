#include <algorithm>

#include "tests/unit/rtp/ice_lab.h"

namespace gh::rtp::test {
namespace {

using State = IceAgent::State;

constexpr Duration kSoon = Duration::Seconds(2);

bool IsRequest(const Datagram& d) { return d.data.size() > 20 && d.data[0] == 0 && d.data[1] == 1; }
bool Nominates(const Datagram& d) {
  const auto message = turn::Message::Parse(d.data);
  return message.ok() && message->Has(kUseCandidate);
}
void ExpectAgreed(Peer& a, Peer& b) {
  EXPECT_EQ(a.agent.state(), State::kAgreed);
  EXPECT_EQ(b.agent.state(), State::kAgreed);
  EXPECT_NE(a.agent.is_controlling(), b.agent.is_controlling());
}

TEST(Ice, TwoFullAgentsAgreeOnTheBestPair) {
  Lab lab;
  Peer a(lab, "192.0.2.1:4000", "203.0.113.9:6000");
  Peer b(lab, "192.0.2.2:5000", "203.0.113.9:7000");
  lab.Introduce(a, b);
  lab.Run(kSoon);
  ExpectAgreed(a, b);
  EXPECT_TRUE(a.agent.is_controlling());
  EXPECT_EQ(a.at, b.host);
  EXPECT_EQ(b.at, a.host);
  EXPECT_EQ(a.by, IceLocal::kHost);
  EXPECT_EQ(a.agreed, 1);
  EXPECT_EQ(b.agreed, 1);
}

TEST(Ice, ALitePeerIsAskedAndToldThePair) {
  Lab lab;
  Peer a(lab, "192.0.2.1:4000");
  IceCredentials lite;
  lite.Draw(lab.random);
  IceTerms terms;
  terms.is_set = terms.is_lite = true;
  terms.user.Assign(lite.user.view());
  terms.password.Assign(lite.password.view());
  Peer::Add(terms, At("198.51.100.2:5000"), sdp::CandidateType::kHost, "1");
  a.agent.Start(terms, false, 1);  // who has offered, and is lite, does not ask
  bool is_nominated = false;
  lab.passes = [&](Datagram& d) {
    uint8_t out[kIceAnswerMax];
    const IceCheck check = AnswerCheck(lite, d.data, d.from, out);
    if (d.to == At("198.51.100.2:5000") && check.kind == IceCheck::Kind::kGood) {
      is_nominated = is_nominated || check.is_nominated;
      EXPECT_EQ(check.peer, a.agent.own().user.view());
      lab.wire.push_back({d.to, d.from, Bytes(check.answer.begin(), check.answer.end())});
    }
    return true;
  };
  lab.Run(kSoon);
  EXPECT_TRUE(a.agent.is_controlling());
  EXPECT_TRUE(is_nominated);
  EXPECT_EQ(a.agent.state(), State::kAgreed);
  EXPECT_EQ(a.at, At("198.51.100.2:5000"));
  lab.Run(Duration::Seconds(120));  // it consents by its answers
  EXPECT_EQ(a.agent.state(), State::kAgreed);
}

TEST(Ice, WhoHasTheSameRoleSettlesItByTheTieBreaker) {
  for (const bool both_control : {false, true}) {
    for (int round = 0; round < 4; ++round) {  // either may draw the larger number
      Lab lab;
      for (int i = 0; i < round; ++i) {
        (void)lab.random.U64();
      }
      Peer a(lab, "192.0.2.1:4000");
      Peer b(lab, "192.0.2.2:5000");
      a.agent.Start(b.Terms(), both_control, 1);
      b.agent.Start(a.Terms(), both_control, 1);
      lab.Run(Duration::Seconds(5));
      ExpectAgreed(a, b);
      EXPECT_EQ(a.at, b.host);
      EXPECT_EQ(b.at, a.host);
    }
  }
}

TEST(Ice, ANatThatNobodyToldOfIsFoundByChecks) {
  Lab lab;
  Peer a(lab, "192.0.2.1:4000");
  Peer b(lab, "10.0.0.2:5000");
  const auto mapped = At("198.51.100.77:61000");
  lab.passes = [&](Datagram& d) {
    if (d.to == b.host) {
      return false;  // its private address leads nowhere
    }
    d.from = d.from == b.host ? mapped : d.from;
    d.to = d.to == mapped ? b.host : d.to;
    return true;
  };
  lab.Introduce(a, b);
  lab.Run(Duration::Seconds(4));
  ExpectAgreed(a, b);
  EXPECT_EQ(a.at, mapped);
  EXPECT_EQ(b.at, a.host);
}

TEST(Ice, WhatIsAskedBeforeTheAnswerCameIsNotForgotten) {
  Lab lab;
  Peer a(lab, "192.0.2.1:4000");
  Peer b(lab, "10.0.0.2:5000");
  const auto mapped = At("198.51.100.77:61000");
  lab.passes = [&](Datagram& d) {
    d.from = d.from == b.host ? mapped : d.from;
    d.to = d.to == mapped ? b.host : d.to;
    return true;
  };
  b.agent.Start(a.Terms(), false, 1);
  lab.Run(kSoon);  // b has its answers
  EXPECT_EQ(a.agent.state(), State::kIdle);
  EXPECT_EQ(b.agent.state(), State::kChecking);
  a.agent.Start(b.Terms(false), true, 1);  // and tells no candidate at all
  lab.Run(kSoon);
  ExpectAgreed(a, b);
  EXPECT_EQ(a.at, mapped);
}

TEST(Ice, WhoHasOfferedControlsFromTheFirstCheckOn) {
  Lab lab;
  for (int i = 0; i < 8; ++i) {  // whatever the tie-breakers are
    Peer a(lab, "192.0.2.1:" + std::to_string(4000 + i));
    Peer b(lab, "192.0.2.2:" + std::to_string(5000 + i));
    b.agent.Start(a.Terms(), false, 1);
    lab.Run(Duration::Milliseconds(200));
    EXPECT_FALSE(b.agent.is_controlling());
    a.agent.Start(b.Terms(), true, 1);
    lab.Run(kSoon);
    ExpectAgreed(a, b);
    EXPECT_TRUE(a.agent.is_controlling());
    a.agent.Stop();
    b.agent.Stop();
    lab.peers.clear();
  }
}

TEST(Ice, WhereNothingElseWorksItIsRelayed) {
  Lab lab;
  Peer a(lab, "10.0.0.1:4000", "203.0.113.9:6000");
  Peer b(lab, "192.0.2.2:5000");
  lab.passes = [&](Datagram& d) { return !(d.from == a.host) && !(d.to == a.host); };
  lab.Introduce(a, b);
  lab.Run(Duration::Seconds(4));
  ExpectAgreed(a, b);
  EXPECT_EQ(a.by, IceLocal::kRelayed);
  EXPECT_EQ(b.at, a.relayed);
  a.agent.SetRelayed({});  // the server has lost it
  EXPECT_EQ(a.agent.state(), State::kFailed);
  EXPECT_EQ(a.failures.size(), 1u);
}

TEST(Ice, ChecksArePacedAndRepeatedAndLossIsSurvived) {
  Lab lab;
  Peer a(lab, "192.0.2.1:4000");
  Peer b(lab, "192.0.2.2:5000");
  IceTerms terms = b.Terms(false);
  for (int i = 0; i < 6; ++i) {  // of one foundation: one at a time until it is good
    Peer::Add(terms, At("198.51.100.1:" + std::to_string(1000 + i)), sdp::CandidateType::kHost,
              i < 3 ? "x" : "y" + std::to_string(i), static_cast<uint32_t>(100 - i));
  }
  std::vector<Instant> firsts;
  std::set<Bytes> transactions;
  int sends = 0;
  lab.passes = [&](Datagram& d) {
    ++sends;
    if (transactions.insert(Bytes(d.data.begin() + 8, d.data.begin() + 20)).second) {
      firsts.push_back(lab.clock.now);
    }
    return false;
  };
  a.agent.Start(terms, true, 1);
  lab.Run(Duration::Seconds(40));
  ASSERT_EQ(firsts.size(), 6u);
  for (size_t i = 1; i < firsts.size(); ++i) {
    EXPECT_GE((firsts[i] - firsts[i - 1]).milliseconds(), kIcePace.milliseconds());
  }
  EXPECT_EQ(sends, 6 * static_cast<int>(kIceSendsMax));
  EXPECT_EQ(a.agent.state(), State::kFailed);
  EXPECT_EQ(a.failures.size(), 1u);
  EXPECT_EQ(lab.timers.armed_count(), 0u);
  // A third of all datagrams is lost: it takes longer, and comes to the same.
  Lab lossy;
  Peer c(lossy, "192.0.2.1:4000");
  Peer d(lossy, "192.0.2.2:5000");
  lossy.passes = [&](Datagram&) { return lossy.random.Below(3) != 0; };
  lossy.Introduce(c, d);
  lossy.Run(Duration::Seconds(25));
  ExpectAgreed(c, d);
}

TEST(Ice, StreamsOfOneSessionShareThePace) {
  Lab lab;
  Peer a(lab, "192.0.2.1:4000");
  IceTerms terms = a.Terms(false);
  for (int i = 0; i < 4; ++i) {
    Peer::Add(terms, At("198.51.100.1:" + std::to_string(1000 + i)), sdp::CandidateType::kHost,
              std::to_string(i));
  }
  std::vector<Instant> sent;
  lab.passes = [&](Datagram&) {
    sent.push_back(lab.clock.now);
    return false;
  };
  a.agent.Start(terms, true, 3);
  lab.Run(Duration::Milliseconds(480));
  ASSERT_EQ(sent.size(), 4u);
  EXPECT_GE((sent[1] - sent[0]).milliseconds(), 3 * kIcePace.milliseconds());
}

TEST(Ice, WhoIsControlledWaitsToBeAskedForSoLong) {
  Lab lab;
  Peer a(lab, "192.0.2.1:4000");
  Peer b(lab, "192.0.2.2:5000");
  lab.passes = [](Datagram&) { return false; };
  b.agent.Start(a.Terms(), false, 1);
  lab.Run(kIcePatience - Duration::Seconds(1));
  EXPECT_TRUE(b.failures.empty());
  lab.Run(kSoon);
  EXPECT_EQ(b.failures, std::vector<std::string>{"no pair of candidates works"});
}

TEST(Ice, ConsentIsAskedForAndItsEndStopsAll) {
  Lab lab;
  Peer a(lab, "192.0.2.1:4000");
  Peer b(lab, "192.0.2.2:5000");
  lab.Introduce(a, b);
  lab.Run(kSoon);
  ExpectAgreed(a, b);
  lab.seen.clear();
  lab.Run(Duration::Seconds(60));
  const auto asked = std::ranges::count_if(
      lab.seen, [&](const Datagram& d) { return d.from == a.host && IsRequest(d); });
  EXPECT_GE(asked, 9);
  EXPECT_LE(asked, 16);
  EXPECT_FALSE(std::ranges::any_of(lab.seen, Nominates));
  ExpectAgreed(a, b);
  lab.passes = [&](Datagram& d) { return d.from == a.host; };  // b is heard no more
  lab.Run(kConsentLife - Duration::Seconds(8));
  EXPECT_TRUE(a.failures.empty());
  lab.Run(Duration::Seconds(16));
  EXPECT_EQ(a.failures, std::vector<std::string>{"the peer does not consent any more"});
  lab.seen.clear();
  lab.Run(Duration::Seconds(60));
  EXPECT_FALSE(std::ranges::any_of(
      lab.seen, [&](const Datagram& d) { return d.from == a.host && IsRequest(d); }));
}

TEST(Ice, ANewUserFragmentBeginsAnewAndTheSameOneDoesNot) {
  Lab lab;
  Peer a(lab, "192.0.2.1:4000");
  Peer b(lab, "192.0.2.2:5000");
  lab.Introduce(a, b);
  lab.Run(kSoon);
  a.agent.Start(b.Terms(), true, 1);
  EXPECT_EQ(a.agent.state(), State::kAgreed);
  EXPECT_EQ(a.agreed, 1);
  const IceTerms old = b.Terms();
  b.agent.DrawCredentials();
  a.agent.DrawCredentials();
  const IceTerms of_a = a.Terms();
  a.agent.Start(b.Terms(), false, 1);  // b has offered this time
  b.agent.Start(of_a, true, 1);
  EXPECT_EQ(a.agent.state(), State::kChecking);
  lab.Run(kSoon);
  ExpectAgreed(a, b);
  EXPECT_TRUE(b.agent.is_controlling());
  EXPECT_EQ(a.agreed, 2);
  EXPECT_FALSE(old.IsSameSession(a.agent.terms()));
}

TEST(Ice, ThatEachPairIsNominatedMeansTheBest) {
  Lab lab;
  Peer b(lab, "192.0.2.2:5000");
  IceCredentials own;
  own.Draw(lab.random);
  IceTerms terms;
  terms.is_set = true;
  terms.user.Assign(own.user.view());
  terms.password.Assign(own.password.view());
  const net::Endpoint good = At("198.51.100.1:1000"), better = At("198.51.100.1:1001");
  Peer::Add(terms, good, sdp::CandidateType::kHost, "1", 10);
  Peer::Add(terms, better, sdp::CandidateType::kHost, "2", 20);
  b.agent.Start(terms, false, 1);
  lab.passes = [&](Datagram& d) {  // answers b's checks from wherever they went
    uint8_t out[kIceAnswerMax];
    const IceCheck check =
        AnswerCheck(own, d.data, d.from, out, {.is_lite = false, .is_controlling = true});
    if (check.kind == IceCheck::Kind::kGood) {
      lab.wire.push_back({d.to, d.from, Bytes(check.answer.begin(), check.answer.end())});
    }
    return true;
  };
  const auto nominate = [&](const net::Endpoint& from) {
    uint8_t bytes[kIceRequestMax];
    turn::TransactionId id;
    lab.random.Fill(id);
    turn::Builder request(bytes, turn::Class::kRequest, turn::Method::kBinding, id);
    request.Text(turn::kUserName,
                 std::string(b.agent.own().user.view()) + ":" + std::string(own.user.view()));
    request.U32(kPriority, 1);
    request.Bytes(kIceControlling, std::array<uint8_t, 8>{1});
    request.Bytes(kUseCandidate, {});
    request.Sign(turn::Integrity::kSha1, AsBytes(b.agent.own().password.view()));
    request.Fingerprint();
    const auto built = request.Finish();
    (void)b.agent.Take(IceLocal::kHost, from, built);
    lab.Run(Duration::Milliseconds(500));
  };
  nominate(good);
  EXPECT_EQ(b.at, good);
  nominate(better);
  EXPECT_EQ(b.at, better);
  nominate(good);
  EXPECT_EQ(b.at, better);
  lab.Run(kIceMoveAfter);  // and later, when the better one is not used any more
  nominate(good);
  EXPECT_EQ(b.at, good);
}

TEST(Ice, StrangersChangeNothing) {
  Lab lab;
  Peer a(lab, "192.0.2.1:4000");
  Peer b(lab, "192.0.2.2:5000");
  const auto stranger = At("203.0.113.66:666");
  std::vector<Datagram> kept;
  lab.passes = [&](Datagram& d) {
    kept.push_back(d);
    return false;
  };
  lab.Introduce(a, b);
  lab.Run(Duration::Milliseconds(200));
  lab.passes = nullptr;
  ASSERT_FALSE(kept.empty());
  const auto take = [&](Bytes data, const net::Endpoint& from) {
    return b.agent.Take(IceLocal::kHost, from, data);
  };
  const auto request =
      std::ranges::find_if(kept, [&](const Datagram& d) { return d.to == b.host && IsRequest(d); });
  ASSERT_NE(request, kept.end());
  for (size_t i = 0; i < request->data.size() - 8; ++i) {  // each byte before FINGERPRINT counts
    Bytes forged = request->data;
    forged[i] ^= 0x40;
    EXPECT_NE(take(forged, stranger), IceAgent::Outcome::kTaken) << i;
  }
  EXPECT_EQ(take({0, 1, 0, 0}, stranger), IceAgent::Outcome::kStranger);
  // An answer from elsewhere than the request went makes the pair fail, not good.
  const auto of_b = std::ranges::find_if(
      kept, [&](const Datagram& d) { return d.from == b.host && IsRequest(d); });
  ASSERT_NE(of_b, kept.end());
  uint8_t out[kIceAnswerMax];
  const IceCheck check = AnswerCheck(a.agent.own(), of_b->data, b.host, out,
                                     {.is_lite = false, .is_controlling = true});
  EXPECT_EQ(take(Bytes(check.answer.begin(), check.answer.end()), stranger),
            IceAgent::Outcome::kTaken);
  EXPECT_EQ(b.at.port, 0);
}

TEST(Ice, WhatAPeerMayShowHasLimits) {
  Lab lab;
  Peer a(lab, "192.0.2.1:4000", "203.0.113.9:6000");
  IceTerms terms = a.Terms(false);
  for (uint32_t i = 0; i <= kIceRemoteMax; ++i) {
    Peer::Add(terms, At("198.51.100.1:" + std::to_string(1000 + i)), sdp::CandidateType::kHost,
              std::to_string(i), 1000 - i);
  }
  EXPECT_EQ(terms.remote_count, kIceRemoteMax);
  EXPECT_EQ(terms.remotes.back().at.port, 1000 + kIceRemoteMax - 1);
  a.agent.Start(terms, true, 1);
  EXPECT_EQ(a.agent.pair_count(), kIcePairMax);  // all of them, from both of ours
  static_assert(kIcePairMax == 2 * kIceRemoteMax);
  IceTerms none;
  for (const char* at : {"127.0.0.1:5", "224.0.0.1:5", "0.0.0.0:5", "198.51.100.1:0"}) {
    Peer::Add(none, At(at), sdp::CandidateType::kHost, "1");
  }
  EXPECT_EQ(none.remote_count, 0u);
  EXPECT_TRUE(none.user.Assign(std::string(kIceTheirTextMax, 'u')));
  EXPECT_FALSE(none.user.Assign(std::string(kIceTheirTextMax + 1, 'u')));
}

TEST(Ice, AFragmentOfTheLargestSizeFitsACheck) {
  Lab lab;
  Peer a(lab, "192.0.2.1:4000");
  IceTerms terms;
  terms.is_set = true;
  terms.user.Assign(std::string(kIceTheirTextMax, 'u'));
  terms.password.Assign(std::string(kIceTheirTextMax, 'p'));
  Peer::Add(terms, At("198.51.100.1:1000"), sdp::CandidateType::kHost, "1");
  a.agent.Start(terms, true, 1);
  lab.Run(Duration::Milliseconds(100));
  ASSERT_FALSE(lab.seen.empty());
  const auto message = turn::Message::Parse(lab.seen[0].data);
  ASSERT_TRUE(message.ok());
  EXPECT_TRUE(message->IsAuthentic(AsBytes(terms.password.view())));
}

// A check of the peer with these credentials, as it comes to `to`.
Bytes CheckBy(Lab& lab, const IceCredentials& from, const IceAgent& to) {
  uint8_t bytes[kIceRequestMax];
  turn::TransactionId id;
  lab.random.Fill(id);
  turn::Builder request(bytes, turn::Class::kRequest, turn::Method::kBinding, id);
  request.Text(turn::kUserName,
               std::string(to.own().user.view()) + ":" + std::string(from.user.view()));
  request.U32(kPriority, 1000);
  request.Bytes(kIceControlled, std::array<uint8_t, 8>{1});
  request.Sign(turn::Integrity::kSha1, AsBytes(to.own().password.view()));
  request.Fingerprint();
  const auto built = request.Finish();
  return Bytes(built.begin(), built.end());
}

TEST(Ice, PlacesFromWhichAPeerAsksAreBounded) {
  Lab lab;
  Peer b(lab, "192.0.2.2:5000");
  lab.passes = [](Datagram&) { return false; };
  IceCredentials own;
  own.Draw(lab.random);
  const auto ask = [&](uint32_t first, uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) {
      const auto from = At("198.51.100.1:" + std::to_string(first + i));
      EXPECT_EQ(b.agent.Take(IceLocal::kHost, from, CheckBy(lab, own, b.agent)),
                IceAgent::Outcome::kTaken);
    }
  };
  ask(1000, kIceRemoteMax);  // before its description: the candidates in it find room
  IceTerms terms;
  terms.is_set = true;
  terms.user.Assign(own.user.view());
  terms.password.Assign(own.password.view());
  Peer::Add(terms, At("198.51.100.1:900"), sdp::CandidateType::kHost, "1");
  b.agent.Start(terms, true, 1);
  EXPECT_EQ(b.agent.pair_count(), 1 + kIceRemoteMax / 2);
  ask(2000, kIceRemoteMax);
  EXPECT_EQ(b.agent.pair_count(), kIceRemoteMax);
  EXPECT_EQ(b.agent.terms().remote_count, kIceRemoteMax);
}

TEST(Ice, FamiliesDoNotPair) {
  Lab lab;
  Peer a(lab, "192.0.2.1:4000");
  IceTerms terms = a.Terms(false);
  Peer::Add(terms, At("[2001:db8::1]:1000"), sdp::CandidateType::kHost, "1");
  a.agent.Start(terms, true, 1);
  EXPECT_EQ(a.agent.pair_count(), 0u);
  lab.Run(kIcePatience);  // it may still be asked itself
  lab.Run(kSoon);
  EXPECT_EQ(a.failures.size(), 1u);
}

}  // namespace
}  // namespace gh::rtp::test
