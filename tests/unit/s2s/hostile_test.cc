// What another server or a component may not say, however well it is proved (the lessons in
// firmware/xmpp/README.md that are about more than clients).
#include <gtest/gtest.h>

#include "crypto/legacy.h"
#include "tests/unit/s2s/pair.h"

namespace gh::s2s::test {
namespace {

using xmpp::test::Client;

// example.com with alice; the test speaks for other.org and for the component bot.example.com.
struct Hostile : testing::Test {
  Hostile() {
    here.config.partners[0].domain.Assign("bot.example.com");
    here.config.partners[0].secret.Assign("hush");
    here.config.partner_count = 1;
    here.Apply();
    here.world().AddUser("alice");
    alice.LogIn("alice", "a");
    alice.Say("<presence/>");
    alice.Say("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>");
  }
  static std::string Header(const std::string& space, const std::string& to) {
    return "<stream:stream xmlns='" + space +
           "' xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' "
           "version='1.0' from='other.org' to='" +
           to + "'>";
  }
  net::StreamId Stranger() {
    const net::StreamId raw = here.OpenRaw(true, {"other.org"});
    here.Say(raw, Header("jabber:server", "example.com"));
    return raw;
  }
  net::StreamId Server() {
    const net::StreamId raw = Stranger();
    here.Say(raw, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>");
    EXPECT_TRUE(Has(here.Say(raw, Header("jabber:server", "example.com")), "<stream:features>"));
    return raw;
  }
  net::StreamId StrangeComponent() {
    const net::StreamId raw = here.OpenRaw(true, {}, Door::kComponents);
    header = here.Say(raw, Header("jabber:component:accept", "bot.example.com"));
    return raw;
  }
  net::StreamId Component() {
    const net::StreamId raw = StrangeComponent();
    const size_t at = header.find(" id='") + 5;
    crypto::Sha1 digest;
    digest.Update(header.substr(at, header.find('\'', at) - at) + "hush");
    uint8_t bytes[40];
    ByteWriter hex(bytes);
    hex.HexBytes(digest.Finish());
    EXPECT_EQ(here.Say(raw, "<handshake>" + std::string(hex.text()) + "</handshake>"),
              "<handshake/>");
    return raw;
  }

  Net net;
  Site here{net, "example.com", "192.0.2.1"};
  Client alice{here.world(), 1};
  std::string header;
};

// RFC 6120 section 11.1, at every entrance.
TEST_F(Hostile, RestrictedXmlIsRefused) {
  const std::string message = "<message from='bob@other.org' to='alice@example.com'><body>";
  const std::string cases[] = {"<!DOCTYPE m [<!ENTITY a 'aaaa'>]>" + message + "&a;",
                               message + "&a;", message + "<!-- -->", message + "<?php x?>"};
  for (const std::string& each : cases) {
    for (const auto open :
         {&Hostile::Stranger, &Hostile::Server, &Hostile::StrangeComponent, &Hostile::Component}) {
      const net::StreamId raw = (this->*open)();
      const std::string got = here.Say(raw, each + "</body></message>");
      EXPECT_TRUE(Has(got, "<restricted-xml")) << each << got;
      EXPECT_FALSE(here.IsOpen(raw)) << each;
    }
  }
  // Where expat reads the document's head.
  for (const Door door : {Door::kServers, Door::kComponents}) {
    const net::StreamId raw = here.OpenRaw(true, {}, door);
    EXPECT_TRUE(
        Has(here.Say(raw, "<!DOCTYPE s [<!ENTITY a 'aaaa'>]><s>&a;</s>"), "<restricted-xml"));
  }
  EXPECT_EQ(alice.Take(), "");
}

// CVE-2015-8688 and its like.
TEST_F(Hostile, NobodyElsewherePushesARoster) {
  const net::StreamId raw = Server();
  const std::string query =
      "<query xmlns='jabber:iq:roster'><item jid='eve@other.org' subscription='both'/></query>";
  for (const char* to : {"alice@example.com/a", "alice@example.com"}) {
    const std::string got = here.Say(raw, "<iq type='set' id='p' from='bob@other.org/x' to='" +
                                              std::string(to) + "'>" + query + "</iq>");
    EXPECT_EQ(alice.Take(), "") << to;
    EXPECT_TRUE(net.connected.empty() || Has(got, "type='error'")) << got;
  }
  EXPECT_FALSE(Has(alice.Say("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>"),
                   "eve@other.org"));
  // As herself, or as her server.
  for (const char* from : {"alice@example.com", "example.com"}) {
    const net::StreamId liar = Server();
    EXPECT_TRUE(Has(here.Say(liar, "<iq type='set' id='p' from='" + std::string(from) +
                                       "' to='alice@example.com/a'>" + query + "</iq>"),
                    "<invalid-from"));
    EXPECT_FALSE(here.IsOpen(liar));
    EXPECT_EQ(alice.Take(), "");
  }
}

// CVE-2017-5589 and its like: what her server alone may say.
TEST_F(Hostile, CarbonsOfOthersAreDropped) {
  alice.Say("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>");
  const net::StreamId raw = Server();
  for (const char* direction : {"received", "sent"}) {
    here.Say(raw,
             "<message from='bob@other.org/x' to='alice@example.com/a' type='chat'>"
             "<body>x</body><" +
                 std::string(direction) +
                 " xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>"
                 "<message xmlns='jabber:client' from='boss@example.com'><body>forged</body>"
                 "</message></forwarded></" +
                 direction + "></message>");
    const std::string got = alice.Take();
    EXPECT_TRUE(Has(got, "<body>x</body>")) << got;
    EXPECT_FALSE(Has(got, "forged")) << got;
  }
}

}  // namespace
}  // namespace gh::s2s::test
