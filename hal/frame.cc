#include "hal/frame.h"

#include "hal/rt/sanitizer.h"

namespace gh::hal {

// Buffers are aligned to their size: none crosses a page, so a descriptor needs one address.
FramePool::FramePool(Arena& arena, uint32_t frame_count)
    : frame_count_(frame_count), share_(frame_count) {
  arena.OpenAccount("hal/frames", frame_count);
  auto* buffers = static_cast<uint8_t*>(
      arena.Allocate(size_t{frame_count} * kFrameBufferSize, kFrameBufferSize));
  frames_ = arena.NewArray<Frame>(frame_count).data();
  for (uint32_t i = frame_count; i > 0; --i) {
    Frame& frame = frames_[i - 1];
    frame.buffer = buffers + size_t{i - 1} * kFrameBufferSize;
    frame.index = i - 1;
    frame.next = free_list_;
    free_list_ = &frame;
    PoisonMemory(frame.buffer, kFrameBufferSize);
  }
  free_count_ = free_count_min_ = frame_count;
}

FramePool::FramePool(FramePool& other, uint32_t share)
    : frames_(other.frames_), frame_count_(other.frame_count_), share_(share) {
  GH_ASSERT_GT(other.free_count_, share);
  for (uint32_t i = 0; i < share; ++i) {
    Release(other.Allocate());
  }
  other.share_ -= share;
  other.free_count_min_ = other.free_count_;
  free_count_min_ = free_count_;
}

uint32_t FramePool::TakeSurplus(std::span<Frame*> out, uint32_t slack) {
  uint32_t count = 0;
  if (free_count_ > share_ + slack) {
    while (count < out.size() && free_count_ > share_) {
      out[count++] = Allocate();
    }
  }
  return count;
}

Frame* FramePool::Allocate() {
  Frame* frame = free_list_;
  if (frame == nullptr) {
    return nullptr;
  }
  GH_ASSERT(frame->is_free);
  GH_ASSERT_GT(free_count_, 0u);
  free_list_ = frame->next;
  --free_count_;
  free_count_min_ = free_count_ < free_count_min_ ? free_count_ : free_count_min_;
  UnpoisonMemory(frame->buffer, kFrameBufferSize);
  frame->start = kFrameHeadroom;
  frame->size = 0;
  frame->flags = 0;
  frame->checksum_start = 0;
  frame->checksum_offset = 0;
  frame->port_index = 0;
  frame->received = {};
  frame->is_free = false;
  frame->next = nullptr;
  return frame;
}

void FramePool::Release(Frame* frame) {
  GH_ASSERT(frame != nullptr);
  GH_ASSERT_LT(frame->index, frame_count_);
  GH_ASSERT(frame == &frames_[frame->index]);  // of this pool
  GH_ASSERT(!frame->is_free);                  // once
  frame->is_free = true;
  frame->next = free_list_;
  free_list_ = frame;
  ++free_count_;
  GH_ASSERT_LE(free_count_, frame_count_);
  PoisonMemory(frame->buffer, kFrameBufferSize);
}

}  // namespace gh::hal
