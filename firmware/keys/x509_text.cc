#include "firmware/keys/x509_text.h"

#include <mbedtls/oid.h>

#include <algorithm>

#include "crypto/digest.h"

namespace gh::keys {

Fingerprint FingerprintOf(const mbedtls_x509_crt& certificate) {
  Fingerprint fingerprint;
  ByteWriter(fingerprint.bytes)
      .HexBytes(
          crypto::Sha256::Of(std::span<const uint8_t>(certificate.raw.p, certificate.raw.len)));
  return fingerprint;
}

void WriteName(const mbedtls_x509_name& name, ByteWriter& out) {
  char text[200] = {};
  const int size = mbedtls_x509_dn_gets(text, sizeof(text), &name);
  for (const char c : std::string_view(text, size > 0 ? static_cast<size_t>(size) : 0)) {
    out.Char(c >= ' ' && c < 0x7f ? c : '?');
  }
}

void WriteDate(const mbedtls_x509_time& time, ByteWriter& out) {
  out.SignedDecimal(time.year);
  out.Text(time.mon < 10 ? "-0" : "-");
  out.SignedDecimal(time.mon);
  out.Text(time.day < 10 ? "-0" : "-");
  out.SignedDecimal(time.day);
}

void DescribeCertificate(const mbedtls_x509_crt& certificate, ByteWriter& out) {
  WriteName(certificate.subject, out);
  out.Text(" until=");
  WriteDate(certificate.valid_to, out);
}

void WriteAlternativeNames(const mbedtls_x509_crt& certificate, ByteWriter& out) {
  bool is_first = true;
  for (const mbedtls_x509_sequence* at = &certificate.subject_alt_names;
       at != nullptr && at->buf.p != nullptr; at = at->next) {
    if (out.room() < at->buf.len + 48) {
      out.Text(is_first ? "..." : ", ...");
      return;
    }
    const int form = at->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK;
    const std::span<const uint8_t> value(at->buf.p, at->buf.len);
    if (form != MBEDTLS_X509_SAN_DNS_NAME && form != MBEDTLS_X509_SAN_IP_ADDRESS) {
      continue;
    }
    out.Text(is_first ? "" : ", ");
    is_first = false;
    if (form == MBEDTLS_X509_SAN_DNS_NAME) {
      out.Text("DNS:");
      for (const uint8_t c : value) {
        out.Char(c >= ' ' && c < 0x7f ? static_cast<char>(c) : '?');
      }
      continue;
    }
    out.Text("IP:");
    for (size_t i = 0; i < value.size(); ++i) {
      if (value.size() == 4) {
        out.Text(i == 0 ? "" : ".");
        out.Decimal(value[i]);
      } else {
        out.Text(i == 0 || i % 2 != 0 ? "" : ":");
        out.Hex(value[i], 2);
      }
    }
  }
}

std::string_view CommonNameOf(const mbedtls_x509_name& name) {
  for (const mbedtls_x509_name* at = &name; at != nullptr; at = at->next) {
    if (at->oid.p != nullptr && MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &at->oid) == 0) {
      return AsText({at->val.p, at->val.len});
    }
  }
  return {};
}

// Days before a date: H. Hinnant's days_from_civil.
int64_t UnixSecondsOf(const mbedtls_x509_time& time) {
  const int64_t year = time.year - (time.mon <= 2 ? 1 : 0);
  const int64_t era = (year >= 0 ? year : year - 399) / 400;
  const int64_t year_of_era = year - era * 400;
  const int64_t day_of_year = (153 * (time.mon + (time.mon > 2 ? -3 : 9)) + 2) / 5 + time.day - 1;
  const int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  const int64_t days = era * 146097 + day_of_era - 719468;
  return days * 86400 + time.hour * 3600 + time.min * 60 + time.sec;
}

bool IsSelfIssued(const mbedtls_x509_crt& certificate) {
  return std::ranges::equal(std::span(certificate.subject_raw.p, certificate.subject_raw.len),
                            std::span(certificate.issuer_raw.p, certificate.issuer_raw.len));
}

bool PublicKeyIs(const mbedtls_x509_crt& certificate, std::span<const uint8_t> spki) {
  return certificate.pk_raw.p != nullptr &&
         std::ranges::equal(std::span<const uint8_t>(certificate.pk_raw.p, certificate.pk_raw.len),
                            spki);
}

}  // namespace gh::keys
