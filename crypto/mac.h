// Message authentication: HMAC-SHA-256 and -512 (RFC 2104) and keyed BLAKE2b-256 (RFC 7693): tags
// are compared with ConstantTimeEqual (hal/rt/secret.h).
#pragma once

#include <sodium/crypto_auth_hmacsha256.h>
#include <sodium/crypto_auth_hmacsha512.h>
#include <sodium/crypto_generichash_blake2b.h>

#include <array>
#include <cstdint>
#include <span>

#include "crypto/digest.h"

namespace gh::crypto {

class HmacSha256 {
 public:
  static constexpr size_t kSize = 32;
  using Tag = std::array<uint8_t, kSize>;

  explicit HmacSha256(std::span<const uint8_t> key);  // any key size
  HmacSha256(const HmacSha256&) = delete;
  HmacSha256& operator=(const HmacSha256&) = delete;
  ~HmacSha256();
  void Update(std::span<const uint8_t> bytes);
  void Update(std::string_view text) { Update(AsBytes(text)); }
  Tag Finish();
  static Tag Of(std::span<const uint8_t> key, std::span<const uint8_t> bytes);

 private:
  crypto_auth_hmacsha256_state state_;
};

class HmacSha512 {
 public:
  static constexpr size_t kSize = 64;
  using Tag = std::array<uint8_t, kSize>;

  explicit HmacSha512(std::span<const uint8_t> key);  // any key size
  HmacSha512(const HmacSha512&) = delete;
  HmacSha512& operator=(const HmacSha512&) = delete;
  ~HmacSha512();
  void Update(std::span<const uint8_t> bytes);
  Tag Finish();

 private:
  crypto_auth_hmacsha512_state state_;
};

class Blake2bMac {
 public:
  static constexpr size_t kSize = 32;
  static constexpr size_t kKeySize = 32;
  using Tag = std::array<uint8_t, kSize>;

  explicit Blake2bMac(std::span<const uint8_t, kKeySize> key);
  Blake2bMac(const Blake2bMac&) = delete;
  Blake2bMac& operator=(const Blake2bMac&) = delete;
  ~Blake2bMac();
  void Update(std::span<const uint8_t> bytes);
  void Update(std::string_view text) { Update(AsBytes(text)); }
  Tag Finish();

 private:
  crypto_generichash_blake2b_state state_;
};

}  // namespace gh::crypto
