#include "boot/uefi/disk.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "boot/limits.h"
#include "hal/rt/assert.h"

namespace gh::boot {

namespace {

uint32_t NodeSize(const efi::DevicePath& node) {
  return static_cast<uint32_t>(node.length[0] | node.length[1] << 8);
}

// Copies `path` and ends it where its hard drive partition node begins.
Result<void> CopyParentPath(const efi::DevicePath* path, std::span<uint8_t> out) {
  const auto* const bytes = reinterpret_cast<const uint8_t*>(path);
  constexpr efi::DevicePath kEnd = {efi::kPathEnd, 0xff, {sizeof(efi::DevicePath), 0}};
  uint32_t offset = 0;
  while (offset + sizeof(efi::DevicePath) <= out.size()) {
    efi::DevicePath node;
    std::memcpy(&node, bytes + offset, sizeof(node));
    if (node.type == efi::kPathEnd) {
      return Error(ErrorCode::kNotFound, "loader was not started from a partition of a disk");
    }
    if (node.type == efi::kPathMedia && node.subtype == efi::kPathHardDrive) {
      std::memcpy(out.data(), bytes, offset);
      std::memcpy(out.data() + offset, &kEnd, sizeof(kEnd));
      return Ok();
    }
    if (NodeSize(node) < sizeof(node)) {
      break;
    }
    offset += NodeSize(node);
  }
  return Error(ErrorCode::kMalformed, "device path of the loader's disk is malformed");
}

}  // namespace

Result<void> UefiDisk::Open(efi::BootServices& boot, efi::Handle image) {
  void* loaded = nullptr;
  if (efi::Failed(boot.handle_protocol(image, &efi::kLoadedImageProtocol, &loaded))) {
    return Error(ErrorCode::kNoDevice, "firmware does not say where the loader came from");
  }
  const efi::Handle device = static_cast<efi::LoadedImage*>(loaded)->device;
  void* path = nullptr;
  if (efi::Failed(boot.handle_protocol(device, &efi::kDevicePathProtocol, &path))) {
    return Error(ErrorCode::kNoDevice, "the loader's device has no device path");
  }
  alignas(8) std::array<uint8_t, kDevicePathSizeMax> parent;
  GH_TRY(CopyParentPath(static_cast<const efi::DevicePath*>(path), parent));
  auto* wanted = reinterpret_cast<efi::DevicePath*>(parent.data());
  efi::Handle disk = nullptr;
  if (efi::Failed(boot.locate_device_path(&efi::kBlockIoProtocol, &wanted, &disk)) ||
      wanted->type != efi::kPathEnd) {
    return Error(ErrorCode::kNoDevice, "the loader's disk is not accessible");
  }
  void* io = nullptr;
  if (efi::Failed(boot.handle_protocol(disk, &efi::kBlockIoProtocol, &io))) {
    return Error(ErrorCode::kNoDevice, "the loader's disk has no block access");
  }
  io_ = static_cast<efi::BlockIo*>(io);
  if (!io_->media->present || io_->media->logical_partition) {
    return Error(ErrorCode::kNoDevice, "the loader's disk is not a whole disk");
  }
  return Ok();
}

Result<void> UefiDisk::CheckRange(uint64_t block, uint64_t size, const char* what) const {
  GH_ASSERT(io_ != nullptr);
  GH_ASSERT_EQ(size % block_size(), 0u);
  const uint64_t blocks = size / block_size();
  if (block >= block_count() || blocks > block_count() - block) {
    return Error(ErrorCode::kOutOfRange, what);
  }
  return Ok();
}

bool UefiDisk::IsAligned(const void* buffer) const {
  const uint32_t align = io_->media->io_align;
  return align <= 1 || reinterpret_cast<uintptr_t>(buffer) % align == 0 || bounce_.empty();
}

Result<void> UefiDisk::Read(uint64_t block, std::span<uint8_t> out) {
  GH_TRY(CheckRange(block, out.size(), "read beyond the end of the disk"));
  while (!out.empty()) {
    const bool is_direct = IsAligned(out.data());
    const uint64_t most = is_direct ? kReadChunkSize : bounce_.size();
    const auto chunk = out.first(std::min<uint64_t>(out.size(), most));
    uint8_t* const target = is_direct ? chunk.data() : bounce_.data();
    if (efi::Failed(io_->read_blocks(io_, io_->media->media_id, block, chunk.size(), target))) {
      return Error(ErrorCode::kIoError, "disk read failed");
    }
    if (!is_direct) {
      std::memcpy(chunk.data(), target, chunk.size());
    }
    block += chunk.size() / block_size();
    out = out.subspan(chunk.size());
  }
  return Ok();
}

Result<void> UefiDisk::Write(uint64_t block, std::span<const uint8_t> data) {
  GH_TRY(CheckRange(block, data.size(), "write beyond the end of the disk"));
  if (io_->media->read_only) {
    return Error(ErrorCode::kIoError, "the disk is read-only");
  }
  while (!data.empty()) {
    const bool is_direct = IsAligned(data.data());
    const uint64_t most = is_direct ? kReadChunkSize : bounce_.size();
    const auto chunk = data.first(std::min<uint64_t>(data.size(), most));
    const uint8_t* source = chunk.data();
    if (!is_direct) {
      std::memcpy(bounce_.data(), chunk.data(), chunk.size());
      source = bounce_.data();
    }
    if (efi::Failed(io_->write_blocks(io_, io_->media->media_id, block, chunk.size(), source))) {
      return Error(ErrorCode::kIoError, "disk write failed");
    }
    block += chunk.size() / block_size();
    data = data.subspan(chunk.size());
  }
  return Ok();
}

Result<void> UefiDisk::Flush() {
  GH_ASSERT(io_ != nullptr);
  if (efi::Failed(io_->flush_blocks(io_))) {
    return Error(ErrorCode::kIoError, "disk flush failed");
  }
  return Ok();
}

}  // namespace gh::boot
