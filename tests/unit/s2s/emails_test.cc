// E-mail addresses as federated addresses (EMAIL-001 to EMAIL-006, EMAIL-012 to EMAIL-016).
#include <gtest/gtest.h>

#include "tests/unit/s2s/pair.h"

namespace gh::s2s::test {
namespace {

using xmpp::test::Client;

// example.com, whose alice goes by alice.smith@mail.example, and other.org with bob.
struct Named : Pair {
  explicit Named(const char* email = "alice.smith@mail.example") {
    account = here.world().AddUser("alice");
    here.world().AddUser("carol");
    EXPECT_TRUE(here.world().engine().directory().SetEmail(*account, email).ok());
    net.hosts["mail.example"] = net.hosts["rooms.example.com"] = "192.0.2.1";
    xmpp::Config rooms = there.world().engine().config();
    rooms.rooms.hosts[0].Assign("rooms.other.org");
    there.world().engine().Apply(rooms);
    here.certificate = {"example.com", "mail.example", "rooms.example.com"};
    here.config.emails = true;
    here.Apply();
    LogIn();
  }
  std::string BobSays(const std::string& text) {
    std::string got = bob->Say(text);
    net.Run();
    got += bob->Take();
    Commit();
    return got + bob->Take();
  }
  std::string AliceSays(const std::string& text) {
    std::string got = alice->Say(text);
    net.Run();
    Commit();
    return got + alice->Take();
  }

  xmpp::Account* account = nullptr;
};

TEST(Emails, StandForUsersTowardsOtherServers) {
  Named named;
  named.AliceSays("<message to='bob@other.org' type='chat'><body>one</body></message>");
  const std::string got = named.bob->Take();
  EXPECT_TRUE(Has(got, "from='alice.smith@mail.example/a'")) << got;
  EXPECT_FALSE(Has(got, "alice@example.com")) << got;
  EXPECT_EQ(named.here.events, std::vector<std::string>{"to other.org by certificate"});
  EXPECT_EQ(named.BobSays("<message to='Alice.Smith@mail.example/a' type='chat'>"
                          "<body>two</body></message>"),
            "");
  const std::string back = named.alice->Take();
  EXPECT_TRUE(Has(back, "<body>two</body>") && Has(back, "to='alice@example.com/a'")) << back;
}

TEST(Emails, WhoHasNoneGoesByHisName) {
  Named named;
  Client carol(named.here.world(), 2);
  carol.LogIn("carol", "c");
  carol.Say("<presence/>");
  carol.Say("<message to='bob@other.org' type='chat'><body>mine</body></message>");
  named.net.Run();
  EXPECT_TRUE(Has(named.bob->Take(), "from='carol@example.com/c'"));
  EXPECT_EQ(
      named.BobSays("<message to='carol@example.com' type='chat'><body>ours</body></message>"), "");
  EXPECT_TRUE(Has(carol.Take(), "<body>ours</body>"));
}

TEST(Emails, TheOtherNameIsDropped) {
  Named named;
  EXPECT_EQ(named.BobSays("<message to='alice@example.com' type='chat' id='m'>"
                          "<body>no</body></message>"),
            "");
  EXPECT_EQ(named.BobSays("<presence to='alice@example.com' type='subscribe'/>"), "");
  EXPECT_EQ(named.BobSays("<iq to='alice@example.com/a' type='get' id='i'>"
                          "<ping xmlns='urn:xmpp:ping'/></iq>"),
            "");
  EXPECT_EQ(named.alice->Take(), "");
  EXPECT_EQ(named.here.counters().dropped, 3u);
  EXPECT_EQ(named.here.events.back(), "dropped other.org alice@example.com");
  // Off: as if there were no addresses.
  named.here.config.emails = false;
  named.here.Apply();
  named.BobSays("<message to='alice@example.com' type='chat'><body>yes</body></message>");
  EXPECT_TRUE(Has(named.alice->Take(), "<body>yes</body>"));
}

TEST(Emails, MayBeOfTheDomainItself) {
  Named named("alice.smith@example.com");
  named.AliceSays("<message to='bob@other.org' type='chat'><body>one</body></message>");
  EXPECT_TRUE(Has(named.bob->Take(), "from='alice.smith@example.com/a'"));
  named.BobSays("<message to='alice.smith@example.com' type='chat'><body>two</body></message>");
  EXPECT_TRUE(Has(named.alice->Take(), "<body>two</body>"));
  named.BobSays("<message to='alice@example.com' type='chat'><body>no</body></message>");
  EXPECT_EQ(named.alice->Take(), "");
}

TEST(Emails, PresenceCrossesByThem) {
  Named named;
  named.BobSays("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>");
  named.BobSays("<presence to='alice.smith@mail.example' type='subscribe'/>");
  const std::string asked = named.alice->Take();
  EXPECT_TRUE(Has(asked, "from='bob@other.org'") && Has(asked, "type='subscribe'")) << asked;
  named.AliceSays("<presence to='bob@other.org' type='subscribed'/>");
  const std::string got = named.bob->Take();
  EXPECT_TRUE(Has(got, "subscription='to'") && Has(got, "jid='alice.smith@mail.example'")) << got;
  EXPECT_TRUE(Has(got, "from='alice.smith@mail.example/a'")) << got;
  named.AliceSays("<presence><show>away</show></presence>");
  const std::string away = named.bob->Take();
  EXPECT_TRUE(Has(away, "from='alice.smith@mail.example/a'") && Has(away, "away")) << away;
  EXPECT_FALSE(Has(got + away, "alice@example.com'")) << got;
}

// An occupant elsewhere of a room that shows addresses; invitations; the room's lists.
TEST(Emails, RoomsShowThem) {
  Named named;
  const std::string room = "lab@rooms.example.com";
  named.AliceSays("<presence to='" + room +
                  "/al'><x xmlns='http://jabber.org/protocol/muc'/>"
                  "</presence>");
  named.AliceSays("<iq to='" + room +
                  "' type='set' id='c'><query "
                  "xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' "
                  "type='submit'><field var='muc#roomconfig_whois'><value>anyone</value></field>"
                  "</x></query></iq>");
  named.AliceSays("<message to='" + room +
                  "'><x xmlns='http://jabber.org/protocol/muc#user'>"
                  "<invite to='bob@other.org'/></x></message>");
  const std::string invited = named.bob->Take();
  EXPECT_TRUE(Has(invited, "<invite from='alice.smith@mail.example")) << invited;
  named.AliceSays("<iq to='" + room +
                  "' type='set' id='o'><query "
                  "xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='owner' "
                  "jid='bob@other.org'/></query></iq>");
  std::string got = named.BobSays("<presence to='" + room +
                                  "/bo'><x "
                                  "xmlns='http://jabber.org/protocol/muc'/></presence>");
  EXPECT_TRUE(Has(got, "jid='alice.smith@mail.example/a'")) << got;
  got += named.BobSays("<iq to='" + room +
                       "' type='get' id='l'><query "
                       "xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='owner'/>"
                       "</query></iq>");
  EXPECT_FALSE(Has(got, "alice@example.com")) << got;
  EXPECT_TRUE(Has(got, "jid='alice.smith@mail.example'")) << got;
  // By her address she is a member, not an owner, from now on.
  EXPECT_TRUE(Has(named.BobSays("<iq to='" + room +
                                "' type='set' id='s'><query "
                                "xmlns='http://jabber.org/protocol/muc#admin'><item "
                                "affiliation='member' jid='alice.smith@mail.example'/></query>"
                                "</iq>"),
                  "id='s'"));
  EXPECT_TRUE(Has(named.alice->Take(), "affiliation='member'"));
}

TEST(Emails, TheirDomainAnswersForItself) {
  Named named;
  const std::string got = named.BobSays(
      "<iq to='mail.example' type='get' id='d'><query "
      "xmlns='http://jabber.org/protocol/disco#info'/></iq>");
  EXPECT_TRUE(Has(got, "from='mail.example'") && Has(got, "category='server'")) << got;
  const std::string nobody = named.BobSays(
      "<message to='nobody@mail.example' type='chat' id='n'><body>x</body></message>");
  EXPECT_TRUE(Has(nobody, "from='nobody@mail.example'") && Has(nobody, "service-unavailable"))
      << nobody;
  // One that no user is of, which the administrator serves.
  named.net.hosts["old.example"] = "192.0.2.1";
  named.here.certificate.insert("old.example");
  named.here.config.email_domains[0].Assign("old.example");
  named.here.config.email_domain_count = 1;
  named.here.Apply();
  EXPECT_TRUE(Has(named.BobSays("<iq to='old.example' type='get' id='p'>"
                                "<ping xmlns='urn:xmpp:ping'/></iq>"),
                  "from='old.example'"));
}

// What could not be sent comes back to her, whatever name it went out by.
TEST(Emails, ErrorsFindTheirWayBack) {
  Named named;
  const std::string got =
      named.AliceSays("<message to='eve@gone.example' type='chat' id='e'><body>x</body></message>");
  EXPECT_TRUE(Has(got, "id='e'") && Has(got, "remote-server-not-found")) << got;
}

TEST(Emails, AddressesAndTheirDomainsAreKept) {
  Site site{*std::make_unique<Net>(), "example.com", "192.0.2.1"};
  xmpp::Directory& directory = site.world().engine().directory();
  xmpp::Account* alice = site.world().AddUser("alice");
  xmpp::Account* bob = site.world().AddUser("bob");
  ASSERT_TRUE(directory.SetEmail(*alice, "a@one.example").ok());
  EXPECT_EQ(directory.SetEmail(*bob, "a@one.example").code(), ErrorCode::kAlreadyExists);
  ASSERT_TRUE(directory.SetEmail(*bob, "b@one.example").ok());
  ASSERT_EQ(directory.email_domains().size(), 1u);
  EXPECT_EQ(directory.email_domains()[0].users, 2u);
  EXPECT_EQ(directory.FindEmail("b@one.example"), bob);
  EXPECT_TRUE(site.world().engine().RemoveUser("bob@example.com").ok());
  EXPECT_EQ(directory.FindEmail("b@one.example"), nullptr);
  EXPECT_EQ(directory.email_domains()[0].users, 1u);
  ASSERT_TRUE(directory.SetEmail(*alice, "").ok());
  EXPECT_TRUE(directory.email_domains().empty());
  for (const char* bad : {"a@-b.example", "a@abc.1om", "a@b..example", "a@under_score.example",
                          "one.example", "a@b.example/r", "a@b.example."}) {
    EXPECT_FALSE(directory.SetEmail(*alice, bad).ok()) << bad;
  }
  EXPECT_TRUE(directory.SetEmail(*alice, "a@x-1.2b.example").ok());
}

TEST(Emails, HaveAsManyDomainsAsThereIsRoomFor) {
  xmpp::test::World world(40, 4);
  for (uint32_t i = 0; i <= xmpp::kEmailDomainMax; ++i) {
    const std::string name = "u" + std::to_string(i);
    const auto set = world.engine().directory().SetEmail(*world.AddUser(name),
                                                         name + "@d" + std::to_string(i) + ".net");
    EXPECT_EQ(set.ok(), i < xmpp::kEmailDomainMax) << i;
  }
}

}  // namespace
}  // namespace gh::s2s::test
