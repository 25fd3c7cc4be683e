#include "firmware/xmpp/sources.h"

namespace gh::xmpp {

Sources::Sources(Arena& arena, uint32_t connections, crypto::Random& random)
    : pool_(arena, connections), table_(arena, connections, SipKey{random.U64(), random.U64()}) {}

uint64_t Sources::ArenaBytes(uint32_t connections) {
  return uint64_t{connections} * Pool<Source>::bytes_per_item() +
         HashTable<Source, &Source::node, Traits>::bytes_for(connections) + 64;
}

net::IpAddress Sources::KeyOf(const net::IpAddress& address) {
  net::IpAddress key = address;
  if (key.is_v6()) {
    std::fill(key.bytes.begin() + 8, key.bytes.end(), uint8_t{0});
  }
  return key;
}

Source* Sources::Enter(const net::IpAddress& address) {
  const net::IpAddress key = KeyOf(address);
  Source* source = table_.Find(key);
  if (source == nullptr) {
    source = pool_.Allocate();
    if (source == nullptr) {
      return nullptr;
    }
    source->address = key;
    if (table_.Insert(*source) != HashInsert::kInserted) {
      pool_.Release(source);
      return nullptr;
    }
  }
  ++source->connections;
  return source;
}

void Sources::Leave(Source& source) {
  GH_ASSERT_GT(source.connections, 0u);
  if (--source.connections == 0) {
    GH_ASSERT_EQ(source.strangers + source.readers + source.attempts, 0u);
    table_.Remove(source);
    pool_.Release(&source);
  }
}

}  // namespace gh::xmpp
