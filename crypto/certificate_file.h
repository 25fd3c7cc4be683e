// What operators bring: certificates, keys and lists of revocations as PEM (RFC 7468), DER, or
// PKCS #7 (certificates only, RFC 2315). Pure; everything it finds lies in the caller's buffer.
// What a password protects (PKCS #12, encrypted keys) is found here and opened by crypto/pkcs12.h.
//
// Fault model: the bytes are anybody's. Too many, too large, cut off or of another kind is an error
// with words; what is found is parsed as X.509 by whoever takes it.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "hal/rt/result.h"

namespace gh::crypto {

inline constexpr uint32_t kFileCertificatesMax = 64;

struct CertificateFile {
  std::array<std::span<const uint8_t>, kFileCertificatesMax> certificates;
  uint32_t certificate_count = 0;
  std::span<const uint8_t> key;      // DER, not encrypted; empty: there is none
  std::span<const uint8_t> crl;      // the last one
  std::span<uint8_t> pkcs12;         // a whole file, still closed
  std::span<uint8_t> encrypted_key;  // EncryptedPrivateKeyInfo, still closed
  std::span<const std::span<const uint8_t>> chain() const {
    return {certificates.data(), certificate_count};
  }
};

// `room`: as large as `bytes`, for what is decoded. A key in it is the caller's to wipe.
// kMalformed; kTooLarge; kUnsupported: a kind that is not taken.
Result<void> ReadCertificateFile(std::span<const uint8_t> bytes, std::span<uint8_t> room,
                                 CertificateFile& out);

}  // namespace gh::crypto
