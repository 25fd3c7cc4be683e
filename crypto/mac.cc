#include "crypto/mac.h"

#include <sodium/utils.h>

namespace gh::crypto {

HmacSha256::HmacSha256(std::span<const uint8_t> key) {
  crypto_auth_hmacsha256_init(&state_, key.data(), key.size());
}
HmacSha256::~HmacSha256() { sodium_memzero(&state_, sizeof(state_)); }
void HmacSha256::Update(std::span<const uint8_t> bytes) {
  crypto_auth_hmacsha256_update(&state_, bytes.data(), bytes.size());
}
HmacSha256::Tag HmacSha256::Finish() {
  Tag tag;
  crypto_auth_hmacsha256_final(&state_, tag.data());
  return tag;
}
HmacSha256::Tag HmacSha256::Of(std::span<const uint8_t> key, std::span<const uint8_t> bytes) {
  HmacSha256 mac(key);
  mac.Update(bytes);
  return mac.Finish();
}

HmacSha512::HmacSha512(std::span<const uint8_t> key) {
  crypto_auth_hmacsha512_init(&state_, key.data(), key.size());
}
HmacSha512::~HmacSha512() { sodium_memzero(&state_, sizeof(state_)); }
void HmacSha512::Update(std::span<const uint8_t> bytes) {
  crypto_auth_hmacsha512_update(&state_, bytes.data(), bytes.size());
}
HmacSha512::Tag HmacSha512::Finish() {
  Tag tag;
  crypto_auth_hmacsha512_final(&state_, tag.data());
  return tag;
}

Blake2bMac::Blake2bMac(std::span<const uint8_t, kKeySize> key) {
  crypto_generichash_blake2b_init(&state_, key.data(), key.size(), kSize);
}
Blake2bMac::~Blake2bMac() { sodium_memzero(&state_, sizeof(state_)); }
void Blake2bMac::Update(std::span<const uint8_t> bytes) {
  crypto_generichash_blake2b_update(&state_, bytes.data(), bytes.size());
}
Blake2bMac::Tag Blake2bMac::Finish() {
  Tag tag;
  crypto_generichash_blake2b_final(&state_, tag.data(), tag.size());
  return tag;
}

}  // namespace gh::crypto
