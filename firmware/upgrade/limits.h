// The limits of the upgrade room.
#pragma once

#include <cstdint>

#include "hal/rt/time.h"
#include "image/limits.h"

namespace gh::upgrade {

inline constexpr uint32_t kTransferBytesMax = 128 * 1024;  // one request to the slot's disk
inline constexpr uint32_t kReasonMax = 160;                // why an upgrade failed, a trial ended
inline constexpr uint32_t kProgressBarCells = 30;
inline constexpr uint32_t kBlocksPerPollMax = 4;  // checked against their hashes in one turn
// A source that is silent for so long is given up.
inline constexpr Duration kSourceSilenceMax = Duration::Seconds(60);
// Attempts over HTTPS in a row that bring nothing new, and the pause before the second; each
// further pause is twice as long. Together shorter than kSourceSilenceMax.
inline constexpr uint32_t kHttpsAttemptsMax = 5;
inline constexpr Duration kHttpsRetry = Duration::Seconds(2);
// Decrypted, checked and handed on in one turn of the loop: calls do not wait for an update.
inline constexpr uint32_t kHttpsBytesPerTurn = 8 * 1024;
// How long a machine on trial must be healthy without a break before it is confirmed.
inline constexpr Duration kHealthySpan = Duration::Seconds(5);

// Everything the room takes from the arena: metadata, two blocks, kept settings.
inline constexpr uint64_t kBufferBytes = uint64_t{image::kMetadataSizeMax} +
                                         2 * uint64_t{image::kBlockSizeMax} +
                                         image::kKeptSettingsSize + 64 * 1024;

}  // namespace gh::upgrade
