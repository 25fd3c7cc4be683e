// Two servers and a user of each: example.com with alice, other.org with bob.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "tests/unit/s2s/site.h"

namespace gh::s2s::test {

inline bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

struct Pair {
  Net net;
  Site here{net, "example.com", "192.0.2.1"};
  Site there{net, "other.org", "192.0.2.2"};
  std::unique_ptr<xmpp::test::Client> alice, bob;

  // They come; who is not a user yet becomes one.
  void LogIn(const std::string& bob_shows = "<presence/>") {
    alice = Enter(here, "alice", "a", "<presence/>");
    bob = Enter(there, "bob", "b", bob_shows);
  }
  // What came in is on the disk, and acknowledged.
  void Commit() {
    for (Site* site : {&here, &there}) {
      site->world().Commit();
    }
    net.Run();
  }
  void SetBoth(const std::function<void(Config&)>& change) {
    for (Site* site : {&here, &there}) {
      change(site->config);
      site->Apply();
    }
  }

 private:
  static std::unique_ptr<xmpp::test::Client> Enter(Site& site, const std::string& user,
                                                   const std::string& resource,
                                                   const std::string& presence) {
    xmpp::test::World& world = site.world();
    if (world.engine().directory().Find(user + "@" + world.domain()) == nullptr) {
      world.AddUser(user);
    }
    auto client = std::make_unique<xmpp::test::Client>(world, 1);
    client->LogIn(user, resource);
    client->Say(presence);
    return client;
  }
};

}  // namespace gh::s2s::test
