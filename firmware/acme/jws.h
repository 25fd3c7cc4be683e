// Signed requests as ACME wants them: JSON Web Signatures (RFC 7515) by an ES256 key, flattened,
// and what belongs to them: base64url, the key as JWK, its thumbprint (RFC 7638). Pure but for the
// key.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "crypto/software_key.h"
#include "firmware/acme/limits.h"
#include "hal/rt/bytes.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/result.h"

namespace gh::acme {

// Without padding (RFC 7515 section 2).
void WriteBase64Url(std::span<const uint8_t> bytes, ByteWriter& out);
// False: it is not base64url, or does not fit.
bool ReadBase64Url(std::string_view text, ByteWriter& out);
// A JSON string with its quotes.
void WriteJsonString(std::string_view text, ByteWriter& out);

// The public key as JWK, members in the order of RFC 7638. kUnsupported: not of P-256.
Result<void> WriteJwk(const crypto::SigningKey& key, ByteWriter& out);
Result<void> WriteThumbprint(const crypto::SigningKey& key, FixedString<43>& out);

struct JwsHead {
  std::string_view url;
  std::string_view nonce;
  std::string_view account;  // its URL (kid); empty: the key itself is shown (jwk)
};
// `payload`: JSON; empty: POST-as-GET (RFC 8555 section 6.3). `key` signs at once. kTooLarge.
Result<void> WriteJws(crypto::SoftwareKey& key, const JwsHead& head, std::string_view payload,
                      ByteWriter& out);

// External account binding (RFC 8555 section 7.3.4): the account's key, by HMAC-SHA256 of the key
// that the authority has given. As the value of "externalAccountBinding".
struct Binding {
  std::string_view name;
  std::span<const uint8_t> key;
};
Result<void> WriteBinding(const crypto::SigningKey& key, const Binding& binding,
                          std::string_view url, ByteWriter& out);

// DER of Ecdsa-Sig-Value to r and s, 32 bytes each (RFC 7518 section 3.4). kMalformed.
Result<void> SplitSignature(std::span<const uint8_t> der, std::span<uint8_t, 64> out);

}  // namespace gh::acme
