// Calls and registrations that wait for a policy service: what is asked, that waiting is not
// blocking, and what becomes of the request when the word comes, late or never.
#include <gtest/gtest.h>

#include "tests/unit/sip/judge.h"
#include "tests/unit/sip/phone.h"

namespace gh::sip::test {
namespace {

Config PolicyConfig() {
  Config config = World::DefaultConfig();
  config.AddEmergency("112", "sos");
  return config;
}

class Policy : public testing::Test {
 protected:
  void SetUp() override {
    engine.SetPolicy(judge);
    ASSERT_EQ(alice.Register().Status(), 200);
    ASSERT_EQ(bob.Register().Status(), 200);
    world.events.clear();
  }
  void TearDown() override {
    world.Advance(Duration::Hours(25));
    world.Clear();
    EXPECT_EQ(world.Busy(), "");
  }
  void Invite() { alice.Send({.method = "INVITE", .uri = bob.uri()}); }
  Sent Final() {
    Sent sent = alice.Take();
    while (sent.Status() == 100) {
      sent = alice.Take();
    }
    return sent;
  }
  Judge judge;
  World world{PolicyConfig()};
  Engine& engine = world.engine();
  Phone alice{world, "alice", "192.0.2.20:5060"};
  Phone bob{world, "bob", "192.0.2.30:5060"};
};

TEST_F(Policy, CallWaitsForTheWordAndThenRings) {
  Invite();
  ASSERT_EQ(judge.asked.size(), 1u);
  EXPECT_EQ(judge.asked[0].source, "alice@example.com");
  EXPECT_EQ(judge.asked[0].destination, "bob@example.com");
  EXPECT_EQ(judge.asked[0].zone, "LocalZone");
  EXPECT_EQ(bob.Take().Method(), "");
  engine.OnPolicy(judge.asked[0].ticket, {.allows = true});
  const Sent invite = bob.Take();
  ASSERT_EQ(invite.Method(), "INVITE");
  bob.Respond(invite, 200);
  const Sent answer = Final();
  ASSERT_EQ(answer.Status(), 200);
  // Inside the dialog nobody is asked again.
  Phone::Spec bye{.method = "BYE", .uri = "sip:bob@192.0.2.30:5060", .to = bob.uri()};
  bye.to_tag = "tt";
  bye.cseq = 2;
  bye.headers = RouteSet(answer, true);
  alice.Send(bye);
  bob.Respond(bob.Take(), 200);
  EXPECT_EQ(alice.Take().Status(), 200);
  EXPECT_EQ(judge.asked.size(), 1u);
}

TEST_F(Policy, RefusalHasTheServicesStatusAndWords) {
  Invite();
  engine.OnPolicy(judge.asked.at(0).ticket, {false, 486, "Busy tonight"});
  EXPECT_EQ(Final().StartLine(), "SIP/2.0 486 Busy tonight");
  EXPECT_EQ(bob.Take().Method(), "");
  EXPECT_TRUE(world.HasEvent("refused policy 486"));
}

TEST_F(Policy, RepetitionsAreAbsorbedAndATicketIsGoodOnce) {
  Phone::Spec spec{.method = "INVITE", .uri = bob.uri()};
  const std::string text = alice.Send(spec);
  alice.Deliver(text);
  world.Advance(Duration::Seconds(2));
  alice.Deliver(text);
  ASSERT_EQ(judge.asked.size(), 1u);
  const uint64_t ticket = judge.asked[0].ticket;
  engine.OnPolicy(ticket, {.allows = true});
  engine.OnPolicy(ticket, {.allows = true});
  EXPECT_EQ(bob.Take().Method(), "INVITE");
  EXPECT_EQ(bob.Take().Method(), "");
  alice.Deliver(text);
  EXPECT_EQ(judge.asked.size(), 1u);
}

TEST_F(Policy, CallerWhoGivesUpIsAnsweredAndTheLateWordIsDropped) {
  Phone::Spec spec{.method = "INVITE", .uri = bob.uri()};
  alice.Send(spec);
  spec.method = "CANCEL";
  spec.branch = alice.last_branch();
  alice.Send(spec);
  EXPECT_EQ(Final().Status(), 200);
  EXPECT_EQ(Final().Status(), 487);
  engine.OnPolicy(judge.asked.at(0).ticket, {.allows = true});
  EXPECT_EQ(bob.Take().Method(), "");
}

TEST_F(Policy, EmergencyCallsAreNotAskedAbout) {
  Phone rescue(world, "112", "192.0.2.50:5060");
  ASSERT_EQ(rescue.Register().Status(), 200);
  alice.Send({.method = "INVITE", .uri = "urn:service:sos"});
  EXPECT_EQ(rescue.Take().Method(), "INVITE");
  EXPECT_TRUE(judge.asked.empty());
}

TEST_F(Policy, RegistrationWaitsAfterItsPasswordWasGood) {
  Config config = PolicyConfig();
  config.authenticate_register = true;
  engine.Apply(config);
  judge.about_registrations = true;
  EXPECT_EQ(alice.RegisterWithPassword("wrong", kSha256, 10).Status(), 401);
  EXPECT_TRUE(judge.asked.empty());
  EXPECT_EQ(alice.RegisterWithPassword("wonderland", kSha256, 20).Status(), 0);
  ASSERT_EQ(judge.asked.size(), 1u);
  EXPECT_EQ(judge.asked[0].subject, PolicySubject::kRegistration);
  EXPECT_EQ(judge.asked[0].user, "alice");
  engine.OnPolicy(judge.asked[0].ticket, {.allows = true});
  EXPECT_EQ(alice.Take().Status(), 200);
  EXPECT_EQ(bob.RegisterWithPassword("builder", kSha256, 20).Status(), 0);
  engine.OnPolicy(judge.asked.at(1).ticket, {.allows = false});
  EXPECT_EQ(bob.Take().Status(), 403);
}

// What the service allows goes where it would have gone unasked: a registration with somebody else
// is not one with us, whatever its To says.
class RoutedRegistration : public Policy {
 protected:
  void SetUp() override {
    world.users["mallory"] = "malice";
    world.AddAddress("far.example", "198.51.100.7");
    Policy::SetUp();
    Config config = PolicyConfig();
    config.authenticate_register = true;
    config.authenticate_requests = true;
    engine.Apply(config);
    judge.about_registrations = true;
  }
  // By mallory, with the password of her own; what has left for elsewhere.
  Sent Register(const std::string& uri, const std::string& to, const std::string& headers) {
    Phone::Spec spec{.method = "REGISTER", .uri = uri, .to = to};
    spec.from = mallory.uri();
    spec.headers = headers;
    mallory.Send(spec);
    const Sent challenge = mallory.Take();
    EXPECT_EQ(challenge.Status(), 407);
    spec.cseq = 2;
    spec.headers += mallory.Authorization(challenge, "REGISTER", uri, "malice");
    mallory.Send(spec);
    EXPECT_EQ(judge.asked.size(), 1u);
    engine.OnPolicy(judge.asked.at(0).ticket, {.allows = true});
    world.Settle();
    const Sent gone = world.TakeTo(far.at());
    far.Respond(gone, 403);
    EXPECT_EQ(mallory.Take().Status(), 403);
    return gone;
  }
  Phone mallory{world, "mallory", "203.0.113.66:5060"};
  Phone far{world, "far", "198.51.100.7:5060"};
};

TEST_F(RoutedRegistration, GoesToItsRegistrarAndNotToOurs) {
  const Sent gone = Register("sip:far.example", "sip:alice@example.com", {});
  EXPECT_EQ(gone.StartLine(), "REGISTER sip:far.example SIP/2.0");
  EXPECT_FALSE(world.HasEvent("registered"));
  EXPECT_EQ(engine.registration_count(), 2u);
}

TEST_F(RoutedRegistration, GoesAlongItsRouteThoughItNamesUs) {
  const Sent gone =
      Register("sip:example.com", "sip:alice@example.com", "Route: <sip:far.example;lr>\n");
  EXPECT_EQ(gone.StartLine(), "REGISTER sip:example.com SIP/2.0");
  EXPECT_FALSE(world.HasEvent("registered"));
  EXPECT_EQ(engine.registration_count(), 2u);
}

// An honest one, of a domain that is not ours.
TEST_F(RoutedRegistration, IsNotToldThatItsDomainIsUnknown) {
  const Sent gone = Register("sip:far.example", "sip:mallory@far.example", {});
  EXPECT_EQ(gone.Header("To"), "<sip:mallory@far.example>");
}

TEST_F(Policy, AsManyWaitAsThereArePlaces) {
  for (size_t i = 0; i <= kPolicyWaitMax; ++i) {
    alice.Send({.method = "INVITE", .uri = bob.uri(), .call_id = "c" + std::to_string(i)});
  }
  const size_t taken = judge.asked.size();
  EXPECT_LE(taken, kPolicyWaitMax);
  EXPECT_GT(taken, 10u);
  EXPECT_EQ(Final().Status(), 503);
  for (size_t i = 0; i < taken; ++i) {
    engine.OnPolicy(judge.asked[i].ticket, {.allows = false});
  }
  Invite();
  EXPECT_EQ(judge.asked.size(), taken + 1);
  engine.OnPolicy(judge.asked.back().ticket, {.allows = false});
}

}  // namespace
}  // namespace gh::sip::test
