#include "board/pc/crash.h"

#include <cstring>
#include <span>

#include "board/pc/cpu.h"
#include "board/pc/image_layout.h"
#include "board/pc/limits.h"
#include "board/pc/power.h"
#include "board/pc/print.h"
#include "board/pc/stacks.h"
#include "board/pc/uart.h"
#include "hal/rt/assert.h"
#include "hal/rt/bytes.h"
#include "hal/rt/crc32.h"
#include "version.h"

namespace gh::pc {
namespace {

// In RAM that survives a reset. `checksum` covers everything after it.
struct PersistentRecord {
  static constexpr uint64_t kMagic = 0x31545352504847;  // "GHPRST1"
  enum class State : uint32_t { kRunning = 1, kRestarting = 2, kCrashed = 3 };
  uint64_t magic;
  uint32_t checksum;
  State state;
  uint32_t crash_size;
  uint8_t crash[kCrashTextMax];
};
static_assert(sizeof(PersistentRecord) <= boot::kPersistentSize);

constinit PersistentRecord* persistent = nullptr;
constinit bool is_crashing = false;
constinit char previous_crash[kCrashTextMax] = {};
constinit uint8_t crash_text[kCrashTextMax] = {};

uint32_t ChecksumOf(const PersistentRecord& record) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(&record);
  constexpr size_t kStart = offsetof(PersistentRecord, state);
  return Crc32({bytes + kStart, sizeof(PersistentRecord) - kStart});
}

bool IsValid(const PersistentRecord& record) {
  return record.magic == PersistentRecord::kMagic && record.crash_size <= kCrashTextMax &&
         record.checksum == ChecksumOf(record);
}

void WriteRecord(PersistentRecord::State state, std::string_view crash) {
  if (persistent == nullptr) {
    return;
  }
  const size_t size = crash.size() < kCrashTextMax ? crash.size() : kCrashTextMax;
  std::memset(persistent, 0, sizeof(*persistent));
  persistent->state = state;
  persistent->crash_size = static_cast<uint32_t>(size);
  std::memcpy(persistent->crash, crash.data(), size);
  persistent->checksum = ChecksumOf(*persistent);
  persistent->magic = PersistentRecord::kMagic;
}

const char* TrapName(uint64_t vector) {
  constexpr const char* kNames[] = {
      "divide error", "debug", "NMI", "breakpoint", "overflow", "bound range", "invalid opcode",
      "device not available", "double fault", "coprocessor overrun", "invalid TSS",
      "segment not present", "stack fault", "general protection", "page fault", "reserved 15",
      "x87 error", "alignment check", "machine check", "SIMD error", "virtualisation",
      "control protection"};
  return vector < sizeof(kNames) / sizeof(kNames[0]) ? kNames[vector] : "reserved";
}

bool InText(uint64_t address) {
  return address >= AddressOf(__text_start) && address < AddressOf(__text_end);
}

// A place in the image as an offset that addr2line takes; anything else as it is.
void AppendPlace(ByteWriter& out, uint64_t address) {
  if (InText(address)) {
    out.Text("gatehouse+");
    Append(out, Hex{address - AddressOf(__image_start)});
    return;
  }
  Append(out, Hex{address});
}

// Follows frame pointers as long as they lie in our stacks and rise.
void AppendBacktrace(ByteWriter& out, uint64_t rip, uint64_t rbp) {
  out.Text("backtrace: ");
  AppendPlace(out, rip);
  for (uint32_t depth = 0; depth < kBacktraceMax; ++depth) {
    if (rbp % 8 != 0 || !InStack(rbp) || !InStack(rbp + 15)) {
      break;
    }
    const auto* frame = reinterpret_cast<const uint64_t*>(rbp);
    if (!InText(frame[1])) {
      break;
    }
    out.Char(' ');
    AppendPlace(out, frame[1]);
    if (frame[0] <= rbp) {
      break;
    }
    rbp = frame[0];
  }
  out.Text("\r\n");
}

void AppendRegisters(ByteWriter& out, const TrapFrame& f) {
  const struct {
    const char* name;
    uint64_t value;
  } rows[] = {{"rax", f.rax}, {"rbx", f.rbx}, {"rcx", f.rcx},    {"rdx", f.rdx},
              {"rsi", f.rsi}, {"rdi", f.rdi}, {"rbp", f.rbp},    {"rsp", f.rsp},
              {"r8 ", f.r8},  {"r9 ", f.r9},  {"r10", f.r10},    {"r11", f.r11},
              {"r12", f.r12}, {"r13", f.r13}, {"r14", f.r14},    {"r15", f.r15},
              {"rip", f.rip}, {"cr2", ReadCr2()}, {"flg", f.rflags}, {"err", f.error}};
  uint32_t column = 0;
  for (const auto& row : rows) {
    out.Text(row.name);
    out.Text("=");
    out.Hex(row.value, 16);
    out.Text(++column % 4 == 0 ? "\r\n" : " ");
  }
}

[[noreturn]] void Finish(const ByteWriter& out) {
  const std::string_view text = out.text();
  WriteRecord(PersistentRecord::State::kCrashed, text);
  console_uart.Detach();
  console_uart.WriteBlocking("\r\n*** CRASH RECORD ***\r\n");
  console_uart.WriteBlocking(text);
  console_uart.WriteBlocking("*** resetting ***\r\n");
  ResetMachine();
}

// A second crash while writing the first: keep what is there, reset.
void EnterCrash() {
  DisableInterrupts();
  if (is_crashing) {
    ResetMachine();
  }
  is_crashing = true;
}

void AppendHead(ByteWriter& out) {
  out.Text("gatehouse ");
  out.Text(kVersion);
  out.Text(" commit ");
  out.Text(kCommit);
  out.Text(" build ");
  out.Text(kBuildId);
  out.Text("\r\n");
}

[[noreturn]] void OnPanic(const PanicInfo& info) {
  EnterCrash();
  ByteWriter out(crash_text);
  AppendHead(out);
  out.Text("panic: ");
  out.Text(info.message);
  out.Text(" at ");
  out.Text(info.file);
  out.Char(':');
  out.Decimal(info.line);
  if (info.has_values) {
    out.Text(" (");
    out.SignedDecimal(info.left);
    out.Text(", ");
    out.SignedDecimal(info.right);
    out.Char(')');
  }
  out.Text("\r\n");
  AppendBacktrace(out, reinterpret_cast<uint64_t>(__builtin_return_address(0)),
                  reinterpret_cast<uint64_t>(__builtin_frame_address(0)));
  Finish(out);
}

}  // namespace

void InitialiseCrash(uint64_t persistent_start, uint64_t persistent_size) {
  SetPanicHandler(OnPanic);
  if (persistent_start != 0 && persistent_size >= sizeof(PersistentRecord)) {
    persistent = reinterpret_cast<PersistentRecord*>(persistent_start);
  }
}

PreviousRun TakePreviousRun() {
  PreviousRun run;
  if (persistent == nullptr) {
    return run;
  }
  if (!IsValid(*persistent)) {
    run.cause = hal::ResetCause::kPowerOn;
    WriteRecord(PersistentRecord::State::kRunning, {});
    return run;
  }
  switch (persistent->state) {
    case PersistentRecord::State::kRestarting:
      run.cause = hal::ResetCause::kRestart;
      break;
    case PersistentRecord::State::kCrashed:
      run.cause = hal::ResetCause::kPanic;
      break;
    case PersistentRecord::State::kRunning:
      break;
  }
  const uint32_t size = persistent->crash_size;
  std::memcpy(previous_crash, persistent->crash, size);
  run.crash = {previous_crash, size};
  // The record stays until ClearCrash(): a reset before it was reported must not lose it.
  WriteRecord(PersistentRecord::State::kRunning, run.crash);
  return run;
}

void ClearCrash() { WriteRecord(PersistentRecord::State::kRunning, {}); }

void MarkRestart() {
  if (persistent != nullptr && IsValid(*persistent)) {
    WriteRecord(PersistentRecord::State::kRestarting,
                {previous_crash, persistent->crash_size});
  }
}

void CrashOnTrap(const TrapFrame& frame) {
  EnterCrash();
  ByteWriter out(crash_text);
  AppendHead(out);
  out.Text("exception: ");
  out.Text(TrapName(frame.vector));
  out.Text(" (");
  out.Decimal(frame.vector);
  out.Text(") at ");
  AppendPlace(out, frame.rip);
  const bool is_guard = frame.vector == 14 && !InStack(ReadCr2()) &&
                        (InStack(ReadCr2() + kPageSize) || InStack(ReadCr2() - kPageSize));
  out.Text(is_guard ? " (stack overflow: guard page)\r\n" : "\r\n");
  AppendRegisters(out, frame);
  AppendBacktrace(out, frame.rip, frame.rbp);
  Finish(out);
}

void CrashOnHang(uint64_t rip, uint64_t rsp, uint64_t rbp) {
  EnterCrash();
  ByteWriter out(crash_text);
  AppendHead(out);
  out.Text("hang: the loop has not turned, at ");
  AppendPlace(out, rip);
  out.Text(" rsp ");
  Append(out, Hex{rsp});
  out.Text("\r\n");
  AppendBacktrace(out, rip, rbp);
  Finish(out);
}

}  // namespace gh::pc
