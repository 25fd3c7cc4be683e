// Always-on assertions: our own mistakes only, never what wire, disk, key or operator can cause.
//
// A failed assertion calls the board's panic handler, which writes a crash record (message, place,
// two values, registers, backtrace, build id) and resets. It never returns. Tests may install a
// handler of their own.
#pragma once

#include <cstdint>

namespace gh {

struct PanicInfo {
  const char* message;  // the failed expression or a reason
  const char* file;
  uint32_t line;
  bool has_values;
  int64_t left;
  int64_t right;
};

using PanicHandler = void (*)(const PanicInfo& info);

// One handler a process: a panic ends the machine, not one instance. Returns the previous one.
PanicHandler SetPanicHandler(PanicHandler handler);

[[noreturn]] void Panic(const PanicInfo& info);
[[noreturn]] void PanicAt(const char* message, const char* file, uint32_t line);
[[noreturn]] void PanicValues(const char* message, const char* file, uint32_t line, int64_t left,
                              int64_t right);

namespace internal {
template <typename T>
constexpr int64_t AssertValue(const T& value) {
  // cppcheck-suppress constStatement ; a requires-expression, which it does not know
  if constexpr (requires { static_cast<int64_t>(value); }) {
    return static_cast<int64_t>(value);
  } else {
    return 0;
  }
}
}  // namespace internal
}  // namespace gh

#define GH_ASSERT(condition)                         \
  do {                                               \
    if (!(condition)) [[unlikely]] {                 \
      ::gh::PanicAt(#condition, __FILE__, __LINE__); \
    }                                                \
  } while (false)

#define GH_ASSERT_OP_(left, op, right)                                \
  do {                                                                \
    const auto& gh_left_ = (left);                                    \
    const auto& gh_right_ = (right);                                  \
    if (!(gh_left_ op gh_right_)) [[unlikely]] {                      \
      ::gh::PanicValues(#left " " #op " " #right, __FILE__, __LINE__, \
                        ::gh::internal::AssertValue(gh_left_),        \
                        ::gh::internal::AssertValue(gh_right_));      \
    }                                                                 \
  } while (false)

#define GH_ASSERT_EQ(left, right) GH_ASSERT_OP_(left, ==, right)
#define GH_ASSERT_NE(left, right) GH_ASSERT_OP_(left, !=, right)
#define GH_ASSERT_LT(left, right) GH_ASSERT_OP_(left, <, right)
#define GH_ASSERT_LE(left, right) GH_ASSERT_OP_(left, <=, right)
#define GH_ASSERT_GT(left, right) GH_ASSERT_OP_(left, >, right)
#define GH_ASSERT_GE(left, right) GH_ASSERT_OP_(left, >=, right)
#define GH_PANIC(message) ::gh::PanicAt(message, __FILE__, __LINE__)
#define GH_UNREACHABLE() ::gh::PanicAt("unreachable", __FILE__, __LINE__)
