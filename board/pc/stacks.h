// The stacks of both processors, each between guard pages: one to run on, one for every kind of
// trap that must not trust the stack it interrupted.
#pragma once

#include <array>
#include <cstdint>

#include "board/pc/image_layout.h"
#include "board/pc/limits.h"

namespace gh::pc {

using MainStack = GuardedStack<kMainStackSize>;
using TrapStack = GuardedStack<kTrapStackSize>;

extern "C" MainStack gh_main_stack;
extern MainStack media_stack;
extern TrapStack trap_stacks[kProcessorMax * kTrapStackCount];  // processor by processor

// Below and above each stack and its shadow stack.
inline constexpr uint32_t kGuardPageCount = 2 * kProcessorMax * (2 + 2 * kTrapStackCount);
std::array<uint64_t, kGuardPageCount> GuardPages();
// True when `address` lies in one of the stacks (not its guards).
bool InStack(uint64_t address);
// Which processor runs this, by the stack it is on.
uint32_t ThisProcessor();

}  // namespace gh::pc
