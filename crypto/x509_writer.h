// Writes what a key holder signs of itself: certification requests (PKCS #10, RFC 2986) and
// self-signed certificates (RFC 5280). Pure: DER in the caller's buffer.
//
// Signing is apart, because the key may be in a token: first the part that is to be signed, then
// its digest by a SigningKey, then both wrapped.
//
//   const auto info = WriteRequestInfo(subject, names, key, buffer);
//   ... sign the digest of *info by `scheme` ...
//   const auto request = WriteSigned(*info, scheme, signature, out);
//
// Text comes from an operator and is checked: names are DNS names (a wildcard in front at most) or
// addresses, subject fields printable and short.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "crypto/signing_key.h"
#include "hal/rt/result.h"
#include "hal/rt/time.h"

namespace gh::crypto {

inline constexpr uint32_t kSubjectFieldMax = 64;  // RFC 5280 appendix A: ub-common-name and kin
inline constexpr size_t kRequestInfoMax = 12 * 1024;

struct Subject {
  std::string_view common_name = {};  // those that are empty are left out
  std::string_view unit = {};
  std::string_view organization = {};
  std::string_view locality = {};
  std::string_view state = {};
  std::string_view country = {};  // two letters
};

struct AlternativeName {
  std::string_view dns = {};  // empty: an address
  std::array<uint8_t, 16> address = {};
  uint8_t address_size = 0;  // 4 or 16
};

// Letters, digits, hyphens and dots as RFC 1123 has them; `wildcard`: "*." may stand in front.
bool IsDnsName(std::string_view name, bool wildcard);
// Both server and client authentication are asked for, digital signatures, no authority. The
// first `n` bytes of `out`. kInvalidArgument: a field or a name is not acceptable; kTooLarge.
Result<std::span<const uint8_t>> WriteRequestInfo(const Subject& subject,
                                                  std::span<const AlternativeName> names,
                                                  const SigningKey& key, std::span<uint8_t> out);

struct SelfSigned {
  std::array<uint8_t, 16> serial = {};  // random
  int64_t valid_from_s = 0;             // since 1970
  int64_t valid_until_s = 0;
  // SHA-256 of a key authorization: a certificate that answers tls-alpn-01 (RFC 8737 section 3).
  std::span<const uint8_t> acme_identifier = {};
};
Result<std::span<const uint8_t>> WriteCertificateInfo(const Subject& subject,
                                                      std::span<const AlternativeName> names,
                                                      const SelfSigned& terms,
                                                      const SigningKey& key, SignatureScheme scheme,
                                                      std::span<uint8_t> out);
// SEQUENCE { info, algorithm, signature }: PKCS #1 v1.5 or ECDSA only.
Result<size_t> WriteSigned(std::span<const uint8_t> info, SignatureScheme scheme,
                           std::span<const uint8_t> signature, std::span<uint8_t> out);
// The digest of `info` by the scheme's hash, at the front of `out` (kSignDigestMax bytes).
size_t DigestFor(SignatureScheme scheme, std::span<const uint8_t> info, std::span<uint8_t> out);

}  // namespace gh::crypto
