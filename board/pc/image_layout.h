// Where the running image's parts lie; set by pc.ld.
#pragma once

#include <cstdint>

extern "C" {
extern char __image_start[];
extern char __text_start[];
extern char __text_end[];
extern char __rodata_end[];
extern char __relro_end[];
extern char __image_end[];
extern void (*__init_array_start[])();
extern void (*__init_array_end[])();
}

namespace gh::pc {

// A stack in .bss between two guard pages that are never mapped.
template <uint32_t Size>
struct alignas(4096) GuardedStack {
  uint8_t guard_below[4096];
  uint8_t bytes[Size];
  uint8_t guard_above[4096];

  uint64_t bottom() const { return reinterpret_cast<uint64_t>(bytes); }
  uint64_t top() const { return reinterpret_cast<uint64_t>(bytes + Size); }
};

inline uint64_t AddressOf(const void* p) { return reinterpret_cast<uint64_t>(p); }

}  // namespace gh::pc
