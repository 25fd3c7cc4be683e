// What says or shows something that must not be lost leaves when the disk has it; nobody else
// waits.
#include <gtest/gtest.h>

#include "tests/unit/xmpp/world.h"

namespace gh::xmpp::test {
namespace {

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

constexpr const char* kPing =
    "<iq type='get' id='ping' to='example.com'><ping xmlns='urn:xmpp:ping'/></iq>";
constexpr const char* kAsk = "<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>";

class Hold : public testing::Test {
 public:
  Hold() {
    for (const char* name : {"alice", "bob", "carol"}) {
      world.AddUser(name);
    }
    alice.LogIn("alice", "a");
    bob.LogIn("bob", "b");
    bob.Say("<presence/>");
    world.Commit();
    world.settle = nullptr;  // a slow disk
  }
  World world;
  Client alice{world, 1}, bob{world, 2};
};

TEST_F(Hold, AnArchivesPageWaitsAndNobodyElse) {
  alice.Say("<message type='chat' to='bob@example.com'><body>one</body></message>");
  EXPECT_TRUE(Has(bob.Take(), "<body>one<"));
  EXPECT_EQ(alice.Say(kAsk), "");
  EXPECT_TRUE(world.engine().is_holding());
  EXPECT_EQ(alice.Say(kPing), "");  // answers keep their order
  EXPECT_TRUE(Has(bob.Say(kPing), "id='ping'"));
  EXPECT_TRUE(
      Has(alice.Say("<message type='chat' to='bob@example.com'><body>two</body></message>") +
              bob.Take(),
          "<body>two<"));
  world.Commit();
  const std::string got = alice.Take();
  EXPECT_TRUE(Has(got, "<body>one<")) << got;
  EXPECT_FALSE(Has(got, "<body>two<"));
  EXPECT_TRUE(Has(got, "<fin"));
  EXPECT_LT(got.find("<fin"), got.find("id='ping'"));
  EXPECT_FALSE(world.engine().is_holding());
  EXPECT_TRUE(Has(alice.Say(kPing), "id='ping'"));
}

// The commit that it waits for was under way before the last message came: it waits for the next.
TEST_F(Hold, APageThatIsDurableDoesNotWait) {
  alice.Say("<message type='chat' to='bob@example.com'><body>one</body></message>");
  world.Commit();
  EXPECT_TRUE(Has(alice.Say(kAsk), "<body>one<"));
}

TEST_F(Hold, ARoomsPageWaits) {
  const std::string room = std::string("lab@") + kRooms;
  alice.Say("<presence to='" + room +
            "/al'><x xmlns='http://jabber.org/protocol/muc'/></presence>");
  alice.Say("<iq type='set' id='o' to='" + room +
            "'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' "
            "type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig"
            "</value></field><field var='muc#roomconfig_persistentroom'><value>1</value></field>"
            "</x></query></iq>");
  world.Commit();
  alice.Take();
  EXPECT_TRUE(
      Has(alice.Say("<message type='groupchat' to='" + room + "'><body>in it</body></message>"),
          "in it"));
  const std::string ask =
      "<iq type='set' id='q' to='" + room + "'><query xmlns='urn:xmpp:mam:2'/></iq>";
  EXPECT_EQ(alice.Say(ask), "");
  world.Commit();
  const std::string got = alice.Take();
  EXPECT_TRUE(Has(got, "in it") && Has(got, "<fin")) << got;
}

TEST_F(Hold, ResumptionSaysWhatIsOnTheDisk) {
  const std::string id =
      Between(alice.Say("<enable xmlns='urn:xmpp:sm:3' resume='true'/>"), "id='", "'");
  ASSERT_FALSE(id.empty());
  alice.Say("<message type='chat' to='carol@example.com'><body>waits</body></message>");
  alice.Break();
  Client back(world, 3);
  back.Header();
  back.Authenticate("alice", "secret");
  back.Header();
  EXPECT_EQ(back.Say("<resume xmlns='urn:xmpp:sm:3' h='0' previd='" + id + "'/>"), "");
  world.Commit();
  EXPECT_TRUE(Has(back.Take(), "<resumed xmlns='urn:xmpp:sm:3' previd='" + id + "' h='1'/>"));
}

// A connection that ends while its answers wait takes them along.
TEST_F(Hold, WhoGoesMeanwhileIsForgotten) {
  alice.Say("<message type='chat' to='bob@example.com'><body>one</body></message>");
  EXPECT_EQ(alice.Say(kAsk), "");
  alice.Break();
  world.Commit();
  EXPECT_EQ(alice.Take(), "");
  EXPECT_FALSE(world.engine().is_holding());
}

}  // namespace
}  // namespace gh::xmpp::test
