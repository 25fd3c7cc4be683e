// What users of two servers publish, told from either to the other.
#include <gtest/gtest.h>

#include "tests/unit/s2s/site.h"

namespace gh::s2s::test {
namespace {

using xmpp::test::Between;
using xmpp::test::Client;

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Friends across two servers, whose clients wish for nicks.
struct Friends {
  explicit Friends(const std::string& email = "") {
    Add(here, "alice", alice);
    Add(there, "bob", bob);
    if (!email.empty()) {
      auto& directory = here.world().engine().directory();
      EXPECT_TRUE(directory.SetEmail(*directory.Find("alice@example.com"), email).ok());
      net.hosts["mail.example"] = "192.0.2.1";
      here.certificate = {"example.com", "mail.example"};
      here.config.emails = true;
      here.Apply();
    }
    const std::string her = email.empty() ? "alice@example.com" : email;
    Befriend(*alice, *bob, her, "bob@other.org");
    Befriend(*bob, *alice, "bob@other.org", her);
  }
  static void Add(Site& site, const std::string& name, std::unique_ptr<Client>& client) {
    site.world().AddUser(name);
    client = std::make_unique<Client>(site.world(), 1);
    client->LogIn(name, "x");
    client->Say("<presence/>");
  }
  void Befriend(Client& asks, Client& says, const std::string& who, const std::string& whom) {
    asks.Say("<presence to='" + whom + "' type='subscribe'/>");
    net.Run();
    says.Say("<presence to='" + who + "' type='subscribed'/>");
    net.Run();
  }
  std::string Do(Client& does, const std::string& text, Client& hears) {
    hears.Take();
    does.Say(text);
    net.Run();
    return hears.Take();
  }
  // The client answers whoever asks what its hash stands for.
  std::string Wish(Client& wishes) {
    const std::string asked = Do(wishes,
                                 "<presence><c xmlns='http://jabber.org/protocol/caps' "
                                 "hash='sha-1' node='n' ver='x'/></presence>",
                                 wishes);
    std::string rest = asked;
    for (size_t at = rest.find("<iq "); at != rest.npos; at = rest.find("<iq ")) {
      rest = rest.substr(at + 4);
      wishes.Say("<iq type='result' id='" + Between(rest, "id='", "'") + "' to='" +
                 Between(rest, "from='", "'") +
                 "'><query xmlns='http://jabber.org/protocol/disco#info'><feature "
                 "var='http://jabber.org/protocol/nick+notify'/></query></iq>");
    }
    net.Run();
    return wishes.Take();
  }
  static std::string Nick(const std::string& nick) {
    return "<iq type='set' id='p'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish "
           "node='http://jabber.org/protocol/nick'><item id='n'><nick "
           "xmlns='http://jabber.org/protocol/nick'>" +
           nick + "</nick></item></publish></pubsub></iq>";
  }

  Net net;
  Site here{net, "example.com", "192.0.2.1"};
  Site there{net, "other.org", "192.0.2.2"};
  std::unique_ptr<Client> alice, bob;
};

TEST(Published, GoesFromEitherServerToTheOther) {
  Friends both;
  both.Do(*both.alice, Friends::Nick("Al"), *both.bob);
  std::string got = both.Wish(*both.bob);
  EXPECT_TRUE(Has(got, "from='alice@example.com' to='bob@other.org/x'")) << got;
  EXPECT_TRUE(Has(got, "xmlns='http://jabber.org/protocol/nick'>Al</nick>")) << got;
  EXPECT_TRUE(Has(both.Do(*both.alice, Friends::Nick("Ally"), *both.bob), ">Ally</nick>"));
  EXPECT_EQ(both.Do(*both.bob, Friends::Nick("Bo"), *both.alice), "");
  got = both.Wish(*both.alice);
  EXPECT_TRUE(Has(got, "from='bob@other.org' to='alice@example.com/x'")) << got;
  EXPECT_TRUE(Has(both.Do(*both.bob, Friends::Nick("Bob"), *both.alice), ">Bob</nick>"));
  // He goes, and is back: his hash is a lie, so he is asked again.
  both.Do(*both.bob, "<presence type='unavailable'/>", *both.alice);
  EXPECT_EQ(both.here.world().engine().client_away_count(), 0u);
  EXPECT_EQ(both.Do(*both.alice, Friends::Nick("Alice"), *both.bob), "");
  EXPECT_TRUE(Has(both.Wish(*both.bob), ">Alice</nick>"));
}

std::string Ask(const std::string& type, const std::string& inside) {
  return "<iq type='" + type +
         "' id='s' to='alice@example.com'><pubsub xmlns='http://jabber.org/protocol/pubsub'>" +
         inside + "</pubsub></iq>";
}

// His client wishes for nothing; his server tells her news to him by his bare address.
TEST(Published, IsSubscribedToAcrossServers) {
  Friends both;
  const std::string node = "node='http://jabber.org/protocol/nick'";
  both.Do(*both.alice, Friends::Nick("Al"), *both.bob);
  const std::string mine =
      both.Do(*both.bob, Ask("set", "<subscribe " + node + " jid='bob@other.org'/>"), *both.bob);
  EXPECT_TRUE(Has(mine, "jid='bob@other.org' subscription='subscribed'")) << mine;
  EXPECT_TRUE(Has(mine, "to='bob@other.org' type='headline'") && Has(mine, ">Al</nick>")) << mine;
  EXPECT_TRUE(Has(both.Do(*both.alice, Friends::Nick("Ally"), *both.bob), ">Ally</nick>"));
  // He wishes for it too: the last is shown once more, and what is new once.
  both.Wish(*both.bob);
  const std::string told = both.Do(*both.alice, Friends::Nick("Alice"), *both.bob);
  EXPECT_EQ(told.find(">Alice</nick>"), told.rfind(">Alice</nick>")) << told;
  EXPECT_TRUE(Has(told, ">Alice</nick>"));
  EXPECT_TRUE(Has(both.Do(*both.bob, Ask("get", "<subscriptions/>"), *both.bob),
                  "<subscription " + node + " jid='bob@other.org' subscription='subscribed'/>"));
  EXPECT_TRUE(Has(
      both.Do(*both.bob, Ask("set", "<unsubscribe " + node + " jid='bob@other.org'/>"), *both.bob),
      "type='result'"));
  EXPECT_EQ(both.here.world().engine().items().entity_count(), 0u);
}

// Whoever has an e-mail address publishes by it.
TEST(Published, GoesByTheEmailAddress) {
  Friends both("alice.smith@mail.example");
  both.Do(*both.alice, Friends::Nick("Al"), *both.bob);
  const std::string got = both.Wish(*both.bob);
  EXPECT_TRUE(Has(got, "from='alice.smith@mail.example' to='bob@other.org/x' type='headline'"))
      << got;
  EXPECT_TRUE(Has(both.Do(*both.alice, Friends::Nick("Ally"), *both.bob), ">Ally</nick>"));
}

}  // namespace
}  // namespace gh::s2s::test
