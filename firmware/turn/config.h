// What the operator decides (Config) and what the machine can hold (Capacity).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "crypto/server_name.h"
#include "firmware/turn/limits.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/time.h"
#include "net/address.h"

namespace gh::turn {

enum class KeyPolicy : uint8_t {
  kAny,         // SHA-256 offered when the challenge may be large enough for it, MD5 accepted
  kMd5Only,     // RFC 5389 alone
  kSha256Only,  // MESSAGE-INTEGRITY-SHA256 with a SHA-256 key; older clients are refused
};

// Address families of a relay, as indices.
inline constexpr uint32_t kIpv4Index = 0;
inline constexpr uint32_t kIpv6Index = 1;
inline constexpr uint32_t kFamilyCount = 2;

template <uint32_t N>
struct PrefixList {
  std::array<net::IpPrefix, N> prefixes = {};
  uint32_t count = 0;
  bool Add(const net::IpPrefix& prefix) { return count < N && (prefixes[count++] = prefix, true); }
  bool Contains(const net::IpAddress& address) const {
    for (uint32_t i = 0; i < count; ++i) {
      if (prefixes[i].Contains(address)) {
        return true;
      }
    }
    return false;
  }
  friend bool operator==(const PrefixList&, const PrefixList&) = default;
};

using Secret = FixedString<kSecretBytesMax>;

// A realm beside the general one: who is asked for it, and what is its own. Limits of 0 are those
// of the general one for a user, and none for the realm.
struct RealmConfig {
  FixedString<kRealmMax> name;     // empty: none
  net::Endpoint listener;          // of ours, that clients come to; no address, no port: any
  FixedString<kDomainMax> domain;  // that clients say (ORIGIN) or ask for (SNI); empty: any
  std::array<Secret, kRealmSecretMax> secrets = {};
  uint32_t secret_count = 0;
  uint32_t allocations_per_user = 0;
  uint32_t allocations_total = 0;
  uint64_t user_bytes_per_s = 0;
  uint64_t total_bytes_per_s = 0;
};

// A realm, the general one (0) or another, as requests of it are judged.
struct Realm {
  uint8_t number = 0;
  std::string_view name;
  std::span<const Secret> secrets;
  uint32_t allocations_per_user = 0;
  uint32_t allocations_total = 0;
  uint64_t user_bytes_per_s = 0;
};

struct Config {
  bool enabled = false;
  FixedString<kRealmMax> realm;
  KeyPolicy keys = KeyPolicy::kAny;
  bool answers_binding = false;     // to those who prove nothing
  bool is_strict_channels = false;  // RFC 8656's range, not RFC 5766's
  bool allows_mobility = false;     // RFC 8016
  bool allows_tcp = false;          // to peers, RFC 6062
  uint32_t lifetime_default_s = 600;
  uint32_t lifetime_max_s = 3600;
  uint32_t nonce_lifetime_s = 600;

  // Time-limited credentials: password = base64(HMAC-SHA-1(secret, user name)).
  std::array<Secret, kSecretMax> secrets = {};
  uint32_t secret_count = 0;

  std::array<RealmConfig, kRealmCountMax> realms = {};

  // Behaviour discovery (RFC 5780): Binding of strangers is answered, from the other address or
  // port when they ask for it. No port: off; no address: port alone.
  net::Endpoint discovery;
  uint16_t discovery_first_port = 0;  // the usual one, beside which that is the other

  FixedString<kTokenServerMax> token_server;  // RFC 7635; empty: no tokens

  // By family index; none: that family is not relayed. `shown` is what clients are told (static
  // NAT); none: the relay address itself.
  std::array<net::IpAddress, kFamilyCount> relay = {};
  std::array<net::IpAddress, kFamilyCount> shown = {};
  uint16_t port_first = 24000;
  uint16_t port_last = 29999;
  Duration port_rest = Duration::Seconds(60);

  PrefixList<kRuleMax> allowed;
  PrefixList<kRuleMax> denied;
  // Never relayed to: addresses of ours, the management network, directed broadcasts.
  PrefixList<kOwnAddressMax> own;

  // 0: no limit beyond the capacity.
  uint32_t allocations_per_user = 0;
  uint32_t allocations_total = 0;
  uint64_t allocation_bytes_per_s = 0;
  uint64_t user_bytes_per_s = 0;
  uint64_t total_bytes_per_s = 0;

  // Replies to those who prove nothing: per source prefix (IPv4 /24, IPv6 /48) and in total.
  uint32_t unproven_replies_per_s = 100;
  uint32_t unproven_replies_burst = 400;
  uint32_t unproven_total_per_s = 5000;

  net::Endpoint alternate;  // new allocations are sent there (300); none: stay

  // `number` as in Realm; one that is not there has no name.
  Realm RealmAt(uint32_t number) const;
  // The realm of somebody who comes to `listener`, says `realm` (REALM, as he was told) and
  // `origins` (ORIGIN), and has asked for `name` in his handshake, each of which may be empty.
  // Always one that is there.
  Realm RealmFor(const net::Endpoint& listener, std::string_view realm,
                 std::span<const std::string_view> origins,
                 const crypto::ServerNameMark& name) const;
};

struct Capacity {
  uint32_t allocations = 500;
  uint32_t permissions = 2000;
  uint32_t channels = 2000;
  uint32_t relay_ports = 8192;  // per family; a longer range is cut to this
  uint32_t streams = 100;       // clients over TCP and TLS, and as many over DTLS
  uint32_t links = 64;          // connections with peers (RFC 6062)

  static constexpr uint32_t DtlsHandshakes(uint32_t sessions) {
    return sessions / 16 < 8 ? 8 : sessions / 16 > 64 ? 64 : sessions / 16;
  }
  static Capacity For(uint32_t allocations) {
    Capacity c;
    c.allocations = allocations;
    c.permissions = allocations * 4;
    c.channels = allocations * 4;
    c.relay_ports = allocations * 2 < 8192    ? 8192
                    : allocations * 2 > 40000 ? 40000
                                              : allocations * 2;
    c.streams = allocations / 5;
    c.links = c.streams < kLinkTotalMax ? c.streams : kLinkTotalMax;
    return c;
  }
};

}  // namespace gh::turn
