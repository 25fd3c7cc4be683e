// Zones and the dial plan in the engine: neighbours with several peers, the traversal pair (both
// sides, each against a scripted other), search rules, policy, trust, registration lists. After
// each test every pool is as before.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "tests/unit/sip/phone.h"

namespace gh::sip::test {
namespace {

using dialplan::PatternBehavior;
using dialplan::PatternType;
using dialplan::RuleMode;
using dialplan::SearchRule;
using dialplan::Trust;
using dialplan::Zone;
using dialplan::ZoneType;

Config ZonesConfig() {
  Config config = World::DefaultConfig();
  config.AddListener(TransportKind::kTls, At("192.0.2.1:5061"));
  config.AddListener(TransportKind::kTls, At("192.0.2.1:7001"), At("192.0.2.1:7001"), 3);
  return config;
}

class ZonesTest : public testing::Test {
 protected:
  World world{ZonesConfig()};
  Engine& engine = world.engine();
  Phone alice{world, "alice", "192.0.2.20:5060"};

  void TearDown() override {
    engine.zones().Stop();
    world.Advance(Duration::Seconds(300));
    world.Advance(Duration::Hours(24));
    world.Clear();
    EXPECT_EQ(world.Busy(), "");
  }
  ZoneConfig Neighbour(const char* name, std::initializer_list<const char*> peers) {
    ZoneConfig config;
    config.plan.name.Assign(name);
    config.plan.type = ZoneType::kNeighbour;
    config.plan.trust = Trust::kDoNotCheck;
    config.transport = TransportKind::kUdp;
    uint32_t count = 0;
    for (const char* peer : peers) {
      config.peers[count++].Set(peer);
    }
    return config;
  }
  ZoneConfig Traversal(ZoneType type) {
    ZoneConfig config;
    config.plan.name.Assign("Pair");
    config.plan.type = type;
    config.plan.trust = Trust::kDoNotCheck;
    config.port = 7001;
    config.user.Set("alice");  // whose password the world knows
    config.password.Set("wonderland");
    if (type == ZoneType::kTraversalClient) {
      config.verifies = true;
      config.peers[0].Set("198.51.100.9");
    } else {
      config.verify_name.Set("core.example.com");
    }
    return config;
  }
  void Take(ZoneId id, const ZoneConfig& config) {
    engine.plan().Begin();
    ASSERT_TRUE(engine.plan().Add(id, config.plan).ok());
    engine.zones().Begin();
    engine.zones().Add(id, config);
    engine.zones().Commit();
    world.Advance(Duration::Milliseconds(500));
  }
  void AddRule(uint16_t priority, const char* target, const char* regex = nullptr,
               const char* replacement = nullptr) {
    SearchRule rule;
    rule.number = rule.priority = priority;
    rule.target_name.Assign(target);
    if (regex != nullptr) {
      rule.mode = RuleMode::kAliasPattern;
      rule.pattern.text.Assign(regex);
      rule.pattern.type = PatternType::kRegex;
      rule.pattern.behavior =
          replacement == nullptr ? PatternBehavior::kLeave : PatternBehavior::kReplace;
      rule.pattern.replacement.Assign(replacement == nullptr ? "" : replacement);
    }
    const auto added = engine.plan().Add(rule);
    ASSERT_TRUE(added.ok()) << added.error().what;
    engine.plan().Commit();
  }
  // Answers the OPTIONS that waits for the peer.
  void AnswerOptions(Phone& peer, int status = 200) {
    const Sent options = peer.Take();
    ASSERT_EQ(options.Method(), "OPTIONS");
    peer.Respond(options, status);
  }
  Sent Invite(Phone& from, const std::string& uri, Phone::Spec spec = {}) {
    spec.method = "INVITE";
    spec.uri = uri;
    spec.body = "v=0\r\n";
    from.Send(spec);
    return from.Take();
  }
};

TEST_F(ZonesTest, NeighboursAreAskedAndTakenInOrder) {
  Phone first(world, "first", "198.51.100.1:5060");
  Phone second(world, "second", "198.51.100.2:5060");
  Take(2, Neighbour("East", {"198.51.100.1", "198.51.100.2"}));
  AddRule(1, "East");
  EXPECT_EQ(Invite(alice, "sip:x@far.example").Status(), 480);  // none is up yet
  AnswerOptions(first);
  AnswerOptions(second, 404);  // whatever it says, it lives
  EXPECT_TRUE(world.HasEvent("zone-up East 198.51.100.1"));
  Phone::Spec spec;
  spec.call_id = "second-call";
  EXPECT_EQ(Invite(alice, "sip:x@far.example;a=b", spec).Status(), 100);
  const Sent invite = first.Take();
  EXPECT_EQ(invite.StartLine(), "INVITE sip:x@far.example;a=b SIP/2.0");
  EXPECT_EQ(invite.Header("Max-Forwards"), "15");
  first.Respond(invite, 503);
  EXPECT_EQ(first.Take().Method(), "ACK");
  const Sent again = second.Take();  // the next peer of the zone
  ASSERT_EQ(again.Method(), "INVITE");
  second.Respond(again, 486);
  EXPECT_EQ(alice.Take().Status(), 486);
}

TEST_F(ZonesTest, APeerThatFallsSilentIsLeftOutUntilItAnswers) {
  Phone peer(world, "peer", "198.51.100.1:5060");
  ZoneConfig config = Neighbour("East", {"198.51.100.1"});
  config.retry = Duration::Seconds(10);
  Take(2, config);
  AddRule(1, "East");
  AnswerOptions(peer);
  EXPECT_TRUE(engine.zones().IsUp(2));
  world.Advance(kZoneCheckPeriod + Duration::Seconds(33));
  EXPECT_TRUE(world.HasEvent("zone-down East 198.51.100.1 no answer"));
  EXPECT_FALSE(engine.zones().IsUp(2));
  world.Clear();
  world.Advance(Duration::Seconds(10));
  AnswerOptions(peer);
  EXPECT_TRUE(engine.zones().IsUp(2));
}

// Two days of three peers that are cut off and come back, one by one and all at once, while calls
// go to their zone, last for a while and end. When the peers have been there for a while every call
// gets through; whatever happens each attempt has one end, and in the end nothing is left.
class PeersThatFail : public ZonesTest {
 protected:
  struct Dialog {
    Sent answer;
    int ends_at = 0;
  };
  PeersThatFail() {
    for (int i = 1; i <= 3; ++i) {
      const std::string n = std::to_string(i);
      peers_.emplace_back(world, "peer" + n, "198.51.100." + n + ":5060");
    }
  }
  // What has come to a peer; one that is cut off has heard nothing.
  void Serve(Phone& peer, bool is_cut) {
    for (Sent sent = peer.Take(); !sent.text.empty(); sent = peer.Take()) {
      if (!is_cut && !sent.Method().empty() && sent.Method() != "ACK") {
        peer.Respond(sent, 200);
      }
    }
  }
  void Dial(int now) {
    Phone::Spec spec{.method = "INVITE", .uri = "sip:x@far.example"};
    spec.call_id = "call" + std::to_string(++calls_);
    alice.Send(spec);
    pending_[spec.call_id] = now;
  }
  void InDialog(const char* method, const Sent& answer, int cseq) {
    const std::string contact = answer.Header("Contact");
    Phone::Spec spec{.method = method, .uri = contact.substr(1, contact.size() - 2)};
    spec.to = "sip:x@far.example";
    spec.to_tag = "tt";
    spec.call_id = answer.Header("Call-ID");
    spec.cseq = cseq;
    spec.headers = RouteSet(answer, true);
    alice.Send(spec);
  }
  void Hear(int now, bool must_succeed) {
    for (Sent sent = alice.Take(); !sent.text.empty(); sent = alice.Take()) {
      if (sent.Method() == "BYE") {
        alice.Respond(sent, 200);
      }
      const std::string id = sent.Header("Call-ID");
      if (sent.Status() < 200 || sent.Header("CSeq") != "1 INVITE" || pending_.erase(id) == 0) {
        continue;
      }
      if (sent.Status() == 200) {
        ++through_;
        InDialog("ACK", sent, 1);
        dialogs_.push_back({sent, now + static_cast<int>(random_() % 900)});
      } else {
        EXPECT_FALSE(must_succeed) << now << " s: " << sent.text;
        ++failed_;
      }
    }
  }
  std::mt19937 random_{48};
  std::deque<Phone> peers_;
  std::map<std::string, int> pending_;
  std::vector<Dialog> dialogs_;
  int calls_ = 0;
  int through_ = 0;
  int failed_ = 0;
};

TEST_F(PeersThatFail, TwoDaysOfThem) {
  ZoneConfig config = Neighbour("East", {"198.51.100.1", "198.51.100.2", "198.51.100.3"});
  config.retry = Duration::Seconds(60);
  Take(2, config);
  AddRule(1, "East");
  constexpr int kStep = 20;
  constexpr int kEnd = 48 * 3600;
  uint32_t cut = 0;
  int healed_at = 0;
  for (int now = 0; now < kEnd; now += kStep) {
    if (random_() % 25 == 0) {
      cut = cut != 0 ? 0 : 1 + random_() % 7;
      healed_at = now;
    }
    if (random_() % 6 == 0) {
      Dial(now);
    }
    std::erase_if(dialogs_, [&](const Dialog& dialog) {
      if (dialog.ends_at <= now) {
        InDialog("BYE", dialog.answer, 2);
      }
      return dialog.ends_at <= now;
    });
    for (size_t i = 0; i < peers_.size(); ++i) {
      Serve(peers_[i], (cut >> i & 1) != 0);
    }
    Hear(now, cut == 0 && now > healed_at + 300);
    world.Advance(Duration::Seconds(kStep));
  }
  EXPECT_GT(through_, 700);
  EXPECT_GT(failed_, 5);
  EXPECT_TRUE(world.HasEvent("zone-down East"));
  for (int i = 0; i < 30; ++i) {
    for (Phone& peer : peers_) {
      Serve(peer, false);
    }
    Hear(kEnd, false);
    world.Advance(Duration::Seconds(kStep));
  }
  EXPECT_TRUE(pending_.empty());
  EXPECT_TRUE(engine.zones().IsUp(2));
}

// --- Registrations and the loss of a peer --------------------------------------------------------

class Registrations : public ZonesTest {
 protected:
  std::deque<Phone> peers;

  void SetUpPeers(int count, bool fast_path) {
    Config config = ZonesConfig();
    config.fast_path = fast_path;
    engine.Apply(config);
    ZoneConfig zone = Neighbour("East", {});
    for (int i = 0; i < count; ++i) {
      const std::string address = "198.51.100." + std::to_string(i + 1);
      zone.peers[static_cast<size_t>(i)].Set(address);
      peers.emplace_back(world, "peer", address + ":5060");
    }
    Take(2, zone);
    MakeRules();
    for (Phone& peer : peers) {
      AnswerOptions(peer);
    }
  }
  void MakeRules() {
    Zone strangers;
    strangers.type = ZoneType::kDefault;
    strangers.trust = Trust::kDoNotCheck;
    engine.plan().SetDefault(strangers);
    AddRule(1, "East", ".*inside\\.example");
  }
  void Register(int cseq) {
    const std::string aor = "sip:alice@inside.example";
    Phone::Spec reg{.method = "REGISTER", .uri = "sip:inside.example", .to = aor, .from = aor};
    reg.cseq = cseq;
    alice.Send(reg);
  }
  // After 4 s and less the phone has been told that we are at it (RFC 4320).
  int Final() {
    const int status = alice.Take().Status();
    return status == 100 ? alice.Take().Status() : status;
  }
  // What the peer got that is no OPTIONS.
  Sent TakeRegister(Phone& peer) {
    Sent sent = peer.Take();
    while (sent.Method() == "OPTIONS") {
      sent = peer.Take();
    }
    return sent;
  }
};

TEST_F(Registrations, GoToTheNextPeerWhenOneIsSilentAndStayThere) {
  SetUpPeers(2, true);
  Register(1);
  ASSERT_EQ(TakeRegister(peers[0]).Method(), "REGISTER");
  world.Advance(Duration::Milliseconds(3900));
  EXPECT_TRUE(TakeRegister(peers[1]).text.empty());
  world.Advance(Duration::Milliseconds(200));
  const Sent second = TakeRegister(peers[1]);
  ASSERT_EQ(second.Method(), "REGISTER");
  peers[1].Respond(second, 200);
  EXPECT_EQ(Final(), 200);
  // The way that was found is kept: the silent one is not asked again first.
  world.Clear();
  Register(2);
  const Sent again = TakeRegister(peers[1]);
  ASSERT_EQ(again.Method(), "REGISTER");
  EXPECT_EQ(again.Headers("Path").size(), 1u);
  peers[1].Respond(again, 200);
  EXPECT_EQ(Final(), 200);
  // Silence brought the question forward whether it lives.
  world.Advance(Duration::Seconds(33));
  EXPECT_TRUE(world.HasEvent("zone-down East 198.51.100.1 no answer"));
}

TEST_F(Registrations, WithoutTheFastPathTheSearchBeginsAnew) {
  SetUpPeers(2, false);
  for (int cseq = 1; cseq < 3; ++cseq) {
    Register(cseq);
    const Sent first = TakeRegister(peers[0]);
    ASSERT_EQ(first.Method(), "REGISTER");
    peers[0].Respond(first, 503);
    const Sent second = TakeRegister(peers[1]);
    ASSERT_EQ(second.Method(), "REGISTER");
    peers[1].Respond(second, 200);
    EXPECT_EQ(Final(), 200);
  }
}

TEST_F(Registrations, WayIsForgottenWithThePlanItWasFoundBy) {
  SetUpPeers(2, true);
  Register(1);
  peers[0].Respond(TakeRegister(peers[0]), 503);
  peers[1].Respond(TakeRegister(peers[1]), 200);
  EXPECT_EQ(Final(), 200);
  engine.plan().Begin();
  ASSERT_TRUE(engine.plan().Add(2, Neighbour("East", {}).plan).ok());
  MakeRules();
  Register(2);
  const Sent first = TakeRegister(peers[0]);
  ASSERT_EQ(first.Method(), "REGISTER");
  peers[0].Respond(first, 403);
  EXPECT_EQ(Final(), 403);
}

// Five of six are dead: the sixth is found while the phone still waits. One that says it works on
// it (RFC 4320) is not given up.
TEST_F(Registrations, SixPeersAreTriedWhileThePhoneWaits) {
  SetUpPeers(6, true);
  Register(1);
  world.Advance(Duration::Milliseconds(20'100));
  Sent last = TakeRegister(peers[5]);
  ASSERT_EQ(last.Method(), "REGISTER");
  peers[5].Respond(last, 200);
  EXPECT_EQ(Final(), 200);
  world.Clear();
  Register(2);
  last = TakeRegister(peers[5]);
  peers[5].Respond(last, 100, "");
  world.Advance(Duration::Seconds(20));
  world.Clear();
  peers[5].Respond(last, 200);
  EXPECT_EQ(Final(), 200);
}

// --- A peer that is busy (RFC 7339) --------------------------------------------------------------

TEST(ThrottleTest, WordsAreReadAndOldOnesNot) {
  const auto word = ParseOverloadWord(
      ";rport;branch=z9hG4bKx;oc=20;oc-algo=\"loss\";oc-validity=700;oc-seq=1282321615.782");
  ASSERT_TRUE(word);
  EXPECT_EQ(word->loss_percent, 20u);
  EXPECT_EQ(word->validity.milliseconds(), 700);
  EXPECT_EQ(word->sequence_ms, 1282321615782u);
  for (const char* none : {"", ";oc", ";oc=101", ";oc=x", ";ocx=5", ";oc=20;oc-algo=\"rate\""}) {
    EXPECT_FALSE(ParseOverloadWord(none)) << none;
  }
  Throttle throttle;
  const Instant now{1'000'000'000};
  EXPECT_TRUE(throttle.Take({25, Duration::Seconds(1), 5000}, now));
  EXPECT_FALSE(throttle.Take({90, Duration::Seconds(1), 4000}, now));  // overtaken
  uint32_t taken = 0;
  for (int i = 0; i < 100; ++i) {
    taken += throttle.Admits(now) ? 1 : 0;
  }
  EXPECT_EQ(taken, 75u);
  EXPECT_TRUE(throttle.Admits(now + Duration::Seconds(1)));
  EXPECT_EQ(throttle.percent(now + Duration::Seconds(1)), 0u);
  EXPECT_TRUE(throttle.Take({100, Duration::Seconds(1), 1}, now + Duration::Seconds(2)));
  EXPECT_FALSE(throttle.Admits(now + Duration::Seconds(2)));
}

TEST_F(ZonesTest, APeerThatIsBusyIsSparedWhatItAsksButNotEmergencies) {
  Config config = ZonesConfig();
  config.AddEmergency("112");
  engine.Apply(config);
  Phone peer(world, "peer", "198.51.100.1:5060");
  Take(2, Neighbour("East", {"198.51.100.1"}));
  AddRule(1, "East");
  AnswerOptions(peer);
  const auto call = [&](const std::string& id, const std::string& uri) {
    Phone::Spec spec;
    spec.call_id = id;
    return Invite(alice, uri, spec);
  };
  EXPECT_EQ(call("first", "sip:x@far.example").Status(), 100);
  const Sent invite = peer.Take();
  const std::string offer = ";oc;oc-algo=\"loss\"";
  ASSERT_NE(invite.Headers("Via")[0].find(offer), std::string::npos) << invite.text;
  std::string busy = peer.Response(invite, 486);
  busy.replace(busy.find(offer), offer.size(),
               ";oc=100;oc-algo=\"loss\";oc-validity=9000;oc-seq=7.5");
  peer.Deliver(busy);
  EXPECT_EQ(alice.Take().Status(), 486);
  EXPECT_TRUE(world.HasEvent("throttle East 198.51.100.1 100"));
  world.Clear();
  EXPECT_EQ(call("second", "sip:x@far.example").Status(), 100);
  EXPECT_EQ(alice.Take().Status(), 503);
  EXPECT_TRUE(peer.Take().text.empty());
  EXPECT_EQ(call("third", "sip:112@far.example").Status(), 100);
  const Sent urgent = peer.Take();
  ASSERT_EQ(urgent.Method(), "INVITE");
  peer.Respond(urgent, 486);
  world.Clear();
  world.Advance(Duration::Seconds(9));
  world.Clear();
  EXPECT_EQ(call("fourth", "sip:x@far.example").Status(), 100);
  const Sent later = peer.Take();
  EXPECT_EQ(later.Method(), "INVITE");
  peer.Respond(later, 486);
}

TEST_F(ZonesTest, LeastLoadedCountsCalls) {
  Phone first(world, "first", "198.51.100.1:5060");
  Phone second(world, "second", "198.51.100.2:5060");
  ZoneConfig config = Neighbour("East", {"198.51.100.1", "198.51.100.2"});
  config.is_least_loaded = true;
  Take(2, config);
  AddRule(1, "East");
  AnswerOptions(first);
  AnswerOptions(second);
  for (Phone* peer : {&first, &second, &first}) {
    Phone::Spec spec;
    spec.call_id = "call" + std::to_string(world.sent_count);
    EXPECT_EQ(Invite(alice, "sip:x@far.example", spec).Status(), 100);
    const Sent invite = peer->Take();
    ASSERT_EQ(invite.Method(), "INVITE");
    peer->Respond(invite, 200);
    EXPECT_EQ(alice.Take().Status(), 200);
  }
  uint32_t cursor = 0;
  ZonePeerStatus status;
  ASSERT_TRUE(engine.zones().Next(cursor, status));
  EXPECT_EQ(status.calls, 2u);
}

TEST_F(ZonesTest, SearchGoesOnUntilSomebodyIsFound) {
  Phone peer(world, "peer", "198.51.100.1:5060");
  Take(2, Neighbour("East", {"198.51.100.1"}));
  AddRule(10, "LocalZone", "(.*)@example\\.com");
  AddRule(20, "East", "(.*)@example\\.com", "\\1@east.example");
  AnswerOptions(peer);
  // bob is not registered: East it is, under another name.
  EXPECT_EQ(Invite(alice, "sip:bob@example.com").Status(), 100);
  const Sent invite = peer.Take();
  EXPECT_EQ(invite.StartLine(), "INVITE sip:bob@east.example SIP/2.0");
  peer.Respond(invite, 404);
  EXPECT_EQ(alice.Take().Status(), 404);
  EXPECT_EQ(peer.Take().Method(), "ACK");
  Phone bob(world, "bob", "192.0.2.30:5060");
  ASSERT_EQ(bob.Register().Status(), 200);
  Phone::Spec spec;
  spec.call_id = "with-bob";
  EXPECT_EQ(Invite(alice, "sip:bob@example.com", spec).Status(), 100);
  const Sent local = bob.Take();
  ASSERT_EQ(local.Method(), "INVITE");
  bob.Respond(local, 480);
  EXPECT_EQ(peer.Take().Method(), "INVITE");  // not there: the search goes on
  const std::string_view told = engine.history().Text(engine.history().count());
  EXPECT_NE(told.find("bob@east.example in East: the zone is reachable"), told.npos) << told;
}

TEST_F(ZonesTest, FromANeighbourToOurUserWithoutCredentials) {
  Phone peer(world, "peer", "198.51.100.1:5060");
  ASSERT_EQ(alice.Register().Status(), 200);
  Take(2, Neighbour("East", {"198.51.100.1"}));
  AddRule(1, "LocalZone");
  AnswerOptions(peer);
  Phone::Spec spec;
  spec.from = "sip:x@east.example";
  EXPECT_EQ(Invite(peer, "sip:alice@example.com", spec).Status(), 100);
  EXPECT_EQ(alice.Take().Method(), "INVITE");
  // A stranger is asked who he is.
  Phone stranger(world, "x", "203.0.113.9:5060");
  spec.call_id = "stranger";
  EXPECT_EQ(Invite(stranger, "sip:alice@example.com", spec).Status(), 407);
  // And a zone may be, too.
  ZoneConfig strict = Neighbour("East", {"198.51.100.1"});
  strict.plan.trust = Trust::kCheckCredentials;
  Take(2, strict);  // the peer stays up: nothing about it has changed
  AddRule(1, "LocalZone");
  spec.call_id = "asked";
  EXPECT_EQ(Invite(peer, "sip:alice@example.com", spec).Status(), 407);
}

// RFC 5922: with verification on the address is not enough.
TEST_F(ZonesTest, APeerIsWhoItsCertificateNames) {
  ASSERT_EQ(alice.Register().Status(), 200);
  world.AddAddress("east.example", "198.51.100.1");
  ZoneConfig config = Neighbour("East", {"east.example"});
  config.transport = TransportKind::kTls;
  config.port = 5061;
  config.verifies = true;
  config.monitors = false;
  Take(2, config);
  AddRule(1, "LocalZone");
  const auto answer = [&](const char* from, const char* name) {
    const net::StreamId id = world.Accept(At(from), At("192.0.2.1:5061"), net::StreamKind::kTls);
    world.peer_names[id.index] = name;
    Phone peer(world, "peer", from);
    Phone::Spec spec{.method = "INVITE", .uri = "sip:alice@example.com"};
    spec.from = "sip:x@east.example";
    spec.call_id = name;
    world.Feed(id, peer.Build(spec));
    return world.TakeTo(At(from)).Status();
  };
  EXPECT_EQ(answer("198.51.100.1:40001", "third.example"), 407);
  EXPECT_EQ(answer("198.51.100.2:40002", "east.example"), 407);
  EXPECT_EQ(answer("198.51.100.1:40003", "east.example"), 100);
  EXPECT_EQ(alice.Take().Method(), "INVITE");
}

TEST_F(ZonesTest, PolicyTransformsAndRegistrationLists) {
  dialplan::PolicyRule reject;
  reject.number = 1;
  reject.destination.Assign("9.*");
  engine.plan().Begin();
  ASSERT_TRUE(engine.plan().Add(reject).ok());
  engine.plan().SetPolicyEnabled(true);
  dialplan::Transform transform;
  transform.pattern.text.Assign("00");
  transform.pattern.behavior = PatternBehavior::kReplace;
  transform.pattern.replacement.Assign("9");
  ASSERT_TRUE(engine.plan().Add(transform).ok());
  dialplan::PatternSetting denied;
  denied.text.Assign("@example.com");
  denied.type = PatternType::kSuffix;
  ASSERT_TRUE(engine.plan().AddRegistration(denied).ok());
  engine.plan().Commit();
  EXPECT_EQ(Invite(alice, "sip:0012@example.com").Status(), 403);
  EXPECT_TRUE(world.HasEvent("refused policy 403"));
  Phone bob(world, "bob", "192.0.2.30:5060");
  ASSERT_EQ(bob.Register().Status(), 200);
  Phone::Spec spec;
  spec.call_id = "allowed";
  EXPECT_EQ(Invite(alice, "sip:bob@example.com", spec).Status(), 100);
  EXPECT_EQ(bob.Take().Method(), "INVITE");
  engine.plan().SetRegistrationPolicy(dialplan::RegistrationPolicy::kDenyList);
  EXPECT_EQ(alice.Register().Status(), 403);
}

// --- The pair ------------------------------------------------------------------------------------

// Our engine is the Core: it opens a stream to the Edge, proves itself, and takes calls from there.
TEST_F(ZonesTest, TraversalClientOpensAndProvesItself) {
  ASSERT_EQ(alice.Register().Status(), 200);
  Take(2, Traversal(ZoneType::kTraversalClient));
  AddRule(1, "LocalZone", ".*@example\\.com");
  AddRule(2, "Pair");
  const net::Endpoint edge = At("198.51.100.9:7001");
  const Sent first = world.TakeTo(edge);
  ASSERT_EQ(first.Method(), "OPTIONS");
  ASSERT_TRUE(first.stream.valid());
  Phone script(world, "edge", "198.51.100.9:7001");
  world.Feed(first.stream, script.Response(first, 401, "t",
                                           "WWW-Authenticate: Digest realm=\"edge\", nonce=\"n1\", "
                                           "algorithm=MD5, qop=\"auth\"\n"));
  const Sent second = world.TakeTo(edge);
  const std::string authorization = second.Header("Authorization");
  EXPECT_EQ(ParamOf(authorization, "username"), "alice");
  EXPECT_EQ(ParamOf(authorization, "nonce"), "n1");
  EXPECT_NE(second.Header("CSeq"), first.Header("CSeq"));
  EXPECT_FALSE(engine.zones().IsUp(2));
  world.Feed(second.stream, script.Response(second, 200));
  EXPECT_TRUE(world.HasEvent("zone-up Pair 198.51.100.9"));
  // A call out, on that stream.
  EXPECT_EQ(Invite(alice, "sip:x@far.example").Status(), 100);
  const Sent invite = world.TakeTo(edge);
  EXPECT_EQ(invite.stream, first.stream);
  world.Feed(invite.stream, script.Response(invite, 200));
  const Sent answer = alice.Take();
  ASSERT_EQ(answer.Status(), 200);
  // In the dialog: on that stream, though Route names an address nobody could reach.
  Phone::Spec bye{.method = "BYE", .uri = "sip:x@10.0.0.1", .to = "sip:x@far.example"};
  bye.to_tag = "tt";
  bye.cseq = 2;
  bye.headers = RouteSet(answer, true) + "Route: <sip:10.99.99.99:5061;transport=tls;lr>\n";
  alice.Send(bye);
  const Sent got = world.TakeTo(edge);
  ASSERT_EQ(got.Method(), "BYE");
  EXPECT_EQ(got.stream, first.stream);
  EXPECT_EQ(got.Header("Route"), "<sip:10.99.99.99:5061;transport=tls;lr>");
  world.Feed(got.stream, script.Response(got, 200));
  EXPECT_EQ(alice.Take().Status(), 200);
  // A call in, on that stream, and its BYE back.
  Phone::Spec in{.method = "INVITE", .uri = alice.uri(), .from = "sip:x@far.example"};
  in.call_id = "inward";
  world.Feed(first.stream, script.Build(in));
  EXPECT_EQ(world.TakeTo(edge).Status(), 100);
  const Sent inward = alice.Take();
  ASSERT_EQ(inward.Method(), "INVITE");
  alice.Respond(inward, 200);
  EXPECT_EQ(world.TakeTo(edge).Status(), 200);
  Phone::Spec hangup{.method = "BYE", .uri = "sip:x@10.0.0.1", .to = "sip:x@far.example"};
  hangup.call_id = "inward";
  hangup.from_tag = "tt";
  hangup.to_tag = "ft";
  hangup.headers = RouteSet(inward, false);
  alice.Send(hangup);
  const Sent out = world.TakeTo(edge);
  ASSERT_EQ(out.Method(), "BYE");
  EXPECT_EQ(out.stream, first.stream);
  world.Feed(out.stream, script.Response(out, 200));
}

TEST_F(ZonesTest, TraversalClientKeepsItsStreamOpenAndOpensAnother) {
  Take(2, Traversal(ZoneType::kTraversalClient));
  const net::Endpoint edge = At("198.51.100.9:7001");
  Phone script(world, "edge", "198.51.100.9:7001");
  const Sent first = world.TakeTo(edge);
  world.Feed(first.stream, script.Response(first, 200));
  world.Clear();
  world.Advance(kTraversalPeriod);
  const Sent kept = world.TakeTo(edge);
  ASSERT_EQ(kept.Method(), "OPTIONS");
  EXPECT_EQ(kept.stream, first.stream);
  world.Feed(kept.stream, script.Response(kept, 200));
  world.Hangup(first.stream);
  EXPECT_TRUE(world.HasEvent("zone-down Pair 198.51.100.9 the connection ended"));
  world.Advance(kZoneReconnectDelay + Duration::Milliseconds(10));
  const Sent anew = world.TakeTo(edge);
  ASSERT_EQ(anew.Method(), "OPTIONS");
  EXPECT_NE(anew.stream, first.stream);
}

TEST_F(ZonesTest, TraversalClientIsNotLetIn) {
  Take(2, Traversal(ZoneType::kTraversalClient));
  const net::Endpoint edge = At("198.51.100.9:7001");
  Phone script(world, "edge", "198.51.100.9:7001");
  for (int round = 0; round < 2; ++round) {
    const Sent asked = world.TakeTo(edge);
    ASSERT_EQ(asked.Method(), "OPTIONS") << round;
    world.Feed(
        asked.stream,
        script.Response(asked, 401, "t", "WWW-Authenticate: Digest realm=\"edge\", nonce=\"n\"\n"));
  }
  EXPECT_TRUE(world.empty());  // not for ever
  EXPECT_TRUE(world.HasEvent("zone-down Pair 198.51.100.9 does not let us in"));
}

TEST_F(ZonesTest, RegistrationThroughTheZoneNeedsItsPasswordAndIsCalledThroughIt) {
  Config config = ZonesConfig();
  config.authenticate_register = true;
  engine.Apply(config);
  Take(2, Traversal(ZoneType::kTraversalClient));
  AddRule(1, "LocalZone", ".*@example\\.com");
  const net::Endpoint edge = At("198.51.100.9:7001");
  Phone script(world, "bob", "198.51.100.9:7001");
  const Sent first = world.TakeTo(edge);
  world.Feed(first.stream, script.Response(first, 200));
  const std::string path = "<sip:p0token@198.51.100.9:7001;transport=tls;lr;ob>";
  Phone::Spec reg{.method = "REGISTER", .uri = "sip:example.com", .to = script.uri()};
  reg.contact = "<sip:bob@203.0.113.7:40100>";
  reg.headers = "Via: SIP/2.0/TCP 203.0.113.7;branch=z9hG4bKp\nExpires: 600\nPath: " + path + "\n";
  world.Feed(first.stream, script.Build(reg));
  const Sent challenge = world.TakeTo(edge);
  ASSERT_EQ(challenge.Status(), 401);  // that the zone's requests are not checked says nothing
  reg.cseq = 2;
  reg.headers += script.Authorization(challenge, "REGISTER", reg.uri, "builder");
  world.Feed(first.stream, script.Build(reg));
  const Sent taken = world.TakeTo(edge);
  ASSERT_EQ(taken.Status(), 200);
  EXPECT_EQ(taken.Header("Path"), path);
  EXPECT_EQ(taken.Header("Service-Route"), "");
  config.service_route = true;
  config.authenticate_register = false;
  engine.Apply(config);
  reg.cseq = 3;
  world.Feed(first.stream, script.Build(reg));
  EXPECT_EQ(world.TakeTo(edge).Headers("Service-Route"),
            std::vector<std::string>({path, "<sip:192.0.2.1:5061;transport=tls;lr>"}));
  EXPECT_EQ(Invite(alice, script.uri()).Status(), 100);
  const Sent invite = world.TakeTo(edge);
  EXPECT_EQ(invite.StartLine(), "INVITE sip:bob@203.0.113.7:40100 SIP/2.0");
  EXPECT_EQ(invite.stream, first.stream);
  EXPECT_EQ(invite.Header("Route"), path);
  world.Feed(first.stream, script.Response(invite, 486));
  EXPECT_EQ(alice.Take().Status(), 486);
}

// A Core with two Edges, and a phone that has registered through one of them or both.
class TwoEdges : public ZonesTest {
 protected:
  void SetUp() override {
    ZoneConfig zone = Traversal(ZoneType::kTraversalClient);
    zone.peers[1].Set("198.51.100.10");
    Take(2, zone);
    AddRule(1, "LocalZone", ".*@example\\.com");
    for (Phone& edge : edges) {
      const Sent asked = world.TakeTo(edge.at());
      streams.push_back(asked.stream);
      world.Feed(asked.stream, edge.Response(asked, 200));
    }
  }
  void Register(size_t edge, int cseq, const std::string& more = {}) {
    Phone::Spec reg{.method = "REGISTER", .uri = "sip:example.com", .to = edges[edge].uri()};
    reg.cseq = cseq;
    reg.call_id = "reg" + std::to_string(edge);
    reg.contact = "<sip:bob@203.0.113.7:40100>" + more;
    reg.headers =
        "Via: SIP/2.0/TCP 203.0.113.7;branch=z9hG4bKp\nSupported: path, outbound\n"
        "Expires: 600\nPath: <sip:p0@" +
        World::Key(edges[edge].at()) + ";transport=tls;lr;ob>\n";
    world.Feed(streams[edge], edges[edge].Build(reg));
    EXPECT_EQ(world.TakeTo(edges[edge].at()).Status(), 200);
  }
  Sent Called(size_t edge) {
    Sent sent = world.TakeTo(edges[edge].at());
    while (sent.Method() == "OPTIONS") {
      sent = world.TakeTo(edges[edge].at());
    }
    return sent;
  }
  std::array<Phone, 2> edges = {Phone(world, "bob", "198.51.100.9:7001"),
                                Phone(world, "bob", "198.51.100.10:7001")};
  std::vector<net::StreamId> streams;
};

TEST_F(TwoEdges, ACallGoesByTheOneThatItsPathNamesAndNoOther) {
  Register(1, 1);
  EXPECT_EQ(Invite(alice, edges[1].uri()).Status(), 100);
  const Sent invite = Called(1);
  ASSERT_EQ(invite.Method(), "INVITE");
  EXPECT_EQ(invite.stream, streams[1]);
  EXPECT_TRUE(Called(0).text.empty());
  world.Feed(streams[1], edges[1].Response(invite, 486));
  EXPECT_EQ(alice.Take().Status(), 486);
  world.Hangup(streams[1]);
  Phone::Spec spec;
  spec.call_id = "later";
  Invite(alice, edges[1].uri(), spec);
  EXPECT_EQ(alice.Take().Status(), 480);
  EXPECT_TRUE(Called(0).text.empty());
}

// RFC 5626 5.3: one flow at a time, and the other when it fails or nothing comes of it.
TEST_F(TwoEdges, APhoneWithAFlowByEachIsCalledByOne) {
  const std::string instance = ";+sip.instance=\"<urn:uuid:1>\";reg-id=";
  Register(0, 1, instance + "1");
  Register(1, 1, instance + "2");
  EXPECT_EQ(Invite(alice, edges[0].uri()).Status(), 100);
  const Sent first = Called(1);
  ASSERT_EQ(first.Method(), "INVITE");
  EXPECT_TRUE(Called(0).text.empty());
  world.Feed(streams[1], edges[1].Response(first, 430));
  const Sent second = Called(0);
  ASSERT_EQ(second.Method(), "INVITE");
  EXPECT_NE(second.Header("Route").find("198.51.100.9"), std::string::npos);
  world.Feed(streams[0], edges[0].Response(second, 486));
  EXPECT_EQ(alice.Take().Status(), 486);
  world.Clear();
  Phone::Spec spec;
  spec.call_id = "silent";
  EXPECT_EQ(Invite(alice, edges[0].uri(), spec).Status(), 100);
  ASSERT_EQ(Called(1).Method(), "INVITE");
  world.Advance(Duration::Milliseconds(4100));
  EXPECT_EQ(Called(0).Method(), "INVITE");
}

// Our engine is the Edge: the Core comes to port 7001.
class EdgeTest : public ZonesTest {
 protected:
  net::StreamId core;
  Phone script{world, "alice", "198.51.100.50:40000"};

  void SetUp() override {
    Take(3, Traversal(ZoneType::kTraversalServer));
    AddRule(1, "LocalZone", ".*@example\\.com");
    AddRule(2, "Pair");
    core = Connect();
  }
  net::StreamId Connect(const char* name = "core.example.com") {
    const net::StreamId id = world.Accept(script.at(), At("192.0.2.1:7001"), net::StreamKind::kTls);
    world.peer_names[id.index] = name;
    return id;
  }
  Phone::Spec Options(int cseq) {
    Phone::Spec spec{.method = "OPTIONS", .uri = "sip:192.0.2.1:7001"};
    spec.call_id = "keep" + std::to_string(cseq);
    return spec;
  }
  // OPTIONS with the answer to the challenge; the last response.
  Sent Prove(net::StreamId id, const std::string& password) {
    world.Feed(id, script.Build(Options(1)));
    const Sent challenge = script.Take();
    if (challenge.Status() != 401) {
      return challenge;
    }
    Phone::Spec again = Options(2);
    again.headers =
        script.Authorization(challenge, "OPTIONS", "sip:192.0.2.1:7001", password, kSha256);
    world.Feed(id, script.Build(again));
    return script.Take();
  }
};

TEST_F(EdgeTest, RegistrationsGoThroughAndCallsComeBackByTheirPath) {
  ASSERT_EQ(Prove(core, "wonderland").Status(), 200);
  Zone strangers;
  strangers.type = ZoneType::kDefault;
  strangers.trust = Trust::kDoNotCheck;
  engine.plan().SetDefault(strangers);
  Phone zoe(world, "zoe", "203.0.113.7:40100");
  zoe.UseTcp();
  const std::string aor = "sip:zoe@inside.example";
  Phone::Spec reg{.method = "REGISTER", .uri = "sip:inside.example", .to = aor, .from = aor};
  reg.headers = "Expires: 600\nSupported: path\n";
  zoe.Send(reg);
  const Sent forwarded = script.Take();
  ASSERT_EQ(forwarded.Method(), "REGISTER");
  EXPECT_EQ(forwarded.stream, core);
  const std::string path = forwarded.Header("Path");
  EXPECT_NE(path.find("@192.0.2.1:7001;transport=tls;lr;ob>"), std::string::npos) << path;
  world.Feed(core, script.Response(forwarded, 200, "tt", "Path: " + path + "\n"));
  EXPECT_EQ(zoe.Take().Status(), 200);
  // A call from the inside, along the Path, over the flow that is there.
  Phone::Spec in{.method = "INVITE", .uri = "sip:zoe@203.0.113.7:40100", .to = aor};
  in.from = "sip:x@inside.example";
  in.headers = "Route: " + path + "\n";
  in.call_id = "inward";
  world.Feed(core, script.Build(in));
  EXPECT_EQ(script.Take().Status(), 100);
  const Sent invite = zoe.Take();
  ASSERT_EQ(invite.Method(), "INVITE");
  EXPECT_EQ(invite.stream, zoe.stream());
  EXPECT_EQ(invite.Header("Route"), "");
  zoe.Respond(invite, 486);
  EXPECT_EQ(zoe.Take().Method(), "ACK");
  EXPECT_EQ(script.Take().Status(), 486);
  // From elsewhere the Path leads nowhere, and a changed one nowhere at all.
  Phone mallory(world, "mallory", "203.0.113.66:5060");
  in.call_id = "stolen";
  mallory.Send(in);
  EXPECT_TRUE(zoe.Take().text.empty());
  world.Hangup(zoe.stream());
  in.call_id = "late";
  world.Clear();
  world.Feed(core, script.Build(in));
  EXPECT_EQ(script.Take().Status(), 430);
}

// RFC 3608: what the registrar told the phone is the way its own requests take, over the flow that
// it registered on and no other.
TEST_F(EdgeTest, ServiceRouteLeadsIntoTheZoneTheRegistrationWentInto) {
  ASSERT_EQ(Prove(core, "wonderland").Status(), 200);
  Zone strangers;
  strangers.type = ZoneType::kDefault;
  strangers.trust = Trust::kDoNotCheck;
  engine.plan().SetDefault(strangers);
  Phone zoe(world, "zoe", "203.0.113.7:40100");
  const std::string aor = "sip:zoe@inside.example";
  Phone::Spec reg{.method = "REGISTER", .uri = "sip:inside.example", .to = aor, .from = aor};
  zoe.Send(reg);
  const Sent forwarded = script.Take();
  const std::string path = forwarded.Header("Path");
  const std::string service =
      "Service-Route: " + path + "\nService-Route: <sip:10.0.0.2:5061;lr>\n";
  world.Feed(core, script.Response(forwarded, 200, "tt", service));
  EXPECT_EQ(zoe.Take().Headers("Service-Route").size(), 2u);
  strangers.trust = Trust::kCheckCredentials;  // who comes by the route is not asked again
  engine.plan().SetDefault(strangers);
  Phone::Spec out{.method = "INVITE", .uri = "sip:x@elsewhere.example", .from = aor};
  out.headers = "Route: " + path + ", <sip:10.0.0.2:5061;lr>\n";
  out.call_id = "outward";
  zoe.Send(out);
  EXPECT_EQ(zoe.Take().Status(), 100);
  const Sent invite = script.Take();
  ASSERT_EQ(invite.StartLine(), "INVITE sip:x@elsewhere.example SIP/2.0");
  EXPECT_EQ(invite.stream, core);
  EXPECT_EQ(invite.Header("Route"), "<sip:10.0.0.2:5061;lr>");
  world.Feed(core, script.Response(invite, 486));
  EXPECT_EQ(zoe.Take().Status(), 486);
  Phone mallory(world, "mallory", "203.0.113.66:5060");
  out.call_id = "stolen";
  world.Clear();
  mallory.Send(out);
  EXPECT_EQ(mallory.Take().Status(), 407);
  EXPECT_TRUE(script.Take().text.empty());
}

TEST_F(EdgeTest, TakesItsClientAndSendsCallsDownItsStream) {
  EXPECT_EQ(Invite(alice, "sip:x@inside.example").Status(), 480);
  ASSERT_EQ(Prove(core, "wonderland").Status(), 200);
  EXPECT_TRUE(world.HasEvent("zone-up Pair 198.51.100.50:40000"));
  Phone::Spec spec;
  spec.call_id = "inward";
  EXPECT_EQ(Invite(alice, "sip:x@inside.example", spec).Status(), 100);
  const Sent invite = script.Take();
  ASSERT_EQ(invite.Method(), "INVITE");
  EXPECT_EQ(invite.stream, core);
  EXPECT_NE(invite.Header("Via").find("192.0.2.1:7001"), std::string::npos);
  // The answer with the Core's own Record-Route, an inside address.
  std::string text = script.Response(invite, 200);
  text.insert(text.find("Record-Route:"), "Record-Route: <sip:10.0.0.5:5061;transport=tls;lr>\r\n");
  world.Feed(core, text);
  const Sent answer = alice.Take();
  ASSERT_EQ(answer.Status(), 200);
  Phone::Spec ack{.method = "ACK", .uri = "sip:x@10.0.0.77", .to = "sip:x@inside.example"};
  ack.call_id = "inward";
  ack.to_tag = "tt";
  ack.headers = RouteSet(answer, true);
  alice.Send(ack);
  const Sent acked = script.Take();
  ASSERT_EQ(acked.Method(), "ACK");
  EXPECT_EQ(acked.stream, core);
  EXPECT_EQ(acked.Header("Route"), "<sip:10.0.0.5:5061;transport=tls;lr>");
  // The Core came back on another stream: the dialog goes on there.
  world.Hangup(core);
  EXPECT_TRUE(world.HasEvent("zone-down Pair"));
  const net::StreamId next = Connect();
  ASSERT_EQ(Prove(next, "wonderland").Status(), 200);
  Phone::Spec bye = ack;
  bye.method = "BYE";
  bye.cseq = 2;
  alice.Send(bye);
  const Sent got = script.Take();
  ASSERT_EQ(got.Method(), "BYE");
  EXPECT_EQ(got.stream, next);
  world.Feed(next, script.Response(got, 200));
  EXPECT_EQ(alice.Take().Status(), 200);
}

TEST_F(EdgeTest, LetsNobodyElseIn) {
  const net::StreamId wrong_name = Connect("mallory.example.com");
  EXPECT_EQ(Prove(wrong_name, "wonderland").Status(), 403);
  EXPECT_FALSE(world.stream(wrong_name).open);
  EXPECT_EQ(Prove(core, "wrong").Status(), 401);
  // The password is right, but it is another user's.
  const net::StreamId other = Connect();
  Phone bob(world, "bob", "198.51.100.50:40000");
  world.Feed(other, bob.Build(Options(1)));
  const Sent challenge = bob.Take();
  Phone::Spec again = Options(2);
  again.headers = bob.Authorization(challenge, "OPTIONS", "sip:192.0.2.1:7001", "builder", kSha256);
  world.Feed(other, bob.Build(again));
  EXPECT_EQ(bob.Take().Status(), 403);
  // Nothing but OPTIONS is taken before.
  ASSERT_EQ(alice.Register().Status(), 200);
  Phone::Spec spec{.method = "INVITE", .uri = alice.uri(), .from = "sip:x@inside.example"};
  world.Feed(other, script.Build(spec));
  EXPECT_EQ(script.Take().Status(), 403);
  EXPECT_TRUE(world.HasEvent("refused zone 403"));
  EXPECT_FALSE(engine.zones().IsUp(3));
}

TEST_F(EdgeTest, AClientThatFallsSilentIsGone) {
  ASSERT_EQ(Prove(core, "wonderland").Status(), 200);
  world.Advance(kTraversalSilenceMax - Duration::Seconds(1));
  world.Feed(core, script.Build(Options(7)));  // no credentials any more: it has proved itself
  EXPECT_EQ(script.Take().Status(), 200);
  world.Advance(kTraversalSilenceMax - Duration::Seconds(1));
  EXPECT_TRUE(engine.zones().IsUp(3));
  world.Advance(Duration::Seconds(2));
  EXPECT_FALSE(engine.zones().IsUp(3));
  EXPECT_FALSE(world.stream(core).open);
}

TEST_F(EdgeTest, SixClientsAndNoMore) {
  std::vector<net::StreamId> streams = {core};
  for (size_t i = 1; i < kZonePeerMax; ++i) {
    streams.push_back(Connect());
  }
  for (const net::StreamId id : streams) {
    ASSERT_EQ(Prove(id, "wonderland").Status(), 200);
  }
  EXPECT_EQ(Prove(Connect(), "wonderland").Status(), 503);
}

// Its end was lost on the way: the stream that came later is taken.
TEST_F(EdgeTest, AClientThatCameBackIsReachedOnItsNewStream) {
  ASSERT_EQ(Prove(core, "wonderland").Status(), 200);
  world.Advance(Duration::Seconds(1));
  const net::StreamId next = Connect();
  ASSERT_EQ(Prove(next, "wonderland").Status(), 200);
  Phone::Spec spec;
  spec.call_id = "inward";
  EXPECT_EQ(Invite(alice, "sip:x@inside.example", spec).Status(), 100);
  const Sent invite = script.Take();
  ASSERT_EQ(invite.Method(), "INVITE");
  EXPECT_EQ(invite.stream, next);
}

// One of two lost its power: the first call finds the other after 4 s, the next one at once, and
// the silent one is let go when it should have asked.
TEST_F(EdgeTest, AClientThatSaysNothingIsTakenLast) {
  ASSERT_EQ(Prove(core, "wonderland").Status(), 200);
  world.Advance(Duration::Seconds(1));
  const net::StreamId dead = Connect();
  ASSERT_EQ(Prove(dead, "wonderland").Status(), 200);
  const auto call = [&](const std::string& id) {
    Phone::Spec spec;
    spec.call_id = id;
    EXPECT_EQ(Invite(alice, "sip:x@inside.example", spec).Status(), 100);
    return script.Take();
  };
  EXPECT_EQ(call("first").stream, dead);
  world.Advance(Duration::Milliseconds(4100));
  const Sent invite = script.Take();
  ASSERT_EQ(invite.Method(), "INVITE");
  EXPECT_EQ(invite.stream, core);
  const Sent second = call("second");
  EXPECT_EQ(second.stream, core);
  // One that works on it is not given up.
  world.Feed(core, script.Response(invite, 100, ""));
  world.Feed(core, script.Response(second, 100, ""));
  world.Clear();
  world.Advance(Duration::Seconds(25));
  EXPECT_TRUE(script.Take().text.find("INVITE") == std::string::npos);
  ASSERT_EQ(Prove(core, "wonderland").Status(), 200);
  EXPECT_FALSE(world.HasEvent("zone-down"));
  world.Advance(Duration::Seconds(11));
  EXPECT_TRUE(world.HasEvent("zone-down"));
  EXPECT_TRUE(engine.zones().IsUp(3));
}

// The same configuration again leaves the client where it is; another one does not.
TEST_F(EdgeTest, AConfigurationThatChangesNothing) {
  ASSERT_EQ(Prove(core, "wonderland").Status(), 200);
  Take(3, Traversal(ZoneType::kTraversalServer));
  EXPECT_TRUE(engine.zones().IsUp(3));
  ZoneConfig other = Traversal(ZoneType::kTraversalServer);
  other.user.Set("bob");
  Take(3, other);
  EXPECT_FALSE(engine.zones().IsUp(3));
}

}  // namespace
}  // namespace gh::sip::test
