#include "crypto/certificate_file.h"

#include <mbedtls/asn1.h>
#include <mbedtls/base64.h>
#include <mbedtls/oid.h>

#include <algorithm>

#include "hal/rt/bytes.h"

namespace gh::crypto {
namespace {

constexpr int kSequence = MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE;
constexpr int kContext = MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_ASN1_CONSTRUCTED;
constexpr std::string_view kBegin = "-----BEGIN ";
constexpr std::string_view kDashes = "-----";
constexpr std::string_view kOidSignedData = MBEDTLS_OID_PKCS7_SIGNED_DATA;

const Error kNotOne(ErrorCode::kMalformed,
                    "expected certificates as PEM, DER, PKCS #7 or PKCS #12 (BEGIN CERTIFICATE)");

Result<void> AddCertificate(std::span<const uint8_t> der, CertificateFile& out) {
  if (out.certificate_count == kFileCertificatesMax) {
    return Error(ErrorCode::kTooLarge, "there are more than 64 certificates in it");
  }
  out.certificates[out.certificate_count++] = der;
  return Ok();
}

// One value with its tag and length, off the front of `bytes`; empty: there is none.
std::span<const uint8_t> TakeValue(std::span<const uint8_t>& bytes, int tag) {
  auto* p = const_cast<unsigned char*>(bytes.data());
  size_t size = 0;
  if (bytes.empty() || mbedtls_asn1_get_tag(&p, bytes.data() + bytes.size(), &size, tag) != 0) {
    return {};
  }
  const auto value = bytes.first(static_cast<size_t>(p - bytes.data()) + size);
  bytes = bytes.subspan(value.size());
  return value;
}

// Without tag and length.
std::span<const uint8_t> TakeContent(std::span<const uint8_t>& bytes, int tag) {
  const auto value = TakeValue(bytes, tag);
  if (value.empty()) {
    return {};
  }
  auto* p = const_cast<unsigned char*>(value.data());
  size_t size = 0;
  (void)mbedtls_asn1_get_tag(&p, value.data() + value.size(), &size, tag);
  return {p, size};
}

// ContentInfo { signedData, [0] SignedData { version, digests, content, [0] certificates, ... } }.
Result<void> ReadPkcs7(std::span<const uint8_t> der, CertificateFile& out) {
  std::span<const uint8_t> info = TakeContent(der, kSequence);
  const auto kind = TakeContent(info, MBEDTLS_ASN1_OID);
  std::span<const uint8_t> explicit_data = TakeContent(info, kContext | 0);
  std::span<const uint8_t> data = TakeContent(explicit_data, kSequence);
  if (AsText(kind) != kOidSignedData || TakeValue(data, MBEDTLS_ASN1_INTEGER).empty() ||
      TakeValue(data, MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SET).empty() ||
      TakeValue(data, kSequence).empty()) {
    return Error(ErrorCode::kMalformed, "the PKCS #7 file holds no certificates");
  }
  std::span<const uint8_t> set = TakeContent(data, kContext | 0);
  while (!set.empty()) {
    const auto certificate = TakeValue(set, kSequence);
    if (certificate.empty()) {
      return Error(ErrorCode::kMalformed, "the PKCS #7 file is damaged");
    }
    GH_TRY(AddCertificate(certificate, out));
  }
  return out.certificate_count > 0
             ? Ok()
             : Result<void>(Error(ErrorCode::kMalformed, "the PKCS #7 file holds no certificates"));
}

// A certificate begins SEQUENCE { SEQUENCE, ContentInfo SEQUENCE { OID, PKCS #12 SEQUENCE {
// INTEGER.
Result<void> ReadDer(std::span<uint8_t> der, CertificateFile& out) {
  std::span<const uint8_t> rest = der;
  const auto whole = TakeValue(rest, kSequence);
  if (whole.empty() || !rest.empty()) {
    return kNotOne;
  }
  std::span<const uint8_t> again = whole;
  const auto content = TakeContent(again, kSequence);
  if (!content.empty() && content[0] == MBEDTLS_ASN1_OID) {
    return ReadPkcs7(whole, out);
  }
  if (!content.empty() && content[0] == kSequence) {
    return AddCertificate(whole, out);
  }
  if (!content.empty() && content[0] == MBEDTLS_ASN1_INTEGER) {
    out.pkcs12 = der;
    return Ok();
  }
  return kNotOne;
}

Result<std::span<uint8_t>> Decode(std::string_view base64, std::span<uint8_t>& room) {
  size_t written = 0;
  const auto text = AsBytes(base64);
  const int status =
      mbedtls_base64_decode(room.data(), room.size(), &written, text.data(), text.size());
  if (status != 0 || written == 0) {
    return Error(ErrorCode::kMalformed, "the text between BEGIN and END is damaged");
  }
  const std::span<uint8_t> der = room.first(written);
  room = room.subspan(written);
  return der;
}

// Spaces and tabs at line ends, which terminals and mailers add, and which the decoder does not
// take: in place.
std::span<const uint8_t> WithoutBlanks(std::string_view text, std::span<uint8_t>& room) {
  size_t size = 0;
  for (const char c : text) {
    if (c != ' ' && c != '\t' && c != '\r' && c != '\n' && size < room.size()) {
      room[size++] = static_cast<uint8_t>(c);
    }
  }
  return room.first(size);
}

Result<void> TakeBlock(std::string_view label, std::string_view body, std::span<uint8_t>& room,
                       CertificateFile& out) {
  if (body.find("ENCRYPTED") != body.npos) {
    return Error(ErrorCode::kUnsupported,
                 "the private key is encrypted in an old way: bring it as PKCS #8 or PKCS #12");
  }
  const bool is_closed_key = label == "ENCRYPTED PRIVATE KEY";
  const bool is_pkcs12 = label == "PKCS12";
  const bool is_key =
      label == "PRIVATE KEY" || label == "EC PRIVATE KEY" || label == "RSA PRIVATE KEY";
  const bool is_certificate =
      label == "CERTIFICATE" || label == "X509 CERTIFICATE" || label == "TRUSTED CERTIFICATE";
  const bool is_pkcs7 = label == "PKCS7" || label == "CMS";
  if (label == "EC PARAMETERS") {
    return Ok();
  }
  if (!is_key && !is_certificate && !is_pkcs7 && !is_pkcs12 && !is_closed_key &&
      label != "X509 CRL") {
    return Error(ErrorCode::kUnsupported, "it holds something that is not taken here");
  }
  // Decoded over itself: DER is shorter than its base64.
  const auto text = WithoutBlanks(body, room);
  GH_TRY_ASSIGN(const auto der, Decode(AsText(text), room));
  if (is_pkcs12) {
    out.pkcs12 = der;
    return Ok();
  }
  if (is_key || is_closed_key) {
    if (!out.key.empty() || !out.encrypted_key.empty()) {
      return Error(ErrorCode::kMalformed, "there is more than one private key in it");
    }
    if (is_key) {
      out.key = der;
    } else {
      out.encrypted_key = der;
    }
    return Ok();
  }
  if (is_pkcs7) {
    return ReadPkcs7(der, out);
  }
  if (is_certificate) {
    return AddCertificate(der, out);
  }
  out.crl = der;
  return Ok();
}

Result<void> ReadPem(std::string_view text, std::span<uint8_t> room, CertificateFile& out) {
  size_t at = 0;
  while ((at = text.find(kBegin, at)) != text.npos) {
    const size_t label_at = at + kBegin.size();
    const size_t label_end = text.find(kDashes, label_at);
    if (label_end == text.npos || label_end - label_at > 32) {
      return kNotOne;
    }
    const std::string_view label = text.substr(label_at, label_end - label_at);
    const size_t body_at = label_end + kDashes.size();
    const size_t body_end = text.find("-----END ", body_at);
    if (body_end == text.npos || text.substr(body_end + 9, label.size()) != label) {
      return Error(ErrorCode::kTruncated, "a block's END line is missing");
    }
    GH_TRY(TakeBlock(label, text.substr(body_at, body_end - body_at), room, out));
    at = body_end + 9 + label.size();
  }
  const bool has_any = out.certificate_count > 0 || !out.crl.empty() || !out.key.empty() ||
                       !out.pkcs12.empty() || !out.encrypted_key.empty();
  return has_any ? Ok() : Result<void>(kNotOne);
}

}  // namespace

Result<void> ReadCertificateFile(std::span<const uint8_t> bytes, std::span<uint8_t> room,
                                 CertificateFile& out) {
  out = {};
  if (room.size() < bytes.size()) {
    return Error(ErrorCode::kTooLarge, "the file is too large");
  }
  const std::string_view text = AsText(bytes);
  if (text.find(kBegin) != text.npos) {
    return ReadPem(text, room, out);
  }
  std::ranges::copy(bytes, room.begin());
  return ReadDer(room.first(bytes.size()), out);
}

}  // namespace gh::crypto
