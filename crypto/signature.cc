// Verification only: this is the half that the loader takes.
#include "crypto/signature.h"

#include <sodium/crypto_sign_ed25519.h>

#include <cstring>

#include "crypto/digest.h"

namespace gh::crypto {

KeyId KeyIdOf(const PublicKey& key) {
  const auto digest = Sha256::Of(key);
  KeyId id;
  std::memcpy(id.data(), digest.data(), id.size());
  return id;
}

bool VerifySignature(const PublicKey& key, std::span<const uint8_t> message,
                     const Signature& signature) {
  return crypto_sign_ed25519_verify_detached(signature.data(), message.data(), message.size(),
                                             key.data()) == 0;
}

}  // namespace gh::crypto
