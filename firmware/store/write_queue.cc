#include "firmware/store/write_queue.h"

#include <algorithm>
#include <cstring>

namespace gh::store {

static_assert(kQueueBytesMax / kQueueUnitsMax > kUnitSize);

WriteQueue::WriteQueue(Arena& arena, hal::BlockDevice& device, uint64_t unit_count)
    : device_(device) {
  const uint64_t room =
      std::clamp<uint64_t>(unit_count / kQueueShare, kQueueUnitsMin, kQueueUnitsMax);
  entries_ = arena.NewArray<Entry>(room);
  data_ = {static_cast<uint8_t*>(arena.Allocate(room * kUnitSize, kSectorSize)), room * kUnitSize};
  newest_ = arena.NewArray<uint32_t>(unit_count);
  for (Entry& entry : entries_) {
    entry.queue = this;
  }
}

std::span<uint8_t> WriteQueue::DataOf(uint64_t number) const {
  return data_.subspan(number % entries_.size() * kUnitSize, kUnitSize);
}

// False: the queue has failed.
bool WriteQueue::MakeRoom() {
  if (end_ - first_ == entries_.size()) {
    ++wait_count_;
  }
  while (!failed_ && end_ - first_ == entries_.size()) {
    Pump();
  }
  return !failed_;
}

std::span<uint8_t> WriteQueue::Claim(uint64_t unit) {
  if (failed_) {
    return {};
  }
  const uint32_t newest = newest_[unit];
  if (newest != 0) {
    const Entry& same = entries_[newest - 1];
    if (same.number >= next_ && same.number >= fence_) {  // the device has not seen it
      claimed_ = same.number;
      return DataOf(claimed_);
    }
  }
  if (!MakeRoom()) {
    return {};
  }
  Entry& entry = At(end_);
  entry.request = {};
  entry.number = end_;
  entry.unit = unit;
  entry.is_barrier = false;
  entry.is_done = false;
  // Two writes of one unit: the first must be over before the second begins.
  entry.waits = newest_[unit] != 0;
  claimed_ = end_;
  return DataOf(claimed_);
}

void WriteQueue::Push() {
  if (claimed_ == end_) {
    newest_[At(end_).unit] = static_cast<uint32_t>(end_ % entries_.size()) + 1;
    ++end_;
  }
  Fill();
}

uint64_t WriteQueue::AddBarrier() {
  if (MakeRoom()) {
    Entry& entry = At(end_);
    entry.request = {};
    entry.number = end_;
    entry.is_barrier = true;
    entry.waits = true;
    entry.is_done = false;
    fence_ = ++end_;
    Fill();
  }
  return ++barriers_given_;
}

std::span<const uint8_t> WriteQueue::Find(uint64_t unit) const {
  return newest_[unit] == 0
             ? std::span<const uint8_t>()
             : std::span<const uint8_t>(data_).subspan((newest_[unit] - 1) * kUnitSize, kUnitSize);
}

bool WriteQueue::Give(Entry& entry) {
  hal::BlockRequest& request = entry.request;
  request.op = entry.is_barrier ? hal::BlockOp::kFlush : hal::BlockOp::kWrite;
  if (!entry.is_barrier) {
    request.block_count = kUnitSize / device_.block_size();
    request.block = entry.unit * request.block_count;
    request.data = DataOf(entry.number).data();
  }
  request.context = &entry;
  request.done = [](hal::BlockRequest& done) {
    Entry& mine = *static_cast<Entry*>(done.context);
    mine.queue->OnDone(mine);
  };
  const auto given = device_.Submit(request);
  if (given.ok()) {
    ++in_flight_;
    ++next_;
    flushing_ = entry.is_barrier;
  } else if (given.code() != ErrorCode::kExhausted) {
    Fail();
  }
  return given.ok();
}

void WriteQueue::Fill() {
  while (!failed_ && next_ != end_ && !flushing_ && in_flight_ < kQueueInFlightMax) {
    Entry& entry = At(next_);
    if ((entry.waits && in_flight_ > 0) || !Give(entry)) {
      return;
    }
  }
}

void WriteQueue::OnDone(Entry& entry) {
  --in_flight_;
  entry.is_done = true;
  if (entry.request.status != ErrorCode::kOk) {
    Fail();
  }
  if (entry.is_barrier) {
    flushing_ = false;
    barriers_done_ += failed_ ? 0 : 1;
  }
  for (; !failed_ && first_ != next_ && At(first_).is_done; ++first_) {
    const Entry& over = At(first_);
    if (!over.is_barrier && newest_[over.unit] == first_ % entries_.size() + 1) {
      newest_[over.unit] = 0;
    }
  }
  Fill();
}

void WriteQueue::Fail() {
  failure_count_ += failed_ ? 0 : 1;
  failed_ = true;
}

void WriteQueue::Pump() {
  if (in_flight_ > 0) {
    (void)device_.Poll();
  }
  Fill();
}

Result<void> WriteQueue::Drain() {
  while (!failed_ && !is_empty()) {
    Pump();
  }
  return failed_ ? Error{ErrorCode::kIoError, "store: the disk failed"} : Ok();
}

void WriteQueue::Reset() {
  while (in_flight_ > 0) {
    (void)device_.Poll();
  }
  std::ranges::fill(newest_, 0u);
  first_ = next_ = end_ = fence_ = 0;
  flushing_ = failed_ = false;
  barriers_done_ = barriers_given_;
}

}  // namespace gh::store
