// What a stanza costs the engine, without TLS, sockets or a disk: one to one, bare and with archive
// and stream management on; to a room of 1,000; a log-in; and the memory of a session. The keeper
// is a tree in memory, so figures with archive are the engine's share alone.
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "tests/bench/bench.h"
#include "tests/unit/xmpp/big_room.h"

namespace gh::xmpp {
namespace {

using test::Client;
using test::World;

constexpr uint32_t kRoomUsers = 1000;

std::string Chat(const std::string& to, const std::string& type) {
  return "<message to='" + to + "' type='" + type + "' id='m'><body>" + std::string(64, 'x') +
         "</body></message>";
}

void OneToOne(Bench& bench, const char* name, bool archived) {
  if (!bench.Wants(name)) {
    return;
  }
  World world;
  Config config = World::MakeConfig();
  config.archive.enabled = archived;
  world.engine().Apply(config);
  world.AddUser("alice");
  world.AddUser("bob");
  Client alice(world, 1), bob(world, 2);
  alice.LogIn("alice", "a");
  bob.LogIn("bob", "b");
  for (Client* client : {&alice, &bob}) {
    client->Say(archived ? "<enable xmlns='urn:xmpp:sm:3'/><iq type='set' id='c'><enable "
                           "xmlns='urn:xmpp:carbons:2'/></iq><presence/>"
                         : "<presence/>");
  }
  const std::string message = Chat("bob@example.com/b", "chat");
  uint64_t handled = 0;
  bench.Run(name, 2'000, [&](uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      alice.Say(message);
      const std::string got = bob.Take();
      if (got.find("<body>") == std::string::npos) {
        std::abort();
      }
      if (archived) {
        handled += i == 0 && handled == 0 ? 2 : 1;  // the answer to <enable/>, the first presence
        bob.Say("<a xmlns='urn:xmpp:sm:3' h='" + std::to_string(handled) + "'/>");
      }
      if (i % 64 == 0) {
        world.Commit();
      }
    }
  });
}

void BigRoom(Bench& bench) {
  const char* name = "one message, delivered to 1 of a room's 1,000";
  if (!bench.Wants(name)) {
    return;
  }
  World world(kRoomUsers, kRoomUsers, size_t{512} << 20);
  const auto clients = FillRoom(world, kRoomUsers);
  const std::string message = Chat("big@rooms.example.com", "groupchat");
  bench.Run(
      name, 20 * kRoomUsers,
      [&](uint64_t count) {
        for (uint64_t i = 0; i < count / kRoomUsers; ++i) {
          clients[1]->Say(message);
        }
      },
      [&] { world.sent.clear(); });
  std::printf("%-48s %llu B\n", "memory of a session's place in the engine",
              static_cast<unsigned long long>(Engine::bytes_per_session()));
}

void LogIns(Bench& bench) {
  World world;
  world.AddUser("alice");
  uint32_t number = 10;
  bench.Run("a log-in by SCRAM-SHA-256, 16 iterations, both sides", 50, [&](uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      Client client(world, number++);
      client.LogIn("alice", "a");
      client.Break();
    }
  });
}

}  // namespace
}  // namespace gh::xmpp

int main(int argc, char** argv) {
  gh::Bench bench(argc, argv);
  gh::xmpp::OneToOne(bench, "one to one, bare", false);
  gh::xmpp::OneToOne(bench, "one to one, archived, managed, with carbons", true);
  gh::xmpp::BigRoom(bench);
  gh::xmpp::LogIns(bench);
  return bench.Finish();
}
