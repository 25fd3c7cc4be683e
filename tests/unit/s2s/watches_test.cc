// Users of other servers who are watched for a while (PRES-04), and push services there.
#include <gtest/gtest.h>

#include "tests/unit/s2s/pair.h"

namespace gh::s2s::test {
namespace {

using xmpp::test::Client;

// alice@example.com may watch; bob@other.org lets everybody see him.
struct Watched : Pair {
  Watched() {
    xmpp::Config ours = here.world().engine().config();
    ours.temporary = true;
    ours.temporary_max = 2;
    here.world().engine().Apply(ours);
    xmpp::Account* him = there.world().AddUser("bob");
    EXPECT_TRUE(there.world().engine().SetPolicy(*him, xmpp::UserPolicy::kAllow).ok());
    LogIn("<presence><show>away</show></presence>");
  }
  std::string Ask(const std::string& what, const std::string& whom = "bob@other.org",
                  Client* who = nullptr) {
    Client& client = who != nullptr ? *who : *alice;
    std::string got =
        client.Say("<iq type='set' id='w'><" + what +
                   " xmlns='urn:gatehouse:presence:temporary' jid='" + whom + "'/></iq>");
    net.Run();
    return got + client.Take();
  }
  std::string BobSays(const std::string& text) {
    bob->Say(text);
    net.Run();
    return alice->Take();
  }
  bool BobShowsHer() {
    xmpp::Directory& directory = there.world().engine().directory();
    const xmpp::Contact* contact =
        directory.FindContact(*directory.Find("bob@other.org"), "alice@example.com");
    return contact != nullptr && (contact->state & xmpp::kFrom) != 0;
  }
};

TEST(WatchesAway, ShowAUserOfAnotherServerUntilTheirTimeIsOver) {
  Watched watched;
  const std::string got = watched.Ask("watch");
  EXPECT_TRUE(Has(got, "seconds='300'")) << got;
  EXPECT_LT(got.find("from='bob@other.org' to='alice@example.com/a' type='unavailable'"),
            got.find("<show>away</show>"))
      << got;
  EXPECT_TRUE(watched.BobShowsHer());
  // He is no contact of hers.
  EXPECT_EQ(watched.here.world().engine().directory().contact_count(), 0u);
  watched.here.Turn(200);
  EXPECT_TRUE(Has(watched.Ask("watch"), "seconds='300'"));  // once more
  watched.here.Turn(200);
  EXPECT_TRUE(Has(watched.BobSays("<presence><show>dnd</show></presence>"), "<show>dnd</show>"));
  watched.here.Turn(101);
  EXPECT_FALSE(watched.BobShowsHer());
  EXPECT_TRUE(Has(watched.alice->Take(), "from='bob@other.org/b'"));  // gone, for her
  EXPECT_EQ(watched.BobSays("<presence/>"), "");
  EXPECT_EQ(watched.here.world().engine().watch_count(), 0u);
}

TEST(WatchesAway, EndWithTheirWordOrTheSession) {
  Watched watched;
  watched.Ask("watch");
  watched.Ask("unwatch");
  EXPECT_FALSE(watched.BobShowsHer());
  watched.Ask("watch");
  EXPECT_TRUE(watched.BobShowsHer());
  // Another client of hers goes on when the first goes.
  Client desk(watched.here.world(), 2);
  desk.LogIn("alice", "desk");
  desk.Say("<presence/>");
  EXPECT_TRUE(Has(watched.Ask("watch", "bob@other.org", &desk), "<show>away</show>"));
  watched.alice->Say("</stream:stream>");
  watched.net.Run();
  EXPECT_TRUE(watched.BobShowsHer());
  desk.Say("</stream:stream>");
  watched.net.Run();
  EXPECT_FALSE(watched.BobShowsHer());
  EXPECT_EQ(watched.here.world().engine().watch_count(), 0u);
}

TEST(WatchesAway, EndWhenHeDoesNotWantThemAnyMore) {
  Watched watched;
  watched.Ask("watch");
  const std::string got = watched.BobSays("<presence to='alice@example.com' type='unsubscribed'/>");
  EXPECT_TRUE(Has(got, "from='bob@other.org' to='alice@example.com/a' type='unavailable'")) << got;
  EXPECT_EQ(watched.here.world().engine().watch_count(), 0u);
}

TEST(WatchesAway, LeaveRealSubscriptionsAlone) {
  Watched watched;
  watched.Ask("watch");
  watched.alice->Say("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>");
  watched.alice->Say("<presence to='bob@other.org' type='subscribe'/>");
  watched.net.Run();
  EXPECT_TRUE(Has(watched.alice->Take(), "subscription='to'"));
  watched.Ask("unwatch");
  EXPECT_TRUE(watched.BobShowsHer());
  // Who is a contact is asked, and no watch is needed.
  EXPECT_TRUE(Has(watched.Ask("watch"), "<show>away</show>"));
  EXPECT_EQ(watched.here.world().engine().watch_count(), 0u);
}

TEST(WatchesAway, AreBoundedAndLookLikeNobodyThere) {
  Watched watched;
  EXPECT_TRUE(Has(watched.Ask("watch", "x@nowhere.net"), "type='unavailable'"));
  watched.Ask("watch");
  EXPECT_TRUE(Has(watched.Ask("watch", "carol@other.org"), "resource-constraint"));
  EXPECT_EQ(watched.here.world().engine().watch_count(), 2u);
  watched.Ask("unwatch", "x@nowhere.net");
  // Where the policy lets nobody go, he looks away, and nothing is kept.
  watched.here.config.policy.allows_by_default = false;
  watched.here.Apply();
  EXPECT_TRUE(Has(watched.Ask("watch", "carol@other.org"), "type='unavailable'"));
  EXPECT_EQ(watched.here.world().engine().watch_count(), 1u);
}

TEST(PushAway, AServiceOfAnotherServerIsToldAndMayGo) {
  Watched watched;
  EXPECT_TRUE(Has(watched.alice->Say("<iq type='set' id='e'><enable xmlns='urn:xmpp:push:0' "
                                     "jid='bob@other.org/b' node='phone'/></iq>"),
                  "type='result'"));
  watched.alice->Say("</stream:stream>");
  watched.BobSays("<message to='alice@example.com' type='chat'><body>wake</body></message>");
  const std::string told = watched.bob->Take();
  EXPECT_TRUE(Has(told, "<publish node='phone'>") && Has(told, "from='alice@example.com'")) << told;
  EXPECT_FALSE(Has(told, "wake"));
  const size_t at = told.find(" id='") + 5;
  const std::string id = told.substr(at, told.find('\'', at) - at);
  watched.BobSays("<iq type='error' to='alice@example.com' id='" + id +
                  "'><error type='cancel'><item-not-found "
                  "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>");
  watched.BobSays("<message to='alice@example.com' type='chat'><body>more</body></message>");
  EXPECT_EQ(watched.bob->Take(), "");
  EXPECT_EQ(watched.here.world().engine().counters().pushes, 1u);
}

}  // namespace
}  // namespace gh::s2s::test
