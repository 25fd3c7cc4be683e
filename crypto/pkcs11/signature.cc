// Between TLS's signature schemes and Cryptoki's mechanisms, and the DER of both sides.
#include <mbedtls/oid.h>

#include <algorithm>
#include <string_view>

#include "crypto/der_writer.h"
#include "crypto/pkcs11_token.h"
#include "hal/rt/bytes.h"

namespace gh::crypto::pkcs11 {
namespace {

constexpr uint64_t kMgf1Sha256 = 2;
constexpr uint64_t kMgf1Sha384 = 3;
constexpr uint64_t kMgf1Sha512 = 4;

// DigestInfo up to the digest (RFC 8017 section 9.2, note 1).
constexpr std::string_view kInfoSha256(
    "\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20", 19);
constexpr std::string_view kInfoSha384(
    "\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30", 19);
constexpr std::string_view kInfoSha512(
    "\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40", 19);

// Of namedCurve, DER.
constexpr std::string_view kP256("\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", 10);
constexpr std::string_view kP384("\x06\x05\x2b\x81\x04\x00\x22", 7);

struct SchemeRow {
  SignatureScheme scheme;
  KeyType type;
  size_t digest_size;
  std::string_view prefix;
  uint64_t hash;
  uint64_t mgf;
};
using S = SignatureScheme;
constexpr SchemeRow kSchemes[] = {
    {S::kEcdsaSecp256r1Sha256, KeyType::kEcP256, 32, {}, 0, 0},
    {S::kEcdsaSecp384r1Sha384, KeyType::kEcP384, 48, {}, 0, 0},
    {S::kRsaPkcs1Sha256, KeyType::kRsa, 32, kInfoSha256, 0, 0},
    {S::kRsaPkcs1Sha384, KeyType::kRsa, 48, kInfoSha384, 0, 0},
    {S::kRsaPkcs1Sha512, KeyType::kRsa, 64, kInfoSha512, 0, 0},
    {S::kRsaPssSha256, KeyType::kRsa, 32, {}, kSha256, kMgf1Sha256},
    {S::kRsaPssSha384, KeyType::kRsa, 48, {}, kSha384, kMgf1Sha384},
    {S::kRsaPssSha512, KeyType::kRsa, 64, {}, kSha512, kMgf1Sha512},
};

const FoundAttribute* Find(const Call& call, uint32_t type) {
  for (uint32_t i = 0; i < call.found_count; ++i) {
    if (call.found[i].type == type && call.found[i].is_valid) {
      return &call.found[i];
    }
  }
  return nullptr;
}

Result<PublicKeyInfo> Finish(DerWriter& writer, KeyType type, uint32_t bits) {
  GH_TRY_ASSIGN(const auto written, writer.ToFront("the HSM's public key is too large"));
  return PublicKeyInfo{type, bits, static_cast<uint32_t>(written.size())};
}

Error NotUsable() {
  return {ErrorCode::kUnsupported, "the HSM's key is not EC P-256, EC P-384 or RSA 2048 to 4096"};
}

Result<PublicKeyInfo> BuildEc(const Call& call, std::span<uint8_t> der) {
  const FoundAttribute* parameters = Find(call, kEcParameters);
  const FoundAttribute* point = Find(call, kEcPoint);
  if (parameters == nullptr || point == nullptr) {
    return NotUsable();
  }
  const bool is_256 = AsText(parameters->bytes) == kP256;
  if (!is_256 && AsText(parameters->bytes) != kP384) {
    return NotUsable();
  }
  const size_t size = is_256 ? 65 : 97;
  auto bytes = point->bytes;
  if (bytes.size() == size + 2 && bytes[0] == MBEDTLS_ASN1_OCTET_STRING && bytes[1] == size) {
    bytes = bytes.subspan(2);  // as the standard has it; some tokens give the bare point
  }
  if (bytes.size() != size || bytes[0] != 4) {
    return NotUsable();
  }
  DerWriter writer(der);
  writer.Raw(bytes);
  writer.WrapBitString(0);
  const size_t algorithm = writer.size();
  writer.Raw(parameters->bytes);
  writer.Oid(MBEDTLS_OID_EC_ALG_UNRESTRICTED);
  writer.WrapSequence(algorithm);
  writer.WrapSequence(0);
  return Finish(writer, is_256 ? KeyType::kEcP256 : KeyType::kEcP384, is_256 ? 256 : 384);
}

Result<PublicKeyInfo> BuildRsa(const Call& call, std::span<uint8_t> der) {
  const FoundAttribute* modulus = Find(call, kModulus);
  const FoundAttribute* exponent = Find(call, kPublicExponent);
  if (modulus == nullptr || exponent == nullptr || exponent->bytes.empty() ||
      exponent->bytes.size() > 8) {
    return NotUsable();
  }
  auto n = modulus->bytes;
  while (!n.empty() && n[0] == 0) {
    n = n.subspan(1);
  }
  if (n.size() < 256 || n.size() > 512 || (n[0] & 0x80) == 0) {
    return NotUsable();
  }
  DerWriter writer(der);
  writer.Magnitude(exponent->bytes);
  writer.Magnitude(n);
  writer.WrapSequence(0);
  writer.WrapBitString(0);
  const size_t algorithm = writer.size();
  writer.Null();
  writer.Oid(MBEDTLS_OID_PKCS1_RSA);
  writer.WrapSequence(algorithm);
  writer.WrapSequence(0);
  return Finish(writer, KeyType::kRsa, static_cast<uint32_t>(n.size()) * 8);
}

}  // namespace

Result<void> PrepareSignature(KeyType type, SignatureScheme scheme, std::span<const uint8_t> digest,
                              TokenRequest& request) {
  const auto* row = std::ranges::find_if(
      kSchemes, [&](const SchemeRow& r) { return r.scheme == scheme && r.type == type; });
  if (row == std::end(kSchemes) || digest.size() != row->digest_size) {
    return Error{ErrorCode::kUnsupported, "not a signature scheme of this key"};
  }
  request.mechanism = {};
  ByteWriter input(request.input);
  if (type != KeyType::kRsa) {
    request.mechanism.type = kEcdsa;
  } else if (row->hash != 0) {
    request.mechanism = {kRsaPkcsPss, Mechanism::Kind::kPss, {}, row->hash,
                         row->mgf,    row->digest_size};
  } else {
    request.mechanism.type = kRsaPkcs;
    input.Text(row->prefix);
  }
  input.Bytes(digest);
  request.input_size = static_cast<uint32_t>(input.size());
  return Ok();
}

Result<size_t> FinishSignature(KeyType type, uint32_t bits, std::span<const uint8_t> raw,
                               std::span<uint8_t> out) {
  const size_t field = bits / 8;
  if (raw.size() != (type == KeyType::kRsa ? field : 2 * field) || raw.size() > out.size()) {
    return Error{ErrorCode::kUnauthentic, "the HSM's signature is not one of this key"};
  }
  if (type == KeyType::kRsa) {
    std::copy(raw.begin(), raw.end(), out.begin());
    return raw.size();
  }
  uint8_t place[2 * 48 + 16] = {};
  DerWriter writer(place);
  writer.Magnitude(raw.subspan(field));
  writer.Magnitude(raw.first(field));
  writer.WrapSequence(0);
  const auto der = writer.ToFront("");
  GH_ASSERT(der.ok() && der->size() <= out.size());
  std::copy(der->begin(), der->end(), out.begin());
  return der->size();
}

Result<PublicKeyInfo> BuildPublicKey(const Call& attributes, std::span<uint8_t> der) {
  const FoundAttribute* type = Find(attributes, kKeyType);
  if (type == nullptr) {
    return NotUsable();
  }
  return type->number == kTypeEc    ? BuildEc(attributes, der)
         : type->number == kTypeRsa ? BuildRsa(attributes, der)
                                    : Result<PublicKeyInfo>(NotUsable());
}

const char* KeyTypeName(KeyType type) {
  return type == KeyType::kEcP256 ? "EC P-256" : type == KeyType::kEcP384 ? "EC P-384" : "RSA";
}

}  // namespace gh::crypto::pkcs11
