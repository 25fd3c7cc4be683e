// The Online Certificate Status Protocol (RFC 6960), as far as a server needs it that shows the
// word of its certificate's authority with the certificate (stapling), and a client that is shown
// it: where to ask, the question, whether the answer is one. Pure; ASN.1 by mbedTLS's reader,
// everything bounded.
//
// An answer is taken if it is about this very certificate, signed by its issuer or by somebody whom
// that issuer has certified for it (id-kp-OCSPSigning), and valid now.
//
// Fault model: responders are reached in the clear, and a peer shows what it likes: the bytes are
// anybody's.
#pragma once

#include <mbedtls/x509_crt.h>

#include <cstdint>
#include <span>
#include <string_view>

#include "crypto/tls_environment.h"
#include "hal/rt/result.h"

namespace gh::keys {

inline constexpr size_t kOcspRequestMax = 192;
inline constexpr size_t kOcspResponseMax = 4096;
inline constexpr uint32_t kOcspAnswersMax = 16;  // single responses in one
inline constexpr int64_t kOcspClockSlack = 300;  // seconds that a responder's clock may be ahead
// How long an answer counts that does not say until when it does.
inline constexpr int64_t kOcspLifeDefault = 86'400;

enum class OcspStatus : uint8_t { kGood, kRevoked, kUnknown };

struct OcspAnswer {
  OcspStatus status = OcspStatus::kUnknown;
  int64_t this_update_s = 0;
  int64_t next_update_s = 0;
};

// The responder's URL (authority information access); empty: the certificate names none. http only.
std::string_view OcspUrlOf(const mbedtls_x509_crt& certificate);
// The certificate wants clients to refuse it without an answer (RFC 7633).
bool MustStaple(const mbedtls_x509_crt& certificate);

// The request at the front of `out`. Hashes are SHA-1, which every responder knows (RFC 5019).
Result<std::span<const uint8_t>> WriteOcspRequest(const mbedtls_x509_crt& certificate,
                                                  const mbedtls_x509_crt& issuer,
                                                  std::span<uint8_t> out);

// kMalformed; kRefused: the responder gives no answer; kUnauthentic: of nobody who may say so;
// kNotFound: about another certificate; kOutOfRange: not valid now.
Result<OcspAnswer> ReadOcspResponse(crypto::TlsEnvironment& environment,
                                    std::span<const uint8_t> bytes,
                                    const mbedtls_x509_crt& certificate,
                                    const mbedtls_x509_crt& issuer, int64_t now_s);

}  // namespace gh::keys
