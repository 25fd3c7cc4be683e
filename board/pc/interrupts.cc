// Compiled for general registers only (board/pc/pc.mk): interrupt handlers must not touch the
// vector registers of the code they interrupt.
#include "board/pc/interrupts.h"

#include <utility>

#include "board/pc/apic.h"
#include "board/pc/cpu.h"
#include "board/pc/crash.h"
#include "board/pc/stacks.h"
#include "board/pc/uart.h"

// Exception entry: make the frames of all vectors alike (error code, vector), save every register,
// call gh_on_trap on the trap stack; it does not return. Bits of the mask: the vectors for which
// the processor pushes an error code itself (8, 10-14, 17, 21, 29, 30).
asm(R"(
.altmacro
.macro TRAP_STUB vector
  .balign 16
  endbr64
  .if ((0x60227d00 >> \vector) & 1) == 0
  pushq $0
  .endif
  pushq $\vector
  jmp gh_trap_common
.endm

.section .text.traps,"ax"
.balign 16
.globl gh_trap_stubs
.hidden gh_trap_stubs
gh_trap_stubs:
.set i,0
.rept 32
  TRAP_STUB %i
  .set i,i+1
.endr
.noaltmacro

# The timer's frame is the same, on the interrupted stack, and it returns.
.balign 16
.globl gh_timer_stub
.hidden gh_timer_stub
gh_timer_stub:
  endbr64
  pushq $0
  pushq $0x40
  pushq %rax
  pushq %rbx
  pushq %rcx
  pushq %rdx
  pushq %rbp
  pushq %rsi
  pushq %rdi
  pushq %r8
  pushq %r9
  pushq %r10
  pushq %r11
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  cld
  movq %rsp, %rdi
  call gh_on_timer
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %r11
  popq %r10
  popq %r9
  popq %r8
  popq %rdi
  popq %rsi
  popq %rbp
  popq %rdx
  popq %rcx
  popq %rbx
  popq %rax
  addq $16, %rsp
  iretq

gh_trap_common:
  pushq %rax
  pushq %rbx
  pushq %rcx
  pushq %rdx
  pushq %rbp
  pushq %rsi
  pushq %rdi
  pushq %r8
  pushq %r9
  pushq %r10
  pushq %r11
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  cld
  movq %rsp, %rdi
  xorl %ebp, %ebp
  andq $-16, %rsp
  call gh_on_trap
  ud2
.text
)");

extern "C" const char gh_trap_stubs[];
extern "C" const char gh_timer_stub[];
constexpr uint32_t kTrapStubSize = 16;
static_assert(gh::pc::kVectorTimer == 0x40);

extern "C" [[noreturn, gnu::used]] void gh_on_trap(const gh::pc::TrapFrame* frame) {
  gh::pc::CrashOnTrap(*frame);
}

namespace gh::pc {
namespace {

struct [[gnu::packed]] TaskState {
  uint32_t reserved0;
  uint64_t rsp[3];
  uint64_t reserved1;
  uint64_t ist[7];
  uint64_t reserved2;
  uint16_t reserved3;
  uint16_t io_map_base;
};
static_assert(sizeof(TaskState) == 104);

struct [[gnu::packed]] Gate {
  uint16_t offset_low;
  uint16_t selector;
  uint8_t ist;
  uint8_t type;
  uint16_t offset_middle;
  uint32_t offset_high;
  uint32_t reserved;
};
static_assert(sizeof(Gate) == 16);

struct [[gnu::packed]] TablePointer {
  uint16_t limit;
  uint64_t base;
};

constexpr uint16_t kCodeSelector = 0x08;
constexpr uint16_t kDataSelector = 0x10;
constexpr uint16_t kTaskSelector = 0x18;
constexpr uint8_t kInterruptGate = 0x8e;
// Trap stacks: ordinary faults, double fault, NMI, machine check.
constexpr uint8_t kIstFault = 1;
constexpr uint8_t kIstDouble = 2;
constexpr uint8_t kIstNmi = 3;
constexpr uint8_t kIstMachineCheck = 4;
static_assert(kTrapStackCount == 4);

constinit TaskState task_states[kProcessorMax] = {};
constinit uint64_t descriptor_tables[kProcessorMax][5] = {
    {0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0, 0},
    {0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0, 0}};
alignas(4096) constinit Gate gates[256] = {};
constinit InterruptCounts counts = {};
constinit TimerHook timer_hook = nullptr;

struct InterruptFrame {
  uint64_t rip, cs, rflags, rsp, ss;
};

[[gnu::interrupt]] void OnUart(InterruptFrame*) {
  ++counts.uart;
  console_uart.OnInterrupt();
  LocalApic::EndOfInterrupt();
}

template <uint32_t Index>
[[gnu::interrupt]] void OnDevice(InterruptFrame*) {
  ++counts.device[Index];
  LocalApic::EndOfInterrupt();
}

// All it is for is to end a halt.
[[gnu::interrupt]] void OnWake(InterruptFrame*) { LocalApic::EndOfInterrupt(); }

[[gnu::interrupt]] void OnSpurious(InterruptFrame*) { ++counts.other; }

// A vector nobody asked for, from the local APIC: acknowledge it, or it blocks all below it.
[[gnu::interrupt]] void OnUnexpected(InterruptFrame*) {
  ++counts.other;
  LocalApic::EndOfInterrupt();
}

void SetGate(uint32_t vector, uint64_t handler, uint8_t ist) {
  Gate& gate = gates[vector];
  gate.offset_low = static_cast<uint16_t>(handler);
  gate.offset_middle = static_cast<uint16_t>(handler >> 16);
  gate.offset_high = static_cast<uint32_t>(handler >> 32);
  gate.selector = kCodeSelector;
  gate.ist = ist;
  gate.type = kInterruptGate;
}

void SetGate(uint32_t vector, void (*handler)(InterruptFrame*)) {
  SetGate(vector, reinterpret_cast<uint64_t>(handler), 0);
}

template <uint32_t... Index>
void SetDeviceGates(std::integer_sequence<uint32_t, Index...>) {
  (SetGate(kVectorDevice + Index, &OnDevice<Index>), ...);
}

uint8_t IstOf(uint32_t vector) {
  switch (vector) {
    case 2:
      return kIstNmi;
    case 8:
      return kIstDouble;
    case 18:
      return kIstMachineCheck;
    default:
      return kIstFault;
  }
}

// FS stays as entry.cc set it: its base leads to the stack canary.
void LoadSegments(uint32_t processor) {
  TaskState& task_state = task_states[processor];
  uint64_t(&descriptors)[5] = descriptor_tables[processor];
  for (uint32_t i = 0; i < kTrapStackCount; ++i) {
    task_state.ist[i] = trap_stacks[processor * kTrapStackCount + i].top();
  }
  task_state.io_map_base = sizeof(TaskState);
  const uint64_t base = AddressOf(&task_state);
  descriptors[3] =
      (sizeof(TaskState) - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
  descriptors[4] = base >> 32;
  const TablePointer pointer = {sizeof(descriptors) - 1, AddressOf(descriptors)};
  asm volatile(
      "lgdt %0\n"
      "pushq %1\n"
      "leaq 1f(%%rip), %%rax\n"
      "pushq %%rax\n"
      "lretq\n"
      "1:\n"
      "movl %2, %%eax\n"
      "movl %%eax, %%ds\n"
      "movl %%eax, %%es\n"
      "movl %%eax, %%ss\n"
      "movl %3, %%eax\n"
      "ltr %%ax\n"
      :
      : "m"(pointer), "i"(kCodeSelector), "i"(kDataSelector), "i"(kTaskSelector)
      : "rax", "memory");
}

// The 8259s are not used: move them away from the exceptions, then mask every line.
void MaskLegacyControllers() {
  constexpr uint16_t kPrimary = 0x20;
  constexpr uint16_t kSecondary = 0xa0;
  Out8(kPrimary, 0x11);
  Out8(kSecondary, 0x11);
  Out8(kPrimary + 1, kVectorPic);
  Out8(kSecondary + 1, kVectorPic + 8);
  Out8(kPrimary + 1, 4);
  Out8(kSecondary + 1, 2);
  Out8(kPrimary + 1, 1);
  Out8(kSecondary + 1, 1);
  Out8(kPrimary + 1, 0xff);
  Out8(kSecondary + 1, 0xff);
}

}  // namespace

extern "C" [[gnu::used]] void gh_on_timer(const TrapFrame* frame) {
  ++counts.timer;
  LocalApic::EndOfInterrupt();
  if (timer_hook != nullptr) {
    timer_hook(*frame);
  }
}

void InitialiseInterrupts() {
  for (uint32_t vector = 0; vector < 32; ++vector) {
    SetGate(vector, AddressOf(gh_trap_stubs) + vector * kTrapStubSize, IstOf(vector));
  }
  for (uint32_t vector = 32; vector < 48; ++vector) {
    SetGate(vector, &OnSpurious);
  }
  for (uint32_t vector = 48; vector < 256; ++vector) {
    SetGate(vector, &OnUnexpected);
  }
  SetGate(kVectorTimer, AddressOf(gh_timer_stub), 0);
  SetGate(kVectorUart, &OnUart);
  SetGate(kVectorWake, &OnWake);
  SetGate(kVectorMediaTimer, &OnWake);
  SetDeviceGates(std::make_integer_sequence<uint32_t, kDeviceVectorMax>());
  SetGate(kVectorSpurious, &OnSpurious);
  UseInterruptTables(kBootProcessor);
  MaskLegacyControllers();
}

void UseInterruptTables(uint32_t processor) {
  LoadSegments(processor);
  const TablePointer pointer = {sizeof(gates) - 1, AddressOf(gates)};
  asm volatile("lidt %0" : : "m"(pointer) : "memory");
}

const InterruptCounts& interrupt_counts() { return counts; }

void SetTimerHook(TimerHook hook) { timer_hook = hook; }

}  // namespace gh::pc
