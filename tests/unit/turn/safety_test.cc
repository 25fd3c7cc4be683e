// What outsiders cannot do: amplify, guess, be relayed inside, or fill anything. Each peer CVE that
// concerns a relay has its line here.
#include <functional>

#include <gtest/gtest.h>
#include "crypto/legacy.h"

#include "tests/unit/turn/world.h"

namespace gh::turn::test {
namespace {

constexpr const char* kAlice = "7.7.7.7:1000";

std::string Base64(std::span<const uint8_t> bytes) {
  static const char* const kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const uint32_t word = uint32_t{bytes[i]} << 16 |
                          (i + 1 < bytes.size() ? uint32_t{bytes[i + 1]} << 8 : 0u) |
                          (i + 2 < bytes.size() ? bytes[i + 2] : 0u);
    out += kAlphabet[word >> 18];
    out += kAlphabet[word >> 12 & 63];
    out += i + 1 < bytes.size() ? kAlphabet[word >> 6 & 63] : '=';
    out += i + 2 < bytes.size() ? kAlphabet[word & 63] : '=';
  }
  return out;
}

std::string SecretPassword(const std::string& secret, const std::string& user) {
  return Base64(crypto::HmacSha1(AsBytes(secret), AsBytes(user)));
}

// CVE-2020-26262, CVE-2026-27624 and kin: no spelling of an inside address is let through.
TEST(TurnPolicy, RefusesEverySpellingOfInside) {
  const Config config = World::MakeConfig();
  const PeerPolicy policy(config);
  for (const char* text : {"0.0.0.0",
                           "0.1.2.3",
                           "127.0.0.1",
                           "127.255.255.254",
                           "10.0.0.1",
                           "10.255.255.255",
                           "100.64.0.1",
                           "100.127.255.255",
                           "169.254.169.254",
                           "172.16.0.1",
                           "172.31.255.255",
                           "192.0.0.8",
                           "192.0.2.1",
                           "192.88.99.1",
                           "192.168.0.1",
                           "198.18.0.1",
                           "198.19.255.255",
                           "198.51.100.1",
                           "203.0.113.1",
                           "224.0.0.1",
                           "239.255.255.255",
                           "240.0.0.1",
                           "255.255.255.255",
                           "::",
                           "::1",
                           "::127.0.0.1",
                           "::ffff:127.0.0.1",
                           "::ffff:8.8.8.8",
                           "::ffff:0:8.8.8.8",
                           "64:ff9b::7f00:1",
                           "64:ff9b:1::1",
                           "100::1",
                           "2001::1",
                           "2001:2::1",
                           "2001:db8::1",
                           "2002:7f00:1::1",
                           "3fff::1",
                           "fc00::1",
                           "fdff::1",
                           "fe80::1",
                           "febf::1",
                           "fec0::1",
                           "ff02::1",
                           "2600::5efe:a00:1",
                           "2600::200:5efe:a00:1"}) {
    EXPECT_FALSE(policy.Allows(Ip(text))) << text;
  }
  for (const char* text :
       {"1.1.1.1", "9.9.9.10", "11.0.0.1", "100.63.255.255", "100.128.0.1", "126.255.255.255",
        "128.0.0.1", "172.15.255.255", "172.32.0.1", "192.167.255.255", "192.169.0.1",
        "223.255.255.255", "2600::1", "2001:4860::1", "2001:200::1", "fbff::1", "2003::1"}) {
    EXPECT_TRUE(policy.Allows(Ip(text))) << text;
  }
}

TEST(TurnPolicy, ListsAndOwnAddresses) {
  Config config = World::MakeConfig();
  config.own.Add(Net("8.7.6.0/24"));  // the management network
  config.allowed.Add(Net("10.1.0.0/16"));
  config.allowed.Add(Net("127.0.0.0/8"));
  config.allowed.Add(Net("8.7.6.0/24"));
  config.denied.Add(Net("10.1.2.0/24"));
  config.denied.Add(Net("2600:1::/32"));
  const PeerPolicy policy(config);
  EXPECT_TRUE(policy.Allows(Ip("10.1.1.1")));
  EXPECT_FALSE(policy.Allows(Ip("10.2.1.1")));
  EXPECT_FALSE(policy.Allows(Ip("10.1.2.1")));   // denied before allowed
  EXPECT_FALSE(policy.Allows(Ip("127.0.0.1")));  // no list opens loopback
  EXPECT_FALSE(policy.Allows(Ip("8.7.6.5")));    // nor the management network
  EXPECT_FALSE(policy.Allows(Ip("2600:1::1")));
  EXPECT_TRUE(policy.Allows(Ip("2600:2::1")));
  EXPECT_TRUE(policy.Allows(Ip("9.9.9.9")));  // our relay: other clients of ours
}

TEST(TurnSafety, EveryDoorAsksThePolicy) {
  World world;
  Client alice(world, kAlice);
  ASSERT_TRUE(alice.Allocate([](Builder& b) { b.U32(kAdditionalAddressFamily, 2u << 24); }).ok());
  for (const char* peer : {"127.0.0.1:80", "0.0.0.0:80", "192.168.1.1:80", "[::1]:80",
                           "[::ffff:127.0.0.1]:80", "[::]:80", "224.0.0.1:80"}) {
    EXPECT_EQ(alice.Permit(peer).code(), 403) << peer;
    EXPECT_EQ(alice.Bind(0x4001, peer).code(), 403) << peer;
    alice.Send(peer, "x");
    EXPECT_TRUE(world.sent.empty()) << peer;
  }
  EXPECT_EQ(world.engine().permission_count(), 0u);
}

TEST(TurnSafety, ReplyToStrangersIsSmall) {
  for (const char* realm : {"example.com", "turn", "a-realm-of-twenty-by"}) {
    Config config = World::MakeConfig();
    config.realm.Assign(realm);
    World world(config);
    Client alice(world, kAlice);
    for (size_t padding = 0; padding < 300; padding += 4) {
      const Bytes request = alice.Build(
          Class::kRequest, Method::kAllocate,
          [&](Builder& b) {
            b.U32(kRequestedTransport, 17u << 24);
            if (padding > 0) {
              b.Bytes(kSoftware, Bytes(padding - 4, 'x'));
            }
          },
          false);
      const auto got = alice.Exchange(request);
      ASSERT_TRUE(got) << realm << " " << padding;
      EXPECT_EQ(got->code(), 401);
      EXPECT_FALSE(got->message.Has(kSoftware));
      EXPECT_LE(got->bytes.size() * 10, request.size() * kAmplificationTenthsMax) << padding;
    }
    for (const Method method : {Method::kAllocate, Method::kRefresh, Method::kBinding,
                                Method::kCreatePermission, Method::kChannelBind}) {
      const Bytes bare = alice.Build(Class::kRequest, method, {}, false);
      const auto got = alice.Exchange(bare);
      EXPECT_TRUE(!got || got->bytes.size() * 10 <= bare.size() * kAmplificationTenthsMax);
    }
  }
}

TEST(TurnSafety, StrangersAddNothingAndAreLimited) {
  World world;
  uint32_t answered = 0;
  for (uint32_t i = 0; i < 30000; ++i) {
    Client stranger(world, "20." + std::to_string(i >> 16 & 255) + "." +
                               std::to_string(i >> 8 & 255) + "." + std::to_string(i & 255) +
                               ":99");
    answered += stranger.Exchange(stranger.Build(
                    Class::kRequest, Method::kAllocate,
                    [](Builder& b) { b.U32(kRequestedTransport, 17u << 24); }, false))
                    ? 1
                    : 0;
  }
  EXPECT_EQ(world.engine().allocation_count(), 0u);
  EXPECT_EQ(world.engine().user_count(), 0u);
  EXPECT_LE(answered, 5000u);  // in total, in one instant
  EXPECT_GT(answered, 1000u);
  EXPECT_EQ(world.engine().rate_limited_count(), 30000u - answered);
}

TEST(TurnSafety, OnePrefixCannotSpendAll) {
  World world;
  Client one(world, kAlice);
  uint32_t answered = 0;
  const auto request = [&](Client& client) {
    return client.Exchange(client.Build(
        Class::kRequest, Method::kAllocate,
        [](Builder& b) { b.U32(kRequestedTransport, 17u << 24); }, false));
  };
  for (int i = 0; i < 2000; ++i) {
    answered += request(one) ? 1 : 0;
  }
  EXPECT_EQ(answered, 400u);
  Client other(world, "7.7.8.7:1000");
  EXPECT_TRUE(request(other));
  world.Pass(Duration::Seconds(1));
  EXPECT_TRUE(request(one));
}

TEST(TurnSafety, BindingOfStrangersIsSilentUnlessWanted) {
  World world;
  Client alice(world, kAlice);
  const Bytes binding = alice.Build(Class::kRequest, Method::kBinding, {}, false);
  EXPECT_FALSE(alice.Exchange(binding));
  Config config = World::MakeConfig();
  config.answers_binding = true;
  world.engine().Apply(config);
  const auto got = alice.Exchange(binding);
  ASSERT_TRUE(got);
  EXPECT_EQ(*got->message.XorAddress(kXorMappedAddress), At(kAlice));
  EXPECT_EQ(got->bytes.size(), 32u);  // 1.6 times the request
}

TEST(TurnSafety, AuthenticBindingIsAnswered) {
  World world;
  Client alice(world, kAlice);
  ASSERT_TRUE(alice.Allocate().ok());
  EXPECT_TRUE(alice.Ask(Method::kBinding).ok());
}

TEST(TurnSafety, NoncesAgeAndBelongToTheirSender) {
  World world;
  Client alice(world, kAlice);
  ASSERT_TRUE(alice.Allocate().ok());
  const auto refresh = [&](Client& client) {
    return client.Exchange(client.Build(Class::kRequest, Method::kRefresh, {}, true))->code();
  };
  EXPECT_EQ(refresh(alice), 0);
  Client mallory(world, "7.7.7.7:1001");
  mallory.realm = alice.realm;
  mallory.nonce = alice.nonce;
  EXPECT_EQ(refresh(mallory), 438);
  alice.nonce[3] = alice.nonce[3] == 'A' ? 'B' : 'A';
  EXPECT_EQ(refresh(alice), 438);
  EXPECT_TRUE(alice.Refresh(3600).ok());
  world.Pass(Duration::Seconds(601));
  EXPECT_EQ(refresh(alice), 438);
  EXPECT_TRUE(alice.Refresh(3600).ok());
  for (int i = 0; i < 20; ++i) {  // across rotations of the key
    world.Pass(Duration::Seconds(500));
    EXPECT_EQ(refresh(alice), 0) << i;
    (void)alice.Exchange(alice.Build(Class::kRequest, Method::kAllocate, {}, false));
    alice.nonce.clear();
    alice.nonce = "x";
    EXPECT_TRUE(alice.Refresh(3600).ok());
  }
}

TEST(TurnSafety, WrongCredentials) {
  World world;
  Client wrong(world, kAlice, "alice", "guess");
  EXPECT_EQ(wrong.Allocate().code(), 401);
  Client nobody(world, kAlice, "nobody", "guess");
  EXPECT_EQ(nobody.Allocate().code(), 401);
  Client empty(world, kAlice, "nobody", "");
  EXPECT_EQ(empty.Allocate().code(), 401);
  EXPECT_EQ(world.engine().allocation_count(), 0u);
}

// Attributes behind MESSAGE-INTEGRITY are not obeyed (coturn, 2026).
TEST(TurnSafety, NothingBehindIntegrityIsObeyed) {
  World world;
  Client alice(world, kAlice);
  ASSERT_TRUE(alice.Allocate().ok());
  Bytes refresh = alice.Build(Class::kRequest, Method::kRefresh, {}, true);
  const Bytes lifetime{0, 0x0d, 0, 4, 0, 0, 0, 0};
  refresh.insert(refresh.end(), lifetime.begin(), lifetime.end());
  refresh[3] = static_cast<uint8_t>(refresh[3] + lifetime.size());
  const auto got = alice.Exchange(refresh);
  ASSERT_TRUE(got);
  EXPECT_TRUE(got->ok());
  EXPECT_EQ(world.engine().allocation_count(), 1u);  // a lifetime of zero was not seen
}

TEST(TurnSafety, Sha256IsNegotiatedAndNotTalkedDown) {
  World world;
  Client alice(world, kAlice);
  alice.sha256 = alice.hashed = true;
  const auto padded = [](Builder& b) {
    b.U32(kRequestedTransport, 17u << 24);
    b.Text(kSoftware, "a client with a name");
  };
  auto got = alice.Exchange(alice.Build(Class::kRequest, Method::kAllocate, padded, false));
  ASSERT_TRUE(got);
  alice.Learn(*got);
  EXPECT_TRUE(alice.nonce.starts_with("obMatJos2"));
  ASSERT_FALSE(alice.algorithms.empty());
  got = alice.Exchange(alice.Build(Class::kRequest, Method::kAllocate, padded, true));
  ASSERT_TRUE(got);
  ASSERT_TRUE(got->ok()) << got->code();
  EXPECT_EQ(got->message.integrity(), Integrity::kSha256);
  EXPECT_TRUE(got->message.IsAuthentic(crypto::Sha256::Of("alice:example.com:secret")));

  // The list as it comes back must be the list that was sent.
  const Bytes offered = alice.algorithms;
  alice.algorithms = {0, 1, 0, 0};
  EXPECT_EQ(alice.Exchange(alice.Build(Class::kRequest, Method::kRefresh, {}, true))->code(), 400);
  alice.algorithms = offered;
  // And a nonce without the cookie proves that nothing was offered.
  const auto plain = alice.Exchange(alice.Build(
      Class::kRequest, Method::kAllocate, [](Builder& b) { b.U32(kRequestedTransport, 17u << 24); },
      false));
  ASSERT_TRUE(plain);
  EXPECT_FALSE(plain->message.Has(kPasswordAlgorithms));
  alice.nonce = plain->message.Text(kNonce);
  EXPECT_EQ(alice.Exchange(alice.Build(Class::kRequest, Method::kRefresh, {}, true))->code(), 400);
}

TEST(TurnSafety, Sha256OnlyRefusesOldKeys) {
  Config config = World::MakeConfig();
  config.keys = KeyPolicy::kSha256Only;
  World world(config);
  const auto padded = [](Builder& b) {
    b.U32(kRequestedTransport, 17u << 24);
    b.Text(kSoftware, "a client with a name");
  };
  Client alice(world, kAlice);
  alice.Learn(*alice.Exchange(alice.Build(Class::kRequest, Method::kAllocate, padded, false)));
  EXPECT_EQ(alice.Exchange(alice.Build(Class::kRequest, Method::kAllocate, padded, true))->code(),
            401);
  alice.sha256 = true;
  EXPECT_TRUE(alice.Exchange(alice.Build(Class::kRequest, Method::kAllocate, padded, true))->ok());
}

TEST(TurnSafety, TimeLimitedSecretsRotate) {
  Config config = World::MakeConfig();
  config.secrets[0].Assign("new secret");
  config.secrets[1].Assign("old secret");
  config.secret_count = 2;
  World world(config);
  const std::string fresh = "1700000600:carol";
  const auto code = [&](const std::string& user, const std::string& password) {
    Client client(world, "7.7.7.7:5000", user, password);
    const uint16_t outcome = client.Allocate().code();
    (void)world.engine().CloseAll(EndReason::kByOperator);
    return outcome;
  };
  EXPECT_EQ(code(fresh, SecretPassword("new secret", fresh)), 0);
  EXPECT_EQ(code(fresh, SecretPassword("old secret", fresh)), 0);
  EXPECT_EQ(code("1700000600", SecretPassword("old secret", "1700000600")), 0);
  EXPECT_EQ(code(fresh, SecretPassword("older secret", fresh)), 401);
  EXPECT_EQ(code("1699999999:carol", SecretPassword("new secret", "1699999999:carol")), 401);
  EXPECT_EQ(code("carol:1700000600", SecretPassword("new secret", "carol:1700000600")), 401);
  world.clock.wall_set = false;  // without a clock nobody knows what has expired
  EXPECT_EQ(code(fresh, SecretPassword("new secret", fresh)), 401);
}

TEST(TurnSafety, RelayPortsAreUnpredictableAndRest) {
  std::vector<uint8_t> memory(1u << 20);
  Arena arena(memory);
  net::test::SeededEntropy entropy(3);
  crypto::Random random(entropy);
  RelayPorts ports(arena, random, 6000);
  ports.SetRange(24000, 29999, Duration::Seconds(60));
  EXPECT_EQ(ports.port_count(), 6000u);
  Instant now{1};
  std::set<uint16_t> seen;
  uint32_t neighbours = 0;
  uint16_t last = 0;
  for (int i = 0; i < 6000; ++i) {
    const auto port = ports.Take(now, 1);
    ASSERT_TRUE(port.ok());
    neighbours += *port == last + 1 ? 1 : 0;
    last = *port;
    EXPECT_TRUE(seen.insert(*port).second);
    EXPECT_EQ(ports.OwnerOf(*port), 1u);
  }
  EXPECT_LT(neighbours, 10u);
  EXPECT_FALSE(ports.Take(now, 1).ok());
  ports.Give(now, 24000);
  EXPECT_EQ(ports.OwnerOf(24000), RelayPorts::kNobody);
  EXPECT_FALSE(ports.Take(now, 1).ok());  // it rests
  EXPECT_FALSE(ports.Take(now + Duration::Milliseconds(59'999), 1).ok());
  EXPECT_EQ(*ports.TakeEven(now + Duration::Seconds(60), 2, false), 24000);
  EXPECT_EQ(ports.OwnerOf(23999), RelayPorts::kNobody);
  EXPECT_EQ(ports.OwnerOf(30000), RelayPorts::kNobody);
}

TEST(TurnSafety, MalformedGetsSilence) {
  World world;
  Client alice(world, kAlice);
  const Bytes whole = alice.Build(
      Class::kRequest, Method::kAllocate, [](Builder& b) { b.U32(kRequestedTransport, 17u << 24); },
      false);
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(alice.Exchange(Bytes(whole.begin(), whole.begin() + static_cast<long>(size))));
  }
  Bytes cookie = whole;
  cookie[4] ^= 1;
  EXPECT_FALSE(alice.Exchange(cookie));
  Bytes length = whole;
  length[2] = 0xff;  // 16-bit lengths that wrap
  length[3] = 0xfc;
  EXPECT_FALSE(alice.Exchange(length));
  Bytes inner = whole;
  inner[22] = 0xff;
  inner[23] = 0xff;
  EXPECT_FALSE(alice.Exchange(inner));
  EXPECT_FALSE(alice.Exchange({0x40, 0x00, 0xff, 0xff, 1}));
  EXPECT_FALSE(alice.Exchange({0x80, 0x00}));
}

TEST(TurnFraming, CutsStreams) {
  EXPECT_EQ(*FrameSize(Bytes{}), 0u);
  EXPECT_EQ(*FrameSize(Bytes{0, 1, 0}), 0u);
  EXPECT_EQ(*FrameSize(Bytes{0x40, 0, 0, 5}), 12u);  // with padding
  EXPECT_EQ(*FrameSize(Bytes{0, 1, 0, 8}), 28u);
  EXPECT_FALSE(FrameSize(Bytes{0, 1, 0, 7}).ok());
  EXPECT_FALSE(FrameSize(Bytes{0x80}).ok());
  EXPECT_FALSE(FrameSize(Bytes{0x40, 0, 0xff, 0xff}).ok());
  EXPECT_FALSE(FrameSize(Bytes{0, 1, 0, 0, 1, 2, 3, 4}).ok());
  EXPECT_EQ(*FrameSize(Bytes{0x40, 0, 0x07, 0xfc}), kMessageMax);
  EXPECT_FALSE(FrameSize(Bytes{0x40, 0, 0x07, 0xfd}).ok());
}

}  // namespace
}  // namespace gh::turn::test
