// Ed25519 signatures (RFC 8032) and the short name of a key.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace gh::crypto {

inline constexpr size_t kSigningSeedSize = 32;
inline constexpr size_t kSigningKeySize = 64;

using PublicKey = std::array<uint8_t, 32>;
using Signature = std::array<uint8_t, 64>;
using KeyId = std::array<uint8_t, 8>;

// The first 8 bytes of SHA-256 over the public key.
KeyId KeyIdOf(const PublicKey& key);

// Refuses non-canonical signatures and keys of small order.
bool VerifySignature(const PublicKey& key, std::span<const uint8_t> message,
                     const Signature& signature);

// The secret key of a 32-byte seed and its public key. `secret` is the caller's to erase.
void MakeSigningKey(std::span<const uint8_t, kSigningSeedSize> seed,
                    std::span<uint8_t, kSigningKeySize> secret, PublicKey& public_key);
Signature Sign(std::span<const uint8_t, kSigningKeySize> secret, std::span<const uint8_t> message);

}  // namespace gh::crypto
