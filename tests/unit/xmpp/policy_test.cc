// Who sees and reaches whom: users' own policies, polite blocking, limits of watchers, the switches
// for presence and messages, watches for a while; and to which clients a chat goes.
#include <gtest/gtest.h>

#include "tests/unit/xmpp/world.h"

namespace gh::xmpp::test {
namespace {

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

constexpr const char* kSubscribe = "<presence to='alice@example.com' type='subscribe'/>";

// Records what goes to other servers.
struct Away final : Remote {
  Taken SendRemote(std::string_view, std::string_view remote,
                   std::span<const uint8_t> stanza) override {
    sent += std::string(remote) + ": " + std::string(AsText(stanza)) + "\n";
    return Taken::kYes;
  }
  std::string Take() { return std::exchange(sent, ""); }
  std::string sent;
};

struct Policy : testing::Test {
  Policy() {
    alice_account = world.AddUser("alice");
    world.AddUser("bob");
    world.AddUser("carol");
    world.engine().SetRemote(&away);
    alice.LogIn("alice", "a");
    bob.LogIn("bob", "b");
    alice.Say("<presence/>");
    bob.Say("<presence/>");
  }
  void Apply() { world.engine().Apply(config); }
  void Befriend() {
    bob.Say(kSubscribe);
    alice.Say("<presence to='bob@example.com' type='subscribed'/>");
    alice.Take();
    bob.Take();
  }
  void FromAway(const std::string& stanza, const std::string& from = "dave@away.example") {
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
  Directory& directory() { return world.engine().directory(); }
  Config config = World::MakeConfig();
  World world{20, 20};
  Away away;
  Account* alice_account;
  Client alice{world, 1};
  Client bob{world, 2};
};

TEST_F(Policy, AsksUnlessSheOrTheOperatorSaysOtherwise) {
  bob.Say(kSubscribe);
  EXPECT_TRUE(Has(alice.Take(), "type='subscribe'"));
  alice.Say("<presence to='bob@example.com' type='unsubscribed'/>");
  alice.Take();
  bob.Take();
  // Her own word is for everybody, the operator's for ours alone (AUTH-07).
  ASSERT_TRUE(directory().SetPolicy(*alice_account, UserPolicy::kAllow).ok());
  EXPECT_TRUE(Has(bob.Say(kSubscribe), "type='subscribed'"));
  FromAway("<presence type='subscribe'/>");
  EXPECT_TRUE(Has(away.Take(), "type='subscribed'"));
  EXPECT_FALSE(Has(alice.Take(), "type='subscribe'"));
  ASSERT_TRUE(directory().SetPolicy(*alice_account, UserPolicy::kDefault).ok());
  config.policy = UserPolicy::kAllow;
  Apply();
  Client carol(world, 3);
  carol.LogIn("carol", "c");
  EXPECT_TRUE(Has(carol.Say(std::string("<presence/>") + kSubscribe), "type='subscribed'"));
  FromAway("<presence type='subscribe'/>", "erin@away.example");
  EXPECT_FALSE(Has(away.Take(), "type='subscribed'"));
  EXPECT_TRUE(Has(alice.Take(), "type='subscribe'"));
}

TEST_F(Policy, WhomSheAllowsIsNotAskedFor) {
  ASSERT_TRUE(directory().Allow(*alice_account, "bob@example.com").ok());
  ASSERT_TRUE(directory().Allow(*alice_account, "away.example").ok());
  EXPECT_TRUE(Has(bob.Say(kSubscribe), "type='subscribed'"));
  FromAway("<presence type='subscribe'/>");
  EXPECT_TRUE(Has(away.Take(), "type='subscribed'"));
  // A block wins: of one in an allowed domain.
  ASSERT_TRUE(directory().Block(*alice_account, "erin@away.example").ok());
  FromAway("<presence type='subscribe'/>", "erin@away.example");
  EXPECT_EQ(away.Take(), "");
}

TEST_F(Policy, WhomSheWantsToSeeHerselfIsNotAskedFor) {
  alice.Say("<presence to='bob@example.com' type='subscribe'/>");
  bob.Say("<presence to='alice@example.com' type='subscribed'/>");
  EXPECT_TRUE(Has(bob.Say(kSubscribe), "type='subscribed'"));  // AUTH-05
  EXPECT_FALSE(Has(alice.Take(), "type='subscribe'"));
}

TEST_F(Policy, BlockingAllButContacts) {
  Befriend();
  ASSERT_TRUE(directory().SetPolicy(*alice_account, UserPolicy::kBlock).ok());
  alice.Say("<presence><show>away</show></presence>");
  EXPECT_TRUE(Has(bob.Take(), "<show>away</show>"));
  EXPECT_EQ(bob.Say("<message to='alice@example.com'><body>friend</body></message>"), "");
  EXPECT_TRUE(Has(alice.Take(), "friend"));
  Client carol(world, 3);
  carol.LogIn("carol", "c");
  carol.Say("<presence/>");
  EXPECT_FALSE(Has(carol.Say(kSubscribe), "subscribed"));
  EXPECT_TRUE(Has(carol.Say("<message to='alice@example.com'><body>stranger</body></message>"),
                  "service-unavailable"));
  carol.Say("<presence to='alice@example.com'/>");
  EXPECT_EQ(alice.Take(), "");
  // She may still write to whom she likes, and allow one of them.
  EXPECT_EQ(alice.Say("<message to='carol@example.com'><body>hello</body></message>"), "");
  ASSERT_TRUE(directory().Allow(*alice_account, "carol@example.com").ok());
  carol.Say("<message to='alice@example.com'><body>allowed</body></message>");
  EXPECT_TRUE(Has(alice.Take(), "allowed"));
}

TEST_F(Policy, ADomainIsBlockedPolitely) {
  FromAway("<presence type='subscribe'/>");
  alice.Say("<presence to='dave@away.example' type='subscribed'/>");
  FromAway("<presence type='probe'/>");
  EXPECT_TRUE(Has(away.Take(), "from='alice@example.com/a'"));
  alice.Say(
      "<iq type='set' id='k'><block xmlns='urn:xmpp:blocking'><item jid='away.example'/>"
      "</block></iq>");
  EXPECT_TRUE(Has(away.Take(),
                  "to='dave@away.example' from='alice@example.com/a' "
                  "type='unavailable'"));
  alice.Say("<presence><show>dnd</show></presence>");
  EXPECT_EQ(away.Take(), "");
  FromAway("<presence type='probe'/>");  // not "unsubscribed", which would tell him
  EXPECT_TRUE(Has(away.Take(), "type='unavailable'"));
  FromAway("<presence type='subscribe'/>");
  EXPECT_EQ(away.Take(), "");
  alice.Say("<iq type='set' id='u'><unblock xmlns='urn:xmpp:blocking'/></iq>");
  EXPECT_TRUE(Has(away.Take(), "<show>dnd</show>"));
}

TEST_F(Policy, OutlivesARestartAndGoesWithTheUser) {
  ASSERT_TRUE(directory().SetPolicy(*alice_account, UserPolicy::kBlock).ok());
  ASSERT_TRUE(directory().Allow(*alice_account, "away.example").ok());
  world.Commit();
  World after;
  for (const auto& [key, value] : world.disk) {
    ASSERT_TRUE(after.engine().Load(key, AsBytes(value)).ok()) << key;
  }
  Account* alice_after = after.engine().directory().Find("alice@example.com");
  EXPECT_EQ(alice_after->policy, UserPolicy::kBlock);
  EXPECT_TRUE(
      after.engine().directory().IsAllowed(*alice_after, *Address::Parse("dave@away.example")));
  EXPECT_FALSE(after.engine().Load("o00000001", AsBytes(std::string_view("\4", 1))).ok());
  after.disk = world.disk;
  ASSERT_TRUE(after.engine().RemoveUser("alice@example.com").ok());
  after.Commit();
  for (const auto& [key, value] : after.disk) {
    EXPECT_FALSE(key.starts_with("o") || key.starts_with("l")) << key;
  }
}

TEST_F(Policy, EntriesAreBounded) {
  for (uint32_t i = 0; i < kBlockedMax; ++i) {
    const bool has_room = directory().Allow(*alice_account, "d" + std::to_string(i)).ok();
    if (!has_room) {
      EXPECT_GE(i, 40u);  // the pool's
      return;
    }
  }
  EXPECT_FALSE(directory().Allow(*alice_account, "one-too-many").ok());
}

TEST_F(Policy, WatchersAreCounted) {
  config.watchers_per_user = 1;
  Apply();
  Befriend();
  Client carol(world, 3);
  carol.LogIn("carol", "c");
  const std::string got = carol.Say(std::string("<presence/>") + kSubscribe);
  EXPECT_TRUE(Has(got, "from='alice@example.com' to='carol@example.com' type='unsubscribed'"))
      << got;
  EXPECT_EQ(alice.Take(), "");
  FromAway("<presence type='subscribe'/>");
  EXPECT_TRUE(Has(away.Take(), "type='unsubscribed'"));
  // Whoever is one of them may ask again.
  EXPECT_FALSE(Has(bob.Say(kSubscribe), "unsubscribed"));
  config.watchers_per_user = 2;
  Apply();
  carol.Say(kSubscribe);
  EXPECT_TRUE(Has(alice.Take(), "from='carol@example.com'"));
}

TEST_F(Policy, AFullRosterTakesNoWatcher) {
  config.contacts_per_user = 1;
  Apply();
  Befriend();
  FromAway("<presence type='subscribe'/>");
  EXPECT_TRUE(Has(away.Take(), "type='unsubscribed'"));  // PRES-07
  config.contacts_per_user = UINT32_MAX;
  Apply();
  FromAway("<presence type='subscribe'/>");
  EXPECT_EQ(away.Take(), "");
  EXPECT_TRUE(Has(alice.Take(), "type='subscribe'"));
}

TEST_F(Policy, SheSetsItByAForm) {
  const auto run = [&](const std::string& inner, const std::string& action = "execute") {
    return alice.Say(
        "<iq type='set' id='f' to='example.com'><command "
        "xmlns='http://jabber.org/protocol/commands' node='urn:gatehouse:policy' "
        "action='" +
        action + "'>" + inner + "</command></iq>");
  };
  const auto form = [](const std::string& policy, const std::string& allowed) {
    return "<x xmlns='jabber:x:data' type='submit'><field var='policy'><value>" + policy +
           "</value></field><field var='allowed'>" + allowed + "</field></x>";
  };
  EXPECT_TRUE(Has(alice.Say("<iq type='get' id='i' to='example.com'><query "
                            "xmlns='http://jabber.org/protocol/disco#items' "
                            "node='http://jabber.org/protocol/commands'/></iq>"),
                  "node='urn:gatehouse:policy'"));
  EXPECT_TRUE(Has(alice.Say("<iq type='get' id='i' to='example.com'><query "
                            "xmlns='http://jabber.org/protocol/disco#info' "
                            "node='urn:gatehouse:policy'/></iq>"),
                  "type='command-node'"));
  bob.Say(kSubscribe);
  alice.Take();
  EXPECT_TRUE(Has(run(""), "var='policy' label='Whom I neither allow nor block'><value>default<"));
  const std::string done =
      run(form("block", "<value>bob@example.com</value><value>away.example</value>"), "complete");
  EXPECT_TRUE(Has(done, "status='completed'")) << done;
  EXPECT_EQ(alice_account->policy, UserPolicy::kBlock);
  EXPECT_EQ(alice_account->allowed.size(), 2u);
  EXPECT_TRUE(Has(bob.Take(), "type='subscribed'"));  // he had asked
  EXPECT_TRUE(Has(run(""), "<value>block</value>"));
  EXPECT_TRUE(Has(run(""), "<value>away.example</value>"));
  EXPECT_TRUE(Has(run(form("sometimes", ""), "complete"), "<bad-payload"));
  EXPECT_TRUE(Has(run(form("ask", "<value>a@b@c</value>"), "complete"), "<bad-payload"));
  EXPECT_EQ(alice_account->policy, UserPolicy::kBlock);
  EXPECT_TRUE(Has(run("", "cancel"), "status='canceled'"));
  EXPECT_TRUE(Has(run("", "next"), "bad-request"));
  EXPECT_TRUE(Has(alice.Say("<iq type='set' id='f' to='example.com'><command "
                            "xmlns='http://jabber.org/protocol/commands' node='x'/></iq>"),
                  "item-not-found"));
  EXPECT_TRUE(Has(run(form("default", ""), "complete"), "completed"));
  EXPECT_TRUE(alice_account->allowed.empty());
}

// --- Switches ------------------------------------------------------------------------------------

TEST_F(Policy, PresenceIsSwitchedForAll) {
  Befriend();
  FromAway("<presence type='subscribe'/>");
  alice.Say("<presence to='dave@away.example' type='subscribed'/>");
  away.Take();
  config.presence = false;
  Apply();
  EXPECT_TRUE(Has(bob.Take(), "from='alice@example.com/a' type='unavailable'"));
  EXPECT_TRUE(Has(away.Take(), "type='unavailable'"));
  EXPECT_TRUE(Has(alice.Say("<presence><show>away</show></presence>"), "away"));  // her own
  alice.Say("<presence to='bob@example.com'/><presence to='dave@away.example'/>");
  EXPECT_EQ(bob.Take(), "");
  EXPECT_EQ(away.Take(), "");
  FromAway("<presence type='probe'/>");
  EXPECT_TRUE(Has(away.Take(), "type='unavailable'"));
  alice.Take();
  FromAway("<presence/>");
  EXPECT_EQ(alice.Take(), "");
  EXPECT_EQ(alice.Say("<message to='bob@example.com'><body>still</body></message>"), "");
  EXPECT_TRUE(Has(bob.Take(), "still"));
  config.presence = true;
  Apply();
  EXPECT_TRUE(Has(bob.Take(), "<show>away</show>"));
}

TEST_F(Policy, MessagesAreSwitchedForAll) {
  Befriend();
  config.messages = false;
  Apply();
  EXPECT_TRUE(Has(bob.Say("<message to='alice@example.com' type='chat'><body>x</body></message>"),
                  "service-unavailable"));
  EXPECT_TRUE(Has(bob.Say("<message to='eve@away.example' type='chat'><body>x</body></message>"),
                  "service-unavailable"));
  FromAway("<message type='chat'><body>x</body></message>");
  EXPECT_TRUE(Has(away.Take(), "service-unavailable"));
  EXPECT_EQ(alice.Take(), "");
  alice.Say("<presence><show>away</show></presence>");
  EXPECT_TRUE(Has(bob.Take(), "away"));
}

// --- For a while ---------------------------------------------------------------------------------

struct Temporary : Policy {
  Temporary() {
    config.temporary = config.auto_authorization = true;
    Apply();
  }
  static std::string Ask(const std::string& what, const std::string& whom = "alice@example.com") {
    return "<iq type='set' id='w'><" + what + " xmlns='urn:gatehouse:presence:temporary' jid='" +
           whom + "'/></iq>";
  }
};

TEST_F(Temporary, IsShownUntilItsTimeIsOver) {
  const std::string got = bob.Say(Ask("watch"));
  EXPECT_TRUE(Has(got, "<watch xmlns='urn:gatehouse:presence:temporary' seconds='300'/>")) << got;
  EXPECT_TRUE(Has(got, "from='alice@example.com/a'"));
  alice.Say("<presence><show>away</show></presence>");
  EXPECT_TRUE(Has(bob.Take(), "<show>away</show>"));
  world.Turn(Duration::Seconds(299));
  bob.Say(Ask("watch"));  // again: the time begins anew
  world.Turn(Duration::Seconds(299));
  EXPECT_EQ(world.engine().watch_count(), 1u);
  world.Turn(Duration::Seconds(2));
  EXPECT_EQ(world.engine().watch_count(), 0u);
  alice.Say("<presence><show>dnd</show></presence>");
  EXPECT_EQ(bob.Take(), "");
}

TEST_F(Temporary, EndsWithEitherSideOrAsAsked) {
  bob.Say(Ask("watch"));
  bob.Say(Ask("unwatch"));
  EXPECT_EQ(world.engine().watch_count(), 0u);
  bob.Say(Ask("watch"));
  bob.Say("</stream:stream>");
  EXPECT_EQ(world.engine().watch_count(), 0u);
  Client carol(world, 3);
  carol.LogIn("carol", "c");
  carol.Say(Ask("watch"));
  alice.Say("</stream:stream>");
  EXPECT_TRUE(Has(carol.Take(), "from='alice@example.com/a' type='unavailable'"));
  ASSERT_TRUE(world.engine().RemoveUser("alice@example.com").ok());
  EXPECT_EQ(world.engine().watch_count(), 0u);
}

TEST_F(Temporary, WhoIsNotToBeSeenLooksAway) {
  const auto looks_away = [&](const std::string& whom) {
    const std::string got = bob.Say(Ask("watch", whom));
    return Has(got, "seconds='300'") &&
           Has(got, "<presence from='" + whom + "' to='bob@example.com/b' type='unavailable'/>");
  };
  EXPECT_TRUE(looks_away("carol@example.com"));   // not there
  EXPECT_TRUE(looks_away("nobody@example.com"));  // nobody
  alice.Say(
      "<iq type='set' id='k'><block xmlns='urn:xmpp:blocking'><item jid='bob@example.com'/>"
      "</block></iq>");
  EXPECT_TRUE(looks_away("alice@example.com"));
  alice.Say("<iq type='set' id='u'><unblock xmlns='urn:xmpp:blocking'/></iq>");
  config.auto_authorization = false;
  Apply();
  EXPECT_TRUE(looks_away("alice@example.com"));  // she would be asked
  ASSERT_TRUE(directory().Allow(*alice_account, "bob@example.com").ok());
  EXPECT_FALSE(looks_away("alice@example.com"));
  EXPECT_EQ(world.engine().watch_count(), 2u);
  // Blocked in the middle of it.
  alice.Say(
      "<iq type='set' id='k'><block xmlns='urn:xmpp:blocking'><item jid='bob@example.com'/>"
      "</block></iq>");
  EXPECT_TRUE(Has(bob.Take(),
                  "from='alice@example.com' to='bob@example.com/b' "
                  "type='unavailable'"));
  EXPECT_EQ(world.engine().watch_count(), 1u);
}

TEST_F(Temporary, IsBoundedAndSwitched) {
  config.temporary_max = 1;
  Apply();
  EXPECT_TRUE(Has(bob.Say(Ask("watch")), "type='result'"));
  EXPECT_TRUE(Has(bob.Say(Ask("watch", "carol@example.com")), "resource-constraint"));
  EXPECT_TRUE(Has(bob.Say(Ask("watch")), "type='result'"));
  EXPECT_TRUE(Has(bob.Say(Ask("watch", "dave@away.example")), "resource-constraint"));
  EXPECT_TRUE(Has(bob.Say(Ask("watch", "example.com")), "bad-request"));
  EXPECT_TRUE(Has(bob.Say(Ask("look")), "bad-request"));
  config.temporary = false;
  Apply();
  EXPECT_TRUE(Has(bob.Say(Ask("watch")), "feature-not-implemented"));
}

// --- To which client -----------------------------------------------------------------------------

struct Replies : Policy {
  Replies() {
    desk.LogIn("alice", "desk");
    desk.Say("<presence/>");
    Forget();
  }
  void Forget() {
    alice.Take();
    desk.Take();
    bob.Take();
  }
  // Which of them got it: "a", "desk", "both", "none".
  std::string Ask() {
    Forget();
    bob.Say("<message to='alice@example.com' type='chat'><body>" + std::to_string(++count) +
            "</body></message>");
    const std::string body = "<body>" + std::to_string(count) + "</body>";
    const bool at_a = Has(alice.Take(), body);
    const bool at_desk = Has(desk.Take(), body);
    return at_a && at_desk ? "both" : at_a ? "a" : at_desk ? "desk" : "none";
  }
  void ReplyFrom(Client& client) {
    client.Say("<message to='bob@example.com' type='chat'><body>yes</body></message>");
  }
  Client desk{world, 3};
  int count = 0;
};

TEST_F(Replies, AllGetItUntilOneReplies) {
  EXPECT_EQ(Ask(), "both");
  EXPECT_EQ(Ask(), "both");
  desk.Say(
      "<message to='bob@example.com' type='chat'>"
      "<composing xmlns='http://jabber.org/protocol/chatstates'/></message>");
  EXPECT_EQ(Ask(), "both");  // she only types
  ReplyFrom(desk);
  EXPECT_EQ(Ask(), "desk");
  EXPECT_EQ(Ask(), "desk");
  ReplyFrom(alice);
  EXPECT_EQ(Ask(), "a");
  // To others she has not replied.
  Client carol(world, 4);
  carol.LogIn("carol", "c");
  carol.Say("<message to='alice@example.com' type='chat'><body>me too</body></message>");
  EXPECT_TRUE(Has(alice.Take(), "me too"));
  EXPECT_TRUE(Has(desk.Take(), "me too"));
}

TEST_F(Replies, OtherClientsGetCopies) {
  alice.Say("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>");
  ReplyFrom(desk);
  Forget();
  bob.Say("<message to='alice@example.com' type='chat'><body>copied</body></message>");
  EXPECT_TRUE(Has(alice.Take(), "<received xmlns='urn:xmpp:carbons:2'>"));
  EXPECT_FALSE(Has(desk.Take(), "carbons"));
}

TEST_F(Replies, EndWithTimeAndWithPresence) {
  ReplyFrom(desk);
  world.Turn(Duration::Seconds(899));
  EXPECT_EQ(Ask(), "desk");  // which makes it last longer
  world.Turn(Duration::Seconds(899));
  EXPECT_EQ(Ask(), "desk");
  world.Turn(Duration::Seconds(900));
  EXPECT_EQ(Ask(), "both");
  ReplyFrom(desk);
  desk.Say("<presence><show>away</show></presence>");
  EXPECT_EQ(Ask(), "both");
  ReplyFrom(desk);
  alice.Say("<presence><show>chat</show></presence>");  // she has gone there
  EXPECT_EQ(Ask(), "both");
  ReplyFrom(desk);
  desk.Say("<presence><priority>-1</priority></presence>");
  EXPECT_EQ(Ask(), "a");
  desk.Say("<presence/>");
  ReplyFrom(desk);
  desk.Break();
  EXPECT_EQ(Ask(), "a");
}

TEST_F(Replies, AreOffByTheSetting) {
  config.reply = Duration();
  Apply();
  ReplyFrom(desk);
  EXPECT_EQ(Ask(), "both");
}

TEST_F(Replies, AreRememberedForTen) {
  ReplyFrom(desk);
  for (int i = 0; i < 9; ++i) {
    desk.Say("<message to='u" + std::to_string(i) + "@away.example'><body>x</body></message>");
  }
  EXPECT_EQ(Ask(), "desk");
  for (int i = 0; i < 10; ++i) {
    desk.Say("<message to='v" + std::to_string(i) + "@away.example'><body>x</body></message>");
  }
  EXPECT_EQ(Ask(), "both");
}

TEST_F(Replies, UsersOfOtherServersToo) {
  desk.Say("<message to='dave@away.example' type='chat'><body>hello</body></message>");
  Forget();
  FromAway("<message type='chat'><body>from afar</body></message>", "dave@away.example/x");
  EXPECT_TRUE(Has(desk.Take(), "from afar"));
  EXPECT_EQ(alice.Take(), "");
}

// --- Carried as they are -------------------------------------------------------------------------

// XEP-0085, 0172, 0184, 0308, 0333, 0424, 0444, 0461, 0393 has no element.
TEST_F(Policy, WhatClientsSayToEachOtherIsCarried) {
  const std::string carried[] = {
      "<active xmlns='http://jabber.org/protocol/chatstates'/>",
      "<nick xmlns='http://jabber.org/protocol/nick'>Bobby</nick>",
      "<request xmlns='urn:xmpp:receipts'/>",
      "<received xmlns='urn:xmpp:receipts' id='m1'/>",
      "<replace xmlns='urn:xmpp:message-correct:0' id='m1'/>",
      "<markable xmlns='urn:xmpp:chat-markers:0'/>",
      "<displayed xmlns='urn:xmpp:chat-markers:0' id='m1'/>",
      "<reactions xmlns='urn:xmpp:reactions:0' id='m1'><reaction>\xF0\x9F\x91\x8B</reaction>"
      "</reactions>",
      "<retract xmlns='urn:xmpp:message-retract:1' id='m1'/>",
      "<reply xmlns='urn:xmpp:reply:0' to='alice@example.com/a' id='m1'/>",
  };
  for (const std::string& each : carried) {
    bob.Say("<message to='alice@example.com' type='chat'>" + each + "</message>");
    EXPECT_TRUE(Has(alice.Take(), each)) << each;
    FromAway("<message type='chat'>" + each + "</message>");
    EXPECT_TRUE(Has(alice.Take(), each)) << each;
    alice.Say("<message to='dave@away.example' type='chat'>" + each + "</message>");
    EXPECT_TRUE(Has(away.Take(), each)) << each;
  }
  // A nickname goes with a request, too.
  bob.Say(
      "<presence to='alice@example.com' type='subscribe'>"
      "<nick xmlns='http://jabber.org/protocol/nick'>Bobby</nick></presence>");
  EXPECT_TRUE(Has(alice.Take(), "<nick xmlns='http://jabber.org/protocol/nick'>Bobby</nick>"));
}

// XEP-0012: of those who may see her.
TEST_F(Policy, LastActivityIsForWatchers) {
  const std::string ask =
      "<iq type='get' id='l' to='alice@example.com'>"
      "<query xmlns='jabber:iq:last'/></iq>";
  EXPECT_TRUE(Has(bob.Say(ask), "service-unavailable"));
  Befriend();
  EXPECT_TRUE(Has(bob.Say(ask), "<query xmlns='jabber:iq:last' seconds='0'/>"));
  alice.Say("</stream:stream>");
  world.unix_seconds += 90;
  EXPECT_TRUE(Has(bob.Say(ask), "seconds='90'"));
}

}  // namespace
}  // namespace gh::xmpp::test
