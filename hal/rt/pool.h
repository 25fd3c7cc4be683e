// Pool<T>: a fixed number of T, carved from the arena at boot. Allocation constructs, release
// destroys; both O(1). An empty pool returns null: the caller's protocol says so to its peer.
// Objects have stable indices, so 32-bit handles (index and generation) can name them.
#pragma once

#include <cstdint>
#include <new>
#include <span>
#include <utility>

#include "hal/rt/arena.h"
#include "hal/rt/sanitizer.h"

namespace gh {

// Names a pooled object; a handle to a released object resolves to null, never to its successor.
struct Handle {
  uint32_t index = UINT32_MAX;
  uint32_t generation = 0;
  constexpr bool valid() const { return index != UINT32_MAX; }
  friend constexpr bool operator==(Handle, Handle) = default;
};

template <typename T>
class Pool {
 public:
  Pool(Arena& arena, uint32_t capacity) : slots_(arena.NewArray<Slot>(capacity)) {
    for (uint32_t i = capacity; i > 0; --i) {
      slots_[i - 1].next_free = first_free_;
      first_free_ = i - 1;
      PoisonMemory(slots_[i - 1].storage, sizeof(T));
    }
    free_count_ = free_count_min_ = capacity;
  }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  template <typename... Args>
  T* Allocate(Args&&... args) {
    if (first_free_ == kNone) {
      ++exhausted_count_;
      return nullptr;
    }
    Slot& slot = slots_[first_free_];
    GH_ASSERT(!slot.used);
    first_free_ = slot.next_free;
    slot.used = true;
    ++slot.generation;
    --free_count_;
    free_count_min_ = free_count_ < free_count_min_ ? free_count_ : free_count_min_;
    UnpoisonMemory(slot.storage, sizeof(T));
    return new (slot.storage) T(std::forward<Args>(args)...);
  }
  void Release(T* object) {
    const uint32_t index = IndexOf(*object);
    Slot& slot = slots_[index];
    GH_ASSERT(slot.used);
    object->~T();
    PoisonMemory(slot.storage, sizeof(T));
    slot.used = false;
    slot.next_free = first_free_;
    first_free_ = index;
    ++free_count_;
  }

  uint32_t IndexOf(const T& object) const {
    const auto* slot = reinterpret_cast<const Slot*>(&object);  // storage comes first
    GH_ASSERT(slot >= slots_.data() && slot < slots_.data() + slots_.size());
    return static_cast<uint32_t>(slot - slots_.data());
  }
  Handle HandleOf(const T& object) const {
    const uint32_t index = IndexOf(object);
    return {index, slots_[index].generation};
  }
  T* Resolve(Handle handle) {
    if (handle.index >= slots_.size()) {
      return nullptr;
    }
    Slot& slot = slots_[handle.index];
    const bool live = slot.used && slot.generation == handle.generation;
    return live ? reinterpret_cast<T*>(slot.storage) : nullptr;
  }
  // The object at `index` if it is in use; for walking a whole pool.
  T* At(uint32_t index) {
    GH_ASSERT_LT(index, slots_.size());
    return slots_[index].used ? reinterpret_cast<T*>(slots_[index].storage) : nullptr;
  }

  uint32_t capacity() const { return static_cast<uint32_t>(slots_.size()); }
  uint32_t free_count() const { return free_count_; }
  uint32_t used_count() const { return capacity() - free_count_; }
  uint32_t free_count_min() const { return free_count_min_; }
  uint64_t exhausted_count() const { return exhausted_count_; }
  static constexpr uint64_t bytes_per_item() { return sizeof(Slot); }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  struct Slot {
    Slot() {}  // the storage is the arena's, zeroed: it is not filled once more
    alignas(T) unsigned char storage[sizeof(T)];
    uint32_t next_free = kNone;
    uint32_t generation : 31 = 0;
    uint32_t used : 1 = 0;
  };

  std::span<Slot> slots_;
  uint32_t first_free_ = kNone;
  uint32_t free_count_ = 0;
  uint32_t free_count_min_ = 0;
  uint64_t exhausted_count_ = 0;
};

}  // namespace gh
