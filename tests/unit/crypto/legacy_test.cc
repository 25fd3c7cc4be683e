// Test vectors: RFC 3174, 2202, 4493; AES-CFB of NIST SP 800-38A F.3.13.
#include "crypto/legacy.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace gh::crypto {
namespace {

std::vector<uint8_t> Hex(std::string_view text) {
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    bytes.push_back(static_cast<uint8_t>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16)));
  }
  return bytes;
}
template <typename Bytes>
std::string Text(const Bytes& bytes) {
  uint8_t text[256];
  ByteWriter out(text);
  out.HexBytes(bytes);
  return std::string(out.text());
}
std::span<const uint8_t, kAesBlock> Key(const std::vector<uint8_t>& bytes) {
  return std::span<const uint8_t, kAesBlock>(bytes.data(), kAesBlock);
}

TEST(LegacyTest, Sha1) {
  EXPECT_EQ(Text(Sha1::Of("abc")), "a9993e364706816aba3e25717850c26c9cd0d89d");
  EXPECT_EQ(Text(Sha1::Of("")), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
}

TEST(LegacyTest, HmacSha1) {
  EXPECT_EQ(Text(HmacSha1(AsBytes("Jefe"), AsBytes("what do ya want for nothing?"))),
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
  const std::vector<uint8_t> long_key(80, 0xaa);
  EXPECT_EQ(
      Text(HmacSha1(long_key, AsBytes("Test Using Larger Than Block-Size Key - Hash Key First"))),
      "aa4ae5e15272d00e95705637ce8a3b55ed402112");
}

TEST(LegacyTest, AesCmac) {
  const auto key = Hex("2b7e151628aed2a6abf7158809cf4f3c");
  const auto message =
      Hex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
          "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710");
  const auto tag = [&](size_t size) {
    return Text(AesCmac(Key(key), std::span(message).first(size)));
  };
  EXPECT_EQ(tag(0), "bb1d6929e95937287fa37d129b756746");
  EXPECT_EQ(tag(16), "070a16b46b4d4144f79bdd9dd04a287c");
  EXPECT_EQ(tag(40), "dfa66747de9ae63030ca32611497c827");
  EXPECT_EQ(tag(64), "51f0bebf7e3b9d92fc49741779363cfe");
}

TEST(LegacyTest, AesCfb) {
  const auto key = Hex("2b7e151628aed2a6abf7158809cf4f3c");
  const auto iv = Hex("000102030405060708090a0b0c0d0e0f");
  const auto plain = Hex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51");
  auto bytes = plain;
  AesCfbEncrypt(Key(key), Key(iv), bytes);
  EXPECT_EQ(Text(bytes), "3b3fd92eb72dad20333449f8e83cfb4ac8a64537a0b3a93fcde3cdad9f1ce58b");
  AesCfbDecrypt(Key(key), Key(iv), bytes);
  EXPECT_EQ(bytes, plain);
  bytes.resize(21);
  const auto shorter = bytes;
  AesCfbEncrypt(Key(key), Key(iv), bytes);
  EXPECT_NE(bytes, shorter);
  AesCfbDecrypt(Key(key), Key(iv), bytes);
  EXPECT_EQ(bytes, shorter);
}

}  // namespace
}  // namespace gh::crypto
