// The hash tree against a plain recursive definition of it.
#include "image/tree.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "crypto/digest.h"
#include "hal/rt/bytes.h"

namespace gh::image {
namespace {

std::vector<TreeHash> Leaves(uint32_t count) {
  std::vector<TreeHash> leaves;
  for (uint32_t i = 0; i < count; ++i) {
    const std::vector<uint8_t> block(4096, static_cast<uint8_t>(i * 7));
    leaves.push_back(LeafHash(i, block));
  }
  return leaves;
}

// Level by level, an odd one out moves up.
TreeHash PlainTop(std::vector<TreeHash> level) {
  while (level.size() > 1) {
    std::vector<TreeHash> above;
    for (size_t i = 0; i + 1 < level.size(); i += 2) {
      crypto::Blake2b256 hash("gatehouse.node");
      hash.Update(level[i]);
      hash.Update(level[i + 1]);
      above.push_back(hash.Finish());
    }
    if (level.size() % 2 == 1) {
      above.push_back(level.back());
    }
    level = above;
  }
  return level[0];
}

TreeHash PlainRoot(const std::vector<TreeHash>& leaves, uint64_t size, uint32_t block_size) {
  std::array<uint8_t, 16> numbers;
  ByteWriter writer(numbers);
  writer.U64Le(size);
  writer.U32Le(block_size);
  writer.U32Le(static_cast<uint32_t>(leaves.size()));
  crypto::Blake2b256 hash("gatehouse.root");
  hash.Update(numbers);
  hash.Update(PlainTop(leaves));
  return hash.Finish();
}

TEST(Tree, MatchesThePlainDefinitionForEveryCount) {
  std::set<TreeHash> roots;
  for (uint32_t count = 1; count <= 130; ++count) {
    const auto leaves = Leaves(count);
    TreeBuilder tree;
    for (const auto& leaf : leaves) {
      tree.AddLeaf(leaf);
    }
    const auto root = tree.Root(count * 4096, 4096);
    EXPECT_EQ(root, PlainRoot(leaves, count * 4096, 4096)) << count;
    roots.insert(root);
  }
  EXPECT_EQ(roots.size(), 130u);
}

TEST(Tree, RootDependsOnSizeBlockSizeAndEveryLeaf) {
  const auto root_of = [](const std::vector<TreeHash>& leaves, uint64_t size, uint32_t block) {
    TreeBuilder tree;
    for (const auto& leaf : leaves) {
      tree.AddLeaf(leaf);
    }
    return tree.Root(size, block);
  };
  const auto leaves = Leaves(11);
  const auto root = root_of(leaves, 45000, 4096);
  EXPECT_NE(root, root_of(leaves, 45001, 4096));
  EXPECT_NE(root, root_of(leaves, 45000, 8192));
  for (size_t i = 0; i < leaves.size(); ++i) {
    auto changed = leaves;
    changed[i][31] ^= 1;
    EXPECT_NE(root, root_of(changed, 45000, 4096)) << i;
  }
  // A node's hash in a leaf's place must not pass for its subtree.
  auto shorter = leaves;
  shorter.pop_back();
  EXPECT_NE(root, root_of(shorter, 45000, 4096));
}

TEST(Tree, LeafDependsOnItsPlace) {
  const std::vector<uint8_t> block(4096, 1);
  EXPECT_NE(LeafHash(0, block), LeafHash(1, block));
}

TEST(Tree, TakesTheLargestPayload) {
  TreeBuilder tree;
  for (uint32_t i = 0; i < kBlockCountMax; ++i) {
    tree.AddLeaf(TreeHash{static_cast<uint8_t>(i)});
  }
  EXPECT_EQ(tree.leaf_count(), kBlockCountMax);
  EXPECT_NE(tree.Root(kPayloadSizeMax, kBlockSizeMin), TreeHash{});
}

}  // namespace
}  // namespace gh::image
