// Key exchange without messages: the server's half of each method, the exchange hash (RFC 4253
// section 8, RFC 5656, RFC 8731) and the keys that come of it (section 7.2).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "crypto/digest.h"
#include "crypto/tls_environment.h"
#include "firmware/admin/ssh/algorithms.h"
#include "firmware/admin/ssh/packet_cipher.h"
#include "hal/rt/bytes.h"
#include "hal/rt/result.h"
#include "hal/rt/secret.h"

namespace gh::ssh {

inline constexpr size_t kKexPublicMax = 1216;  // the client's: 1,184 of ML-KEM-768 and X25519
inline constexpr size_t kHashMax = 64;
inline constexpr size_t kSharedSecretMax = 4 + 1 + kHashMax;

// What the parties share, encoded as it is hashed: an mpint, or a string for hybrids.
struct SharedSecret {
  SecretBytes<kSharedSecretMax> bytes;
  size_t size = 0;
  std::span<const uint8_t> view() const { return bytes.Expose().first(size); }
};

// Takes the client's public value, writes the server's. kMalformed, kUnauthentic: the client's
// value is at fault.
Result<void> RunKex(Kex kex, crypto::TlsEnvironment& environment,
                    std::span<const uint8_t> client_public, ByteWriter& server_public,
                    SharedSecret& shared);

// The hash a method uses, SHA-256 or SHA-512, in parts.
class KexHash {
 public:
  using Digest = std::array<uint8_t, kHashMax>;

  void Start(Kex kex);
  void Update(std::span<const uint8_t> bytes);
  void UpdateString(std::span<const uint8_t> bytes);  // with its length before it
  // The number of bytes that count of `out`.
  size_t Finish(Digest& out);
  bool started() const { return sha256_.has_value() || sha512_.has_value(); }

 private:
  std::optional<crypto::Sha256> sha256_;
  std::optional<crypto::Sha512> sha512_;
};

// All keys of one direction: `letters` are those of its IV, key and MAC key ("ACE" client to
// server, "BDF" server to client).
void DeriveKeys(Kex kex, const SharedSecret& shared, std::span<const uint8_t> exchange_hash,
                std::span<const uint8_t> session_id, const char (&letters)[4], KeyMaterial& out);

}  // namespace gh::ssh
