// The limits of the RTP room: what the wire may do, whatever the machine's size.
#pragma once

#include <cstdint>

#include "firmware/media/limits.h"
#include "hal/rt/time.h"

namespace gh::rtp {

inline constexpr uint32_t kStreamsPerSession = 8;  // m= sections that are relayed in one dialog
inline constexpr uint32_t kLocalAddressMax = 4;    // of ours, on which there are media ports
inline constexpr uint32_t kSsrcMax = 4;            // senders in one direction of a stream
inline constexpr uint32_t kBodyMax = 16 * 1024;    // of a description we write
inline constexpr uint32_t kPacketMax = 2048;       // that the control plane relays
inline constexpr uint32_t kTagBytesMax = 16;       // SRTP's growth: a tag of 10, an index of 4
// ICE lite towards browsers. RFC 8839 5.4: 4 characters of user fragment and 22 of password at
// least.
inline constexpr uint32_t kIceUserSize = 8;
inline constexpr uint32_t kIcePasswordSize = 24;
inline constexpr uint32_t kIceAnswerMax = 128;
// DTLS-SRTP: how long a handshake may take, and how long it is kept to repeat its last flight.
inline constexpr Duration kDtlsPatience = Duration::Seconds(20);
inline constexpr Duration kDtlsLinger = Duration::Seconds(10);
// Media of traversal zones on one port: numbers of ChannelData (RFC 8656 12), and how the client
// asks for each.
inline constexpr uint16_t kMuxChannelFirst = 0x4000;
inline constexpr uint16_t kMuxChannelLast = 0x7fff;
inline constexpr Duration kMuxRetry = Duration::Milliseconds(500);
inline constexpr Duration kMuxPeriod = Duration::Seconds(15);  // keeps firewalls open
inline constexpr uint32_t kMuxUnansweredMax = 8;
inline constexpr uint32_t kMuxTextMax = 64;     // of the attribute
inline constexpr uint32_t kSweepPerTurn = 256;  // streams looked at for silence
inline constexpr Duration kSweepPeriod = Duration::Seconds(1);
inline constexpr uint32_t kNumbersMissedMax = 3000;  // RFC 3550 A.1: a jump beyond is a restart
static_assert(kTagBytesMax <= media::kProcessorGrowthMax);

}  // namespace gh::rtp
