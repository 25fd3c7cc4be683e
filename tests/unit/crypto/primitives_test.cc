// Signatures, AEAD and MACs against RFC 8032, draft-irtf-cfrg-xchacha-03 and RFC 4231, and
// refusals.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "crypto/aead.h"
#include "crypto/mac.h"
#include "crypto/signature.h"
#include "tests/unit/crypto/hex.h"

namespace gh::crypto {
namespace {

using test::FromHex;
using test::ToHex;

template <size_t N>
std::array<uint8_t, N> Fixed(std::string_view hex) {
  const auto bytes = FromHex(hex);
  EXPECT_EQ(bytes.size(), N);
  std::array<uint8_t, N> out = {};
  std::copy_n(bytes.begin(), std::min(N, bytes.size()), out.begin());
  return out;
}

struct SignatureCase {
  const char* seed;
  const char* public_key;
  const char* message;
  const char* signature;
};

// RFC 8032, 7.1: TEST 1, 2, 3.
const SignatureCase kSignatureCases[] = {
    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
     "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
     "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
    {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
     "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
     "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"},
};

TEST(Signature, Rfc8032) {
  for (const auto& c : kSignatureCases) {
    const auto seed = Fixed<kSigningSeedSize>(c.seed);
    std::array<uint8_t, kSigningKeySize> secret;
    PublicKey public_key;
    MakeSigningKey(seed, secret, public_key);
    EXPECT_EQ(ToHex(public_key), c.public_key);
    const auto message = FromHex(c.message);
    const Signature signature = Sign(secret, message);
    EXPECT_EQ(ToHex(signature), c.signature);
    EXPECT_TRUE(VerifySignature(public_key, message, signature));
  }
}

TEST(Signature, EveryFlippedBitIsRefused) {
  const auto& c = kSignatureCases[2];
  const auto key = Fixed<32>(c.public_key);
  const auto message = FromHex(c.message);
  const auto signature = Fixed<64>(c.signature);
  for (size_t bit = 0; bit < 64 * 8; ++bit) {
    auto bad = signature;
    bad[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    EXPECT_FALSE(VerifySignature(key, message, bad)) << "signature bit " << bit;
  }
  for (size_t bit = 0; bit < 32 * 8; ++bit) {
    auto bad = key;
    bad[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    EXPECT_FALSE(VerifySignature(bad, message, signature)) << "key bit " << bit;
  }
  for (size_t bit = 0; bit < message.size() * 8; ++bit) {
    auto bad = message;
    bad[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    EXPECT_FALSE(VerifySignature(key, bad, signature)) << "message bit " << bit;
  }
}

TEST(Signature, SecondSpellingOfSIsRefused) {
  // S + L is the same number modulo the group order: accepting it makes signatures malleable.
  const auto& c = kSignatureCases[1];
  const auto order = FromHex(
      "edd3f55c1a631258d69cf7a2def9de14"
      "00000000000000000000000000000010");
  auto signature = Fixed<64>(c.signature);
  uint32_t carry = 0;
  for (size_t i = 0; i < 32; ++i) {
    carry += static_cast<uint32_t>(signature[32 + i]) + order[i];
    signature[32 + i] = static_cast<uint8_t>(carry);
    carry >>= 8;
  }
  EXPECT_FALSE(VerifySignature(Fixed<32>(c.public_key), FromHex(c.message), signature));
}

TEST(Signature, KeyOfSmallOrderIsRefused) {
  // The neutral element as key, R = neutral, S = 0 verifies any message where it is not refused.
  PublicKey key = {1};
  Signature signature = {1};
  EXPECT_FALSE(VerifySignature(key, FromHex("00"), signature));
}

TEST(Signature, KeyIdIsTheStartOfItsDigest) {
  const auto key = Fixed<32>(kSignatureCases[0].public_key);
  EXPECT_EQ(ToHex(KeyIdOf(key)), ToHex(Sha256::Of(key)).substr(0, 16));
}

// draft-irtf-cfrg-xchacha-03, A.3.1.
const char kAeadText[] =
    "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
    "sunscreen would be it.";
const char kAeadCipher[] =
    "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb"
    "731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452"
    "2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9"
    "21f9664c97637da9768812f615c68b13b52e";
const char kAeadTag[] = "c0875924c1c7987947deafd8780acf49";
const char kAeadKey[] = "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f";
const char kAeadNonce[] = "404142434445464748494a4b4c4d4e4f5051525354555657";
const char kAeadAssociated[] = "50515253c0c1c2c3c4c5c6c7";

TEST(Aead, XChaCha20Poly1305) {
  const auto key = Fixed<kAeadKeySize>(kAeadKey);
  const auto nonce = Fixed<kAeadNonceSize>(kAeadNonce);
  const auto associated = FromHex(kAeadAssociated);
  std::string data(kAeadText);
  std::array<uint8_t, kAeadTagSize> tag;
  const std::span<uint8_t> bytes(reinterpret_cast<uint8_t*>(data.data()), data.size());
  AeadSeal(key, nonce, associated, bytes, tag);
  EXPECT_EQ(ToHex(bytes), kAeadCipher);
  EXPECT_EQ(ToHex(tag), kAeadTag);
  ASSERT_TRUE(AeadOpen(key, nonce, associated, bytes, tag).ok());
  EXPECT_EQ(data, kAeadText);
}

TEST(Aead, EveryFlippedByteIsRefusedAndNothingIsReleased) {
  const auto key = Fixed<kAeadKeySize>(kAeadKey);
  const auto nonce = Fixed<kAeadNonceSize>(kAeadNonce);
  const auto associated = FromHex(kAeadAssociated);
  const auto cipher = FromHex(kAeadCipher);
  const auto tag = Fixed<kAeadTagSize>(kAeadTag);
  const auto refuses = [&](auto k, auto n, auto a, std::vector<uint8_t> c, auto t) {
    const auto result = AeadOpen(k, n, a, c, t);
    return result.code() == ErrorCode::kUnauthentic &&
           std::all_of(c.begin(), c.end(), [](uint8_t byte) { return byte == 0; });
  };
  const auto flip = [](auto bytes, size_t at) {
    bytes[at] ^= 0x10;
    return bytes;
  };
  for (size_t i = 0; i < cipher.size(); ++i) {
    EXPECT_TRUE(refuses(key, nonce, associated, flip(cipher, i), tag)) << i;
  }
  for (size_t i = 0; i < tag.size(); ++i) {
    EXPECT_TRUE(refuses(key, nonce, associated, cipher, flip(tag, i))) << i;
  }
  for (size_t i = 0; i < associated.size(); ++i) {
    EXPECT_TRUE(refuses(key, nonce, flip(associated, i), cipher, tag)) << i;
  }
  for (size_t i = 0; i < nonce.size(); ++i) {
    EXPECT_TRUE(refuses(key, flip(nonce, i), associated, cipher, tag)) << i;
  }
  for (size_t i = 0; i < key.size(); ++i) {
    EXPECT_TRUE(refuses(flip(key, i), nonce, associated, cipher, tag)) << i;
  }
}

TEST(Mac, HmacSha256Rfc4231) {
  const std::vector<uint8_t> key1(20, 0x0b);
  EXPECT_EQ(ToHex(HmacSha256::Of(key1, AsBytes("Hi There"))),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(ToHex(HmacSha256::Of(AsBytes("Jefe"), AsBytes("what do ya want for nothing?"))),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  const std::vector<uint8_t> key6(131, 0xaa);
  HmacSha256 mac(key6);
  mac.Update("Test Using Larger Than Block-Size Key");
  mac.Update(" - Hash Key First");
  EXPECT_EQ(ToHex(mac.Finish()),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(Mac, Blake2bKeyed) {
  std::array<uint8_t, 32> key;
  for (size_t i = 0; i < key.size(); ++i) {
    key[i] = static_cast<uint8_t>(i);
  }
  Blake2bMac mac(key);
  mac.Update("abc");
  EXPECT_EQ(ToHex(mac.Finish()),
            "d63a32d3e44738d7907f964316c241adaba0abfeabc32349677578a15a203f7f");
}

}  // namespace
}  // namespace gh::crypto
