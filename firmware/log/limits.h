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
inline constexpr uint32_t kSyslogLookMax = 256;  // events looked at for it
// Of TLS sessions to all servers: one in its handshake, the others past it.
inline constexpr uint64_t kSyslogTlsHeap = 512 * 1024;
inline constexpr int64_t kReconnectMinSeconds = 1;
inline constexpr int64_t kReconnectMaxSeconds = 60;
inline constexpr int64_t kConnectTimeoutSeconds = 10;
inline constexpr int64_t kSuppressedReportSeconds = 10;
// Crash records on the log partition: two marks and a ring of records, from its first block.
inline constexpr uint32_t kCrashSlotCount = 16;
inline constexpr uint32_t kCrashMarkBytes = 4096;
inline constexpr uint32_t kCrashSlotBytes = 8192;
inline constexpr uint64_t kCrashAreaBytes = 2 * kCrashMarkBytes + kCrashSlotCount * kCrashSlotBytes;
// The event log behind them.
inline constexpr uint32_t kEventPageBytes = 4096;
inline constexpr uint64_t kEventPagesMin = 16;
// On a partition of this size or more the last part of it is for files (firmware/sealed_files.h).
inline constexpr uint64_t kFilesPartitionMin = 16u << 20;
inline constexpr uint64_t kEventBytesMin = 8u << 20;  // events' part then, or a quarter
constexpr uint64_t EventBytesOf(uint64_t partition) {
  const uint64_t quarter = partition / 4 / kEventPageBytes * kEventPageBytes;
  return partition < kFilesPartitionMin ? partition
         : quarter < kEventBytesMin     ? kEventBytesMin
                                        : quarter;
}
inline constexpr uint32_t kEventBatchMax = 24;             // events that are written at once
inline constexpr int64_t kEventBatchMilliseconds = 500;    // and how long fewer wait
inline constexpr uint32_t kRunIdBytes = 16;
inline constexpr uint32_t kFlushTurnsMax = 10'000'000;     // polls of the disk at an orderly end
inline constexpr uint8_t kLevelMin = 1;
inline constexpr uint8_t kLevelMax = 4;

}  // namespace gh::log
