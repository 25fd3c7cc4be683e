#include "board/pc/provision.h"

#include <array>
#include <cstring>

#include "board/pc/fat.h"
#include "hal/rt/bytes.h"

namespace gh::pc {
namespace {

class GptReader final : public image::BlockReader {
 public:
  explicit GptReader(hal::BlockDevice& disk) : disk_(disk) {}
  uint32_t block_size() const override { return disk_.block_size(); }
  uint64_t block_count() const override { return disk_.block_count(); }
  Result<void> Read(uint64_t block, std::span<uint8_t> out) override {
    return hal::ReadBlocks(disk_, block, out);
  }

 private:
  hal::BlockDevice& disk_;
};

// 512-byte sectors of a range of a disk, whatever the disk's block size.
class PartSectors final : public SectorReader {
 public:
  PartSectors(hal::BlockDevice& disk, std::span<uint8_t> block, uint64_t first, uint64_t count)
      : disk_(disk), block_(block.first(disk.block_size())), first_(first), count_(count) {}
  uint64_t sector_count() const override { return count_; }
  Result<void> Read(uint64_t sector, std::span<uint8_t, kFatSectorSize> out) override {
    const uint32_t per_block = disk_.block_size() / kFatSectorSize;
    const uint64_t at = first_ + sector;
    if (at / per_block != loaded_) {
      loaded_ = UINT64_MAX;
      GH_TRY(hal::ReadBlocks(disk_, at / per_block, block_));
      loaded_ = at / per_block;
    }
    std::memcpy(out.data(), block_.data() + at % per_block * kFatSectorSize, kFatSectorSize);
    return Ok();
  }

 private:
  hal::BlockDevice& disk_;
  std::span<uint8_t> block_;
  uint64_t first_;
  uint64_t count_;
  uint64_t loaded_ = UINT64_MAX;
};

Result<uint32_t> ReadFrom(SectorReader& sectors, std::span<uint8_t> out) {
  FatVolume volume;
  GH_TRY(volume.Open(sectors));
  if (volume.label() != kProvisionVolume) {
    return Error(ErrorCode::kNotFound, "volume has another label");
  }
  return volume.ReadRootFile(kProvisionFile, out);
}

}  // namespace

Result<void> ReadDiskGpt(hal::BlockDevice& disk, std::span<uint8_t, image::kGptScratchSize> scratch,
                         image::GptTable& table) {
  GptReader reader(disk);
  return image::ReadGpt(reader, scratch, table);
}

Result<uint32_t> ReadProvisionVolume(hal::BlockDevice& disk,
                                     std::span<uint8_t, image::kGptScratchSize> scratch,
                                     std::span<uint8_t> out) {
  const uint32_t per_block = disk.block_size() / kFatSectorSize;
  const uint64_t sector_count = disk.block_count() * per_block;
  const auto try_part = [&](uint64_t first, uint64_t count) -> Result<uint32_t> {
    if (first > sector_count || count > sector_count - first) {
      return Error(ErrorCode::kMalformed, "partition lies outside the disk");
    }
    PartSectors sectors(disk, scratch, first, count);
    return ReadFrom(sectors, out);
  };
  Result<uint32_t> bare = try_part(0, sector_count);
  if (bare.code() != ErrorCode::kNotFound) {
    return bare;
  }
  image::GptTable table;
  if (ReadDiskGpt(disk, scratch, table).ok()) {
    for (const image::GptPartition& part : table.all()) {
      Result<uint32_t> found =
          try_part(part.first_block * per_block, part.block_count() * per_block);
      if (found.code() != ErrorCode::kNotFound) {
        return found;
      }
    }
    return Error(ErrorCode::kNotFound, "no volume GATEHOUSE");
  }
  std::array<uint8_t, kFatSectorSize> mbr;
  PartSectors whole(disk, scratch, 0, sector_count);
  GH_TRY(whole.Read(0, mbr));
  if (mbr[510] != 0x55 || mbr[511] != 0xaa) {
    return Error(ErrorCode::kNotFound, "no volume GATEHOUSE");
  }
  for (uint32_t i = 0; i < 4; ++i) {
    const std::span<const uint8_t> bytes(mbr);
    ByteReader entry(bytes.subspan(446 + 16 * i + 8, 8));
    const uint64_t first = entry.U32Le();
    const uint64_t count = entry.U32Le();
    if (first == 0 || count == 0) {
      continue;
    }
    Result<uint32_t> found = try_part(first, count);
    if (found.ok()) {
      return found;
    }
  }
  return Error(ErrorCode::kNotFound, "no volume GATEHOUSE");
}

}  // namespace gh::pc
