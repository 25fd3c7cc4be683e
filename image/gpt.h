// GUID partition tables: a pure reader and writer (UEFI 2.10, chapter 5).
//
// The reader takes the primary copy, and the backup at the disk's last block when the primary is
// damaged. Header and entries are both checked by CRC; every number is capped before arithmetic;
// partitions must lie in the usable range and must not overlap. The disk is hostile until then.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "hal/rt/fixed_string.h"
#include "hal/rt/result.h"
#include "image/limits.h"

namespace gh::image {

using Guid = std::array<uint8_t, 16>;  // as stored: the first three fields little endian

// From the registry's order of printing: a GUID's text is Time-Low, Mid, High, then bytes.
constexpr Guid MakeGuid(uint32_t a, uint16_t b, uint16_t c, std::array<uint8_t, 8> rest) {
  Guid guid = {static_cast<uint8_t>(a),       static_cast<uint8_t>(a >> 8),
               static_cast<uint8_t>(a >> 16), static_cast<uint8_t>(a >> 24),
               static_cast<uint8_t>(b),       static_cast<uint8_t>(b >> 8),
               static_cast<uint8_t>(c),       static_cast<uint8_t>(c >> 8)};
  for (size_t i = 0; i < rest.size(); ++i) {
    guid[8 + i] = rest[i];
  }
  return guid;
}

struct GptPartition {
  Guid type = {};
  Guid unique = {};
  uint64_t first_block = 0;
  uint64_t last_block = 0;            // inclusive
  FixedString<kGptNameSizeMax> name;  // characters outside ASCII read as '?'
  uint64_t block_count() const { return last_block - first_block + 1; }
};

struct GptTable {
  Guid disk = {};
  std::array<GptPartition, kGptPartitionMax> partitions;
  uint32_t partition_count = 0;
  bool is_backup = false;  // the primary copy was damaged

  std::span<const GptPartition> all() const { return {partitions.data(), partition_count}; }
  const GptPartition* FindType(const Guid& type) const;  // the first of that type, or null
};

// Reads whole blocks; the one thing the reader needs of a disk.
class BlockReader {
 public:
  virtual uint32_t block_size() const = 0;
  virtual uint64_t block_count() const = 0;
  virtual Result<void> Read(uint64_t block, std::span<uint8_t> out) = 0;

 protected:
  ~BlockReader() = default;
};

// Room for a header block and the entries.
inline constexpr size_t kGptScratchSize = kGptBlockSizeMax + kGptEntriesSize;

// kNotFound: neither copy is a GPT. Otherwise the primary's error, when the backup is no better.
Result<void> ReadGpt(BlockReader& disk, std::span<uint8_t, kGptScratchSize> scratch, GptTable& out);

// The parts of ReadGpt, for tests and fuzzing.
struct GptHeader {
  Guid disk = {};
  uint64_t entries_block = 0;
  uint64_t first_usable = 0;
  uint64_t last_usable = 0;
  uint32_t entry_count = 0;
  uint32_t entry_size = 0;
  uint32_t entries_crc = 0;
};
Result<GptHeader> ParseGptHeader(std::span<const uint8_t> block, uint64_t own_block,
                                 uint64_t disk_block_count);
Result<void> ParseGptEntries(const GptHeader& header, std::span<const uint8_t> entries,
                             GptTable& out);

// The writer: blocks for a disk's start (protective MBR, header, entries) and end (entries,
// header). Sizes in bytes, for a block size of 512 or 4096.
constexpr uint64_t GptStartSize(uint32_t block_size) { return 2 * block_size + kGptEntriesSize; }
constexpr uint64_t GptEndSize(uint32_t block_size) { return block_size + kGptEntriesSize; }
void EncodeGpt(const GptTable& table, uint32_t block_size, uint64_t block_count,
               std::span<uint8_t> start, std::span<uint8_t> end);

}  // namespace gh::image
