#include "board/pc/control_flow.h"

#include <array>

namespace gh::pc {
namespace {

constexpr uint64_t kCr4ControlFlow = 1ull << 23;
constexpr uint32_t kMsrRing0ShadowStack = 0x6a4;       // IA32_PL0_SSP
constexpr uint32_t kMsrInterruptShadowStacks = 0x6a8;  // IA32_INTERRUPT_SSP_TABLE_ADDR

// By IST number; 0 is not used. The shadow stacks are in the order of the trap stacks.
struct alignas(64) InterruptShadowStacks {
  std::array<uint64_t, 8> tokens;
};
constinit InterruptShadowStacks interrupt_shadow_stacks[kProcessorMax] = {};

// A token at the top of a shadow stack holds its own address; bit 0 says that the stack is in use.
template <uint32_t Size>
uint64_t TokenOf(const GuardedStack<Size>& stack) {
  return stack.top() - sizeof(uint64_t);
}
void WriteToken(uint64_t at) { *reinterpret_cast<volatile uint64_t*>(at) = at; }

}  // namespace

[[gnu::section(".bss.guarded")]] MainShadowStack main_shadow_stacks[kProcessorMax];
[[gnu::section(
    ".bss.guarded")]] TrapShadowStack trap_shadow_stacks[kProcessorMax * kTrapStackCount];

bool IsShadowStack(uint64_t page) {
  for (const MainShadowStack& stack : main_shadow_stacks) {
    if (page >= stack.bottom() && page < stack.top()) {
      return true;
    }
  }
  for (const TrapShadowStack& stack : trap_shadow_stacks) {
    if (page >= stack.bottom() && page < stack.top()) {
      return true;
    }
  }
  return false;
}

void PrepareShadowStacks() {
  for (const MainShadowStack& stack : main_shadow_stacks) {
    WriteToken(TokenOf(stack));
  }
  for (uint32_t i = 0; i < kProcessorMax * kTrapStackCount; ++i) {
    const uint64_t token = TokenOf(trap_shadow_stacks[i]);
    WriteToken(token);
    interrupt_shadow_stacks[i / kTrapStackCount].tokens[i % kTrapStackCount + 1] = token;
  }
}

ControlFlow ControlFlowOffered() {
  if (Cpuid(0).eax < 7) {
    return {};
  }
  const CpuidResult features = Cpuid(7);
  const bool has_tracking = (features.edx & 1u << 20) != 0;
  bool has_shadow = (features.ecx & 1u << 7) != 0;
  // A hypervisor may leave a token taken when it interrupts a switch of stacks, unless it says that
  // it does not (CET_SSS): then a trap would find its shadow stack in use.
  const bool is_guest = (Cpuid(1).ecx & 1u << 31) != 0;
  if (is_guest && (features.eax < 1 || (Cpuid(7, 1).edx & 1u << 18) == 0)) {
    has_shadow = false;
  }
  const uint64_t tracking = kCetBranchTracking | kCetNoTrack;
  if (has_shadow && has_tracking) {
    return {kCetShadowStack | tracking, "CET (shadow stacks, branch tracking)"};
  }
  if (has_shadow) {
    return {kCetShadowStack, "CET (shadow stacks)"};
  }
  if (has_tracking) {
    return {tracking, "CET (branch tracking)"};
  }
  return {};
}

void LoadShadowStacks(uint32_t processor) {
  WriteMsr(kMsrSupervisorCet, 0);  // whatever the firmware had
  WriteCr4(ReadCr4() | kCr4ControlFlow);
  WriteMsr(kMsrRing0ShadowStack, TokenOf(main_shadow_stacks[processor]));
  WriteMsr(kMsrInterruptShadowStacks, AddressOf(interrupt_shadow_stacks[processor].tokens.data()));
}

}  // namespace gh::pc
