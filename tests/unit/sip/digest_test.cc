// Digest: the examples of RFC 7616 and RFC 2617, then the engine's challenges.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/sip/phone.h"

namespace gh::sip::test {
namespace {

std::string ResponseOf(DigestAlgorithm algorithm, const char* user, const char* realm,
                       const char* password, const char* method, const DigestCredentials& c) {
  char out[64];
  const size_t size = ComputeDigestResponse(algorithm, ComputeHa1(algorithm, user, realm, password),
                                            method, c, out);
  return {out, size};
}

TEST(Digest, Rfc7616Section391) {
  DigestCredentials c;
  c.uri = "/dir/index.html";
  c.nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
  c.cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
  c.nc = "00000001";
  c.qop = "auth";
  EXPECT_EQ(ResponseOf(DigestAlgorithm::kMd5, "Mufasa", "http-auth@example.org", "Circle of Life",
                       "GET", c),
            "8ca523f5e9506fed4657c9700eebdbec");
  EXPECT_EQ(ResponseOf(DigestAlgorithm::kSha256, "Mufasa", "http-auth@example.org",
                       "Circle of Life", "GET", c),
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1");
}

// As erratum 4897 has it: the RFC's own figures are those of a draft of SHA-512/256. The second one
// is of a REGISTER, computed by others' tools.
TEST(Digest, Rfc7616Section392) {
  DigestCredentials c;
  c.uri = "/doe.json";
  c.nonce = "5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK";
  c.cnonce = "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v";
  c.nc = "00000001";
  c.qop = "auth";
  EXPECT_EQ(ResponseOf(DigestAlgorithm::kSha512_256, "J\xc3\xa4s\xc3\xb8n Doe", "api@example.org",
                       "Secret, or not?", "GET", c),
            "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5");
  c.uri = "sip:testrealm@host.com";
  EXPECT_EQ(ResponseOf(DigestAlgorithm::kSha512_256, "Jason Doe", "testrealm@host.com",
                       "Secret, or not?", "REGISTER", c),
            "3a9447d97abbaa1ecb0b0b2715fc7430b7c610a9953b67057dbe9bb6400c611b");
}

TEST(Digest, AlgorithmsByTheirNames) {
  EXPECT_EQ(DigestAlgorithmOf(""), kMd5);
  for (const auto algorithm : {kMd5, kSha256, kSha512_256}) {
    EXPECT_EQ(DigestAlgorithmOf(DigestAlgorithmName(algorithm)), algorithm);
  }
  EXPECT_EQ(DigestAlgorithmOf("sha-512-256"), kSha512_256);
  for (const char* other : {"MD5-sess", "SHA-256-sess", "SHA-512-256-sess", "SHA-512", "SHA"}) {
    EXPECT_FALSE(DigestAlgorithmOf(other)) << other;
  }
}

std::string AnswerTo(const std::string& challenge) {
  const auto asked = ParseDigestCredentials(challenge);
  uint8_t bytes[600];
  ByteWriter out(bytes);
  const bool met = asked.ok() && WriteDigestAnswer(out, *asked,
                                                   {"Mufasa", "Circle of Life", "GET",
                                                    "/dir/index.html", "0a4f113b"});
  return met ? std::string(out.text()) : "";
}

TEST(Digest, AnAnswerSpeaksAsItWasAsked) {
  const std::string asked = "Digest realm=\"r\", nonce=\"n\"";
  const std::string plain = AnswerTo(asked);
  EXPECT_EQ(plain.find("qop"), plain.npos) << plain;  // RFC 2069
  EXPECT_EQ(plain.find("cnonce"), plain.npos);
  EXPECT_NE(plain.find("algorithm=MD5"), plain.npos);
  const std::string whole =
      AnswerTo(asked + ", opaque=\"o\", qop=\"auth-int,auth\", algorithm=SHA-512-256");
  for (const char* part : {"qop=auth,", "nc=00000001", "cnonce=\"0a4f113b\"", "opaque=\"o\"",
                           "algorithm=SHA-512-256\r\n"}) {
    EXPECT_NE(whole.find(part), whole.npos) << part << whole;
  }
  EXPECT_EQ(AnswerTo(asked + ", qop=\"auth-int\""), "");
  EXPECT_EQ(AnswerTo(asked + ", algorithm=SHA-512-256-sess, qop=\"auth\""), "");
  EXPECT_EQ(AnswerTo(asked + ", opaque=\"a\\\"b\""), "");  // we would have to take it apart
}

TEST(Digest, Rfc2617WithAndWithoutQop) {
  DigestCredentials c;
  c.uri = "/dir/index.html";
  c.nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093";
  c.cnonce = "0a4f113b";
  c.nc = "00000001";
  c.qop = "auth";
  EXPECT_EQ(
      ResponseOf(DigestAlgorithm::kMd5, "Mufasa", "testrealm@host.com", "Circle Of Life", "GET", c),
      "6629fae49393a05397450978507c4ef1");
  c.qop = {};
  EXPECT_EQ(
      ResponseOf(DigestAlgorithm::kMd5, "Mufasa", "testrealm@host.com", "Circle Of Life", "GET", c),
      "670fd8c2df070c60b045671b8b24ff02");
}

TEST(Digest, CredentialsParse) {
  const auto c = ParseDigestCredentials(
      "Digest username=\"bob\",realm = \"a, b\" , nonce=abc, uri=\"sip:x;y=\\\"\", qop=auth,"
      "nc=00000001,cnonce=\"\",response=\"r\", algorithm=SHA-256, unknown=\"z\"");
  ASSERT_TRUE(c.ok());
  EXPECT_EQ(c->user, "bob");
  EXPECT_EQ(c->realm, "a, b");
  EXPECT_EQ(c->nonce, "abc");
  EXPECT_EQ(c->nc, "00000001");
  EXPECT_TRUE(c->escaped);
  EXPECT_EQ(ParseDigestCredentials("Basic abc=").code(), ErrorCode::kUnsupported);
  for (const char* bad : {"Digest username", "Digest username=\"x", "Digest a=b c=d",
                          "Digest nonce=a, nonce=b", "Digest =b"}) {
    EXPECT_EQ(ParseDigestCredentials(bad).code(), ErrorCode::kMalformed) << bad;
  }
  const std::string big(kCredentialFieldMax + 1, 'x');
  EXPECT_EQ(ParseDigestCredentials("Digest nonce=\"" + big + "\"").code(), ErrorCode::kTooLarge);
}

class Challenged : public testing::Test {
 protected:
  static Config WithAuth() {
    Config config = World::DefaultConfig();
    config.authenticate_register = true;
    config.authenticate_requests = true;
    return config;
  }
  World world{WithAuth()};
  Phone alice{world, "alice", "192.0.2.20:5060"};
  Phone bob{world, "bob", "192.0.2.30:5060"};

  Sent Challenge() {
    alice.Send(Spec(1));
    return alice.Take();
  }
  Phone::Spec Spec(int cseq) {
    Phone::Spec spec{.method = "REGISTER", .uri = "sip:example.com", .to = alice.uri()};
    spec.cseq = cseq;
    return spec;
  }
  Sent With(const std::string& authorization, int cseq) {
    Phone::Spec spec = Spec(cseq);
    spec.headers = authorization;
    alice.Send(spec);
    return alice.Take();
  }
};

TEST_F(Challenged, TwoChallengesSha256First) {
  const Sent sent = Challenge();
  EXPECT_EQ(sent.Status(), 401);
  const auto challenges = sent.Headers("WWW-Authenticate");
  ASSERT_EQ(challenges.size(), 2u);
  EXPECT_EQ(ParamOf(challenges[0], "algorithm"), "SHA-256");
  EXPECT_EQ(ParamOf(challenges[1], "algorithm"), "MD5");
  EXPECT_EQ(ParamOf(challenges[0], "realm"), "example.com");
  EXPECT_EQ(ParamOf(challenges[0], "qop"), "auth");
  EXPECT_NE(ParamOf(challenges[0], "nonce"), ParamOf(challenges[1], "nonce"));
  EXPECT_EQ(world.Busy(), "");  // nothing is kept for one who proved nothing
}

TEST_F(Challenged, RightPasswordByEitherAlgorithm) {
  EXPECT_EQ(alice.RegisterWithPassword("wonderland", kSha256).Status(), 200);
  EXPECT_EQ(alice.RegisterWithPassword("wonderland", kMd5, 3).Status(), 200);
  EXPECT_EQ(world.engine().registration_count(), 1u);
}

TEST_F(Challenged, PolicyDecidesWhatIsOfferedAndTaken) {
  Config config = WithAuth();
  config.digest = DigestPolicy::kMd5Only;
  world.engine().Apply(config);
  const Sent sent = Challenge();
  EXPECT_EQ(sent.Headers("WWW-Authenticate").size(), 1u);
  EXPECT_EQ(With(alice.Authorization(sent, "REGISTER", "sip:example.com", "wonderland", kMd5), 2)
                .Status(),
            200);
  config.digest = DigestPolicy::kSha256Only;
  world.engine().Apply(config);
  EXPECT_EQ(With(alice.Authorization(sent, "REGISTER", "sip:example.com", "wonderland", kMd5, 2), 3)
                .Status(),
            401);
}

// Beside a password that is good another's is tried: it counts as a guess, and nobody is let in.
TEST_F(Challenged, AGuessBesideGoodCredentialsIsAGuess) {
  for (const bool is_first : {true, false}) {
    const Sent sent = Challenge();
    const std::string good = alice.Authorization(sent, "REGISTER", "sip:example.com", "wonderland");
    const std::string guess = bob.Authorization(sent, "REGISTER", "sip:example.com", "guessed");
    world.guesses = 0;
    EXPECT_EQ(With(is_first ? guess + good : good + guess, 2).Status(), 401);
    EXPECT_EQ(world.guesses, 1u);
  }
}

TEST_F(Challenged, EachPolicyOffersAndTakesItsOwn) {
  using Names = std::vector<std::string>;
  struct {
    DigestPolicy policy;
    Names offered;
  } const kCases[] = {
      {DigestPolicy::kAll, {"SHA-512-256", "SHA-256", "MD5"}},
      {DigestPolicy::kSha2, {"SHA-512-256", "SHA-256"}},
      {DigestPolicy::kSha512_256Only, {"SHA-512-256"}},
      {DigestPolicy::kSha256AndMd5, {"SHA-256", "MD5"}},
      {DigestPolicy::kSha256Only, {"SHA-256"}},
      {DigestPolicy::kMd5Only, {"MD5"}},
  };
  int cseq = 1;
  for (const auto& one : kCases) {
    Config config = WithAuth();
    config.digest = one.policy;
    world.engine().Apply(config);
    alice.Send(Spec(cseq++));
    const Sent challenge = alice.Take();
    Names offered;
    for (const auto& value : challenge.Headers("WWW-Authenticate")) {
      offered.push_back(ParamOf(value, "algorithm"));
    }
    EXPECT_EQ(offered, one.offered);
    for (const auto algorithm : {kSha512_256, kSha256, kMd5}) {
      const std::string name(DigestAlgorithmName(algorithm));
      const bool is_offered = std::ranges::find(offered, name) != offered.end();
      const auto made =
          alice.MakeAuthorization(false, challenge.Headers("WWW-Authenticate")[0], "REGISTER",
                                  "sip:example.com", "wonderland", algorithm, cseq);
      EXPECT_EQ(With(made, cseq++).Status(), is_offered ? 200 : 401) << name;
    }
  }
}

TEST_F(Challenged, SessionVariantsAndIntegrityAreNotTaken) {
  Config config = WithAuth();
  config.digest = DigestPolicy::kAll;
  world.engine().Apply(config);
  const Sent sent = Challenge();
  const std::string good =
      alice.Authorization(sent, "REGISTER", "sip:example.com", "wonderland", kSha512_256);
  const auto changed = [&](const char* from, const char* to) {
    std::string text = good;
    text.replace(text.find(from), std::string(from).size(), to);
    return text;
  };
  EXPECT_EQ(With(changed("SHA-512-256", "SHA-512-256-sess"), 2).Status(), 401);
  EXPECT_EQ(With(changed("qop=auth", "qop=auth-int"), 3).Status(), 401);
  EXPECT_EQ(With(changed("SHA-512-256", "MD5"), 4).Status(), 401);
  EXPECT_EQ(With(changed("nc=00000001", "nc=0000001"), 5).Status(), 401);
  EXPECT_EQ(With(changed("nc=00000001", "nc=00000000"), 6).Status(), 401);
  EXPECT_EQ(With(changed("cnonce=\"0a4f113b\"", "cnonce=\"\""), 7).Status(), 401);
  EXPECT_EQ(With(good, 8).Status(), 200);
}

// Passwords that were stored before have no digest by SHA-512-256.
TEST_F(Challenged, WhoHasNoSha512DigestIsAskedByTheOthers) {
  Config config = WithAuth();
  config.digest = DigestPolicy::kAll;
  config.digest_is_partial = true;
  world.engine().Apply(config);
  world.old_users = {"bob"};
  const auto offers = [&](Phone& phone, int cseq) {
    Phone::Spec spec{.method = "REGISTER", .uri = "sip:example.com", .to = phone.uri()};
    spec.cseq = cseq;
    phone.Send(spec);
    return phone.Take().Headers("WWW-Authenticate").size();
  };
  EXPECT_EQ(offers(alice, 1), 3u);
  EXPECT_EQ(offers(bob, 1), 2u);
  EXPECT_EQ(bob.RegisterWithPassword("builder", kSha256, 10).Status(), 200);
  EXPECT_EQ(alice.RegisterWithPassword("wonderland", kSha512_256, 10).Status(), 200);
  // Names that nobody has look like either, and always like the same.
  int like_new = 0;
  for (int i = 0; i < 64; ++i) {
    const std::string n = std::to_string(i);
    Phone nobody(world, "nobody" + n, "192.0.3." + n + ":5060");
    const size_t first = offers(nobody, 1);
    EXPECT_EQ(offers(nobody, 2), first);
    like_new += first == 3 ? 1 : 0;
  }
  EXPECT_GT(like_new, 8);
  EXPECT_LT(like_new, 56);
}

// A phone whose From is another name than its user's was offered it: it did not guess.
TEST_F(Challenged, TheWrongAlgorithmOfAnOldUserIsNoGuess) {
  Config config = WithAuth();
  config.digest = DigestPolicy::kAll;
  config.digest_is_partial = true;
  world.engine().Apply(config);
  const Sent sent = Challenge();
  world.old_users = {"alice"};
  const uint32_t guesses = world.guesses;
  const Sent again =
      With(alice.Authorization(sent, "REGISTER", "sip:example.com", "wonderland", kSha512_256), 2);
  EXPECT_EQ(again.Status(), 401);
  EXPECT_EQ(again.Headers("WWW-Authenticate").size(), 2u);
  EXPECT_EQ(world.guesses, guesses);
  EXPECT_EQ(With(alice.Authorization(again, "REGISTER", "sip:example.com", "wrong"), 3).Status(),
            401);
  EXPECT_EQ(world.guesses, guesses + 1);
}

TEST_F(Challenged, ThreeChallengesOfTheLongestRealmFit) {
  Config config = WithAuth();
  config.digest = DigestPolicy::kAll;
  config.realm.Set(std::string(kDomainBytesMax, 'r'));
  world.engine().Apply(config);
  const auto challenges = Challenge().Headers("WWW-Authenticate");
  ASSERT_EQ(challenges.size(), 3u);
  EXPECT_EQ(ParamOf(challenges[2], "algorithm"), "MD5");
}

TEST_F(Challenged, WrongPasswordUserMethodOrUri) {
  const Sent sent = Challenge();
  const auto make = [&](const char* method, const char* uri, const char* password) {
    return alice.Authorization(sent, method, uri, password);
  };
  EXPECT_EQ(With(make("REGISTER", "sip:example.com", "wrong"), 2).Status(), 401);
  EXPECT_EQ(With(make("INVITE", "sip:example.com", "wonderland"), 3).Status(), 401);
  EXPECT_EQ(With(make("REGISTER", "sip:example.org", "wonderland"), 4).Status(), 401);
  EXPECT_TRUE(world.HasEvent("refused bad-credentials 401"));
  Phone eve(world, "eve", "192.0.2.66:5060");
  EXPECT_EQ(eve.RegisterWithPassword("wonderland").Status(), 401);
  EXPECT_EQ(world.engine().registration_count(), 0u);
}

TEST_F(Challenged, AnotherUsersAddressIsForbidden) {
  Phone::Spec spec = Spec(1);
  spec.to = "sip:bob@example.com";
  const Sent sent = Challenge();
  spec.headers = alice.Authorization(sent, "REGISTER", "sip:example.com", "wonderland");
  spec.cseq = 2;
  alice.Send(spec);
  EXPECT_EQ(alice.Take().Status(), 403);
  EXPECT_TRUE(world.HasEvent("refused forbidden-sender 403"));
}

TEST_F(Challenged, NonceCountsAreTakenOnceAndInAWindow) {
  const Sent sent = Challenge();
  const auto with_count = [&](int nc, int cseq) {
    return With(alice.Authorization(sent, "REGISTER", "sip:example.com", "wonderland", kSha256, nc),
                cseq);
  };
  EXPECT_EQ(with_count(1, 2).Status(), 200);
  const Sent replay = with_count(1, 3);
  EXPECT_EQ(replay.Status(), 401);
  EXPECT_EQ(replay.Header("WWW-Authenticate").find("stale=true") == std::string::npos, false);
  EXPECT_EQ(with_count(100, 4).Status(), 200);
  EXPECT_EQ(with_count(99, 5).Status(), 200);  // late, but new
  EXPECT_EQ(with_count(99, 6).Status(), 401);
  const int oldest = 101 - static_cast<int>(kNonceWindow);
  EXPECT_EQ(with_count(oldest, 7).Status(), 200);
  EXPECT_EQ(with_count(oldest - 1, 8).Status(), 401);
  EXPECT_TRUE(world.HasEvent("refused stale-nonce 401"));
}

TEST_F(Challenged, NoncesAgeAndBelongToOneAddress) {
  const Sent sent = Challenge();
  const std::string right = alice.Authorization(sent, "REGISTER", "sip:example.com", "wonderland");
  Phone elsewhere(world, "alice", "192.0.2.99:5060");
  Phone::Spec spec = Spec(2);
  spec.headers = right;
  elsewhere.Send(spec);
  const Sent moved = elsewhere.Take();
  EXPECT_EQ(moved.Status(), 401);
  EXPECT_NE(moved.text.find("stale=true"), std::string::npos);
  world.Advance(Duration::Seconds(302));
  const Sent old = With(right, 3);
  EXPECT_EQ(old.Status(), 401);
  EXPECT_NE(old.text.find("stale=true"), std::string::npos);
}

TEST_F(Challenged, ForgedNonceIsStaleAtMost) {
  const Sent sent = Challenge();
  std::string challenge = sent.Headers("WWW-Authenticate")[0];
  const size_t at = challenge.find("nonce=\"") + 7;
  challenge[at + 39] = challenge[at + 39] == '0' ? '1' : '0';
  const auto made = alice.MakeAuthorization(false, challenge, "REGISTER", "sip:example.com",
                                            "wonderland", kSha256, 1);
  EXPECT_EQ(With(made, 2).Status(), 401);
}

TEST_F(Challenged, RequestsAreChallengedWith407AndCredentialsStayHere) {
  bob.RegisterWithPassword("builder");
  Phone::Spec spec{.method = "INVITE", .uri = bob.uri()};
  alice.Send(spec);
  const Sent challenge = alice.Take();
  ASSERT_EQ(challenge.Status(), 407);
  ASSERT_EQ(challenge.Headers("Proxy-Authenticate").size(), 2u);
  // Its ACK ends here.
  Phone::Spec ack = spec;
  ack.method = "ACK";
  ack.branch = alice.last_branch();
  ack.to_tag = ParamOf(challenge.Header("To"), "tag");
  alice.Send(ack);
  EXPECT_TRUE(world.empty());
  spec.cseq = 2;
  spec.headers = alice.Authorization(challenge, "INVITE", bob.uri(), "wonderland") +
                 "Proxy-Authorization: Digest username=\"x\", realm=\"elsewhere\", nonce=\"n\", "
                 "uri=\"sip:x\", response=\"r\"\n";
  alice.Send(spec);
  EXPECT_EQ(alice.Take().Status(), 100);
  const Sent got = bob.Take();
  ASSERT_EQ(got.Method(), "INVITE");
  ASSERT_EQ(got.Headers("Proxy-Authorization").size(), 1u);
  EXPECT_NE(got.Header("Proxy-Authorization").find("elsewhere"), std::string::npos);
  bob.Respond(got, 486);
  world.Advance(Duration::Seconds(60));
  EXPECT_EQ(world.Busy(), "");
}

TEST_F(Challenged, SenderMustBeTheOneWhoHasThePassword) {
  bob.RegisterWithPassword("builder");
  Phone::Spec spec{.method = "MESSAGE", .uri = bob.uri(), .from = "sip:carol@example.com"};
  alice.Send(spec);
  spec.headers = alice.Authorization(alice.Take(), "MESSAGE", bob.uri(), "wonderland");
  spec.cseq = 2;
  alice.Send(spec);
  EXPECT_EQ(alice.Take().Status(), 403);
  // RFC 3323 anonymity is no lie.
  spec.from = "sip:anonymous@anonymous.invalid";
  spec.headers.clear();
  alice.Send(spec);
  spec.headers = alice.Authorization(alice.Take(), "MESSAGE", bob.uri(), "wonderland");
  spec.cseq = 4;
  alice.Send(spec);
  EXPECT_EQ(bob.Take().Method(), "MESSAGE");
}

TEST_F(Challenged, StrangersAreChallengedUnlessLetIn) {
  bob.RegisterWithPassword("builder");
  Phone stranger(world, "stranger", "203.0.113.1:5060");
  Phone::Spec spec{.method = "MESSAGE", .uri = bob.uri(), .from = "sip:s@other.example"};
  stranger.Send(spec);
  EXPECT_EQ(stranger.Take().Status(), 407);
  Config config = WithAuth();
  config.accept_foreign_senders = true;
  world.engine().Apply(config);
  spec.cseq = 2;
  stranger.Send(spec);
  EXPECT_EQ(bob.Take().Method(), "MESSAGE");
  // But never through us to somebody else.
  spec.uri = "sip:victim@203.0.113.77";
  stranger.Send(spec);
  EXPECT_EQ(stranger.Take().Status(), 407);
  // Whether a user exists is not told to strangers.
  spec.uri = "sip:nobody@example.com";
  stranger.Send(spec);
  EXPECT_EQ(stranger.Take().Status(), 480);
  spec.uri = "sip:alice@example.com";
  stranger.Send(spec);
  EXPECT_EQ(stranger.Take().Status(), 480);
}

TEST_F(Challenged, RepliesToTheUnprovenAreLimitedAndSuccessGivesThemBack) {
  Config config = WithAuth();
  config.unproven_replies_per_s = 10;
  config.unproven_replies_burst = 5;
  world.engine().Apply(config);
  int replies = 0;
  for (int i = 0; i < 100; ++i) {
    alice.Send(Spec(1));
    replies += alice.Take().text.empty() ? 0 : 1;
  }
  EXPECT_EQ(replies, 5);
  EXPECT_TRUE(world.HasEvent("refused rate-limited 0"));
  Phone::Spec other{.method = "REGISTER", .uri = "sip:example.com", .to = bob.uri()};
  bob.Send(other);
  EXPECT_EQ(bob.Take().Status(), 401);  // another source has its own
  world.Advance(Duration::Seconds(1));
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(alice.RegisterWithPassword("wonderland", kSha256, 10 + 2 * i).Status(), 200) << i;
  }
}

}  // namespace
}  // namespace gh::sip::test
