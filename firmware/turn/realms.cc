// Which realm a client is asked for: that of the domain it says, of the name it asked for when it
// shook hands, or of the listener it came to, else the general one. Pure; what clients say is only
// compared.
#include <algorithm>

#include "firmware/turn/config.h"

namespace gh::turn {
namespace {

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

bool IsSameName(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return Lower(x) == Lower(y); });
}

// The host of an origin (RFC 6454): https://example.com:8443 is that of example.com.
std::string_view HostOf(std::string_view origin) {
  if (const size_t scheme = origin.find("://"); scheme != std::string_view::npos) {
    origin.remove_prefix(scheme + 3);
  }
  return origin.substr(0, origin.find_first_of(":/"));
}

bool Fits(const RealmConfig& realm, const net::Endpoint& listener) {
  return !realm.name.empty() &&
         (realm.listener.address.is_none() || realm.listener.address == listener.address) &&
         (realm.listener.port == 0 || realm.listener.port == listener.port);
}

bool IsOf(const RealmConfig& realm, std::span<const std::string_view> origins) {
  return !realm.domain.empty() && std::ranges::any_of(origins, [&](std::string_view origin) {
    return IsSameName(realm.domain.view(), HostOf(origin));
  });
}

// How well a name fits: that domain itself goes before one that it is below.
uint32_t NameRank(const RealmConfig& realm, const crypto::ServerNameMark& name) {
  return name.Is(realm.domain.view()) ? 2 : name.IsBelow(realm.domain.view()) ? 1 : 0;
}

bool HasListener(const RealmConfig& realm) {
  return !realm.listener.address.is_none() || realm.listener.port != 0;
}

}  // namespace

Realm Config::RealmAt(uint32_t number) const {
  if (number == 0) {
    return {.number = 0,
            .name = realm.view(),
            .secrets = std::span(secrets).first(secret_count),
            .allocations_per_user = allocations_per_user,
            .allocations_total = 0,  // that of all is looked at besides
            .user_bytes_per_s = user_bytes_per_s};
  }
  const RealmConfig& other = realms[number - 1];
  return {
      .number = static_cast<uint8_t>(number),
      .name = other.name.view(),
      .secrets = std::span(other.secrets).first(other.secret_count),
      .allocations_per_user =
          other.allocations_per_user != 0 ? other.allocations_per_user : allocations_per_user,
      .allocations_total = other.allocations_total,
      .user_bytes_per_s = other.user_bytes_per_s != 0 ? other.user_bytes_per_s : user_bytes_per_s};
}

Realm Config::RealmFor(const net::Endpoint& listener, std::string_view said_realm,
                       std::span<const std::string_view> origins,
                       const crypto::ServerNameMark& name) const {
  uint32_t of_listener = 0;
  uint32_t of_domain = 0;
  uint32_t of_name = 0;
  uint32_t name_rank = 0;
  for (uint32_t i = 0; i < kRealmCountMax; ++i) {
    const RealmConfig& other = realms[i];
    if (!Fits(other, listener)) {
      continue;
    }
    if (!said_realm.empty() && other.name == said_realm) {
      return RealmAt(i + 1);  // he was asked for it, or will have to prove that he knows it
    }
    if (other.domain.empty() && HasListener(other) && of_listener == 0) {
      of_listener = i + 1;
    }
    if (of_domain == 0 && IsOf(other, origins)) {
      of_domain = i + 1;
    }
    if (const uint32_t rank = NameRank(other, name); rank > name_rank) {
      of_name = i + 1;
      name_rank = rank;
    }
  }
  if (!said_realm.empty() && of_listener == 0 && realm == said_realm) {
    return RealmAt(0);
  }
  return RealmAt(of_domain != 0 ? of_domain : of_name != 0 ? of_name : of_listener);
}

}  // namespace gh::turn
