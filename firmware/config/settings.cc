#include "firmware/config/settings.h"

#include <algorithm>

#include "firmware/config/value.h"

namespace gh::config {

RawSettings::RawSettings(Arena& arena, uint32_t by_capacity_count) {
  for (uint32_t g = 0; g < kGroupCount; ++g) {
    const GroupInfo& group = kGroups[g];
    const uint32_t declared = group.is_table() ? group.count : 1;
    places_[g].count = group.by_capacity ? std::min(declared, by_capacity_count) : declared;
    const size_t bytes = size_t{places_[g].count} * group.size;
    places_[g].bytes = static_cast<uint8_t*>(arena.Allocate(bytes, 16));
  }
  ResetToDefaults();
}

void RawSettings::ResetToDefaults() {
  for (uint32_t g = 0; g < kGroupCount; ++g) {
    for (uint32_t i = 0; i < places_[g].count; ++i) {
      kGroups[g].construct(places_[g].bytes + size_t{i} * kGroups[g].size);
    }
  }
}

void RawSettings::CopyFrom(const RawSettings& other) {
  for (uint32_t g = 0; g < kGroupCount; ++g) {
    GH_ASSERT_EQ(places_[g].count, other.places_[g].count);
    std::memcpy(places_[g].bytes, other.places_[g].bytes,
                size_t{places_[g].count} * kGroups[g].size);
  }
}

void* RawSettings::Field(Selector selector) {
  const SettingInfo& setting = InfoOf(selector);
  const Place& place = places_[setting.group];
  GH_ASSERT_LT(selector.instance, place.count);
  return place.bytes + size_t{selector.instance} * kGroups[setting.group].size + setting.offset;
}

std::span<const uint8_t> RawSettings::Instance(uint32_t group, uint32_t instance) const {
  GH_ASSERT_LT(instance, places_[group].count);
  const size_t size = kGroups[group].size;
  return {places_[group].bytes + size_t{instance} * size, size};
}

bool RawSettings::IsPresent(uint32_t group, uint32_t instance) const {
  const GroupInfo& info = kGroups[group];
  for (uint32_t s = 0; s < info.setting_count; ++s) {
    const uint32_t index = info.setting_first + s;
    if (!IsDefault(kSettings[index], Field({index, instance}))) {
      return true;
    }
  }
  return false;
}

const SettingInfo& InfoOf(Selector selector) {
  GH_ASSERT_LT(selector.setting, kSettingCount);
  return kSettings[selector.setting];
}

const GroupInfo& GroupOf(Selector selector) { return kGroups[InfoOf(selector).group]; }

void FormatPath(Selector selector, ByteWriter& out) {
  const GroupInfo& group = GroupOf(selector);
  out.Text(group.path);
  out.Char(' ');
  if (group.is_table()) {
    out.Decimal(selector.instance + 1);
    out.Char(' ');
  }
  out.Text(InfoOf(selector).path);
}

}  // namespace gh::config
