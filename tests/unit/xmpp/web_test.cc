#include <gtest/gtest.h>

#include "tests/unit/xmpp/web_world.h"

namespace gh::xmpp::test {
namespace {

constexpr const char* kOpen =
    "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='example.com' version='1.0'/>";
constexpr const char* kSasl = "urn:ietf:params:xml:ns:xmpp-sasl";

std::string Get(const std::string& path, const std::string& more = "") {
  return "GET " + path + " HTTP/1.1\r\nHost: chat.example.com:5281\r\n" + more + "\r\n";
}

std::string Handshake(const std::string& protocol = "xmpp") {
  return Get("/xmpp-websocket",
             "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: " +
                 protocol + "\r\n");
}

std::string Post(const std::string& body, const std::string& path = "/http-bind") {
  return "POST " + path + " HTTP/1.1\r\nHost: h\r\nContent-Type: text/xml\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n\r\n" + body;
}

std::string Body(const std::string& attributes, const std::string& content = "") {
  return "<body xmlns='http://jabber.org/protocol/httpbind' xmlns:xmpp='urn:xmpp:xbosh' " +
         attributes + ">" + content + "</body>";
}

// A client by WebSocket.
struct Socket {
  explicit Socket(WebWorld& world) : web(world), id(world.Open()) {
    EXPECT_TRUE(web.Say(id, Handshake()).starts_with("HTTP/1.1 101 "));
  }
  // Payloads of what came back, in lines.
  std::string Say(const std::string& text) {
    return Read(web.Say(id, net::test::ClientFrame(0x81, text)));
  }
  static std::string Read(std::string bytes) {
    std::string out;
    while (!bytes.empty()) {
      size_t size = static_cast<uint8_t>(bytes[1]);
      size_t head = 2;
      if (size == 126) {
        size = static_cast<size_t>(static_cast<uint8_t>(bytes[2])) << 8 |
               static_cast<uint8_t>(bytes[3]);
        head = 4;
      }
      const auto first = static_cast<uint8_t>(bytes[0]);
      out += first == 0x88 ? "CLOSE" : first == 0x8a ? "PONG" : bytes.substr(head, size);
      out += '\n';
      bytes.erase(0, head + size);
    }
    return out;
  }
  std::string LogIn(const std::string& user, const std::string& resource) {
    Say(kOpen);
    const std::string first = "n=" + user + ",r=abcdef";
    const std::string got =
        Say("<auth xmlns='" + std::string(kSasl) + "' mechanism='SCRAM-SHA-256'>" +
            Base64Of("n,," + first) + "</auth>");
    const std::string server = FromBase64(Between(got, "xmpp-sasl'>", "<"));
    const std::string last = ScramProof("secret", "n,,", "", first, server);
    EXPECT_NE(Say("<response xmlns='" + std::string(kSasl) + "'>" + Base64Of(last) + "</response>")
                  .find("<success"),
              std::string::npos);
    EXPECT_NE(Say(kOpen).find("<bind"), std::string::npos);
    return Say("<iq xmlns='jabber:client' type='set' id='b'><bind xmlns='" +
               std::string(ns::kBind) + "'><resource>" + resource + "</resource></bind></iq>");
  }
  WebWorld& web;
  net::StreamId id;
};

struct WebTest : testing::Test {
  World world{World::FewCapacity(), World::FewBytes()};
  WebWorld web{world};
};

TEST_F(WebTest, HostMetaTellsWhereToGo) {
  const net::StreamId id = web.Open();
  const std::string xml = web.Say(id, Get("/.well-known/host-meta"));
  EXPECT_NE(xml.find("200 OK"), std::string::npos);
  EXPECT_NE(xml.find("'urn:xmpp:alt-connections:websocket' "
                     "href='wss://chat.example.com:5281/xmpp-websocket'"),
            std::string::npos);
  const std::string json = web.Say(id, Get("/.well-known/host-meta.json"));  // the same connection
  EXPECT_NE(json.find("\"href\":\"https://chat.example.com:5281/http-bind\""), std::string::npos);
  EXPECT_NE(json.find("Access-Control-Allow-Origin: *"), std::string::npos);
  EXPECT_NE(web.Say(id, "GET /.well-known/host-meta HTTP/1.1\r\nHost: a'b\r\n\r\n").find(" 400 "),
            std::string::npos);
  EXPECT_TRUE(web.is_closed(id));
}

TEST_F(WebTest, OddRequestsAreRefused) {
  struct Case {
    std::string request;
    const char* status;
  };
  const Case cases[] = {
      {Get("/else"), " 404 "},
      {"PUT / HTTP/1.1\r\nHost: h\r\n\r\n", " 405 "},
      {Post("x", "/else"), " 413 "},
      {"POST /http-bind HTTP/1.1\r\nHost: h\r\n\r\n", " 411 "},
      {"POST /http-bind HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", " 411 "},
      {"POST /http-bind HTTP/1.1\r\nHost: h\r\nContent-Length: 9999999\r\n\r\n", " 413 "},
      {"POST /http-bind HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", " 400 "},
      {Post("<body/>"), " 400 "},
      {"GET / HTTP/1.1\r\nX: " + std::string(kWebHeadMax, 'a'), " 431 "},
      {"nonsense\r\n\r\n", " 400 "},
      {Handshake("sip"), " 400 "},
      {"OPTIONS /http-bind HTTP/1.1\r\nHost: h\r\n\r\n", " 204 "},
  };
  for (const Case& each : cases) {
    const net::StreamId id = web.Open();
    EXPECT_NE(web.Say(id, each.request).find(each.status), std::string::npos) << each.request;
    web.Cut(id);
  }
  EXPECT_EQ(web.web().connection_count(), 0u);
}

TEST_F(WebTest, ARequestThatDoesNotComeIsNotWaitedFor) {
  const net::StreamId id = web.Open();
  web.Say(id, "GET / HT");
  web.Turn(Duration::Seconds(kWebRequestSeconds - 1));
  EXPECT_FALSE(web.is_closed(id));
  web.Turn(Duration::Seconds(2));
  EXPECT_TRUE(web.is_closed(id));
}

// --- WebSockets (RFC 7395) ---

// The stream does not begin anew (XEP-0388), and there is no channel to bind.
TEST_F(WebTest, SocketsLogInByTheExtensibleProfile) {
  world.AddUser("alice");
  Socket alice(web);
  const std::string opened = alice.Say(kOpen);
  EXPECT_NE(opened.find("<fast xmlns='urn:xmpp:fast:0'><mechanism>HT-SHA-256-NONE</mechanism>"
                        "</fast>"),
            std::string::npos)
      << opened;
  const std::string first = "n=alice,r=abcdef";
  const std::string challenge = alice.Say(
      "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='SCRAM-SHA-256'>"
      "<initial-response>" +
      Base64Of("n,," + first) +
      "</initial-response><bind xmlns='urn:xmpp:bind:0'/></authenticate>");
  const std::string proof =
      ScramProof("secret", "n,,", "", first, FromBase64(Between(challenge, "sasl:2'>", "<")));
  const std::string got =
      alice.Say("<response xmlns='urn:xmpp:sasl:2'>" + Base64Of(proof) + "</response>");
  EXPECT_TRUE(got.starts_with("<success xmlns='urn:xmpp:sasl:2'>")) << got;
  EXPECT_NE(got.find("</success>\n<stream:features xmlns='jabber:client'"), std::string::npos);
  EXPECT_NE(alice
                .Say("<iq xmlns='jabber:client' type='get' id='p'><ping "
                     "xmlns='urn:xmpp:ping'/></iq>")
                .find("id='p'"),
            std::string::npos);
}

TEST_F(WebTest, SocketsCarryAStream) {
  world.AddUser("alice");
  world.AddUser("bob");
  Socket alice(web);
  const std::string opened = alice.Say(kOpen);
  EXPECT_TRUE(opened.starts_with("<open xmlns='urn:ietf:params:xml:ns:xmpp-framing'")) << opened;
  EXPECT_NE(opened.find("\n<stream:features xmlns='jabber:client' xmlns:stream="),
            std::string::npos);
  EXPECT_EQ(opened.find("PLUS"), std::string::npos);  // a script sees no TLS
  Socket bob(web);
  EXPECT_NE(bob.LogIn("bob", "b").find("<iq xmlns='jabber:client'"), std::string::npos);
  Socket other(web);
  EXPECT_NE(other.LogIn("alice", "a").find("alice@example.com/a"), std::string::npos);
  EXPECT_EQ(other.Say("<message to='bob@example.com/b' type='chat'><body>hi</body></message>"), "");
  const std::string got = Socket::Read(web.Take(bob.id));
  EXPECT_TRUE(got.starts_with("<message xmlns='jabber:client' from='alice@example.com/a'")) << got;
  EXPECT_EQ(other.Say("<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>"),
            "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>\nCLOSE\n");
  EXPECT_TRUE(web.is_closed(other.id));
}

TEST_F(WebTest, FramesAreOneElementEach) {
  world.AddUser("alice");
  const char* bad[] = {"<iq type='get' id='1'/><iq type='get' id='2'/>",
                       "<iq type='get' id='1'/>text", " <iq type='get' id='1'/>",
                       "<iq type='get' id='1'>", "text"};
  const char* restricted[] = {"<!DOCTYPE a [<!ENTITY b 'c'>]><iq/>", "<?xml version='1.0'?><iq/>",
                              "<!-- --><iq/>", "<?php x?><iq/>", "<iq type='get' id='&b;'/>"};
  const auto answer = [&](const char* to) {
    Socket socket(web);
    EXPECT_NE(socket.LogIn("alice", "a").find("</jid>"), std::string::npos);
    const std::string got = socket.Say(to);
    EXPECT_NE(got.find("<stream:error xmlns="), std::string::npos) << to << got;
    EXPECT_TRUE(web.is_closed(socket.id)) << to;
    web.Cut(socket.id);
    return got;
  };
  for (const char* each : bad) {
    EXPECT_NE(answer(each).find("<not-well-formed"), std::string::npos) << each;
  }
  for (const char* each : restricted) {
    EXPECT_NE(answer(each).find("<restricted-xml"), std::string::npos) << each;
  }
  EXPECT_EQ(world.engine().reader_count(), 0u);
}

// What browsers offer is not taken: nothing is compressed, and a frame that is ends the socket.
TEST_F(WebTest, NothingIsCompressed) {
  const net::StreamId id = web.Open();
  std::string offer = Handshake();
  offer.insert(offer.size() - 2,
               "Sec-WebSocket-Extensions: permessage-deflate; "
               "client_max_window_bits\r\n");
  const std::string got = web.Say(id, offer);
  EXPECT_TRUE(got.starts_with("HTTP/1.1 101 ")) << got;
  EXPECT_EQ(got.find("Extensions"), std::string::npos) << got;
  EXPECT_EQ(got.find("deflate"), std::string::npos) << got;
  web.Say(id, net::test::ClientFrame(0xc1, kOpen));
  EXPECT_TRUE(web.is_closed(id));
}

TEST_F(WebTest, WhoDoesNotOpenIsRefused) {
  Socket socket(web);
  EXPECT_NE(socket.Say("<presence/>").find("<bad-format"), std::string::npos);
  // The opening of CVE-2022-0217: entities in the first element.
  Socket laughs(web);
  EXPECT_NE(laughs.Say("<!DOCTYPE x [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><open to='&b;'/>")
                .find("<restricted-xml"),
            std::string::npos);
}

TEST_F(WebTest, FragmentsAndHalvesAreJoined) {
  world.AddUser("alice");
  Socket socket(web);
  socket.LogIn("alice", "a");
  std::string frames = net::test::ClientFrame(0x01, "<iq type='get' id='f'>") +
                       net::test::ClientFrame(0x89, "ping") +
                       net::test::ClientFrame(0x00, "<ping xmlns='urn:xmpp:ping'/>") +
                       net::test::ClientFrame(0x80, "</iq>");
  std::string got;
  for (const char c : frames) {
    got += web.Say(socket.id, std::string_view(&c, 1));
  }
  const std::string read = Socket::Read(got);
  EXPECT_TRUE(read.starts_with("PONG\n<iq xmlns='jabber:client'")) << read;
  EXPECT_EQ(web.held(socket.id), 0u);
  // One that is begun and not ended.
  web.Say(socket.id, frames.substr(0, 9));
  web.Turn(Duration::Seconds(kWebRequestSeconds + 1));
  EXPECT_TRUE(web.is_closed(socket.id));
}

TEST_F(WebTest, MessagesAreBounded) {
  world.AddUser("alice");
  const auto of_size = [](size_t size) {
    const std::string a = "<message to='alice@example.com'><body>", b = "</body></message>";
    return a + std::string(size - a.size() - b.size(), 'x') + b;
  };
  Socket stranger(web);
  EXPECT_NE(stranger.Say(of_size(kUnprovenBytes + 1)).find("CLOSE"), std::string::npos);
  EXPECT_TRUE(web.is_closed(stranger.id));
  Socket socket(web);
  socket.LogIn("alice", "a");
  socket.Say(of_size(kWebMessageMax));
  EXPECT_FALSE(web.is_closed(socket.id));
  EXPECT_NE(socket.Say(of_size(kWebMessageMax + 1)).find("CLOSE"), std::string::npos);
  EXPECT_TRUE(web.is_closed(socket.id));
}

TEST_F(WebTest, ElementsOfStrangersAreCounted) {
  Socket stranger(web);
  stranger.Say(kOpen);
  std::string many;
  for (uint32_t i = 2; i < kUnprovenElements; ++i) {
    many += "<a/>";
  }
  const std::string got =
      stranger.Say("<abort xmlns='" + std::string(kSasl) + "'>" + many + "</abort>");
  EXPECT_NE(got.find("<aborted/>"), std::string::npos) << got;
  EXPECT_NE(stranger.Say("<a xmlns='b'/>").find("policy-violation"), std::string::npos);
  EXPECT_TRUE(web.is_closed(stranger.id));
}

TEST_F(WebTest, ASessionResumesByAnotherSocket) {
  world.AddUser("alice");
  world.AddUser("bob");
  Client bob(world, 1);
  bob.LogIn("bob", "b");
  Socket first(web);
  first.LogIn("alice", "a");
  const std::string enabled = first.Say("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
  const std::string id = Between(enabled, " id='", "'");
  ASSERT_FALSE(id.empty());
  web.Cut(first.id);
  bob.Say("<message to='alice@example.com/a' type='chat'><body>missed</body></message>");
  Socket second(web);
  second.Say(kOpen);
  const std::string start = "n=alice,r=abcdef";
  const std::string got =
      second.Say("<auth xmlns='" + std::string(kSasl) + "' mechanism='SCRAM-SHA-256'>" +
                 Base64Of("n,," + start) + "</auth>");
  const std::string server = FromBase64(Between(got, "xmpp-sasl'>", "<"));
  second.Say("<response xmlns='" + std::string(kSasl) + "'>" +
             Base64Of(ScramProof("secret", "n,,", "", start, server)) + "</response>");
  second.Say(kOpen);
  const std::string resumed =
      second.Say("<resume xmlns='urn:xmpp:sm:3' previd='" + id + "' h='0'/>");
  EXPECT_NE(resumed.find("<resumed"), std::string::npos) << resumed;
  EXPECT_NE(resumed.find("\n<message xmlns='jabber:client'"), std::string::npos) << resumed;
}

// --- BOSH (XEP-0124, XEP-0206) ---

struct BoshTest : WebTest {
  // The answer's body.
  std::string Ask(net::StreamId id, const std::string& attributes,
                  const std::string& content = "") {
    return web.Say(id, Post(Body(attributes, content)));
  }
  std::string Open(net::StreamId id, const std::string& rid = "100") {
    const std::string got = Ask(id, "rid='" + rid +
                                        "' to='example.com' wait='30' hold='1' ver='1.6' "
                                        "xmpp:version='1.0'");
    sid = Between(got, " sid='", "'");
    return got;
  }
  std::string At(int rid, const std::string& more = "") {
    return "rid='" + std::to_string(rid) + "' sid='" + sid + "' " + more;
  }
  int LogIn(net::StreamId id, const std::string& user) {
    Open(id);
    const std::string first = "n=" + user + ",r=abcdef";
    const std::string got =
        Ask(id, At(101),
            "<auth xmlns='" + std::string(kSasl) + "' mechanism='SCRAM-SHA-256'>" +
                Base64Of("n,," + first) + "</auth>");
    const std::string server = FromBase64(Between(got, "xmpp-sasl'>", "<"));
    EXPECT_NE(Ask(id, At(102),
                  "<response xmlns='" + std::string(kSasl) + "'>" +
                      Base64Of(ScramProof("secret", "n,,", "", first, server)) + "</response>")
                  .find("<success"),
              std::string::npos);
    EXPECT_NE(Ask(id, At(103, "xmpp:restart='true' to='example.com'")).find("<bind"),
              std::string::npos);
    EXPECT_NE(Ask(id, At(104),
                  "<iq xmlns='jabber:client' type='set' id='b'><bind xmlns='" +
                      std::string(ns::kBind) + "'/></iq>")
                  .find("</jid>"),
              std::string::npos);
    return 105;
  }
  std::string sid;
};

TEST_F(BoshTest, ASessionFromItsBeginningToItsEnd) {
  world.AddUser("alice");
  const net::StreamId id = web.Open();
  const std::string opened = Open(id);
  EXPECT_NE(opened.find("requests='2'"), std::string::npos) << opened;
  EXPECT_NE(opened.find("<stream:features xmlns='jabber:client' xmlns:stream="), std::string::npos);
  EXPECT_EQ(opened.find("<open"), std::string::npos);
  web.Cut(id);
  const net::StreamId other = web.Open();
  const int rid = LogIn(other, "alice");
  // A request is held until there is something to say.
  EXPECT_EQ(Ask(other, At(rid)), "");
  const net::StreamId third = web.Open();
  EXPECT_EQ(Ask(third, At(rid + 1),
                "<message xmlns='jabber:client' to='alice@example.com' type='chat'>"
                "<body>to me</body></message><presence xmlns='jabber:client'/>"),
            "");
  const std::string empty = web.Take(other);
  EXPECT_NE(empty.find("<body xmlns='http://jabber.org/protocol/httpbind'>"), std::string::npos);
  const std::string ended = Ask(other, At(rid + 2, "type='terminate'"));
  EXPECT_NE((web.Take(third) + ended).find("type='terminate'"), std::string::npos);
  EXPECT_EQ(world.engine().bound_count(), 0u);
}

// A body is read by the parser of all streams: RFC 6120 section 11.1 holds in it.
TEST_F(BoshTest, XmlIsRestrictedThereToo) {
  world.AddUser("alice");
  const net::StreamId id = web.Open();
  const int rid = LogIn(id, "alice");
  const std::string iq = "<iq xmlns='jabber:client' type='get' id='q'><ping xmlns='urn:xmpp:ping'>";
  for (const std::string& each :
       {"<!DOCTYPE b [<!ENTITY a 'aaaa'>]>" + Body(At(rid), iq + "&a;</ping></iq>"),
        Body(At(rid), iq + "&a;</ping></iq>"), Body(At(rid), iq + "<!-- --></ping></iq>"),
        Body(At(rid), iq + "<?php x?></ping></iq>"), Body(At(rid) + "to='&a;'")}) {
    const net::StreamId other = web.Open();
    EXPECT_NE(web.Say(other, Post(each)).find(" 400 "), std::string::npos) << each;
    EXPECT_TRUE(web.is_closed(other)) << each;
    web.Cut(other);
  }
  // Who has not logged in, and who was not harmed by it.
  const net::StreamId stranger = web.Open();
  EXPECT_NE(web.Say(stranger, Post("<!DOCTYPE b [<!ENTITY a 'aaaa'>]>" + Body("rid='1' to='&a;'")))
                .find(" 400 "),
            std::string::npos);
  EXPECT_NE(Ask(id, At(rid), iq + "</ping></iq>").find("type='result'"), std::string::npos);
}

TEST_F(BoshTest, NothingToSayIsSaidInTime) {
  world.AddUser("alice");
  const net::StreamId id = web.Open();
  const int rid = LogIn(id, "alice");
  EXPECT_EQ(Ask(id, At(rid)), "");
  web.Turn(Duration::Seconds(29));
  EXPECT_EQ(web.Take(id), "");
  web.Turn(Duration::Seconds(2));
  EXPECT_NE(web.Take(id).find("</body>"), std::string::npos);
  // And who does not come again is gone.
  web.Turn(Duration::Seconds(kBoshInactivitySeconds - 5));
  EXPECT_EQ(world.engine().bound_count(), 1u);
  web.Turn(Duration::Seconds(10));
  EXPECT_EQ(world.engine().bound_count(), 0u);
  EXPECT_EQ(web.web().bosh_count(), 0u);
}

TEST_F(BoshTest, NobodyWaitsLonger) {
  const net::StreamId id = web.Open();
  const std::string got = Ask(id,
                              "rid='100' to='example.com' wait='5000' hold='1' ver='1.6' "
                              "xmpp:version='1.0'");
  EXPECT_NE(got.find(" wait='" + std::to_string(kBoshWaitMax) + "'"), std::string::npos) << got;
  EXPECT_NE(got.find(" requests='" + std::to_string(kBoshRequests) + "'"), std::string::npos);
}

// What is for somebody who does not fetch it waits in his session, but for this much.
TEST_F(BoshTest, OneAnswerIsBounded) {
  world.AddUser("alice");
  world.AddUser("bob");
  const net::StreamId id = web.Open();
  const int rid = LogIn(id, "alice");
  EXPECT_NE(Ask(id, At(rid), "<presence xmlns='jabber:client'/>").find("<presence"),
            std::string::npos);
  Client bob(world, 1);
  bob.LogIn("bob", "b");
  const std::string body(30'000, 'x');
  for (uint32_t i = 0; i < 2 * kBoshOutMax / body.size(); ++i) {
    bob.Say("<message to='alice@example.com' type='headline'><body>" + body + "</body></message>");
    web.Run();
  }
  std::string got = Ask(id, At(rid + 1));
  web.Settle();
  const size_t size = (got += web.Take(id)).size();
  EXPECT_LT(size, kBoshOutMax + 1000);
  EXPECT_GT(size, kBoshOutMax - 31'000);
}

TEST_F(BoshTest, RequestsAreTakenInTheirOrder) {
  world.AddUser("alice");
  const net::StreamId a = web.Open();
  const net::StreamId b = web.Open();
  const int rid = LogIn(a, "alice");
  const auto ping = [](const char* id) {
    return "<iq xmlns='jabber:client' type='get' id='" + std::string(id) +
           "'><ping xmlns='urn:xmpp:ping'/></iq>";
  };
  EXPECT_EQ(Ask(b, At(rid + 1), ping("second")), "");
  EXPECT_NE(Ask(a, At(rid), ping("first")).find("id='first'"), std::string::npos);
  EXPECT_NE(web.Take(b).find("id='second'"), std::string::npos);
  // An answer that was lost comes once more, and nothing is done twice.
  const uint64_t done = world.engine().counters().queries;
  EXPECT_NE(Ask(a, At(rid + 1), ping("second")).find("id='second'"), std::string::npos);
  EXPECT_EQ(world.engine().counters().queries, done);
  // Far out of order: the session is over.
  EXPECT_NE(Ask(a, At(rid + 9), ping("x")).find("condition='item-not-found'"), std::string::npos);
  EXPECT_EQ(world.engine().bound_count(), 0u);
}

TEST_F(BoshTest, AHeldRequestWhoseConnectionBrokeIsAskedAgain) {
  world.AddUser("alice");
  const net::StreamId a = web.Open();
  const int rid = LogIn(a, "alice");
  EXPECT_EQ(Ask(a, At(rid)), "");
  web.Cut(a);
  const net::StreamId b = web.Open();
  EXPECT_EQ(Ask(b, At(rid)), "");
  Client bob(world, 1);
  world.AddUser("bob");
  bob.LogIn("bob", "b");
  const std::string jid = "alice@example.com";
  world.engine().EndSessions(jid, "test");
  const std::string got = web.Take(b);
  EXPECT_NE(got.find("type='terminate' condition='remote-stream-error'"), std::string::npos) << got;
}

TEST_F(BoshTest, StrangersAreBounded) {
  const net::StreamId id = web.Open();
  EXPECT_NE(Ask(id, "rid='5' sid='0-00000000000000000000000000000000'").find("item-not-found"),
            std::string::npos);
  EXPECT_NE(Ask(id, "rid='5' wait='1' hold='1' to='a..b'").find("improper-addressing"),
            std::string::npos);
  EXPECT_NE(Ask(id, "wait='1' hold='1' to='example.com'").find("bad-request"), std::string::npos);
  // More elements than a stranger may use, bodies too; and his last.
  Open(id);
  std::string many;
  for (uint32_t i = 3; i < kUnprovenElements; ++i) {
    many += "<a/>";
  }
  EXPECT_NE(Ask(id, At(101), "<abort xmlns='" + std::string(kSasl) + "'>" + many + "</abort>")
                .find("<aborted/>"),
            std::string::npos);
  EXPECT_NE(Ask(id, At(102)).find(" 400 "), std::string::npos);
  web.Turn(Duration::Seconds(1));
  EXPECT_EQ(world.engine().session_count(), 0u);
  web.Turn(Duration::Seconds(kBoshInactivitySeconds + 2));
  EXPECT_EQ(web.web().bosh_count(), 0u);
  // As many sessions as there is room for.
  for (int i = 0; i < 2; ++i) {
    EXPECT_NE(Open(web.Open()).find(" sid="), std::string::npos);
  }
  EXPECT_NE(Open(web.Open()).find("internal-server-error"), std::string::npos);
  web.Turn(Duration::Seconds(kUnprovenSeconds + kBoshInactivitySeconds + 2));
  EXPECT_EQ(web.web().bosh_count(), 0u);
  EXPECT_EQ(world.engine().session_count(), 0u);
}

// What browsers say waits in their connections while somebody who does not read has the memory.
TEST_F(BoshTest, BrowsersAreHeldBackWhereMemoryIsShort) {
  for (const char* user : {"alice", "bob", "carol", "dave"}) {
    world.AddUser(user);
  }
  Client bob(world, 1), carol(world, 2);
  bob.LogIn("bob", "b");
  carol.LogIn("carol", "c");
  const net::StreamId poster = web.Open();
  const int rid = LogIn(poster, "alice");
  Socket socket(web);
  socket.LogIn("dave", "d");
  world.deaf = {1};
  const std::string flood = "<message to='bob@example.com/b' type='chat'><body>" +
                            std::string(2000, 'x') + "</body></message>";
  while (world.engine().OnData(carol.stream(), AsBytes(flood)) == flood.size()) {
  }
  const auto message = [](const std::string& body) {
    return "<message xmlns='jabber:client' to='carol@example.com/c' type='chat'><body>" + body +
           "</body></message>";
  };
  EXPECT_EQ(Ask(poster, At(rid), message("by BOSH")), "");
  EXPECT_EQ(socket.Say(message("by WebSocket")), "");
  EXPECT_GT(web.held(poster), 0u);
  EXPECT_GT(web.held(socket.id), 0u);
  EXPECT_EQ(carol.Take(), "");
  EXPECT_EQ(world.engine().counters().held_back, 3u);
  world.deaf.clear();
  world.engine().OnWritable(bob.stream());
  web.Run();
  EXPECT_EQ(web.held(poster), 0u);
  EXPECT_EQ(web.held(socket.id), 0u);
  const std::string got = carol.Take();
  EXPECT_NE(got.find("by BOSH"), std::string::npos) << got;
  EXPECT_NE(got.find("by WebSocket"), std::string::npos) << got;
}

}  // namespace
}  // namespace gh::xmpp::test
