// A disk over virtio-blk (virtio 1.2, 5.2), and views of ranges of it (partitions) as devices.
//
// Requests are asynchronous; each view gets its own completions, so that two users of one disk
// never run each other's callbacks. A request the device does not finish within kRequestTimeout
// fails with kTimeout, all others in flight with it, and the disk is given up (reset, kIoError from
// then on): every request submitted is completed once.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "board/pc/clock.h"
#include "board/pc/idle.h"
#include "board/pc/virtio_pci.h"
#include "hal/block_device.h"
#include "hal/rt/arena.h"

namespace gh::pc {

class VirtioBlock;

// A range of a disk; the whole disk is a view too.
class BlockView final : public hal::BlockDevice {
 public:
  BlockView() = default;
  BlockView(const BlockView&) = delete;
  BlockView& operator=(const BlockView&) = delete;

  void Bind(VirtioBlock& disk, const char* name, uint64_t first_block, uint64_t block_count);
  bool bound() const { return disk_ != nullptr; }

  uint32_t block_size() const override;
  uint64_t block_count() const override { return block_count_; }
  const char* name() const override { return name_; }
  Result<void> Submit(hal::BlockRequest& request) override;
  uint32_t Poll() override;

 private:
  friend class VirtioBlock;
  VirtioBlock* disk_ = nullptr;
  const char* name_ = "";
  uint64_t first_block_ = 0;
  uint64_t block_count_ = 0;
  hal::BlockRequest* finished_first_ = nullptr;
  hal::BlockRequest* finished_last_ = nullptr;
};

class VirtioBlock final : public InterruptSource {
 public:
  static constexpr Duration kRequestTimeout = Duration::Seconds(30);

  explicit VirtioBlock(PcClock& clock) : clock_(clock) {}
  VirtioBlock(const VirtioBlock&) = delete;
  VirtioBlock& operator=(const VirtioBlock&) = delete;

  Result<void> Initialise(Arena& arena, PageTables& pages, const Pci& pci, const PciDevice& device,
                          uint8_t vector);
  uint32_t block_size() const { return block_size_; }
  uint64_t block_count() const { return block_count_; }
  bool read_only() const { return read_only_; }
  BlockView& whole() { return whole_; }

  bool ArmInterrupt() override;

 private:
  friend class BlockView;
  struct Header {
    uint32_t type;
    uint32_t reserved;
    uint64_t sector;
  };
  struct DiscardRange {
    uint64_t sector;
    uint32_t sector_count;
    uint32_t flags;
  };
  // What the device reads and writes besides the data; one a request in flight.
  struct Slot {
    Header header;
    DiscardRange discard;
    uint8_t status;
    hal::BlockRequest* request;
    BlockView* view;
    Instant deadline;
  };

  Result<void> SubmitFor(BlockView& view, hal::BlockRequest& request);
  bool Queue(Slot& slot, hal::BlockRequest& request, uint64_t sector);
  void Collect();
  void CheckTimeout();
  void Finish(Slot& slot, ErrorCode status);
  static void Append(BlockView& view, hal::BlockRequest& request, ErrorCode status);

  PcClock& clock_;
  uint32_t block_size_ = 512;
  uint64_t block_count_ = 0;
  bool read_only_ = false;
  bool failed_ = false;
  uint32_t transfer_max_ = kBlockTransferMax;
  uint32_t in_flight_ = 0;
  bool is_fresh_ = false;  // something was finished, perhaps for a view that was polled before
  VirtioPci transport_;
  Virtqueue queue_;
  std::span<Slot> slots_;
  std::array<uint8_t, kVirtqueueSizeMax> slot_of_head_ = {};
  uint64_t free_slots_ = 0;  // bit i: slot i is free
  BlockView whole_;
};

}  // namespace gh::pc
