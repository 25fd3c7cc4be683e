// What is wrong with a peer's certificates, in words an operator can act on. Pure.
#pragma once

#include <mbedtls/x509_crt.h>

#include "crypto/path_check.h"
#include "hal/rt/bytes.h"

namespace gh::keys {

// One clause without a full stop: which certificate will not do and why, or who vouches for it.
// `leaf`: what the report is of.
void ExplainPath(const crypto::PathReport& report, const mbedtls_x509_crt& leaf,
                 const crypto::PeerExpectation& expected, ByteWriter& out);

// The name of a TLS alert (RFC 8446 section 6, RFC 5246 section 7.2), "alert 123" for others.
void WriteAlert(uint8_t alert, ByteWriter& out);

}  // namespace gh::keys
