// Realms: who is asked for which, that credentials and nonces are good in one alone, quotas and
// bandwidth of each, and what happens to allocations of one that goes.
#include <gtest/gtest.h>

#include "crypto/legacy.h"
#include "hal/rt/base64.h"
#include "tests/unit/turn/world.h"

namespace gh::turn::test {
namespace {

constexpr const char* kAlice = "7.7.7.7:1000";
constexpr const char* kBob = "7.7.7.8:1000";

Config TwoRealms() {
  Config config = World::MakeConfig();
  config.realms[0].name.Assign("north.example");
  config.realms[0].listener.port = 3479;
  config.realms[1].name.Assign("south.example");
  config.realms[1].domain.Assign("South.example");
  config.realms[1].secrets[0].Assign("of the south");
  config.realms[1].secret_count = 1;
  return config;
}

Client::Fill Asking(std::string_view origin) {
  return [origin](Builder& builder) { builder.Text(kOrigin, origin); };
}

// What somebody who has said nothing yet is asked for, and then goes by.
std::string RealmAsked(Client& client, const Client::Fill& fill = {}) {
  const auto got = client.Exchange(client.Build(
      Class::kRequest, Method::kAllocate,
      [&](Builder& builder) {
        builder.U32(kRequestedTransport, 17u << 24);
        if (fill) {
          fill(builder);
        }
      },
      false));
  if (!got) {
    return "";
  }
  client.Learn(*got);
  return client.realm;
}

TEST(TurnRealms, TheListenerChooses) {
  World world(TwoRealms());
  Client general(world, kAlice);
  EXPECT_EQ(RealmAsked(general), "example.com");
  Client north(world, kAlice);
  north.path.local.port = 3479;
  EXPECT_EQ(RealmAsked(north), "north.example");
}

TEST(TurnRealms, AListenersAddressChooses) {
  Config config = TwoRealms();
  config.realms[0].listener = {Ip("9.9.9.10"), 0};
  World world(config);
  Client client(world, kAlice);
  EXPECT_EQ(RealmAsked(client), "example.com");
  client.path.local = At("9.9.9.10:3478");
  EXPECT_EQ(RealmAsked(client), "north.example");
}

TEST(TurnRealms, TheDomainSaidChooses) {
  World world(TwoRealms());
  Client client(world, kAlice);
  for (const char* origin : {"south.example", "https://south.example", "https://SOUTH.example:8443",
                             "https://south.example/page"}) {
    EXPECT_EQ(RealmAsked(client, Asking(origin)), "south.example") << origin;
  }
  for (const char* origin : {"", "https://", "https://south.example.com", "://south", "south"}) {
    EXPECT_EQ(RealmAsked(client, Asking(origin)), "example.com") << origin;
  }
  // Any of those said, up to the last that is looked at.
  const auto saying = [](uint32_t others) {
    return [others](Builder& builder) {
      for (uint32_t i = 0; i < others; ++i) {
        builder.Text(kOrigin, "https://elsewhere.example");
      }
      builder.Text(kOrigin, "https://south.example");
    };
  };
  EXPECT_EQ(RealmAsked(client, saying(kOriginMax - 1)), "south.example");
  EXPECT_EQ(RealmAsked(client, saying(kOriginMax)), "example.com");
  // At the listener of another realm too: it said so.
  client.path.local.port = 3479;
  EXPECT_EQ(RealmAsked(client, Asking("https://south.example")), "south.example");
}

TEST(TurnRealms, TheNameAskedForInTheHandshakeChooses) {
  Config config = TwoRealms();
  config.realms[2].name.Assign("deep.example");
  config.realms[2].domain.Assign("turn.south.example");
  World world(config);
  Client client(world, kAlice);
  const auto asked = [&](std::string_view name, const Client::Fill& fill = {}) {
    client.path.asked_name = crypto::ServerNameMark(name);
    return RealmAsked(client, fill);
  };
  EXPECT_EQ(asked("south.example"), "south.example");
  EXPECT_EQ(asked("Relay.SOUTH.example"), "south.example");  // one label below
  EXPECT_EQ(asked("turn.south.example"), "deep.example");    // the domain itself goes first
  for (const char* name : {"", "example", "a.b.south.example", "south.example.com", "."}) {
    EXPECT_EQ(asked(name), "example.com") << name;
  }
  // What is said goes before what was asked for, and that before the listener.
  EXPECT_EQ(asked("turn.south.example", Asking("https://south.example")), "south.example");
  client.path.local.port = 3479;
  EXPECT_EQ(asked("turn.south.example"), "deep.example");
  EXPECT_EQ(asked("elsewhere.example"), "north.example");
}

TEST(TurnRealms, UsersAreOfOneRealm) {
  World world(TwoRealms());
  world.AddUser("north.example/alice", "northern");
  Client general(world, kAlice);
  EXPECT_TRUE(general.Allocate().ok());
  Client wrong(world, kBob, "alice", "secret");  // her password of the general realm
  wrong.path.local.port = 3479;
  EXPECT_EQ(wrong.Allocate().code(), 401);
  Client north(world, "7.7.7.9:1", "alice", "northern");
  north.path.local.port = 3479;
  EXPECT_TRUE(north.Allocate().ok());
  EXPECT_EQ(world.engine().user_count(), 2u);  // two users of one name
  EXPECT_EQ(world.engine().realm_allocation_count(1), 1u);
  AllocationInfo info;
  uint32_t cursor = 0;
  uint32_t of_north = 0;
  while (world.engine().NextAllocation(cursor, info)) {
    EXPECT_EQ(info.user, "alice");
    of_north += info.realm == 1 ? 1 : 0;
  }
  EXPECT_EQ(of_north, 1u);
}

TEST(TurnRealms, ANonceIsGoodInItsRealmAlone) {
  World world(TwoRealms());
  world.AddUser("north.example/alice", "secret");
  Client client(world, kAlice);
  ASSERT_EQ(RealmAsked(client), "example.com");
  ASSERT_TRUE(client.Allocate().ok());
  const std::string nonce = client.nonce;
  client.path.local.port = 3479;
  client.realm = "north.example";
  const auto got = client.Exchange(client.Build(
      Class::kRequest, Method::kAllocate,
      [](Builder& builder) { builder.U32(kRequestedTransport, 17u << 24); }, true));
  ASSERT_TRUE(got.has_value());
  EXPECT_EQ(got->code(), 438);
  EXPECT_EQ(got->message.Text(kRealm), "north.example");
}

TEST(TurnRealms, TheGeneralRealmIsNotTakenAtAListenerOfAnother) {
  World world(TwoRealms());
  Client client(world, kAlice);
  ASSERT_TRUE(client.Allocate().ok());
  client.path.local.port = 3479;
  const auto got = client.Exchange(client.Build(
      Class::kRequest, Method::kAllocate,
      [](Builder& builder) { builder.U32(kRequestedTransport, 17u << 24); }, true));
  ASSERT_TRUE(got.has_value());
  EXPECT_EQ(got->code(), 438);  // and is asked for the listener's
  EXPECT_EQ(got->message.Text(kRealm), "north.example");
}

TEST(TurnRealms, AnAllocationIsNotAnotherRealmsUsersOfTheName) {
  Config config = TwoRealms();
  config.realms[1].listener.port = 0;
  World world(config);
  world.AddUser("south.example/alice", "southern");
  Client general(world, kAlice);
  ASSERT_TRUE(general.Allocate().ok());
  // From the same 5-tuple, with the other realm's credentials.
  Client south(world, kAlice, "alice", "southern");
  ASSERT_EQ(RealmAsked(south, Asking("south.example")), "south.example");
  EXPECT_EQ(south.Ask(Method::kRefresh, [](Builder& b) { b.U32(kLifetime, 0); }).code(), 441);
  EXPECT_EQ(world.engine().allocation_count(), 1u);
}

TEST(TurnRealms, QuotasOfARealmAndOfItsUsers) {
  Config config = TwoRealms();
  config.allocations_per_user = 5;
  config.realms[0].allocations_per_user = 1;
  config.realms[0].allocations_total = 2;
  World world(config);
  for (const char* name : {"a", "b", "c"}) {
    world.AddUser(std::string("north.example/") + name, "p");
  }
  const auto ask = [&](const char* name, uint16_t port) {
    Client client(world, "7.7.7.7:1", name, "p");
    client.path.remote.port = port;
    client.path.local.port = 3479;
    return client.Allocate().code();
  };
  EXPECT_EQ(ask("a", 1), 0);
  EXPECT_EQ(ask("a", 2), 486);  // a user's
  EXPECT_EQ(ask("b", 3), 0);
  EXPECT_EQ(ask("c", 4), 486);  // the realm's
  for (uint16_t port = 10; port < 15; ++port) {
    Client client(world, "7.7.7.7:1");
    client.path.remote.port = port;
    EXPECT_TRUE(client.Allocate().ok());
  }
  Client beyond(world, "7.7.7.7:20");
  EXPECT_EQ(beyond.Allocate().code(), 486);  // the general one's quota for a user
  (void)world.engine().CloseAll(EndReason::kByOperator);
  EXPECT_EQ(world.engine().realm_allocation_count(1), 0u);
  EXPECT_EQ(ask("c", 5), 0);
}

TEST(TurnRealms, BandwidthOfARealm) {
  Config config = TwoRealms();
  config.realms[0].total_bytes_per_s = 1000;
  World world(config);
  world.AddUser("north.example/alice", "p");
  Client north(world, kAlice, "alice", "p");
  north.path.local.port = 3479;
  Client general(world, kBob);
  for (Client* client : {&north, &general}) {
    ASSERT_TRUE(client->Allocate().ok());
    ASSERT_TRUE(client->Permit("8.8.8.8:4000").ok());
  }
  const std::string text(600, 'x');
  north.Send("8.8.8.8:4000", text);
  EXPECT_EQ(world.sent.size(), 1u);
  north.Send("8.8.8.8:4000", text);
  EXPECT_EQ(world.sent.size(), 0u);
  general.Send("8.8.8.8:4000", text);
  EXPECT_EQ(world.sent.size(), 1u);
  EXPECT_EQ(world.engine().realm_meter(1).packets(), 1u);
  EXPECT_EQ(world.engine().total().packets(), 2u);
}

std::string PasswordOf(const std::string& secret, const std::string& user) {
  const auto tag = crypto::HmacSha1(AsBytes(secret), AsBytes(user));
  uint8_t text[28];
  ByteWriter writer(text);
  WriteBase64(tag, writer);
  return std::string(writer.text());
}

TEST(TurnRealms, SecretsAreOfOneRealm) {
  Config config = TwoRealms();
  config.secrets[0].Assign("general");
  config.secret_count = 1;
  config.realms[1].secrets[1].Assign("new of the south");
  config.realms[1].secret_count = 2;
  World world(config);
  const std::string user = "1800000000:carol";
  uint16_t port = 1;
  const auto ask = [&](const std::string& secret, const char* origin) {
    Client client(world, kAlice, user, PasswordOf(secret, user));
    client.path.remote.port = ++port;
    EXPECT_NE(RealmAsked(client, Asking(origin)), "");
    return client.Allocate().code();
  };
  EXPECT_EQ(ask("of the south", "south.example"), 0);
  EXPECT_EQ(ask("new of the south", "south.example"), 0);
  EXPECT_EQ(ask("general", "south.example"), 401);
  EXPECT_EQ(ask("general", ""), 0);
  EXPECT_EQ(ask("of the south", ""), 401);
}

TEST(TurnRealms, ARealmThatGoesTakesItsAllocationsAlong) {
  World world(TwoRealms());
  world.AddUser("north.example/alice", "p");
  Client north(world, kAlice, "alice", "p");
  north.path.local.port = 3479;
  Client general(world, kBob);
  ASSERT_TRUE(north.Allocate().ok());
  ASSERT_TRUE(general.Allocate().ok());
  Config config = TwoRealms();
  config.realms[0].allocations_total = 9;
  world.engine().Apply(config);
  EXPECT_EQ(world.engine().allocation_count(), 2u);
  config.realms[0].name.Assign("west.example");
  world.engine().Apply(config);
  EXPECT_EQ(world.engine().allocation_count(), 1u);
  EXPECT_EQ(world.ends, std::vector<EndReason>{EndReason::kReconfigured});
  EXPECT_EQ(world.engine().realm_allocation_count(1), 0u);
}

TEST(TurnRealms, EveryRealmOfTheTableAnswers) {
  Config config = World::MakeConfig();
  for (uint32_t i = 0; i < kRealmCountMax; ++i) {
    config.realms[i].name.Assign("realm" + std::to_string(i));
    config.realms[i].listener.port = static_cast<uint16_t>(4000 + i);
  }
  World world(config);
  for (uint32_t i = 0; i < kRealmCountMax; ++i) {
    Client client(world, kAlice);
    client.path.local.port = static_cast<uint16_t>(4000 + i);
    EXPECT_EQ(RealmAsked(client), "realm" + std::to_string(i));
  }
}

}  // namespace
}  // namespace gh::turn::test
