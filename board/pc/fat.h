// A read-only FAT12/16/32 reader for one purpose: a file in the root directory of a volume that the
// operator prepared on any computer (volume label and long names included).
//
// Pure: sectors come through an interface. Everything on the volume is hostile: geometry is checked
// before arithmetic, chains and directories are bounded, a loop ends as kMalformed.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "hal/rt/fixed_string.h"
#include "hal/rt/result.h"

namespace gh::pc {

inline constexpr uint32_t kFatSectorSize = 512;  // the only size supported
inline constexpr uint32_t kFatDirectoryEntryMax = 4096;
inline constexpr uint32_t kFatNameMax = 64;  // longer names never match

class SectorReader {
 public:
  virtual uint64_t sector_count() const = 0;
  virtual Result<void> Read(uint64_t sector, std::span<uint8_t, kFatSectorSize> out) = 0;

 protected:
  ~SectorReader() = default;
};

class FatVolume {
 public:
  // kNotFound: no FAT file system here. kMalformed: one that contradicts itself.
  Result<void> Open(SectorReader& reader);
  // From the root directory's label entry, else from the boot sector; without trailing spaces.
  std::string_view label() const { return label_; }
  // 12, 16 or 32.
  uint32_t bits() const { return bits_; }

  // Finds `name` in the root directory, ASCII case ignored, and reads all of it. Returns its size.
  // kNotFound, kTooLarge (does not fit `out`), kMalformed, kIoError.
  Result<uint32_t> ReadRootFile(std::string_view name, std::span<uint8_t> out);

 private:
  struct File {
    uint32_t first_cluster = 0;
    uint32_t size = 0;
  };

  Result<void> ParseGeometry(std::span<const uint8_t, kFatSectorSize> sector);
  Result<void> ReadSector(uint64_t sector, std::span<uint8_t, kFatSectorSize> out);
  // The cluster after `cluster`; 0 at the end of the chain.
  Result<uint32_t> NextCluster(uint32_t cluster);
  Result<uint64_t> SectorOf(uint32_t cluster) const;
  Result<uint32_t> ReadChain(const File& file, std::span<uint8_t> out);
  template <typename Visitor>
  Result<void> VisitRoot(Visitor&& visit);

  SectorReader* reader_ = nullptr;
  uint32_t bits_ = 0;
  uint32_t sectors_per_cluster_ = 0;
  uint64_t fat_start_ = 0;
  uint64_t fat_sectors_ = 0;
  uint64_t root_start_ = 0;  // FAT12/16
  uint32_t root_sectors_ = 0;
  uint32_t root_cluster_ = 0;  // FAT32
  uint64_t data_start_ = 0;
  uint32_t cluster_count_ = 0;
  FixedString<11> label_;
};

}  // namespace gh::pc
