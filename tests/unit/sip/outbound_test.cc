// Outbound flows (RFC 5626), GRUUs (RFC 5627) and keep-alives by STUN.
#include <gtest/gtest.h>

#include "tests/unit/sip/phone.h"

namespace gh::sip::test {
namespace {

constexpr const char* kInstance = "\"<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>\"";

class Outbound : public testing::Test {
 protected:
  World world;
  Engine& engine = world.engine();
  Phone alice{world, "alice", "192.0.2.20:5060"};
  // Two flows of one user agent, by different ways.
  Phone first{world, "bob", "192.0.2.30:40001"};
  Phone second{world, "bob", "192.0.2.30:40002"};

  void SetUp() override { ASSERT_EQ(alice.Register().Status(), 200); }
  void TearDown() override {
    world.Advance(Duration::Hours(25));
    world.Clear();
    EXPECT_EQ(world.Busy(), "");
  }
  Sent Register(Phone& phone, int reg_id, const std::string& supported, int cseq = 1,
                const std::string& more = {}) {
    return phone.Register(
        3600, cseq, "Supported: " + supported + "\n" + more,
        "<sip:bob@10.0.0.5:5060>;reg-id=" + std::to_string(reg_id) + ";+sip.instance=" + kInstance);
  }
  void Invite(const std::string& uri, const std::string& call_id = "call") {
    Phone::Spec spec{.method = "INVITE", .uri = uri, .call_id = call_id};
    alice.Send(spec);
  }
  Sent Final() {
    Sent sent = alice.Take();
    while (sent.Status() == 100) {
      sent = alice.Take();
    }
    return sent;
  }
};

TEST_F(Outbound, FlowsOfOneInstanceAreTriedOneAfterTheOther) {
  first.UseTcp();
  second.UseTcp();
  const Sent answer = Register(first, 1, "outbound, path");
  EXPECT_EQ(answer.Status(), 200);
  EXPECT_EQ(answer.Header("Require"), "outbound");
  EXPECT_EQ(answer.Header("Flow-Timer"), "120");
  EXPECT_EQ(Register(second, 2, "outbound, path", 2).Headers("Contact").size(), 2u);
  // One of them gets it, the one that registered last.
  Invite("sip:bob@example.com");
  Sent invite = second.Take();
  ASSERT_EQ(invite.Method(), "INVITE");
  EXPECT_TRUE(first.Take().text.empty());
  second.Respond(invite, 486);
  EXPECT_EQ(Final().Status(), 486);  // an answer is one: no other flow rings
  EXPECT_TRUE(first.Take().text.empty());
  // Its stream goes: the other flow takes over.
  world.Hangup(second.stream());
  Invite("sip:bob@example.com", "next");
  invite = first.Take();
  ASSERT_EQ(invite.Method(), "INVITE");
  first.Respond(invite, 486);
  EXPECT_EQ(Final().Status(), 486);
  EXPECT_EQ(first.Take().Method(), "ACK");
  // 430 from a proxy that keeps the flow means the same; nobody is left then.
  Invite("sip:bob@example.com", "third");
  first.Respond(first.Take(), 430);
  EXPECT_EQ(Final().Status(), 480);
}

TEST_F(Outbound, WithoutTheOptionRegIdIsNotLookedAt) {
  const Sent answer = Register(first, 1, "path");
  EXPECT_EQ(answer.Status(), 200);
  EXPECT_EQ(answer.Header("Require"), "");
  EXPECT_EQ(answer.text.find("reg-id"), std::string::npos);
}

TEST_F(Outbound, FirstHopThatKeepsNoFlowsIsRefused) {
  const std::string via = "Via: SIP/2.0/UDP 10.0.0.5;branch=z9hG4bKinner\n";
  EXPECT_EQ(
      Register(first, 1, "outbound, path", 1, via + "Path: <sip:p.example.net;lr>\n").Status(),
      439);
  EXPECT_EQ(
      Register(first, 1, "outbound, path", 2, via + "Path: <sip:p.example.net;lr;ob>\n").Status(),
      200);
}

// The value of a parameter in quotes.
std::string Gruu(const Sent& answer, const std::string& name) {
  return ParamOf(answer.Header("Contact"), name);
}

TEST_F(Outbound, PublicGruuIsTheInstanceAndNobodyElse) {
  Phone other(world, "bob", "192.0.2.40:5060");
  const Sent answer = Register(first, 1, "outbound, gruu");
  ASSERT_EQ(Gruu(answer, "pub-gruu"),
            "sip:bob@example.com;gr=urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6");
  ASSERT_EQ(other.Register(3600, 9).Status(), 200);
  Invite(Gruu(answer, "pub-gruu"));
  const Sent invite = first.Take();
  EXPECT_EQ(invite.StartLine(), "INVITE sip:bob@10.0.0.5:5060 SIP/2.0");
  EXPECT_TRUE(other.Take().text.empty());
  first.Respond(invite, 486);
  Final();
  Invite("sip:bob@example.com;gr=urn:uuid:another", "unknown");
  EXPECT_EQ(Final().Status(), 480);
}

TEST_F(Outbound, TemporaryGruusLastAsLongAsTheRegistrationAndAreAllDifferent) {
  const std::string one = Gruu(Register(first, 1, "outbound, gruu"), "temp-gruu");
  const std::string two = Gruu(Register(first, 1, "outbound, gruu", 2), "temp-gruu");
  ASSERT_TRUE(one.starts_with("sip:tgruu.")) << one;
  ASSERT_TRUE(one.ends_with("@example.com;gr"));
  EXPECT_NE(one, two);
  EXPECT_EQ(one.find("bob"), std::string::npos);
  int number = 0;
  for (const std::string& uri : {one, two}) {
    Invite(uri, "call" + std::to_string(++number));
    const Sent invite = first.Take();
    ASSERT_EQ(invite.Method(), "INVITE");
    first.Respond(invite, 486);
    EXPECT_EQ(Final().Status(), 486);
    EXPECT_EQ(first.Take().Method(), "ACK");
  }
  std::string forged = one;
  forged[20] = forged[20] == '0' ? '1' : '0';
  Invite(forged, "forged");
  EXPECT_EQ(Final().Status(), 480);
  first.Register(0, 3, {}, "*");
  Invite(one, "gone");
  EXPECT_EQ(Final().Status(), 480);
}

TEST_F(Outbound, AnAckToAGruuIsForTheContactOfTheMoment) {
  // A phone next to us without outbound, whose Contact in the answer is its GRUU.
  Phone near(world, "bob", "192.0.2.40:5060");
  const Sent registered =
      near.Register(3600, 1, "Supported: gruu\n", near.contact() + ";+sip.instance=" + kInstance);
  const std::string gruu = Gruu(registered, "pub-gruu");
  ASSERT_NE(gruu, "");
  Invite(gruu);
  std::string answer = near.Response(near.Take(), 200);
  answer.replace(answer.find(near.contact()), near.contact().size(), "<" + gruu + ">");
  near.Deliver(answer);
  const Sent good = Final();
  ASSERT_EQ(good.Status(), 200);
  Phone::Spec ack{.method = "ACK", .uri = gruu, .to_tag = "tt"};
  ack.headers = RouteSet(good, true);
  alice.Send(ack);
  EXPECT_EQ(near.Take().StartLine(), "ACK sip:bob@192.0.2.40:5060 SIP/2.0");
  // Requests of the dialog as well.
  Phone::Spec bye{.method = "BYE", .uri = gruu, .to_tag = "tt", .cseq = 2};
  bye.headers = ack.headers;
  alice.Send(bye);
  const Sent got = near.Take();
  EXPECT_EQ(got.StartLine(), "BYE sip:bob@192.0.2.40:5060 SIP/2.0");
  near.Respond(got, 200);
  EXPECT_EQ(alice.Take().Status(), 200);
}

TEST_F(Outbound, BindingRequestIsAnsweredWithWhereItCameFrom) {
  const std::string request(
      "\0\1\0\0\x21\x12\xa4\x42"
      "abcdefghijkl",
      20);
  world.Deliver(At("203.0.113.5:4660"), request);
  const Sent answer = world.TakeTo(At("203.0.113.5:4660"));
  ASSERT_EQ(answer.text.size(), 32u);
  EXPECT_EQ(answer.text.substr(0, 20), std::string("\1\1\0\x0c\x21\x12\xa4\x42"
                                                   "abcdefghijkl",
                                                   20));
  // RFC 8489 14.2: port and address under the cookie.
  EXPECT_EQ(answer.text.substr(20, 12),
            std::string("\0\x20\0\x08\0\1\x33\x26\xea\x12\xd5\x47", 12));
  // IPv6: under the transaction's number too.
  world.Deliver(At("[2001:db8::99]:4660"), request, At("[2001:db8::1]:5060"));
  EXPECT_EQ(world.TakeTo(At("[2001:db8::99]:4660")).text.size(), 44u);
  // A length that is not the datagram's, another type, another cookie: nothing.
  for (const size_t at : {size_t{3}, size_t{1}, size_t{5}}) {
    std::string bad = request;
    bad[at] = static_cast<char>(bad[at] + 4);
    world.Deliver(At("203.0.113.5:4660"), bad);
  }
  EXPECT_TRUE(world.empty());
}

}  // namespace
}  // namespace gh::sip::test
