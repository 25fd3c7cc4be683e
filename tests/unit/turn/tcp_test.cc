// Relays that speak TCP to peers (RFC 6062): what is asked, what is answered, and what is left when
// either side, the allocation or time ends a connection.
#include <gtest/gtest.h>

#include "tests/unit/turn/world.h"

namespace gh::turn::test {
namespace {

constexpr std::string_view kPeer = "8.8.8.8:80";

Config TcpConfig() {
  Config config = World::MakeConfig();
  config.allows_tcp = true;
  return config;
}

Capacity TcpCapacity() {
  Capacity capacity = World::MakeCapacity();
  capacity.links = kLinksMax + 4;
  return capacity;
}

// A client over TCP with its control connection; more connections are other clients by name.
struct TcpClient : Client {
  TcpClient(World& world, std::string_view remote, uint32_t stream, std::string user = "alice",
            std::string password = "secret")
      : Client(world, remote, std::move(user), std::move(password)) {
    path.transport = ClientTransport::kStream;
    path.stream = {stream, 1};
  }
  Got AllocateTcp(const Fill& more = {}) {
    return Ask(Method::kAllocate, [&](Builder& builder) {
      builder.U32(kRequestedTransport, 6u << 24);
      if (more) {
        more(builder);
      }
    });
  }
  // The answer, when it comes at once.
  std::optional<Got> Connect(std::string_view peer) {
    return Exchange(Build(
        Class::kRequest, Method::kConnect,
        [&](Builder& b) { b.XorAddress(kXorPeerAddress, At(peer)); }, true));
  }
  Got BindConnection(uint32_t id) {
    return Ask(Method::kConnectionBind, [&](Builder& b) { b.U32(kConnectionId, id); });
  }
};

uint32_t IdOf(const std::optional<Sent>& sent) {
  const auto id = sent ? Got(sent->data).message.U32(kConnectionId) : Result<uint32_t>(0u);
  return id.ok() ? *id : 0;
}

struct TurnTcp : ::testing::Test {
  World world{TcpConfig(), TcpCapacity()};
  TcpClient alice{world, "5.5.5.5:1000", 1};
  TcpClient data{world, "5.5.5.5:1001", 2};
};

TEST_F(TurnTcp, IsRefusedUnlessWanted) {
  World strict;
  TcpClient client(strict, "5.5.5.5:1000", 1);
  EXPECT_EQ(client.AllocateTcp().code(), 442);
  EXPECT_TRUE(strict.open_relays.empty());
}

TEST_F(TurnTcp, AllocatesOverStreamsAlone) {
  Client datagrams(world, "5.5.5.5:1000");
  EXPECT_EQ(
      datagrams.Ask(Method::kAllocate, [](Builder& b) { b.U32(kRequestedTransport, 6u << 24); })
          .code(),
      400);
  for (const uint16_t type : {kDontFragment, kEvenPort, kReservationToken}) {
    const Bytes value(type == kEvenPort ? 1 : type == kReservationToken ? 8 : 0);
    EXPECT_EQ(alice.AllocateTcp([&](Builder& b) { b.Bytes(type, value); }).code(), 400);
  }
  const Got got = alice.AllocateTcp();
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(world.open_relays, std::set<uint16_t>{got.relay().port});
  EXPECT_EQ(alice.Bind(0x4000, kPeer).code(), 403);
  EXPECT_TRUE(alice.Permit(kPeer).ok());
  alice.Send(kPeer, "no datagrams");
  EXPECT_TRUE(world.sent.empty());
  EXPECT_TRUE(world.GiveRelay(got.relay(), At(kPeer), "no datagrams"));
  EXPECT_TRUE(world.sent.empty());
  EXPECT_TRUE(alice.Refresh(0).ok());
  EXPECT_TRUE(world.open_relays.empty());
}

TEST_F(TurnTcp, NoMoreRelaysThanListeners) {
  world.relay_max = 0;
  EXPECT_EQ(alice.AllocateTcp().code(), 508);
  EXPECT_EQ(world.engine().allocation_count(), 0u);
  EXPECT_EQ(world.engine().ports(kIpv4Index).used_count(), 0u);
}

TEST_F(TurnTcp, ConnectsBindsAndJoins) {
  const Got got = alice.AllocateTcp();
  ASSERT_TRUE(got.ok());
  EXPECT_FALSE(alice.Connect(kPeer));  // the answer waits for the peer
  ASSERT_EQ(world.connects.size(), 1u);
  EXPECT_EQ(world.connects[0].relay, got.relay());
  EXPECT_EQ(world.connects[0].peer, At(kPeer));
  EXPECT_EQ(alice.Connect(kPeer)->code(), 446);
  world.sent.clear();
  EXPECT_TRUE(world.engine().OnPeerConnected(world.connects[0].link));
  const uint32_t id = IdOf(world.Take());
  EXPECT_EQ(id, world.connects[0].link);

  EXPECT_EQ(data.BindConnection(id + 1).code(), 400);
  TcpClient bob(world, "6.6.6.6:1", 3, "bob", "hidden");
  EXPECT_EQ(bob.BindConnection(id).code(), 441);
  EXPECT_EQ(alice.BindConnection(id).code(), 400);  // its control connection
  ASSERT_TRUE(data.BindConnection(id).ok());
  EXPECT_EQ(world.carrying[2], id);
  EXPECT_EQ(world.joins, (std::vector<std::pair<uint32_t, uint32_t>>{{2, 1001}}));
  TcpClient again(world, "5.5.5.5:1002", 4);
  EXPECT_EQ(again.BindConnection(id).code(), 400);

  world.engine().OnLinkClosed(id);
  EXPECT_EQ(world.engine().link_count(), 0u);
  EXPECT_EQ(world.closed_streams, 2u);
}

TEST_F(TurnTcp, PeersThatDoNotAnswerAre447) {
  ASSERT_TRUE(alice.AllocateTcp().ok());
  EXPECT_FALSE(alice.Connect(kPeer));
  world.engine().OnLinkClosed(world.connects[0].link);
  EXPECT_EQ(Got(world.Take()->data).code(), 447);
  EXPECT_FALSE(alice.Connect(kPeer));
  world.Pass(Duration::Seconds(int64_t{kLinkSeconds}));
  EXPECT_EQ(Got(world.Take()->data).code(), 447);
  EXPECT_EQ(world.engine().link_count(), 0u);
  EXPECT_FALSE(world.engine().OnPeerConnected(world.connects[1].link));
}

// CVE-2020-26262, CVE-2026-27624, pion #570: Connect forgot the rules that hold for permissions.
TEST_F(TurnTcp, ConnectAsksThePolicy) {
  ASSERT_TRUE(alice.AllocateTcp().ok());
  for (const char* peer :
       {"127.0.0.1:80", "0.0.0.0:80", "10.0.0.1:80", "169.254.1.1:80", "224.0.0.1:80"}) {
    EXPECT_EQ(alice.Connect(peer)->code(), 403) << peer;
  }
  for (const char* peer : {"[::1]:80", "[::]:80", "[::ffff:127.0.0.1]:80", "[2600::1]:80"}) {
    EXPECT_EQ(alice.Connect(peer)->code(), 443) << peer;
  }
  TcpClient sixth(world, "5.5.5.5:1006", 6);
  ASSERT_TRUE(sixth.AllocateTcp([](Builder& b) { b.U32(kRequestedAddressFamily, 2u << 24); }).ok());
  for (const char* peer : {"[::1]:80", "[::]:80", "[::ffff:127.0.0.1]:80", "[fe80::1]:80"}) {
    EXPECT_EQ(sixth.Connect(peer)->code(), 403) << peer;
  }
  EXPECT_EQ(alice.Connect("8.8.8.8:0")->code(), 400);
  EXPECT_TRUE(world.connects.empty());
}

TEST_F(TurnTcp, PeersNeedPermissionAndWaitForTheClient) {
  const Got got = alice.AllocateTcp();
  EXPECT_EQ(world.engine().OnPeerArrived(got.relay(), At(kPeer), {50, 1}), 0u);
  ASSERT_TRUE(alice.Permit(kPeer).ok());
  world.sent.clear();
  const uint32_t id = world.engine().OnPeerArrived(got.relay(), At(kPeer), {50, 1});
  ASSERT_NE(id, 0u);
  const Got told(world.Take()->data);
  EXPECT_EQ(told.message.method(), Method::kConnectionAttempt);
  EXPECT_EQ(*told.message.U32(kConnectionId), id);
  EXPECT_EQ(*told.message.XorAddress(kXorPeerAddress), At(kPeer));
  ASSERT_TRUE(data.BindConnection(id).ok());
  EXPECT_EQ(world.joins, (std::vector<std::pair<uint32_t, uint32_t>>{{2, 50}}));
  // One that nobody binds is closed.
  ASSERT_NE(world.engine().OnPeerArrived(got.relay(), At("8.8.8.8:81"), {51, 1}), 0u);
  world.Pass(Duration::Seconds(int64_t{kLinkSeconds}));
  EXPECT_EQ(world.engine().link_count(), 1u);
  EXPECT_EQ(world.closed.back().index, 51u);
}

TEST_F(TurnTcp, TwoRelaysOfOursAreJoinedWithoutAWire) {
  TcpClient bob(world, "6.6.6.6:1", 3, "bob", "hidden");
  TcpClient bob_data(world, "6.6.6.6:2", 4, "bob", "hidden");
  ASSERT_TRUE(alice.AllocateTcp().ok());
  const Got far = bob.AllocateTcp();
  const std::string peer = "9.9.9.9:" + std::to_string(far.relay().port);
  EXPECT_EQ(alice.Connect(peer)->code(), 447);  // bob has not permitted us
  ASSERT_TRUE(bob.Permit("9.9.9.9:1").ok());
  const auto answer = alice.Connect(peer);
  ASSERT_TRUE(answer && answer->ok());
  const uint32_t far_id = IdOf(world.Take());
  ASSERT_TRUE(data.BindConnection(*answer->message.U32(kConnectionId)).ok());
  EXPECT_TRUE(world.joins.empty());
  ASSERT_TRUE(bob_data.BindConnection(far_id).ok());
  EXPECT_EQ(world.joins, (std::vector<std::pair<uint32_t, uint32_t>>{{4, 2}}));
  EXPECT_TRUE(world.connects.empty());
  EXPECT_EQ(world.engine().link_count(), 2u);
  world.engine().OnLinkClosed(far_id);
  EXPECT_EQ(world.engine().link_count(), 0u);
  EXPECT_EQ(world.closed_streams, 2u);
}

TEST_F(TurnTcp, TheEndOfAnAllocationEndsItsConnections) {
  const Got got = alice.AllocateTcp();
  for (uint32_t i = 0; i < kLinksMax; ++i) {
    EXPECT_FALSE(alice.Connect("8.8.8.8:" + std::to_string(100 + i)));
  }
  EXPECT_EQ(alice.Connect("8.8.8.8:99")->code(), 508);
  EXPECT_EQ(world.engine().link_count(), kLinksMax);
  world.sent.clear();
  world.engine().OnStreamClosed(alice.path);
  EXPECT_EQ(world.engine().link_count(), 0u);
  EXPECT_EQ(world.closed_streams, kLinksMax);
  EXPECT_TRUE(world.open_relays.empty());
  EXPECT_TRUE(world.sent.empty());  // there is nobody left to answer
}

}  // namespace
}  // namespace gh::turn::test
