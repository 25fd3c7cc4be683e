// Every number of firmware/turn/limits.h at its edge: the last that is taken, the first that is
// not.
#include <gtest/gtest.h>

#include "tests/unit/turn/world.h"

namespace gh::turn::test {
namespace {

constexpr const char* kAlice = "7.7.7.7:1000";
constexpr const char* kPeer = "8.8.8.8:4000";

Bytes Padded(size_t message_size) {
  uint8_t out[kMessageMax + 64];
  Builder builder(out, Class::kRequest, Method::kBinding, {});
  builder.Bytes(kSoftware, Bytes(message_size - kStunHeaderSize - 4, 'x'));
  const auto bytes = builder.Finish();
  return Bytes(bytes.begin(), bytes.end());
}

TEST(TurnLimits, MessageSize) {
  EXPECT_TRUE(Message::Parse(Padded(kMessageMax)).ok());
  EXPECT_FALSE(Message::Parse(Padded(kMessageMax + 4)).ok());
  EXPECT_EQ(*FrameSize(Padded(kMessageMax)), kMessageMax);
  EXPECT_FALSE(FrameSize(Padded(kMessageMax + 4)).ok());
  const uint32_t data = kMessageMax - kChannelHeaderSize;
  const auto head = [](uint32_t size) {
    return Bytes{0x40, 0, static_cast<uint8_t>(size >> 8), static_cast<uint8_t>(size)};
  };
  EXPECT_EQ(*FrameSize(head(data)), kMessageMax);
  EXPECT_FALSE(FrameSize(head(data + 1)).ok());
}

TEST(TurnLimits, AttributesOfOneMessage) {
  const auto with = [](uint32_t count) {
    uint8_t out[kMessageMax];
    Builder builder(out, Class::kRequest, Method::kBinding, {});
    for (uint32_t i = 0; i < count; ++i) {
      builder.Bytes(kSoftware, {});
    }
    return Message::Parse(builder.Finish()).ok();
  };
  EXPECT_TRUE(with(kAttributeMax));
  EXPECT_FALSE(with(kAttributeMax + 1));
}

TEST(TurnLimits, UnknownAttributesTold) {
  World world;
  Client alice(world, kAlice);
  ASSERT_TRUE(alice.Allocate().ok());
  for (const uint32_t count : {1u, kUnknownMax, kUnknownMax + 1}) {
    const Got got = alice.Ask(Method::kRefresh, [&](Builder& b) {
      for (uint32_t i = 0; i < count; ++i) {
        b.Bytes(static_cast<uint16_t>(0x7f00 + i), {});
      }
    });
    EXPECT_EQ(got.code(), 420);
    EXPECT_EQ(got.message.Value(kUnknownAttributes).size(), 2 * std::min(count, kUnknownMax));
  }
}

TEST(TurnLimits, PeersOfOneRequest) {
  World world;
  Client alice(world, kAlice);
  ASSERT_TRUE(alice.Allocate().ok());
  const auto ask = [&](uint32_t count) {
    return alice
        .Ask(Method::kCreatePermission,
             [&](Builder& b) {
               for (uint32_t i = 0; i < count; ++i) {
                 b.XorAddress(kXorPeerAddress, At("8.8.8." + std::to_string(i + 1) + ":1"));
               }
             })
        .code();
  };
  EXPECT_EQ(ask(0), 400);
  EXPECT_EQ(ask(kPeersPerRequestMax), 0);
  EXPECT_EQ(ask(kPeersPerRequestMax + 1), 400);
  EXPECT_EQ(ask(24), 400);  // turnutils_uclient -G; silence is what it waits on for ever
}

TEST(TurnLimits, LengthOfAUserName) {
  World world;
  world.AddUser(std::string(kUserNameMax, 'u'), "secret");
  world.AddUser(std::string(kUserNameMax + 1, 'u'), "secret");
  Client longest(world, kAlice, std::string(kUserNameMax, 'u'));
  EXPECT_TRUE(longest.Allocate().ok());
  Client longer(world, "7.7.7.7:1001", std::string(kUserNameMax + 1, 'u'));
  EXPECT_FALSE(longer.Allocate().ok());
}

TEST(TurnLimits, RulesOfTheLists) {
  Config config;
  for (uint32_t i = 0; i < kRuleMax; ++i) {
    EXPECT_TRUE(config.allowed.Add(Net("10." + std::to_string(i) + ".0.0/16")));
    EXPECT_TRUE(config.denied.Add(Net("11." + std::to_string(i) + ".0.0/16")));
  }
  EXPECT_FALSE(config.allowed.Add(Net("12.0.0.0/8")));
  EXPECT_FALSE(config.denied.Add(Net("12.0.0.0/8")));
  const PeerPolicy policy(config);
  EXPECT_TRUE(policy.Allows(Ip("10.15.0.1")));
  EXPECT_FALSE(policy.Allows(Ip("11.15.0.1")));
  EXPECT_TRUE(policy.Allows(Ip("12.0.0.1")));
  for (uint32_t i = 0; i < kOwnAddressMax; ++i) {
    EXPECT_TRUE(config.own.Add(Net("13.0.0." + std::to_string(i) + "/32")));
  }
  EXPECT_FALSE(config.own.Add(Net("13.0.1.0/32")));
}

TEST(TurnLimits, Reservations) {
  Capacity capacity = World::MakeCapacity();
  capacity.allocations = kReservationMax + 2;
  capacity.relay_ports = 400;
  Config config = World::MakeConfig();
  World world(config, capacity);
  const uint8_t reserve = 0x80;
  for (uint32_t i = 0; i <= kReservationMax; ++i) {
    Client client(world, "7.7.7.7:" + std::to_string(1000 + i));
    const Got got = client.Allocate([&](Builder& b) { b.Bytes(kEvenPort, {&reserve, 1}); });
    EXPECT_EQ(got.code(), i < kReservationMax ? 0 : 508) << i;
  }
  EXPECT_EQ(world.engine().reservation_count(), kReservationMax);
}

TEST(TurnLimits, SecondsOfPermissionsChannelsAndReservations) {
  World world;
  Client alice(world, kAlice);
  const uint8_t reserve = 0x80;
  const Got made = alice.Allocate([&](Builder& b) {
    b.Bytes(kEvenPort, {&reserve, 1});
    b.U32(kLifetime, 3600);
  });
  ASSERT_TRUE(made.ok());
  ASSERT_TRUE(alice.Bind(0x4000, kPeer).ok());
  EXPECT_EQ(world.engine().reservation_count(), 1u);
  world.Pass(Duration::Seconds(int64_t{kPermissionSeconds} - 1));
  EXPECT_EQ(world.engine().permission_count(), 1u);
  world.Pass(Duration::Seconds(2));
  EXPECT_EQ(world.engine().permission_count(), 0u);
  EXPECT_EQ(world.engine().channel_count(), 1u);
  world.Pass(Duration::Seconds(int64_t{kChannelSeconds} - kPermissionSeconds - 2));
  EXPECT_EQ(world.engine().channel_count(), 1u);
  world.Pass(Duration::Seconds(2));
  EXPECT_EQ(world.engine().channel_count(), 0u);
  const auto value = made.message.Value(kReservationToken);
  const Bytes token(value.begin(), value.end());
  Client late(world, "7.7.7.7:1001");
  EXPECT_EQ(late.Allocate([&](Builder& b) { b.Bytes(kReservationToken, token); }).code(), 508);
}

TEST(TurnLimits, ChannelNumbers) {
  World world;
  Client alice(world, kAlice);
  ASSERT_TRUE(alice.Allocate().ok());
  EXPECT_EQ(alice.Bind(kChannelFirst - 1, "8.8.8.8:1").code(), 400);
  EXPECT_TRUE(alice.Bind(kChannelFirst, "8.8.8.8:1").ok());
  EXPECT_TRUE(alice.Bind(kChannelLast, "8.8.8.8:2").ok());
  EXPECT_EQ(alice.Bind(kChannelLast + 1, "8.8.8.8:3").code(), 400);
  Config strict = World::MakeConfig();
  strict.is_strict_channels = true;
  world.engine().Apply(strict);
  EXPECT_TRUE(alice.Bind(kChannelLastStrict, "8.8.8.8:4").ok());
  EXPECT_EQ(alice.Bind(kChannelLastStrict + 1, "8.8.8.8:5").code(), 400);
}

TEST(TurnLimits, AllocationsUpToTheCapacityAndNoFurther) {
  World world;
  const uint32_t capacity = world.engine().allocation_capacity();
  for (uint32_t i = 0; i < capacity; ++i) {
    Client client(world, "7.7.7.7:" + std::to_string(1000 + i));
    EXPECT_TRUE(client.Allocate().ok()) << i;
  }
  Client last(world, "7.7.7.8:1");
  EXPECT_EQ(last.Allocate().code(), 508);
  EXPECT_EQ(world.engine().allocation_count(), capacity);
}

}  // namespace
}  // namespace gh::turn::test
