// Stated maxima and fixed sizes of the crypto room.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gh::crypto {

// Argon2id: what a stored record may ask for, and what a profile may reserve.
inline constexpr uint32_t kPasswordMemoryKibMin = 8;
inline constexpr uint32_t kPasswordMemoryKibMax = 256 * 1024;
inline constexpr uint32_t kPasswordPassesMax = 16;
inline constexpr size_t kPasswordSizeMax = 256;
inline constexpr size_t kPasswordRecordSizeMax = 128;

// The generator takes fresh entropy at the latest after this much output.
inline constexpr uint64_t kRandomReseedBytes = 1 << 20;
inline constexpr size_t kRandomSeedSize = 64;

// TLS: records we have made and the stream has not taken yet, that is a handshake flight, or one
// record of 4 KiB with its header and tag, twice.
inline constexpr size_t kTlsOutputMax = 12 * 1024;
// What mbedTLS may take for one client session: its two record buffers, the handshake, the peer's
// chain.
inline constexpr uint64_t kTlsClientHeap = 192 * 1024;
inline constexpr size_t kTlsServerNameMax = 253;
// Certificates of authorities an operator trusts.
inline constexpr uint32_t kTrustAnchorMax = 16;
inline constexpr size_t kTrustAnchorBytesMax = 3072;
inline constexpr size_t kPemMax = (kTrustAnchorBytesMax + 2) / 3 * 4;

}  // namespace gh::crypto
