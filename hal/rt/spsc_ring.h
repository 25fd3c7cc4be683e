// SpscRing: a fixed queue between one producer and one consumer, on two cores or on one, lock-free
// and wait-free. The only thing the two planes share.
//
// Indices count up for ever (64 bits) and are masked on use. Each side keeps a copy of the other's
// index and re-reads it only when the ring looks full or empty, so a batch costs one shared load
// and one shared store. Exactly one thread may call the producer's methods, and one the consumer's.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <span>
#include <type_traits>

#include "hal/rt/arena.h"
#include "hal/rt/limits.h"

namespace gh {

inline constexpr size_t kCacheLineSize = 64;

template <typename T>
class SpscRing {
  static_assert(std::is_trivially_copyable_v<T> && std::is_default_constructible_v<T>);

 public:
  // `capacity` is a power of two.
  SpscRing(Arena& arena, uint32_t capacity) : items_(arena.NewArray<T>(Checked(capacity))) {}
  SpscRing(const SpscRing&) = delete;
  SpscRing& operator=(const SpscRing&) = delete;

  uint32_t capacity() const { return static_cast<uint32_t>(items_.size()); }
  // Exact when called by a side that is the only one running; else a moment's picture.
  uint32_t size() const {
    const uint64_t head = head_.load(std::memory_order_acquire);
    const uint64_t tail = tail_.load(std::memory_order_acquire);
    return static_cast<uint32_t>(tail - head);
  }
  bool empty() const { return size() == 0; }

  // --- Producer ---
  // As many from the front of `items` as fit; returns how many.
  uint32_t PushBatch(std::span<const T> items) {
    const uint64_t tail = tail_.load(std::memory_order_relaxed);
    if (items_.size() - (tail - head_seen_) < items.size()) {
      head_seen_ = head_.load(std::memory_order_acquire);
    }
    const uint64_t room = items_.size() - (tail - head_seen_);
    const size_t count = std::min<size_t>(room, items.size());
    for (size_t i = 0; i < count; ++i) {
      items_[(tail + i) & mask()] = items[i];
    }
    tail_.store(tail + count, std::memory_order_release);
    return static_cast<uint32_t>(count);
  }
  bool Push(const T& item) { return PushBatch({&item, 1}) == 1; }

  // --- Consumer ---
  // As many as there are, at most `out.size()`; returns how many.
  uint32_t PopBatch(std::span<T> out) {
    const uint64_t head = head_.load(std::memory_order_relaxed);
    if (tail_seen_ - head < out.size()) {
      tail_seen_ = tail_.load(std::memory_order_acquire);
    }
    const size_t count = std::min<size_t>(tail_seen_ - head, out.size());
    for (size_t i = 0; i < count; ++i) {
      out[i] = items_[(head + i) & mask()];
    }
    head_.store(head + count, std::memory_order_release);
    return static_cast<uint32_t>(count);
  }
  bool Pop(T* out) { return PopBatch({out, 1}) == 1; }

 private:
  static uint32_t Checked(uint32_t capacity) {
    GH_ASSERT(std::has_single_bit(capacity));
    GH_ASSERT_LE(capacity, kRingCapacityMax);
    return capacity;
  }
  size_t mask() const { return items_.size() - 1; }

  std::span<T> items_;
  alignas(kCacheLineSize) std::atomic<uint64_t> tail_ = 0;  // written by the producer
  uint64_t head_seen_ = 0;
  alignas(kCacheLineSize) std::atomic<uint64_t> head_ = 0;  // written by the consumer
  uint64_t tail_seen_ = 0;
};

}  // namespace gh
