// Call flows through the engine, after RFC 3665 and RFC 3261 16; after each, every pool is as
// before.
#include <gtest/gtest.h>

#include "tests/unit/sip/phone.h"

namespace gh::sip::test {
namespace {

class CallFlow : public testing::Test {
 protected:
  World world;
  Phone alice{world, "alice", "192.0.2.20:5060"};
  Phone bob{world, "bob", "192.0.2.30:5060"};

  void SetUp() override {
    ASSERT_EQ(alice.Register().Status(), 200);
    ASSERT_EQ(bob.Register().Status(), 200);
    world.events.clear();
  }
  void TearDown() override {
    world.Advance(Duration::Seconds(300));
    world.Advance(Duration::Hours(24));  // calls that nobody ended
    world.Clear();
    EXPECT_EQ(world.Busy(), "");
  }
  Phone::Spec Invite() {
    Phone::Spec spec{.method = "INVITE", .uri = bob.uri()};
    spec.headers = "Content-Type: application/sdp\n";
    spec.body = "v=0\r\n";
    return spec;
  }
  // Invites and returns what bob got.
  Sent Ring() {
    alice.Send(Invite());
    EXPECT_EQ(alice.Take().Status(), 100);
    return bob.Take();
  }
  // A whole call up to the ACK; what bob got and what alice got.
  std::pair<Sent, Sent> Establish() {
    const Sent invite = Ring();
    bob.Respond(invite, 180);
    EXPECT_EQ(alice.Take().Status(), 180);
    bob.Respond(invite, 200, "tt", {}, "v=0\r\n");
    const Sent answer = alice.Take();
    EXPECT_EQ(answer.Status(), 200);
    Phone::Spec ack{.method = "ACK", .uri = "sip:bob@192.0.2.30:5060", .to = bob.uri()};
    ack.to_tag = "tt";
    ack.headers = RouteSet(answer, true);
    alice.Send(ack);
    EXPECT_EQ(bob.Take().Method(), "ACK");
    return {invite, answer};
  }
};

TEST_F(CallFlow, SuccessfulCall) {
  const auto [invite, answer] = Establish();
  EXPECT_EQ(invite.StartLine(), "INVITE sip:bob@192.0.2.30:5060 SIP/2.0");
  EXPECT_EQ(invite.Header("Max-Forwards"), "69");
  EXPECT_EQ(invite.Headers("Via").size(), 2u);
  EXPECT_EQ(invite.Headers("Record-Route").size(), 1u);
  EXPECT_EQ(invite.Body(), "v=0\r\n");
  EXPECT_EQ(answer.Headers("Via").size(), 1u);
  EXPECT_TRUE(world.HasEvent("call-started sip:alice@example.com sip:bob@example.com"));
  EXPECT_EQ(world.engine().call_count(), 1u);
  world.Advance(Duration::Seconds(7));
  // The callee hangs up: From and To change places.
  Phone::Spec bye{.method = "BYE", .uri = "sip:alice@192.0.2.20:5060", .to = alice.uri()};
  bye.from_tag = "tt";
  bye.to_tag = "ft";
  bye.headers = RouteSet(invite, false);
  bob.Send(bye);
  const Sent got = alice.Take();
  ASSERT_EQ(got.Method(), "BYE");
  EXPECT_EQ(got.Headers("Route").size(), 0u);
  EXPECT_EQ(world.engine().call_count(), 1u);  // not before it is answered
  alice.Respond(got, 200);
  EXPECT_EQ(bob.Take().Status(), 200);
  EXPECT_EQ(world.engine().call_count(), 0u);
  EXPECT_TRUE(world.HasEvent("call-ended by-callee 7"));
}

TEST_F(CallFlow, AnAckWithoutTheRouteSetGoesItsCallsWay) {
  const Sent invite = Ring();
  bob.Respond(invite, 200, "tt", {}, "v=0\r\n");
  EXPECT_EQ(alice.Take().Status(), 200);
  Phone::Spec ack{.method = "ACK", .uri = bob.uri(), .to = bob.uri()};
  ack.to_tag = "tt";
  const uint64_t stray = world.engine().statistics().dropped_stray;
  Phone mallory(world, "alice", "203.0.113.66:5060");
  mallory.Send(ack);  // from elsewhere
  EXPECT_EQ(world.engine().statistics().dropped_stray, stray + 1);
  ack.to_tag = "another";
  alice.Send(ack);
  EXPECT_EQ(world.engine().statistics().dropped_stray, stray + 2);
  ack.to_tag = "tt";
  alice.Send(ack);
  EXPECT_EQ(bob.Take().Method(), "ACK");
  EXPECT_EQ(world.engine().statistics().dropped_stray, stray + 2);
}

TEST_F(CallFlow, ReInviteUpdateInfoAndPrackStayInTheDialog) {
  const auto [invite, answer] = Establish();
  int cseq = 2;
  for (const char* method : {"INVITE", "UPDATE", "INFO", "PRACK", "MESSAGE", "REFER", "NOTIFY"}) {
    Phone::Spec spec{.method = method, .uri = "sip:bob@192.0.2.30:5060", .to = bob.uri()};
    spec.to_tag = "tt";
    spec.cseq = cseq++;
    spec.headers = RouteSet(answer, true);
    alice.Send(spec);
    const Sent got = bob.Take();
    ASSERT_EQ(got.Method(), method);
    EXPECT_TRUE(got.Headers("Record-Route").empty());
    bob.Respond(got, 200);
    Sent back = alice.Take();
    back = back.Status() == 100 ? alice.Take() : back;
    EXPECT_EQ(back.Status(), 200) << method;
  }
  EXPECT_EQ(world.engine().call_count(), 1u);  // the re-INVITE started no other
}

TEST_F(CallFlow, DialogTokenFromAnotherCallIsWorthNothing) {
  const auto [invite, answer] = Establish();
  Phone::Spec spec{.method = "INFO", .uri = "sip:victim@203.0.113.9", .to = bob.uri()};
  spec.from = "sip:mallory@elsewhere.example";
  spec.call_id = "another";
  spec.to_tag = "tt";
  spec.headers = RouteSet(answer, true);
  Phone mallory(world, "mallory", "203.0.113.66:5060");
  mallory.Send(spec);
  EXPECT_EQ(mallory.Take().Status(), 407);
  EXPECT_TRUE(world.TakeTo(At("203.0.113.9:5060")).text.empty());
}

TEST_F(CallFlow, BusyIsAcknowledgedByUsAndPassedOn) {
  const Sent invite = Ring();
  bob.Respond(invite, 486);
  const Sent ack = bob.Take();
  EXPECT_EQ(ack.Method(), "ACK");
  EXPECT_EQ(ack.Header("CSeq"), "1 ACK");
  EXPECT_EQ(ack.Headers("Via").size(), 1u);
  EXPECT_EQ(ack.Header("Via"), invite.Headers("Via")[0]);
  const Sent busy = alice.Take();
  EXPECT_EQ(busy.Status(), 486);
  EXPECT_TRUE(world.HasEvent("call-failed 486"));
  // Until alice's ACK the response is repeated (timer G), and bob's gets another ACK.
  world.Advance(Duration::Milliseconds(510));
  EXPECT_EQ(alice.Take().Status(), 486);
  bob.Respond(invite, 486);
  EXPECT_EQ(bob.Take().Method(), "ACK");
  Phone::Spec ack_spec{.method = "ACK", .uri = bob.uri()};
  ack_spec.branch = alice.last_branch();
  ack_spec.to_tag = "tt";
  alice.Send(ack_spec);
  world.Advance(Duration::Seconds(2));
  EXPECT_TRUE(alice.Take().text.empty());
  EXPECT_TRUE(bob.Take().text.empty());  // the ACK was for us alone
}

TEST_F(CallFlow, CancelWhileRinging) {
  const Sent invite = Ring();
  bob.Respond(invite, 180);
  alice.Take();
  Phone::Spec cancel{.method = "CANCEL", .uri = bob.uri()};
  cancel.branch = alice.last_branch();
  alice.Send(cancel);
  EXPECT_EQ(alice.Take().Status(), 200);
  const Sent got = bob.Take();
  ASSERT_EQ(got.Method(), "CANCEL");
  EXPECT_EQ(got.Header("Via"), invite.Headers("Via")[0]);
  EXPECT_EQ(got.StartLine(), "CANCEL sip:bob@192.0.2.30:5060 SIP/2.0");
  bob.Respond(got, 200);
  bob.Respond(invite, 487);
  EXPECT_EQ(bob.Take().Method(), "ACK");
  EXPECT_EQ(alice.Take().Status(), 487);
  EXPECT_EQ(world.engine().call_count(), 0u);
}

TEST_F(CallFlow, CancelBeforeAnyResponseWaitsForOne) {
  const Sent invite = Ring();
  Phone::Spec cancel{.method = "CANCEL", .uri = bob.uri()};
  cancel.branch = alice.last_branch();
  alice.Send(cancel);
  EXPECT_EQ(alice.Take().Status(), 200);
  EXPECT_TRUE(bob.Take().text.empty());  // RFC 3261 9.1
  bob.Respond(invite, 100);
  EXPECT_EQ(bob.Take().Method(), "CANCEL");
  bob.Respond(invite, 487);
  EXPECT_EQ(alice.Take().Status(), 487);
}

TEST_F(CallFlow, CancelThatCrossesA200IsTooLate) {
  const Sent invite = Ring();
  bob.Respond(invite, 180);
  alice.Take();
  Phone::Spec cancel{.method = "CANCEL", .uri = bob.uri()};
  cancel.branch = alice.last_branch();
  alice.Send(cancel);
  alice.Take();
  EXPECT_EQ(bob.Take().Method(), "CANCEL");
  bob.Respond(invite, 200);
  EXPECT_EQ(alice.Take().Status(), 200);  // a call after all
  EXPECT_EQ(world.engine().call_count(), 1u);
  // After the answer a CANCEL still gets its 200 and does nothing.
  alice.Send(cancel);
  EXPECT_EQ(alice.Take().Status(), 200);
  EXPECT_TRUE(bob.Take().text.empty());
}

TEST_F(CallFlow, CancelOfNothingIs481) {
  Phone::Spec cancel{.method = "CANCEL", .uri = bob.uri()};
  alice.Send(cancel);
  EXPECT_EQ(alice.Take().Status(), 481);
}

TEST_F(CallFlow, CancelIsRepeatedUntilAnswered) {
  const Sent invite = Ring();
  bob.Respond(invite, 180);
  Phone::Spec cancel{.method = "CANCEL", .uri = bob.uri()};
  cancel.branch = alice.last_branch();
  alice.Send(cancel);
  EXPECT_EQ(bob.Take().Method(), "CANCEL");
  world.Advance(Duration::Milliseconds(510));
  const Sent again = bob.Take();
  EXPECT_EQ(again.Method(), "CANCEL");
  bob.Respond(again, 200);
  world.Advance(Duration::Seconds(3));
  EXPECT_TRUE(bob.Take().text.empty());
}

TEST_F(CallFlow, NobodyAnswers) {
  Ring();
  int copies = 0;
  for (int i = 0; i < 40; ++i) {
    world.Advance(Duration::Seconds(1));
    while (!bob.Take().text.empty()) {
      ++copies;
    }
  }
  EXPECT_EQ(copies, 6);  // A: 0.5, 1.5, 3.5, 7.5, 15.5, 31.5 s
  EXPECT_EQ(alice.Take().Status(), 408);
}

TEST_F(CallFlow, RingsTooLong) {
  const Sent invite = Ring();
  bob.Respond(invite, 180);
  alice.Take();
  world.Advance(Duration::Seconds(184));
  EXPECT_TRUE(bob.Take().text.empty());
  world.Advance(Duration::Seconds(2));  // timer C
  EXPECT_EQ(bob.Take().Method(), "CANCEL");
  bob.Respond(invite, 487);
  EXPECT_EQ(alice.Take().Status(), 487);
}

TEST_F(CallFlow, ProvisionalResponsesRestartTimerC) {
  const Sent invite = Ring();
  for (int i = 0; i < 3; ++i) {
    bob.Respond(invite, 183);
    EXPECT_EQ(alice.Take().Status(), 183);
    world.Advance(Duration::Seconds(150));
  }
  EXPECT_TRUE(bob.Take().text.empty());
  bob.Respond(invite, 200);
  EXPECT_EQ(alice.Take().Status(), 200);
}

TEST_F(CallFlow, AnswerIsRelayedAgainUntilTheAckArrives) {
  const Sent invite = Ring();
  bob.Respond(invite, 200);
  EXPECT_EQ(alice.Take().Status(), 200);
  world.Advance(Duration::Seconds(1));
  bob.Respond(invite, 200);
  EXPECT_EQ(alice.Take().Status(), 200);
  EXPECT_EQ(world.engine().call_count(), 1u);
  // A retransmitted INVITE is absorbed (RFC 6026).
  Phone::Spec again = Invite();
  again.branch = alice.last_branch();
  alice.Send(again);
  EXPECT_TRUE(bob.Take().text.empty());
  EXPECT_TRUE(alice.Take().text.empty());
  // After timers L and M nothing is relayed any more.
  world.Advance(Duration::Seconds(33));
  bob.Respond(invite, 200);
  EXPECT_TRUE(alice.Take().text.empty());
}

// It was under way when the call was hung up: nobody waits for it, and its media would begin anew.
TEST_F(CallFlow, AnswerThatComesAgainAfterTheEndIsNotRelayed) {
  const auto [invite, answer] = Establish();
  Phone::Spec bye{.method = "BYE", .uri = "sip:bob@192.0.2.30:5060", .to = bob.uri()};
  bye.to_tag = "tt";
  bye.cseq = 2;
  bye.headers = RouteSet(answer, true);
  alice.Send(bye);
  const Sent got = bob.Take();
  ASSERT_EQ(got.Method(), "BYE");
  bob.Respond(got, 200);
  EXPECT_EQ(alice.Take().Status(), 200);
  EXPECT_EQ(world.engine().call_count(), 0u);
  bob.Respond(invite, 200);
  EXPECT_TRUE(alice.Take().text.empty());
  EXPECT_EQ(world.engine().call_count(), 0u);
}

TEST_F(CallFlow, RetransmittedInviteGetsTheLastResponse) {
  const Sent invite = Ring();
  Phone::Spec again = Invite();
  again.branch = alice.last_branch();
  alice.Send(again);
  EXPECT_EQ(alice.Take().Status(), 100);
  bob.Respond(invite, 180);
  alice.Take();
  alice.Send(again);
  EXPECT_EQ(alice.Take().Status(), 180);
  EXPECT_TRUE(bob.Take().text.empty());
}

TEST_F(CallFlow, MessageIsCarried) {
  Phone::Spec spec{.method = "MESSAGE", .uri = bob.uri()};
  spec.body = "hello";
  alice.Send(spec);
  const Sent got = bob.Take();
  EXPECT_EQ(got.Method(), "MESSAGE");
  EXPECT_EQ(got.Body(), "hello");
  EXPECT_TRUE(got.Headers("Record-Route").empty());
  bob.Respond(got, 202);
  EXPECT_EQ(alice.Take().Status(), 202);
  // Repeated: the stored response, not another delivery.
  spec.branch = alice.last_branch();
  alice.Send(spec);
  EXPECT_EQ(alice.Take().Status(), 202);
  EXPECT_TRUE(bob.Take().text.empty());
}

// RFC 4320: 100 after timer E could have reached T2; silence instead of 408; late answers dropped.
// RFC 6665, 3856: a subscription is a dialog of its own; its notifications come back through us.
TEST_F(CallFlow, SubscriptionAndItsNotificationsAreCarried) {
  Phone::Spec spec{.method = "SUBSCRIBE", .uri = bob.uri()};
  spec.headers = "Event: presence\nAccept: application/pidf+xml\nExpires: 600\n";
  alice.Send(spec);
  const Sent subscribe = bob.Take();
  ASSERT_EQ(subscribe.Method(), "SUBSCRIBE");
  EXPECT_EQ(subscribe.Header("Event"), "presence");
  EXPECT_EQ(subscribe.Header("Accept"), "application/pidf+xml");
  EXPECT_EQ(subscribe.Headers("Record-Route").size(), 1u);
  bob.Respond(subscribe, 200, "tt", "Expires: 600\n");
  const Sent answer = alice.Take();
  EXPECT_EQ(answer.Header("Expires"), "600");
  Phone::Spec notify{.method = "NOTIFY", .uri = "sip:alice@192.0.2.20:5060", .to = alice.uri()};
  notify.from_tag = "tt";
  notify.to_tag = "ft";
  notify.headers = RouteSet(subscribe, false) +
                   "Event: presence\nSubscription-State: active;expires=600\n" +
                   "Content-Type: application/pidf+xml\n";
  notify.body = "<presence/>";
  bob.Send(notify);
  const Sent got = alice.Take();
  ASSERT_EQ(got.Method(), "NOTIFY");
  EXPECT_EQ(got.Body(), "<presence/>");
  EXPECT_EQ(got.Header("Subscription-State"), "active;expires=600");
  alice.Respond(got, 200);
  EXPECT_EQ(bob.Take().Status(), 200);
  // The end of it, and a package that the other does not know.
  spec.uri = "sip:bob@192.0.2.30:5060";
  spec.to = bob.uri();
  spec.to_tag = "tt";
  spec.cseq = 2;
  spec.headers = RouteSet(answer, true) + "Event: presence\nExpires: 0\n";
  alice.Send(spec);
  const Sent over = bob.Take();
  EXPECT_EQ(over.Header("Expires"), "0");
  bob.Respond(over, 489, "tt", "Allow-Events: dialog\n");
  EXPECT_EQ(alice.Take().Header("Allow-Events"), "dialog");
}

// RFC 3903: what is published is the presence server's; entity tags pass.
// RFC 3515, 3892: who asks for a transfer is named to who is asked, and to the target.
TEST_F(CallFlow, ReferredByGoesThroughUnchanged) {
  const std::string by = "Referred-By: <sip:alice@example.com>;cid=\"1@x\"\n";
  Phone::Spec refer{.method = "REFER", .uri = bob.uri()};
  refer.headers = "Refer-To: <sip:carol@example.com?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc>\n" + by;
  alice.Send(refer);
  const Sent got = bob.Take();
  ASSERT_EQ(got.Method(), "REFER");
  EXPECT_EQ(got.Header("Referred-By"), "<sip:alice@example.com>;cid=\"1@x\"");
  EXPECT_EQ(got.Header("Refer-To"),
            "<sip:carol@example.com?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc>");
  EXPECT_EQ(got.Headers("Record-Route").size(), 1u);
  bob.Respond(got, 202);
  EXPECT_EQ(alice.Take().Status(), 202);
  Phone::Spec invite{.method = "INVITE", .uri = alice.uri()};
  invite.call_id = "referred";
  invite.headers = by;
  bob.Send(invite);
  EXPECT_EQ(bob.Take().Status(), 100);
  const Sent ringing = alice.Take();
  EXPECT_EQ(ringing.Header("Referred-By"), "<sip:alice@example.com>;cid=\"1@x\"");
  alice.Respond(ringing, 486);
}

TEST_F(CallFlow, PublicationIsCarried) {
  Phone::Spec spec{.method = "PUBLISH", .uri = bob.uri()};
  spec.headers = "Event: presence\nSIP-If-Match: dx200xyz\nExpires: 1800\n";
  alice.Send(spec);
  const Sent publish = bob.Take();
  ASSERT_EQ(publish.Method(), "PUBLISH");
  EXPECT_EQ(publish.Header("SIP-If-Match"), "dx200xyz");
  EXPECT_TRUE(publish.Headers("Record-Route").empty());  // it makes no dialog
  bob.Respond(publish, 200, "tt", "SIP-ETag: kwj449x\nExpires: 1800\n");
  EXPECT_EQ(alice.Take().Header("SIP-ETag"), "kwj449x");
  spec.cseq = 2;
  alice.Send(spec);
  bob.Respond(bob.Take(), 412);
  EXPECT_EQ(alice.Take().Status(), 412);
}

// RFC 3325: what a phone says of its own identity is not believed; its wish for privacy (RFC 3323)
// goes on.
TEST_F(CallFlow, IdentityThatASenderAssertsIsNotPassedOn) {
  Phone::Spec spec{.method = "MESSAGE", .uri = bob.uri()};
  spec.headers =
      "P-Asserted-Identity: <sip:boss@example.com>\nP-Asserted-Identity: <tel:+15551234>\n"
      "Privacy: id\n";
  alice.Send(spec);
  const Sent message = bob.Take();
  ASSERT_EQ(message.Method(), "MESSAGE");
  EXPECT_TRUE(message.Headers("P-Asserted-Identity").empty());
  EXPECT_EQ(message.Header("Privacy"), "id");
  bob.Respond(message, 200);
  EXPECT_EQ(alice.Take().Status(), 200);
}

TEST_F(CallFlow, SlowNonInvite) {
  alice.Send({.method = "MESSAGE", .uri = bob.uri()});
  const Sent got = bob.Take();
  world.Advance(Duration::Milliseconds(3400));
  EXPECT_TRUE(alice.Take().text.empty());
  world.Advance(Duration::Milliseconds(200));
  EXPECT_EQ(alice.Take().Status(), 100);
  world.Advance(Duration::Seconds(40));
  EXPECT_TRUE(alice.Take().text.empty());
  world.Clear();
  bob.Respond(got, 200);
  EXPECT_TRUE(world.empty());
}

TEST_F(CallFlow, UnknownMethodIsCarriedAndGetsARoute) {
  alice.Send({.method = "NEWMETHOD", .uri = bob.uri()});
  const Sent got = bob.Take();
  EXPECT_EQ(got.Method(), "NEWMETHOD");
  bob.Respond(got, 501);
  EXPECT_EQ(alice.Take().Status(), 501);
}

TEST_F(CallFlow, ByeNobodyAnswersEndsTheCallAllTheSame) {
  const auto [invite, answer] = Establish();
  Phone::Spec bye{.method = "BYE", .uri = "sip:bob@192.0.2.30:5060", .to = bob.uri()};
  bye.to_tag = "tt";
  bye.cseq = 2;
  bye.headers = RouteSet(answer, true);
  alice.Send(bye);
  world.Advance(Duration::Seconds(40));
  EXPECT_EQ(world.engine().call_count(), 0u);
  EXPECT_TRUE(world.HasEvent("call-ended by-caller"));
}

TEST_F(CallFlow, SilentCallEndsByTimeout) {
  Establish();
  world.Advance(Duration::Hours(24) + Duration::Seconds(1));
  EXPECT_EQ(world.engine().call_count(), 0u);
  EXPECT_TRUE(world.HasEvent("call-ended timeout"));
}

TEST_F(CallFlow, CalleeBehindNatIsReachedByItsFlowInBothDirections) {
  // Its Contact is a private address; its packets come from elsewhere.
  Phone carol(world, "carol", "192.0.2.40:40123");
  carol.Register(3600, 1, {}, "<sip:carol@10.1.1.1:5060>");
  alice.Send({.method = "INVITE", .uri = "sip:carol@example.com"});
  alice.Take();
  const Sent invite = carol.Take();
  ASSERT_EQ(invite.StartLine(), "INVITE sip:carol@10.1.1.1:5060 SIP/2.0");
  carol.Respond(invite, 200);
  const Sent answer = alice.Take();
  Phone::Spec ack{.method = "ACK", .uri = "sip:carol@10.1.1.1:5060", .to = "sip:carol@example.com"};
  ack.to_tag = "tt";
  ack.headers = RouteSet(answer, true);
  alice.Send(ack);
  EXPECT_EQ(carol.Take().Method(), "ACK");
  ack.method = "BYE";
  ack.cseq = 2;
  alice.Send(ack);
  const Sent bye = carol.Take();
  EXPECT_EQ(bye.Method(), "BYE");
  carol.Respond(bye, 200);
  EXPECT_EQ(alice.Take().Status(), 200);
}

// Attended transfer (RFC 3891): carol is referred to the Contact of a party, which only the call
// knows how to reach, and names the dialog that she takes over as that party sees it.
TEST_F(CallFlow, ReplacesReachesEitherPartyOfTheCallBehindItsNat) {
  Phone carol(world, "carol", "192.0.2.40:5060");
  ASSERT_EQ(carol.Register().Status(), 200);
  const std::string inner = "<sip:dave@10.9.9.9:5062>";
  Phone dave(world, "dave", "192.0.2.50:40123");
  ASSERT_EQ(dave.Register(3600, 1, {}, inner).Status(), 200);
  Phone::Spec spec{.method = "INVITE", .uri = dave.uri()};
  spec.contact = "<sip:alice@10.8.8.8:5062>";
  alice.Send(spec);
  EXPECT_EQ(alice.Take().Status(), 100);
  std::string answer = dave.Response(dave.Take(), 200);
  answer.replace(answer.find(dave.contact()), dave.contact().size(), inner);
  dave.Deliver(answer);
  EXPECT_EQ(alice.Take().Status(), 200);
  const auto ask = [&](const std::string& uri, const std::string& replaces) {
    static int number = 0;
    Phone::Spec take{.method = "INVITE", .uri = uri};
    take.call_id = "take" + std::to_string(++number);
    take.headers = "Replaces: " + replaces + "\nReferred-By: <sip:alice@example.com>\n";
    carol.Send(take);
  };
  ask("sip:dave@10.9.9.9:5062", "call;to-tag=tt;from-tag=ft");
  const Sent to_dave = dave.Take();
  ASSERT_EQ(to_dave.StartLine(), "INVITE sip:dave@10.9.9.9:5062 SIP/2.0");
  EXPECT_EQ(to_dave.Header("Replaces"), "call;to-tag=tt;from-tag=ft");
  EXPECT_EQ(to_dave.Header("Referred-By"), "<sip:alice@example.com>");
  dave.Respond(to_dave, 486);
  ask("sip:alice@10.8.8.8:5062", "call;from-tag=tt;early-only;to-tag=ft");
  const Sent to_alice = alice.Take();
  ASSERT_EQ(to_alice.StartLine(), "INVITE sip:alice@10.8.8.8:5062 SIP/2.0");
  alice.Respond(to_alice, 486);
  // The other's address, a dialog that is not there, no dialog at all: as any other request.
  for (const char* replaces : {"call;to-tag=ft;from-tag=tt", "call;to-tag=tt;from-tag=x",
                               "other;to-tag=tt;from-tag=ft", "call", ";to-tag=tt;from-tag=ft"}) {
    world.Clear();
    ask("sip:dave@10.9.9.9:5062", replaces);
    EXPECT_TRUE(world.TakeTo(dave.at()).text.empty()) << replaces;
  }
}

TEST_F(CallFlow, StrictRouterBeforeUsIsUnderstood) {
  const auto [invite, answer] = Establish();
  // It put our Record-Route into the Request-URI and the target at the end of Route.
  std::string ours = answer.Header("Record-Route");
  ours = ours.substr(1, ours.find('>') - 1);
  Phone::Spec bye{.method = "BYE", .uri = ours, .to = bob.uri()};
  bye.to_tag = "tt";
  bye.cseq = 2;
  bye.headers = "Route: <sip:bob@192.0.2.30:5060>\n";
  alice.Send(bye);
  const Sent got = bob.Take();
  EXPECT_EQ(got.StartLine(), "BYE sip:bob@192.0.2.30:5060 SIP/2.0");
  EXPECT_TRUE(got.Headers("Route").empty());
  bob.Respond(got, 200);
}

TEST_F(CallFlow, TransportsMeet) {
  Phone dave(world, "dave", "192.0.2.50:33333");
  dave.UseTcp();
  ASSERT_EQ(dave.Register().Status(), 200);
  alice.Send({.method = "INVITE", .uri = "sip:dave@example.com"});
  alice.Take();
  const Sent invite = dave.Take();
  ASSERT_TRUE(invite.stream.valid());
  const auto routes = invite.Headers("Record-Route");
  ASSERT_EQ(routes.size(), 2u);  // RFC 5658
  EXPECT_NE(routes[0].find(";transport=tcp;lr"), std::string::npos);
  EXPECT_EQ(routes[1].find("transport"), std::string::npos);
  dave.Respond(invite, 200);
  const Sent answer = alice.Take();
  Phone::Spec ack{
      .method = "ACK", .uri = "sip:dave@192.0.2.50:33333", .to = "sip:dave@example.com"};
  ack.to_tag = "tt";
  ack.headers = RouteSet(answer, true);
  alice.Send(ack);
  const Sent got = dave.Take();
  EXPECT_EQ(got.Method(), "ACK");
  EXPECT_TRUE(got.Headers("Route").empty());
  // The callee hangs up over its stream.
  Phone::Spec bye{.method = "BYE", .uri = "sip:alice@192.0.2.20:5060", .to = alice.uri()};
  bye.from_tag = "tt";
  bye.to_tag = "ft";
  bye.headers = RouteSet(invite, false);
  dave.Send(bye);
  const Sent at_alice = alice.Take();
  EXPECT_EQ(at_alice.Method(), "BYE");
  alice.Respond(at_alice, 200);
  EXPECT_EQ(dave.Take().Status(), 200);
  world.Hangup(dave.stream());
}

TEST_F(CallFlow, LostStreamFailsItsCallsAtOnce) {
  Phone dave(world, "dave", "192.0.2.50:33333");
  dave.UseTcp();
  dave.Register();
  alice.Send({.method = "INVITE", .uri = "sip:dave@example.com"});
  EXPECT_EQ(alice.Take().Status(), 100);
  world.Hangup(dave.stream());
  EXPECT_EQ(alice.Take().Status(), 500);
}

}  // namespace
}  // namespace gh::sip::test
