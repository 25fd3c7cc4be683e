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
// The full agent (RFC 8445). What a peer may show us: RFC 8839 5.3 and 5.4 allow 256 characters.
inline constexpr uint32_t kIceTheirTextMax = 256;
inline constexpr uint32_t kIceRemoteMax = 10;  // candidates of a peer; those beyond are passed over
inline constexpr uint32_t kIcePairMax = 20;    // RFC 8445 6.1.2.5: 100 at most, of all streams
inline constexpr uint32_t kIceRequestMax = 640;  // bytes of a check, with such a name in it
inline constexpr uint32_t kIceSendsMax = 5;      // of one check, each after twice the time
inline constexpr Duration kIcePace = Duration::Milliseconds(50);  // Ta, between two new checks
inline constexpr Duration kIceRto = Duration::Milliseconds(500);
inline constexpr Duration kIceNominationWait = Duration::Milliseconds(300);  // for better pairs
inline constexpr Duration kIcePatience = Duration::Seconds(30);  // of who waits to be asked
inline constexpr Duration kIceMoveAfter = Duration::Seconds(5);  // to a pair of lower priority
// RFC 7675: how often consent is asked for, give or take a fifth, and how long it lasts.
inline constexpr Duration kConsentPeriod = Duration::Seconds(5);
inline constexpr Duration kConsentLife = Duration::Seconds(30);
// Relayed candidates, as a client of a TURN server (RFC 8656).
inline constexpr uint32_t kTurnPeersMax = 8;   // permissions of one allocation; in one request
inline constexpr uint32_t kTurnWarm = 4;       // allocations that wait for a call
inline constexpr uint32_t kTurnTextMax = 127;  // realm and nonce of the server
inline constexpr uint32_t kTurnRequestMax = 768;
inline constexpr uint32_t kTurnSendsMax = 6;  // of one request, each after twice the time
inline constexpr uint32_t kTurnStaleMax = 3;  // nonces in a row that are stale at once
inline constexpr Duration kTurnRto = Duration::Milliseconds(500);
inline constexpr Duration kTurnRenewal = Duration::Seconds(240);   // permissions last for 300
inline constexpr Duration kTurnKeepAlive = Duration::Seconds(15);  // RFC 8445 11: Tr
inline constexpr Duration kTurnRetry = Duration::Seconds(30);      // after a failure
inline constexpr uint16_t kTurnChannel = 0x4000;  // the one channel of each allocation
// DTLS-SRTP: how long a handshake may take, and how long it is kept to repeat its last flight.
inline constexpr Duration kDtlsPatience = Duration::Seconds(20);
inline constexpr Duration kDtlsLinger = Duration::Seconds(10);
// Media of traversal zones on one port: numbers of ChannelData (RFC 8656 12), and how the client
// asks for each.
inline constexpr uint32_t kMuxLargeCalls = 10'000;  // of the large profile: another port
inline constexpr uint16_t kMuxChannelFirst = 0x4000;
inline constexpr uint16_t kMuxChannelLast = 0x7fff;
inline constexpr Duration kMuxRetry = Duration::Milliseconds(500);
inline constexpr Duration kMuxPeriod = Duration::Seconds(15);  // keeps firewalls open
inline constexpr uint32_t kMuxUnansweredMax = 8;
inline constexpr uint32_t kMuxTextMax = 64;  // of the attribute
// So long is a latched source silent before its end may be where it said instead.
inline constexpr Duration kLatchQuiet = Duration::Milliseconds(500);
inline constexpr uint32_t kSweepPerTurn = 256;  // streams looked at for silence
inline constexpr Duration kSweepPeriod = Duration::Seconds(1);
inline constexpr uint32_t kNumbersMissedMax = 3000;  // RFC 3550 A.1: a jump beyond is a restart
static_assert(kTagBytesMax <= media::kProcessorGrowthMax);

}  // namespace gh::rtp
