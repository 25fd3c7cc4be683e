// The signed slot: what is accepted, that any changed byte is refused, and every hostile length.
#include "image/slot.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "tests/unit/image/sample.h"

namespace gh::image {
namespace {

using test::Build;
using test::Bytes;
using test::Check;
using test::FixHeaderCrc;
using test::MakeKey;
using test::Policy;
using test::SamplePackage;

class SlotTest : public testing::Test {
 protected:
  std::unique_ptr<tool::SigningKey> key_ = MakeKey(1);
  std::unique_ptr<tool::SigningKey> other_ = MakeKey(2);
  Policy policy_{{key_.get()}};
  Bytes slot_ = Build(SamplePackage(), {key_.get()});
  VerifiedSlot verified_;

  std::string Refusal(const Bytes& bytes) {
    const auto result = Check(bytes, *policy_, verified_);
    return result.ok() ? "accepted" : result.error().what;
  }
  std::string RefusalOf(const tool::Package& package) {
    return Refusal(Build(package, {key_.get()}));
  }
  SlotLayout Layout() { return ParseSlotHeader(slot_, slot_.size()).value_or(SlotLayout()); }
};

TEST_F(SlotTest, AcceptsWhatWasSigned) {
  ASSERT_EQ(Refusal(slot_), "accepted");
  EXPECT_STREQ(verified_.manifest.version, "1.2.3");
  EXPECT_STREQ(verified_.manifest.build_id, "0123456789abcdef");
  EXPECT_EQ(verified_.manifest.security_version, 5u);
  EXPECT_EQ(verified_.key_id, crypto::KeyIdOf(key_->trusted.key));
  EXPECT_TRUE(verified_.is_development);
  EXPECT_EQ(verified_.signature_count, 1u);
  EXPECT_EQ(verified_.block_count(), 3u);
  EXPECT_EQ(SegmentFirstBlock(verified_.manifest, 1), 2u);
  EXPECT_EQ(SegmentOfBlock(verified_.manifest, 1), 0u);
  EXPECT_EQ(SegmentOfBlock(verified_.manifest, 2), 1u);
  EXPECT_EQ(FirmwareSegment(verified_.manifest), 0u);
}

TEST_F(SlotTest, SameInputGivesTheSameBytes) {
  EXPECT_EQ(slot_, Build(SamplePackage(), {key_.get()}));
}

TEST_F(SlotTest, BytesAfterTheContentDoNotMatter) {
  Bytes longer = slot_;
  longer.resize(slot_.size() + 10000, 0xee);
  EXPECT_EQ(Refusal(longer), "accepted");
}

// Not a sample: each byte of the whole slot, with every bit where a signature protects it.
TEST_F(SlotTest, EveryChangedByteIsRefused) {
  const SlotLayout layout = Layout();
  uint64_t refused = 0;
  for (size_t at = 0; at < slot_.size(); ++at) {
    const bool in_manifest =
        at >= layout.manifest_offset && at < layout.manifest_offset + layout.manifest_size;
    const bool in_signature =
        at >= layout.signatures_offset && at < layout.signatures_offset + layout.signatures_size;
    const uint32_t bits = in_manifest || in_signature || at < 64 ? 8 : 1;
    for (uint32_t bit = 0; bit < bits; ++bit) {
      const auto mask = static_cast<uint8_t>(1u << (bits == 1 ? at % 8 : bit));
      slot_[at] = static_cast<uint8_t>(slot_[at] ^ mask);
      ASSERT_NE(Refusal(slot_), "accepted") << "byte " << at << " mask " << int{mask};
      slot_[at] = static_cast<uint8_t>(slot_[at] ^ mask);
      ++refused;
    }
  }
  EXPECT_EQ(Refusal(slot_), "accepted");
  RecordProperty("changes_refused", static_cast<int>(refused));
  std::printf("%llu changes, all refused\n", static_cast<unsigned long long>(refused));
}

// The header's checksum protects against accidents; an attacker mends it.
TEST_F(SlotTest, EveryChangedHeaderBitWithAMendedChecksumIsRefused) {
  for (size_t at = 0; at < kSlotHeaderSize - 4; ++at) {
    for (uint32_t bit = 0; bit < (at < 64 ? 8u : 1u); ++bit) {
      Bytes bad = slot_;
      bad[at] = static_cast<uint8_t>(bad[at] ^ 1u << bit);
      FixHeaderCrc(bad);
      ASSERT_NE(Refusal(bad), "accepted") << "byte " << at << " bit " << bit;
    }
  }
}

TEST_F(SlotTest, EveryTruncationIsRefused) {
  for (size_t size = 0; size < slot_.size(); ++size) {
    const auto result =
        ParseSlotHeader(std::span(slot_).first(std::min<size_t>(size, kSlotHeaderSize)), size);
    ASSERT_FALSE(result.ok()) << size;
    EXPECT_EQ(result.code(), ErrorCode::kTruncated);
  }
}

TEST_F(SlotTest, ReasonsNameTheCheck) {
  const SlotLayout layout = Layout();
  const auto flipped = [&](uint64_t at) {
    Bytes bad = slot_;
    bad[at] ^= 1;
    return Refusal(bad);
  };
  EXPECT_EQ(flipped(0), "no image in this slot");
  EXPECT_EQ(flipped(20), "slot header checksum is wrong");
  EXPECT_EQ(flipped(layout.manifest_offset + 30), "manifest signature does not verify");
  EXPECT_EQ(flipped(layout.signatures_offset),
            "manifest is not signed by a key this machine trusts");
  EXPECT_EQ(flipped(layout.signatures_offset + 8), "signature is of an unknown kind");
  EXPECT_EQ(flipped(layout.signatures_offset + 20), "manifest signature does not verify");
  EXPECT_EQ(flipped(layout.signatures_offset + 2000),
            "padding between the slot's parts is not zero");
  EXPECT_EQ(flipped(layout.tree_offset + 40), "hash tree does not match the manifest");
  EXPECT_EQ(flipped(layout.payload_offset + 4999), "payload block does not match its signed hash");
  EXPECT_EQ(flipped(layout.payload_offset + 5001),
            "payload block does not match its signed hash");  // padding of a block
}

TEST_F(SlotTest, NamesTheBadBlock) {
  const SlotLayout layout = Layout();
  ASSERT_EQ(Refusal(slot_), "accepted");
  slot_[layout.payload_offset + 2 * 4096 + 7] ^= 0x80;
  uint32_t bad_block = 99;
  const auto result =
      VerifyPayload(verified_, std::span(slot_).subspan(layout.payload_offset), bad_block);
  EXPECT_EQ(result.code(), ErrorCode::kCorrupt);
  EXPECT_EQ(bad_block, 2u);
}

TEST_F(SlotTest, SwappedBlocksAreRefused) {
  const SlotLayout layout = Layout();
  const auto payload = slot_.begin() + layout.payload_offset;
  std::swap_ranges(payload, payload + 4096, payload + 4096);
  EXPECT_EQ(Refusal(slot_), "payload block does not match its signed hash");
  const auto leaves = slot_.begin() + layout.tree_offset;
  std::swap_ranges(leaves, leaves + kHashSize, leaves + kHashSize);
  EXPECT_EQ(Refusal(slot_), "hash tree does not match the manifest");
}

// --- Lengths ------------------------------------------------------------------------------------

struct Field {
  const char* name;
  size_t offset;
  size_t size;
};
constexpr Field kLengths[] = {{"manifest", 12, 4}, {"signatures", 16, 4}, {"key list", 20, 4},
                              {"tree", 24, 4},     {"reserved", 28, 4},   {"payload", 32, 8}};

TEST_F(SlotTest, HostileLengthsAreRefused) {
  const uint64_t values[] = {0,          1,
                             79,         80,
                             81,         160,
                             640,        641,
                             720,        4095,
                             4097,       16384,
                             16385,      65535,
                             0x7fffffff, 0x80000000,
                             0xfffff000, 0xffffffff,
                             1ull << 32, (64ull << 20) + 1,
                             1ull << 63, UINT64_MAX - 4095,
                             UINT64_MAX};
  for (const Field& field : kLengths) {
    for (const uint64_t value : values) {
      Bytes bad = slot_;
      ByteWriter writer{std::span(bad).subspan(field.offset, field.size)};
      field.size == 4 ? writer.U32Le(static_cast<uint32_t>(value)) : writer.U64Le(value);
      FixHeaderCrc(bad);
      if (bad != slot_) {
        EXPECT_NE(Refusal(bad), "accepted") << field.name << " = " << value;
      }
    }
  }
}

TEST_F(SlotTest, LargestSizesFitTheLargestSlot) {
  SlotLayout sizes;
  sizes.manifest_size = kManifestSizeMax;
  sizes.signatures_size = kSignatureCountMax * kSignatureRecordSize;
  sizes.key_list_size = kKeyListSizeMax;
  sizes.tree_size = kTreeSizeMax;
  sizes.payload_size = kPayloadSizeMax;
  const auto layout = MakeSlotLayout(sizes);
  ASSERT_TRUE(layout.ok());
  EXPECT_EQ(layout->total_size, kSlotSizeMax);
  std::array<uint8_t, kSlotHeaderSize> header;
  EncodeSlotHeader(*layout, header);
  EXPECT_TRUE(ParseSlotHeader(header, kSlotSizeMax).ok());
  EXPECT_EQ(ParseSlotHeader(header, kSlotSizeMax - 1).code(), ErrorCode::kTruncated);
  ++sizes.payload_size;
  EXPECT_EQ(MakeSlotLayout(sizes).code(), ErrorCode::kTooLarge);
}

// --- Trust --------------------------------------------------------------------------------------

TEST_F(SlotTest, AnotherKeyIsRefused) {
  EXPECT_EQ(Refusal(Build(SamplePackage(), {other_.get()})),
            "manifest is not signed by a key this machine trusts");
  Policy none{{}};
  EXPECT_EQ(Check(slot_, *none, verified_).code(), ErrorCode::kUnauthentic);
}

// The other key's signature under the trusted key's name.
TEST_F(SlotTest, BorrowedKeyIdIsRefused) {
  Bytes bad = Build(SamplePackage(), {other_.get()});
  const auto id = crypto::KeyIdOf(key_->trusted.key);
  std::copy(id.begin(), id.end(), bad.begin() + Layout().signatures_offset);
  EXPECT_EQ(Refusal(bad), "manifest signature does not verify");
}

TEST_F(SlotTest, RootKeysDoNotSignManifests) {
  key_->trusted.role = gatehouse_image_KeyRole_KEY_ROOT;
  Policy policy{{key_.get()}};
  EXPECT_EQ(Check(slot_, *policy, verified_).code(), ErrorCode::kUnauthentic);
}

TEST_F(SlotTest, ThresholdCountsDistinctTrustedKeys) {
  auto third = MakeKey(3);
  Policy both{{key_.get(), other_.get()}};
  both->signature_count_min = 2;
  EXPECT_STREQ(Check(slot_, *both, verified_).error().what,
               "manifest is signed by too few trusted keys");
  EXPECT_TRUE(Check(tool::AddSignature(slot_, *other_), *both, verified_).ok());
  EXPECT_EQ(verified_.signature_count, 2u);
  EXPECT_FALSE(Check(tool::AddSignature(slot_, *third), *both, verified_).ok());
  EXPECT_STREQ(
      Check(Build(SamplePackage(), {key_.get(), key_.get()}), *both, verified_).error().what,
      "two signatures by one key");
}

TEST_F(SlotTest, UnknownSignersBesideATrustedOneAreIgnored) {
  EXPECT_EQ(Refusal(Build(SamplePackage(), {other_.get(), key_.get()})), "accepted");
}

TEST_F(SlotTest, OneBadSignatureByATrustedKeySpoilsTheRest) {
  Policy both{{key_.get(), other_.get()}};
  Bytes bad = Build(SamplePackage(), {key_.get(), other_.get()});
  bad[Layout().signatures_offset + kSignatureRecordSize + 30] ^= 1;
  EXPECT_STREQ(Check(bad, *both, verified_).error().what, "manifest signature does not verify");
}

TEST_F(SlotTest, DevelopmentKeysSignDevelopmentImagesOnly) {
  auto package = SamplePackage();
  package.development = false;
  EXPECT_EQ(RefusalOf(package), "a development key signed an image not marked as one");
  auto production = MakeKey(4, false);
  Policy policy{{production.get()}};
  EXPECT_TRUE(Check(Build(package, {production.get()}), *policy, verified_).ok());
  EXPECT_FALSE(verified_.is_development);
  EXPECT_TRUE(Check(Build(SamplePackage(), {production.get()}), *policy, verified_).ok());
  EXPECT_TRUE(verified_.is_development);
}

TEST_F(SlotTest, PolicyIsKept) {
  auto package = SamplePackage();
  package.product = "gatehous";
  EXPECT_EQ(RefusalOf(package), "image is of another product");
  package = SamplePackage();
  package.boards = {"other", "pc2"};
  EXPECT_EQ(RefusalOf(package), "image is for another board");
  package.boards = {"other", "pc"};
  EXPECT_EQ(RefusalOf(package), "accepted");
  package.boards = {};
  EXPECT_EQ(RefusalOf(package), "image is for another board");
  package = SamplePackage();
  package.loader_version_min = 2;
  EXPECT_EQ(RefusalOf(package), "image needs a newer loader");
  package = SamplePackage();
  package.security_version = 4;
  EXPECT_EQ(RefusalOf(package), "image's security version is older than this machine's");
  package.security_version = 6;
  EXPECT_EQ(RefusalOf(package), "accepted");
}

TEST_F(SlotTest, SignedNonsenseIsRefusedToo) {
  auto package = SamplePackage();
  package.purpose = "gatehouse.keylist.1";
  EXPECT_EQ(RefusalOf(package), "signed text is not a manifest of this format");
  package = SamplePackage();
  package.version = "1.0\x1b[2J";
  EXPECT_EQ(RefusalOf(package), "manifest text is not printable");
  package = SamplePackage();
  package.segments[0].kind = gatehouse_image_SegmentKind_SEGMENT_SBOM;
  EXPECT_EQ(RefusalOf(package), "manifest: not exactly one firmware segment");
  package.segments[0].kind = package.segments[1].kind =
      gatehouse_image_SegmentKind_SEGMENT_FIRMWARE;
  EXPECT_EQ(RefusalOf(package), "manifest: not exactly one firmware segment");
  package = SamplePackage();
  package.segments[1].bytes.clear();
  EXPECT_EQ(RefusalOf(package), "manifest: a segment's size or name is out of range");
  for (const uint32_t block_size : {2048u, 5000u, 2u << 20}) {
    package = SamplePackage();
    package.block_size = block_size;
    EXPECT_EQ(RefusalOf(package), "manifest: block size is out of range") << block_size;
  }
}

TEST_F(SlotTest, AKeyListThatIsNoneIsRefused) {
  const SlotLayout layout = Layout();
  Bytes bad = slot_;
  bad.insert(bad.begin() + layout.tree_offset, kSectionAlignment, 0);
  ByteWriter{std::span(bad).subspan(20, 4)}.U32Le(100);
  FixHeaderCrc(bad);
  EXPECT_EQ(Refusal(bad), "no key list here");
}

TEST_F(SlotTest, LargestBlocksAndManySegments) {
  auto package = SamplePackage();
  package.block_size = kBlockSizeMax;
  while (package.segments.size() < kSegmentCountMax) {
    package.segments.push_back(
        {gatehouse_image_SegmentKind_SEGMENT_RESOURCES, "more", test::Pattern(1000, 7)});
  }
  EXPECT_EQ(RefusalOf(package), "accepted");
}

}  // namespace
}  // namespace gh::image
