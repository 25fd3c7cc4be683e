// Profiles of zones: identities inside the trust domain (RFC 3325, 3323), UPDATE, REFER,
// Proxy-Require, searches by OPTIONS; users whose credentials the other side of a traversal zone
// asks for.
#include <gtest/gtest.h>

#include "tests/unit/sip/judge.h"
#include "tests/unit/sip/phone.h"

namespace gh::sip::test {
namespace {

using dialplan::UpdateMode;
using dialplan::ZoneType;

Config ProfileConfig() {
  Config config = World::DefaultConfig();
  config.AddListener(TransportKind::kTls, At("192.0.2.1:7001"), At("192.0.2.1:7001"), 4);
  config.authenticate_requests = true;
  return config;
}

// East has the profile of the test, West none.
class Profile : public testing::Test {
 protected:
  void TearDown() override {
    engine.zones().Stop();
    world.Advance(Duration::Hours(26));
    world.Clear();
    EXPECT_EQ(world.Busy(), "");
  }
  ZoneConfig Neighbour(const char* name, const char* peer) {
    ZoneConfig config;
    config.plan.name.Assign(name);
    config.plan.type = ZoneType::kNeighbour;
    config.plan.trust = dialplan::Trust::kDoNotCheck;
    config.transport = TransportKind::kUdp;
    config.monitors = false;
    config.peers[0].Set(peer);
    return config;
  }
  void SetUpZones(const dialplan::ZoneProfile& profile) {
    ZoneConfig one = Neighbour("East", "198.51.100.1");
    const ZoneConfig other = Neighbour("West", "198.51.100.2");
    one.plan.profile = profile;
    engine.plan().Begin();
    engine.zones().Begin();
    for (const auto& [id, zone] : {std::pair<ZoneId, ZoneConfig>{2, one}, {3, other}}) {
      ASSERT_TRUE(engine.plan().Add(id, zone.plan).ok());
      engine.zones().Add(id, zone);
    }
    engine.zones().Commit();
    AddRule(1, "East", ".*@east\\.example");
    AddRule(2, "West", ".*@west\\.example");
    AddRule(3, "LocalZone", ".*@example\\.com");
    engine.plan().Commit();
    world.Advance(Duration::Milliseconds(500));
  }
  void AddRule(uint16_t priority, const char* target, const char* regex) {
    dialplan::SearchRule rule;
    rule.number = rule.priority = priority;
    rule.target_name.Assign(target);
    rule.mode = dialplan::RuleMode::kAliasPattern;
    rule.pattern.text.Assign(regex);
    rule.pattern.type = dialplan::PatternType::kRegex;
    rule.pattern.behavior = dialplan::PatternBehavior::kLeave;
    ASSERT_TRUE(engine.plan().Add(rule).ok());
  }
  // By alice, with her password.
  void Call(const std::string& uri, const std::string& headers) {
    Phone::Spec spec{.method = "INVITE", .uri = uri};
    spec.call_id = "call" + std::to_string(++number);
    spec.from = "sip:anonymous@anonymous.invalid";
    spec.headers = headers;
    // A stranger's From, a user's credentials: who he is the digest alone says.
    alice.Send(spec);
    const Sent challenge = alice.Take();
    ASSERT_EQ(challenge.Status(), 407);
    spec.cseq = 2;
    spec.headers += alice.Authorization(challenge, "INVITE", uri, "wonderland");
    alice.Send(spec);
    EXPECT_EQ(alice.Take().Status(), 100);
  }
  Sent From(Phone& peer, const std::string& headers) {
    Phone::Spec spec{.method = "INVITE", .uri = alice.uri()};
    spec.call_id = "call" + std::to_string(++number);
    spec.from = "sip:x@far.example";
    spec.headers = headers;
    peer.Send(spec);
    EXPECT_EQ(peer.Take().Status(), 100);
    const Sent got = alice.Take();
    alice.Respond(got, 486);
    alice.Take();
    EXPECT_EQ(peer.Take().Status(), 486);
    return got;
  }
  static std::vector<std::string> Identity(const Sent& sent) {
    return sent.Headers("P-Asserted-Identity");
  }
  using Texts = std::vector<std::string>;

  World world{ProfileConfig()};
  Engine& engine = world.engine();
  Phone alice{world, "alice", "192.0.2.20:5060"};
  Phone east{world, "east", "198.51.100.1:5060"};
  Phone west{world, "west", "198.51.100.2:5060"};
  int number = 0;
};

TEST_F(Profile, IdentityIsAssertedInsideTheTrustDomainAlone) {
  SetUpZones({.trusts_identity = true, .strips = {}});
  const std::string claims =
      "P-Asserted-Identity: <sip:boss@example.com>\nP-Preferred-Identity: <sip:al@example.com>\n"
      "Privacy: id\n";
  Call("sip:x@east.example", claims);
  const Sent inside = east.Take();
  EXPECT_EQ(Identity(inside), Texts{"<sip:alice@example.com>"});
  EXPECT_EQ(inside.Header("P-Preferred-Identity"), "");
  EXPECT_EQ(inside.Header("Privacy"), "id");
  east.Respond(inside, 486);
  world.Clear();
  Call("sip:x@west.example", claims);
  const Sent outside = west.Take();
  EXPECT_EQ(Identity(outside), Texts{});
  west.Respond(outside, 486);
}

// Whoever was proved, and nobody whose name merely stands beside.
TEST_F(Profile, IdentityIsWhoseCredentialsWereGood) {
  SetUpZones({.trusts_identity = true, .strips = {}});
  world.users["mallory"] = "malice";
  Phone mallory(world, "mallory", "192.0.2.66:5060");
  const std::string uri = "sip:x@east.example";
  const auto call = [&](const std::string& username, bool is_first) {
    Phone::Spec spec{.method = "INVITE", .uri = uri};
    spec.call_id = "call" + std::to_string(++number);
    spec.from = "sip:anonymous@anonymous.invalid";
    mallory.Send(spec);
    const Sent challenge = mallory.Take();
    EXPECT_EQ(challenge.Status(), 407);
    spec.cseq = 2;
    const std::string good = mallory.Authorization(challenge, "INVITE", uri, "malice");
    std::string other = good;
    other.replace(other.find("mallory"), 7, username);
    // Of a nonce that nobody gave: no guess either.
    other[other.find("nonce=\"") + 9] ^= 1;
    spec.headers = is_first ? other + good : good + other;
    mallory.Send(spec);
    EXPECT_EQ(mallory.Take().Status(), 100);
    const Sent invite = east.Take();
    east.Respond(invite, 486);
    world.Clear();
    return Identity(invite);
  };
  for (const bool is_first : {true, false}) {
    EXPECT_EQ(call("alice", is_first), Texts{"<sip:mallory@example.com>"});
    EXPECT_EQ(call("boss@any.host", is_first), Texts{"<sip:mallory@example.com>"});
  }
}

// A user's name may hold a host; only as one of ours it is asserted.
TEST_F(Profile, IdentityIsOfADomainOfOurs) {
  SetUpZones({.trusts_identity = true, .strips = {}});
  const std::string uri = "sip:x@east.example";
  for (const auto& [name, wanted] :
       {std::pair<std::string, Texts>{"alice@example.com", {"<sip:alice@example.com>"}},
        {"alice@any.host", {}}}) {
    Phone user(world, name, "192.0.2.21:5060");
    Phone::Spec spec{.method = "INVITE", .uri = uri};
    spec.call_id = name;
    spec.from = "sip:anonymous@anonymous.invalid";
    spec.contact = "<sip:alice@192.0.2.21>";
    spec.branch = "z9hG4bK1" + name.substr(6);
    user.Send(spec);
    const Sent challenge = user.Take();
    spec.cseq = 2;
    spec.branch = "z9hG4bK2" + name.substr(6);
    spec.headers = user.Authorization(challenge, "INVITE", uri, "wonderland");
    user.Send(spec);
    EXPECT_EQ(user.Take().Status(), 100);
    const Sent invite = east.Take();
    EXPECT_EQ(Identity(invite), wanted) << name;
    east.Respond(invite, 486);
    world.Clear();
  }
}

TEST_F(Profile, WhatTheTrustDomainAssertsIsBelievedAndPrivacyKept) {
  SetUpZones({.trusts_identity = true, .strips = {}});
  Config config = ProfileConfig();
  config.authenticate_register = false;
  engine.Apply(config);
  ASSERT_EQ(alice.Register().Status(), 200);
  const std::string asserted = "P-Asserted-Identity: <sip:x@far.example>\n";
  EXPECT_EQ(Identity(From(east, asserted)), Texts{"<sip:x@far.example>"});
  EXPECT_EQ(Identity(From(east, asserted + "Privacy: none\n")), Texts{"<sip:x@far.example>"});
  EXPECT_EQ(Identity(From(east, asserted + "Privacy: user;id\n")), Texts{});
  EXPECT_EQ(Identity(From(west, asserted)), Texts{});
}

// RFC 3323 5: what is critical and cannot be kept private goes no further.
TEST_F(Profile, CriticalPrivacyThatNobodyCanKeepIsRefused) {
  SetUpZones({.trusts_identity = true, .strips = {}});
  Config config = ProfileConfig();
  config.AddEmergency("112");
  engine.Apply(config);
  const auto answer = [&](const std::string& headers, const std::string& uri) {
    Phone::Spec spec{.method = "INVITE", .uri = uri};
    spec.call_id = "call" + std::to_string(++number);
    spec.headers = headers;
    alice.Send(spec);
    return alice.Take().StartLine();
  };
  const auto ask = [&](const std::string& privacy) {
    return answer("Privacy: " + privacy + "\n", "sip:x@east.example");
  };
  EXPECT_EQ(ask("header;session;id;user;critical"),
            "SIP/2.0 500 Privacy Failure: header session user");
  EXPECT_EQ(ask("critical;history"), "SIP/2.0 500 Privacy Failure: history");
  EXPECT_EQ(ask("user\nPrivacy: critical"), "SIP/2.0 500 Privacy Failure: user");
  EXPECT_EQ(ask(std::string(200, 'x') + ";Critical"), "SIP/2.0 500 Privacy Failure:");
  EXPECT_TRUE(world.HasEvent("refused policy 500"));
  const std::string asked = "SIP/2.0 407 Proxy Authentication Required";
  for (const char* good : {"id;critical", "none;critical", "header;session;user", "critical"}) {
    EXPECT_EQ(ask(good), asked) << good;
  }
  // Who names the next one may know it for a privacy service; nobody refuses an emergency call.
  const std::string critical = "Privacy: user;critical\n";
  EXPECT_EQ(answer(critical + "Route: <sip:private.example;lr>\n", "sip:x@east.example"), asked);
  EXPECT_EQ(answer(critical, "sip:112@example.com"), asked);
}

TEST_F(Profile, AnswersAreBelievedAsTheirZoneIs) {
  SetUpZones({.trusts_identity = true, .strips = {}});
  const std::string asserted = "P-Asserted-Identity: <sip:x@far.example>\n";
  for (const bool is_inside : {true, false}) {
    Phone& peer = is_inside ? east : west;
    for (const std::string& privacy : {std::string(), std::string("Privacy: id\n")}) {
      Call(is_inside ? "sip:x@east.example" : "sip:x@west.example", {});
      const Sent invite = peer.Take();
      // Above Via, too: it may stand anywhere.
      std::string text = peer.Response(invite, 180, "tt", asserted + privacy);
      const size_t line = text.find("\r\n") + 2;
      text.insert(line, "P-Asserted-Identity: <sip:top@far.example>\r\n");
      peer.Deliver(text);
      const Sent ringing = alice.Take();
      ASSERT_EQ(ringing.Status(), 180);
      EXPECT_EQ(Identity(ringing), is_inside && privacy.empty()
                                       ? (Texts{"<sip:top@far.example>", "<sip:x@far.example>"})
                                       : Texts{});
      EXPECT_EQ(ringing.Headers("Via").size(), 1u);
      EXPECT_EQ(ringing.Header("Content-Length"), "0");
      peer.Respond(invite, 486);
      world.Clear();
    }
  }
}

TEST_F(Profile, ReferProxyRequireAndSearches) {
  dialplan::ZoneProfile profile{.refuses_refer = true, .answers_searches = true, .strips = {}};
  profile.strips.Assign("x-one x-two");
  SetUpZones(profile);
  Config config = ProfileConfig();
  config.authenticate_register = false;
  engine.Apply(config);
  ASSERT_EQ(alice.Register().Status(), 200);
  Phone::Spec refer{.method = "REFER", .uri = alice.uri()};
  refer.from = "sip:x@far.example";
  refer.headers = "Refer-To: <sip:y@far.example>\n";
  east.Send(refer);
  EXPECT_EQ(east.Take().Status(), 403);
  west.Send(refer);
  const Sent carried = alice.Take();
  EXPECT_EQ(carried.Method(), "REFER");
  alice.Respond(carried, 603);
  EXPECT_EQ(west.Take().Status(), 603);
  EXPECT_EQ(From(east, "Proxy-Require: x-two\n").Header("Proxy-Require"), "");
  Phone::Spec strange{.method = "INVITE", .uri = alice.uri()};
  strange.from = "sip:x@far.example";
  strange.call_id = "strange";
  strange.headers = "Proxy-Require: x-two, x-three\n";
  east.Send(strange);
  const Sent refused = east.Take();
  EXPECT_EQ(refused.Status(), 420);
  EXPECT_EQ(refused.Header("Unsupported"), "x-three");
  Phone::Spec search{.method = "OPTIONS", .uri = "sip:nobody@example.com"};
  search.from = "sip:x@far.example";
  search.call_id = "search";
  east.Send(search);
  EXPECT_EQ(east.Take().Status(), 200);
  west.Send(search);
  EXPECT_EQ(west.Take().Status(), 480);
}

class ProfileUpdate : public Profile {
 protected:
  // A call from alice into East; the answer as she sees it.
  Sent Answered(UpdateMode mode) {
    dialplan::ZoneProfile profile{.strips = {}};
    profile.update = mode;
    SetUpZones(profile);
    Call("sip:x@east.example", "Allow: INVITE, UPDATE, BYE\n");
    const Sent invite = east.Take();
    allowed = invite.Header("Allow");
    east.Respond(invite, 200, "tt", "Allow: UPDATE,INVITE\n");
    return alice.Take();
  }
  int Update(const Sent& answer, const std::string& body) {
    Phone::Spec update{.method = "UPDATE", .uri = "sip:east@198.51.100.1:5060"};
    update.to = "sip:x@east.example";
    update.from = "sip:anonymous@anonymous.invalid";
    update.to_tag = "tt";
    update.call_id = "call" + std::to_string(number);
    update.cseq = 10 + static_cast<int>(body.size());
    update.headers = RouteSet(answer, true);
    update.body = body;
    alice.Send(update);
    const Sent got = east.Take();
    if (got.Method() == "UPDATE") {
      east.Respond(got, 200);
    }
    return alice.Take().Status();
  }
  std::string allowed;
};

TEST_F(ProfileUpdate, PassesWhereNothingElseIsSaid) {
  const Sent answer = Answered(UpdateMode::kFull);
  EXPECT_EQ(allowed, "INVITE, UPDATE, BYE");
  EXPECT_EQ(Update(answer, "v=0\r\n"), 200);
}

TEST_F(ProfileUpdate, RefreshesSessionsAlone) {
  const Sent answer = Answered(UpdateMode::kRefreshOnly);
  EXPECT_EQ(allowed, "INVITE, UPDATE, BYE");
  EXPECT_EQ(Update(answer, ""), 200);
  EXPECT_EQ(Update(answer, "v=0\r\n"), 488);
}

TEST_F(ProfileUpdate, IsHiddenAndRefusedWhereItIsOff) {
  const Sent answer = Answered(UpdateMode::kNone);
  EXPECT_EQ(allowed, "INVITE,BYE");
  EXPECT_EQ(answer.Header("Allow"), "INVITE");
  EXPECT_EQ(Update(answer, ""), 405);
}

// Users of inside.example are asked behind the pair.
class Delegated : public Profile {
 protected:
  void SetUp() override {
    ZoneConfig pair;
    pair.plan.name.Assign("Pair");
    pair.plan.type = ZoneType::kTraversalServer;
    pair.plan.trust = dialplan::Trust::kDoNotCheck;
    pair.port = 7001;
    pair.user.Set("alice");
    engine.plan().Begin();
    engine.zones().Begin();
    ASSERT_TRUE(engine.plan().Add(4, pair.plan).ok());
    engine.zones().Add(4, pair);
    engine.zones().Commit();
    dialplan::Delegation delegation;
    delegation.domain.Assign("inside.example");
    delegation.zone.Assign("Nowhere");
    EXPECT_FALSE(engine.plan().Add(delegation).ok());
    delegation.zone.Assign("Pair");
    ASSERT_TRUE(engine.plan().Add(delegation).ok());
    AddRule(1, "LocalZone", ".*");
    engine.plan().Commit();
  }
  void ConnectCore() {
    stream = world.Accept(core.at(), At("192.0.2.1:7001"), net::StreamKind::kTls);
    Phone::Spec options{.method = "OPTIONS", .uri = "sip:192.0.2.1:7001"};
    world.Feed(stream, core.Build(options));
    const Sent challenge = core.Take();
    options.cseq = 2;
    options.headers = core.Authorization(challenge, "OPTIONS", options.uri, "wonderland");
    world.Feed(stream, core.Build(options));
    ASSERT_EQ(core.Take().Status(), 200);
  }
  // The call of somebody outside.
  void Dial(const std::string& from, const std::string& call_id) {
    Phone::Spec spec{.method = "INVITE", .uri = "sip:far@elsewhere.example"};
    spec.from = from;
    spec.call_id = call_id;
    zoe.Send(spec);
  }
  void ExpectAskedByTheCore() {
    const Sent asked = core.Take();  // whatever the search rules say of it
    ASSERT_EQ(asked.Method(), "INVITE");
    EXPECT_EQ(asked.StartLine(), "INVITE sip:far@elsewhere.example SIP/2.0");
    world.Feed(stream,
               core.Response(asked, 407, "tt", "Proxy-Authenticate: Digest realm=\"in\"\n"));
    core.Take();
    EXPECT_EQ(zoe.Take().Status(), 407);
  }
  Phone core{world, "alice", "198.51.100.50:40000"};
  Phone zoe{world, "zoe", "203.0.113.7:40100"};
  net::StreamId stream;
  Judge judge;
};

TEST_F(Delegated, UsersAreAskedBehindTheZone) {
  Dial("sip:zoe@Inside.example", "early");
  EXPECT_EQ(zoe.Take().Status(), 503);  // nobody is there
  ConnectCore();
  Dial("sip:zoe@Inside.example", "again");
  EXPECT_EQ(zoe.Take().Status(), 100);
  ExpectAskedByTheCore();
  // Others are asked here.
  Dial("sip:eve@elsewhere.example", "other");
  const Sent own = zoe.Take();
  EXPECT_EQ(own.Status(), 407);
  EXPECT_NE(own.Header("Proxy-Authenticate").find("realm=\"example.com\""), std::string::npos);
}

// The policy service's word is no password.
TEST_F(Delegated, UsersAreAskedBehindTheZoneAfterThePolicyServiceToo) {
  engine.SetPolicy(judge);
  ConnectCore();
  Dial("sip:zoe@inside.example", "judged");
  ASSERT_EQ(judge.asked.size(), 1u);
  EXPECT_EQ(core.Take().text, "");
  engine.OnPolicy(judge.asked[0].ticket, {.allows = true});
  while (zoe.Take().Status() == 100) {
  }
  ExpectAskedByTheCore();
}

}  // namespace
}  // namespace gh::sip::test
