#include "firmware/upgrade/kept_network.h"

#include <algorithm>

#include "crypto/digest.h"
#include "firmware/config/limits.h"
#include "firmware/config/network_settings.h"
#include "firmware/config/value.h"
#include "hal/rt/bytes.h"

namespace gh::upgrade {
namespace {

constexpr std::array<uint8_t, 8> kMagic = {'G', 'H', 'K', 'E', 'P', 'T', '0', '1'};
constexpr uint32_t kHashOffset = 16;
static_assert(kHashOffset + image::kHashSize == KeptNetwork::kHeaderBytes);
static_assert(KeptNetwork::kCopyBytes % 4096 == 0);

std::array<uint8_t, 32> HashOf(std::span<const uint8_t> copy, uint32_t size) {
  crypto::Blake2b256 hash("gatehouse.kept");
  hash.Update(copy.first(kHashOffset));
  hash.Update(copy.subspan(KeptNetwork::kHeaderBytes, size));
  return hash.Finish();
}

uint64_t OffsetOf(uint32_t copy) {
  return image::kKeptSettingsOffset + uint64_t{copy} * KeptNetwork::kCopyBytes;
}

void WriteRow(config::Selector selector, const void* value, ByteWriter& out) {
  uint8_t key_bytes[config::kPathTextMax];
  uint8_t value_bytes[store::kValueMax];
  ByteWriter key(key_bytes);
  ByteWriter stored(value_bytes);
  config::FormatPath(selector, key);
  config::EncodeStored(config::InfoOf(selector), value, stored);
  GH_ASSERT(key.ok() && stored.ok());
  out.U16Le(static_cast<uint16_t>(key.size()));
  out.U16Le(static_cast<uint16_t>(stored.size()));
  out.Bytes(key.written());
  out.Bytes(stored.written());
}

}  // namespace

KeptNetwork::KeptNetwork(Arena& arena, BootRecord& record)
    : record_(record),
      wanted_(arena.NewArray<uint8_t>(kCopyBytes)),
      found_(arena.NewArray<uint8_t>(kCopyBytes)) {}

Result<void> KeptNetwork::Keep(const config::RawSettings& settings) {
  std::fill(wanted_.begin(), wanted_.end(), uint8_t{0});
  ByteWriter rows(wanted_.subspan(kHeaderBytes));
  for (uint32_t g = 0; g < config::kGroupCount; ++g) {
    for (uint32_t i = 0; i < settings.instance_count(g); ++i) {
      for (uint32_t s = 0; s < config::kGroups[g].setting_count; ++s) {
        const config::Selector selector{config::kGroups[g].setting_first + s, i};
        if (config::IsNetworkSetting(selector) &&
            !config::IsDefault(config::InfoOf(selector), settings.Field(selector))) {
          WriteRow(selector, settings.Field(selector), rows);
        }
      }
    }
  }
  if (!rows.ok()) {
    return Error(ErrorCode::kTooLarge, "they are larger than the place for them");
  }
  const auto size = static_cast<uint32_t>(rows.size());
  ByteWriter header(wanted_.first(kHeaderBytes));
  header.Bytes(kMagic);
  header.U32Le(size);
  header.U32Le(0);
  const auto hash = HashOf(wanted_, size);
  header.Bytes(hash);
  GH_TRY(WriteCopy(0));
  return WriteCopy(1);
}

Result<void> KeptNetwork::WriteCopy(uint32_t index) {
  if (record_.ReadArea(OffsetOf(index), found_).ok() && std::ranges::equal(found_, wanted_)) {
    return Ok();
  }
  return record_.WriteArea(OffsetOf(index), wanted_);
}

Result<bool> KeptNetwork::ForEach(store::EntryVisitor& visitor) {
  for (uint32_t copy = 0; copy < 2; ++copy) {
    GH_TRY(record_.ReadArea(OffsetOf(copy), found_));
    if (Parse(found_, visitor).ok()) {
      return true;
    }
  }
  return false;
}

// The checksum is looked at before any row is handed out.
Result<void> KeptNetwork::Parse(std::span<const uint8_t> copy, store::EntryVisitor& visitor) {
  ByteReader header(copy);
  std::array<uint8_t, 8> magic = {};
  header.Copy(magic);
  const uint32_t size = header.U32Le();
  const uint32_t reserved = header.U32Le();
  if (!header.ok() || copy.size() < kHeaderBytes || magic != kMagic) {
    return Error(ErrorCode::kNotFound, "nothing was kept");
  }
  if (reserved != 0 || size > copy.size() - kHeaderBytes) {
    return Error(ErrorCode::kCorrupt, "what was kept is damaged");
  }
  const auto hash = HashOf(copy, size);
  if (!std::equal(hash.begin(), hash.end(), copy.begin() + kHashOffset)) {
    return Error(ErrorCode::kCorrupt, "what was kept is damaged");
  }
  ByteReader rows(copy.subspan(kHeaderBytes, size));
  while (rows.ok() && !rows.at_end()) {
    const uint16_t key_size = rows.U16Le();
    const uint16_t value_size = rows.U16Le();
    const auto key = rows.Take(key_size);
    const auto value = rows.Take(value_size);
    if (rows.ok()) {
      visitor.OnEntry(AsText(key), value);
    }
  }
  return rows.ok() ? Ok() : Result<void>(Error(ErrorCode::kCorrupt, "what was kept is damaged"));
}

}  // namespace gh::upgrade
