// Message buffers in a few sizes, all carved at boot. A message is stored in the smallest size that
// holds it, or a larger one when that is used up. Empty pools return null: 503 or drop.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <span>

#include "hal/rt/arena.h"
#include "hal/rt/list.h"

namespace gh::sip {

struct Buffer {
  ListNode node;
  uint8_t* data = nullptr;
  uint32_t capacity = 0;
  uint32_t size = 0;
  uint8_t size_class = 0;
  bool used = false;
  std::span<uint8_t> bytes() { return {data, size}; }
  std::span<const uint8_t> bytes() const { return {data, size}; }
};

inline constexpr std::array<uint32_t, 5> kBufferSizes = {512, 1024, 2048, 8192, 65536};
using BufferCounts = std::array<uint32_t, kBufferSizes.size()>;
using BufferQueue = List<Buffer, &Buffer::node>;

class BufferPool {
 public:
  BufferPool(Arena& arena, const BufferCounts& counts);
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  Buffer* Allocate(size_t size);  // size <= 65536; null when nothing large enough is left
  Buffer* Copy(std::span<const uint8_t> bytes);
  void Release(Buffer* buffer);  // null is allowed
  uint32_t capacity() const { return capacity_; }
  uint32_t used_count() const { return used_count_; }
  uint32_t used_count_max() const { return used_count_max_; }
  uint64_t exhausted_count() const { return exhausted_count_; }

 private:
  std::array<BufferQueue, kBufferSizes.size()> free_;
  uint32_t capacity_ = 0;
  uint32_t used_count_ = 0;
  uint32_t used_count_max_ = 0;
  uint64_t exhausted_count_ = 0;
};

}  // namespace gh::sip
