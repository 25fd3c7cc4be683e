// Behaviour discovery (RFC 5780): whence answers come, what they tell, and that nobody gets more
// than he sent or sends it to somebody else's address.
#include <gtest/gtest.h>

#include "tests/unit/turn/world.h"

namespace gh::turn::test {
namespace {

constexpr uint32_t kPort = 2;
constexpr uint32_t kAddress = 4;

Config DiscoveryConfig(bool has_second_address = true) {
  Config config = World::MakeConfig();
  config.discovery.port = 3479;
  config.discovery_first_port = 3478;
  if (has_second_address) {
    config.discovery.address = Ip("9.9.9.10");
  }
  return config;
}

std::optional<Sent> Bind(World& world, Client& client, const Client::Fill& fill = {}) {
  client.Exchange(client.Build(Class::kRequest, Method::kBinding, fill, false));
  world.sent.clear();
  world.Give(client.path, client.Build(Class::kRequest, Method::kBinding, fill, false));
  return world.Take();
}

net::Endpoint Plain(const Got& got, uint16_t type) {
  const auto value = got.message.Value(type);
  if (value.size() != 8) {
    return {};
  }
  return {net::IpAddress::V4(value[4], value[5], value[6], value[7]),
          static_cast<uint16_t>(value[2] << 8 | value[3])};
}

TEST(TurnDiscovery, IsOffUnlessWanted) {
  World world;
  Client client(world, "5.5.5.5:1000");
  EXPECT_FALSE(Bind(world, client));
  Config config = World::MakeConfig();
  config.answers_binding = true;
  world.engine().Apply(config);
  EXPECT_TRUE(Bind(world, client));
  EXPECT_FALSE(Bind(world, client, [](Builder& b) { b.U32(kChangeRequest, kPort); }));
  EXPECT_FALSE(Bind(world, client, [](Builder& b) { b.U32(kResponsePort, 2000u << 16); }));
}

TEST(TurnDiscovery, AnswersFromWhereItIsAsked) {
  World world(DiscoveryConfig());
  Client client(world, "5.5.5.5:1000");
  for (const char* at : {"9.9.9.9:3478", "9.9.9.9:3479", "9.9.9.10:3478", "9.9.9.10:3479"}) {
    client.path.local = At(at);
    const net::Endpoint other{
        Ip(client.path.local.address == Ip("9.9.9.9") ? "9.9.9.10" : "9.9.9.9"),
        static_cast<uint16_t>(client.path.local.port ^ 3478 ^ 3479)};
    for (const uint32_t change : {0u, kPort, kAddress, kPort | kAddress}) {
      const auto sent = Bind(world, client, [&](Builder& b) { b.U32(kChangeRequest, change); });
      ASSERT_TRUE(sent);
      const net::Endpoint expected{
          (change & kAddress) != 0 ? other.address : client.path.local.address,
          (change & kPort) != 0 ? other.port : client.path.local.port};
      EXPECT_EQ(sent->from, expected) << at << " " << change;
      EXPECT_EQ(sent->to, client.path.remote);
      const Got got(sent->data);
      EXPECT_EQ(Plain(got, kResponseOrigin), expected);
      EXPECT_EQ(Plain(got, kOtherAddress), other);
      EXPECT_EQ(*got.message.XorAddress(kXorMappedAddress), client.path.remote);
    }
  }
}

TEST(TurnDiscovery, WithOneAddressOnlyThePortChanges) {
  World world(DiscoveryConfig(false));
  Client client(world, "5.5.5.5:1000");
  const auto sent = Bind(world, client, [](Builder& b) { b.U32(kChangeRequest, kPort); });
  ASSERT_TRUE(sent);
  EXPECT_EQ(sent->from, At("9.9.9.9:3479"));
  EXPECT_FALSE(Got(sent->data).message.Has(kOtherAddress));
  EXPECT_FALSE(Bind(world, client, [](Builder& b) { b.U32(kChangeRequest, kAddress); }));
}

TEST(TurnDiscovery, AnotherPortOfTheSameClientAlone) {
  World world(DiscoveryConfig());
  Client client(world, "5.5.5.5:1000");
  const auto sent = Bind(world, client, [](Builder& b) { b.U32(kResponsePort, 2000u << 16); });
  ASSERT_TRUE(sent);
  EXPECT_EQ(sent->to, At("5.5.5.5:2000"));
  EXPECT_FALSE(Bind(world, client, [](Builder& b) { b.U32(kResponsePort, 53u << 16); }));
  EXPECT_FALSE(Bind(world, client, [](Builder& b) { b.Bytes(kResponsePort, Bytes(2)); }));
  EXPECT_FALSE(Bind(world, client, [](Builder& b) { b.Bytes(kChangeRequest, Bytes(3)); }));
}

TEST(TurnDiscovery, PaddingIsNoAmplifier) {
  World world(DiscoveryConfig());
  Client client(world, "5.5.5.5:1000");
  for (const size_t size : {0u, 64u, 1000u, 1500u}) {
    const auto sent = Bind(world, client, [&](Builder& b) { b.Bytes(kPadding, Bytes(size)); });
    ASSERT_TRUE(sent);
    EXPECT_LE(sent->data.size(), kStunHeaderSize + 4 + size + 64) << size;
    EXPECT_GE(sent->data.size(), size);
  }
}

}  // namespace
}  // namespace gh::turn::test
