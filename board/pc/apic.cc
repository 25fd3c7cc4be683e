// Compiled for general registers only: EndOfInterrupt() runs in interrupt handlers.
#include "board/pc/apic.h"

#include <algorithm>

#include "board/pc/cpu.h"
#include "board/pc/interrupts.h"
#include "board/pc/wide.h"

namespace gh::pc {
namespace {

constexpr uint32_t kMsrApicBase = 0x1b;
constexpr uint64_t kApicBaseEnable = 1ull << 11;
constexpr uint64_t kApicBaseX2 = 1ull << 10;
constexpr uint32_t kMsrTscDeadline = 0x6e0;
constexpr uint32_t kMsrX2First = 0x800;

// Register offsets of the memory window; the x2APIC MSR is kMsrX2First + offset / 16.
constexpr uint32_t kId = 0x20;
constexpr uint32_t kTaskPriority = 0x80;
constexpr uint32_t kEndOfInterrupt = 0xb0;
constexpr uint32_t kSpurious = 0xf0;
constexpr uint32_t kErrorStatus = 0x280;
constexpr uint32_t kCommandLow = 0x300;
constexpr uint32_t kCommandHigh = 0x310;
constexpr uint32_t kMsrX2Command = 0x830;
constexpr uint32_t kLvtTimer = 0x320;
constexpr uint32_t kLvtThermal = 0x330;
constexpr uint32_t kLvtPerformance = 0x340;
constexpr uint32_t kLvtLint0 = 0x350;
constexpr uint32_t kLvtLint1 = 0x360;
constexpr uint32_t kLvtError = 0x370;
constexpr uint32_t kTimerInitial = 0x380;
constexpr uint32_t kTimerCurrent = 0x390;
constexpr uint32_t kTimerDivide = 0x3e0;

constexpr uint32_t kDeliverNmi = 4u << 8;
constexpr uint32_t kDeliverInit = 5u << 8;
constexpr uint32_t kDeliverStartup = 6u << 8;
constexpr uint32_t kCommandAssert = 1u << 14;
constexpr uint32_t kCommandPending = 1u << 12;
constexpr uint32_t kCommandSpins = 100'000;
constexpr uint32_t kLvtMasked = 1u << 16;
constexpr uint32_t kLvtNmi = 4u << 8;
constexpr uint32_t kLvtTscDeadline = 2u << 17;
constexpr uint32_t kDivideBy16 = 3;

// The same on both processors; the window is at one address and each sees its own APIC there.
constinit Mmio window;
constinit bool is_x2 = false;
constinit bool has_tsc_deadline = false;
constinit uint64_t tsc_hz_known = 0;
constinit uint64_t timer_hz = 0;

uint32_t ReadRegister(uint32_t offset) {
  return is_x2 ? static_cast<uint32_t>(ReadMsr(kMsrX2First + offset / 16)) : window.Read32(offset);
}

void WriteRegister(uint32_t offset, uint32_t value) {
  if (is_x2) {
    WriteMsr(kMsrX2First + offset / 16, value);
  } else {
    window.Write32(offset, value);
  }
}

}  // namespace

Result<void> LocalApic::Initialise(PageTables& pages) {
  is_x2 = (Cpuid(1).ecx & 1u << 21) != 0;
  if (!is_x2) {
    const uint64_t base = ReadMsr(kMsrApicBase);
    GH_TRY_ASSIGN(window, pages.MapMmio(base & 0x000f'ffff'ffff'f000, 0x1000));
  }
  Enable();
  return Ok();
}

void LocalApic::Enable() {
  const uint64_t base = ReadMsr(kMsrApicBase);
  WriteMsr(kMsrApicBase, base | kApicBaseEnable);
  if (is_x2) {
    WriteMsr(kMsrApicBase, base | kApicBaseEnable | kApicBaseX2);
  }
  WriteRegister(kTaskPriority, 0);
  WriteRegister(kLvtTimer, kLvtMasked);
  WriteRegister(kLvtThermal, kLvtMasked);
  WriteRegister(kLvtPerformance, kLvtMasked);
  WriteRegister(kLvtLint0, kLvtMasked);
  WriteRegister(kLvtLint1, kLvtNmi);
  WriteRegister(kLvtError, kLvtMasked);
  WriteRegister(kErrorStatus, 0);
  WriteRegister(kSpurious, 0x100 | kVectorSpurious);
  EndOfInterrupt();
}

void LocalApic::EndOfInterrupt() { WriteRegister(kEndOfInterrupt, 0); }

uint32_t LocalApic::id() { return is_x2 ? ReadRegister(kId) : ReadRegister(kId) >> 24; }

void LocalApic::InitialiseTimer(uint64_t tsc_hz) {
  tsc_hz_known = tsc_hz;
  has_tsc_deadline = (Cpuid(1).ecx & 1u << 24) != 0;
  if (has_tsc_deadline) {
    WriteRegister(kLvtTimer, kLvtTscDeadline | kVectorTimer);
    FullBarrier();  // the mode must be set before the first deadline (Intel SDM 10.5.4.1)
    return;
  }
  // Measure the divided bus clock over 5 ms of TSC.
  WriteRegister(kTimerDivide, kDivideBy16);
  WriteRegister(kLvtTimer, kLvtMasked);
  WriteRegister(kTimerInitial, UINT32_MAX);
  const uint64_t start = ReadTsc();
  const uint32_t first = ReadRegister(kTimerCurrent);
  while (ReadTsc() - start < tsc_hz / 200) {
    Pause();
  }
  const uint32_t last = ReadRegister(kTimerCurrent);
  const uint64_t elapsed = ReadTsc() - start;
  GH_ASSERT(elapsed != 0);
  timer_hz = MulDiv(first - last, tsc_hz, elapsed);
  WriteRegister(kTimerInitial, 0);
  WriteRegister(kLvtTimer, kVectorTimer);
}

void LocalApic::ArmTimer(uint64_t tsc_deadline) {
  if (has_tsc_deadline) {
    WriteMsr(kMsrTscDeadline, tsc_deadline);
    return;
  }
  const uint64_t now = ReadTsc();
  const uint64_t delta = tsc_deadline > now ? tsc_deadline - now : 0;
  const uint64_t ticks = std::min<uint64_t>(MulDiv(delta, timer_hz, tsc_hz_known), UINT32_MAX - 1);
  WriteRegister(kTimerInitial, static_cast<uint32_t>(ticks) + 1);
}

void LocalApic::UseTimer(uint8_t vector) {
  if (has_tsc_deadline) {
    WriteRegister(kLvtTimer, kLvtTscDeadline | vector);
    FullBarrier();
    return;
  }
  WriteRegister(kTimerDivide, kDivideBy16);
  WriteRegister(kTimerInitial, 0);
  WriteRegister(kLvtTimer, vector);
}

namespace {

// What the receiver is to see of memory is written before.
void SendCommand(uint32_t apic_id, uint32_t command) {
  FullBarrier();
  if (is_x2) {
    WriteMsr(kMsrX2Command, uint64_t{apic_id} << 32 | command);
    return;
  }
  for (uint32_t i = 0; i < kCommandSpins && (ReadRegister(kCommandLow) & kCommandPending) != 0;
       ++i) {
    Pause();
  }
  WriteRegister(kCommandHigh, apic_id << 24);
  WriteRegister(kCommandLow, command);
}

}  // namespace

void LocalApic::SendInterrupt(uint32_t apic_id, uint8_t vector) {
  SendCommand(apic_id, kCommandAssert | vector);
}
void LocalApic::SendNmi(uint32_t apic_id) { SendCommand(apic_id, kCommandAssert | kDeliverNmi); }
void LocalApic::SendInit(uint32_t apic_id) { SendCommand(apic_id, kCommandAssert | kDeliverInit); }
void LocalApic::SendStartup(uint32_t apic_id, uint64_t page) {
  SendCommand(apic_id, kCommandAssert | kDeliverStartup | static_cast<uint32_t>(page >> 12));
}

const char* LocalApic::timer_name() { return has_tsc_deadline ? "tsc-deadline" : "lapic one-shot"; }

Result<void> RouteIsaInterrupt(PageTables& pages, const MadtInfo& madt, uint8_t isa_irq,
                               uint8_t vector) {
  uint32_t line = isa_irq;
  bool is_low = false;
  bool is_level = false;
  for (uint32_t i = 0; i < madt.override_count; ++i) {
    const MadtOverride& override_entry = madt.overrides[i];
    if (override_entry.isa_irq == isa_irq) {
      line = override_entry.line;
      is_low = override_entry.is_low;
      is_level = override_entry.is_level;
    }
  }
  for (uint32_t i = 0; i < madt.io_apic_count; ++i) {
    const MadtIoApic& io = madt.io_apics[i];
    GH_TRY_ASSIGN(const Mmio registers, pages.MapMmio(io.address, 0x20));
    const auto read = [&registers](uint32_t index) {
      registers.Write32(0, index);
      return registers.Read32(0x10);
    };
    const auto write = [&registers](uint32_t index, uint32_t value) {
      registers.Write32(0, index);
      registers.Write32(0x10, value);
    };
    const uint32_t line_count = (read(1) >> 16 & 0xff) + 1;
    for (uint32_t pin = 0; pin < line_count; ++pin) {
      write(0x10 + 2 * pin, 1u << 16);  // masked, whatever the firmware left
    }
    if (line < io.first_line || line - io.first_line >= line_count) {
      continue;
    }
    const uint32_t pin = line - io.first_line;
    write(0x11 + 2 * pin, LocalApic::id() << 24);
    write(0x10 + 2 * pin, vector | (is_low ? 1u << 13 : 0) | (is_level ? 1u << 15 : 0));
  }
  return Ok();
}

}  // namespace gh::pc
