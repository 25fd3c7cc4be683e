// Signatures on mbedTLS: ECDSA over P-256 with SHA-256 (FIPS 186-4), signing deterministic as in
// RFC 6979; RSA PKCS #1 v1.5 verification (RFC 8017) for peers' keys. Working memory comes from the
// environment's heap and goes back to it; what does not fit there does not verify.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "crypto/key_agreement.h"
#include "crypto/tls_environment.h"
#include "hal/rt/result.h"

namespace gh::crypto {

inline constexpr size_t kRsaModulusBitsMin = 2048;
inline constexpr size_t kRsaModulusBitsMax = 8192;

struct EcdsaSignature {
  std::array<uint8_t, kP256SecretSize> r;
  std::array<uint8_t, kP256SecretSize> s;
};

// `digest` is the SHA-256 of the message. kExhausted: no working memory.
Result<EcdsaSignature> EcdsaP256Sign(TlsEnvironment& environment,
                                     std::span<const uint8_t, kP256SecretSize> secret,
                                     std::span<const uint8_t, 32> digest);
// r and s are big-endian numbers of any length up to 32 bytes.
bool EcdsaP256Verify(TlsEnvironment& environment, std::span<const uint8_t> point,
                     std::span<const uint8_t, 32> digest, std::span<const uint8_t> r,
                     std::span<const uint8_t> s);

enum class RsaHash : uint8_t { kSha256, kSha512 };

// `digest` is that of the message; modulus and exponent are big-endian. A modulus below
// kRsaModulusBitsMin or above kRsaModulusBitsMax verifies nothing.
bool RsaVerify(TlsEnvironment& environment, std::span<const uint8_t> modulus,
               std::span<const uint8_t> exponent, RsaHash hash, std::span<const uint8_t> digest,
               std::span<const uint8_t> signature);

}  // namespace gh::crypto
