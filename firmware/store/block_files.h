// Two files of fixed room on a block device: a database and its rollback journal.
//
// Partition, in sectors of 4 KiB:
//   0, 1      file table: sizes of both files; two copies written in turn, each with its sequence
//             number and CRC-32, so that one is whole whatever a power cut tears
//   2..15     reserved (key record of the sealed store)
//   16..      journal, then database, half of the rest each
//
// Invariants: a write changes nothing outside its file's sectors; the table is written only in
// Sync(), together with the data it describes and before the same flush; between two table writes
// there is always a flush. Fault model: that of hal::BlockDevice: unflushed sectors may be lost,
// kept or torn in any combination; I/O may fail at any call. Damage of the table is found (CRC);
// damage of the files is for their reader to find.
//
// All sectors pass ReadSector and WriteSector: that is where sealing of pages (encryption,
// authentication) goes when the store is sealed. Today sectors are stored as they are.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "firmware/store/limits.h"
#include "hal/block_device.h"
#include "hal/rt/arena.h"
#include "hal/rt/result.h"

namespace gh::store {

enum class FileId : uint8_t { kDatabase = 0, kJournal = 1 };
inline constexpr uint32_t kFileCount = 2;

class BlockFiles {
 public:
  BlockFiles(Arena& arena, hal::BlockDevice& device);

  // Reads the file table. A partition of zeros is empty; kCorrupt: it holds something else or both
  // copies are damaged; kTooLarge/kOutOfRange: the device cannot be used.
  Result<void> Open();
  // Makes the partition empty, whatever it holds. Durable on return.
  Result<void> Format();

  uint64_t Size(FileId file) const { return files_[Index(file)].size; }
  uint64_t Capacity(FileId file) const { return files_[Index(file)].sector_count * kSectorSize; }
  // Bytes beyond the end read as zeros; returns how many were inside.
  Result<size_t> Read(FileId file, uint64_t offset, std::span<uint8_t> out);
  // kNoSpace: beyond the file's room, nothing written.
  Result<void> Write(FileId file, uint64_t offset, std::span<const uint8_t> data);
  Result<void> Truncate(FileId file, uint64_t size);
  // Durable: all data and sizes of both files.
  Result<void> Sync();

  uint64_t sector_write_count() const { return sector_write_count_; }

 private:
  static constexpr uint64_t kNoSector = UINT64_MAX;
  struct File {
    uint64_t first_sector = 0;
    uint64_t sector_count = 0;
    uint64_t size = 0;
    uint64_t cached = kNoSector;  // sector of the file that `cache` holds
    bool dirty = false;           // and the device does not yet
    std::span<uint8_t> cache;
  };
  static uint32_t Index(FileId file) { return static_cast<uint32_t>(file); }

  Result<void> Layout();
  Result<void> ReadSector(uint64_t sector, std::span<uint8_t> out);
  Result<void> WriteSector(uint64_t sector, std::span<const uint8_t> data);
  Result<void> Clean(File& file);
  Result<void> Load(File& file, uint64_t sector);
  void EncodeTable(std::span<uint8_t> sector, uint64_t sequence) const;
  bool DecodeTable(std::span<const uint8_t> sector, uint64_t& sequence,
                   std::array<uint64_t, kFileCount>& sizes) const;
  Result<void> WriteTable();

  hal::BlockDevice& device_;
  uint32_t blocks_per_sector_ = 0;
  std::array<File, kFileCount> files_ = {};
  std::span<uint8_t> scratch_;
  uint64_t table_sequence_ = 0;
  bool table_dirty_ = false;
  uint64_t sector_write_count_ = 0;
};

}  // namespace gh::store
