// Nodes' subscribers and affiliates (XEP-0060): who may become one, what they are told, what is
// left of them after a restart.
#include <gtest/gtest.h>

#include "tests/unit/xmpp/world.h"

namespace gh::xmpp::test {
namespace {

constexpr const char* kAlice = "alice@example.com";
constexpr const char* kBob = "bob@far.org/x";

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

size_t Count(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) {
    ++count;
  }
  return count;
}

std::string Query(const std::string& type, const std::string& inside,
                  const std::string& to = kAlice, const std::string& space = "") {
  return "<iq type='" + type + "' id='q' to='" + to +
         "'><pubsub xmlns='http://jabber.org/protocol/pubsub" + space + "'>" + inside +
         "</pubsub></iq>";
}

std::string Subscribe(const std::string& jid, const std::string& node = "n") {
  return Query("set", "<subscribe node='" + node + "' jid='" + jid + "'/>");
}

std::string Unsubscribe(const std::string& jid, const std::string& node = "n") {
  return Query("set", "<unsubscribe node='" + node + "' jid='" + jid + "'/>");
}

std::string Publish(const std::string& id, const std::string& node = "n") {
  return Query("set", "<publish node='" + node + "'><item id='" + id +
                          "'><t xmlns='urn:t'/></item></publish>");
}

std::string Get(const std::string& node = "n") {
  return Query("get", "<items node='" + node + "'/>");
}

std::string Configure(const std::string& field, const std::string& value) {
  return Query("set",
               "<configure node='n'><x xmlns='jabber:x:data' type='submit'><field var='pubsub#" +
                   field + "'><value>" + value + "</value></field></x></configure>",
               kAlice, "#owner");
}

std::string Affiliate(const std::string& jid, const std::string& affiliation) {
  return Query("set",
               "<affiliations node='n'><affiliation jid='" + jid + "' affiliation='" + affiliation +
                   "'/></affiliations>",
               kAlice, "#owner");
}

std::string Entities(const std::string& what) {
  return Query("get", "<" + what + " node='n'/>", kAlice, "#owner");
}

std::string SetSubscriber(const std::string& jid, const std::string& subscription) {
  return Query("set",
               "<subscriptions node='n'><subscription jid='" + jid + "' subscription='" +
                   subscription + "'/></subscriptions>",
               kAlice, "#owner");
}

Capacity With(uint32_t entities) {
  Capacity capacity = Capacity::For(12, 24);
  capacity.items.entities = entities;
  capacity.items.nodes = 3 * kNodesPerUserMax;
  return capacity;
}

// Alice has a node; carol sees her, dave does not. Bob is elsewhere.
struct Subscriptions : testing::Test, Remote {
  explicit Subscriptions(uint32_t entities = 2000)
      : capacity(With(entities)),
        world(capacity, capacity.ArenaBytes() + (1 << 20)),
        memory(4 << 20),
        arena(std::span<uint8_t>(memory)),
        heap(arena, 1 << 20, 1) {
    reader.Init(arena, heap, 0, world.random(), XmlLimits());
    world.engine().SetRemote(this);
    for (const char* name : {"alice", "carol", "dave"}) {
      world.AddUser(name);
    }
    alice.LogIn("alice", "a");
    carol.LogIn("carol", "c");
    dave.LogIn("dave", "d");
    for (Client* client : {&alice, &carol, &dave}) {
      client->Say("<presence/>");
    }
    Befriend("carol@example.com");
    Say(alice, Publish("1"));
    Flush();
  }
  ~Subscriptions() override { world.engine().SetRemote(nullptr); }
  Taken SendRemote(std::string_view, std::string_view remote,
                   std::span<const uint8_t> stanza) override {
    sent[std::string(remote)] += AsText(stanza);
    return taken;
  }
  std::string Sent() { return std::exchange(sent["far.org"], ""); }
  std::string Come(const std::string& stanza, const std::string& from = kBob) {
    reader.Begin(true);
    std::span<const uint8_t> in = AsBytes(stanza);
    EXPECT_EQ(reader.Read(in), XmlEvent::kStanza) << stanza;
    world.engine().OnRemote(*Address::Parse(from), *Address::Parse(kAlice), reader.root());
    return Sent();
  }
  // She has shown herself to them for long.
  void Befriend(const std::string& who, uint8_t state = kFrom | kInRoster) {
    Directory& directory = world.engine().directory();
    Account& owner = *directory.Find(kAlice);
    Contact* contact = directory.FindContact(owner, who);
    contact = contact != nullptr ? contact : directory.AddContact(owner, who);
    contact->state = state;
    directory.KeepContact(owner, *contact, true);
  }
  std::string Say(Client& client, const std::string& text) {
    for (Client* each : {&alice, &carol, &dave}) {
      each->Take();
    }
    return client.Say(text);
  }
  void Flush() {
    for (Client* each : {&alice, &carol, &dave}) {
      each->Take();
    }
    Sent();
  }
  // What an event is to this client.
  std::string Told(Client& client, const std::string& id = "2") {
    Flush();
    return alice.Say(Publish(id)) + client.Take();
  }
  uint32_t Known() { return world.engine().items().entity_count(); }
  ItemNode& TheNode() { return *world.engine().directory().Find(kAlice)->nodes.front(); }

  Capacity capacity;
  World world;
  std::vector<uint8_t> memory;
  Arena arena;
  Heap heap;
  XmlReader reader;
  Client alice{world, 1}, carol{world, 2}, dave{world, 3};
  std::map<std::string, std::string> sent;
  Taken taken = Taken::kYes;
};

TEST_F(Subscriptions, AreToldOnceWhateverTheClientWishes) {
  const std::string got = Say(carol, Subscribe("carol@example.com"));
  EXPECT_TRUE(Has(got, "from='alice@example.com'")) << got;
  EXPECT_TRUE(Has(got,
                  "<pubsub xmlns='http://jabber.org/protocol/pubsub'><subscription node='n' "
                  "jid='carol@example.com' subscription='subscribed'/></pubsub>"))
      << got;
  EXPECT_TRUE(Has(got, "<item id='1'>")) << got;  // the last one
  EXPECT_TRUE(Has(Told(carol), "to='carol@example.com'><event "));
  // She wishes for the node besides, and a second time by her full address.
  const std::string asked = carol.Say(
      "<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' "
      "ver='AAAAAAAAAAAAAAAAAAAAAAAAAAA='/></presence>");
  carol.Say("<iq type='result' id='caps-" + Between(asked, "id='caps-", "'") +
            "' to='example.com'><query xmlns='http://jabber.org/protocol/disco#info'>"
            "<feature var='n+notify'/></query></iq>");
  EXPECT_EQ(Count(Told(carol, "3"), "<event "), 1u);
  EXPECT_TRUE(Has(Say(carol, Subscribe("carol@example.com/c")), "subscribed"));
  EXPECT_EQ(Count(Told(carol, "4"), "<event "), 1u);
  // Where a message to her address would not go, her own subscription counts.
  carol.Say("<presence><priority>-1</priority></presence>");
  EXPECT_TRUE(Has(Told(carol, "5"), "to='carol@example.com/c'><event "));
  // What becomes of the node is told too; then nobody has subscribed.
  Flush();
  alice.Say(Query("set", "<retract node='n'><item id='5'/></retract>"));
  EXPECT_TRUE(Has(carol.Take(), "<retract id='5'/>"));
  alice.Say(Query("set", "<delete node='n'/>", kAlice, "#owner"));
  EXPECT_EQ(Count(carol.Take(), "<delete node='n'>"), 1u);
  EXPECT_EQ(Known(), 0u);
}

TEST_F(Subscriptions, AreForThoseWhoMayRead) {
  // Of himself alone.
  for (const char* jid : {"dave@example.com", "carol@example.com/other", "", "@"}) {
    const std::string got = Say(carol, Subscribe(jid));
    EXPECT_TRUE(Has(got, "<bad-request") && Has(got, "<invalid-jid")) << jid << got;
  }
  EXPECT_TRUE(Has(Say(carol, Subscribe("carol@example.com", "none")), "<item-not-found"));
  // A stranger does not learn what there is.
  Say(alice, Configure("access_model", "whitelist"));
  const std::string closed = Say(carol, Subscribe("carol@example.com"));
  EXPECT_TRUE(Has(closed, "type='cancel'") && Has(closed, "<not-allowed")) << closed;
  EXPECT_TRUE(Has(closed, "<closed-node xmlns='http://jabber.org/protocol/pubsub#errors'/>"));
  for (const char* access : {"whitelist", "presence", "roster"}) {
    Say(alice, Configure("access_model", access));
    for (const char* node : {"n", "none"}) {
      const std::string got = Say(dave, Subscribe("dave@example.com", node));
      EXPECT_TRUE(Has(got, "<not-authorized") && Has(got, "<presence-subscription-required"))
          << got;
    }
  }
  Befriend("carol@example.com", kFrom);
  EXPECT_TRUE(Has(Say(carol, Subscribe("carol@example.com")), "<not-in-roster-group"));
  EXPECT_TRUE(Has(Say(carol, Query("get", "<subscriptions node='none'/>")), "<item-not-found"));
  EXPECT_EQ(Known(), 0u);
  // Her own node, and an open one.
  EXPECT_TRUE(Has(Say(alice, Subscribe("alice@example.com/a")), "subscribed"));
  EXPECT_EQ(Count(Told(alice), "<item id='2'><t"), 1u);
  Say(alice, Configure("access_model", "open"));
  EXPECT_TRUE(Has(Say(dave, Subscribe("dave@example.com")), "subscribed"));
  EXPECT_TRUE(Has(Told(dave), "<event "));
}

TEST_F(Subscriptions, AreListedAndEnd) {
  Say(carol, Subscribe("carol@example.com"));
  Say(carol, Subscribe("carol@example.com/c"));
  EXPECT_TRUE(Has(Say(carol, Subscribe("carol@example.com")), "subscribed"));  // as before
  EXPECT_EQ(Known(), 2u);
  for (const char* of : {"<subscriptions/>", "<subscriptions node='n'/>"}) {
    const std::string got = Say(carol, Query("get", of));
    EXPECT_TRUE(
        Has(got, "<subscription node='n' jid='carol@example.com' subscription='subscribed'/>"))
        << got;
    EXPECT_TRUE(Has(got, "jid='carol@example.com/c'")) << got;
  }
  EXPECT_TRUE(Has(Say(dave, Query("get", "<subscriptions/>")), "<subscriptions></subscriptions>"));
  EXPECT_TRUE(Has(Say(dave, Unsubscribe("carol@example.com")), "<forbidden"));
  EXPECT_TRUE(Has(Say(dave, Unsubscribe("dave@example.com")), "<not-subscribed"));
  EXPECT_TRUE(Has(Say(dave, Unsubscribe("dave@example.com", "none")), "<not-subscribed"));
  EXPECT_TRUE(Has(Say(carol, Unsubscribe("carol@example.com", "none")), "<item-not-found"));
  EXPECT_TRUE(Has(Say(carol, Unsubscribe("@")), "<invalid-jid"));
  EXPECT_TRUE(Has(Say(carol, Unsubscribe("carol@example.com")), "type='result'"));
  EXPECT_TRUE(Has(Told(carol), "to='carol@example.com/c'"));
  // The session's own goes with it.
  carol.Break();
  EXPECT_EQ(Known(), 0u);
}

TEST_F(Subscriptions, EndWithTheRightToRead) {
  const auto subscribe = [&] {
    Befriend("carol@example.com");
    EXPECT_TRUE(Has(Say(carol, Subscribe("carol@example.com")), "subscribed"));
    EXPECT_EQ(Known(), 1u);
  };
  subscribe();
  alice.Say("<presence to='carol@example.com' type='unsubscribed'/>");
  EXPECT_EQ(Known(), 0u);
  subscribe();
  carol.Say("<presence to='alice@example.com' type='unsubscribe'/>");
  Befriend("carol@example.com", kInRoster);
  EXPECT_FALSE(Has(Told(carol), "<event"));  // judged at the event, where nothing was said before
  EXPECT_EQ(Known(), 0u);
  subscribe();
  alice.Say(
      "<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='carol@example.com' "
      "subscription='remove'/></query></iq>");
  EXPECT_EQ(Known(), 0u);
  subscribe();
  alice.Say(
      "<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='carol@example.com'/>"
      "</block></iq>");
  EXPECT_EQ(Known(), 0u);
  alice.Say("<iq type='set' id='b'><unblock xmlns='urn:xmpp:blocking'/></iq>");
  subscribe();
  Say(alice, Configure("access_model", "whitelist"));
  EXPECT_EQ(Known(), 0u);
  Say(alice, Configure("access_model", "presence"));
  subscribe();
  // Who blocks her hears nothing, and keeps the subscription for when he hears again.
  carol.Say(
      "<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='alice@example.com'/>"
      "</block></iq>");
  EXPECT_FALSE(Has(Told(carol, "3"), "<event"));
  carol.Say("<iq type='set' id='b'><unblock xmlns='urn:xmpp:blocking'/></iq>");
  EXPECT_TRUE(Has(Told(carol, "4"), "<event "));
  EXPECT_TRUE(world.engine().RemoveUser("carol@example.com").ok());
  EXPECT_EQ(Known(), 0u);
}

TEST_F(Subscriptions, OfUsersElsewhere) {
  EXPECT_TRUE(Has(Come(Subscribe("bob@far.org")), "<presence-subscription-required"));
  Befriend("bob@far.org");
  const std::string got = Come(Subscribe("bob@far.org"));
  EXPECT_TRUE(Has(got, "jid='bob@far.org' subscription='subscribed'")) << got;
  EXPECT_TRUE(Has(got, "to='bob@far.org'><event") && Has(got, "<item id='1'>")) << got;
  EXPECT_TRUE(Has(Come(Subscribe(kBob)), "subscribed"));
  EXPECT_TRUE(Has(Come(Subscribe("eve@far.org")), "<invalid-jid"));
  EXPECT_TRUE(Has(Come(Query("get", "<subscriptions/>")), "jid='bob@far.org/x'"));
  // His server tells his clients, and none is told twice.
  alice.Say(Publish("3"));
  EXPECT_EQ(Count(Sent(), "<event"), 1u);
  // Where it finds no room it is not sent.
  const uint64_t refused = world.engine().counters().refused;
  taken = Taken::kFull;
  alice.Say(Publish("4"));
  EXPECT_GT(world.engine().counters().refused, refused);
  taken = Taken::kYes;
  Flush();
  Come(Unsubscribe("bob@far.org"));
  alice.Say(Publish("5"));
  EXPECT_TRUE(Has(Sent(), "to='bob@far.org/x'"));
  // A client's goes with it, or where it does not hear.
  Come("<presence type='unavailable'/>");
  EXPECT_EQ(Known(), 0u);
  Come(Subscribe(kBob));
  EXPECT_EQ(Known(), 1u);
  Come("<message type='error'/>");
  EXPECT_EQ(Known(), 0u);
  Come(Subscribe("bob@far.org"));
  Come("<message type='error'/>");
  Come("<presence type='unavailable'/>");
  EXPECT_EQ(Known(), 1u);
  Come("<presence type='unsubscribe'/>");
  EXPECT_EQ(Known(), 0u);
}

TEST_F(Subscriptions, AreSetByTheOwner) {
  Say(carol, Subscribe("carol@example.com"));
  Befriend("bob@far.org");
  EXPECT_TRUE(Has(Say(dave, Entities("subscriptions")), "<forbidden"));
  EXPECT_TRUE(Has(Say(carol, SetSubscriber("carol@example.com", "none")), "<forbidden"));
  EXPECT_TRUE(Has(Say(alice, Entities("subscriptions")),
                  "<subscription jid='carol@example.com' subscription='subscribed'/>"));
  EXPECT_TRUE(Has(Say(alice, SetSubscriber("carol@example.com", "none")), "type='result'"));
  EXPECT_TRUE(Has(carol.Take(),
                  "<event xmlns='http://jabber.org/protocol/pubsub#event'><subscription node='n' "
                  "jid='carol@example.com' subscription='none'/></event>"));
  EXPECT_FALSE(Has(Told(carol), "<event"));
  EXPECT_TRUE(Has(Say(alice, SetSubscriber("bob@far.org", "subscribed")), "type='result'"));
  EXPECT_TRUE(Has(Sent(), "<subscription node='n' jid='bob@far.org' subscription='subscribed'/>"));
  alice.Say(Publish("3"));
  EXPECT_TRUE(Has(Sent(), "<item id='3'>"));
  // Nobody is sent what he did not ask for and could not have.
  Say(alice, Configure("access_model", "open"));
  for (const char* jid : {"dave@example.com", "eve@far.org", "@", "bob@far.org/x"}) {
    EXPECT_TRUE(Has(Say(alice, SetSubscriber(jid, "subscribed")), "<not-acceptable")) << jid;
  }
  EXPECT_TRUE(Has(Say(alice, SetSubscriber("carol@example.com", "pending")), "<not-acceptable"));
  EXPECT_EQ(Known(), 1u);
}

TEST_F(Subscriptions, AffiliationsSayWhatAccessDoesNot) {
  Say(alice, Configure("access_model", "whitelist"));
  EXPECT_TRUE(Has(Say(dave, Get()), "<not-authorized"));
  EXPECT_TRUE(Has(Say(alice, Affiliate("dave@example.com", "member")), "type='result'"));
  EXPECT_TRUE(Has(Say(dave, Get()), "<item id='1'>"));
  EXPECT_TRUE(Has(Say(dave, Subscribe("dave@example.com")), "subscribed"));
  EXPECT_TRUE(Has(Told(dave), "<event "));
  EXPECT_TRUE(Has(Say(dave, Publish("3")), "<forbidden"));
  // An outcast does not read what everybody may.
  Say(alice, Configure("access_model", "open"));
  EXPECT_TRUE(Has(Say(alice, Affiliate("dave@example.com/d", "outcast")), "type='result'"));
  EXPECT_FALSE(Has(Told(dave), "<event"));
  EXPECT_TRUE(Has(Say(dave, Get()), "<not-authorized"));
  EXPECT_TRUE(Has(Say(dave, Subscribe("dave@example.com")), "<forbidden"));
  EXPECT_TRUE(Has(Say(dave, Query("get", "<affiliations/>")),
                  "<affiliation node='n' affiliation='outcast'/>"));
  // A publisher publishes and retracts, and no more.
  Say(alice, Affiliate("dave@example.com", "publisher"));
  EXPECT_TRUE(Has(Say(dave, Publish("3")), "<publish node='n'><item id='3'/>"));
  EXPECT_TRUE(Has(Say(dave, Get()), "<item id='3'>"));
  EXPECT_TRUE(Has(Say(dave, Publish("1", "new")), "<forbidden"));
  EXPECT_TRUE(Has(Say(dave, Configure("access_model", "open")), "<forbidden"));
  EXPECT_TRUE(Has(Say(dave, Query("set", "<retract node='n'><item id='3'/></retract>")), "result"));
  // Another owner does what she does, but it is her account.
  Say(alice, Affiliate("dave@example.com", "owner"));
  EXPECT_TRUE(Has(Say(dave, Configure("max_items", "7")), "type='result'"));
  EXPECT_TRUE(Has(Say(dave, Affiliate("carol@example.com", "outcast")), "type='result'"));
  EXPECT_TRUE(Has(Say(dave, Affiliate(kAlice, "none")), "<not-acceptable"));
  EXPECT_TRUE(Has(Say(dave, Affiliate("carol@example.com", "admin")), "<bad-request"));
  EXPECT_TRUE(Has(Say(dave, Affiliate("@", "member")), "<bad-request"));
  EXPECT_TRUE(Has(Say(dave, Publish("1", "new")), "<forbidden"));
  const std::string all = Say(dave, Entities("affiliations"));
  EXPECT_TRUE(Has(all,
                  "<affiliations node='n'><affiliation jid='alice@example.com' "
                  "affiliation='owner'/><affiliation jid='dave@example.com' affiliation='owner'/>"
                  "<affiliation jid='carol@example.com' affiliation='outcast'/></affiliations>"))
      << all;
  EXPECT_TRUE(Has(Say(carol, Get()), "<not-authorized"));
  Say(alice, Affiliate("dave@example.com", "none"));
  Say(alice, Affiliate("carol@example.com", "none"));
  EXPECT_EQ(Known(), 0u);
  EXPECT_TRUE(Has(Say(alice, Query("get", "<affiliations node='n'/>")),
                  "<affiliation node='n' affiliation='owner'/>"));
}

TEST_F(Subscriptions, WhoMayPublishIsTheNodesToSay) {
  Say(alice, Configure("access_model", "open"));
  EXPECT_TRUE(Has(Say(dave, Publish("2")), "<forbidden"));
  EXPECT_TRUE(Has(Say(alice, Configure("publish_model", "subscribers")), "type='result'"));
  EXPECT_TRUE(Has(Say(dave, Publish("2")), "<forbidden"));
  Say(dave, Subscribe("dave@example.com"));
  EXPECT_TRUE(Has(Say(dave, Publish("2")), "<item id='2'/>"));
  EXPECT_TRUE(Has(Say(carol, Publish("3")), "<forbidden"));
  EXPECT_TRUE(Has(Say(alice, Configure("publish_model", "open")), "type='result'"));
  EXPECT_TRUE(Has(Say(carol, Publish("3")), "<item id='3'/>"));
  Say(alice, Affiliate("carol@example.com", "outcast"));
  EXPECT_TRUE(Has(Say(carol, Publish("4")), "<forbidden"));
  EXPECT_TRUE(Has(Say(alice, Configure("publish_model", "all")), "<not-acceptable"));
  EXPECT_TRUE(Has(Say(alice, Query("get", "<configure node='n'/>", kAlice, "#owner")),
                  "var='pubsub#publish_model'><value>open</value>"));
  world.Commit();
  EXPECT_EQ(world.disk["w00000001"
                       "0000000000000001"][1],
            0x21);
}

TEST_F(Subscriptions, SurviveARestart) {
  Befriend("bob@far.org");
  Say(carol, Subscribe("carol@example.com"));
  Say(carol, Subscribe("carol@example.com/c"));  // until she goes
  Come(Subscribe("bob@far.org"));
  Say(alice, Affiliate("dave@example.com", "publisher"));
  Say(alice, Configure("publish_model", "subscribers"));
  world.Commit();
  World after(capacity, capacity.ArenaBytes() + (1 << 20));
  for (const auto& [key, value] : world.disk) {
    EXPECT_TRUE(after.engine().Load(key, AsBytes(value)).ok()) << key;
  }
  after.disk = world.disk;
  EXPECT_EQ(after.engine().items().entity_count(), 3u);
  Client her(after, 1);
  her.LogIn("alice", "a");
  const std::string all = her.Say(Entities("subscriptions"));
  EXPECT_TRUE(Has(all, "jid='carol@example.com'") && Has(all, "jid='bob@far.org'")) << all;
  EXPECT_TRUE(Has(her.Say(Entities("affiliations")), "jid='dave@example.com'"));
  Client him(after, 2);
  him.LogIn("dave", "d");
  EXPECT_TRUE(Has(him.Say(Publish("2")), "<item id='2'/>"));
  EXPECT_TRUE(after.engine().RemoveUser("dave@example.com").ok());
  EXPECT_EQ(after.engine().items().entity_count(), 2u);
  // One who comes after has a number of his own.
  EXPECT_TRUE(Has(her.Say(Affiliate("eve@far.org", "member")), "type='result'"));
  EXPECT_TRUE(after.engine().RemoveUser(kAlice).ok());
  EXPECT_EQ(after.engine().items().entity_count(), 0u);
  after.Commit();
  for (const auto& [key, value] : after.disk) {
    EXPECT_NE(key[0], 'z') << key;
  }
  // Rows nobody could have written.
  const std::string key =
      "z00000001"
      "0000010000000001";
  for (const std::string bad : {"", "\x01\x01",
                                "\x01\x01\x05"
                                "bob@far.org",
                                "\x02\x01\x01"
                                "a@b.c"}) {
    EXPECT_FALSE(world.engine().Load(key, AsBytes(bad)).ok()) << bad;
  }
  EXPECT_FALSE(world.engine()
                   .Load("z00000001"
                         "0000ff0000000001",
                         AsBytes("\x01\x01\x01"
                                 "a@b.c"))
                   .ok());
}

TEST_F(Subscriptions, AreRefusedWhileNothingIsKept) {
  world.keeper_full = true;
  EXPECT_TRUE(Has(Say(carol, Subscribe("carol@example.com")), "type='error'"));
  EXPECT_TRUE(Has(Say(alice, Affiliate("dave@example.com", "member")), "<resource-constraint"));
  EXPECT_TRUE(Has(Say(alice, Affiliate("carol@example.com", "none")), "type='result'"));
  EXPECT_EQ(Known(), 0u);
  EXPECT_TRUE(Has(Say(carol, Subscribe("carol@example.com/c")), "subscribed"));  // is not kept
  world.keeper_full = false;
  Say(alice, Affiliate("dave@example.com", "member"));
  world.keeper_full = true;
  EXPECT_TRUE(Has(Say(alice, Affiliate("dave@example.com", "outcast")), "<resource-constraint"));
  EXPECT_TRUE(Has(Say(alice, Entities("affiliations")), "affiliation='member'"));
}

TEST_F(Subscriptions, OfOneNodeAndOfOneUser) {
  static_assert(kEntitiesPerUserMax % kEntitiesPerNodeMax == 0);
  const auto publish = [&](uint32_t i) {
    const std::string node = i == 0 ? "n" : "n" + std::to_string(i);
    alice.Say(Publish("1", node));
    alice.Say(Query("set",
                    "<configure node='" + node +
                        "'><x xmlns='jabber:x:data'><field var='pubsub#access_model'><value>open"
                        "</value></field></x></configure>",
                    kAlice, "#owner"));
    return node;
  };
  uint32_t user = 0;
  const auto fill = [&](const std::string& node, uint32_t count) {
    for (uint32_t i = 0; i < count; ++i, ++user) {
      const std::string bob = "bob" + std::to_string(user) + "@far.org";
      EXPECT_TRUE(Has(Come(Subscribe(bob, node), bob + "/x"), "subscribed")) << user;
    }
  };
  for (uint32_t i = 0; i < kEntitiesPerUserMax / kEntitiesPerNodeMax; ++i) {
    const std::string node = publish(i);
    fill(node, kEntitiesPerNodeMax);
    const std::string got = Say(dave, Subscribe("dave@example.com", node));
    EXPECT_TRUE(Has(got, "<policy-violation") && Has(got, "<too-many-subscriptions")) << got;
  }
  EXPECT_TRUE(Has(Say(alice, Affiliate("dave@example.com", "outcast")), "<resource-constraint"));
  EXPECT_EQ(Known(), kEntitiesPerUserMax);
  const std::string last = publish(kEntitiesPerUserMax / kEntitiesPerNodeMax);
  EXPECT_TRUE(Has(Say(dave, Subscribe("dave@example.com", last)), "<too-many-subscriptions"));
  Come(Unsubscribe("bob0@far.org"), "bob0@far.org/x");
  EXPECT_TRUE(Has(Say(dave, Subscribe("dave@example.com", last)), "subscribed"));
}

TEST_F(Subscriptions, OfOneReader) {
  Say(alice, Configure("access_model", "open"));
  uint32_t count = 0;
  for (const char* owner : {"alice", "carol", "dave"}) {
    Client& client = owner[0] == 'a' ? alice : owner[0] == 'c' ? carol : dave;
    const std::string to = std::string(owner) + "@example.com";
    for (uint32_t i = 0; i < kNodesPerUserMax; ++i) {
      const std::string node = "m" + std::to_string(i);
      client.Say(Query("set",
                       "<create node='" + node +
                           "'/><configure><x xmlns='jabber:x:data'><field "
                           "var='pubsub#access_model'><value>open</value></field></x></configure>",
                       to));
      const std::string got =
          dave.Say(Query("set", "<subscribe node='" + node + "' jid='dave@example.com'/>", to));
      count += Has(got, "subscription='subscribed'") ? 1 : 0;
    }
  }
  EXPECT_EQ(count, kSubscriptionsPerUserMax);
}

struct FewSubscriptions : Subscriptions {
  FewSubscriptions() : Subscriptions(kFew) {}
  static constexpr uint32_t kFew = 10;
};

// Users of other servers have their share of all places, and no more.
TEST_F(FewSubscriptions, LeaveRoomForOurs) {
  static_assert(Pool<NodeEntity>::bytes_per_item() == 88);
  EXPECT_EQ(Capacity::For(100'000, 100'000).items.entities, 100'000u);
  Say(alice, Configure("access_model", "open"));
  const uint32_t share = kFew * kEntitiesAwayPercent / 100;
  for (uint32_t i = 0; i < kFew; ++i) {
    const std::string bob = "bob" + std::to_string(i) + "@far.org";
    EXPECT_EQ(Has(Come(Subscribe(bob), bob + "/x"), "subscribed"), i < share) << i;
  }
  for (uint32_t i = share; i <= kFew; ++i) {
    const std::string user = "user" + std::to_string(i) + "@example.com";
    EXPECT_EQ(Has(Say(alice, Affiliate(user, "member")), "result"), i < kFew) << i;
  }
  EXPECT_EQ(Known(), kFew);
}

}  // namespace
}  // namespace gh::xmpp::test
