// Rooms as occupants see them: entering, speaking, standing, configuration, what is kept. Archives
// of rooms are tried here, those of users in archive_test.cc.
#include <gtest/gtest.h>

#include "firmware/xmpp/stamp.h"
#include "tests/unit/xmpp/room_scene.h"

namespace gh::xmpp::test {
namespace {

TEST_F(RoomTest, IsLockedUntilConfiguredAndGoesWithTheLast) {
  alice.Say(Join("Al"));
  EXPECT_TRUE(Has(bob.Say(Join("Bo")), "<item-not-found"));
  EXPECT_TRUE(Has(alice.Say(Submit("")), "type='result'"));
  const std::string joined = bob.Say(Join("Bo"));
  EXPECT_TRUE(Has(joined, "from='lab@rooms.example.com/Al'")) << joined;
  EXPECT_TRUE(Has(joined, "<item affiliation='none' role='participant'"));
  EXPECT_TRUE(Has(joined, "<status code='110'/><status code='100'/>"));
  EXPECT_TRUE(joined.ends_with("<subject></subject></message>"));
  EXPECT_TRUE(Has(alice.Take(), "jid='bob@example.com/b'"));
  bob.Say("<presence type='unavailable' to='lab@rooms.example.com/Bo'/>");
  EXPECT_TRUE(Has(alice.Take(), "type='unavailable'"));
  alice.Break();
  EXPECT_EQ(world.engine().rooms().room_count(), 0u);
  EXPECT_EQ(world.engine().rooms().occupant_count(), 0u);
}

TEST_F(RoomTest, AnOwnerWhoCancelsOrLeavesTakesItAlong) {
  alice.Say(Join("Al"));
  EXPECT_TRUE(Has(alice.Say(Query("set", std::string(kMuc) + "#owner",
                                  "<x xmlns='jabber:x:data' type='cancel'/>")),
                  "<destroy>"));
  EXPECT_EQ(world.engine().rooms().room_count(), 0u);
  alice.Say(Join("Al"));
  alice.Say("<presence type='unavailable'/>");
  EXPECT_EQ(world.engine().rooms().room_count(), 0u);
}

TEST_F(RoomTest, WhatIsSaidIsHeardByAllAndShownToWhoComesLater) {
  Make();
  bob.Say(Join("Bo"));
  alice.Take();
  const std::string own = bob.Say(Chat("hi &amp; &lt;all&gt;"));
  EXPECT_TRUE(Has(own,
                  "<message from='lab@rooms.example.com/Bo' to='bob@example.com/b' "
                  "type='groupchat' id='m'><body>hi &amp; &lt;all&gt;</body>"))
      << own;
  EXPECT_TRUE(Has(alice.Take(), "<body>hi &amp; &lt;all&gt;</body>"));
  for (int i = 0; i < 20; ++i) {
    bob.Say(Chat("n" + std::to_string(i)));
  }
  const std::string later = carol.Say(Join("Ca"));
  EXPECT_EQ(Count(later, "<body>"), 15u);
  EXPECT_TRUE(Has(later, "<body>n19</body>"));
  EXPECT_FALSE(Has(later, "<body>n4</body>"));
  EXPECT_EQ(Count(later, "<delay xmlns='urn:xmpp:delay'"), 15u);
  carol.Say("<presence type='unavailable' to='lab@rooms.example.com/Ca'/>");
  EXPECT_EQ(Count(carol.Say(Join("Ca", "<history maxstanzas='2'/>")), "<body>"), 2u);
  carol.Say("<presence type='unavailable' to='lab@rooms.example.com/Ca'/>");
  EXPECT_EQ(Count(carol.Say(Join("Ca", "<history maxchars='0'/>")), "<body>"), 0u);
  carol.Say("<presence type='unavailable' to='lab@rooms.example.com/Ca'/>");
  world.unix_seconds += 100;
  bob.Say(Chat("late"));
  EXPECT_EQ(Count(carol.Say(Join("Ca", "<history seconds='50'/>")), "<body>"), 1u);
}

TEST_F(RoomTest, StrangersDoNotSpeak) {
  Make();
  EXPECT_TRUE(Has(bob.Say(Chat("x")), "<not-acceptable"));
  EXPECT_TRUE(Has(bob.Say("<message to='lab@rooms.example.com/Al' type='chat'><body>x</body>"
                          "</message>"),
                  "<not-acceptable"));
  EXPECT_TRUE(Has(bob.Say("<message type='groupchat' to='no@rooms.example.com'><body>x</body>"
                          "</message>"),
                  "<item-not-found"));
  EXPECT_FALSE(Has(alice.Take(), "<body>"));
}

TEST_F(RoomTest, ForgedPartsAreDropped) {
  Make();
  bob.Say(Join("Bo"));
  alice.Take();
  bob.Say(
      "<message type='groupchat' to='lab@rooms.example.com'><body>x</body>"
      "<x xmlns='http://jabber.org/protocol/muc#user'><status code='301'/></x>"
      "<stanza-id xmlns='urn:xmpp:sid:0' by='lab@rooms.example.com' id='7'/>"
      "<occupant-id xmlns='urn:xmpp:occupant-id:0' id='forged'/>"
      "<occupant-id xmlns='urn:xmpp:occupant-id:0' id='forged'/></message>");
  const std::string heard = alice.Take();
  EXPECT_TRUE(Has(heard, "<body>x</body>"));
  EXPECT_FALSE(Has(heard, "301"));
  EXPECT_FALSE(Has(heard, "id='7'"));
  EXPECT_FALSE(Has(heard, "forged"));
  EXPECT_EQ(Count(heard, "<occupant-id"), 1u);
}

TEST_F(RoomTest, ANickIsOnesOwnAndMayChange) {
  Make();
  bob.Say(Join("Bo"));
  EXPECT_TRUE(Has(carol.Say(Join("Bo")), "<conflict"));
  alice.Take();
  bob.Say("<presence to='lab@rooms.example.com/Bob'/>");
  const std::string seen = alice.Take();
  EXPECT_TRUE(Has(seen, "nick='Bob'"));
  EXPECT_TRUE(Has(seen, "<status code='303'/>"));
  EXPECT_TRUE(Has(seen, "<presence from='lab@rooms.example.com/Bob' to='alice@example.com/a'>"));
  EXPECT_TRUE(Has(bob.Say("<presence to='lab@rooms.example.com/Al'/>"), "<conflict"));
  // A second session of one user shares his nick, and others see one occupant.
  Client desk(world, 4);
  desk.LogIn("bob", "desk");
  EXPECT_TRUE(Has(desk.Say(Join("Bob")), "code='110'"));
  alice.Take();
  bob.Say("<presence type='unavailable' to='lab@rooms.example.com/Bob'/>");
  EXPECT_FALSE(Has(alice.Take(), "unavailable"));
  desk.Break();
  EXPECT_TRUE(Has(alice.Take(), "unavailable"));
}

TEST_F(RoomTest, SubjectIsForThoseWhoMay) {
  Make();
  bob.Say(Join("Bo"));
  const char* subject =
      "<message type='groupchat' to='lab@rooms.example.com'><subject>S</subject></message>";
  EXPECT_TRUE(Has(bob.Say(subject), "<subject>S</subject>"));
  EXPECT_TRUE(Has(carol.Say(Join("Ca")),
                  "from='lab@rooms.example.com/Bo' to='carol@example.com/c' "
                  "type='groupchat'><subject>S</subject>"));
  Allow(room::kSubjectRole);
  EXPECT_TRUE(Has(alice.Say(Submit(Field("muc#roomconfig_changesubject", "0"))), "result"));
  EXPECT_TRUE(Has(bob.Say(subject), "<forbidden"));
  EXPECT_TRUE(Has(alice.Say(subject), "<subject>S</subject>"));
  EXPECT_TRUE(Has(alice.Say("<message type='groupchat' to='lab@rooms.example.com'><subject>" +
                            std::string(kRoomSubjectMax + 1, 'x') + "</subject></message>"),
                  "<policy-violation"));
}

TEST_F(RoomTest, KicksBansAndTheirLimits) {
  Make();
  bob.Say(Join("Bo"));
  carol.Say(Join("Ca"));
  alice.Take();
  EXPECT_TRUE(Has(bob.Say(Admin("<item nick='Ca' role='none'/>")), "<forbidden"));
  alice.Say(Admin("<item nick='Ca' role='none'><reason>out</reason></item>"));
  const std::string kicked = carol.Take();
  EXPECT_TRUE(Has(kicked, "<actor nick='Al'/><reason>out</reason>")) << kicked;
  EXPECT_TRUE(Has(kicked, "<status code='307'/>"));
  EXPECT_TRUE(Has(carol.Say(Join("Ca")), "code='110'"));
  alice.Say(Admin("<item jid='carol@example.com' affiliation='outcast'/>"));
  EXPECT_TRUE(Has(carol.Take(), "<status code='301'/>"));
  EXPECT_TRUE(Has(carol.Say(Join("Ca")), "<forbidden"));
  EXPECT_TRUE(
      Has(alice.Say(Query("get", std::string(kMuc) + "#admin", "<item affiliation='outcast'/>")),
          "jid='carol@example.com'"));
  alice.Say(Admin("<item jid='carol@example.com' affiliation='none'/>"));
  EXPECT_TRUE(Has(carol.Say(Join("Ca")), "code='110'"));
  // The last owner stays one, and nobody bans himself.
  EXPECT_TRUE(
      Has(alice.Say(Admin("<item jid='alice@example.com' affiliation='none'/>")), "<conflict"));
  EXPECT_TRUE(
      Has(alice.Say(Admin("<item jid='alice@example.com' affiliation='outcast'/>")), "<conflict"));
  // An administrator of the room does not touch owners or make any.
  alice.Say(Admin("<item jid='bob@example.com' affiliation='admin'/>"));
  EXPECT_TRUE(Has(bob.Take(), "affiliation='admin' role='moderator'"));
  EXPECT_TRUE(Has(bob.Say(Admin("<item nick='Al' role='none'/>")), "<not-allowed"));
  EXPECT_TRUE(
      Has(bob.Say(Admin("<item jid='carol@example.com' affiliation='owner'/>")), "<not-allowed"));
  EXPECT_TRUE(Has(bob.Say(Admin("<item nick='Ca' role='none'/>")), "type='result'"));
  // A whole domain.
  carol.Say(Join("Ca"));
  alice.Say(Admin("<item jid='example.com' affiliation='outcast'/>"));
  EXPECT_TRUE(Has(carol.Take(), "<status code='301'/>"));
}

TEST_F(RoomTest, ChangesAreMadeAllOrNone) {
  Make();
  EXPECT_TRUE(Has(alice.Say(Admin("<item jid='bob@example.com' affiliation='member'/>"
                                  "<item jid='x@y@z' affiliation='member'/>")),
                  "<jid-malformed"));
  EXPECT_FALSE(
      Has(alice.Say(Query("get", std::string(kMuc) + "#admin", "<item affiliation='member'/>")),
          "bob"));
  std::string many;
  for (uint32_t i = 0; i <= kRoomChangesMax; ++i) {
    many += "<item jid='u" + std::to_string(i) + "@x.org' affiliation='member'/>";
  }
  EXPECT_TRUE(Has(alice.Say(Admin(many)), "<resource-constraint"));
  many.resize(many.rfind("<item"));
  EXPECT_TRUE(Has(alice.Say(Admin(many)), "type='result'"));
}

TEST_F(RoomTest, VoiceInAModeratedRoom) {
  Allow(room::kModerated);
  Make(Field("muc#roomconfig_moderatedroom", "1"));
  EXPECT_TRUE(Has(bob.Say(Join("Bo")), "role='visitor'"));
  EXPECT_TRUE(Has(bob.Say(Chat("x")), "<forbidden"));
  alice.Take();
  bob.Say("<message to='lab@rooms.example.com'><x xmlns='jabber:x:data' type='submit'>" +
          Field("FORM_TYPE", std::string(kMuc) + "#request") + Field("muc#role", "participant") +
          "</x></message>");
  EXPECT_TRUE(Has(alice.Take(), "muc#request_allow"));
  alice.Say("<message to='lab@rooms.example.com'><x xmlns='jabber:x:data' type='submit'>" +
            Field("FORM_TYPE", std::string(kMuc) + "#request") + Field("muc#roomnick", "Bo") +
            Field("muc#request_allow", "true") + "</x></message>");
  EXPECT_TRUE(Has(bob.Take(), "role='participant'"));
  EXPECT_TRUE(Has(bob.Say(Chat("x")), "<body>x</body>"));
  alice.Say(Admin("<item nick='Bo' role='visitor'/>"));
  EXPECT_TRUE(Has(bob.Say(Chat("x")), "<forbidden"));
}

TEST_F(RoomTest, MembersOnlyAndInvitations) {
  Allow(room::kMembersOnly | room::kModeratorsInvite | room::kInviteRole);
  Make(Field("muc#roomconfig_membersonly", "1"));
  EXPECT_TRUE(Has(bob.Say(Join("Bo")), "<registration-required"));
  bob.Say("<presence/>");
  alice.Say(
      "<message to='lab@rooms.example.com'><x xmlns='http://jabber.org/protocol/muc#user'>"
      "<invite to='bob@example.com'><reason>come</reason></invite></x></message>");
  const std::string invited = bob.Take();
  EXPECT_TRUE(Has(invited, "<invite from='alice@example.com'><reason>come</reason>")) << invited;
  EXPECT_TRUE(Has(invited, "<x xmlns='jabber:x:conference' jid='lab@rooms.example.com'"));
  EXPECT_TRUE(Has(bob.Say(Join("Bo")), "affiliation='member' role='participant'"));
  // Members may, until only moderators may.
  const char* invite =
      "<message to='lab@rooms.example.com'><x xmlns='http://jabber.org/protocol/muc#user'>"
      "<invite to='carol@example.com'/></x></message>";
  EXPECT_FALSE(Has(bob.Say(invite), "error"));
  EXPECT_TRUE(Has(alice.Say(Submit(Field("muc#roomconfig_allowinvites", "0"))), "result"));
  EXPECT_TRUE(Has(bob.Say(invite), "<forbidden"));
  alice.Take();
  carol.Say(
      "<message to='lab@rooms.example.com'><x xmlns='http://jabber.org/protocol/muc#user'>"
      "<decline to='alice@example.com'><reason>busy</reason></decline></x></message>");
  EXPECT_TRUE(Has(alice.Take(), "<decline from='carol@example.com'><reason>busy"));
  // Who loses membership has to go.
  alice.Say(Admin("<item jid='bob@example.com' affiliation='none'/>"));
  EXPECT_TRUE(Has(bob.Take(), "<status code='321'/>"));
  // A room that closes shows strangers out.
  alice.Say(Submit(Field("muc#roomconfig_membersonly", "0")));
  bob.Say(Join("Bo"));
  alice.Say(Submit(Field("muc#roomconfig_membersonly", "1")));
  EXPECT_TRUE(Has(bob.Take(), "<status code='322'/>"));
}

TEST_F(RoomTest, UsersMakeThemselvesMembersWhereTheyMay) {
  Make();
  const std::string form =
      "<x xmlns='jabber:x:data' type='submit'>" + Field("muc#register_roomnick", "Bo") + "</x>";
  EXPECT_TRUE(Has(bob.Say(Query("get", "jabber:iq:register", "")), "<not-allowed"));
  RoomSettings open;
  open.flags |= room::kSelfRegister | room::kShowAbsent;
  Allow(0, open);
  alice.Say(Join("Al", "", "open"));
  alice.Say(
      "<iq type='set' id='q' to='open@rooms.example.com'><query "
      "xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' "
      "type='submit'/></query></iq>");
  const std::string room = "open@rooms.example.com";
  EXPECT_TRUE(Has(bob.Say(Query("get", "jabber:iq:register", "", room)), "muc#register_roomnick"));
  // The nick he has reserved (XEP-0045 section 6.6), before and when he has one.
  const auto reserved = [&](Client& client) {
    const std::string got = client.Say(
        "<iq type='get' id='q' to='" + room +
        "'><query xmlns='http://jabber.org/protocol/disco#info' node='x-roomuser-item'/></iq>");
    return Between(got, "node='x-roomuser-item'>", "</query>");
  };
  EXPECT_EQ(reserved(bob), "");
  EXPECT_TRUE(Has(bob.Say(Query("set", "jabber:iq:register", form, room)), "type='result'"));
  EXPECT_EQ(reserved(bob), "<identity category='conference' type='text' name='Bo'/>");
  EXPECT_EQ(reserved(carol), "");
  EXPECT_TRUE(Has(carol.Say(Join("Bo", "", "open")), "<conflict"));  // it is registered
  EXPECT_TRUE(Has(carol.Say(Query("set", "jabber:iq:register", form, room)), "<conflict"));
  const std::string seen = carol.Say(Join("Ca", "", "open"));
  EXPECT_TRUE(Has(seen, "<presence type='unavailable' from='open@rooms.example.com/Bo'")) << seen;
  EXPECT_TRUE(Has(bob.Say(Query("set", "jabber:iq:register", "<remove/>", room)), "result"));
  EXPECT_FALSE(Has(carol.Say(Join("Bo", "", "open")), "<conflict"));
}

// XEP-0045 sections 9.5, 9.8, 10.5: who is asked for by whom.
TEST_F(RoomTest, ListsAreForThoseWhoMay) {
  Make();
  bob.Say(Join("Bo"));
  alice.Say(Admin("<item affiliation='member' jid='carol@example.com'/>"));
  const auto asked = [](Client& client, const std::string& item) {
    return client.Say(Query("get", std::string(kMuc) + "#admin", "<item " + item + "/>"));
  };
  for (const char* list :
       {"affiliation='owner'", "affiliation='admin'", "affiliation='member'",
        "affiliation='outcast'", "role='moderator'", "role='participant'", "role='visitor'"}) {
    EXPECT_TRUE(Has(asked(bob, list), "<forbidden")) << list;    // in the room
    EXPECT_TRUE(Has(asked(carol, list), "<forbidden")) << list;  // a member who is not there
    EXPECT_TRUE(Has(asked(alice, list), "type='result'")) << list;
  }
  EXPECT_TRUE(Has(asked(alice, "affiliation='member'"), "jid='carol@example.com'"));
  EXPECT_TRUE(Has(asked(alice, "role='participant'"), "nick='Bo'"));
  EXPECT_TRUE(Has(asked(alice, "affiliation='king'"), "<bad-request"));
}

TEST_F(RoomTest, PasswordsAndOccupancy) {
  Allow(room::kOccupancy);
  EXPECT_TRUE(Has(alice.Say(Join("Al")), "201"));
  EXPECT_TRUE(Has(alice.Say(Submit(Field("muc#roomconfig_passwordprotectedroom", "1"))),
                  "<not-acceptable"));
  alice.Say(Submit(Field("muc#roomconfig_passwordprotectedroom", "1") +
                   Field("muc#roomconfig_roomsecret", "p&amp;w") +
                   Field("muc#roomconfig_maxusers", "2")));
  EXPECT_TRUE(Has(bob.Say(Join("Bo")), "<not-authorized"));
  EXPECT_TRUE(Has(bob.Say(Join("Bo", "<password>p</password>")), "<not-authorized"));
  EXPECT_TRUE(Has(bob.Say(Join("Bo", "<password>p&amp;w</password>")), "code='110'"));
  EXPECT_TRUE(Has(carol.Say(Join("Ca", "<password>p&amp;w</password>")), "<service-unavailable"));
  // Administrators of the room may enter when it is full.
  alice.Say(Admin("<item jid='carol@example.com' affiliation='admin'/>"));
  EXPECT_TRUE(Has(carol.Say(Join("Ca", "<password>p&amp;w</password>")), "code='110'"));
  EXPECT_TRUE(Has(alice.Say(Submit(Field("muc#roomconfig_maxusers", "1001"))), "<not-acceptable"));
}

TEST_F(RoomTest, OwnersChangeWhatTheOperatorLetsThem) {
  Make();
  EXPECT_TRUE(Has(alice.Say(Submit(Field("muc#roomconfig_moderatedroom", "1"))), "<not-allowed"));
  EXPECT_TRUE(Has(alice.Say(Submit(Field("muc#roomconfig_whois", "moderators"))), "<not-allowed"));
  EXPECT_TRUE(Has(alice.Say(Submit(Field("muc#roomconfig_whois", "anyone"))), "result"));
  const struct {
    uint32_t flag;
    const char* var;
    const char* value;
  } cases[] = {
      {room::kMembersOnly, "muc#roomconfig_membersonly", "1"},
      {room::kModeratorsInvite, "muc#roomconfig_allowinvites", "0"},
      {room::kSelfRegister, "gatehouse#roomconfig_selfregister", "1"},
      {room::kShowAbsent, "gatehouse#roomconfig_showabsent", "1"},
      {room::kGroupchat1, "gatehouse#roomconfig_groupchat1", "1"},
      {room::kAnonymous, "muc#roomconfig_whois", "moderators"},
      {room::kStripXhtml, "gatehouse#roomconfig_stripxhtml", "1"},
      {room::kModerated, "muc#roomconfig_moderatedroom", "1"},
      {room::kInviteRole, "gatehouse#roomconfig_inviterole", "moderator"},
      {room::kPrivateRole, "muc#roomconfig_allowpm", "participants"},
      {room::kSubjectRole, "muc#roomconfig_changesubject", "0"},
      {room::kOccupancy, "muc#roomconfig_maxusers", "51"},
      {room::kHistory, "muc#roomconfig_historylength", "16"},
  };
  for (const auto& each : cases) {
    const std::string form = Submit(Field(each.var, each.value));
    Allow(~each.flag);
    EXPECT_TRUE(Has(alice.Say(form), "<not-allowed")) << each.var;
    Allow(each.flag);
    EXPECT_TRUE(Has(alice.Say(form), "type='result'")) << each.var;
    const std::string shown = alice.Say(Query("get", std::string(kMuc) + "#owner", ""));
    const std::string field = shown.substr(shown.find(each.var));
    EXPECT_TRUE(Has(field.substr(0, field.find("</field>")),
                    "<value>" + std::string(each.value) + "</value>"))
        << each.var;
  }
}

TEST_F(RoomTest, AnonymousRoomsShowAddressesToModerators) {
  RoomSettings anonymous;
  anonymous.flags |= room::kAnonymous | room::kStripXhtml;
  Allow(0, anonymous);
  Make();
  EXPECT_FALSE(Has(bob.Say(Join("Bo")), "jid='alice@example.com/a'"));
  EXPECT_FALSE(Has(carol.Say(Join("Ca")), "jid='bob@example.com/b'"));
  EXPECT_TRUE(Has(alice.Take(), "jid='bob@example.com/b'"));
  bob.Take();
  carol.Say(
      "<message type='groupchat' to='lab@rooms.example.com'><body>b</body>"
      "<html xmlns='http://jabber.org/protocol/xhtml-im'><body/></html></message>");
  EXPECT_FALSE(Has(bob.Take(), "xhtml-im"));
}

TEST_F(RoomTest, PrivateMessagesAndQueriesGoThroughTheRoom) {
  Make();
  bob.Say(Join("Bo"));
  alice.Take();
  bob.Say("<message to='lab@rooms.example.com/Al' type='chat'><body>psst</body></message>");
  const std::string heard = alice.Take();
  EXPECT_TRUE(Has(heard,
                  "<message from='lab@rooms.example.com/Bo' to='alice@example.com/a' "
                  "type='chat'><body>psst</body><x xmlns"))
      << heard;
  EXPECT_TRUE(Has(bob.Say("<message to='lab@rooms.example.com/No' type='chat'><body>x</body>"
                          "</message>"),
                  "<item-not-found"));
  bob.Say(
      "<iq type='get' id='v' to='lab@rooms.example.com/Al'><query "
      "xmlns='jabber:iq:version'/></iq>");
  EXPECT_TRUE(Has(alice.Take(), "<iq from='lab@rooms.example.com/Bo' to='alice@example.com/a'"));
  alice.Say("<iq type='result' id='v' to='lab@rooms.example.com/Bo'/>");
  EXPECT_TRUE(Has(bob.Take(), "<iq from='lab@rooms.example.com/Al' to='bob@example.com/b'"));
  // XEP-0410.
  const char* ping =
      "<iq type='get' id='s' to='lab@rooms.example.com/Bo'><ping xmlns='urn:xmpp:ping'/></iq>";
  EXPECT_TRUE(Has(bob.Say(ping), "type='result'"));
  EXPECT_TRUE(Has(carol.Say(ping), "<not-acceptable"));
}

// Sessions of one user under one nick: each gets the answers to what it asked.
TEST_F(RoomTest, AnAnswerGoesToTheSessionThatAsked) {
  Make();
  bob.Say(Join("Bo"));
  Client desk(world, 9);
  desk.LogIn("bob", "desk");
  const auto ask = [&](Client& client, const std::string& id) {
    alice.Take();
    client.Say("<iq type='get' id='" + id +
               "' to='lab@rooms.example.com/Al'><query xmlns='jabber:iq:version'/></iq>");
    return Between(alice.Take(), "id='", "'");
  };
  const auto answer = [&](const std::string& id, const std::string& type = "result") {
    bob.Take();
    desk.Take();
    alice.Say("<iq type='" + type + "' id='" + id + "' to='lab@rooms.example.com/Bo'/>");
  };
  EXPECT_EQ(ask(bob, "v"), "v");  // nobody shares his nick
  desk.Say(Join("Bo"));
  for (Client* client : {&bob, &desk}) {
    for (const char* type : {"result", "error"}) {
      Client& other = client == &bob ? desk : bob;
      answer(ask(*client, "v"), type);
      EXPECT_TRUE(Has(client->Take(), "id='v'")) << type;
      EXPECT_EQ(other.Take(), "");
    }
  }
  // A longer id than is marked, one that is none of ours, one of who has left.
  const std::string most(256, 'i');
  const std::string marked = ask(desk, most);
  EXPECT_EQ(marked.size(), 256 + 23);
  answer(marked);
  EXPECT_TRUE(Has(desk.Take(), most));
  EXPECT_EQ(ask(desk, most + "i"), most + "i");
  answer("asker-0123456789abcdef-x");
  EXPECT_TRUE(Has(bob.Take() + desk.Take(), "id='asker-0123456789abcdef-x'"));
  answer("asker-0123456789abcdeg-x");
  EXPECT_TRUE(Has(bob.Take() + desk.Take(), "abcdeg-x'"));
  const std::string late = ask(desk, "late");
  desk.Break();
  answer(late);
  EXPECT_TRUE(Has(bob.Take(), late));
}

TEST_F(RoomTest, DiscoTellsOfRooms) {
  Make(Field("muc#roomconfig_roomname", "The Lab") + Field("muc#roomconfig_publicroom", "1"));
  const std::string items = "http://jabber.org/protocol/disco#items";
  const std::string info = "http://jabber.org/protocol/disco#info";
  EXPECT_TRUE(Has(bob.Say(Query("get", items, "", "example.com")), "jid='rooms.example.com'"));
  EXPECT_TRUE(Has(bob.Say(Query("get", items, "", "rooms.example.com")),
                  "<item jid='lab@rooms.example.com' name='The Lab'/>"));
  EXPECT_TRUE(Has(bob.Say(Query("get", info, "", "rooms.example.com")), "category='conference'"));
  const std::string about = bob.Say(Query("get", info, ""));
  for (const char* feature : {"muc_temporary", "muc_public", "muc_open", "muc_unmoderated",
                              "muc_nonanonymous", "muc_unsecured", "The Lab"}) {
    EXPECT_TRUE(Has(about, feature)) << feature;
  }
  alice.Say(Submit(Field("muc#roomconfig_publicroom", "0")));
  EXPECT_FALSE(Has(bob.Say(Query("get", items, "", "rooms.example.com")), "lab@"));
  EXPECT_TRUE(Has(alice.Say(Query("get", items, "", "rooms.example.com")), "lab@"));
  EXPECT_TRUE(Has(bob.Say(Query("get", info, "", "no@rooms.example.com")), "<item-not-found"));
}

TEST_F(RoomTest, TheListOfRoomsComesInPages) {
  for (int i = 0; i < 5; ++i) {
    const std::string name = "r" + std::to_string(i);
    alice.Say(Join("Al", "", name));
    alice.Say(Query("set", std::string(kMuc) + "#owner", "<x xmlns='jabber:x:data' type='submit'/>",
                    name + "@rooms.example.com"));
  }
  std::string after;
  uint32_t count = 0;
  for (int page = 0; page < 3; ++page) {
    const std::string got =
        bob.Say(Query("get", "http://jabber.org/protocol/disco#items",
                      "<set xmlns='http://jabber.org/protocol/rsm'><max>2</max>" +
                          (after.empty() ? "" : "<after>" + after + "</after>") + "</set>",
                      "rooms.example.com"));
    count += Count(got, "<item ");
    after = Between(got, "<last>", "</last>");
  }
  EXPECT_EQ(count, 5u);
}

TEST_F(RoomTest, PersistentRoomsSurviveARestart) {
  Make(Field("muc#roomconfig_persistentroom", "1") + Field("muc#roomconfig_roomname", "Lab") +
       Field("muc#roomconfig_roomowners", "alice@example.com") +
       Field("muc#roomconfig_roomadmins", "carol@example.com"));
  alice.Say("<message type='groupchat' to='lab@rooms.example.com'><subject>S</subject></message>");
  const std::string own = alice.Say(Chat("kept"));
  EXPECT_TRUE(Has(own, "<stanza-id xmlns='urn:xmpp:sid:0' by='lab@rooms.example.com'")) << own;
  alice.Say(Admin("<item jid='bob@example.com' affiliation='outcast'/>"));
  world.Commit();
  World after;
  for (const char* name : {"alice", "bob", "carol"}) {
    after.AddUser(name);
  }
  for (const auto& [key, value] : world.disk) {
    if (key[0] != 'a') {
      EXPECT_TRUE(after.engine().Load(key, AsBytes(value)).ok()) << key;
    }
  }
  after.disk = world.disk;
  Client back(after, 1), banned(after, 2);
  back.LogIn("carol", "c");
  banned.LogIn("bob", "b");
  EXPECT_TRUE(Has(banned.Say(Join("Bo")), "<forbidden"));
  const std::string seen = back.Say(Join("Ca"));
  EXPECT_TRUE(Has(seen, "affiliation='admin' role='moderator'")) << seen;
  EXPECT_TRUE(Has(seen, "<status code='170'/>"));
  EXPECT_TRUE(Has(seen, "<body>kept</body>"));
  EXPECT_TRUE(Has(seen, "<subject>S</subject>"));
  EXPECT_EQ(after.engine().rooms().persistent_count(), 1u);
  // Its archive too; moderation leaves a stone.
  const std::string query =
      "<iq type='set' id='q' to='lab@rooms.example.com'><query xmlns='urn:xmpp:mam:2'/></iq>";
  const std::string page = back.Say(query);
  EXPECT_EQ(Count(page, "<result xmlns='urn:xmpp:mam:2'"), 2u);  // the subject, what was said
  EXPECT_TRUE(Has(page, "<fin xmlns='urn:xmpp:mam:2' complete='true'>"));
  EXPECT_TRUE(Has(banned.Say(query), "<forbidden"));
  const std::string id = Between(page, "<last>", "</last>");
  const std::string told =
      back.Say("<iq type='set' id='q' to='lab@rooms.example.com'><moderate id='" + id +
               "' xmlns='urn:xmpp:message-moderate:1'><retract xmlns='urn:xmpp:message-retract:1'/>"
               "<reason>spam</reason></moderate></iq>");
  EXPECT_TRUE(Has(told, "<retract xmlns='urn:xmpp:message-retract:1' id='" + id + "'>")) << told;
  const std::string moderated = back.Say(query);
  EXPECT_FALSE(Has(moderated, "<body>kept</body>"));
  EXPECT_TRUE(Has(moderated, "<retracted xmlns='urn:xmpp:message-retract:1'"));
  // Destroyed, nothing of it is left on the disk.
  EXPECT_TRUE(after.engine().DestroyRoom("lab@rooms.example.com", "done").ok());
  EXPECT_TRUE(Has(back.Take(), "<destroy><reason>done</reason></destroy>"));
  after.Commit();
  for (const auto& [key, value] : after.disk) {
    EXPECT_TRUE(key[0] != 'r' && key[0] != 's' && key[0] != 'u') << key;
  }
}

// An alias that is taken away takes nobody's room along: it is there again with its host
// (ALIAS-09).
TEST_F(RoomTest, RoomsComeBackWithTheirHost) {
  Make(Field("muc#roomconfig_persistentroom", "1"));
  alice.Say(Chat("kept"));
  Config config = World::MakeConfig();
  config.rooms.hosts[0].Assign("talk.example.com");
  world.engine().Apply(config);
  EXPECT_TRUE(Has(alice.Take(), "<status code='332'/>"));
  EXPECT_FALSE(Has(bob.Say(Join("Bo")), "<status code='110'/>"));
  EXPECT_EQ(world.engine().rooms().persistent_count(), 1u);
  config.rooms.hosts[1].Assign(kRooms);  // beside its new name
  config.rooms.host_count = 2;
  world.engine().Apply(config);
  const std::string seen = bob.Say(Join("Bo"));
  EXPECT_TRUE(Has(seen, "<status code='110'/>")) << seen;
  EXPECT_TRUE(Has(seen, "<body>kept</body>")) << seen;
}

TEST_F(RoomTest, PersistentRoomsAreBoundedAndNeedAKeeper) {
  Config config = World::MakeConfig();
  config.rooms.persistent_max = 1;
  config.rooms.room_max = 2;
  world.engine().Apply(config);
  const std::string keep = Field("muc#roomconfig_persistentroom", "1");
  alice.Say(Join("Al"));
  world.keeper_full = true;
  EXPECT_TRUE(Has(alice.Say(Submit(keep)), "<internal-server-error"));
  world.keeper_full = false;
  EXPECT_TRUE(Has(alice.Say(Submit(keep)), "type='result'"));
  alice.Say(Join("Al", "", "two"));
  EXPECT_TRUE(Has(alice.Say(Query("set", std::string(kMuc) + "#owner",
                                  "<x xmlns='jabber:x:data' type='submit'>" + keep + "</x>",
                                  "two@rooms.example.com")),
                  "<not-allowed"));
  EXPECT_TRUE(Has(alice.Say(Join("Al", "", "three")), "<resource-constraint"));
}

TEST_F(RoomTest, AdministratorsOwnEveryRoomAndMayBeHidden) {
  Config config = World::MakeConfig();
  config.rooms.administrators[0].Assign("root@example.com");
  config.rooms.administrator_count = 1;
  config.rooms.administrators_alone = true;
  world.engine().Apply(config);
  Make();
  EXPECT_TRUE(Has(alice.Say(Submit(Field("muc#roomconfig_persistentroom", "1"))), "<not-allowed"));
  Client root(world, 4);
  root.LogIn("root", "r");
  const char* hidden = "<hidden xmlns='urn:gatehouse:room:hidden'/>";
  EXPECT_TRUE(Has(bob.Say(Join("Bo", hidden)), "<forbidden"));
  EXPECT_TRUE(Has(root.Say(Join("Root", hidden)), "affiliation='owner'"));
  EXPECT_FALSE(Has(alice.Take(), "Root"));
  bob.Say(Join("Bo"));
  EXPECT_TRUE(Has(root.Take(), "/Bo'"));
  bob.Say(Chat("seen by all"));
  EXPECT_TRUE(Has(root.Take(), "seen by all"));
  EXPECT_TRUE(Has(root.Say(Chat("x")), "<forbidden"));
  EXPECT_TRUE(Has(alice.Say(Admin("<item jid='root@example.com' affiliation='outcast'/>")),
                  "<not-allowed"));
}

TEST_F(RoomTest, IdleAndForgottenRoomsAreClosed) {
  alice.Say(Join("Al"));
  world.unix_seconds += kRoomLockSeconds;
  EXPECT_EQ(world.engine().CloseIdleRooms(), 0u);
  world.unix_seconds += 1;
  EXPECT_EQ(world.engine().CloseIdleRooms(), 1u);
  Config config = World::MakeConfig();
  config.rooms.idle_minutes = 10;
  world.engine().Apply(config);
  Make();
  world.unix_seconds += 600;
  EXPECT_EQ(world.engine().CloseIdleRooms(), 0u);
  world.unix_seconds += 1;
  EXPECT_EQ(world.engine().CloseIdleRooms(), 1u);
  EXPECT_TRUE(Has(alice.Take(), "<destroy><reason>the room was idle"));
}

// MUC-03: the store fails later. Nobody is put out, and nothing that is said has an archive's id.
TEST_F(RoomTest, RoomsGoOnWhileNothingIsKept) {
  Make(Field("muc#roomconfig_persistentroom", "1"));
  bob.Say(Join("Bo"));
  world.keeper_full = true;
  const std::string heard = bob.Say(Chat("still here"));
  EXPECT_TRUE(Has(heard, "<body>still here</body>"));
  EXPECT_FALSE(Has(heard, "<stanza-id"));
  EXPECT_TRUE(Has(carol.Say(Join("Ca")), "<body>still here</body>"));
  EXPECT_TRUE(Has(carol.Say(Join("Ca", "", "two")), "<status code='201'/>"));
  world.keeper_full = false;
  EXPECT_TRUE(Has(bob.Say(Chat("kept again")), "<stanza-id"));
}

TEST_F(RoomTest, OldClientsEnterWhereTheyMay) {
  Make();
  const std::string old = "<presence to='lab@rooms.example.com/Bo'/>";
  EXPECT_TRUE(Has(bob.Say(old), "<not-acceptable"));
  Allow(room::kGroupchat1);
  EXPECT_TRUE(Has(alice.Say(Submit(Field("gatehouse#roomconfig_groupchat1", "1"))), "result"));
  EXPECT_TRUE(Has(bob.Say(old), "<status code='110'/>"));
}

TEST_F(RoomTest, InvitingAndWhisperingNeedARole) {
  Allow(room::kInviteRole | room::kPrivateRole);
  Make(Field("gatehouse#roomconfig_inviterole", "moderator") +
       Field("muc#roomconfig_allowpm", "moderators"));
  bob.Say(Join("Bo"));
  alice.Take();
  const char* invite =
      "<message to='lab@rooms.example.com'><x xmlns='http://jabber.org/protocol/muc#user'>"
      "<invite to='carol@example.com'/></x></message>";
  const char* whisper =
      "<message to='lab@rooms.example.com/Al' type='chat'><body>psst</body></message>";
  EXPECT_TRUE(Has(bob.Say(invite), "<forbidden"));
  EXPECT_TRUE(Has(bob.Say(whisper), "<forbidden"));
  EXPECT_TRUE(Has(alice.Say(Submit(Field("gatehouse#roomconfig_inviterole", "visitor") +
                                   Field("muc#roomconfig_allowpm", "anyone"))),
                  "result"));
  EXPECT_FALSE(Has(bob.Say(invite), "error"));
  EXPECT_FALSE(Has(bob.Say(whisper), "error"));
  EXPECT_TRUE(Has(alice.Take(), "psst"));
}

TEST_F(RoomTest, HiddenOccupantsAreBounded) {
  Config config = World::MakeConfig();
  config.rooms.administrators[0].Assign("root@example.com");
  config.rooms.administrators[1].Assign("carol@example.com");
  config.rooms.administrator_count = 2;
  config.rooms.hidden_max = 1;
  config.rooms.occupant_max = 3;
  world.engine().Apply(config);
  Make();
  Client root(world, 4);
  root.LogIn("root", "r");
  const char* hidden = "<hidden xmlns='urn:gatehouse:room:hidden'/>";
  EXPECT_TRUE(Has(root.Say(Join("Root", hidden)), "<status code='110'/>"));
  EXPECT_TRUE(Has(carol.Say(Join("Ca", hidden)), "<service-unavailable"));
  EXPECT_TRUE(Has(carol.Say(Join("Ca")), "<status code='110'/>"));
  // Hidden ones count: three are in it.
  EXPECT_TRUE(Has(bob.Say(Join("Bo")), "<service-unavailable"));
}

TEST_F(RoomTest, HistoryIsBoundedByItsMaximum) {
  Config config = World::MakeConfig();
  config.rooms.history_max = 4;
  world.engine().Apply(config);
  Make();
  for (int i = 0; i < 8; ++i) {
    alice.Say(Chat("n" + std::to_string(i)));
  }
  const std::string seen = bob.Say(Join("Bo", "<history maxstanzas='100'/>"));
  EXPECT_EQ(Count(seen, "<body>"), 4u);
  EXPECT_TRUE(Has(seen, "<body>n4</body>"));
}

// Status codes of XEP-0045 that no other test has.
TEST_F(RoomTest, OccupantsLearnWhatChanged) {
  Make();
  Allow(room::kAnonymous);
  bob.Say(Join("Bo"));
  const auto set = [&](const std::string& field, const std::string& value) {
    EXPECT_TRUE(Has(alice.Say(Submit(Field(field, value))), "type='result'")) << field;
    return bob.Take();
  };
  const auto told = [](const std::string& got, int code) {
    return Has(got, "<status code='104'/>") && Has(got, "<status code='" + std::to_string(code));
  };
  EXPECT_TRUE(told(set("muc#roomconfig_whois", "moderators"), 173));
  EXPECT_TRUE(told(set("muc#roomconfig_whois", "anyone"), 172));
  EXPECT_TRUE(told(set("muc#roomconfig_enablearchiving", "0"), 171));
  EXPECT_TRUE(told(set("muc#roomconfig_enablearchiving", "1"), 170));
}

TEST_F(RoomTest, WhoseClientBouncesIsGone) {
  Make();
  bob.Say(Join("Bo"));
  alice.Take();
  bob.Say(
      "<message type='error' to='lab@rooms.example.com/Al'><error "
      "type='wait'><remote-server-timeout "
      "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>");
  const std::string got = alice.Take();
  EXPECT_TRUE(Has(got, "from='lab@rooms.example.com/Bo'") && Has(got, "<status code='333'/>"))
      << got;
}

TEST_F(RoomTest, ADestroyedRoomNamesAnother) {
  Make();
  bob.Say(Join("Bo"));
  alice.Say(Query("set", std::string(kMuc) + "#owner",
                  "<destroy jid='new@rooms.example.com'><reason>moved &amp; closed</reason>"
                  "<password>open</password></destroy>"));
  EXPECT_TRUE(Has(bob.Take(),
                  "<destroy jid='new@rooms.example.com'><reason>moved &amp; closed</reason>"
                  "<password>open</password></destroy>"));
  EXPECT_EQ(world.engine().rooms().room_count(), 0u);
  // Not by others.
  alice.Say(Join("Al"));
  alice.Say(Submit(""));
  EXPECT_TRUE(Has(bob.Say(Query("set", std::string(kMuc) + "#owner", "<destroy/>")), "forbidden"));
}

TEST_F(RoomTest, HistoryBeginsWhereItIsAskedFor) {
  Make();
  for (int i = 0; i < 4; ++i) {
    world.unix_seconds += 100;
    alice.Say(Chat("n" + std::to_string(i)));
  }
  uint8_t bytes[32];
  ByteWriter stamp(bytes);
  WriteStamp(world.unix_seconds - 150, stamp);
  const auto history = [&](const std::string& wanted) {
    const std::string got = bob.Say(Join("Bo", "<history " + wanted + "/>"));
    bob.Say("<presence type='unavailable' to='lab@rooms.example.com/Bo'/>");
    return Count(got, "<body>");
  };
  const std::string since = "since='" + std::string(stamp.text()) + "'";
  EXPECT_EQ(history(since), 2u);
  EXPECT_EQ(history(since + " maxstanzas='1'"), 1u);
  EXPECT_EQ(history("maxchars='1'"), 0u);
  EXPECT_EQ(history("maxchars='100000'"), 4u);
  EXPECT_EQ(history("maxstanzas='0'"), 0u);
}

TEST_F(RoomTest, ManyLeaveNothingBehind) {
  const uint32_t free = world.engine().chains().free_count();
  Make();
  for (int i = 0; i < 50; ++i) {
    bob.Say(Join("Bo"));
    bob.Say(Chat(std::string(2000, 'x')));
    bob.Say("<presence type='unavailable' to='lab@rooms.example.com/Bo'/>");
  }
  alice.Say("<presence type='unavailable' to='lab@rooms.example.com/Al'/>");
  EXPECT_EQ(world.engine().rooms().room_count(), 0u);
  EXPECT_EQ(world.engine().chains().free_count(), free);
}

}  // namespace
}  // namespace gh::xmpp::test
