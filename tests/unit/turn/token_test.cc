// Third-party authorisation (RFC 7635): tokens that are right, late, forged or not tokens at all.
#include <gtest/gtest.h>

#include "tests/unit/turn/world.h"

namespace gh::turn::test {
namespace {

constexpr int64_t kNow = 1'700'000'000;
constexpr std::string_view kServer = "blackdow.carleon.gov";

Config TokenConfig() {
  Config config = World::MakeConfig();
  config.token_server.Assign(kServer);
  config.unproven_replies_per_s = 100'000;  // they are asked for often here
  config.unproven_replies_burst = 100'000;
  config.unproven_total_per_s = 100'000;
  return config;
}

struct Grant {
  size_t key_size = 20;
  int64_t granted = kNow;
  uint32_t lifetime = 3600;
};

const Bytes kKey(64, 0x5a);

Bytes Open(const Grant& grant) {
  uint8_t bytes[128];
  ByteWriter writer(bytes);
  writer.U16Be(static_cast<uint16_t>(grant.key_size));
  writer.Bytes(std::span(kKey).first(grant.key_size));
  writer.U64Be(static_cast<uint64_t>(grant.granted) << 16);
  writer.U32Be(grant.lifetime);
  return Bytes(bytes, bytes + writer.size());
}

// As World::OpenToken undoes it.
Bytes Seal(const Bytes& data) {
  Bytes out{0, 12};
  out.insert(out.end(), 12, 7);
  out.insert(out.end(), data.begin(), data.end());
  out.insert(out.end(), 16, static_cast<uint8_t>(7 ^ kServer.size() ^ data.size()));
  return out;
}

struct TurnToken : ::testing::Test {
  World world{TokenConfig()};
  Client client{world, "5.5.5.5:1000"};

  // An Allocate with this token, signed with its key.
  std::optional<Got> Ask(const Bytes& token, size_t key_size = 20,
                         const std::string& name = "north", Method method = Method::kAllocate) {
    const auto challenge = client.Exchange(client.Build(
        Class::kRequest, Method::kAllocate,
        [](Builder& b) {
          b.U32(kRequestedTransport, 17u << 24);
          b.Bytes(kSoftware, Bytes(40, 'x'));  // as large as clients' requests are
        },
        false));
    EXPECT_TRUE(challenge);
    EXPECT_EQ(challenge->message.Text(kThirdPartyAuthorization), kServer);
    client.Learn(*challenge);
    uint8_t out[kMessageMax];
    client.Build(Class::kRequest, method, {}, false);  // a transaction of its own
    Builder builder(out, Class::kRequest, method, client.transaction);
    builder.U32(kRequestedTransport, 17u << 24);
    builder.Text(kUserName, name);
    builder.Text(kRealm, client.realm);
    builder.Text(kNonce, client.nonce);
    builder.Bytes(kAccessToken, token);
    builder.Sign(Integrity::kSha1, std::span(kKey).first(key_size));
    const auto bytes = builder.Finish();
    return client.Exchange(Bytes(bytes.begin(), bytes.end()));
  }
  std::optional<Got> Follow(Method method, size_t key_size = 20, uint8_t key_byte = 0x5a);
};

// A request without the token, as those that follow are.
std::optional<Got> TurnToken::Follow(Method method, size_t key_size, uint8_t key_byte) {
  const auto stale = client.Exchange(client.Build(
      Class::kRequest, Method::kAllocate,
      [](Builder& b) {
        b.U32(kRequestedTransport, 17u << 24);
        b.Bytes(kSoftware, Bytes(40, 'x'));
      },
      false));
  EXPECT_TRUE(stale);
  client.Learn(*stale);
  uint8_t out[kMessageMax];
  client.Build(Class::kRequest, method, {}, false);
  Builder builder(out, Class::kRequest, method, client.transaction);
  if (method == Method::kCreatePermission) {
    builder.XorAddress(kXorPeerAddress, At("8.8.8.8:9"));
  }
  builder.Text(kUserName, "north");
  builder.Text(kRealm, client.realm);
  builder.Text(kNonce, client.nonce);
  builder.Sign(Integrity::kSha1, Bytes(key_size, key_byte));
  const auto bytes = builder.Finish();
  return client.Exchange(Bytes(bytes.begin(), bytes.end()));
}

TEST_F(TurnToken, LetsInWhomTheServerHasLetIn) {
  for (const size_t size : {16u, 20u, 32u}) {
    const auto got = Ask(Seal(Open({.key_size = size})), size);
    ASSERT_TRUE(got);
    EXPECT_TRUE(got->ok()) << got->code();
    EXPECT_EQ(got->message.integrity(), Integrity::kSha1);
    EXPECT_TRUE(got->message.IsAuthentic(std::span(kKey).first(size)));
    client.path.remote.port++;
  }
}

// As coturn's clients do.
TEST_F(TurnToken, AShortenedKeyWillDoWithSha1) {
  const auto got = Ask(Seal(Open({.key_size = 20})), 16);
  ASSERT_TRUE(got);
  EXPECT_TRUE(got->ok());
  EXPECT_TRUE(got->message.IsAuthentic(std::span(kKey).first(16)));
  EXPECT_EQ(Ask(Seal(Open({.key_size = 20})), 15)->code(), 401);
}

TEST_F(TurnToken, AnAllocationEndsWithItsToken) {
  const auto got = Ask(Seal(Open({.granted = kNow - 3000, .lifetime = 3100})));
  ASSERT_TRUE(got && got->ok());
  EXPECT_EQ(*got->message.U32(kLifetime), 100u);
}

TEST_F(TurnToken, WhatFollowsIsSignedWithItsKey) {
  ASSERT_TRUE(Ask(Seal(Open({.lifetime = 700})))->ok());
  EXPECT_TRUE(Follow(Method::kCreatePermission)->ok());
  EXPECT_TRUE(Follow(Method::kCreatePermission, 16)->ok());  // shortened, with SHA-1
  EXPECT_EQ(Follow(Method::kCreatePermission, 15)->code(), 401);
  EXPECT_EQ(Follow(Method::kCreatePermission, 20, 0x33)->code(), 401);  // another key
  // Never beyond the token's end; another token takes it further, with a key of its own.
  world.Pass(Duration::Seconds(200));
  auto refreshed = Follow(Method::kRefresh);
  ASSERT_TRUE(refreshed && refreshed->ok());
  EXPECT_EQ(*refreshed->message.U32(kLifetime), 500u);
  ASSERT_TRUE(Ask(Seal(Open({.key_size = 32})), 32, "north", Method::kRefresh)->ok());
  EXPECT_EQ(Follow(Method::kCreatePermission, 20)->code(), 401);
  EXPECT_TRUE(Follow(Method::kCreatePermission, 32)->ok());
}

TEST_F(TurnToken, ItsKeyIsOfNoUseElsewhereOrLater) {
  ASSERT_TRUE(Ask(Seal(Open({.lifetime = 100})))->ok());
  ASSERT_TRUE(Follow(Method::kCreatePermission)->ok());
  client.path.remote.port++;
  EXPECT_EQ(Follow(Method::kCreatePermission)->code(), 401);
  client.path.remote.port--;
  world.Pass(Duration::Seconds(101));
  EXPECT_EQ(world.engine().allocation_count(), 0u);
  EXPECT_EQ(Follow(Method::kCreatePermission)->code(), 401);
}

TEST_F(TurnToken, LateAndEarlyTokensAreRefused) {
  EXPECT_EQ(Ask(Seal(Open({.granted = kNow - 3600, .lifetime = 3594})))->code(), 401);
  EXPECT_EQ(Ask(Seal(Open({.granted = kNow + 6})))->code(), 401);
  EXPECT_TRUE(Ask(Seal(Open({.granted = kNow + 5})))->ok());  // clocks differ a little
  EXPECT_EQ(world.engine().allocation_count(), 1u);
}

TEST_F(TurnToken, ForgedTokensAreRefused) {
  Bytes token = Seal(Open({}));
  token.back() ^= 1;
  EXPECT_EQ(Ask(token)->code(), 401);
  EXPECT_EQ(Ask(Seal(Open({})), 20, "south")->code(), 401);  // a key nobody has
  Bytes other = Open({});
  other[2] ^= 1;  // another key than the message's
  EXPECT_EQ(Ask(Seal(other))->code(), 401);
  EXPECT_EQ(world.engine().allocation_count(), 0u);
}

// CVE-2026-43994: a token longer than the buffer it was opened into.
TEST_F(TurnToken, TokensOfAnyLengthAreReadWithinBounds) {
  for (size_t size = 0; size <= kTokenMax + 40; ++size) {
    const auto got = Ask(Bytes(size, 0));
    ASSERT_TRUE(got);
    EXPECT_TRUE(got->code() == 400 || got->code() == 401) << size;
  }
  for (size_t size = 0; size < Open({}).size(); ++size) {  // sealed well, cut short within
    Bytes cut = Open({});
    cut.resize(size);
    const auto got = Ask(Seal(cut));
    ASSERT_TRUE(got);
    EXPECT_TRUE(got->code() == 400 || got->code() == 401) << size;
  }
  for (const size_t size : {0u, 15u, 33u, 64u}) {
    EXPECT_EQ(Ask(Seal(Open({.key_size = size})), size)->code(), 401) << size;
  }
  EXPECT_EQ(world.engine().allocation_count(), 0u);
}

TEST_F(TurnToken, NobodyComesByTokenWhereThereIsNoServer) {
  World plain;
  Client stranger(plain, "5.5.5.5:1000");
  const auto challenge = stranger.Exchange(stranger.Build(
      Class::kRequest, Method::kAllocate, [](Builder& b) { b.U32(kRequestedTransport, 17u << 24); },
      false));
  ASSERT_TRUE(challenge);
  EXPECT_FALSE(challenge->message.Has(kThirdPartyAuthorization));
  stranger.Learn(*challenge);
  uint8_t out[kMessageMax];
  Builder builder(out, Class::kRequest, Method::kAllocate, stranger.transaction);
  builder.U32(kRequestedTransport, 17u << 24);
  builder.Text(kUserName, "north");
  builder.Text(kRealm, stranger.realm);
  builder.Text(kNonce, stranger.nonce);
  builder.Bytes(kAccessToken, Seal(Open({})));
  builder.Sign(Integrity::kSha1, std::span(kKey).first(20));
  const auto bytes = builder.Finish();
  EXPECT_EQ(stranger.Exchange(Bytes(bytes.begin(), bytes.end()))->code(), 401);
}

}  // namespace
}  // namespace gh::turn::test
