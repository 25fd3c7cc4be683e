#include "board/pc/crash.h"

#include <atomic>
#include <cstring>
#include <span>

#include "board/pc/apic.h"
#include "board/pc/cpu.h"
#include "board/pc/image_layout.h"
#include "board/pc/limits.h"
#include "board/pc/power.h"
#include "board/pc/print.h"
#include "board/pc/stacks.h"
#include "board/pc/uart.h"
#include "hal/rt/assert.h"
#include "hal/rt/bytes.h"
#include "hal/rt/crash_record.h"
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
  uint8_t crash[kCrashRecordBytesMax];  // encoded, see hal/rt/crash_record.h
};
static_assert(sizeof(PersistentRecord) <= boot::kPersistentSize);

constinit PersistentRecord* persistent = nullptr;
constexpr uint32_t kNobody = UINT32_MAX;
constinit std::atomic<uint32_t> crashing_processor = kNobody;
constinit uint32_t apic_ids[kProcessorMax] = {kNobody, kNobody};
constinit hal::Clock* crash_clock = nullptr;
constinit hal::CrashWitness* crash_witness = nullptr;
// Static: a panic has no stack to spare.
CrashRecord record;
constinit uint8_t encoded[kCrashRecordBytesMax] = {};
constinit uint8_t text[kCrashTextMax] = {};
constinit uint8_t previous_encoded[kCrashRecordBytesMax] = {};
constinit uint32_t previous_size = 0;
constinit uint64_t own_registers[15] = {};

uint32_t ChecksumOf(const PersistentRecord& kept) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(&kept);
  constexpr size_t kStart = offsetof(PersistentRecord, state);
  return Crc32({bytes + kStart, sizeof(PersistentRecord) - kStart});
}

bool IsValid(const PersistentRecord& kept) {
  return kept.magic == PersistentRecord::kMagic && kept.crash_size <= kCrashRecordBytesMax &&
         kept.checksum == ChecksumOf(kept);
}

void WriteRecord(PersistentRecord::State state, std::span<const uint8_t> crash) {
  if (persistent == nullptr) {
    return;
  }
  GH_ASSERT_LE(crash.size(), kCrashRecordBytesMax);
  std::memset(persistent, 0, sizeof(*persistent));
  persistent->state = state;
  persistent->crash_size = static_cast<uint32_t>(crash.size());
  if (!crash.empty()) {
    std::memcpy(persistent->crash, crash.data(), crash.size());
  }
  persistent->checksum = ChecksumOf(*persistent);
  persistent->magic = PersistentRecord::kMagic;
}

const char* TrapName(uint64_t vector) {
  constexpr const char* kNames[] = {"divide error",
                                    "debug",
                                    "NMI",
                                    "breakpoint",
                                    "overflow",
                                    "bound range",
                                    "invalid opcode",
                                    "device not available",
                                    "double fault",
                                    "coprocessor overrun",
                                    "invalid TSS",
                                    "segment not present",
                                    "stack fault",
                                    "general protection",
                                    "page fault",
                                    "reserved 15",
                                    "x87 error",
                                    "alignment check",
                                    "machine check",
                                    "SIMD error",
                                    "virtualisation",
                                    "control protection"};
  return vector < sizeof(kNames) / sizeof(kNames[0]) ? kNames[vector] : "reserved";
}

bool InText(uint64_t address) {
  return address >= AddressOf(__text_start) && address < AddressOf(__text_end);
}

// Follows frame pointers as long as they lie in our stacks and rise.
void AddBacktrace(uint64_t rip, uint64_t rbp) {
  record.AddBacktrace(rip);
  for (uint32_t depth = 0; depth < kCrashBacktraceMax; ++depth) {
    if (rbp % 8 != 0 || !InStack(rbp) || !InStack(rbp + 15)) {
      return;
    }
    const auto* frame = reinterpret_cast<const uint64_t*>(rbp);
    if (!InText(frame[1])) {
      return;
    }
    record.AddBacktrace(frame[1]);
    if (frame[0] <= rbp) {
      return;
    }
    rbp = frame[0];
  }
}

void AddRegisters(const TrapFrame& f) {
  record.architecture = CrashArchitecture::kX86_64;
  for (uint64_t value :
       {f.rax, f.rbx, f.rcx, f.rdx, f.rsi, f.rdi, f.rbp, f.rsp,    f.r8,      f.r9,
        f.r10, f.r11, f.r12, f.r13, f.r14, f.r15, f.rip, f.rflags, ReadCr2(), ReadCr3()}) {
    record.AddRegister(value);
  }
}

// A second crash while writing the first: keep what is there, reset. The other processor is stopped
// by an NMI, which also comes here and goes no further.
void EnterCrash() {
  DisableInterrupts();
  uint32_t first = kNobody;
  const uint32_t own = ThisProcessor();
  if (!crashing_processor.compare_exchange_strong(first, own)) {
    if (first == own) {
      ResetMachine();
    }
    HaltForever();
  }
  if (const uint32_t other = apic_ids[kProcessorMax - 1 - own]; other != kNobody) {
    LocalApic::SendNmi(other);
  }
  record.build_id.Assign(kBuildId);
  record.image_base = AddressOf(__image_start);
  if (crash_clock != nullptr) {
    record.uptime_ns = crash_clock->Now().ns;
    const WallTime wall = crash_clock->Wall();
    record.unix_ns = wall.is_set ? wall.unix_ns : 0;
  }
}

void KeepRecord() {
  const Result<uint32_t> size = EncodeCrashRecord(record, encoded);
  if (size.ok()) {
    WriteRecord(PersistentRecord::State::kCrashed, std::span(encoded).first(*size));
  }
}

[[noreturn]] void Finish() {
  // Kept before the firmware is asked: should that crash in its turn, this much remains.
  KeepRecord();
  if (crash_witness != nullptr) {
    crash_witness->Describe(record);
    KeepRecord();
  }
  ByteWriter out(text);
  FormatCrashRecord(record, out);
  console_uart.Detach();
  PrintText("\r\n*** CRASH RECORD, Gatehouse ");
  PrintText(kVersion);
  PrintText(" commit ");
  PrintText(kCommit);
  PrintText("\r\n");
  PrintLines(out.text());
  PrintText("*** resetting ***\r\n");
  ResetMachine();
}

// The registers as they are here, a few calls after the mistake: what a caller must preserve is
// still its own; rip is where the failed check returns to.
[[gnu::noinline]] void AddOwnRegisters() {
  TrapFrame f = {};
  asm volatile(
      "movq %%rax, 0(%0)\n movq %%rbx, 8(%0)\n movq %%rcx, 16(%0)\n movq %%rsi, 24(%0)\n"
      "movq %%r8, 32(%0)\n movq %%r9, 40(%0)\n movq %%r10, 48(%0)\n movq %%r11, 56(%0)\n"
      "movq %%r12, 64(%0)\n movq %%r13, 72(%0)\n movq %%r14, 80(%0)\n movq %%r15, 88(%0)\n"
      "movq %%rdi, 96(%0)\n movq %%rsp, 104(%0)\n pushfq\n popq 112(%0)\n"
      :
      : "d"(own_registers)
      : "memory");
  const uint64_t* own = own_registers;
  f.rax = own[0], f.rbx = own[1], f.rcx = own[2], f.rsi = own[3];
  f.r8 = own[4], f.r9 = own[5], f.r10 = own[6], f.r11 = own[7];
  f.r12 = own[8], f.r13 = own[9], f.r14 = own[10], f.r15 = own[11];
  f.rdi = own[12], f.rsp = own[13], f.rflags = own[14];
  const auto* frame = static_cast<const uint64_t*>(__builtin_frame_address(0));
  f.rbp = frame[0];
  f.rip = record.backtrace_count != 0 ? record.backtrace[0] : frame[1];
  AddRegisters(f);
}

[[noreturn]] void OnPanic(const PanicInfo& info) {
  EnterCrash();
  record.SetPanic(info);
  const auto* frame = static_cast<const uint64_t*>(__builtin_frame_address(0));
  AddBacktrace(frame[1], frame[0]);
  AddOwnRegisters();
  Finish();
}

}  // namespace

void InitialiseCrash(uint64_t persistent_start, uint64_t persistent_size) {
  SetPanicHandler(OnPanic);
  if (persistent_start != 0 && persistent_size >= sizeof(PersistentRecord)) {
    persistent = reinterpret_cast<PersistentRecord*>(persistent_start);
  }
}

void SetOtherProcessors(uint32_t boot_apic_id, uint32_t media_apic_id) {
  apic_ids[kBootProcessor] = boot_apic_id;
  apic_ids[kMediaProcessor] = media_apic_id;
}

void SetCrashClock(hal::Clock& clock) { crash_clock = &clock; }
void SetCrashWitness(hal::CrashWitness* witness) { crash_witness = witness; }

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
  previous_size = persistent->crash_size;
  std::memcpy(previous_encoded, persistent->crash, previous_size);
  const std::span<const uint8_t> previous(previous_encoded, previous_size);
  if (previous_size != 0 && DecodeCrashRecord(previous, record).ok()) {
    run.crash = previous;
  } else {
    previous_size = 0;
  }
  record = CrashRecord();
  // The record stays until ClearCrash(): a reset before it was reported must not lose it.
  WriteRecord(PersistentRecord::State::kRunning, previous.first(previous_size));
  return run;
}

std::span<const uint8_t> RecordSilentReset() {
  if (previous_size != 0) {
    return {previous_encoded, previous_size};
  }
  record.cause = CrashCause::kWatchdog;
  record.message.Assign("the hardware's watchdog reset the machine; no record was left");
  previous_size = EncodeCrashRecord(record, previous_encoded).value_or(0);
  record = CrashRecord();
  WriteRecord(PersistentRecord::State::kRunning, {previous_encoded, previous_size});
  return {previous_encoded, previous_size};
}

void ClearCrash() {
  previous_size = 0;
  WriteRecord(PersistentRecord::State::kRunning, {});
}

void MarkRestart() {
  WriteRecord(PersistentRecord::State::kRestarting, {previous_encoded, previous_size});
}

void CrashOnTrap(const TrapFrame& frame) {
  EnterCrash();
  const uint64_t address = ReadCr2();
  const bool is_guard = (frame.vector == 14 || frame.vector == 8) && !InStack(address) &&
                        (InStack(address + kPageSize) || InStack(address - kPageSize));
  record.cause = is_guard ? CrashCause::kStackOverflow : CrashCause::kException;
  record.message.Assign(TrapName(frame.vector));
  record.has_values = true;
  record.left = static_cast<int64_t>(frame.vector);
  record.right = static_cast<int64_t>(frame.error);
  AddRegisters(frame);
  AddBacktrace(frame.rip, frame.rbp);
  Finish();
}

void CrashOnHang(const TrapFrame& frame) {
  EnterCrash();
  record.cause = CrashCause::kWatchdog;
  record.message.Assign("the loop has not turned");
  AddRegisters(frame);
  AddBacktrace(frame.rip, frame.rbp);
  Finish();
}

void CrashOnNeglect() {
  EnterCrash();
  record.cause = CrashCause::kWatchdog;
  record.message.Assign("the loop turns, but its work does not");
  const auto* frame = static_cast<const uint64_t*>(__builtin_frame_address(0));
  AddBacktrace(frame[1], frame[0]);
  AddOwnRegisters();
  Finish();
}

}  // namespace gh::pc
