// The server's own keys: one Ed25519 and one ECDSA P-256 key, made at the first start and kept
// where the vault keeps them. A factory reset that empties the vault makes new ones.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "crypto/key_agreement.h"
#include "crypto/signature.h"
#include "crypto/tls_environment.h"
#include "firmware/admin/ssh/algorithms.h"
#include "firmware/admin/ssh/public_key.h"
#include "hal/rt/bytes.h"
#include "hal/rt/result.h"
#include "hal/rt/secret.h"

namespace gh::ssh {

inline constexpr size_t kHostSecretSize = 32;
inline constexpr uint32_t kHostKeyKinds = 2;

// Where host keys are kept: the store today, a key store that seals them later.
class HostKeyVault {
 public:
  // kNotFound: never made.
  virtual Result<void> Load(HostKeyKind kind, SecretBytes<kHostSecretSize>& secret) = 0;
  virtual Result<void> Save(HostKeyKind kind, const SecretBytes<kHostSecretSize>& secret) = 0;

 protected:
  ~HostKeyVault() = default;
};

class HostKeys {
 public:
  explicit HostKeys(crypto::TlsEnvironment& environment) : environment_(environment) {}
  HostKeys(const HostKeys&) = delete;
  HostKeys& operator=(const HostKeys&) = delete;

  // Loads both keys, makes and saves what is missing. When the vault fails, or holds what is no
  // key, the server still has keys, new ones for this run, and the first error is told.
  Result<void> Load(HostKeyVault& vault);

  // Once more, for a vault that could not take them before.
  Result<void> Save(HostKeyVault& vault) const;

  std::span<const uint8_t> BlobOf(HostKeyKind kind) const;
  Fingerprint FingerprintOf(HostKeyKind kind) const;
  // Writes the wire's signature blob of `message`.
  Result<void> Sign(HostKeyKind kind, std::span<const uint8_t> message, ByteWriter& out) const;
  bool made_new() const { return made_new_; }

 private:
  Result<void> SetUp(HostKeyKind kind);
  Result<void> LoadOne(HostKeyVault& vault, HostKeyKind kind);
  Result<void> Make(HostKeyKind kind);

  crypto::TlsEnvironment& environment_;
  SecretBytes<kHostSecretSize> secrets_[kHostKeyKinds];
  SecretBytes<crypto::kSigningKeySize> ed25519_;
  std::array<uint8_t, 128> blobs_[kHostKeyKinds] = {};
  size_t blob_sizes_[kHostKeyKinds] = {};
  bool made_new_ = false;
};

}  // namespace gh::ssh
