// Components (XEP-0114), federation through an Edge (EXP-001 to EXP-006), and how fast and how many
// streams may be.
#include <gtest/gtest.h>

#include "crypto/legacy.h"
#include "tests/unit/s2s/site.h"

namespace gh::s2s::test {
namespace {

using xmpp::test::Client;

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::string Header(const std::string& to) {
  return "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' "
         "xmlns:stream='http://etherx.jabber.org/streams' to='" +
         to + "'>";
}

std::string Handshake(const std::string& header, const std::string& secret) {
  const size_t at = header.find(" id='") + 5;
  const std::string id = header.substr(at, header.find('\'', at) - at);
  crypto::Sha1 digest;
  digest.Update(id + secret);
  uint8_t bytes[40];
  ByteWriter hex(bytes);
  hex.HexBytes(digest.Finish());
  return "<handshake>" + std::string(hex.text()) + "</handshake>";
}

// example.com with alice, and a component bot.example.com.
struct Beside {
  Beside() {
    here.world().AddUser("alice");
    there.world().AddUser("bob");
    here.config.partners[0].domain.Assign("bot.example.com");
    here.config.partners[0].secret.Assign("hush");
    here.config.partner_count = 1;
    here.Apply();
    alice = std::make_unique<Client>(here.world(), 1);
    alice->LogIn("alice", "a");
    alice->Say("<presence/>");
  }
  net::StreamId Connect(const std::string& secret = "hush") {
    const net::StreamId raw = here.OpenRaw(true, {}, Door::kComponents);
    said = here.Say(raw, Header("bot.example.com"));
    said = here.Say(raw, Handshake(said, secret));
    return raw;
  }
  std::string AliceSays(const std::string& text) {
    std::string got = alice->Say(text);
    net.Run();
    return got + alice->Take();
  }

  Net net;
  Site here{net, "example.com", "192.0.2.1"};
  Site there{net, "other.org", "192.0.2.2"};
  std::unique_ptr<Client> alice;
  std::string said;
};

TEST(Components, ProveThemselvesBySecretAndTalk) {
  Beside beside;
  beside.here.config.enabled = false;  // without federation, too
  beside.here.Apply();
  EXPECT_TRUE(
      Has(beside.AliceSays("<message to='x@bot.example.com' id='m'><body>1</body></message>"),
          "remote-server-not-found"));
  const net::StreamId raw = beside.Connect();
  EXPECT_EQ(beside.said, "<handshake/>");
  EXPECT_EQ(beside.here.events, std::vector<std::string>{"component bot.example.com up"});
  EXPECT_TRUE(beside.here.federation().IsConnected(0));
  beside.AliceSays("<message to='x@bot.example.com/r' type='chat'><body>hi</body></message>");
  const std::string got = beside.here.Said(raw);
  EXPECT_TRUE(Has(got, "<message from='alice@example.com/a' to='x@bot.example.com/r'")) << got;
  beside.here.Say(raw,
                  "<message from='x@bot.example.com/r' to='alice@example.com' type='chat'>"
                  "<body>hello</body></message>");
  EXPECT_TRUE(Has(beside.alice->Take(), "<body>hello</body>"));
  // It asks our server, and is asked.
  EXPECT_TRUE(Has(beside.here.Say(raw,
                                  "<iq type='get' id='q' from='bot.example.com' "
                                  "to='example.com'><ping xmlns='urn:xmpp:ping'/></iq>"),
                  "type='result'"));
  beside.AliceSays(
      "<iq type='get' id='d' to='bot.example.com'><query "
      "xmlns='http://jabber.org/protocol/disco#info'/></iq>");
  EXPECT_TRUE(Has(beside.here.Said(raw), "disco#info"));
  beside.here.Say(raw,
                  "<iq type='result' id='d' from='bot.example.com' to='alice@example.com/a'>"
                  "<query xmlns='http://jabber.org/protocol/disco#info'><identity "
                  "category='client' type='bot'/></query></iq>");
  EXPECT_TRUE(Has(beside.alice->Take(), "type='bot'"));
}

TEST(Components, SeePresenceAndAreSubscribedTo) {
  Beside beside;
  const net::StreamId raw = beside.Connect();
  beside.AliceSays("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>");
  beside.AliceSays("<presence to='x@bot.example.com' type='subscribe'/>");
  EXPECT_TRUE(Has(beside.here.Said(raw), "type='subscribe'"));
  beside.here.Say(raw,
                  "<presence from='x@bot.example.com' to='alice@example.com' "
                  "type='subscribed'/>");
  beside.here.Say(raw,
                  "<presence from='x@bot.example.com/r' to='alice@example.com'>"
                  "<show>dnd</show></presence>");
  const std::string got = beside.alice->Take();
  EXPECT_TRUE(Has(got, "subscription='to'") && Has(got, "<show>dnd</show>")) << got;
}

TEST(Components, StrangersAreRefused) {
  Beside beside;
  for (const char* secret : {"hus", "hush ", ""}) {
    const net::StreamId raw = beside.Connect(secret);
    EXPECT_TRUE(Has(beside.said, "not-authorized")) << beside.said;
    EXPECT_FALSE(beside.here.IsOpen(raw));
  }
  EXPECT_EQ(beside.here.events.back(), "refused bot.example.com: its secret is another");
  net::StreamId raw = beside.here.OpenRaw(true, {}, Door::kComponents);
  EXPECT_TRUE(Has(beside.here.Say(raw, Header("example.com")), "host-unknown"));
  raw = beside.here.OpenRaw(true, {}, Door::kComponents);
  beside.here.Say(raw, Header("bot.example.com"));
  EXPECT_TRUE(Has(beside.here.Say(raw,
                                  "<message from='x@bot.example.com' "
                                  "to='alice@example.com'><body>x</body></message>"),
                  "invalid-from"));
  EXPECT_EQ(beside.alice->Take(), "");
}

// 8 KiB, 32 elements, 30 s: at their edges.
TEST(Components, StrangersHaveABudget) {
  Beside beside;
  const auto open = [&] {
    const net::StreamId raw = beside.here.OpenRaw(true, {}, Door::kComponents);
    beside.said = beside.here.Say(raw, Header("bot.example.com"));
    return raw;
  };
  const size_t header = Header("bot.example.com").size();
  net::StreamId raw = open();
  beside.here.Say(raw, "<handshake>" + std::string(xmpp::kUnprovenBytes - header, 'x'));
  EXPECT_FALSE(beside.here.IsOpen(raw));
  std::string nested;
  for (uint32_t i = 2; i < xmpp::kUnprovenElements; ++i) {
    nested += "<b/>";
  }
  EXPECT_TRUE(
      Has(beside.here.Say(open(), "<handshake>" + nested + "</handshake>"), "not-authorized"));
  EXPECT_TRUE(Has(beside.here.Say(open(), "<handshake>" + nested + "<b>"), "policy-violation"));
  raw = open();
  beside.here.Turn(kUnprovenSeconds - 1);
  EXPECT_TRUE(beside.here.IsOpen(raw));
  beside.here.Turn(2);
  EXPECT_FALSE(beside.here.IsOpen(raw));
  EXPECT_EQ(beside.here.federation().link_count(), 0u);
  EXPECT_EQ(beside.here.federation().reader_count(), 0u);
}

TEST(Components, SpeakForTheirDomainAlone) {
  Beside beside;
  for (const char* from : {"alice@example.com", "x@other.org", "x@sub.bot.example.com"}) {
    const net::StreamId raw = beside.Connect();
    EXPECT_TRUE(Has(beside.here.Say(raw, std::string("<message from='") + from +
                                             "' to='alice@example.com'><body>x</body></message>"),
                    "invalid-from"));
    EXPECT_FALSE(beside.here.IsOpen(raw));
    EXPECT_EQ(beside.alice->Take(), "");
  }
}

TEST(Components, WhoConnectsAnewTakesTheOldOnesPlace) {
  Beside beside;
  const net::StreamId first = beside.Connect();
  const net::StreamId second = beside.Connect();
  EXPECT_FALSE(beside.here.IsOpen(first));
  EXPECT_TRUE(Has(beside.here.Said(first), "<conflict"));
  beside.AliceSays("<message to='x@bot.example.com'><body>hi</body></message>");
  EXPECT_TRUE(Has(beside.here.Said(second), "hi"));
  // Its secret is changed: it has to prove itself again.
  beside.here.config.partners[0].secret.Assign("another");
  beside.here.Apply();
  beside.net.Run();
  EXPECT_FALSE(beside.here.IsOpen(second));
}

TEST(Components, AreReachedFromOtherServers) {
  Beside beside;
  const net::StreamId raw = beside.Connect();
  beside.net.hosts["bot.example.com"] = "192.0.2.1";
  beside.here.certificate = {"example.com", "bot.example.com"};
  Client bob(beside.there.world(), 1);
  bob.LogIn("bob", "b");
  bob.Say("<presence/>");
  bob.Say("<message to='x@bot.example.com' type='chat'><body>from afar</body></message>");
  beside.net.Run();
  EXPECT_TRUE(Has(beside.here.Said(raw), "from='bob@other.org/b'")) << beside.here.Said(raw);
  beside.here.Say(raw,
                  "<message from='x@bot.example.com' to='bob@other.org/b' type='chat'>"
                  "<body>back</body></message>");
  EXPECT_TRUE(Has(bob.Take(), "<body>back</body>"));
  EXPECT_TRUE(Has(beside.here.Say(raw,
                                  "<message from='x@bot.example.com' id='g' "
                                  "to='y@gone.example'><body>x</body></message>"),
                  "remote-server-not-found"));
}

// --- An Edge -------------------------------------------------------------------------------------

// core serves example.com and is reached by nobody; edge stands for it towards other.org.
struct Behind {
  Behind() {
    core.world().AddUser("alice");
    there.world().AddUser("bob");
    net.hosts["example.com"] = net.hosts["rooms.example.com"] = "192.0.2.3";  // the Edge
    net.hosts["edge.net"] = "192.0.2.3";
    core.certificate = {"core.inside"};
    edge.certificate = {"edge.net", "example.com", "rooms.example.com"};
    edge.config.partners[0].domain.Assign("*.example.com");
    edge.config.partners[0].peer.Assign("core.inside");
    edge.config.partner_count = 1;
    edge.Apply();
    core.config.by_edge = true;
    core.config.edges[0].host.Assign("edge.net");
    core.config.edges[0].port = 7400;
    core.config.edge_count = 1;
    core.Apply();
    net.Run();
    alice = std::make_unique<Client>(core.world(), 1);
    alice->LogIn("alice", "a");
    alice->Say("<presence/>");
    bob = std::make_unique<Client>(there.world(), 1);
    bob->LogIn("bob", "b");
    bob->Say("<presence/>");
  }
  std::string Says(Client& client, const std::string& text) {
    std::string got = client.Say(text);
    net.Run();
    for (Site* site : {&core, &edge, &there}) {
      site->world().Commit();
    }
    net.Run();
    return got + client.Take();
  }

  Net net;
  Site core{net, "example.com", "192.0.2.4"};
  Site edge{net, "edge.net", "192.0.2.3"};
  Site there{net, "other.org", "192.0.2.2"};
  std::unique_ptr<Client> alice, bob;
};

TEST(Edge, CarriesWhatGoesOutAndComesIn) {
  Behind behind;
  EXPECT_TRUE(behind.core.federation().IsEdgeConnected());
  EXPECT_TRUE(behind.edge.federation().IsConnected(0));
  EXPECT_EQ(behind.net.connected, std::vector<std::string>{"192.0.2.3:7400 tls"});
  EXPECT_EQ(behind.Says(*behind.alice,
                        "<message to='bob@other.org' type='chat'><body>out</body>"
                        "</message>"),
            "");
  const std::string got = behind.bob->Take();
  EXPECT_TRUE(Has(got, "from='alice@example.com/a'") && Has(got, "out")) << got;
  EXPECT_EQ(behind.there.events, std::vector<std::string>{"from example.com by certificate"});
  behind.Says(*behind.bob, "<message to='alice@example.com' type='chat'><body>in</body></message>");
  EXPECT_TRUE(Has(behind.alice->Take(), "<body>in</body>"));
  // A stream that others begin comes to the Edge, too.
  behind.there.federation().Disconnect("");
  behind.net.Run();
  behind.Says(*behind.bob, "<presence to='alice@example.com' type='subscribe'/>");
  EXPECT_TRUE(Has(behind.alice->Take(), "type='subscribe'"));
  for (const std::string& at : behind.net.connected) {
    EXPECT_FALSE(Has(at, "192.0.2.4")) << at;  // nobody reaches the Core
  }
}

// What must be on the disk first waits on the way to the Edge, and to a component.
TEST(Edge, WaitsForTheDiskAlone) {
  Behind behind;
  const uint64_t durable = behind.core.world().engine().durable();
  behind.core.federation().HoldUntil("rooms.example.com", "other.org", durable + 1);
  EXPECT_EQ(behind.core.world().engine().durable(), durable);
  behind.alice->Say("<message to='bob@other.org' type='chat'><body>out</body></message>");
  behind.net.Run();
  EXPECT_EQ(behind.bob->Take(), "");
  behind.core.world().Commit();
  behind.net.Run();
  EXPECT_TRUE(Has(behind.bob->Take(), "<body>out</body>"));
  Beside beside;
  const net::StreamId raw = beside.Connect();
  beside.here.federation().HoldUntil("rooms.example.com", "bot.example.com",
                                     beside.here.world().engine().durable() + 1);
  beside.AliceSays("<message to='x@bot.example.com' type='chat'><body>hi</body></message>");
  EXPECT_FALSE(Has(beside.here.Said(raw), "<body>hi"));
  beside.here.world().Commit();
  EXPECT_TRUE(Has(beside.here.Said(raw), "<body>hi"));
}

TEST(Edge, CarriesRooms) {
  Behind behind;
  behind.Says(*behind.alice,
              "<presence to='lab@rooms.example.com/al'><x "
              "xmlns='http://jabber.org/protocol/muc'/></presence>");
  behind.Says(*behind.alice,
              "<iq to='lab@rooms.example.com' type='set' id='c'><query "
              "xmlns='http://jabber.org/protocol/muc#owner'><x "
              "xmlns='jabber:x:data' type='submit'/></query></iq>");
  // other.org has rooms of this name itself in these scenes: they are the Edge's here.
  xmpp::Config config = behind.there.world().engine().config();
  config.rooms.hosts[0].Assign("rooms.other.org");
  behind.there.world().engine().Apply(config);
  config = behind.edge.world().engine().config();
  config.rooms.hosts[0].Assign("rooms.edge.net");
  behind.edge.world().engine().Apply(config);
  const std::string got = behind.Says(*behind.bob,
                                      "<presence to='lab@rooms.example.com/bo'><x "
                                      "xmlns='http://jabber.org/protocol/muc'/>"
                                      "</presence>");
  EXPECT_TRUE(Has(got, "lab@rooms.example.com/al")) << got;
}

TEST(Edge, TellsWhenTheOtherSideIsAway) {
  Behind behind;
  behind.core.federation().Disconnect("edge.net");
  behind.net.Run();
  EXPECT_FALSE(behind.edge.federation().IsConnected(0));
  behind.net.sites.erase("192.0.2.3:7400");  // and it stays so
  EXPECT_TRUE(Has(behind.Says(*behind.bob,
                              "<message to='alice@example.com' id='m' type='chat'>"
                              "<body>in</body></message>"),
                  "remote-server-timeout"));
  const std::string got = behind.Says(*behind.alice,
                                      "<message to='bob@other.org' id='o' "
                                      "type='chat'><body>out</body></message>");
  EXPECT_TRUE(Has(got, "remote-server-timeout")) << got;
  EXPECT_FALSE(behind.core.federation().IsEdgeConnected());
  // It comes back by itself.
  behind.net.sites["192.0.2.3:7400"] = &behind.edge;
  for (int i = 0; i < 4; ++i) {
    behind.core.Turn(kTickSeconds);
  }
  EXPECT_TRUE(behind.core.federation().IsEdgeConnected());
}

TEST(Edge, BelievesCertificatesAlone) {
  Behind behind;
  const std::string header =
      "<?xml version='1.0'?><stream:stream xmlns='jabber:server' "
      "xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' "
      "version='1.0' from='example.com' to='edge.net'>";
  net::StreamId raw = behind.edge.OpenRaw(true, {"example.com"}, Door::kRelay);
  const std::string got = behind.edge.Say(raw, header);
  EXPECT_FALSE(Has(got, "EXTERNAL") || Has(got, "dialback>")) << got;
  EXPECT_TRUE(Has(behind.edge.Say(raw,
                                  "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' "
                                  "mechanism='EXTERNAL'>=</auth>"),
                  "not-authorized"));
  EXPECT_TRUE(Has(behind.edge.Say(raw,
                                  "<db:result from='example.com' to='edge.net'>k"
                                  "</db:result>"),
                  "<stream:error>"));
  // Not from outside: others' streams cannot be of a domain that we stand for.
  raw = behind.edge.OpenRaw(true, {"core.inside"});
  EXPECT_TRUE(Has(behind.edge.Say(raw, header), "host-unknown"));
  EXPECT_TRUE(behind.edge.federation().IsConnected(0));  // the true one is still there
  // A Core believes nobody but its Edge.
  behind.edge.certificate = {"example.com"};
  behind.core.federation().Disconnect("edge.net");
  behind.net.Run();
  behind.core.Turn(kTickSeconds);
  EXPECT_FALSE(behind.core.federation().IsEdgeConnected());
}

TEST(Edge, HoldsThePolicy) {
  Behind behind;
  behind.edge.config.policy.allows_by_default = false;
  behind.edge.Apply();
  EXPECT_TRUE(Has(behind.Says(*behind.alice,
                              "<message to='bob@other.org' id='o'><body>x</body>"
                              "</message>"),
                  "not-allowed"));
}

// --- How many, how fast --------------------------------------------------------------------------

constexpr const char* kServer =
    "<?xml version='1.0'?><stream:stream xmlns='jabber:server' "
    "xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' "
    "version='1.0' from='other.org' to='example.com'>";

net::StreamId Proved(Site& here) {
  const net::StreamId raw = here.OpenRaw(true, {"other.org"});
  here.Say(raw, kServer);
  here.Say(raw, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>");
  return raw;
}

TEST(Federation, ADomainHasSoManyStreams) {
  Beside beside;
  beside.here.config.domain_streams = 2;
  beside.here.Apply();
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(Has(beside.here.Say(Proved(beside.here), kServer), "features"));
  }
  const net::StreamId raw = beside.here.OpenRaw(true, {"other.org"});
  EXPECT_TRUE(Has(beside.here.Say(raw, kServer), "resource-constraint"));
  // Who only says to be the domain takes nobody's place.
  beside.here.federation().Disconnect("");
  beside.net.Run();
  for (int i = 0; i < 4; ++i) {
    const net::StreamId stranger = beside.here.OpenRaw(true);
    EXPECT_TRUE(Has(beside.here.Say(stranger, kServer), "features"));
  }
  EXPECT_TRUE(Has(beside.here.Say(Proved(beside.here), kServer), "features"));
}

TEST(Federation, StanzasComeAsFastAsTheyMay) {
  Beside beside;
  beside.here.config.stanza_rate = 10;
  beside.here.Apply();
  const net::StreamId raw = Proved(beside.here);
  beside.here.Say(raw, kServer);
  std::string flood;
  for (int i = 0; i < 300; ++i) {
    flood += "<message from='bob@other.org' to='alice@example.com'/>";
  }
  const size_t taken = beside.here.federation().OnData(raw, AsBytes(flood));
  const uint64_t burst = beside.here.counters().stanzas_in;
  EXPECT_LT(taken, flood.size());
  EXPECT_EQ(burst, 10u * kRateBurstSeconds);
  EXPECT_EQ(beside.here.counters().held_back, 1u);
  // Half a second later there is room for five.
  beside.here.world().Turn(Duration::Milliseconds(500));
  beside.here.federation().OnData(raw, AsBytes(flood.substr(taken)));
  EXPECT_EQ(beside.here.counters().stanzas_in, burst + 5);
  EXPECT_TRUE(beside.here.IsOpen(raw));
}

}  // namespace
}  // namespace gh::s2s::test
