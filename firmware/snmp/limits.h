// The limits of the SNMP room.
#pragma once

#include <cstdint>

namespace gh::snmp {

inline constexpr uint32_t kMessageMax = 1472;  // one unfragmented datagram, either way
inline constexpr uint32_t kOidMax = 32;        // sub-identifiers of a name
inline constexpr uint32_t kVarBindMax = 64;    // of one request, and of one response
inline constexpr uint32_t kRepetitionMax = 50;
inline constexpr uint32_t kTextMax = 255;  // of one value
inline constexpr uint32_t kUserMax = 4;
inline constexpr uint32_t kNameMax = 32;
inline constexpr uint32_t kKeyMax = 32;
inline constexpr uint32_t kEngineIdMax = 32;
inline constexpr uint32_t kReceiverMax = 4;
inline constexpr int64_t kTimeWindow_s = 150;  // RFC 3414 section 2.2.3
inline constexpr uint32_t kRequestsPerSecond = 500;

}  // namespace gh::snmp
