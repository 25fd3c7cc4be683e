// Log-ins bound to their TLS session: each mechanism by each binding, and the switch for clients
// that get them wrong. With real sessions: tests/system/test_xmpp.py.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/xmpp/world.h"

namespace gh::xmpp::test {
namespace {

TEST(XmppLogin, WithoutChannelBindingsNoneIsOfferedOrTaken) {
  World world;
  world.AddUser("alice");
  Config config = World::MakeConfig();
  config.channel_binding = false;
  world.engine().Apply(config);
  Client client(world, 1);
  const std::string features = client.Header();
  EXPECT_EQ(features.find("PLUS"), std::string::npos);
  EXPECT_EQ(features.find("channel-binding"), std::string::npos);
  const std::string refused = client.Authenticate("alice", "secret", "p=tls-exporter,,",
                                                  std::string(32, '\x07'), "SCRAM-SHA-256-PLUS");
  EXPECT_NE(refused.find("invalid-mechanism"), std::string::npos) << refused;
  // "The server offers none", which would be an attack if it did.
  EXPECT_NE(client.Authenticate("alice", "secret", "y,,").find("<success"), std::string::npos);
}

TEST(XmppLogin, EachMechanismByEachBinding) {
  World world;
  world.AddUser("alice");
  world.end_point = std::string(48, '\x09');  // of a certificate signed with SHA-384
  uint32_t number = 1;
  for (const char* mechanism : {"SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS"}) {
    for (const auto& [gs2, data, other] :
         {std::tuple("p=tls-exporter,,", world.exporter, world.end_point),
          std::tuple("p=tls-server-end-point,,", world.end_point, world.exporter)}) {
      Client client(world, number++);
      EXPECT_NE(client.Header().find("<mechanism>" + std::string(mechanism)), std::string::npos);
      const std::string wrong = client.Authenticate("alice", "secret", gs2, other, mechanism);
      EXPECT_NE(wrong.find("<not-authorized"), std::string::npos) << mechanism << gs2 << wrong;
      const std::string good = client.Authenticate("alice", "secret", gs2, data, mechanism);
      EXPECT_NE(good.find("<success"), std::string::npos) << mechanism << gs2 << good;
    }
  }
}

// Before TLS 1.3 there is no exporter to bind to (RFC 9266 section 4.2).
TEST(XmppLogin, ABindingThatTheSessionHasNotIsNotTaken) {
  World world;
  world.AddUser("alice");
  world.end_point = std::exchange(world.exporter, "");
  Client client(world, 1);
  const std::string features = client.Header();
  EXPECT_NE(features.find("<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding "
                          "type='tls-server-end-point'/></sasl-channel-binding>"),
            std::string::npos)
      << features;
  const std::string refused =
      client.Authenticate("alice", "secret", "p=tls-exporter,,", "", "SCRAM-SHA-256-PLUS");
  EXPECT_NE(refused.find("<not-authorized"), std::string::npos) << refused;
  const std::string lied = client.Authenticate("alice", "secret", "y,,");
  EXPECT_NE(lied.find("<not-authorized"), std::string::npos) << lied;
}

// What follows `opening` up to the next `<` or `'`, each time.
std::vector<std::string> AllBetween(const std::string& text, const std::string& opening) {
  std::vector<std::string> found;
  for (size_t at = text.find(opening); at != std::string::npos; at = text.find(opening, at)) {
    at += opening.size();
    found.push_back(text.substr(at, text.find_first_of("<'", at) - at));
  }
  return found;
}

std::string Joined(std::vector<std::string> names) {
  std::ranges::sort(names);
  std::string all;
  for (const std::string& name : names) {
    all += (all.empty() ? "" : "\x1e") + name;
  }
  return all;
}

// The challenge in which a log-in by `mechanism` has its hash of what was offered.
std::string ChallengeOf(Client& client, const std::string& mechanism, bool is_sasl2) {
  const std::string first = Base64Of("n,,n=alice,r=abcdef");
  const std::string said = is_sasl2 ? "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='" +
                                          mechanism + "'><initial-response>" + first +
                                          "</initial-response></authenticate>"
                                    : "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='" +
                                          mechanism + "'>" + first + "</auth>";
  return FromBase64(Between(client.Say(said), is_sasl2 ? "sasl:2'>" : "xmpp-sasl'>", "<"));
}

template <typename Hash>
std::string HashOf(const std::string& text) {
  const auto digest = Hash::Of(text);
  return Base64Of(std::string(digest.begin(), digest.end()));
}

// The example of XEP-0474 5.3.
TEST(XmppLogin, WhatWasOfferedIsHashedAsTheSpecificationDoes) {
  World world;
  ScramLogin login;
  ASSERT_TRUE(login.First("n,,n=user,r=12C4", ScramHash::kSha1, false, false).ok());
  uint8_t bytes[512];
  ByteWriter out(bytes);
  login.Challenge(Verifier{},
                  "SCRAM-SHA-1\x1eSCRAM-SHA-1-PLUS\x1ftls-exporter\x1e"
                  "tls-server-end-point",
                  world.random(), out);
  EXPECT_TRUE(out.text().ends_with(",h=G6k/rBLDqgOhRRaCuuatSDFkJ08=")) << out.text();
}

TEST(XmppLogin, WhatWasOfferedIsToldUnderThePassword) {
  World world;
  world.AddUser("alice");
  world.end_point = std::string(32, '\x09');
  Config config = World::MakeConfig();
  uint32_t number = 1;
  for (const bool binds : {true, false}) {
    config.channel_binding = binds;
    world.engine().Apply(config);
    for (const bool is_sasl2 : {false, true}) {
      Client client(world, number++);
      const std::string features = client.Header();
      // Tokens have a list of their own, which is not of it.
      const std::string list = is_sasl2 ? Between(features, "urn:xmpp:sasl:2'>", "<inline")
                                        : Between(features, "xmpp-sasl'>", "</mechanisms");
      std::string offered = Joined(AllBetween(list, "<mechanism>"));
      EXPECT_EQ(offered.find("PLUS") != std::string::npos, binds);
      if (binds) {
        offered += "\x1f" + Joined(AllBetween(features, "channel-binding type='"));
      }
      const std::string strong = ChallengeOf(client, "SCRAM-SHA-256", is_sasl2);
      EXPECT_TRUE(strong.ends_with(",h=" + HashOf<crypto::Sha256>(offered))) << strong;
      const std::string weak = ChallengeOf(client, "SCRAM-SHA-1", is_sasl2);
      EXPECT_TRUE(weak.ends_with(",h=" + HashOf<crypto::Sha1>(offered))) << weak;
    }
  }
  // And who logs in so is let in, by what both have signed.
  Client client(world, number++);
  (void)client.Header();
  EXPECT_NE(client.Authenticate("alice", "secret").find("<success"), std::string::npos);
}

// The longest first message of ours: its nonce begins with the client's, of up to 256 characters.
TEST(XmppLogin, TheLongestNonceLeavesRoomForTheHash) {
  World world;
  world.AddUser("alice");
  uint32_t number = 1;
  for (const size_t size : {256u, 257u}) {
    Client client(world, number++);
    (void)client.Header();
    const std::string first = "n=alice,r=" + std::string(size, 'x');
    const std::string space = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";
    const std::string got = client.Say("<auth " + space + " mechanism='SCRAM-SHA-256'>" +
                                       Base64Of("n,," + first) + "</auth>");
    if (size > 256) {
      EXPECT_NE(got.find("<malformed-request"), std::string::npos) << got;
      continue;
    }
    const std::string server = FromBase64(Between(got, "xmpp-sasl'>", "<"));
    const std::string last = ScramProof("secret", "n,,", "", first, server);
    EXPECT_NE(
        client.Say("<response " + space + ">" + Base64Of(last) + "</response>").find("<success"),
        std::string::npos);
  }
}

TEST(XmppLogin, ClientsThatStumbleOverTheHashAreSparedIt) {
  World world;
  world.AddUser("alice");
  Config config = World::MakeConfig();
  config.downgrade_protection = false;
  world.engine().Apply(config);
  Client client(world, 1);
  (void)client.Header();
  EXPECT_EQ(ChallengeOf(client, "SCRAM-SHA-256", false).find(",h="), std::string::npos);
}

}  // namespace
}  // namespace gh::xmpp::test
