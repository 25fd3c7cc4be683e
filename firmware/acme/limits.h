// Stated maxima of the ACME room.
#pragma once

#include <cstddef>
#include <cstdint>

#include "firmware/keys/limits.h"

namespace gh::acme {

// JSON of the authority: nodes and depth of one document.
inline constexpr uint32_t kJsonNodesMax = 512;
inline constexpr uint32_t kJsonDepthMax = 12;

inline constexpr size_t kUrlMax = 512;
inline constexpr size_t kNonceMax = 128;
inline constexpr size_t kTokenMax = 128;  // of a challenge
inline constexpr size_t kKeyAuthorizationMax = kTokenMax + 1 + 43;
inline constexpr size_t kBindingNameMax = 128;
inline constexpr size_t kBindingKeyMax = 96;  // bytes
inline constexpr size_t kFaultMax = 240;      // the authority's words
// A signed request, a CSR of 3840 bytes in base64 twice and its head; and its payload apart.
inline constexpr size_t kRequestBytesMax = 16 * 1024;
inline constexpr size_t kPayloadBytesMax = 5632;
// A response: a chain of 6 certificates as PEM, at most.
inline constexpr size_t kResponseBytesMax = 36 * 1024;

inline constexpr uint32_t kNamesMax = keys::kRequestNameMax;
inline constexpr uint32_t kNonceRetriesMax = 5;
inline constexpr uint32_t kNoAnswerRetriesMax = 2;  // in one order, before it is given up
inline constexpr int64_t kNoAnswerSeconds = 5;      // until such a retry
inline constexpr uint32_t kPollsMax = 30;           // of one authorisation, of one order
inline constexpr int64_t kPollSeconds = 3;          // unless the authority says otherwise
inline constexpr int64_t kRetryAfterMax = 86'400;
inline constexpr int64_t kOrderSeconds = 900;  // all of it

// Seconds until the next try, by the number of failures so far; the last one stays.
inline constexpr int64_t kBackOff[] = {300, 900, 3600, 3 * 3600, 6 * 3600, 12 * 3600};

}  // namespace gh::acme
