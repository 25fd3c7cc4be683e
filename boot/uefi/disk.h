// The disk the loader was started from, through Block I/O: the whole disk, not its ESP.
#pragma once

#include <cstdint>
#include <span>

#include "boot/uefi/efi.h"
#include "hal/rt/result.h"
#include "image/gpt.h"

namespace gh::boot {

class UefiDisk final : public image::BlockReader {
 public:
  // The parent of the partition that `image` was loaded from.
  Result<void> Open(efi::BootServices& boot, efi::Handle image);

  uint32_t block_size() const override { return io_->media->block_size; }
  uint64_t block_count() const override { return io_->media->last_block + 1; }
  // For what the firmware wants better aligned than the caller has it; whole pages.
  void SetBounce(std::span<uint8_t> bounce) { bounce_ = bounce; }
  // Whole blocks, in pieces of kReadChunkSize.
  Result<void> Read(uint64_t block, std::span<uint8_t> out) override;
  Result<void> Write(uint64_t block, std::span<const uint8_t> data);
  // What was written is durable when this returns, as far as the firmware tells the truth.
  Result<void> Flush();

 private:
  Result<void> CheckRange(uint64_t block, uint64_t size, const char* what) const;
  bool IsAligned(const void* buffer) const;

  efi::BlockIo* io_ = nullptr;
  std::span<uint8_t> bounce_;
};

}  // namespace gh::boot
