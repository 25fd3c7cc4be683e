// The first instructions of the second processor: it starts in real mode, in a page below 1 MiB
// that these bytes are copied to, and leaves it in 64-bit mode for a function of the image.
#pragma once

#include <cstdint>
#include <span>

namespace gh::pc {

struct TrampolineTargets {
  uint32_t page_tables = 0;  // CR3, below 4 GiB, with the trampoline's page executable
  uint64_t stack_top = 0;
  uint64_t entry = 0;
};

// Writes it for `address`, a page below 1 MiB that is still writable.
void WriteTrampoline(uint64_t address, const TrampolineTargets& targets);

}  // namespace gh::pc
