// The disk by partition, for the boot chain; and how long it took.
#pragma once

#include <cstdint>
#include <span>

#include "boot/chain.h"
#include "boot/uefi/disk.h"
#include "boot/uefi/services.h"
#include "image/gpt.h"

namespace gh::boot {

class PartitionDisk final : public ChainDisk {
 public:
  PartitionDisk(UefiDisk& disk, const image::GptTable& table) : disk_(disk), table_(table) {}

  uint64_t Size(image::PartitionRole role) override;
  Result<void> Read(image::PartitionRole role, uint64_t offset, std::span<uint8_t> out) override;
  Result<void> Write(image::PartitionRole role, uint64_t offset,
                     std::span<const uint8_t> data) override;
  Result<void> Flush() override;

  // Spent in the firmware's disk driver since the start.
  uint64_t tsc_spent() const { return tsc_spent_; }

 private:
  // The first block of [offset, offset + size) of the partition.
  Result<uint64_t> Locate(image::PartitionRole role, uint64_t offset, uint64_t size);

  UefiDisk& disk_;
  const image::GptTable& table_;
  uint64_t tsc_spent_ = 0;
};

class SlotMemory final : public ChainMemory {
 public:
  explicit SlotMemory(Services& services) : services_(services) {}
  Result<std::span<uint8_t>> Allocate(uint64_t size) override;
  void Release(std::span<uint8_t> memory) override;

 private:
  Services& services_;
};

}  // namespace gh::boot
