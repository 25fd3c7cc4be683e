#include "firmware/turn/peer_policy.h"

#include <algorithm>

namespace gh::turn {
namespace {

struct Prefix4 {
  uint8_t bytes[4];
  uint8_t length;
};
struct Prefix6 {
  uint8_t bytes[16];
  uint8_t length;
};

// Never, whatever the lists say.
constexpr Prefix4 kNever4[] = {
    {{0, 0, 0, 0}, 8},   {{127, 0, 0, 0}, 8},        {{169, 254, 0, 0}, 16},
    {{224, 0, 0, 0}, 4}, {{255, 255, 255, 255}, 32},
};
constexpr Prefix6 kNever6[] = {
    {{}, 96},                                          // ::, ::1, IPv4-compatible
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96},  // IPv4-mapped
    {{0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96},        // IPv4-translated
    {{0xfe, 0x80}, 10},                                // link-local
    {{0xff}, 8},                                       // multicast
};
// Not unless the operator allows it (RFC 6890 and its successors).
constexpr Prefix4 kDefault4[] = {
    {{10, 0, 0, 0}, 8},      {{100, 64, 0, 0}, 10},  {{172, 16, 0, 0}, 12},  {{192, 0, 0, 0}, 24},
    {{192, 0, 2, 0}, 24},    {{192, 88, 99, 0}, 24}, {{192, 168, 0, 0}, 16}, {{198, 18, 0, 0}, 15},
    {{198, 51, 100, 0}, 24}, {{203, 0, 113, 0}, 24}, {{240, 0, 0, 0}, 4},
};
constexpr Prefix6 kDefault6[] = {
    {{0x00, 0x64, 0xff, 0x9b}, 32},  // NAT64, well-known and local
    {{0x01, 0x00}, 64},              // discard
    {{0x20, 0x01, 0x00}, 23},        // Teredo, ORCHID, benchmarking
    {{0x20, 0x01, 0x0d, 0xb8}, 32},  // documentation
    {{0x20, 0x02}, 16},              // 6to4
    {{0x3f, 0xff}, 20},              // documentation
    {{0x5f, 0x00}, 16},              // segment routing
    {{0xfc}, 7},                     // unique local
    {{0xfe, 0xc0}, 10},              // site local
};

bool IsWithin(const uint8_t* address, const uint8_t* prefix, uint32_t length) {
  const uint32_t whole = length / 8;
  if (!std::equal(prefix, prefix + whole, address)) {
    return false;
  }
  const uint32_t rest = length % 8;
  const auto mask = static_cast<uint8_t>(0xff00 >> rest);
  return rest == 0 || (address[whole] & mask) == (prefix[whole] & mask);
}

template <typename Prefix, size_t N>
bool IsAmong(const net::IpAddress& address, const Prefix (&list)[N]) {
  return std::any_of(std::begin(list), std::end(list), [&](const Prefix& prefix) {
    return IsWithin(address.bytes.data(), prefix.bytes, prefix.length);
  });
}

// ::5efe:a.b.c.d behind any prefix (RFC 5214).
bool IsIsatap(const net::IpAddress& a) {
  return (a.bytes[8] & 0xfc) == 0 && a.bytes[9] == 0 && a.bytes[10] == 0x5e && a.bytes[11] == 0xfe;
}

}  // namespace

const net::IpAddress* PeerPolicy::OwnRelay(const net::IpAddress& peer) const {
  for (uint32_t i = 0; i < kFamilyCount; ++i) {
    if (!config_.relay[i].is_none() && (config_.relay[i] == peer || config_.shown[i] == peer)) {
      return &config_.relay[i];
    }
  }
  return nullptr;
}

bool PeerPolicy::Allows(const net::IpAddress& peer) const {
  if (peer.is_none()) {
    return false;
  }
  const bool is_v4 = peer.is_v4();
  if (is_v4 ? IsAmong(peer, kNever4) : IsAmong(peer, kNever6)) {
    return false;
  }
  if (OwnRelay(peer) != nullptr) {
    return true;
  }
  if (config_.own.Contains(peer) || config_.denied.Contains(peer)) {
    return false;
  }
  if (config_.allowed.Contains(peer)) {
    return true;
  }
  return is_v4 ? !IsAmong(peer, kDefault4) : !IsAmong(peer, kDefault6) && !IsIsatap(peer);
}

}  // namespace gh::turn
