// What clients wish to be notified of (XEP-0115, XEP-0163 section 4): for each hash of capabilities
// the nodes whose "+notify" its features have. A hash is shared by all clients that name it, once
// one of them has answered with what it stands for; an answer that does not make the hash stands
// for nobody but its sender.
#pragma once

#include <span>
#include <string_view>

#include "firmware/xmpp/chain.h"
#include "firmware/xmpp/limits.h"
#include "firmware/xmpp/xml.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/hash_table.h"
#include "hal/rt/pool.h"

namespace gh::xmpp {

struct Caps {
  HashNode node;
  FixedString<40> hash;  // base64 of SHA-1; empty: of one client alone
  Chain wishes;          // names of nodes, each with a line feed behind it
  uint32_t users = 0;
  bool known = false;
};

class CapsCache {
 public:
  CapsCache(Arena& arena, ChainPool& chains, const SipKey& key, uint32_t most)
      : chains_(chains), pool_(arena, most), by_hash_(arena, most, key) {}
  static uint64_t ArenaBytes(uint32_t most) {
    return most * (Pool<Caps>::bytes_per_item() + 16) + sizeof(CapsCache) + 128;
  }

  // Null: no room, or no hash.
  Caps* Take(std::string_view hash);
  void Release(Caps* caps);
  // A client that named `caps` answered with `query`; what it has now instead of `caps`.
  Caps* Learn(Caps* caps, const Node& query);
  bool Wants(const Caps& caps, std::string_view node) const;
  uint32_t IndexOf(const Caps& caps) const { return pool_.IndexOf(caps); }
  uint32_t count() const { return pool_.used_count(); }

 private:
  struct Traits {
    using Key = std::string_view;
    static Key KeyOf(const Caps& caps) { return caps.hash.view(); }
  };
  bool ReadWishes(Caps& caps, const Node& query);
  Caps* Allocate();

  ChainPool& chains_;
  Pool<Caps> pool_;
  HashTable<Caps, &Caps::node, Traits> by_hash_;
};

// Whether what a client answered makes the hash (XEP-0115 section 5.1).
bool MakesHash(const Node& query, std::string_view hash);

}  // namespace gh::xmpp
