// What hostile input costs the engine: its processor's time, and the memory it takes while it is
// dealt with. Each has its bounds; one that is beyond them ends the program with an error.
//
// "Blocks" are what waits, what is kept, what cannot be sent; a parser's heap is bounded by itself
// (limits.h) and is lent for the time of one stanza. Times are those of the process, without TLS.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "tests/bench/bench.h"
#include "tests/unit/xmpp/big_room.h"

namespace gh::xmpp {
namespace {

using test::Client;
using test::World;

constexpr uint32_t kRoomUsers = 100;
constexpr double kStanzaUsMax = 5'000;  // for one stanza of the largest size
constexpr uint64_t kBlockBytes = 128;

bool all_within = true;

struct Cost {
  double us = 0;
  uint64_t bytes = 0;
};

void Tell(const char* what, const Cost& cost, double us_max, uint64_t bytes_max) {
  const bool within = cost.us <= us_max && cost.bytes <= bytes_max;
  all_within = all_within && within;
  std::printf("%-58s %9.0f us %9llu bytes%s\n", what, cost.us,
              static_cast<unsigned long long>(cost.bytes), within ? "" : "  BEYOND ITS BOUND");
}

uint64_t BytesInUse(World& world) {
  const ChainPool& chains = world.engine().chains();
  return uint64_t{chains.capacity() - chains.free_count()} * kBlockBytes;
}

// The least time of several runs of it, each in a stream of its own.
template <typename Attack>
Cost Measure(Attack&& attack) {
  Cost least{.us = 1e12};
  for (int round = 0; round < 5; ++round) {
    const Cost cost = attack();
    least = {std::min(least.us, cost.us), std::max(least.bytes, cost.bytes)};
  }
  return least;
}

// One client that has logged in says it, to a friend who is there. `ends`: the stream, in words.
Cost OfStanza(const std::string& stanza, bool ends) {
  World world;
  world.AddUser("alice");
  world.AddUser("bob");
  Client alice(world, 1), bob(world, 2);
  alice.LogIn("alice", "a");
  bob.LogIn("bob", "b");
  bob.Say("<presence/>");
  const uint64_t before = BytesInUse(world);
  const double begin = CpuNanoseconds();
  const std::string got = alice.Say(stanza);
  const double us = (CpuNanoseconds() - begin) / 1e3;
  if (ends != (got.find("<stream:error>") != std::string::npos)) {
    std::fprintf(stderr, "not what was expected: %s\n", got.substr(0, 200).c_str());
    std::exit(1);
  }
  return {us, BytesInUse(world) - std::min(before, BytesInUse(world))};
}

std::string Repeat(const std::string& text, size_t bytes) {
  std::string out;
  while (out.size() + text.size() <= bytes) {
    out += text;
  }
  return out;
}

void Stanzas() {
  const std::string open = "<message to='bob@example.com/b' type='chat'><body>";
  const std::string close = "</body></message>";
  const size_t room = kStanzaMin - open.size() - close.size() - 100;
  const auto tell = [](const char* what, const std::string& stanza, bool ends) {
    Tell(what, Measure([&] { return OfStanza(stanza, ends); }), kStanzaUsMax, 256 * 1024);
  };
  tell("plain text, 10 kB", open + std::string(room, 'x') + close, false);
  tell("text that grows six times as it is written", open + Repeat("'", room) + close, false);
  tell("elements in each other, without end", "<message>" + Repeat("<a>", 60'000), true);
  tell("elements beside each other, without end", open + Repeat("<a/>", 60'000), true);
  std::string attributes = "<message";
  for (int i = 0; attributes.size() < 60'000; ++i) {
    attributes += " a" + std::to_string(i) + "='1'";
  }
  tell("attributes without end", attributes + "/>", true);
  std::string spaces = open;
  for (int i = 0; spaces.size() < room - 100; ++i) {
    spaces += "<a xmlns='urn:example:" + std::to_string(i) + ":" + std::string(400, 'n') + "'/>";
  }
  tell("a name space for each element", spaces + close, false);
  std::string bomb = "<!DOCTYPE x [<!ENTITY a0 'ha'>";
  for (int i = 1; i < 30; ++i) {
    const std::string last = "&a" + std::to_string(i - 1) + ";";
    bomb += "<!ENTITY a" + std::to_string(i) + " '" + last + last + "'>";
  }
  tell("entities of entities (a billion laughs)", bomb + "]><message>&a29;</message>", true);
  tell("a stanza without end", open + std::string(2 * kStanzaMax, 'x'), true);
}

// Streams that open, say what they may and go on: until they are held back or refused.
Cost OfStrangers() {
  World world(50, 2000, size_t{512} << 20);
  const uint64_t before = BytesInUse(world);
  const double begin = CpuNanoseconds();
  std::vector<std::unique_ptr<Client>> clients;
  for (uint32_t i = 0; i < 1000; ++i) {
    clients.push_back(std::make_unique<Client>(world, i));
    clients.back()->Header();
    clients.back()->Say("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='" +
                        std::string(16'000, 'A'));
  }
  return {(CpuNanoseconds() - begin) / 1e3 / 1000, (BytesInUse(world) - before) / 1000};
}

// A room of 100 of whom half do not read, and one who never stops. What others have of the memory
// is left to them.
struct Flood {
  double us_each = 0;
  uint64_t bytes = 0;
  uint32_t taken = 0;
};
Flood FloodRoom() {
  World world(kRoomUsers, kRoomUsers, size_t{256} << 20);
  const auto clients = FillRoom(world, kRoomUsers);
  for (uint32_t i = 1; i < kRoomUsers; i += 2) {
    world.deaf.insert(i);
  }
  const uint64_t before = BytesInUse(world);
  const std::string text = "<message to='big@rooms.example.com' type='groupchat'><body>" +
                           std::string(2000, 'x') + "</body></message>";
  Flood flood;
  const double begin = CpuNanoseconds();
  for (uint32_t i = 0; i < 10'000; ++i) {
    if (world.engine().OnData(clients[0]->stream(), AsBytes(text)) < text.size()) {
      break;
    }
    ++flood.taken;
    world.sent.clear();
    flood.bytes = std::max(flood.bytes, BytesInUse(world) - before);
  }
  flood.us_each = (CpuNanoseconds() - begin) / 1e3 / flood.taken / kRoomUsers;
  return flood;
}

// As many contacts, with as much said of each, as there may be; asked for again and again.
Cost OfRoster() {
  World world(200, 8, size_t{64} << 20);
  world.AddUser("alice");
  Client alice(world, 1);
  alice.LogIn("alice", "a");
  const uint64_t before = BytesInUse(world);
  for (uint32_t i = 0; i < 200; ++i) {
    alice.Say("<iq type='set' id='s'><query xmlns='jabber:iq:roster'><item jid='" +
              std::string(100, 'j') + std::to_string(i) + "@example.net' name='" +
              std::string(kContactNameMax, 'n') + "'><group>" +
              std::string(kContactGroupsMax - 2, 'g') + "</group></item></query></iq>");
  }
  const uint64_t bytes = BytesInUse(world) - before;
  constexpr int kAsked = 100;
  const double begin = CpuNanoseconds();
  for (int i = 0; i < kAsked; ++i) {
    alice.Say("<iq type='get' id='g'><query xmlns='jabber:iq:roster'/></iq>");
  }
  return {(CpuNanoseconds() - begin) / 1e3 / kAsked, bytes};
}

}  // namespace
}  // namespace gh::xmpp

int main() {
  using namespace gh::xmpp;
  Stanzas();
  Tell("a stranger who says 16 kB before he proves anything", Measure(OfStrangers), kStanzaUsMax,
       kUnprovenBytes);
  const Flood flood = FloodRoom();
  Tell("a flood into a room half of which does not read, a copy", {flood.us_each, flood.bytes}, 100,
       uint64_t{kRoomUsers} * kUnsentMax);
  std::printf("  its sender is held back after %u messages\n", flood.taken);
  Tell("the largest roster, asked for", OfRoster(), kStanzaUsMax, 256 * 1024);
  return all_within ? 0 : 1;
}
