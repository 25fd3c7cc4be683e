#include "image/tree.h"

#include "crypto/digest.h"
#include "hal/rt/assert.h"
#include "hal/rt/bytes.h"

namespace gh::image {

namespace {
TreeHash NodeHash(const TreeHash& left, const TreeHash& right) {
  crypto::Blake2b256 hash("gatehouse.node");
  hash.Update(left);
  hash.Update(right);
  return hash.Finish();
}
}  // namespace

TreeHash LeafHash(uint32_t block_index, std::span<const uint8_t> block) {
  std::array<uint8_t, 4> index;
  ByteWriter(index).U32Le(block_index);
  crypto::Blake2b256 hash("gatehouse.leaf");
  hash.Update(index);
  hash.Update(block);
  return hash.Finish();
}

void TreeBuilder::AddLeaf(const TreeHash& leaf) {
  TreeHash subtree = leaf;
  uint32_t depth = 0;
  while ((leaf_count_ >> depth & 1) != 0) {
    subtree = NodeHash(pending_[depth], subtree);
    ++depth;
    GH_ASSERT_LT(depth, kTreeDepthMax);
  }
  pending_[depth] = subtree;
  ++leaf_count_;
}

TreeHash TreeBuilder::Root(uint64_t segment_size, uint32_t block_size) const {
  TreeHash top = {};
  bool has_top = false;
  for (uint32_t depth = 0; depth < kTreeDepthMax; ++depth) {
    if ((leaf_count_ >> depth & 1) != 0) {
      top = has_top ? NodeHash(pending_[depth], top) : pending_[depth];
      has_top = true;
    }
  }
  std::array<uint8_t, 16> numbers;
  ByteWriter writer(numbers);
  writer.U64Le(segment_size);
  writer.U32Le(block_size);
  writer.U32Le(leaf_count_);
  crypto::Blake2b256 hash("gatehouse.root");
  hash.Update(numbers);
  hash.Update(top);
  return hash.Finish();
}

}  // namespace gh::image
