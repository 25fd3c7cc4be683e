// What picolibc and libstdc++ expect from a machine. There is no heap: rooms carve memory from the
// arena, libraries get bounded heaps of their own, so a call of malloc is our mistake at any time.
#include <cstddef>
#include <ctime>

#include "hal/rt/assert.h"

// NOLINTBEGIN: these names are the C and C++ run time's.
extern "C" {
int errno = 0;

[[noreturn]] void __stack_chk_fail();
[[noreturn]] void __stack_chk_fail() { GH_PANIC("stack smashed: the canary has changed"); }
[[noreturn]] void __assert_no_args();
[[noreturn]] void __assert_no_args() { GH_PANIC("a library's assertion failed"); }
[[noreturn]] void abort() { GH_PANIC("abort() called"); }
[[noreturn]] void _exit(int) { GH_PANIC("exit() called"); }
[[noreturn]] void __cxa_pure_virtual();
[[noreturn]] void __cxa_pure_virtual() { GH_PANIC("pure virtual call"); }
int __cxa_atexit(void (*)(void*), void*, void*);
int __cxa_atexit(void (*)(void*), void*, void*) { return 0; }
int atexit(void (*)()) { return 0; }
// mbedTLS names it as the clock to use until it is given another, which it is before its first use.
time_t time(time_t*) { GH_PANIC("time() called: the clock is hal::Clock"); }
void* __dso_handle = nullptr;

void* malloc(size_t) { GH_PANIC("malloc on a machine without a heap"); }
void* calloc(size_t, size_t) { GH_PANIC("calloc on a machine without a heap"); }
void* realloc(void*, size_t) { GH_PANIC("realloc on a machine without a heap"); }
void free(void* p) { GH_ASSERT(p == nullptr); }
}

// libstdc++'s headers call these where they would throw: an index out of range is our mistake.
namespace std {
[[noreturn]] void __throw_out_of_range_fmt(const char* format, ...);
void __throw_out_of_range_fmt(const char* format, ...) { GH_PANIC(format); }
[[noreturn]] void __throw_out_of_range(const char* what);
void __throw_out_of_range(const char* what) { GH_PANIC(what); }
[[noreturn]] void __throw_length_error(const char* what);
void __throw_length_error(const char* what) { GH_PANIC(what); }
[[noreturn]] void __throw_logic_error(const char* what);
void __throw_logic_error(const char* what) { GH_PANIC(what); }
[[noreturn]] void __throw_bad_function_call();
void __throw_bad_function_call() { GH_PANIC("empty function called"); }
[[noreturn]] void __throw_bad_variant_access(const char* what);
void __throw_bad_variant_access(const char* what) { GH_PANIC(what); }
}  // namespace std

// Deleting destructors refer to it; nothing is ever deleted.
void operator delete(void*) noexcept { GH_PANIC("operator delete called"); }
void operator delete(void*, size_t) noexcept { GH_PANIC("operator delete called"); }
// NOLINTEND
