// AddressSanitizer annotations: released pool, frame and heap memory is poisoned in sanitizer
// builds, so that use after release is caught although the memory never leaves us. No cost
// otherwise.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define GH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GH_ASAN 1
#endif
#endif

#ifdef GH_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace gh {

inline void PoisonMemory([[maybe_unused]] const void* p, [[maybe_unused]] size_t size) {
#ifdef GH_ASAN
  __asan_poison_memory_region(p, size);
#endif
}
inline void UnpoisonMemory([[maybe_unused]] const void* p, [[maybe_unused]] size_t size) {
#ifdef GH_ASAN
  __asan_unpoison_memory_region(p, size);
#endif
}

}  // namespace gh
