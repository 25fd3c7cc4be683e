// The limits of the TURN room: what the wire may do, whatever the machine's size.
#pragma once

#include <cstdint>

namespace gh::turn {

// One message or one ChannelData, without what carries it.
inline constexpr uint32_t kMessageMax = 2048;
// Attributes read before a message is given up, unanswered: more than clients put into one
// (coturn's asks permission for 24 peers at a time, and is to hear that those are too many).
inline constexpr uint32_t kAttributeMax = 64;
inline constexpr uint32_t kUnknownMax = 8;          // told in UNKNOWN-ATTRIBUTES
inline constexpr uint32_t kPeersPerRequestMax = 8;  // XOR-PEER-ADDRESS in one CreatePermission

inline constexpr uint32_t kUserNameMax = 127;
inline constexpr uint32_t kRealmMax = 127;
inline constexpr uint32_t kSecretMax = 8;  // shared secrets at a time, for rotation
inline constexpr uint32_t kSecretBytesMax = 127;
inline constexpr uint32_t kRealmCountMax = 8;   // beside the general one
inline constexpr uint32_t kRealmSecretMax = 2;  // of each of those
inline constexpr uint32_t kDomainMax = 127;
inline constexpr uint32_t kOriginMax = 4;  // of one request
inline constexpr uint32_t kTokenServerMax = 31;
inline constexpr uint32_t kTokenMax = 256;  // ACCESS-TOKEN

// Of one allocation.
inline constexpr uint32_t kPermissionsMax = 32;
inline constexpr uint32_t kChannelsMax = 32;
inline constexpr uint32_t kLinksMax = 16;  // connections with peers (RFC 6062)

inline constexpr uint32_t kRuleMax = 16;  // prefixes of the allow list, and of the deny list
inline constexpr uint32_t kOwnAddressMax = 24;
inline constexpr uint32_t kListenerMax = 16;
inline constexpr uint32_t kReservationMax = 64;
inline constexpr uint32_t kTcpRelayMax = 64;  // allocations that speak TCP to peers, at a time
inline constexpr uint32_t kLinkTotalMax = 256;
inline constexpr uint32_t kRateTableSize = 4096;

inline constexpr uint32_t kPermissionSeconds = 300;  // RFC 8656 9
inline constexpr uint32_t kChannelSeconds = 600;     // RFC 8656 12
inline constexpr uint32_t kReservationSeconds = 30;  // RFC 8656 7.2
inline constexpr uint32_t kLinkSeconds = 30;         // RFC 6062 5.2 and 5.3

// A reply to somebody who proved nothing is at most this many tenths of his request.
inline constexpr uint32_t kAmplificationTenthsMax = 25;

inline constexpr uint16_t kChannelFirst = 0x4000;
inline constexpr uint16_t kChannelLast = 0x7fff;
inline constexpr uint16_t kChannelLastStrict = 0x4fff;  // RFC 8656

}  // namespace gh::turn
