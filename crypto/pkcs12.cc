#include "crypto/pkcs12.h"

#include <mbedtls/asn1.h>
#include <mbedtls/md.h>
#include <mbedtls/oid.h>
#include <mbedtls/pkcs12.h>
#include <mbedtls/pkcs5.h>

#include <algorithm>
#include <array>

#include "hal/rt/bytes.h"
#include "hal/rt/secret.h"

namespace gh::crypto {
namespace {

constexpr int kSequence = MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE;
constexpr int kExplicit = MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_ASN1_CONSTRUCTED;
constexpr int kImplicit = MBEDTLS_ASN1_CONTEXT_SPECIFIC;
constexpr std::string_view kData = MBEDTLS_OID_PKCS7_DATA;
constexpr std::string_view kEncryptedData = MBEDTLS_OID_PKCS7_ENCRYPTED_DATA;
constexpr std::string_view kKeyBag = MBEDTLS_OID_PKCS12 "\x0a\x01\x01";
constexpr std::string_view kShroudedKeyBag = MBEDTLS_OID_PKCS12 "\x0a\x01\x02";
constexpr std::string_view kCertificateBag = MBEDTLS_OID_PKCS12 "\x0a\x01\x03";
constexpr std::string_view kX509Certificate = MBEDTLS_OID_PKCS9 "\x16\x01";

const Error kDamaged(ErrorCode::kMalformed, "the PKCS #12 file is damaged");
const Error kWrong(ErrorCode::kUnauthentic, "the password is wrong, or the file is damaged");
const Error kOld(ErrorCode::kUnsupported,
                 "it is encrypted in an old way (3DES or RC2): export it with AES-256 and SHA-256");
const Error kTooSlow(ErrorCode::kTooLarge, "its password is derived in more than 10000 steps");

using Bytes = std::span<uint8_t>;

// A value of this tag off the front of `bytes`, without tag and length; `found` says whether there
// was one.
Bytes Take(Bytes& bytes, int tag, bool& found) {
  unsigned char* p = bytes.data();
  size_t size = 0;
  found = !bytes.empty() && mbedtls_asn1_get_tag(&p, p + bytes.size(), &size, tag) == 0;
  if (!found) {
    return {};
  }
  const Bytes value(p, size);
  bytes = bytes.subspan(static_cast<size_t>(p - bytes.data()) + size);
  return value;
}

Result<Bytes> Take(Bytes& bytes, int tag) {
  bool found = false;
  const Bytes value = Take(bytes, tag, found);
  return found ? Result<Bytes>(value) : kDamaged;
}

Result<int> TakeNumber(Bytes& bytes) {
  unsigned char* p = bytes.data();
  int number = 0;
  if (bytes.empty() || mbedtls_asn1_get_int(&p, p + bytes.size(), &number) != 0 || number < 0) {
    return kDamaged;
  }
  bytes = bytes.subspan(static_cast<size_t>(p - bytes.data()));
  return number;
}

// How many steps PBES2 would take: mbedTLS takes any number.
Result<void> CheckParameters(Bytes parameters) {
  GH_TRY_ASSIGN(Bytes kdf, Take(parameters, kSequence));
  GH_TRY_ASSIGN(const Bytes oid, Take(kdf, MBEDTLS_ASN1_OID));
  if (AsText(oid) != MBEDTLS_OID_PKCS5_PBKDF2) {
    return Error(ErrorCode::kUnsupported, "its password is derived by other means than PBKDF2");
  }
  GH_TRY_ASSIGN(Bytes values, Take(kdf, kSequence));
  GH_TRY_ASSIGN(const Bytes salt, Take(values, MBEDTLS_ASN1_OCTET_STRING));
  GH_TRY_ASSIGN(const int iterations, TakeNumber(values));
  return iterations > kPkcs12IterationsMax || salt.size() > 256 ? Result<void>(kTooSlow) : Ok();
}

// `algorithm`: an AlgorithmIdentifier's content. Decrypts in place.
Result<Bytes> Decrypt(Bytes algorithm, Bytes cipher_text, std::string_view password) {
  GH_TRY_ASSIGN(const Bytes oid, Take(algorithm, MBEDTLS_ASN1_OID));
  if (AsText(oid) != MBEDTLS_OID_PKCS5_PBES2) {
    return kOld;
  }
  GH_TRY_ASSIGN(const Bytes parameters, Take(algorithm, kSequence));
  GH_TRY(CheckParameters(parameters));
  if (cipher_text.empty() || cipher_text.size() % 16 != 0) {
    return kDamaged;
  }
  const mbedtls_asn1_buf buffer = {kSequence, parameters.size(), parameters.data()};
  const auto secret = AsBytes(password);
  size_t size = 0;
  const int status = mbedtls_pkcs5_pbes2_ext(&buffer, MBEDTLS_PKCS5_DECRYPT, secret.data(),
                                             secret.size(), cipher_text.data(), cipher_text.size(),
                                             cipher_text.data(), cipher_text.size(), &size);
  if (status == MBEDTLS_ERR_PKCS5_FEATURE_UNAVAILABLE) {
    return Error(ErrorCode::kUnsupported, "it is encrypted in a way that is not taken: use AES");
  }
  return status == 0 ? Result<Bytes>(cipher_text.first(size)) : kWrong;
}

// The password as a BMPString with its end (RFC 7292 appendix B.1).
struct WidePassword {
  explicit WidePassword(std::string_view password) : size((password.size() + 1) * 2) {
    for (size_t i = 0; i < password.size(); ++i) {
      bytes[2 * i + 1] = static_cast<uint8_t>(password[i]);
    }
  }
  WidePassword(const WidePassword&) = delete;
  WidePassword& operator=(const WidePassword&) = delete;
  ~WidePassword() { SecureZero(bytes); }
  std::array<uint8_t, 2 * (kPkcs12PasswordMax + 1)> bytes = {};
  size_t size;
};

// MacData { DigestInfo { algorithm, digest }, salt, iterations }.
Result<void> CheckMac(Bytes mac_data, Bytes content, std::string_view password) {
  GH_TRY_ASSIGN(Bytes info, Take(mac_data, kSequence));
  GH_TRY_ASSIGN(Bytes algorithm, Take(info, kSequence));
  GH_TRY_ASSIGN(const Bytes oid, Take(algorithm, MBEDTLS_ASN1_OID));
  GH_TRY_ASSIGN(const Bytes wanted, Take(info, MBEDTLS_ASN1_OCTET_STRING));
  GH_TRY_ASSIGN(const Bytes salt, Take(mac_data, MBEDTLS_ASN1_OCTET_STRING));
  int iterations = 1;
  if (!mac_data.empty()) {
    GH_TRY_ASSIGN(iterations, TakeNumber(mac_data));
  }
  const mbedtls_asn1_buf id = {MBEDTLS_ASN1_OID, oid.size(), oid.data()};
  mbedtls_md_type_t md = MBEDTLS_MD_NONE;
  if (mbedtls_oid_get_md_alg(&id, &md) != 0 || mbedtls_md_info_from_type(md) == nullptr) {
    return Error(ErrorCode::kUnsupported, "its integrity is protected in a way that is not taken");
  }
  if (iterations > kPkcs12IterationsMax || salt.size() > 256) {
    return kTooSlow;
  }
  const mbedtls_md_info_t* kind = mbedtls_md_info_from_type(md);
  const size_t size = mbedtls_md_get_size(kind);
  const WidePassword wide(password);
  SecretBytes<MBEDTLS_MD_MAX_SIZE> key;
  std::array<uint8_t, MBEDTLS_MD_MAX_SIZE> mac = {};
  if (mbedtls_pkcs12_derivation(key.Expose().data(), size, wide.bytes.data(), wide.size,
                                salt.data(), salt.size(), md, MBEDTLS_PKCS12_DERIVE_MAC_KEY,
                                iterations) != 0 ||
      mbedtls_md_hmac(kind, key.Expose().data(), size, content.data(), content.size(),
                      mac.data()) != 0) {
    return kDamaged;
  }
  return ConstantTimeEqual(std::span(mac).first(size), wanted) ? Ok() : Result<void>(kWrong);
}

Result<void> TakeKey(std::span<const uint8_t> der, CertificateFile& out) {
  if (!out.key.empty()) {
    return Error(ErrorCode::kMalformed, "there is more than one private key in it");
  }
  out.key = der;
  return Ok();
}

// EncryptedPrivateKeyInfo's content.
Result<Bytes> OpenShrouded(Bytes value, std::string_view password) {
  GH_TRY_ASSIGN(const Bytes algorithm, Take(value, kSequence));
  GH_TRY_ASSIGN(const Bytes cipher_text, Take(value, MBEDTLS_ASN1_OCTET_STRING));
  return Decrypt(algorithm, cipher_text, password);
}

// SafeBag { bagId, [0] bagValue, attributes }; bags of other kinds are passed over.
Result<void> TakeBag(Bytes bag, std::string_view password, CertificateFile& out) {
  GH_TRY_ASSIGN(const Bytes oid, Take(bag, MBEDTLS_ASN1_OID));
  GH_TRY_ASSIGN(Bytes value, Take(bag, kExplicit | 0));
  const Bytes whole = value;
  if (AsText(oid) == kKeyBag) {
    return TakeKey(whole, out);
  }
  if (AsText(oid) == kShroudedKeyBag) {
    GH_TRY_ASSIGN(const Bytes content, Take(value, kSequence));
    GH_TRY_ASSIGN(const Bytes key, OpenShrouded(content, password));
    return TakeKey(key, out);
  }
  if (AsText(oid) != kCertificateBag) {
    return Ok();
  }
  GH_TRY_ASSIGN(Bytes content, Take(value, kSequence));
  GH_TRY_ASSIGN(const Bytes kind, Take(content, MBEDTLS_ASN1_OID));
  GH_TRY_ASSIGN(Bytes explicit_value, Take(content, kExplicit | 0));
  GH_TRY_ASSIGN(const Bytes der, Take(explicit_value, MBEDTLS_ASN1_OCTET_STRING));
  if (AsText(kind) != kX509Certificate) {
    return Ok();
  }
  if (out.certificate_count == kFileCertificatesMax) {
    return Error(ErrorCode::kTooLarge, "there are more than 64 certificates in it");
  }
  out.certificates[out.certificate_count++] = der;
  return Ok();
}

// ContentInfo { contentType, [0] content }, in the clear or encrypted, of SafeContents.
Result<void> TakeContents(Bytes info, std::string_view password, CertificateFile& out) {
  GH_TRY_ASSIGN(const Bytes oid, Take(info, MBEDTLS_ASN1_OID));
  GH_TRY_ASSIGN(Bytes explicit_value, Take(info, kExplicit | 0));
  Bytes safe;
  if (AsText(oid) == kData) {
    GH_TRY_ASSIGN(safe, Take(explicit_value, MBEDTLS_ASN1_OCTET_STRING));
  } else if (AsText(oid) == kEncryptedData) {
    GH_TRY_ASSIGN(Bytes data, Take(explicit_value, kSequence));
    GH_TRY(TakeNumber(data));
    GH_TRY_ASSIGN(Bytes content, Take(data, kSequence));
    GH_TRY(Take(content, MBEDTLS_ASN1_OID));
    GH_TRY_ASSIGN(const Bytes algorithm, Take(content, kSequence));
    GH_TRY_ASSIGN(const Bytes cipher_text, Take(content, kImplicit | 0));
    GH_TRY_ASSIGN(safe, Decrypt(algorithm, cipher_text, password));
  } else {
    return Error(ErrorCode::kUnsupported, "it is encrypted for a key, not by a password");
  }
  GH_TRY_ASSIGN(Bytes bags, Take(safe, kSequence));
  for (uint32_t count = 0; !bags.empty(); ++count) {
    if (count == kPkcs12BagsMax) {
      return Error(ErrorCode::kTooLarge, "there is too much in the PKCS #12 file");
    }
    GH_TRY_ASSIGN(const Bytes bag, Take(bags, kSequence));
    GH_TRY(TakeBag(bag, password, out));
  }
  return Ok();
}

Result<void> CheckPassword(std::string_view password) {
  const bool is_plain = std::ranges::all_of(password, [](char c) { return c >= ' ' && c <= '~'; });
  return password.size() <= kPkcs12PasswordMax && is_plain
             ? Ok()
             : Result<void>(Error(ErrorCode::kInvalidArgument,
                                  "a password has at most 64 ASCII characters"));
}

// PrivateKeyInfo { version, ... } and nothing else. Of 256 wrong passwords one leaves padding that
// looks right, and then anything.
bool IsKeyInfo(Bytes der) {
  bool found = false;
  Bytes info = Take(der, kSequence, found);
  return found && der.empty() && TakeNumber(info).ok();
}

}  // namespace

// PFX { version, authSafe ContentInfo, macData }.
Result<void> OpenPkcs12(TlsEnvironment& environment, std::span<uint8_t> der,
                        std::string_view password, CertificateFile& out) {
  GH_TRY(CheckPassword(password));
  const TlsScope scope(environment);
  GH_TRY_ASSIGN(Bytes pfx, Take(der, kSequence));
  GH_TRY_ASSIGN(const int version, TakeNumber(pfx));
  GH_TRY_ASSIGN(Bytes info, Take(pfx, kSequence));
  GH_TRY_ASSIGN(const Bytes oid, Take(info, MBEDTLS_ASN1_OID));
  if (version != 3 || AsText(oid) != kData) {
    return Error(ErrorCode::kUnsupported, "it is no PKCS #12 file protected by a password");
  }
  GH_TRY_ASSIGN(Bytes explicit_value, Take(info, kExplicit | 0));
  GH_TRY_ASSIGN(Bytes content, Take(explicit_value, MBEDTLS_ASN1_OCTET_STRING));
  bool has_mac = false;
  const Bytes mac_data = Take(pfx, kSequence, has_mac);
  if (!has_mac) {
    return Error(ErrorCode::kUnsupported, "the PKCS #12 file's integrity is not protected");
  }
  GH_TRY(CheckMac(mac_data, content, password));
  GH_TRY_ASSIGN(Bytes parts, Take(content, kSequence));
  for (uint32_t count = 0; !parts.empty(); ++count) {
    if (count == kPkcs12ContentsMax) {
      return Error(ErrorCode::kTooLarge, "there is too much in the PKCS #12 file");
    }
    GH_TRY_ASSIGN(const Bytes part, Take(parts, kSequence));
    GH_TRY(TakeContents(part, password, out));
  }
  return Ok();
}

Result<std::span<const uint8_t>> OpenPrivateKey(TlsEnvironment& environment, std::span<uint8_t> der,
                                                std::string_view password) {
  GH_TRY(CheckPassword(password));
  const TlsScope scope(environment);
  GH_TRY_ASSIGN(const Bytes content, Take(der, kSequence));
  GH_TRY_ASSIGN(const Bytes key, OpenShrouded(content, password));
  return IsKeyInfo(key) ? Result<std::span<const uint8_t>>(key) : kWrong;
}

}  // namespace gh::crypto
