#include "board/pc/media_processor.h"

#include <algorithm>
#include <cstring>

#include "board/pc/apic.h"
#include "board/pc/control_flow.h"
#include "board/pc/cpu.h"
#include "board/pc/crash.h"
#include "board/pc/image_layout.h"
#include "board/pc/interrupts.h"
#include "board/pc/print.h"
#include "board/pc/stacks.h"
#include "board/pc/trampoline.h"
#include "hal/rt/bytes.h"

namespace gh::pc {
namespace {

constexpr Duration kInitWait = Duration::Milliseconds(10);
constexpr Duration kStartWait = Duration::Microseconds(200);
constexpr Duration kUpWait = Duration::Milliseconds(200);
constexpr Duration kClockSkewMax = Duration::Microseconds(5);
constexpr uint32_t kClockRounds = 16;
constexpr uint32_t kMsrFsBase = 0xc0000100;
constexpr uint32_t kMsrEfer = 0xc0000080;
constexpr uint64_t kCr4ControlFlow = 1ull << 23;
constexpr uint64_t kCr4Xsave = 1ull << 18;

// What the second processor takes over from the first, and the one it works for.
struct Handed {
  MediaProcessor* processor = nullptr;
  uint64_t cr0 = 0;
  uint64_t cr3 = 0;
  uint64_t cr4 = 0;
  uint64_t efer = 0;
  uint64_t fs_base = 0;
  uint64_t xcr0 = 0;
  uint64_t s_cet = 0;
};
constinit Handed handed;

}  // namespace

// On the second processor, in 64-bit mode, on its own stack and the copy of the page tables.
extern "C" [[noreturn, gnu::used, gnu::no_stack_protector]] void gh_start_media() {
  WriteMsr(kMsrEfer, handed.efer);
  WriteCr3(handed.cr3);
  WriteCr0(handed.cr0);
  WriteCr4(handed.cr4 & ~kCr4ControlFlow);
  if ((handed.cr4 & kCr4Xsave) != 0) {
    WriteXcr0(handed.xcr0);
  }
  asm volatile("movl %0, %%fs; movl %0, %%gs" : : "r"(0) : "memory");
  WriteMsr(kMsrFsBase, handed.fs_base);
  UseInterruptTables(kMediaProcessor);
  LocalApic::Enable();
  LocalApic::UseTimer(kVectorMediaTimer);
  if (handed.s_cet != 0) {
    LoadShadowStacks(kMediaProcessor);
    SwitchControlFlowOn(handed.s_cet);
  }
  handed.processor->Run();
}

void MediaProcessor::AddPort(VirtioNet& port) { ports_[port_count_++] = &port; }

Result<void> MediaProcessor::BringUp(PageTables& pages, const MemoryMap& memory,
                                     const MadtInfo& madt) {
  boot_id_ = LocalApic::id();
  apic_id_ = UINT32_MAX;
  for (uint32_t i = madt.cpu_count; i > 0; --i) {
    const uint32_t id = madt.apic_ids[i - 1];
    apic_id_ = id != boot_id_ && LocalApic::Reaches(id) ? id : apic_id_;
  }
  if (apic_id_ == UINT32_MAX) {
    return Error(ErrorCode::kNoDevice, "there is no other processor");
  }
  const boot::MemoryRange low = memory.LargestLow();
  if (low.size < 2 * kPageSize) {
    return Error(ErrorCode::kNoSpace, "no free pages below 1 MiB");
  }
  // The tables' root may lie above 4 GiB, where a processor that comes from real mode cannot look.
  const uint64_t page = low.start + low.size - kPageSize;
  const uint64_t root_copy = page - kPageSize;
  std::memcpy(reinterpret_cast<void*>(root_copy), reinterpret_cast<void*>(pages.root()), kPageSize);
  WriteTrampoline(page, {.page_tables = static_cast<uint32_t>(root_copy),
                         .stack_top = media_stack.top(),
                         .entry = reinterpret_cast<uint64_t>(&gh_start_media)});
  handed = {.processor = this,
            .cr0 = ReadCr0(),
            .cr3 = ReadCr3(),
            .cr4 = ReadCr4(),
            .efer = ReadMsr(kMsrEfer),
            .fs_base = ReadMsr(kMsrFsBase),
            .xcr0 = (ReadCr4() & kCr4Xsave) != 0 ? ReadXcr0() : 0,
            .s_cet = (ReadCr4() & kCr4ControlFlow) != 0 ? ReadMsr(kMsrSupervisorCet) : 0};
  pages.ChangePage(page, PageRights::kExecute);
  const Result<void> started = SendStart(page);
  pages.ChangePage(page, PageRights::kReadWrite);
  GH_TRY(started);
  GH_TRY(CompareClocks());
  ByteWriter name({reinterpret_cast<uint8_t*>(name_), sizeof(name_) - 1});
  name.Text("processor with APIC ");
  name.Decimal(apic_id_);
  SetOtherProcessors(boot_id_, apic_id_);
  return Ok();
}

// A processor that does not answer is put back to waiting for a start, which never comes.
Result<void> MediaProcessor::SendStart(uint64_t page) {
  LocalApic::SendInit(apic_id_);
  BusyWait(clock_, kInitWait);
  for (uint32_t i = 0; i < 2 && !is_up_; ++i) {
    LocalApic::SendStartup(apic_id_, page);
    BusyWait(clock_, kStartWait);
  }
  const Instant end = clock_.Now() + kUpWait;
  while (!is_up_.load(std::memory_order_acquire)) {
    if (clock_.Now() > end) {
      LocalApic::SendInit(apic_id_);
      BusyWait(clock_, kInitWait);
      return Error(ErrorCode::kTimeout, "it does not start");
    }
    Pause();
  }
  return Ok();
}

// Both planes compare times: the processors' counters must be one clock.
Result<void> MediaProcessor::CompareClocks() {
  const uint64_t slack = clock_.TscAt(Instant{} + kClockSkewMax);
  for (uint64_t round = 1; round <= kClockRounds; ++round) {
    const uint64_t before = ReadTsc();
    clock_asked_.store(round, std::memory_order_release);
    const Instant end = clock_.Now() + kUpWait;
    uint64_t told = 0;
    while ((told = clock_told_.load(std::memory_order_acquire)) == 0 && clock_.Now() < end) {
      Pause();
    }
    const uint64_t after = ReadTsc();
    clock_told_.store(0, std::memory_order_release);
    if (told == 0 || told + slack < before || told > after + slack) {
      LocalApic::SendInit(apic_id_);
      return Error(ErrorCode::kUnsupported, "its time stamp counter is not the first one's");
    }
  }
  return Ok();
}

void MediaProcessor::Stop() { LocalApic::SendInit(apic_id_); }

Result<void> MediaProcessor::Start(hal::ProcessorBody& body) {
  for (uint32_t i = 0; i < port_count_; ++i) {
    control_.Remove(*ports_[i]);
    ports_[i]->RouteTo(apic_id_);
  }
  body_.store(&body, std::memory_order_release);
  WakeMedia();
  return Ok();
}

void MediaProcessor::WakeMedia() {
  if (media_flag_.Post()) {
    LocalApic::SendInterrupt(apic_id_, kVectorWake);
  }
}

void MediaProcessor::WakeControl() {
  if (control_.Post()) {
    LocalApic::SendInterrupt(boot_id_, kVectorWake);
  }
}

// With interrupts off from the first question on: what comes after it ends the halt.
void MediaProcessor::Sleep(Instant deadline) {
  DisableInterrupts();
  bool has_work = false;
  for (uint32_t i = 0; i < port_count_; ++i) {
    has_work = ports_[i]->ArmInterrupt() || has_work;
  }
  if (!has_work && media_flag_.BeginSleep()) {
    LocalApic::ArmTimer(clock_.TscAt(std::min(deadline, clock_.Now() + PcIdle::kWakeMax)));
    EnableInterruptsAndHalt();
  }
  EnableInterrupts();
  media_flag_.EndSleep();
}

void MediaProcessor::Run() {
  is_up_.store(true, std::memory_order_release);
  uint64_t answered = 0;
  hal::ProcessorBody* body = nullptr;
  while ((body = body_.load(std::memory_order_acquire)) == nullptr) {
    if (const uint64_t asked = clock_asked_.load(std::memory_order_acquire); asked != answered) {
      answered = asked;
      clock_told_.store(ReadTsc(), std::memory_order_release);
    } else if (answered == kClockRounds) {
      DisableInterrupts();
      if (media_flag_.BeginSleep()) {
        EnableInterruptsAndHalt();
      }
      EnableInterrupts();
      media_flag_.EndSleep();
    } else {
      Pause();
    }
  }
  for (;;) {
    const Instant next = body->RunOnce();
    if (next > clock_.Now()) {
      Sleep(next);
    }
  }
}

}  // namespace gh::pc
