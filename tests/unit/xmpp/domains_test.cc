// Several domains: who logs in is of the domain his stream is for, and users of all of them talk.
#include <gtest/gtest.h>

#include "tests/unit/xmpp/world.h"

namespace gh::xmpp::test {
namespace {

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// alice of either domain, with a password of her own, and bob of the second.
struct Domains : testing::Test {
  Domains() {
    Config config = World::MakeConfig();
    config.domains[1].Assign("example.net");
    config.domain_count = 2;
    world.engine().Apply(config);
    world.AddUser("alice");
    Add("alice@example.net", "another");
    Add("bob@example.net", "secret");
  }
  void Add(const std::string& address, const std::string& password) {
    ASSERT_TRUE(
        world.engine().directory().Add(address, *MakeVerifier(password, 16, world.random())).ok());
  }
  World world{World::FewCapacity(), World::FewBytes()};
};

TEST_F(Domains, TheSameNameInTwoIsTwoUsers) {
  Client wrong(world, 1);
  EXPECT_TRUE(Has(wrong.Header("example.net"), " from='example.net'"));
  EXPECT_TRUE(Has(wrong.Authenticate("alice", "secret"), "<not-authorized"));
  EXPECT_TRUE(Has(wrong.Authenticate("alice", "another"), "<success"));
  wrong.Header("example.net");
  EXPECT_TRUE(Has(wrong.Say("<iq type='set' id='b'><bind "
                            "xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"),
                  "<jid>alice@example.net/"));
  wrong.Say("<presence/>");
  Client alice(world, 2), bob(world, 3);
  alice.LogIn("alice", "a");
  bob.LogIn("bob", "b", "example.net");
  alice.Say("<presence/>");
  wrong.Take();
  bob.Say("<message to='alice@example.com' type='chat'><body>to one</body></message>");
  EXPECT_TRUE(Has(alice.Take(), "<body>to one</body>"));
  EXPECT_EQ(wrong.Take(), "");
  // bob of the first domain is nobody.
  EXPECT_TRUE(Has(alice.Say("<message to='bob@example.com' type='chat' id='m'><body>x</body>"
                            "</message>"),
                  "<service-unavailable"));
  Client stranger(world, 4);
  EXPECT_TRUE(Has(stranger.Header("example.org"), "<host-unknown"));
}

TEST_F(Domains, UsersOfTwoTalkAndSeeEachOther) {
  Client alice(world, 1), bob(world, 2);
  alice.LogIn("alice", "a");
  bob.LogIn("bob", "b", "example.net");
  for (Client* each : {&alice, &bob}) {
    each->Say("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq><presence/>");
  }
  alice.Say("<presence to='bob@example.net' type='subscribe'/>");
  EXPECT_TRUE(Has(bob.Take(), "type='subscribe'"));
  bob.Say("<presence to='alice@example.com' type='subscribed'/>");
  const std::string seen = alice.Take();
  EXPECT_TRUE(Has(seen, "from='bob@example.net/b'")) << seen;
  alice.Say("<message to='bob@example.net' type='chat'><body>across</body></message>");
  const std::string got = bob.Take();
  EXPECT_TRUE(Has(got, "from='alice@example.com/a'") && Has(got, "across")) << got;
  // He goes, and what he is written waits for him.
  bob.Say("</stream:stream>");
  alice.Say("<message to='bob@example.net' type='chat'><body>waits</body></message>");
  Client again(world, 3);
  again.LogIn("bob", "b", "example.net");
  EXPECT_TRUE(Has(again.Say("<presence/>"), "<body>waits</body>"));
}

TEST_F(Domains, OneThatIsTakenAwayLeavesTheOther) {
  Client bob(world, 1);
  bob.LogIn("bob", "b", "example.net");
  world.engine().Apply(World::MakeConfig());
  Client alice(world, 2), other(world, 3);
  EXPECT_TRUE(Has(other.Header("example.net"), "<host-unknown"));
  alice.LogIn("alice", "a");
}

}  // namespace
}  // namespace gh::xmpp::test
