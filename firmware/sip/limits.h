// Every maximum of the SIP engine that is not a capacity (capacities are in config.h: they depend
// on the machine). Anything over a limit is answered (400, 413, 503) or dropped; never truncated.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gh::sip {

// Messages.
inline constexpr size_t kMessageBytesMax = 65535;  // UDP payload and TCP message alike
inline constexpr size_t kHeaderCountMax = 256;     // header fields in one message
inline constexpr size_t kHeaderNameBytesMax = 128;
inline constexpr size_t kHeaderBytesMax = 8192;  // one field's value, folding included
inline constexpr size_t kStartLineBytesMax = 4096;
inline constexpr size_t kMethodBytesMax = 64;
inline constexpr size_t kUriBytesMax = 2048;
inline constexpr size_t kParamCountMax = 64;  // parameters of one URI or header value
inline constexpr size_t kViaCountMax = 80;    // more than Max-Forwards' usual 70
inline constexpr size_t kRouteCountMax = 32;
inline constexpr size_t kBranchBytesMax = 256;
inline constexpr size_t kTagBytesMax = 256;
inline constexpr size_t kCallIdBytesMax = 512;
inline constexpr uint32_t kCseqMax = 0x7fffffff;  // RFC 3261 8.1.1.5: below 2^31
inline constexpr uint32_t kMaxForwardsMax = 255;
inline constexpr uint32_t kMaxForwardsDefault = 70;
inline constexpr uint32_t kMaxBreadthDefault = 60;      // RFC 5393 5.3.3
inline constexpr size_t kErrorResponseBytesMax = 4096;  // a response made by us alone

// Registrar.
inline constexpr size_t kContactPerRegisterMax = 16;
inline constexpr size_t kUserBytesMax = 96;        // user part of an address of record, unescaped
inline constexpr size_t kBindingTextInline = 126;  // contact + path + instance kept in the binding
inline constexpr size_t kBindingTextMax = 1024;    // ... or in an overflow block of this size
// Both GRUUs of a contact: a user with its domain and an instance, and a made-up user.
inline constexpr size_t kGruuBytesMax = 1536;
// Contact, Path and Service-Route lines of one answer: every contact may be as long as a binding's
// text.
inline constexpr size_t kRegisterExtraBytesMax =
    (kContactPerRegisterMax + 2) * (kBindingTextMax + 96 + kGruuBytesMax);
inline constexpr uint32_t kExpiresMax = 0x7fffffff;

// Proxy.
inline constexpr size_t kTargetMax = 12;   // contacts tried for one request
inline constexpr size_t kEndpointMax = 8;  // addresses tried for one target (RFC 3263)
inline constexpr size_t kSrvRecordMax = 8;
inline constexpr size_t kDomainMax = 32;
inline constexpr size_t kDomainBytesMax = 128;
inline constexpr size_t kListenerMax = 48;
inline constexpr size_t kZonePeerMax = 6;
inline constexpr size_t kUdpSwitchBytes = 1300;  // RFC 3261 18.1.1
inline constexpr size_t kBusyHopMax = 256;       // next hops found by DNS that ask to be spared

// Transport.
// Messages waiting for room on one stream, or as many as a share of all buffers if that is more (a
// trunk's, while its TCP waits for one segment); the fewer while half of all buffers are used.
inline constexpr size_t kStreamQueueMax = 256;
inline constexpr size_t kStreamQueueShare = 64;
inline constexpr size_t kStreamQueueShortMax = 16;
inline constexpr size_t kStreamHoldAt = 8;         // with so many waiting, the peer is not heard
inline constexpr int64_t kStarvedRetryMs = 20;     // a stream without a buffer is heard again
inline constexpr size_t kKeepAlivePerTurnMax = 8;  // CRLFCRLF answered per read of one stream

// WebSocket (RFC 7118). A message and its frame fit one buffer.
inline constexpr size_t kWebSocketMessageMax = 60 * 1024;
inline constexpr size_t kOriginMax = 8;
inline constexpr size_t kEmergencyMax = 8;
inline constexpr size_t kEmergencyBytesMax = 32;
inline constexpr size_t kServiceUrnBytesMax = 48;  // behind "urn:service:"

// Digest.
inline constexpr size_t kNonceTableSize = 16384;
inline constexpr uint32_t kNonceWindow = 64;  // nonce counts accepted out of order
inline constexpr size_t kCredentialFieldMax = 256;
inline constexpr size_t kCredentialCountMax = 8;  // (Proxy-)Authorization fields looked at

inline constexpr size_t kGlanceBytesMax = 4096;  // of a header that is looked at before it is read

// Unauthenticated senders: fixed direct-mapped table of token buckets.
inline constexpr size_t kRateTableSize = 4096;

// Ways of registrations into zones that are kept (SIP Registration FastPath).
inline constexpr size_t kRegistrationWayMax = 4096;

// Requests that wait for a policy service.
inline constexpr size_t kPolicyWaitMax = 64;

// The presence server.
inline constexpr size_t kPresentityBytesMax = kUserBytesMax + 1 + kDomainBytesMax;  // user@host
inline constexpr size_t kEventIdBytesMax = 64;        // parameter "id" of a subscription's Event
inline constexpr size_t kNotifyBodyBytesMax = 32768;  // a composed document
inline constexpr uint32_t kEntityTagDigits = 16;
inline constexpr uint32_t kNotifyPerMillisecond = 4;  // of one user's watchers at a change

// Calls.
inline constexpr size_t kCallPartyBytesMax = 96;
inline constexpr size_t kCallIdShownMax = 64;
inline constexpr uint32_t kFlowWatchMax = 256;  // calls whose connections are looked at in a second
inline constexpr size_t kDialogRecordBytes = 1000;  // names, contacts and routes of one dialog
inline constexpr size_t kDialogChunkBytes = 60;     // they are kept in pieces of that size,
inline constexpr uint32_t kDialogChunksEach = 9;    // so many for each dialog,
inline constexpr uint32_t kDialogChunksOwn = 5;     // of which each is sure of these: who they are
inline constexpr uint32_t kCallHistoryMin = 64;     // calls that are over and still shown
inline constexpr uint32_t kCallHistoryMax = 1000;
inline constexpr uint32_t kLadderPerCall = 8;  // messages kept for diagnosis, by the calls held
inline constexpr uint32_t kLadderMin = 512;
inline constexpr uint32_t kLadderMax = 65536;

static_assert(kHeaderBytesMax < kMessageBytesMax && kStartLineBytesMax < kMessageBytesMax);
static_assert(kUriBytesMax < kStartLineBytesMax);
static_assert((kNonceTableSize & (kNonceTableSize - 1)) == 0);
static_assert((kRateTableSize & (kRateTableSize - 1)) == 0);
static_assert(kDialogChunksOwn * kDialogChunkBytes >= 2 * kCallPartyBytesMax + kCallIdShownMax);
static_assert(kNonceWindow == 64, "the window is one 64-bit word");

}  // namespace gh::sip
