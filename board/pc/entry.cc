// The first instructions: our own stack, a random canary before the first protected function, then
// the static constructors and PcMain().
#include <cstddef>
#include <cstdint>

#include "board/pc/cpu.h"
#include "board/pc/image_layout.h"
#include "board/pc/main.h"
#include "board/pc/stacks.h"
#include "boot/handover.h"

asm(R"(
.section .text.entry,"ax"
.globl GatehouseEntry
.hidden GatehouseEntry
.type GatehouseEntry,@function
GatehouseEntry:
  endbr64
  cli
  cld
  leaq gh_main_stack+4096+262144(%rip), %rsp
  xorl %ebp, %ebp
  call gh_start
  ud2
.text
)");
static_assert(gh::pc::kMainStackSize == 262144);

extern "C" {
// Read by every protected function (-mstack-protector-guard=global).
uintptr_t __stack_chk_guard = 0;
}

namespace {

// gcc forgets that option inside `#pragma GCC target` (libsodium's AVX2 code): such functions take
// their canary from %fs:0x28, so that is there as well.
struct SegmentCanary {
  uint8_t unused[0x28] = {};
  uintptr_t guard = 0;
};
static_assert(offsetof(SegmentCanary, guard) == 0x28);
constinit SegmentCanary segment_canary;
constexpr uint32_t kMsrFsBase = 0xc0000100;

}  // namespace

// Until the canary is set nothing that is protected may run.
extern "C" [[noreturn, gnu::used, gnu::no_stack_protector]] void gh_start(
    const gh::boot::Handover* handover) {
  using namespace gh::pc;
  uint64_t canary = ReadTsc() * 0x9e3779b97f4a7c15;
  if ((Cpuid(1).ecx & 1u << 30) != 0) {
    uint64_t random = 0;
    (void)ReadRdrand(random);
    canary ^= random;
  }
  if (handover != nullptr && handover->magic == gh::boot::kHandoverMagic) {
    uint64_t seed = 0;
    for (uint32_t i = 0; i < gh::boot::kBootSeedSize; ++i) {
      seed = (seed << 7 | seed >> 57) ^ handover->seed[i];
    }
    canary ^= seed;
  }
  // A zero byte at the low end stops string overruns from reading or writing it.
  __stack_chk_guard = canary & ~uintptr_t{0xff};
  segment_canary.guard = __stack_chk_guard;
  asm volatile("movl %0, %%fs; movl %0, %%gs" : : "r"(0) : "memory");
  WriteMsr(kMsrFsBase, AddressOf(&segment_canary));
  for (auto constructor = __init_array_start; constructor != __init_array_end; ++constructor) {
    (*constructor)();
  }
  PcMain(handover);
}
