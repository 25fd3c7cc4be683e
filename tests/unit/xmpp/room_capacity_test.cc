// As many rooms as a node may have, and as many of them persistent, at the edge.
#include <gtest/gtest.h>

#include "tests/unit/xmpp/world.h"

namespace gh::xmpp::test {
namespace {

constexpr uint32_t kRoomMax = 16'500;
constexpr uint32_t kPersistentMax = 1'500;
constexpr uint32_t kUsers = kRoomMax / kRoomsOfSessionMax + 1;

// The answers to entering a new room and to its configuration.
std::string MakeRoom(Client& client, uint32_t number, bool persistent) {
  const std::string room = "r" + std::to_string(number) + "@rooms.example.com";
  const std::string entered = client.Say("<presence to='" + room +
                                         "/n'><x xmlns='http://jabber.org/protocol/muc'/>"
                                         "</presence>");
  const std::string field =
      persistent ? "<field var='muc#roomconfig_persistentroom'><value>1</value></field>" : "";
  return entered + client.Say("<iq type='set' id='o' to='" + room +
                              "'><query xmlns='http://jabber.org/protocol/muc#owner'>"
                              "<x xmlns='jabber:x:data' type='submit'>" +
                              field + "</x></query></iq>");
}

TEST(RoomCapacity, RoomsAndPersistentOnesAtTheEdge) {
  Capacity capacity = Capacity::For(kUsers, kUsers);
  capacity.rooms.rooms = kRoomMax;
  capacity.rooms.occupants = kRoomMax + kRoomOccupantMax;
  capacity.rooms.affiliates = 2 * kRoomMax;
  capacity.blocks = 8 * kRoomMax;
  World world(capacity, capacity.ArenaBytes() + (1 << 20));
  Config config = World::MakeConfig();
  config.rooms.room_max = kRoomMax;
  config.rooms.persistent_max = kPersistentMax;
  world.engine().Apply(config);
  const Rooms& rooms = world.engine().rooms();
  std::vector<std::unique_ptr<Client>> clients;
  for (uint32_t i = 0; i < kUsers; ++i) {
    world.AddUser("u" + std::to_string(i));
    clients.push_back(std::make_unique<Client>(world, i));
    clients[i]->LogIn("u" + std::to_string(i), "r");
  }
  for (uint32_t i = 0; i < kRoomMax; ++i) {
    Client& client = *clients[i / kRoomsOfSessionMax];
    const std::string got = MakeRoom(client, i, i < kPersistentMax);
    ASSERT_EQ(got.find("type='error'"), std::string::npos) << i << ": " << got;
  }
  EXPECT_EQ(rooms.room_count(), kRoomMax);
  EXPECT_EQ(rooms.persistent_count(), kPersistentMax);
  Client& last = *clients[kRoomMax / kRoomsOfSessionMax];
  EXPECT_NE(MakeRoom(last, kRoomMax, false).find("type='error'"), std::string::npos);
  EXPECT_EQ(rooms.room_count(), kRoomMax);
  // One goes: there is room for one, which may not be persistent.
  last.Say("<presence type='unavailable' to='r" + std::to_string(kRoomMax - 1) +
           "@rooms.example.com/n'/>");
  EXPECT_EQ(rooms.room_count(), kRoomMax - 1);
  EXPECT_NE(MakeRoom(last, kRoomMax, true).find("type='error'"), std::string::npos);
  EXPECT_EQ(rooms.persistent_count(), kPersistentMax);
  EXPECT_EQ(rooms.room_count(), kRoomMax);
}

}  // namespace
}  // namespace gh::xmpp::test
