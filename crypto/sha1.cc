// SHA-1 and HMAC-SHA-1 apart from the other digests: the loader takes those and has no mbedTLS.
#include <mbedtls/sha1.h>

#include <new>

#include "crypto/digest.h"
#include "crypto/mac.h"
#include "hal/rt/assert.h"
#include "hal/rt/secret.h"

namespace gh::crypto {

namespace {
constexpr size_t kSha1BlockSize = 64;

mbedtls_sha1_context* Context(uint8_t* state) {
  return std::launder(reinterpret_cast<mbedtls_sha1_context*>(state));
}
}  // namespace

Sha1::Sha1() {
  static_assert(sizeof(mbedtls_sha1_context) <= sizeof(state_));
  auto* context = new (state_) mbedtls_sha1_context;
  mbedtls_sha1_init(context);
  const int result = mbedtls_sha1_starts(context);
  GH_ASSERT_EQ(result, 0);
}

Sha1::~Sha1() { mbedtls_sha1_free(Context(state_)); }

void Sha1::Add(std::span<const uint8_t> bytes) {
  const int result = mbedtls_sha1_update(Context(state_), bytes.data(), bytes.size());
  GH_ASSERT_EQ(result, 0);
}

Sha1::Digest Sha1::Finish() {
  Digest digest;
  const int result = mbedtls_sha1_finish(Context(state_), digest.data());
  GH_ASSERT_EQ(result, 0);
  return digest;
}

HmacSha1::HmacSha1(std::span<const uint8_t> key) {
  uint8_t block[kSha1BlockSize] = {};
  if (key.size() > sizeof(block)) {
    const auto digest = Sha1::Of(key);
    std::memcpy(block, digest.data(), digest.size());
  } else if (!key.empty()) {
    std::memcpy(block, key.data(), key.size());
  }
  for (uint8_t& byte : block) {
    byte ^= 0x36;
  }
  inner_.Update(block);
  for (uint8_t& byte : block) {
    byte ^= 0x36 ^ 0x5c;
  }
  outer_.Update(block);
  SecureZero(block);
}

HmacSha1::Tag HmacSha1::Finish() {
  const auto digest = inner_.Finish();
  outer_.Update(digest);
  return outer_.Finish();
}

HmacSha1::Tag HmacSha1::Of(std::span<const uint8_t> key, std::span<const uint8_t> bytes) {
  HmacSha1 mac(key);
  mac.Update(bytes);
  return mac.Finish();
}

}  // namespace gh::crypto
