// The firmware's ELF: planned and loaded into exactly the memory the plan asks for.
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "boot/elf.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto plan = gh::boot::PlanElf({data, size});
  if (!plan.ok() || plan->memory_size > 1 << 20) {
    return 0;
  }
  if (plan->entry >= plan->memory_size) {
    std::abort();
  }
  std::vector<uint8_t> memory(plan->memory_size);
  (void)gh::boot::LoadElf(*plan, {data, size}, memory, 0x100000).ok();
  return 0;
}
