// The last good content, written apart from the database: what the store goes back to when the
// database is damaged.
//
// Two areas in turn, on sealed units. Unit 0 of an area is its header (magic, generation, wall
// clock, bytes, rows, BLAKE2b-256 of the rows), written last and after a flush; then the rows,
// packed: u8 table | u16 key size | u16 value size | key | value, little-endian. A copy counts when
// its hash does, so a cut while one is written leaves the other. The writer is asked in small
// steps.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "crypto/digest.h"
#include "firmware/store/block_files.h"
#include "firmware/store/store.h"
#include "hal/rt/result.h"
#include "hal/rt/time.h"

namespace gh::store {

struct CopyHeader {
  uint64_t generation = 0;
  WallTime wall;
  uint64_t bytes = 0;
  uint32_t rows = 0;
  std::array<uint8_t, 32> hash = {};
};
void EncodeCopyHeader(const CopyHeader& header, std::span<uint8_t> sector);
Result<CopyHeader> DecodeCopyHeader(std::span<const uint8_t> sector);

class CopyRows {
 public:
  virtual Result<void> OnRow(Table table, std::string_view key, std::span<const uint8_t> value) = 0;

 protected:
  ~CopyRows() = default;
};

class GoodCopy {
 public:
  GoodCopy(Arena& arena, SealedUnits& units, const BlockFiles& files);

  // Which copies there are; the database may be anything.
  void Open();
  const CopyHeader* newest() const { return newest_ < 2 ? &headers_[newest_] : nullptr; }
  // Rows of the newest copy that is whole, in order; checked to the end before the first is given.
  Result<void> Read(CopyRows& rows);

  // Writing. kNoSpace: larger than an area; the writing is over then.
  void Begin(const WallTime& wall);
  bool is_writing() const { return is_writing_; }
  Result<void> Add(Table table, std::string_view key, std::span<const uint8_t> value);
  Result<void> Finish();
  void Abandon() { is_writing_ = false; }

 private:
  Result<void> AddBytes(std::span<const uint8_t> bytes);
  Result<void> Verify(uint32_t copy);
  Result<void> Give(uint32_t copy, CopyRows& rows);

  SealedUnits& units_;
  const BlockFiles& files_;
  std::span<uint8_t> page_;
  std::span<uint8_t> row_;
  std::array<CopyHeader, 2> headers_ = {};
  uint32_t newest_ = 2;  // 2: none
  uint32_t target_ = 0;
  CopyHeader writing_;
  crypto::Blake2b256 hash_{"gatehouse.copy"};
  bool is_writing_ = false;
};

}  // namespace gh::store
