// Maintenance: who is there stays, and nobody else comes in; the end of all streams.
#include "firmware/xmpp/maintenance_time.h"

#include <gtest/gtest.h>

#include "tests/unit/xmpp/room_scene.h"

namespace gh::xmpp::test {
namespace {

struct InMaintenance : testing::Test {
  InMaintenance() {
    world.AddUser("alice");
    world.AddUser("bob");
    alice.LogIn("alice", "a");
    bob.LogIn("bob", "b");
  }
  void Set(bool draining) {
    Config config = World::MakeConfig();
    config.draining = draining;
    world.engine().Apply(config);
  }
  World world;
  Client alice{world, 1}, bob{world, 2};
};

TEST_F(InMaintenance, NobodyComesInWhoWasNotThere) {
  const std::string id =
      Between(alice.Say("<enable xmlns='urn:xmpp:sm:3' resume='true'/>"), "id='", "'");
  Set(true);
  Client other(world, 3);
  other.Header();
  other.Authenticate("bob", "secret");
  other.Header();
  const std::string got =
      other.Say("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
  EXPECT_TRUE(Has(got, "<system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>")) << got;
  EXPECT_EQ(world.events.back(), "refused: maintenance");
  // By the extensible profile: it may try again.
  Client third(world, 4);
  third.Header();
  const std::string first = "n=bob,r=abcdef";
  const std::string asked = third.Say(
      "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='SCRAM-SHA-256'><initial-response>" +
      Base64Of("n,," + first) +
      "</initial-response><bind xmlns='urn:xmpp:bind:0'/></authenticate>");
  const std::string server = FromBase64(Between(asked, "sasl:2'>", "<"));
  EXPECT_TRUE(
      Has(third.Say("<response xmlns='urn:xmpp:sasl:2'>" +
                    Base64Of(ScramProof("secret", "n,,", "", first, server)) + "</response>"),
          "temporary-auth-failure"));
  // Who was there, and whose connection breaks, is there still.
  alice.Break();
  bob.Say("<message to='alice@example.com/a' type='chat'><body>still</body></message>");
  Client back(world, 5);
  back.Header();
  back.Authenticate("alice", "secret");
  back.Header();
  const std::string resumed = back.Say("<resume xmlns='urn:xmpp:sm:3' h='0' previd='" + id + "'/>");
  EXPECT_TRUE(Has(resumed, "<resumed") && Has(resumed, "<body>still</body>")) << resumed;
  EXPECT_EQ(world.engine().bound_count(), 2u);
  Set(false);
  Client last(world, 6);
  last.LogIn("bob", "c");
  EXPECT_EQ(world.engine().bound_count(), 3u);
}

TEST_F(InMaintenance, AllAreClosedWhenTheTimeIsOver) {
  const std::string id =
      Between(alice.Say("<enable xmlns='urn:xmpp:sm:3' resume='true'/>"), "id='", "'");
  alice.Break();
  Set(true);
  EXPECT_EQ(world.engine().CloseAll("maintenance"), 2u);
  EXPECT_TRUE(Has(bob.Take(), "system-shutdown"));
  EXPECT_EQ(world.engine().bound_count(), 0u);
  Client back(world, 3);
  back.Header();
  back.Authenticate("alice", "secret");
  back.Header();
  EXPECT_TRUE(
      Has(back.Say("<resume xmlns='urn:xmpp:sm:3' h='0' previd='" + id + "'/>"), "item-not-found"));
  // And when it is over they come again.
  Set(false);
  Client again(world, 4);
  again.LogIn("bob", "b");
}

TEST(MaintenanceIsOver, OnceAndOnlyWhereATimeIsSet) {
  MaintenanceTime time;
  const Instant start{1'000'000'000};
  const auto at = [&](int64_t seconds, bool is_on = true, int64_t minutes = 5) {
    return time.IsOver(is_on, Duration::Minutes(minutes), start + Duration::Seconds(seconds));
  };
  EXPECT_FALSE(at(0, false));
  EXPECT_FALSE(at(10));
  EXPECT_FALSE(at(309));
  EXPECT_TRUE(at(310));
  EXPECT_FALSE(at(320));
  EXPECT_FALSE(at(330, false));  // and from the beginning
  EXPECT_FALSE(at(700));
  EXPECT_FALSE(at(999));
  EXPECT_TRUE(at(1000));
  EXPECT_FALSE(at(1010, false));
  EXPECT_FALSE(at(1020, true, 0));
  EXPECT_FALSE(at(99'999, true, 0));
  EXPECT_TRUE(at(100'000));  // the operator sets one
}

}  // namespace
}  // namespace gh::xmpp::test
