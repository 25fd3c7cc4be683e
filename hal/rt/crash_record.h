// CrashRecord: what the machine knew when it gave up, kept over the reset for the next boot to
// tell.
//
// A board's panic path fills one (it is static there: a panic has no stack to spare), encodes it to
// wherever survives a reset, and the next boot decodes it: those bytes may be anything, so Decode
// checks every length and the CRC and never trusts a count. Encoded form, little-endian, at most
// kCrashRecordBytesMax bytes, zero-padding after it ignored:
//
//   "GHCR"  version:16  cause:8  flags:8  size:32 (of everything, CRC included)
//   uptime_ns:64 unix_ns:64 left:64 right:64 image_base:64 line:32
//   build_id, message, file (each size:16 and bytes)
//   registers (architecture:8 count:8, 64 each)  backtrace (count:8, 64 each)
//   trace (count:8; time:64 id:32 first:64 second:64 each)  event text (size:16 and bytes)
//   CRC-32 of all before it
//
// When it would not fit, the oldest event text and then the oldest trace points are left out.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "hal/rt/assert.h"
#include "hal/rt/bytes.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/limits.h"
#include "hal/rt/result.h"
#include "hal/rt/trace.h"

namespace gh {

enum class CrashCause : uint8_t {
  kAssertion = 1,  // message, file, line, values
  kException = 2,  // message names the exception; values: its vector and error code
  kWatchdog = 3,   // found by a warning interrupt ahead of the reset
  kStackOverflow = 4,
};
const char* CrashCauseName(CrashCause cause);  // never null

// Which registers `registers` holds, in which order.
enum class CrashArchitecture : uint8_t {
  kNone = 0,
  // rax rbx rcx rdx rsi rdi rbp rsp r8..r15 rip rflags cr2 cr3
  kX86_64 = 1,
};
inline constexpr uint32_t kCrashX86RegisterCount = 20;

struct CrashRecord {
  CrashCause cause = CrashCause::kAssertion;
  bool has_values = false;
  int64_t uptime_ns = 0;
  int64_t unix_ns = 0;  // 0: the time was not known
  int64_t left = 0;
  int64_t right = 0;
  uint64_t image_base = 0;  // subtract from code addresses to look them up in the image's symbols
  uint32_t line = 0;
  FixedString<kCrashBuildIdMax> build_id;
  FixedString<kCrashMessageMax> message;
  FixedString<kCrashFileMax> file;
  CrashArchitecture architecture = CrashArchitecture::kNone;
  uint32_t register_count = 0;
  std::array<uint64_t, kCrashRegisterMax> registers = {};
  uint32_t backtrace_count = 0;
  std::array<uint64_t, kCrashBacktraceMax> backtrace = {};
  uint32_t trace_count = 0;
  std::array<TracePoint, kCrashTraceMax> trace = {};  // oldest first
  FixedString<kCrashEventTextMax> event_text;         // the last events, as the console showed them

  void SetPanic(const PanicInfo& info);
  void AddRegister(uint64_t value);          // drops what does not fit
  void AddBacktrace(uint64_t address);       // likewise
  void SetTrace(const TraceRing& ring);      // the latest points
  void SetEventText(std::string_view text);  // keeps the end of it
};

// One line: "assertion: a < b at net/steering.cc:42 (left -7, right 9)"; printable characters only.
void FormatCrashSummary(const CrashRecord& record, ByteWriter& out);
// Bytes written; kTooLarge when `out` cannot hold the record even without trace and event text.
Result<uint32_t> EncodeCrashRecord(const CrashRecord& record, std::span<uint8_t> out);
// kNotFound: no record begins here. kIncompatible: another version. kTruncated, kMalformed,
// kCorrupt. `record` is defined only on success.
Result<void> DecodeCrashRecord(std::span<const uint8_t> bytes, CrashRecord& record);
// Lines of text for the console and the log, LF-terminated; cut where `out` is full. Bytes that are
// not printable ASCII are written as '?': the text may come from a damaged machine.
void FormatCrashRecord(const CrashRecord& record, ByteWriter& out);

}  // namespace gh
