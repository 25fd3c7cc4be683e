#include "firmware/store/block_files.h"

#include <algorithm>
#include <cstring>

#include "crypto/mac.h"
#include "hal/rt/bytes.h"

namespace gh::store {
namespace {

constexpr uint64_t kTableMagic = 0x4748'5354'4f52'4532;     // "GHSTORE2"
constexpr uint64_t kUnsealedMagic = 0x4748'5354'4f52'4531;  // "GHSTORE1"
constexpr uint32_t kTableVersion = 2;

uint64_t SectorsOf(uint64_t size) { return (size + kSectorSize - 1) / kSectorSize; }

}  // namespace

BlockFiles::BlockFiles(Arena& arena, SealedUnits& units) : units_(units) {
  const auto sector = [&] {
    return std::span<uint8_t>(static_cast<uint8_t*>(arena.Allocate(kSectorSize, kSectorSize)),
                              kSectorSize);
  };
  scratch_ = sector();
  for (File& file : files_) {
    file.cache = sector();
  }
  if (units_.Check().ok()) {
    hashes_ = arena.NewArray<Hash>((units_.count() - kReservedUnits) / 4);
  }
}

Result<void> BlockFiles::Layout(uint64_t unit_count_max) {
  GH_TRY(units_.Check());
  const uint64_t quarter = (std::min(units_.count(), unit_count_max) - kReservedUnits) / 4;
  File& journal = files_[Index(FileId::kJournal)];
  File& database = files_[Index(FileId::kDatabase)];
  journal.first_unit = kReservedUnits;
  journal.sector_count = quarter;
  database.first_unit = kReservedUnits + quarter;
  // A journal of the whole database has a record header for each page and a header of its own.
  database.sector_count = quarter - quarter / 64 - 4;
  copies_[0] = {kReservedUnits + 2 * quarter, quarter};
  copies_[1] = {kReservedUnits + 3 * quarter, quarter};
  for (File& file : files_) {
    file.size = 0;
    file.cached = kNoSector;
    file.dirty = false;
  }
  std::ranges::fill(hashes_, Hash{});
  root_ = committed_ = {};
  roots_ = {};
  table_sequence_ = 0;
  table_dirty_ = false;
  return Ok();
}

// A table tells the layout it is of: one of another is none.
Result<void> BlockFiles::Open(const StoreKey& key) {
  units_.SetKey(key);
  key.Derive("contents", hash_key_);
  GH_TRY(Layout(kPartitionUnitsUsual));
  GH_TRY_ASSIGN(bool found, FindTable());
  if (!found && units_.count() > kPartitionUnitsUsual) {
    GH_TRY(Layout());
    GH_TRY_ASSIGN(found, FindTable());
  }
  if (!found) {
    return Error{ErrorCode::kCorrupt, "store: both file tables are damaged"};
  }
  committed_ = roots_[0];
  return ReadHashes();
}

Result<bool> BlockFiles::FindTable() {
  bool found = false;
  for (uint64_t copy = 0; copy < kTableUnits; ++copy) {
    const auto read = units_.Read(copy, scratch_);
    if (!read.ok() && read.code() != ErrorCode::kNotFound &&
        read.code() != ErrorCode::kUnauthentic) {
      return read.error();
    }
    Table table;
    if (!read.ok() || !DecodeTable(scratch_, table) ||
        (found && table.sequence < table_sequence_)) {
      continue;
    }
    found = true;
    table_sequence_ = table.sequence;
    roots_ = table.roots;
    for (uint32_t i = 0; i < kFileCount; ++i) {
      files_[i].size = table.sizes[i];
    }
  }
  return found;
}

Result<bool> BlockFiles::IsBlank() {
  GH_TRY(Layout());
  bool blank = false;
  for (uint64_t copy = 0; copy < kTableUnits; ++copy) {
    GH_TRY_ASSIGN(const auto raw, units_.ReadRaw(copy));
    ByteReader first(raw);
    ByteReader second(raw.subspan(kSectorSize));
    if (copy == 0 && (first.U64Be() == kUnsealedMagic || second.U64Be() == kUnsealedMagic)) {
      return Error{ErrorCode::kUnsupported, "store: it was made before stores were sealed"};
    }
    blank = blank || std::ranges::all_of(raw, [](uint8_t byte) { return byte == 0; });
  }
  return blank;
}

Result<void> BlockFiles::EraseTable() {
  for (uint64_t copy = 0; copy < kTableUnits; ++copy) {
    GH_TRY(units_.Erase(copy));
    GH_TRY(units_.Flush());  // a cut tears one of them, never both
  }
  return Ok();
}

Result<void> BlockFiles::Format(const StoreKey& key) {
  GH_TRY(Layout());
  units_.SetKey(key);
  key.Derive("contents", hash_key_);
  // What old files held must not come back to life: their first sectors go first.
  for (const File& file : files_) {
    GH_TRY(units_.Erase(file.first_unit));
  }
  GH_TRY(units_.Flush());
  GH_TRY(WriteTable());
  return WriteTable();  // the other copy
}

// --- Sectors ------------------------------------------------------------------------------------

BlockFiles::Hash BlockFiles::HashOf(uint64_t sector, std::span<const uint8_t> data) const {
  crypto::Blake2bMac mac(hash_key_.Expose());
  uint8_t place[8];
  ByteWriter(place).U64Le(sector);
  mac.Update(place);
  mac.Update(data);
  const auto tag = mac.Finish();
  Hash hash;
  std::copy_n(tag.begin(), hash.size(), hash.begin());
  return hash;
}

void BlockFiles::SetHash(uint64_t sector, const Hash& hash) {
  for (size_t i = 0; i < hash.size(); ++i) {
    root_[i] = static_cast<uint8_t>(root_[i] ^ hashes_[sector][i] ^ hash[i]);
  }
  hashes_[sector] = hash;
}

// What is torn has no hash, and the sum is wrong until the journal has mended it.
Result<void> BlockFiles::ReadHashes() {
  const File& database = files_[Index(FileId::kDatabase)];
  const uint64_t count = SectorsOf(database.size);
  for (uint64_t first = 0, fetched = 0; first < count; first += fetched) {
    GH_TRY_ASSIGN(fetched, units_.Fetch(database.first_unit + first, count - first));
    for (uint64_t sector = first; sector < first + fetched; ++sector) {
      const auto opened = units_.OpenFetched(database.first_unit + sector);
      if (opened.ok()) {
        SetHash(sector, HashOf(sector, *opened));
      } else if (opened.code() != ErrorCode::kNotFound &&
                 opened.code() != ErrorCode::kUnauthentic) {
        return opened.error();
      }
    }
  }
  units_.ForgetFetched();
  return Ok();
}

Result<void> BlockFiles::CheckFreshness() {
  for (File& file : files_) {
    GH_TRY(Clean(file));
  }
  if (root_ != roots_[0] && root_ != roots_[1]) {
    return Error{ErrorCode::kCorrupt, "store: a page is not what was last written"};
  }
  committed_ = root_;
  return Ok();
}

// Into the cache. A journal's sector that is not readable is one that was not wholly written.
Result<void> BlockFiles::ReadSector(File& file, uint64_t sector) {
  const auto read = units_.Read(file.first_unit + sector, file.cache);
  const bool is_missing =
      read.code() == ErrorCode::kNotFound || read.code() == ErrorCode::kUnauthentic;
  if (!read.ok() && is_missing && !IsDatabase(file)) {
    std::ranges::fill(file.cache, uint8_t{0});
    return Ok();
  }
  if (!read.ok()) {
    return is_missing ? Error{ErrorCode::kUnauthentic, read.error().what} : read.error();
  }
  if (IsDatabase(file) && hashes_[sector] != Hash{} &&
      hashes_[sector] != HashOf(sector, file.cache)) {
    return Error{ErrorCode::kUnauthentic, "store: a page is not what was last written"};
  }
  return Ok();
}

Result<void> BlockFiles::WriteSector(File& file, uint64_t sector) {
  if (IsDatabase(file)) {
    SetHash(sector, {});  // not known, should the write fail half way
  }
  GH_TRY(units_.Write(file.first_unit + sector, file.cache));
  if (IsDatabase(file)) {
    SetHash(sector, HashOf(sector, file.cache));
  }
  return Ok();
}

// --- File table ---------------------------------------------------------------------------------

// Magic, version, sequence, files, roots, zeros; the seal covers all of it.
void BlockFiles::EncodeTable(std::span<uint8_t> sector, uint64_t sequence) const {
  std::memset(sector.data(), 0, sector.size());
  ByteWriter out(sector);
  out.U64Be(kTableMagic);
  out.U32Be(kTableVersion);
  out.U64Be(sequence);
  for (const File& file : files_) {
    out.U64Be(file.first_unit);
    out.U64Be(file.sector_count);
    out.U64Be(file.size);
  }
  out.Bytes(committed_);
  out.Bytes(root_);
  GH_ASSERT(out.ok());
}

bool BlockFiles::DecodeTable(std::span<const uint8_t> sector, Table& out) const {
  ByteReader in(sector);
  if (in.U64Be() != kTableMagic || in.U32Be() != kTableVersion) {
    return false;
  }
  out.sequence = in.U64Be();
  for (uint32_t i = 0; i < kFileCount; ++i) {
    const bool same_place =
        in.U64Be() == files_[i].first_unit && in.U64Be() == files_[i].sector_count;
    out.sizes[i] = in.U64Be();
    if (!same_place || out.sizes[i] > files_[i].sector_count * kSectorSize) {
      return false;
    }
  }
  in.Copy(out.roots[0]);
  in.Copy(out.roots[1]);
  return in.ok();
}

Result<void> BlockFiles::WriteTable() {
  // The number advances when the copy is durable: after a failure the same copy is written again,
  // never the other one, which is then the only good one.
  const uint64_t sequence = table_sequence_ + 1;
  EncodeTable(scratch_, sequence);
  GH_TRY(units_.Write(sequence % kTableUnits, scratch_));
  GH_TRY(units_.Flush());
  table_sequence_ = sequence;
  roots_ = {committed_, root_};
  table_dirty_ = false;
  return Ok();
}

// --- Files --------------------------------------------------------------------------------------

Result<void> BlockFiles::Clean(File& file) {
  if (!file.dirty) {
    return Ok();
  }
  GH_TRY(WriteSector(file, file.cached));
  file.dirty = false;
  return Ok();
}

// `is_overwritten`: the caller replaces all of it.
Result<void> BlockFiles::Load(File& file, uint64_t sector, bool is_overwritten) {
  if (file.cached == sector) {
    return Ok();
  }
  GH_TRY(Clean(file));
  file.cached = kNoSector;
  if (is_overwritten || sector * kSectorSize >= file.size) {
    std::memset(file.cache.data(), 0, file.cache.size());  // whatever the device holds there
  } else {
    GH_TRY(ReadSector(file, sector));
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
    GH_TRY(Load(file, at / kSectorSize, false));
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
    GH_TRY(Load(file, at / kSectorSize, count == kSectorSize));
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
  for (uint64_t sector = SectorsOf(size); IsDatabase(file) && sector < SectorsOf(file.size);
       ++sector) {
    SetHash(sector, {});
  }
  file.size = size;
  table_dirty_ = true;
  // The rest of the last sector reads as zeros when the file grows again.
  if (size % kSectorSize != 0) {
    GH_TRY(Load(file, size / kSectorSize, false));
    std::memset(file.cache.data() + size % kSectorSize, 0, kSectorSize - size % kSectorSize);
    file.dirty = true;
  }
  return Ok();
}

Result<void> BlockFiles::Sync() {
  for (File& file : files_) {
    GH_TRY(Clean(file));
  }
  const bool is_known = root_ == roots_[0] || root_ == roots_[1];
  return table_dirty_ || !is_known ? WriteTable() : units_.Flush();
}

}  // namespace gh::store
