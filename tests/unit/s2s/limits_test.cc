// The limits of the room (limits.h) at their edges, where no other test of it does that.
#include <gtest/gtest.h>

#include "tests/unit/s2s/site.h"

namespace gh::s2s::test {
namespace {

using xmpp::test::Client;

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// example.com with alice; nobody else.
struct Alone {
  Alone() {
    here.config.security = Security::kOptional;
    here.config.requires_certificate = false;
    here.Apply();
    here.world().AddUser("alice");
    alice = std::make_unique<Client>(here.world(), 1);
    alice->LogIn("alice", "a");
  }
  std::string Says(const std::string& domain, size_t size = 1) {
    std::string got = alice->Say("<message to='bob@" + domain + "' type='chat' id='m'><body>" +
                                 std::string(size, 'x') + "</body></message>");
    net.Run();
    return got + alice->Take();
  }
  static std::string Header(const std::string& more) {
    return "<stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' "
           "xmlns:stream='http://etherx.jabber.org/streams' version='1.0' from='other.org' "
           "to='example.com' " +
           more + ">";
  }

  Net net;
  Site here{net, "example.com", "192.0.2.1"};
  std::unique_ptr<Client> alice;
};

TEST(LimitsOfServers, IdsOfStreams) {
  for (const bool is_over : {false, true}) {
    Alone alone;
    alone.net.hosts["other.org"] = "192.0.2.2";
    alone.here.speaks_for_others = true;
    alone.Says("other.org");
    const std::string id(kStreamIdMax + is_over, 'i');
    alone.here.Say(alone.here.outgoing, Alone::Header("id='" + id + "'"));
    EXPECT_EQ(alone.here.IsOpen(alone.here.outgoing), !is_over);
  }
}

// A key that is longer than any is nobody's: its server is not even asked.
TEST(LimitsOfServers, KeysOfDialback) {
  for (const bool is_over : {false, true}) {
    Alone alone;
    alone.net.hosts["other.org"] = "192.0.2.2";
    alone.here.speaks_for_others = true;
    const net::StreamId raw = alone.here.OpenRaw(false);
    alone.here.Say(raw, Alone::Header(""));
    const std::string got =
        alone.here.Say(raw, "<db:result from='other.org' to='example.com'>" +
                                std::string(kKeyMax + is_over, 'k') + "</db:result>");
    EXPECT_EQ(Has(got, "type='invalid'"), is_over) << got;
    EXPECT_EQ(alone.net.connected.size(), is_over ? 0u : 1u);
  }
}

TEST(LimitsOfServers, AttemptsForOneStream) {
  Alone alone;
  for (uint32_t i = 0; i < kServerMax; ++i) {
    const std::string name = "s" + std::to_string(i) + ".many.net";
    alone.net.srv["_xmpp-server._tcp.many.net"].push_back({name});
    alone.net.hosts[name] = "192.0.2.30 192.0.2.31";
  }
  EXPECT_TRUE(Has(alone.Says("many.net"), "remote-server-timeout"));
  EXPECT_EQ(alone.net.connected.size(), size_t{kAttemptMax});
}

TEST(LimitsOfServers, AddressesOfOneServer) {
  Alone alone;
  for (uint32_t i = 0; i <= kAddressMax; ++i) {
    alone.net.hosts["other.org"] += (i == 0 ? "192.0.2.3" : " 192.0.2.3") + std::to_string(i);
  }
  EXPECT_TRUE(Has(alone.Says("other.org"), "remote-server-timeout"));
  EXPECT_EQ(alone.net.connected.size(), size_t{kAddressMax});
}

TEST(LimitsOfServers, BytesThatWait) {
  Alone alone;
  alone.net.hosts["other.org"] = "192.0.2.2";
  alone.here.speaks_for_others = true;  // the other side says nothing
  std::string got;
  uint32_t taken = 0;
  for (; taken < 60 && !Has(got, "resource-constraint"); ++taken) {
    got = alone.Says("other.org", 9000);
  }
  EXPECT_EQ(taken - 1, kQueueBytesMax / 9200);
  EXPECT_FALSE(Has(alone.Says("other.org", 10), "error"));  // the last of the room
}

// XEP-0478: what holds when it is proved, for by dialback it hears no features again.
TEST(LimitsOfServers, AreToldToOtherServers) {
  Alone alone;
  alone.here.config.idle = Duration::Seconds(60);
  alone.here.Apply();
  const std::string limits = "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>";
  const std::string proved =
      std::to_string(alone.here.config.stanza_max) + "</max-bytes><idle-seconds>240</idle-seconds>";
  net::StreamId raw = alone.here.OpenRaw(true, {"other.org"});
  EXPECT_TRUE(Has(alone.here.Say(raw, Alone::Header("")), limits + proved + "</limits>"));
  alone.here.config.dialback = false;
  alone.here.Apply();
  raw = alone.here.OpenRaw(true, {"other.org"});
  const std::string before = alone.here.Say(raw, Alone::Header(""));
  EXPECT_TRUE(Has(before, limits + std::to_string(xmpp::kUnprovenBytes) + "</max-bytes>"));
  alone.here.Say(raw,
                 "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>");
  EXPECT_TRUE(Has(alone.here.Say(raw, Alone::Header("")), limits + proved));
  // And holds.
  alone.here.Turn(240 - kTickSeconds);
  EXPECT_TRUE(alone.here.IsOpen(raw));
  alone.here.Turn(2 * kTickSeconds);
  EXPECT_FALSE(alone.here.IsOpen(raw));
}

TEST(LimitsOfServers, TimeOfAnAttemptAndOfAStanza) {
  Alone alone;
  alone.net.hosts["other.org"] = "192.0.2.2";
  alone.here.speaks_for_others = true;
  alone.Says("other.org");
  alone.here.Turn(kAttemptSeconds - 1);
  EXPECT_TRUE(alone.here.IsOpen(alone.here.outgoing));
  alone.here.Turn(2);
  EXPECT_FALSE(alone.here.IsOpen(alone.here.outgoing));
  EXPECT_TRUE(Has(alone.alice->Take(), "remote-server-timeout"));
  // Of somebody who is proved.
  const net::StreamId raw = alone.here.OpenRaw(true, {"other.org"});
  alone.here.Say(raw, Alone::Header(""));
  alone.here.Say(raw,
                 "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>");
  alone.here.Say(raw, Alone::Header(""));
  alone.here.Say(raw, "<message from='bob@other.org' to='alice@example.com'><body>");
  alone.here.Turn(kStanzaSeconds - 1);
  EXPECT_TRUE(alone.here.IsOpen(raw));
  alone.here.Turn(2);
  EXPECT_FALSE(alone.here.IsOpen(raw));
}

// A server that does not answer what it was asked about a key is not waited for any longer.
TEST(LimitsOfServers, TimeToVerifyAKey) {
  Alone alone;
  alone.net.hosts["other.org"] = "192.0.2.2";
  alone.here.speaks_for_others = true;
  const net::StreamId raw = alone.here.OpenRaw(false);
  alone.here.Say(raw, Alone::Header(""));
  alone.here.Say(raw, "<db:result from='other.org' to='example.com'>key</db:result>");
  alone.here.Turn(kAttemptSeconds - 1);
  EXPECT_FALSE(Has(alone.here.Said(raw), "type='error'"));
  alone.here.Turn(2);
  EXPECT_TRUE(Has(alone.here.Said(raw), "type='error'")) << alone.here.Said(raw);
}

// One that counts stanzas (XEP-0198), is sent one on the stream it opened (XEP-0288), and does not
// say that it has it.
TEST(LimitsOfServers, TimeToAcknowledge) {
  Alone alone;
  const net::StreamId raw = alone.here.OpenRaw(true, {"other.org"});
  alone.here.Say(raw, Alone::Header(""));
  alone.here.Say(raw,
                 "<bidi xmlns='urn:xmpp:bidi'/><auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' "
                 "mechanism='EXTERNAL'>=</auth>");
  alone.here.Say(raw, Alone::Header(""));
  alone.here.Say(raw, "<enable xmlns='urn:xmpp:sm:3'/>");
  EXPECT_EQ(alone.Says("other.org"), "");
  EXPECT_TRUE(Has(alone.here.Said(raw), "<r xmlns='urn:xmpp:sm:3'/>")) << alone.here.Said(raw);
  alone.here.Turn(kAcknowledgeSeconds);
  EXPECT_TRUE(alone.here.IsOpen(raw));
  alone.here.Turn(kTickSeconds + 1);
  EXPECT_FALSE(alone.here.IsOpen(raw));
  EXPECT_TRUE(Has(alone.here.Said(raw), "<connection-timeout"));
  EXPECT_TRUE(Has(alone.alice->Take(), "remote-server-timeout"));
}

// Users' names may grow in a stanza until there is no room for it.
TEST(LimitsOfServers, NamesThatAreReplaced) {
  Alone alone;
  xmpp::Directory& directory = alone.here.world().engine().directory();
  const std::string email = std::string(100, 'a') + "@mail.example";
  ASSERT_TRUE(directory.SetEmail(*directory.Find("alice@example.com"), email).ok());
  alone.here.config.emails = true;
  alone.here.Apply();
  alone.net.hosts["other.org"] = "192.0.2.2";
  alone.here.speaks_for_others = true;
  const size_t fit = 64 * 1024 / email.size();
  for (const size_t count : {fit - 2, fit + 1}) {  // the sender's is among them
    std::string many;
    for (size_t i = 0; i < count; ++i) {
      many += "<i jid='alice@example.com'/>";
    }
    const std::string got =
        alone.alice->Say("<message to='bob@other.org'><x xmlns='x'>" + many + "</x></message>");
    EXPECT_EQ(Has(got, "resource-constraint"), count > fit) << got;
  }
}

TEST(LimitsOfServers, ExceptionsOfThePolicy) {
  Policy policy;
  policy.allows_by_default = false;
  policy.exception_count = kExceptionMax;
  for (uint32_t i = 0; i < kExceptionMax; ++i) {
    policy.exceptions[i].domain.Assign("d" + std::to_string(i) + ".net");
  }
  const std::string last = "d" + std::to_string(kExceptionMax - 1) + ".net";
  EXPECT_TRUE(policy.Allows(last, Direction::kOutgoing));
  EXPECT_FALSE(policy.Allows("d.net", Direction::kOutgoing));
}

TEST(LimitsOfServers, RoutesEdgesAndDomainsOfAddresses) {
  Alone alone;
  Config& config = alone.here.config;
  config.route_count = kRouteMax;
  for (uint32_t i = 0; i < kRouteMax; ++i) {
    config.routes[i].domain.Assign("d" + std::to_string(i) + ".net");
    config.routes[i].host.Assign("h" + std::to_string(i) + ".net");
  }
  alone.net.hosts["h" + std::to_string(kRouteMax - 1) + ".net"] = "192.0.2.99";
  alone.here.Apply();
  alone.Says("d" + std::to_string(kRouteMax - 1) + ".net");
  EXPECT_EQ(alone.net.connected,
            std::vector<std::string>{"192.0.2.99:" + std::to_string(kDefaultPort)});
  // Who is asked about a key of a domain that is not served says so.
  config.emails = true;
  config.email_domain_count = kOwnEmailDomainMax;
  for (uint32_t i = 0; i < kOwnEmailDomainMax; ++i) {
    config.email_domains[i].Assign("m" + std::to_string(i) + ".net");
  }
  alone.here.Apply();
  const net::StreamId raw = alone.here.OpenRaw(false);
  alone.here.Say(raw, Alone::Header(""));
  const auto verify = [&](uint32_t number) {
    return alone.here.Say(raw, "<db:verify from='other.org' to='m" + std::to_string(number) +
                                   ".net' id='1'>key</db:verify>");
  };
  EXPECT_TRUE(Has(verify(kOwnEmailDomainMax - 1), "type='invalid'"));
  EXPECT_TRUE(Has(verify(kOwnEmailDomainMax), "item-not-found"));
  config.by_edge = true;
  config.edge_count = kEdgeMax;
  for (uint32_t i = 0; i < kEdgeMax; ++i) {
    config.edges[i].host.Assign("e" + std::to_string(i) + ".net");
    config.edges[i].port = 7400;
    config.edges[i].is_tls = true;
  }
  alone.net.hosts["e" + std::to_string(kEdgeMax - 1) + ".net"] = "192.0.2.98";
  alone.net.connected.clear();
  alone.here.Apply();
  for (uint32_t i = 0; i < 4 * kEdgeMax && alone.net.connected.empty(); ++i) {
    alone.here.Turn(kTickSeconds);
  }
  ASSERT_FALSE(alone.net.connected.empty());
  EXPECT_EQ(alone.net.connected[0], "192.0.2.98:7400 tls");
}

TEST(LimitsOfServers, PartnersAndTheirSecrets) {
  Alone alone;
  Config& config = alone.here.config;
  config.partner_count = kPartnerMax;
  for (uint32_t i = 0; i < kPartnerMax; ++i) {
    config.partners[i].domain.Assign("c" + std::to_string(i) + ".example.com");
    ASSERT_TRUE(config.partners[i].secret.Assign(std::string(kSecretMax, 's')));
  }
  alone.here.Apply();
  const auto open = [&](uint32_t number) {
    const net::StreamId raw = alone.here.OpenRaw(true, {}, Door::kComponents);
    return alone.here.Say(raw,
                          "<stream:stream xmlns='jabber:component:accept' "
                          "xmlns:stream='http://etherx.jabber.org/streams' to='c" +
                              std::to_string(number) + ".example.com'>");
  };
  EXPECT_FALSE(Has(open(kPartnerMax - 1), "host-unknown"));
  EXPECT_TRUE(Has(open(kPartnerMax), "host-unknown"));
  // Every byte of a secret counts.
  const std::string one(kSecretMax, 's');
  std::string other = one;
  other.back() = 't';
  EXPECT_NE(MakeKey(one, "a.net", "b.net", "1").view(),
            MakeKey(other, "a.net", "b.net", "1").view());
}

}  // namespace
}  // namespace gh::s2s::test
