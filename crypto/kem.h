// Post-quantum key encapsulation, the side that answers: Streamlined NTRU Prime 761 and ML-KEM-768
// (FIPS 203), both as OpenSSH carries them (sntrup761.c of its authors; libcrux, verified code).
//
// Constant time by construction of those sources. The peer's public key is outside data: sntrup761
// takes any bytes of the right size; ML-KEM refuses what is not reduced (FIPS 203 section 7.2). No
// heap: the working memory is the caller's stack, kKemStackBytes at most, wiped afterwards. Used
// beside X25519, never alone.
#pragma once

#include <cstdint>
#include <span>

#include "crypto/random.h"
#include "hal/rt/result.h"

namespace gh::crypto {

inline constexpr size_t kKemSharedSize = 32;
inline constexpr size_t kSntrup761PublicSize = 1158;
inline constexpr size_t kSntrup761SecretSize = 1763;
inline constexpr size_t kSntrup761CipherSize = 1039;
inline constexpr size_t kMlKem768PublicSize = 1184;
inline constexpr size_t kMlKem768SecretSize = 2400;
inline constexpr size_t kMlKem768CipherSize = 1088;
inline constexpr size_t kMlKem768MessageSize = 32;
inline constexpr size_t kMlKem768SeedSize = 64;
inline constexpr size_t kKemStackBytes = 64 * 1024;

// A new secret for the holder of `peer`, and what they need to recover it.
void Sntrup761Encapsulate(Random& random, std::span<const uint8_t, kSntrup761PublicSize> peer,
                          std::span<uint8_t, kSntrup761CipherSize> cipher,
                          std::span<uint8_t, kKemSharedSize> shared);
// kMalformed: not an ML-KEM-768 public key. `message`: fresh random bytes.
Result<void> MlKem768Encapsulate(std::span<const uint8_t, kMlKem768MessageSize> message,
                                 std::span<const uint8_t, kMlKem768PublicSize> peer,
                                 std::span<uint8_t, kMlKem768CipherSize> cipher,
                                 std::span<uint8_t, kKemSharedSize> shared);

// The asking side. A cipher text that was tampered with gives a secret nobody else has.
void Sntrup761MakeKey(Random& random, std::span<uint8_t, kSntrup761PublicSize> public_key,
                      std::span<uint8_t, kSntrup761SecretSize> secret);
void Sntrup761Decapsulate(std::span<const uint8_t, kSntrup761SecretSize> secret,
                          std::span<const uint8_t, kSntrup761CipherSize> cipher,
                          std::span<uint8_t, kKemSharedSize> shared);
void MlKem768MakeKey(std::span<const uint8_t, kMlKem768SeedSize> seed,
                     std::span<uint8_t, kMlKem768PublicSize> public_key,
                     std::span<uint8_t, kMlKem768SecretSize> secret);
void MlKem768Decapsulate(std::span<const uint8_t, kMlKem768SecretSize> secret,
                         std::span<const uint8_t, kMlKem768CipherSize> cipher,
                         std::span<uint8_t, kKemSharedSize> shared);

}  // namespace gh::crypto
