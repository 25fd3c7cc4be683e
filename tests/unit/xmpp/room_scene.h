// A room and who comes to it, for the tests of rooms.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "tests/unit/xmpp/world.h"

namespace gh::xmpp::test {

inline constexpr const char* kMuc = "http://jabber.org/protocol/muc";

inline bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

inline uint32_t Count(const std::string& text, const std::string& part) {
  uint32_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    ++count;
  }
  return count;
}

inline std::string Join(const std::string& nick, const std::string& inside = "",
                        const std::string& room = "lab") {
  return "<presence to='" + room + "@rooms.example.com/" + nick + "'><x xmlns='" + kMuc + "'>" +
         inside + "</x></presence>";
}

inline std::string Query(const std::string& type, const std::string& space,
                         const std::string& inside,
                         const std::string& to = "lab@rooms.example.com") {
  return "<iq type='" + type + "' id='q' to='" + to + "'><query xmlns='" + space + "'>" + inside +
         "</query></iq>";
}

inline std::string Admin(const std::string& inside) {
  return Query("set", std::string(kMuc) + "#admin", inside);
}

inline std::string Submit(const std::string& fields) {
  return Query("set", std::string(kMuc) + "#owner",
               "<x xmlns='jabber:x:data' type='submit'>" + fields + "</x>");
}

inline std::string Field(const std::string& var, const std::string& value) {
  return "<field var='" + var + "'><value>" + value + "</value></field>";
}

inline std::string Chat(const std::string& body, const std::string& id = "m") {
  return "<message type='groupchat' id='" + id + "' to='lab@rooms.example.com'><body>" + body +
         "</body></message>";
}

// Three users; alice has made the room and is in it.
class RoomTest : public testing::Test {
 public:
  RoomTest() {
    for (const char* name : {"alice", "bob", "carol", "root"}) {
      world.AddUser(name);
    }
    alice.LogIn("alice", "a");
    bob.LogIn("bob", "b");
    carol.LogIn("carol", "c");
  }
  void Allow(uint32_t flags, RoomSettings defaults = {}) {
    Config config = World::MakeConfig();
    config.rooms.owners_change |= flags;
    config.rooms.defaults = defaults;
    world.engine().Apply(config);
  }
  void Make(const std::string& fields = "") {
    const std::string made = alice.Say(Join("Al"));
    ASSERT_TRUE(Has(made, "<status code='201'/>")) << made;
    const std::string said = alice.Say(Submit(fields));
    ASSERT_TRUE(Has(said, "type='result'")) << said;
  }
  World world;
  Client alice{world, 1}, bob{world, 2}, carol{world, 3};
};

}  // namespace gh::xmpp::test
