// Connections counted by the address they come from, so that one address can have its share of what
// is scarce and no more. An IPv6 source counts by its /64, which one peer has whole.
#pragma once

#include <algorithm>
#include <cstdint>

#include "crypto/random.h"
#include "hal/rt/arena.h"
#include "hal/rt/hash_table.h"
#include "hal/rt/pool.h"
#include "net/address.h"

namespace gh::xmpp {

struct Source {
  HashNode node;
  net::IpAddress address;
  uint32_t connections = 0;
  uint32_t strangers = 0;  // of them, not authenticated
  uint32_t readers = 0;    // parsers that strangers hold
  uint32_t attempts = 0;   // to log in, of which the client's next word is awaited
};

// What `percent` of `all` is, one at least.
constexpr uint32_t ShareOf(uint32_t all, uint32_t percent) {
  return std::max(static_cast<uint32_t>(uint64_t{all} * percent / 100), 1u);
}

class Sources {
 public:
  // `connections` at a time.
  Sources(Arena& arena, uint32_t connections, crypto::Random& random);
  Sources(const Sources&) = delete;
  Sources& operator=(const Sources&) = delete;
  static uint64_t ArenaBytes(uint32_t connections);
  static net::IpAddress KeyOf(const net::IpAddress& address);

  // One connection more. Null: more than there may be.
  Source* Enter(const net::IpAddress& address);
  void Leave(Source& source);
  uint32_t count() const { return pool_.used_count(); }

 private:
  struct Traits {
    using Key = net::IpAddress;
    static const Key& KeyOf(const Source& source) { return source.address; }
    static uint64_t HashOf(const SipKey& key, const Key& address) {
      return SipHash13(key, std::span<const uint8_t>(address.bytes));
    }
  };
  Pool<Source> pool_;
  HashTable<Source, &Source::node, Traits> table_;
};

}  // namespace gh::xmpp
