#include "firmware/sip/buffer.h"

namespace gh::sip {

BufferPool::BufferPool(Arena& arena, const BufferCounts& counts) {
  for (size_t i = 0; i < kBufferSizes.size(); ++i) {
    auto headers = arena.NewArray<Buffer>(counts[i]);
    auto bytes = arena.NewArray<uint8_t>(size_t{counts[i]} * kBufferSizes[i]);
    for (size_t b = 0; b < headers.size(); ++b) {
      headers[b].data = bytes.data() + b * kBufferSizes[i];
      headers[b].capacity = kBufferSizes[i];
      headers[b].size_class = static_cast<uint8_t>(i);
      free_[i].PushBack(headers[b]);
    }
    capacity_ += counts[i];
  }
}

Buffer* BufferPool::Allocate(size_t size) {
  for (size_t i = 0; i < kBufferSizes.size(); ++i) {
    if (size > kBufferSizes[i]) {
      continue;
    }
    // Last released first: its cache lines are warm.
    if (Buffer* buffer = free_[i].PopFront()) {
      GH_ASSERT(!buffer->used);
      buffer->used = true;
      buffer->size = 0;
      ++used_count_;
      used_count_max_ = used_count_ > used_count_max_ ? used_count_ : used_count_max_;
      return buffer;
    }
  }
  ++exhausted_count_;
  return nullptr;
}

Buffer* BufferPool::Copy(std::span<const uint8_t> bytes) {
  Buffer* buffer = Allocate(bytes.size());
  if (buffer != nullptr && !bytes.empty()) {
    std::memcpy(buffer->data, bytes.data(), bytes.size());
    buffer->size = static_cast<uint32_t>(bytes.size());
  }
  return buffer;
}

void BufferPool::Release(Buffer* buffer) {
  if (buffer == nullptr) {
    return;
  }
  GH_ASSERT(buffer->used);
  buffer->used = false;
  --used_count_;
  free_[buffer->size_class].PushFront(*buffer);
}

}  // namespace gh::sip
