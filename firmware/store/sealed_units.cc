#include "firmware/store/sealed_units.h"

#include <algorithm>
#include <cstring>

#include "crypto/aead.h"
#include "hal/rt/bytes.h"

namespace gh::store {
namespace {

constexpr size_t kNonceAt = kSectorSize;
constexpr size_t kTagAt = kNonceAt + crypto::kAeadNonceSize;

std::array<uint8_t, 16> PlaceOf(uint64_t unit) {
  std::array<uint8_t, 16> place;
  ByteWriter out(place);
  out.Text("GHUNIT01");
  out.U64Le(unit);
  return place;
}

}  // namespace

SealedUnits::SealedUnits(Arena& arena, hal::BlockDevice& device, crypto::Random& random)
    : device_(device),
      random_(random),
      buffer_(static_cast<uint8_t*>(arena.Allocate(kUnitSize, kSectorSize)), kUnitSize),
      queue_(arena, device, Check().ok() ? count() : 0) {}

Result<void> SealedUnits::Check() const {
  const uint32_t block_size = device_.block_size();
  if (block_size == 0 || kSectorSize % block_size != 0) {
    return Error{ErrorCode::kUnsupported, "store: block size is not 512 to 4096"};
  }
  return count() >= kPartitionUnitsMin
             ? Ok()
             : Error{ErrorCode::kOutOfRange, "store: partition is smaller than 512 KiB"};
}

uint64_t SealedUnits::count() const {
  return std::min(device_.block_count() / (kUnitSize / device_.block_size()), kPartitionUnitsMax);
}

Result<std::span<const uint8_t>> SealedUnits::ReadRaw(uint64_t unit) {
  GH_TRY(hal::ReadBlocks(device_, BlockOf(unit), buffer_));
  return std::span<const uint8_t>(buffer_);
}

Result<void> SealedUnits::Read(uint64_t unit, std::span<uint8_t> out) {
  GH_ASSERT_EQ(out.size(), size_t{kSectorSize});
  if (const auto waiting = queue_.Find(unit); !waiting.empty()) {
    std::memcpy(buffer_.data(), waiting.data(), kUnitSize);
  } else {
    GH_TRY(hal::ReadBlocks(device_, BlockOf(unit), buffer_));
  }
  GH_TRY(OpenIn(unit, buffer_));
  std::memcpy(out.data(), buffer_.data(), kSectorSize);
  SecureZero(buffer_.first(kSectorSize));
  return Ok();
}

// The plain text takes the cipher text's place.
Result<void> SealedUnits::OpenIn(uint64_t unit, std::span<uint8_t> raw) const {
  if (std::ranges::all_of(raw, [](uint8_t byte) { return byte == 0; })) {
    return Error{ErrorCode::kNotFound, "store: a page is missing"};
  }
  const std::span<const uint8_t> sealed = raw;
  const auto opened = crypto::AeadOpen(
      key_.Expose(), sealed.subspan<kNonceAt, crypto::kAeadNonceSize>(), PlaceOf(unit),
      raw.first(kSectorSize), sealed.subspan<kTagAt, crypto::kAeadTagSize>());
  return opened.ok()
             ? Ok()
             : Result<void>(Error{ErrorCode::kUnauthentic, "store: a page does not authenticate"});
}

Result<uint64_t> SealedUnits::Fetch(uint64_t first, uint64_t count) {
  const auto room = queue_.idle_room();
  GH_ASSERT(!room.empty());
  ForgetFetched();
  fetched_ =
      room.first(std::min<uint64_t>({count, room.size() / kUnitSize, kFetchUnitsMax}) * kUnitSize);
  fetched_first_ = first;
  GH_TRY(hal::ReadBlocks(device_, BlockOf(first), fetched_));
  return fetched_.size() / kUnitSize;
}

Result<std::span<const uint8_t>> SealedUnits::OpenFetched(uint64_t unit) {
  GH_ASSERT(queue_.is_empty());
  GH_ASSERT_LT((unit - fetched_first_) * kUnitSize, fetched_.size());
  const auto raw = fetched_.subspan((unit - fetched_first_) * kUnitSize, kUnitSize);
  GH_TRY(OpenIn(unit, raw));
  return std::span<const uint8_t>(raw.first(kSectorSize));
}

void SealedUnits::ForgetFetched() {
  SecureZero(fetched_);
  fetched_ = {};
}

void SealedUnits::Seal(uint64_t unit, std::span<const uint8_t> data, std::span<uint8_t> out) {
  std::memcpy(out.data(), data.data(), kSectorSize);
  std::memset(out.data() + kSectorSize, 0, kUnitSize - kSectorSize);
  const auto nonce = out.subspan<kNonceAt, crypto::kAeadNonceSize>();
  random_.Fill(nonce);
  crypto::AeadSeal(key_.Expose(), nonce, PlaceOf(unit), out.first(kSectorSize),
                   out.subspan<kTagAt, crypto::kAeadTagSize>());
}

Result<void> SealedUnits::Write(uint64_t unit, std::span<const uint8_t> data) {
  GH_ASSERT_EQ(data.size(), size_t{kSectorSize});
  ++write_count_;
  if (waits_) {
    Seal(unit, data, buffer_);
    return hal::WriteBlocks(device_, BlockOf(unit), buffer_);
  }
  const auto room = queue_.Claim(unit);
  if (room.empty()) {
    return Error{ErrorCode::kIoError, "store: the disk failed"};
  }
  Seal(unit, data, room);
  queue_.Push();
  return Ok();
}

Result<void> SealedUnits::Flush() {
  if (waits_) {
    return hal::FlushBlocks(device_);
  }
  (void)queue_.AddBarrier();
  return queue_.has_failed() ? Error{ErrorCode::kIoError, "store: the disk failed"} : Ok();
}

void SealedUnits::SetWaiting(bool waits) {
  GH_ASSERT(!waits || queue_.is_empty() || queue_.has_failed());
  waits_ = waits;
}

Result<void> SealedUnits::Erase(uint64_t unit) {
  std::ranges::fill(buffer_, uint8_t{0});
  ++write_count_;
  return hal::WriteBlocks(device_, BlockOf(unit), buffer_);
}

}  // namespace gh::store
