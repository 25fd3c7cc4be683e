// Two files of fixed room on sealed units: a database and its rollback journal; and beside them the
// room for two copies of the last good content (good_copy.h).
//
// Partition, in units of 8 KiB (sealed_units.h):
//   0, 1      file table: sizes of both files and what the database must hold; two copies written
//             in turn, each with its sequence number, so that one is whole whatever a cut tears
//   2..7      the key record, on boards without a boot state partition
//   8..       journal, database, two good copies: a quarter of the rest each
// A store that was made when 512 MiB were used at most keeps to them until it is made anew.
//
// Invariants: a write changes nothing outside its file's sectors; the table is written only in
// Sync(), together with the data it describes and before the same flush; between two table writes
// there is always a flush. Fault model: that of hal::BlockDevice: unflushed sectors may be lost,
// kept or torn in any combination; I/O may fail at any call. A sector of the database that does not
// authenticate cannot be read; one of the journal reads as zeros, which ends a journal.
//
// Pages that were put back to an older state: the table holds a keyed multiset hash over the
// contents of all database sectors, two of them: that of the last finished transaction and that of
// the one being finished. After SQLite has undone what a cut left half done, the content is one of
// the two, or somebody changed it (CheckFreshness). While open each read is compared with what was
// last written. The whole partition put back at once is not seen: that takes a counter elsewhere.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "firmware/store/limits.h"
#include "firmware/store/sealed_units.h"
#include "hal/rt/arena.h"
#include "hal/rt/result.h"

namespace gh::store {

enum class FileId : uint8_t { kDatabase = 0, kJournal = 1 };
inline constexpr uint32_t kFileCount = 2;

class BlockFiles {
 public:
  BlockFiles(Arena& arena, SealedUnits& units);

  // Reads the file table and the database. A partition of zeros is empty; kCorrupt: it holds
  // something else or both copies are damaged; kTooLarge/kOutOfRange: the device cannot be used.
  // kUnsupported: a store from before stores were sealed.
  Result<void> Open(const StoreKey& key);
  // Makes both files empty, whatever they hold. Durable on return.
  Result<void> Format(const StoreKey& key);
  // The file table is gone when this returns: what follows is Format or an empty partition.
  Result<void> EraseTable();
  // Both copies of the table are zeros, or a first Format() was cut off.
  Result<bool> IsBlank();

  uint64_t Size(FileId file) const { return files_[Index(file)].size; }
  uint64_t Capacity(FileId file) const { return files_[Index(file)].sector_count * kSectorSize; }
  // Bytes beyond the end read as zeros; returns how many were inside. kUnauthentic.
  Result<size_t> Read(FileId file, uint64_t offset, std::span<uint8_t> out);
  // kNoSpace: beyond the file's room, nothing written.
  Result<void> Write(FileId file, uint64_t offset, std::span<const uint8_t> data);
  Result<void> Truncate(FileId file, uint64_t size);
  // Durable: all data and sizes of both files.
  Result<void> Sync();
  // The journal was ended and that is durable: the database's content is the one that counts.
  void EndTransaction() { committed_ = root_; }
  // Brings the older copy of the table up to date: each of the two then knows the content.
  Result<void> Settle() { return WriteTable(); }
  // After SQLite's own recovery. kCorrupt: a page is not what was last written.
  Result<void> CheckFreshness();

  struct Area {
    uint64_t first_unit = 0;
    uint64_t unit_count = 0;
  };
  Area CopyArea(uint32_t copy) const { return copies_[copy]; }
  uint64_t sector_write_count() const { return units_.write_count(); }

 private:
  static constexpr uint64_t kNoSector = UINT64_MAX;
  using Hash = std::array<uint8_t, 16>;
  struct Table {
    uint64_t sequence = 0;
    std::array<uint64_t, kFileCount> sizes = {};
    std::array<Hash, 2> roots = {};
  };
  struct File {
    uint64_t first_unit = 0;
    uint64_t sector_count = 0;
    uint64_t size = 0;
    uint64_t cached = kNoSector;  // sector of the file that `cache` holds
    bool dirty = false;           // and the device does not yet
    std::span<uint8_t> cache;
  };
  static uint32_t Index(FileId file) { return static_cast<uint32_t>(file); }
  bool IsDatabase(const File& file) const { return &file == &files_[0]; }

  Result<void> Layout(uint64_t unit_count_max = kPartitionUnitsMax);
  Result<bool> FindTable();
  Result<void> ReadSector(File& file, uint64_t sector);
  Result<void> WriteSector(File& file, uint64_t sector);
  Hash HashOf(uint64_t sector, std::span<const uint8_t> data) const;
  void SetHash(uint64_t sector, const Hash& hash);
  Result<void> ReadHashes();
  Result<void> Clean(File& file);
  Result<void> Load(File& file, uint64_t sector, bool is_overwritten);
  void EncodeTable(std::span<uint8_t> sector, uint64_t sequence) const;
  bool DecodeTable(std::span<const uint8_t> sector, Table& out) const;
  Result<void> WriteTable();

  SealedUnits& units_;
  std::array<File, kFileCount> files_ = {};
  std::array<Area, 2> copies_ = {};
  std::span<uint8_t> scratch_;
  std::span<Hash> hashes_;  // by sector of the database; zeros: none, or not known
  KeyBytes hash_key_;
  Hash root_ = {};                  // over what the device holds
  Hash committed_ = {};             // after the last finished transaction
  std::array<Hash, 2> roots_ = {};  // as the table has them
  uint64_t table_sequence_ = 0;
  bool table_dirty_ = false;
};

}  // namespace gh::store
