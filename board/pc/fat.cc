#include "board/pc/fat.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "hal/rt/ascii.h"
#include "hal/rt/bytes.h"

namespace gh::pc {
namespace {

constexpr uint32_t kEntrySize = 32;
constexpr uint8_t kAttributeLongName = 0x0f;
constexpr uint8_t kAttributeLabel = 0x08;
constexpr uint8_t kAttributeDirectory = 0x10;
constexpr uint8_t kDeleted = 0xe5;
constexpr uint32_t kCharactersPerLongEntry = 13;

using Sector = std::array<uint8_t, kFatSectorSize>;

std::string_view TrimSpaces(std::string_view text) {
  while (!text.empty() && text.back() == ' ') {
    text.remove_suffix(1);
  }
  return text;
}

uint16_t U16At(std::span<const uint8_t> bytes, size_t at) {
  return static_cast<uint16_t>(bytes[at] | bytes[at + 1] << 8);
}
uint32_t U32At(std::span<const uint8_t> bytes, size_t at) {
  return U16At(bytes, at) | static_cast<uint32_t>(U16At(bytes, at + 2)) << 16;
}

// Long names are stored before their short entry, last part first, 13 UCS-2 characters each.
class LongName {
 public:
  void Clear() { expected_ = 0; }

  void Add(std::span<const uint8_t> entry) {
    constexpr uint8_t kPlaces[kCharactersPerLongEntry] = {1,  3,  5,  7,  9,  14, 16,
                                                          18, 20, 22, 24, 28, 30};
    const uint32_t order = entry[0] & 0x3f;
    const bool is_last_part = (entry[0] & 0x40) != 0;
    if (is_last_part) {
      expected_ = order;
      size_ = 0;
      checksum_ = entry[13];
    }
    const uint32_t first = (order - 1) * kCharactersPerLongEntry;
    if (order == 0 || order != expected_ || entry[13] != checksum_ ||
        first + kCharactersPerLongEntry > text_.size()) {
      Clear();
      return;
    }
    for (uint32_t i = 0; i < kCharactersPerLongEntry; ++i) {
      const uint16_t c = U16At(entry, kPlaces[i]);
      if (c == 0 || c == 0xffff) {
        break;
      }
      text_[first + i] = c < 0x80 ? static_cast<char>(c) : '?';
      size_ = std::max(size_, first + i + 1);
    }
    --expected_;
    is_complete_ = expected_ == 0;
  }

  // The name, if it is complete and belongs to this short entry; else empty.
  std::string_view For(std::span<const uint8_t> short_entry) const {
    uint8_t sum = 0;
    for (size_t i = 0; i < 11; ++i) {
      sum = static_cast<uint8_t>(std::rotr(sum, 1) + short_entry[i]);
    }
    return is_complete_ && expected_ == 0 && sum == checksum_
               ? std::string_view(text_.data(), size_)
               : std::string_view();
  }
  void Forget() {
    is_complete_ = false;
    Clear();
  }

 private:
  static constexpr uint32_t kTextMax =
      (kFatNameMax / kCharactersPerLongEntry) * kCharactersPerLongEntry;
  std::array<char, kTextMax> text_ = {};
  uint32_t size_ = 0;
  uint32_t expected_ = 0;
  uint8_t checksum_ = 0;
  bool is_complete_ = false;
};

// "NAME.EXT" from the 11 bytes of a short entry.
FixedString<12> ShortName(std::span<const uint8_t> entry) {
  const std::string_view raw = AsText(entry.first(11));
  FixedString<12> name(TrimSpaces(raw.substr(0, 8)));
  const std::string_view extension = TrimSpaces(raw.substr(8));
  if (!extension.empty()) {
    name.Append('.');
    name.Append(extension);
  }
  return name;
}

}  // namespace

Result<void> FatVolume::ReadSector(uint64_t sector, std::span<uint8_t, kFatSectorSize> out) {
  if (sector >= reader_->sector_count()) {
    return Error(ErrorCode::kMalformed, "FAT points beyond the volume");
  }
  return reader_->Read(sector, out);
}

Result<void> FatVolume::ParseGeometry(std::span<const uint8_t, kFatSectorSize> b) {
  const bool has_jump = b[0] == 0xeb || b[0] == 0xe9;
  if (!has_jump || b[510] != 0x55 || b[511] != 0xaa || U16At(b, 11) != kFatSectorSize) {
    return Error(ErrorCode::kNotFound, "no FAT file system");
  }
  sectors_per_cluster_ = b[13];
  const uint32_t reserved = U16At(b, 14);
  const uint32_t fat_count = b[16];
  const uint32_t root_entries = U16At(b, 17);
  const uint64_t total = U16At(b, 19) != 0 ? U16At(b, 19) : U32At(b, 32);
  fat_sectors_ = U16At(b, 22) != 0 ? U16At(b, 22) : U32At(b, 36);
  if (!std::has_single_bit(sectors_per_cluster_) || reserved == 0 || fat_count == 0 ||
      fat_count > 4 || fat_sectors_ == 0 || total > reader_->sector_count()) {
    return Error(ErrorCode::kMalformed, "FAT geometry");
  }
  root_sectors_ = (root_entries * kEntrySize + kFatSectorSize - 1) / kFatSectorSize;
  fat_start_ = reserved;
  root_start_ = fat_start_ + fat_count * fat_sectors_;
  data_start_ = root_start_ + root_sectors_;
  if (data_start_ >= total) {
    return Error(ErrorCode::kMalformed, "FAT has no data area");
  }
  const uint64_t clusters = (total - data_start_) / sectors_per_cluster_;
  cluster_count_ = static_cast<uint32_t>(std::min<uint64_t>(clusters, 0x0ffffff5));
  bits_ = cluster_count_ < 4085 ? 12 : cluster_count_ < 65525 ? 16 : 32;
  root_cluster_ = bits_ == 32 ? U32At(b, 44) : 0;
  if ((uint64_t{cluster_count_} + 2) * bits_ > fat_sectors_ * kFatSectorSize * 8 ||
      (bits_ != 32 && root_entries == 0)) {
    return Error(ErrorCode::kMalformed, "FAT is too small for its clusters");
  }
  const size_t label_at = bits_ == 32 ? 71 : 43;
  label_.Assign(TrimSpaces(AsText(b.subspan(label_at, 11))));
  return Ok();
}

Result<void> FatVolume::Open(SectorReader& reader) {
  reader_ = &reader;
  Sector sector;
  GH_TRY(ReadSector(0, sector));
  GH_TRY(ParseGeometry(sector));
  return VisitRoot([this](std::span<const uint8_t> entry) {
    if (entry[11] == kAttributeLabel) {
      label_.Assign(TrimSpaces(AsText(entry.first(11))));
      return true;
    }
    return false;
  });
}

Result<uint64_t> FatVolume::SectorOf(uint32_t cluster) const {
  if (cluster < 2 || cluster - 2 >= cluster_count_) {
    return Error(ErrorCode::kMalformed, "FAT cluster number");
  }
  return data_start_ + uint64_t{cluster - 2} * sectors_per_cluster_;
}

Result<uint32_t> FatVolume::NextCluster(uint32_t cluster) {
  GH_TRY(SectorOf(cluster));
  // A 12-bit entry may straddle two sectors: its two bytes are fetched one by one.
  const uint64_t bit = uint64_t{cluster} * bits_;
  std::array<uint8_t, 4> bytes = {};
  const uint64_t first = bit / 8;
  Sector sector;
  uint64_t loaded = UINT64_MAX;
  for (uint32_t i = 0; i < (bits_ == 32 ? 4u : 2u); ++i) {
    const uint64_t at = first + i;
    if (at / kFatSectorSize != loaded) {
      loaded = at / kFatSectorSize;
      GH_TRY(ReadSector(fat_start_ + loaded, sector));
    }
    bytes[i] = sector[at % kFatSectorSize];
  }
  uint32_t next = U32At(bytes, 0);
  next = bits_ == 12 ? (next >> bit % 8) & 0xfff : bits_ == 16 ? next : next & 0x0fffffff;
  const uint32_t end = bits_ == 12 ? 0xff8 : bits_ == 16 ? 0xfff8 : 0x0ffffff8;
  if (next >= end) {
    return 0u;
  }
  if (next < 2 || next - 2 >= cluster_count_) {
    return Error(ErrorCode::kMalformed, "FAT chain is broken");
  }
  return next;
}

// Calls visit(entry) for the entries of the root directory until it returns true.
template <typename Visitor>
Result<void> FatVolume::VisitRoot(Visitor&& visit) {
  Sector sector;
  uint32_t cluster = root_cluster_;
  uint32_t sectors_left = root_sectors_;
  uint64_t at = root_start_;
  if (bits_ == 32) {
    GH_TRY_ASSIGN(at, SectorOf(cluster));
    sectors_left = sectors_per_cluster_;
  }
  for (uint32_t visited = 0; visited < kFatDirectoryEntryMax;) {
    if (sectors_left == 0) {
      if (bits_ != 32) {
        return Ok();
      }
      GH_TRY_ASSIGN(cluster, NextCluster(cluster));
      if (cluster == 0) {
        return Ok();
      }
      GH_TRY_ASSIGN(at, SectorOf(cluster));
      sectors_left = sectors_per_cluster_;
    }
    GH_TRY(ReadSector(at, sector));
    ++at;
    --sectors_left;
    for (uint32_t i = 0; i < kFatSectorSize / kEntrySize; ++i, ++visited) {
      const std::span<const uint8_t> entry = std::span(sector).subspan(i * kEntrySize, kEntrySize);
      if (entry[0] == 0 || (entry[0] != kDeleted && visit(entry))) {
        return Ok();
      }
    }
  }
  return Error(ErrorCode::kMalformed, "FAT directory is too long");
}

Result<uint32_t> FatVolume::ReadRootFile(std::string_view name, std::span<uint8_t> out) {
  LongName long_name;
  bool found = false;
  File file;
  GH_TRY(VisitRoot([&](std::span<const uint8_t> entry) {
    const uint8_t attributes = entry[11];
    if ((attributes & 0x3f) == kAttributeLongName) {
      long_name.Add(entry);
      return false;
    }
    const bool is_file = (attributes & (kAttributeLabel | kAttributeDirectory)) == 0;
    found = is_file && (EqualsIgnoringCase(long_name.For(entry), name) ||
                        EqualsIgnoringCase(ShortName(entry).view(), name));
    long_name.Forget();
    file = {U16At(entry, 26) | static_cast<uint32_t>(bits_ == 32 ? U16At(entry, 20) : 0) << 16,
            U32At(entry, 28)};
    return found;
  }));
  if (!found) {
    return Error(ErrorCode::kNotFound, "no such file in the root directory");
  }
  return ReadChain(file, out);
}

Result<uint32_t> FatVolume::ReadChain(const File& file, std::span<uint8_t> out) {
  if (file.size > out.size()) {
    return Error(ErrorCode::kTooLarge, "file is too large");
  }
  // The size bounds the walk: a chain that loops is read no longer than that.
  uint32_t cluster = file.first_cluster;
  uint32_t done = 0;
  Sector sector;
  while (done < file.size) {
    GH_TRY_ASSIGN(const uint64_t first, SectorOf(cluster));
    for (uint32_t i = 0; i < sectors_per_cluster_ && done < file.size; ++i) {
      GH_TRY(ReadSector(first + i, sector));
      const uint32_t count = std::min(file.size - done, kFatSectorSize);
      std::memcpy(out.data() + done, sector.data(), count);
      done += count;
    }
    if (done == file.size) {
      break;
    }
    GH_TRY_ASSIGN(cluster, NextCluster(cluster));
    if (cluster == 0) {
      return Error(ErrorCode::kMalformed, "file ends before its size");
    }
  }
  return file.size;
}

}  // namespace gh::pc
