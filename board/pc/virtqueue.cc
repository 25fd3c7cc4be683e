#include "board/pc/virtqueue.h"

#include <bit>

#include "board/pc/cpu.h"

namespace gh::pc {
namespace {

constexpr uint16_t kNext = 1;
constexpr uint16_t kDeviceWrites = 2;
constexpr uint16_t kNoInterrupt = 1;
constexpr uint16_t kNoNotify = 1;

// virtio 1.2, 2.7.10: did the index pass `event` on its way from `old` to `now`?
bool NeedsEvent(uint16_t event, uint16_t now, uint16_t old) {
  return static_cast<uint16_t>(now - event - 1) < static_cast<uint16_t>(now - old);
}

}  // namespace

void Virtqueue::Initialise(Arena& arena, uint16_t index, uint16_t size, bool has_event_index) {
  GH_ASSERT(std::has_single_bit(size));
  GH_ASSERT_LE(size, kVirtqueueSizeMax);
  index_ = index;
  size_ = size;
  has_event_index_ = has_event_index;
  descriptors_ = static_cast<Descriptor*>(arena.Allocate(sizeof(Descriptor) * size, 4096));
  available_ = static_cast<Available*>(arena.Allocate(sizeof(Available), 64));
  used_ = static_cast<Used*>(arena.Allocate(sizeof(Used), 64));
  chains_ = arena.NewArray<Chain>(size);
  for (uint16_t i = 0; i < size; ++i) {
    chains_[i].next = static_cast<uint16_t>(i + 1);
  }
  free_count_ = size;
  SuppressInterrupts();
}

bool Virtqueue::Add(std::span<const VirtqueueBuffer> buffers, uint16_t& head) {
  GH_ASSERT(!buffers.empty());
  if (broken_ || buffers.size() > free_count_) {
    return false;
  }
  head = free_head_;
  uint16_t at = free_head_;
  uint32_t writable = 0;
  for (size_t i = 0; i < buffers.size(); ++i) {
    GH_ASSERT_LT(at, size_);
    const VirtqueueBuffer& buffer = buffers[i];
    const bool is_last = i + 1 == buffers.size();
    descriptors_[at].address = reinterpret_cast<uint64_t>(buffer.data);
    descriptors_[at].size = buffer.size;
    descriptors_[at].next = is_last ? 0 : chains_[at].next;
    descriptors_[at].flags =
        static_cast<uint16_t>((is_last ? 0 : kNext) | (buffer.device_writes ? kDeviceWrites : 0));
    writable += buffer.device_writes ? buffer.size : 0;
    at = chains_[at].next;
  }
  free_head_ = at;
  free_count_ = static_cast<uint16_t>(free_count_ - buffers.size());
  GH_ASSERT_EQ(chains_[head].length, 0);
  chains_[head].length = static_cast<uint16_t>(buffers.size());
  chains_[head].writable = writable;
  available_->ring[available_index_ & (size_ - 1)] = head;
  ++available_index_;
  return true;
}

void Virtqueue::Publish() {
  if (available_index_ == published_index_ || broken_) {
    return;
  }
  CompilerBarrier();
  const uint16_t old = published_index_;
  available_->index = available_index_;
  published_index_ = available_index_;
  FullBarrier();  // the index must be seen before we read whether the device sleeps
  const bool wanted = has_event_index_ ? NeedsEvent(static_cast<uint16_t>(used_->ring[size_].id),
                                                    available_index_, old)
                                       : (used_->flags & kNoNotify) == 0;
  if (wanted) {
    ++doorbell_count_;
    notify_.Write16(0, index_);
  }
}

bool Virtqueue::HasUsed() const { return !broken_ && used_->index != used_index_; }

bool Virtqueue::Take(VirtqueueUsed& used) {
  if (!HasUsed()) {
    return false;
  }
  CompilerBarrier();
  const uint32_t id = used_->ring[used_index_ & (size_ - 1)].id;
  const uint32_t written = used_->ring[used_index_ & (size_ - 1)].written;
  if (id >= size_ || chains_[id].length == 0) {
    broken_ = true;
    return false;
  }
  ++used_index_;
  Chain& head = chains_[id];
  used.head = static_cast<uint16_t>(id);
  used.written = written < head.writable ? written : head.writable;
  uint16_t tail = used.head;
  for (uint16_t i = 1; i < head.length; ++i) {
    tail = chains_[tail].next;
  }
  chains_[tail].next = free_head_;
  free_head_ = used.head;
  free_count_ = static_cast<uint16_t>(free_count_ + head.length);
  head.length = 0;
  return true;
}

bool Virtqueue::ArmInterrupt() {
  if (has_event_index_) {
    available_->ring[size_] = used_index_;
  } else {
    available_->flags = 0;
  }
  FullBarrier();  // the wish must be seen before we look for what came in meanwhile
  return HasUsed();
}

void Virtqueue::SuppressInterrupts() {
  if (has_event_index_) {
    // As far behind as can be: 64 Ki completions until it matters, and then it is one interrupt.
    available_->ring[size_] = static_cast<uint16_t>(used_index_ - 1);
    return;
  }
  available_->flags = kNoInterrupt;
}

}  // namespace gh::pc
