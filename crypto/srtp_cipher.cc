#include "crypto/srtp_cipher.h"

#include <cstring>

#include "hal/rt/assert.h"
#include "hal/rt/secret.h"

namespace gh::crypto {
namespace {

constexpr size_t kSha1Block = 64;

// mbedTLS's SHA-1 in software cannot fail.
void Add(mbedtls_sha1_context& context, std::span<const uint8_t> bytes) {
  const int status = mbedtls_sha1_update(&context, bytes.data(), bytes.size());
  GH_ASSERT_EQ(status, 0);
}

void Begin(mbedtls_sha1_context& context, std::array<uint8_t, kSha1Block> pad, uint8_t mask) {
  for (uint8_t& byte : pad) {
    byte ^= mask;
  }
  const int status = mbedtls_sha1_starts(&context);
  GH_ASSERT_EQ(status, 0);
  Add(context, pad);
  SecureZero(pad);
}

}  // namespace

void AesCounter::SetKey(std::span<const uint8_t> key) {
  GH_ASSERT(key.size() == 16 || key.size() == 32);
  const int status =
      mbedtls_aes_setkey_enc(&aes_, key.data(), static_cast<unsigned>(key.size() * 8));
  GH_ASSERT_EQ(status, 0);
}

void AesCounter::Xor(const std::array<uint8_t, kBlockSize>& counter, std::span<uint8_t> data) {
  std::array<uint8_t, kBlockSize> next = counter;
  std::array<uint8_t, kBlockSize> stream;
  size_t offset = 0;
  const int status = mbedtls_aes_crypt_ctr(&aes_, data.size(), &offset, next.data(), stream.data(),
                                           data.data(), data.data());
  GH_ASSERT_EQ(status, 0);
}

HmacSha1Key::HmacSha1Key() {
  mbedtls_sha1_init(&inner_);
  mbedtls_sha1_init(&outer_);
}

HmacSha1Key::~HmacSha1Key() {
  mbedtls_sha1_free(&inner_);
  mbedtls_sha1_free(&outer_);
}

void HmacSha1Key::SetKey(std::span<const uint8_t> key) {
  GH_ASSERT_LE(key.size(), kSha1Block);
  std::array<uint8_t, kSha1Block> pad = {};
  std::memcpy(pad.data(), key.data(), key.size());
  Begin(inner_, pad, 0x36);
  Begin(outer_, pad, 0x5c);
  SecureZero(pad);
}

HmacSha1Key::Tag HmacSha1Key::Of(std::span<const uint8_t> first,
                                 std::span<const uint8_t> second) const {
  Tag tag;
  mbedtls_sha1_context context;
  mbedtls_sha1_clone(&context, &inner_);
  Add(context, first);
  Add(context, second);
  int status = mbedtls_sha1_finish(&context, tag.data());
  GH_ASSERT_EQ(status, 0);
  mbedtls_sha1_clone(&context, &outer_);
  Add(context, tag);
  status = mbedtls_sha1_finish(&context, tag.data());
  GH_ASSERT_EQ(status, 0);
  return tag;
}

}  // namespace gh::crypto
