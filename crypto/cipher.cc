#include "crypto/cipher.h"

#include <sodium/crypto_onetimeauth_poly1305.h>
#include <sodium/crypto_stream_chacha20.h>

#include <algorithm>

#include "hal/rt/assert.h"
#include "hal/rt/secret.h"

namespace gh::crypto {

void ChaCha20Xor(std::span<const uint8_t, kChaCha20KeySize> key, uint64_t nonce, uint64_t counter,
                 std::span<uint8_t> data) {
  std::array<uint8_t, 8> bytes;
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<uint8_t>(nonce >> (56 - 8 * i));
  }
  crypto_stream_chacha20_xor_ic(data.data(), data.data(), data.size(), bytes.data(), counter,
                                key.data());
}

std::array<uint8_t, kPoly1305TagSize> Poly1305(std::span<const uint8_t, 32> key,
                                               std::span<const uint8_t> data) {
  std::array<uint8_t, kPoly1305TagSize> tag;
  crypto_onetimeauth_poly1305(tag.data(), data.data(), data.size(), key.data());
  return tag;
}

Result<void> AesGcm::SetKey(TlsEnvironment& environment, std::span<const uint8_t> key) {
  GH_ASSERT(key.size() == 16 || key.size() == 32);
  Clear();
  TlsScope scope(environment);
  mbedtls_gcm_init(&gcm_);
  if (mbedtls_gcm_setkey(&gcm_, MBEDTLS_CIPHER_ID_AES, key.data(),
                         static_cast<unsigned>(key.size() * 8)) != 0) {
    mbedtls_gcm_free(&gcm_);
    return Error(ErrorCode::kExhausted, "no memory for AES-GCM");
  }
  environment_ = &environment;
  return Ok();
}

void AesGcm::Clear() {
  if (environment_ != nullptr) {
    TlsScope scope(*environment_);
    mbedtls_gcm_free(&gcm_);
    environment_ = nullptr;
  }
}

Result<void> AesGcm::Seal(std::span<const uint8_t, kNonceSize> nonce,
                          std::span<const uint8_t> associated, std::span<uint8_t> data,
                          std::span<uint8_t, kTagSize> tag) {
  GH_ASSERT(environment_ != nullptr);
  TlsScope scope(*environment_);
  if (mbedtls_gcm_crypt_and_tag(&gcm_, MBEDTLS_GCM_ENCRYPT, data.size(), nonce.data(), nonce.size(),
                                associated.data(), associated.size(), data.data(), data.data(),
                                tag.size(), tag.data()) != 0) {
    return Error(ErrorCode::kExhausted, "AES-GCM failed");
  }
  return Ok();
}

Result<void> AesGcm::Open(std::span<const uint8_t, kNonceSize> nonce,
                          std::span<const uint8_t> associated, std::span<uint8_t> data,
                          std::span<const uint8_t, kTagSize> tag) {
  GH_ASSERT(environment_ != nullptr);
  TlsScope scope(*environment_);
  if (mbedtls_gcm_auth_decrypt(&gcm_, data.size(), nonce.data(), nonce.size(), associated.data(),
                               associated.size(), tag.data(), tag.size(), data.data(),
                               data.data()) != 0) {
    SecureZero(data);
    return Error(ErrorCode::kUnauthentic, "AES-GCM tag is wrong");
  }
  return Ok();
}

void AesCtr::SetKey(std::span<const uint8_t> key, std::span<const uint8_t, kBlockSize> counter) {
  Clear();
  mbedtls_aes_init(&aes_);
  const int result =
      mbedtls_aes_setkey_enc(&aes_, key.data(), static_cast<unsigned>(key.size() * 8));
  GH_ASSERT_EQ(result, 0);
  has_key_ = true;
  std::copy(counter.begin(), counter.end(), counter_.begin());
  offset_ = 0;
}

void AesCtr::Clear() {
  if (has_key_) {
    mbedtls_aes_free(&aes_);
    SecureZero(counter_);
    SecureZero(stream_);
    has_key_ = false;
  }
}

void AesCtr::Xor(std::span<uint8_t> data) {
  GH_ASSERT(has_key_);
  const int result = mbedtls_aes_crypt_ctr(&aes_, data.size(), &offset_, counter_.data(),
                                           stream_.data(), data.data(), data.data());
  GH_ASSERT_EQ(result, 0);
}

}  // namespace gh::crypto
