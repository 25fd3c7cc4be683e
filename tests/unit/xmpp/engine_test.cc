// The engine, stanza by stanza, as clients see it.
#include <gtest/gtest.h>

#include "tests/unit/xmpp/world.h"

namespace gh::xmpp::test {
namespace {

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(XmppStream, NothingBeforeTlsAndNothingKeptAcrossIt) {
  World world;
  world.AddUser("alice");
  Client client(world, 1, false);
  const std::string features = client.Header();
  EXPECT_TRUE(Has(features, "<starttls"));
  EXPECT_FALSE(Has(features, "<mechanism"));
  // What is injected behind <starttls/> is forgotten.
  const std::string got = client.Say(
      "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
      "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'>bixhPQ==</auth>");
  EXPECT_EQ(got, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
  ASSERT_EQ(world.started_tls.size(), 1u);
  world.engine().OnSecured(client.stream());
  EXPECT_TRUE(Has(client.Header(), "<mechanism>SCRAM-SHA-256-PLUS</mechanism>"));
  EXPECT_TRUE(Has(client.Authenticate("alice", "secret"), "<success"));
  Client plain(world, 2, false);
  plain.Header();
  EXPECT_TRUE(Has(plain.Authenticate("alice", "secret"), "policy-violation"));
}

TEST(XmppStream, HeadersThatAreNoneOfOurs) {
  World world;
  const struct {
    const char* text;
    const char* error;
  } cases[] = {
      {"<stream:stream to='other.org' version='1.0' xmlns='jabber:client' "
       "xmlns:stream='http://etherx.jabber.org/streams'>",
       "host-unknown"},
      {"<stream:stream to='example.com' xmlns='jabber:client' "
       "xmlns:stream='http://etherx.jabber.org/streams'>",
       "unsupported-version"},
      {"<stream:stream to='example.com' version='1.0' xmlns='jabber:client' xmlns:stream='x'>",
       "invalid-namespace"},
      {"GET / HTTP/1.1\r\n", "not-well-formed"},
      {"<!DOCTYPE x><x>", "restricted-xml"},
  };
  uint32_t number = 1;
  for (const auto& each : cases) {
    Client client(world, number, true);
    EXPECT_TRUE(Has(client.Say(each.text), each.error)) << each.text;
    EXPECT_TRUE(world.closed[number++]);
  }
  EXPECT_EQ(world.engine().session_count(), 0u);
  EXPECT_EQ(world.engine().reader_count(), 0u);
}

TEST(XmppStream, StrangersHaveABudget) {
  World world;
  const std::string header =
      "<stream:stream to='example.com' version='1.0' xmlns='jabber:client' "
      "xmlns:stream='http://etherx.jabber.org/streams'>";
  // Of bytes: the last of them is taken, one more is not.
  for (const bool is_over : {false, true}) {
    Client talker(world, is_over ? 2 : 1);
    talker.Say(header);
    const std::string begin = "<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl' a='";
    const size_t rest = kUnprovenBytes - header.size() - begin.size() - 3;
    const std::string got = talker.Say(begin + std::string(rest + is_over, 'x') + "'/>");
    EXPECT_EQ(Has(got, "<aborted/>"), !is_over);
    EXPECT_EQ(Has(got, "policy-violation"), is_over);
  }
  // Of elements, those that were taken before too.
  for (const bool is_over : {false, true}) {
    Client talker(world, is_over ? 4 : 3);
    talker.Say(header);
    std::string many;
    for (uint32_t i = 2; i < kUnprovenElements + is_over; ++i) {
      many += ".<a/>";
    }
    const std::string got = talker.Say("<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>" + many);
    EXPECT_EQ(Has(got, "policy-violation"), is_over);  // the one too many need not end
    EXPECT_TRUE(Has(talker.Say(".</abort>"), "<aborted/>") != is_over);
    EXPECT_EQ(Has(talker.Say("<a>"), "policy-violation"), !is_over);
  }
  Client sleeper(world, 5);
  world.Turn(Duration::Seconds(kUnprovenSeconds - 1));
  sleeper.Say(" ");  // a blank is no excuse
  EXPECT_FALSE(world.closed[5]);
  world.Turn(Duration::Seconds(1));
  EXPECT_TRUE(world.closed[5]);
  EXPECT_EQ(world.engine().session_count(), 0u);
}

TEST(XmppLogin, OnlyByTheRightProof) {
  World world;
  world.AddUser("alice");
  Client client(world, 1);
  client.Header();
  EXPECT_TRUE(Has(client.Authenticate("alice", "wrong"), "<not-authorized/>"));
  for (uint32_t i = 2; i < kLoginFailureMax; ++i) {
    EXPECT_TRUE(Has(client.Authenticate("nobody", "secret"), "<not-authorized/>"));
  }
  EXPECT_TRUE(Has(client.Authenticate("alice", "wrong"), "policy-violation"));
  // The channel: bound as it is, not as somebody in between has it, and not denied.
  const std::string bound = "p=tls-exporter,,";
  const std::string plus = "SCRAM-SHA-256-PLUS";
  Client good(world, 2);
  good.Header();
  EXPECT_TRUE(Has(good.Authenticate("alice", "secret", "y,,"), "<not-authorized/>"));
  EXPECT_TRUE(Has(good.Authenticate("alice", "secret", bound, std::string(32, '\x08'), plus),
                  "<not-authorized/>"));
  EXPECT_TRUE(
      Has(good.Authenticate("alice", "secret", bound, std::string(32, '\x07'), plus), "<success"));
  Client other(world, 3);
  other.Header();
  EXPECT_TRUE(
      Has(other.Authenticate("alice", "secret", "n,a=bob@example.com,"), "<invalid-authzid/>"));
  EXPECT_TRUE(Has(other.Authenticate("alice", "secret", "n,a=alice@example.com,"), "<success"));
}

// XEP-0478, and that it holds.
TEST(XmppStream, TellsWhatAStanzaMayHave) {
  World world;
  world.AddUser("alice");
  Config config = World::MakeConfig();
  config.stanza_max = 20'000;
  world.engine().Apply(config);
  Client client(world, 1);
  const auto told = [](const std::string& features) {
    return Between(features, "<limits xmlns='urn:xmpp:stream-limits:0'>", "</limits>");
  };
  EXPECT_EQ(told(client.Header()), "<max-bytes>" + std::to_string(kUnprovenBytes) + "</max-bytes>");
  EXPECT_TRUE(Has(client.Authenticate("alice", "secret"), "<success"));
  EXPECT_EQ(told(client.Header()), "<max-bytes>20000</max-bytes>");
  client.Say("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
  const std::string frame = "<message to='nobody@example.com'></message>";
  client.Say("<message to='nobody@example.com'>" + std::string(20'000 - frame.size(), 'x') +
             "</message>");
  EXPECT_FALSE(world.closed[1]);
  EXPECT_TRUE(Has(client.Say("<message to='nobody@example.com'>" +
                             std::string(20'001 - frame.size(), 'x') + "</message>"),
                  "<policy-violation"));
}

// Salt and iterations of nobody are like those of a user made here, and the same each time.
TEST(XmppLogin, NobodyIsAskedLikeSomebody) {
  World world;
  ASSERT_TRUE(
      world.engine()
          .directory()
          .Add("alice@example.com", *MakeVerifier("secret", kScramIterations, world.random()))
          .ok());
  uint32_t number = 1;
  const auto asked = [&](const std::string& user) {
    Client client(world, number++);
    client.Header();
    const std::string got =
        client.Say("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'>" +
                   Base64Of("n,,n=" + user + ",r=abc") + "</auth>");
    const std::string said = FromBase64(Between(got, "xmpp-sasl'>", "<"));
    return said.substr(said.find(",s="));
  };
  const std::string tail = ",i=" + std::to_string(kScramIterations) + ",h=";
  EXPECT_NE(asked("alice").find(tail), std::string::npos);
  EXPECT_NE(asked("nobody").find(tail), std::string::npos);
  EXPECT_EQ(asked("nobody"), asked("nobody"));
  EXPECT_NE(asked("nobody"), asked("noone"));
  EXPECT_EQ(asked("nobody").size(), asked("alice").size());
}

// The challenge that `name` gets: "s=...,i=...".
std::string ChallengeOf(World& world, const std::string& name) {
  static uint32_t number = 1000;
  Client client(world, ++number);
  client.Header();
  const std::string got =
      client.Say("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'>" +
                 Base64Of("n,,n=" + name + ",r=abcdef") + "</auth>");
  client.Break();
  const std::string challenge = FromBase64(Between(got, "xmpp-sasl'>", "<"));
  return challenge.substr(challenge.find("s="));
}

// Whether there is an account is not told by what a restart changes.
TEST(XmppLogin, SaltsOutliveARestart) {
  World before;
  before.AddUser("alice");
  before.engine().KeepSecret();
  before.Commit();
  const std::string alice = ChallengeOf(before, "alice");
  const std::string nobody = ChallengeOf(before, "nobody");
  EXPECT_NE(nobody, ChallengeOf(before, "somebody"));
  EXPECT_EQ(nobody, ChallengeOf(before, "nobody"));
  const uint64_t seed = std::exchange(World::seed, 8);
  World after;
  World other;
  World::seed = seed;
  EXPECT_NE(nobody, ChallengeOf(other, "nobody"));
  for (const auto& [key, value] : before.disk) {
    EXPECT_TRUE(after.engine().Load(key, AsBytes(value)).ok()) << key;
  }
  after.engine().KeepSecret();
  EXPECT_TRUE(after.pending.empty());
  EXPECT_EQ(ChallengeOf(after, "alice"), alice);
  EXPECT_EQ(ChallengeOf(after, "nobody"), nobody);
}

// Nor by how often a password is hashed, which differs where users were brought from elsewhere.
TEST(XmppLogin, NobodyHasIterationsThatOthersHave) {
  World world;
  const auto iterations_of = [&](const std::string& name) {
    const std::string challenge = ChallengeOf(world, name);
    return Between(challenge, ",i=", ",");
  };
  EXPECT_EQ(iterations_of("nobody"), std::to_string(kScramIterations));
  Account* alice = world.AddUser("alice");
  EXPECT_EQ(iterations_of("nobody"), "16");
  world.AddUser("bob");
  Verifier other = alice->verifier;
  other.iterations = 40;
  EXPECT_TRUE(world.engine().directory().SetVerifier(*alice, other).ok());
  std::map<std::string, uint32_t> seen;
  for (uint32_t i = 0; i < 200; ++i) {
    ++seen[iterations_of("nobody" + std::to_string(i))];
  }
  EXPECT_EQ(seen.size(), 2u);
  EXPECT_GT(seen["16"], 60u);
  EXPECT_GT(seen["40"], 60u);
  EXPECT_TRUE(world.engine().RemoveUser("alice@example.com").ok());
  EXPECT_EQ(iterations_of("nobody7"), "16");
}

TEST(XmppLogin, IterationsThatAreToldApart) {
  IterationShares shares;
  for (uint32_t i = 0; i < kIterationSharesMax + 1; ++i) {
    shares.Add(5000 + i);
  }
  EXPECT_EQ(shares.count(), kIterationSharesMax);
  EXPECT_EQ(shares.At(0), 5000u);
  EXPECT_EQ(shares.At(UINT32_MAX), 5000u + kIterationSharesMax - 1);
  shares.Remove(5000 + kIterationSharesMax);  // was not noted
  shares.Remove(5000);
  EXPECT_EQ(shares.count(), kIterationSharesMax - 1);
  EXPECT_EQ(shares.At(0), 5001u);
}

// What may get an address blocked is what somebody who knows the password does not show.
TEST(XmppLogin, GuessesAreTold) {
  World world;
  world.AddUser("alice");
  Client client(world, 1);
  client.Header();
  client.Authenticate("alice", "wrong");
  client.Authenticate("nobody", "secret");
  EXPECT_EQ(world.guesses, 2u);
  Client good(world, 2);
  good.Header();
  good.Authenticate("alice", "secret", "y,,");
  good.Say("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='DIGEST-MD5'>=</auth>");
  EXPECT_TRUE(Has(good.Authenticate("alice", "secret"), "<success"));
  EXPECT_EQ(world.guesses, 2u);
}

TEST(XmppLogin, AResourceGoesToWhoComesLast) {
  World world;
  world.AddUser("alice");
  Client first(world, 1);
  first.LogIn("alice", "phone");
  Client second(world, 2);
  second.LogIn("alice", "phone");
  EXPECT_TRUE(Has(first.Take(), "<conflict"));
  EXPECT_EQ(world.engine().bound_count(), 1u);
  EXPECT_TRUE(Has(second.Say("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>"),
                  "type='result' id='p'"));
  EXPECT_TRUE(Has(second.Say("<message from='bob@example.com'/>"), "<invalid-from"));
  EXPECT_EQ(world.engine().session_count(), 0u);
}

// Two users who see each other.
class Pair {
 public:
  Pair() : alice_account(world.AddUser("alice")), bob_account(world.AddUser("bob")) {
    alice.LogIn("alice", "a");
    bob.LogIn("bob", "b");
    alice.Say("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq><presence/>");
    bob.Say("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq><presence/>");
    alice.Take();
  }
  void Befriend() {
    alice.Say("<presence to='bob@example.com' type='subscribe'/>");
    bob.Say("<presence to='alice@example.com' type='subscribed'/>");
    bob.Say("<presence to='alice@example.com' type='subscribe'/>");
    alice.Say("<presence to='bob@example.com' type='subscribed'/>");
    alice.Take();
    bob.Take();
  }
  World world;
  Account* alice_account;
  Account* bob_account;
  Client alice{world, 1};
  Client bob{world, 2};
};

TEST(XmppRoster, SubscriptionsAreAskedForAndAnswered) {
  Pair pair;
  std::string got = pair.alice.Say("<presence to='bob@example.com' type='subscribe'/>");
  EXPECT_TRUE(Has(got, "jid='bob@example.com' subscription='none' ask='subscribe'")) << got;
  got = pair.bob.Take();
  EXPECT_TRUE(Has(got, "from='alice@example.com' to='bob@example.com' type='subscribe'")) << got;
  EXPECT_FALSE(Has(got, "<item"));
  got = pair.bob.Say("<presence to='alice@example.com' type='subscribed'/>");
  EXPECT_TRUE(Has(got, "jid='alice@example.com' subscription='from'")) << got;
  got = pair.alice.Take();
  EXPECT_TRUE(Has(got, "jid='bob@example.com' subscription='to'")) << got;
  EXPECT_TRUE(Has(got, "from='bob@example.com/b'")) << got;  // his presence
  pair.bob.Say("<presence><show>away</show></presence>");
  EXPECT_TRUE(Has(pair.alice.Take(), "<show>away</show>"));
  pair.alice.Say("<presence><show>dnd</show></presence>");
  EXPECT_FALSE(Has(pair.bob.Take(), "dnd"));  // he does not see hers
  got = pair.alice.Say(
      "<iq type='set' id='x'><query xmlns='jabber:iq:roster'>"
      "<item jid='bob@example.com' subscription='remove'/></query></iq>");
  EXPECT_TRUE(Has(got, "subscription='remove'")) << got;
  EXPECT_TRUE(pair.alice_account->contacts.empty());
}

TEST(XmppRoster, SurvivesARestartWithItsVersion) {
  Pair pair;
  pair.Befriend();
  pair.alice.Say(
      "<iq type='set' id='s'><query xmlns='jabber:iq:roster'>"
      "<item jid='bob@example.com' name='B &amp; co'><group>Work</group></item>"
      "</query></iq>");
  pair.world.Commit();
  World after;
  for (const auto& [key, value] : pair.world.disk) {
    EXPECT_TRUE(after.engine().Load(key, AsBytes(value)).ok()) << key;
  }
  Client alice(after, 1);
  alice.LogIn("alice", "a");
  const std::string got =
      alice.Say("<iq type='get' id='r'><query xmlns='jabber:iq:roster' ver='0'/></iq>");
  EXPECT_TRUE(Has(got,
                  "<item jid='bob@example.com' name='B &amp; co' subscription='both'>"
                  "<group>Work</group></item>"))
      << got;
  const std::string version = Between(got, " ver='", "'");
  EXPECT_TRUE(Has(alice.Say("<iq type='get' id='r'><query xmlns='jabber:iq:roster' ver='" +
                            version + "'/></iq>"),
                  "to='alice@example.com/a'></iq>"));
}

TEST(XmppPresence, GoesWhenTheSessionDoes) {
  Pair pair;
  pair.Befriend();
  pair.alice.Break();
  EXPECT_TRUE(Has(pair.bob.Take(), "from='alice@example.com/a' type='unavailable'"));
  // Directed presence, too, to somebody who is no contact.
  pair.world.AddUser("carol");
  Client carol(pair.world, 3);
  carol.LogIn("carol", "c");
  pair.bob.Say("<presence to='carol@example.com/c'/>");
  EXPECT_TRUE(Has(carol.Take(), "from='bob@example.com/b' to='carol@example.com/c'"));
  pair.bob.Say("</stream:stream>");
  EXPECT_TRUE(Has(carol.Take(), "type='unavailable'"));
}

TEST(XmppMessage, ReachesResourcesCopiesAndTheStore) {
  Pair pair;
  Client desk(pair.world, 3);
  desk.LogIn("bob", "desk");
  desk.Say(
      "<presence><priority>-1</priority></presence>"
      "<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>");
  pair.bob.Take();
  desk.Take();
  pair.alice.Say(
      "<message to='bob@example.com' type='chat'><body>hi</body>"
      "<stanza-id xmlns='urn:xmpp:sid:0' by='bob@example.com' id='1'/></message>");
  const std::string got = pair.bob.Take();
  EXPECT_EQ(got,
            "<message from='alice@example.com/a' to='bob@example.com' type='chat'>"
            "<body>hi</body><stanza-id xmlns='urn:xmpp:sid:0' by='bob@example.com' "
            "id='0000000000000001'/></message>");
  EXPECT_EQ(desk.Take(), "");
  pair.alice.Say("<message to='bob@example.com/b' type='chat'><body>you</body></message>");
  EXPECT_TRUE(Has(desk.Take(), "<received xmlns='urn:xmpp:carbons:2'>"));
  pair.bob.Say("<message to='alice@example.com/a' type='chat'><body>me</body></message>");
  EXPECT_TRUE(Has(desk.Take(), "<sent xmlns='urn:xmpp:carbons:2'>"));
  pair.alice.Take();
  // Nobody there: it waits, and comes with the time it was sent.
  pair.bob.Say("</stream:stream>");
  EXPECT_EQ(pair.alice.Say("<message to='bob@example.com' type='chat'><body>later</body>"
                           "</message>"),
            "");
  EXPECT_TRUE(Has(pair.alice.Say("<message to='no@example.com'><body>x</body></message>"),
                  "service-unavailable"));
  pair.world.Commit();
  Client back(pair.world, 4);
  back.LogIn("bob", "b");
  const std::string waiting = back.Say("<presence/>");
  EXPECT_TRUE(Has(waiting,
                  "id='0000000000000004'/><delay xmlns='urn:xmpp:delay' from='example.com' "
                  "stamp='2026-09-21T14:13:20Z'/></message>"))
      << waiting;
  EXPECT_TRUE(pair.bob_account->waiting.empty());
}

TEST(XmppMessage, WaitingIsBounded) {
  Pair pair;
  pair.bob.Say("</stream:stream>");
  Config config = World::MakeConfig();
  config.messages_per_user = 2;
  pair.world.engine().Apply(config);
  const std::string message = "<message to='bob@example.com'><body>x</body></message>";
  EXPECT_EQ(pair.alice.Say(message + message), "");
  EXPECT_TRUE(Has(pair.alice.Say(message), "service-unavailable"));
  pair.world.keeper_full = true;
  config.messages_per_user = 100;
  pair.world.engine().Apply(config);
  EXPECT_TRUE(Has(pair.alice.Say(message), "service-unavailable"));
}

TEST(XmppBlocking, LooksLikeNobodyThere) {
  Pair pair;
  pair.Befriend();
  std::string got = pair.bob.Say(
      "<iq type='set' id='k'><block xmlns='urn:xmpp:blocking'>"
      "<item jid='alice@example.com'/></block></iq>");
  EXPECT_TRUE(Has(got, "type='result' id='k'")) << got;
  EXPECT_TRUE(Has(pair.alice.Take(), "type='unavailable'"));
  EXPECT_TRUE(Has(pair.alice.Say("<message to='bob@example.com'><body>x</body></message>"),
                  "service-unavailable"));
  EXPECT_EQ(pair.bob.Take(), "");
  EXPECT_TRUE(Has(pair.bob.Say("<message to='alice@example.com'><body>x</body></message>"),
                  "urn:xmpp:blocking:errors"));
  pair.bob.Say("<iq type='set' id='k'><unblock xmlns='urn:xmpp:blocking'/></iq>");
  pair.alice.Say("<message to='bob@example.com'><body>again</body></message>");
  EXPECT_TRUE(Has(pair.bob.Take(), "again"));
}

TEST(XmppManagement, ASessionOutlivesItsConnection) {
  Pair pair;
  pair.Befriend();
  const std::string enabled = pair.bob.Say("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
  const std::string id = Between(enabled, "id='", "'");
  ASSERT_FALSE(id.empty()) << enabled;
  pair.alice.Say("<message to='bob@example.com'><body>one</body></message>");
  EXPECT_TRUE(Has(pair.bob.Take(), "<r xmlns='urn:xmpp:sm:3'/>"));
  pair.bob.Say("<a xmlns='urn:xmpp:sm:3' h='1'/>");
  pair.bob.Break();
  EXPECT_FALSE(Has(pair.alice.Take(), "unavailable"));
  pair.alice.Say("<message to='bob@example.com'><body>two</body></message>");
  Client back(pair.world, 3);
  back.Header();
  back.Authenticate("bob", "secret");
  back.Header();
  EXPECT_TRUE(
      Has(back.Say("<resume xmlns='urn:xmpp:sm:3' h='1' previd='9-00'/>"), "<item-not-found"));
  const std::string got = back.Say("<resume xmlns='urn:xmpp:sm:3' h='1' previd='" + id + "'/>");
  EXPECT_TRUE(Has(got, "<resumed xmlns='urn:xmpp:sm:3' previd='" + id + "' h='0'/>")) << got;
  EXPECT_TRUE(Has(got, "<body>two</body>")) << got;
  EXPECT_FALSE(Has(got, "<body>one</body>"));
  back.Say("<a xmlns='urn:xmpp:sm:3' h='2'/>");
  EXPECT_TRUE(pair.bob_account->waiting.empty());
  EXPECT_EQ(pair.world.engine().bound_count(), 2u);
  EXPECT_TRUE(Has(back.Say("<a xmlns='urn:xmpp:sm:3' h='7'/>"), "undefined-condition"));
}

TEST(XmppManagement, WhatWasNotAcknowledgedIsKept) {
  Pair pair;
  pair.bob.Say("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
  pair.alice.Say("<message to='bob@example.com'><body>one</body></message>");
  pair.bob.Take();
  pair.world.Commit();
  // The power is cut: what the disk has is all there is.
  World after;
  after.disk = pair.world.disk;
  for (const auto& [key, value] : pair.world.disk) {
    EXPECT_TRUE(after.engine().Load(key, AsBytes(value)).ok()) << key;
  }
  Client bob(after, 1);
  bob.LogIn("bob", "b");
  EXPECT_TRUE(Has(bob.Say("<presence/>"), "<body>one</body>"));
  // Without a cut it comes when the session is given up.
  pair.bob.Break();
  pair.world.Turn(Duration::Seconds(301));
  EXPECT_EQ(pair.world.engine().bound_count(), 1u);
  Client back(pair.world, 5);
  back.LogIn("bob", "b");
  EXPECT_TRUE(Has(back.Say("<presence/>"), "<body>one</body>"));
}

TEST(XmppManagement, AcknowledgesWhatIsOnTheDisk) {
  Pair pair;
  pair.bob.Say("</stream:stream>");
  pair.alice.Say("<enable xmlns='urn:xmpp:sm:3'/>");
  EXPECT_EQ(pair.alice.Say("<message to='bob@example.com'><body>x</body></message>"
                           "<r xmlns='urn:xmpp:sm:3'/>"),
            "");
  pair.world.Commit();
  EXPECT_TRUE(Has(pair.alice.Take(), "<a xmlns='urn:xmpp:sm:3' h='1'/>"));
}

TEST(XmppManagement, WhoDoesNotReadIsBounded) {
  Pair pair;
  const uint32_t free = pair.world.engine().chains().free_count();
  pair.world.blocked = true;
  const std::string big = "<message to='bob@example.com' type='headline'><body>" +
                          std::string(60'000, 'x') + "</body></message>";
  for (uint32_t i = 0; i <= kUnsentMax / big.size(); ++i) {
    pair.alice.Say(big);
  }
  EXPECT_EQ(pair.world.engine().bound_count(), 1u);  // bob's is gone
  EXPECT_TRUE(pair.world.closed[2]);
  EXPECT_GE(pair.world.engine().chains().free_count() + 8, free);
}

TEST(XmppState, PresenceWaitsForWhoDoesNotLook) {
  Pair pair;
  pair.Befriend();
  pair.bob.Say("<inactive xmlns='urn:xmpp:csi:0'/>");
  pair.alice.Say("<presence><show>away</show></presence>");
  EXPECT_EQ(pair.bob.Take(), "");
  pair.alice.Say("<message to='bob@example.com'><body>look</body></message>");
  const std::string got = pair.bob.Take();
  EXPECT_LT(got.find("away"), got.find("look"));
  pair.alice.Say("<presence/>");
  EXPECT_TRUE(Has(pair.bob.Say("<active xmlns='urn:xmpp:csi:0'/>"), "<presence"));
}

TEST(XmppOperator, RemovesUsersWithAllTheyHave) {
  Pair pair;
  pair.Befriend();
  EXPECT_TRUE(pair.world.engine().RemoveUser("bob@example.com").ok());
  EXPECT_TRUE(Has(pair.alice.Take(), "jid='bob@example.com' subscription='none'"));
  pair.world.Commit();
  for (const auto& [key, value] : pair.world.disk) {
    EXPECT_NE(key.substr(1, 8), "00000002") << key;
  }
  EXPECT_FALSE(pair.world.engine().RemoveUser("bob@example.com").ok());
}

}  // namespace
}  // namespace gh::xmpp::test
