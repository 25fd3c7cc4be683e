// Old mistakes of other servers that no other test is about (the table in firmware/xmpp/README.md).
#include <gtest/gtest.h>

#include "tests/unit/xmpp/world.h"

namespace gh::xmpp::test {
namespace {

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

struct Lessons : testing::Test {
  Lessons() {
    world.AddUser("alice");
    world.AddUser("bob");
    alice.LogIn("alice", "a");
    bob.LogIn("bob", "b");
    bob.Say("<presence/>");
  }
  World world{World::FewCapacity(), World::FewBytes()};
  Client alice{world, 1}, bob{world, 2};
};

// A few bytes that become many (the XSF's notice of 2014), and what compression tells (CRIME).
TEST_F(Lessons, NothingIsCompressed) {
  const std::string ask =
      "<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method></compress>";
  Client stranger(world, 3);
  EXPECT_FALSE(Has(stranger.Header(), "compress"));
  EXPECT_TRUE(Has(stranger.Say(ask), "<not-authorized"));
  EXPECT_TRUE(world.closed[3]);
  EXPECT_FALSE(Has(alice.Say(ask), "<compressed"));
}

// CVE-2017-5589 and its like: what only a server may say reaches nobody from a client.
TEST_F(Lessons, CarbonsOfOthersAreDropped) {
  for (const char* direction : {"received", "sent"}) {
    alice.Say("<message to='bob@example.com/b' type='chat'><body>x</body><" +
              std::string(direction) +
              " xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>"
              "<message xmlns='jabber:client' from='boss@example.com'><body>forged</body>"
              "</message></forwarded></" +
              direction + "></message>");
    const std::string got = bob.Take();
    EXPECT_TRUE(Has(got, "<body>x</body>")) << got;
    EXPECT_FALSE(Has(got, "forged")) << got;
  }
}

TEST_F(Lessons, NobodyPushesAnothersRoster) {
  const std::string got = alice.Say(
      "<iq type='set' id='p' to='bob@example.com/b'><query xmlns='jabber:iq:roster'>"
      "<item jid='eve@example.com' subscription='both'/></query></iq>");
  EXPECT_EQ(bob.Take(), "");
  EXPECT_TRUE(Has(got, "type='error'")) << got;
}

TEST_F(Lessons, NobodySpeaksForAnother) {
  const std::string got = alice.Say(
      "<message from='boss@example.com/x' to='bob@example.com' type='chat'><body>x</body>"
      "</message>");
  EXPECT_TRUE(Has(got, "<invalid-from"));
  EXPECT_EQ(bob.Take(), "");
}

// Every copy of it, not the first alone.
TEST_F(Lessons, IdsAndDelaysOfOursAreOursToGive) {
  const std::string forged =
      "<stanza-id xmlns='urn:xmpp:sid:0' by='bob@example.com' id='forged'/>"
      "<delay xmlns='urn:xmpp:delay' from='example.com' stamp='2001-01-01T00:00:00Z'/>";
  alice.Say("<message to='bob@example.com' type='chat'><body>x</body>" + forged + forged +
            "</message>");
  const std::string got = bob.Take();
  EXPECT_TRUE(Has(got, "<body>x</body>")) << got;
  EXPECT_FALSE(Has(got, "forged")) << got;
  EXPECT_FALSE(Has(got, "2001-01-01")) << got;
}

}  // namespace
}  // namespace gh::xmpp::test
