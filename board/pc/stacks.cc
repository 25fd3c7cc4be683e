#include "board/pc/stacks.h"

#include "board/pc/control_flow.h"

namespace gh::pc {

[[gnu::section(".bss.guarded")]] MainStack gh_main_stack;
[[gnu::section(".bss.guarded")]] TrapStack trap_stacks[kTrapStackCount];

std::array<uint64_t, kGuardPageCount> GuardPages() {
  std::array<uint64_t, kGuardPageCount> pages = {};
  uint32_t count = 0;
  const auto add = [&](const auto& stack) {
    pages[count++] = AddressOf(stack.guard_below);
    pages[count++] = AddressOf(stack.guard_above);
  };
  add(gh_main_stack);
  add(main_shadow_stack);
  for (uint32_t i = 0; i < kTrapStackCount; ++i) {
    add(trap_stacks[i]);
    add(trap_shadow_stacks[i]);
  }
  return pages;
}

bool InStack(uint64_t address) {
  if (address >= gh_main_stack.bottom() && address < gh_main_stack.top()) {
    return true;
  }
  for (const TrapStack& stack : trap_stacks) {
    if (address >= stack.bottom() && address < stack.top()) {
      return true;
    }
  }
  return false;
}

}  // namespace gh::pc
