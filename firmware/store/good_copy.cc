#include "firmware/store/good_copy.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "hal/rt/bytes.h"
#include "hal/rt/secret.h"

namespace gh::store {
namespace {

constexpr std::array<uint8_t, 8> kMagic = {'G', 'H', 'C', 'O', 'P', 'Y', '0', '1'};
constexpr uint32_t kRowHead = 5;

}  // namespace

void EncodeCopyHeader(const CopyHeader& header, std::span<uint8_t> sector) {
  std::ranges::fill(sector, uint8_t{0});
  ByteWriter out(sector);
  out.Bytes(kMagic);
  out.U64Le(header.generation);
  out.U64Le(static_cast<uint64_t>(header.wall.unix_ns));
  out.U8(header.wall.is_set ? 1 : 0);
  out.U64Le(header.bytes);
  out.U32Le(header.rows);
  out.Bytes(header.hash);
  GH_ASSERT(out.ok());
}

Result<CopyHeader> DecodeCopyHeader(std::span<const uint8_t> sector) {
  ByteReader in(sector);
  std::array<uint8_t, kMagic.size()> magic = {};
  CopyHeader header;
  in.Copy(magic);
  header.generation = in.U64Le();
  header.wall.unix_ns = static_cast<int64_t>(in.U64Le());
  header.wall.is_set = in.U8() == 1;
  header.bytes = in.U64Le();
  header.rows = in.U32Le();
  in.Copy(header.hash);
  if (!in.ok() || magic != kMagic || header.generation == 0) {
    return Error(ErrorCode::kNotFound, "store: no copy");
  }
  return header;
}

GoodCopy::GoodCopy(Arena& arena, SealedUnits& units, const BlockFiles& files)
    : units_(units),
      files_(files),
      page_(arena.NewArray<uint8_t>(kSectorSize)),
      row_(arena.NewArray<uint8_t>(kKeyMax + kValueMax)) {}

void GoodCopy::Open() {
  newest_ = 2;
  is_writing_ = false;
  for (uint32_t copy = 0; copy < 2; ++copy) {
    headers_[copy] = {};
    if (!units_.Read(files_.CopyArea(copy).first_unit, page_).ok()) {
      continue;
    }
    const auto header = DecodeCopyHeader(page_);
    const uint64_t room = (files_.CopyArea(copy).unit_count - 1) * kSectorSize;
    if (!header.ok() || header->bytes > room) {
      continue;
    }
    headers_[copy] = *header;
    if (newest_ == 2 || header->generation > headers_[newest_].generation) {
      newest_ = copy;
    }
  }
}

Result<void> GoodCopy::Verify(uint32_t copy) {
  const CopyHeader& header = headers_[copy];
  crypto::Blake2b256 hash("gatehouse.copy");
  for (uint64_t at = 0; at < header.bytes; at += kSectorSize) {
    GH_TRY(units_.Read(files_.CopyArea(copy).first_unit + 1 + at / kSectorSize, page_));
    hash.Update(page_.first(std::min<uint64_t>(kSectorSize, header.bytes - at)));
  }
  return hash.Finish() == header.hash
             ? Ok()
             : Error(ErrorCode::kCorrupt, "store: its last good copy is damaged");
}

Result<void> GoodCopy::Give(uint32_t copy, CopyRows& rows) {
  const CopyHeader& header = headers_[copy];
  uint64_t at = 0;
  uint64_t loaded = UINT64_MAX;
  const auto take = [&](std::span<uint8_t> out) -> Result<void> {
    for (size_t done = 0; done < out.size();) {
      if (at >= header.bytes) {
        return Error(ErrorCode::kCorrupt, "store: its last good copy ends in a row");
      }
      if (loaded != at / kSectorSize) {
        loaded = at / kSectorSize;
        GH_TRY(units_.Read(files_.CopyArea(copy).first_unit + 1 + loaded, page_));
      }
      const size_t within = at % kSectorSize;
      const size_t count = std::min<size_t>(kSectorSize - within, out.size() - done);
      std::memcpy(out.data() + done, page_.data() + within, count);
      done += count;
      at += count;
    }
    return Ok();
  };
  for (uint32_t i = 0; i < header.rows; ++i) {
    uint8_t head[kRowHead];
    GH_TRY(take(head));
    ByteReader in(head);
    const uint8_t table = in.U8();
    const uint16_t key_size = in.U16Le();
    const uint16_t value_size = in.U16Le();
    if (table >= kTableCount || key_size > kKeyMax || value_size > kValueMax) {
      return Error(ErrorCode::kCorrupt, "store: its last good copy holds no row");
    }
    GH_TRY(take(row_.first(key_size + value_size)));
    GH_TRY(rows.OnRow(static_cast<Table>(table), AsText(row_.first(key_size)),
                      row_.subspan(key_size, value_size)));
  }
  return Ok();
}

Result<void> GoodCopy::Read(CopyRows& rows) {
  if (newest_ == 2) {
    return Error(ErrorCode::kNotFound, "store: there is no good copy");
  }
  for (const uint32_t copy : {newest_, 1 - newest_}) {
    if (headers_[copy].generation != 0 && Verify(copy).ok()) {
      newest_ = copy;
      return Give(copy, rows);
    }
  }
  return Error(ErrorCode::kCorrupt, "store: its good copies are damaged");
}

void GoodCopy::Begin(const WallTime& wall) {
  writing_ = {};
  writing_.wall = wall;
  writing_.generation = newest_ == 2 ? 1 : headers_[newest_].generation + 1;
  target_ = newest_ == 2 ? 0 : 1 - newest_;
  hash_.~Blake2b256();
  new (&hash_) crypto::Blake2b256("gatehouse.copy");
  is_writing_ = true;
}

Result<void> GoodCopy::AddBytes(std::span<const uint8_t> bytes) {
  const auto area = files_.CopyArea(target_);
  while (!bytes.empty()) {
    const uint64_t sector = writing_.bytes / kSectorSize;
    const size_t within = writing_.bytes % kSectorSize;
    if (sector + 1 >= area.unit_count) {
      return Error(ErrorCode::kNoSpace, "store: its content is larger than a good copy may be");
    }
    const size_t count = std::min(kSectorSize - within, bytes.size());
    std::memcpy(page_.data() + within, bytes.data(), count);
    writing_.bytes += count;
    bytes = bytes.subspan(count);
    if (writing_.bytes % kSectorSize == 0) {
      hash_.Update(page_);
      GH_TRY(units_.Write(area.first_unit + 1 + sector, page_));
    }
  }
  return Ok();
}

Result<void> GoodCopy::Add(Table table, std::string_view key, std::span<const uint8_t> value) {
  GH_ASSERT(is_writing_);
  uint8_t head[kRowHead];
  ByteWriter out(head);
  out.U8(static_cast<uint8_t>(table));
  out.U16Le(static_cast<uint16_t>(key.size()));
  out.U16Le(static_cast<uint16_t>(value.size()));
  ++writing_.rows;
  Result<void> outcome = AddBytes(head);
  outcome = outcome.ok() ? AddBytes(AsBytes(key)) : outcome;
  outcome = outcome.ok() ? AddBytes(value) : outcome;
  is_writing_ = outcome.ok();
  return outcome;
}

Result<void> GoodCopy::Finish() {
  GH_ASSERT(is_writing_);
  is_writing_ = false;
  const auto area = files_.CopyArea(target_);
  const size_t within = writing_.bytes % kSectorSize;
  if (within != 0) {
    std::ranges::fill(page_.subspan(within), uint8_t{0});
    hash_.Update(page_.first(within));
    GH_TRY(units_.Write(area.first_unit + 1 + writing_.bytes / kSectorSize, page_));
  }
  writing_.hash = hash_.Finish();
  GH_TRY(units_.Flush());
  EncodeCopyHeader(writing_, page_);
  GH_TRY(units_.Write(area.first_unit, page_));
  GH_TRY(units_.Flush());
  headers_[target_] = writing_;
  newest_ = target_;
  return Ok();
}

}  // namespace gh::store
