// vCards and pictures of rooms and of their occupants, and the archive of who came and went.
#include "crypto/legacy.h"
#include "tests/unit/xmpp/room_scene.h"

namespace gh::xmpp::test {
namespace {

std::string HashOf(const std::string& picture) {
  uint8_t bytes[64];
  ByteWriter out(bytes);
  out.HexBytes(crypto::Sha1::Of(AsBytes(picture)));
  return std::string(out.text());
}

std::string Photo(const std::string& picture) {
  return "<PHOTO><TYPE>image/png</TYPE><BINVAL>" + Base64Of(picture) + "</BINVAL></PHOTO>";
}

std::string Card(const std::string& type, const std::string& inside,
                 const std::string& to = "lab@rooms.example.com") {
  return "<iq type='" + type + "' id='c' to='" + to + "'><vCard xmlns='vcard-temp'>" + inside +
         "</vCard></iq>";
}

struct RoomCardTest : RoomTest {
  void MakePersistent() { Make(Field("muc#roomconfig_persistentroom", "1")); }
  std::string Describe(Client& client) {
    return client.Say(Query("get", "http://jabber.org/protocol/disco#info", ""));
  }
  uint32_t CardRows() {
    world.Commit();
    uint32_t count = 0;
    for (const auto& [key, value] : world.disk) {
      count += key[0] == 'y' ? 1 : 0;
    }
    return count;
  }
  std::string Archive(Client& client) {
    client.Take();
    return client.Say(
        "<iq type='set' id='q' to='lab@rooms.example.com'><query xmlns='urn:xmpp:mam:2'/></iq>");
  }
};

TEST_F(RoomCardTest, OwnersGiveARoomACardAndAPicture) {
  MakePersistent();
  bob.Say(Join("Bo"));
  alice.Take();
  EXPECT_TRUE(Has(Describe(bob), "<feature var='vcard-temp'/>"));
  EXPECT_FALSE(Has(Describe(bob), "avatarhash"));
  EXPECT_TRUE(Has(bob.Say(Card("get", "")), "<vCard xmlns='vcard-temp'/>"));
  EXPECT_TRUE(Has(bob.Say(Card("set", Photo("abc"))), "<forbidden"));
  // As large as it takes several rows.
  const std::string picture(9000, 'p');
  const std::string said = alice.Say(Card("set", "<FN>The Lab</FN>" + Photo(picture)));
  EXPECT_TRUE(Has(said, "type='result'")) << said;
  EXPECT_TRUE(Has(bob.Take(), "<status code='104'/>"));
  EXPECT_TRUE(Has(Describe(bob),
                  "<field var='muc#roominfo_avatarhash'><value>" + HashOf(picture) + "</value>"));
  const std::string card = carol.Say(Card("get", ""));
  EXPECT_TRUE(Has(card, "<FN>The Lab</FN>"));
  EXPECT_TRUE(Has(card, Base64Of(picture)));
  EXPECT_GE(CardRows(), 3u);
  // Another in its place, and none.
  alice.Say(Card("set", "<FN>L</FN>"));
  EXPECT_EQ(CardRows(), 1u);
  EXPECT_FALSE(Has(Describe(bob), "avatarhash"));
  EXPECT_TRUE(Has(bob.Say(Card("get", "")), "<FN>L</FN>"));
  alice.Say(Card("set", ""));
  EXPECT_EQ(CardRows(), 0u);
  EXPECT_TRUE(Has(bob.Say(Card("get", "")), "<vCard xmlns='vcard-temp'/>"));
}

TEST_F(RoomCardTest, ACardIsKeptWholeOrNotAtAll) {
  Make();
  EXPECT_TRUE(Has(alice.Say(Card("set", "<FN>x</FN>")), "<not-allowed"));  // it is ad hoc
  alice.Say(Submit(Field("muc#roomconfig_persistentroom", "1")));
  alice.Say(Card("set", "<FN>one</FN>"));
  world.keeper_full = true;
  EXPECT_TRUE(Has(alice.Say(Card("set", "<FN>two</FN>")), "<internal-server-error"));
  world.keeper_full = false;
  EXPECT_TRUE(Has(alice.Say(Card("get", "")), "<FN>one</FN>"));
  // A start later it is there again, and goes with its room.
  alice.Say(Card("set", "<FN>two</FN>" + Photo("abc")));
  world.Commit();
  World after;
  after.AddUser("alice");
  for (const auto& [key, value] : world.disk) {
    if (key[0] != 'a') {
      EXPECT_TRUE(after.engine().Load(key, AsBytes(value)).ok()) << key;
    }
  }
  after.disk = world.disk;
  Client back(after, 1);
  back.LogIn("alice", "a");
  EXPECT_TRUE(Has(back.Say(Card("get", "")), "<FN>two</FN>"));
  EXPECT_TRUE(
      Has(back.Say(Query("get", "http://jabber.org/protocol/disco#info", "")), HashOf("abc")));
  EXPECT_TRUE(after.engine().DestroyRoom("lab@rooms.example.com", "done").ok());
  after.Commit();
  for (const auto& [key, value] : after.disk) {
    EXPECT_NE(key[0], 'y') << key;
  }
  EXPECT_FALSE(after.engine().Load("y0000000100000000000000000000", AsBytes("")).ok());
}

TEST_F(RoomCardTest, ACardHasAnEdge) {
  MakePersistent();
  const std::string empty = "<vCard xmlns=\"vcard-temp\"><FN></FN></vCard>";
  const std::string most(kRoomCardMax - empty.size(), 'x');
  Config config = World::MakeConfig();
  ASSERT_EQ(config.stanza_max, kRoomCardMax);  // a stanza with such a card is too large
  EXPECT_FALSE(Has(alice.Say(Card("set", "<FN>" + most.substr(1000) + "</FN>")), "error"));
  // Escaped, it grows beyond.
  const std::string grown(kRoomCardMax / 5, '"');
  EXPECT_TRUE(Has(alice.Say(Card("set", "<FN>" + grown + "</FN>")), "<policy-violation"));
  EXPECT_TRUE(Has(alice.Say(Card("get", "")), "<FN>xxx"));
}

TEST_F(RoomCardTest, CardsOfOccupantsComeThroughTheRoom) {
  Make();
  bob.Say(Join("Bo"));
  bob.Say("<iq type='set' id='c'><vCard xmlns='vcard-temp'><FN>Robert</FN></vCard></iq>");
  alice.Take();
  bob.Take();
  const std::string card = alice.Say(Card("get", "", "lab@rooms.example.com/Bo"));
  EXPECT_TRUE(Has(card, "from='lab@rooms.example.com/Bo'")) << card;
  EXPECT_TRUE(Has(card, "<FN>Robert</FN>")) << card;
  EXPECT_EQ(bob.Take(), "");
  EXPECT_TRUE(Has(carol.Say(Card("get", "", "lab@rooms.example.com/Bo")), "<not-acceptable"));
}

// Who may not see addresses is not given the card behind one: the client is asked.
TEST_F(RoomCardTest, CardsInAnonymousRoomsAreTheClientsToGive) {
  RoomSettings anonymous;
  anonymous.flags |= room::kAnonymous;
  Allow(0, anonymous);
  Make();
  bob.Say(Join("Bo"));
  carol.Say(Join("Ca"));
  bob.Say("<iq type='set' id='c'><vCard xmlns='vcard-temp'><FN>Robert</FN></vCard></iq>");
  bob.Take();
  EXPECT_FALSE(Has(carol.Say(Card("get", "", "lab@rooms.example.com/Bo")), "Robert"));
  EXPECT_TRUE(Has(bob.Take(), "<vCard"));
  EXPECT_TRUE(Has(alice.Say(Card("get", "", "lab@rooms.example.com/Bo")), "Robert"));
}

TEST_F(RoomCardTest, PresenceInRoomsNamesTheAvatar) {
  Make();
  const auto picture = [&](const std::string& of) {
    bob.Say("<iq type='set' id='c'><vCard xmlns='vcard-temp'>" + Photo(of) + "</vCard></iq>");
  };
  picture("abc");
  bob.Say(
      "<presence to='lab@rooms.example.com/Bo'><x xmlns='http://jabber.org/protocol/muc'/>"
      "<x xmlns='vcard-temp:x:update'><photo>feed</photo></x><show>away</show></presence>");
  const std::string seen = alice.Take();
  EXPECT_TRUE(Has(seen, "<show>away</show><x xmlns='vcard-temp:x:update'><photo>" + HashOf("abc") +
                            "</photo></x>"))
      << seen;
  EXPECT_FALSE(Has(seen, "feed"));
  // Another, for those who are there; and none.
  picture("xyz");
  const std::string told = alice.Take();
  EXPECT_EQ(Count(told, "from='lab@rooms.example.com/Bo'"), 1u) << told;
  EXPECT_TRUE(Has(told, "<photo>" + HashOf("xyz") + "</photo>"));
  EXPECT_FALSE(Has(told, HashOf("abc")));
  EXPECT_TRUE(Has(carol.Say(Join("Ca")), HashOf("xyz")));
  alice.Take();
  bob.Say("<iq type='set' id='c'><vCard xmlns='vcard-temp'><FN>B</FN></vCard></iq>");
  EXPECT_TRUE(Has(alice.Take(), "<photo></photo>"));
}

TEST_F(RoomCardTest, WhoCameAndWentIsArchivedWhereItIsWanted) {
  MakePersistent();
  bob.Say(Join("Bo"));
  EXPECT_FALSE(Has(Archive(alice), "<presence"));
  bob.Say("<presence type='unavailable' to='lab@rooms.example.com/Bo'/>");
  Config config = World::MakeConfig();
  config.rooms.archive_joins = true;
  world.engine().Apply(config);
  alice.Say(Chat("first"));
  EXPECT_TRUE(Has(bob.Say(Join("Bo")), "<status code='170'/>"));
  Client desk(world, 4);
  desk.LogIn("bob", "desk");
  desk.Say(Join("Bo"));  // the same occupant
  bob.Say("<presence to='lab@rooms.example.com/Bob'/>");
  bob.Say(Chat("second"));
  bob.Break();
  desk.Break();
  const std::string kept = Archive(alice);
  EXPECT_EQ(Count(kept, "<presence"), 4u) << kept;  // in, another nick, and both gone
  EXPECT_TRUE(Has(kept,
                  "<presence from='lab@rooms.example.com/Bo' xmlns='jabber:client'>"
                  "<x xmlns='http://jabber.org/protocol/muc#user'>"
                  "<item affiliation='none' role='participant'/></x><occupant-id"))
      << kept;
  EXPECT_TRUE(Has(kept,
                  "<presence from='lab@rooms.example.com/Bob' xmlns='jabber:client' "
                  "type='unavailable'>"));
  EXPECT_FALSE(Has(kept, "bob@example.com"));
  // It is no history, and nothing to moderate.
  world.Commit();
  EXPECT_TRUE(world.engine().rooms().Purge("lab@rooms.example.com").ok());
  carol.Say(Join("Ca"));
  const std::string id = Between(Archive(alice), "<last>", "</last>");
  EXPECT_TRUE(Has(alice.Say("<iq type='set' id='q' to='lab@rooms.example.com'><moderate id='" + id +
                            "' xmlns='urn:xmpp:message-moderate:1'>"
                            "<retract xmlns='urn:xmpp:message-retract:1'/></moderate></iq>"),
                  "<item-not-found"));
}

TEST_F(RoomCardTest, HistoryIsFoundBehindThoseWhoCameAndWent) {
  Config config = World::MakeConfig();
  config.rooms.archive_joins = true;
  world.engine().Apply(config);
  MakePersistent();
  alice.Say(Chat("one"));
  alice.Say(Chat("two"));
  for (int i = 0; i < 20; ++i) {
    bob.Say(Join("Bo"));
    bob.Say("<presence type='unavailable' to='lab@rooms.example.com/Bo'/>");
  }
  world.Commit();
  World after;
  after.AddUser("bob");
  after.engine().Apply(config);
  for (const auto& [key, value] : world.disk) {
    if (key[0] != 'a') {
      EXPECT_TRUE(after.engine().Load(key, AsBytes(value)).ok()) << key;
    }
  }
  after.disk = world.disk;
  Client back(after, 1);
  back.LogIn("bob", "b");
  const std::string seen = back.Say(Join("Bo"));
  EXPECT_TRUE(Has(seen, "<body>one</body>") && Has(seen, "<body>two</body>")) << seen;
}

}  // namespace
}  // namespace gh::xmpp::test
