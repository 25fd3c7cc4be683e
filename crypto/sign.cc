// Signing: host tools and the key store; never in the loader.
#include <sodium/crypto_sign_ed25519.h>

#include "crypto/signature.h"
#include "hal/rt/assert.h"

namespace gh::crypto {

void MakeSigningKey(std::span<const uint8_t, kSigningSeedSize> seed,
                    std::span<uint8_t, kSigningKeySize> secret, PublicKey& public_key) {
  const int result =
      crypto_sign_ed25519_seed_keypair(public_key.data(), secret.data(), seed.data());
  GH_ASSERT_EQ(result, 0);
}

Signature Sign(std::span<const uint8_t, kSigningKeySize> secret, std::span<const uint8_t> message) {
  Signature signature;
  const int result = crypto_sign_ed25519_detached(signature.data(), nullptr, message.data(),
                                                  message.size(), secret.data());
  GH_ASSERT_EQ(result, 0);
  return signature;
}

}  // namespace gh::crypto
