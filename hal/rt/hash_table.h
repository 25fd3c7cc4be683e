// HashTable: intrusive, keyed, chained over a bucket array carved from the arena at boot.
//
// Every operation is O(1): load is at most one entry a bucket, and no chain ever grows beyond
// kHashChainMax (hal/rt/limits.h), so a lookup compares at most that many entries whatever keys an
// outsider chooses. Hashing is SipHash-1-3 under a secret key, so chains reach that bound neither
// by chance nor by design; if one does, the insertion is refused, counted, and nothing else
// suffers. An entry is in a table at most once for each HashNode member it has. The table does not
// own.
//
//   struct Binding { std::string_view aor; HashNode aor_node; };
//   struct BindingByAor {
//     using Key = std::string_view;
//     static Key KeyOf(const Binding& binding) { return binding.aor; }
//   };
//   HashTable<Binding, &Binding::aor_node, BindingByAor> table(arena, capacity, sip_key);
//
// Keys are compared with ==. Text, byte spans, integers and enums are hashed here; for any other
// key the traits add `static uint64_t HashOf(const SipKey&, const Key&)`. The key of an entry must
// not change while it is in the table.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

#include "hal/rt/arena.h"
#include "hal/rt/assert.h"
#include "hal/rt/limits.h"
#include "hal/rt/siphash.h"

namespace gh {

struct HashNode {
  HashNode* next = nullptr;
  uint32_t hash = 0;  // low bits choose the bucket; all are compared before the key is
  bool linked = false;
};

enum class HashInsert : uint8_t {
  kInserted,
  kExists,     // an entry with this key is there already; nothing changed
  kExhausted,  // the table is at capacity, or the chain at kHashChainMax
};

template <typename T, HashNode T::*Node, typename Traits>
class HashTable {
 public:
  using Key = typename Traits::Key;

  // `capacity` entries at most. Buckets: the next power of two.
  HashTable(Arena& arena, uint32_t capacity, const SipKey& key)
      : capacity_(Checked(capacity)),
        key_(key),
        buckets_(arena.NewArray<HashNode*>(std::bit_ceil(capacity))) {}
  HashTable(const HashTable&) = delete;
  HashTable& operator=(const HashTable&) = delete;

  T* Find(const Key& key) const { return FindHashed(key, Hash(key)); }

  [[nodiscard]] HashInsert Insert(T& entry) {
    HashNode& node = entry.*Node;
    GH_ASSERT(!node.linked);
    const Key& key = Traits::KeyOf(entry);
    const uint32_t hash = Hash(key);
    HashNode*& head = Bucket(hash);
    uint32_t length = 0;
    for (HashNode* other = head; other != nullptr; other = other->next, ++length) {
      if (other->hash == hash && Traits::KeyOf(*Owner(other)) == key) {
        return HashInsert::kExists;
      }
    }
    if (size_ == capacity_ || length == kHashChainMax) {
      ++refused_count_;
      return HashInsert::kExhausted;
    }
    node.hash = hash;
    node.next = head;
    node.linked = true;
    head = &node;
    ++size_;
    chain_max_ = std::max(chain_max_, length + 1);
    return HashInsert::kInserted;
  }

  void Remove(T& entry) {
    HashNode& node = entry.*Node;
    GH_ASSERT(node.linked);
    GH_ASSERT_GT(size_, 0u);
    HashNode** link = &Bucket(node.hash);
    while (*link != &node) {
      GH_ASSERT(*link != nullptr);  // an entry of another table, or its hash was damaged
      link = &(*link)->next;
    }
    *link = node.next;
    node.next = nullptr;
    node.linked = false;
    --size_;
  }
  // Finds and removes; null when there is none.
  T* Take(const Key& key) {
    T* entry = Find(key);
    if (entry != nullptr) {
      Remove(*entry);
    }
    return entry;
  }
  static bool IsLinked(const T& entry) { return (entry.*Node).linked; }

  // Calls visit(T&) for the entries of `bucket_count` buckets from `bucket_first` on, for sweeps in
  // bounded steps; entries inserted meanwhile may or may not be seen. Visit may remove its entry.
  template <typename Visit>
  void ForEachIn(uint32_t bucket_first, uint32_t bucket_count, Visit&& visit) {
    GH_ASSERT_LE(bucket_first, buckets_.size());
    const size_t count = std::min<size_t>(bucket_count, buckets_.size() - bucket_first);
    for (HashNode*& head : buckets_.subspan(bucket_first, count)) {
      for (HashNode* node = head; node != nullptr;) {
        HashNode* next = node->next;
        visit(*Owner(node));
        node = next;
      }
    }
  }
  template <typename Visit>
  void ForEach(Visit&& visit) {
    ForEachIn(0, bucket_count(), visit);
  }

  uint32_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  uint32_t capacity() const { return capacity_; }
  uint32_t bucket_count() const { return static_cast<uint32_t>(buckets_.size()); }
  uint32_t chain_max() const { return chain_max_; }  // the longest chain there ever was
  uint64_t refused_count() const { return refused_count_; }
  static constexpr uint64_t bytes_for(uint32_t capacity) {
    return std::bit_ceil(capacity) * sizeof(HashNode*);
  }

 private:
  static uint32_t Checked(uint32_t capacity) {
    GH_ASSERT_GT(capacity, 0u);
    GH_ASSERT_LE(capacity, kHashCapacityMax);
    return capacity;
  }
  uint32_t Hash(const Key& key) const {
    if constexpr (requires { Traits::HashOf(key_, key); }) {
      return static_cast<uint32_t>(Traits::HashOf(key_, key));
    } else if constexpr (std::is_integral_v<Key> || std::is_enum_v<Key>) {
      return static_cast<uint32_t>(SipHash13(key_, static_cast<uint64_t>(key)));
    } else {
      return static_cast<uint32_t>(SipHash13(key_, key));
    }
  }
  HashNode*& Bucket(uint32_t hash) const { return buckets_[hash & (buckets_.size() - 1)]; }
  T* FindHashed(const Key& key, uint32_t hash) const {
    uint32_t length = 0;
    for (HashNode* node = Bucket(hash); node != nullptr; node = node->next) {
      GH_ASSERT_LT(length, kHashChainMax);  // paired with Insert
      ++length;
      T* entry = Owner(node);
      if (node->hash == hash && Traits::KeyOf(*entry) == key) {
        return entry;
      }
    }
    return nullptr;
  }
  static T* Owner(HashNode* node) {
    alignas(T) static constexpr unsigned char probe[sizeof(T)] = {};
    const T* object = reinterpret_cast<const T*>(probe);
    const auto offset = reinterpret_cast<const unsigned char*>(&(object->*Node)) - probe;
    return reinterpret_cast<T*>(reinterpret_cast<unsigned char*>(node) - offset);
  }

  uint32_t capacity_;
  uint32_t size_ = 0;
  SipKey key_;
  std::span<HashNode*> buckets_;
  uint32_t chain_max_ = 0;
  uint64_t refused_count_ = 0;
};

}  // namespace gh
