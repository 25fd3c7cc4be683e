// Elliptic-curve key agreement: X25519 (RFC 7748) on libsodium, NIST P-256 (SEC 1) on mbedTLS.
//
// Public points are outside data: what is not on the curve, or gives a shared secret that does not
// depend on ours, is refused. P-256 takes working memory from the environment's heap.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "crypto/tls_environment.h"
#include "hal/rt/result.h"
#include "hal/rt/secret.h"

namespace gh::crypto {

inline constexpr size_t kX25519Size = 32;
inline constexpr size_t kP256SecretSize = 32;
inline constexpr size_t kP256PointSize = 65;  // uncompressed: 4, x, y

using X25519Public = std::array<uint8_t, kX25519Size>;
using P256Point = std::array<uint8_t, kP256PointSize>;

X25519Public X25519PublicOf(std::span<const uint8_t, kX25519Size> secret);
// kUnauthentic: the peer's point gives the same secret to everybody (RFC 7748 section 6.1).
Result<void> X25519Agree(std::span<const uint8_t, kX25519Size> secret,
                         std::span<const uint8_t, kX25519Size> peer,
                         std::span<uint8_t, kX25519Size> shared);

// A new key pair, for key agreement or for ECDSA. kExhausted: no working memory.
Result<void> P256MakeKey(TlsEnvironment& environment, std::span<uint8_t, kP256SecretSize> secret,
                         P256Point& point);
// The public point of a secret; kMalformed: not a secret of this curve.
Result<void> P256PointOf(TlsEnvironment& environment,
                         std::span<const uint8_t, kP256SecretSize> secret, P256Point& point);
// The x coordinate of the shared point. kMalformed: the peer's bytes are no point of the curve.
Result<void> P256Agree(TlsEnvironment& environment,
                       std::span<const uint8_t, kP256SecretSize> secret,
                       std::span<const uint8_t> peer, std::span<uint8_t, kP256SecretSize> shared);

}  // namespace gh::crypto
