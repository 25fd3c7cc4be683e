#include "crypto/aead.h"

#include <sodium/crypto_aead_xchacha20poly1305.h>
#include <sodium/utils.h>

namespace gh::crypto {

void AeadSeal(std::span<const uint8_t, kAeadKeySize> key,
              std::span<const uint8_t, kAeadNonceSize> nonce, std::span<const uint8_t> associated,
              std::span<uint8_t> data, std::span<uint8_t, kAeadTagSize> tag) {
  crypto_aead_xchacha20poly1305_ietf_encrypt_detached(
      data.data(), tag.data(), nullptr, data.data(), data.size(), associated.data(),
      associated.size(), nullptr, nonce.data(), key.data());
}

Result<void> AeadOpen(std::span<const uint8_t, kAeadKeySize> key,
                      std::span<const uint8_t, kAeadNonceSize> nonce,
                      std::span<const uint8_t> associated, std::span<uint8_t> data,
                      std::span<const uint8_t, kAeadTagSize> tag) {
  const int result = crypto_aead_xchacha20poly1305_ietf_decrypt_detached(
      data.data(), nullptr, data.data(), data.size(), tag.data(), associated.data(),
      associated.size(), nonce.data(), key.data());
  if (result != 0) {
    sodium_memzero(data.data(), data.size());
    return Error(ErrorCode::kUnauthentic, "authentication tag does not match");
  }
  return Ok();
}

}  // namespace gh::crypto
