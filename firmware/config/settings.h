// All settings in one block of memory: typed structs to the rooms, bytes to the tables.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "firmware/config/settings.gen.h"
#include "firmware/config/types.h"
#include "hal/rt/arena.h"

namespace gh::config {

class RawSettings {
 public:
  // `by_capacity_count`: instances of the tables that the capacity profile sizes.
  RawSettings(Arena& arena, uint32_t by_capacity_count);
  RawSettings(const RawSettings&) = delete;
  RawSettings& operator=(const RawSettings&) = delete;

  void ResetToDefaults();
  void CopyFrom(const RawSettings& other);

  uint32_t instance_count(uint32_t group) const { return places_[group].count; }
  void* Field(Selector selector);
  const void* Field(Selector selector) const {
    return const_cast<RawSettings*>(this)->Field(selector);
  }
  std::span<const uint8_t> Instance(uint32_t group, uint32_t instance) const;
  // Whether any setting of it is not at its default.
  bool IsPresent(uint32_t group, uint32_t instance) const;

 protected:
  template <typename T>
  std::span<const T> Table(uint32_t group) const {
    GH_ASSERT_EQ(sizeof(T), kGroups[group].size);
    return {reinterpret_cast<const T*>(places_[group].bytes), places_[group].count};
  }

 private:
  struct Place {
    uint8_t* bytes = nullptr;
    uint32_t count = 0;
  };
  std::array<Place, kGroupCount> places_ = {};
};

// settings.sip_udp().mode, settings.network_port()[0].ipv4_address, ...
using Settings = TypedSettings<RawSettings>;

const SettingInfo& InfoOf(Selector selector);
const GroupInfo& GroupOf(Selector selector);
// "Network Port 1 IPv4 Address"
void FormatPath(Selector selector, ByteWriter& out);

}  // namespace gh::config
