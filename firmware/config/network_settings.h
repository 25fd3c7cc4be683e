// Which settings are "the network settings": those that a factory reset may keep. None of them is
// secret, and none of them lets anybody in.
#pragma once

#include <string_view>

#include "firmware/config/settings.h"

namespace gh::config {

// Addresses of the ports, gateways, routes and name servers.
inline bool IsNetworkSetting(Selector selector) {
  const std::string_view path = GroupOf(selector).path;
  const bool is_network =
      path == "Network" || path.starts_with("Network ") || path.starts_with("DNS");
  return is_network && !InfoOf(selector).is_secret();
}

// Bit g: group g has such settings.
inline uint64_t NetworkGroups() {
  uint64_t groups = 0;
  for (uint32_t g = 0; g < kGroupCount; ++g) {
    for (uint32_t s = 0; s < kGroups[g].setting_count; ++s) {
      groups |= uint64_t{IsNetworkSetting({kGroups[g].setting_first + s, 0})} << g;
    }
  }
  return groups;
}

}  // namespace gh::config
