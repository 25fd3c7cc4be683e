#include "image/key_list.h"

#include <pb_decode.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "hal/rt/assert.h"
#include "hal/rt/bytes.h"

namespace gh::image {

namespace {

constexpr std::array<uint8_t, 8> kMagic = {'G', 'A', 'T', 'E', 'K', 'E', 'Y', 'S'};
constexpr uint32_t kFormat = 1;

crypto::PublicKey KeyOf(const gatehouse_image_Key& key) {
  crypto::PublicKey out;
  std::copy(std::begin(key.public_key), std::end(key.public_key), out.begin());
  return out;
}

// The decoder stores any number in an enum: it is looked at as a number before it is one.
bool IsReleaseKey(const gatehouse_image_Key& key) {
  static_assert(sizeof(key.role) == sizeof(uint32_t));
  uint32_t role;
  std::memcpy(&role, &key.role, sizeof(role));
  return role == gatehouse_image_KeyRole_KEY_RELEASE;
}

const TrustedKey* FindRoot(std::span<const TrustedKey> keys, const crypto::KeyId& id) {
  for (const TrustedKey& key : keys) {
    if (key.role == gatehouse_image_KeyRole_KEY_ROOT && crypto::KeyIdOf(key.key) == id) {
      return &key;
    }
  }
  return nullptr;
}

// Only release keys, none twice, and enough that are not revoked.
Result<void> CheckKeys(const KeyListMessage& list) {
  uint32_t usable = 0;
  for (uint32_t i = 0; i < list.keys_count; ++i) {
    if (!IsReleaseKey(list.keys[i])) {
      return Error(ErrorCode::kUnsupported, "key list: only release keys may be listed");
    }
    for (uint32_t n = 0; n < i; ++n) {
      if (KeyOf(list.keys[i]) == KeyOf(list.keys[n])) {
        return Error(ErrorCode::kMalformed, "key list: a key is listed twice");
      }
    }
    usable += list.keys[i].revoked ? 0 : 1;
  }
  if (list.signature_count_min < 1 || list.signature_count_min > kSignatureCountMax) {
    return Error(ErrorCode::kMalformed, "key list: number of signers is out of range");
  }
  if (usable < list.signature_count_min) {
    return Error(ErrorCode::kMalformed, "key list: fewer keys than signers are needed");
  }
  return Ok();
}

Result<void> VerifyRoots(const KeyListParts& parts, std::span<const TrustedKey> keys,
                         uint32_t count_min) {
  GH_ASSERT_GE(count_min, 1u);
  std::array<const TrustedKey*, kSignatureCountMax> seen = {};
  uint32_t count = 0;
  for (size_t at = 0; at < parts.signatures.size(); at += kSignatureRecordSize) {
    const auto record = DecodeSignature(parts.signatures.subspan(at).first<kSignatureRecordSize>());
    if (record.algorithm != kSignatureEd25519 || record.reserved != 0) {
      return Error(ErrorCode::kUnsupported, "key list: signature is of an unknown kind");
    }
    const TrustedKey* key = FindRoot(keys, record.key_id);
    if (key == nullptr) {
      continue;
    }
    if (std::find(seen.begin(), seen.end(), key) != seen.end()) {
      return Error(ErrorCode::kMalformed, "key list: two signatures by one key");
    }
    if (!crypto::VerifySignature(key->key, parts.list, record.signature)) {
      return Error(ErrorCode::kUnauthentic, "key list: signature does not verify");
    }
    seen[count++] = key;
  }
  if (count < count_min) {
    return Error(ErrorCode::kUnauthentic, "key list is not signed by enough trusted root keys");
  }
  return Ok();
}

}  // namespace

Result<KeyListParts> ParseKeyList(std::span<const uint8_t> bytes, bool is_exact) {
  ByteReader reader(bytes);
  std::array<uint8_t, 8> magic = {};
  reader.Copy(magic);
  if (magic != kMagic) {
    return Error(ErrorCode::kNotFound, "no key list here");
  }
  const uint32_t format = reader.U32Le();
  const uint32_t list_size = reader.U32Le();
  const uint32_t signature_count = reader.U32Le();
  const uint32_t reserved = reader.U32Le();
  if (!reader.ok() || format != kFormat || reserved != 0) {
    return Error(ErrorCode::kUnsupported, "key list is of an unknown format");
  }
  if (list_size == 0 || list_size > kKeyListSizeMax || signature_count == 0 ||
      signature_count > kSignatureCountMax) {
    return Error(ErrorCode::kTooLarge, "key list: a size is out of range");
  }
  KeyListParts parts;
  parts.list = reader.Take(list_size);
  parts.signatures = reader.Take(size_t{signature_count} * kSignatureRecordSize);
  if (!reader.ok() || KeyListSize(parts) > kKeyListSizeMax) {
    return Error(ErrorCode::kTruncated, "key list is cut short");
  }
  if (is_exact && !reader.at_end()) {
    return Error(ErrorCode::kMalformed, "key list: bytes behind its end");
  }
  return parts;
}

Result<KeyListMessage> DecodeKeyList(std::span<const uint8_t> bytes) {
  KeyListMessage list = gatehouse_image_KeyList_init_zero;
  pb_istream_t stream = pb_istream_from_buffer(bytes.data(), bytes.size());
  if (!pb_decode(&stream, gatehouse_image_KeyList_fields, &list)) {
    return Error(ErrorCode::kMalformed, "key list cannot be decoded");
  }
  if (list.purpose != kKeyListPurpose) {
    return Error(ErrorCode::kUnsupported, "signed text is not a key list of this format");
  }
  if (list.sequence == 0) {
    return Error(ErrorCode::kMalformed, "key list: sequence starts at 1");
  }
  GH_TRY(CheckKeys(list));
  return list;
}

void EncodeKeyListHeader(uint32_t list_size, uint32_t signature_count,
                         std::span<uint8_t, kKeyListHeaderSize> out) {
  ByteWriter writer(out);
  writer.Bytes(kMagic);
  writer.U32Le(kFormat);
  writer.U32Le(list_size);
  writer.U32Le(signature_count);
  writer.U32Le(0);
  GH_ASSERT_EQ(writer.room(), 0u);
}

Result<void> VerifyKeyList(const KeyListParts& parts, std::span<const TrustedKey> keys,
                           uint32_t root_signature_count_min, KeyRing& out) {
  GH_TRY(VerifyRoots(parts, keys, root_signature_count_min));
  GH_TRY_ASSIGN(const KeyListMessage list, DecodeKeyList(parts.list));
  out = KeyRing();
  out.sequence = list.sequence;
  out.signature_count_min = list.signature_count_min;
  for (uint32_t i = 0; i < list.keys_count; ++i) {
    if (!list.keys[i].revoked) {
      out.keys[out.count++] = {KeyOf(list.keys[i]), list.keys[i].role, list.keys[i].development};
    }
  }
  return Ok();
}

void KeyListArea::Load(std::span<const TrustedKey> keys, uint32_t root_signature_count_min,
                       uint64_t sequence_max, KeyRing& out) {
  GH_ASSERT_GE(scratch_.size(), kKeyListSizeMax);
  out = KeyRing();
  in_force_ = 1;
  for (uint32_t entry = 0; entry < kKeyListAreaCount; ++entry) {
    const auto bytes = scratch_.first(kKeyListSizeMax);
    if (!disk_.Read(OffsetOf(entry), bytes).ok()) {
      continue;
    }
    const auto parts = ParseKeyList(bytes, false);
    KeyRing ring;
    if (parts.ok() && VerifyKeyList(*parts, keys, root_signature_count_min, ring).ok() &&
        ring.sequence <= sequence_max && ring.sequence > out.sequence) {
      out = ring;
      in_force_ = entry;
    }
  }
}

Result<void> KeyListArea::Mirror() {
  const auto list = scratch_.first(kKeyListSizeMax);
  GH_TRY(disk_.Read(OffsetOf(in_force_), list));
  GH_TRY_ASSIGN(const KeyListParts parts, ParseKeyList(list, false));
  const auto bytes = list.first((KeyListSize(parts) + 4095) / 4096 * 4096);
  alignas(16) std::array<uint8_t, 4096> block;
  bool is_equal = true;
  for (size_t at = 0; at < bytes.size() && is_equal; at += block.size()) {
    GH_TRY(disk_.Read(OffsetOf(1 - in_force_) + at, block));
    is_equal = std::equal(block.begin(), block.end(), bytes.begin() + static_cast<ptrdiff_t>(at));
  }
  if (is_equal) {
    return Ok();
  }
  GH_TRY(disk_.Write(OffsetOf(1 - in_force_), bytes));
  return disk_.Flush();
}

Result<void> KeyListArea::Store(std::span<const uint8_t> bytes) {
  GH_ASSERT_LE(bytes.size(), kKeyListSizeMax);
  const uint64_t offset = OffsetOf(1 - in_force_);
  const auto block = scratch_.first((bytes.size() + 4095) / 4096 * 4096);
  GH_TRY(disk_.Read(offset, block));
  if (std::equal(bytes.begin(), bytes.end(), block.begin())) {
    return Ok();
  }
  std::fill(block.begin(), block.end(), uint8_t{0});
  std::copy(bytes.begin(), bytes.end(), block.begin());
  GH_TRY(disk_.Write(offset, block));
  return disk_.Flush();
}

}  // namespace gh::image
