// What other TURN servers were caught with, one test each: shows that this engine is not affected.
#include <gtest/gtest.h>

#include <cstdio>

#include "tests/unit/turn/world.h"

namespace gh::turn::test {
namespace {

constexpr const char* kAlice = "7.7.7.7:1000";
constexpr const char* kPeer = "8.8.8.8:4000";

void ExpectRefusedEverywhere(const char* peer) {
  World world;
  Client alice(world, kAlice);
  ASSERT_TRUE(alice.Allocate([](Builder& b) { b.U32(kAdditionalAddressFamily, 2u << 24); }).ok());
  EXPECT_EQ(alice.Permit(peer).code(), 403) << peer;
  EXPECT_EQ(alice.Bind(0x4000, peer).code(), 403) << peer;
  alice.Send(peer, "x");
  EXPECT_TRUE(world.sent.empty()) << peer;
  EXPECT_EQ(world.engine().permission_count(), 0u);
}

// coturn: 0.0.0.0, [::] and [::1] reached the loopback interface of the server.
TEST(TurnCve, Cve202026262LoopbackByTheUnspecifiedAddress) {
  for (const char* peer : {"0.0.0.0:80", "[::]:80", "[::1]:80", "127.0.0.1:80"}) {
    ExpectRefusedEverywhere(peer);
  }
}

// coturn, Debian 12's too: ::ffff:127.0.0.1 passed the deny list.
TEST(TurnCve, Cve202627624MappedLoopback) {
  for (const char* peer : {"[::ffff:127.0.0.1]:80", "[::ffff:10.0.0.1]:80", "[::7f00:1]:80",
                           "[64:ff9b::7f00:1]:80", "[2002:7f00:1::]:80"}) {
    ExpectRefusedEverywhere(peer);
  }
}

// coturn 6c13608: ranges of IPv6 addresses compared byte by byte let addresses between them
// through.
TEST(TurnCve, Ipv6PrefixesAreComparedAsNumbers) {
  Config config = World::MakeConfig();
  config.denied.Add(Net("2600:10::/28"));
  const PeerPolicy policy(config);
  EXPECT_FALSE(policy.Allows(Ip("2600:10::1")));
  EXPECT_FALSE(policy.Allows(Ip("2600:1f:ffff::")));
  EXPECT_TRUE(policy.Allows(Ip("2600:20::")));
  EXPECT_TRUE(policy.Allows(Ip("2600:f:ffff::")));
}

// coturn CVE-2025-69217: nonces and relay ports came from a predictable generator.
TEST(TurnCve, Cve202569217PortsAndNoncesAreUnpredictable) {
  Config config = World::MakeConfig();
  config.port_rest = Duration::Seconds(0);
  World world(config);
  Client alice(world, kAlice);
  std::map<int, int> steps;
  uint16_t last = 0;
  std::set<uint16_t> ports;
  for (int i = 0; i < 200; ++i) {
    const uint16_t port = alice.Allocate().relay().port;
    ++steps[port - last];
    last = port;
    ports.insert(port);
    ASSERT_TRUE(alice.Refresh(0).ok());
  }
  EXPECT_GT(ports.size(), 60u);  // of 100
  for (const auto& [step, count] : steps) {
    EXPECT_LT(count, 12) << step;
  }
}

// coturn CVE-2026-43994: an OAuth token's length overflowed a stack buffer. No token is read here.
TEST(TurnCve, Cve202643994AccessTokensOfAnyLengthAreNotRead) {
  World world;
  Client alice(world, kAlice);
  for (const size_t size : {0u, 1u, 2u, 40u, 255u, 256u, 1024u, 1900u}) {
    const auto got = alice.Exchange(alice.Build(
        Class::kRequest, Method::kAllocate,
        [&](Builder& b) {
          b.U32(kRequestedTransport, 17u << 24);
          b.Bytes(0x001b, Bytes(size, 0xff));  // ACCESS-TOKEN
        },
        false));
    EXPECT_TRUE(!got || got->code() == 401 || got->code() == 400) << size;
  }
}

// coturn ab762f3: attributes behind MESSAGE-INTEGRITY, which anybody on the way can add, were
// obeyed.
TEST(TurnCve, NothingBehindMessageIntegrityCounts) {
  World world;
  Client alice(world, kAlice);
  ASSERT_TRUE(alice.Allocate().ok());
  Bytes refresh = alice.Build(Class::kRequest, Method::kRefresh, {}, true);
  const Bytes lifetime_zero{0, 0x0d, 0, 4, 0, 0, 0, 0};
  refresh.insert(refresh.end(), lifetime_zero.begin(), lifetime_zero.end());
  refresh[3] = static_cast<uint8_t>(refresh[3] + 8);
  const auto got = alice.Exchange(refresh);
  ASSERT_TRUE(got);
  EXPECT_TRUE(got->ok());
  EXPECT_EQ(world.engine().allocation_count(), 1u);
}

// coturn c85248f, ed32e1f: 16 bit length arithmetic wrapped.
TEST(TurnCve, LengthsDoNotWrap) {
  World world;
  Client alice(world, kAlice);
  for (const uint16_t length : std::to_array<uint16_t>({0xffff, 0xfffc, 0xffec, 0xfff0, 0x8000})) {
    Bytes message = alice.Build(
        Class::kRequest, Method::kAllocate,
        [](Builder& b) { b.U32(kRequestedTransport, 17u << 24); }, false);
    Bytes attribute = message;
    net::test::Bytes* bytes = &message;
    (*bytes)[2] = static_cast<uint8_t>(length >> 8);
    (*bytes)[3] = static_cast<uint8_t>(length);
    EXPECT_FALSE(alice.Exchange(message));
    attribute[22] = static_cast<uint8_t>(length >> 8);
    attribute[23] = static_cast<uint8_t>(length);
    EXPECT_FALSE(alice.Exchange(attribute));
    const auto frame = FrameSize(message);
    EXPECT_TRUE(!frame.ok() || *frame <= kMessageMax);
  }
}

// coturn 4adbd82, #218, #1568: EVEN-PORT and failed allocations lost ports until nothing was left.
TEST(TurnCve, NoPortIsLostByEvenPortsOrRefusals) {
  Config config = World::MakeConfig();
  config.port_rest = Duration::Seconds(0);
  config.allocations_per_user = 3;
  World world(config);
  for (int round = 0; round < 300; ++round) {
    Client client(world, "7.7.7.7:" + std::to_string(1000 + round));
    const uint8_t even = round % 2 == 0 ? 0x80 : 0;
    (void)client.Allocate([&](Builder& b) { b.Bytes(kEvenPort, {&even, 1}); });
    if (round % 3 == 0) {
      (void)client.Refresh(0);
    }
    world.Pass(Duration::Seconds(40));
  }
  (void)world.engine().CloseAll(EndReason::kByOperator);
  world.Pass(Duration::Minutes(1));
  Client last(world, kAlice);
  ASSERT_TRUE(last.Allocate().ok());  // reservations that ran out are given back on the way
  EXPECT_EQ(world.engine().ports(kIpv4Index).used_count(), 1u);
}

// coturn 3c5b261, a97f192: mobility gave the quota back while the allocation stayed.
TEST(TurnCve, MobilityKeepsTheQuota) {
  Config config = World::MakeConfig();
  config.allows_mobility = true;
  config.allocations_per_user = 1;
  World world(config);
  Client alice(world, kAlice);
  const Got made = alice.Allocate([](Builder& b) { b.Bytes(kMobilityTicket, {}); });
  ASSERT_TRUE(made.ok());
  const auto value = made.message.Value(kMobilityTicket);
  Bytes ticket(value.begin(), value.end());
  for (int i = 0; i < 20; ++i) {
    Client moved(world, "7.7.7.8:" + std::to_string(2000 + i));
    const Got got =
        moved.Ask(Method::kRefresh, [&](Builder& b) { b.Bytes(kMobilityTicket, ticket); });
    ASSERT_TRUE(got.ok());
    const auto fresh = got.message.Value(kMobilityTicket);
    ticket.assign(fresh.begin(), fresh.end());
    Client second(world, kAlice);
    EXPECT_EQ(second.Allocate().code(), 486);
    EXPECT_EQ(world.engine().allocation_count(), 1u);
    EXPECT_EQ(world.engine().user_count(), 1u);
  }
}

// coturn GHSA-4g7c-p5wg-j4hp (format string), GHSA-v8hj-2xx7-xmp5 (SQL): names went into commands.
TEST(TurnCve, UserNamesAreOnlyNames) {
  World world;
  for (const char* name : {"%s%s%s%n", "' OR 1=1 --", "alice\nxCommand Boot", "..\\..\\x", ""}) {
    Client stranger(world, kAlice, name, "secret");
    const auto first = stranger.Exchange(stranger.Build(
        Class::kRequest, Method::kAllocate,
        [](Builder& b) { b.U32(kRequestedTransport, 17u << 24); }, false));
    ASSERT_TRUE(first);
    stranger.Learn(*first);
    const auto got = stranger.Exchange(stranger.Build(
        Class::kRequest, Method::kAllocate,
        [](Builder& b) { b.U32(kRequestedTransport, 17u << 24); }, true));
    EXPECT_TRUE(!got || got->code() == 401 || got->code() == 400) << name;
  }
  EXPECT_EQ(world.engine().allocation_count(), 0u);
}

// coturn #780, #1121, #1999, pion #361: memory was kept of whoever asked.
TEST(TurnCve, ThirtyThousandStrangersAddNoByte) {
  World world;
  const uint64_t before = world.arena_used();
  for (uint32_t i = 0; i < 30000; ++i) {
    Client stranger(world, "20." + std::to_string(i >> 14) + "." + std::to_string(i >> 7 & 127) +
                               "." + std::to_string(i & 127) + ":99");
    (void)stranger.Exchange(stranger.Build(
        Class::kRequest, Method::kAllocate,
        [](Builder& b) { b.U32(kRequestedTransport, 17u << 24); }, false));
  }
  const Engine& engine = world.engine();
  EXPECT_EQ(world.arena_used(), before);
  EXPECT_EQ(engine.allocation_count() + engine.user_count() + engine.permission_count() +
                engine.channel_count() + engine.ports(kIpv4Index).used_count(),
            0u);
  std::printf("30,000 unauthenticated sources added %llu bytes\n",
              static_cast<unsigned long long>(world.arena_used() - before));
}

// coturn #1588, netbird #3900: reflection. Printed for each kind of request without credentials.
TEST(TurnCve, ReflectionStaysBelowTwoAndAHalf) {
  World world;
  Client alice(world, kAlice);
  struct Shape {
    const char* name;
    Method method;
    bool has_transport;
  };
  for (const Shape& shape :
       {Shape{"Binding", Method::kBinding, false}, Shape{"bare Allocate", Method::kAllocate, false},
        Shape{"Allocate with REQUESTED-TRANSPORT", Method::kAllocate, true},
        Shape{"Refresh", Method::kRefresh, false}}) {
    const Bytes request = alice.Build(
        Class::kRequest, shape.method,
        [&](Builder& b) {
          if (shape.has_transport) {
            b.U32(kRequestedTransport, 17u << 24);
          }
        },
        false);
    const auto got = alice.Exchange(request);
    const double factor =
        got ? static_cast<double>(got->bytes.size()) / static_cast<double>(request.size()) : 0;
    std::printf("reflection: %s of %zu bytes: %.2f times\n", shape.name, request.size(), factor);
    EXPECT_LE(factor, 2.5) << shape.name;
  }
}

// coturn's permissions were without number: one user could fill the table.
TEST(TurnCve, PermissionsAndChannelsOfOneAllocationAreBounded) {
  Capacity capacity = World::MakeCapacity();
  capacity.permissions = 100;
  capacity.channels = 100;
  World world(World::MakeConfig(), capacity);
  Client alice(world, kAlice);
  ASSERT_TRUE(alice.Allocate().ok());
  for (uint32_t i = 0; i < kPermissionsMax; ++i) {
    EXPECT_TRUE(alice.Permit("8.8.8." + std::to_string(i + 1) + ":1").ok()) << i;
  }
  EXPECT_EQ(alice.Permit("8.8.9.1:1").code(), 508);
  for (uint32_t i = 0; i < kChannelsMax; ++i) {
    EXPECT_TRUE(
        alice.Bind(static_cast<uint16_t>(0x4000 + i), "8.8.8.1:" + std::to_string(1000 + i)).ok())
        << i;
  }
  EXPECT_EQ(alice.Bind(0x5000, "8.8.8.1:5000").code(), 508);
}

}  // namespace
}  // namespace gh::turn::test
