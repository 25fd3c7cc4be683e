// malloc for a process that must not need it: libc and libraries get a bounded heap during
// start-up; after the seal any allocation, by whomever, is a panic. Not in sanitizer builds.
#pragma once

#include <cstddef>

namespace gh::board {

// From here on malloc, calloc, realloc, memalign and operator new panic. free() stays harmless.
void SealBootHeap();
bool BootHeapIsInterposed();
size_t BootHeapUsed();

}  // namespace gh::board
