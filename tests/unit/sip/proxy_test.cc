// Forking, loops, limits, locating, and what happens when things run out.
#include <gtest/gtest.h>

#include "tests/unit/sip/phone.h"

namespace gh::sip::test {
namespace {

class ProxyTest : public testing::Test {
 protected:
  World world;
  Phone alice{world, "alice", "192.0.2.20:5060"};
  Phone desk{world, "bob", "192.0.2.30:5060"};
  Phone mobile{world, "bob", "192.0.2.31:5060"};

  void RegisterBoth(const std::string& q1 = "1.0", const std::string& q2 = "1.0") {
    ASSERT_EQ(desk.Register(3600, 1, {}, desk.contact() + ";q=" + q1).Status(), 200);
    ASSERT_EQ(mobile.Register(3600, 2, {}, mobile.contact() + ";q=" + q2).Status(), 200);
  }
  void Invite(const std::string& uri = "sip:bob@example.com", const std::string& headers = {}) {
    Phone::Spec spec{.method = "INVITE", .uri = uri};
    spec.headers = headers;
    alice.Send(spec);
  }
  void TearDown() override {
    world.Advance(Duration::Seconds(300));
    world.Advance(Duration::Hours(24));  // calls that nobody ended
    EXPECT_EQ(world.Busy(), "");
  }
};

TEST_F(ProxyTest, ParallelForkFirstAnswerWinsAndOthersAreCancelled) {
  RegisterBoth();
  Invite();
  EXPECT_EQ(alice.Take().Status(), 100);
  const Sent at_desk = desk.Take();
  const Sent at_mobile = mobile.Take();
  ASSERT_EQ(at_desk.Method(), "INVITE");
  ASSERT_EQ(at_mobile.Method(), "INVITE");
  EXPECT_NE(at_desk.Header("Via"), at_mobile.Header("Via"));
  desk.Respond(at_desk, 180, "d");
  EXPECT_EQ(alice.Take().Status(), 180);
  mobile.Respond(at_mobile, 180, "m");
  EXPECT_EQ(alice.Take().Status(), 180);
  mobile.Respond(at_mobile, 200, "m");
  EXPECT_EQ(alice.Take().Status(), 200);
  EXPECT_EQ(desk.Take().Method(), "CANCEL");
  desk.Respond(at_desk, 487, "d");
  EXPECT_EQ(desk.Take().Method(), "ACK");
  EXPECT_TRUE(alice.Take().text.empty());
}

TEST_F(ProxyTest, ContactOfAPhoneBehindNoNatDecidesThePort) {
  Phone listening{world, "bob", "192.0.2.30:7070"};
  ASSERT_EQ(desk.Register(3600, 1, {}, "<sip:bob@192.0.2.30:7070>").Status(), 200);
  Invite();
  alice.Take();
  const Sent invite = listening.Take();
  ASSERT_EQ(invite.Method(), "INVITE");
  EXPECT_TRUE(desk.Take().text.empty());
  listening.Respond(invite, 486, "l");
  EXPECT_EQ(alice.Take().Status(), 486);
}

TEST_F(ProxyTest, PhoneBehindNatIsReachedWhereItsRegisterCameFrom) {
  ASSERT_EQ(desk.Register(3600, 1, {}, "<sip:bob@10.0.0.5:5060>").Status(), 200);
  Invite();
  alice.Take();
  const Sent invite = desk.Take();
  ASSERT_EQ(invite.Method(), "INVITE");
  desk.Respond(invite, 486, "d");
  EXPECT_EQ(alice.Take().Status(), 486);
}

TEST_F(ProxyTest, TwoAnswersAreBothPassedOn) {
  RegisterBoth();
  Invite();
  const Sent at_desk = desk.Take();
  const Sent at_mobile = mobile.Take();
  alice.Take();
  desk.Respond(at_desk, 200, "d");
  mobile.Respond(at_mobile, 200, "m");
  EXPECT_EQ(alice.Take().Status(), 200);
  EXPECT_EQ(alice.Take().Status(), 200);
  EXPECT_EQ(world.engine().call_count(), 2u);
}

TEST_F(ProxyTest, SequentialForkByQ) {
  RegisterBoth("0.3", "0.9");
  Invite();
  alice.Take();
  EXPECT_TRUE(desk.Take().text.empty());
  const Sent at_mobile = mobile.Take();
  mobile.Respond(at_mobile, 486, "m");
  EXPECT_EQ(mobile.Take().Method(), "ACK");
  const Sent at_desk = desk.Take();
  ASSERT_EQ(at_desk.Method(), "INVITE");
  EXPECT_TRUE(alice.Take().text.empty());
  desk.Respond(at_desk, 404, "d");
  // 486 and 404 are alike good: the first is kept.
  EXPECT_EQ(alice.Take().Status(), 486);
}

TEST_F(ProxyTest, BestResponse) {
  struct Case {
    int desk, mobile, best;
  };
  for (const Case& c : {Case{486, 302, 302}, Case{404, 603, 603}, Case{500, 480, 480},
                        Case{404, 407, 407}, Case{503, 404, 404}, Case{503, 503, 500}}) {
    world.Clear();
    RegisterBoth();
    Invite();
    alice.Take();
    desk.Respond(desk.Take(), c.desk, "d");
    const Sent early = alice.Take();
    EXPECT_TRUE(early.text.empty());
    mobile.Respond(mobile.Take(), c.mobile, "m");
    EXPECT_EQ(alice.Take().Status(), c.best) << c.desk << " " << c.mobile;
    world.Advance(Duration::Seconds(100));
    desk.Register(0, 100);
    world.Deliver(desk.at(), desk.Build({.method = "REGISTER",
                                         .uri = "sip:example.com",
                                         .to = desk.uri(),
                                         .call_id = "zap",
                                         .headers = "Expires: 0\n",
                                         .contact = "*"}));
    world.Clear();
  }
}

TEST_F(ProxyTest, GlobalFailureStopsTheSearch) {
  RegisterBoth("0.3", "0.9");
  Invite();
  alice.Take();
  mobile.Respond(mobile.Take(), 603, "m");
  EXPECT_EQ(alice.Take().Status(), 603);
  EXPECT_TRUE(desk.Take().text.empty());
}

TEST_F(ProxyTest, ChallengesOfAllBranchesAreGathered) {
  RegisterBoth();
  Invite();
  alice.Take();
  desk.Respond(desk.Take(), 401, "d", "WWW-Authenticate: Digest realm=\"a\", nonce=\"1\"\n");
  mobile.Respond(mobile.Take(), 407, "m", "Proxy-Authenticate: Digest realm=\"b\", nonce=\"2\"\n");
  const Sent sent = alice.Take();
  EXPECT_EQ(sent.Status(), 401);
  EXPECT_EQ(sent.Headers("WWW-Authenticate").size(), 1u);
  EXPECT_EQ(sent.Headers("Proxy-Authenticate").size(), 1u);
}

TEST_F(ProxyTest, CancelReachesEveryBranch) {
  RegisterBoth();
  Invite();
  alice.Take();
  const Sent at_desk = desk.Take();
  const Sent at_mobile = mobile.Take();
  desk.Respond(at_desk, 180, "d");
  mobile.Respond(at_mobile, 180, "m");
  alice.Take();
  alice.Take();
  Phone::Spec cancel{.method = "CANCEL", .uri = "sip:bob@example.com"};
  cancel.branch = alice.last_branch();
  alice.Send(cancel);
  EXPECT_EQ(alice.Take().Status(), 200);
  EXPECT_EQ(desk.Take().Method(), "CANCEL");
  EXPECT_EQ(mobile.Take().Method(), "CANCEL");
  desk.Respond(at_desk, 487, "d");
  mobile.Respond(at_mobile, 487, "m");
  EXPECT_EQ(alice.Take().Status(), 487);
}

TEST_F(ProxyTest, UnknownAndUnregisteredUsers) {
  Invite("sip:nobody@example.com");
  EXPECT_EQ(alice.Take().Status(), 480);
  Invite("sip:example.com");
  EXPECT_EQ(alice.Take().Status(), 404);
}

// --- Loops (RFC 3261 16.3 4, RFC 5393).

TEST_F(ProxyTest, LoopIsDetectedAndASpiralIsNot) {
  // Bob's contact is bob again, by a name that leads back to us.
  Config config = World::DefaultConfig();
  config.AddDomain("alias.example");
  world.engine().Apply(config);
  desk.Register(3600, 1, {}, "<sip:x@192.0.2.30>");
  Invite();
  alice.Take();
  const Sent got = desk.Take();
  // Spiral: the same call comes back for another user: goes on.
  std::string spiral = got.text;
  spiral.replace(spiral.find("sip:x@192.0.2.30"), 16, "sip:bob@alias.example");
  world.Deliver(desk.at(), spiral);
  EXPECT_EQ(desk.Take().Status(), 480);  // no such user there, but no loop
  // Loop: it comes back as it was when it came the first time.
  std::string loop = got.text;
  loop.replace(loop.find("sip:x@192.0.2.30"), 16, "sip:bob@example.com");
  world.Deliver(desk.at(), loop);
  EXPECT_EQ(desk.Take().Status(), 482);
  EXPECT_TRUE(world.HasEvent("refused loop 482"));
}

TEST_F(ProxyTest, ForgedBranchIsNoLoop) {
  desk.Register();
  Invite("sip:bob@example.com",
         "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKg0000000000000001000000000000000000000000"
         "00000000\n");
  EXPECT_EQ(alice.Take().Status(), 100);
  EXPECT_EQ(desk.Take().Method(), "INVITE");
}

TEST_F(ProxyTest, MaxForwards) {
  desk.Register();
  for (const auto& [hops, status] : {std::pair{1, 100}, {0, 483}}) {
    Phone::Spec spec{.method = "INVITE", .uri = "sip:bob@example.com"};
    spec.max_forwards = hops;
    spec.call_id = std::to_string(hops);
    alice.Send(spec);
    EXPECT_EQ(alice.Take().Status(), status);
  }
  EXPECT_EQ(desk.Take().Header("Max-Forwards"), "0");
}

TEST_F(ProxyTest, MaxBreadthIsShared) {
  RegisterBoth();
  Invite("sip:bob@example.com", "Max-Breadth: 9\n");
  alice.Take();
  EXPECT_EQ(desk.Take().Header("Max-Breadth"), "4");
  EXPECT_EQ(mobile.Take().Header("Max-Breadth"), "4");
}

TEST_F(ProxyTest, MaxBreadthOneMakesItSequential) {
  RegisterBoth();
  Invite("sip:bob@example.com", "Max-Breadth: 1\n");
  alice.Take();
  const Sent first = mobile.Take();  // the most recent registration
  EXPECT_EQ(first.Header("Max-Breadth"), "1");
  EXPECT_TRUE(desk.Take().text.empty());
  mobile.Respond(first, 486, "m");
  EXPECT_EQ(desk.Take().Method(), "INVITE");
}

TEST_F(ProxyTest, MaxBreadthZeroIs440) {
  RegisterBoth();
  Invite("sip:bob@example.com", "Max-Breadth: 0\n");
  EXPECT_EQ(alice.Take().Status(), 440);
}

// RFC 5393's attack: two users, each registered with contacts that lead to both of them, again and
// again. The breadth bounds what one request can become.
TEST_F(ProxyTest, AmplificationAttackIsBounded) {
  Config config = World::DefaultConfig();
  world.engine().Apply(config);
  for (const char* user : {"a", "b"}) {
    Phone attacker(world, user, "192.0.2.90:5060");
    for (int i = 0; i < 8; ++i) {
      attacker.Register(3600, i + 1, {},
                        "<sip:" + std::string(i % 2 ? "a" : "b") +
                            "@evil.example:5060;n=" + std::to_string(i) + ">");
    }
  }
  const uint64_t before = world.sent_count;
  Invite("sip:a@example.com");
  // All contacts were registered from one flow, so all copies go there: 8 and no more.
  EXPECT_LE(world.sent_count - before, 9u);
}

TEST_F(ProxyTest, NeverSendsToItselfOrToEverybody) {
  for (const char* uri : {"sip:x@255.255.255.255", "sip:x@224.0.0.1", "sip:x@0.0.0.0",
                          "sip:x@[ff02::1]", "sip:x@240.1.1.1"}) {
    world.Clear();
    Phone::Spec spec{.method = "MESSAGE", .uri = uri};
    spec.call_id = uri + 6;
    std::erase_if(spec.call_id, [](char c) { return c == '[' || c == ']'; });
    alice.Send(spec);
    ASSERT_EQ(world.count(), 1u) << uri;
    EXPECT_EQ(world.Take().Status(), 500) << uri;
  }
}

TEST_F(ProxyTest, ProxyRequireAndSchemes) {
  desk.Register();
  Invite("sip:bob@example.com", "Proxy-Require: foo, bar\n");
  const Sent sent = alice.Take();
  EXPECT_EQ(sent.Status(), 420);
  EXPECT_EQ(sent.Header("Unsupported"), "foo, bar");
  Invite("http://example.com");
  EXPECT_EQ(alice.Take().Status(), 416);
  Invite("tel:+4412345");
  EXPECT_EQ(alice.Take().Status(), 416);
}

// --- Locating (RFC 3263).

TEST_F(ProxyTest, NaptrSrvAndAddresses) {
  world.AddNaptr("far.example", 20, "SIP+D2U", "_sip._udp.far.example");
  world.AddNaptr("far.example", 10, "SIP+D2T", "tcp.far.example");
  world.AddNaptr("far.example", 5, "SIPS+D2T", "tls.far.example");  // no TLS here
  world.AddSrv("tcp.far.example", 2, 0, 5070, "two.far.example");
  world.AddSrv("tcp.far.example", 1, 0, 5080, "one.far.example");
  world.AddAddress("one.far.example", "198.51.100.1");
  world.AddAddress("two.far.example", "198.51.100.2");
  alice.Send({.method = "MESSAGE", .uri = "sip:x@far.example"});
  const Sent sent = world.TakeTo(At("198.51.100.1:5080"));
  EXPECT_EQ(sent.Method(), "MESSAGE");
  EXPECT_TRUE(sent.stream.valid());
  EXPECT_NE(sent.Header("Via").find("SIP/2.0/TCP"), std::string::npos);
}

// RFC 2782: in proportion to the weights; weight 0 hardly ever where others have one, and evenly
// among its like.
TEST_F(ProxyTest, ServersAreDrawnByTheirWeight) {
  const auto draw = [&](const std::string& name, std::vector<uint16_t> weights, int draws) {
    for (size_t i = 0; i < weights.size(); ++i) {
      const std::string server = name + "-" + std::to_string(i);
      world.AddSrv("_sip._udp." + name, 1, weights[i], 5070, server);
      world.AddAddress(server, "198.51.100." + std::to_string(i + 1));
    }
    world.AddSrv("_sip._udp." + name, 2, 1000, 5070, name + "-0");  // never before all of them
    std::vector<int> counts(weights.size());
    for (int n = 0; n < draws; ++n) {
      alice.Send(
          {.method = "MESSAGE", .uri = "sip:x@" + name, .call_id = name + std::to_string(n)});
      for (size_t i = 0; i < weights.size(); ++i) {
        Phone server(world, "x", "198.51.100." + std::to_string(i + 1) + ":5070");
        if (const Sent sent = server.Take(); !sent.text.empty()) {
          ++counts[i];
          server.Respond(sent, 404);
        }
      }
      if (n % 40 == 39) {
        world.Advance(Duration::Seconds(33));
      }
      world.Clear();
    }
    return counts;
  };
  const auto by_weight = draw("far.example", {1, 3, 0}, 2000);
  EXPECT_NEAR(by_weight[0], 500, 60);
  EXPECT_NEAR(by_weight[1], 1500, 60);
  EXPECT_NEAR(by_weight[2], 8, 7);  // one in 257
  const auto alike = draw("even.example", {0, 0}, 400);
  EXPECT_NEAR(alike[0], 200, 40);
  EXPECT_EQ(alike[0] + alike[1], 400);
}

TEST_F(ProxyTest, FailsOverToTheNextServerAndGivesUpAtTheEnd) {
  world.AddSrv("_sip._udp.far.example", 1, 0, 5070, "one.far.example");
  world.AddSrv("_sip._udp.far.example", 2, 0, 5070, "two.far.example");
  world.AddAddress("one.far.example", "198.51.100.1");
  world.AddAddress("two.far.example", "198.51.100.2");
  world.unreachable["198.51.100.1:5070"] = true;
  alice.Send({.method = "MESSAGE", .uri = "sip:x@far.example"});
  EXPECT_EQ(world.TakeTo(At("198.51.100.2:5070")).Method(), "MESSAGE");
  // Silence there: RFC 4320 says that the client hears nothing.
  world.Advance(Duration::Seconds(33));
  world.Clear();
  // An INVITE goes to the second when the first stays silent, and after a 503.
  world.unreachable.clear();
  Invite("sip:x@far.example");
  EXPECT_EQ(world.TakeTo(At("198.51.100.1:5070")).Method(), "INVITE");
  world.Advance(Duration::Seconds(33));
  Phone second(world, "x", "198.51.100.2:5070");
  const Sent invite = second.Take();
  EXPECT_EQ(invite.Method(), "INVITE");
  world.Clear();
  second.Respond(invite, 503);
  EXPECT_EQ(second.Take().Method(), "ACK");
  EXPECT_EQ(alice.Take().Status(), 500);  // a 503 is not passed on
}

// The answer of a busy one (RFC 7339), which keeps all that is new away for nine seconds.
std::string Busy(Phone& hop, const Sent& request, int percent) {
  constexpr std::string_view kOffer = ";oc;oc-algo=\"loss\"";
  std::string answer = hop.Response(request, 404);
  const size_t at = answer.find(kOffer);
  EXPECT_NE(at, std::string::npos) << request.text;
  return answer.replace(
      at, kOffer.size(),
      ";oc=" + std::to_string(percent) + ";oc-algo=\"loss\";oc-validity=9000;oc-seq=7.5");
}

TEST_F(ProxyTest, NextHopFoundByNameIsSparedWhatItAsks) {
  world.AddSrv("_sip._udp.far.example", 1, 0, 5070, "one.far.example");
  world.AddSrv("_sip._udp.far.example", 2, 0, 5070, "two.far.example");
  world.AddAddress("one.far.example", "198.51.100.1");
  world.AddAddress("two.far.example", "198.51.100.2");
  Phone one(world, "x", "198.51.100.1:5070");
  Phone two(world, "x", "198.51.100.2:5070");
  const auto send = [&](const std::string& call_id, const std::string& to_tag = {}) {
    alice.Send(
        {.method = "MESSAGE", .uri = "sip:x@far.example", .to_tag = to_tag, .call_id = call_id});
  };
  send("one");
  one.Deliver(Busy(one, one.Take(), 100));
  EXPECT_EQ(alice.Take().Status(), 404);
  EXPECT_TRUE(world.HasEvent("throttle   100"));
  // What is new goes to the next of that name; what belongs to a dialog is not kept away.
  send("two");
  EXPECT_TRUE(one.Take().text.empty());
  two.Deliver(Busy(two, two.Take(), 100));
  EXPECT_EQ(alice.Take().Status(), 404);
  send("inside", "tag");
  one.Respond(one.Take(), 481);
  EXPECT_EQ(alice.Take().Status(), 481);
  // All are busy: the sender is told so, until their word is too old.
  send("three");
  EXPECT_EQ(alice.Take().Status(), 503);
  EXPECT_TRUE(one.Take().text.empty() && two.Take().text.empty());
  world.Advance(Duration::Seconds(9));
  send("four");
  one.Respond(one.Take(), 404);
  EXPECT_EQ(alice.Take().Status(), 404);
}

TEST_F(ProxyTest, BusyNextHopsAreAsManyAsTheTableHolds) {
  int spared = 0;
  for (size_t i = 0; i < 2 * kBusyHopMax; ++i) {
    const std::string name = "h" + std::to_string(i) + ".example";
    const std::string address =
        "198.51." + std::to_string(100 + i / 250) + "." + std::to_string(1 + i % 250);
    world.AddAddress(name, address);
    Phone hop(world, "x", address + ":5060");
    for (const bool is_first : {true, false}) {
      alice.Send({.method = "MESSAGE",
                  .uri = "sip:x@" + name + ":5060",
                  .call_id = name + (is_first ? "-1" : "-2")});
      const Sent got = hop.Take();
      if (is_first) {
        hop.Deliver(Busy(hop, got, 100));
      } else {
        spared += got.text.empty() ? 1 : 0;
      }
      alice.Take();
    }
    if (i % 16 == 15) {
      world.Advance(Duration::Seconds(40));  // transactions end
    }
  }
  EXPECT_EQ(spared, static_cast<int>(2 * kBusyHopMax));  // the latest word is always known
}

TEST_F(ProxyTest, NameThatDoesNotExistIs404AndPortMeansAddressesOnly) {
  Invite("sip:x@missing.example");
  EXPECT_EQ(alice.Take().Status(), 100);
  EXPECT_EQ(alice.Take().Status(), 404);
  world.questions.clear();
  world.AddAddress("far.example", "2001:db8::99");
  alice.Send({.method = "MESSAGE", .uri = "sip:x@far.example:5099"});
  EXPECT_EQ(world.questions, (std::vector<std::string>{"far.example", "far.example"}));
  EXPECT_EQ(world.TakeTo(At("[2001:db8::99]:5099")).Method(), "MESSAGE");
}

TEST_F(ProxyTest, AckGoesToANamedContact) {
  world.AddAddress("far.example", "198.51.100.1");
  world.AddAddress("host.far.example", "198.51.100.2");
  Phone far(world, "x", "198.51.100.1:5060");
  Invite("sip:x@far.example");
  alice.Take();
  far.Respond(far.Take(), 200);
  Phone::Spec ack{.method = "ACK", .uri = "sip:x@host.far.example", .to = "sip:x@far.example"};
  ack.to_tag = "tt";
  ack.headers = RouteSet(alice.Take(), true);
  alice.Send(ack);
  const Sent got = world.TakeTo(At("198.51.100.2:5060"));
  EXPECT_EQ(got.StartLine(), "ACK sip:x@host.far.example SIP/2.0");
  EXPECT_NE(got.Headers("Via")[1].find("received=192.0.2.20"), std::string::npos);
}

TEST_F(ProxyTest, BindingsOutliveTheSocketTheyCameOn) {
  desk.Register();
  Config config = World::DefaultConfig();
  config.listener_count = 0;
  config.AddListener(TransportKind::kUdp, At("192.0.2.1:5070"));
  EXPECT_EQ(world.engine().Apply(config), 1u);
  world.Deliver(alice.at(), alice.Build({.method = "MESSAGE", .uri = "sip:bob@example.com"}),
                At("192.0.2.1:5070"));
  EXPECT_EQ(desk.Take().Method(), "MESSAGE");
}

TEST_F(ProxyTest, RoutesAtTheirEdge) {
  std::string routes = "Route: <sip:198.51.100.1;lr>\n";
  for (size_t i = 1; i < kRouteCountMax; ++i) {
    routes += "Route: <sip:r" + std::to_string(i) + ".example;lr>\n";
  }
  Phone::Spec spec{.method = "MESSAGE", .uri = "sip:x@far.example"};
  spec.headers = "Route: <sip:example.com;lr>, <sip:192.0.2.1;lr>\n" + routes;
  alice.Send(spec);
  EXPECT_EQ(alice.Take().Status(), 400);
  spec.headers = "Route: <sip:192.0.2.1;lr>\n" + routes.substr(0, routes.rfind("Route:"));
  spec.call_id = "two";
  alice.Send(spec);
  const Sent sent = world.TakeTo(At("198.51.100.1:5060"));
  EXPECT_EQ(sent.Headers("Route").size(), kRouteCountMax - 1);
  EXPECT_EQ(sent.Header("Route"), "<sip:198.51.100.1;lr>");
}

TEST_F(ProxyTest, CancelWhileTheNameIsSearched) {
  world.hold_network = true;
  Invite("sip:x@far.example");
  EXPECT_EQ(alice.Take().Status(), 100);
  Phone::Spec cancel{.method = "CANCEL", .uri = "sip:x@far.example"};
  cancel.branch = alice.last_branch();
  alice.Send(cancel);
  EXPECT_EQ(alice.Take().Status(), 200);
  EXPECT_EQ(alice.Take().Status(), 487);
  world.hold_network = false;
  world.Settle();
}

TEST_F(ProxyTest, FullResolverIsAFailureNotAWait) {
  world.resolver_full = true;
  Invite("sip:x@far.example");
  EXPECT_EQ(alice.Take().Status(), 100);
  EXPECT_EQ(alice.Take().Status(), 500);
}

// --- Sizes.

TEST_F(ProxyTest, LargeRequestGoesByTcpAndBackToUdpWhenRefused) {
  Phone::Spec spec{.method = "MESSAGE", .uri = "sip:x@198.51.100.1"};
  spec.body = std::string(1300, 'x');
  alice.Send(spec);
  EXPECT_TRUE(world.TakeTo(At("198.51.100.1:5060")).stream.valid());
  world.refusing["198.51.100.2:5060"] = true;
  spec.uri = "sip:x@198.51.100.2";
  spec.call_id = "two";
  alice.Send(spec);
  const Sent sent = world.TakeTo(At("198.51.100.2:5060"));
  EXPECT_EQ(sent.Method(), "MESSAGE");
  EXPECT_FALSE(sent.stream.valid());
}

TEST_F(ProxyTest, LargestMessageIsCarriedAndOneTooLargeIsNot) {
  desk.UseTcp();
  desk.Register();
  Phone sender(world, "alice", "192.0.2.21:40001");
  sender.UseTcp();
  Phone::Spec spec{.method = "MESSAGE", .uri = "sip:bob@example.com"};
  const size_t head = sender.Build(spec).size() + 4;  // of the longer Content-Length
  spec.body = std::string(kMessageBytesMax - head - 400, 'x');
  sender.Send(spec);
  const Sent got = desk.Take();
  EXPECT_EQ(got.Body().size(), spec.body.size());
  desk.Respond(got, 200);
  EXPECT_EQ(sender.Take().Status(), 200);
  spec.body = std::string(kMessageBytesMax, 'x');
  sender.Send(spec);
  EXPECT_FALSE(world.stream(sender.stream()).open);
}

// --- Overload.

TEST_F(ProxyTest, FullPoolsRefuseNewRequestsAndKeepDialogsGoing) {
  desk.Register();
  Invite();
  alice.Take();
  const Sent invite = desk.Take();
  desk.Respond(invite, 200);
  const Sent answer = alice.Take();
  int refused = 0;
  for (int i = 0; i < 120; ++i) {
    Phone::Spec spec{.method = "MESSAGE", .uri = "sip:bob@example.com"};
    spec.call_id = "m" + std::to_string(i);
    alice.Send(spec);
    const Sent sent = alice.Take();
    refused += sent.Status() == 503 ? 1 : 0;
    if (sent.Status() == 503) {
      EXPECT_EQ(sent.Header("Retry-After"), "10");
    }
  }
  EXPECT_GT(refused, 60);
  EXPECT_LT(refused, 120);
  world.Clear();
  Phone::Spec bye{.method = "BYE", .uri = "sip:bob@192.0.2.30:5060", .to = "sip:bob@example.com"};
  bye.to_tag = "tt";
  bye.cseq = 2;
  bye.headers = RouteSet(answer, true);
  alice.Send(bye);
  const Sent got = desk.Take();
  EXPECT_EQ(got.Method(), "BYE");
  desk.Respond(got, 200);
  EXPECT_EQ(alice.Take().Status(), 200);
  EXPECT_TRUE(world.HasEvent("refused overload 503"));
}

TEST_F(ProxyTest, FloodOfStrangersLeavesNothingBehind) {
  Config config = World::DefaultConfig();
  config.authenticate_requests = true;
  config.authenticate_register = true;
  config.unproven_replies_per_s = 100;
  world.engine().Apply(config);
  for (uint32_t i = 0; i < 3000; ++i) {
    Phone::Spec spec{.method = i % 2 ? "INVITE" : "REGISTER", .uri = "sip:bob@example.com"};
    spec.call_id = std::to_string(i);
    const net::Endpoint from{
        net::IpAddress::V4(198, 18, static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i)), 5060};
    world.Deliver(from, alice.Build(spec));
    world.Clear();
  }
  EXPECT_EQ(world.Busy(), "");
}

}  // namespace
}  // namespace gh::sip::test
