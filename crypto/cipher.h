// Ciphers in their raw parts, for protocols that put them together themselves (SSH): ChaCha20 and
// Poly1305 (D. J. Bernstein's, 64-bit nonce) on libsodium, AES-GCM and AES-CTR on mbedTLS. Everyone
// else takes crypto/aead.h.
#pragma once

#include <mbedtls/aes.h>
#include <mbedtls/gcm.h>

#include <array>
#include <cstdint>
#include <span>

#include "crypto/tls_environment.h"
#include "hal/rt/result.h"

namespace gh::crypto {

inline constexpr size_t kChaCha20KeySize = 32;
inline constexpr size_t kPoly1305TagSize = 16;

// XORs the key stream from block `counter` on; `nonce` is used in the byte order of SSH and TLS,
// the most significant byte first.
void ChaCha20Xor(std::span<const uint8_t, kChaCha20KeySize> key, uint64_t nonce, uint64_t counter,
                 std::span<uint8_t> data);
// A key authenticates one message, ever.
std::array<uint8_t, kPoly1305TagSize> Poly1305(std::span<const uint8_t, 32> key,
                                               std::span<const uint8_t> data);

// AES in Galois/counter mode, tags of 16 bytes. What mbedTLS needs comes from the environment's
// heap (about 1 KiB) and goes back with Clear.
class AesGcm {
 public:
  static constexpr size_t kNonceSize = 12;
  static constexpr size_t kTagSize = 16;

  AesGcm() = default;
  AesGcm(const AesGcm&) = delete;
  AesGcm& operator=(const AesGcm&) = delete;
  ~AesGcm() { Clear(); }

  // A key of 16 or 32 bytes. kExhausted: no memory.
  Result<void> SetKey(TlsEnvironment& environment, std::span<const uint8_t> key);
  void Clear();
  Result<void> Seal(std::span<const uint8_t, kNonceSize> nonce, std::span<const uint8_t> associated,
                    std::span<uint8_t> data, std::span<uint8_t, kTagSize> tag);
  // kUnauthentic: `data` is zeroed.
  Result<void> Open(std::span<const uint8_t, kNonceSize> nonce, std::span<const uint8_t> associated,
                    std::span<uint8_t> data, std::span<const uint8_t, kTagSize> tag);

 private:
  TlsEnvironment* environment_ = nullptr;  // null: no key
  mbedtls_gcm_context gcm_;
};

// AES in counter mode; the counter goes on from call to call.
class AesCtr {
 public:
  static constexpr size_t kBlockSize = 16;

  AesCtr() = default;
  AesCtr(const AesCtr&) = delete;
  AesCtr& operator=(const AesCtr&) = delete;
  ~AesCtr() { Clear(); }

  // A key of 16, 24 or 32 bytes.
  void SetKey(std::span<const uint8_t> key, std::span<const uint8_t, kBlockSize> counter);
  void Clear();
  void Xor(std::span<uint8_t> data);

 private:
  bool has_key_ = false;
  mbedtls_aes_context aes_;
  std::array<uint8_t, kBlockSize> counter_ = {};
  std::array<uint8_t, kBlockSize> stream_ = {};
  size_t offset_ = 0;
};

}  // namespace gh::crypto
