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

Result<void> UefiDisk::Read(uint64_t block, std::span<uint8_t> out) {
  GH_ASSERT(io_ != nullptr);
  GH_ASSERT_EQ(out.size() % block_size(), 0u);
  const uint64_t blocks = out.size() / block_size();
  if (block >= block_count() || blocks > block_count() - block) {
    return Error(ErrorCode::kOutOfRange, "read beyond the end of the disk");
  }
  while (!out.empty()) {
    const auto chunk = out.first(std::min<uint64_t>(out.size(), kReadChunkSize));
    if (efi::Failed(
            io_->read_blocks(io_, io_->media->media_id, block, chunk.size(), chunk.data()))) {
      return Error(ErrorCode::kIoError, "disk read failed");
    }
    block += chunk.size() / block_size();
    out = out.subspan(chunk.size());
  }
  return Ok();
}

}  // namespace gh::boot
