// Bytes of any length in small blocks of one pool: what waits for a client, names of contacts,
// presence. An empty chain costs nothing.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

#include "hal/rt/arena.h"
#include "hal/rt/assert.h"

namespace gh::xmpp {

// Holds blocks of a ChainPool; whoever has one frees it there.
struct Chain {
  uint32_t head = UINT32_MAX;
  uint32_t tail = UINT32_MAX;
  uint32_t size = 0;    // bytes
  uint16_t offset = 0;  // of the first byte, in the first block
  bool empty() const { return size == 0; }
};

class ChainPool {
 public:
  static constexpr uint32_t kBlockBytes = 124;

  ChainPool(Arena& arena, uint32_t block_count) : blocks_(arena.NewArray<Block>(block_count)) {
    for (uint32_t i = block_count; i > 0; --i) {
      blocks_[i - 1].next = free_;
      free_ = i - 1;
    }
    free_count_ = block_count;
  }
  ChainPool(const ChainPool&) = delete;
  ChainPool& operator=(const ChainPool&) = delete;
  static constexpr uint64_t ArenaBytes(uint32_t block_count) {
    return uint64_t{block_count} * sizeof(Block);
  }

  // All of it, or nothing: the pool is empty.
  bool Append(Chain& chain, std::span<const uint8_t> bytes) {
    const uint32_t used = chain.empty() ? kBlockBytes : (chain.offset + chain.size) % kBlockBytes;
    const size_t room = used == 0 ? 0 : kBlockBytes - used;
    const size_t beyond = bytes.size() > room ? bytes.size() - room : 0;
    if ((beyond + kBlockBytes - 1) / kBlockBytes > free_count_) {
      ++refused_count_;
      return false;
    }
    while (!bytes.empty()) {
      const uint32_t at = chain.empty() ? 0 : (chain.offset + chain.size) % kBlockBytes;
      if (chain.empty() || at == 0) {
        AddBlock(chain);
      }
      const size_t count = std::min<size_t>(bytes.size(), kBlockBytes - at);
      std::memcpy(blocks_[chain.tail].bytes + at, bytes.data(), count);
      chain.size += static_cast<uint32_t>(count);
      bytes = bytes.subspan(count);
    }
    return true;
  }
  bool Append(Chain& chain, std::string_view text) {
    return Append(chain, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  }
  // Replaces what it holds; false: it is empty now.
  bool Assign(Chain& chain, std::string_view text) {
    Free(chain);
    return Append(chain, text);
  }

  // The bytes from `from` on that `out` has room for; returns how many.
  size_t Copy(const Chain& chain, uint32_t from, std::span<uint8_t> out) const {
    if (from >= chain.size) {
      return 0;
    }
    const size_t count = std::min<size_t>(out.size(), chain.size - from);
    uint32_t at = chain.offset + from;
    uint32_t block = chain.head;
    for (; at >= kBlockBytes; at -= kBlockBytes) {
      block = blocks_[block].next;
    }
    for (size_t done = 0; done < count; at = 0, block = blocks_[block].next) {
      const size_t some = std::min<size_t>(count - done, kBlockBytes - at);
      std::memcpy(out.data() + done, blocks_[block].bytes + at, some);
      done += some;
    }
    return count;
  }
  std::string_view Text(const Chain& chain, std::span<uint8_t> out) const {
    const size_t count = Copy(chain, 0, out);
    return {reinterpret_cast<const char*>(out.data()), count};
  }

  // Takes bytes off the front.
  void Drop(Chain& chain, uint32_t count) {
    GH_ASSERT_LE(count, chain.size);
    chain.size -= count;
    uint32_t at = chain.offset + count;
    for (; at >= kBlockBytes; at -= kBlockBytes) {
      const uint32_t next = blocks_[chain.head].next;
      FreeBlock(chain.head);
      chain.head = next;
    }
    chain.offset = static_cast<uint16_t>(at);
    if (chain.size == 0) {
      if (chain.head != UINT32_MAX) {
        FreeBlock(chain.head);
      }
      chain = Chain();
    }
  }
  void Free(Chain& chain) { Drop(chain, chain.size); }

  uint32_t free_count() const { return free_count_; }
  uint32_t capacity() const { return static_cast<uint32_t>(blocks_.size()); }
  uint64_t refused_count() const { return refused_count_; }

 private:
  struct Block {
    uint32_t next = UINT32_MAX;
    uint8_t bytes[kBlockBytes];
  };
  void AddBlock(Chain& chain) {
    const uint32_t block = free_;
    GH_ASSERT(block != UINT32_MAX);
    free_ = std::exchange(blocks_[block].next, UINT32_MAX);
    --free_count_;
    if (chain.empty()) {
      chain.head = block;
      chain.offset = 0;
    } else {
      blocks_[chain.tail].next = block;
    }
    chain.tail = block;
  }
  void FreeBlock(uint32_t block) {
    std::memset(blocks_[block].bytes, 0, kBlockBytes);  // what people wrote
    blocks_[block].next = free_;
    free_ = block;
    ++free_count_;
  }

  std::span<Block> blocks_;
  uint32_t free_ = UINT32_MAX;
  uint32_t free_count_ = 0;
  uint64_t refused_count_ = 0;
};

}  // namespace gh::xmpp
