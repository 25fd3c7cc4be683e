// What SRTP (RFC 3711) is made of: AES in counter mode with a whole counter block for each packet,
// and HMAC-SHA-1 under a key that many packets share. Keys are expanded once; a packet costs its
// own blocks and no more, allocates nothing and waits for nothing.
#pragma once

#include <mbedtls/aes.h>
#include <mbedtls/sha1.h>

#include <array>
#include <cstdint>
#include <span>

namespace gh::crypto {

class AesCounter {
 public:
  static constexpr size_t kBlockSize = 16;

  AesCounter() { mbedtls_aes_init(&aes_); }
  AesCounter(const AesCounter&) = delete;
  AesCounter& operator=(const AesCounter&) = delete;
  ~AesCounter() { mbedtls_aes_free(&aes_); }

  // 16 or 32 bytes.
  void SetKey(std::span<const uint8_t> key);
  // XORs the key stream that begins with `counter`.
  void Xor(const std::array<uint8_t, kBlockSize>& counter, std::span<uint8_t> data);

 private:
  mbedtls_aes_context aes_;
};

class HmacSha1Key {
 public:
  static constexpr size_t kSize = 20;
  using Tag = std::array<uint8_t, kSize>;

  HmacSha1Key();
  HmacSha1Key(const HmacSha1Key&) = delete;
  HmacSha1Key& operator=(const HmacSha1Key&) = delete;
  ~HmacSha1Key();

  // At most 64 bytes.
  void SetKey(std::span<const uint8_t> key);
  // Of one behind the other.
  Tag Of(std::span<const uint8_t> first, std::span<const uint8_t> second) const;

 private:
  mbedtls_sha1_context inner_;
  mbedtls_sha1_context outer_;
};

}  // namespace gh::crypto
