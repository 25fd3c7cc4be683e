// The engine under whatever three peers send: the input is cut into pieces, each for one of them;
// one is logged in, one speaks before authentication, one resumes. Nothing may fall, nothing may be
// left when all are gone, and what is written to clients is well-formed XML.
#include <cstdint>
#include <cstdlib>

#include "tests/unit/xmpp/world.h"

namespace {

using gh::xmpp::test::Client;
using gh::xmpp::test::World;

void Require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

// What the engine wrote in one stream is read by the parser that clients' stanzas are read by.
void CheckOutput(const std::string& text) {
  static std::vector<uint8_t> memory(8 << 20);
  gh::Arena arena(memory);
  gh::Heap heap(arena, 1 << 20, 1);
  gh::xmpp::XmlReader reader;
  gh::xmpp::XmlLimits limits;
  limits.bytes = gh::xmpp::kOutputMax;
  limits.depth += 4;
  limits.elements *= 2;
  gh::net::test::SeededEntropy entropy(1);
  gh::crypto::Random random(entropy);
  reader.Init(arena, heap, 0, random, limits);
  reader.Begin(true);
  std::span<const uint8_t> in = gh::AsBytes(text);
  for (;;) {
    const auto event = reader.Read(in);
    if (event != gh::xmpp::XmlEvent::kStanza) {
      Require(event == gh::xmpp::XmlEvent::kMore || event == gh::xmpp::XmlEvent::kEnd);
      return;
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  gh::test::Memory::keeps = true;
  World world(World::FewestCapacity(), World::FewBytes());
  world.AddUser("alice");
  world.AddUser("bob");
  gh::xmpp::Config config = World::MakeConfig();
  config.external = config.temporary = config.auto_authorization = true;
  world.engine().Apply(config);
  world.proved[3] = {"bob@example.com"};  // the stranger may prove himself, if he says how
  const uint32_t free = world.engine().chains().free_count();
  {
    Client alice(world, 1);
    alice.LogIn("alice", "a");
    alice.Say("<presence/>");
    Client bob(world, 2);
    bob.LogIn("bob", "b");
    bob.Say("<enable xmlns='urn:xmpp:sm:3' resume='true'/><presence/>");
    Client stranger(world, 3);
    std::string said;
    Client* clients[] = {&alice, &bob, &stranger};
    while (size > 2) {
      Client& client = *clients[data[0] % 3];
      const size_t count = std::min<size_t>(size - 2, data[1] * 4u + 1);
      const std::string got = client.Say({reinterpret_cast<const char*>(data + 2), count});
      said += &client == &alice ? got : "";
      said += alice.Take();
      data += 2 + count;
      size -= 2 + count;
    }
    CheckOutput(said);
    for (Client* client : clients) {
      client->Break();
    }
  }
  world.Turn(gh::Duration::Seconds(301));
  Require(world.engine().session_count() == 0);
  Require(world.engine().reader_count() == 0);
  (void)world.engine().RemoveUser("alice@example.com");
  (void)world.engine().RemoveUser("bob@example.com");
  uint32_t cursor = 0;
  gh::xmpp::RoomInfo room;
  while (world.engine().rooms().NextRoom(cursor, room)) {
    Require(room.occupants == 0 && room.persistent);
    const std::string name(room.name);
    Require(world.engine().DestroyRoom(name, "").ok());
  }
  Require(world.engine().rooms().occupant_count() == 0);
  Require(world.engine().items().item_count() == 0);
  Require(world.engine().archive().byte_count() == 0);
  // What hashes of capabilities stand for is remembered.
  Require(world.engine().chains().free_count() == free || world.engine().caps_count() > 0);
  return 0;
}
