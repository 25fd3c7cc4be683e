// The extensible profile of SASL (XEP-0388), Bind 2 (0386), resumption in it (0198), tokens (0484);
// and SASL EXTERNAL of clients (0178) in both profiles.
#include <gtest/gtest.h>

#include "firmware/xmpp/tokens.h"
#include "tests/unit/xmpp/world.h"

namespace gh::xmpp::test {
namespace {

using namespace std::string_literals;

constexpr const char* kAgent = "<user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'/>";
constexpr const char* kBind = "<bind xmlns='urn:xmpp:bind:0'><tag>Test</tag></bind>";

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::string Authenticate(const std::string& mechanism, const std::string& message,
                         const std::string& wishes) {
  return "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='" + mechanism + "'><initial-response>" +
         Base64Of(message) + "</initial-response>" + wishes + "</authenticate>";
}

std::string Hash(const std::string& token, const std::string& role,
                 const std::string& channel = "") {
  return std::string(AsText(crypto::HmacSha256::Of(AsBytes(token), AsBytes(role + channel))));
}

std::string TokenOf(const std::string& success) { return Between(success, " token='", "'"); }

// Resumption's name in a <enabled/>.
std::string PreviousOf(const std::string& success) {
  return Between(success, "resume='true' id='", "'");
}

struct Sasl2 : testing::Test {
  Sasl2() {
    world.AddUser("alice");
    world.AddUser("bob");
    config.tokens = true;
    world.engine().Apply(config);
  }
  // With a password, in one step of two.
  std::string LogIn(Client& client, const std::string& wishes,
                    const std::string& password = "secret") {
    client.Header();
    const std::string first = "n=alice,r=abcdef";
    const std::string got = client.Say(Authenticate("SCRAM-SHA-256", "n,," + first, wishes));
    EXPECT_TRUE(Has(got, "<challenge xmlns='urn:xmpp:sasl:2'>")) << got;
    const std::string server = FromBase64(Between(got, "sasl:2'>", "<"));
    return client.Say("<response xmlns='urn:xmpp:sasl:2'>" +
                      Base64Of(ScramProof(password, "n,,", "", first, server)) + "</response>");
  }
  std::string LogInBy(Client& client, const std::string& token, const std::string& wishes,
                      const std::string& mechanism = "HT-SHA-256-NONE",
                      const std::string& channel = "") {
    client.Header();
    return client.Say(
        Authenticate(mechanism, "alice\0"s + Hash(token, "Initiator", channel), wishes + kAgent));
  }
  std::string Request(const std::string& mechanism = "HT-SHA-256-NONE") {
    return kAgent + "<request-token xmlns='urn:xmpp:fast:0' mechanism='"s + mechanism + "'/>";
  }
  Config config = World::MakeConfig();
  World world{World::FewCapacity(), World::FewBytes()};
};

constexpr const char* kFast = "<fast xmlns='urn:xmpp:fast:0' count='1'/>";

TEST_F(Sasl2, IsOfferedWithWhatItHas) {
  Client client(world, 1);
  const std::string got =
      Between(client.Header(), "<authentication xmlns='urn:xmpp:sasl:2'>", "</authentication>");
  EXPECT_TRUE(Has(got, "<mechanism>SCRAM-SHA-256-PLUS</mechanism>")) << got;
  EXPECT_TRUE(Has(got, "<bind xmlns='urn:xmpp:bind:0'><inline>"));
  EXPECT_TRUE(Has(got, "<sm xmlns='urn:xmpp:sm:3'/>"));
  // No end point: the world has none. Nothing before the handshake is over.
  EXPECT_TRUE(Has(got,
                  "<fast xmlns='urn:xmpp:fast:0'><mechanism>HT-SHA-256-EXPR</mechanism>"
                  "<mechanism>HT-SHA-256-NONE</mechanism></fast>"));
  EXPECT_FALSE(Has(got, "0rtt"));
}

TEST_F(Sasl2, BindsWithItsSuccess) {
  Client client(world, 1);
  const std::string got =
      LogIn(client,
            kAgent +
                "<bind xmlns='urn:xmpp:bind:0'><tag>Test</tag><enable xmlns='urn:xmpp:carbons:2'/>"
                "<inactive xmlns='urn:xmpp:csi:0'/><enable xmlns='urn:xmpp:sm:3' resume='true'/>"
                "</bind>"s);
  EXPECT_TRUE(got.starts_with("<success xmlns='urn:xmpp:sasl:2'><additional-data>")) << got;
  EXPECT_TRUE(Has(got, "<authorization-identifier>alice@example.com/Test/"));
  EXPECT_TRUE(Has(got, "<bound xmlns='urn:xmpp:bind:0'><metadata xmlns='urn:xmpp:mam:2'>"));
  EXPECT_FALSE(PreviousOf(got).empty());
  EXPECT_TRUE(Has(got, "</success><stream:features>"));
  EXPECT_FALSE(Has(got, "urn:ietf:params:xml:ns:xmpp-bind"));
  EXPECT_FALSE(Has(got, "<token"));  // nobody asked
  const Session* session = world.engine().directory().Find("alice@example.com")->sessions;
  ASSERT_NE(session, nullptr);
  EXPECT_TRUE(session->carbons && session->inactive && session->managed && session->resumable);
  EXPECT_TRUE(Has(client.Say("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>"
                             "<r xmlns='urn:xmpp:sm:3'/>"),
                  "<a xmlns='urn:xmpp:sm:3' h='1'/>"));
}

TEST_F(Sasl2, TheSameClientGetsTheSameResource) {
  Client first(world, 1);
  const std::string one = Between(LogIn(first, kAgent + std::string(kBind)), "/Test/", "<");
  Client second(world, 2);
  const std::string two = Between(LogIn(second, kAgent + std::string(kBind)), "/Test/", "<");
  EXPECT_EQ(one, two);
  EXPECT_TRUE(Has(first.Take(), "<conflict"));
  Client other(world, 3);
  EXPECT_NE(Between(LogIn(other, "<user-agent id='another'/>"s + kBind), "/Test/", "<"), one);
  Client nameless(world, 4);
  EXPECT_NE(Between(LogIn(nameless, kBind), "/Test/", "<"), one);
  EXPECT_EQ(world.engine().directory().Find("alice@example.com")->session_count, 3u);
}

TEST_F(Sasl2, TagsThatWillNotDoAreLeftOut) {
  uint32_t number = 1;
  for (const std::string& tag : {std::string(65, 'x'), "\xC2\xAD"s, ""s}) {
    Client client(world, number++);
    const std::string got =
        LogIn(client, "<bind xmlns='urn:xmpp:bind:0'><tag>" + tag + "</tag></bind>");
    EXPECT_EQ(Between(got, "alice@example.com/", "<").size(), 16u) << got;
  }
  Client longest(world, number++);
  EXPECT_TRUE(Has(LogIn(longest, "<bind xmlns='urn:xmpp:bind:0'><tag>" + std::string(64, 'x') +
                                     "</tag></bind>"),
                  "/" + std::string(64, 'x') + "/"));
}

TEST_F(Sasl2, WithoutBindTheOldWayIsThere) {
  Client client(world, 1);
  const std::string got = LogIn(client, "");
  EXPECT_TRUE(Has(got, "<authorization-identifier>alice@example.com</authorization-identifier>"));
  EXPECT_TRUE(Has(got, "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"));
  EXPECT_TRUE(Has(client.Say("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
                             "<resource>desk</resource></bind></iq>"),
                  "alice@example.com/desk"));
}

TEST_F(Sasl2, ResumesWithItsSuccess) {
  const std::string manage =
      "<bind xmlns='urn:xmpp:bind:0'><enable xmlns='urn:xmpp:sm:3' resume='1'/></bind>";
  Client client(world, 1);
  const std::string previous = PreviousOf(LogIn(client, manage));
  client.Say("<presence/>");
  client.Break();
  Client bob(world, 2);
  bob.LogIn("bob", "desk");
  bob.Say("<message to='alice@example.com' type='chat'><body>while away</body></message>");
  Client again(world, 3);
  const std::string resume =
      "<resume xmlns='urn:xmpp:sm:3' previd='" + previous + "' h='0'/>" + manage;
  const std::string got = LogIn(again, resume);
  const size_t resumed = got.find("<resumed xmlns='urn:xmpp:sm:3' previd='" + previous);
  EXPECT_LT(resumed, got.find("</success><stream:features>")) << got;
  EXPECT_LT(got.find("</stream:features>"), got.find("while away"));
  EXPECT_FALSE(Has(got, "<bound"));
  EXPECT_TRUE(Has(again.Say("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>"), "id='p'"));
  // What cannot be resumed is bound, and told both.
  Client wrong(world, 4);
  const std::string other =
      LogIn(wrong, "<resume xmlns='urn:xmpp:sm:3' previd='0-0' h='0'/>" + manage);
  EXPECT_LT(other.find("<failed xmlns='urn:xmpp:sm:3'><item-not-found"), other.find("<bound"));
  Client nobody(world, 5);
  EXPECT_TRUE(Has(LogIn(nobody, "<resume xmlns='urn:xmpp:sm:3' previd='0-0' h='x'/>"), "<failed"));
  EXPECT_EQ(world.engine().counters().resumed, 1u);
}

TEST_F(Sasl2, WaitingMessagesOutliveTheBinding) {
  Client bob(world, 1);
  bob.LogIn("bob", "desk");
  bob.Say("<message to='alice@example.com' type='chat'><body>kept</body></message>");
  Client client(world, 2);
  LogIn(client, kBind);
  client.Break();
  Client again(world, 3);
  LogIn(again, kBind);
  EXPECT_TRUE(Has(again.Say("<presence/>"), "kept"));
}

TEST_F(Sasl2, RefusesInItsOwnWords) {
  const struct {
    const char* sent;
    const char* condition;
  } cases[] = {
      {"<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'/>", "invalid-mechanism"},
      {"<authenticate xmlns='urn:xmpp:sasl:2' mechanism='EXTERNAL'/>", "invalid-mechanism"},
      {"<authenticate xmlns='urn:xmpp:sasl:2' mechanism='SCRAM-SHA-256'/>", "malformed-request"},
      {"<authenticate xmlns='urn:xmpp:sasl:2' mechanism='SCRAM-SHA-256'><initial-response>?"
       "</initial-response></authenticate>",
       "incorrect-encoding"},
      {"<authenticate xmlns='urn:xmpp:sasl:2' mechanism='HT-SHA-256-NONE'><initial-response>"
       "YWxpY2UA</initial-response></authenticate>",
       "malformed-request"},
  };
  uint32_t number = 1;
  for (const auto& each : cases) {
    Client client(world, number++);
    client.Header();
    EXPECT_EQ(client.Say(each.sent), "<failure xmlns='urn:xmpp:sasl:2'><"s + each.condition +
                                         " xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></failure>");
    client.Break();
  }
  Client client(world, number++);
  EXPECT_TRUE(Has(LogIn(client, kBind, "wrong"), "<not-authorized"));
  EXPECT_TRUE(Has(client.Say("<abort xmlns='urn:xmpp:sasl:2'/>"), "<aborted"));
  EXPECT_TRUE(Has(client.Say("<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"),
                  "<not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"));
  EXPECT_EQ(world.engine().counters().logins, 0u);
}

TEST_F(Sasl2, IsWhoTheHeaderNamed) {
  Client client(world, 1);
  client.Say(
      "<stream:stream from='bob@example.com' to='example.com' version='1.0' "
      "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>");
  const std::string first = "n=alice,r=abcdef";
  const std::string got = client.Say(Authenticate("SCRAM-SHA-256", "n,," + first, kBind));
  const std::string server = FromBase64(Between(got, "sasl:2'>", "<"));
  EXPECT_TRUE(
      Has(client.Say("<response xmlns='urn:xmpp:sasl:2'>" +
                     Base64Of(ScramProof("secret", "n,,", "", first, server)) + "</response>"),
          "<invalid-authzid"));
}

TEST_F(Sasl2, TooManySessionsAreRefusedAndOnesOwnIsNot) {
  config.sessions_per_user = 1;
  world.engine().Apply(config);
  Client first(world, 1);
  EXPECT_TRUE(Has(LogIn(first, kAgent + std::string(kBind)), "<bound"));
  Client other(world, 2);
  EXPECT_TRUE(Has(LogIn(other, kBind), "<temporary-auth-failure"));
  Client again(world, 3);
  EXPECT_TRUE(Has(LogIn(again, kAgent + std::string(kBind)), "<bound"));
}

// --- Tokens --------------------------------------------------------------------------------------

TEST_F(Sasl2, ATokenIsGivenAndTaken) {
  Client client(world, 1);
  const std::string token = TokenOf(LogIn(client, Request() + kBind));
  ASSERT_EQ(token.size(), 44u);
  Client again(world, 2);
  const std::string got = LogInBy(again, token, kFast + std::string(kBind));
  EXPECT_TRUE(Has(got, "<additional-data>" + Base64Of(Hash(token, "Responder")))) << got;
  EXPECT_TRUE(Has(got, "<bound"));
  EXPECT_EQ(TokenOf(got).size(), 44u);  // another for the next time
  EXPECT_NE(TokenOf(got), token);
  EXPECT_EQ(world.engine().counters().token_logins, 1u);
}

TEST_F(Sasl2, ATokenIsGoodUntilItsSuccessorIsUsed) {
  Client client(world, 1);
  const std::string first = TokenOf(LogIn(client, Request() + kBind));
  Client one(world, 2);
  const std::string second = TokenOf(LogInBy(one, first, kFast));
  Client two(world, 3);  // it did not get the answer
  const std::string third = TokenOf(LogInBy(two, first, kFast));
  Client three(world, 4);
  EXPECT_TRUE(Has(LogInBy(three, second, kFast), "<not-authorized"));  // never used, and replaced
  three.Break();
  Client four(world, 5);
  EXPECT_TRUE(Has(LogInBy(four, third, kFast), "<success"));
  Client five(world, 6);
  EXPECT_TRUE(Has(LogInBy(five, first, kFast), "<not-authorized"));
}

TEST_F(Sasl2, ATokenIsForOneClientOneUserOneMechanism) {
  Client client(world, 1);
  const std::string token = TokenOf(LogIn(client, Request("HT-SHA-256-EXPR") + kBind));
  const std::string channel(32, '\7');
  const struct {
    const char* mechanism;
    std::string user;
    std::string channel;
    std::string wishes;
    const char* answer;
  } cases[] = {
      {"HT-SHA-256-NONE", "alice", "", kFast + std::string(kAgent), "<not-authorized"},
      {"HT-SHA-256-EXPR", "alice", "", kFast + std::string(kAgent), "<not-authorized"},
      {"HT-SHA-256-ENDP", "alice", "", kFast + std::string(kAgent), "<not-authorized"},
      {"HT-SHA-256-EXPR", "bob", channel, kFast + std::string(kAgent), "<not-authorized"},
      {"HT-SHA-256-EXPR", "nobody", channel, kFast + std::string(kAgent), "<not-authorized"},
      {"HT-SHA-256-EXPR", "alice", channel, kFast + "<user-agent id='another'/>"s,
       "<not-authorized"},
      {"HT-SHA-256-EXPR", "alice", channel, kFast, "<malformed-request"},
      {"HT-SHA-256-EXPR", "alice", channel, kAgent, "<malformed-request"},
      {"HT-SHA-256-EXPR", "alice", channel, kFast + std::string(kAgent), "<success"},
  };
  uint32_t number = 2;
  for (const auto& each : cases) {
    Client other(world, number++);
    other.Header();
    const std::string got = other.Say(Authenticate(
        each.mechanism, each.user + "\0"s + Hash(token, "Initiator", each.channel), each.wishes));
    EXPECT_TRUE(Has(got, each.answer)) << each.mechanism << each.user << each.wishes << got;
    other.Break();
  }
  // The old profile knows nothing of them.
  Client old(world, number++);
  old.Header();
  EXPECT_TRUE(Has(old.Say("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' "
                          "mechanism='HT-SHA-256-NONE'>YWxpY2UA</auth>"),
                  "<invalid-mechanism"));
}

TEST_F(Sasl2, ATokenIsBoundToTheEndPoint) {
  world.end_point = std::string(32, '\x09');
  Client client(world, 1);
  const std::string token = TokenOf(LogIn(client, Request("HT-SHA-256-ENDP") + kBind));
  Client wrong(world, 2);
  EXPECT_TRUE(
      Has(LogInBy(wrong, token, kFast, "HT-SHA-256-ENDP", world.exporter), "<not-authorized"));
  Client good(world, 3);
  const std::string got = LogInBy(good, token, kFast, "HT-SHA-256-ENDP", world.end_point);
  EXPECT_TRUE(Has(got, "<additional-data>" + Base64Of(Hash(token, "Responder", world.end_point))))
      << got;
}

TEST_F(Sasl2, TokensExpireToTheSecond) {
  config.token_life = Duration::Seconds(86400);
  world.engine().Apply(config);
  Client client(world, 1);
  const std::string got = LogIn(client, Request());
  EXPECT_TRUE(Has(got, "expiry='2026-09-22T14:13:20Z'")) << got;
  world.unix_seconds += 86399;
  Client young(world, 2);
  EXPECT_TRUE(Has(LogInBy(young, TokenOf(got), kFast), "<success"));
  world.unix_seconds += 1;
  Client old(world, 3);
  EXPECT_TRUE(Has(LogInBy(old, TokenOf(got), kFast), "<credentials-expired"));
  Client gone(world, 4);
  EXPECT_TRUE(Has(LogInBy(gone, TokenOf(got), kFast), "<not-authorized"));
}

TEST_F(Sasl2, TokensAreRevoked) {
  const auto token = [&](uint32_t number) {
    Client client(world, number);
    return TokenOf(LogIn(client, Request()));
  };
  const auto answer = [&](uint32_t number, const std::string& of, const std::string& wishes) {
    Client client(world, number);
    return LogInBy(client, of, wishes);
  };
  // By the client.
  const std::string first = token(1);
  EXPECT_FALSE(
      Has(answer(2, first, "<fast xmlns='urn:xmpp:fast:0' invalidate='true'/>"), "<token"));
  EXPECT_TRUE(Has(answer(3, first, kFast), "<not-authorized"));
  // By the operator.
  const std::string second = token(4);
  EXPECT_EQ(world.engine().RevokeTokens("alice@example.com"), 1u);
  EXPECT_TRUE(Has(answer(5, second, kFast), "<not-authorized"));
  // By another password.
  const std::string third = token(6);
  Account* alice = world.engine().directory().Find("alice@example.com");
  ASSERT_TRUE(world.engine()
                  .directory()
                  .SetVerifier(*alice, *MakeVerifier("other", 16, world.random()))
                  .ok());
  EXPECT_TRUE(Has(answer(7, third, kFast), "<not-authorized"));
  // By the setting.
  config.tokens = false;
  world.engine().Apply(config);
  Client off(world, 8);
  EXPECT_FALSE(Has(off.Header(), "urn:xmpp:fast:0"));
}

TEST_F(Sasl2, AUserHasSoManyClientsWithTokens) {
  std::vector<std::string> tokens;
  Account* alice = world.engine().directory().Find("alice@example.com");
  const auto agent = [](uint32_t i) { return "<user-agent id='" + std::to_string(i) + "'/>"; };
  for (uint32_t i = 0; i <= kTokensPerUserMax; ++i) {
    Client client(world, 10 + i);
    tokens.push_back(TokenOf(
        LogIn(client,
              agent(i) + "<request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-NONE'/>")));
    EXPECT_EQ(world.engine().TokenCount(*alice), std::min(i + 1, kTokensPerUserMax));
    client.Break();
  }
  for (uint32_t i : {0u, 1u, kTokensPerUserMax}) {  // the oldest went
    Client client(world, 40 + i);
    client.Header();
    const std::string got = client.Say(Authenticate(
        "HT-SHA-256-NONE", "alice\0"s + Hash(tokens[i], "Initiator"), kFast + agent(i)));
    EXPECT_EQ(Has(got, "<success"), i != 0) << i << got;
    client.Break();
  }
}

TEST_F(Sasl2, TokensOutliveARestart) {
  Client client(world, 1);
  const std::string token = TokenOf(LogIn(client, Request()));
  world.Commit();
  World after(World::FewCapacity(), World::FewBytes());
  after.disk = world.disk;
  for (const auto& [key, value] : after.disk) {
    ASSERT_TRUE(after.engine().Load(key, AsBytes(value)).ok()) << key;
  }
  Client again(after, 1);
  EXPECT_TRUE(Has(LogInBy(again, token, kFast), "<success"));
  EXPECT_TRUE(after.engine().RemoveUser("alice@example.com").ok());
  after.Commit();
  for (const auto& [key, value] : after.disk) {
    EXPECT_FALSE(key.starts_with("f")) << key;
  }
  EXPECT_FALSE(after.engine().Load("f00000063" + std::string(16, '0'), AsBytes("x"s)).ok());
}

TEST_F(Sasl2, ATokenThatCannotBeKeptIsNotGiven) {
  world.keeper_full = true;
  Client client(world, 1);
  const std::string got = LogIn(client, Request() + kBind);
  EXPECT_TRUE(Has(got, "<bound"));
  EXPECT_FALSE(Has(got, "<token"));
}

// --- EXTERNAL ------------------------------------------------------------------------------------

struct External : Sasl2 {
  External() {
    config.external = true;
    world.engine().Apply(config);
  }
  std::string LogInAs(const std::string& said, const std::vector<std::string>& proved) {
    Client client(world, ++number);
    world.proved[number] = proved;
    offered = client.Header();
    const std::string got =
        client.Say("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>" +
                   (said.empty() ? "=" : Base64Of(said)) + "</auth>");
    client.Break();
    return got;
  }
  uint32_t number = 0;
  std::string offered;
};

TEST_F(External, IsWhomTheCertificateNames) {
  const struct {
    std::string said;
    std::vector<std::string> proved;
    const char* answer;
  } cases[] = {
      {"", {"alice@example.com"}, "<success"},
      {"alice@example.com", {"alice@example.com"}, "<success"},
      {"Alice@Example.com", {"ALICE@example.com"}, "<success"},
      {"bob@example.com", {"alice@example.com", "bob@example.com"}, "<success"},
      {"", {"alice@elsewhere.example", "bob@example.com"}, "<success"},
      {"", {"alice@example.com", "bob@example.com"}, "<invalid-authzid"},
      {"bob@example.com", {"alice@example.com"}, "<invalid-authzid"},
      {"alice@example.com/desk", {"alice@example.com"}, "<invalid-authzid"},
      {"", {"nobody@example.com"}, "<not-authorized"},
      {"", {"alice@elsewhere.example"}, "<invalid-mechanism"},
      {"", {"example.com"}, "<invalid-mechanism"},
      {"", {"not an address"}, "<invalid-mechanism"},
      {"", {}, "<invalid-mechanism"},
  };
  for (const auto& each : cases) {
    const std::string got = LogInAs(each.said, each.proved);
    EXPECT_TRUE(Has(got, each.answer)) << each.said << got;
    const bool is_offered = !Has(each.answer, "invalid-mechanism");
    EXPECT_EQ(Has(offered, "<mechanism>EXTERNAL</mechanism>"), is_offered) << each.said;
  }
  config.external = false;
  world.engine().Apply(config);
  EXPECT_TRUE(Has(LogInAs("", {"alice@example.com"}), "<invalid-mechanism"));
}

TEST_F(External, OfSoManyNames) {
  std::vector<std::string> named;
  for (uint32_t i = 1; i < kProvedUserMax; ++i) {
    named.push_back("u" + std::to_string(i) + "@example.com");
  }
  named.push_back("alice@example.com");
  EXPECT_EQ(named.size(), size_t{kProvedUserMax});
  EXPECT_TRUE(Has(LogInAs("alice@example.com", named), "<success"));
}

TEST_F(External, InTheExtensibleProfileToo) {
  Client client(world, 1);
  world.proved[1] = {"alice@example.com"};
  EXPECT_TRUE(Has(Between(client.Header(), "<authentication", "</authentication>"), "EXTERNAL"));
  EXPECT_TRUE(Has(client.Say("<authenticate xmlns='urn:xmpp:sasl:2' mechanism='EXTERNAL'>" +
                             std::string(kBind) + "</authenticate>"),
                  "alice@example.com/Test/"));
}

}  // namespace
}  // namespace gh::xmpp::test
