// Limits of limits.h at their edges, where no other test of this folder meets them: by the wire,
// as a sender would find out.
#include <gtest/gtest.h>

#include "firmware/sip/registration_ways.h"
#include "tests/unit/sip/phone.h"

namespace gh::sip::test {
namespace {

class SipLimits : public testing::Test {
 protected:
  explicit SipLimits(const Config& config = World::DefaultConfig()) : world(config) {}
  void TearDown() override {
    world.Advance(Duration::Seconds(300));
    world.Clear();
    EXPECT_EQ(world.Busy(), "");
  }
  // What an OPTIONS of that shape is answered; 0: nothing.
  int Ask(const Phone::Spec& spec) {
    alice.Send(spec);
    const Sent sent = alice.Take();
    return sent.text.empty() ? 0 : sent.Status();
  }
  static std::string Name(size_t i) { return "h" + std::to_string(i) + ".example"; }
  static net::Endpoint Place(size_t i) { return At("198.51.100." + std::to_string(i + 1)); }

  World world;
  Phone alice{world, "alice", "192.0.2.20:5060"};
};

TEST_F(SipLimits, NamesOfOneMessage) {
  const auto options = [](auto change) {
    Phone::Spec spec{.method = "OPTIONS", .uri = "sip:192.0.2.1"};
    change(spec);
    return spec;
  };
  const auto edge = [&](size_t size, auto put) {
    EXPECT_EQ(Ask(options([&](Phone::Spec& s) { put(s, std::string(size, 'x')); })), 200) << size;
    EXPECT_EQ(Ask(options([&](Phone::Spec& s) { put(s, std::string(size + 1, 'x')); })), 400)
        << size;
  };
  edge(kTagBytesMax, [](Phone::Spec& s, const std::string& text) { s.from_tag = text; });
  edge(kTagBytesMax, [](Phone::Spec& s, const std::string& text) { s.to_tag = text; });
  edge(kCallIdBytesMax, [](Phone::Spec& s, const std::string& text) { s.call_id = text; });
  edge(kBranchBytesMax - 7,
       [](Phone::Spec& s, const std::string& text) { s.branch = "z9hG4bK" + text; });
  // A method beyond its size is no SIP: nothing is said.
  Phone::Spec longest{.method = std::string(kMethodBytesMax, 'M'), .uri = "sip:192.0.2.1"};
  EXPECT_EQ(Ask(longest), 405);
  longest.method += 'M';
  EXPECT_EQ(Ask(longest), 0);
}

TEST_F(SipLimits, NumbersOfOneMessage) {
  const auto ask = [&](const std::string& from, const std::string& to) {
    std::string text = alice.Build({.method = "OPTIONS", .uri = "sip:192.0.2.1"});
    text.replace(text.find(from), from.size(), to);
    alice.Deliver(text);
    return alice.Take().Status();
  };
  EXPECT_EQ(ask("CSeq: 1 ", "CSeq: " + std::to_string(kCseqMax) + " "), 200);
  EXPECT_EQ(ask("CSeq: 1 ", "CSeq: " + std::to_string(int64_t{kCseqMax} + 1) + " "), 400);
  EXPECT_EQ(ask("Max-Forwards: 70", "Max-Forwards: " + std::to_string(kMaxForwardsMax)), 200);
  EXPECT_EQ(ask("Max-Forwards: 70", "Max-Forwards: " + std::to_string(kMaxForwardsMax + 1)), 400);
  // A number of seconds that no clock has is the longest there is (RFC 3261 20.19), then ours.
  alice.Register(3600, 1, {}, "<sip:a@192.0.2.20>;expires=" + std::to_string(~uint64_t{0}));
  EXPECT_EQ(alice.Register(3600, 2, {}, "<sip:a@192.0.2.20>;expires=" + std::to_string(kExpiresMax))
                .Header("Contact"),
            "<sip:a@192.0.2.20>;expires=3600");
}

TEST_F(SipLimits, WhatIsNotSaidIsTheRfcsDefault) {
  Phone bob(world, "bob", "192.0.2.30:5060");
  ASSERT_EQ(bob.Register().Status(), 200);
  std::string text = alice.Build({.method = "MESSAGE", .uri = bob.uri()});
  const std::string line = "Max-Forwards: 70\r\n";
  text.erase(text.find(line), line.size());
  alice.Deliver(text);
  const Sent got = bob.Take();
  EXPECT_EQ(got.Header("Max-Forwards"), std::to_string(kMaxForwardsDefault));
  bob.Respond(got, 200);
  // Two branches share the breadth; a larger one than the default is cut down to it.
  ASSERT_EQ(bob.Register(3600, 2, {}, "<sip:bob@192.0.2.30>, <sip:bob@192.0.2.31>").Status(), 200);
  for (const std::string more : {"", "Max-Breadth: 1000\n"}) {
    Phone::Spec spec{.method = "INVITE", .uri = bob.uri(), .call_id = "wide" + more.substr(0, 3)};
    spec.headers = more;
    alice.Send(spec);
    for (Sent invite = bob.Take(); invite.Method() == "INVITE"; invite = bob.Take()) {
      if (!invite.Headers("Max-Breadth").empty()) {
        EXPECT_LE(std::stoul(invite.Header("Max-Breadth")), kMaxBreadthDefault / 2);
      }
      bob.Respond(invite, 486);
    }
  }
}

TEST_F(SipLimits, WhereUdpEnds) {
  const auto sent = [&](size_t body) {
    Phone::Spec spec{.method = "MESSAGE", .uri = "sip:x@198.51.100.1"};
    spec.call_id = "udp" + std::to_string(body);
    spec.body = std::string(body, 'x');
    alice.Send(spec);
    return world.TakeTo(At("198.51.100.1:5060"));
  };
  const size_t around = sent(500).text.size() - 500;
  const Sent last = sent(kUdpSwitchBytes - around);
  EXPECT_EQ(last.text.size(), kUdpSwitchBytes);
  EXPECT_FALSE(last.stream.valid());
  EXPECT_TRUE(sent(kUdpSwitchBytes - around + 1).stream.valid());
}

// Of addresses that share a place in the table one uses up what the other might have had.
TEST_F(SipLimits, MoreSourcesThanTheRateTableHas) {
  Config config = World::DefaultConfig();
  config.authenticate_register = true;
  config.unproven_replies_per_s = 1;
  config.unproven_replies_burst = 1;
  world.engine().Apply(config);
  size_t answered = 0;
  for (size_t i = 0; i <= kRateTableSize; ++i) {
    Phone one(world, "alice",
              "10.1." + std::to_string(i / 256) + "." + std::to_string(i % 256) + ":5060");
    one.Send({.method = "REGISTER", .uri = "sip:example.com"});
    answered += one.Take().text.empty() ? 0 : 1;
  }
  EXPECT_LE(answered, kRateTableSize);
  EXPECT_GT(answered, kRateTableSize / 2);
  EXPECT_EQ(world.engine().statistics().rate_limited, kRateTableSize + 1 - answered);
}

TEST(RegistrationWaysTest, WhatCollidesIsForgottenAndNothingElse) {
  std::vector<uint8_t> memory(1 << 20);
  Arena arena(memory);
  RegistrationWays ways(arena);
  const auto key = [](size_t i) { return uint64_t{2 * i + 1}; };
  for (size_t i = 0; i <= kRegistrationWayMax; ++i) {
    ways.Learn({.key = key(i), .plan = 1, .zone = static_cast<uint16_t>(i)});
  }
  EXPECT_EQ(ways.Find(key(0), 1), nullptr);  // its place is the last one's
  for (size_t i = 1; i <= kRegistrationWayMax; ++i) {
    ASSERT_NE(ways.Find(key(i), 1), nullptr) << i;
    EXPECT_EQ(ways.Find(key(i), 1)->zone, i);
    EXPECT_EQ(ways.Find(key(i), 2), nullptr);  // of another dial plan
  }
}

TEST_F(SipLimits, ContactsOfOneRegister) {
  Config config = World::DefaultConfig();
  config.contacts_per_user_max = kContactPerRegisterMax;
  world.engine().Apply(config);
  std::string contacts;
  for (size_t i = 0; i < kContactPerRegisterMax; ++i) {
    contacts += (i == 0 ? "" : ", ") + std::string("<sip:bob@") + Name(i) + ">";
  }
  EXPECT_EQ(alice.Register(3600, 1, {}, contacts + ", <sip:bob@one.more>").Status(), 403);
  EXPECT_EQ(world.engine().registration_count(), 0u);
  EXPECT_EQ(alice.Register(3600, 2, {}, contacts).Status(), 200);
  EXPECT_EQ(world.engine().registration_count(), kContactPerRegisterMax);
}

TEST_F(SipLimits, TargetsOfOneRequest) {
  Config config = World::DefaultConfig();
  config.contacts_per_user_max = kContactPerRegisterMax;
  world.engine().Apply(config);
  std::string contacts;
  for (size_t i = 0; i <= kTargetMax; ++i) {
    contacts += (i == 0 ? "<sip:bob@" : ", <sip:bob@") + World::Key(Place(i)) + ">";
  }
  Phone bob(world, "bob", World::Key(Place(0)));
  ASSERT_EQ(bob.Register(3600, 1, {}, contacts).Status(), 200);
  alice.Send({.method = "INVITE", .uri = bob.uri()});
  size_t rung = 0;
  std::vector<Sent> invites;
  // All go where the registration came from, as behind a NAT.
  for (Sent invite = bob.Take(); invite.Method() == "INVITE"; invite = bob.Take()) {
    ++rung;
    invites.push_back(invite);
  }
  for (const Sent& invite : invites) {
    bob.Respond(invite, 486);
    EXPECT_EQ(bob.Take().Method(), "ACK");
  }
  EXPECT_EQ(rung, kTargetMax);
  EXPECT_EQ(alice.Take().Status(), 100);
  EXPECT_EQ(alice.Take().Status(), 486);
}

// How many servers are asked when each says 503, of more than are looked at.
size_t Asked(World& world, Phone& alice, const std::string& uri) {
  alice.Send({.method = "MESSAGE", .uri = uri});
  size_t asked = 0;
  while (alice.Take().text.empty() && asked < 100) {
    const Sent sent = world.Take();
    EXPECT_EQ(sent.Method(), "MESSAGE");
    Phone hop(world, "x", World::Key(sent.to));
    ++asked;
    hop.Respond(sent, 503);
  }
  return asked;
}

TEST_F(SipLimits, AddressesOfOneName) {
  for (size_t i = 0; i <= kEndpointMax; ++i) {
    world.AddAddress("far.example", World::Key(Place(i)).substr(0, World::Key(Place(i)).find(':')));
  }
  EXPECT_EQ(Asked(world, alice, "sip:x@far.example:5060"), kEndpointMax);
}

TEST_F(SipLimits, ServersOfOneName) {
  for (size_t i = 0; i <= kSrvRecordMax; ++i) {
    world.AddSrv("_sip._udp.far.example", 1, 0, 5060, Name(i));
    world.AddAddress(Name(i), World::Key(Place(i)).substr(0, World::Key(Place(i)).find(':')));
  }
  EXPECT_EQ(Asked(world, alice, "sip:x@far.example"), kSrvRecordMax);
}

TEST_F(SipLimits, KeepAlivesOfOneRead) {
  const net::StreamId stream = world.Accept(At("192.0.2.50:40000"));
  std::string pings;
  for (size_t i = 0; i < kKeepAlivePerTurnMax + 3; ++i) {
    pings += "\r\n\r\n";
  }
  world.Feed(stream, pings);
  EXPECT_EQ(world.count(), kKeepAlivePerTurnMax);
  EXPECT_EQ(world.engine().stream_count(), 1u);  // it is not closed for that
  world.Feed(stream, "\r\n\r\n");
  EXPECT_EQ(world.count(), kKeepAlivePerTurnMax + 1);
}

TEST_F(SipLimits, WhatAConfigurationHolds) {
  Config config;
  const auto fill = [](size_t most, auto add) {
    for (size_t i = 0; i < most; ++i) {
      EXPECT_TRUE(add(i)) << i;
    }
    EXPECT_FALSE(add(most));
  };
  fill(kDomainMax, [&](size_t i) { return config.AddDomain(Name(i)); });
  fill(kListenerMax, [&](size_t i) { return config.AddListener(TransportKind::kUdp, Place(i)); });
  fill(kOriginMax, [&](size_t i) { return config.AddOrigin("https://" + Name(i)); });
  fill(kEmergencyMax, [&](size_t i) { return config.AddEmergency(std::to_string(110 + i)); });
  Config sizes;
  EXPECT_FALSE(sizes.AddDomain(std::string(kDomainBytesMax + 1, 'd')));
  EXPECT_TRUE(sizes.AddDomain(std::string(kDomainBytesMax, 'd')));
  EXPECT_FALSE(sizes.AddOrigin(std::string(kDomainBytesMax + 1, 'o')));
  EXPECT_TRUE(sizes.AddOrigin(std::string(kDomainBytesMax, 'o')));
  EXPECT_FALSE(sizes.AddEmergency(std::string(kEmergencyBytesMax + 1, '1')));
  EXPECT_FALSE(sizes.AddEmergency("1", std::string(kServiceUrnBytesMax + 1, 's')));
  EXPECT_TRUE(sizes.AddEmergency(std::string(kEmergencyBytesMax, '1'),
                                 std::string(kServiceUrnBytesMax, 's')));
}

class SipLimitsOfDigest : public SipLimits {
 protected:
  static Config WithAuth() {
    Config config = World::DefaultConfig();
    config.authenticate_register = true;
    return config;
  }
  SipLimitsOfDigest() : SipLimits(WithAuth()) {}
  Sent Register(int cseq, const std::string& headers) {
    Phone::Spec spec{.method = "REGISTER", .uri = "sip:example.com", .to = alice.uri()};
    spec.cseq = cseq;
    spec.headers = headers;
    alice.Send(spec);
    return alice.Take();
  }
};

TEST_F(SipLimitsOfDigest, CredentialsOfOneRequest) {
  const auto with = [&](size_t others, int cseq) {
    const Sent challenge = Register(cseq, {});
    std::string headers;
    for (size_t i = 0; i < others; ++i) {
      headers +=
          "Authorization: Digest username=\"alice\", realm=\"other\", nonce=\"n\", uri=\"u\","
          " response=\"r\"\n";
    }
    headers += alice.Authorization(challenge, "REGISTER", "sip:example.com", "wonderland");
    return Register(cseq + 1, headers).Status();
  };
  EXPECT_EQ(with(kCredentialCountMax, 1), 401);
  EXPECT_EQ(with(kCredentialCountMax - 1, 3), 200);
}

// A nonce whose place in the table newer ones took is stale: the phone is asked again, and gets in.
TEST_F(SipLimitsOfDigest, ANonceThatWasPushedOutIsStaleAndTheNextGetsIn) {
  const Sent first = Register(1, {});
  const auto by_first = [&](int count, int cseq) {
    return Register(cseq, alice.Authorization(first, "REGISTER", "sip:example.com", "wonderland",
                                              kSha256, count));
  };
  ASSERT_EQ(by_first(1, 2).Status(), 200);
  Phone bob(world, "bob", "192.0.2.30:5060");
  Sent answer;
  int count = 1;
  for (size_t others = 0; answer.Status() != 401 && others < 40 * kNonceTableSize;) {
    for (size_t i = 0; i < kNonceTableSize / 8; ++i, ++others) {
      ASSERT_EQ(
          bob.RegisterWithPassword("builder", kSha256, static_cast<int>(2 * others + 1)).Status(),
          200);
    }
    ++count;
    answer = by_first(count, count + 1);
    ASSERT_TRUE(answer.Status() == 200 || answer.Status() == 401);
  }
  ASSERT_EQ(answer.Status(), 401);
  const std::string challenge = answer.Headers("WWW-Authenticate")[0];
  EXPECT_NE(challenge.find("stale=true"), std::string::npos) << challenge;
  EXPECT_EQ(world.guesses, 0u);
  EXPECT_EQ(
      Register(count + 2, alice.Authorization(answer, "REGISTER", "sip:example.com", "wonderland"))
          .Status(),
      200);
}

}  // namespace
}  // namespace gh::sip::test
