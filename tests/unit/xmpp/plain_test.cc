// SASL PLAIN (RFC 4616), and subscriptions that nobody is asked about.
#include <gtest/gtest.h>

#include "tests/unit/xmpp/world.h"

namespace gh::xmpp::test {
namespace {

using namespace std::string_literals;

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::string Auth(const std::string& message) {
  return "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" + Base64Of(message) +
         "</auth>";
}

struct Plain : testing::Test {
  Plain() {
    world.AddUser("alice");
    world.AddUser("bob");
    Config config = World::MakeConfig();
    config.plain = config.auto_authorization = true;
    world.engine().Apply(config);
  }
  World world{World::FewCapacity(), World::FewBytes()};
};

TEST_F(Plain, ThePasswordIsTaken) {
  Client client(world, 1);
  EXPECT_TRUE(Has(client.Header(), "<mechanism>PLAIN</mechanism></mechanisms>"));
  EXPECT_TRUE(Has(client.Say(Auth("\0alice\0secret"s)), "<success"));
  EXPECT_TRUE(Has(client.Header(), "<bind"));
}

TEST_F(Plain, NothingElseIs) {
  const struct {
    std::string message;
    const char* error;
  } cases[] = {
      {"\0alice\0wrong"s, "not-authorized"},
      {"\0nobody\0secret"s, "not-authorized"},
      {"\0\0secret"s, "not-authorized"},
      {"\0alice\0"s, "not-authorized"},
      {"\0alice\0"s + std::string(kPasswordMax + 1, 'x'), "not-authorized"},
      {"bob@example.com\0alice\0secret"s, "invalid-authzid"},
      {"alice"s, "malformed-request"},
      {"\0alice\0secret\0more"s, "malformed-request"},
  };
  uint32_t number = 1;
  for (const auto& each : cases) {
    Client client(world, number++);
    client.Header();
    EXPECT_TRUE(Has(client.Say(Auth(each.message)), each.error)) << each.message;
    client.Break();
  }
  EXPECT_EQ(world.engine().counters().logins, 0u);
}

TEST_F(Plain, ItIsOffUnlessAskedForAndNeverWithoutTls) {
  Client bare(world, 1, false);
  EXPECT_FALSE(Has(bare.Header(), "PLAIN"));
  EXPECT_TRUE(Has(bare.Say(Auth("\0alice\0secret"s)), "policy-violation"));
  world.engine().Apply(World::MakeConfig());
  Client client(world, 2);
  EXPECT_FALSE(Has(client.Header(), "PLAIN"));
  EXPECT_TRUE(Has(client.Say(Auth("\0alice\0secret"s)), "invalid-mechanism"));
}

TEST_F(Plain, OursSeeEachOtherWithoutBeingAsked) {
  Client alice(world, 1), bob(world, 2);
  alice.LogIn("alice", "a");
  bob.LogIn("bob", "b");
  bob.Say("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>");
  bob.Say("<presence><status>here</status></presence>");
  alice.Say("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>");
  alice.Say("<presence/>");
  const std::string got = alice.Say("<presence type='subscribe' to='bob@example.com'/>");
  EXPECT_TRUE(Has(got, "subscription='to'")) << got;
  EXPECT_TRUE(Has(got, "<status>here</status>")) << got;
  const std::string asked = bob.Take();
  EXPECT_FALSE(Has(asked, "type='subscribe'")) << asked;
  EXPECT_TRUE(Has(asked, "subscription='from'")) << asked;
}

TEST_F(Plain, WhoIsBlockedSeesNothing) {
  Client alice(world, 1), bob(world, 2);
  alice.LogIn("alice", "a");
  bob.LogIn("bob", "b");
  bob.Say("<presence/>");
  bob.Say(
      "<iq type='set' id='x'><block xmlns='urn:xmpp:blocking'><item jid='alice@example.com'/>"
      "</block></iq>");
  const std::string got = alice.Say("<presence type='subscribe' to='bob@example.com'/>");
  EXPECT_FALSE(Has(got, "subscribed")) << got;
}

}  // namespace
}  // namespace gh::xmpp::test
