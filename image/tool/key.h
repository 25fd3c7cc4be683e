// Signing keys of a clone: one text line per file, secret (mode 0600) and public.
//
//   gatehouse-secret-key release development <64 hex digits: Ed25519 seed>
//   gatehouse-public-key release development <64 hex digits>
#pragma once

#include <string>

#include "crypto/signature.h"
#include "hal/rt/secret.h"
#include "image/slot.h"

namespace gh::image::tool {

struct SigningKey {
  SecretBytes<crypto::kSigningKeySize> secret;
  TrustedKey trusted;
};

// Makes <folder>/<name>.key and .pub; leaves an existing pair alone and says so by false.
bool MakeKey(const std::string& folder, const std::string& name, gatehouse_image_KeyRole role,
             bool is_development);
void LoadSigningKey(const std::string& path, SigningKey& out);
TrustedKey LoadPublicKey(const std::string& path);
// A key from a seed, for tests.
void KeyFromSeed(std::span<const uint8_t, crypto::kSigningSeedSize> seed, bool is_development,
                 SigningKey& out);

}  // namespace gh::image::tool
