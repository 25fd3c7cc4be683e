// Control-flow enforcement (CET; Intel SDM volume 1, chapter 17) of our own, supervisor code.
//
// Indirect branch tracking: an indirect call or jump that does not land on an `endbr64` faults. All
// code is compiled for it (board/board.mk) and the linker refuses an object that is not. Switch
// tables lie in read-only memory behind a bounds check: their jumps are exempt (`notrack`).
//
// Shadow stacks: a return that does not go where its call came from faults. One for the processor's
// main stack and one for each trap stack, in pages that only calls and returns write, each between
// guard pages. A trap's shadow stack stays taken, as a trap does not return: a second fault of the
// same kind ends as a double fault, and that one has a shadow stack of its own.
//
// Both faults are vector 21, "control protection": a crash record and a restart.
#pragma once

#include <cstdint>

#include "board/pc/cpu.h"
#include "board/pc/image_layout.h"
#include "board/pc/limits.h"

namespace gh::pc {

using MainShadowStack = GuardedStack<kMainShadowStackSize>;
using TrapShadowStack = GuardedStack<kTrapShadowStackSize>;
extern MainShadowStack main_shadow_stacks[kProcessorMax];
extern TrapShadowStack trap_shadow_stacks[kProcessorMax * kTrapStackCount];

// True when `page` belongs to a shadow stack (not to its guards).
bool IsShadowStack(uint64_t page);
// Writes the tokens, while these pages can still be written as ordinary memory.
void PrepareShadowStacks();

struct ControlFlow {
  uint64_t s_cet = 0;  // IA32_S_CET; 0: the processor has nothing of it
  const char* text = "CET not offered";
};
ControlFlow ControlFlowOffered();
// On `processor`: everything but the switch itself; the page tables are active.
void LoadShadowStacks(uint32_t processor);

inline constexpr uint32_t kMsrSupervisorCet = 0x6a2;
inline constexpr uint64_t kCetShadowStack = 1u << 0;
inline constexpr uint64_t kCetBranchTracking = 1u << 2;
inline constexpr uint64_t kCetNoTrack = 1u << 4;

// The caller must never return: its own return address is not on the new shadow stack.
[[gnu::always_inline]] inline void SwitchControlFlowOn(uint64_t s_cet) {
  WriteMsr(kMsrSupervisorCet, s_cet);
  if ((s_cet & kCetShadowStack) != 0) {
    asm volatile("setssbsy" : : : "memory");
  }
}

}  // namespace gh::pc
