#include "board/pc/trampoline.h"

#include <cstring>

#include "board/pc/image_layout.h"
#include "board/pc/limits.h"
#include "hal/rt/assert.h"

// %ebx is the page's address throughout. What is written into the copy stands at its end: the
// descriptor table's address, two far jumps, CR3, the stack and where to go.
asm(R"(
.section .rodata.trampoline,"a"
.balign 16
.globl gh_trampoline
.hidden gh_trampoline
gh_trampoline:
.code16
  cli
  cld
  movw %cs, %ax
  movw %ax, %ds
  xorl %ebx, %ebx
  movw %ax, %bx
  shll $4, %ebx
  lgdtl gh_trampoline_table - gh_trampoline
  movl %cr0, %eax
  orl $1, %eax
  movl %eax, %cr0
  ljmpl *(gh_trampoline_far32 - gh_trampoline)

.code32
.globl gh_trampoline_32
.hidden gh_trampoline_32
gh_trampoline_32:
  movl $0x10, %eax
  movl %eax, %ds
  movl %eax, %es
  movl %eax, %ss
  movl $0x20, %eax                       # PAE
  movl %eax, %cr4
  movl (gh_trampoline_cr3 - gh_trampoline)(%ebx), %eax
  movl %eax, %cr3
  movl $0xc0000080, %ecx                 # EFER: long mode, no-execute
  rdmsr
  orl $0x900, %eax
  wrmsr
  movl %cr0, %eax
  andl $0x9fffffff, %eax                 # caches on
  orl $0x80010001, %eax                  # paging, write protection
  movl %eax, %cr0
  ljmpl *(gh_trampoline_far64 - gh_trampoline)(%ebx)

.code64
.globl gh_trampoline_64
.hidden gh_trampoline_64
gh_trampoline_64:
  movl %ebx, %ebx
  movq (gh_trampoline_stack - gh_trampoline)(%rbx), %rsp
  movq (gh_trampoline_entry - gh_trampoline)(%rbx), %rax
  xorl %ebp, %ebp
  pushq $0
  jmp *%rax

.balign 8
gh_trampoline_descriptors:
  .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00af9b000000ffff
gh_trampoline_table:
  .word 31
.globl gh_trampoline_patch
.hidden gh_trampoline_patch
gh_trampoline_patch:
  .long gh_trampoline_descriptors - gh_trampoline
gh_trampoline_far32:
  .long gh_trampoline_32 - gh_trampoline
  .word 0x08
gh_trampoline_far64:
  .long gh_trampoline_64 - gh_trampoline
  .word 0x18
gh_trampoline_cr3:
  .long 0
gh_trampoline_stack:
  .quad 0
gh_trampoline_entry:
  .quad 0
.globl gh_trampoline_end
.hidden gh_trampoline_end
gh_trampoline_end:
.text
)");

extern "C" const uint8_t gh_trampoline[];
extern "C" const uint8_t gh_trampoline_patch[];
extern "C" const uint8_t gh_trampoline_end[];

namespace gh::pc {
namespace {

// From gh_trampoline_patch on.
struct [[gnu::packed]] Patch {
  uint32_t descriptors;
  uint32_t far32;
  uint16_t selector32;
  uint32_t far64;
  uint16_t selector64;
  uint32_t page_tables;
  uint64_t stack_top;
  uint64_t entry;
};

}  // namespace

void WriteTrampoline(uint64_t address, const TrampolineTargets& targets) {
  const auto size = static_cast<size_t>(gh_trampoline_end - gh_trampoline);
  const auto patch_at = static_cast<size_t>(gh_trampoline_patch - gh_trampoline);
  GH_ASSERT_EQ(size - patch_at, sizeof(Patch));
  GH_ASSERT_LE(size, kPageSize);
  GH_ASSERT(address % kPageSize == 0 && address != 0 && address < 1u << 20);
  auto* page = reinterpret_cast<uint8_t*>(address);
  std::memcpy(page, gh_trampoline, size);
  Patch patch;
  std::memcpy(&patch, page + patch_at, sizeof(patch));
  const auto base = static_cast<uint32_t>(address);
  patch.descriptors += base;
  patch.far32 += base;
  patch.far64 += base;
  patch.page_tables = targets.page_tables;
  patch.stack_top = targets.stack_top;
  patch.entry = targets.entry;
  std::memcpy(page + patch_at, &patch, sizeof(patch));
}

}  // namespace gh::pc
