// One host, or a few, do not keep the others out: places, parsers and attempts to log in, by the
// address that peers come from (strangers.cc, sources.h).
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/unit/xmpp/room_scene.h"
#include "tests/unit/xmpp/web_world.h"

namespace gh::xmpp::test {
namespace {

using Crowd = std::vector<std::unique_ptr<Client>>;

net::Endpoint At(const char* address) { return {*net::IpAddress::Parse(address), 40'000}; }
const net::Endpoint kHostile = At("203.0.113.9");
const net::Endpoint kFriend = At("198.51.100.1");

struct Strangers : testing::Test {
  static constexpr uint32_t kSessions = 64;
  static constexpr uint32_t kPlaces = kSessions * kStrangersPercent / 100;
  static constexpr uint32_t kAttempts = 16;  // and parsers

  Strangers() { world.AddUser("alice"); }
  Client& Come(const net::Endpoint& remote) {
    crowd.push_back(std::make_unique<Client>(world, ++number, true, remote));
    return *crowd.back();
  }
  bool MayCome(const net::Endpoint& remote) {
    return world.engine().OnOpen({++number, 1}, remote, true);
  }
  void LogIn(const net::Endpoint& remote) {
    Client client(world, ++number, true, remote);
    client.LogIn("alice", "r" + std::to_string(number));
  }
  void Share(uint32_t percent, uint32_t strangers) {
    Config config = World::MakeConfig();
    config.sessions_per_user = kSessions;
    config.address_percent = percent;
    config.address_strangers_percent = strangers;
    world.engine().Apply(config);
  }
  std::string Begin(Client& client) {
    client.Header();
    return client.Say("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'>" +
                      Base64Of("n,,n=alice,r=abcdef") + "</auth>");
  }
  uint64_t crowded_out() { return world.engine().counters().crowded_out; }

  World world{20, kSessions};
  Crowd crowd;
  uint32_t number = 0;
};

TEST_F(Strangers, AttemptsOfOneAddressLeaveRoomForOthers) {
  for (uint32_t i = 0; i < kAttempts; ++i) {
    EXPECT_TRUE(Has(Begin(Come(kHostile)), "<challenge"));
  }
  EXPECT_TRUE(Has(Begin(Come(kHostile)), "<temporary-auth-failure/>"));
  LogIn(kFriend);
  EXPECT_EQ(crowded_out(), 1u);
  EXPECT_TRUE(Has(crowd[0]->Take(), "<temporary-auth-failure/>"));
  EXPECT_EQ(crowd[1]->Take(), "");
  EXPECT_EQ(world.guesses, 0u);  // nobody has shown anything wrong
}

TEST_F(Strangers, ParsersOfOneAddressLeaveRoomForOthers) {
  for (uint32_t i = 0; i < kAttempts + 1; ++i) {
    Come(kHostile).Say("<stream:stream ");
  }
  EXPECT_EQ(world.engine().reader_count(), kAttempts);
  LogIn(kFriend);
  EXPECT_EQ(crowded_out(), 1u);
  EXPECT_TRUE(Has(crowd[0]->Take(), "<resource-constraint "));
  EXPECT_EQ(crowd[1]->Take(), "");
}

// Those who are silent have half of all places; who is known has the others, whoever comes.
TEST_F(Strangers, PlacesOfOneAddressLeaveRoomForOthers) {
  Client& known = Come(kFriend);
  known.LogIn("alice", "a");
  for (uint32_t i = 0; i < kPlaces; ++i) {
    Come(kHostile);
  }
  EXPECT_FALSE(MayCome(kHostile));
  EXPECT_EQ(world.engine().stranger_count(), kPlaces);
  LogIn(kFriend);
  EXPECT_EQ(crowded_out(), 1u);
  EXPECT_TRUE(world.closed[crowd[1]->stream().index]);
  EXPECT_FALSE(world.closed[known.stream().index]);
  EXPECT_EQ(world.engine().bound_count(), 2u);
}

// Also where those who are known have most places.
TEST_F(Strangers, AResumptionComesThrough) {
  Share(100, 100);
  Client lost(world, ++number, true, kFriend);
  lost.LogIn("alice", "a");
  const std::string enabled = lost.Say("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
  lost.Break();
  while (world.engine().session_count() < kSessions - kPlaces / 2) {
    LogIn(kFriend);
  }
  while (MayCome(kHostile)) {
  }
  EXPECT_EQ(world.engine().session_count(), kSessions);
  Client again(world, ++number, true, kFriend);
  again.Header();
  EXPECT_TRUE(Has(again.Authenticate("alice", "secret"), "<success"));
  again.Header();
  EXPECT_TRUE(Has(again.Say("<resume xmlns='urn:xmpp:sm:3' h='0' previd='" +
                            Between(enabled, " id='", "'") + "'/>"),
                  "<resumed"));
}

TEST_F(Strangers, AnAddressHasItsShare) {
  Share(50, 25);
  for (uint32_t i = 0; i < kPlaces / 4; ++i) {
    Come(kHostile);
  }
  EXPECT_FALSE(MayCome(kHostile));
  for (uint32_t i = 0; i < kSessions / 2; ++i) {
    LogIn(kFriend);
  }
  EXPECT_FALSE(MayCome(kFriend));
  EXPECT_TRUE(MayCome(At("198.51.100.2")));
  EXPECT_EQ(world.engine().source_count(), 3u);
  Share(100, 100);
  EXPECT_TRUE(MayCome(kFriend));
  EXPECT_TRUE(MayCome(kHostile));
}

TEST_F(Strangers, OneSlash64IsOneAddress) {
  Share(50, 25);
  for (uint32_t i = 0; i < kPlaces / 4; ++i) {
    Come(At(("2001:db8:0:1::" + std::to_string(i + 1)).c_str()));
  }
  EXPECT_EQ(world.engine().source_count(), 1u);
  EXPECT_FALSE(MayCome(At("2001:db8:0:1:ffff::1")));
  EXPECT_TRUE(MayCome(At("2001:db8:0:2::1")));
}

// Where everybody has as little as the newcomer would: whoever had his time gives way.
TEST_F(Strangers, TheOldestOfManyAddressesHasItsTime) {
  for (uint32_t i = 0; i < kPlaces; ++i) {
    Come(At(("192.0.2." + std::to_string(i)).c_str()));
  }
  EXPECT_FALSE(MayCome(kFriend));
  world.Turn(Duration::Seconds(kCrowdSeconds) - Duration::Milliseconds(1));
  EXPECT_FALSE(MayCome(kFriend));
  world.Turn(Duration::Milliseconds(1));
  EXPECT_TRUE(MayCome(kFriend));
  EXPECT_TRUE(world.closed[crowd[0]->stream().index]);
  EXPECT_FALSE(world.closed[crowd[1]->stream().index]);
}

// What is counted goes with the connections, however they end.
TEST_F(Strangers, NothingIsLeftOfThoseWhoHaveGone) {
  Begin(Come(kHostile));
  Come(kHostile).Say("<stream:stream ");
  Come(kFriend).LogIn("alice", "a");
  for (const auto& client : crowd) {
    client->Break();
  }
  EXPECT_EQ(world.engine().source_count(), 0u);
  EXPECT_EQ(world.engine().stranger_count(), 0u);
  EXPECT_EQ(world.engine().reader_count(), 0u);
}

// A newcomer costs so many looks: one with most behind them is not seen.
TEST(ManyStrangers, SoManyAreLookedAt) {
  for (const uint32_t before : {kCrowdLooksMax - 1, kCrowdLooksMax}) {
    constexpr uint32_t kAll = kCrowdLooksMax + 2;
    World world(4, kAll * 100 / kStrangersPercent);
    uint32_t number = 0;
    const auto come = [&](uint32_t source) {
      net::Endpoint remote = At("10.0.0.0");
      remote.address.bytes[2] = static_cast<uint8_t>(source >> 8);
      remote.address.bytes[3] = static_cast<uint8_t>(source);
      return world.engine().OnOpen({++number, 1}, remote, true);
    };
    for (uint32_t i = 0; i < kAll; ++i) {
      ASSERT_TRUE(come(std::min(i, before)));
    }
    EXPECT_EQ(come(kAll), before < kCrowdLooksMax);
  }
}

TEST(WebStrangers, AnAddressHasItsShare) {
  World world;
  WebWorld web(world);
  Config config = World::MakeConfig();
  config.address_percent = 50;
  world.engine().Apply(config);
  const auto begin = [&](const net::Endpoint& remote) {
    const std::string body =
        "<body xmlns='http://jabber.org/protocol/httpbind' rid='7' wait='1' hold='1' "
        "to='example.com'/>";
    return web.Say(web.Open(remote), "POST /http-bind HTTP/1.1\r\nHost: h\r\nContent-Length: " +
                                         std::to_string(body.size()) + "\r\n\r\n" + body);
  };
  EXPECT_TRUE(Has(begin(kHostile), " sid='"));
  EXPECT_TRUE(Has(begin(kHostile), "internal-server-error"));
  EXPECT_TRUE(Has(begin(kFriend), " sid='"));
  EXPECT_EQ(web.web().connection_count(), 3u);
  while (web.MayOpen(kHostile)) {
  }
  EXPECT_EQ(web.web().connection_count(), 1 + WebWorld::kCapacity.connections / 2);
  EXPECT_TRUE(web.MayOpen(kFriend));
}

}  // namespace
}  // namespace gh::xmpp::test
