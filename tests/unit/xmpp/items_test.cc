// What accounts publish and keep: personal eventing, whom it is sent to, vCards, private storage.
#include <gtest/gtest.h>

#include "tests/unit/xmpp/world.h"

namespace gh::xmpp::test {
namespace {

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// The example of XEP-0115 section 5.2, and its hash.
constexpr const char* kExodus =
    "<identity category='client' name='Exodus 0.9.1' type='pc'/>"
    "<feature var='http://jabber.org/protocol/caps'/>"
    "<feature var='http://jabber.org/protocol/disco#info'/>"
    "<feature var='http://jabber.org/protocol/disco#items'/>"
    "<feature var='http://jabber.org/protocol/muc'/>";
constexpr const char* kExodusHash = "QgayPKawpkPSDYmwT/WM94uAlu0=";

std::string Publish(const std::string& node, const std::string& id, const std::string& payload,
                    const std::string& options = "") {
  return "<iq type='set' id='p'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='" +
         node + "'><item id='" + id + "'>" + payload + "</item></publish>" + options +
         "</pubsub></iq>";
}

std::string Get(const std::string& node, const std::string& to = "", const std::string& more = "") {
  return "<iq type='get' id='g'" + (to.empty() ? "" : " to='" + to + "'") +
         "><pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='" + node + "'>" + more +
         "</items></pubsub></iq>";
}

std::string Options(const std::string& access) {
  return "<publish-options><x xmlns='jabber:x:data' type='submit'>"
         "<field var='FORM_TYPE'><value>http://jabber.org/protocol/pubsub#publish-options</value>"
         "</field><field var='pubsub#access_model'><value>" +
         access +
         "</value></field>"
         "<field var='pubsub#max_items'><value>max</value></field></x></publish-options>";
}

class ItemsTest : public testing::Test {
 public:
  ItemsTest() {
    for (const char* name : {"alice", "bob", "carol"}) {
      world.AddUser(name);
    }
    alice.LogIn("alice", "a");
    bob.LogIn("bob", "b");
    carol.LogIn("carol", "c");
  }
  void Befriend() {
    for (Client* client : {&alice, &bob}) {
      client->Say("<presence/>");
    }
    alice.Say("<presence to='bob@example.com' type='subscribe'/>");
    bob.Say("<presence to='alice@example.com' type='subscribed'/>");
    bob.Say("<presence to='alice@example.com' type='subscribe'/>");
    alice.Say("<presence to='bob@example.com' type='subscribed'/>");
    alice.Take();
    bob.Take();
  }
  // A presence whose hash does not say what is answered: the answer is the client's alone.
  std::string Wish(Client& client, const std::string& node) {
    const std::string asked = client.Say(
        "<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' "
        "ver='AAAAAAAAAAAAAAAAAAAAAAAAAAA='/></presence>");
    const std::string id = Between(asked, "id='caps-", "'");
    EXPECT_TRUE(Has(asked, "node='n#AAAAAAAAAAAAAAAAAAAAAAAAAAA='")) << asked;
    return client.Say("<iq type='result' id='caps-" + id +
                      "' to='example.com'><query "
                      "xmlns='http://jabber.org/protocol/disco#info'><feature var='" +
                      node + "+notify'/></query></iq>");
  }
  World world{40, 20};  // items for 40 accounts
  Client alice{world, 1}, bob{world, 2}, carol{world, 3};
};

TEST_F(ItemsTest, AreReadByThoseWhoMay) {
  Befriend();
  EXPECT_TRUE(Has(alice.Say(Publish("mood", "1", "<m xmlns='urn:m'>a &amp; b</m>")),
                  "<publish node='mood'><item id='1'/>"));
  EXPECT_TRUE(Has(bob.Say(Get("mood", "alice@example.com")),
                  "<item id='1'><m xmlns='urn:m'>a &amp; b</m></item>"));
  EXPECT_TRUE(Has(carol.Say(Get("mood", "alice@example.com")), "<not-authorized"));
  EXPECT_TRUE(Has(carol.Say(Get("none", "alice@example.com")), "<not-authorized"));
  EXPECT_TRUE(Has(alice.Say(Get("none")), "<item-not-found"));
  alice.Say(Publish("keys", "k", "<k xmlns='urn:k'/>", Options("open")));
  EXPECT_TRUE(Has(carol.Say(Get("keys", "alice@example.com")), "<item id='k'>"));
  alice.Say(Publish("urn:xmpp:bookmarks:1", "r@x.org", "<conference xmlns='urn:xmpp:bookmarks:1'/>",
                    Options("whitelist")));
  EXPECT_TRUE(Has(bob.Say(Get("urn:xmpp:bookmarks:1", "alice@example.com")), "<not-authorized"));
  EXPECT_TRUE(Has(alice.Say(Get("urn:xmpp:bookmarks:1")), "<item id='r@x.org'>"));
  // Another's nodes are his.
  EXPECT_TRUE(Has(bob.Say("<iq type='set' id='x' to='alice@example.com'><pubsub "
                          "xmlns='http://jabber.org/protocol/pubsub'><publish node='mood'><item/>"
                          "</publish></pubsub></iq>"),
                  "<forbidden"));
  const std::string nodes = bob.Say(
      "<iq type='get' id='d' to='alice@example.com'><query "
      "xmlns='http://jabber.org/protocol/disco#items'/></iq>");
  EXPECT_TRUE(Has(nodes, "node='mood'"));
  EXPECT_FALSE(Has(nodes, "bookmarks"));
}

TEST_F(ItemsTest, OptionsAreConditions) {
  alice.Say(Publish("n", "1", "<a xmlns='urn:a'/>"));
  EXPECT_TRUE(Has(alice.Say(Publish("n", "2", "<a xmlns='urn:a'/>", Options("open"))),
                  "<precondition-not-met"));
  EXPECT_TRUE(Has(alice.Say("<iq type='set' id='c'><pubsub "
                            "xmlns='http://jabber.org/protocol/pubsub#owner'><configure node='n'>"
                            "<x xmlns='jabber:x:data' type='submit'><field "
                            "var='pubsub#access_model'><value>open</value></field><field "
                            "var='pubsub#max_items'><value>max</value></field></x></configure>"
                            "</pubsub></iq>"),
                  "type='result'"));
  EXPECT_TRUE(
      Has(alice.Say(Publish("n", "2", "<a xmlns='urn:a'/>", Options("open"))), "<item id='2'"));
  EXPECT_TRUE(Has(alice.Say(Get("n")), "<item id='1'>"));
  EXPECT_TRUE(Has(alice.Say(Publish("m", "1", "<a xmlns='urn:a'/>", Options("everybody"))),
                  "<precondition-not-met"));
}

TEST_F(ItemsTest, ThoseWhoWishAreNotified) {
  Befriend();
  alice.Say(Publish("tune", "1", "<t xmlns='urn:t'>one</t>"));
  EXPECT_EQ(bob.Take(), "");  // nobody knows what he wishes for
  // The last one, as soon as it is known; then each.
  EXPECT_TRUE(Has(Wish(bob, "tune"),
                  "<message type='headline' from='alice@example.com' to='bob@example.com/b'><event "
                  "xmlns='http://jabber.org/protocol/pubsub#event'><items node='tune'><item id='1'>"
                  "<t xmlns='urn:t'>one</t></item></items></event></message>"));
  alice.Say(Publish("tune", "2", "<t xmlns='urn:t'>two</t>"));
  EXPECT_TRUE(Has(bob.Take(), "two"));
  alice.Say(Publish("mood", "1", "<t xmlns='urn:t'/>"));
  EXPECT_EQ(bob.Take(), "");
  alice.Say(
      "<iq type='set' id='r'><pubsub xmlns='http://jabber.org/protocol/pubsub'><retract "
      "node='tune' notify='true'><item id='2'/></retract></pubsub></iq>");
  EXPECT_TRUE(Has(bob.Take(), "<retract id='2'/>"));
  Wish(carol, "tune");
  alice.Say(Publish("tune", "3", "<t xmlns='urn:t'/>"));
  EXPECT_EQ(carol.Take(), "");  // she does not see alice
  EXPECT_TRUE(Has(bob.Take(), "id='3'"));
}

TEST_F(ItemsTest, TheBlockedAreToldNothing) {
  Befriend();
  Wish(bob, "tune");
  alice.Say(Publish("tune", "1", "<t xmlns='urn:t'/>", Options("open")));
  EXPECT_TRUE(Has(bob.Take(), "<item id='1'>"));
  alice.Say(
      "<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='bob@example.com'/>"
      "</block></iq>");
  bob.Take();
  alice.Say(Publish("tune", "2", "<t xmlns='urn:t'/>"));
  EXPECT_EQ(bob.Take(), "");
}

std::string Own(const std::string& what, const std::string& node) {
  return "<iq type='set' id='o'><pubsub xmlns='http://jabber.org/protocol/pubsub#owner'><" + what +
         " node='" + node + "'/></pubsub></iq>";
}

TEST_F(ItemsTest, WhatBecomesOfANodeIsTold) {
  Befriend();
  Wish(bob, "tune");
  alice.Say(Publish("tune", "1", "<t xmlns='urn:t'/>"));
  bob.Take();
  EXPECT_TRUE(Has(alice.Say(Own("purge", "tune")), "type='result'"));
  EXPECT_TRUE(Has(bob.Take(), "<purge node='tune'></purge></event>"));
  EXPECT_FALSE(Has(bob.Say(Get("tune", "alice@example.com")), "<item "));
  EXPECT_TRUE(Has(alice.Say(Own("delete", "tune")), "type='result'"));
  EXPECT_TRUE(Has(bob.Take(), "<delete node='tune'></delete></event>"));
  EXPECT_TRUE(Has(alice.Say(Get("tune")), "item-not-found"));
  EXPECT_TRUE(Has(alice.Say(Own("purge", "tune")), "item-not-found"));
  EXPECT_TRUE(Has(alice.Say(Own("delete", "tune")), "item-not-found"));
  EXPECT_EQ(bob.Take(), "");
}

TEST_F(ItemsTest, ANodeIsDescribedToThoseWhoMayReadIt) {
  Befriend();
  alice.Say(Publish("tune", "one", "<t xmlns='urn:t'/>"));
  alice.Say(Publish("mine", "two", "<t xmlns='urn:t'/>", Options("whitelist")));
  const auto ask = [&](Client& client, const std::string& what, const std::string& node) {
    return client.Say(
        "<iq type='get' id='d' to='alice@example.com'><query "
        "xmlns='http://jabber.org/protocol/disco#" +
        what + "' node='" + node + "'/></iq>");
  };
  EXPECT_TRUE(
      Has(ask(bob, "info", "tune"), "node='tune'><identity category='pubsub' type='leaf'/>"));
  EXPECT_TRUE(Has(ask(bob, "items", "tune"), "<item jid='alice@example.com' name='one'/>"));
  EXPECT_TRUE(Has(ask(alice, "items", "mine"), "name='two'"));
  for (const char* hidden : {"mine", "none"}) {
    EXPECT_TRUE(Has(ask(bob, "info", hidden), "item-not-found"));
    EXPECT_TRUE(Has(ask(bob, "items", hidden), "item-not-found"));
  }
  const std::string all = ask(bob, "items", "");
  EXPECT_TRUE(Has(all, "node='tune'") && !Has(all, "node='mine'")) << all;
}

TEST_F(ItemsTest, AHashIsSharedWhenItIsTrue) {
  const std::string presence =
      std::string(
          "<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' "
          "ver='") +
      kExodusHash + "'/></presence>";
  const std::string id = Between(alice.Say(presence), "id='caps-", "'");
  ASSERT_FALSE(id.empty());
  alice.Say("<iq type='result' id='caps-" + id +
            "' to='example.com'><query "
            "xmlns='http://jabber.org/protocol/disco#info'>" +
            kExodus + "</query></iq>");
  EXPECT_FALSE(Has(bob.Say(presence), "caps-"));  // it is known
  // One that lies stands for its teller alone, and the next is asked again.
  Wish(carol, "x");
  const std::string other = bob.Say(
      "<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' "
      "ver='AAAAAAAAAAAAAAAAAAAAAAAAAAA='/></presence>");
  EXPECT_TRUE(Has(other, "caps-"));
  for (Client* client : {&alice, &bob, &carol}) {
    client->Break();
  }
  EXPECT_EQ(world.engine().caps_count(), 1u);
}

TEST_F(ItemsTest, AreBoundedAndSurviveARestart) {
  for (uint32_t i = 0; i <= kItemsPerNodeMax; ++i) {
    alice.Say(Publish("many", std::to_string(i), "<a xmlns='urn:a'/>", Options("open")));
  }
  EXPECT_TRUE(Has(alice.Say(Get("many", "", "<item id='0'/><item id='256'/>")),
                  "<items node='many'><item id='256'>"));
  const std::string big(20'000, 'z');
  alice.Say(Publish("big", "b", "<a xmlns='urn:a'>" + big + "</a>"));
  for (uint32_t i = 2; i < kNodesPerUserMax; ++i) {
    EXPECT_TRUE(Has(alice.Say(Publish("n" + std::to_string(i), "1", "")), "result")) << i;
  }
  EXPECT_TRUE(Has(alice.Say(Publish("last", "1", "")), "<resource-constraint"));
  EXPECT_TRUE(
      Has(alice.Say(Publish(std::string(kNodeNameMax + 1, 'n'), "1", "")), "<resource-constraint"));
  world.Commit();
  World after{40, 20};
  for (const auto& [key, value] : world.disk) {
    EXPECT_TRUE(after.engine().Load(key, AsBytes(value)).ok()) << key;
  }
  after.disk = world.disk;
  Client again(after, 1);
  again.LogIn("alice", "a");
  EXPECT_TRUE(Has(again.Say(Get("big")), big));
  EXPECT_EQ(after.engine().items().item_count(), world.engine().items().item_count());
  EXPECT_TRUE(after.engine().RemoveUser("alice@example.com").ok());
  after.Commit();
  for (const auto& [key, value] : after.disk) {
    EXPECT_TRUE(key[0] != 'w' && key[0] != 'x') << key;
  }
}

TEST_F(ItemsTest, CardsAreForAllAndStorageForOne) {
  EXPECT_TRUE(Has(alice.Say("<iq type='get' id='v'><vCard xmlns='vcard-temp'/></iq>"),
                  "<vCard xmlns='vcard-temp'/>"));
  EXPECT_TRUE(Has(bob.Say("<iq type='get' id='v' to='alice@example.com'><vCard "
                          "xmlns='vcard-temp'/></iq>"),
                  "<item-not-found"));
  alice.Say("<iq type='set' id='v'><vCard xmlns='vcard-temp'><FN>Alice</FN></vCard></iq>");
  EXPECT_TRUE(Has(bob.Say("<iq type='get' id='v' to='alice@example.com'><vCard "
                          "xmlns='vcard-temp'/></iq>"),
                  "<vCard xmlns='vcard-temp'><FN>Alice</FN></vCard>"));
  EXPECT_TRUE(Has(bob.Say("<iq type='set' id='v' to='alice@example.com'><vCard "
                          "xmlns='vcard-temp'/></iq>"),
                  "<service-unavailable"));
  const char* get =
      "<iq type='get' id='s'><query xmlns='jabber:iq:private'><storage "
      "xmlns='storage:bookmarks'/></query></iq>";
  EXPECT_TRUE(Has(alice.Say(get), "<storage xmlns='storage:bookmarks'/>"));
  alice.Say(
      "<iq type='set' id='s'><query xmlns='jabber:iq:private'><storage "
      "xmlns='storage:bookmarks'><conference jid='r@x'/></storage></query></iq>");
  EXPECT_TRUE(Has(alice.Say(get),
                  "<query xmlns='jabber:iq:private'><storage "
                  "xmlns='storage:bookmarks'><conference jid='r@x'>"));
  EXPECT_FALSE(Has(bob.Say(get), "r@x"));
}

// XEP-0402 with #compat: bookmarks of old clients and of new ones are the same.
TEST_F(ItemsTest, BookmarksAreOneSetForOldAndNewClients) {
  const auto store = [&](const std::string& inside) {
    return alice.Say(
        "<iq type='set' id='s'><query xmlns='jabber:iq:private'><storage "
        "xmlns='storage:bookmarks'>" +
        inside + "</storage></query></iq>");
  };
  const char* stored =
      "<iq type='get' id='s'><query xmlns='jabber:iq:private'><storage "
      "xmlns='storage:bookmarks'/></query></iq>";
  EXPECT_TRUE(Has(alice.Say("<iq type='get' id='d' to='alice@example.com'><query "
                            "xmlns='http://jabber.org/protocol/disco#info'/></iq>"),
                  "urn:xmpp:bookmarks:1#compat"));
  // From the old to the new.
  EXPECT_TRUE(Has(store("<conference jid='a@x.org' name='A &amp; B' autojoin='1'><nick>Al</nick>"
                        "</conference><conference jid='b@x.org'/><url url='http://x'/>"),
                  "type='result'"));
  const std::string items = alice.Say(Get("urn:xmpp:bookmarks:1"));
  EXPECT_TRUE(Has(items,
                  "<item id='a@x.org'><conference xmlns='urn:xmpp:bookmarks:1' "
                  "name='A &amp; B' autojoin='true'><nick>Al</nick></conference></item>"))
      << items;
  EXPECT_TRUE(Has(items, "<item id='b@x.org'>"));
  EXPECT_TRUE(Has(bob.Say(Get("urn:xmpp:bookmarks:1", "alice@example.com")), "<not-authorized"));
  // From the new to the old.
  const char* third =
      "<conference xmlns='urn:xmpp:bookmarks:1' name='C'><extensions><e xmlns='urn:e'/>"
      "</extensions></conference>";
  EXPECT_TRUE(Has(alice.Say(Publish("urn:xmpp:bookmarks:1", "c@x.org", third)), "result"));
  const std::string all = alice.Say(stored);
  EXPECT_TRUE(Has(all,
                  "<storage xmlns='storage:bookmarks'><conference jid='a@x.org' "
                  "name='A &amp; B' autojoin='true'><nick>Al</nick></conference>"))
      << all;
  EXPECT_TRUE(Has(all, "<conference jid='c@x.org' name='C'>"));
  // What storage does not name goes, and what it repeats keeps what only items have.
  EXPECT_TRUE(Has(store("<conference jid='c@x.org' name='C'/>"), "result"));
  const std::string left = alice.Say(Get("urn:xmpp:bookmarks:1"));
  EXPECT_FALSE(Has(left, "a@x.org") || Has(left, "b@x.org"));
  EXPECT_TRUE(Has(left, "<e xmlns='urn:e'")) << left;
  EXPECT_TRUE(Has(store(""), "result"));
  EXPECT_TRUE(Has(alice.Say(stored), "<storage xmlns='storage:bookmarks'></storage>"));
  // One more than there is room for.
  std::string many;
  for (uint32_t i = 0; i < 400; ++i) {
    many += "<conference jid='r" + std::to_string(i) + "@x.org'/>";
  }
  world.keeper_full = true;
  EXPECT_TRUE(Has(store(many), "<resource-constraint"));
  world.keeper_full = false;
  EXPECT_FALSE(Has(bob.Say(stored), "x.org"));
}

// XEP-0292 by PEP: contacts who wish it are told, and may read it.
TEST_F(ItemsTest, ACardOfTheFourthVersionIsPublished) {
  Befriend();
  const char* node = "urn:xmpp:vcard4";
  const char* card =
      "<vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'><fn><text>Alice</text></fn></vcard>";
  EXPECT_TRUE(Has(alice.Say(Publish(node, "current", card)), "type='result'"));
  EXPECT_TRUE(Has(bob.Say(Get(node, "alice@example.com")), card));
  EXPECT_FALSE(Has(carol.Say(Get(node, "alice@example.com")), "<vcard"));
}

TEST_F(ItemsTest, LastActivityIsForThoseWhoSee) {
  Befriend();
  const char* ask =
      "<iq type='get' id='l' to='bob@example.com'><query xmlns='jabber:iq:last'/></iq>";
  EXPECT_TRUE(Has(alice.Say(ask), "seconds='0'"));
  bob.Break();
  world.unix_seconds += 90;
  alice.Take();
  EXPECT_TRUE(Has(alice.Say(ask), "seconds='90'"));
  EXPECT_TRUE(Has(carol.Say(ask), "<service-unavailable"));
}

}  // namespace
}  // namespace gh::xmpp::test
