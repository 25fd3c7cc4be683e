// Stated maxima of the keys room.
#pragma once

#include <cstddef>
#include <cstdint>

#include "firmware/store/store.h"

namespace gh::keys {

// What mbedTLS may take for certificates, keys and lists of revocations that are held, and for
// checking a chain.
inline constexpr uint64_t kHeapBytes = 1536 * 1024;

// The server certificate, and those of domains.
inline constexpr uint32_t kDomainMax = 16;
inline constexpr uint32_t kSlotMax = 1 + kDomainMax;
// With those that were replaced and are still used by sessions.
inline constexpr uint32_t kIdentityMax = 24;
inline constexpr uint32_t kDomainNameMax = 100;
inline constexpr uint32_t kLabelMax = 64;  // of a key in a token

// One certificate is one row; a chain is leaf, intermediates, and the root an upload may bring.
inline constexpr size_t kCertificateBytesMax = store::kValueMax;
inline constexpr uint32_t kChainMax = 6;
inline constexpr uint32_t kTrustMax = 64;
inline constexpr uint32_t kCrlMax = 8;
inline constexpr size_t kCrlBytesMax = 64 * 1024;

// What is pasted or brought as a file: PEM of a chain with its key, a bundle, a list.
inline constexpr size_t kUploadBytesMax = 96 * 1024;

// Names in a request.
inline constexpr uint32_t kRequestNameMax = 64;

// Days before the end of a certificate at which an event tells of it.
inline constexpr uint32_t kExpiryDays[] = {30, 14, 7, 1};

}  // namespace gh::keys
