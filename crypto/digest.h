// Digests: SHA-256, SHA-512, SHA-512/256 (RFC 6234, FIPS 180-4), BLAKE2b-256 (RFC 7693), and MD5
// for SIP digest authentication only.
//
//   auto digest = Sha256::Of(bytes);              one shot
//   Sha256 sha; sha.Update("a:"); sha.Update(b); sha.Finish();   in parts; Finish once
#pragma once

#include <sodium/crypto_generichash_blake2b.h>
#include <sodium/crypto_hash_sha256.h>
#include <sodium/crypto_hash_sha512.h>

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "hal/rt/bytes.h"

namespace gh::crypto {

// What the digests have in common: text as input, and the one-shot form.
template <typename Hash, size_t kBytes>
class DigestBase {
 public:
  static constexpr size_t kSize = kBytes;
  using Digest = std::array<uint8_t, kBytes>;

  static Digest Of(std::span<const uint8_t> bytes) {
    Hash hash;
    hash.Add(bytes);
    return hash.Finish();
  }
  static Digest Of(std::string_view text) { return Of(AsBytes(text)); }
  void Update(std::span<const uint8_t> bytes) { static_cast<Hash*>(this)->Add(bytes); }
  void Update(std::string_view text) { static_cast<Hash*>(this)->Add(AsBytes(text)); }
};

class Sha256 : public DigestBase<Sha256, 32> {
 public:
  Sha256();
  ~Sha256();
  void Add(std::span<const uint8_t> bytes);
  Digest Finish();

 private:
  crypto_hash_sha256_state state_;
};

class Sha512 : public DigestBase<Sha512, 64> {
 public:
  Sha512();
  ~Sha512();
  void Add(std::span<const uint8_t> bytes);
  Digest Finish();

 private:
  crypto_hash_sha512_state state_;
};

// SHA-512 with its own initial value, cut to 256 bits: RFC 8760's SHA-512-256.
class Sha512_256 : public DigestBase<Sha512_256, 32> {
 public:
  Sha512_256();
  ~Sha512_256();
  void Add(std::span<const uint8_t> bytes);
  Digest Finish();

 private:
  crypto_hash_sha512_state state_;
};

// A personalisation separates uses of the hash from each other; at most 16 characters.
class Blake2b256 : public DigestBase<Blake2b256, 32> {
 public:
  explicit Blake2b256(std::string_view personalisation = {});
  ~Blake2b256();
  void Add(std::span<const uint8_t> bytes);
  Digest Finish();

 private:
  crypto_generichash_blake2b_state state_;
};

// Broken against collisions; for RFC 3261 digest responses and nothing else.
class Md5 : public DigestBase<Md5, 16> {
 public:
  Md5();
  ~Md5();
  void Add(std::span<const uint8_t> bytes);
  Digest Finish();

 private:
  alignas(8) uint8_t state_[96];  // mbedtls_md5_context, kept out of this header
};

}  // namespace gh::crypto
