// The client of TURN beside our own engine, without a network between them.
#include "firmware/rtp/turn_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/turn/world.h"

namespace gh::rtp::test {
namespace {

using testing::ElementsAre;
using turn::test::At;
using turn::test::Bytes;
using turn::test::Ip;

struct Told {
  net::Endpoint peer;
  std::string data;
};

class Scene final : TurnClientUser {
 public:
  explicit Scene(const turn::Config& config = turn::test::World::MakeConfig())
      : world(config), entropy_(3), random_(entropy_), timers_(world.clock.now) {
    server.at = At("9.9.9.9:3478");
    server.user.Assign("alice");
    server.password.Assign("secret");
  }
  void Begin() { client.Begin(parts_, At("10.0.0.1:36002")); }
  void SendTurn(const TurnClient& from, std::span<const uint8_t> datagram) override {
    ++sends;
    last.assign(datagram.begin(), datagram.end());
    if (is_cut) {
      return;
    }
    turn::ClientPath path;
    path.local = from.server();
    path.remote = from.local();
    world.Give(path, datagram);
    Deliver();
  }
  // What the engine sent to the client; to peers it is kept.
  void Deliver() {
    while (const auto sent = world.Take()) {
      if (!(sent->to == client.local())) {
        to_peers.push_back({sent->to, std::string(sent->data.begin(), sent->data.end())});
        continue;
      }
      pending.push_back(sent->data);
    }
  }
  // Answers come after the call in which the request left, as on a network.
  void Settle() {
    for (int i = 0; i < 50 && !pending.empty(); ++i) {
      Bytes data = pending.front();
      pending.erase(pending.begin());
      client.Take(data);
    }
  }
  void Pass(Duration duration) {
    for (int64_t s = 0; s < duration.ns / 500'000'000; ++s) {
      world.Pass(Duration::Milliseconds(500));
      (void)timers_.Advance(world.clock.now);
      Settle();
    }
  }
  void OnTurnData(TurnClient&, const net::Endpoint& peer, std::span<uint8_t> data) override {
    told.push_back({peer, std::string(data.begin(), data.end())});
  }
  void OnTurnChannel(TurnClient&) override { ++channels; }
  void OnTurnLost(TurnClient&, const char* why) override { lost.emplace_back(why); }

  turn::test::World world;
  TurnServer server;
  TurnClient client;
  bool is_cut = false;
  int sends = 0;
  int channels = 0;
  Bytes last;
  std::vector<Bytes> pending;
  std::vector<Told> told, to_peers;
  std::vector<std::string> lost;

 private:
  net::test::SeededEntropy entropy_;
  crypto::Random random_;
  TimerWheel timers_;
  TurnParts parts_{*this, timers_, random_, server};
};

const net::Endpoint kPeer = At("8.8.8.8:4000");
std::span<const uint8_t> Data(std::string_view text) { return AsBytes(text); }

TEST(TurnClient, AnAllocationIsMadeKeptAndGivenBack) {
  Scene scene;
  scene.Begin();
  scene.Settle();
  ASSERT_TRUE(scene.client.is_ready());
  EXPECT_EQ(scene.client.relayed().address, Ip("9.9.9.9"));
  EXPECT_EQ(scene.client.mapped(), scene.client.local());
  EXPECT_EQ(scene.world.engine().allocation_count(), 1u);
  scene.Pass(Duration::Minutes(45));  // allocation, nonces
  EXPECT_EQ(scene.world.engine().allocation_count(), 1u);
  EXPECT_TRUE(scene.lost.empty());
  scene.client.End();
  EXPECT_EQ(scene.world.engine().allocation_count(), 0u);
}

TEST(TurnClient, DataGoesBothWaysThenByTheChannel) {
  Scene scene;
  scene.Begin();
  scene.Settle();
  scene.client.Send(kPeer, Data("one"));  // permission is asked for before it
  scene.Settle();
  ASSERT_EQ(scene.to_peers.size(), 1u);
  EXPECT_EQ(scene.to_peers[0].data, "one");
  EXPECT_EQ(scene.to_peers[0].peer, kPeer);
  EXPECT_TRUE(scene.world.GiveRelay(scene.client.relayed(), kPeer, "back"));
  scene.Deliver();
  scene.Settle();
  ASSERT_EQ(scene.told.size(), 1u);
  EXPECT_EQ(scene.told[0].data, "back");
  EXPECT_EQ(scene.told[0].peer, kPeer);
  EXPECT_EQ(scene.client.ChannelOf(kPeer), 0);
  scene.client.BindChannel(kPeer);
  scene.Settle();
  EXPECT_EQ(scene.channels, 1);
  EXPECT_EQ(scene.client.ChannelOf(kPeer), kTurnChannel);
  scene.client.Send(kPeer, Data("two"));
  EXPECT_EQ(scene.last, Bytes({0x40, 0, 0, 3, 't', 'w', 'o'}));
  (void)scene.world.GiveRelay(scene.client.relayed(), kPeer, "by channel");
  scene.Deliver();
  scene.Settle();
  ASSERT_EQ(scene.told.size(), 2u);
  EXPECT_EQ(scene.told[1].data, "by channel");
  // Beyond the life of permission, channel and allocation.
  scene.Pass(Duration::Minutes(25));
  (void)scene.world.GiveRelay(scene.client.relayed(), kPeer, "still");
  scene.Deliver();
  scene.Settle();
  EXPECT_EQ(scene.told.size(), 3u);
}

TEST(TurnClient, EachKindOfKeyIsProven) {
  for (const auto keys : {turn::KeyPolicy::kMd5Only, turn::KeyPolicy::kSha256Only}) {
    turn::Config config = turn::test::World::MakeConfig();
    config.keys = keys;
    Scene scene(config);
    scene.Begin();
    scene.Settle();
    EXPECT_TRUE(scene.client.is_ready());
    const auto message = turn::Message::Parse(scene.last);
    ASSERT_TRUE(message.ok());
    EXPECT_EQ(message->integrity(), keys == turn::KeyPolicy::kMd5Only ? turn::Integrity::kSha1
                                                                      : turn::Integrity::kSha256);
  }
}

TEST(TurnClient, AWrongPasswordIsToldOnce) {
  Scene scene;
  scene.server.password.Assign("guess");
  scene.Begin();
  scene.Settle();
  scene.Pass(Duration::Minutes(2));
  EXPECT_THAT(scene.lost, ElementsAre("the TURN server does not know us"));
  EXPECT_FALSE(scene.client.is_ready());
}

TEST(TurnClient, AServerThatDoesNotAnswerIsAskedSoOften) {
  Scene scene;
  scene.is_cut = true;
  scene.Begin();
  scene.Pass(Duration::Minutes(2));
  EXPECT_EQ(scene.sends, static_cast<int>(kTurnSendsMax));
  EXPECT_THAT(scene.lost, ElementsAre("the TURN server does not answer"));
}

TEST(TurnClient, AnAllocationThatTheServerLostIsLost) {
  Scene scene;
  scene.Begin();
  scene.Settle();
  (void)scene.world.engine().CloseAll(turn::EndReason::kByOperator);
  scene.Pass(Duration::Minutes(10));
  EXPECT_THAT(scene.lost, ElementsAre("the TURN server refuses"));
}

TEST(TurnClient, PeersAreBoundedAndOneIsRefusedWithoutHarm) {
  Scene scene;
  scene.Begin();
  scene.Settle();
  for (uint32_t i = 0; i <= kTurnPeersMax; ++i) {
    const auto peer = At("8.8.4." + std::to_string(1 + i) + ":4000");
    scene.client.Send(peer, Data("x"));
    scene.Settle();
  }
  EXPECT_EQ(scene.to_peers.size(), kTurnPeersMax);
  EXPECT_TRUE(scene.lost.empty());
}

TEST(TurnClient, ANatInBetweenIsKeptOpen) {
  Scene scene;
  scene.Begin();
  scene.Settle();
  const int before = scene.sends;
  scene.Pass(kTurnKeepAlive - Duration::Seconds(1));
  EXPECT_EQ(scene.sends, before);
  scene.Pass(Duration::Seconds(2));
  EXPECT_EQ(scene.sends, before + 1);
  const auto message = turn::Message::Parse(scene.last);
  ASSERT_TRUE(message.ok());
  EXPECT_EQ(message->cls(), turn::Class::kIndication);
  EXPECT_EQ(message->method(), turn::Method::kBinding);
  scene.Pass(Duration::Seconds(60));
  EXPECT_EQ(scene.sends, before + 5);
  EXPECT_TRUE(scene.lost.empty());
}

// An error of a server that is not there, to the last request.
void Refuse(Scene& scene, uint16_t code, size_t realm_size, size_t nonce_size) {
  const auto asked = turn::Message::Parse(scene.last);
  ASSERT_TRUE(asked.ok());
  uint8_t bytes[1024];
  turn::Builder error(bytes, turn::Class::kError, asked->method(), asked->transaction());
  error.Error(code);
  error.Text(turn::kRealm, std::string(realm_size, 'r'));
  error.Text(turn::kNonce, std::string(nonce_size, 'n'));
  const auto built = error.Finish();
  Bytes data(built.begin(), built.end());
  scene.client.Take(data);
}

TEST(TurnClient, RealmAndNonceHaveALargestSize) {
  for (const size_t beyond : {0, 1, 2}) {
    Scene scene;
    scene.is_cut = true;
    scene.Begin();
    Refuse(scene, 401, kTurnTextMax + (beyond == 1 ? 1 : 0), kTurnTextMax + (beyond == 2 ? 1 : 0));
    EXPECT_EQ(scene.sends, beyond == 0 ? 2 : 1);
    EXPECT_EQ(scene.lost.size(), beyond == 0 ? 0u : 1u);
  }
}

TEST(TurnClient, NoncesThatAreStaleAtOnceAreTakenSoOften) {
  Scene scene;
  scene.is_cut = true;
  scene.Begin();
  Refuse(scene, 401, 5, 5);
  for (uint32_t i = 0; i < kTurnStaleMax; ++i) {
    Refuse(scene, 438, 5, 5);
  }
  EXPECT_EQ(scene.sends, static_cast<int>(2 + kTurnStaleMax));
  EXPECT_TRUE(scene.lost.empty());
  Refuse(scene, 438, 5, 5);
  EXPECT_EQ(scene.sends, static_cast<int>(2 + kTurnStaleMax));
  EXPECT_THAT(scene.lost, ElementsAre("the TURN server refuses"));
}

TEST(TurnClient, NobodyElseIsBelieved) {
  Scene scene;
  scene.Begin();
  scene.Settle();
  ASSERT_TRUE(scene.client.is_ready());
  // A datagram of somebody who knows neither key nor transaction, and a channel that is none.
  uint8_t bytes[128];
  turn::Builder forged(bytes, turn::Class::kError, turn::Method::kRefresh, {});
  forged.Error(437);
  const auto built = forged.Finish();
  Bytes data(built.begin(), built.end());
  scene.client.Take(data);
  Bytes channel = {0x40, 0, 0, 1, 'x'};
  scene.client.Take(channel);
  Bytes junk = {0, 1, 2};
  scene.client.Take(junk);
  EXPECT_TRUE(scene.client.is_ready());
  EXPECT_TRUE(scene.told.empty());
  // Data from a peer that has no permission does not come this far.
  EXPECT_TRUE(scene.world.GiveRelay(scene.client.relayed(), kPeer, "spam"));
  scene.Deliver();
  scene.Settle();
  EXPECT_TRUE(scene.told.empty());
}

}  // namespace
}  // namespace gh::rtp::test
