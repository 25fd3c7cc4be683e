// Heap: a bounded allocator over a fixed span, for libraries that insist on malloc (mbedTLS, expat,
// SQLite). Our own code allocates from pools and the arena, never here.
//
// Two-level segregated fit (Masmano et al., 2004): allocate, free and in-place resize are O(1), the
// choice is good-fit within 1/16, neighbours are merged at once. Exhaustion returns null; the
// library fails that one operation. Every block belongs to an owner (a connection, a database), so
// that one peer's share is known and can be limited.
//
// Blocks are 16-byte aligned and carry a 16-byte header whose check word covers its place and
// content: an overrun by a library, a double or a foreign free is found when the block or its
// neighbour is next touched, and is a panic. In sanitizer builds free memory is poisoned.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "hal/rt/arena.h"
#include "hal/rt/limits.h"

namespace gh {

struct HeapOwner {
  uint64_t bytes = 0;      // in use, headers included
  uint64_t bytes_max = 0;  // high-water mark
  uint64_t limit = UINT64_MAX;
  uint32_t block_count = 0;
  uint32_t refused_count = 0;
};

// What a walk over all blocks finds.
struct HeapShape {
  uint64_t used_bytes = 0;
  uint64_t free_bytes = 0;
  uint64_t free_bytes_largest = 0;  // one block
  uint32_t used_block_count = 0;
  uint32_t free_block_count = 0;
};

class Heap {
 public:
  static constexpr size_t kAlignment = 16;
  static constexpr size_t kHeaderSize = 16;

  // `memory` is 16-byte aligned; `owners` default-constructed, at least one.
  Heap(std::span<uint8_t> memory, std::span<HeapOwner> owners);
  // Carves both from the arena, on the account that is open.
  Heap(Arena& arena, uint64_t byte_count, uint32_t owner_count = 1);
  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;
  ~Heap();

  // The owner that Allocate books to: set by the glue around a library call.
  void SetOwner(uint32_t owner);
  uint32_t owner() const { return owner_current_; }
  // Allocations that would take the owner beyond `bytes` return null. What it has, it keeps.
  void SetOwnerLimit(uint32_t owner, uint64_t bytes);
  const HeapOwner& OwnerState(uint32_t owner) const;
  // Starts a new owner under this number: zero marks; it must hold nothing.
  void ResetOwner(uint32_t owner);

  // Null when there is no room. A size of 0 gives a distinct block, as malloc may.
  void* Allocate(size_t size);
  void* AllocateZeroed(size_t count, size_t size);  // null also when the product overflows
  // As realloc: null pointer allocates, size 0 frees and returns null; on failure null and the old
  // block is untouched. The block keeps its owner.
  void* Reallocate(void* p, size_t size);
  void Free(void* p);  // null is allowed
  size_t UsableSize(const void* p) const;

  uint64_t capacity() const { return capacity_; }  // bytes available to blocks and headers
  uint64_t used_bytes() const { return used_bytes_; }
  uint64_t used_bytes_max() const { return used_bytes_max_; }
  uint32_t block_count() const { return block_count_; }
  uint64_t refused_count() const { return refused_count_; }
  // Walks all blocks, checks every invariant (panics on a broken one). O(blocks): tests and status.
  HeapShape Inspect() const;

 private:
  struct Block;
  static constexpr uint32_t kSecondBits = 4;
  static constexpr uint32_t kSecondCount = 1u << kSecondBits;
  static constexpr uint32_t kFirstCount = 32 - kSecondBits;
  static constexpr uint32_t kNone = UINT32_MAX;
  struct Class {
    uint32_t first;
    uint32_t second;
  };

  static Class ClassOf(uint32_t units);
  static uint32_t UnitsFor(size_t size);
  Block& Raw(uint32_t index) const;
  Block& At(uint32_t index) const;
  uint32_t CheckOf(uint32_t index, const Block& block) const;
  void Write(uint32_t index, uint32_t units, uint32_t previous_units, uint32_t owner, bool used);
  void SetPreviousUnits(uint32_t index, uint32_t previous_units);
  uint32_t IndexOf(const void* p) const;
  void* PayloadOf(uint32_t index) const;
  uint32_t FindFree(uint32_t units) const;
  void Link(uint32_t index);
  void Unlink(uint32_t index);
  void MakeFree(uint32_t index, uint32_t units, uint32_t previous_units);
  void TakeUnits(uint32_t index, uint32_t units, uint32_t units_available, uint32_t owner);
  bool MayTake(uint32_t owner, uint64_t bytes);
  void Book(uint32_t owner, int64_t bytes, int32_t blocks);
  void* AllocateFor(uint32_t owner, size_t size);
  void* TryAllocate(uint32_t owner, size_t size);
  void* Refuse(uint32_t owner);
  void* Move(void* p, uint32_t index, size_t size);
  bool GrowInPlace(uint32_t index, uint32_t units);

  uint8_t* base_ = nullptr;
  uint32_t unit_count_ = 0;  // without the end mark
  uint64_t capacity_ = 0;
  std::span<HeapOwner> owners_;
  uint32_t owner_current_ = 0;
  uint64_t used_bytes_ = 0;
  uint64_t used_bytes_max_ = 0;
  uint32_t block_count_ = 0;
  uint64_t refused_count_ = 0;
  uint32_t first_map_ = 0;
  std::array<uint32_t, kFirstCount> second_map_ = {};
  std::array<std::array<uint32_t, kSecondCount>, kFirstCount> free_;
};

}  // namespace gh
