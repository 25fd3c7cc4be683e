#include "image/slot_stream.h"

#include <algorithm>
#include <cstring>

#include "hal/rt/assert.h"

namespace gh::image {

namespace {

// Moves bytes from `from` into `to` at `filled`, up to `wanted` in all. True: all there.
bool Gather(std::span<const uint8_t>& from, std::span<uint8_t> to, uint32_t wanted,
            uint32_t& filled, uint64_t& received) {
  GH_ASSERT_LE(filled, wanted);
  const size_t count = std::min<size_t>(from.size(), wanted - filled);
  if (count > 0) {
    std::memcpy(to.data() + filled, from.data(), count);
  }
  from = from.subspan(count);
  filled += static_cast<uint32_t>(count);
  received += count;
  return filled == wanted;
}

}  // namespace

const char* UpdateFaultName(UpdateFault fault) {
  switch (fault) {
    case UpdateFault::kNone:
      return "none";
    case UpdateFault::kNotAnUpdate:
      return "not-an-update";
    case UpdateFault::kDamaged:
      return "damaged";
    case UpdateFault::kTooLarge:
      return "too-large";
    case UpdateFault::kUntrusted:
      return "untrusted";
    case UpdateFault::kWrongProduct:
      return "wrong-product";
    case UpdateFault::kWrongBoard:
      return "wrong-board";
    case UpdateFault::kNeedsLoader:
      return "needs-newer-loader";
    case UpdateFault::kRollback:
      return "rollback";
    case UpdateFault::kBlockDamaged:
      return "block-damaged";
    case UpdateFault::kTruncated:
      return "truncated";
    case UpdateFault::kTooLong:
      return "too-long";
  }
  GH_UNREACHABLE();
}

SlotStream::SlotStream(std::span<uint8_t> metadata, std::span<uint8_t> block,
                       const TrustPolicy& policy, uint64_t slot_size)
    : metadata_(metadata), block_(block), policy_(policy), slot_size_(slot_size) {
  GH_ASSERT_GE(metadata.size(), size_t{kMetadataSizeMax});
  GH_ASSERT_GE(block.size(), size_t{kBlockSizeMax});
}

void SlotStream::UseBlockBuffer(std::span<uint8_t> block) {
  GH_ASSERT_GE(block.size(), size_t{kBlockSizeMax});
  GH_ASSERT(state_ != State::kPayload || filled_ == 0);
  block_ = block;
}

Result<SlotStreamStep> SlotStream::Fail(UpdateFault fault, const Error& error) {
  GH_ASSERT(fault != UpdateFault::kNone);
  fault_at_ = fault;
  error_ = error;
  return error;
}

Result<SlotStreamStep> SlotStream::Feed(std::span<const uint8_t>& bytes) {
  if (fault_at_ != UpdateFault::kNone) {
    return error_;
  }
  switch (state_) {
    case State::kHeader:
      if (!Gather(bytes, metadata_, kSlotHeaderSize, filled_, received_)) {
        return SlotStreamStep::kNeedMore;
      }
      return TakeHeader();
    case State::kMetadata:
      if (!Gather(bytes, metadata_, slot_.layout.payload_offset, filled_, received_)) {
        return SlotStreamStep::kNeedMore;
      }
      return TakeMetadata();
    case State::kPayload:
      if (block_next_ == slot_.block_count()) {
        GH_ASSERT_EQ(received_, total_size());
        state_ = State::kComplete;
        return SlotStreamStep::kComplete;
      }
      if (!Gather(bytes, block_, slot_.manifest.block_size, filled_, received_)) {
        return SlotStreamStep::kNeedMore;
      }
      return TakeBlock();
    case State::kComplete:
      if (bytes.empty()) {
        return SlotStreamStep::kNeedMore;
      }
      return Fail(UpdateFault::kTooLong,
                  Error(ErrorCode::kTooLarge, "there are bytes behind the end of the update"));
  }
  GH_UNREACHABLE();
}

Result<SlotStreamStep> SlotStream::TakeHeader() {
  const auto layout = ParseSlotHeader(Header(), UINT64_MAX);
  if (!layout.ok()) {
    const ErrorCode code = layout.code();
    const bool is_other = code == ErrorCode::kNotFound || code == ErrorCode::kUnsupported;
    if (code == ErrorCode::kNotFound) {
      return Fail(UpdateFault::kNotAnUpdate, Error(code, "this is not an update"));
    }
    return Fail(is_other                       ? UpdateFault::kNotAnUpdate
                : code == ErrorCode::kTooLarge ? UpdateFault::kTooLarge
                                               : UpdateFault::kDamaged,
                layout.error());
  }
  if (layout->total_size > slot_size_) {
    return Fail(UpdateFault::kTooLarge,
                Error(ErrorCode::kTooLarge, "the update is larger than the slot"));
  }
  slot_.layout = *layout;
  state_ = State::kMetadata;  // gathered behind the header, which stays where it is
  return SlotStreamStep::kHeader;
}

// Which check of the policy failed; in the order in which VerifyMetadata makes them.
UpdateFault SlotStream::FaultOfMetadata(ErrorCode code) const {
  if (code == ErrorCode::kUnauthentic) {
    return UpdateFault::kUntrusted;
  }
  if (code == ErrorCode::kRollback) {
    return UpdateFault::kRollback;
  }
  if (code != ErrorCode::kIncompatible) {
    return UpdateFault::kDamaged;
  }
  const auto manifest =
      DecodeManifest(metadata_.subspan(slot_.layout.manifest_offset, slot_.layout.manifest_size));
  if (!manifest.ok() || manifest->product != policy_.product) {
    return UpdateFault::kWrongProduct;
  }
  const auto* const end = manifest->boards + manifest->boards_count;
  const bool fits =
      std::any_of(manifest->boards, end, [&](const char* board) { return board == policy_.board; });
  return fits ? UpdateFault::kNeedsLoader : UpdateFault::kWrongBoard;
}

Result<SlotStreamStep> SlotStream::TakeMetadata() {
  const SlotLayout layout = slot_.layout;
  const auto verified =
      VerifyMetadata(layout, metadata_.first(layout.payload_offset), policy_, slot_);
  slot_.layout = layout;
  if (!verified.ok()) {
    return Fail(FaultOfMetadata(verified.code()), verified.error());
  }
  GH_ASSERT_LE(slot_.block_count(), kBlockCountMax);
  state_ = State::kPayload;
  filled_ = 0;
  return SlotStreamStep::kManifest;
}

Result<SlotStreamStep> SlotStream::TakeBlock() {
  filled_ = 0;
  block_index_ = block_next_;
  if (!VerifyBlock(slot_, block_index_, block())) {
    return Fail(UpdateFault::kBlockDamaged,
                Error(ErrorCode::kCorrupt, "a block of the update is damaged"));
  }
  ++block_next_;
  return SlotStreamStep::kBlock;
}

Result<void> SlotStream::End() {
  if (fault_at_ == UpdateFault::kNone && state_ == State::kPayload &&
      block_next_ == slot_.block_count()) {
    state_ = State::kComplete;
  }
  if (fault_at_ == UpdateFault::kNone && state_ != State::kComplete) {
    Fail(received_ == 0 ? UpdateFault::kNotAnUpdate : UpdateFault::kTruncated,
         Error(ErrorCode::kTruncated, "the update ended too early"))
        .ignore("told below");
  }
  if (fault_at_ != UpdateFault::kNone) {
    return error_;
  }
  return Ok();
}

bool SlotStream::VerifyPresent(uint32_t index, std::span<const uint8_t> block) {
  GH_ASSERT(has_manifest());
  GH_ASSERT_LT(index, slot_.block_count());
  if (!VerifyBlock(slot_, index, block)) {
    return false;
  }
  present_count_ += is_present(index) ? 0 : 1;
  present_[index / 8] = static_cast<uint8_t>(present_[index / 8] | 1u << index % 8);
  return true;
}

uint64_t SlotStream::resume_offset() const {
  if (state_ != State::kPayload || filled_ != 0) {
    return received_;
  }
  uint32_t next = block_next_;
  while (next < slot_.block_count() && is_present(next)) {
    ++next;
  }
  return OffsetOf(next);
}

void SlotStream::SkipToResumeOffset() {
  GH_ASSERT(has_manifest() && filled_ == 0);
  const uint64_t offset = resume_offset();
  block_next_ =
      static_cast<uint32_t>((offset - slot_.layout.payload_offset) / slot_.manifest.block_size);
  received_ = offset;
}

void SlotStream::Describe(ByteWriter& out) const {
  if (fault_at_ == UpdateFault::kNone) {
    return;
  }
  if (fault_at_ == UpdateFault::kBlockDamaged) {
    out.Text("block ");
    out.Decimal(block_index_);
    out.Text(" of ");
    out.Decimal(slot_.block_count());
    out.Text(", in segment ");
    out.Text(slot_.manifest.segments[SegmentOfBlock(slot_.manifest, block_index_)].name);
    out.Text(", is damaged");
    return;
  }
  out.Text(error_.what);
  if (fault_at_ == UpdateFault::kTruncated && total_size() != 0) {
    out.Text(": ");
    out.Decimal(received_);
    out.Text(" of ");
    out.Decimal(total_size());
    out.Text(" bytes");
  }
  if (fault_at_ == UpdateFault::kRollback) {
    out.Text(" (");
    out.Decimal(slot_.manifest.security_version);
    out.Text(" < ");
    out.Decimal(policy_.security_version_min);
    out.Text(")");
  }
}

}  // namespace gh::image
