// Two servers and their users, and strangers who say they are servers.
#include <gtest/gtest.h>

#include "tests/unit/s2s/pair.h"

namespace gh::s2s::test {
namespace {

using xmpp::test::Client;

struct Servers : Pair {
  std::string SayToBob(const std::string& body) {
    std::string got = alice->Say("<message to='bob@other.org' type='chat' id='m1'><body>" + body +
                                 "</body></message>");
    net.Run();
    return got + alice->Take();
  }
};

TEST(Federation, CertificatesProveBothSides) {
  Servers pair;
  pair.LogIn();
  EXPECT_EQ(pair.SayToBob("one"), "");
  const std::string got = pair.bob->Take();
  EXPECT_TRUE(Has(got, "from='alice@example.com/a'")) << got;
  EXPECT_TRUE(Has(got, "<body>one</body>")) << got;
  EXPECT_EQ(pair.here.events, std::vector<std::string>{"to other.org by certificate"});
  EXPECT_EQ(pair.there.events, std::vector<std::string>{"from example.com by certificate"});
  // The same stream carries the answer (XEP-0288) and the next message.
  pair.bob->Say("<message to='alice@example.com/a' type='chat'><body>two</body></message>");
  pair.net.Run();
  EXPECT_TRUE(Has(pair.alice->Take(), "<body>two</body>"));
  pair.SayToBob("three");
  EXPECT_TRUE(Has(pair.bob->Take(), "three"));
  EXPECT_EQ(pair.net.connected.size(), 1u);
}

TEST(Federation, DialbackInEveryMode) {
  for (const Security security : {Security::kNone, Security::kOptional, Security::kRequired}) {
    Servers pair;
    pair.LogIn();
    pair.SetBoth([&](Config& config) {
      config.security = security;
      config.external_in = false;
      config.bidirectional = false;
    });
    EXPECT_EQ(pair.SayToBob("one"), "");
    EXPECT_TRUE(Has(pair.bob->Take(), "<body>one</body>"));
    EXPECT_EQ(pair.here.events, std::vector<std::string>{"to other.org by dialback"});
    EXPECT_EQ(pair.there.events, std::vector<std::string>{"from example.com by dialback"});
    EXPECT_EQ(pair.here.counters().keys_verified, 1u);
    // Without XEP-0288 the other way is a stream of its own.
    pair.bob->Say("<message to='alice@example.com' type='chat'><body>two</body></message>");
    pair.net.Run();
    EXPECT_TRUE(Has(pair.alice->Take(), "<body>two</body>"));
    EXPECT_EQ(pair.there.events.back(), "to example.com by dialback");
  }
}

TEST(Federation, OneSideWithoutTls) {
  Servers pair;
  pair.LogIn();
  pair.here.config.security = Security::kOptional;
  pair.here.Apply();
  pair.there.config.security = Security::kNone;
  pair.there.Apply();
  EXPECT_EQ(pair.SayToBob("plain"), "");
  EXPECT_TRUE(Has(pair.bob->Take(), "plain"));
  pair.here.federation().Disconnect("");
  pair.net.Run();
  pair.here.config.security = Security::kRequired;
  pair.here.Apply();
  EXPECT_TRUE(Has(pair.SayToBob("secret"), "remote-server-timeout"));
  EXPECT_EQ(pair.bob->Take(), "");
  EXPECT_EQ(pair.here.events.back(), "failed other.org: it offers no TLS, which is required");
}

// DNS, and TLS, know other names for them; streams and stanzas do not.
TEST(Federation, DomainsOfOtherLettersAreFoundByDns) {
  Net net;
  Site here{net, "example.com", "192.0.2.1"};
  Site there{net, "b\u00FCcher.example", "192.0.2.2"};
  net.hosts.erase("b\u00FCcher.example");
  net.hosts["xn--bcher-kva.example"] = "192.0.2.2";
  here.world().AddUser("alice");
  there.world().AddUser("bob");
  Client alice(here.world(), 1), bob(there.world(), 1);
  alice.LogIn("alice", "a");
  bob.LogIn("bob", "b");
  bob.Say("<presence/>");
  for (const char* domain : {"xn--bcher-kva.example", "B\u00DCCHER.example"}) {
    alice.Say("<message to='bob@" + std::string(domain) + "' type='chat'><body>" + domain +
              "</body></message>");
    net.Run();
    const std::string got = bob.Take();
    EXPECT_TRUE(Has(got, "to='bob@b\u00FCcher.example'") && Has(got, "<body>")) << got;
  }
  EXPECT_EQ(here.events, std::vector<std::string>{"to b\u00FCcher.example by certificate"});
}

// It might be silent for as long as we wait.
TEST(Federation, WhoRequiresTlsIsNotWaitedFor) {
  Servers pair;
  pair.LogIn();
  pair.here.config.security = Security::kNone;
  pair.here.Apply();
  pair.there.config.security = Security::kRequired;
  pair.there.Apply();
  EXPECT_TRUE(Has(pair.SayToBob("plain"), "remote-server-timeout"));
  EXPECT_EQ(pair.here.events.back(), "failed other.org: it requires TLS");
}

TEST(Federation, TlsThatFailsIsOptional) {
  Servers pair;
  pair.LogIn();
  pair.net.tls_fails = true;
  pair.SetBoth([](Config& config) {
    config.security = Security::kOptional;
    config.requires_certificate = false;
  });
  EXPECT_EQ(pair.SayToBob("plain"), "");
  EXPECT_TRUE(Has(pair.bob->Take(), "plain"));
  // Where certificates are required nobody in between may take TLS away.
  pair.here.federation().Disconnect("");
  pair.net.Run();
  pair.SetBoth([](Config& config) { config.requires_certificate = true; });
  pair.SayToBob("not this");
  EXPECT_EQ(pair.bob->Take(), "");
}

TEST(Federation, BadCertificates) {
  Servers pair;
  pair.LogIn();
  pair.there.certificate = {"elsewhere.net"};
  EXPECT_TRUE(Has(pair.SayToBob("no"), "remote-server-timeout"));
  EXPECT_EQ(pair.here.events.back(),
            "failed other.org: its certificate is not good for the domain");
  // The other way: its stream comes, and proves nothing.
  pair.here.events.clear();
  pair.there.config.requires_certificate = false;
  pair.there.Apply();
  pair.bob->Say("<message to='alice@example.com' type='chat'><body>no</body></message>");
  pair.net.Run();
  EXPECT_FALSE(Has(pair.alice->Take(), "<body>"));
  EXPECT_EQ(pair.here.events.front(),
            "refused other.org: its certificate is not good for the domain");
  // Not required, dialback is enough.
  pair.here.config.requires_certificate = false;
  pair.here.Apply();
  pair.there.Turn(11);
  pair.bob->Say("<message to='alice@example.com' type='chat'><body>yes</body></message>");
  pair.net.Run();
  EXPECT_TRUE(Has(pair.alice->Take(), "yes"));
  EXPECT_EQ(pair.here.events.back(), "from other.org by dialback");
}

const char kHeader[] =
    "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' "
    "xmlns:stream='http://etherx.jabber.org/streams' version='1.0' from='other.org' "
    "to='example.com'>";

TEST(Federation, SpoofedDialbackIsRefused) {
  Servers pair;
  pair.LogIn();
  pair.SetBoth([](Config& config) {
    config.security = Security::kOptional;
    config.requires_certificate = false;
  });
  const net::StreamId raw = pair.here.OpenRaw(false);
  EXPECT_TRUE(Has(pair.here.Say(raw, kHeader), "<dialback xmlns='urn:xmpp:features:dialback'>"));
  const std::string got = pair.here.Say(
      raw, "<db:result from='other.org' to='example.com'>0123456789abcdef</db:result>");
  EXPECT_TRUE(Has(got, "type='invalid'")) << got;
  EXPECT_FALSE(pair.here.IsOpen(raw));
  EXPECT_EQ(pair.here.events.back(), "refused other.org: its dialback key is not its domain's");
  EXPECT_EQ(pair.here.counters().accepted, 0u);
}

TEST(Federation, NothingIsTakenBeforeTheProof) {
  const struct {
    bool secure;
    const char* text;
    const char* error;
  } cases[] = {
      {true, "<message from='bob@other.org' to='alice@example.com'><body>x</body></message>",
       "invalid-from"},
      {false, "<db:result from='other.org' to='example.com'>k</db:result>", "policy-violation"},
      {true, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>",
       "<not-authorized/>"},
      {true, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>=</auth>",
       "<not-authorized/>"},
      {true, "<db:result from='other.org' to='example.com'>k</db:result>", "not-authorized"},
      {true, "<db:result from='example.com' to='example.com'>k</db:result>", "improper-addressing"},
      {true, "<foo xmlns='bar'/>", "not-authorized"},
      {true, "<!-- x -->", "restricted-xml"},
      {true, "<message", ""},
  };
  for (const auto& each : cases) {
    Servers pair;
    pair.LogIn();
    pair.here.config.security = Security::kRequired;
    pair.here.Apply();
    const net::StreamId raw = pair.here.OpenRaw(each.secure, {"stranger.net"});
    pair.here.Say(raw, kHeader);
    const std::string got = pair.here.Say(raw, each.text);
    EXPECT_TRUE(Has(got, each.error)) << each.text << got;
    EXPECT_FALSE(Has(pair.alice->Take(), "<message"));
    pair.here.Turn(61);
    EXPECT_FALSE(pair.here.IsOpen(raw));
    EXPECT_EQ(pair.here.federation().link_count(), 0u);
    EXPECT_EQ(pair.here.federation().reader_count(), 0u);
  }
}

TEST(Federation, TooMuchBeforeTheProof) {
  Servers pair;
  const net::StreamId raw = pair.here.OpenRaw(true);
  pair.here.Say(raw, kHeader);
  EXPECT_TRUE(
      Has(pair.here.Say(raw, "<a>" + std::string(xmpp::kUnprovenBytes, 'x')), "policy-violation"));
}

// 8 KiB and 32 elements, at their edges.
TEST(Federation, StrangersHaveABudget) {
  const size_t header = std::string(kHeader).size();
  for (const bool is_over : {false, true}) {
    Servers pair;
    const auto say = [&](const std::string& text) {
      const net::StreamId raw = pair.here.OpenRaw(true);
      pair.here.Say(raw, kHeader);
      return pair.here.Say(raw, text);
    };
    const char* error = is_over ? "policy-violation" : "not-authorized";
    const std::string begin = "<a xmlns='b'>", end = "</a>";
    const size_t rest = xmpp::kUnprovenBytes - header - begin.size() - end.size();
    EXPECT_TRUE(Has(say(begin + std::string(rest + is_over, 'x') + end), error));
    std::string many;
    for (uint32_t i = 2; i < xmpp::kUnprovenElements + is_over; ++i) {
      many += "<c/>";
    }
    EXPECT_TRUE(Has(say(begin + many + end), error));
  }
}

TEST(Federation, AProvedServerSpeaksForItsDomainAlone) {
  Servers pair;
  pair.LogIn();
  const net::StreamId raw = pair.here.OpenRaw(true, {"other.org"});
  EXPECT_TRUE(Has(pair.here.Say(raw, kHeader), "EXTERNAL"));
  EXPECT_TRUE(Has(pair.here.Say(raw,
                                "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' "
                                "mechanism='EXTERNAL'>b3RoZXIub3Jn</auth>"),
                  "<success"));
  pair.here.Say(raw, kHeader);
  pair.here.Say(raw,
                "<message from='bob@other.org/x' to='alice@example.com' type='chat'>"
                "<body>hi</body><delay xmlns='urn:xmpp:delay' from='example.com' "
                "stamp='2020-01-01T00:00:00Z'/></message>");
  const std::string got = pair.alice->Take();
  EXPECT_TRUE(Has(got, "<body>hi</body>")) << got;
  EXPECT_FALSE(Has(got, "<delay")) << got;
  for (const char* from : {"bob@third.net", "alice@example.com", "bob@sub.other.org"}) {
    const net::StreamId again = pair.here.OpenRaw(true, {"other.org"});
    pair.here.Say(again, kHeader);
    pair.here.Say(again,
                  "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' "
                  "mechanism='EXTERNAL'>=</auth>");
    pair.here.Say(again, kHeader);
    EXPECT_TRUE(Has(pair.here.Say(again, std::string("<message from='") + from +
                                             "' to='alice@example.com'><body>x</body></message>"),
                    "invalid-from"));
    EXPECT_EQ(pair.alice->Take(), "");
  }
}

TEST(Federation, PresenceCrosses) {
  Servers pair;
  pair.LogIn();
  pair.alice->Say("<presence to='bob@other.org' type='subscribe'/>");
  pair.net.Run();
  EXPECT_TRUE(Has(pair.bob->Take(),
                  "from='alice@example.com' to='bob@other.org' "
                  "type='subscribe'"));
  pair.bob->Say("<presence to='alice@example.com' type='subscribed'/>");
  pair.net.Run();
  std::string got = pair.alice->Take();
  EXPECT_TRUE(Has(got, "type='subscribed'")) << got;
  EXPECT_TRUE(Has(got, "<presence from='bob@other.org/b' to='alice@example.com'")) << got;
  pair.bob->Say("<presence><show>away</show></presence>");
  pair.net.Run();
  EXPECT_TRUE(Has(pair.alice->Take(), "<show>away</show>"));
  // Another session of alice's: her contact is asked for.
  Client desk(pair.here.world(), 2);
  desk.LogIn("alice", "desk");
  desk.Say("<presence/>");
  pair.net.Run();
  EXPECT_TRUE(Has(desk.Take(), "from='bob@other.org/b'"));
  pair.bob->Say("</stream:stream>");
  pair.net.Run();
  EXPECT_TRUE(Has(pair.alice->Take(), "type='unavailable'"));
  // Who may not see is told so.
  const auto before = pair.there.counters().stanzas_in;
  pair.there.world().engine().directory();
  pair.alice->Say("<presence to='bob@other.org' type='unsubscribe'/>");
  pair.net.Run();
  EXPECT_EQ(pair.there.counters().stanzas_in, before + 1);
}

TEST(Federation, QueriesCross) {
  Servers pair;
  pair.LogIn();
  pair.alice->Say("<iq type='get' id='p1' to='other.org'><ping xmlns='urn:xmpp:ping'/></iq>");
  pair.net.Run();
  EXPECT_TRUE(Has(pair.alice->Take(),
                  "<iq from='other.org' to='alice@example.com/a' type='result' id='p1'"));
  pair.alice->Say("<iq type='get' id='q1' to='bob@other.org/b'><query xmlns='x'/></iq>");
  pair.net.Run();
  EXPECT_TRUE(Has(pair.bob->Take(), "id='q1'"));
  pair.bob->Say("<iq type='result' id='q1' to='alice@example.com/a'/>");
  pair.net.Run();
  EXPECT_TRUE(Has(pair.alice->Take(), "id='q1'"));
  pair.alice->Say("<iq type='get' id='q2' to='nobody@other.org'><query xmlns='x'/></iq>");
  pair.net.Run();
  EXPECT_TRUE(Has(pair.alice->Take(), "service-unavailable"));
}

TEST(Federation, NobodyThere) {
  Servers pair;
  pair.LogIn();
  pair.alice->Say("<message to='x@nowhere.net' id='n'><body>x</body></message>");
  pair.net.Run();
  const std::string got = pair.alice->Take();
  EXPECT_TRUE(Has(got, "remote-server-not-found")) << got;
  EXPECT_TRUE(Has(got, "from='x@nowhere.net' to='alice@example.com/a' id='n' type='error'")) << got;
  // For a while it is not looked for again.
  const size_t asked = pair.net.connected.size();
  EXPECT_TRUE(Has(pair.alice->Say("<message to='x@nowhere.net'><body>x</body></message>"),
                  "remote-server-not-found"));
  EXPECT_EQ(pair.net.connected.size(), asked);
  pair.here.Turn(kBackOffSeconds + 1);
  EXPECT_EQ(pair.here.federation().link_count(), 0u);
  // A server that does not answer.
  pair.net.hosts["down.net"] = "192.0.2.9";
  pair.alice->Say("<message to='x@down.net'><body>x</body></message>");
  pair.net.Run();
  EXPECT_TRUE(Has(pair.alice->Take(), "remote-server-timeout"));
  EXPECT_EQ(pair.here.events.back(), "failed down.net: connections are refused");
}

TEST(Federation, ServersAreTriedInTheirOrder) {
  Servers pair;
  pair.LogIn();
  pair.net.srv["_xmpp-server._tcp.other.org"] = {{"b.other.org", 5269, 20, 0},
                                                 {"a.other.org", 5299, 10, 0}};
  pair.net.srv["_xmpps-server._tcp.other.org"] = {{"c.other.org", 5270, 15, 0}};
  pair.net.hosts["a.other.org"] = "192.0.2.7";
  pair.net.hosts["b.other.org"] = "192.0.2.2";
  pair.net.hosts["c.other.org"] = "192.0.2.8";
  EXPECT_EQ(pair.SayToBob("found"), "");
  EXPECT_TRUE(Has(pair.bob->Take(), "found"));
  EXPECT_EQ(pair.net.connected,
            (std::vector<std::string>{"192.0.2.7:5299", "192.0.2.8:5270 tls", "192.0.2.2:5269"}));
}

TEST(Federation, EqualWeightsShare) {
  std::set<std::string> first;
  Servers pair;
  pair.LogIn();
  pair.net.srv["_xmpp-server._tcp.many.net"] = {{"a.many.net"}, {"b.many.net"}};
  pair.net.hosts["a.many.net"] = "192.0.2.21";
  pair.net.hosts["b.many.net"] = "192.0.2.22";
  for (int i = 0; i < 40; ++i) {
    pair.net.connected.clear();
    pair.alice->Say("<message to='x@many.net'><body>x</body></message>");
    pair.net.Run();
    first.insert(pair.net.connected.front());
    EXPECT_EQ(pair.net.connected.size(), 2u);
    pair.here.Turn(kBackOffSeconds + 1);
  }
  EXPECT_EQ(first.size(), 2u);
}

TEST(Federation, RoutesGoBeforeDns) {
  Servers pair;
  pair.LogIn();
  pair.net.hosts.erase("other.org");
  pair.net.hosts["edge.other.org"] = "192.0.2.2";
  pair.here.config.routes[0].domain.Assign("*.other.org");
  pair.here.config.routes[0].host.Assign("edge.other.org");
  pair.here.config.route_count = 1;
  pair.here.Apply();
  EXPECT_EQ(pair.SayToBob("routed"), "");
  EXPECT_TRUE(Has(pair.bob->Take(), "routed"));
}

TEST(Federation, WhatWaitsIsBounded) {
  Servers pair;
  pair.LogIn();
  std::string got;
  for (uint32_t i = 0; i < kQueueStanzaMax; ++i) {
    got += pair.alice->Say("<message to='bob@other.org' type='chat'><body>x</body></message>");
  }
  EXPECT_EQ(got, "");
  EXPECT_TRUE(Has(pair.alice->Say("<message to='bob@other.org'><body>x</body></message>"),
                  "resource-constraint"));
  pair.net.Run();
  EXPECT_EQ(pair.there.counters().stanzas_in, uint64_t{kQueueStanzaMax});
}

TEST(Federation, APeerThatDoesNotRead) {
  Servers pair;
  pair.LogIn();
  pair.SayToBob("one");
  pair.Commit();
  const uint32_t free = pair.here.federation().chains().free_count();
  pair.here.blocked = true;
  std::string got;
  for (int i = 0; i < 40 && !Has(got, "resource-constraint"); ++i) {
    got += pair.alice->Say("<message to='bob@other.org' id='w" + std::to_string(i) + "'><body>" +
                           std::string(9000, 'x') + "</body></message>");
  }
  EXPECT_TRUE(Has(got, "resource-constraint"));
  // What the network never had comes back.
  pair.here.federation().Disconnect("other.org");
  pair.net.Run();
  const std::string back = pair.alice->Take();
  EXPECT_TRUE(Has(back, "remote-server-timeout")) << back.substr(0, 200);
  EXPECT_TRUE(Has(back, "id='w1'"));
  EXPECT_EQ(pair.here.federation().chains().free_count(), free);
}

TEST(FederationPolicy, DomainsAndDirections) {
  Policy policy;
  policy.exceptions[0].domain.Assign("*.bad.net");
  policy.exceptions[1].domain.Assign("one.net");
  policy.exceptions[1].direction = Direction::kIncoming;
  policy.exception_count = 2;
  const auto in = Direction::kIncoming;
  const auto out = Direction::kOutgoing;
  for (const bool allows : {true, false}) {
    policy.allows_by_default = allows;
    EXPECT_EQ(policy.Allows("good.net", in), allows);
    for (const char* domain : {"bad.net", "a.bad.net", "b.a.bad.net"}) {
      EXPECT_EQ(policy.Allows(domain, in), !allows) << domain;
      EXPECT_EQ(policy.Allows(domain, out), !allows) << domain;
    }
    EXPECT_EQ(policy.Allows("notbad.net", in), allows);
    EXPECT_EQ(policy.Allows("one.net", in), !allows);
    EXPECT_EQ(policy.Allows("one.net", out), allows);
    EXPECT_EQ(policy.Allows("sub.one.net", in), allows);
  }
}

TEST(FederationPolicy, IsHeldBothWays) {
  Servers pair;
  pair.LogIn();
  pair.here.config.policy.allows_by_default = false;
  pair.here.Apply();
  EXPECT_TRUE(Has(pair.SayToBob("no"), "not-allowed"));
  pair.bob->Say("<message to='alice@example.com' id='f'><body>no</body></message>");
  pair.net.Run();
  EXPECT_EQ(pair.alice->Take(), "");
  EXPECT_EQ(pair.here.counters().accepted, 0u);
  // Outgoing alone: it hears us, we do not hear it.
  pair.here.config.policy.exceptions[0].domain.Assign("other.org");
  pair.here.config.policy.exceptions[0].direction = Direction::kOutgoing;
  pair.here.config.policy.exception_count = 1;
  pair.here.Apply();
  pair.SayToBob("yes");
  EXPECT_TRUE(Has(pair.bob->Take(), "yes"));
  pair.there.Turn(kBackOffSeconds + 1);
  pair.bob->Say("<message to='alice@example.com'><body>no</body></message>");
  pair.net.Run();
  EXPECT_EQ(pair.alice->Take(), "");
}

// POL-009: neither the user nor the one who asked hears of it.
TEST(FederationPolicy, SubscriptionsOfTheForbiddenAreSilent) {
  Servers pair;
  pair.LogIn();
  pair.here.config.policy.allows_by_default = false;
  pair.here.Apply();
  pair.bob->Say("<presence to='alice@example.com' type='subscribe'/>");
  pair.net.Run();
  EXPECT_EQ(pair.alice->Take(), "");
  EXPECT_FALSE(Has(pair.bob->Take(), "subscribed"));
  EXPECT_EQ(pair.here.world().engine().directory().contact_count(), 0u);
}

TEST(FederationDialback, KeysAreTheSpecifications) {
  // XEP-0185 section 4.
  EXPECT_EQ(MakeKey("s3cr3tf0rd14lb4ck", "xmpp.example.com", "example.org", "D60000229F").view(),
            "37c69b1cf07a3f67c04a5ef5902fa5114f2c76fe4a2686482ba5b89323075643");
  EXPECT_FALSE(IsKey(MakeKey("a", "b", "c", "d"), ""));
}

TEST(Federation, PairsOfOneStreamAreBounded) {
  Servers pair;
  pair.here.config.requires_certificate = false;
  pair.here.Apply();
  const net::StreamId raw = pair.here.OpenRaw(true);
  pair.here.Say(raw, kHeader);  // the first pair
  for (uint32_t i = 1; i <= kPairMax; ++i) {
    const std::string got = pair.here.Say(
        raw, "<db:result from='d" + std::to_string(i) + ".net' to='example.com'>k</db:result>");
    EXPECT_TRUE(Has(got, i < kPairMax ? "remote-server-not-found" : "resource-constraint"))
        << i << got;
  }
}

TEST(Federation, StrangersLeaveRoom) {
  Servers pair;
  pair.LogIn();
  const uint32_t most = pair.here.federation().link_capacity() / 3;
  for (uint32_t i = 0; i < most; ++i) {
    pair.here.OpenRaw(true);
  }
  EXPECT_EQ(pair.here.counters().refused, 0u);
  pair.here.OpenRaw(true);
  EXPECT_EQ(pair.here.counters().refused, 1u);
  EXPECT_EQ(pair.here.federation().link_count(), most);
  EXPECT_EQ(pair.SayToBob("still"), "");
  EXPECT_TRUE(Has(pair.bob->Take(), "still"));
  pair.Commit();
  pair.here.Turn(61);
  EXPECT_EQ(pair.here.federation().link_count(), 1u);
}

TEST(Federation, ServersOfOneDomainAreBounded) {
  Servers pair;
  pair.LogIn();
  for (uint32_t i = 0; i <= kServerMax; ++i) {
    const std::string name = "s" + std::to_string(i) + ".many.net";
    pair.net.srv["_xmpp-server._tcp.many.net"].push_back({name});
    pair.net.hosts[name] = "192.0.2.30";
  }
  pair.alice->Say("<message to='x@many.net'><body>x</body></message>");
  pair.net.Run();
  EXPECT_EQ(pair.net.connected.size(), size_t{kServerMax});
  EXPECT_TRUE(Has(pair.alice->Take(), "remote-server-timeout"));
}

TEST(Federation, ADomainMaySayThatItHasNoServer) {
  Servers pair;
  pair.LogIn();
  pair.net.srv["_xmpp-server._tcp.none.net"] = {{"."}};
  pair.net.hosts["none.net"] = "192.0.2.31";
  pair.alice->Say("<message to='x@none.net'><body>x</body></message>");
  pair.net.Run();
  EXPECT_EQ(pair.net.connected.size(), 0u);
  EXPECT_TRUE(Has(pair.alice->Take(), "<error type="));
}

TEST(Federation, IdleStreamsEnd) {
  Servers pair;
  pair.LogIn();
  pair.SayToBob("one");
  pair.Commit();
  EXPECT_EQ(pair.here.federation().link_count(), 1u);
  for (int i = 0; i < 70; ++i) {
    pair.here.Turn(15);
  }
  EXPECT_EQ(pair.here.federation().link_count(), 0u);
  EXPECT_EQ(pair.there.federation().link_count(), 0u);
  pair.SayToBob("two");
  EXPECT_TRUE(Has(pair.bob->Take(), "two"));
}

// --- Stream management (XEP-0198) ----------------------------------------------------------------

TEST(FederationManagement, AcknowledgesWhatIsOnTheDisk) {
  Servers pair;
  pair.LogIn();
  pair.SayToBob("one");
  EXPECT_TRUE(Has(pair.bob->Take(), "one"));
  EXPECT_EQ(pair.here.counters().acknowledged, 0u);  // archived, and not on the disk yet
  pair.Commit();
  EXPECT_EQ(pair.here.counters().acknowledged, 1u);
  // The other way on the same stream.
  pair.bob->Say("<message to='alice@example.com/a' type='chat'><body>two</body></message>");
  pair.net.Run();
  pair.Commit();
  EXPECT_EQ(pair.there.counters().acknowledged, 1u);
  EXPECT_EQ(pair.net.connected.size(), 1u);
}

TEST(FederationManagement, WhatWasNotAcknowledgedComesBack) {
  for (const bool is_on : {true, false}) {
    Servers pair;
    pair.LogIn();
    pair.SetBoth([&](Config& config) { config.management = is_on; });
    pair.SayToBob("first");
    pair.Commit();
    pair.here.Turn(2);  // TCP is asked
    const uint32_t free = pair.here.federation().chains().free_count();
    pair.SayToBob("second");
    pair.there.federation().Disconnect("example.com");
    pair.net.Run();
    const std::string back = pair.alice->Take();
    EXPECT_EQ(Has(back, "id='m1' type='error'"), is_on) << back;
    EXPECT_EQ(Has(back, "remote-server-timeout"), is_on);
    EXPECT_EQ(pair.here.counters().returned, is_on ? 1u : 0u);
    EXPECT_EQ(pair.here.federation().chains().free_count(), free);
    EXPECT_EQ(pair.here.federation().link_count(), 0u);
  }
}

TEST(FederationManagement, StreamsOfOthersMayHaveIt) {
  Servers pair;
  pair.LogIn();
  const net::StreamId raw = pair.here.OpenRaw(true, {"other.org"});
  EXPECT_TRUE(Has(pair.here.Say(raw, kHeader), "<sm xmlns='urn:xmpp:sm:3'/>"));
  pair.here.Say(raw,
                "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>");
  pair.here.Say(raw, kHeader);
  EXPECT_TRUE(Has(pair.here.Say(raw, "<enable xmlns='urn:xmpp:sm:3' resume='true'/>"),
                  "<enabled xmlns='urn:xmpp:sm:3'/>"));  // not to be resumed
  EXPECT_TRUE(Has(pair.here.Say(raw, "<enable xmlns='urn:xmpp:sm:3'/>"), "<failed"));
  EXPECT_TRUE(
      Has(pair.here.Say(raw, "<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>"), "<failed"));
  const std::string message =
      "<message from='bob@other.org/b' to='alice@example.com'><body>x</body></message>";
  EXPECT_EQ(pair.here.Say(raw, message + "<r xmlns='urn:xmpp:sm:3'/>"), "");
  pair.Commit();
  EXPECT_EQ(pair.here.Said(raw), "<a xmlns='urn:xmpp:sm:3' h='1'/>");
  EXPECT_EQ(pair.here.Say(raw, "<r xmlns='urn:xmpp:sm:3'/>"), "<a xmlns='urn:xmpp:sm:3' h='1'/>");
  // Whoever closes has the last word.
  pair.here.Say(raw, message);
  pair.Commit();
  EXPECT_TRUE(Has(pair.here.Say(raw, "</stream:stream>"),
                  "<a xmlns='urn:xmpp:sm:3' h='2'/></stream:stream>"));
}

TEST(FederationManagement, WhatWasNotSentIsNotAcknowledged) {
  for (const char* h : {"1", "-1", "x", "", "4294967295"}) {
    Servers pair;
    pair.LogIn();
    const net::StreamId raw = pair.here.OpenRaw(true, {"other.org"});
    pair.here.Say(raw, kHeader);
    pair.here.Say(raw,
                  "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>");
    pair.here.Say(raw, kHeader);
    pair.here.Say(raw, "<enable xmlns='urn:xmpp:sm:3'/>");
    EXPECT_TRUE(Has(pair.here.Say(raw, "<a xmlns='urn:xmpp:sm:3' h='" + std::string(h) + "'/>"),
                    "undefined-condition"))
        << h;
    EXPECT_FALSE(pair.here.IsOpen(raw));
  }
}

TEST(FederationManagement, WhoNeverAcknowledgesIsBoundedAndGivenUp) {
  Servers pair;
  pair.LogIn();
  pair.here.config.security = Security::kOptional;
  pair.here.config.requires_certificate = false;
  pair.here.Apply();
  pair.here.speaks_for_others = true;
  const std::string message = "<message to='bob@other.org' id='q'><body>x</body></message>";
  pair.alice->Say(message);
  pair.net.Run();
  const net::StreamId stream = pair.here.outgoing;
  pair.here.Say(stream,
                "<stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' "
                "xmlns:stream='http://etherx.jabber.org/streams' from='other.org' "
                "to='example.com' id='s1' version='1.0'>");
  const std::string key =
      pair.here.Say(stream, "<stream:features><sm xmlns='urn:xmpp:sm:3'/></stream:features>");
  EXPECT_TRUE(Has(key, "<db:result")) << key;
  const std::string begun =
      pair.here.Say(stream, "<db:result from='other.org' to='example.com' type='valid'/>");
  EXPECT_TRUE(begun.starts_with("<enable xmlns='urn:xmpp:sm:3'/><message")) << begun;
  EXPECT_TRUE(begun.ends_with("<r xmlns='urn:xmpp:sm:3'/>"));
  std::string got;
  uint32_t taken = 1;
  while (!Has(got, "resource-constraint") && taken < 3 * kQueueStanzaMax) {
    got = pair.alice->Say(message);
    ++taken;
  }
  EXPECT_EQ(taken, 2 * kQueueStanzaMax + 1);  // out, waiting, and one too many
  EXPECT_EQ(pair.here.counters().stanzas_out, uint64_t{kQueueStanzaMax});
  pair.here.Say(stream, "<enabled xmlns='urn:xmpp:sm:3'/><a xmlns='urn:xmpp:sm:3' h='500'/>");
  EXPECT_EQ(pair.here.counters().stanzas_out, 2u * kQueueStanzaMax);
  for (int i = 0; i < 6; ++i) {
    pair.here.Turn(15);
  }
  EXPECT_FALSE(pair.here.IsOpen(stream));
  EXPECT_TRUE(Has(pair.alice->Take(), "remote-server-timeout"));
  EXPECT_EQ(pair.here.counters().returned, uint64_t{kQueueStanzaMax});
}

}  // namespace
}  // namespace gh::s2s::test
