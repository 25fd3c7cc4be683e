#include "board/pc/stacks.h"

#include "board/pc/control_flow.h"

namespace gh::pc {

[[gnu::section(".bss.guarded")]] MainStack gh_main_stack;
[[gnu::section(".bss.guarded")]] MainStack media_stack;
[[gnu::section(".bss.guarded")]] TrapStack trap_stacks[kProcessorMax * kTrapStackCount];

std::array<uint64_t, kGuardPageCount> GuardPages() {
  std::array<uint64_t, kGuardPageCount> pages = {};
  uint32_t count = 0;
  const auto add = [&](const auto& stack) {
    pages[count++] = AddressOf(stack.guard_below);
    pages[count++] = AddressOf(stack.guard_above);
  };
  add(gh_main_stack);
  add(media_stack);
  for (const MainShadowStack& stack : main_shadow_stacks) {
    add(stack);
  }
  for (uint32_t i = 0; i < kProcessorMax * kTrapStackCount; ++i) {
    add(trap_stacks[i]);
    add(trap_shadow_stacks[i]);
  }
  return pages;
}

namespace {

template <typename Stack>
bool Holds(const Stack& stack, uint64_t address) {
  return address >= stack.bottom() && address < stack.top();
}

}  // namespace

bool InStack(uint64_t address) {
  if (Holds(gh_main_stack, address) || Holds(media_stack, address)) {
    return true;
  }
  for (const TrapStack& stack : trap_stacks) {
    if (Holds(stack, address)) {
      return true;
    }
  }
  return false;
}

uint32_t ThisProcessor() {
  const auto here = reinterpret_cast<uint64_t>(__builtin_frame_address(0));
  if (Holds(media_stack, here)) {
    return kMediaProcessor;
  }
  for (uint32_t i = 0; i < kTrapStackCount; ++i) {
    if (Holds(trap_stacks[kMediaProcessor * kTrapStackCount + i], here)) {
      return kMediaProcessor;
    }
  }
  return kBootProcessor;
}

}  // namespace gh::pc
