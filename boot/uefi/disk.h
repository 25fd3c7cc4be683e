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
  // Whole blocks, in pieces of kReadChunkSize.
  Result<void> Read(uint64_t block, std::span<uint8_t> out) override;

 private:
  efi::BlockIo* io_ = nullptr;
};

}  // namespace gh::boot
