// Arithmetic that says when it does not fit. Sizes that come from outside go through these.
#pragma once

#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>

#include "hal/rt/assert.h"

namespace gh {

template <std::integral T>
constexpr std::optional<T> CheckedAdd(T a, T b) {
  T sum{};
  return __builtin_add_overflow(a, b, &sum) ? std::nullopt : std::optional<T>(sum);
}
template <std::integral T>
constexpr std::optional<T> CheckedSubtract(T a, T b) {
  T difference{};
  return __builtin_sub_overflow(a, b, &difference) ? std::nullopt : std::optional<T>(difference);
}
template <std::integral T>
constexpr std::optional<T> CheckedMultiply(T a, T b) {
  T product{};
  return __builtin_mul_overflow(a, b, &product) ? std::nullopt : std::optional<T>(product);
}
template <std::unsigned_integral T>
constexpr T SaturatingAdd(T a, T b) {
  T sum{};
  return __builtin_add_overflow(a, b, &sum) ? std::numeric_limits<T>::max() : sum;
}
template <std::unsigned_integral T>
constexpr T SaturatingSubtract(T a, T b) {
  return a > b ? static_cast<T>(a - b) : T{0};
}

template <std::integral To, std::integral From>
constexpr bool FitsIn(From value) {
  To narrow{};
  return !__builtin_add_overflow(value, From{0}, &narrow);
}
// A conversion that we know fits; panics when we were wrong.
template <std::integral To, std::integral From>
constexpr To Narrow(From value) {
  GH_ASSERT((FitsIn<To, From>(value)));
  return static_cast<To>(value);
}

// `alignment` is a power of two; nothing when the result does not fit.
template <std::unsigned_integral T>
constexpr std::optional<T> CheckedAlignUp(T value, T alignment) {
  const std::optional<T> sum = CheckedAdd<T>(value, static_cast<T>(alignment - 1));
  return sum ? std::optional<T>(static_cast<T>(*sum & ~(alignment - 1))) : std::nullopt;
}

}  // namespace gh
