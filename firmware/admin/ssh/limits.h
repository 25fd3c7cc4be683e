// The limits of the SSH server.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gh::ssh {

// --- Packets (RFC 4253 section 6.1) ---
inline constexpr size_t kPacketMax = 35000;  // packet_length of what a peer may send
inline constexpr size_t kTagMax = 64;
inline constexpr size_t kInputBytes = 4 + kPacketMax + kTagMax;
inline constexpr size_t kVersionLineMax = 255;  // with its line end
inline constexpr size_t kOwnKexInitMax = 1024;
inline constexpr size_t kNameListMax = 4096;  // one list of a peer's KEXINIT

// What one packet of a peer can make us answer with: room for it is there before it is looked at.
inline constexpr size_t kReplyReserve = 8 * 1024;
inline constexpr size_t kOutputBytes = 48 * 1024;
// Answers that wait while keys are exchanged.
inline constexpr size_t kHeldBytes = 4 * 1024;

// --- Re-keying ---
inline constexpr uint64_t kRekeyPacketsMax = uint64_t{1} << 28;  // far from the number's wrap
inline constexpr int64_t kKexSeconds = 30;  // a key exchange that was begun takes at most this

// --- Log-in ---
inline constexpr size_t kUserNameMax = 63;
inline constexpr size_t kPasswordMax = 256;
inline constexpr size_t kPublicKeyBlobMax = 1200;  // an RSA key of 8192 bits takes 1,043
inline constexpr size_t kSignatureMax = 1200;
inline constexpr size_t kBannerMax = 1024;
inline constexpr uint32_t kQueriedKeysMax = 20;  // keys asked about, over all tries

// --- Channels (RFC 4254) ---
inline constexpr uint32_t kChannelsPerConnection = 8;
inline constexpr uint32_t kChannelCount = 24;  // of all connections
inline constexpr uint32_t kWindowBytes = 64 * 1024;
inline constexpr uint32_t kChannelPacketMax = 32 * 1024;  // data in one message, both ways
inline constexpr uint32_t kRemotePacketMin = 256;         // a peer that takes less is not served
inline constexpr size_t kCommandMax = 1024;               // of an exec request
inline constexpr size_t kTerminalNameMax = 32;
inline constexpr uint32_t kColumnsMax = 1000;
inline constexpr uint32_t kRowsMax = 1000;
static_assert(kChannelPacketMax + 64 < kPacketMax);
static_assert(kOutputBytes >= kChannelPacketMax + 2 * kReplyReserve);

// --- Connections ---
inline constexpr uint32_t kConnectionCount = 24;
inline constexpr uint32_t kConnectionsPerAddress = 16;
inline constexpr uint32_t kUnauthenticatedMax = 12;
inline constexpr uint32_t kUnauthenticatedPerAddress = 8;
// A connection that has not exchanged keys within this makes room for a new one, or ends.
inline constexpr int64_t kHalfOpenSeconds = 10;
inline constexpr uint32_t kOpensPerSecond = 40;  // new connections answered, with their burst
inline constexpr uint32_t kOpensBurst = 80;
static_assert(kUnauthenticatedMax < kConnectionCount);
// Key exchanges without a log-in: one address may have so many at once, then one in so long.
inline constexpr int64_t kStrangerBurst = 40;
inline constexpr int64_t kStrangerSeconds = 1;
inline constexpr uint32_t kStrangerMax = 64;  // addresses remembered
inline constexpr uint64_t kExchangesBeforeLogIn = 2;

inline constexpr uint32_t kAlgorithmsMax = 8;  // in one list
// mbedTLS: AES contexts of every connection, and one elliptic curve or RSA computation.
inline constexpr uint64_t kCryptoHeapBytes = 256 * 1024;

}  // namespace gh::ssh
