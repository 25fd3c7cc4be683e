// Replaces malloc and its family for the whole program (the executable's definitions come first,
// for libc and libstdc++ as well). A bump allocator: what is freed during start-up is not used
// again.
#include "board/host/boot_heap.h"

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <new>

#include "board/host/limits.h"
#include "hal/rt/assert.h"

#if defined(__SANITIZE_ADDRESS__)

namespace gh::board {
void SealBootHeap() {}
bool BootHeapIsInterposed() { return false; }
size_t BootHeapUsed() { return 0; }
}  // namespace gh::board

#else

namespace gh::board {
namespace {

constexpr size_t kHeaderBytes = 16;  // in front of each block: its size, for realloc

alignas(64) uint8_t heap[kBootHeapBytes];
std::atomic<size_t> heap_used = 0;
std::atomic<bool> heap_sealed = false;

void* Take(size_t size, size_t alignment) {
  if (heap_sealed.load(std::memory_order_relaxed)) {
    GH_PANIC("heap allocation after the seal");
  }
  if (size > kBootHeapBytes || alignment > 4096) {
    GH_PANIC("boot heap: allocation too large");
  }
  alignment = alignment < 16 ? 16 : alignment;
  size_t from = heap_used.load(std::memory_order_relaxed);
  size_t at = 0;
  do {
    at = (from + kHeaderBytes + alignment - 1) & ~(alignment - 1);
    if (at + size > kBootHeapBytes) {
      GH_PANIC("boot heap exhausted");
    }
  } while (!heap_used.compare_exchange_weak(from, at + size));
  std::memcpy(heap + at - kHeaderBytes, &size, sizeof(size));
  return heap + at;
}

}  // namespace

void SealBootHeap() { heap_sealed.store(true); }
bool BootHeapIsInterposed() { return true; }
size_t BootHeapUsed() { return heap_used.load(); }

}  // namespace gh::board

extern "C" {

void* malloc(size_t size) { return gh::board::Take(size, 16); }

void free(void*) {}

void* calloc(size_t count, size_t size) {
  if (size != 0 && count > SIZE_MAX / size) {
    errno = ENOMEM;
    return nullptr;
  }
  return gh::board::Take(count * size, 16);  // never used before, so it is zero
}

void* realloc(void* old, size_t size) {
  void* fresh = gh::board::Take(size, 16);
  if (old != nullptr) {
    size_t old_size = 0;
    std::memcpy(&old_size, static_cast<uint8_t*>(old) - gh::board::kHeaderBytes, sizeof(old_size));
    std::memcpy(fresh, old, old_size < size ? old_size : size);
  }
  return fresh;
}

void* memalign(size_t alignment, size_t size) { return gh::board::Take(size, alignment); }

void* aligned_alloc(size_t alignment, size_t size) { return gh::board::Take(size, alignment); }

int posix_memalign(void** out, size_t alignment, size_t size) {
  *out = gh::board::Take(size, alignment);
  return 0;
}

}  // extern "C"

// libstdc++'s operator new calls malloc and would throw; ours says what happened.
void* operator new(size_t size) { return gh::board::Take(size, 16); }
void* operator new[](size_t size) { return gh::board::Take(size, 16); }
void operator delete(void*) noexcept {}
void operator delete[](void*) noexcept {}
void operator delete(void*, size_t) noexcept {}
void operator delete[](void*, size_t) noexcept {}

#endif
