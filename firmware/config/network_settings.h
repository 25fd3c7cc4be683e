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

}  // namespace gh::config
