#include "crypto/x509_writer.h"

#include <mbedtls/md.h>
#include <mbedtls/oid.h>
#include <mbedtls/platform_time.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/x509.h>

#include <algorithm>
#include <cstring>

#include "crypto/der_writer.h"
#include "crypto/software_key.h"
#include "hal/rt/assert.h"
#include "hal/rt/bytes.h"

namespace gh::crypto {
namespace {

constexpr std::string_view kOidCommonName = MBEDTLS_OID_AT_CN;
constexpr std::string_view kOidUnit = MBEDTLS_OID_AT_ORG_UNIT;
constexpr std::string_view kOidOrganization = MBEDTLS_OID_AT_ORGANIZATION;
constexpr std::string_view kOidLocality = MBEDTLS_OID_AT_LOCALITY;
constexpr std::string_view kOidState = MBEDTLS_OID_AT_STATE;
constexpr std::string_view kOidCountry = MBEDTLS_OID_AT_COUNTRY;
constexpr std::string_view kOidAcmeIdentifier = "\x2b\x06\x01\x05\x05\x07\x01\x1f";
constexpr std::string_view kOidExtensionRequest = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e";

void WriteExtension(DerWriter& out, size_t mark, std::string_view oid, bool critical) {
  out.Wrap(mark, MBEDTLS_ASN1_OCTET_STRING);
  if (critical) {
    out.True();
  }
  out.Oid(oid);
  out.WrapSequence(mark);
}

void WriteNames(DerWriter& out, std::span<const AlternativeName> names) {
  const size_t mark = out.size();
  for (size_t i = names.size(); i > 0; --i) {
    const AlternativeName& name = names[i - 1];
    if (name.dns.empty()) {
      out.Tagged(MBEDTLS_ASN1_CONTEXT_SPECIFIC | 7,
                 std::span(name.address).first(name.address_size));
    } else {
      out.Tagged(MBEDTLS_ASN1_CONTEXT_SPECIFIC | 2, AsBytes(name.dns));
    }
  }
  out.WrapSequence(mark);
  WriteExtension(out, mark, MBEDTLS_OID_SUBJECT_ALT_NAME, false);
}

void WriteUsages(DerWriter& out, KeyType type) {
  size_t mark = out.size();
  out.Oid(MBEDTLS_OID_CLIENT_AUTH);
  out.Oid(MBEDTLS_OID_SERVER_AUTH);
  out.WrapSequence(mark);
  WriteExtension(out, mark, MBEDTLS_OID_EXTENDED_KEY_USAGE, false);
  mark = out.size();
  out.NamedBits(type == KeyType::kRsa
                    ? MBEDTLS_X509_KU_DIGITAL_SIGNATURE | MBEDTLS_X509_KU_KEY_ENCIPHERMENT
                    : MBEDTLS_X509_KU_DIGITAL_SIGNATURE);
  WriteExtension(out, mark, MBEDTLS_OID_KEY_USAGE, true);
  mark = out.size();
  out.WrapSequence(mark);  // CA is FALSE by default
  WriteExtension(out, mark, MBEDTLS_OID_BASIC_CONSTRAINTS, true);
}

void WriteField(DerWriter& out, std::string_view oid, int tag, std::string_view value) {
  if (value.empty()) {
    return;
  }
  const size_t mark = out.size();
  out.Tagged(tag, AsBytes(value));
  out.Oid(oid);
  out.WrapSequence(mark);
  out.Wrap(mark, MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SET);
}

void WriteSubject(DerWriter& out, const Subject& subject) {
  const size_t mark = out.size();
  WriteField(out, kOidCommonName, MBEDTLS_ASN1_UTF8_STRING, subject.common_name);
  WriteField(out, kOidUnit, MBEDTLS_ASN1_UTF8_STRING, subject.unit);
  WriteField(out, kOidOrganization, MBEDTLS_ASN1_UTF8_STRING, subject.organization);
  WriteField(out, kOidLocality, MBEDTLS_ASN1_UTF8_STRING, subject.locality);
  WriteField(out, kOidState, MBEDTLS_ASN1_UTF8_STRING, subject.state);
  WriteField(out, kOidCountry, MBEDTLS_ASN1_PRINTABLE_STRING, subject.country);
  out.WrapSequence(mark);
}

void WriteAlgorithm(DerWriter& out, SignatureScheme scheme) {
  const size_t mark = out.size();
  switch (scheme) {
    case SignatureScheme::kEcdsaSecp256r1Sha256:
      out.Oid(MBEDTLS_OID_ECDSA_SHA256);
      break;
    case SignatureScheme::kEcdsaSecp384r1Sha384:
      out.Oid(MBEDTLS_OID_ECDSA_SHA384);
      break;
    default:
      out.Null();
      out.Oid(scheme == SignatureScheme::kRsaPkcs1Sha512   ? MBEDTLS_OID_PKCS1_SHA512
              : scheme == SignatureScheme::kRsaPkcs1Sha384 ? MBEDTLS_OID_PKCS1_SHA384
                                                           : MBEDTLS_OID_PKCS1_SHA256);
  }
  out.WrapSequence(mark);
}

// UTCTime until 2049, GeneralizedTime behind (RFC 5280 section 4.1.2.5).
void WriteTime(DerWriter& out, int64_t unix_s) {
  const mbedtls_time_t time = unix_s;
  struct tm parts = {};
  if (mbedtls_platform_gmtime_r(&time, &parts) == nullptr) {
    return;
  }
  uint8_t bytes[24];
  ByteWriter text(bytes);
  const auto two = [&text](int value) {
    text.Char(static_cast<char>('0' + value / 10 % 10));
    text.Char(static_cast<char>('0' + value % 10));
  };
  const int year = parts.tm_year + 1900;
  const bool is_short = year >= 1950 && year < 2050;
  if (!is_short) {
    two(year / 100);
  }
  two(year % 100);
  two(parts.tm_mon + 1);
  two(parts.tm_mday);
  two(parts.tm_hour);
  two(parts.tm_min);
  two(parts.tm_sec);
  text.Char('Z');
  out.Tagged(is_short ? MBEDTLS_ASN1_UTC_TIME : MBEDTLS_ASN1_GENERALIZED_TIME, text.written());
}

bool IsField(std::string_view text) {
  return text.size() <= kSubjectFieldMax &&
         std::ranges::all_of(text, [](char c) { return c >= ' ' && c != 0x7f; });
}

Result<void> CheckSubject(const Subject& subject) {
  for (const std::string_view field :
       {subject.common_name, subject.unit, subject.organization, subject.locality, subject.state}) {
    if (!IsField(field)) {
      return Error(ErrorCode::kInvalidArgument,
                   "fields of the subject are of up to 64 printable characters");
    }
  }
  const auto is_letter = [](char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); };
  if (!subject.country.empty() &&
      (subject.country.size() != 2 || !std::ranges::all_of(subject.country, is_letter))) {
    return Error(ErrorCode::kInvalidArgument, "the country is a code of two letters");
  }
  return Ok();
}

Result<void> CheckNames(std::span<const AlternativeName> names) {
  if (names.empty()) {
    return Error(ErrorCode::kInvalidArgument, "there is no name to certify");
  }
  for (const AlternativeName& name : names) {
    const bool is_address = name.address_size == 4 || name.address_size == 16;
    if (name.dns.empty() ? !is_address : !IsDnsName(name.dns, true)) {
      return Error(ErrorCode::kInvalidArgument, "a name is not a DNS name");
    }
  }
  return Ok();
}

// Behind the extensions, that is in front of them: all of a TBSCertificate (RFC 5280 section 4.1).
void WriteCertificateHead(DerWriter& out, size_t extensions_mark, const Subject& subject,
                          const SelfSigned& terms, const SigningKey& key, SignatureScheme scheme) {
  out.WrapSequence(extensions_mark);
  out.Wrap(extensions_mark, MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_ASN1_CONSTRUCTED | 3);
  out.Raw(key.public_key());
  WriteSubject(out, subject);
  const size_t mark = out.size();
  WriteTime(out, terms.valid_until_s);
  WriteTime(out, terms.valid_from_s);
  out.WrapSequence(mark);
  WriteSubject(out, subject);
  WriteAlgorithm(out, scheme);
  auto serial = terms.serial;
  serial[0] = static_cast<uint8_t>((serial[0] & 0x3f) | 0x40);  // positive, of fixed length
  out.Tagged(MBEDTLS_ASN1_INTEGER, serial);
  const size_t version_mark = out.size();
  out.Int(2);
  out.Wrap(version_mark, MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_ASN1_CONSTRUCTED | 0);
  out.WrapSequence(0);
}

}  // namespace

bool IsDnsName(std::string_view name, bool wildcard) {
  if (wildcard && name.starts_with("*.")) {
    name.remove_prefix(2);
  }
  if (name.empty() || name.size() > 253) {
    return false;
  }
  while (true) {
    const size_t dot = name.find('.');
    const std::string_view label = name.substr(0, dot);
    const auto is_good = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '-' || c == '_';
    };
    if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-' ||
        !std::ranges::all_of(label, is_good)) {
      return false;
    }
    if (dot == name.npos) {
      return true;
    }
    name.remove_prefix(dot + 1);
  }
}

Result<std::span<const uint8_t>> WriteRequestInfo(const Subject& subject,
                                                  std::span<const AlternativeName> names,
                                                  const SigningKey& key, std::span<uint8_t> out) {
  GH_TRY(CheckSubject(subject));
  GH_TRY(CheckNames(names));
  DerWriter writer(out);
  WriteNames(writer, names);
  WriteUsages(writer, key.type());
  writer.WrapSequence(0);  // Extensions
  writer.Wrap(0, MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SET);
  writer.Oid(kOidExtensionRequest);
  writer.WrapSequence(0);
  writer.Wrap(0, MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_ASN1_CONSTRUCTED | 0);
  writer.Raw(key.public_key());
  WriteSubject(writer, subject);
  writer.Int(0);
  writer.WrapSequence(0);
  return writer.ToFront("too many names");
}

Result<std::span<const uint8_t>> WriteCertificateInfo(const Subject& subject,
                                                      std::span<const AlternativeName> names,
                                                      const SelfSigned& terms,
                                                      const SigningKey& key, SignatureScheme scheme,
                                                      std::span<uint8_t> out) {
  GH_TRY(CheckSubject(subject));
  GH_TRY(CheckNames(names));
  DerWriter writer(out);
  if (!terms.acme_identifier.empty()) {
    const size_t mark = writer.size();
    writer.Tagged(MBEDTLS_ASN1_OCTET_STRING, terms.acme_identifier);
    WriteExtension(writer, mark, kOidAcmeIdentifier, true);
  }
  WriteNames(writer, names);
  WriteUsages(writer, key.type());
  WriteCertificateHead(writer, 0, subject, terms, key, scheme);
  return writer.ToFront("too many names");
}

Result<size_t> WriteSigned(std::span<const uint8_t> info, SignatureScheme scheme,
                           std::span<const uint8_t> signature, std::span<uint8_t> out) {
  DerWriter writer(out);
  writer.BitString(signature);
  WriteAlgorithm(writer, scheme);
  writer.Raw(info);
  writer.WrapSequence(0);
  GH_TRY_ASSIGN(const auto written, writer.ToFront("too many names"));
  return written.size();
}

size_t DigestFor(SignatureScheme scheme, std::span<const uint8_t> info, std::span<uint8_t> out) {
  const size_t size = DigestSizeOf(scheme);
  GH_ASSERT(out.size() >= size);
  const mbedtls_md_type_t hash = size == 48   ? MBEDTLS_MD_SHA384
                                 : size == 64 ? MBEDTLS_MD_SHA512
                                              : MBEDTLS_MD_SHA256;
  const int status =
      mbedtls_md(mbedtls_md_info_from_type(hash), info.data(), info.size(), out.data());
  GH_ASSERT_EQ(status, 0);
  return size;
}

}  // namespace gh::crypto
