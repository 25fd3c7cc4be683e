// GDT, TSS, IDT: every exception leads to a crash record on a stack of its own; device interrupts
// only count and acknowledge (and move bytes for the UART): the work runs in the loop.
#pragma once

#include <cstdint>

#include "board/pc/limits.h"

namespace gh::pc {

// Vectors: 0-31 exceptions, 32-47 the masked 8259s (spurious only), then ours.
inline constexpr uint8_t kVectorPic = 0x20;
inline constexpr uint8_t kVectorTimer = 0x40;
inline constexpr uint8_t kVectorUart = 0x41;
inline constexpr uint8_t kVectorWake = 0x42;        // from the other processor
inline constexpr uint8_t kVectorMediaTimer = 0x43;  // of the media processor
inline constexpr uint8_t kVectorDevice = 0x50;      // and the kDeviceVectorMax - 1 after it
inline constexpr uint8_t kVectorSpurious = 0xff;

// What the exception stubs push; also built by hand for panics.
struct TrapFrame {
  uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
  uint64_t rdi, rsi, rbp, rdx, rcx, rbx, rax;
  uint64_t vector, error;
  uint64_t rip, cs, rflags, rsp, ss;
};

// Loads GDT, TSS and IDT, masks the 8259s. Interrupts stay off.
void InitialiseInterrupts();
// The same tables on the other processor, with a task state of its own. Interrupts stay off.
void UseInterruptTables(uint32_t processor);

// Interrupts taken since boot, by our vectors.
struct InterruptCounts {
  uint64_t timer;
  uint64_t uart;
  uint64_t device[kDeviceVectorMax];
  uint64_t other;
};
const InterruptCounts& interrupt_counts();

// Called by the timer interrupt with the interrupted code's registers, in interrupt context.
using TimerHook = void (*)(const TrapFrame& frame);
void SetTimerHook(TimerHook hook);

}  // namespace gh::pc
