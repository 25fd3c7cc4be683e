// Messages that wait, one by one (XEP-0013), and what a session does not want to be sent
// (XEP-0273).
#include <gtest/gtest.h>

#include "tests/unit/xmpp/room_scene.h"

namespace gh::xmpp::test {
namespace {

constexpr const char* kNode = "http://jabber.org/protocol/offline";

std::string Disco(const std::string& what, const std::string& to = "") {
  return "<iq type='get' id='d'" + (to.empty() ? to : " to='" + to + "'") +
         "><query xmlns='http://jabber.org/protocol/disco#" + what + "' node='" + kNode +
         "'/></iq>";
}

std::string Offline(const std::string& type, const std::string& inside) {
  return "<iq type='" + type + "' id='o'><offline xmlns='" + kNode + "'>" + inside +
         "</offline></iq>";
}

std::string Item(const std::string& action, const std::string& node) {
  return "<item action='" + action + "' node='" + node + "'/>";
}

std::string To(const std::string& to, const std::string& body) {
  return "<message to='" + to + "' type='chat'><body>" + body + "</body></message>";
}

struct FlexibleOffline : testing::Test {
  FlexibleOffline() {
    world.AddUser("alice");
    world.AddUser("bob");
    Config config = World::MakeConfig();
    config.messages_per_user = 1000;
    world.engine().Apply(config);
    bob.LogIn("bob", "b");
    bob.Say("<presence/>");
    for (const char* body : {"one", "two", "three"}) {
      bob.Say(To("alice@example.com", body));
    }
    alice.LogIn("alice", "a");
  }
  Account& Of(const std::string& name) {
    return *world.engine().directory().Find(name + "@example.com");
  }
  // The nodes of what waits, as they are listed.
  std::vector<std::string> Nodes() {
    std::vector<std::string> nodes;
    const std::string got = alice.Say(Disco("items"));
    for (size_t at = got.find("<item "); at != got.npos; at = got.find("<item ", at + 1)) {
      nodes.push_back(Between(got.substr(at), " node='", "'"));
    }
    return nodes;
  }
  World world{20, 20};
  Client bob{world, 2};
  Client alice{world, 1};
};

// Examples 1 to 6.
TEST_F(FlexibleOffline, IsCountedAndListed) {
  EXPECT_TRUE(Has(alice.Say("<iq type='get' id='d' to='example.com'><query "
                            "xmlns='http://jabber.org/protocol/disco#info'/></iq>"),
                  "<feature var='http://jabber.org/protocol/offline'/>"));
  EXPECT_TRUE(Has(alice.Say(Disco("info")),
                  "<identity category='automation' type='message-list'/>"
                  "<feature var='http://jabber.org/protocol/offline'/>"
                  "<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'>"
                  "<value>http://jabber.org/protocol/offline</value></field>"
                  "<field var='number_of_messages'><value>3</value></field></x></query>"));
  const std::string got = alice.Say(Disco("items"));
  EXPECT_EQ(Count(got, "<item jid='alice@example.com' node='"), 3u);
  EXPECT_EQ(Count(got, "' name='bob@example.com/b'/>"), 3u);
  auto nodes = Nodes();
  EXPECT_TRUE(std::is_sorted(nodes.begin(), nodes.end()));
  // Not sent with her presence, nor to another session of hers; what comes now is.
  EXPECT_FALSE(Has(alice.Say("<presence/>"), "<message"));
  Client other(world, 3);
  other.LogIn("alice", "other");
  EXPECT_FALSE(Has(other.Say("<presence/>"), "<message"));
  bob.Say(To("alice@example.com", "now"));
  EXPECT_TRUE(Has(alice.Take(), "now"));
  // When she has gone, they are sent as ever.
  alice.Say("</stream:stream>");
  other.Say("<presence type='unavailable'/>");
  EXPECT_EQ(Count(other.Say("<presence/>"), "<message"), 3u);
}

// Examples 7 to 10.
TEST_F(FlexibleOffline, IsShownAndRemovedOneByOne) {
  const auto nodes = Nodes();
  ASSERT_EQ(nodes.size(), 3u);
  std::string got = alice.Say(Offline("get", Item("view", nodes[1]) + Item("view", nodes[0])));
  EXPECT_LT(got.find("two"), got.find("one"));
  EXPECT_LT(got.find("one"), got.find("<iq type='result' id='o'"));
  EXPECT_TRUE(Has(got, "<offline xmlns='http://jabber.org/protocol/offline'><item node='" +
                           nodes[1] + "'/></offline></message>"));
  EXPECT_TRUE(Has(got, "<delay xmlns='urn:xmpp:delay'"));
  EXPECT_EQ(Nodes(), nodes);  // they are there until they are removed
  EXPECT_TRUE(Has(alice.Say(Offline("set", Item("remove", nodes[0]) + Item("remove", nodes[2]))),
                  "type='result'"));
  EXPECT_EQ(Nodes(), std::vector<std::string>{nodes[1]});
  for (const std::string& node :
       {nodes[0], std::string("2003-02-27T22:52:37.225Z"), std::string(16, 'f'), std::string()}) {
    got = alice.Say(Offline("get", Item("view", nodes[1]) + Item("view", node)));
    EXPECT_TRUE(Has(got, "<item-not-found")) << node;
    EXPECT_FALSE(Has(got, "<message")) << node;
  }
  for (const std::string& asked :
       {Offline("get", Item("remove", nodes[1])), Offline("set", Item("view", nodes[1])),
        Offline("get", "<purge/>"), Offline("get", ""), Offline("set", ""),
        Offline("get", "<fetch/><fetch/>")}) {
    EXPECT_TRUE(Has(alice.Say(asked), "<bad-request")) << asked;
  }
  EXPECT_EQ(Nodes().size(), 1u);
}

// Examples 11 to 14.
TEST_F(FlexibleOffline, IsFetchedAndPurged) {
  std::string got = alice.Say(Offline("get", "<fetch/>"));
  EXPECT_EQ(Count(got, "<offline xmlns='"), 3u);
  EXPECT_TRUE(Has(got, "<iq type='result' id='o'"));
  EXPECT_FALSE(Has(alice.Say("<presence/>"), "<message"));
  EXPECT_TRUE(Has(alice.Say(Offline("set", "<purge/>")), "type='result'"));
  EXPECT_TRUE(Has(alice.Say(Disco("items")),
                  "<query xmlns='http://jabber.org/protocol/disco#items'"
                  " node='http://jabber.org/protocol/offline'></query>"));
  EXPECT_EQ(Of("alice").waiting.size(), 0u);
  world.Commit();
  for (const auto& [key, value] : world.disk) {
    EXPECT_NE(key[0], 'm') << key;
  }
}

// Strangers are told what they are told of nobody, friends that it is not theirs.
TEST_F(FlexibleOffline, IsOnesOwn) {
  EXPECT_TRUE(Has(bob.Say(Disco("items", "alice@example.com")), "<service-unavailable"));
  EXPECT_TRUE(Has(bob.Say(Disco("items", "nobody@example.com")), "<service-unavailable"));
  alice.Say("<presence/>");
  bob.Say("<presence to='alice@example.com' type='subscribe'/>");
  alice.Say("<presence to='bob@example.com' type='subscribed'/>");
  bob.Take();
  EXPECT_TRUE(Has(bob.Say(Disco("items", "alice@example.com")), "<forbidden"));
  EXPECT_TRUE(Has(bob.Say("<iq type='set' id='o' to='alice@example.com'><offline xmlns='" +
                          std::string(kNode) + "'><purge/></offline></iq>"),
                  "<forbidden"));
}

// What a session has been sent and not acknowledged is on its way.
TEST_F(FlexibleOffline, WhatIsOnItsWayIsNotAmongThem) {
  alice.Say(Disco("info"));
  alice.Say("<enable xmlns='urn:xmpp:sm:3'/><presence/>");
  bob.Say(To("alice@example.com", "now"));
  EXPECT_EQ(Of("alice").waiting.size(), 4u);
  EXPECT_EQ(Nodes().size(), 3u);
  EXPECT_TRUE(Has(alice.Say(Disco("info")), "<value>3</value>"));
  alice.Say(Offline("set", "<purge/>"));
  EXPECT_EQ(Of("alice").waiting.size(), 1u);
}

TEST_F(FlexibleOffline, AnswersAreBounded) {
  alice.Say("</stream:stream>");
  for (uint32_t i = 3; i < kOfflineListedMax + 2; ++i) {
    bob.Say(To("alice@example.com", "x"));
  }
  Client again(world, 4);
  again.LogIn("alice", "a");
  EXPECT_TRUE(Has(again.Say(Disco("info")),
                  "<value>" + std::to_string(kOfflineListedMax + 2) + "</value>"));
  EXPECT_EQ(Count(again.Say(Disco("items")), "<item "), kOfflineListedMax);
  std::string got = again.Say(Offline("get", "<fetch/>"));
  EXPECT_EQ(Count(got, "<message"), kOfflineListedMax);
  EXPECT_TRUE(Has(got, "<resource-constraint"));
  for (uint32_t i = 0; i < 2; ++i) {
    const std::string node = Between(again.Say(Disco("items")), " node='0", "'");
    again.Say(Offline("set", Item("remove", "0" + node)));
  }
  got = again.Say(Offline("get", "<fetch/>"));
  EXPECT_EQ(Count(got, "<message"), kOfflineListedMax);
  EXPECT_FALSE(Has(got, "<resource-constraint"));
}

TEST_F(FlexibleOffline, BytesOfAnAnswer) {
  alice.Say(Offline("set", "<purge/>"));
  alice.Say("</stream:stream>");
  bob.Say(To("alice@example.com", "x"));
  Client again(world, 4);
  again.LogIn("alice", "a");
  const std::string one = again.Say(Offline("get", "<fetch/>"));
  const size_t frame = one.find("<iq ") - 1;  // of a message with nothing in it
  again.Say(Offline("set", "<purge/>"));
  again.Say("</stream:stream>");
  // As many large ones as fill it, the last one to the byte, then with one more.
  constexpr uint32_t kCount = 8;
  const size_t each = kOfflineBytesMax / kCount;
  for (uint32_t i = 0; i < kCount; ++i) {
    bob.Say(To("alice@example.com", std::string(each - frame, 'x')));
  }
  Client third(world, 5);
  third.LogIn("alice", "a");
  std::string got = third.Say(Offline("get", "<fetch/>"));
  EXPECT_EQ(got.find("<iq "), size_t{kOfflineBytesMax});
  EXPECT_TRUE(Has(got, "type='result'"));
  third.Say("</stream:stream>");
  bob.Say(To("alice@example.com", "x"));
  Client fourth(world, 6);
  fourth.LogIn("alice", "a");
  got = fourth.Say(Offline("get", "<fetch/>"));
  EXPECT_EQ(Count(got, "<message"), kCount);
  EXPECT_TRUE(Has(got, "<resource-constraint"));
}

// --- SIFT (XEP-0273) -----------------------------------------------------------------------------

struct Sift : testing::Test {
  Sift() {
    world.AddUser("alice");
    world.AddUser("bob");
    alice.LogIn("alice", "a");
    other.LogIn("alice", "o");
    bob.LogIn("bob", "b");
    for (Client* each : {&alice, &other, &bob}) {
      each->Say("<presence/>");
    }
    bob.Say("<presence to='alice@example.com' type='subscribed'/>");
    alice.Say("<presence to='bob@example.com' type='subscribe'/>");
    bob.Say("<presence to='alice@example.com' type='subscribed'/>");
    Quiet();
  }
  void Quiet() {
    alice.Take();
    other.Take();
    bob.Take();
  }
  std::string Wish(const std::string& inside, const std::string& space = "urn:xmpp:sift:2") {
    return alice.Say("<iq type='set' id='s' to='alice@example.com'><sift xmlns='" + space + "'>" +
                     inside + "</sift></iq>");
  }
  World world{20, 20};
  Client alice{world, 1}, other{world, 2}, bob{world, 3};
};

TEST_F(Sift, SaysWhatItCanDo) {
  const std::string got = alice.Say(
      "<iq type='get' id='d' to='example.com'><query "
      "xmlns='http://jabber.org/protocol/disco#info'/></iq>");
  for (const char* feature : {"urn:xmpp:sift:2", "urn:xmpp:sift:stanzas:iq",
                              "urn:xmpp:sift:stanzas:message", "urn:xmpp:sift:stanzas:presence",
                              "urn:xmpp:sift:senders:others", "urn:xmpp:sift:recipients:bare"}) {
    EXPECT_TRUE(Has(got, std::string("<feature var='") + feature + "'/>")) << feature;
  }
  EXPECT_FALSE(Has(got, "urn:xmpp:sift:payloads"));
  EXPECT_TRUE(Has(Wish("<message/>", "urn:xmpp:sift:1"), "<service-unavailable"));
  EXPECT_TRUE(Has(Wish("<iq><allow name='jingle' ns='urn:xmpp:jingle:1'/></iq>"),
                  "<feature-not-implemented"));
  EXPECT_TRUE(Has(Wish("<stanza/>"), "<feature-not-implemented"));
  EXPECT_TRUE(Has(Wish("<message sender='nobody'/>"), "<bad-request"));
  EXPECT_TRUE(Has(Wish("<message recipient='both'/>"), "<bad-request"));
  EXPECT_TRUE(Has(Wish("<message/><message/>"), "<bad-request"));
}

// Messages from others and presence from all; then nothing of it.
TEST_F(Sift, HoldsBackMessagesAndPresence) {
  EXPECT_TRUE(Has(Wish("<message sender='others'/><presence/>"), "type='result'"));
  bob.Say(To("alice@example.com", "to the other"));
  bob.Say("<presence><show>away</show></presence>");
  EXPECT_EQ(alice.Take(), "");
  EXPECT_TRUE(Has(other.Take(), "to the other"));
  other.Say(To("alice@example.com/a", "to myself"));
  EXPECT_TRUE(Has(alice.Take(), "to myself"));
  // With nobody who takes them they wait; when they are wanted again, they come.
  other.Say("</stream:stream>");
  alice.Take();
  bob.Say(To("alice@example.com", "waits"));
  bob.Say(To("alice@example.com/a", "waits too"));
  EXPECT_EQ(alice.Take(), "");
  std::string got = Wish("");
  EXPECT_TRUE(Has(got, "waits</body>"));
  EXPECT_TRUE(Has(got, "waits too</body>"));
  EXPECT_TRUE(Has(got, "<show>away</show>"));
  // Subscriptions are no notifications.
  Wish("<presence/>");
  world.AddUser("carol");
  Client carol(world, 4);
  carol.LogIn("carol", "c");
  carol.Say("<presence to='alice@example.com' type='subscribe'/>");
  EXPECT_TRUE(Has(alice.Take(), "type='subscribe'"));
}

// Section 5.1: as a negative priority.
TEST_F(Sift, GoesByTheRecipientAndTheSender) {
  Wish("<message recipient='bare'/>");
  bob.Say(To("alice@example.com", "bare"));
  EXPECT_EQ(alice.Take(), "");
  EXPECT_TRUE(Has(other.Take(), "bare"));
  bob.Say(To("alice@example.com/a", "full"));
  EXPECT_TRUE(Has(alice.Take(), "full"));
  Wish("<message recipient='full' sender='local'/>");
  bob.Say(To("alice@example.com", "bare"));
  EXPECT_TRUE(Has(alice.Take(), "bare"));
  Quiet();
  for (const auto& [sender, hears_bob, hears_herself] :
       {std::tuple("all", false, false), std::tuple("local", false, false),
        std::tuple("others", false, true), std::tuple("remote", true, true),
        std::tuple("self", true, false)}) {
    Wish(std::string("<message sender='") + sender + "'/>");
    bob.Say("<message to='alice@example.com/a' type='headline'><body>b</body></message>");
    EXPECT_EQ(Has(alice.Take(), "from='bob@"), hears_bob) << sender;
    other.Say("<message to='alice@example.com/a' type='headline'><body>o</body></message>");
    EXPECT_EQ(Has(alice.Take(), "from='alice@"), hears_herself) << sender;
  }
}

TEST_F(Sift, QueriesAreAnsweredForIt) {
  Wish("<iq/>");
  const auto ask = [&](const std::string& type) {
    return bob.Say("<iq type='" + type +
                   "' id='v' to='alice@example.com/a'><query xmlns='urn:q'/>"
                   "</iq>");
  };
  EXPECT_TRUE(Has(ask("get"), "<service-unavailable"));
  EXPECT_EQ(alice.Take(), "");
  ask("result");  // she has asked for it
  EXPECT_TRUE(Has(alice.Take(), "urn:q"));
  EXPECT_TRUE(Has(alice.Say("<iq type='get' id='p' to='example.com'><ping xmlns='urn:xmpp:ping'/>"
                            "</iq>"),
                  "type='result'"));
  Wish("");
  ask("get");
  EXPECT_TRUE(Has(alice.Take(), "urn:q"));
}

}  // namespace
}  // namespace gh::xmpp::test
