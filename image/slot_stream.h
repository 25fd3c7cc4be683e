// An update file checked as it arrives: the bytes of a slot, in order, in pieces of any size.
//
//   feed bytes -> kHeader -> kManifest (signed and fit for this machine) -> kBlock ... -> kComplete
//
// The stream does no I/O and holds no more than the two buffers it is given: one for everything in
// front of the payload, one for the block that is being filled. Each step hands out what may be
// written to the slot now, and nothing else ever may:
//   kHeader     the old slot's header must be overwritten with zeros, and flushed, before the first
//               block is written: a half-written slot is never valid;
//   kManifest   Metadata() may be written, at kSlotHeaderSize;
//   kBlock      block(), at block_offset(); it was held against its signed hash;
//   kComplete   after a flush, Header() is written at 0, flushed: only now is the slot valid.
// So a slot that has a header has everything.
//
// Resuming: once the manifest is known, blocks that an earlier attempt left in the slot are offered
// with VerifyPresent(); those that match need no second write (needs_block()), and a source that
// can seek goes on at resume_offset().
//
// Fault model: every byte is hostile. The first fault ends the stream; it is one of UpdateFault,
// and Describe() says it in a line for an operator.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "hal/rt/bytes.h"
#include "hal/rt/result.h"
#include "image/limits.h"
#include "image/slot.h"

namespace gh::image {

enum class UpdateFault : uint8_t {
  kNone,
  kNotAnUpdate,   // something else altogether
  kDamaged,       // header or metadata do not hold together
  kTooLarge,      // beyond the slot or a stated limit
  kUntrusted,     // bad signature, or none by a key this machine trusts
  kWrongProduct,  // the rest is signed, but not for this machine
  kWrongBoard,
  kNeedsLoader,
  kRollback,
  kBlockDamaged,
  kTruncated,
  kTooLong,  // bytes behind the end
};
const char* UpdateFaultName(UpdateFault fault);  // "wrong-board"

enum class SlotStreamStep : uint8_t { kNeedMore, kHeader, kManifest, kBlock, kComplete };

class SlotStream {
 public:
  // `metadata` holds kMetadataSizeMax bytes, `block` kBlockSizeMax; `policy` and both outlive the
  // stream. `slot_size`: bytes of the slot that is to hold it.
  SlotStream(std::span<uint8_t> metadata, std::span<uint8_t> block, const TrustPolicy& policy,
             uint64_t slot_size);
  SlotStream(const SlotStream&) = delete;
  SlotStream& operator=(const SlotStream&) = delete;

  // Takes bytes off the front of `bytes` up to the next step. What a step hands out stays until the
  // next call. After an error every further call gives the same one.
  Result<SlotStreamStep> Feed(std::span<const uint8_t>& bytes);
  // The source says there is no more: kTruncated unless complete.
  Result<void> End();

  // From kHeader on.
  const SlotLayout& layout() const { return slot_.layout; }
  uint64_t total_size() const { return slot_.layout.total_size; }  // 0: not known yet
  std::span<const uint8_t, kSlotHeaderSize> Header() const {
    return std::span<const uint8_t>(metadata_).first<kSlotHeaderSize>();
  }
  // From kManifest on.
  bool has_manifest() const { return state_ >= State::kPayload && fault_at_ == UpdateFault::kNone; }
  const VerifiedSlot& slot() const { return slot_; }
  std::span<const uint8_t> Metadata() const {
    return std::span<const uint8_t>(metadata_).subspan(
        kSlotHeaderSize, slot_.layout.payload_offset - kSlotHeaderSize);
  }
  // At kBlock.
  std::span<const uint8_t> block() const { return block_.first(slot_.manifest.block_size); }
  uint32_t block_index() const { return block_index_; }
  uint64_t block_offset() const { return OffsetOf(block_index_); }
  bool needs_block() const { return !is_present(block_index_); }
  // The next block is gathered here: for a caller that still writes the last one.
  void UseBlockBuffer(std::span<uint8_t> block);

  // After kManifest, before the next Feed(): block `index` as the slot holds it. True: it is the
  // signed one, and need not be written again.
  bool VerifyPresent(uint32_t index, std::span<const uint8_t> block);
  bool is_present(uint32_t index) const { return (present_[index / 8] >> index % 8 & 1) != 0; }
  uint32_t present_count() const { return present_count_; }
  uint64_t OffsetOf(uint32_t index) const {
    return slot_.layout.payload_offset + uint64_t{index} * slot_.manifest.block_size;
  }
  // The first byte not needed from the source any more is in front of this offset, at block edges.
  uint64_t resume_offset() const;
  // The source goes on at resume_offset(); the blocks between are present.
  void SkipToResumeOffset();

  uint64_t received() const { return received_; }  // the stream's place in the update
  bool complete() const { return state_ == State::kComplete && fault_at_ == UpdateFault::kNone; }
  UpdateFault fault() const { return fault_at_; }
  // "block 3 of 300, in segment firmware, is damaged"; nothing when there is no fault.
  void Describe(ByteWriter& out) const;

 private:
  enum class State : uint8_t { kHeader, kMetadata, kPayload, kComplete };

  Result<SlotStreamStep> Fail(UpdateFault fault, const Error& error);
  Result<SlotStreamStep> TakeHeader();
  Result<SlotStreamStep> TakeMetadata();
  Result<SlotStreamStep> TakeBlock();
  UpdateFault FaultOfMetadata(ErrorCode code) const;

  std::span<uint8_t> metadata_;
  std::span<uint8_t> block_;
  const TrustPolicy& policy_;
  uint64_t slot_size_;
  State state_ = State::kHeader;
  uint64_t received_ = 0;
  uint32_t filled_ = 0;       // of the part or block that is being gathered
  uint32_t block_next_ = 0;   // the one that is being gathered
  uint32_t block_index_ = 0;  // the one handed out
  VerifiedSlot slot_;
  std::array<uint8_t, kBlockCountMax / 8> present_ = {};
  uint32_t present_count_ = 0;
  UpdateFault fault_at_ = UpdateFault::kNone;
  Error error_{ErrorCode::kOk};
};

}  // namespace gh::image
