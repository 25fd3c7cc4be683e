// Users' archives (XEP-0313): what is in them, pages and filters, preferences, bounds, and that
// nothing is told before it is on the disk.
#include <gtest/gtest.h>

#include "firmware/xmpp/stamp.h"
#include "tests/unit/xmpp/world.h"

namespace gh::xmpp::test {
namespace {

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

uint32_t Count(const std::string& text, const std::string& part) {
  uint32_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    ++count;
  }
  return count;
}

std::string Ask(const std::string& fields = "", const std::string& set = "",
                const std::string& more = "") {
  return "<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2' queryid='f'>"
         "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:xmpp:mam:2"
         "</value></field>" +
         fields + "</x><set xmlns='http://jabber.org/protocol/rsm'>" + set + "</set>" + more +
         "</query></iq>";
}

std::string Field(const std::string& var, const std::string& value) {
  return "<field var='" + var + "'><value>" + value + "</value></field>";
}

class ArchiveTest : public testing::Test {
 public:
  ArchiveTest() {
    for (const char* name : {"alice", "bob", "carol"}) {
      world.AddUser(name);
    }
    alice.LogIn("alice", "a");
    bob.LogIn("bob", "b");
  }
  void Tell(const std::string& body, const std::string& to = "bob@example.com") {
    alice.Say("<message type='chat' to='" + to + "'><body>" + body + "</body></message>");
  }
  World world;
  Client alice{world, 1}, bob{world, 2};
};

TEST_F(ArchiveTest, BothSidesHaveWhatWasSaid) {
  Tell("one &amp; two");
  alice.Say(
      "<message type='chat' to='bob@example.com'><composing "
      "xmlns='http://jabber.org/protocol/chatstates'/></message>");
  alice.Say(
      "<message type='chat' to='bob@example.com'><body>x</body><no-store "
      "xmlns='urn:xmpp:hints'/></message>");
  alice.Say(
      "<message type='chat' to='bob@example.com/b'><displayed "
      "xmlns='urn:xmpp:chat-markers:0' id='1'/></message>");
  for (Client* client : {&alice, &bob}) {
    client->Take();
    const std::string got = client->Say(Ask());
    EXPECT_EQ(Count(got, "<result xmlns='urn:xmpp:mam:2' queryid='f' id='"), 2u) << got;
    EXPECT_TRUE(Has(got,
                    "<message from='alice@example.com/a' to='bob@example.com' "
                    "xmlns='jabber:client' type='chat'><body>one &amp; two</body></message>"
                    "</forwarded></result></message>"));
    EXPECT_TRUE(Has(got, "<delay xmlns='urn:xmpp:delay' stamp='2026-09-21T14:13:20Z'/>"));
    EXPECT_TRUE(Has(got, "complete='true'"));
  }
  const std::string metadata =
      alice.Say("<iq type='get' id='m'><metadata xmlns='urn:xmpp:mam:2'/></iq>");
  EXPECT_TRUE(Has(metadata, "<start id='0000000000000001' timestamp='2026-09-21T14:13:20Z'/>"));
  EXPECT_TRUE(
      Has(alice.Say("<iq type='get' id='m'><query xmlns='urn:xmpp:mam:2'/></iq>"), "var='with'"));
}

TEST_F(ArchiveTest, PagesForwardsAndBackwards) {
  for (int i = 0; i < 10; ++i) {
    Tell("n" + std::to_string(i));
  }
  alice.Take();
  std::string got = alice.Say(Ask("", "<max>4</max>"));
  EXPECT_EQ(Count(got, "<body>"), 4u);
  EXPECT_TRUE(Has(got, "<body>n3</body>"));
  EXPECT_FALSE(Has(got, "complete"));
  EXPECT_TRUE(Has(got, "<count>10</count>"));
  got = alice.Say(Ask("", "<max>20</max><after>" + Between(got, "<last>", "<") + "</after>"));
  EXPECT_EQ(Count(got, "<body>"), 6u);
  EXPECT_TRUE(Has(got, "complete='true'"));
  got = alice.Say(Ask("", "<max>3</max><before/>"));
  EXPECT_LT(got.find("n7"), got.find("n9"));
  EXPECT_EQ(Between(got, "<first>", "<"), "0000000000000008");
  got = alice.Say(Ask("", "<max>3</max><before>0000000000000003</before>", "<flip-page/>"));
  EXPECT_EQ(Count(got, "<body>"), 2u);
  EXPECT_LT(got.find("n1"), got.find("n0"));
  EXPECT_EQ(Between(got, "<first>", "<"), "0000000000000001");
  EXPECT_TRUE(Has(alice.Say(Ask("", "<max>0</max>")), "<count>10</count>"));
  EXPECT_TRUE(Has(alice.Say(Ask("", "<after>0000000000000063</after>")), "<item-not-found"));
  EXPECT_TRUE(Has(alice.Say(Ask("", "<max>many</max>")), "<bad-request"));
  got =
      alice.Say(Ask("<field var='ids'><value>0000000000000002</value><value>0000000000000005"
                    "</value></field>"));
  EXPECT_EQ(Count(got, "<body>"), 2u);
  EXPECT_TRUE(Has(alice.Say(Ask(Field("ids", "00000000000000ff"))), "<item-not-found"));
}

TEST_F(ArchiveTest, FiltersByPeerAndTime) {
  Tell("b0");
  Tell("c0", "carol@example.com");
  world.unix_seconds += 3600;
  Tell("b1");
  Tell("c1", "carol@example.com/x");
  alice.Take();
  std::string got = alice.Say(Ask(Field("with", "carol@example.com")));
  EXPECT_EQ(Count(got, "<body>c"), 2u);
  EXPECT_EQ(Count(got, "<body>b"), 0u);
  got = alice.Say(Ask(Field("with", "carol@example.com/x")));
  EXPECT_EQ(Count(got, "<body>"), 1u);
  got = alice.Say(Ask(Field("start", "2026-09-21T15:00:00Z")));
  EXPECT_EQ(Count(got, "<body>"), 2u);
  EXPECT_TRUE(Has(got, "b1"));
  got = alice.Say(Ask(Field("end", "2026-09-21T15:00:00.123Z")));
  EXPECT_TRUE(Has(got, "c0"));
  EXPECT_FALSE(Has(got, "c1"));
  got = alice.Say(Ask(Field("start", "2026-09-21T17:13:20+02:00")));
  EXPECT_EQ(Count(got, "<body>"), 2u);
  EXPECT_TRUE(Has(alice.Say(Ask(Field("start", "yesterday"))), "<bad-request"));
  EXPECT_TRUE(Has(alice.Say(Ask(Field("mood", "good"))), "<feature-not-implemented"));
}

TEST_F(ArchiveTest, UsersSayWhatIsLeftOut) {
  EXPECT_TRUE(Has(alice.Say("<iq type='get' id='p'><prefs xmlns='urn:xmpp:mam:2'/></iq>"),
                  "default='always'"));
  const std::string set =
      "<iq type='set' id='p'><prefs xmlns='urn:xmpp:mam:2' default='never'><always>"
      "<jid>bob@example.com</jid></always><never><jid>carol@example.com</jid></never></prefs></iq>";
  EXPECT_TRUE(Has(alice.Say(set), "<always><jid>bob@example.com</jid></always>"));
  Tell("b");
  Tell("c", "carol@example.com");
  EXPECT_EQ(Count(alice.Say(Ask()), "<body>b"), 1u);
  EXPECT_EQ(Count(alice.Say(Ask()), "<body>c"), 0u);
  std::string many;
  for (uint32_t i = 0; i <= kArchiveRulesMax; ++i) {
    many += "<jid>u" + std::to_string(i) + "@x.org</jid>";
  }
  EXPECT_TRUE(Has(alice.Say("<iq type='set' id='p'><prefs xmlns='urn:xmpp:mam:2' default='never'>"
                            "<always>" +
                            many + "</always></prefs></iq>"),
                  "<resource-constraint"));
  EXPECT_TRUE(Has(alice.Say("<iq type='set' id='p'><prefs xmlns='urn:xmpp:mam:2' default='x'/>"
                            "</iq>"),
                  "<bad-request"));
  world.Commit();
  World after;
  for (const auto& [key, value] : world.disk) {
    EXPECT_TRUE(after.engine().Load(key, AsBytes(value)).ok()) << key;
  }
  after.disk = world.disk;
  Client again(after, 1);
  again.LogIn("alice", "a");
  EXPECT_TRUE(Has(again.Say("<iq type='get' id='p'><prefs xmlns='urn:xmpp:mam:2'/></iq>"),
                  "<never><jid>carol@example.com</jid></never>"));
  EXPECT_EQ(Count(again.Say(Ask()), "<body>b"), 1u);  // and what was archived is there
}

TEST_F(ArchiveTest, RulesAreAboutAddresses) {
  const auto set = [&](const std::string& jid) {
    return alice.Say(
        "<iq type='set' id='p'><prefs xmlns='urn:xmpp:mam:2' default='always'>"
        "<always/><never><jid>" +
        jid + "</jid></never></prefs></iq>");
  };
  EXPECT_TRUE(Has(set("not an address@"), "jid-malformed"));
  EXPECT_TRUE(Has(set("Bob@example.com"), "<never><jid>bob@example.com</jid></never>"));
}

TEST_F(ArchiveTest, IsBoundedByEntriesBytesAndAge) {
  Config config = World::MakeConfig();
  config.archive.entries_max = 5;
  world.engine().Apply(config);
  for (int i = 0; i < 7; ++i) {
    Tell("n" + std::to_string(i));
  }
  std::string got = alice.Say(Ask());
  EXPECT_EQ(Count(got, "<body>"), 5u);
  EXPECT_TRUE(Has(got, "<body>n2</body>"));
  config.archive.days = 1;
  world.engine().Apply(config);
  world.unix_seconds += 86401;
  Tell("new");
  Tell("new");
  got = alice.Say(Ask());
  EXPECT_EQ(Count(got, "<body>"), 2u);
  config.archive.bytes_max = world.engine().archive().byte_count();
  world.engine().Apply(config);
  const uint64_t refused = world.engine().archive().refused_count();
  Tell(std::string(20'000, 'x'));
  EXPECT_EQ(world.engine().archive().refused_count(), refused + 2);
  EXPECT_LE(world.engine().archive().byte_count(), config.archive.bytes_max);
  // Removed with their user.
  EXPECT_TRUE(world.engine().RemoveUser("alice@example.com").ok());
  EXPECT_TRUE(world.engine().RemoveUser("bob@example.com").ok());
  EXPECT_EQ(world.engine().archive().byte_count(), 0u);
  EXPECT_EQ(world.engine().archive().entry_count(), 0u);
}

TEST_F(ArchiveTest, TheOldestOfAllGoFirst) {
  world.AddUser("eve");  // names of one length: entries of one size
  world.AddUser("joe");
  for (int i = 0; i < 4; ++i) {
    Tell("b" + std::to_string(i));
    world.unix_seconds += 10;
    Tell("c" + std::to_string(i), "eve@example.com");
    world.unix_seconds += 10;
  }
  Config config = World::MakeConfig();
  config.archive.bytes_max = world.engine().archive().byte_count();
  world.engine().Apply(config);
  const uint64_t entries = world.engine().archive().entry_count();
  Tell("d", "joe@example.com");  // joe's is empty: others' entries go
  const Archive& archive = world.engine().archive();
  EXPECT_EQ(archive.refused_count(), 0u);
  EXPECT_EQ(archive.pruned_count(), 2u);
  EXPECT_EQ(archive.entry_count(), entries);
  EXPECT_LE(archive.byte_count(), archive.byte_max());
  EXPECT_FALSE(Has(alice.Say(Ask()), "<body>b0"));  // both copies of the first
  EXPECT_FALSE(Has(bob.Say(Ask()), "<body>b0"));
  EXPECT_TRUE(Has(alice.Say(Ask()), "<body>c0"));
  EXPECT_TRUE(Has(alice.Say(Ask()), "<body>d"));
  // After a restart it goes on where it was.
  world.Commit();
  World after;
  for (const auto& [key, value] : world.disk) {
    ASSERT_TRUE(after.engine().Load(key, AsBytes(value)).ok()) << key;
  }
  after.disk = world.disk;
  after.engine().Apply(config);
  after.unix_seconds = world.unix_seconds + 10;
  Client again(after, 1), eve(after, 2);
  again.LogIn("alice", "a");
  eve.LogIn("eve", "c");
  again.Say("<message type='chat' to='joe@example.com'><body>d1</body></message>");
  EXPECT_EQ(after.engine().archive().pruned_count(), 2u);
  EXPECT_FALSE(Has(eve.Say(Ask()), "<body>c0"));
  EXPECT_TRUE(Has(eve.Say(Ask()), "<body>c1"));
}

TEST_F(ArchiveTest, GivesWayWhereTheStoreRunsShort) {
  bob.Say("<presence/>");
  for (int i = 0; i < 10; ++i) {
    Tell("n" + std::to_string(i));
  }
  const Archive& archive = world.engine().archive();
  const uint64_t each = archive.byte_count() / archive.entry_count();
  world.store_room = {kArchiveStorePercent * 10'000, 1'000'000};
  EXPECT_EQ(archive.byte_max(), kArchiveSharePercent * 10'000);
  Tell("at");  // the mark itself is free
  EXPECT_EQ(archive.pruned_count(), 0u);
  ++world.store_room.used;
  const uint64_t bytes = archive.byte_count();
  Tell("beyond");  // two copies, and twice their size goes
  EXPECT_EQ(archive.refused_count(), 0u);
  EXPECT_GE(archive.pruned_count(), 4u);
  EXPECT_LE(archive.pruned_count(), 6u);
  EXPECT_LT(archive.byte_count(), bytes - each);
  EXPECT_TRUE(Has(alice.Say(Ask()), "<body>beyond"));
  EXPECT_FALSE(Has(alice.Say(Ask()), "<body>n0"));
  world.store_room = {0, 30'000};  // half of it is too little for one of 20,000 bytes
  Tell(std::string(20'000, 'x'));
  EXPECT_EQ(archive.refused_count(), 2u);
  EXPECT_TRUE(Has(bob.Take(), "xxxx"));  // it is delivered all the same
}

TEST_F(ArchiveTest, NothingIsAcknowledgedOrShownBeforeItIsKept) {
  alice.Say("<enable xmlns='urn:xmpp:sm:3'/>");
  world.Commit();
  alice.Say(
      "<message type='chat' to='bob@example.com'><body>x</body></message>"
      "<r xmlns='urn:xmpp:sm:3'/>");
  EXPECT_FALSE(Has(alice.Take(), "<a "));
  EXPECT_FALSE(
      world.disk.contains("t000000010000000000000001"
                          "00"));
  const std::string page = bob.Say(Ask());  // asking makes it durable
  EXPECT_EQ(Count(page, "<body>x"), 1u);
  EXPECT_TRUE(
      world.disk.contains("t000000010000000000000001"
                          "00"));
  EXPECT_TRUE(Has(alice.Take(), "<a xmlns='urn:xmpp:sm:3' h='1'/>"));
}

TEST_F(ArchiveTest, LongOnesAreWhole) {
  const std::string body(50'000, 'y');
  Tell(body);
  EXPECT_TRUE(Has(bob.Say(Ask()), "<body>" + body + "</body>"));
}

TEST(XmppStamp, ReadsWhatItWrites) {
  for (int64_t time :
       {int64_t{0}, int64_t{951'782'400}, int64_t{1'790'000'000}, int64_t{4'102'444'799}}) {
    uint8_t bytes[32];
    ByteWriter out(bytes);
    WriteStamp(time, out);
    int64_t back = -1;
    EXPECT_TRUE(ReadStamp(out.text(), back)) << out.text();
    EXPECT_EQ(back, time);
  }
  int64_t unused = 0;
  for (const char* text :
       {"", "2026-09-21", "2026-13-21T14:13:20Z", "2026-09-21T14:13:20", "2026-09-21T14:13:20X",
        "2026-09-21T25:13:20Z", "1969-01-01T00:00:00Z"}) {
    EXPECT_FALSE(ReadStamp(text, unused)) << text;
  }
}

}  // namespace
}  // namespace gh::xmpp::test
