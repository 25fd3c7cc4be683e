// The limits of the configuration room.
#pragma once

#include <cstdint>

namespace gh::config {

inline constexpr uint32_t kLineMax = 512;            // one line of xConfiguration text
inline constexpr uint32_t kProvisionMax = 4u << 20;  // a whole provisioning text, bytes
inline constexpr uint32_t kPathWordMax = 9;          // words of a path, instance number included
inline constexpr uint32_t kPathTextMax = 96;         // "Authentication User 100000 Password"
inline constexpr uint32_t kMessageMax = 240;         // what was expected, for the operator
inline constexpr uint32_t kPasswordMax = 128;        // characters typed
inline constexpr uint32_t kAdminPasswordMin = 12;
inline constexpr uint32_t kLaxPasswordMin = 6;  // administrators', with strict rules off
inline constexpr uint32_t kSipPasswordMin = 1;
inline constexpr uint32_t kAdminHashMax = 127;  // Argon2id in its text form
inline constexpr uint32_t kListenerMax = 8;
inline constexpr uint32_t kStoredValueMax = 400;  // bytes of one value as it is stored
inline constexpr uint32_t kHistoryCommitMax = 200;
inline constexpr uint32_t kHistoryRowMax = 5000;     // changes of all commits
inline constexpr uint32_t kHistoryChangeMax = 1000;  // of one commit; the rest is counted
inline constexpr uint32_t kHistoryRowBytes = 1024;
inline constexpr uint32_t kAuthorMax = 63;

static_assert(2 * kStoredValueMax + kPathTextMax + 16 <= kHistoryRowBytes);

}  // namespace gh::config
