#include "firmware/log/crash_store.h"

#include <algorithm>
#include <cstring>

#include "hal/rt/bytes.h"
#include "hal/rt/crc32.h"

namespace gh::log {
namespace {

constexpr uint32_t kMarkMagic = 0x4d434847;  // "GHCM"
constexpr uint32_t kSlotMagic = 0x53434847;  // "GHCS"
constexpr uint16_t kVersion = 1;
constexpr size_t kCrcBytes = 4;
constexpr size_t kSlotHeadBytes = 64;
static_assert(kSlotHeadBytes + kCrashRecordBytesMax + kCrcBytes <= kCrashSlotBytes);
static_assert(kCrashMarkBytes % 4096 == 0 && kCrashSlotBytes % 4096 == 0);

constexpr uint64_t MarkOffset(uint32_t copy) { return uint64_t{copy} * kCrashMarkBytes; }
constexpr uint64_t SlotOffset(uint32_t slot) {
  return MarkOffset(2) + uint64_t{slot} * kCrashSlotBytes;
}
static_assert(SlotOffset(kCrashSlotCount) == kCrashAreaBytes);

void Seal(std::span<uint8_t> bytes) {
  const size_t covered = bytes.size() - kCrcBytes;
  ByteWriter(bytes.subspan(covered)).U32Le(Crc32(bytes.first(covered)));
}
bool IsSealed(std::span<const uint8_t> bytes) {
  const size_t covered = bytes.size() - kCrcBytes;
  return ByteReader(bytes.subspan(covered)).U32Le() == Crc32(bytes.first(covered));
}

}  // namespace

CrashStore::CrashStore(Arena& arena, hal::BlockDevice& device)
    : device_(device), buffer_(arena.NewArray<uint8_t>(kCrashSlotBytes)) {}

Result<void> CrashStore::Open() {
  const uint32_t block = device_.block_size();
  if (block == 0 || kCrashMarkBytes % block != 0 ||
      device_.block_count() < kCrashAreaBytes / block) {
    return Error(ErrorCode::kUnsupported, "the log partition has no room for crash records");
  }
  count_ = 0;
  GH_TRY(ReadMarks());
  for (uint32_t slot = 0; slot < kCrashSlotCount; ++slot) {
    uint64_t number = 0;
    const auto found = ReadSlot(slot, number);
    if (found.ok() && number > cleared_) {
      Insert(number);
    } else if (!found.ok() && found.code() != ErrorCode::kNotFound) {
      return found.error();
    }
  }
  open_ = true;
  return Ok();
}

Result<void> CrashStore::ReadMarks() {
  acknowledged_ = cleared_ = generation_ = 0;
  newest_mark_ = 1;
  const auto bytes = buffer_.first(kCrashMarkBytes);
  for (uint32_t copy = 0; copy < 2; ++copy) {
    GH_TRY(hal::ReadBlocks(device_, BlockOf(MarkOffset(copy)), bytes));
    ByteReader reader(bytes);
    const bool fits =
        reader.U32Le() == kMarkMagic && reader.U16Le() == kVersion && reader.U16Le() == copy;
    const uint64_t generation = reader.U64Le();
    if (!fits || !IsSealed(bytes) || generation <= generation_) {
      continue;
    }
    generation_ = generation;
    acknowledged_ = reader.U64Le();
    cleared_ = reader.U64Le();
    newest_mark_ = copy;
  }
  return Ok();
}

Result<void> CrashStore::WriteMark(uint64_t acknowledged, uint64_t cleared) {
  const uint32_t copy = 1 - newest_mark_;
  const auto bytes = buffer_.first(kCrashMarkBytes);
  std::memset(bytes.data(), 0, bytes.size());
  ByteWriter out(bytes);
  out.U32Le(kMarkMagic);
  out.U16Le(kVersion);
  out.U16Le(static_cast<uint16_t>(copy));
  out.U64Le(generation_ + 1);
  out.U64Le(acknowledged);
  out.U64Le(cleared);
  Seal(bytes);
  GH_TRY(hal::WriteBlocks(device_, BlockOf(MarkOffset(copy)), bytes));
  GH_TRY(hal::FlushBlocks(device_));
  ++generation_;
  newest_mark_ = copy;
  acknowledged_ = acknowledged;
  cleared_ = cleared;
  return Ok();
}

Result<std::span<const uint8_t>> CrashStore::ReadSlot(uint32_t slot, uint64_t& number) {
  GH_TRY(hal::ReadBlocks(device_, BlockOf(SlotOffset(slot)), buffer_));
  ByteReader reader(buffer_);
  const bool fits =
      reader.U32Le() == kSlotMagic && reader.U16Le() == kVersion && reader.U16Le() == slot;
  number = reader.U64Le();
  const uint32_t size = reader.U32Le();
  if (!fits || !IsSealed(buffer_) || number == 0 || number % kCrashSlotCount != slot ||
      size > kCrashRecordBytesMax) {
    return Error(ErrorCode::kNotFound, "no crash record of that number");
  }
  return std::span<const uint8_t>(buffer_).subspan(kSlotHeadBytes, size);
}

Result<uint64_t> CrashStore::Append(std::span<const uint8_t> encoded) {
  GH_ASSERT(open_);
  GH_ASSERT_LE(encoded.size(), kCrashRecordBytesMax);
  const uint64_t newest = count_ == 0 ? 0 : numbers_[count_ - 1];
  if (newest != 0) {
    const auto kept = Read(newest);
    if (kept.ok() && std::ranges::equal(*kept, encoded)) {
      return newest;
    }
  }
  const uint64_t number = std::max({newest, acknowledged_, cleared_}) + 1;
  const auto slot = static_cast<uint32_t>(number % kCrashSlotCount);
  std::memset(buffer_.data(), 0, buffer_.size());
  ByteWriter out(buffer_);
  out.U32Le(kSlotMagic);
  out.U16Le(kVersion);
  out.U16Le(static_cast<uint16_t>(slot));
  out.U64Le(number);
  out.U32Le(static_cast<uint32_t>(encoded.size()));
  out.Reserve(kSlotHeadBytes - out.size());
  out.Bytes(encoded);
  GH_ASSERT(out.ok());
  Seal(buffer_);
  if (number > kCrashSlotCount) {
    Forget(number - kCrashSlotCount);  // from here on it is not sure to be there
  }
  GH_TRY(hal::WriteBlocks(device_, BlockOf(SlotOffset(slot)), buffer_));
  GH_TRY(hal::FlushBlocks(device_));
  Insert(number);
  return number;
}

Result<std::span<const uint8_t>> CrashStore::Read(uint64_t number) {
  if (std::ranges::find(numbers(), number) == numbers().end()) {
    return Error(ErrorCode::kNotFound, "no crash record of that number");
  }
  uint64_t found = 0;
  GH_TRY_ASSIGN(const auto bytes, ReadSlot(static_cast<uint32_t>(number % kCrashSlotCount), found));
  if (found != number) {
    return Error(ErrorCode::kCorrupt, "the crash record has been damaged on the disk");
  }
  return bytes;
}

Result<void> CrashStore::Acknowledge() {
  return unacknowledged_count() == 0 ? Ok() : WriteMark(numbers_[count_ - 1], cleared_);
}

// The mark first: it alone makes all of them gone at once. Then the bytes.
Result<void> CrashStore::Clear() {
  if (count_ == 0) {
    return Ok();
  }
  const uint64_t newest = numbers_[count_ - 1];
  GH_TRY(WriteMark(std::max(newest, acknowledged_), newest));
  count_ = 0;
  std::memset(buffer_.data(), 0, buffer_.size());
  for (uint32_t slot = 0; slot < kCrashSlotCount; ++slot) {
    GH_TRY(hal::WriteBlocks(device_, BlockOf(SlotOffset(slot)), buffer_));
  }
  return hal::FlushBlocks(device_);
}

uint32_t CrashStore::unacknowledged_count() const {
  const auto all = numbers();
  return static_cast<uint32_t>(
      std::count_if(all.begin(), all.end(), [&](uint64_t n) { return n > acknowledged_; }));
}

void CrashStore::Insert(uint64_t number) {
  GH_ASSERT_LT(count_, kCrashSlotCount);
  uint32_t at = count_++;
  for (; at > 0 && numbers_[at - 1] > number; --at) {
    numbers_[at] = numbers_[at - 1];
  }
  numbers_[at] = number;
}

void CrashStore::Forget(uint64_t number) {
  const auto end = std::remove(numbers_.begin(), numbers_.begin() + count_, number);
  count_ = static_cast<uint32_t>(end - numbers_.begin());
}

}  // namespace gh::log
