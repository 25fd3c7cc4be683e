// Privacy lists (XEP-0016), and invisibility by them (XEP-0126): the examples of both, the edges,
// what survives a restart.
#include <gtest/gtest.h>

#include "tests/unit/xmpp/room_scene.h"

namespace gh::xmpp::test {
namespace {

// Records what goes to other servers.
struct Away final : Remote {
  Taken SendRemote(std::string_view, std::string_view, std::span<const uint8_t> stanza) override {
    sent += std::string(AsText(stanza)) + "\n";
    return Taken::kYes;
  }
  std::string Take() { return std::exchange(sent, ""); }
  std::string sent;
};

std::string Set(const std::string& inside) {
  return "<iq type='set' id='s'><query xmlns='jabber:iq:privacy'>" + inside + "</query></iq>";
}

std::string Get(const std::string& inside = "") {
  return "<iq type='get' id='g'><query xmlns='jabber:iq:privacy'>" + inside + "</query></iq>";
}

std::string List(const std::string& name, const std::string& items) {
  return Set("<list name='" + name + "'>" + items + "</list>");
}

std::string Active(const std::string& name) { return Set("<active name='" + name + "'/>"); }
std::string Default(const std::string& name) { return Set("<default name='" + name + "'/>"); }

std::string Item(const std::string& who, const std::string& action, const std::string& order,
                 const std::string& kinds = "") {
  return "<item " + who + " action='" + action + "' order='" + order + "'>" + kinds + "</item>";
}

std::string To(const std::string& to, const std::string& body) {
  return "<message to='" + to + "' type='chat'><body>" + body + "</body></message>";
}

struct Privacy : testing::Test {
  Privacy() {
    for (const char* name : {"alice", "bob", "carol"}) {
      world.AddUser(name);
    }
    world.engine().SetRemote(&away);
    alice.LogIn("alice", "a");
    bob.LogIn("bob", "b");
    carol.LogIn("carol", "c");
    for (Client* each : {&alice, &bob, &carol}) {
      each->Say("<presence/>");
    }
    Befriend(bob, "bob");
  }
  // They see each other; he is in her group "Friends".
  void Befriend(Client& other, const std::string& name) {
    alice.Say("<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='" + name +
              "@example.com'><group>Friends</group></item></query></iq>");
    alice.Say("<presence to='" + name + "@example.com' type='subscribe'/>");
    other.Say("<presence to='alice@example.com' type='subscribed'/>");
    other.Say("<presence to='alice@example.com' type='subscribe'/>");
    alice.Say("<presence to='" + name + "@example.com' type='subscribed'/>");
    Quiet();
  }
  void Quiet() {
    alice.Take();
    bob.Take();
    carol.Take();
    away.Take();
  }
  void Use(const std::string& items) {
    ASSERT_TRUE(Has(alice.Say(List("l", items)), "type='result'"));
    ASSERT_TRUE(Has(alice.Say(Active("l")), "type='result'"));
  }
  void FromAway(const std::string& stanza, const std::string& from) {
    std::vector<uint8_t> memory(4 << 20);
    Arena arena(memory);
    Heap heap(arena, 1 << 20, 1);
    XmlReader reader;
    reader.Init(arena, heap, 0, world.random(), XmlLimits());
    reader.Begin(true);
    std::span<const uint8_t> in = AsBytes(stanza);
    ASSERT_EQ(reader.Read(in), XmlEvent::kStanza);
    world.engine().OnRemote(*Address::Parse(from), *Address::Parse("alice@example.com"),
                            reader.root());
  }
  Account& Of(const std::string& name) {
    return *world.engine().directory().Find(name + "@example.com");
  }
  World world{20, 20};
  Away away;
  Client alice{world, 1}, bob{world, 2}, carol{world, 3};
};

// Sections 2.3 to 2.7, examples 1 to 32.
TEST_F(Privacy, ListsAreMadeChosenAndRemoved) {
  EXPECT_TRUE(Has(alice.Say("<iq type='get' id='d' to='example.com'><query "
                            "xmlns='http://jabber.org/protocol/disco#info'/></iq>"),
                  "<feature var='jabber:iq:privacy'/>"));
  EXPECT_TRUE(Has(alice.Say(Get()), "<query xmlns='jabber:iq:privacy'></query>"));
  const std::string items =
      "<item action='allow' order='68'/>"
      "<item type='jid' value='Tybalt@example.com' action='deny' order='3'/>"
      "<item type='subscription' value='both' action='allow' order='10'><message/><iq/></item>";
  std::string got = alice.Say(List("public", items));
  EXPECT_TRUE(Has(got, "<iq type='result' id='s'"));
  EXPECT_TRUE(Has(got, "><query xmlns='jabber:iq:privacy'><list name='public'/></query></iq>"));
  alice.Say(List("private", items));
  EXPECT_TRUE(Has(alice.Say(Get("<list name='public'/>")),
                  "<list name='public'>"
                  "<item type='jid' value='tybalt@example.com' action='deny' order='3'/>"
                  "<item type='subscription' value='both' action='allow' order='10'>"
                  "<message/><iq/></item><item action='allow' order='68'/></list>"));
  EXPECT_TRUE(Has(alice.Say(Get("<list name='The Empty Set'/>")), "<item-not-found"));
  EXPECT_TRUE(Has(alice.Say(Get("<list name='public'/><list name='private'/>")), "<bad-request"));
  EXPECT_TRUE(Has(alice.Say(Active("The Empty Set")), "<item-not-found"));
  EXPECT_TRUE(Has(alice.Say(Default("The Empty Set")), "<item-not-found"));
  EXPECT_TRUE(Has(alice.Say(Active("private")), "type='result'"));
  EXPECT_TRUE(Has(alice.Say(Default("public")), "type='result'"));
  EXPECT_TRUE(Has(alice.Say(Get()),
                  "<active name='private'/><default name='public'/><list name='public'/>"
                  "<list name='private'/>"));
  EXPECT_TRUE(Has(alice.Say(Set("<active/><default/>")), "<bad-request"));
  EXPECT_TRUE(Has(alice.Say(Set("<active/>")), "type='result'"));
  EXPECT_TRUE(Has(alice.Say(Set("<default/>")), "type='result'"));
  EXPECT_TRUE(Has(alice.Say(Set("<list name='public'/>")), "type='result'"));
  EXPECT_TRUE(Has(alice.Say(Set("<list name='public'/>")), "<item-not-found"));
  EXPECT_FALSE(Has(alice.Say(Get()), "public"));
}

TEST_F(Privacy, ItemsThatAreNone) {
  for (const std::string& items :
       {Item("", "deny", "1") + Item("", "allow", "1"), Item("", "refuse", "1"),
        Item("", "deny", "-1"), Item("", "deny", "4294967296"), Item("", "deny", ""),
        Item("type='jid' value='a b@example.com'", "deny", "1"), Item("type='jid'", "deny", "1"),
        Item("type='subscription' value='all'", "deny", "1"),
        Item("type='colour' value='red'", "deny", "1"), Item("", "deny", "1", "<presence/>"),
        std::string("<item xmlns='urn:x' action='deny' order='1'/>")}) {
    EXPECT_TRUE(Has(alice.Say(List("l", items)), "<bad-request")) << items;
  }
  EXPECT_TRUE(Has(alice.Say(List("", Item("", "deny", "1"))), "<bad-request"));
  EXPECT_TRUE(Has(alice.Say(List("l", Item("type='group' value='Enemies'", "deny", "1"))),
                  "<item-not-found"));
  EXPECT_FALSE(Has(alice.Say(Get()), "<list"));
}

TEST_F(Privacy, WhatIsInUseElsewhereStays) {
  Client other(world, 4);
  other.LogIn("alice", "b");
  alice.Say(List("l", Item("", "allow", "1")));
  EXPECT_TRUE(Has(other.Take(), "<list name='l'/>"));
  alice.Say(List("m", Item("", "allow", "1")));
  other.Say(Active("l"));
  EXPECT_TRUE(Has(alice.Say(Set("<list name='l'/>")), "<conflict"));
  other.Say(Set("<active/>"));
  EXPECT_TRUE(Has(alice.Say(Default("l")), "type='result'"));
  EXPECT_TRUE(Has(alice.Say(Default("m")), "<conflict"));
  EXPECT_TRUE(Has(alice.Say(Set("<default/>")), "<conflict"));
  EXPECT_TRUE(Has(alice.Say(Set("<list name='l'/>")), "<conflict"));
  other.Say(Active("m"));  // its own list: the default one does not apply to it
  EXPECT_TRUE(Has(alice.Say(Set("<default/>")), "type='result'"));
  EXPECT_TRUE(Has(alice.Say(Set("<list name='l'/>")), "type='result'"));
  EXPECT_TRUE(Has(other.Take(), "<list name='l'/>"));
}

// Section 2.8: by address, group, subscription, of everybody.
TEST_F(Privacy, MessagesAreDenied) {
  const char* kBobIs[] = {"type='jid' value='bob@example.com'",   "type='jid' value='example.com'",
                          "type='jid' value='bob@example.com/b'", "type='jid' value='com'",
                          "type='jid' value='example.com/b'",     "type='group' value='Friends'",
                          "type='subscription' value='both'",     ""};
  for (const char* who : kBobIs) {
    Use(Item(who, "deny", "3", "<message/>"));
    EXPECT_TRUE(Has(bob.Say(To("alice@example.com", "bare")), "<service-unavailable")) << who;
    EXPECT_TRUE(Has(bob.Say(To("alice@example.com/a", "full")), "<service-unavailable")) << who;
    EXPECT_EQ(alice.Take(), "");
    // What she says goes, and queries come.
    alice.Say(To("bob@example.com", "out"));
    EXPECT_TRUE(Has(bob.Take(), "out"));
    bob.Say("<iq type='get' id='v' to='alice@example.com/a'><query xmlns='urn:q'/></iq>");
    EXPECT_TRUE(Has(alice.Take(), "urn:q"));
  }
  for (const char* who :
       {"type='jid' value='carol@example.com'", "type='jid' value='ample.com'",
        "type='jid' value='bob@example.com/c'", "type='subscription' value='none'"}) {
    Use(Item(who, "deny", "3", "<message/>"));
    bob.Say(To("alice@example.com", "friend"));
    EXPECT_TRUE(Has(alice.Take(), "friend")) << who;
  }
  Use(Item("type='subscription' value='none'", "deny", "5", "<message/>"));
  EXPECT_TRUE(Has(carol.Say(To("alice@example.com", "x")), "<service-unavailable"));
  EXPECT_EQ(Of("alice").waiting.size(), 0u);
}

TEST_F(Privacy, TheFirstItemThatMatchesDecides) {
  Use(Item("", "deny", "9") + Item("type='jid' value='bob@example.com'", "allow", "8"));
  bob.Say(To("alice@example.com", "allowed"));
  EXPECT_TRUE(Has(alice.Take(), "allowed"));
  EXPECT_TRUE(Has(carol.Say(To("alice@example.com", "x")), "<service-unavailable"));
  // Its definition in force is the new one, and so are the state and groups of contacts.
  alice.Say(List("l", Item("type='group' value='Friends'", "deny", "1", "<message/>")));
  EXPECT_TRUE(Has(bob.Say(To("alice@example.com", "x")), "<service-unavailable"));
  alice.Say(
      "<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='bob@example.com'/>"
      "</query></iq>");
  alice.Take();
  bob.Say(To("alice@example.com", "no friend"));
  EXPECT_TRUE(Has(alice.Take(), "no friend"));
}

// Section 2.11.
TEST_F(Privacy, QueriesAreDenied) {
  Use(Item("type='jid' value='bob@example.com'", "deny", "29", "<iq/>"));
  const auto ask = [&](const std::string& to, const std::string& type) {
    return bob.Say("<iq type='" + type + "' id='v' to='" + to + "'><query xmlns='urn:q'/></iq>");
  };
  EXPECT_TRUE(Has(ask("alice@example.com/a", "get"), "<service-unavailable"));
  EXPECT_TRUE(Has(bob.Say("<iq type='get' id='v' to='alice@example.com'><vCard "
                          "xmlns='vcard-temp'/></iq>"),
                  "<service-unavailable"));
  EXPECT_EQ(ask("alice@example.com/a", "result"), "");  // silently
  EXPECT_EQ(alice.Take(), "");
  bob.Say(To("alice@example.com", "said"));
  EXPECT_TRUE(Has(alice.Take(), "said"));
}

// Section 2.9, and the note: whom she does not see any more has gone.
TEST_F(Privacy, PresenceThatComesIsDenied) {
  Use(Item("type='jid' value='bob@example.com'", "deny", "7", "<presence-in/>"));
  bob.Say("<presence><show>away</show></presence>");
  bob.Say("<presence to='alice@example.com/a'><show>xa</show></presence>");
  bob.Say("<presence type='unavailable'/>");
  EXPECT_EQ(alice.Take(), "");
  bob.Say("<presence/>");
  alice.Say("<presence><show>dnd</show></presence>");
  EXPECT_TRUE(Has(bob.Take(), "<show>dnd</show>"));
  // Subscriptions are no notifications (section 2).
  Use(Item("", "deny", "7", "<presence-in/>"));
  carol.Say("<presence to='alice@example.com' type='subscribe'/>");
  EXPECT_TRUE(Has(alice.Take(), "type='subscribe'"));
  alice.Say(Set("<active/>"));
  bob.Say("<presence/>");
  Quiet();
  const std::string got = alice.Say(Active("l"));
  EXPECT_TRUE(Has(got, "from='bob@example.com/b' type='unavailable'"));
}

// Section 2.10, and the note: who does not see her any more is told so once.
TEST_F(Privacy, PresenceThatGoesIsDenied) {
  Use(Item("type='jid' value='bob@example.com'", "deny", "13", "<presence-out/>"));
  EXPECT_TRUE(Has(bob.Take(), "from='alice@example.com/a' type='unavailable'"));
  alice.Say("<presence><show>dnd</show></presence>");
  bob.Say("<presence to='alice@example.com' type='probe'/>");
  EXPECT_EQ(bob.Take(), "");
  Client again(world, 4);
  again.LogIn("bob", "again");
  EXPECT_FALSE(Has(again.Say("<presence/>"), "alice@example.com/a"));
  again.Say("</stream:stream>");
  Quiet();
  // Directed presence is no notification, and its end is told.
  alice.Say("<presence to='bob@example.com/b'><status>you</status></presence>");
  EXPECT_TRUE(Has(bob.Take(), "<status>you</status>"));
  alice.Say("</stream:stream>");
  EXPECT_TRUE(Has(bob.Take(), "from='alice@example.com/a' type='unavailable'"));
}

// Section 2.12: neither to nor fro, and what is seen of it is what is seen of nobody.
TEST_F(Privacy, EverythingIsDenied) {
  Use(Item("type='jid' value='bob@example.com'", "deny", "23"));
  EXPECT_TRUE(Has(bob.Take(), "type='unavailable'"));
  alice.Take();
  EXPECT_TRUE(Has(alice.Say(To("bob@example.com", "x")), "<not-acceptable"));
  EXPECT_TRUE(
      Has(alice.Say("<presence to='bob@example.com' type='subscribed'/>"), "<not-acceptable"));
  bob.Say("<presence/>");
  EXPECT_EQ(bob.Take().find("alice"), bob.Take().npos);
  EXPECT_EQ(bob.Say("<presence to='alice@example.com' type='probe'/>"), "");
  EXPECT_EQ(bob.Say("<presence to='alice@example.com' type='unsubscribe'/>").find("alice@"),
            std::string::npos);
  EXPECT_TRUE(Has(bob.Say(To("alice@example.com", "x")), "<service-unavailable"));
  EXPECT_EQ(alice.Take(), "");
  Use(Item("", "deny", "7"));
  carol.Say("<presence to='alice@example.com' type='subscribe'/>");
  EXPECT_EQ(alice.Take(), "");
  // XEP-0191 has its own list, and does not show this one.
  EXPECT_TRUE(Has(alice.Say("<iq type='get' id='b'><blocklist xmlns='urn:xmpp:blocking'/></iq>"),
                  "<blocklist xmlns='urn:xmpp:blocking'></blocklist>"));
}

TEST_F(Privacy, NobodyIsLockedOutOfHisOwn) {
  Client other(world, 4);
  other.LogIn("alice", "b");
  other.Say("<presence/>");
  alice.Say(Join("ann"));
  alice.Take();
  Use(Item("", "deny", "1"));
  other.Say("<presence><status>mine</status></presence>");
  EXPECT_TRUE(Has(alice.Take(), "<status>mine</status>"));
  other.Say(To("alice@example.com/a", "to myself"));
  EXPECT_TRUE(Has(alice.Take(), "to myself"));
  EXPECT_TRUE(Has(alice.Say("<iq type='get' id='p' to='example.com'><ping xmlns='urn:xmpp:ping'/>"
                            "</iq>"),
                  "type='result'"));
  // Her room's, too; unless an item names it.
  EXPECT_TRUE(Has(alice.Say(Query("set", std::string(kMuc) + "#owner",
                                  "<x xmlns='jabber:x:data' type='submit'/>")),
                  "type='result'"));
  EXPECT_TRUE(Has(alice.Say("<message to='lab@rooms.example.com' type='groupchat'><body>r</body>"
                            "</message>"),
                  "<body>r</body>"));
  Use(Item("type='jid' value='lab@rooms.example.com'", "deny", "1"));
  EXPECT_TRUE(Has(alice.Say("<message to='lab@rooms.example.com' type='groupchat'><body>r</body>"
                            "</message>"),
                  "<not-acceptable"));
}

// Each session has its own list; the default one is of those without, and of who is away.
TEST_F(Privacy, EachSessionHasItsOwn) {
  Client other(world, 4);
  other.LogIn("alice", "b");
  other.Say("<presence/>");
  Use(Item("", "deny", "1", "<message/>"));
  Quiet();
  other.Take();
  EXPECT_EQ(bob.Say(To("alice@example.com", "one of two")), "");
  EXPECT_TRUE(Has(other.Take(), "one of two"));
  EXPECT_EQ(alice.Take(), "");
  other.Say(To("bob@example.com", "reply"));
  other.Say(Active("l"));
  bob.Take();
  EXPECT_TRUE(Has(bob.Say(To("alice@example.com", "none of two")), "<service-unavailable"));
  alice.Say("</stream:stream>");
  other.Say("</stream:stream>");
  bob.Take();
  EXPECT_EQ(bob.Say(To("alice@example.com", "kept")), "");  // there is no default
  EXPECT_EQ(Of("alice").waiting.size(), 1u);
  Client back(world, 5);
  back.LogIn("alice", "a");
  back.Say(Default("l"));
  // What was put by waits on while the list in force denies it.
  EXPECT_FALSE(Has(back.Say("<presence/>"), "kept"));
  EXPECT_EQ(Of("alice").waiting.size(), 1u);
  back.Say("</stream:stream>");
  EXPECT_TRUE(Has(bob.Say(To("alice@example.com", "refused")), "<service-unavailable"));
  Client last(world, 6);
  last.LogIn("alice", "a");
  last.Say(Set("<default/>"));
  EXPECT_TRUE(Has(last.Say("<presence/>"), "kept"));
}

// A chat goes back to the session that replied, unless its list denies that; copies neither.
TEST_F(Privacy, RepliesAndCopiesGoWhereTheyMay) {
  Client other(world, 4);
  other.LogIn("alice", "b");
  other.Say("<presence/>");
  alice.Say(To("bob@example.com", "reply"));
  Use(Item("type='jid' value='bob@example.com'", "deny", "1", "<message/>"));
  alice.Say("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>");
  Quiet();
  other.Take();
  EXPECT_EQ(bob.Say(To("alice@example.com", "to the other")), "");
  EXPECT_TRUE(Has(other.Take(), "to the other"));
  EXPECT_EQ(bob.Say(To("alice@example.com/b", "in full")), "");
  EXPECT_TRUE(Has(other.Take(), "in full"));
  EXPECT_EQ(alice.Take(), "");
}

TEST_F(Privacy, UsersElsewhereAreAskedAbout) {
  const std::string dave = "dave@away.example/d";
  FromAway("<presence type='subscribe'/>", "dave@away.example");
  alice.Say("<presence to='dave@away.example' type='subscribed'/>");
  Quiet();
  Use(Item("type='jid' value='away.example'", "deny", "1"));
  EXPECT_TRUE(Has(away.Take(),
                  "to='dave@away.example' from='alice@example.com/a' "
                  "type='unavailable'"));
  FromAway("<message type='chat'><body>x</body></message>", dave);
  EXPECT_TRUE(Has(away.Take(), "<service-unavailable"));
  FromAway("<presence/>", dave);
  FromAway("<presence type='subscribe'/>", "erin@sub.away.example");
  alice.Say("<presence><show>dnd</show></presence>");
  EXPECT_EQ(away.Take(), "");
  EXPECT_FALSE(Has(alice.Take(), "away.example"));
  EXPECT_TRUE(Has(alice.Say(To("dave@away.example", "x")), "<not-acceptable"));
  alice.Say(Set("<active/>"));
  alice.Say("<presence/>");
  EXPECT_TRUE(Has(away.Take(), "to='dave@away.example'"));
}

// A push is ours to say (lesson 10).
TEST_F(Privacy, NobodyPushesAnothersLists) {
  EXPECT_TRUE(Has(bob.Say("<iq type='set' id='p' to='alice@example.com/a'><query "
                          "xmlns='jabber:iq:privacy'><list name='x'/></query></iq>"),
                  "<service-unavailable"));
  EXPECT_EQ(alice.Take(), "");
}

TEST_F(Privacy, SurvivesARestartAndGoesWithTheUser) {
  alice.Say(List("first", Item("", "allow", "1")));
  alice.Say(List("l", Item("type='jid' value='bob@example.com'", "deny", "3", "<message/>")));
  alice.Say(List("third", Item("", "allow", "1")));
  alice.Say(Default("l"));
  alice.Say(Set("<list name='first'/>"));
  const std::string names = alice.Say(Get());
  world.Commit();
  World after{20, 20};
  for (const auto& [key, value] : world.disk) {
    EXPECT_TRUE(after.engine().Load(key, AsBytes(value)).ok()) << key;
  }
  after.disk = world.disk;
  Client again(after, 1), friendly(after, 2);
  again.LogIn("alice", "a");
  friendly.LogIn("bob", "b");
  EXPECT_EQ(again.Say(Get()), names);
  EXPECT_TRUE(Has(friendly.Say(To("alice@example.com", "x")), "<service-unavailable"));
  EXPECT_TRUE(after.engine().RemoveUser("alice@example.com").ok());
  after.Commit();
  for (const auto& [key, value] : after.disk) {
    EXPECT_NE(key[0], 'q') << key;
  }
}

TEST_F(Privacy, RowsThatCannotBeRead) {
  alice.Say(List("l", Item("type='jid' value='bob@example.com'", "deny", "3")));
  world.Commit();
  const std::string row = world.disk.at(std::string(RowKey('q', Of("alice").id, 1)));
  for (size_t cut = 0; cut < row.size(); ++cut) {
    World after{20, 20};
    after.AddUser("alice");
    const bool is_whole_item = cut == 3;  // the name alone: a list without items
    EXPECT_EQ(
        after.engine().Load(RowKey('q', 1, 1), AsBytes(std::string_view(row).substr(0, cut))).ok(),
        is_whole_item)
        << cut;
  }
  World after{20, 20};
  after.AddUser("alice");
  EXPECT_TRUE(after.engine().Load(RowKey('q', 1, 1), AsBytes(row)).ok());
  EXPECT_FALSE(after.engine().Load(RowKey('q', 1, 2), AsBytes(row)).ok());  // that name again
  EXPECT_FALSE(after.engine().Load(RowKey('q', 1, kPrivacyListsMax + 1), AsBytes(row)).ok());
  EXPECT_FALSE(after.engine().Load(RowKey('q', 9, 1), AsBytes(row)).ok());
}

TEST_F(Privacy, AStoreThatTakesNoMoreChangesNothing) {
  alice.Say(List("l", Item("", "allow", "1")));
  world.Commit();
  world.keeper_full = true;
  EXPECT_TRUE(Has(alice.Say(List("l", Item("", "deny", "2"))), "<resource-constraint"));
  EXPECT_TRUE(Has(alice.Say(List("m", Item("", "deny", "2"))), "<resource-constraint"));
  EXPECT_TRUE(Has(alice.Say(Default("l")), "<resource-constraint"));
  world.keeper_full = false;
  EXPECT_TRUE(Has(alice.Say(Get("<list name='l'/>")), "<item action='allow' order='1'/>"));
  EXPECT_FALSE(Has(alice.Say(Get()), "<list name='m'/>"));
}

// --- Limits --------------------------------------------------------------------------------------

TEST_F(Privacy, ListsOfAUserAndTheirItems) {
  for (uint32_t i = 0; i < kPrivacyListsMax; ++i) {
    EXPECT_TRUE(Has(alice.Say(List("l" + std::to_string(i), Item("", "allow", "1"))), "result"));
  }
  EXPECT_TRUE(Has(alice.Say(List("one too many", Item("", "allow", "1"))), "<resource-constraint"));
  alice.Say(Set("<list name='l3'/>"));
  EXPECT_TRUE(Has(alice.Say(List("in its place", Item("", "allow", "1"))), "type='result'"));
  EXPECT_TRUE(Has(alice.Say(List("l0", Item("", "deny", "1"))), "type='result'"));
  for (const bool is_over : {false, true}) {
    std::string items;
    for (uint32_t i = 0; i < kPrivacyItemsMax + is_over; ++i) {
      items += Item("", "allow", std::to_string(i));
    }
    EXPECT_EQ(Has(alice.Say(List("l1", items)), "<resource-constraint"), is_over);
    EXPECT_EQ(
        Has(alice.Say(List(std::string(kPrivacyNameMax + is_over, 'n'), "")), "<item-not-found"),
        true);
    alice.Say(Set("<list name='l4'/>"));
    EXPECT_EQ(
        Has(alice.Say(List(std::string(kPrivacyNameMax + is_over, 'n'), Item("", "allow", "1"))),
            "<resource-constraint"),
        is_over);
  }
}

// Version, name of one letter, and items of their frame and value.
std::string ListOf(uint32_t bytes) {
  std::string items;
  uint32_t size = 3;
  for (uint32_t i = 1; size < bytes; ++i) {
    const uint32_t rest = bytes - size;
    const uint32_t value = rest > 280 ? 180 : rest > 198 ? 92 : rest - 8;
    items += Item("type='jid' value='u@" + std::string(56, 'd') + ".org/" +
                      std::string(value - 63, 'r') + "'",
                  "deny", std::to_string(i));
    size += 8 + value;
  }
  return items;
}

TEST_F(Privacy, BytesOfAListAndOfAll) {
  EXPECT_TRUE(Has(alice.Say(List("x", ListOf(kPrivacyListBytesMax + 1))), "<resource-constraint"));
  EXPECT_TRUE(Has(alice.Say(List("x", ListOf(kPrivacyListBytesMax))), "type='result'"));
  uint32_t used = kPrivacyListBytesMax + 3;
  for (char name = 'a'; used + kPrivacyListBytesMax + 3 <= kPrivacyBytesMax; ++name) {
    EXPECT_TRUE(Has(alice.Say(List({name}, ListOf(kPrivacyListBytesMax))), "type='result'"));
    used += kPrivacyListBytesMax + 3;
  }
  EXPECT_EQ(Of("alice").privacy.size, used);
  const uint32_t left = kPrivacyBytesMax - used - 3;
  EXPECT_TRUE(Has(alice.Say(List("y", ListOf(left + 1))), "<resource-constraint"));
  EXPECT_TRUE(Has(alice.Say(List("y", ListOf(left))), "type='result'"));
  EXPECT_EQ(Of("alice").privacy.size, kPrivacyBytesMax);
}

// A user without lists has neither memory nor anything asked for them.
TEST_F(Privacy, CostsNothingWhereThereAreNone) {
  EXPECT_TRUE(Of("bob").privacy.empty());
  const uint32_t free = world.engine().chains().free_count();
  alice.Say(List("l", ListOf(kPrivacyListBytesMax)));
  EXPECT_LT(world.engine().chains().free_count(), free);
  alice.Say(Set("<list name='l'/>"));
  EXPECT_EQ(world.engine().chains().free_count(), free);
}

// --- Invisibility (XEP-0126) ---------------------------------------------------------------------

struct Invisibility : Privacy {
  Invisibility() { Befriend(carol, "carol"); }
  // Whether her presence, said anew, is seen; then all is quiet.
  bool IsSeenBy(Client& other) {
    Quiet();
    alice.Say("<presence><status>I'm not really here</status></presence>");
    return Has(other.Take(), "from='alice@example.com/a'");
  }
};

// Section 3.1: invisible from the log-in on.
TEST_F(Invisibility, FromTheBeginning) {
  alice.Say("</stream:stream>");
  Quiet();
  Client again(world, 4);
  again.LogIn("alice", "shire");
  again.Say(List("invisible", Item("", "deny", "1", "<presence-out/>")));
  again.Say(Active("invisible"));
  // She sees them all the same, and hears what they say.
  EXPECT_TRUE(Has(again.Say("<presence/>"), "from='bob@example.com/b'"));
  EXPECT_EQ(bob.Take() + carol.Take(), "");
  bob.Say("<presence to='alice@example.com' type='probe'/>");
  EXPECT_EQ(bob.Take(), "");
  bob.Say(To("alice@example.com", "are you there"));
  EXPECT_TRUE(Has(again.Take(), "are you there"));
  // When she was last here is from before (section 6).
  world.unix_seconds += 100;
  EXPECT_TRUE(Has(bob.Say("<iq type='get' id='l' to='alice@example.com'><query "
                          "xmlns='jabber:iq:last'/></iq>"),
                  "seconds='100'"));
  again.Say("</stream:stream>");
  EXPECT_EQ(bob.Take() + carol.Take(), "");
}

// Sections 3.2 and 3.3.
TEST_F(Invisibility, VisibleToSome) {
  alice.Say(List("invisible", Item("", "deny", "1", "<presence-out/>")));
  alice.Say(Active("invisible"));
  EXPECT_TRUE(Has(bob.Take(), "type='unavailable'"));
  EXPECT_FALSE(IsSeenBy(bob));
  const auto show = [&](const std::string& who) {
    alice.Say(List("visible-to", Item(who, "allow", "1", "<presence-out/>") +
                                     Item("", "deny", "2", "<presence-out/>")));
    alice.Say(Active("visible-to"));
  };
  show("type='jid' value='bob@example.com'");
  EXPECT_TRUE(IsSeenBy(bob));
  EXPECT_FALSE(IsSeenBy(carol));
  alice.Say(
      "<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='carol@example.com'>"
      "<group>Bagginses</group></item></query></iq>");
  show("type='group' value='Bagginses'");
  EXPECT_TRUE(IsSeenBy(carol));
  EXPECT_FALSE(IsSeenBy(bob));
  carol.Say("<presence to='alice@example.com' type='unsubscribed'/>");  // she sees him no more
  show("type='subscription' value='both'");
  EXPECT_TRUE(IsSeenBy(bob));
  EXPECT_FALSE(IsSeenBy(carol));
  alice.Say(List("visible", Item("", "allow", "1", "<presence-out/>")));
  alice.Say(Active("visible"));
  EXPECT_TRUE(IsSeenBy(carol));
  alice.Say(Active("invisible"));
  alice.Say(Set("<active/>"));
  EXPECT_TRUE(IsSeenBy(bob));
}

// Sections 3.4 and 3.5.
TEST_F(Invisibility, InvisibleToSome) {
  alice.Say(
      "<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='carol@example.com'>"
      "<group>Wizards</group></item></query></iq>");
  const auto hide = [&](const std::string& who) {
    alice.Say(Set("<active/>"));
    alice.Say("<presence/>");
    Quiet();
    alice.Say("<presence type='unavailable'/>");
    EXPECT_TRUE(Has(bob.Take(), "type='unavailable'"));
    alice.Say(List("invisible-to", Item(who, "deny", "1", "<presence-out/>") +
                                       Item("", "allow", "2", "<presence-out/>")));
    EXPECT_TRUE(Has(alice.Say(Active("invisible-to")), "type='result'"));
  };
  hide("type='jid' value='bob@example.com'");
  EXPECT_FALSE(IsSeenBy(bob));
  EXPECT_TRUE(IsSeenBy(carol));
  hide("type='group' value='Wizards'");
  EXPECT_TRUE(IsSeenBy(bob));
  EXPECT_FALSE(IsSeenBy(carol));
  carol.Say("<presence to='alice@example.com' type='unsubscribed'/>");
  hide("type='subscription' value='from'");
  EXPECT_TRUE(IsSeenBy(bob));
  EXPECT_FALSE(IsSeenBy(carol));
  hide("");
  EXPECT_FALSE(IsSeenBy(bob));
  EXPECT_FALSE(IsSeenBy(carol));
}

}  // namespace
}  // namespace gh::xmpp::test
