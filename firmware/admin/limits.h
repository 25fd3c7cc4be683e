// The limits of the administration room.
#pragma once

#include <cstdint>

#include "firmware/config/limits.h"

namespace gh::admin {

inline constexpr uint32_t kLineBytesMax = config::kLineMax;  // typed in one line
inline constexpr uint32_t kHistoryLines = 32;
inline constexpr uint32_t kOutputBytes = 32 * 1024;   // waiting for the terminal
inline constexpr uint32_t kOutputReserve = 8 * 1024;  // room wanted before a listing goes on
inline constexpr uint32_t kOutputLineMax = 1200;      // one line of a listing
inline constexpr uint32_t kInputBatch = 64;           // bytes of input per turn
inline constexpr uint32_t kEscapeBytesMax = 16;       // an escape sequence; longer ones are skipped
inline constexpr uint32_t kCandidateMax = 64;
inline constexpr uint32_t kStatusNodeMax = 96;
inline constexpr uint32_t kCommandMax = 128;
inline constexpr uint32_t kTerminalColumns = 80;
inline constexpr uint32_t kTerminalRows = 24;
inline constexpr uint32_t kTerminalColumnsMin = 20;
inline constexpr uint32_t kTerminalColumnsMax = 500;
inline constexpr uint32_t kTerminalRowsMin = 4;
inline constexpr uint32_t kTerminalRowsMax = 500;
inline constexpr uint32_t kAdministratorMax = 8;
inline constexpr uint32_t kLoginEntryMax = 48;  // names whose failures are remembered
static_assert(kLoginEntryMax > 2 * kAdministratorMax, "accounts keep two entries each");
inline constexpr uint32_t kIntrusionEntryMax = 256;  // source addresses with failures
inline constexpr uint32_t kSessionMax = 64;
inline constexpr uint32_t kFeedbackMax = 15;      // expressions of one session
inline constexpr uint32_t kFeedbackTextMax = 96;  // one of them
inline constexpr uint32_t kFeedbackLineMax = 64;  // lines of xStatus followed by one of them
inline constexpr int64_t kFeedbackPeriodMilliseconds = 1000;
inline constexpr int64_t kLoginDelayMaxSeconds = 60;
inline constexpr uint32_t kFolderMax = 8;
inline constexpr uint32_t kFolderFileMax = 64;  // files of one folder
inline constexpr uint32_t kFileNameMax = 80;
inline constexpr uint32_t kFilePathMax = 128;
inline constexpr uint32_t kOpenFileMax = 32;         // of all clients
inline constexpr uint32_t kSftpHandleMax = 8;        // of one client
inline constexpr uint32_t kSftpDataMax = 32 * 1024;  // of one read or write
inline constexpr uint32_t kSftpNamesMax = 64;        // of one answer
inline constexpr uint32_t kScpLineMax = 256;         // "C0644 1234 name"
inline constexpr uint32_t kScpBufferBytes = 16 * 1024;
inline constexpr int64_t kDeferredWaitMaxMilliseconds = 500;

}  // namespace gh::admin
