// The switch for channel bindings, for clients that get them wrong.
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

}  // namespace
}  // namespace gh::xmpp::test
