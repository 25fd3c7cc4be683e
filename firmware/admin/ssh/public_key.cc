#include "firmware/admin/ssh/public_key.h"

#include <algorithm>

#include "crypto/digest.h"
#include "crypto/ecdsa.h"
#include "crypto/signature.h"
#include "firmware/admin/ssh/wire.h"

namespace gh::ssh {
namespace {

constexpr std::string_view kBase64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr Error kNotBase64 = {ErrorCode::kMalformed, "the key is not base64"};

// Canonical base64 with padding.
Result<size_t> DecodeBase64(std::string_view text, std::span<uint8_t> out) {
  if (text.empty() || text.size() % 4 != 0) {
    return kNotBase64;
  }
  const size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  const size_t size = text.size() / 4 * 3 - padding;
  if (size > out.size()) {
    return Error(ErrorCode::kTooLarge, "the key is too long");
  }
  uint32_t bits = 0;
  uint32_t bit_count = 0;
  size_t used = 0;
  for (const char c : text.substr(0, text.size() - padding)) {
    const size_t value = kBase64.find(c);
    if (value == std::string_view::npos) {
      return kNotBase64;
    }
    bits = bits << 6 | static_cast<uint32_t>(value);
    bit_count += 6;
    if (bit_count >= 8) {
      bit_count -= 8;
      out[used++] = static_cast<uint8_t>(bits >> bit_count);
      bits &= (1u << bit_count) - 1;
    }
  }
  if (bits != 0) {
    return kNotBase64;
  }
  return used;
}

std::string_view TakeWord(std::string_view& text) {
  while (text.starts_with(' ') || text.starts_with('\t')) {
    text.remove_prefix(1);
  }
  const std::string_view word = text.substr(0, text.find_first_of(" \t"));
  text.remove_prefix(word.size());
  return word;
}

bool VerifyEd25519(const PublicKeyView& key, std::span<const uint8_t> message,
                   std::span<const uint8_t> raw) {
  crypto::PublicKey point;
  crypto::Signature signature;
  if (raw.size() != signature.size() || key.point.size() != point.size()) {
    return false;
  }
  std::copy(raw.begin(), raw.end(), signature.begin());
  std::copy(key.point.begin(), key.point.end(), point.begin());
  return crypto::VerifySignature(point, message, signature);
}

bool VerifyEcdsa(crypto::TlsEnvironment& environment, const PublicKeyView& key,
                 std::span<const uint8_t> message, std::span<const uint8_t> raw) {
  ByteReader in(raw);
  const auto r = TakeMpint(in);
  const auto s = TakeMpint(in);
  if (!in.ok() || !in.at_end()) {
    return false;
  }
  const auto digest = crypto::Sha256::Of(message);
  return crypto::EcdsaP256Verify(environment, key.point, digest, r, s);
}

bool VerifyRsa(crypto::TlsEnvironment& environment, const PublicKeyView& key,
               std::string_view algorithm, std::span<const uint8_t> message,
               std::span<const uint8_t> raw) {
  if (algorithm == "rsa-sha2-512") {
    const auto digest = crypto::Sha512::Of(message);
    return crypto::RsaVerify(environment, key.point, key.exponent, crypto::RsaHash::kSha512, digest,
                             raw);
  }
  const auto digest = crypto::Sha256::Of(message);
  return crypto::RsaVerify(environment, key.point, key.exponent, crypto::RsaHash::kSha256, digest,
                           raw);
}

}  // namespace

std::string_view NameOf(PublicKeyKind kind) {
  switch (kind) {
    case PublicKeyKind::kEd25519:
      return "ssh-ed25519";
    case PublicKeyKind::kEcdsaP256:
      return "ecdsa-sha2-nistp256";
    case PublicKeyKind::kRsa:
      return "ssh-rsa";
  }
  return "";
}

Result<PublicKeyView> ParsePublicKey(std::span<const uint8_t> blob) {
  constexpr Error kMalformedKey = {ErrorCode::kMalformed, "the key is damaged"};
  if (blob.size() > kPublicKeyBlobMax) {
    return Error(ErrorCode::kTooLarge, "the key is too long");
  }
  ByteReader in(blob);
  const std::string_view name = TakeText(in);
  PublicKeyView key;
  key.blob = blob;
  bool fits = false;
  if (name == "ssh-ed25519") {
    key.kind = PublicKeyKind::kEd25519;
    key.point = TakeString(in);
    fits = key.point.size() == 32;
  } else if (name == "ecdsa-sha2-nistp256") {
    key.kind = PublicKeyKind::kEcdsaP256;
    const std::string_view curve = TakeText(in);
    key.point = TakeString(in);
    fits = curve == "nistp256" && key.point.size() == crypto::kP256PointSize && key.point[0] == 4;
  } else if (name == "ssh-rsa") {
    key.kind = PublicKeyKind::kRsa;
    key.exponent = TakeMpint(in);
    key.point = TakeMpint(in);
    const size_t bits = key.point.size() * 8;
    fits = !key.exponent.empty() && key.exponent.size() <= 8 &&
           bits >= crypto::kRsaModulusBitsMin && bits <= crypto::kRsaModulusBitsMax;
  } else if (in.ok()) {
    return Error(ErrorCode::kUnsupported,
                 "expected a key of type ssh-ed25519, ecdsa-sha2-nistp256 or ssh-rsa");
  }
  if (!in.ok() || !in.at_end() || !fits) {
    return kMalformedKey;
  }
  return key;
}

Result<PublicKeyLine> ParsePublicKeyLine(std::string_view line, std::span<uint8_t> storage) {
  const std::string_view name = TakeWord(line);
  const std::string_view base64 = TakeWord(line);
  if (base64.empty()) {
    return Error(ErrorCode::kMalformed,
                 "expected a type, a key and a comment: ssh-ed25519 AAAA...");
  }
  GH_TRY_ASSIGN(const size_t size, DecodeBase64(base64, storage));
  GH_TRY_ASSIGN(const PublicKeyView key, ParsePublicKey(storage.first(size)));
  if (NameOf(key.kind) != name) {
    return Error(ErrorCode::kMalformed, "the key is not of the type named before it");
  }
  while (line.starts_with(' ') || line.starts_with('\t')) {
    line.remove_prefix(1);
  }
  return PublicKeyLine{key, line};
}

Fingerprint FingerprintOf(std::span<const uint8_t> blob) {
  const auto digest = crypto::Sha256::Of(blob);
  Fingerprint out("SHA256:");
  uint32_t bits = 0;
  uint32_t bit_count = 0;
  for (const uint8_t byte : digest) {
    bits = bits << 8 | byte;
    bit_count += 8;
    while (bit_count >= 6) {
      bit_count -= 6;
      out.Append(kBase64[bits >> bit_count & 63]);
    }
  }
  out.Append(kBase64[bits << (6 - bit_count) & 63]);  // 256 bits leave four
  return out;
}

bool SignsWith(PublicKeyKind kind, std::string_view algorithm) {
  if (kind == PublicKeyKind::kRsa) {
    return algorithm == "rsa-sha2-256" || algorithm == "rsa-sha2-512";  // ssh-rsa is SHA-1
  }
  return algorithm == NameOf(kind);
}

bool VerifyBlob(crypto::TlsEnvironment& environment, const PublicKeyView& key,
                std::string_view algorithm, std::span<const uint8_t> message,
                std::span<const uint8_t> signature) {
  ByteReader in(signature);
  const std::string_view name = TakeText(in);
  const auto raw = TakeString(in);
  if (!in.ok() || !in.at_end() || name != algorithm || !SignsWith(key.kind, algorithm)) {
    return false;
  }
  switch (key.kind) {
    case PublicKeyKind::kEd25519:
      return VerifyEd25519(key, message, raw);
    case PublicKeyKind::kEcdsaP256:
      return VerifyEcdsa(environment, key, message, raw);
    case PublicKeyKind::kRsa:
      return VerifyRsa(environment, key, algorithm, message, raw);
  }
  return false;
}

}  // namespace gh::ssh
