// Memory that runs short: floods into rooms of clients that do not read, rosters as large as may
// be; who is held back, who goes, and who notices nothing.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/xmpp/big_room.h"
#include "tests/unit/xmpp/room_scene.h"

namespace gh::xmpp::test {
namespace {

constexpr uint32_t kUsers = 12;
constexpr size_t kText = 2000;

// A room whose occupants but the first two can be made not to read.
class PressureTest : public testing::Test {
 public:
  PressureTest() : world(CapacityOfTest(), CapacityOfTest().ArenaBytes() + (1 << 20)) {
    for (uint32_t i = 0; i < kUsers; ++i) {
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
    }
    world.sent.clear();
    world.events.clear();
  }
  static Capacity CapacityOfTest() {
    Capacity capacity = Capacity::For(kUsers, kUsers + 4);
    capacity.blocks = 3000;
    return capacity;
  }
  const ChainPool& chains() { return world.engine().chains(); }
  std::string Groupchat() const {
    return "<message to='big@rooms.example.com' type='groupchat'><body>" + std::string(kText, 'x') +
           "</body></message>";
  }
  // One message to the room; false: it was not taken.
  bool Tell(uint32_t client) {
    const std::string text = Groupchat();
    return world.engine().OnData(clients[client]->stream(), AsBytes(text)) == text.size();
  }
  World world;
  std::vector<std::unique_ptr<Client>> clients;
};

TEST_F(PressureTest, FloodsAreHeldBackAndSlowReadersGo) {
  world.deaf = {5, 6, 7};
  uint32_t taken = 0;
  while (taken < 1000 && Tell(0)) {
    ++taken;
  }
  EXPECT_GT(taken, 20u);
  EXPECT_LT(taken, 1000u);
  EXPECT_GE(chains().free_count(), chains().capacity() / 5);  // others have what they need
  EXPECT_EQ(std::ranges::count(world.events, "held back"), 1);
  EXPECT_EQ(world.engine().counters().held_back, 1u);
  // Held back before a stanza, in the middle of what came with it too.
  const std::string two = Groupchat() + Groupchat();
  EXPECT_EQ(world.engine().OnData(clients[1]->stream(), AsBytes(two)), 0u);
  EXPECT_EQ(world.engine().counters().stream_errors, 0u);
  // Nobody has gone yet; after five seconds those three have, and nobody else.
  world.Turn(Duration::Seconds(kStalledSeconds) - Duration::Milliseconds(kPressureTickMs));
  EXPECT_EQ(world.engine().bound_count(), kUsers);
  world.resumed.clear();
  world.Turn(Duration::Milliseconds(2 * kPressureTickMs));
  EXPECT_EQ(world.engine().bound_count(), kUsers - 1);  // one was enough, the longest stalled
  EXPECT_EQ(std::ranges::count(world.events, "out u5@example.com: it does not read"), 1);
  EXPECT_EQ(world.resumed, (std::vector<uint32_t>{0, 1}));
  // The flood goes on: the others go as soon as memory is short again.
  for (taken = 0; taken < 1000 && Tell(0);) {
    ++taken;
  }
  EXPECT_GT(taken, 1u);
  EXPECT_LT(taken, 1000u);
  world.Turn(Duration::Milliseconds(200));
  EXPECT_EQ(std::ranges::count(world.events, "out u6@example.com: it does not read"), 1);
  EXPECT_EQ(world.engine().counters().shed, kUsers - world.engine().bound_count());
  EXPECT_GE(world.engine().bound_count(), kUsers - 3);
  EXPECT_TRUE(Tell(1));
}

// A hundred in one room of whom half do not read, and one who never stops: what waits for them is
// bounded, who reads gets every word, and it is the others who go.
TEST(BigRoom, AFloodIsBounded) {
  constexpr uint32_t kOccupants = 100;
  World world(kOccupants, kOccupants);
  const auto clients = FillRoom(world, kOccupants);
  const ChainPool& chains = world.engine().chains();
  const uint32_t before = chains.free_count();
  for (uint32_t i = 1; i < kOccupants; i += 2) {
    world.deaf.insert(i);
  }
  const std::string text = "<message to='big@rooms.example.com' type='groupchat'><body>" +
                           std::string(kText, 'x') + "</body></message>";
  uint32_t taken = 0;
  const auto tell = [&](uint32_t client) {
    return world.engine().OnData(clients[client]->stream(), AsBytes(text)) == text.size();
  };
  while (taken < 1000 && tell(0)) {
    ++taken;
  }
  EXPECT_GT(taken, 10u);
  EXPECT_LT(taken, 1000u);
  EXPECT_GE(chains.free_count(), chains.capacity() / 5);
  EXPECT_LE((before - chains.free_count()) * uint64_t{ChainPool::kBlockBytes},
            uint64_t{kOccupants} / 2 * kUnsentMax);
  EXPECT_FALSE(tell(2));  // nor by another
  for (uint32_t i = 2; i < kOccupants; i += 2) {
    EXPECT_EQ(Count(clients[i]->Take(), "<body>"), taken) << i;
  }
  for (int i = 0; i < 100 && world.engine().bound_count() > kOccupants / 2; ++i) {
    world.Turn(Duration::Milliseconds(kPressureTickMs));
    for (int k = 0; k < 10 && tell(0); ++k) {
      world.sent.clear();
    }
  }
  EXPECT_GT(world.engine().counters().shed, 10u);
  EXPECT_GE(chains.free_count(), chains.capacity() / 5);
  for (uint32_t i = 0; i < kOccupants; i += 2) {
    EXPECT_FALSE(world.closed[i]) << i;
  }
}

TEST_F(PressureTest, WhoReadsAgainStays) {
  world.deaf = {5};
  while (Tell(0)) {
  }
  world.deaf.clear();
  world.resumed.clear();
  world.engine().OnWritable(clients[5]->stream());
  EXPECT_EQ(world.resumed, std::vector<uint32_t>{0});
  EXPECT_TRUE(Tell(0));
  world.Turn(Duration::Seconds(10));
  EXPECT_EQ(world.engine().bound_count(), kUsers);
  EXPECT_EQ(world.engine().counters().shed, 0u);
}

// Who takes a little goes like who takes nothing.
TEST_F(PressureTest, ReadingIsSoManyBytes) {
  for (const uint32_t reads : {kReadsBytes, kReadsBytes / 2}) {
    const uint64_t shed = world.engine().counters().shed;
    const uint32_t who = reads == kReadsBytes ? 5 : 6;
    world.deaf = {who};
    while (Tell(0)) {
    }
    world.Turn(Duration::Seconds(kStalledSeconds) - Duration::Milliseconds(kPressureTickMs));
    world.most = reads;  // in all that is still sent
    world.deaf.clear();
    world.engine().OnWritable(clients[who]->stream());
    world.most = SIZE_MAX;
    world.deaf = {who};
    while (Tell(0)) {  // what was taken is filled again
    }
    world.Turn(Duration::Milliseconds(2 * kPressureTickMs));
    EXPECT_EQ(world.engine().counters().shed - shed, reads == kReadsBytes ? 0u : 1u);
    world.deaf.clear();
    world.engine().OnWritable(clients[who]->stream());
    world.Turn(Duration::Seconds(1));
  }
}

// Acknowledgements give memory back, so they are heard; then the room hears everybody again.
TEST_F(PressureTest, WhoHasSomethingToAcknowledgeIsHeard) {
  clients[2]->Say("<enable xmlns='urn:xmpp:sm:3'/>");
  world.deaf = {5};
  while (Tell(0)) {
  }
  EXPECT_EQ(world.engine().OnData(clients[1]->stream(), AsBytes(std::string_view("<presence/>"))),
            0u);
  const uint32_t free = chains().free_count();
  const std::string ack = "<a xmlns='urn:xmpp:sm:3' h='2'/>";
  EXPECT_EQ(world.engine().OnData(clients[2]->stream(), AsBytes(ack)), ack.size());
  EXPECT_GT(chains().free_count(), free);
}

// The one who has not read for the longest time goes for what another has yet to read.
TEST_F(PressureTest, TheLongestStalledGoesForOthers) {
  world.deaf = {5};
  while (Tell(0)) {
  }
  world.Turn(Duration::Milliseconds(10));
  world.deaf.insert(6);
  world.Turn(Duration::Seconds(6));
  EXPECT_EQ(world.engine().counters().shed, 1u);
  EXPECT_EQ(std::ranges::count(world.events, "out u5@example.com: it does not read"), 1);
  EXPECT_TRUE(Tell(0));
  EXPECT_EQ(world.engine().bound_count(), kUsers - 1);
}

// A pool that is full of what is kept is no reason to hold anybody back.
TEST_F(PressureTest, FullOfWhatIsKeptNobodyWaits) {
  for (uint32_t i = 0; i < kUsers && chains().free_count() > chains().capacity() / 5; ++i) {
    for (uint32_t k = 0; k < 200 && chains().free_count() > chains().capacity() / 5; ++k) {
      clients[i]->Say("<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='c" +
                      std::to_string(k) + "@example.net' name='" +
                      std::string(kContactNameMax, 'n') + "'><group>" +
                      std::string(kContactGroupsMax - 2, 'g') + "</group></item></query></iq>");
    }
  }
  ASSERT_LT(chains().free_count(), chains().capacity() / 4);
  EXPECT_TRUE(Tell(0));
  EXPECT_EQ(world.engine().counters().held_back, 0u);
}

// The largest roster there can be is sent whole, and costs what its contacts cost.
TEST_F(PressureTest, GiantRostersAreBounded) {
  Capacity capacity = CapacityOfTest();
  capacity.directory.contacts = 400;
  capacity.blocks = 8000;
  World site(capacity, capacity.ArenaBytes() + (1 << 20));
  site.AddUser("alice");
  Client alice(site, 1);
  alice.LogIn("alice", "a");
  const auto set = [&](uint32_t number, const std::string& more) {
    const std::string got =
        alice.Say("<iq type='set' id='s'><query xmlns='jabber:iq:roster'><item jid='" +
                  std::string(100, 'j') + std::to_string(number) + "@" + std::string(60, 'd') +
                  ".example'" + more + "</item></query></iq>");
    return got.find("type='result'") != std::string::npos;
  };
  const std::string most = " name='" + std::string(kContactNameMax, 'n') + "'><group>" +
                           std::string(kContactGroupsMax - 2, 'g') + "</group>";
  const uint32_t before = site.engine().chains().free_count();
  uint32_t count = 0;
  while (count < 200 && set(count, most)) {
    ++count;
  }
  EXPECT_GT(count, 100u);
  EXPECT_LT(count, 200u);                                               // more could not be sent
  EXPECT_LE(before - site.engine().chains().free_count(), count * 10);  // 1,000 bytes and a little
  EXPECT_TRUE(set(0, most));  // one that is there may be changed
  EXPECT_LE(alice.Say("<iq type='get' id='g'><query xmlns='jabber:iq:roster'/></iq>").size(),
            kRosterBytesMax);
  while (count < 200 && set(count, ">")) {
    ++count;
  }
  EXPECT_EQ(count, 200u);
  EXPECT_FALSE(set(200, ">"));
  const std::string got = alice.Say("<iq type='get' id='g'><query xmlns='jabber:iq:roster'/></iq>");
  size_t items = 0;
  for (size_t at = got.find("<item "); at != std::string::npos; at = got.find("<item ", at + 1)) {
    ++items;
  }
  EXPECT_EQ(items, 200u);
}

}  // namespace
}  // namespace gh::xmpp::test
