// Key lists: who may sign what, rotation and revocation, thresholds, what never goes back, the two
// entries on the disk, and every byte of a list.
#include "image/key_list.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/image/sample.h"

namespace gh::image {
namespace {

using test::Bytes;
using test::MakeKey;

struct Keys {
  std::unique_ptr<tool::SigningKey> root = MakeKey(1);
  std::unique_ptr<tool::SigningKey> root_two = MakeKey(2);
  std::unique_ptr<tool::SigningKey> old_release = MakeKey(3);
  std::unique_ptr<tool::SigningKey> release = MakeKey(4);
  std::unique_ptr<tool::SigningKey> second = MakeKey(5);
  std::unique_ptr<tool::SigningKey> stranger = MakeKey(6);
  std::vector<TrustedKey> built_in;

  Keys() {
    root->trusted.role = gatehouse_image_KeyRole_KEY_ROOT;
    root_two->trusted.role = gatehouse_image_KeyRole_KEY_ROOT;
    built_in = {root->trusted, root_two->trusted, old_release->trusted};
  }
  // Trusts `release` and `second`; `old_release` is revoked.
  Bytes List(uint64_t sequence, uint32_t count_min = 1,
             std::vector<const tool::SigningKey*> roots = {}) const {
    const std::vector<tool::KeyListEntry> entries = {
        {old_release->trusted, true}, {release->trusted, false}, {second->trusted, false}};
    if (roots.empty()) {
      roots = {root.get()};
    }
    return tool::BuildKeyList(sequence, count_min, entries, roots);
  }
  Result<void> Verify(const Bytes& list, KeyRing& ring, uint32_t root_min = 1) const {
    GH_TRY_ASSIGN(const KeyListParts parts, ParseKeyList(list));
    return VerifyKeyList(parts, built_in, root_min, ring);
  }
};

Bytes Slot(std::vector<const tool::SigningKey*> keys, const Bytes& list = {}) {
  tool::Package package = test::SamplePackage();
  package.key_list = list;
  return test::Build(package, std::move(keys));
}

Result<void> CheckSlot(const Keys& keys, const Bytes& slot, const KeyRing* ring,
                       uint64_t sequence_min, VerifiedSlot& out) {
  test::Policy policy({});
  policy->keys = keys.built_in;
  policy->ring = ring;
  policy->key_list_sequence_min = sequence_min;
  return test::Check(slot, *policy, out);
}

ErrorCode CodeOf(const Keys& keys, const Bytes& slot, const KeyRing* ring = nullptr,
                 uint64_t sequence_min = 0) {
  VerifiedSlot out;
  return CheckSlot(keys, slot, ring, sequence_min, out).code();
}

TEST(KeyList, IsSignedByRootKeysOnly) {
  const Keys keys;
  KeyRing ring;
  ASSERT_TRUE(keys.Verify(keys.List(3), ring).ok());
  EXPECT_EQ(ring.sequence, 3u);
  EXPECT_EQ(ring.count, 2u) << "the revoked key is not in it";
  EXPECT_EQ(keys.Verify(keys.List(3, 1, {keys.old_release.get()}), ring).code(),
            ErrorCode::kUnauthentic);
  EXPECT_EQ(keys.Verify(keys.List(3, 1, {keys.stranger.get()}), ring).code(),
            ErrorCode::kUnauthentic);
}

TEST(KeyList, ARootKeyNeverSignsManifests) {
  const Keys keys;
  EXPECT_EQ(CodeOf(keys, Slot({keys.root.get()})), ErrorCode::kUnauthentic);
  EXPECT_EQ(CodeOf(keys, Slot({keys.old_release.get()})), ErrorCode::kOk);
  // Nor may a list name one as a release key's equal.
  const std::vector<tool::KeyListEntry> entries = {{keys.root->trusted, false}};
  const std::vector<const tool::SigningKey*> roots = {keys.root.get()};
  KeyRing ring;
  EXPECT_EQ(keys.Verify(tool::BuildKeyList(1, 1, entries, roots), ring).code(),
            ErrorCode::kUnsupported);
}

TEST(KeyList, ThresholdOfRootKeys) {
  const Keys keys;
  KeyRing ring;
  EXPECT_EQ(keys.Verify(keys.List(1), ring, 2).code(), ErrorCode::kUnauthentic);
  EXPECT_TRUE(keys.Verify(keys.List(1, 1, {keys.root.get(), keys.root_two.get()}), ring, 2).ok());
  const Bytes twice = keys.List(1, 1, {keys.root.get(), keys.root.get()});
  EXPECT_EQ(keys.Verify(twice, ring, 2).code(), ErrorCode::kMalformed);
  const Bytes added = tool::AddSignature(keys.List(1), *keys.root_two);
  EXPECT_TRUE(keys.Verify(added, ring, 2).ok());
}

TEST(KeyList, ASlotBringsTheListItIsHeldAgainst) {
  const Keys keys;
  VerifiedSlot out;
  const Bytes slot = Slot({keys.release.get()}, keys.List(2));
  ASSERT_TRUE(CheckSlot(keys, slot, nullptr, 0, out).ok());
  EXPECT_EQ(out.key_list_sequence, 2u);
  EXPECT_EQ(out.key_list.size(), keys.List(2).size());
  EXPECT_EQ(CodeOf(keys, Slot({keys.release.get()})), ErrorCode::kUnauthentic)
      << "without the list the new key is nobody's";
  EXPECT_EQ(CodeOf(keys, Slot({keys.old_release.get()}, keys.List(2))), ErrorCode::kUnauthentic)
      << "the list it brings revokes its own key";
  EXPECT_EQ(CodeOf(keys, Slot({keys.release.get()}, keys.List(2, 1, {keys.stranger.get()}))),
            ErrorCode::kUnauthentic);
}

TEST(KeyList, TheListInForceRevokesAndIsNotReplacedByAnOlderOne) {
  const Keys keys;
  KeyRing ring;
  ASSERT_TRUE(keys.Verify(keys.List(5), ring).ok());
  EXPECT_EQ(CodeOf(keys, Slot({keys.release.get()}), &ring, 5), ErrorCode::kOk);
  EXPECT_EQ(CodeOf(keys, Slot({keys.old_release.get()}), &ring, 5), ErrorCode::kUnauthentic);
  // A list of before, in which the old key was good, changes nothing.
  const std::vector<tool::KeyListEntry> entries = {{keys.old_release->trusted, false}};
  const std::vector<const tool::SigningKey*> roots = {keys.root.get()};
  const Bytes older = tool::BuildKeyList(4, 1, entries, roots);
  EXPECT_EQ(CodeOf(keys, Slot({keys.old_release.get()}, older), &ring, 5), ErrorCode::kUnauthentic);
  VerifiedSlot out;
  ASSERT_TRUE(CheckSlot(keys, Slot({keys.release.get()}, older), &ring, 5, out).ok());
  EXPECT_TRUE(out.key_list.empty());
  EXPECT_EQ(out.key_list_sequence, 5u);
  // The list in force is lost: neither the built-in keys nor an older list stand in for it.
  EXPECT_EQ(CodeOf(keys, Slot({keys.old_release.get()}), nullptr, 5), ErrorCode::kRollback);
  EXPECT_EQ(CodeOf(keys, Slot({keys.old_release.get()}, older), nullptr, 5), ErrorCode::kRollback);
  EXPECT_EQ(CodeOf(keys, Slot({keys.release.get()}, keys.List(5)), nullptr, 5), ErrorCode::kOk);
}

TEST(KeyList, ThresholdOfTwoSigners) {
  const Keys keys;
  const Bytes list = keys.List(1, 2);
  EXPECT_EQ(CodeOf(keys, Slot({keys.release.get()}, list)), ErrorCode::kUnauthentic);
  EXPECT_EQ(CodeOf(keys, Slot({keys.release.get(), keys.second.get()}, list)), ErrorCode::kOk);
  EXPECT_EQ(CodeOf(keys, Slot({keys.release.get(), keys.old_release.get()}, list)),
            ErrorCode::kUnauthentic)
      << "a revoked key is no second signer";
  EXPECT_EQ(CodeOf(keys, Slot({keys.release.get(), keys.root.get()}, list)),
            ErrorCode::kUnauthentic);
}

TEST(KeyList, WhatAListMayNotSay) {
  const Keys keys;
  const std::vector<const tool::SigningKey*> roots = {keys.root.get()};
  const tool::KeyListEntry good = {keys.release->trusted, false};
  const tool::KeyListEntry revoked = {keys.second->trusted, true};
  const auto code = [&](uint64_t sequence, uint32_t count_min,
                        std::vector<tool::KeyListEntry> entries) {
    KeyRing ring;
    return keys.Verify(tool::BuildKeyList(sequence, count_min, entries, roots), ring).code();
  };
  EXPECT_EQ(code(1, 1, {good, revoked}), ErrorCode::kOk);
  EXPECT_EQ(code(0, 1, {good}), ErrorCode::kMalformed);
  EXPECT_EQ(code(1, 0, {good}), ErrorCode::kMalformed);
  EXPECT_EQ(code(1, kSignatureCountMax + 1, {good}), ErrorCode::kMalformed);
  EXPECT_EQ(code(1, 2, {good, revoked}), ErrorCode::kMalformed) << "would lock everybody out";
  EXPECT_EQ(code(1, 1, {}), ErrorCode::kMalformed);
  EXPECT_EQ(code(1, 1, {good, good}), ErrorCode::kMalformed);
  std::vector<tool::KeyListEntry> many;
  for (uint8_t i = 0; i < kTrustedKeyCountMax; ++i) {
    many.push_back({MakeKey(static_cast<uint8_t>(100 + i))->trusted, false});
  }
  EXPECT_EQ(code(1, kSignatureCountMax, many), ErrorCode::kOk);
}

// Every byte, every bit of it: no list with one changed bit is taken for a good one.
TEST(KeyList, EveryByteCounts) {
  const Keys keys;
  Bytes list = keys.List(7);
  uint32_t refused = 0;
  for (uint8_t& byte : list) {
    for (uint32_t bit = 0; bit < 8; ++bit) {
      byte = static_cast<uint8_t>(byte ^ 1u << bit);
      KeyRing ring;
      refused += keys.Verify(list, ring).ok() ? 0 : 1;
      byte = static_cast<uint8_t>(byte ^ 1u << bit);
    }
  }
  EXPECT_EQ(refused, list.size() * 8);
  RecordProperty("bits_refused", static_cast<int>(refused));
  for (size_t size = 0; size < list.size(); ++size) {
    EXPECT_FALSE(ParseKeyList(std::span(list).first(size)).ok());
  }
  list.push_back(0);
  EXPECT_FALSE(ParseKeyList(list).ok());
  EXPECT_TRUE(ParseKeyList(list, false).ok());
}

// Every byte of header, manifest, signatures, key list and leaf table of a slot that brings a list.
TEST(KeyList, EveryByteOfASlotsMetadataCounts) {
  const Keys keys;
  Bytes slot = Slot({keys.release.get()}, keys.List(2));
  const auto layout = ParseSlotHeader(slot, slot.size());
  ASSERT_TRUE(layout.ok());
  uint32_t refused = 0;
  for (uint32_t at = 0; at < layout->payload_offset; ++at) {
    slot[at] ^= 0x04;
    refused += CodeOf(keys, slot) != ErrorCode::kOk ? 1 : 0;
    slot[at] ^= 0x04;
  }
  EXPECT_EQ(refused, layout->payload_offset);
  RecordProperty("bytes_refused", static_cast<int>(refused));
}

class MemoryDisk final : public StateDisk {
 public:
  Result<void> Read(uint64_t offset, std::span<uint8_t> out) override {
    std::copy_n(bytes.begin() + static_cast<ptrdiff_t>(offset), out.size(), out.begin());
    return Ok();
  }
  Result<void> Write(uint64_t offset, std::span<const uint8_t> data) override {
    ++write_count;
    std::copy(data.begin(), data.end(), bytes.begin() + static_cast<ptrdiff_t>(offset));
    return Ok();
  }
  Result<void> Flush() override { return Ok(); }
  std::vector<uint8_t> bytes = std::vector<uint8_t>(kKeptSettingsOffset);
  uint32_t write_count = 0;
};

TEST(KeyListArea, AListComesIntoForceWithTheRecord) {
  const Keys keys;
  MemoryDisk disk;
  std::vector<uint8_t> scratch(kKeyListSizeMax);
  KeyListArea area(disk, scratch);
  KeyRing ring;
  area.Load(keys.built_in, 1, 0, ring);
  EXPECT_EQ(ring.sequence, 0u);
  ASSERT_TRUE(area.Store(keys.List(4)).ok());
  area.Load(keys.built_in, 1, 0, ring);
  EXPECT_EQ(ring.sequence, 0u) << "written, but the record does not know it";
  area.Load(keys.built_in, 1, 4, ring);
  EXPECT_EQ(ring.sequence, 4u);
  ASSERT_TRUE(area.Mirror().ok());
  // Either copy alone is enough.
  for (const uint32_t entry : {0u, 1u}) {
    MemoryDisk damaged = disk;
    damaged.bytes[kKeyListAreaOffset + entry * kKeyListAreaStride + 40] ^= 1;
    KeyListArea other(damaged, scratch);
    other.Load(keys.built_in, 1, 4, ring);
    EXPECT_EQ(ring.sequence, 4u);
    ASSERT_TRUE(other.Mirror().ok());
    EXPECT_EQ(damaged.bytes, disk.bytes);
  }
}

TEST(KeyListArea, ANewListNeverOverwritesTheOneInForce) {
  const Keys keys;
  MemoryDisk disk;
  std::vector<uint8_t> scratch(kKeyListSizeMax);
  KeyListArea area(disk, scratch);
  KeyRing ring;
  uint64_t sequence = 0;
  for (uint64_t next = 1; next < 6; ++next) {
    area.Load(keys.built_in, 1, sequence, ring);
    EXPECT_EQ(ring.sequence, sequence);
    ASSERT_TRUE(area.Store(keys.List(next)).ok());
    const uint32_t writes = disk.write_count;
    ASSERT_TRUE(area.Store(keys.List(next)).ok());
    EXPECT_EQ(disk.write_count, writes) << "what is there is not written again";
    area.Load(keys.built_in, 1, sequence, ring);
    EXPECT_EQ(ring.sequence, sequence);
    sequence = next;
  }
  area.Load(keys.built_in, 1, UINT64_MAX, ring);
  EXPECT_EQ(ring.sequence, 5u);
}

}  // namespace
}  // namespace gh::image
