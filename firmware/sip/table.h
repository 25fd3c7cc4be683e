// Intrusive chained hash table over 64-bit keyed hashes. The hash is computed by the caller with a
// secret key (keyed_hash.h), so chains cannot be aimed at; buckets are at least as many as items.
#pragma once

#include <bit>
#include <cstdint>
#include <span>

#include "hal/rt/arena.h"
#include "hal/rt/assert.h"

namespace gh::sip {

template <typename T>
struct TableNode {
  uint64_t hash = 0;
  T* next = nullptr;
  bool linked = false;
};

// Table<Binding, &Binding::node>
template <typename T, TableNode<T> T::*Node>
class Table {
 public:
  Table(Arena& arena, uint32_t item_count_max)
      : buckets_(arena.NewArray<T*>(std::bit_ceil(item_count_max < 8 ? 8u : item_count_max))) {}
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;

  void Insert(T& item, uint64_t hash) {
    TableNode<T>& node = item.*Node;
    GH_ASSERT(!node.linked);
    T*& bucket = BucketOf(hash);
    node.hash = hash;
    node.next = bucket;
    node.linked = true;
    bucket = &item;
    ++count_;
  }
  void Remove(T& item) {
    TableNode<T>& node = item.*Node;
    GH_ASSERT(node.linked);
    T** place = &BucketOf(node.hash);
    while (*place != &item) {
      GH_ASSERT(*place != nullptr);
      place = &((*place)->*Node).next;
    }
    *place = node.next;
    node.next = nullptr;
    node.linked = false;
    --count_;
  }
  // The first item of that hash for which `same(item)`; null when there is none.
  template <typename Same>
  T* Find(uint64_t hash, Same same) const {
    for (T* item = BucketOf(hash); item != nullptr; item = (item->*Node).next) {
      if ((item->*Node).hash == hash && same(*item)) {
        return item;
      }
    }
    return nullptr;
  }
  T* Find(uint64_t hash) const {
    return Find(hash, [](const T&) { return true; });
  }
  uint32_t count() const { return count_; }

 private:
  T*& BucketOf(uint64_t hash) const { return buckets_[hash & (buckets_.size() - 1)]; }

  std::span<T*> buckets_;
  uint32_t count_ = 0;
};

}  // namespace gh::sip
