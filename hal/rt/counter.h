// Counter: a count that one thread writes and any may read, without a locked instruction. A reader
// sees some recent value, never a torn one.
#pragma once

#include <atomic>
#include <cstdint>

namespace gh {

class Counter {
 public:
  Counter() = default;
  Counter(const Counter& other) : value_(other.value()) {}
  Counter& operator=(const Counter& other) {
    value_.store(other.value(), std::memory_order_relaxed);
    return *this;
  }

  uint64_t value() const { return value_.load(std::memory_order_relaxed); }
  operator uint64_t() const { return value(); }
  // The writer's.
  Counter& operator+=(uint64_t more) {
    value_.store(value() + more, std::memory_order_relaxed);
    return *this;
  }
  Counter& operator++() { return *this += 1; }

 private:
  std::atomic<uint64_t> value_ = 0;
  static_assert(std::atomic<uint64_t>::is_always_lock_free);
};

}  // namespace gh
