// Certificates in an operator's words, and small questions about them.
#pragma once

#include <mbedtls/x509_crt.h>

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "hal/rt/bytes.h"

namespace gh::keys {

// SHA-256 of the DER, as 64 hexadecimal digits.
struct Fingerprint {
  uint8_t bytes[64];
  std::string_view view() const { return AsText(bytes); }
};
Fingerprint FingerprintOf(const mbedtls_x509_crt& certificate);

// "C=NO, O=Example, CN=edge.example.com until=2027-11-21".
void DescribeCertificate(const mbedtls_x509_crt& certificate, ByteWriter& out);
// "CN=Example Root"; what is not printable as "?".
void WriteName(const mbedtls_x509_name& name, ByteWriter& out);
// "2027-11-21".
void WriteDate(const mbedtls_x509_time& time, ByteWriter& out);
// "DNS:edge.example.com, IP:192.0.2.1"; cut with "..." where room ends.
void WriteAlternativeNames(const mbedtls_x509_crt& certificate, ByteWriter& out);
// The common name's text, empty when there is none.
std::string_view CommonNameOf(const mbedtls_x509_name& name);
// Seconds since 1970.
int64_t UnixSecondsOf(const mbedtls_x509_time& time);
bool IsSelfIssued(const mbedtls_x509_crt& certificate);
// `spki`: SubjectPublicKeyInfo, DER.
bool PublicKeyIs(const mbedtls_x509_crt& certificate, std::span<const uint8_t> spki);

}  // namespace gh::keys
