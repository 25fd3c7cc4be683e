// Who is asked for credentials: subzones by address and by name, who is registered where he sends
// from, strangers; whose registration is taken, and which lists say so.
#include <gtest/gtest.h>

#include "tests/unit/sip/phone.h"

namespace gh::sip::test {
namespace {

using dialplan::PatternType;
using dialplan::Trust;

Config TrustConfig() {
  Config config = World::DefaultConfig();
  config.authenticate_register = true;
  config.authenticate_requests = true;
  return config;
}

// bob is registered. Calls to him are for everybody, those to carl for whom a password proved or an
// operator vouches for, those to dora for our own users.
class TrustTest : public testing::Test {
 protected:
  void SetUp() override {
    world.users["carl"] = world.users["dora"] = "secret";
    for (Phone* phone : {&bob, &carl, &dora}) {
      const std::string password = phone == &bob ? "builder" : "secret";
      ASSERT_EQ(phone->RegisterWithPassword(password).Status(), 200);
    }
    world.events.clear();
  }
  void TearDown() override {
    engine.zones().Stop();
    world.Advance(Duration::Hours(25));
    world.Clear();
    EXPECT_EQ(world.Busy(), "");
  }
  struct Modes {
    Trust strangers = Trust::kCheckCredentials;
    Trust unplaced = Trust::kCheckCredentials;
    Trust hall = Trust::kCheckCredentials;  // by address
    Trust desk = Trust::kCheckCredentials;  // by name
  };
  void Plan(const Modes& modes) {
    dialplan::DialPlan& plan = engine.plan();
    plan.Begin();
    dialplan::Zone strangers;
    strangers.type = dialplan::ZoneType::kDefault;
    strangers.trust = modes.strangers;
    plan.SetDefault(strangers);
    plan.SetDefaultSubzone(modes.unplaced);
    AddSubzone("Hall", modes.hall, "192.0.2.128/25", "");
    AddSubzone("Desk", modes.desk, "", "desk");
    AddRule(1, "bob", false, dialplan::SourceMode::kAny);
    AddRule(2, "carl", true, dialplan::SourceMode::kAny);
    AddRule(3, "dora", false, dialplan::SourceMode::kLocal);
    plan.Commit();
  }
  void AddSubzone(const char* name, Trust trust, const char* prefix, const char* pattern) {
    dialplan::Subzone subzone;
    subzone.name.Assign(name);
    subzone.trust = trust;
    ASSERT_TRUE(engine.plan().Add(subzone).ok());
    dialplan::Membership member;
    member.subzone.Assign(name);
    if (*prefix != '\0') {
      member.prefix = net::IpPrefix::Parse(prefix).value();
    }
    member.pattern.text.Assign(pattern);
    ASSERT_TRUE(engine.plan().Add(member).ok());
  }
  void AddRule(uint16_t number, const char* whom, bool needs_authentication,
               dialplan::SourceMode source) {
    dialplan::SearchRule rule;
    rule.number = rule.priority = number;
    rule.target_name.Assign("LocalZone");
    rule.mode = dialplan::RuleMode::kAliasPattern;
    rule.pattern.text.Assign(whom);
    rule.pattern.behavior = dialplan::PatternBehavior::kLeave;
    rule.needs_authentication = needs_authentication;
    rule.source = source;
    ASSERT_TRUE(engine.plan().Add(rule).ok());
  }
  // The answer to a call without credentials: 180 where it rang, what was said else.
  int Call(Phone& from, const Phone& to) {
    Phone::Spec spec{.method = "INVITE", .uri = to.uri()};
    spec.call_id = "call" + std::to_string(++number);
    from.Send(spec);
    const int first = from.Take().Status();
    Sent invite = world.TakeTo(to.at());
    if (first != 100 || invite.Method() != "INVITE") {
      return first == 100 ? from.Take().Status() : first;
    }
    world.Deliver(to.at(), from.Response(invite, 486));
    world.TakeTo(to.at());
    EXPECT_EQ(from.Take().Status(), 486);
    return 180;
  }
  int Register(Phone& phone, const std::string& from = {}, const std::string& to = {}) {
    Phone::Spec spec{.method = "REGISTER", .uri = "sip:example.com"};
    spec.to = to.empty() ? phone.uri() : to;
    spec.from = from;
    spec.call_id = "reg" + std::to_string(++number);
    phone.Send(spec);
    return phone.Take().Status();
  }

  World world{TrustConfig()};
  Engine& engine = world.engine();
  Phone alice{world, "alice", "203.0.113.20:5060"};
  Phone bob{world, "bob", "192.0.2.30:5060"};
  Phone carl{world, "carl", "192.0.2.31:5060"};
  Phone dora{world, "dora", "192.0.2.32:5060"};
  int number = 0;
};

TEST_F(TrustTest, ASubzoneByAddressIsAskedAsItsModeSays) {
  Phone visitor(world, "alice", "192.0.2.200:5060");
  Plan({});
  EXPECT_EQ(Register(visitor), 401);
  EXPECT_EQ(Call(visitor, bob), 407);
  Plan({.hall = Trust::kTreatAsAuthenticated});
  EXPECT_EQ(Call(visitor, bob), 180);
  EXPECT_EQ(Call(visitor, carl), 180);
  EXPECT_EQ(Call(visitor, dora), 180);
  EXPECT_EQ(Register(visitor), 200);
  Plan({.hall = Trust::kDoNotCheck});
  EXPECT_EQ(Call(visitor, bob), 180);
  EXPECT_EQ(Call(visitor, carl), 480);  // it is not known who calls
  EXPECT_EQ(Call(visitor, dora), 180);
  EXPECT_EQ(Register(visitor), 200);
  // Elsewhere it is as before.
  EXPECT_EQ(Call(alice, bob), 407);
  EXPECT_EQ(Register(alice), 401);
  EXPECT_EQ(alice.RegisterWithPassword("guess", kSha256, ++number).Status(), 401);
  EXPECT_EQ(world.guesses, 1u);
}

TEST_F(TrustTest, ANameAloneOpensNothing) {
  for (const Trust trust : {Trust::kTreatAsAuthenticated, Trust::kDoNotCheck}) {
    Plan({.unplaced = trust, .desk = trust});
    Phone desk(world, "desk1", "203.0.113.21:5060");
    EXPECT_EQ(Call(alice, bob), 407);
    EXPECT_EQ(Call(desk, bob), 407);
  }
}

TEST_F(TrustTest, WhoIsRegisteredWhereHeSendsFromIsOfHisSubzone) {
  Plan({.unplaced = Trust::kTreatAsAuthenticated});
  ASSERT_EQ(Register(alice), 200);
  EXPECT_EQ(Call(alice, carl), 180);
  EXPECT_EQ(Call(alice, dora), 180);
  Phone neighbour(world, "alice", "203.0.113.20:5070");  // behind the same NAT
  EXPECT_EQ(Call(neighbour, bob), 407);
  Phone by_stream(world, "alice", "203.0.113.20:40100");
  by_stream.UseTcp();
  EXPECT_EQ(Call(by_stream, bob), 407);
  ASSERT_EQ(Register(by_stream), 200);
  EXPECT_EQ(Call(by_stream, bob), 180);
  // Whose registration is gone is a name again.
  EXPECT_EQ(engine.RemoveRegistrations("alice", "example.com"), 2u);
  EXPECT_EQ(Call(alice, bob), 407);
}

TEST_F(TrustTest, WhereStrangersAreNotAskedANameIsAStranger) {
  Plan({.strangers = Trust::kDoNotCheck, .unplaced = Trust::kTreatAsAuthenticated});
  EXPECT_EQ(Call(alice, bob), 180);
  EXPECT_EQ(Call(alice, carl), 480);
  EXPECT_EQ(Call(alice, dora), 480);
  Plan({.strangers = Trust::kTreatAsAuthenticated, .unplaced = Trust::kDoNotCheck});
  EXPECT_EQ(Call(alice, carl), 480);
  Plan({.strangers = Trust::kTreatAsAuthenticated, .unplaced = Trust::kTreatAsAuthenticated});
  EXPECT_EQ(Call(alice, carl), 180);
  EXPECT_EQ(Call(alice, dora), 404);
  // Our own users' names are no way around their passwords.
  Plan({.strangers = Trust::kDoNotCheck});
  EXPECT_EQ(Call(alice, bob), 407);
}

TEST_F(TrustTest, ARegistrationIsJudgedByWhomItIsFor) {
  Plan({.strangers = Trust::kDoNotCheck, .desk = Trust::kDoNotCheck});
  Phone mallory(world, "mallory", "203.0.113.66:5060");
  EXPECT_EQ(Register(mallory, "sip:x@far.example", alice.uri()), 401);
  EXPECT_EQ(Register(mallory, "sip:desk1@example.com", alice.uri()), 401);
  EXPECT_EQ(Register(mallory, alice.uri(), "sip:desk1@example.com"), 200);  // as the operator says
  EXPECT_FALSE(world.HasEvent("registered alice"));
}

// From a zone whose requests are not checked come others' registrations, too.
TEST_F(TrustTest, AZoneVouchesForRegistrationsWhereItIsTrustedItself) {
  Phone peer(world, "alice", "198.51.100.1:5060");
  for (const Trust trust : {Trust::kDoNotCheck, Trust::kTreatAsAuthenticated}) {
    ZoneConfig zone;
    zone.plan.name.Assign("East");
    zone.plan.type = dialplan::ZoneType::kNeighbour;
    zone.plan.trust = trust;
    zone.transport = TransportKind::kUdp;
    zone.monitors = false;
    zone.peers[0].Set("198.51.100.1");
    Plan({});
    ASSERT_TRUE(engine.plan().Add(2, zone.plan).ok());
    engine.zones().Begin();
    engine.zones().Add(2, zone);
    engine.zones().Commit();
    world.Advance(Duration::Milliseconds(500));
    EXPECT_EQ(Register(peer), trust == Trust::kDoNotCheck ? 401 : 200);
    // Whoever is behind it guesses, and is not it: nobody is kept away for that.
    const int guessed = peer.RegisterWithPassword("guess", kSha256, ++number).Status();
    EXPECT_EQ(guessed, trust == Trust::kDoNotCheck ? 401 : 200);
    EXPECT_EQ(world.guesses, 0u);
  }
}

TEST_F(TrustTest, RegistrationListsHold) {
  dialplan::PatternSetting listed;
  listed.text.Assign("alice@example.com");
  listed.type = PatternType::kExact;
  Phone other(world, "bob", "192.0.2.33:5060");
  using dialplan::RegistrationPolicy;
  for (const auto& [policy, is_alice, is_bob] :
       {std::tuple{RegistrationPolicy::kNone, true, true},
        std::tuple{RegistrationPolicy::kAllowList, true, false},
        std::tuple{RegistrationPolicy::kDenyList, false, true}}) {
    Plan({});
    ASSERT_TRUE(engine.plan().AddRegistration(listed).ok());
    engine.plan().SetRegistrationPolicy(policy);
    engine.plan().Commit();
    EXPECT_EQ(Register(alice), is_alice ? 401 : 403);
    EXPECT_EQ(alice.RegisterWithPassword("wonderland", kSha256, ++number).Status(),
              is_alice ? 200 : 403);
    EXPECT_EQ(Register(other), is_bob ? 401 : 403);
  }
}

}  // namespace
}  // namespace gh::sip::test
