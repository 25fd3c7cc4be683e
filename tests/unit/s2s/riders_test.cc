// Several pairs of domains on one stream of ours (XEP-0220); what became of stanzas when a stream
// that does not count them breaks; streams that wait for the disk; maintenance and the end of the
// system.
#include <gtest/gtest.h>

#include "tests/unit/s2s/pair.h"

namespace gh::s2s::test {
namespace {

using xmpp::test::Client;

constexpr const char* kRoom = "lab@rooms.example.com";

// example.com with alice in a room of rooms.example.com, other.org with bob.
struct Shared : Pair {
  Shared() {
    xmpp::Config theirs = there.world().engine().config();
    theirs.rooms.hosts[0].Assign("rooms.other.org");
    there.world().engine().Apply(theirs);
    net.hosts["rooms.example.com"] = "192.0.2.1";
    net.hosts["rooms.other.org"] = "192.0.2.2";
    here.certificate = {"example.com", "rooms.example.com"};
    for (Site* site : {&here, &there}) {
      site->config.bidirectional = false;
      site->Apply();
    }
    LogIn();
    alice->Say("<presence to='" + std::string(kRoom) +
               "/Al'><x xmlns='http://jabber.org/protocol/muc'/></presence>");
    alice->Say("<iq type='set' id='c' to='" + std::string(kRoom) +
               "'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' "
               "type='submit'/></query></iq>");
  }
  void SayToBob(const std::string& body) {
    alice->Say("<message to='bob@other.org' type='chat' id='" + body + "'><body>" + body +
               "</body></message>");
    net.Run();
  }
  // Which the room says to him.
  void InviteBob() {
    alice->Say("<message to='" + std::string(kRoom) +
               "'><x xmlns='http://jabber.org/protocol/muc#user'><invite to='bob@other.org'/></x>"
               "</message>");
    net.Run();
  }
  // A stream of ours that the test answers, up to the proof of its first pair.
  net::StreamId Answer(const std::string& features) {
    here.config.security = Security::kOptional;
    here.config.requires_certificate = false;
    here.Apply();
    here.speaks_for_others = true;
    SayToBob("one");
    here.Say(here.outgoing,
             "<stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' "
             "xmlns:stream='http://etherx.jabber.org/streams' from='other.org' "
             "to='example.com' id='s1' version='1.0'>");
    here.Say(here.outgoing, "<stream:features>" + features + "</stream:features>");
    EXPECT_TRUE(
        Has(here.Say(here.outgoing, "<db:result from='other.org' to='example.com' type='valid'/>"),
            "<body>one</body>"));
    return here.outgoing;
  }
};

TEST(Riders, SeveralPairsShareOneStream) {
  Shared shared;
  shared.SayToBob("one");
  shared.InviteBob();
  const std::string got = shared.bob->Take();
  EXPECT_TRUE(Has(got, "<body>one</body>") && Has(got, "<invite from='alice@example.com")) << got;
  EXPECT_EQ(shared.here.events,
            (std::vector<std::string>{"to other.org by certificate",
                                      "to other.org by dialback on a stream there is"}));
  // One connection of ours; the other asked whether our key is one.
  EXPECT_EQ(shared.net.connected, (std::vector<std::string>{"192.0.2.2:5269", "192.0.2.1:5269"}));
  // It goes on, and ends with the stream.
  shared.InviteBob();
  EXPECT_TRUE(Has(shared.bob->Take(), "<invite"));
  EXPECT_EQ(shared.net.connected.size(), 2u);
  shared.here.federation().Disconnect("other.org");
  shared.net.Run();
  EXPECT_EQ(shared.here.federation().link_count(), 0u);
  shared.InviteBob();
  EXPECT_TRUE(Has(shared.bob->Take(), "<invite"));
}

TEST(Riders, OneStreamCarriesSoMany) {
  Shared shared;
  xmpp::Config theirs = shared.there.world().engine().config();
  theirs.rooms.host_count = kPairMax;
  for (uint32_t i = 0; i < kPairMax; ++i) {
    const std::string name = "r" + std::to_string(i) + ".other.org";
    theirs.rooms.hosts[i].Assign(name);
    shared.net.hosts[name] = "192.0.2.2";
    shared.there.certificate.insert(name);
  }
  shared.there.world().engine().Apply(theirs);
  shared.SayToBob("one");
  for (uint32_t i = 0; i < kPairMax; ++i) {
    shared.alice->Say("<iq type='get' id='q' to='r" + std::to_string(i) +
                      ".other.org'><ping xmlns='urn:xmpp:ping'/></iq>");
    shared.net.Run();
    const auto& all = shared.here.events;
    const std::string to = "to r" + std::to_string(i) + ".other.org by ";
    EXPECT_EQ(std::count(all.begin(), all.end(), to + "dialback on a stream there is"),
              i + 1 < kPairMax ? 1 : 0);
    EXPECT_EQ(std::count(all.begin(), all.end(), to + "certificate"), i + 1 < kPairMax ? 0 : 1);
  }
  for (const std::string& event : shared.there.events) {
    EXPECT_FALSE(Has(event, "refused")) << event;  // it was not even asked
  }
}

TEST(Riders, AnotherDomainOfTheSameServerToo) {
  for (const bool is_named : {true, false}) {
    Shared shared;
    shared.there.certificate = {"other.org"};
    if (is_named) {
      shared.there.certificate.insert("rooms.other.org");
    }
    shared.SayToBob("one");
    shared.net.connected.clear();
    shared.alice->Say(
        "<iq type='get' id='q' to='rooms.other.org'><ping xmlns='urn:xmpp:ping'/></iq>");
    shared.net.Run();
    // Whose certificate does not name it is asked by a stream of its own, and refused there.
    const auto& all = shared.net.connected;
    EXPECT_EQ(std::count(all.begin(), all.end(), "192.0.2.2:5269"), is_named ? 0 : 1);
    EXPECT_EQ(Has(shared.here.events.back(), "certificate is not good"), !is_named);
  }
}

TEST(Riders, WhoIsRefusedOrNotAnsweredGetsAStreamOfHisOwn) {
  const std::string dialback = "<dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>";
  for (const bool is_answered : {true, false}) {
    Shared shared;
    const net::StreamId first = shared.Answer(dialback);
    shared.here.Say(first, " ");
    shared.InviteBob();
    EXPECT_TRUE(
        Has(shared.here.Said(first), "<db:result from='rooms.example.com' to='other.org'>"));
    EXPECT_EQ(shared.net.connected.size(), 1u);
    if (is_answered) {
      shared.here.Say(first,
                      "<db:result from='other.org' to='rooms.example.com' type='error'>"
                      "<error type='cancel'><item-not-found "
                      "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>");
    } else {
      shared.here.Turn(kRideSeconds + 1);
    }
    EXPECT_EQ(shared.net.connected.size(), 2u);
    EXPECT_TRUE(shared.here.IsOpen(first));
    EXPECT_FALSE(Has(shared.alice->Take(), "type='error'"));  // it waits for the other stream
  }
}

TEST(Riders, NobodyIsAskedWhoDoesNotOfferIt) {
  Shared silent;
  silent.Answer("");
  silent.InviteBob();
  EXPECT_EQ(silent.net.connected.size(), 2u);
  Shared off;
  off.here.config.multiplexing = false;
  off.Answer("<dialback xmlns='urn:xmpp:features:dialback'/>");
  off.InviteBob();
  EXPECT_EQ(off.net.connected.size(), 2u);
}

TEST(Riders, AnswersThatNobodyAskedForAreNone) {
  Shared shared;
  const net::StreamId first = shared.Answer("<dialback xmlns='urn:xmpp:features:dialback'/>");
  for (const char* pair : {"from='other.org' to='rooms.example.com'",
                           "from='third.net' to='example.com'", "from='a..b' to=''"}) {
    shared.here.Say(first, "<db:result " + std::string(pair) + " type='valid'/>");
  }
  EXPECT_EQ(shared.here.counters().connected, 1u);
  EXPECT_TRUE(shared.here.IsOpen(first));
}

// --- What was not delivered (without XEP-0198) ---------------------------------------------------

TEST(Undelivered, ComesBackWhenTheConnectionBreaks) {
  for (const size_t undelivered : {size_t{0}, size_t{50}, size_t{100'000}}) {
    Shared shared;
    for (Site* site : {&shared.here, &shared.there}) {
      site->config.management = false;
      site->Apply();
    }
    shared.SayToBob("one");
    const uint32_t free = shared.here.federation().chains().free_count();
    shared.here.undelivered = 100'000;
    shared.SayToBob("two");
    shared.SayToBob("three");
    shared.here.undelivered = undelivered;  // of the last; of both
    shared.here.Turn(2);
    shared.here.Break();
    shared.net.Run();
    const std::string back = shared.alice->Take();
    EXPECT_EQ(Has(back, "id='three' type='error'"), undelivered != 0) << back;
    EXPECT_EQ(Has(back, "id='two' type='error'"), undelivered == 100'000) << back;
    EXPECT_EQ(Has(back, "remote-server-timeout"), undelivered != 0);
    EXPECT_LE(free, shared.here.federation().chains().free_count());
  }
}

TEST(Undelivered, IsBounded) {
  Shared shared;
  for (Site* site : {&shared.here, &shared.there}) {
    site->config.management = false;
    site->Apply();
  }
  shared.SayToBob("one");
  shared.here.undelivered = 100'000'000;
  for (int i = 0; i < 40; ++i) {
    shared.alice->Say("<message to='bob@other.org' type='chat'><body>" + std::string(9000, 'x') +
                      "</body></message>");
    shared.net.Run();
  }
  shared.here.Break();
  shared.net.Run();
  EXPECT_EQ(shared.here.counters().returned, kQueueBytesMax / 9090 + 1);  // and the first
}

// --- The disk ------------------------------------------------------------------------------------

// What a room says waits for the commit on whatever stream it takes, and nobody waits for the disk.
TEST(Holding, FindsTheStreamWhateverItIs) {
  enum class Way { kNone, kOwn, kShared, kEmail };
  for (const Way way : {Way::kNone, Way::kOwn, Way::kShared, Way::kEmail}) {
    Shared shared;
    shared.here.config.multiplexing = way == Way::kShared;
    shared.here.config.emails = way == Way::kEmail;
    shared.here.Apply();
    if (way != Way::kNone) {
      shared.SayToBob("one");
      shared.InviteBob();
      EXPECT_TRUE(Has(shared.bob->Take(), "<invite"));
    }
    const uint64_t durable = shared.here.world().engine().durable();
    shared.here.federation().HoldUntil("rooms.example.com", "other.org", durable + 1);
    EXPECT_EQ(shared.here.world().engine().durable(), durable) << "the disk was waited for";
    shared.InviteBob();
    EXPECT_FALSE(Has(shared.bob->Take(), "<invite"));
    shared.here.world().Commit();
    shared.net.Run();
    EXPECT_TRUE(Has(shared.bob->Take(), "<invite"));
  }
}

// --- The end -------------------------------------------------------------------------------------

// Streams there are go on, and ours begin, for those who are still there; others look elsewhere.
TEST(Maintenance, LetsNoOtherServerIn) {
  for (const bool by_certificate : {true, false}) {
    Shared shared;
    for (Site* site : {&shared.here, &shared.there}) {
      site->config.external_out = by_certificate;
      site->Apply();
    }
    shared.here.config.draining = true;
    shared.here.Apply();
    shared.SayToBob("one");
    EXPECT_TRUE(Has(shared.bob->Take(), "<body>one</body>"));
    const auto answer = [&] {
      shared.bob->Say(
          "<message to='alice@example.com/a' id='m' type='chat'><body>two</body></message>");
      shared.net.Run();
    };
    answer();
    EXPECT_FALSE(Has(shared.alice->Take(), "two"));
    EXPECT_TRUE(Has(shared.bob->Take(), "type='error'"));
    EXPECT_EQ(shared.here.events.back(), "refused other.org: maintenance");
    shared.here.config.draining = false;
    shared.here.Apply();
    shared.there.Turn(kBackOffSeconds + 1);
    answer();
    EXPECT_TRUE(Has(shared.alice->Take(), "<body>two</body>"));
    // Who is there stays.
    shared.here.config.draining = true;
    shared.here.Apply();
    answer();
    EXPECT_TRUE(Has(shared.alice->Take(), "<body>two</body>"));
    EXPECT_EQ(shared.here.federation().CloseAll("maintenance"), 2u);
    shared.net.Run();
    EXPECT_EQ(shared.here.federation().link_count(), 0u);
  }
}

TEST(Stopping, SaysSoToServersAndClients) {
  Shared shared;
  shared.SayToBob("one");
  const net::StreamId raw = shared.here.OpenRaw(true);
  shared.here.world().engine().Stop();
  EXPECT_TRUE(Has(shared.alice->Take(),
                  "<stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
                  "</stream:error></stream:stream>"));
  shared.here.federation().Stop();
  EXPECT_TRUE(Has(shared.here.Said(raw), "system-shutdown"));
  shared.net.Run();
  EXPECT_FALSE(shared.here.IsOpen(raw));
  EXPECT_EQ(shared.here.federation().link_count(), 0u);
  EXPECT_EQ(shared.there.federation().link_count(), 0u);
  // Nobody comes in any more.
  EXPECT_FALSE(shared.here.federation().OnOpen({7000, 1}, net::Endpoint(), true));
  EXPECT_FALSE(shared.here.world().engine().OnOpen({7000, 1}, net::Endpoint(), true));
}

}  // namespace
}  // namespace gh::s2s::test
