// RFC 4475, every message through the whole engine, as it would arrive in one UDP datagram.
#include "tests/conformance/sip/rfc4475_messages.h"

#include <gtest/gtest.h>

#include "tests/unit/sip/world.h"

namespace gh::sip::test {
namespace {

// Where the messages come from, and where whoever they are for is registered.
const net::Endpoint kSender = At("203.0.113.5:5060");
const net::Endpoint kContact = At("198.51.100.7:5060");

Config OpenConfig() {
  Config config = World::DefaultConfig();
  config.AddDomain("example.net");
  config.AddDomain("example.org");
  config.accept_foreign_senders = true;
  return config;
}

// Registers the user of the message's Request-URI, by the parser's idea of it.
void RegisterCallee(World& world, const std::string& wire) {
  Message message;
  const auto bytes = AsBytes(wire);
  if (!message.Index(bytes).ok() || message.Check(true).verdict != Verdict::kGood ||
      !message.is_request() || !message.uri().has_user) {
    return;
  }
  const std::string aor =
      "sip:" + std::string(message.uri().user) + "@" + std::string(message.uri().host);
  world.Deliver(kContact, Crlf("REGISTER sip:example.com SIP/2.0\n"
                               "Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bKsetup;rport\n"
                               "From: <" +
                               aor + ">;tag=s\nTo: <" + aor +
                               ">\n"
                               "Call-ID: setup\nCSeq: 1 REGISTER\n"
                               "Contact: <sip:callee@198.51.100.7:5060>\nContent-Length: 0\n\n"));
  world.Clear();
  world.events.clear();
}

class Rfc4475 : public testing::TestWithParam<Torture> {};

TEST_P(Rfc4475, IsHandledAsTheRfcSays) {
  const Torture& torture = GetParam();
  const std::string wire = Expand(torture.text);
  Config config = OpenConfig();
  config.authenticate_register = std::string_view(torture.name) == "regaut01";
  World world(config);
  world.AddAddress("services.example.com", "198.51.100.7");
  world.AddAddress("registrar.example.com", "198.51.100.7");
  if (torture.outcome == Outcome::kForwarded) {
    RegisterCallee(world, wire);
  }
  world.Deliver(kSender, wire);
  if (torture.outcome == Outcome::kDropped) {
    EXPECT_TRUE(world.empty()) << world.Take().text;
  } else if (torture.outcome == Outcome::kStatus) {
    ASSERT_EQ(world.count(), 1u);
    const Sent sent = world.Take();
    EXPECT_EQ(sent.Status(), torture.status) << sent.text;
    EXPECT_EQ(sent.to.address, kSender.address);
  } else {
    const bool by_route = std::string_view(torture.name) == "mpart01";
    const Sent sent = world.TakeTo(by_route ? At("127.0.0.1:5080") : kContact);
    ASSERT_TRUE(sent.IsRequest()) << (world.empty() ? "nothing was sent" : world.Take().text);
    EXPECT_EQ(sent.Method(), wire.substr(0, wire.find(' ')));
    Message out;
    ASSERT_TRUE(out.Index(AsBytes(sent.text)).ok());
    EXPECT_EQ(out.Check(true).verdict, Verdict::kGood) << sent.text;
  }
  // Whatever happened ends by itself, and everything is given back.
  world.Advance(Duration::Seconds(400));
  EXPECT_EQ(world.Busy(), "");
}

INSTANTIATE_TEST_SUITE_P(All, Rfc4475, testing::ValuesIn(kRfc4475),
                         [](const auto& test) { return std::string(test.param.name); });

// The same over a stream: framing by Content-Length, where a wrong one ends the stream.
TEST_P(Rfc4475, OnAStreamNeverBlocksWhatFollows) {
  const Torture& torture = GetParam();
  const std::string wire = Expand(torture.text);
  World world(OpenConfig());
  const net::StreamId stream = world.Accept(kSender);
  world.Feed(stream, wire);
  const std::string probe = Crlf(
      "OPTIONS sip:example.com SIP/2.0\n"
      "Via: SIP/2.0/TCP 203.0.113.5;branch=z9hG4bKprobe\n"
      "From: <sip:a@example.com>;tag=p\nTo: <sip:example.com>\n"
      "Call-ID: probe\nCSeq: 1 OPTIONS\nContent-Length: 0\n\n");
  world.Clear();
  world.Feed(stream, probe);
  // Framing is only possible where the first length is what the message has.
  const size_t body = wire.find("\r\n\r\n") + 4;
  const auto length = Message::FindContentLength(AsBytes(wire).first(body));
  const bool framed = length && *length == wire.size() - body;
  if (framed && world.stream(stream).open) {
    bool answered = false;
    for (const Sent& sent : world.sent()) {
      answered = answered || (sent.Status() == 200 && sent.Header("Call-ID") == "probe");
    }
    EXPECT_TRUE(answered);
  }
  EXPECT_TRUE(framed || std::string_view("clerr ncl inv2543 mcl01 dblreq").find(torture.name) !=
                            std::string_view::npos)
      << "a body that is not as long as the RFC's";
  world.Advance(Duration::Minutes(120));
  EXPECT_EQ(world.Busy(), "");
  EXPECT_EQ(world.engine().stream_count(), 0u);
}

TEST(Rfc4475Detail, WsinvIsForwardedUnchangedButForWhatAProxyChanges) {
  World world(OpenConfig());
  world.AddAddress("services.example.com", "198.51.100.7");
  world.Deliver(kSender, Expand(kRfc4475[0].text));
  const Sent sent = world.TakeTo(kContact);
  EXPECT_EQ(sent.StartLine(), "INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0");
  EXPECT_EQ(sent.Header("Max-Forwards"), "67");
  EXPECT_NE(sent.text.find("UnknownHeaderWithUnusualValue: ;;,,;;,;\r\n"), std::string::npos);
  EXPECT_NE(
      sent.text.find("NewFangledHeader:   newfangled value\r\n continued newfangled value\r\n"),
      std::string::npos);
  EXPECT_NE(sent.text.find("<sip:services.example.com;lr;unknownwith=value;unknown-no-value>"),
            std::string::npos);
  Message out;
  ASSERT_TRUE(out.Index(AsBytes(sent.text)).ok());
  ASSERT_EQ(out.Check(true).verdict, Verdict::kGood);
  EXPECT_EQ(out.via_count(), 4u);
  EXPECT_EQ(out.cseq(), 9u);
  EXPECT_EQ(out.to_tag(), "1918181833n");
  EXPECT_EQ(out.from_tag(), "98asjd8");
}

TEST(Rfc4475Detail, EscnullKeepsTwoDifferentContacts) {
  World world(OpenConfig());
  world.Deliver(kSender, Expand(kRfc4475[3].text));
  const auto contacts = world.Take().Headers("Contact");
  EXPECT_EQ(contacts.size(), 2u);
  EXPECT_EQ(world.engine().registration_count(), 2u);
}

TEST(Rfc4475Detail, Esc02IsNotARegister) {
  World world(OpenConfig());
  world.AddAddress("registrar.example.com", "198.51.100.7");
  world.Deliver(kSender, Expand(kRfc4475[4].text));
  EXPECT_EQ(world.engine().registration_count(), 0u);
  const Sent sent = world.TakeTo(kContact);
  EXPECT_NE(sent.text.find("C%6Fntact: <sip:alias2@host2.example.com>"), std::string::npos);
}

TEST(Rfc4475Detail, Mpart01KeepsItsBinaryBodyAndHonoursTheStrictRoute) {
  World world(OpenConfig());
  const std::string wire = Expand(kRfc4475[10].text);
  world.Deliver(kSender, wire);
  const Sent sent = world.TakeTo(At("127.0.0.1:5080"));
  EXPECT_EQ(sent.StartLine(), "MESSAGE sip:127.0.0.1:5080 SIP/2.0");
  EXPECT_EQ(sent.Header("Route"), "<sip:kumiko@example.org>");
  EXPECT_EQ(sent.Body(), wire.substr(wire.find("\r\n\r\n") + 4));
  EXPECT_EQ(sent.Body().size(), 553u);
}

TEST(Rfc4475Detail, ResponsesThatAreWellFormedParse) {
  for (const Torture& torture : kRfc4475) {
    const std::string_view name = torture.name;
    if (name != "unreason" && name != "noreason" && name != "bcast") {
      continue;
    }
    const std::string wire = Expand(torture.text);
    Message message;
    ASSERT_TRUE(message.Index(AsBytes(wire)).ok()) << name;
    EXPECT_EQ(message.Check(true).verdict, Verdict::kGood) << name;
    EXPECT_EQ(message.status(), name == "noreason" ? 100 : 200);
  }
}

TEST(Rfc4475Detail, Bext01NamesWhatIsNotSupported) {
  World world(OpenConfig());
  for (const Torture& torture : kRfc4475) {
    if (std::string_view(torture.name) == "bext01") {
      world.Deliver(kSender, Expand(torture.text));
    }
  }
  EXPECT_EQ(world.Take().Header("Unsupported"), "noProxiesSupportThis, norDoAnyProxiesSupportThis");
}

TEST(Rfc4475Detail, Cparam02KeepsTheUriParameterAndCparam01DoesNotMakeOne) {
  for (const Torture& torture : kRfc4475) {
    const std::string_view name = torture.name;
    if (name != "cparam01" && name != "cparam02") {
      continue;
    }
    World world(OpenConfig());
    world.Deliver(kSender, Expand(torture.text));
    const std::string contact = world.Take().Header("Contact");
    const std::string uri = contact.substr(0, contact.find('>') + 1);
    EXPECT_EQ(uri, name == "cparam01" ? "<sip:+19725552222@gw1.example.net>"
                                      : "<sip:+19725552222@gw1.example.net;unknownparam>");
  }
}

}  // namespace
}  // namespace gh::sip::test
