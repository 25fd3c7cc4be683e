#include "crypto/legacy.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "hal/rt/assert.h"
#include "hal/rt/secret.h"

extern "C" {
#include "mbedtls/aes.h"
#include "mbedtls/sha1.h"
}

namespace gh::crypto {
namespace {

constexpr size_t kSha1Block = 64;

mbedtls_sha1_context* ContextOf(uint8_t* state) {
  return std::launder(reinterpret_cast<mbedtls_sha1_context*>(state));
}

// One key's encryption direction, which all three modes need and no other.
class Aes {
 public:
  explicit Aes(std::span<const uint8_t, kAesBlock> key) {
    mbedtls_aes_init(&context_);
    const int status = mbedtls_aes_setkey_enc(&context_, key.data(), 128);
    GH_ASSERT_EQ(status, 0);
  }
  Aes(const Aes&) = delete;
  Aes& operator=(const Aes&) = delete;
  ~Aes() { mbedtls_aes_free(&context_); }
  AesBlock operator()(const AesBlock& in) {
    AesBlock out;
    const int status = mbedtls_aes_crypt_ecb(&context_, MBEDTLS_AES_ENCRYPT, in.data(), out.data());
    GH_ASSERT_EQ(status, 0);
    return out;
  }

 private:
  mbedtls_aes_context context_;
};

// RFC 4493 section 2.3: a step of sub-key generation.
AesBlock Double(const AesBlock& in) {
  AesBlock out;
  uint8_t carry = 0;
  for (size_t i = kAesBlock; i-- > 0;) {
    out[i] = static_cast<uint8_t>(in[i] << 1 | carry);
    carry = in[i] >> 7;
  }
  out[kAesBlock - 1] = static_cast<uint8_t>(out[kAesBlock - 1] ^ (carry != 0 ? 0x87 : 0));
  return out;
}

}  // namespace

static_assert(sizeof(mbedtls_sha1_context) <= 96);

Sha1::Sha1() {
  auto* context = new (state_) mbedtls_sha1_context;
  mbedtls_sha1_init(context);
  const int status = mbedtls_sha1_starts(context);
  GH_ASSERT_EQ(status, 0);
}

Sha1::~Sha1() { mbedtls_sha1_free(ContextOf(state_)); }

void Sha1::Add(std::span<const uint8_t> bytes) {
  const int status = mbedtls_sha1_update(ContextOf(state_), bytes.data(), bytes.size());
  GH_ASSERT_EQ(status, 0);
}

Sha1::Digest Sha1::Finish() {
  Digest digest;
  const int status = mbedtls_sha1_finish(ContextOf(state_), digest.data());
  GH_ASSERT_EQ(status, 0);
  return digest;
}

std::array<uint8_t, 20> HmacSha1(std::span<const uint8_t> key, std::span<const uint8_t> bytes) {
  std::array<uint8_t, kSha1Block> pad = {};
  if (key.size() > pad.size()) {
    const auto digest = Sha1::Of(key);
    std::copy(digest.begin(), digest.end(), pad.begin());
  } else {
    std::copy(key.begin(), key.end(), pad.begin());
  }
  for (uint8_t& byte : pad) {
    byte ^= 0x36;
  }
  Sha1 inner;
  inner.Add(pad);
  inner.Add(bytes);
  const auto digest = inner.Finish();
  for (uint8_t& byte : pad) {
    byte ^= 0x36 ^ 0x5c;
  }
  Sha1 outer;
  outer.Add(pad);
  outer.Add(digest);
  SecureZero(pad);
  return outer.Finish();
}

AesBlock AesCmac(std::span<const uint8_t, kAesBlock> key, std::span<const uint8_t> bytes) {
  Aes aes(key);
  AesBlock subkey = Double(aes(AesBlock{}));
  AesBlock sum = {};
  while (bytes.size() > kAesBlock) {
    for (size_t i = 0; i < kAesBlock; ++i) {
      sum[i] ^= bytes[i];
    }
    sum = aes(sum);
    bytes = bytes.subspan(kAesBlock);
  }
  if (bytes.size() < kAesBlock) {
    subkey = Double(subkey);
    sum[bytes.size()] ^= 0x80;
  }
  for (size_t i = 0; i < kAesBlock; ++i) {
    sum[i] = static_cast<uint8_t>(sum[i] ^ subkey[i] ^ (i < bytes.size() ? bytes[i] : 0));
  }
  SecureZero(subkey);
  return aes(sum);
}

namespace {

// CFB-128: both ways alike but for which byte is fed back, the one sent.
template <bool kEncrypts>
void AesCfb(std::span<const uint8_t, kAesBlock> key, std::span<const uint8_t, kAesBlock> iv,
            std::span<uint8_t> bytes) {
  Aes aes(key);
  AesBlock feedback;
  std::copy(iv.begin(), iv.end(), feedback.begin());
  for (size_t at = 0; at < bytes.size(); at += kAesBlock) {
    feedback = aes(feedback);
    const size_t count = std::min(kAesBlock, bytes.size() - at);
    for (size_t i = 0; i < count; ++i) {
      const uint8_t before = bytes[at + i];
      bytes[at + i] ^= feedback[i];
      feedback[i] = kEncrypts ? bytes[at + i] : before;
    }
  }
}

}  // namespace

void AesCfbEncrypt(std::span<const uint8_t, kAesBlock> key, std::span<const uint8_t, kAesBlock> iv,
                   std::span<uint8_t> bytes) {
  AesCfb<true>(key, iv, bytes);
}

void AesCfbDecrypt(std::span<const uint8_t, kAesBlock> key, std::span<const uint8_t, kAesBlock> iv,
                   std::span<uint8_t> bytes) {
  AesCfb<false>(key, iv, bytes);
}

}  // namespace gh::crypto
