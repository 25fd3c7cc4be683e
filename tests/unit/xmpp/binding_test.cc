// Log-ins bound to their TLS session: each mechanism by each binding, and the switch for clients
// that get them wrong. With real sessions: tests/system/test_xmpp.py.
#include <gtest/gtest.h>

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

}  // namespace
}  // namespace gh::xmpp::test
