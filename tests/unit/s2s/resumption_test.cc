// Streams between servers that outlive their connection (XEP-0198 section 5).
#include <gtest/gtest.h>

#include "tests/unit/s2s/pair.h"

namespace gh::s2s::test {
namespace {

using xmpp::test::Client;

struct Broken : Pair {
  Broken() {
    SetBoth([](Config& config) { config.resume = Duration::Seconds(120); });
    LogIn();
  }
  std::string Says(Client& client, const std::string& to, const std::string& body) {
    std::string got = client.Say("<message to='" + to + "' type='chat' id='" + body + "'><body>" +
                                 body + "</body></message>");
    net.Run();
    return got + client.Take();
  }
  static int Count(const std::string& text, const std::string& part) {
    int count = 0;
    for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
      ++count;
    }
    return count;
  }
};

TEST(FederationResumption, WhatWasOnItsWayArrivesOnce) {
  Broken broken;
  broken.Says(*broken.alice, "bob@other.org", "one");
  broken.Commit();
  EXPECT_TRUE(Has(broken.bob->Take(), "<body>one</body>"));
  // Sent, and lost with the connection.
  broken.alice->Say("<message to='bob@other.org' type='chat'><body>two</body></message>");
  broken.net.events.clear();
  broken.here.Break();
  broken.alice->Say("<message to='bob@other.org' type='chat'><body>three</body></message>");
  broken.net.Run();
  broken.Commit();
  const std::string got = broken.bob->Take();
  EXPECT_EQ(Broken::Count(got, "<body>two</body>"), 1) << got;
  EXPECT_EQ(Broken::Count(got, "<body>three</body>"), 1) << got;
  EXPECT_LT(got.find("two"), got.find("three"));
  EXPECT_EQ(broken.here.counters().resumed, 1u);
  EXPECT_EQ(broken.there.counters().resumed, 1u);
  EXPECT_EQ(broken.alice->Take(), "");
  EXPECT_EQ(broken.here.federation().link_count(), 1u);
  EXPECT_EQ(broken.there.federation().link_count(), 1u);
  // It goes on both ways, and is counted on.
  broken.Says(*broken.bob, "alice@example.com", "back");
  EXPECT_TRUE(Has(broken.alice->Take(), "<body>back</body>"));
  broken.Says(*broken.alice, "bob@other.org", "four");
  broken.Commit();
  EXPECT_EQ(broken.here.counters().acknowledged, 4u);
}

TEST(FederationResumption, IsNoNewStreamInMaintenance) {
  Broken broken;
  broken.Says(*broken.alice, "bob@other.org", "one");
  broken.Commit();
  broken.there.config.draining = true;
  broken.there.Apply();
  broken.here.Break();
  broken.Says(*broken.alice, "bob@other.org", "two");
  broken.net.Run();
  broken.Commit();
  EXPECT_TRUE(Has(broken.bob->Take(), "<body>two</body>"));
  EXPECT_EQ(broken.there.counters().resumed, 1u);
}

// What had arrived, and was not acknowledged yet, does not come twice; the other way waits.
TEST(FederationResumption, NothingComesTwice) {
  Broken broken;
  broken.Says(*broken.alice, "bob@other.org", "one");
  broken.here.Break();
  std::string got = broken.Says(*broken.bob, "alice@example.com", "meanwhile");
  broken.net.Run();
  broken.Commit();
  got += broken.bob->Take();
  EXPECT_EQ(Broken::Count(got, "<body>one</body>"), 1) << got;
  EXPECT_EQ(Broken::Count(broken.alice->Take(), "<body>meanwhile</body>"), 1);
  EXPECT_EQ(broken.there.counters().resumed, 1u);
}

// Both sides say what they have, which has to be on the disk first: nobody else waits for that.
TEST(FederationResumption, WaitsForTheDiskAlone) {
  Broken broken;
  broken.Says(*broken.alice, "bob@other.org", "one");
  std::string got = broken.Says(*broken.bob, "alice@example.com", "two");
  broken.here.Break();
  broken.net.Run();
  EXPECT_EQ(broken.here.counters().resumed + broken.there.counters().resumed, 0u);
  broken.here.world().Commit();  // ours asks now
  broken.net.Run();
  EXPECT_EQ(broken.there.counters().resumed, 0u);
  // What came meanwhile waits, and a connection that breaks once more is no harm.
  broken.Says(*broken.alice, "bob@other.org", "three");
  broken.here.Break();
  broken.net.Run();
  broken.Commit();
  broken.Commit();
  EXPECT_EQ(broken.there.counters().resumed, 1u);
  got += broken.bob->Take();
  EXPECT_EQ(Broken::Count(got, "<body>one</body>"), 1) << got;
  EXPECT_EQ(Broken::Count(got, "<body>three</body>"), 1) << got;
}

// The power goes while the other side waits for its disk: what it had is lost there, and has not
// been acknowledged by the resumption that was under way.
TEST(FederationResumption, WhatTheDiskHasNotComesBackToItsSender) {
  Broken broken;
  broken.Says(*broken.alice, "bob@other.org", "one");
  broken.here.Break();
  broken.here.world().Commit();
  broken.net.Run();
  EXPECT_EQ(broken.there.counters().resumed, 0u);
  EXPECT_EQ(broken.alice->Take(), "");
  broken.there.federation().Disconnect("");
  broken.net.events.clear();
  broken.here.Break();
  broken.net.Run();
  const std::string got = broken.alice->Take();
  EXPECT_TRUE(Has(got, "id='one'") && Has(got, "type='error'")) << got;
  EXPECT_EQ(broken.here.counters().acknowledged, 0u);
}

TEST(FederationResumption, WhoForgotTheStreamIsToldAnew) {
  Broken broken;
  broken.Says(*broken.alice, "bob@other.org", "one");
  broken.Commit();
  broken.alice->Say("<message to='bob@other.org' type='chat' id='l'><body>lost</body></message>");
  broken.net.events.clear();
  broken.there.federation().Disconnect("");  // their side is a new one
  broken.net.events.clear();
  broken.here.Break();
  broken.net.Run();
  EXPECT_TRUE(Has(broken.alice->Take(), "id='l'"));  // came back
  broken.Says(*broken.alice, "bob@other.org", "two");
  broken.Commit();
  EXPECT_TRUE(Has(broken.bob->Take(), "<body>two</body>"));
  EXPECT_EQ(broken.here.counters().resumed, 0u);
}

TEST(FederationResumption, WhoCannotBeReachedIsGivenUp) {
  Broken broken;
  broken.Says(*broken.alice, "bob@other.org", "one");
  broken.Commit();
  broken.alice->Say("<message to='bob@other.org' type='chat' id='l'><body>lost</body></message>");
  broken.net.events.clear();
  broken.net.sites.clear();
  broken.here.Break();
  broken.net.Run();
  EXPECT_TRUE(Has(broken.alice->Take(), "remote-server-timeout"));
  // The other side waits for two minutes, then it is over.
  broken.bob->Say("<message to='alice@example.com' type='chat' id='b'><body>x</body></message>");
  broken.there.Turn(119);
  EXPECT_EQ(broken.there.federation().link_count(), 1u);
  broken.there.Turn(2);
  EXPECT_EQ(broken.there.federation().link_count(), 0u);
  EXPECT_TRUE(Has(broken.bob->Take(), "remote-server-timeout"));
}

// Another's stream is not resumed by whoever knows its name.
TEST(FederationResumption, OnlyByWhomItBelongsTo) {
  Broken broken;
  const std::string header =
      "<?xml version='1.0'?><stream:stream xmlns='jabber:server' "
      "xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' "
      "version='1.0' to='example.com' from='";
  const auto prove = [&](const std::string& domain) {
    const net::StreamId raw = broken.here.OpenRaw(true, {domain});
    broken.here.Say(raw, header + domain + "'>");
    broken.here.Say(raw,
                    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>="
                    "</auth>");
    broken.here.Say(raw, header + domain + "'>");
    return raw;
  };
  const net::StreamId first = prove("third.net");
  const std::string enabled = broken.here.Say(first,
                                              "<enable xmlns='urn:xmpp:sm:3' "
                                              "resume='true'/>");
  ASSERT_TRUE(Has(enabled, " resume='true' max='120'")) << enabled;
  const size_t at = enabled.find(" id='") + 5;
  const std::string id = enabled.substr(at, enabled.find('\'', at) - at);
  const std::string resume = "<resume xmlns='urn:xmpp:sm:3' h='0' previd='" + id + "'/>";
  EXPECT_TRUE(Has(broken.here.Say(prove("fourth.net"), resume), "item-not-found"));
  const net::StreamId again = prove("third.net");
  EXPECT_TRUE(
      Has(broken.here.Say(again, "<resume xmlns='urn:xmpp:sm:3' h='7' previd='" + id + "'/>"),
          "item-not-found"));  // more than was sent
  EXPECT_TRUE(Has(broken.here.Say(again, resume), "<resumed"));
  EXPECT_FALSE(broken.here.IsOpen(first));
}

TEST(FederationResumption, NoMoreThanAQuarterWait) {
  Broken broken;
  const uint32_t most = broken.here.federation().link_capacity() / 4;
  const std::string header =
      "<?xml version='1.0'?><stream:stream xmlns='jabber:server' "
      "xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' "
      "version='1.0' to='example.com' from='";
  for (uint32_t i = 0; i <= most; ++i) {
    const std::string domain = "d" + std::to_string(i) + ".net";
    const net::StreamId raw = broken.here.OpenRaw(true, {domain});
    broken.here.Say(raw, header + domain + "'>");
    broken.here.Say(raw,
                    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>="
                    "</auth>");
    broken.here.Say(raw, header + domain + "'>");
    broken.here.Say(raw, "<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
    broken.here.Break();
  }
  EXPECT_EQ(broken.here.federation().link_count(), most);
}

}  // namespace
}  // namespace gh::s2s::test
