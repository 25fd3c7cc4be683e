#include "firmware/store/key_record.h"

#include <algorithm>
#include <cstring>

#include "crypto/digest.h"
#include "crypto/mac.h"
#include "hal/rt/bytes.h"

namespace gh::store {
namespace {

constexpr std::array<uint8_t, 8> kMagic = {'G', 'H', 'K', 'E', 'Y', '0', '0', '1'};
constexpr size_t kHashBytes = 32;

crypto::Blake2b256::Digest HashOf(std::span<const uint8_t> block) {
  crypto::Blake2b256 hash("gatehouse.key");
  hash.Update(block.first(kKeyCopyBytes - kHashBytes));
  return hash.Finish();
}

}  // namespace

Result<size_t> NoWrapper::Wrap(const KeyBytes& key, std::span<uint8_t> out) {
  std::ranges::copy(key.Expose(), out.begin());
  return size_t{kStoreKeyBytes};
}

Result<void> NoWrapper::Unwrap(std::span<const uint8_t> wrapped, KeyBytes& key) {
  if (wrapped.size() != kStoreKeyBytes) {
    return Error(ErrorCode::kUnauthentic, "store: the key record is of an odd size");
  }
  key.Set(wrapped.first<kStoreKeyBytes>());
  return Ok();
}

void EncodeKeyRecord(const KeyRecord& record, std::span<uint8_t> block) {
  GH_ASSERT_EQ(block.size(), size_t{kKeyCopyBytes});
  std::ranges::fill(block, uint8_t{0});
  ByteWriter out(block);
  out.Bytes(kMagic);
  out.U32Le(record.wrapper);
  out.U64Le(record.generation);
  out.U16Le(record.size);
  out.Bytes(std::span(record.wrapped).first(record.size));
  GH_ASSERT(out.ok());
  const auto hash = HashOf(block);
  std::ranges::copy(hash, block.end() - kHashBytes);
}

Result<KeyRecord> DecodeKeyRecord(std::span<const uint8_t> block) {
  if (block.size() != kKeyCopyBytes) {
    return Error(ErrorCode::kMalformed, "store: a key record has 4096 bytes");
  }
  ByteReader in(block);
  std::array<uint8_t, kMagic.size()> magic;
  in.Copy(magic);
  KeyRecord record;
  record.wrapper = in.U32Le();
  record.generation = in.U64Le();
  record.size = in.U16Le();
  const auto hash = HashOf(block);
  if (magic != kMagic || record.size > kWrappedKeyMax ||
      !std::ranges::equal(hash, block.last(kHashBytes))) {
    return Error(ErrorCode::kNotFound, "store: no key record");
  }
  in.Copy(std::span(record.wrapped).first(record.size));
  return record;
}

StoreKey::StoreKey(Arena& arena, hal::BlockDevice& device, uint64_t offset, crypto::Random& random,
                   KeyWrapper& wrapper, const KeyOpeners& openers)
    : device_(device),
      offset_(offset),
      random_(random),
      wrapper_(wrapper),
      openers_(openers),
      block_(static_cast<uint8_t*>(arena.Allocate(kKeyCopyBytes, kKeyCopyBytes)), kKeyCopyBytes) {}

Result<void> StoreKey::ReadCopy(uint32_t copy) {
  return hal::ReadBlocks(
      device_, (offset_ + uint64_t{copy} * kKeyCopyStride) / device_.block_size(), block_);
}

Result<void> StoreKey::ReadNewest(KeyRecord& newest) {
  bool found = false;
  for (uint32_t copy = 0; copy < kKeyCopies; ++copy) {
    GH_TRY(ReadCopy(copy));
    const auto record = DecodeKeyRecord(block_);
    SecureZero(block_);
    if (record.ok() && (!found || record->generation > newest.generation)) {
      newest = *record;
      newest_ = copy;
      found = true;
    }
  }
  if (!found) {
    return Error(ErrorCode::kNotFound, "store: its key is gone");
  }
  generation_ = newest.generation;
  return Ok();
}

Result<void> StoreKey::Load() {
  is_loaded_ = false;
  generation_ = 0;
  KeyRecord newest;
  GH_TRY(ReadNewest(newest));
  const auto wrapped = std::span<const uint8_t>(newest.wrapped).first(newest.size);
  const bool bare = newest.wrapper == none_.kind();
  Result<void> opened =
      Error(ErrorCode::kUnauthentic, "store: its key is wrapped by another means");
  if (bare) {
    opened = none_.Unwrap(wrapped, key_);
  } else if (newest.wrapper == wrapper_.kind()) {
    opened = wrapper_.Unwrap(wrapped, key_);
    wrapper_name_ = wrapper_.name();
  } else {
    for (KeyWrapper* opener : openers_) {
      if (opener != nullptr && newest.wrapper == opener->kind()) {
        opened = opener->Unwrap(wrapped, key_);
        wrapper_name_ = opener->name();
      }
    }
  }
  wrapper_kind_ = newest.wrapper;
  SecureZero(newest.wrapped);
  GH_TRY(opened);
  is_loaded_ = true;
  return bare && wrapper_.kind() != none_.kind() ? Wrap(wrapper_) : Ok();
}

Result<void> StoreKey::Create() {
  random_.Fill(key_.Expose());
  is_loaded_ = false;
  GH_TRY(WriteCopies(wrapper_));
  is_loaded_ = true;
  return Ok();
}

Result<void> StoreKey::Wrap(KeyWrapper& wrapper) {
  GH_ASSERT(is_loaded_);
  return WriteCopies(wrapper);
}

Result<void> StoreKey::Recover(KeyWrapper& by) {
  KeyRecord newest;
  GH_TRY(ReadNewest(newest));
  if (newest.wrapper != by.kind()) {
    return Error(ErrorCode::kWrongState, "the store's key is wrapped by another means");
  }
  const auto opened = by.Unwrap(std::span<const uint8_t>(newest.wrapped).first(newest.size), key_);
  SecureZero(newest.wrapped);
  GH_TRY(opened);
  is_loaded_ = true;
  return WriteCopies(none_);
}

// The older copy first; the newer one holds what is valid until that is durable.
Result<void> StoreKey::WriteCopies(KeyWrapper& wrapper) {
  KeyRecord record;
  record.wrapper = wrapper.kind();
  GH_TRY_ASSIGN(const size_t size, wrapper.Wrap(key_, record.wrapped));
  GH_ASSERT_LE(size, size_t{kWrappedKeyMax});
  record.size = static_cast<uint16_t>(size);
  wrapper_name_ = wrapper.name();
  wrapper_kind_ = wrapper.kind();
  Result<void> outcome;
  for (uint32_t i = 0; i < kKeyCopies && outcome.ok(); ++i) {
    newest_ = 1 - newest_;
    record.generation = ++generation_;
    EncodeKeyRecord(record, block_);
    outcome = hal::WriteBlocks(
        device_, (offset_ + uint64_t{newest_} * kKeyCopyStride) / device_.block_size(), block_);
    outcome = outcome.ok() ? hal::FlushBlocks(device_) : outcome;
  }
  SecureZero(block_);
  SecureZero(record.wrapped);
  return outcome;
}

void StoreKey::Derive(std::string_view purpose, KeyBytes& out) const {
  GH_ASSERT(is_loaded_);
  GH_ASSERT_LE(purpose.size(), size_t{32});
  crypto::Blake2bMac mac(key_.Expose());
  mac.Update("gatehouse.store.");
  mac.Update(purpose);
  auto derived = mac.Finish();
  out.Set(derived);
  SecureZero(derived);
}

}  // namespace gh::store
