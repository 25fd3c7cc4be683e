// The process's memory: one mapping for the arena, pre-faulted, in huge pages when there are any,
// and everything the process has locked in RAM.
#pragma once

#include <cstdint>
#include <span>

#include "hal/rt/result.h"

namespace gh::board {

struct MemoryReport {
  bool huge_pages = false;
  bool locked = false;
};

// Maps and pre-faults `bytes`. The mapping lasts as long as the process.
Result<std::span<uint8_t>> MapMemory(uint64_t bytes, MemoryReport& report);

// Locks all present and future pages. On failure says on stderr which limit forbids it and what
// raises it.
Result<void> LockMemory(uint64_t arena_bytes, MemoryReport& report);

}  // namespace gh::board
