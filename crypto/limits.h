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
inline constexpr size_t kTlsClientWriteMax = 4096;
// What mbedTLS may take for one client session: its two record buffers, the handshake, the peer's
// chain.
inline constexpr uint64_t kTlsClientHeap = 192 * 1024;
inline constexpr size_t kTlsServerNameMax = 253;
inline constexpr uint32_t kTlsProtocolMax = 4;  // ALPN, of one service
inline constexpr uint32_t kTlsSuiteMax = 9;
// Plain text in one record of ours.
inline constexpr size_t kTlsRecordMax = 10 * 1024;
// A record's header, explicit nonce, content type and tag.
inline constexpr size_t kTlsRecordOverhead = 5 + 8 + 1 + 16;
// One session at most: buffers, handshake, the peer's chain.
inline constexpr uint64_t kTlsSessionHeapMax = 128 * 1024;
// A ticket's life; its key signs for as long, and opens for as long again (RFC 8446: 7 days at
// most).
inline constexpr uint32_t kTlsTicketSeconds = 2 * 3600;
inline constexpr int64_t kTlsSignSeconds = 5;
// DTLS-SRTP: two keys of 16 bytes and two salts of 14.
inline constexpr size_t kSrtpKeyingSize = 60;
// A handshake datagram of ours: below any path's MTU with its headers.
inline constexpr uint16_t kDtlsDatagramMax = 1200;

}  // namespace gh::crypto
