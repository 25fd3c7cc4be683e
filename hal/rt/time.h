// Instants and durations. Instant is the monotonic machine clock (ns since an arbitrary start); it
// never steps. WallTime is UTC and may step; nothing but logs, certificates and SIP Date uses it.
#pragma once

#include <compare>
#include <cstdint>

namespace gh {

struct Duration {
  int64_t ns = 0;

  static constexpr Duration Nanoseconds(int64_t n) { return {n}; }
  static constexpr Duration Microseconds(int64_t n) { return {n * 1'000}; }
  static constexpr Duration Milliseconds(int64_t n) { return {n * 1'000'000}; }
  static constexpr Duration Seconds(int64_t n) { return {n * 1'000'000'000}; }
  static constexpr Duration Minutes(int64_t n) { return Seconds(n * 60); }
  static constexpr Duration Hours(int64_t n) { return Seconds(n * 3600); }
  static constexpr Duration Max() { return {INT64_MAX / 4}; }

  constexpr int64_t microseconds() const { return ns / 1'000; }
  constexpr int64_t milliseconds() const { return ns / 1'000'000; }
  constexpr int64_t seconds() const { return ns / 1'000'000'000; }

  friend constexpr auto operator<=>(Duration, Duration) = default;
  friend constexpr Duration operator+(Duration a, Duration b) { return {a.ns + b.ns}; }
  friend constexpr Duration operator-(Duration a, Duration b) { return {a.ns - b.ns}; }
  friend constexpr Duration operator*(Duration a, int64_t n) { return {a.ns * n}; }
  friend constexpr Duration operator/(Duration a, int64_t n) { return {a.ns / n}; }
};

struct Instant {
  int64_t ns = 0;

  static constexpr Instant Max() { return {INT64_MAX / 2}; }

  friend constexpr auto operator<=>(Instant, Instant) = default;
  friend constexpr Instant operator+(Instant t, Duration d) { return {t.ns + d.ns}; }
  friend constexpr Instant operator-(Instant t, Duration d) { return {t.ns - d.ns}; }
  friend constexpr Duration operator-(Instant a, Instant b) { return {a.ns - b.ns}; }
};

struct WallTime {
  int64_t unix_ns = 0;
  bool is_set = false;  // false until an RTC, SNTP or the operator has set it

  constexpr int64_t unix_seconds() const { return unix_ns / 1'000'000'000; }
};

}  // namespace gh
