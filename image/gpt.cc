#include "image/gpt.h"

#include <algorithm>
#include <cstring>

#include "hal/rt/assert.h"
#include "hal/rt/bytes.h"
#include "hal/rt/crc32.h"

namespace gh::image {

namespace {

constexpr uint64_t kSignature = 0x5452415020494645;  // "EFI PART"
constexpr uint32_t kRevision = 0x00010000;
constexpr uint32_t kHeaderSize = 92;
constexpr uint32_t kHeaderCrcOffset = 16;
constexpr uint32_t kNameUnits = 36;

uint32_t HeaderCrc(std::span<const uint8_t> header) {
  static constexpr std::array<uint8_t, 4> kZero = {};
  uint32_t crc = Crc32(header.first(kHeaderCrcOffset));
  crc = Crc32(kZero, crc);
  return Crc32(header.subspan(kHeaderCrcOffset + 4), crc);
}

void ReadName(ByteReader& reader, GptPartition& out) {
  bool ended = false;
  for (uint32_t i = 0; i < kNameUnits; ++i) {
    const uint16_t unit = reader.U16Le();
    ended = ended || unit == 0;
    if (!ended) {
      out.name.Append(unit >= 0x20 && unit < 0x7f ? static_cast<char>(unit) : '?');
    }
  }
}

bool Overlaps(const GptPartition& a, const GptPartition& b) {
  return a.first_block <= b.last_block && b.first_block <= a.last_block;
}

// One entry; an all-zero type means unused.
Result<void> AddEntry(const GptHeader& header, std::span<const uint8_t> bytes, GptTable& out) {
  ByteReader reader(bytes);
  GptPartition partition;
  reader.Copy(partition.type);
  if (partition.type == Guid{}) {
    return Ok();
  }
  reader.Copy(partition.unique);
  partition.first_block = reader.U64Le();
  partition.last_block = reader.U64Le();
  reader.Skip(8);  // attributes
  ReadName(reader, partition);
  if (partition.first_block < header.first_usable || partition.last_block > header.last_usable ||
      partition.first_block > partition.last_block) {
    return Error(ErrorCode::kMalformed, "GPT: a partition lies outside the usable range");
  }
  if (out.partition_count == kGptPartitionMax) {
    return Error(ErrorCode::kTooLarge, "GPT: too many partitions");
  }
  for (const GptPartition& other : out.all()) {
    if (Overlaps(partition, other)) {
      return Error(ErrorCode::kMalformed, "GPT: partitions overlap");
    }
  }
  out.partitions[out.partition_count++] = partition;
  return Ok();
}

Result<void> ReadCopy(BlockReader& disk, uint64_t header_block,
                      std::span<uint8_t, kGptScratchSize> scratch, GptTable& out) {
  const uint32_t block_size = disk.block_size();
  const auto block = scratch.first(block_size);
  GH_TRY(disk.Read(header_block, block));
  GH_TRY_ASSIGN(const GptHeader header, ParseGptHeader(block, header_block, disk.block_count()));
  const uint64_t entries_size = uint64_t{header.entry_count} * header.entry_size;
  const uint64_t rounded = (entries_size + block_size - 1) / block_size * block_size;
  const uint64_t blocks = rounded / block_size;
  if (rounded > kGptEntriesSize || header.entries_block >= disk.block_count() ||
      blocks > disk.block_count() - header.entries_block) {
    return Error(ErrorCode::kMalformed, "GPT: entries lie outside the disk");
  }
  const auto entries = scratch.subspan(kGptBlockSizeMax, rounded);
  GH_TRY(disk.Read(header.entries_block, entries));
  return ParseGptEntries(header, entries.first(entries_size), out);
}

}  // namespace

const GptPartition* GptTable::FindType(const Guid& type) const {
  for (const GptPartition& partition : all()) {
    if (partition.type == type) {
      return &partition;
    }
  }
  return nullptr;
}

Result<GptHeader> ParseGptHeader(std::span<const uint8_t> block, uint64_t own_block,
                                 uint64_t disk_block_count) {
  if (block.size() < kHeaderSize) {
    return Error(ErrorCode::kTruncated, "GPT: header block is too short");
  }
  ByteReader reader(block);
  if (reader.U64Le() != kSignature) {
    return Error(ErrorCode::kNotFound, "no GPT on this disk");
  }
  if (reader.U32Le() != kRevision) {
    return Error(ErrorCode::kUnsupported, "GPT: unknown revision");
  }
  const uint32_t header_size = reader.U32Le();
  const uint32_t crc = reader.U32Le();
  if (header_size < kHeaderSize || header_size > block.size()) {
    return Error(ErrorCode::kMalformed, "GPT: header size is out of range");
  }
  if (HeaderCrc(block.first(header_size)) != crc) {
    return Error(ErrorCode::kCorrupt, "GPT: header checksum is wrong");
  }
  reader.Skip(4);
  const uint64_t this_block = reader.U64Le();
  reader.Skip(8);  // the other copy: we know where it has to be
  GptHeader header;
  header.first_usable = reader.U64Le();
  header.last_usable = reader.U64Le();
  reader.Copy(header.disk);
  header.entries_block = reader.U64Le();
  header.entry_count = reader.U32Le();
  header.entry_size = reader.U32Le();
  header.entries_crc = reader.U32Le();
  if (this_block != own_block) {
    return Error(ErrorCode::kCorrupt, "GPT: header is not in its place");
  }
  if (header.entry_size != kGptEntrySize || header.entry_count == 0 ||
      header.entry_count > kGptEntryCountMax) {
    return Error(ErrorCode::kUnsupported, "GPT: entry count or size is out of range");
  }
  if (header.first_usable > header.last_usable || header.last_usable >= disk_block_count) {
    return Error(ErrorCode::kMalformed, "GPT: usable range is outside the disk");
  }
  return header;
}

Result<void> ParseGptEntries(const GptHeader& header, std::span<const uint8_t> entries,
                             GptTable& out) {
  if (entries.size() != size_t{header.entry_count} * header.entry_size) {
    return Error(ErrorCode::kTruncated, "GPT: entries are cut short");
  }
  if (Crc32(entries) != header.entries_crc) {
    return Error(ErrorCode::kCorrupt, "GPT: checksum of the entries is wrong");
  }
  out = GptTable();
  out.disk = header.disk;
  for (uint32_t i = 0; i < header.entry_count; ++i) {
    GH_TRY(
        AddEntry(header, entries.subspan(size_t{i} * header.entry_size, header.entry_size), out));
  }
  return Ok();
}

Result<void> ReadGpt(BlockReader& disk, std::span<uint8_t, kGptScratchSize> scratch,
                     GptTable& out) {
  const uint32_t block_size = disk.block_size();
  if ((block_size != 512 && block_size != kGptBlockSizeMax) || disk.block_count() < 3) {
    return Error(ErrorCode::kUnsupported, "disk's block size or size is out of range");
  }
  const auto primary = ReadCopy(disk, 1, scratch, out);
  if (primary.ok()) {
    return Ok();
  }
  const auto backup = ReadCopy(disk, disk.block_count() - 1, scratch, out);
  if (backup.ok()) {
    out.is_backup = true;
    return Ok();
  }
  return primary.error().code == ErrorCode::kNotFound ? backup.error() : primary.error();
}

namespace {

void EncodeEntries(const GptTable& table, std::span<uint8_t> out) {
  ByteWriter writer(out);
  for (const GptPartition& partition : table.all()) {
    writer.Bytes(partition.type);
    writer.Bytes(partition.unique);
    writer.U64Le(partition.first_block);
    writer.U64Le(partition.last_block);
    writer.U64Le(0);
    const std::string_view name = partition.name.view();
    for (uint32_t i = 0; i < kNameUnits; ++i) {
      writer.U16Le(i < name.size() ? static_cast<uint8_t>(name[i]) : 0);
    }
  }
  GH_ASSERT(writer.ok());
}

struct HeaderPlace {
  uint64_t own_block;
  uint64_t other_block;
  uint64_t entries_block;
};

void EncodeHeader(const GptTable& table, const HeaderPlace& place, uint32_t block_size,
                  uint64_t block_count, uint32_t entries_crc, std::span<uint8_t> out) {
  ByteWriter writer(out);
  writer.U64Le(kSignature);
  writer.U32Le(kRevision);
  writer.U32Le(kHeaderSize);
  writer.U32Le(0);
  writer.U32Le(0);
  writer.U64Le(place.own_block);
  writer.U64Le(place.other_block);
  writer.U64Le(GptStartSize(block_size) / block_size);
  writer.U64Le(block_count - GptEndSize(block_size) / block_size - 1);
  writer.Bytes(table.disk);
  writer.U64Le(place.entries_block);
  writer.U32Le(kGptEntryCountMax);
  writer.U32Le(kGptEntrySize);
  writer.U32Le(entries_crc);
  GH_ASSERT_EQ(writer.size(), kHeaderSize);
  ByteWriter(out.subspan(kHeaderCrcOffset)).U32Le(HeaderCrc(out.first(kHeaderSize)));
}

void EncodeProtectiveMbr(uint64_t block_count, std::span<uint8_t> out) {
  ByteWriter writer(out.subspan(446));
  writer.U32Le(0x00020000);  // not bootable; from cylinder 0, head 0, sector 2
  writer.U32Le(0xffffffee);  // type 0xee, to the highest address
  writer.U32Le(1);
  writer.U32Le(static_cast<uint32_t>(std::min<uint64_t>(block_count - 1, 0xffffffff)));
  out[510] = 0x55;
  out[511] = 0xaa;
}

}  // namespace

void EncodeGpt(const GptTable& table, uint32_t block_size, uint64_t block_count,
               std::span<uint8_t> start, std::span<uint8_t> end) {
  GH_ASSERT_EQ(start.size(), GptStartSize(block_size));
  GH_ASSERT_EQ(end.size(), GptEndSize(block_size));
  std::fill(start.begin(), start.end(), uint8_t{0});
  std::fill(end.begin(), end.end(), uint8_t{0});
  const auto entries = start.subspan(2 * block_size);
  EncodeEntries(table, entries);
  std::copy(entries.begin(), entries.end(), end.begin());
  const uint32_t crc = Crc32(entries);
  const uint64_t last = block_count - 1;
  EncodeProtectiveMbr(block_count, start);
  EncodeHeader(table, {1, last, 2}, block_size, block_count, crc, start.subspan(block_size));
  EncodeHeader(table, {last, 1, last - kGptEntriesSize / block_size}, block_size, block_count, crc,
               end.subspan(kGptEntriesSize));
}

}  // namespace gh::image
