// Limits of what clients say (limits.h) at their edges, where no other test of the room does that.
#include <gtest/gtest.h>

#include "crypto/legacy.h"
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

// A push service is told no part of a character.
TEST_F(Edges, WordsThatAPushServiceIsTold) {
  Config config = World::MakeConfig();
  config.push_contents = true;
  world.engine().Apply(config);
  alice.Say(
      "<iq type='set' id='e'><enable xmlns='urn:xmpp:push:0' jid='bob@example.com/b' "
      "node='n'/></iq>");
  alice.Say("</stream:stream>");
  world.AddUser("carol");
  Client carol(world, 3);
  carol.LogIn("carol", "c");
  const auto told = [&](const std::string& body) {
    carol.Say("<message to='alice@example.com' type='chat'><body>" + body + "</body></message>");
    return Between(bob.Take(), "last-message-body'><value>", "</value>");
  };
  EXPECT_EQ(told(std::string(kPushBodyMax, 'x')), std::string(kPushBodyMax, 'x'));
  EXPECT_EQ(told(std::string(kPushBodyMax - 1, 'x') + "\u00E9"),
            std::string(kPushBodyMax - 1, 'x'));
}

TEST_F(Edges, BytesOfArchivesRules) {
  const auto set = [&](size_t last) {
    std::string many;
    for (uint32_t i = 0; i < kArchiveRulesBytesMax / 200; ++i) {
      const std::string host = "@" + std::string(60, 'd') + "." + std::string(20, 'd') + ".org";
      const size_t size = i == 0 ? last : 197;
      many += "<jid>" + std::string(size - host.size() - 2, 'u') + std::to_string(10 + i) + host +
              "</jid>";
    }
    return alice.Say(
        "<iq type='set' id='p'><prefs xmlns='urn:xmpp:mam:2' default='always'>"
        "<always>" +
        many + "</always><never/></prefs></iq>");
  };
  static_assert(kArchiveRulesBytesMax % 200 == 0 && kArchiveRulesBytesMax / 200 < kArchiveRulesMax);
  EXPECT_TRUE(Has(set(198), "resource-constraint"));
  EXPECT_TRUE(Has(set(197), "type='result'"));
}

TEST_F(Edges, BytesOfAPageOfAnArchive) {
  const std::string body(20'000, 'x');
  for (int i = 0; i < 10; ++i) {
    bob.Say("<message to='alice@example.com' type='chat'><body>" + body + "</body></message>");
  }
  alice.Take();
  const std::string got = alice.Say("<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>");
  EXPECT_EQ(Count(got, "<forwarded"), kArchivePageBytesMax / body.size() + 1);
  EXPECT_FALSE(Has(got, "complete='true'"));
}

// Of an archive in which nothing is what is looked for.
TEST_F(Edges, EntriesLookedAtForAPage) {
  Config config = World::MakeConfig();
  config.archive.entries_max = 4 * kArchiveScanMax;
  world.engine().Apply(config);
  const auto tell = [&](uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) {
      bob.Say("<message to='alice@example.com' type='chat'><body>x</body></message>");
    }
    world.Commit();
    alice.Take();
  };
  const auto ask = [&] {
    return alice.Say(
        "<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'><x xmlns='jabber:x:data' "
        "type='submit'><field var='with'><value>carol@example.com</value></field></x></query>"
        "</iq>");
  };
  tell(2 * kArchiveScanMax);
  EXPECT_TRUE(Has(ask(), "complete='true'"));
  tell(1);
  EXPECT_FALSE(Has(ask(), "complete='true'"));
}

// What goes for one entry, so that one message never waits for thousands.
TEST_F(Edges, EntriesThatGoForOne) {
  for (uint32_t i = 0; i < 2 * kArchivePruneMax; ++i) {
    bob.Say("<message to='alice@example.com' type='chat'><body>x</body></message>");
  }
  Config config = World::MakeConfig();
  const Archive& archive = world.engine().archive();
  config.archive.bytes_max = archive.byte_count() / 100;
  world.engine().Apply(config);
  const uint64_t before = archive.pruned_count();
  bob.Say("<message to='alice@example.com' type='chat'><body>x</body></message>");  // two entries
  EXPECT_EQ(archive.pruned_count() - before, 2 * kArchivePruneMax);
}

TEST_F(Edges, PresenceHeldBackForWhoDoesNotLook) {
  bob.Say("<presence to='alice@example.com' type='subscribed'/>");
  alice.Say("<presence to='bob@example.com' type='subscribe'/>");
  bob.Say("<presence to='alice@example.com' type='subscribed'/>");
  alice.Say("<presence/>");
  alice.Take();
  const auto say = [&] {
    bob.Say("<presence><status>" + std::string(1000, 's') + "</status></presence>");
    return alice.Take();
  };
  const size_t each = say().size() + 4;
  ASSERT_GT(each, 1000u);
  alice.Say("<inactive xmlns='urn:xmpp:csi:0'/>");
  for (uint32_t i = 0; i < kInactiveHeldMax / each; ++i) {
    EXPECT_EQ(say(), "") << i;
  }
  EXPECT_EQ(Count(say(), "<presence"), kInactiveHeldMax / each + 1);
}

TEST_F(Edges, StanzasThatAreNotAcknowledged) {
  for (const bool by_bytes : {false, true}) {
    const size_t size = by_bytes ? 60'000 : 1;
    const uint32_t most = by_bytes ? kUnacknowledgedBytesMax / 60'500 : kUnacknowledgedMax;
    Client reader(world, by_bytes ? 11 : 10);
    reader.LogIn("alice", "r");
    reader.Say("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
    const auto say = [&] {
      bob.Say("<message to='alice@example.com/r' type='headline'><body>" + std::string(size, 'x') +
              "</body></message>");
      return reader.Take();
    };
    for (uint32_t i = 0; i < most; ++i) {
      ASSERT_FALSE(Has(say(), "resource-constraint")) << i;
    }
    EXPECT_TRUE(Has(say(), "resource-constraint"));
  }
}

// As long as any, and kept in rows.
TEST_F(Edges, AMessageThatWaits) {
  world.AddUser("carol");
  const std::string frame = "<message to='carol@example.com' type='chat'><body></body></message>";
  const auto say = [&](size_t size) {
    return alice.Say("<message to='carol@example.com' type='chat'><body>" +
                     std::string(size - frame.size(), 'x') + "</body></message>");
  };
  EXPECT_EQ(say(kStanzaMax), "");
  for (const auto& [key, value] : world.pending) {
    EXPECT_LE(value.size(), kRowMax) << key;
  }
  world.Commit();
  static_assert(kMessagePartsMax * kRowMax > kOutputMax);
  Client carol(world, 3);
  carol.LogIn("carol", "c");
  EXPECT_TRUE(Has(carol.Say("<presence/>"), std::string(kStanzaMax - frame.size(), 'x')));
  EXPECT_TRUE(Has(say(kStanzaMax + 1), "policy-violation"));
}

// The smallest that an operator may ask for is what RFC 6120 wants (section 13.12).
TEST_F(Edges, TheSmallestLimitOfStanzas) {
  Config config = World::MakeConfig();
  config.stanza_max = kStanzaMin;
  world.engine().Apply(config);
  const std::string frame = "<message to='bob@example.com'><body></body></message>";
  const auto say = [&](size_t size) {
    return alice.Say("<message to='bob@example.com'><body>" +
                     std::string(size - frame.size(), 'x') + "</body></message>");
  };
  EXPECT_FALSE(Has(say(kStanzaMin), "policy-violation"));
  EXPECT_TRUE(Has(say(kStanzaMin + 1), "policy-violation"));
}

TEST_F(Edges, DomainsAndHostsOfRooms) {
  Config config = World::MakeConfig();
  config.domain_count = kLocalDomainMax;
  for (uint32_t i = 1; i < kLocalDomainMax; ++i) {
    config.domains[i].Assign("d" + std::to_string(i) + ".example");
  }
  config.rooms.host_count = kRoomHostMax;
  for (uint32_t i = 1; i < kRoomHostMax; ++i) {
    config.rooms.hosts[i].Assign("r" + std::to_string(i) + ".example");
  }
  config.rooms.administrator_count = kRoomAdministratorMax;
  config.rooms.administrators[kRoomAdministratorMax - 1].Assign("alice@example.com");
  world.engine().Apply(config);
  EXPECT_TRUE(world.engine().Serves("d" + std::to_string(kLocalDomainMax - 1) + ".example"));
  const std::string last = "lab@r" + std::to_string(kRoomHostMax - 1) + ".example";
  EXPECT_TRUE(Has(bob.Say("<presence to='" + last + "/B'><x xmlns='" + kMuc + "'/></presence>"),
                  "<status code='201'/>"));
  bob.Say(
      Query("set", std::string(kMuc) + "#owner", "<x xmlns='jabber:x:data' type='submit'/>", last));
  const std::string got =
      alice.Say("<presence to='" + last + "/A'><x xmlns='" + kMuc + "'/></presence>");
  EXPECT_TRUE(Has(got, "affiliation='owner'")) << got;
}

// Clients' wishes are counted by their hash; those nobody names any more give way.
TEST(Wishes, AreSoMany) {
  gh::test::Memory memory(8 << 20);
  Arena arena{std::span<uint8_t>(memory)};
  ChainPool chains(arena, 1000);
  CapsCache cache(arena, chains, SipKey{}, kCapsMax);
  std::vector<Caps*> all;
  for (uint32_t i = 0; i < kCapsMax; ++i) {
    all.push_back(cache.Take("hash" + std::to_string(i)));
    ASSERT_NE(all.back(), nullptr) << i;
  }
  EXPECT_EQ(cache.Take("another"), nullptr);
  EXPECT_EQ(cache.Take("hash0"), all[0]);
  cache.Release(all[0]);
  cache.Release(all[0]);
  EXPECT_NE(cache.Take("another"), nullptr);
}

TEST_F(Edges, WishesOfAClient) {
  const auto wishes = [&](size_t bytes) {
    const std::string asked = alice.Say(
        "<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='" +
        std::to_string(bytes) + "'/></presence>");
    const std::string id = Between(asked, "id='caps-", "'");
    alice.Say("<iq type='result' id='caps-" + id +
              "' to='example.com'><query xmlns='http://jabber.org/protocol/disco#info'>"
              "<feature var='" +
              std::string(bytes - 3, 'n') + "+notify'/><feature var='x+notify'/></query></iq>");
    return alice.Say(
        "<iq type='set' id='p'><pubsub xmlns='http://jabber.org/protocol/pubsub'>"
        "<publish node='x'><item id='1'><a xmlns='urn:a'/></item></publish></pubsub></iq>");
  };
  EXPECT_TRUE(Has(wishes(kCapsNotifyBytesMax), "<event"));
  EXPECT_FALSE(Has(wishes(kCapsNotifyBytesMax + 1), "<event"));
}

TEST_F(Edges, FeaturesThatMakeAHash) {
  for (const bool is_over : {false, true}) {
    std::string features;
    std::string hashed = "client/pc//x<";
    for (uint32_t i = 0; i < kCapsFeaturesMax + is_over; ++i) {
      const std::string name = "f" + std::to_string(1000 + i);
      features += "<feature var='" + name + "'/>";
      hashed += name + "<";
    }
    crypto::Sha1 digest;
    digest.Update(hashed);
    const std::string presence =
        "<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='" +
        Base64Of(AsText(digest.Finish())) + "'/></presence>";
    const std::string id = Between(alice.Say(presence), "id='caps-", "'");
    alice.Say("<iq type='result' id='caps-" + id +
              "' to='example.com'><query xmlns='http://jabber.org/protocol/disco#info'>"
              "<identity category='client' type='pc' name='x'/>" +
              features + "</query></iq>");
    EXPECT_EQ(Has(bob.Say(presence), "caps-"), is_over);  // believed, the next is not asked
  }
}

TEST_F(Edges, DetailsOfAContact) {
  const auto set = [&](size_t last) {
    std::string groups;
    for (uint32_t i = 0; i + 1 < kContactGroupsMax / 8; ++i) {
      groups += "<group>" + std::to_string(100'000 + i) + "</group>";  // with two bytes each
    }
    groups += "<group>" + std::string(last, 'g') + "</group>";
    return alice.Say(
        "<iq type='set' id='s'><query xmlns='jabber:iq:roster'><item "
        "jid='carol@example.com' name='" +
        std::string(kContactNameMax, 'n') + "'>" + groups + "</item></query></iq>");
  };
  static_assert(kContactDetailsMax >= 2 + kContactNameMax + kContactGroupsMax);
  EXPECT_TRUE(Has(set(7), "not-acceptable"));
  EXPECT_TRUE(Has(set(6), "type='result'"));
  const std::string got = alice.Say("<iq type='get' id='g'><query xmlns='jabber:iq:roster'/></iq>");
  EXPECT_EQ(Count(got, "<group>"), kContactGroupsMax / 8);
}

// Of many archives the age is a guess, for their first entries went otherwise: not all are asked.
TEST_F(Edges, ArchivesAskedForTheirAge) {
  constexpr uint32_t kUsers = kArchiveLooksMax + 4;
  World large(kUsers + 1, 4);
  large.AddUser("bob");
  Client sender(large, 1);
  sender.LogIn("bob", "b");
  Config config = World::MakeConfig();
  config.archive.entries_max = 2;
  large.engine().Apply(config);
  for (uint32_t i = 0; i < kUsers; ++i) {
    large.AddUser("u" + std::to_string(i));
  }
  const auto tell = [&](uint32_t user) {
    large.unix_seconds += 10;
    sender.Say("<message to='u" + std::to_string(user) +
               "@example.com' type='chat'><body>x</body></message>");
  };
  for (uint32_t i = 0; i < 4 * kUsers; ++i) {
    tell(i % kUsers);
  }
  const Archive& archive = large.engine().archive();
  config.archive.bytes_max = archive.byte_count();
  large.engine().Apply(config);
  const uint64_t refused = archive.refused_count();
  for (uint32_t i = 0; i < 4 * kUsers; ++i) {
    tell(i % kUsers);
    EXPECT_LE(archive.byte_count(), config.archive.bytes_max);
  }
  EXPECT_EQ(archive.refused_count(), refused);
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

TEST_F(RoomEdges, NamesOfRoomsWithTheirHost) {
  Config config = World::MakeConfig();
  const std::string host = "@" + std::string(60, 'h') + "." + std::string(53, 'h') + ".example";
  config.rooms.hosts[0].Assign(host.substr(1));
  world.engine().Apply(config);
  for (const bool is_over : {false, true}) {
    const std::string name(kRoomNameMax - host.size() + is_over, 'n');
    const std::string got =
        alice.Say("<presence to='" + name + host + "/Al'><x xmlns='" + kMuc + "'/></presence>");
    EXPECT_EQ(Has(got, "<status code='201'/>"), !is_over) << got;
  }
}

TEST_F(RoomEdges, HistoryThatIsKept) {
  Make();
  for (uint32_t i = 0; i < kRoomHistoryMax + 5; ++i) {
    alice.Say(Chat("n" + std::to_string(i)));
  }
  std::string got = bob.Say(Join("Bo", "<history maxstanzas='5000'/>"));
  EXPECT_EQ(Count(got, "<body>"), kRoomHistoryMax);
  EXPECT_TRUE(Has(got, "<body>n5</body>"));
  for (int i = 0; i < 10; ++i) {
    alice.Say(Chat(std::string(10'000, 'x')));
  }
  got = carol.Say(Join("Ca", "<history maxstanzas='5000'/>"));
  EXPECT_EQ(Count(got, "<body>"), kRoomHistoryBytesMax / 10'500);
}

TEST_F(RoomEdges, ReasonsAreCutBetweenCharacters) {
  Make();
  bob.Say(Join("Bo"));
  alice.Take();
  const std::string long_one = std::string(kRoomReasonMax - 1, 'r') + "\u00E9";
  alice.Say(Admin("<item nick='Bo' role='none'><reason>" + long_one + "</reason></item>"));
  EXPECT_TRUE(Has(bob.Take(), ">" + std::string(kRoomReasonMax - 1, 'r') + "</reason>"));
  bob.Say(Join("Bo"));
  const std::string fits = std::string(kRoomReasonMax - 2, 'r') + "\u00E9";
  alice.Say(Admin("<item nick='Bo' role='none'><reason>" + fits + "</reason></item>"));
  EXPECT_TRUE(Has(bob.Take(), ">" + fits + "</reason>"));
}

TEST_F(RoomEdges, PresenceOfOccupants) {
  Make();
  for (const bool is_over : {false, true}) {
    const std::string frame = "<status></status>";
    const std::string status(kRoomPresenceMax - frame.size() + is_over, 's');
    const std::string got =
        bob.Say("<presence to='lab@rooms.example.com/Bo'><x xmlns='" + std::string(kMuc) +
                "'/><status>" + status + "</status></presence>");
    EXPECT_EQ(Has(got, "type='error'"), is_over) << got;
    bob.Say("<presence type='unavailable' to='lab@rooms.example.com/Bo'/>");
  }
}

TEST_F(RoomEdges, AffiliatesOfARoom) {
  Capacity capacity = Capacity::For(4, 4);
  capacity.rooms.affiliates = kRoomAffiliateMax + 10;
  capacity.blocks = 8 * kRoomAffiliateMax;
  World large(capacity, capacity.ArenaBytes() + (1 << 20));
  large.AddUser("alice");
  Client owner(large, 1);
  owner.LogIn("alice", "a");
  owner.Say(Join("Al"));
  owner.Say(Submit(""));
  uint32_t number = 0;
  const auto add = [&](uint32_t count) {
    std::string items;
    for (uint32_t i = 0; i < count; ++i) {
      items += "<item affiliation='member' jid='u" + std::to_string(number++) + "@other.org'/>";
    }
    return owner.Say(Admin(items));
  };
  while (number + 100 < kRoomAffiliateMax) {
    ASSERT_TRUE(Has(add(100), "type='result'"));
  }
  EXPECT_TRUE(Has(add(kRoomAffiliateMax - 1 - number), "type='result'"));  // she is one
  EXPECT_TRUE(Has(add(1), "type='error'"));
}

TEST_F(RoomEdges, RoomsOnAPageOfTheList) {
  constexpr uint32_t kUsers = 4;
  Capacity capacity = Capacity::For(kUsers, kUsers);
  capacity.rooms.rooms = kRoomsListedMax + 10;
  capacity.rooms.occupants = 2 * kRoomsListedMax;
  capacity.rooms.affiliates = 2 * kRoomsListedMax;
  capacity.blocks = 20 * kRoomsListedMax;
  World large(capacity, capacity.ArenaBytes() + (1 << 20));
  std::vector<std::unique_ptr<Client>> users;
  for (uint32_t i = 0; i < kRoomsListedMax + 1; ++i) {
    if (i % kRoomsOfSessionMax == 0) {
      const std::string name = "u" + std::to_string(i);
      large.AddUser(name);
      users.push_back(std::make_unique<Client>(large, i));
      users.back()->LogIn(name, "r");
    }
    const std::string room = "r" + std::to_string(i);
    users.back()->Say(Join("n", "", room));
    users.back()->Say(Query("set", std::string(kMuc) + "#owner",
                            "<x xmlns='jabber:x:data' type='submit'/>",
                            room + "@rooms.example.com"));
  }
  const std::string got = users[0]->Say(Query(
      "get", "http://jabber.org/protocol/disco#items",
      "<set xmlns='http://jabber.org/protocol/rsm'><max>5000</max></set>", "rooms.example.com"));
  EXPECT_EQ(Count(got, "<item "), kRoomsListedMax);
}

}  // namespace
}  // namespace gh::xmpp::test
