// The arena: all memory the appliance will ever use, carved at boot, then sealed.
//
// Rooms allocate in their constructors, under a named account, so that the memory table can say
// who owns every byte. After Seal() any allocation is a panic in every build. Nothing is freed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

#include "hal/rt/assert.h"
#include "hal/rt/limits.h"
#include "hal/rt/sanitizer.h"

namespace gh {

struct ArenaAccount {
  const char* name = "";  // "sip/registrar"
  uint64_t bytes = 0;
  uint64_t items = 0;  // objects the room says these bytes hold, 0 if it does not say
};

class Arena {
 public:
  explicit Arena(std::span<uint8_t> memory) : memory_(memory) {
    UnpoisonMemory(memory.data(), memory.size());
  }
  ~Arena() { UnpoisonMemory(memory_.data(), memory_.size()); }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // Zeroed bytes; `alignment` is a power of two. Running out before the seal is a panic: the
  // capacity profile does not fit. Padding is booked to the account that needed it.
  void* Allocate(size_t size, size_t alignment);

  template <typename T, typename... Args>
  T* New(Args&&... args) {
    return new (Allocate(sizeof(T), alignof(T))) T(std::forward<Args>(args)...);
  }
  // `count` value-initialised objects.
  template <typename T>
  std::span<T> NewArray(size_t count) {
    T* first = static_cast<T*>(Allocate(CheckedBytes(sizeof(T), count), alignof(T)));
    if constexpr (!std::is_trivially_default_constructible_v<T>) {  // zeros are what the others are
      for (size_t i = 0; i < count; ++i) {
        new (first + i) T();
      }
    }
    return {first, count};
  }

  // Allocations from here on are booked to `name` (a static string; the same name adds up). What is
  // allocated before the first account is booked to "unnamed".
  void OpenAccount(const char* name, uint64_t items = 0);
  void Seal();
  bool sealed() const { return sealed_; }
  uint64_t size() const { return memory_.size(); }
  uint64_t used() const { return used_; }
  std::span<const ArenaAccount> accounts() const { return {accounts_, account_count_}; }
  bool Contains(const void* p) const {
    const auto* byte = static_cast<const uint8_t*>(p);
    return byte >= memory_.data() && byte < memory_.data() + memory_.size();
  }

 private:
  static size_t CheckedBytes(size_t size, size_t count) {
    GH_ASSERT(count == 0 || size <= SIZE_MAX / count);
    return size * count;
  }

  std::span<uint8_t> memory_;
  uint64_t used_ = 0;
  ArenaAccount accounts_[kArenaAccountMax];
  uint32_t account_count_ = 0;
  uint32_t account_current_ = 0;
  bool sealed_ = false;
};

}  // namespace gh
