// Public keys as SSH writes them (RFC 4253 section 6.6, RFC 5656, RFC 8332, RFC 8709): the blob on
// the wire, the line in an authorized-keys file, the fingerprint, and signatures by them.
//
// Blobs, lines and signatures are outside data; what is not a key of a kind we take is refused.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "crypto/tls_environment.h"
#include "firmware/admin/ssh/limits.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/result.h"

namespace gh::ssh {

enum class PublicKeyKind : uint8_t { kEd25519, kEcdsaP256, kRsa };

// A key inside somebody else's bytes.
struct PublicKeyView {
  PublicKeyKind kind = PublicKeyKind::kEd25519;
  std::span<const uint8_t> blob;
  std::span<const uint8_t> point;     // Ed25519: 32 bytes; ECDSA: 65; RSA: the modulus
  std::span<const uint8_t> exponent;  // RSA
};

// "ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"
std::string_view NameOf(PublicKeyKind kind);

// kUnsupported: a kind of key we do not take; kMalformed.
Result<PublicKeyView> ParsePublicKey(std::span<const uint8_t> blob);

// "ssh-ed25519 AAAA... comment", as in an authorized-keys file, without options. The view lies in
// `storage`.
struct PublicKeyLine {
  PublicKeyView key;
  std::string_view comment;
};
Result<PublicKeyLine> ParsePublicKeyLine(std::string_view line, std::span<uint8_t> storage);

// "SHA256:" and 43 characters of base64, as OpenSSH shows it.
using Fingerprint = FixedString<50>;
Fingerprint FingerprintOf(std::span<const uint8_t> blob);

// The algorithms a client may sign with, for server-sig-algs (RFC 8308).
inline constexpr std::string_view kSignatureAlgorithms =
    "ssh-ed25519,ecdsa-sha2-nistp256,rsa-sha2-512,rsa-sha2-256";

// Whether `algorithm` is one that a key of this kind signs with.
bool SignsWith(PublicKeyKind kind, std::string_view algorithm);
// `signature` is the wire's signature blob; it must name `algorithm`.
bool VerifyBlob(crypto::TlsEnvironment& environment, const PublicKeyView& key,
                std::string_view algorithm, std::span<const uint8_t> message,
                std::span<const uint8_t> signature);

}  // namespace gh::ssh
