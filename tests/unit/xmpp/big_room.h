// A room in which everybody of a World is.
#pragma once

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "tests/unit/xmpp/world.h"

namespace gh::xmpp::test {

// `big@rooms.example.com`: the world's users u0 to u(n-1), the first of them its owner.
inline std::vector<std::unique_ptr<Client>> FillRoom(World& world, uint32_t count) {
  Config config = World::MakeConfig();
  config.rooms.defaults.occupant_max = static_cast<uint16_t>(count);
  world.engine().Apply(config);
  std::vector<std::unique_ptr<Client>> clients;
  for (uint32_t i = 0; i < count; ++i) {
    const std::string user = "u" + std::to_string(i);
    world.AddUser(user);
    clients.push_back(std::make_unique<Client>(world, i));
    clients[i]->LogIn(user, "r");
    clients[i]->Say("<presence to='big@rooms.example.com/" + user +
                    "'><x xmlns='http://jabber.org/protocol/muc'/></presence>");
    if (i == 0) {
      clients[0]->Say(
          "<iq type='set' id='o' to='big@rooms.example.com'><query "
          "xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/>"
          "</query></iq>");
    }
    world.sent.clear();
  }
  if (world.engine().rooms().occupant_count() != count) {
    std::abort();
  }
  return clients;
}

}  // namespace gh::xmpp::test
