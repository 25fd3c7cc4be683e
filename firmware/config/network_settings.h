// Which settings are "the network settings": those that a factory reset may keep. None of them is
// secret, and none of them lets anybody in.
#pragma once

#include <string_view>

#include "firmware/config/group_set.h"
#include "firmware/config/settings.h"

namespace gh::config {

// Addresses of the ports, gateways, routes and name servers.
inline bool IsNetworkSetting(Selector selector) {
  const std::string_view path = GroupOf(selector).path;
  const bool is_network =
      path == "Network" || path.starts_with("Network ") || path.starts_with("DNS");
  return is_network && !InfoOf(selector).is_secret();
}

// The groups that have such settings.
inline GroupSet NetworkGroups() {
  GroupSet groups;
  for (uint32_t g = 0; g < kGroupCount; ++g) {
    for (uint32_t s = 0; s < kGroups[g].setting_count; ++s) {
      if (IsNetworkSetting({kGroups[g].setting_first + s, 0})) {
        groups.Add(g);
      }
    }
  }
  return groups;
}

}  // namespace gh::config
