// The SSH server's limits, each at its edge: the last value that is served, the first that is not.
#include <gtest/gtest.h>

#include "crypto/ecdsa.h"
#include "tests/unit/ssh/client.h"

namespace gh::ssh::test {
namespace {

TEST(Limits, ANameListOfAKexInit) {
  for (const size_t size : {size_t{kNameListMax}, size_t{kNameListMax} + 1}) {
    World world;
    Offer offer;
    offer.kex += ",";
    offer.kex += std::string(size - offer.kex.size(), 'x');
    ASSERT_EQ(offer.kex.size(), size);
    Client client(world, offer);
    EXPECT_EQ(client.Handshake(), size == kNameListMax) << size;
    EXPECT_EQ(world.connection->is_over(), size != kNameListMax) << size;
  }
}

TEST(Limits, AUsersName) {
  for (const size_t size : {size_t{kUserNameMax}, size_t{kUserNameMax} + 1}) {
    World world;
    Client client(world);
    ASSERT_TRUE(client.Handshake() && client.StartService());
    client.SendPassword(std::string(size, 'u'), "wrong");
    EXPECT_EQ(client.Wait(kMsgUserauthFailure).empty(), size != kUserNameMax) << size;
    EXPECT_EQ(world.connection->is_over(), size != kUserNameMax) << size;
    EXPECT_EQ(world.password_count, size == kUserNameMax ? 1 : 0) << size;
  }
}

TEST(Limits, KeysThatAreOnlyAskedAbout) {
  World world;
  Client client(world);
  ASSERT_TRUE(client.Handshake() && client.StartService());
  const auto ask = [&](uint8_t number) {
    Packet blob(0);
    blob.Str("ssh-ed25519").Str(std::string(32, static_cast<char>(number)));
    Packet request(kMsgUserauthRequest);
    request.Str("admin").Str("ssh-connection").Str("publickey").U8(0).Str("ssh-ed25519");
    request.Str(AsText(std::span(blob.bytes()).subspan(1)));
    client.Send(request);
  };
  for (uint8_t i = 0; i < kQueriedKeysMax; ++i) {
    ask(i);
  }
  EXPECT_EQ(world.refused_count, 0) << "looking for one's key is no failure";
  EXPECT_FALSE(world.connection->is_over());
  ask(99);
  EXPECT_TRUE(world.refused_count == 1 || world.connection->is_over());
}

TEST(Limits, ThePacketsAPeerTakes) {
  World world;
  Client client(world);
  ASSERT_TRUE(client.LogIn());
  EXPECT_TRUE(client.OpenChannel(1, 1 << 20, kRemotePacketMin));
  EXPECT_FALSE(client.OpenChannel(2, 1 << 20, kRemotePacketMin - 1));
}

TEST(Limits, ChannelsOfOneConnection) {
  World world;
  Client client(world);
  ASSERT_TRUE(client.LogIn());
  for (uint32_t i = 0; i < kChannelsPerConnection; ++i) {
    EXPECT_TRUE(client.OpenChannel(i)) << i;
  }
  EXPECT_FALSE(client.OpenChannel(kChannelsPerConnection));
  EXPECT_FALSE(world.connection->is_over());
}

TEST(Limits, ACommandAndAScreen) {
  World world;
  Client client(world);
  ASSERT_TRUE(client.LogIn());
  ASSERT_TRUE(client.OpenChannel(1));
  EXPECT_TRUE(client.Request(
      0, "pty-req",
      Packet(0).Str("xterm").U32(kColumnsMax + 1).U32(kRowsMax + 1).U32(0).U32(0).Str("")));
  EXPECT_FALSE(client.Request(0, "exec", Packet(0).Str(std::string(kCommandMax + 1, 'x'))));
  EXPECT_TRUE(client.Request(0, "exec", Packet(0).Str(std::string(kCommandMax, 'x'))));
  EXPECT_EQ(world.columns, kColumnsMax);
}

TEST(Limits, AListOfAlgorithms) {
  // As many as there are of the kind with the most, which is what a list has room for.
  std::array<uint8_t, 600> text;
  ByteWriter expected(text);
  std::string all;
  for (const std::string_view name : AlgorithmNames(AlgorithmKind::kKex)) {
    all += (all.empty() ? "" : ",") + std::string(name);
  }
  const auto list = ParseAlgorithms(AlgorithmKind::kKex, all, expected);
  ASSERT_TRUE(list.ok());
  EXPECT_LE(list->count, kAlgorithmsMax);
  EXPECT_EQ(ParseAlgorithms(AlgorithmKind::kKex, all + "," + "curve25519-sha256", expected).code(),
            ErrorCode::kAlreadyExists);
}

std::vector<uint8_t> RsaBlob(size_t modulus_size, size_t exponent_size, size_t more = 0) {
  std::vector<uint8_t> bytes(4096);
  ByteWriter out(bytes);
  const auto string = [&](std::span<const uint8_t> content) {
    out.U32Be(static_cast<uint32_t>(content.size()));
    out.Bytes(content);
  };
  string(AsBytes("ssh-rsa"));
  string(std::vector<uint8_t>(exponent_size, 0x11));
  std::vector<uint8_t> modulus(modulus_size + 1, 0xc1);
  modulus[0] = 0;  // of an mpint whose first bit is set
  string(modulus);
  out.Bytes(std::vector<uint8_t>(more, 0));
  bytes.resize(out.size());
  return bytes;
}

TEST(Limits, SizesOfAnRsaKey) {
  constexpr size_t kLeast = crypto::kRsaModulusBitsMin / 8;
  constexpr size_t kMost = crypto::kRsaModulusBitsMax / 8;
  EXPECT_TRUE(ParsePublicKey(RsaBlob(kLeast, 3)).ok());
  EXPECT_TRUE(ParsePublicKey(RsaBlob(kMost, 3)).ok());
  EXPECT_TRUE(ParsePublicKey(RsaBlob(kLeast, 8)).ok());
  EXPECT_EQ(ParsePublicKey(RsaBlob(kLeast - 1, 3)).code(), ErrorCode::kMalformed);
  EXPECT_EQ(ParsePublicKey(RsaBlob(kMost + 1, 3)).code(), ErrorCode::kMalformed);
  EXPECT_EQ(ParsePublicKey(RsaBlob(kLeast, 0)).code(), ErrorCode::kMalformed);
  EXPECT_EQ(ParsePublicKey(RsaBlob(kLeast, 9)).code(), ErrorCode::kMalformed);
  EXPECT_EQ(ParsePublicKey(RsaBlob(kLeast, 3, 1)).code(), ErrorCode::kMalformed);
  EXPECT_EQ(ParsePublicKey(std::vector<uint8_t>(kPublicKeyBlobMax + 1, 0)).code(),
            ErrorCode::kTooLarge);
  const auto whole = RsaBlob(kLeast, 3);
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(ParsePublicKey(std::span(whole).first(size)).ok()) << size;
  }
}

}  // namespace
}  // namespace gh::ssh::test
