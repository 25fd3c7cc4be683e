// The streamed check: what it hands out in which order, every kind of refusal in its own words,
// that no cut of the bytes changes anything, resuming, and that no changed byte ever reaches
// kComplete.
#include "image/slot_stream.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "tests/unit/image/sample.h"

namespace gh::image {
namespace {

using test::Build;
using test::Bytes;
using test::FixHeaderCrc;
using test::MakeKey;
using test::Policy;
using test::SamplePackage;

// A slot that is written as the stream allows, and nothing else.
class Target {
 public:
  Target(const TrustPolicy& policy, uint64_t size)
      : stream(metadata_, block_, policy, size), slot(size, 0xaa) {}

  // Everything in `update`, in pieces of `piece` bytes; then the end.
  std::string Take(std::span<const uint8_t> update, size_t piece) {
    while (!update.empty()) {
      std::span<const uint8_t> part = update.first(std::min(piece, update.size()));
      update = update.subspan(part.size());
      do {
        const auto step = stream.Feed(part);
        if (!step.ok()) {
          return Why();
        }
        Carry(*step);
      } while (!part.empty());
    }
    for (;;) {  // steps that need no more bytes
      std::span<const uint8_t> none;
      const auto step = stream.Feed(none);
      if (!step.ok() || *step == SlotStreamStep::kNeedMore) {
        break;
      }
      Carry(*step);
    }
    return stream.End().ok() ? "complete" : Why();
  }
  std::string Why() const {
    uint8_t bytes[200];
    ByteWriter out(bytes);
    stream.Describe(out);
    return std::string(UpdateFaultName(stream.fault())) + ": " + std::string(out.text());
  }
  bool has_header() const { return ParseSlotHeader(slot, slot.size()).ok(); }

 private:
  // One stream at a time: shared, for the sake of the test that makes tens of thousands.
  static inline Bytes metadata_ = Bytes(kMetadataSizeMax);
  static inline Bytes block_ = Bytes(kBlockSizeMax);

 public:
  SlotStream stream;
  Bytes slot;
  std::string steps;
  uint32_t written_blocks = 0;

 private:
  void Write(uint64_t at, std::span<const uint8_t> bytes) {
    ASSERT_LE(at + bytes.size(), slot.size());
    std::copy(bytes.begin(), bytes.end(), slot.begin() + static_cast<ptrdiff_t>(at));
  }
  void Carry(SlotStreamStep step) {
    switch (step) {
      case SlotStreamStep::kNeedMore:
        return;
      case SlotStreamStep::kHeader:
        steps += 'h';
        Write(0, Bytes(kSlotHeaderSize));
        return;
      case SlotStreamStep::kManifest:
        steps += 'm';
        Write(kSlotHeaderSize, stream.Metadata());
        return;
      case SlotStreamStep::kBlock:
        steps += 'b';
        if (stream.needs_block()) {
          ++written_blocks;
          Write(stream.block_offset(), stream.block());
        }
        EXPECT_FALSE(has_header());
        return;
      case SlotStreamStep::kComplete:
        steps += 'c';
        Write(0, stream.Header());
        return;
    }
  }
};

class SlotStreamTest : public testing::Test {
 protected:
  std::unique_ptr<tool::SigningKey> key_ = MakeKey(1);
  Policy policy_{{key_.get()}};
  Bytes update_ = Build(SamplePackage(), {key_.get()});
  uint64_t slot_size_ = update_.size() + 8192;

  std::string Outcome(const Bytes& update, size_t piece = 1000) {
    Target target(*policy_, slot_size_);
    const std::string said = target.Take(update, piece);
    EXPECT_EQ(target.has_header(),
              said == "complete" || target.steps.find('c') != std::string::npos);
    return said;
  }
  std::string OutcomeOf(const tool::Package& package) {
    return Outcome(Build(package, {key_.get()}));
  }
  SlotLayout Layout() { return ParseSlotHeader(update_, update_.size()).value_or(SlotLayout()); }
};

TEST_F(SlotStreamTest, EveryPieceSizeGivesTheSameSlot) {
  for (size_t piece : {size_t{1}, size_t{7}, size_t{128}, size_t{1024}, size_t{4095}, size_t{4096},
                       size_t{4097}, size_t{70000}}) {
    Target target(*policy_, slot_size_);
    ASSERT_EQ(target.Take(update_, piece), "complete") << piece;
    EXPECT_EQ(target.steps, "hmbbbc");
    EXPECT_TRUE(std::equal(update_.begin(), update_.end(), target.slot.begin())) << piece;
    EXPECT_EQ(target.stream.received(), update_.size());
    EXPECT_STREQ(target.stream.slot().manifest.version, "1.2.3");
  }
}

TEST_F(SlotStreamTest, FitsASlotOfItsSizeAndNoSmallerOne) {
  slot_size_ = update_.size();
  EXPECT_EQ(Outcome(update_), "complete");
  slot_size_ = update_.size() - 1;
  EXPECT_EQ(Outcome(update_), "too-large: the update is larger than the slot");
}

TEST_F(SlotStreamTest, EachRefusalInItsOwnWords) {
  const SlotLayout layout = Layout();
  const auto flipped = [&](uint64_t at) {
    Bytes bad = update_;
    bad[at] ^= 1;
    return Outcome(bad);
  };
  EXPECT_EQ(Outcome({}), "not-an-update: the update ended too early");
  EXPECT_EQ(Outcome(Bytes(100000, 'x')), "not-an-update: this is not an update");
  EXPECT_EQ(flipped(0), "not-an-update: this is not an update");
  EXPECT_EQ(flipped(20), "damaged: slot header checksum is wrong");
  EXPECT_EQ(flipped(layout.manifest_offset + 30), "untrusted: manifest signature does not verify");
  EXPECT_EQ(flipped(layout.tree_offset + 3), "damaged: hash tree does not match the manifest");
  EXPECT_EQ(flipped(layout.payload_offset + 1),
            "block-damaged: block 0 of 3, in segment firmware, is damaged");
  EXPECT_EQ(flipped(update_.size() - 1),
            "block-damaged: block 2 of 3, in segment sbom, is damaged");
  auto package = SamplePackage();
  package.product = "other";
  EXPECT_EQ(OutcomeOf(package), "wrong-product: image is of another product");
  package = SamplePackage();
  package.boards = {"other"};
  EXPECT_EQ(OutcomeOf(package), "wrong-board: image is for another board");
  package = SamplePackage();
  package.loader_version_min = 2;
  EXPECT_EQ(OutcomeOf(package), "needs-newer-loader: image needs a newer loader");
  package = SamplePackage();
  package.security_version = 4;
  EXPECT_EQ(OutcomeOf(package),
            "rollback: image's security version is older than this machine's (4 < 5)");
  const auto stranger = MakeKey(9);
  EXPECT_EQ(Outcome(Build(SamplePackage(), {stranger.get()})),
            "untrusted: manifest is not signed by a key this machine trusts");
  Bytes longer = update_;
  longer.push_back(0);
  EXPECT_EQ(Outcome(longer, 1 << 20), "too-long: there are bytes behind the end of the update");
}

TEST_F(SlotStreamTest, EveryTruncationIsRefused) {
  for (size_t size = 1; size < update_.size(); size += size < 5000 ? 499 : 1021) {
    const std::string said = Outcome(Bytes(update_.begin(), update_.begin() + size), 4096);
    ASSERT_TRUE(said.starts_with("truncated: the update ended too early")) << size << said;
    if (size >= kSlotHeaderSize) {
      EXPECT_NE(said.find(std::to_string(size) + " of " + std::to_string(update_.size())),
                std::string::npos);
    }
  }
}

TEST_F(SlotStreamTest, NoChangedByteIsEverComplete) {
  uint64_t refused = 0;
  for (size_t at = 0; at < update_.size(); ++at) {
    update_[at] ^= static_cast<uint8_t>(1u << at % 8);
    ASSERT_NE(Outcome(update_, 8192), "complete") << at;
    update_[at] ^= static_cast<uint8_t>(1u << at % 8);
    ++refused;
  }
  EXPECT_EQ(refused, update_.size());
}

TEST_F(SlotStreamTest, AFaultStays) {
  Target target(*policy_, slot_size_);
  Bytes bad = update_;
  bad[Layout().payload_offset] ^= 1;
  EXPECT_NE(target.Take(bad, 512), "complete");
  std::span<const uint8_t> more(update_);
  EXPECT_EQ(target.stream.Feed(more).code(), ErrorCode::kCorrupt);
  EXPECT_EQ(target.stream.End().code(), ErrorCode::kCorrupt);
  EXPECT_EQ(more.size(), update_.size());
}

// An attempt that broke off after two blocks; the second attempt writes the third only, or, from a
// source that can seek, asks for the third only.
TEST_F(SlotStreamTest, ResumesFromWhatIsInTheSlot) {
  const SlotLayout layout = Layout();
  for (bool can_seek : {false, true}) {
    Bytes present = update_;
    present[layout.payload_offset + 2 * 4096] ^= 0xff;  // the third block is not there yet
    Target target(*policy_, slot_size_);
    std::copy(present.begin() + layout.payload_offset, present.end(),
              target.slot.begin() + layout.payload_offset);
    std::span<const uint8_t> front = std::span(update_).first(layout.payload_offset);
    ASSERT_EQ(target.stream.Feed(front).value_or(SlotStreamStep::kBlock), SlotStreamStep::kHeader);
    ASSERT_EQ(target.stream.Feed(front).value_or(SlotStreamStep::kBlock),
              SlotStreamStep::kManifest);
    EXPECT_FALSE(target.stream.VerifyPresent(
        2, std::span(target.slot).subspan(layout.payload_offset + 2 * 4096, 4096)));
    for (uint32_t index : {0u, 1u, 1u}) {
      EXPECT_TRUE(target.stream.VerifyPresent(
          index, std::span(target.slot).subspan(layout.payload_offset + index * 4096, 4096)));
    }
    EXPECT_EQ(target.stream.present_count(), 2u);
    EXPECT_EQ(target.stream.resume_offset(), layout.payload_offset + 2 * 4096u);
    size_t from = layout.payload_offset;
    if (can_seek) {
      target.stream.SkipToResumeOffset();
      from += 2 * 4096;
    }
    EXPECT_EQ(target.stream.received(), from);
    ASSERT_EQ(target.Take(std::span(update_).subspan(from), 1024), "complete");
    EXPECT_EQ(target.written_blocks, 1u);
    EXPECT_TRUE(std::equal(update_.begin() + layout.payload_offset, update_.end(),
                           target.slot.begin() + layout.payload_offset));
  }
}

TEST_F(SlotStreamTest, AllPresentNeedsNothingMore) {
  const SlotLayout layout = Layout();
  Target target(*policy_, slot_size_);
  std::span<const uint8_t> front = std::span(update_).first(layout.payload_offset);
  (void)target.stream.Feed(front).ok();
  (void)target.stream.Feed(front).ok();
  for (uint32_t index = 0; index < 3; ++index) {
    EXPECT_TRUE(target.stream.VerifyPresent(
        index, std::span(update_).subspan(layout.payload_offset + index * 4096, 4096)));
  }
  EXPECT_EQ(target.stream.resume_offset(), update_.size());
  target.stream.SkipToResumeOffset();
  EXPECT_EQ(target.Take({}, 1), "complete");
  EXPECT_EQ(target.written_blocks, 0u);
}

// The largest update the format allows, in the counts: as many blocks as there may be.
TEST_F(SlotStreamTest, TakesAsManyBlocksAsThereMayBe) {
  auto package = SamplePackage();
  package.segments.resize(1);
  package.segments[0].bytes = test::Pattern(kPayloadSizeMax, 3);
  const Bytes update = Build(package, {key_.get()});
  slot_size_ = update.size();
  Target target(*policy_, slot_size_);
  ASSERT_EQ(target.Take(update, 65536), "complete");
  EXPECT_EQ(target.stream.slot().block_count(), kBlockCountMax);
  EXPECT_EQ(target.written_blocks, kBlockCountMax);
}

}  // namespace
}  // namespace gh::image
