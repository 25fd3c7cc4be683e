// The limits of the log room.
#pragma once

#include <cstdint>

namespace gh::log {

inline constexpr uint32_t kRecordDataMax = 464;  // field bytes of one event
inline constexpr uint32_t kFieldValueMax = 255;  // bytes of one value; the rest is cut
inline constexpr uint32_t kFieldCountMax = 12;
inline constexpr uint32_t kSyslogServerMax = 4;
inline constexpr uint32_t kSyslogMessageMax = 2048;  // RFC 5424 6.1: receivers SHOULD take it
inline constexpr uint32_t kSyslogFrameMax = kSyslogMessageMax + 8;  // and its octet count
inline constexpr uint32_t kSyslogBatchMax = 16;  // messages to one server in one turn
inline constexpr int64_t kReconnectMinSeconds = 1;
inline constexpr int64_t kReconnectMaxSeconds = 60;
inline constexpr int64_t kConnectTimeoutSeconds = 10;
inline constexpr int64_t kSuppressedReportSeconds = 10;
// Crash records on the log partition: two marks and a ring of records, from its first block.
inline constexpr uint32_t kCrashSlotCount = 16;
inline constexpr uint32_t kCrashMarkBytes = 4096;
inline constexpr uint32_t kCrashSlotBytes = 8192;
inline constexpr uint64_t kCrashAreaBytes = 2 * kCrashMarkBytes + kCrashSlotCount * kCrashSlotBytes;

}  // namespace gh::log
