// Whether a chain of certificates will do (RFC 5280 section 6, RFC 6125/9525): a path to a trusted
// root, validity, revocation lists, name constraints, usages, strength, names.
//
// mbedTLS builds the path and checks signatures, validity, authorities, path lengths and CRLs; what
// it does not know is checked here on the path it has built: name constraints, usages along the
// path, subject alternative names. Names are never taken from the common name.
#pragma once

#include <mbedtls/x509_crl.h>
#include <mbedtls/x509_crt.h>

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "crypto/tls_environment.h"
#include "crypto/tls_identity.h"

namespace gh::crypto {

inline constexpr uint32_t kPathMax = 10;                 // certificates from leaf to root
inline constexpr uint32_t kConstraintSubtreesMax = 256;  // of one authority
inline constexpr uint32_t kNameChecksMax = 20'000;       // of one path: names times constraints

// What a path was found to be, for words about it.
struct PathReport {
  PeerVerdict verdict = PeerVerdict::kMalformed;
  uint32_t flags = 0;                         // mbedTLS's, of all certificates
  uint32_t depth = 0;                         // of the certificate that will not do; 0: the leaf
  uint32_t length = 0;                        // of the path as far as it was built
  const mbedtls_x509_crt* culprit = nullptr;  // that certificate; null: no path was built
  const mbedtls_x509_crt* last = nullptr;     // where the path ends: a root, or what has no issuer
  const mbedtls_x509_crt* issuer = nullptr;   // of the leaf, on a path that is good
  bool has_status = false;                    // an OCSP response came with it and was looked at
  const char* status_objection = nullptr;     // why that one will not do
};

struct TrustView {
  mbedtls_x509_crt* anchors = nullptr;  // linked; may be null
  mbedtls_x509_crl* crls = nullptr;     // linked; null: nothing is looked up
};

// `chain`: leaf first. Inside any TlsScope or none: `environment` gives the memory.
PathReport CheckPath(TlsEnvironment& environment, const mbedtls_x509_crt& chain,
                     const TrustView& trust, const PeerExpectation& expected);

// Whether the subject alternative names hold `name`: a DNS name (a wildcard stands for one whole
// first label, RFC 6125 section 6.4.3) or the text of an address.
bool NamesHost(const mbedtls_x509_crt& certificate, std::string_view name);
// The same without wildcards in the certificate being followed.
bool NamesHostExactly(const mbedtls_x509_crt& certificate, std::string_view name);
// "*.example.com" against "a.example.com"; `pattern` may have no wildcard.
bool MatchesName(std::string_view pattern, std::string_view name);
bool HasUsage(const mbedtls_x509_crt& certificate, bool server, bool client, bool explicitly);

// One extension's value (inside its OCTET STRING), empty if the certificate has none.
std::span<const uint8_t> FindExtension(const mbedtls_x509_crt& certificate, std::string_view oid);

// Whether the names of `certificate` are within the constraints of an authority above it
// (RFC 5280 section 4.2.1.10). `constraints`: the extension's value. Constraints that cannot be
// understood hold nothing to be within. Pure.
bool WithinConstraints(std::span<const uint8_t> constraints, const mbedtls_x509_crt& certificate,
                       uint32_t& checks_left);

}  // namespace gh::crypto
