// What old protocols prescribe and nothing else uses: SHA-1 (SNMPv3's HMAC-SHA-96, NTP keys), HMAC
// over SHA-1, AES-CMAC (RFC 4493, for RFC 8573), AES-128 in CFB mode (RFC 3826).
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "crypto/digest.h"

namespace gh::crypto {

class Sha1 : public DigestBase<Sha1, 20> {
 public:
  Sha1();
  ~Sha1();
  void Add(std::span<const uint8_t> bytes);
  Digest Finish();

 private:
  alignas(8) uint8_t state_[96];  // mbedtls_sha1_context, kept out of this header
};

std::array<uint8_t, 20> HmacSha1(std::span<const uint8_t> key, std::span<const uint8_t> bytes);

inline constexpr size_t kAesBlock = 16;
using AesBlock = std::array<uint8_t, kAesBlock>;

AesBlock AesCmac(std::span<const uint8_t, kAesBlock> key, std::span<const uint8_t> bytes);

// In place; the last segment may be short.
void AesCfbEncrypt(std::span<const uint8_t, kAesBlock> key, std::span<const uint8_t, kAesBlock> iv,
                   std::span<uint8_t> bytes);
void AesCfbDecrypt(std::span<const uint8_t, kAesBlock> key, std::span<const uint8_t, kAesBlock> iv,
                   std::span<uint8_t> bytes);

}  // namespace gh::crypto
