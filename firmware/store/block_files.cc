#include "firmware/store/block_files.h"

#include <algorithm>
#include <cstring>

#include "hal/rt/bytes.h"
#include "hal/rt/crc32.h"

namespace gh::store {
namespace {

constexpr uint64_t kTableMagic = 0x4748'5354'4f52'4531;  // "GHSTORE1"
constexpr uint32_t kTableVersion = 1;
constexpr size_t kCrcSize = 4;

}  // namespace

BlockFiles::BlockFiles(Arena& arena, hal::BlockDevice& device) : device_(device) {
  const auto sector = [&] {
    return std::span<uint8_t>(static_cast<uint8_t*>(arena.Allocate(kSectorSize, kSectorSize)),
                              kSectorSize);
  };
  scratch_ = sector();
  for (File& file : files_) {
    file.cache = sector();
  }
}

Result<void> BlockFiles::Layout() {
  const uint32_t block_size = device_.block_size();
  if (block_size == 0 || kSectorSize % block_size != 0) {
    return Error{ErrorCode::kUnsupported, "store: block size is not 512 to 4096"};
  }
  blocks_per_sector_ = kSectorSize / block_size;
  const uint64_t sectors =
      std::min(device_.block_count() / blocks_per_sector_, kPartitionSectorsMax);
  if (sectors < kPartitionSectorsMin) {
    return Error{ErrorCode::kOutOfRange, "store: partition is smaller than 512 KiB"};
  }
  const uint64_t half = (sectors - kReservedSectors) / 2;
  files_[Index(FileId::kJournal)].first_sector = kReservedSectors;
  files_[Index(FileId::kJournal)].sector_count = half;
  files_[Index(FileId::kDatabase)].first_sector = kReservedSectors + half;
  // A journal of the whole database has a record header for each page and a header of its own.
  files_[Index(FileId::kDatabase)].sector_count = half - half / 64 - 4;
  for (File& file : files_) {
    file.size = 0;
    file.cached = kNoSector;
    file.dirty = false;
  }
  return Ok();
}

Result<void> BlockFiles::Open() {
  GH_TRY(Layout());
  bool found = false;
  bool blank = false;
  for (uint64_t copy = 0; copy < kTableSectors; ++copy) {
    GH_TRY(ReadSector(copy, scratch_));
    blank = blank || std::ranges::all_of(scratch_, [](uint8_t byte) { return byte == 0; });
    uint64_t sequence = 0;
    std::array<uint64_t, kFileCount> sizes = {};
    if (!DecodeTable(scratch_, sequence, sizes) || (found && sequence < table_sequence_)) {
      continue;
    }
    found = true;
    table_sequence_ = sequence;
    for (uint32_t i = 0; i < kFileCount; ++i) {
      files_[i].size = sizes[i];
    }
  }
  if (found) {
    return Ok();
  }
  // A blank copy beside no good one: never used, or cut off in the midst of the first Format().
  return blank ? Format() : Error{ErrorCode::kCorrupt, "store: both file tables are damaged"};
}

Result<void> BlockFiles::Format() {
  GH_TRY(Layout());
  std::memset(scratch_.data(), 0, scratch_.size());
  // What old files held must not come back to life: their first sectors go first.
  for (File& file : files_) {
    GH_TRY(WriteSector(file.first_sector, scratch_));
  }
  GH_TRY(hal::FlushBlocks(device_));
  table_sequence_ = 0;
  GH_TRY(WriteTable());
  return WriteTable();  // the other copy
}

Result<void> BlockFiles::ReadSector(uint64_t sector, std::span<uint8_t> out) {
  GH_ASSERT_EQ(out.size(), size_t{kSectorSize});
  return hal::ReadBlocks(device_, sector * blocks_per_sector_, out);
}

Result<void> BlockFiles::WriteSector(uint64_t sector, std::span<const uint8_t> data) {
  GH_ASSERT_EQ(data.size(), size_t{kSectorSize});
  ++sector_write_count_;
  return hal::WriteBlocks(device_, sector * blocks_per_sector_, data);
}

// Magic, version, sequence, sizes, zeros, CRC of everything before it: padding included.
void BlockFiles::EncodeTable(std::span<uint8_t> sector, uint64_t sequence) const {
  std::memset(sector.data(), 0, sector.size());
  ByteWriter out(sector.first(sector.size() - kCrcSize));
  out.U64Be(kTableMagic);
  out.U32Be(kTableVersion);
  out.U64Be(sequence);
  for (const File& file : files_) {
    out.U64Be(file.first_sector);
    out.U64Be(file.sector_count);
    out.U64Be(file.size);
  }
  GH_ASSERT(out.ok());
  ByteWriter crc(sector.last(kCrcSize));
  crc.U32Be(Crc32(sector.first(sector.size() - kCrcSize)));
}

bool BlockFiles::DecodeTable(std::span<const uint8_t> sector, uint64_t& sequence,
                             std::array<uint64_t, kFileCount>& sizes) const {
  ByteReader crc(sector.last(kCrcSize));
  if (crc.U32Be() != Crc32(sector.first(sector.size() - kCrcSize))) {
    return false;
  }
  ByteReader in(sector);
  if (in.U64Be() != kTableMagic || in.U32Be() != kTableVersion) {
    return false;
  }
  sequence = in.U64Be();
  for (uint32_t i = 0; i < kFileCount; ++i) {
    const bool same_place =
        in.U64Be() == files_[i].first_sector && in.U64Be() == files_[i].sector_count;
    sizes[i] = in.U64Be();
    if (!same_place || sizes[i] > files_[i].sector_count * kSectorSize) {
      return false;
    }
  }
  return true;
}

Result<void> BlockFiles::WriteTable() {
  // The number advances when the copy is durable: after a failure the same copy is written again,
  // never the other one, which is then the only good one.
  const uint64_t sequence = table_sequence_ + 1;
  EncodeTable(scratch_, sequence);
  GH_TRY(WriteSector(sequence % kTableSectors, scratch_));
  GH_TRY(hal::FlushBlocks(device_));
  table_sequence_ = sequence;
  table_dirty_ = false;
  return Ok();
}

Result<void> BlockFiles::Clean(File& file) {
  if (!file.dirty) {
    return Ok();
  }
  GH_TRY(WriteSector(file.first_sector + file.cached, file.cache));
  file.dirty = false;
  return Ok();
}

Result<void> BlockFiles::Load(File& file, uint64_t sector) {
  if (file.cached == sector) {
    return Ok();
  }
  GH_TRY(Clean(file));
  file.cached = kNoSector;
  if (sector * kSectorSize >= file.size) {  // nothing there yet, whatever the device holds
    std::memset(file.cache.data(), 0, file.cache.size());
  } else {
    GH_TRY(ReadSector(file.first_sector + sector, file.cache));
  }
  file.cached = sector;
  return Ok();
}

Result<size_t> BlockFiles::Read(FileId id, uint64_t offset, std::span<uint8_t> out) {
  File& file = files_[Index(id)];
  std::memset(out.data(), 0, out.size());
  const uint64_t available = offset < file.size ? file.size - offset : 0;
  const size_t inside = std::min<uint64_t>(available, out.size());
  for (size_t done = 0; done < inside;) {
    const uint64_t at = offset + done;
    const size_t within = at % kSectorSize;
    const size_t count = std::min<size_t>(kSectorSize - within, inside - done);
    GH_TRY(Load(file, at / kSectorSize));
    std::memcpy(out.data() + done, file.cache.data() + within, count);
    done += count;
  }
  return inside;
}

Result<void> BlockFiles::Write(FileId id, uint64_t offset, std::span<const uint8_t> data) {
  File& file = files_[Index(id)];
  const uint64_t capacity = file.sector_count * kSectorSize;
  if (offset > capacity || data.size() > capacity - offset) {
    return Error{ErrorCode::kNoSpace, "store: partition is full"};
  }
  for (size_t done = 0; done < data.size();) {
    const uint64_t at = offset + done;
    const size_t within = at % kSectorSize;
    const size_t count = std::min<size_t>(kSectorSize - within, data.size() - done);
    GH_TRY(Load(file, at / kSectorSize));
    std::memcpy(file.cache.data() + within, data.data() + done, count);
    file.dirty = true;
    done += count;
    if (at + count > file.size) {
      file.size = at + count;
      table_dirty_ = true;
    }
  }
  return Ok();
}

Result<void> BlockFiles::Truncate(FileId id, uint64_t size) {
  File& file = files_[Index(id)];
  if (size >= file.size) {
    return Ok();
  }
  GH_TRY(Clean(file));
  file.cached = kNoSector;
  file.size = size;
  table_dirty_ = true;
  // The rest of the last sector reads as zeros when the file grows again.
  if (size % kSectorSize != 0) {
    GH_TRY(Load(file, size / kSectorSize));
    std::memset(file.cache.data() + size % kSectorSize, 0, kSectorSize - size % kSectorSize);
    file.dirty = true;
  }
  return Ok();
}

Result<void> BlockFiles::Sync() {
  for (File& file : files_) {
    GH_TRY(Clean(file));
  }
  return table_dirty_ ? WriteTable() : hal::FlushBlocks(device_);
}

}  // namespace gh::store
