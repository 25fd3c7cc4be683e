#include "hal/rt/crash_record.h"

#include <algorithm>

#include "hal/rt/crc32.h"

namespace gh {
namespace {

constexpr uint32_t kMagic = 0x52434847;  // "GHCR"
constexpr uint16_t kVersion = 1;
constexpr uint8_t kFlagHasValues = 1 << 0;
constexpr size_t kSizeOffset = 8;
constexpr size_t kHeadBytes = 12;
constexpr size_t kCrcBytes = 4;
constexpr size_t kTracePointBytes = 28;

constexpr size_t kFixedBytesMax = kHeadBytes + 5 * 8 + 4 + 3 * 2 + kCrashBuildIdMax +
                                  kCrashMessageMax + kCrashFileMax + 2 + kCrashRegisterMax * 8 + 1 +
                                  kCrashBacktraceMax * 8 + 1 + 2 + kCrcBytes;
static_assert(kFixedBytesMax + kCrashTraceMax * kTracePointBytes + kCrashEventTextMax <=
              kCrashRecordBytesMax);
static_assert(kCrashRegisterMax <= UINT8_MAX && kCrashBacktraceMax <= UINT8_MAX);
static_assert(kCrashTraceMax <= UINT8_MAX && kCrashEventTextMax <= UINT16_MAX);
static_assert(kCrashX86RegisterCount <= kCrashRegisterMax);

constexpr const char* kX86Names[kCrashX86RegisterCount] = {
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp",    "r8",  "r9",
    "r10", "r11", "r12", "r13", "r14", "r15", "rip", "rflags", "cr2", "cr3"};

void WriteText(ByteWriter& writer, std::string_view text) {
  writer.U16Le(static_cast<uint16_t>(text.size()));
  writer.Text(text);
}

template <uint32_t N>
bool ReadText(ByteReader& reader, FixedString<N>& text) {
  const uint16_t size = reader.U16Le();
  return size <= N && text.Assign(AsText(reader.Take(size)));
}

template <size_t N>
bool ReadWords(ByteReader& reader, std::array<uint64_t, N>& words, uint32_t& count) {
  count = reader.U8();
  if (count > N) {
    return false;
  }
  for (uint32_t i = 0; i < count; ++i) {
    words[i] = reader.U64Le();
  }
  return true;
}

void WriteHead(const CrashRecord& record, ByteWriter& writer) {
  writer.U32Le(kMagic);
  writer.U16Le(kVersion);
  writer.U8(static_cast<uint8_t>(record.cause));
  writer.U8(record.has_values ? kFlagHasValues : 0);
  writer.U32Le(0);  // size, known at the end
  writer.U64Le(static_cast<uint64_t>(record.uptime_ns));
  writer.U64Le(static_cast<uint64_t>(record.unix_ns));
  writer.U64Le(static_cast<uint64_t>(record.left));
  writer.U64Le(static_cast<uint64_t>(record.right));
  writer.U64Le(record.image_base);
  writer.U32Le(record.line);
  WriteText(writer, record.build_id);
  WriteText(writer, record.message);
  WriteText(writer, record.file);
}

bool ReadTrace(ByteReader& reader, CrashRecord& record) {
  record.trace_count = reader.U8();
  if (record.trace_count > kCrashTraceMax) {
    return false;
  }
  for (uint32_t i = 0; i < record.trace_count; ++i) {
    TracePoint& point = record.trace[i];
    point.time_ns = static_cast<int64_t>(reader.U64Le());
    point.id = reader.U32Le();
    point.first = reader.U64Le();
    point.second = reader.U64Le();
  }
  return true;
}

// After the head's magic, version and size, within the CRC's protection.
bool ReadBody(ByteReader& reader, CrashRecord& record) {
  record.uptime_ns = static_cast<int64_t>(reader.U64Le());
  record.unix_ns = static_cast<int64_t>(reader.U64Le());
  record.left = static_cast<int64_t>(reader.U64Le());
  record.right = static_cast<int64_t>(reader.U64Le());
  record.image_base = reader.U64Le();
  record.line = reader.U32Le();
  if (!ReadText(reader, record.build_id) || !ReadText(reader, record.message) ||
      !ReadText(reader, record.file)) {
    return false;
  }
  const uint8_t architecture = reader.U8();
  if (architecture > static_cast<uint8_t>(CrashArchitecture::kX86_64)) {
    return false;
  }
  record.architecture = static_cast<CrashArchitecture>(architecture);
  return ReadWords(reader, record.registers, record.register_count) &&
         ReadWords(reader, record.backtrace, record.backtrace_count) && ReadTrace(reader, record) &&
         ReadText(reader, record.event_text) && reader.ok() && reader.at_end();
}

// Text from a damaged machine: no control characters reach a terminal or a log line.
void WritePrintable(ByteWriter& out, std::string_view text) {
  for (char c : text) {
    out.Char(c >= ' ' && c <= '~' ? c : '?');
  }
}

void WriteSeconds(ByteWriter& out, int64_t ns) {
  const uint64_t magnitude = ns < 0 ? 0 : static_cast<uint64_t>(ns);
  const uint64_t microseconds = magnitude / 1'000 % 1'000'000;
  out.Decimal(magnitude / 1'000'000'000);
  out.Char('.');
  for (uint64_t unit = 100'000; unit > 0; unit /= 10) {
    out.Decimal(microseconds / unit % 10);
  }
}

void FormatRegisters(const CrashRecord& record, ByteWriter& out) {
  const bool named = record.architecture == CrashArchitecture::kX86_64;
  for (uint32_t i = 0; i < record.register_count; ++i) {
    out.Text(i % 4 == 0 ? "  " : " ");
    if (named && i < kCrashX86RegisterCount) {
      out.Text(kX86Names[i]);
    } else {
      out.Char('#');
      out.Decimal(i);
    }
    out.Char('=');
    out.Hex(record.registers[i], 16);
    if (i % 4 == 3 || i + 1 == record.register_count) {
      out.Char('\n');
    }
  }
}

void FormatBacktrace(const CrashRecord& record, ByteWriter& out) {
  if (record.backtrace_count == 0) {
    return;
  }
  out.Text("  image base ");
  out.Hex(record.image_base, 16);
  out.Text(", backtrace (offsets in the image):\n");
  for (uint32_t i = 0; i < record.backtrace_count; ++i) {
    out.Text("    ");
    out.Hex(record.backtrace[i] - record.image_base, 8);
    out.Char('\n');
  }
}

void FormatTrace(const CrashRecord& record, ByteWriter& out) {
  for (uint32_t i = 0; i < record.trace_count; ++i) {
    const TracePoint& point = record.trace[i];
    out.Text("  trace ");
    WriteSeconds(out, point.time_ns);
    out.Text(" id ");
    out.Hex(point.id, 8);
    out.Char(' ');
    out.Hex(point.first);
    out.Char(' ');
    out.Hex(point.second);
    out.Char('\n');
  }
}

void FormatEvents(const CrashRecord& record, ByteWriter& out) {
  std::string_view text = record.event_text;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    out.Text("  event ");
    WritePrintable(out, text.substr(0, end));
    out.Char('\n');
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

}  // namespace

const char* CrashCauseName(CrashCause cause) {
  switch (cause) {
    case CrashCause::kAssertion:
      return "assertion";
    case CrashCause::kException:
      return "exception";
    case CrashCause::kWatchdog:
      return "watchdog";
    case CrashCause::kStackOverflow:
      return "stack overflow";
  }
  return "unknown";
}

void CrashRecord::SetPanic(const PanicInfo& info) {
  cause = CrashCause::kAssertion;
  message.Assign(info.message);
  file.Assign(info.file);
  line = info.line;
  has_values = info.has_values;
  left = info.left;
  right = info.right;
}

void CrashRecord::AddRegister(uint64_t value) {
  if (register_count < registers.size()) {
    registers[register_count++] = value;
  }
}

void CrashRecord::AddBacktrace(uint64_t address) {
  if (backtrace_count < backtrace.size()) {
    backtrace[backtrace_count++] = address;
  }
}

void CrashRecord::SetTrace(const TraceRing& ring) { trace_count = ring.Latest(trace); }

void CrashRecord::SetEventText(std::string_view text) {
  if (text.size() > kCrashEventTextMax) {
    text.remove_prefix(text.size() - kCrashEventTextMax);
  }
  event_text.Assign(text);
}

Result<uint32_t> EncodeCrashRecord(const CrashRecord& record, std::span<uint8_t> out) {
  ByteWriter writer(out.first(std::min<size_t>(out.size(), kCrashRecordBytesMax)));
  WriteHead(record, writer);
  const uint32_t register_count = std::min(record.register_count, kCrashRegisterMax);
  const uint32_t backtrace_count = std::min(record.backtrace_count, kCrashBacktraceMax);
  writer.U8(static_cast<uint8_t>(record.architecture));
  writer.U8(static_cast<uint8_t>(register_count));
  for (uint32_t i = 0; i < register_count; ++i) {
    writer.U64Le(record.registers[i]);
  }
  writer.U8(static_cast<uint8_t>(backtrace_count));
  for (uint32_t i = 0; i < backtrace_count; ++i) {
    writer.U64Le(record.backtrace[i]);
  }
  constexpr size_t kTailBytes = 1 + 2 + kCrcBytes;
  if (!writer.ok() || writer.room() < kTailBytes) {
    return Error(ErrorCode::kTooLarge, "crash record does not fit its place");
  }
  const size_t room = writer.room() - kTailBytes;
  const auto trace_fit = static_cast<uint32_t>(room / kTracePointBytes);
  GH_ASSERT_LE(record.trace_count, kCrashTraceMax);
  const uint32_t trace_count = std::min(record.trace_count, trace_fit);
  writer.U8(static_cast<uint8_t>(trace_count));
  for (uint32_t i = record.trace_count - trace_count; i < record.trace_count; ++i) {
    const TracePoint& point = record.trace[i];
    writer.U64Le(static_cast<uint64_t>(point.time_ns));
    writer.U32Le(point.id);
    writer.U64Le(point.first);
    writer.U64Le(point.second);
  }
  std::string_view text = record.event_text;
  text.remove_prefix(text.size() - std::min(text.size(), room - trace_count * kTracePointBytes));
  WriteText(writer, text);
  const auto size = static_cast<uint32_t>(writer.size() + kCrcBytes);
  ByteWriter(out.subspan(kSizeOffset, 4)).U32Le(size);
  writer.U32Le(Crc32(writer.written()));
  GH_ASSERT(writer.ok());
  return size;
}

Result<void> DecodeCrashRecord(std::span<const uint8_t> bytes, CrashRecord& record) {
  ByteReader head(bytes.first(std::min(bytes.size(), kHeadBytes)));
  if (head.U32Le() != kMagic) {
    return Error(ErrorCode::kNotFound, "no crash record");
  }
  const uint16_t version = head.U16Le();
  const uint8_t cause = head.U8();
  const uint8_t flags = head.U8();
  const uint32_t size = head.U32Le();
  if (!head.ok()) {
    return Error(ErrorCode::kTruncated, "crash record is cut short");
  }
  if (version != kVersion) {
    return Error(ErrorCode::kIncompatible, "crash record of another version");
  }
  if (size < kHeadBytes + kCrcBytes || size > kCrashRecordBytesMax) {
    return Error(ErrorCode::kMalformed, "crash record size out of range");
  }
  if (size > bytes.size()) {
    return Error(ErrorCode::kTruncated, "crash record is cut short");
  }
  const auto covered = bytes.first(size - kCrcBytes);
  if (ByteReader(bytes.subspan(covered.size(), kCrcBytes)).U32Le() != Crc32(covered)) {
    return Error(ErrorCode::kCorrupt, "crash record checksum");
  }
  if (cause < static_cast<uint8_t>(CrashCause::kAssertion) ||
      cause > static_cast<uint8_t>(CrashCause::kStackOverflow) || (flags & ~kFlagHasValues) != 0) {
    return Error(ErrorCode::kMalformed, "crash record cause or flags");
  }
  record.cause = static_cast<CrashCause>(cause);
  record.has_values = (flags & kFlagHasValues) != 0;
  ByteReader body(covered.subspan(kHeadBytes));
  if (!ReadBody(body, record)) {
    return Error(ErrorCode::kMalformed, "crash record fields");
  }
  return {};
}

void FormatCrashSummary(const CrashRecord& record, ByteWriter& out) {
  out.Text(CrashCauseName(record.cause));
  out.Text(": ");
  WritePrintable(out, record.message);
  if (!record.file.empty()) {
    out.Text(" at ");
    WritePrintable(out, record.file);
    out.Char(':');
    out.Decimal(record.line);
  }
  if (record.has_values) {
    out.Text(" (left ");
    out.SignedDecimal(record.left);
    out.Text(", right ");
    out.SignedDecimal(record.right);
    out.Char(')');
  }
}

void FormatCrashRecord(const CrashRecord& record, ByteWriter& out) {
  out.Text("crash: ");
  FormatCrashSummary(record, out);
  out.Text("\n  build ");
  WritePrintable(out, record.build_id);
  out.Text(", up ");
  WriteSeconds(out, record.uptime_ns);
  out.Text(" s, unix time ");
  out.Decimal(record.unix_ns < 0 ? 0 : static_cast<uint64_t>(record.unix_ns) / 1'000'000'000);
  out.Char('\n');
  FormatRegisters(record, out);
  FormatBacktrace(record, out);
  FormatTrace(record, out);
  FormatEvents(record, out);
}

}  // namespace gh
