#include "crypto/digest.h"

#include <sodium/utils.h>

#include <algorithm>
#include <cstring>

#include "hal/rt/assert.h"

namespace gh::crypto {

Sha256::Sha256() { crypto_hash_sha256_init(&state_); }
Sha256::~Sha256() { sodium_memzero(&state_, sizeof(state_)); }
void Sha256::Add(std::span<const uint8_t> bytes) {
  crypto_hash_sha256_update(&state_, bytes.data(), bytes.size());
}
Sha256::Digest Sha256::Finish() {
  Digest digest;
  crypto_hash_sha256_final(&state_, digest.data());
  return digest;
}

Sha512::Sha512() { crypto_hash_sha512_init(&state_); }
Sha512::~Sha512() { sodium_memzero(&state_, sizeof(state_)); }
void Sha512::Add(std::span<const uint8_t> bytes) {
  crypto_hash_sha512_update(&state_, bytes.data(), bytes.size());
}
Sha512::Digest Sha512::Finish() {
  Digest digest;
  crypto_hash_sha512_final(&state_, digest.data());
  return digest;
}

Sha512_256::Sha512_256() {
  // FIPS 180-4, 5.3.6.2.
  static constexpr uint64_t kInitial[8] = {
      0x22312194fc2bf72c, 0x9f555fa3c84c64c2, 0x2393b86b6f53b151, 0x963877195940eabd,
      0x96283ee2a88effe3, 0xbe5e1e2553863992, 0x2b0199fc2c85b8aa, 0x0eb72ddc81c52ca2,
  };
  crypto_hash_sha512_init(&state_);
  static_assert(sizeof(state_.state) == sizeof(kInitial));
  std::memcpy(state_.state, kInitial, sizeof(kInitial));
}
Sha512_256::~Sha512_256() { sodium_memzero(&state_, sizeof(state_)); }
void Sha512_256::Add(std::span<const uint8_t> bytes) {
  crypto_hash_sha512_update(&state_, bytes.data(), bytes.size());
}
Sha512_256::Digest Sha512_256::Finish() {
  std::array<uint8_t, 64> whole;
  crypto_hash_sha512_final(&state_, whole.data());
  Digest digest;
  std::memcpy(digest.data(), whole.data(), digest.size());
  return digest;
}

Blake2b256::Blake2b256(std::string_view personalisation) {
  uint8_t personal[crypto_generichash_blake2b_PERSONALBYTES] = {};
  GH_ASSERT_LE(personalisation.size(), sizeof(personal));
  std::copy(personalisation.begin(), personalisation.end(), personal);
  crypto_generichash_blake2b_init_salt_personal(&state_, nullptr, 0, kSize, nullptr, personal);
}
Blake2b256::~Blake2b256() { sodium_memzero(&state_, sizeof(state_)); }
void Blake2b256::Add(std::span<const uint8_t> bytes) {
  crypto_generichash_blake2b_update(&state_, bytes.data(), bytes.size());
}
Blake2b256::Digest Blake2b256::Finish() {
  Digest digest;
  crypto_generichash_blake2b_final(&state_, digest.data(), digest.size());
  return digest;
}

}  // namespace gh::crypto
