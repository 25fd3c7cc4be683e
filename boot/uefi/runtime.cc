// What the compiler, hal/rt and libsodium expect of a C library, in the loader: memory functions,
// the end of a failed assertion, and libsodium's few helpers (its own utils.c wants an operating
// system).
#include <sodium/core.h>
#include <sodium/utils.h>

#include <cstddef>
#include <cstdint>

#include "boot/uefi/cpu.h"
#include "boot/uefi/panic.h"
#include "hal/rt/assert.h"
#include "hal/rt/secret.h"

extern "C" {

void* memcpy(void* target, const void* source, size_t size) {
  void* const result = target;
  asm volatile("rep movsb" : "+D"(target), "+S"(source), "+c"(size) : : "memory");
  return result;
}

void* memmove(void* target, const void* source, size_t size) {
  auto* const to = static_cast<uint8_t*>(target);
  const auto* const from = static_cast<const uint8_t*>(source);
  if (to <= from || to >= from + size) {
    return memcpy(target, source, size);
  }
  for (size_t i = size; i > 0; --i) {
    asm volatile("" : : : "memory");  // not to become a call of memmove
    to[i - 1] = from[i - 1];
  }
  return target;
}

void* memset(void* target, int value, size_t size) {
  void* const result = target;
  asm volatile("rep stosb" : "+D"(target), "+c"(size) : "a"(value) : "memory");
  return result;
}

int memcmp(const void* left, const void* right, size_t size) {
  const auto* const a = static_cast<const uint8_t*>(left);
  const auto* const b = static_cast<const uint8_t*>(right);
  for (size_t i = 0; i < size; ++i) {
    if (a[i] != b[i]) {
      return a[i] < b[i] ? -1 : 1;
    }
  }
  return 0;
}

size_t strlen(const char* text) {
  size_t size = 0;
  while (text[size] != '\0') {
    asm volatile("" : : : "memory");
    ++size;
  }
  return size;
}

void sodium_memzero(void* const memory, const size_t size) {
  gh::SecureZero({static_cast<uint8_t*>(memory), size});
}

int sodium_memcmp(const void* const left, const void* const right, size_t size) {
  const auto* const a = static_cast<const uint8_t*>(left);
  const auto* const b = static_cast<const uint8_t*>(right);
  return gh::ConstantTimeEqual({a, size}, {b, size}) ? 0 : -1;
}

int sodium_is_zero(const unsigned char* bytes, const size_t size) {
  uint8_t all = 0;
  for (size_t i = 0; i < size; ++i) {
    all = static_cast<uint8_t>(all | bytes[i]);
  }
  return all == 0 ? 1 : 0;
}

[[noreturn]] void abort(void) { GH_PANIC("abort"); }
[[noreturn]] void __assert_no_args(void) { GH_PANIC("assertion of libsodium"); }

void sodium_misuse(void) { GH_PANIC("libsodium was misused"); }

}  // extern "C"

// What libstdc++'s headers call where a position is out of range.
namespace std {
void __throw_out_of_range_fmt(const char* format, ...) { GH_PANIC(format); }  // NOLINT
}  // namespace std

namespace gh {

[[noreturn]] void PanicAt(const char* message, const char* file, uint32_t line) {
  boot::StopOnPanic(message, file, line);
}

[[noreturn]] void PanicValues(const char* message, const char* file, uint32_t line, int64_t,
                              int64_t) {
  boot::StopOnPanic(message, file, line);
}

}  // namespace gh
