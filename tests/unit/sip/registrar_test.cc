// RFC 3261 10 and RFC 3327, through the engine.
#include <gtest/gtest.h>

#include "tests/unit/sip/phone.h"

namespace gh::sip::test {
namespace {

class RegistrarTest : public testing::Test {
 protected:
  World world;
  Phone alice{world, "alice", "192.0.2.20:5060"};

  Sent Register(const std::string& contact_lines, const std::string& more = {}, int cseq = 0,
                const std::string& call_id = "reg") {
    number_ = cseq == 0 ? number_ + 1 : cseq;
    const std::string branch = "z9hG4bKr" + std::to_string(++branch_);
    world.Deliver(
        alice.at(),
        Crlf("REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.20:5060;branch=" + branch +
             ";rport\nFrom: <sip:alice@example.com>;tag=1\n"
             "To: <sip:alice@example.com>\nCall-ID: " +
             call_id + "\nCSeq: " + std::to_string(number_) + " REGISTER\n" + contact_lines + more +
             "Content-Length: 0\n\n"));
    return world.Take();
  }
  int number_ = 0;
  int branch_ = 0;
};

TEST_F(RegistrarTest, AddQueryRefreshRemove) {
  EXPECT_EQ(Register("Contact: <sip:a@192.0.2.20>;expires=100\n").Header("Contact"),
            "<sip:a@192.0.2.20>;expires=100");
  EXPECT_TRUE(world.HasEvent("registered alice@example.com sip:a@192.0.2.20"));
  world.Advance(Duration::Seconds(40));
  EXPECT_EQ(Register("").Header("Contact"), "<sip:a@192.0.2.20>;expires=60");
  EXPECT_EQ(Register("Contact: <sip:a@192.0.2.20>\nExpires: 200\n").Header("Contact"),
            "<sip:a@192.0.2.20>;expires=200");
  EXPECT_TRUE(world.HasEvent("refreshed alice"));
  const Sent removed = Register("Contact: <sip:a@192.0.2.20>;expires=0\n");
  EXPECT_EQ(removed.Status(), 200);
  EXPECT_TRUE(removed.Headers("Contact").empty());
  EXPECT_TRUE(world.HasEvent("unregistered alice sip:a@192.0.2.20"));
  EXPECT_EQ(world.engine().registration_count(), 0u);
  EXPECT_EQ(world.engine().Pools()[1].used, 0u);
}

TEST_F(RegistrarTest, SeveralContactsInOneFieldAndInMany) {
  const Sent sent =
      Register("Contact: <sip:a@h1>;q=0.5, \"two\" <sip:a@h2>;expires=50\nm: sip:a@h3;q=0.25\n");
  EXPECT_EQ(sent.Headers("Contact").size(), 3u);
  EXPECT_NE(sent.text.find("<sip:a@h1>;expires=3600;q=0.500"), std::string::npos) << sent.text;
  EXPECT_NE(sent.text.find("<sip:a@h2>;expires=50"), std::string::npos);
}

TEST_F(RegistrarTest, EquivalentUrisAreOneBinding) {
  Register("Contact: <sip:a@Host.example;transport=TCP>\n");
  Register("Contact: <sip:%61@host.EXAMPLE;transport=tcp>\n");
  EXPECT_EQ(world.engine().registration_count(), 1u);
  Register("Contact: <sip:a@host.example>\n");
  EXPECT_EQ(world.engine().registration_count(), 2u);
}

TEST_F(RegistrarTest, ExpiryLimits) {
  const Sent brief = Register("Contact: <sip:a@h>;expires=9\n");
  EXPECT_EQ(brief.Status(), 423);
  EXPECT_EQ(brief.Header("Min-Expires"), "10");
  EXPECT_EQ(Register("Contact: <sip:a@h>;expires=10\n").Status(), 200);
  EXPECT_EQ(Register("Contact: <sip:a@h>;expires=999999999999999\n").Header("Contact"),
            "<sip:a@h>;expires=3600");
  EXPECT_EQ(Register("Contact: <sip:a@h>;expires=soon\n").Header("Contact"),
            "<sip:a@h>;expires=3600");
}

TEST_F(RegistrarTest, BindingsExpire) {
  Register("Contact: <sip:a@h>;expires=20\n");
  world.Advance(Duration::Milliseconds(19900));
  EXPECT_EQ(world.engine().registration_count(), 1u);
  world.Advance(Duration::Milliseconds(200));
  EXPECT_EQ(world.engine().registration_count(), 0u);
  EXPECT_TRUE(world.HasEvent("expired alice"));
}

TEST_F(RegistrarTest, StarRemovesAllAndOnlyThat) {
  Register("Contact: <sip:a@h1>, <sip:a@h2>\n");
  EXPECT_EQ(Register("Contact: *\n").Status(), 400);
  EXPECT_EQ(Register("Contact: *\nExpires: 1\n").Status(), 400);
  EXPECT_EQ(Register("Contact: *, <sip:a@h3>\nExpires: 0\n").Status(), 400);
  EXPECT_EQ(Register("Contact: <sip:a@h3>, *\nExpires: 0\n").Status(), 400);
  EXPECT_EQ(world.engine().registration_count(), 2u);
  EXPECT_EQ(Register("Contact: *\nExpires: 0\n").Status(), 200);
  EXPECT_EQ(world.engine().registration_count(), 0u);
}

TEST_F(RegistrarTest, OrderByCallIdAndCseq) {
  Register("Contact: <sip:a@h>;expires=100\n", "", 10);
  EXPECT_EQ(Register("Contact: <sip:a@h>;expires=0\n", "", 9).Status(), 500);
  EXPECT_EQ(Register("Contact: *\nExpires: 0\n", "", 9).Status(), 500);
  EXPECT_EQ(world.engine().registration_count(), 1u);
  // Another Call-ID is a restarted phone: its CSeq says nothing against the old one.
  EXPECT_EQ(Register("Contact: <sip:a@h>;expires=100\n", "", 1, "new").Status(), 200);
  EXPECT_EQ(Register("Contact: <sip:a@h>;expires=0\n", "", 2, "new").Status(), 200);
}

TEST_F(RegistrarTest, SameRequestAgainIsAnsweredAgainAndAMergedOneRefused) {
  Register("Contact: <sip:a@h>;expires=100\n", "", 5);
  --branch_;
  EXPECT_EQ(Register("Contact: <sip:a@h>;expires=100\n", "", 5).Status(), 200);
  EXPECT_EQ(Register("Contact: <sip:a@h>;expires=100\n", "", 5).Status(), 482);
}

TEST_F(RegistrarTest, AllOrNothing) {
  EXPECT_EQ(Register("Contact: <sip:a@h1>\nContact: <sip:a@h2>;expires=1\n").Status(), 423);
  EXPECT_EQ(world.engine().registration_count(), 0u);
}

TEST_F(RegistrarTest, ContactCountAtItsEdge) {
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(Register("Contact: <sip:a@h" + std::to_string(i) + ">\n").Status(), 200);
  }
  EXPECT_EQ(Register("Contact: <sip:a@h8>\n").Status(), 403);
  // One for another is fine.
  EXPECT_EQ(Register("Contact: <sip:a@h8>\nContact: <sip:a@h0>;expires=0\n").Status(), 200);
  EXPECT_EQ(world.engine().registration_count(), 8u);
}

TEST_F(RegistrarTest, LongContactsUseOverflowBlocksAndGiveThemBack) {
  const auto contact = [](size_t size) {
    return "Contact: <sip:a@h;x=" + std::string(size - 10, 'y') + ">\n";
  };
  EXPECT_EQ(Register(contact(kBindingTextInline)).Status(), 200);
  EXPECT_EQ(Register(contact(kBindingTextInline + 1)).Status(), 200);
  EXPECT_EQ(Register(contact(kBindingTextMax)).Status(), 200);
  EXPECT_EQ(Register(contact(kBindingTextMax + 1)).Status(), 400);
  EXPECT_EQ(Register("Contact: *\nExpires: 0\n").Status(), 200);
  EXPECT_EQ(world.engine().registration_count(), 0u);
}

TEST_F(RegistrarTest, PathIsKeptEchoedAndUsed) {
  const Sent sent = Register("Contact: <sip:a@10.0.0.5>\n",
                             "Supported: path\nPath: <sip:p1.example;lr>, <sip:p2.example;lr>\n");
  EXPECT_EQ(sent.Header("Path"), "<sip:p1.example;lr>, <sip:p2.example;lr>");
  world.AddAddress("p1.example", "192.0.2.77");
  Phone bob(world, "bob", "192.0.2.30:5060");
  bob.Send({.method = "MESSAGE", .uri = "sip:alice@example.com"});
  const Sent got = world.TakeTo(At("192.0.2.77:5060"));
  EXPECT_EQ(got.StartLine(), "MESSAGE sip:a@10.0.0.5 SIP/2.0");
  EXPECT_EQ(got.Header("Route"), "<sip:p1.example;lr>,<sip:p2.example;lr>");
}

TEST_F(RegistrarTest, InstanceAndRegIdIdentifyTheBinding) {
  const std::string instance = ";+sip.instance=\"<urn:uuid:1>\"";
  Register("Contact: <sip:a@h1>" + instance + ";reg-id=1\nSupported: outbound\n");
  Register("Contact: <sip:a@h2>" + instance + ";reg-id=1\nSupported: outbound\n");
  EXPECT_EQ(world.engine().registration_count(), 1u);
  const Sent sent = Register("Contact: <sip:a@h2>" + instance + ";reg-id=2\nSupported: outbound\n");
  EXPECT_EQ(world.engine().registration_count(), 2u);
  EXPECT_NE(sent.text.find(";+sip.instance=\"<urn:uuid:1>\";reg-id=2"), std::string::npos);
}

TEST_F(RegistrarTest, WhoMayBeRegisteredHere) {
  const auto with_to = [&](const std::string& to, const std::string& uri = "sip:example.com") {
    Phone::Spec spec{.method = "REGISTER", .uri = uri, .to = to};
    spec.call_id = "r" + std::to_string(++branch_);
    alice.Send(spec);
    return alice.Take().Status();
  };
  EXPECT_EQ(with_to("sip:alice@example.com"), 200);
  EXPECT_EQ(with_to("sip:alice@192.0.2.1"), 200);  // our address stands for the first domain
  EXPECT_EQ(with_to("sip:alice@other.example"), 404);
  EXPECT_EQ(with_to("sip:example.com"), 400);
  EXPECT_EQ(with_to("tel:+4412345"), 400);
  EXPECT_EQ(with_to("sip:" + std::string(kUserBytesMax, 'u') + "@example.com"), 200);
  EXPECT_EQ(with_to("sip:" + std::string(kUserBytesMax + 1, 'u') + "@example.com"), 400);
}

TEST_F(RegistrarTest, RequireIsHonoured) {
  EXPECT_EQ(Register("Contact: <sip:a@h>\n", "Require: path\n").Status(), 200);
  const Sent sent = Register("Contact: <sip:a@h>\n", "Require: path, unheard\n");
  EXPECT_EQ(sent.Status(), 420);
  EXPECT_EQ(sent.Header("Unsupported"), "unheard");
}

TEST_F(RegistrarTest, FullPoolsSay503AndEverythingHeldStays) {
  for (int i = 0; i < 32; ++i) {
    Phone user(world, "u" + std::to_string(i), "192.0.2.60:5060");
    ASSERT_EQ(user.Register().Status(), 200) << i;
  }
  Phone late(world, "late", "192.0.2.61:5060");
  const Sent refused = late.Register();
  EXPECT_EQ(refused.Status(), 503);
  EXPECT_EQ(refused.Header("Retry-After"), "10");
  EXPECT_TRUE(world.HasEvent("refused overload 503"));
  EXPECT_EQ(world.engine().registration_count(), 32u);
  Phone first(world, "u0", "192.0.2.60:5060");
  EXPECT_EQ(first.Register(3600, 2).Status(), 200);
  EXPECT_EQ(first.Register(0, 3).Status(), 200);
  EXPECT_EQ(late.Register(3600, 2).Status(), 200);
}

TEST_F(RegistrarTest, OperatorListsAndRemoves) {
  Register("Contact: <sip:a@h1>, <sip:a@h2>\n");
  uint32_t cursor = 0;
  RegistrationInfo info;
  int count = 0;
  while (world.engine().NextRegistration(cursor, info)) {
    EXPECT_EQ(info.user, "alice");
    EXPECT_EQ(info.domain, "example.com");
    ++count;
  }
  EXPECT_EQ(count, 2);
  EXPECT_EQ(world.engine().RemoveRegistrations("alice", "EXAMPLE.com"), 2u);
  EXPECT_EQ(world.engine().RemoveRegistrations("alice", "example.com"), 0u);
}

TEST_F(RegistrarTest, DomainThatGoesTakesItsBindingsAlong) {
  Register("Contact: <sip:a@h1>\n");
  Config config = World::DefaultConfig();
  config.domain_count = 0;
  config.AddDomain("new.example");
  config.AddDomain("example.com");
  world.engine().Apply(config);
  EXPECT_EQ(world.engine().registration_count(), 1u);
  config.domain_count = 1;
  world.engine().Apply(config);
  EXPECT_EQ(world.engine().registration_count(), 0u);
  EXPECT_TRUE(world.HasEvent("unregistered alice"));
}

TEST_F(RegistrarTest, MemoryOfOneRegistration) {
  RecordProperty("bytes", static_cast<int>(Registrar::bytes_per_registration()));
  EXPECT_LE(Registrar::bytes_per_registration(), 600u);
}

}  // namespace
}  // namespace gh::sip::test
