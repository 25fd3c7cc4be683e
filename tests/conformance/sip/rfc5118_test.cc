// RFC 5118 (SIP Torture Test Messages for IPv6), section 4, every message through the whole engine.
#include <gtest/gtest.h>

#include "tests/conformance/sip/torture.h"
#include "tests/unit/sip/world.h"

namespace gh::sip::test {
namespace {

const net::Endpoint kPhone = At("[2001:db8::9:1]:5060");
const net::Endpoint kServer6 = At("[2001:db8::10]:5060");
const net::Endpoint kCallee = At("[2001:db8::77]:5060");

// We are 2001:db8::10, as the messages suppose.
Config Ipv6Config() {
  Config config;
  config.AddDomain("example.com");
  config.AddDomain("example.net");
  config.AddListener(TransportKind::kUdp, kServer6);
  config.AddListener(TransportKind::kUdp, At("192.0.2.50:5060"));
  config.authenticate_register = false;
  config.authenticate_requests = false;
  config.accept_foreign_senders = true;
  config.unproven_replies_per_s = 0;
  return config;
}

// The lengths that the RFC prints for the bodies of 4.6 and 4.8 are not theirs: what is sent here
// has the right ones.
std::string WithLength(std::string wire) {
  const size_t body = wire.find("\r\n\r\n") + 4;
  const size_t at = wire.find("Content-Length: ") + 16;
  wire.replace(at, wire.find("\r\n", at) - at, std::to_string(wire.size() - body));
  return wire;
}

void Register(World& world, const std::string& aor) {
  world.Deliver(kCallee,
                Crlf("REGISTER sip:example.com SIP/2.0\n"
                     "Via: SIP/2.0/UDP [2001:db8::77];branch=z9hG4bKsetup;rport\n"
                     "From: <" +
                     aor + ">;tag=s\nTo: <" + aor +
                     ">\n"
                     "Call-ID: setup\nCSeq: 1 REGISTER\n"
                     "Contact: <sip:callee@[2001:db8::77]>\nContent-Length: 0\n\n"),
                kServer6);
  EXPECT_EQ(world.Take().Status(), 200);
}

constexpr char kRegister[] =
    "To: sip:user@example.com\n"
    "From: sip:user@example.com;tag=81x2\n"
    "Via: SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-111\n"
    "Call-ID: SSG9559905523997077@hlau_4100\n"
    "Max-Forwards: 70\n"
    "Contact: \"Caller\" <sip:caller@[2001:db8::1]>\n"
    "CSeq: 98176 REGISTER\n"
    "Content-Length: 0\n\n";

TEST(Rfc5118, S4_1_Ipv6Good) {
  World world(Ipv6Config());
  world.Deliver(kPhone, Crlf(std::string("REGISTER sip:[2001:db8::10] SIP/2.0\n") + kRegister),
                kServer6);
  const Sent sent = world.Take();
  EXPECT_EQ(sent.Status(), 200) << sent.text;
  EXPECT_EQ(sent.to, kPhone);
  EXPECT_EQ(sent.Header("Contact").substr(0, 26), "<sip:caller@[2001:db8::1]>");
}

TEST(Rfc5118, S4_2_Ipv6BadIsRefused) {
  World world(Ipv6Config());
  world.Deliver(kPhone, Crlf(std::string("REGISTER sip:2001:db8::10 SIP/2.0\n") + kRegister),
                kServer6);
  EXPECT_EQ(world.Take().Status(), 400);
  EXPECT_EQ(world.engine().registration_count(), 0u);
}

// 2001:db8::10:5070 is an address, not a port: not ours, and nobody to relay to.
TEST(Rfc5118, S4_3_PortAmbiguousIsAllAddress) {
  World world(Ipv6Config());
  world.Deliver(kPhone, Crlf(std::string("REGISTER sip:[2001:db8::10:5070] SIP/2.0\n") + kRegister),
                kServer6);
  const Sent sent = world.Take();
  ASSERT_TRUE(sent.IsRequest()) << sent.text;
  EXPECT_EQ(sent.to, At("[2001:db8::10:5070]:5060"));
  EXPECT_EQ(world.engine().registration_count(), 0u);
}

TEST(Rfc5118, S4_4_PortUnambiguous) {
  Config config = Ipv6Config();
  config.AddListener(TransportKind::kUdp, At("[2001:db8::10]:5070"));
  World world(config);
  world.Deliver(kPhone, Crlf(std::string("REGISTER sip:[2001:db8::10]:5070 SIP/2.0\n") + kRegister),
                At("[2001:db8::10]:5070"));
  EXPECT_EQ(world.Take().Status(), 200);
  EXPECT_EQ(world.engine().registration_count(), 1u);
}

// `received` with and without brackets: both are understood; ours replaces it.
TEST(Rfc5118, S4_5_ViaReceivedWithDelimiters) {
  World world(Ipv6Config());
  world.Deliver(kPhone,
                Crlf("BYE sip:[2001:db8::10] SIP/2.0\n"
                     "To: sip:user@example.com;tag=bd76ya\n"
                     "From: sip:user@example.com;tag=81x2\n"
                     "Via: SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255];"
                     "branch=z9hG4bKas3-111\n"
                     "Call-ID: SSG9559905523997077@hlau_4100\n"
                     "Max-Forwards: 70\nCSeq: 321 BYE\nContent-Length: 0\n\n"),
                kServer6);
  const Sent sent = world.Take();
  EXPECT_EQ(sent.Status(), 405) << sent.text;  // well-formed, but there is no dialog with us
  EXPECT_EQ(sent.Header("Via"), "SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-111");
}

TEST(Rfc5118, S4_5_ViaReceivedWithoutDelimiters) {
  World world(Ipv6Config());
  world.Deliver(kPhone,
                Crlf("OPTIONS sip:[2001:db8::10] SIP/2.0\n"
                     "To: sip:user@example.com\n"
                     "From: sip:user@example.com;tag=81x2\n"
                     "Via: SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255;"
                     "branch=z9hG4bKas3\n"
                     "Call-ID: SSG95523997077@hlau_4100\n"
                     "Max-Forwards: 70\n"
                     "Contact: \"Caller\" <sip:caller@[2001:db8::9:1]>\n"
                     "CSeq: 921 OPTIONS\nContent-Length: 0\n\n"),
                kServer6);
  EXPECT_EQ(world.Take().Status(), 200);
}

constexpr char kInvite46[] =
    "INVITE sip:user@[2001:db8::10] SIP/2.0\n"
    "To: sip:user@[2001:db8::10]\n"
    "From: sip:user@example.com;tag=81x2\n"
    "Via: SIP/2.0/UDP [2001:db8::20];branch=z9hG4bKas3-111\n"
    "Call-ID: SSG9559905523997077@hlau_4100\n"
    "Contact: \"Caller\" <sip:caller@[2001:db8::20]>\n"
    "CSeq: 8612 INVITE\n"
    "Max-Forwards: 70\n"
    "Content-Type: application/sdp\n"
    "Content-Length: 268\n\n"
    "v=0\n"
    "o=assistant 971731711378798081 0 IN IP6 2001:db8::20\n"
    "s=Live video feed for today's meeting\n"
    "c=IN IP6 2001:db8::20\n"
    "t=3338481189 3370017201\n"
    "m=audio 6000 RTP/AVP 2\n"
    "a=rtpmap:2 G726-32/8000\n"
    "m=video 6024 RTP/AVP 107\n"
    "a=rtpmap:107 H263-1998/90000\n";

TEST(Rfc5118, S4_6_Ipv6InSdp) {
  World world(Ipv6Config());
  Register(world, "sip:user@example.com");
  const std::string wire = WithLength(Crlf(kInvite46));
  world.Deliver(At("[2001:db8::20]:5060"), wire, kServer6);
  const Sent sent = world.TakeTo(kCallee);
  ASSERT_EQ(sent.Method(), "INVITE");
  EXPECT_EQ(sent.Body(), wire.substr(wire.find("\r\n\r\n") + 4));
}

TEST(Rfc5118, S4_7_MultipleIpAddressesInHeaders) {
  World world(Ipv6Config());
  world.AddAddress("host.example.net", "2001:db8::77");
  world.Deliver(kPhone,
                Crlf("BYE sip:user@host.example.net SIP/2.0\n"
                     "Via: SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9hG4bKas3-111\n"
                     "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKjhja8781hjuaij65144\n"
                     "Via: SIP/2.0/TCP [2001:db8::9:255];branch=z9hG4bK451jj;"
                     "received=192.0.2.200\n"
                     "Call-ID: 997077@lau_4100\nMax-Forwards: 70\nCSeq: 89187 BYE\n"
                     "To: sip:user@example.net;tag=9817--94\n"
                     "From: sip:user@example.com;tag=81x2\nContent-Length: 0\n\n"),
                kServer6);
  const Sent sent = world.TakeTo(kCallee);
  ASSERT_EQ(sent.Method(), "BYE") << (world.empty() ? "" : world.Take().text);
  EXPECT_EQ(sent.Headers("Via").size(), 4u);
  // The answer finds its way back over all of them: ours goes, the first one says where.
  std::string response = "SIP/2.0 200 OK\r\n";
  for (const auto& via : sent.Headers("Via")) {
    response += "Via: " + via + "\r\n";
  }
  response +=
      "Call-ID: 997077@lau_4100\r\nCSeq: 89187 BYE\r\n"
      "To: sip:user@example.net;tag=9817--94\r\nFrom: sip:user@example.com;tag=81x2\r\n"
      "Content-Length: 0\r\n\r\n";
  world.Deliver(kCallee, response, kServer6);
  const Sent back = world.Take();
  EXPECT_EQ(back.Status(), 200);
  EXPECT_EQ(back.to, At("[2001:db8::9:1]:6050"));
  EXPECT_EQ(back.Headers("Via").size(), 3u);
}

TEST(Rfc5118, S4_8_MultipleIpAddressesInSdp) {
  World world(Ipv6Config());
  Register(world, "sip:user@example.com");
  const std::string wire = WithLength(
      Crlf("INVITE sip:user@[2001:db8::10] SIP/2.0\n"
           "To: sip:user@[2001:db8::10]\n"
           "From: sip:user@example.com;tag=81x2\n"
           "Via: SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-111\n"
           "Call-ID: SSG9559905523997077@hlau_4100\n"
           "Contact: \"Caller\" <sip:caller@[2001:db8::9:1]>\n"
           "Max-Forwards: 70\nCSeq: 8912 INVITE\n"
           "Content-Type: application/sdp\nContent-Length: 181\n\n"
           "v=0\no=bob 280744730 28977631 IN IP4 host.example.com\ns=\nt=0 0\n"
           "m=audio 22334 RTP/AVP 0\nc=IN IP4 192.0.2.1\n"
           "m=video 6024 RTP/AVP 107\nc=IN IP6 2001:db8::1\na=rtpmap:107 H263-1998/90000\n"));
  world.Deliver(kPhone, wire, kServer6);
  const Sent sent = world.TakeTo(kCallee);
  ASSERT_EQ(sent.Method(), "INVITE");
  EXPECT_EQ(sent.Body(), wire.substr(wire.find("\r\n\r\n") + 4));
}

TEST(Rfc5118, S4_9_Ipv4MappedIpv6) {
  World world(Ipv6Config());
  Register(world, "sip:user@example.com");
  world.Deliver(At("192.0.2.10:19823"),
                Crlf("INVITE sip:user@example.com SIP/2.0\n"
                     "To: sip:user@example.com\n"
                     "From: sip:user@east.example.com;tag=81x2\n"
                     "Via: SIP/2.0/UDP [::ffff:192.0.2.10]:19823;branch=z9hG4bKbh19\n"
                     "Via: SIP/2.0/UDP [::ffff:192.0.2.2];branch=z9hG4bKas3-111\n"
                     "Call-ID: SSG9559905523997077@hlau_4100\n"
                     "Contact: \"T. desk phone\" <sip:ted@[::ffff:192.0.2.2]>\n"
                     "CSeq: 612 INVITE\nMax-Forwards: 70\n"
                     "Content-Type: application/sdp\nContent-Length: 236\n\n"
                     "v=0\no=assistant 971731711378798081 0 IN IP6 ::ffff:192.0.2.2\n"
                     "s=Call me soon, please!\nc=IN IP6 ::ffff:192.0.2.2\n"
                     "t=3338481189 3370017201\nm=audio 6000 RTP/AVP 2\n"
                     "a=rtpmap:2 G726-32/8000\nm=video 6024 RTP/AVP 107\n"
                     "a=rtpmap:107 H263-1998/90000\n"),
                At("192.0.2.50:5060"));
  EXPECT_EQ(world.TakeTo(kCallee).Method(), "INVITE");
  EXPECT_EQ(world.TakeTo(At("192.0.2.10:19823")).Status(), 100);
}

// RFC 3261's grammar allowed three colons; both forms mean 2001:db8::192.0.2.1.
TEST(Rfc5118, S4_10_AbnfBugIsTolerated) {
  for (const char* host : {"[2001:db8:::192.0.2.1]", "[2001:db8::192.0.2.1]"}) {
    World world(Ipv6Config());
    const std::string uri = "sip:user@" + std::string(host);
    world.Deliver(kPhone,
                  Crlf("OPTIONS " + uri + " SIP/2.0\nTo: " + uri +
                       "\n"
                       "From: sip:user@example.com;tag=810x2\n"
                       "Via: SIP/2.0/UDP lab1.east.example.com;branch=z9hG4bKas3-111\n"
                       "Call-ID: G9559905523997077@hlau_4100\nCSeq: 689 OPTIONS\n"
                       "Max-Forwards: 70\nContent-Length: 0\n\n"),
                  kServer6);
    const Sent sent = world.Take();
    ASSERT_TRUE(sent.IsRequest()) << sent.text;
    EXPECT_EQ(sent.to, At("[2001:db8::192.0.2.1]:5060"));
  }
}

}  // namespace
}  // namespace gh::sip::test
