// The limits of the room for server-to-server streams.
#pragma once

#include <cstdint>

#include "firmware/xmpp/limits.h"

namespace gh::s2s {

inline constexpr uint32_t kExceptionMax = 64;  // of the policy
inline constexpr uint32_t kRouteMax = 32;
inline constexpr uint32_t kSecretMax = 127;
inline constexpr uint32_t kKeyMax = 127;  // of a dialback key, whoever made it
inline constexpr uint32_t kStreamIdMax = 127;
inline constexpr uint32_t kPairMax = 8;      // of domains, proved on one incoming stream
inline constexpr uint32_t kPartnerMax = 24;  // components, and domains of devices inside
inline constexpr uint32_t kEdgeMax = 4;
inline constexpr uint32_t kOwnEmailDomainMax = 16;  // besides those of users' addresses

// One search: servers of SRV records, and addresses of one of them.
inline constexpr uint32_t kServerMax = 8;
inline constexpr uint32_t kAddressMax = 6;
inline constexpr uint32_t kAttemptMax = 12;  // connections made for one stream
inline constexpr uint16_t kDefaultPort = 5269;

// What waits for one stream that is being made, or that does not take it.
inline constexpr uint32_t kQueueBytesMax = 256 * 1024;
inline constexpr uint32_t kQueueStanzaMax = 500;

inline constexpr int64_t kAttemptSeconds = 20;                       // from connecting to the proof
inline constexpr int64_t kUnprovenSeconds = xmpp::kUnprovenSeconds;  // of an incoming stream
inline constexpr int64_t kBackOffSeconds = 10;      // before a domain is tried again
inline constexpr int64_t kStanzaSeconds = 30;       // a stanza that has begun
inline constexpr int64_t kAcknowledgeSeconds = 60;  // for an acknowledgement that was asked for
inline constexpr int64_t kTickSeconds = 15;         // idle streams are looked for

inline constexpr int64_t kRideSeconds = 8;              // for another pair on a stream there is
inline constexpr int64_t kDeliveryMilliseconds = 1000;  // TCP is asked what has arrived

inline constexpr int64_t kRateMilliseconds = 100;  // those that were too fast are heard again
inline constexpr int64_t kRateBurstSeconds = xmpp::kRateBurstSeconds;
inline constexpr int64_t kStanzaAllowance = xmpp::kStanzaAllowance;

static_assert(kQueueBytesMax >= xmpp::kOutputMax);
static_assert(kAttemptSeconds < kUnprovenSeconds);  // who is to verify a key is asked meanwhile

}  // namespace gh::s2s
