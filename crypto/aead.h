// XChaCha20-Poly1305, in place. The 24-byte nonce may be random: it need not be counted.
#pragma once

#include <cstdint>
#include <span>

#include "hal/rt/result.h"

namespace gh::crypto {

inline constexpr size_t kAeadKeySize = 32;
inline constexpr size_t kAeadNonceSize = 24;
inline constexpr size_t kAeadTagSize = 16;

// Encrypts `data` in place and writes its tag; `associated` is authenticated, not encrypted.
void AeadSeal(std::span<const uint8_t, kAeadKeySize> key,
              std::span<const uint8_t, kAeadNonceSize> nonce, std::span<const uint8_t> associated,
              std::span<uint8_t> data, std::span<uint8_t, kAeadTagSize> tag);

// Decrypts in place. kUnauthentic: `data` is zeroed and nothing of it was used.
Result<void> AeadOpen(std::span<const uint8_t, kAeadKeySize> key,
                      std::span<const uint8_t, kAeadNonceSize> nonce,
                      std::span<const uint8_t> associated, std::span<uint8_t> data,
                      std::span<const uint8_t, kAeadTagSize> tag);

}  // namespace gh::crypto
