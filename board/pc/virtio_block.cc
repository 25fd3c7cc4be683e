#include "board/pc/virtio_block.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace gh::pc {
namespace {

constexpr uint64_t kFeatureSizeMax = 1ull << 1;
constexpr uint64_t kFeatureReadOnly = 1ull << 5;
constexpr uint64_t kFeatureBlockSize = 1ull << 6;
constexpr uint64_t kFeatureFlush = 1ull << 9;
constexpr uint64_t kFeatureDiscard = 1ull << 13;

constexpr uint32_t kConfigCapacity = 0;  // in sectors
constexpr uint32_t kConfigSizeMax = 8;
constexpr uint32_t kConfigBlockSize = 20;
constexpr uint32_t kConfigDiscardMax = 36;

constexpr uint32_t kTypeRead = 0;
constexpr uint32_t kTypeWrite = 1;
constexpr uint32_t kTypeFlush = 4;
constexpr uint32_t kTypeDiscard = 11;
constexpr uint8_t kStatusOk = 0;
constexpr uint8_t kStatusUnsupported = 2;
constexpr uint8_t kStatusPending = 0xff;
constexpr uint32_t kSectorSize = 512;
static_assert(kBlockRequestMax <= 64);

}  // namespace

void BlockView::Bind(VirtioBlock& disk, const char* name, uint64_t first_block,
                     uint64_t block_count) {
  GH_ASSERT(first_block <= disk.block_count() && block_count <= disk.block_count() - first_block);
  disk_ = &disk;
  name_ = name;
  first_block_ = first_block;
  block_count_ = block_count;
}

uint32_t BlockView::block_size() const { return disk_->block_size(); }

Result<void> BlockView::Submit(hal::BlockRequest& request) {
  return disk_->SubmitFor(*this, request);
}

uint32_t BlockView::Poll() {
  disk_->Collect();
  uint32_t count = 0;
  while (finished_first_ != nullptr) {
    hal::BlockRequest* request = finished_first_;
    finished_first_ = request->next;
    if (finished_first_ == nullptr) {
      finished_last_ = nullptr;
    }
    request->next = nullptr;
    ++count;
    request->done(*request);
  }
  return count;
}

Result<void> VirtioBlock::Initialise(Arena& arena, PageTables& pages, const Pci& pci,
                                     const PciDevice& device, uint8_t vector) {
  constexpr uint64_t kWanted =
      kFeatureSizeMax | kFeatureReadOnly | kFeatureBlockSize | kFeatureFlush | kFeatureDiscard;
  GH_TRY(transport_.Initialise(pages, pci, device, kWanted, vector, vector));
  GH_TRY(transport_.InitialiseQueue(arena, 0, kVirtqueueSizeMax, queue_));
  if (transport_.has(kFeatureBlockSize)) {
    block_size_ = transport_.Config32(kConfigBlockSize);
  }
  if (block_size_ != 512 && block_size_ != 4096) {
    transport_.Reset();
    return Error(ErrorCode::kUnsupported, "block size is neither 512 nor 4096");
  }
  block_count_ = transport_.Config64(kConfigCapacity) / (block_size_ / kSectorSize);
  read_only_ = transport_.has(kFeatureReadOnly);
  if (transport_.has(kFeatureSizeMax)) {
    const uint32_t size_max = transport_.Config32(kConfigSizeMax);
    if (size_max >= block_size_) {
      transfer_max_ = std::min(transfer_max_, size_max);
    }
  }
  const uint32_t slot_count = std::min<uint32_t>(kBlockRequestMax, queue_.size() / 3);
  if (slot_count == 0) {
    transport_.Reset();
    return Error(ErrorCode::kUnsupported, "queue is too small");
  }
  slots_ = arena.NewArray<Slot>(slot_count);
  free_slots_ = slot_count == 64 ? UINT64_MAX : (1ull << slot_count) - 1;
  whole_.Bind(*this, "disk", 0, block_count_);
  transport_.Start();
  return Ok();
}

Result<void> VirtioBlock::SubmitFor(BlockView& view, hal::BlockRequest& request) {
  GH_ASSERT(request.done != nullptr);
  if (failed_) {
    return Error(ErrorCode::kIoError, "disk was given up");
  }
  const bool is_flush = request.op == hal::BlockOp::kFlush;
  if (!is_flush && (request.block > view.block_count_ ||
                    request.block_count > view.block_count_ - request.block)) {
    return Error(ErrorCode::kOutOfRange, "beyond the end of the device");
  }
  const bool has_data = request.op == hal::BlockOp::kRead || request.op == hal::BlockOp::kWrite;
  if (has_data && uint64_t{request.block_count} * block_size_ > transfer_max_) {
    return Error(ErrorCode::kTooLarge, "transfer is larger than the device takes");
  }
  if (read_only_ && (request.op == hal::BlockOp::kWrite || request.op == hal::BlockOp::kDiscard)) {
    return Error(ErrorCode::kPermissionDenied, "disk is read-only");
  }
  request.next = nullptr;
  // Without the feature a completed write is durable, and discard is only advice.
  const bool is_nothing =
      (is_flush && !transport_.has(kFeatureFlush)) ||
      (request.op == hal::BlockOp::kDiscard && !transport_.has(kFeatureDiscard)) ||
      (!is_flush && request.block_count == 0);
  if (is_nothing) {
    Append(view, request, ErrorCode::kOk);
    return Ok();
  }
  if (free_slots_ == 0) {
    return Error(ErrorCode::kExhausted, "disk queue is full");
  }
  const auto index = static_cast<uint8_t>(std::countr_zero(free_slots_));
  Slot& slot = slots_[index];
  slot.request = &request;
  slot.view = &view;
  slot.deadline = clock_.Now() + kRequestTimeout;
  const uint64_t sector = (view.first_block_ + request.block) * (block_size_ / kSectorSize);
  if (!Queue(slot, request, is_flush ? 0 : sector)) {
    return Error(ErrorCode::kExhausted, "disk queue is full");
  }
  free_slots_ &= ~(1ull << index);
  ++in_flight_;
  return Ok();
}

bool VirtioBlock::Queue(Slot& slot, hal::BlockRequest& request, uint64_t sector) {
  std::array<VirtqueueBuffer, 3> buffers;
  uint32_t count = 0;
  slot.status = kStatusPending;
  slot.header = {kTypeRead, 0, sector};
  buffers[count++] = {&slot.header, sizeof(Header), false};
  const uint32_t bytes = request.block_count * block_size_;
  switch (request.op) {
    case hal::BlockOp::kRead:
      buffers[count++] = {request.data, bytes, true};
      break;
    case hal::BlockOp::kWrite:
      slot.header.type = kTypeWrite;
      buffers[count++] = {request.data, bytes, false};
      break;
    case hal::BlockOp::kFlush:
      slot.header.type = kTypeFlush;
      break;
    case hal::BlockOp::kDiscard:
      slot.header.type = kTypeDiscard;
      slot.header.sector = 0;
      // Advice: a longer range than the device takes at once is shortened.
      slot.discard = {sector, std::min(bytes / kSectorSize, transport_.Config32(kConfigDiscardMax)),
                      0};
      buffers[count++] = {&slot.discard, sizeof(DiscardRange), false};
      break;
  }
  buffers[count++] = {&slot.status, 1, true};
  uint16_t head = 0;
  if (!queue_.Add({buffers.data(), count}, head)) {
    return false;
  }
  slot_of_head_[head] = static_cast<uint8_t>(&slot - slots_.data());
  queue_.Publish();
  return true;
}

void VirtioBlock::Append(BlockView& view, hal::BlockRequest& request, ErrorCode status) {
  request.status = status;
  request.next = nullptr;
  if (view.finished_last_ == nullptr) {
    view.finished_first_ = &request;
  } else {
    view.finished_last_->next = &request;
  }
  view.finished_last_ = &request;
}

void VirtioBlock::Finish(Slot& slot, ErrorCode status) {
  GH_ASSERT(slot.request != nullptr);
  hal::BlockRequest& request = *slot.request;
  slot.request = nullptr;
  free_slots_ |= 1ull << (&slot - slots_.data());
  --in_flight_;
  is_fresh_ = true;
  Append(*slot.view, request, status);
}

// Sorts what the device has finished to the views it belongs to.
void VirtioBlock::Collect() {
  VirtqueueUsed used;
  while (queue_.Take(used)) {
    Slot& slot = slots_[slot_of_head_[used.head]];
    const uint8_t status = slot.status;
    Finish(slot, status == kStatusOk            ? ErrorCode::kOk
                 : status == kStatusUnsupported ? ErrorCode::kUnsupported
                                                : ErrorCode::kIoError);
  }
  if (in_flight_ != 0 && !failed_) {
    CheckTimeout();
  }
}

void VirtioBlock::CheckTimeout() {
  const Instant now = clock_.Now();
  bool is_late = queue_.broken();
  for (Slot& slot : slots_) {
    is_late = is_late || (slot.request != nullptr && slot.deadline < now);
  }
  if (!is_late) {
    return;
  }
  failed_ = true;
  transport_.Reset();  // nothing is read or written behind our back from here on
  for (Slot& slot : slots_) {
    if (slot.request != nullptr) {
      Finish(slot, ErrorCode::kTimeout);
    }
  }
}

// One view's Poll() collects what is another's, which may have had its turn: there is one more.
bool VirtioBlock::ArmInterrupt() {
  const bool is_fresh = std::exchange(is_fresh_, false);
  return (in_flight_ != 0 && queue_.ArmInterrupt()) || is_fresh;
}

}  // namespace gh::pc
