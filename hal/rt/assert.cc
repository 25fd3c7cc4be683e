#include "hal/rt/assert.h"

#include <atomic>

#if __STDC_HOSTED__
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#endif

namespace gh {
namespace {

// Before a board has installed its own handler: say it and stop. On bare metal there is nothing to
// say it with yet; the invalid instruction reaches the board's exception path.
void DefaultHandler(const PanicInfo& info) {
#if __STDC_HOSTED__
  std::fprintf(stderr, "panic: %s at %s:%" PRIu32, info.message, info.file, info.line);
  if (info.has_values) {
    std::fprintf(stderr, " (left %" PRId64 ", right %" PRId64 ")", info.left, info.right);
  }
  std::fputc('\n', stderr);
  std::fflush(stderr);
  std::abort();
#else
  (void)info;
  __builtin_trap();
#endif
}

constinit std::atomic<PanicHandler> g_handler = DefaultHandler;

}  // namespace

PanicHandler SetPanicHandler(PanicHandler handler) {
  return g_handler.exchange(handler == nullptr ? DefaultHandler : handler);
}

void Panic(const PanicInfo& info) {
  g_handler.load()(info);
  __builtin_trap();  // a handler that returns is a mistake too
}

void PanicAt(const char* message, const char* file, uint32_t line) {
  Panic({message, file, line, false, 0, 0});
}

void PanicValues(const char* message, const char* file, uint32_t line, int64_t left,
                 int64_t right) {
  Panic({message, file, line, true, left, right});
}

}  // namespace gh
