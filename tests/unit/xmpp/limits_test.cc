// Limits of what clients say (limits.h) at their edges, where no other test of the room does that.
#include <gtest/gtest.h>

#include "tests/unit/xmpp/room_scene.h"

namespace gh::xmpp::test {
namespace {

struct Edges : testing::Test {
  Edges() {
    world.AddUser("alice");
    world.AddUser("bob");
    alice.LogIn("alice", "a");
    bob.LogIn("bob", "b");
    bob.Say("<presence/>");
  }
  World world;
  Client alice{world, 1}, bob{world, 2};
};

TEST_F(Edges, PresenceThatIsRemembered) {
  const auto presence = [](size_t size) {
    return "<presence><status>" + std::string(size, 's') + "</status></presence>";
  };
  // Its address and frame are part of it.
  const std::string small = alice.Say(presence(1));
  const size_t frame = small.find("</presence>") + sizeof("</presence>") - 2 -
                       (sizeof(" to='alice@example.com/a'") - 1);
  EXPECT_FALSE(Has(alice.Say(presence(kPresenceMax - frame)), "policy-violation"));
  EXPECT_TRUE(Has(alice.Say(presence(kPresenceMax - frame + 1)), "policy-violation"));
}

TEST_F(Edges, AddressesThatPresenceIsSentToDirectly) {
  const auto say = [&](uint32_t number) {
    const std::string to =
        "u" + std::to_string(100 + number) + "@other.org/" + std::string(51, 'r');
    EXPECT_EQ(to.size() + 2, 68u);
    return alice.Say("<presence to='" + to + "'/>");
  };
  const uint32_t most = kDirectedMax * 64 / 68;
  for (uint32_t i = 0; i < most; ++i) {
    EXPECT_TRUE(Has(say(i), "remote-server-not-found"));
  }
  EXPECT_TRUE(Has(say(most), "resource-constraint"));
}

TEST_F(Edges, PushServicesOfAUser) {
  for (uint32_t i = 0; i < kPushMax + 2; ++i) {
    EXPECT_TRUE(Has(alice.Say("<iq type='set' id='e'><enable xmlns='urn:xmpp:push:0' "
                              "jid='bob@example.com/b' node='n" +
                              std::to_string(i) + "'/></iq>"),
                    "type='result'"));
  }
  alice.Say("</stream:stream>");
  bob.Say("<message to='alice@example.com' type='chat'><body>x</body></message>");
  EXPECT_EQ(world.engine().counters().pushes, uint64_t{kPushMax});
}

TEST_F(Edges, WhatIsKeptOfAPushService) {
  for (const bool is_over : {false, true}) {
    const auto enable = [&](const std::string& node, const std::string& form) {
      return alice.Say(
          "<iq type='set' id='e'><enable xmlns='urn:xmpp:push:0' jid='bob@example.com/b' node='" +
          node + "'>" + form + "</enable></iq>");
    };
    EXPECT_EQ(Has(enable(std::string(kItemNameMax + is_over, 'n'), ""), "bad-request"), is_over);
    const std::string form = "<x xmlns='jabber:x:data' type='submit'><field var='a'><value>";
    const std::string end = "</value></field></x>";
    const size_t frame = std::string("bob@example.com/b\nn\na\n").size() + form.size() + end.size();
    EXPECT_EQ(Has(enable("n", form + std::string(kPushBytesMax - frame + is_over, 'v') + end),
                  "resource-constraint"),
              is_over);
  }
}

TEST_F(Edges, AddressesInArchivesRules) {
  for (const bool is_over : {false, true}) {
    std::string many;
    for (uint32_t i = 0; i < kArchiveRulesMax + is_over; ++i) {
      many += "<jid>u" + std::to_string(i) + "@other.org</jid>";
    }
    EXPECT_EQ(Has(alice.Say("<iq type='set' id='p'><prefs xmlns='urn:xmpp:mam:2' default='always'>"
                            "<always>" +
                            many + "</always><never/></prefs></iq>"),
                  "resource-constraint"),
              is_over);
  }
}

TEST_F(Edges, PagesOfAnArchive) {
  for (uint32_t i = 0; i <= kArchivePageMax; ++i) {
    bob.Say("<message to='alice@example.com' type='chat'><body>x</body></message>");
  }
  alice.Take();
  const std::string got = alice.Say(
      "<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'><set "
      "xmlns='http://jabber.org/protocol/rsm'><max>5000</max></set></query></iq>");
  EXPECT_EQ(Count(got, "<forwarded"), kArchivePageMax);
  EXPECT_FALSE(Has(got, "complete='true'"));
}

class RoomEdges : public RoomTest {};

TEST_F(RoomEdges, WhatARoomIsCalled) {
  Make();
  const struct {
    const char* field;
    uint32_t most;
  } fields[] = {{"muc#roomconfig_roomname", kRoomTitleMax},
                {"muc#roomconfig_roomdesc", kRoomDescriptionMax},
                {"muc#roomconfig_roomsecret", kRoomPasswordMax}};
  for (const auto& each : fields) {
    for (const bool is_over : {false, true}) {
      const std::string got =
          alice.Say(Submit(Field(each.field, std::string(each.most + is_over, 'x'))));
      EXPECT_EQ(Has(got, "not-acceptable"), is_over) << each.field << got;
    }
  }
}

TEST_F(RoomEdges, NamesOfRooms) {
  const std::string host = "@rooms.example.com";
  for (const bool is_over : {false, true}) {
    const std::string name(kLocalMax + is_over, 'n');
    const std::string got =
        alice.Say("<presence to='" + name + host + "/Al'><x xmlns='" + kMuc + "'/></presence>");
    EXPECT_EQ(Has(got, "<status code='201'/>"), !is_over) << got;
  }
}

}  // namespace
}  // namespace gh::xmpp::test
