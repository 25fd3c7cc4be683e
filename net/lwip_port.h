// The only door to lwIP: its memory, its globals, and who is inside.
//
// lwIP keeps its state in globals. They all lie in one linker section (image/deps/lwip.mk); each
// LwipInstance owns a copy of that section, and a LwipScope puts its instance's copy in place. With
// one instance in the process nothing is ever copied. Every call into lwIP happens under a scope.
//
// Fault model: lwIP's own assertions are panics; a memory pool that is empty is a null pointer to
// lwIP, which drops the packet or refuses the connection and is counted here.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "hal/rt/arena.h"
#include "hal/rt/heap.h"
#include "net/capacity.h"

namespace gh::net {

class Stack;

// lwIP's fixed-size pools (memp) and its heap (mem), sized at run time.
class LwipMemory {
 public:
  static constexpr uint32_t kPoolMax = 24;

  struct Pool {
    const char* name = "";
    void* free_list = nullptr;
    uint32_t item_size = 0;
    uint32_t item_count = 0;
    uint32_t free_count = 0;
    uint32_t free_count_min = 0;
    uint64_t refused_count = 0;
  };

  LwipMemory(Arena& arena, const Capacity& capacity);

  void* Allocate(uint32_t type);
  void Release(uint32_t type, void* item);
  Heap& heap() { return heap_; }
  std::span<const Pool> pools() const;
  const Pool& pool(uint32_t type) const { return pools_[type]; }

 private:
  std::array<Pool, kPoolMax> pools_ = {};
  Heap heap_;
};

class LwipInstance {
 public:
  LwipInstance(Arena& arena, const Capacity& capacity, Stack& owner);
  ~LwipInstance();
  LwipInstance(const LwipInstance&) = delete;
  LwipInstance& operator=(const LwipInstance&) = delete;

  LwipMemory& memory() { return memory_; }
  const LwipMemory& memory() const { return memory_; }
  Stack& owner() { return owner_; }
  static uint64_t state_bytes();  // what a switch between instances copies out and in
  static uint64_t switch_count();

 private:
  friend class LwipScope;
  LwipMemory memory_;
  Stack& owner_;
  std::span<uint8_t> saved_;  // this instance's state while another one is active
};

namespace internal {
// The one global of net/: whose state lwIP's section holds, and how many scopes are open. A pointer
// for the whole process, because the section is one for the whole process.
struct LwipActive {
  LwipInstance* instance = nullptr;
  uint32_t depth = 0;
};
extern LwipActive g_lwip_active;
}  // namespace internal

// Puts `instance` in place for the scope's lifetime. Scopes nest, also those of two instances.
class LwipScope {
 public:
  explicit LwipScope(LwipInstance& instance) : previous_(internal::g_lwip_active.instance) {
    ++internal::g_lwip_active.depth;
    if (previous_ != &instance) [[unlikely]] {
      Switch(&instance);
    }
  }
  ~LwipScope() {
    // The outermost scope leaves its instance in place: the next one is most often the same.
    if (--internal::g_lwip_active.depth > 0 && internal::g_lwip_active.instance != previous_)
        [[unlikely]] {
      Switch(previous_);
    }
  }
  LwipScope(const LwipScope&) = delete;
  LwipScope& operator=(const LwipScope&) = delete;

 private:
  static void Switch(LwipInstance* to);
  LwipInstance* previous_;
};

}  // namespace gh::net
