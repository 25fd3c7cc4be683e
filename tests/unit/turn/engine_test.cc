// The engine state by state: what a client may do, what it is refused, and that nothing is left.
#include <functional>

#include <gtest/gtest.h>

#include "tests/unit/turn/world.h"

namespace gh::turn::test {
namespace {

constexpr const char* kPeer = "8.8.8.8:4000";
constexpr const char* kAlice = "7.7.7.7:1000";

std::string TextOf(const Bytes& bytes) { return std::string(bytes.begin(), bytes.end()); }

void ExpectNothingLeft(World& world) {
  EXPECT_EQ(world.engine().allocation_count(), 0u);
  EXPECT_EQ(world.engine().permission_count(), 0u);
  EXPECT_EQ(world.engine().channel_count(), 0u);
  EXPECT_EQ(world.engine().user_count(), 0u);
  EXPECT_TRUE(world.flows.empty());
  EXPECT_EQ(world.engine().ports(kIpv4Index).used_count(), 0u);
  EXPECT_EQ(world.engine().ports(kIpv6Index).used_count(), 0u);
}

TEST(TurnEngine, AllocatesRelaysAndEnds) {
  World world;
  Client alice(world, kAlice);
  const Got got = alice.Allocate();
  ASSERT_TRUE(got.ok()) << got.code();
  EXPECT_EQ(got.relay().address, Ip("9.9.9.9"));
  EXPECT_GE(got.relay().port, 24000);
  EXPECT_LE(got.relay().port, 29999);
  EXPECT_EQ(*got.message.XorAddress(kXorMappedAddress), At(kAlice));
  EXPECT_EQ(*got.message.U32(kLifetime), 600u);
  EXPECT_TRUE(got.message.IsAuthentic(crypto::Md5::Of("alice:example.com:secret")));

  alice.Send(kPeer, "early");
  EXPECT_TRUE(world.sent.empty());  // no permission yet
  ASSERT_TRUE(alice.Permit(kPeer).ok());
  alice.Send(kPeer, "hello");
  auto sent = world.Take();
  ASSERT_TRUE(sent);
  EXPECT_EQ(sent->from, got.relay());
  EXPECT_EQ(sent->to, At(kPeer));
  EXPECT_EQ(TextOf(sent->data), "hello");

  // Another port of the permitted address is heard, another address is not.
  EXPECT_TRUE(world.GiveRelay(got.relay(), At("8.8.8.8:9"), "back"));
  sent = world.Take();
  ASSERT_TRUE(sent);
  EXPECT_EQ(sent->to, At(kAlice));
  const auto data = Message::Parse(sent->data);
  ASSERT_TRUE(data.ok());
  EXPECT_EQ(data->method(), Method::kData);
  EXPECT_EQ(data->Text(kData), "back");
  EXPECT_EQ(*data->XorAddress(kXorPeerAddress), At("8.8.8.8:9"));
  EXPECT_TRUE(world.GiveRelay(got.relay(), At("8.8.4.4:4000"), "stranger"));
  EXPECT_TRUE(world.sent.empty());

  EXPECT_EQ(alice.Allocate().code(), 437);
  EXPECT_TRUE(alice.Refresh(0).ok());
  EXPECT_EQ(world.ends, std::vector{EndReason::kByClient});
  EXPECT_FALSE(world.GiveRelay(got.relay(), At(kPeer), "late"));
  EXPECT_EQ(alice.Refresh(600).code(), 437);
  ExpectNothingLeft(world);
}

TEST(TurnEngine, ChannelsBecomeFlowsWhilePermitted) {
  World world;
  Client alice(world, kAlice);
  const Got got = alice.Allocate();
  ASSERT_TRUE(alice.Bind(0x4000, kPeer).ok());
  ASSERT_EQ(world.flows.size(), 2u);
  for (const media::Flow* flow : world.flows) {
    const bool up = flow->spec.channel_in == 0x4000;
    EXPECT_EQ(flow->spec.local, up ? alice.path.local : got.relay());
    EXPECT_EQ(flow->spec.remote, up ? At(kAlice) : At(kPeer));
    EXPECT_EQ(flow->spec.from, up ? got.relay() : alice.path.local);
    EXPECT_EQ(flow->spec.to, up ? At(kPeer) : At(kAlice));
    EXPECT_EQ(flow->spec.channel_out, up ? 0 : 0x4000);
  }
  // What the plane does not take the engine relays the same.
  alice.SendChannel(0x4000, "up");
  auto sent = world.Take();
  ASSERT_TRUE(sent);
  EXPECT_EQ(TextOf(sent->data), "up");
  world.GiveRelay(got.relay(), At(kPeer), "down");
  sent = world.Take();
  ASSERT_TRUE(sent);
  EXPECT_EQ(sent->data, (Bytes{0x40, 0, 0, 4, 'd', 'o', 'w', 'n'}));

  EXPECT_EQ(alice.Bind(0x4000, "8.8.8.8:4001").code(), 400);  // the number is taken
  EXPECT_EQ(alice.Bind(0x4001, kPeer).code(), 400);           // the peer has one
  EXPECT_EQ(alice.Bind(0x3fff, "8.8.8.9:1").code(), 400);
  EXPECT_TRUE(alice.Bind(0x7fff, "8.8.8.9:1").ok());
  EXPECT_EQ(alice.Bind(0x8000, "8.8.8.10:1").code(), 400);

  world.Pass(Duration::Seconds(301));  // the permission is over, the channel is not
  EXPECT_TRUE(world.flows.empty());
  alice.SendChannel(0x4000, "unpermitted");
  EXPECT_TRUE(world.sent.empty());
  ASSERT_TRUE(alice.Permit(kPeer).ok());
  EXPECT_EQ(world.flows.size(), 2u);
  world.Pass(Duration::Seconds(300));
  EXPECT_EQ(world.engine().channel_count(), 0u);
  EXPECT_EQ(world.ends, std::vector{EndReason::kExpired});
  ExpectNothingLeft(world);
}

TEST(TurnEngine, StrictChannelsEndAt4fff) {
  Config config = World::MakeConfig();
  config.is_strict_channels = true;
  World world(config);
  Client alice(world, kAlice);
  (void)alice.Allocate();
  EXPECT_TRUE(alice.Bind(0x4fff, kPeer).ok());
  EXPECT_EQ(alice.Bind(0x5000, "8.8.8.9:1").code(), 400);
}

TEST(TurnEngine, RepeatedAllocateIsAnsweredAgain) {
  World world;
  Client alice(world, kAlice);
  const Got got = alice.Allocate();
  const auto again = alice.Exchange(alice.BuildAgain(
      Class::kRequest, Method::kAllocate, [](Builder& b) { b.U32(kRequestedTransport, 17u << 24); },
      true));
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->ok());
  EXPECT_EQ(again->relay(), got.relay());
  EXPECT_EQ(world.allocated, 1u);
}

TEST(TurnEngine, RefusesWhatTheProtocolForbids) {
  World world;
  Client alice(world, kAlice);
  EXPECT_EQ(alice.Ask(Method::kAllocate).code(), 400);  // bare: not even challenged
  EXPECT_EQ(
      alice.Ask(Method::kAllocate, [](Builder& b) { b.U32(kRequestedTransport, 6u << 24); }).code(),
      442);
  EXPECT_EQ(alice.Allocate([](Builder& b) { b.U32(kRequestedAddressFamily, 3u << 24); }).code(),
            440);
  EXPECT_EQ(alice
                .Allocate([](Builder& b) {
                  b.U32(kRequestedAddressFamily, 1u << 24);
                  b.U32(kAdditionalAddressFamily, 2u << 24);
                })
                .code(),
            400);
  EXPECT_EQ(alice.Allocate([](Builder& b) { b.U32(kAdditionalAddressFamily, 1u << 24); }).code(),
            400);
  EXPECT_EQ(alice
                .Allocate([](Builder& b) {
                  const uint8_t even[1] = {0};
                  b.Bytes(kEvenPort, even);
                  b.Bytes(kReservationToken, std::array<uint8_t, 8>{});
                })
                .code(),
            400);
  EXPECT_EQ(alice.Allocate([](Builder& b) { b.Bytes(kReservationToken, std::array<uint8_t, 8>{}); })
                .code(),
            508);
  EXPECT_EQ(alice.Allocate([](Builder& b) { b.Bytes(kMobilityTicket, {}); }).code(), 405);
  const Got unknown = alice.Allocate([](Builder& b) { b.U32(0x7f01, 1); });
  EXPECT_EQ(unknown.code(), 420);
  const auto types = unknown.message.Value(kUnknownAttributes);
  EXPECT_EQ(Bytes(types.begin(), types.end()), (Bytes{0x7f, 0x01}));
  EXPECT_EQ(alice.Permit(kPeer).code(), 437);
  ExpectNothingLeft(world);
}

TEST(TurnEngine, BothFamilies) {
  World world;
  Client alice(world, kAlice);
  const Got got = alice.Allocate([](Builder& b) { b.U32(kAdditionalAddressFamily, 2u << 24); });
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(got.relay(0).address, Ip("9.9.9.9"));
  EXPECT_EQ(got.relay(1).address, Ip("2600::9"));
  EXPECT_TRUE(alice.Permit("[2607::1]:5").ok());
  EXPECT_TRUE(alice.Permit(kPeer).ok());
  EXPECT_TRUE(alice.Refresh(0).ok());
  ASSERT_TRUE(alice.Allocate([](Builder& b) { b.U32(kRequestedAddressFamily, 2u << 24); }).ok());
  EXPECT_EQ(alice.Permit(kPeer).code(), 443);
  EXPECT_TRUE(alice.Refresh(0).ok());
  ExpectNothingLeft(world);
}

TEST(TurnEngine, AdditionalFamilyThatIsNotThereIsTold) {
  Config config = World::MakeConfig();
  config.relay[kIpv6Index] = {};
  World world(config);
  Client alice(world, kAlice);
  const Got got = alice.Allocate([](Builder& b) { b.U32(kAdditionalAddressFamily, 2u << 24); });
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(*got.message.U32(kAddressErrorCode), 2u << 24 | 4u << 8 | 40);
  EXPECT_EQ(got.relay(1).port, 0);
}

TEST(TurnEngine, EvenPortsAndReservations) {
  World world;
  Client alice(world, kAlice);
  const uint8_t reserve[1] = {0x80};
  const Got got = alice.Allocate([&](Builder& b) { b.Bytes(kEvenPort, reserve); });
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(got.relay().port % 2, 0);
  const auto value = got.message.Value(kReservationToken);
  const Bytes token(value.begin(), value.end());
  ASSERT_EQ(token.size(), 8u);
  EXPECT_EQ(world.engine().reservation_count(), 1u);

  Client rtcp(world, "7.7.7.7:1001");
  const Got second = rtcp.Allocate([&](Builder& b) { b.Bytes(kReservationToken, token); });
  ASSERT_TRUE(second.ok()) << second.code();
  EXPECT_EQ(second.relay().port, got.relay().port + 1);
  Client thief(world, "7.7.7.7:1002");
  EXPECT_EQ(thief.Allocate([&](Builder& b) { b.Bytes(kReservationToken, token); }).code(), 508);
  EXPECT_TRUE(alice.Refresh(0).ok());
  EXPECT_TRUE(rtcp.Refresh(0).ok());

  // One that is not fetched comes back.
  const uint8_t again[1] = {0x80};
  ASSERT_TRUE(alice.Allocate([&](Builder& b) { b.Bytes(kEvenPort, again); }).ok());
  world.Pass(Duration::Seconds(31));
  EXPECT_TRUE(alice.Refresh(0).ok());
  EXPECT_EQ(world.engine().reservation_count(), 0u);
  ExpectNothingLeft(world);
}

TEST(TurnEngine, EvenPortsWithoutReservationBurnNone) {
  World world;
  for (int i = 0; i < 300; ++i) {  // more than the range has
    Client alice(world, kAlice);
    const uint8_t plain[1] = {0};
    const Got got = alice.Allocate([&](Builder& b) { b.Bytes(kEvenPort, plain); });
    ASSERT_TRUE(got.ok()) << i << " " << got.code();
    ASSERT_TRUE(alice.Refresh(0).ok());
    world.Pass(Duration::Seconds(61));
  }
  const RelayPorts& ports = world.engine().ports(kIpv4Index);
  EXPECT_EQ(ports.free_count() + ports.resting_count(), ports.port_count());
}

TEST(TurnEngine, QuotasAndExhaustion) {
  Config config = World::MakeConfig();
  config.allocations_per_user = 2;
  World world(config);
  std::vector<std::unique_ptr<Client>> clients;
  const auto add = [&](const std::string& user, const std::string& password) {
    clients.push_back(std::make_unique<Client>(
        world, "7.7.7.7:" + std::to_string(2000 + clients.size()), user, password));
    return clients.back()->Allocate().code();
  };
  EXPECT_EQ(add("alice", "secret"), 0);
  EXPECT_EQ(add("alice", "secret"), 0);
  EXPECT_EQ(add("alice", "secret"), 486);
  EXPECT_EQ(add("bob", "hidden"), 0);
  EXPECT_TRUE(clients[0]->Refresh(0).ok());
  EXPECT_EQ(add("alice", "secret"), 0);  // the quota is tied to the allocation's life
  config.allocations_total = 3;
  world.engine().Apply(config);
  EXPECT_EQ(add("bob", "hidden"), 486);
  config.allocations_total = config.allocations_per_user = 0;
  world.engine().Apply(config);
  uint16_t code = 0;
  for (int i = 0; i < 20 && code == 0; ++i) {
    code = add("bob", "hidden");
  }
  EXPECT_EQ(code, 508);
  EXPECT_EQ(world.engine().allocation_count(), 20u);
  EXPECT_EQ(world.engine().CloseAll(EndReason::kByOperator), 20u);
  ExpectNothingLeft(world);
}

TEST(TurnEngine, PermissionsAndChannelsAreBounded) {
  World world;
  Client alice(world, kAlice);
  (void)alice.Allocate();
  for (uint32_t i = 0; i < kPermissionsMax; ++i) {
    EXPECT_TRUE(alice.Permit("8.8.8." + std::to_string(i + 1) + ":1").ok());
  }
  EXPECT_EQ(alice.Permit("8.8.9.1:1").code(), 508);
  EXPECT_TRUE(alice.Permit("8.8.8.1:1").ok());  // a refresh needs no room
  EXPECT_EQ(alice.Bind(0x4000, "8.8.9.1:1").code(), 508);
  for (uint16_t i = 0; i < kChannelsMax; ++i) {
    EXPECT_TRUE(
        alice.Bind(static_cast<uint16_t>(0x4000 + i), "8.8.8.1:" + std::to_string(i + 1)).ok());
  }
  EXPECT_EQ(alice.Bind(0x5000, "8.8.8.1:999").code(), 508);
  EXPECT_TRUE(alice.Refresh(0).ok());
  ExpectNothingLeft(world);
}

TEST(TurnEngine, OtherUsersCannotTouchAnAllocation) {
  World world;
  Client alice(world, kAlice);
  (void)alice.Allocate();
  Client bob(world, kAlice, "bob", "hidden");
  EXPECT_EQ(bob.Refresh(0).code(), 441);
  EXPECT_EQ(bob.Permit(kPeer).code(), 441);
  EXPECT_EQ(world.engine().allocation_count(), 1u);
}

TEST(TurnEngine, DontFragmentAndIcmp) {
  World world;
  Client alice(world, kAlice);
  const Got got = alice.Allocate([](Builder& b) { b.Bytes(kDontFragment, {}); });
  ASSERT_TRUE(got.ok());
  (void)alice.Permit(kPeer);
  alice.Send(kPeer, "small", true);
  EXPECT_TRUE(world.Take()->dont_fragment);
  alice.Send(kPeer, std::string(1401, 'x'), true);
  auto sent = world.Take();
  ASSERT_TRUE(sent);
  auto told = Message::Parse(sent->data);
  ASSERT_TRUE(told.ok());
  EXPECT_EQ(told->Value(kIcmp).size(), 8u);
  world.sent.clear();
  world.engine().OnRelayError(got.relay(), At(kPeer), 3, 3, 0);
  sent = world.Take();
  ASSERT_TRUE(sent);
  told = Message::Parse(sent->data);
  const auto icmp = told->Value(kIcmp);
  EXPECT_EQ(Bytes(icmp.begin(), icmp.end()), (Bytes{0, 0, 6, 3, 0, 0, 0, 0}));
  world.engine().OnRelayError(got.relay(), At("8.8.4.4:1"), 3, 3, 0);
  EXPECT_TRUE(world.sent.empty());  // of somebody without a permission
}

TEST(TurnEngine, MobilityMovesAnAllocation) {
  Config config = World::MakeConfig();
  config.allows_mobility = true;
  World world(config);
  Client alice(world, kAlice);
  const Got got = alice.Allocate([](Builder& b) { b.Bytes(kMobilityTicket, {}); });
  ASSERT_TRUE(got.ok());
  const auto value = got.message.Value(kMobilityTicket);
  const Bytes ticket(value.begin(), value.end());
  ASSERT_FALSE(ticket.empty());
  (void)alice.Bind(0x4000, kPeer);
  Client moved(world, "6.6.6.6:77");
  const auto refresh = [&](Client& client, const Bytes& with) {
    return client.Ask(Method::kRefresh, [&](Builder& b) { b.Bytes(kMobilityTicket, with); });
  };
  Bytes wrong = ticket;
  wrong.back() ^= 1;
  EXPECT_EQ(refresh(moved, wrong).code(), 437);
  Client bob(world, "6.6.6.6:78", "bob", "hidden");
  EXPECT_EQ(refresh(bob, ticket).code(), 437);
  ASSERT_TRUE(refresh(moved, ticket).ok());
  EXPECT_EQ(refresh(bob, ticket).code(), 437);
  EXPECT_EQ(world.engine().allocation_count(), 1u);
  ASSERT_EQ(world.flows.size(), 2u);
  for (const media::Flow* flow : world.flows) {
    EXPECT_TRUE(flow->spec.remote == At("6.6.6.6:77") || flow->spec.to == At("6.6.6.6:77"));
  }
  EXPECT_EQ(alice.Permit(kPeer).code(), 437);
  EXPECT_TRUE(moved.Refresh(0).ok());
  ExpectNothingLeft(world);
}

TEST(TurnEngine, ClientsMeetAcrossOurRelays) {
  Config config = World::MakeConfig();
  config.shown[kIpv4Index] = Ip("5.5.5.5");
  World world(config);
  Client alice(world, kAlice);
  Client bob(world, "7.7.7.8:1000", "bob", "hidden");
  const net::Endpoint a = alice.Allocate().relay();
  const net::Endpoint b = bob.Allocate().relay();
  EXPECT_EQ(a.address, Ip("5.5.5.5"));  // static NAT
  ASSERT_TRUE(alice.Permit(net::ToText(b).view()).ok());
  alice.Send(net::ToText(b).view(), "not yet");
  EXPECT_TRUE(world.sent.empty());
  ASSERT_TRUE(bob.Permit(net::ToText(a).view()).ok());
  alice.Send(net::ToText(b).view(), "hello");
  const auto sent = world.Take();
  ASSERT_TRUE(sent);
  EXPECT_EQ(sent->to, bob.path.remote);
  const auto data = Message::Parse(sent->data);
  EXPECT_EQ(data->Text(kData), "hello");
  EXPECT_EQ(*data->XorAddress(kXorPeerAddress), a);
}

TEST(TurnEngine, ARelayAddressThatAppearsDisturbsNobodyOneThatGoesTakesItsOwn) {
  Config config = World::MakeConfig();
  const net::IpAddress v6 = config.relay[kIpv6Index];
  config.relay[kIpv6Index] = {};
  World world(config);
  Client first(world, "5.5.5.5:1000");
  ASSERT_TRUE(first.Allocate().ok());
  config.relay[kIpv6Index] = v6;  // its duplicate address detection has ended
  world.engine().Apply(config);
  EXPECT_EQ(world.engine().allocation_count(), 1u);
  EXPECT_TRUE(first.Refresh(600).ok());
  Client second(world, "5.5.5.5:1001");
  ASSERT_TRUE(second.Allocate([](Builder& b) { b.U32(kRequestedAddressFamily, 2u << 24); }).ok());
  EXPECT_EQ(world.engine().allocation_count(), 2u);
  config.relay[kIpv6Index] = {};
  world.engine().Apply(config);
  EXPECT_EQ(world.engine().allocation_count(), 1u);
  EXPECT_TRUE(first.Refresh(600).ok());
  EXPECT_EQ(second.Refresh(600).code(), 437);
  config.relay[kIpv4Index] = At("9.9.9.8:0").address;
  world.engine().Apply(config);
  EXPECT_EQ(world.engine().allocation_count(), 0u);
}

TEST(TurnEngine, BandwidthIsLimited) {
  Config config = World::MakeConfig();
  config.allocation_bytes_per_s = 1000;
  World world(config);
  Client alice(world, kAlice);
  (void)alice.Allocate();
  (void)alice.Permit(kPeer);
  const std::string block(400, 'x');
  alice.Send(kPeer, block);
  EXPECT_EQ(world.sent.size(), 1u);
  alice.Send(kPeer, block);
  EXPECT_EQ(world.sent.size(), 1u);
  alice.Send(kPeer, block);
  EXPECT_TRUE(world.sent.empty());
  world.Pass(Duration::Milliseconds(250));
  alice.Send(kPeer, block);
  EXPECT_EQ(world.sent.size(), 1u);
}

TEST(TurnEngine, AlternateServer) {
  Config config = World::MakeConfig();
  config.alternate = At("4.4.4.4:3478");
  World world(config);
  Client alice(world, kAlice);
  const Got got = alice.Allocate();
  EXPECT_EQ(got.code(), 300);
  const auto value = got.message.Value(kAlternateServer);
  EXPECT_EQ(Bytes(value.begin(), value.end()), (Bytes{0, 1, 0x0d, 0x96, 4, 4, 4, 4}));
}

TEST(TurnEngine, StreamsEndTheirAllocations) {
  World world;
  Client alice(world, kAlice);
  alice.path.transport = ClientTransport::kStream;
  alice.path.stream = {1, 1};
  const Got got = alice.Allocate();
  ASSERT_TRUE(got.ok());
  ASSERT_TRUE(alice.Bind(0x4000, kPeer).ok());
  EXPECT_TRUE(world.flows.empty());
  world.sent.clear();
  world.GiveRelay(got.relay(), At(kPeer), "abc");
  EXPECT_EQ(world.Take()->data, (Bytes{0x40, 0, 0, 3, 'a', 'b', 'c', 0}));
  world.engine().OnStreamClosed(alice.path);
  EXPECT_EQ(world.ends, std::vector{EndReason::kStreamClosed});
  ExpectNothingLeft(world);
}

TEST(TurnEngine, PolicyChangeCutsOffAtOnce) {
  World world;
  Client alice(world, kAlice);
  (void)alice.Allocate();
  (void)alice.Bind(0x4000, kPeer);
  ASSERT_EQ(world.flows.size(), 2u);
  Config config = World::MakeConfig();
  config.denied.Add(Net("8.8.0.0/16"));
  world.engine().Apply(config);
  EXPECT_TRUE(world.flows.empty());
  alice.SendChannel(0x4000, "x");
  EXPECT_TRUE(world.sent.empty());
}

// Churn in every state, with clocks that jump: at the end everything is back where it was.
TEST(TurnEngine, ChurnLeavesNothing) {
  Config config = World::MakeConfig();
  config.allows_mobility = true;
  config.port_rest = Duration::Seconds(5);
  World world(config);
  net::test::SeededEntropy dice(99);
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 30; ++i) {
    clients.push_back(std::make_unique<Client>(world, "7.7.7.7:" + std::to_string(3000 + i)));
  }
  for (int step = 0; step < 20000; ++step) {
    Client& client = *clients[dice.Next() % clients.size()];
    const std::string peer = "8.8.8." + std::to_string(1 + dice.Next() % 40) + ":7";
    switch (dice.Next() % 8) {
      case 0:
      case 1:
        (void)client.Allocate();
        break;
      case 2:
        (void)client.Permit(peer);
        break;
      case 3:
        (void)client.Bind(static_cast<uint16_t>(0x4000 + dice.Next() % 40), peer);
        break;
      case 4:
        (void)client.Refresh(dice.Next() % 3 == 0 ? 0 : 700);
        break;
      case 5:
        client.Send(peer, "x");
        break;
      case 6:
        world.Pass(Duration::Milliseconds(static_cast<int64_t>(dice.Next() % 20000)));
        break;
      default:
        world.engine().OnStreamClosed(client.path);
        break;
    }
    const RelayPorts& ports = world.engine().ports(kIpv4Index);
    ASSERT_EQ(ports.used_count(), world.engine().allocation_count());
  }
  EXPECT_GT(world.engine().counters().allocated, 100u);
  world.Pass(Duration::Hours(24));
  ExpectNothingLeft(world);
  EXPECT_EQ(world.allocated, world.ends.size());
}

}  // namespace
}  // namespace gh::turn::test
