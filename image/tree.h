// The hash tree over one segment's blocks: BLAKE2b-256, with leaf, node and root kept apart by
// personalisation.
//
// BLAKE2b because it is the fastest hash of libsodium in plain 64-bit code: the loader verifies a
// 16 MiB payload without depending on SHA or vector instructions, natively and under emulation.
//
//   leaf(i)    = H_leaf(u32 i, block i, zero-padded to the block size)     i counts in the payload
//   node(l, r) = H_node(l, r)          an odd one out moves up unchanged
//   root       = H_root(u64 segment size, u32 block size, u32 leaf count, top)
// The leaves are stored in front of the payload. Once they give the signed root, any block can be
// verified alone and in any order, so that a streamed write is verified as it goes.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "image/limits.h"

namespace gh::image {

using TreeHash = std::array<uint8_t, kHashSize>;

// `block` is a whole block, padding included.
TreeHash LeafHash(uint32_t block_index, std::span<const uint8_t> block);

// Takes a segment's leaves one after the other.
class TreeBuilder {
 public:
  void AddLeaf(const TreeHash& leaf);
  uint32_t leaf_count() const { return leaf_count_; }
  TreeHash Root(uint64_t segment_size, uint32_t block_size) const;

 private:
  // pending_[d] is the finished subtree of 2^d leaves where bit d of leaf_count_ is set.
  std::array<TreeHash, kTreeDepthMax> pending_;
  uint32_t leaf_count_ = 0;
};

}  // namespace gh::image
