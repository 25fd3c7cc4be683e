// The anchor and the relay without a network: descriptions go through, packets come, and what
// leaves is looked at. Plain and encrypted sides in every mode, latching against sprayers, forks,
// holds, failed re-INVITEs, silence, and pools at their edge.
#include "firmware/rtp/anchor.h"

#include "tests/unit/rtp/world.h"

namespace gh::rtp {
namespace {

using namespace test;

const net::Endpoint kCallerMedia = At("10.1.1.50:4000");
const net::Endpoint kCalleeMedia = At("198.51.100.7:6000");

TEST(Anchor, APlainCallGoesBothWaysAndIntoFlows) {
  World w;
  const std::string offer = w.Offer(Sdp("10.1.1.50", 4000));
  const net::Endpoint outside{Ip("203.0.113.1"), PortIn(offer)};
  EXPECT_GE(outside.port, 36002);
  EXPECT_EQ(outside.port % 2, 0);
  EXPECT_NE(offer.find("c=IN IP4 203.0.113.1"), std::string::npos);
  const std::string answer = w.Answer(Sdp("198.51.100.7", 6000));
  const net::Endpoint inside{Ip("10.1.1.1"), PortIn(answer)};
  auto out = w.Give(inside, kCallerMedia, Rtp(1));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].from, outside);
  EXPECT_EQ(out[0].to, kCalleeMedia);
  EXPECT_EQ(out[0].data, Rtp(1));
  EXPECT_EQ(w.flows.size(), 1u);
  out = w.Give(outside, kCalleeMedia, Rtp(1));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].from, inside);
  EXPECT_EQ(out[0].to, kCallerMedia);
  EXPECT_EQ(w.flows.size(), 2u);
  // RTCP by the next port.
  const Bytes report = {0x80, 201, 0, 1, 1, 2, 3, 4};
  out = w.Give({inside.address, uint16_t(inside.port + 1)}, At("10.1.1.50:4001"), report);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].to, At("198.51.100.7:6001"));
  EXPECT_EQ(w.flows.size(), 3u);
  w.anchor->OnEnded(w.call_id, "b", "a");
  EXPECT_EQ(w.flows.size(), 0u);
  EXPECT_EQ(w.relay->session_count() + w.relay->stream_count() + w.relay->port_count(), 0u);
}

TEST(Anchor, BehindAStaticNatPeersAreToldItsAddressAndPacketsBearOurs) {
  World w;
  w.callee.shown = Ip("192.0.2.9");
  const std::string offer = w.Offer(Sdp("10.1.1.50", 4000));
  EXPECT_NE(offer.find("c=IN IP4 192.0.2.9\r\n"), std::string::npos);
  EXPECT_NE(offer.find("o=- 1 1 IN IP4 192.0.2.9\r\n"), std::string::npos);
  EXPECT_EQ(offer.find("203.0.113.1"), std::string::npos);
  const std::string answer = w.Answer(Sdp("198.51.100.7", 6000));
  EXPECT_EQ(answer.find("192.0.2.9"), std::string::npos);
  const auto out = w.Give({Ip("10.1.1.1"), PortIn(answer)}, kCallerMedia, Rtp(1));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].from, (net::Endpoint{Ip("203.0.113.1"), PortIn(offer)}));
}

TEST(Anchor, FromOneFamilyToTheOther) {
  World w;
  Config config = w.relay->config();
  config.addresses = {Ip("10.1.1.1"), Ip("2001:db8::1")};
  w.relay->Apply(config);
  w.callee.local = w.callee.shown = Ip("2001:db8::1");
  w.callee.remote = At("[2001:db8::7]:5060");
  const std::string offer = w.Offer(Sdp("10.1.1.50", 4000));
  EXPECT_NE(offer.find("c=IN IP6 2001:db8::1\r\n"), std::string::npos);
  EXPECT_EQ(offer.find("IP4"), std::string::npos);
  std::string sdp = Sdp("2001:db8::7", 6000);
  for (size_t at = sdp.find("IP4"); at != std::string::npos; at = sdp.find("IP4")) {
    sdp.replace(at, 3, "IP6");
  }
  const std::string answer = w.Answer(sdp);
  EXPECT_NE(answer.find("c=IN IP4 10.1.1.1\r\n"), std::string::npos);
  EXPECT_EQ(answer.find("IP6"), std::string::npos);
  auto out = w.Give({Ip("10.1.1.1"), PortIn(answer)}, kCallerMedia, Rtp(1));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].to, At("[2001:db8::7]:6000"));
  out = w.Give({Ip("2001:db8::1"), PortIn(offer)}, At("[2001:db8::7]:6000"), Rtp(1));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].to, kCallerMedia);
  EXPECT_EQ(w.flows.size(), 2u);
}

TEST(Anchor, RepeatsChangeNothing) {
  World w;
  w.callee.encryption = MediaEncryption::kForceEncrypted;
  const std::string offer = w.Offer(Sdp("10.1.1.50", 4000));
  EXPECT_EQ(w.Offer(Sdp("10.1.1.50", 4000)), offer);
  const std::string sdp = Sdp("198.51.100.7", 6000, "RTP/SAVP", Crypto(kTheirKey, 2));
  const std::string answer = w.Answer(sdp, 183);
  Srtp theirs(kTheirKey);
  const net::Endpoint outside{Ip("203.0.113.1"), PortIn(offer)};
  const Bytes first = theirs.Seal(Rtp(1));
  EXPECT_EQ(w.Give(outside, kCalleeMedia, first).size(), 1u);
  EXPECT_EQ(w.Answer(sdp), answer);
  EXPECT_EQ(w.Give(outside, kCalleeMedia, first).size(), 0u);  // seen: the window was kept
  EXPECT_EQ(w.Give(outside, kCalleeMedia, theirs.Seal(Rtp(2))).size(), 1u);
}

TEST(Anchor, PlainInsideAndEncryptedOutside) {
  World w;
  w.callee.encryption = MediaEncryption::kForceEncrypted;
  const std::string offer = w.Offer(Sdp("10.1.1.50", 4000));
  EXPECT_NE(offer.find(" RTP/SAVP 0"), std::string::npos);
  EXPECT_NE(offer.find("AES_256_CM_HMAC_SHA1_80"), std::string::npos);
  const std::string answer = w.Answer(Sdp("198.51.100.7", 6000, "RTP/SAVP", Crypto(kTheirKey, 2)));
  EXPECT_NE(answer.find(" RTP/AVP 0"), std::string::npos);
  EXPECT_EQ(answer.find("crypto"), std::string::npos);
  Srtp ours(KeyIn(offer));
  Srtp theirs(kTheirKey);
  const net::Endpoint outside{Ip("203.0.113.1"), PortIn(offer)};
  const net::Endpoint inside{Ip("10.1.1.1"), PortIn(answer)};
  auto out = w.Give(inside, kCallerMedia, Rtp(1));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].data.size(), 182u);
  EXPECT_EQ(ours.Open(out[0].data), Rtp(1));
  out = w.Give(outside, kCalleeMedia, theirs.Seal(Rtp(9)));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].data, Rtp(9));
  EXPECT_EQ(w.relay->context_count(), 2u);
  EXPECT_EQ(w.Give(outside, kCalleeMedia, Rtp(10)).size(), 0u);  // plain is not taken
}

TEST(Anchor, NewKeysOnEitherSide) {
  World w;
  w.caller.encryption = w.callee.encryption = MediaEncryption::kForceEncrypted;
  const std::string offer =
      w.Offer(Sdp("10.1.1.50", 4000, "RTP/SAVP", Crypto("AAAA", 3) + Crypto(kOwnKey, 4)));
  const std::string answer = w.Answer(Sdp("198.51.100.7", 6000, "RTP/SAVP", Crypto(kTheirKey, 2)));
  EXPECT_NE(answer.find("a=crypto:4 AES_CM_128_HMAC_SHA1_80"), std::string::npos);
  EXPECT_EQ(answer.find(kTheirKey), std::string::npos);
  EXPECT_EQ(offer.find(kOwnKey), std::string::npos);
  Srtp caller(kOwnKey);
  Srtp to_callee(KeyIn(offer));
  const net::Endpoint inside{Ip("10.1.1.1"), PortIn(answer)};
  const auto out = w.Give(inside, kCallerMedia, caller.Seal(Rtp(1)));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(to_callee.Open(out[0].data), Rtp(1));
  EXPECT_EQ(w.relay->context_count(), 4u);
}

TEST(Anchor, EachModeTakesAndOffersWhatItSays) {
  const std::string plain = Sdp("10.1.1.50", 4000);
  const std::string srtp = Sdp("10.1.1.50", 4000, "RTP/SAVP", Crypto(kOwnKey));
  const std::string both = Sdp("10.1.1.50", 4000, "RTP/AVP", Crypto(kOwnKey));
  struct Case {
    MediaEncryption from, to;
    const std::string& offer;
    bool is_taken;
    const char* profile;
    bool has_crypto;
  };
  using enum MediaEncryption;
  const Case cases[] = {
      {kForceEncrypted, kAuto, plain, false, "", false},
      {kForceEncrypted, kAuto, srtp, true, "RTP/SAVP", true},
      {kForceEncrypted, kForceUnencrypted, srtp, true, "RTP/AVP", false},
      {kForceUnencrypted, kAuto, srtp, false, "", false},
      {kForceUnencrypted, kForceEncrypted, both, true, "RTP/SAVP", true},
      {kBestEffort, kAuto, plain, true, "RTP/AVP", false},
      {kBestEffort, kAuto, both, true, "RTP/AVP", true},
      {kAuto, kBestEffort, plain, true, "RTP/AVP", true},
      {kAuto, kForceUnencrypted, srtp, true, "RTP/AVP", false},
      {kAuto, kAuto, srtp, true, "RTP/SAVP", true},
  };
  for (const Case& c : cases) {
    World w;
    w.caller.encryption = c.from;
    w.callee.encryption = c.to;
    const auto v = w.Show(true, Method::kInvite, 0, c.offer);
    ASSERT_EQ(v.kind == MediaVerdict::Kind::kReplaced, c.is_taken) << v.why;
    if (c.is_taken) {
      EXPECT_NE(v.body.find(std::string(" ") + c.profile + " 0"), std::string_view::npos) << v.body;
      EXPECT_EQ(v.body.find("a=crypto") != std::string_view::npos, c.has_crypto) << v.body;
    } else {
      EXPECT_EQ(v.status, 488);
      EXPECT_EQ(w.relay->session_count(), 0u);
    }
  }
}

TEST(Anchor, AnAnswerThatIsNotEncryptedEnoughGetsNoMedia) {
  World w;
  w.callee.encryption = MediaEncryption::kForceEncrypted;
  (void)w.Offer(Sdp("10.1.1.50", 4000));
  const std::string answer = w.Answer(Sdp("198.51.100.7", 6000, "RTP/AVP"));
  EXPECT_EQ(PortIn(answer), 0);
  EXPECT_EQ(w.relay->stream_count(), 0u);
}

TEST(Anchor, KeysInAnAnswerToAnOfferWithoutAnyAreNotMeant) {
  for (const uint16_t status : {183, 200}) {  // the second says it again
    World w;
    w.caller.encryption = MediaEncryption::kForceUnencrypted;
    const std::string offer = w.Offer(Sdp("10.1.1.50", 4000));
    EXPECT_EQ(offer.find("a=crypto"), std::string::npos);
    (void)w.Answer(Sdp("198.51.100.7", 6000, "RTP/AVP", Crypto(kTheirKey)), status);
    const std::string answer = w.Answer(Sdp("198.51.100.7", 6000, "RTP/AVP", Crypto(kTheirKey)));
    EXPECT_EQ(answer.find("a=crypto"), std::string::npos);
    EXPECT_EQ(w.relay->context_count(), 0u);
    auto out = w.Give({Ip("203.0.113.1"), PortIn(offer)}, kCalleeMedia, Rtp(1));
    ASSERT_EQ(out.size(), 1u);
    EXPECT_EQ(out[0].data, Rtp(1));
    out = w.Give({Ip("10.1.1.1"), PortIn(answer)}, kCallerMedia, Rtp(1));
    ASSERT_EQ(out.size(), 1u);
    EXPECT_EQ(out[0].data, Rtp(1));
  }
}

TEST(Anchor, OnlyWhoSignalsMayLatchAndOnce) {
  World w;
  // The caller is behind a NAT: it says a private address, its signalling comes from another.
  w.caller.remote = At("10.1.1.99:1024");
  const std::string offer = w.Offer(Sdp("192.168.0.2", 4000));
  const std::string answer = w.Answer(Sdp("198.51.100.7", 6000));
  const net::Endpoint inside{Ip("10.1.1.1"), PortIn(answer)};
  const net::Endpoint outside{Ip("203.0.113.1"), PortIn(offer)};
  EXPECT_EQ(w.Give(inside, At("10.1.1.66:4000"), Rtp(1)).size(), 0u);          // a sprayer
  EXPECT_EQ(w.Give(inside, At("10.1.1.99:30000"), Bytes(172, 0)).size(), 0u);  // no RTP
  EXPECT_EQ(w.Give(inside, At("10.1.1.99:30002"), Rtp(1)).size(), 1u);
  EXPECT_EQ(w.Give(inside, At("10.1.1.99:30004"), Rtp(2)).size(), 0u);  // it is taken
  EXPECT_EQ(w.relay->counters().dropped_source, 2u);
  const auto out = w.Give(outside, kCalleeMedia, Rtp(1));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].to, At("10.1.1.99:30002"));
  // A new offer that says something else lets it move; the same does not.
  (void)w.Show(true, Method::kInvite, 0, Sdp("192.168.0.2", 4000));
  (void)w.Show(false, Method::kInvite, 200, Sdp("198.51.100.7", 6000));
  EXPECT_EQ(w.Give(inside, At("10.1.1.99:30004"), Rtp(3)).size(), 0u);
  (void)w.Show(true, Method::kInvite, 0, Sdp("192.168.0.2", 4010));
  (void)w.Show(false, Method::kInvite, 200, Sdp("198.51.100.7", 6000));
  EXPECT_EQ(w.Give(inside, At("10.1.1.99:30004"), Rtp(3)).size(), 1u);
}

TEST(Anchor, AnEncryptedEndIsLatchedOnlyByWhatVerifies) {
  World w;
  w.callee.encryption = MediaEncryption::kForceEncrypted;
  const std::string offer = w.Offer(Sdp("10.1.1.50", 4000));
  (void)w.Answer(Sdp("198.51.100.7", 6000, "RTP/SAVP", Crypto(kTheirKey, 2)));
  const net::Endpoint outside{Ip("203.0.113.1"), PortIn(offer)};
  Srtp wrong(kOwnKey);
  Srtp theirs(kTheirKey);
  EXPECT_EQ(w.Give(outside, At("198.51.100.7:7777"), wrong.Seal(Rtp(1))).size(), 0u);
  EXPECT_EQ(w.flows.size(), 0u);
  EXPECT_EQ(w.Give(outside, kCalleeMedia, theirs.Seal(Rtp(1))).size(), 1u);
  EXPECT_EQ(w.flows.size(), 1u);
}

// A router's first packet of it came from another port than all others.
TEST(Anchor, WhoIsWhereItSaidIsHeardOnceTheLatchedSourceIsSilent) {
  World w;
  const std::string offer = w.Offer(Sdp("10.1.1.50", 4000));
  (void)w.Answer(Sdp("198.51.100.7", 6000));
  const net::Endpoint outside{Ip("203.0.113.1"), PortIn(offer)};
  const net::Endpoint odd = At("198.51.100.7:29201");
  const Duration step = Duration::Milliseconds(20);
  EXPECT_EQ(w.Give(outside, odd, Rtp(1)).size(), 1u);
  uint16_t sequence = 2;
  // As long as the latched source sends, nobody else is heard.
  for (Duration past{}; past < kLatchQuiet * 3; past = past + step) {
    w.Tick(step);
    EXPECT_EQ(w.Give(outside, kCalleeMedia, Rtp(sequence)).size(), 0u);
    EXPECT_EQ(w.Give(outside, odd, Rtp(sequence++)).size(), 1u);
  }
  // A third port is never heard, however long it sends.
  for (Duration past{}; past < kLatchQuiet * 3; past = past + step) {
    w.Tick(step);
    EXPECT_EQ(w.Give(outside, At("198.51.100.7:6006"), Rtp(sequence)).size(), 0u);
  }
  EXPECT_EQ(w.Give(outside, kCalleeMedia, Rtp(sequence)).size(), 0u);
  w.Tick(kLatchQuiet - Duration::Milliseconds(1));
  EXPECT_EQ(w.Give(outside, kCalleeMedia, Rtp(sequence)).size(), 0u);
  w.Tick(Duration::Milliseconds(1));
  EXPECT_EQ(w.Give(outside, kCalleeMedia, Rtp(sequence++)).size(), 1u);
  // What is sent to it goes there too, by flows of the new place; the old one is a stranger now.
  ASSERT_EQ(w.flows.size(), 1u);
  EXPECT_EQ((*w.flows.begin())->spec.remote, kCalleeMedia);
  for (Duration past{}; past < kLatchQuiet * 3; past = past + step) {
    w.Tick(step);
    EXPECT_EQ(w.Give(outside, odd, Rtp(sequence)).size(), 0u);
  }
  EXPECT_EQ(w.relay->counters().latched, 2u);
}

// What verifies may come by another port of the same address: its NAT has forgotten the first.
TEST(Anchor, AnEncryptedEndIsFollowedToAnotherPort) {
  World w;
  w.callee.encryption = MediaEncryption::kForceEncrypted;
  const std::string offer = w.Offer(Sdp("10.1.1.50", 4000));
  (void)w.Answer(Sdp("198.51.100.7", 6000, "RTP/SAVP", Crypto(kTheirKey, 2)));
  const net::Endpoint outside{Ip("203.0.113.1"), PortIn(offer)};
  const net::Endpoint later = At("198.51.100.7:7777");
  Srtp wrong(kOwnKey);
  Srtp theirs(kTheirKey);
  const Bytes first = theirs.Seal(Rtp(1));
  EXPECT_EQ(w.Give(outside, kCalleeMedia, first).size(), 1u);
  EXPECT_EQ(w.Give(outside, later, theirs.Seal(Rtp(2))).size(), 0u);
  w.Tick(kLatchQuiet);
  EXPECT_EQ(w.Give(outside, later, wrong.Seal(Rtp(3))).size(), 0u);
  EXPECT_EQ(w.Give(outside, later, first).size(), 0u);  // seen before
  EXPECT_EQ(w.Give(outside, At("198.51.100.8:7777"), theirs.Seal(Rtp(4))).size(), 0u);
  EXPECT_EQ((*w.flows.begin())->spec.remote, kCalleeMedia);
  EXPECT_EQ(w.Give(outside, later, theirs.Seal(Rtp(5))).size(), 1u);
  EXPECT_EQ((*w.flows.begin())->spec.remote, later);
}

TEST(Anchor, AFailedReInviteLeavesTheCallAsItWas) {
  World w;
  (void)w.Offer(Sdp("10.1.1.50", 4000));
  const std::string answer = w.Answer(Sdp("198.51.100.7", 6000));
  const net::Endpoint inside{Ip("10.1.1.1"), PortIn(answer)};
  EXPECT_EQ(w.Give(inside, kCallerMedia, Rtp(1)).size(), 1u);
  (void)w.Show(true, Method::kInvite, 0, Sdp("10.1.1.50", 4444));
  w.anchor->OnFailed(w.call_id, "a", "b");
  EXPECT_EQ(w.relay->session_count(), 1u);
  EXPECT_EQ(w.Give(inside, kCallerMedia, Rtp(2)).size(), 1u);
  EXPECT_EQ(w.flows.size(), 1u);
}

TEST(Anchor, AFailedFirstInviteEndsIt) {
  World w;
  (void)w.Offer(Sdp("10.1.1.50", 4000));
  w.anchor->OnFailed(w.call_id, "a", "");
  EXPECT_EQ(w.relay->session_count() + w.relay->port_count(), 0u);
}

TEST(Anchor, ABranchThatIsRefusedLeavesTheOthersTheirs) {
  World w;
  const std::string offer = w.Offer(Sdp("10.1.1.50", 4000));
  EXPECT_EQ(w.Show(true, Method::kInvite, 0, "v=0\r\nnonsense").status, 400);
  EXPECT_EQ(w.relay->session_count(), 1u);
  EXPECT_EQ(w.Offer(Sdp("10.1.1.50", 4000)), offer);
}

TEST(Anchor, TheCalleeMayOfferToo) {
  World w;
  const std::string offer = w.Offer(Sdp("10.1.1.50", 4000));
  const std::string answer = w.Answer(Sdp("198.51.100.7", 6000));
  const auto again = w.Show(false, Method::kUpdate, 0,
                            Sdp("198.51.100.7", 6000, "RTP/AVP", "a=sendonly\r\n"), false);
  ASSERT_EQ(again.kind, MediaVerdict::Kind::kReplaced);
  EXPECT_EQ(PortIn(std::string(again.body)), PortIn(answer));
  EXPECT_NE(again.body.find("a=sendonly"), std::string_view::npos);
  const auto last = w.Show(true, Method::kUpdate, 200, Sdp("10.1.1.50", 4000), false);
  EXPECT_EQ(PortIn(std::string(last.body)), PortIn(offer));
}

TEST(Anchor, AnInviteWithoutADescriptionIsAnsweredByAnOfferAndTheAckAnswers) {
  World w;
  EXPECT_EQ(w.Show(true, Method::kInvite, 0, "").kind, MediaVerdict::Kind::kAsIs);
  const std::string offer = w.Answer(Sdp("198.51.100.7", 6000));
  EXPECT_NE(offer.find("c=IN IP4 10.1.1.1"), std::string::npos);
  const auto ack = w.Show(true, Method::kAck, 0, Sdp("10.1.1.50", 4000));
  ASSERT_EQ(ack.kind, MediaVerdict::Kind::kReplaced);
  const net::Endpoint inside{Ip("10.1.1.1"), PortIn(offer)};
  const auto out = w.Give(inside, kCallerMedia, Rtp(1));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].to, kCalleeMedia);
}

TEST(Anchor, OnlyWhoNeedsItIsRelayed) {
  World w(Config::When::kNeeded);
  w.callee.local = w.callee.shown = w.caller.local;
  EXPECT_EQ(w.Show(true, Method::kInvite, 0, Sdp("10.1.1.50", 4000)).kind,
            MediaVerdict::Kind::kAsIs);
  EXPECT_EQ(w.Show(true, Method::kInvite, 0, Sdp("192.168.7.7", 4000)).kind,
            MediaVerdict::Kind::kReplaced);
  World other(Config::When::kNeeded);
  EXPECT_EQ(other.Show(true, Method::kInvite, 0, Sdp("10.1.1.50", 4000)).kind,
            MediaVerdict::Kind::kReplaced);  // from one interface to the other
}

TEST(Anchor, SilenceEndsIt) {
  World w;
  (void)w.Offer(Sdp("10.1.1.50", 4000));
  (void)w.Answer(Sdp("198.51.100.7", 6000));
  w.Pass(Duration::Seconds(59));
  EXPECT_EQ(w.relay->session_count(), 1u);
  w.Pass(Duration::Seconds(4));
  EXPECT_EQ(w.relay->session_count(), 0u);
  EXPECT_EQ(w.silent, 1);
}

TEST(Anchor, PoolsAtTheirEdgeRefuseAndRecover) {
  Capacity capacity = Capacity::For(2);
  World w(Config::When::kAlways, capacity);
  (void)w.Offer(Sdp("10.1.1.50", 4000));
  w.call_id = "two";
  (void)w.Offer(Sdp("10.1.1.50", 4000));
  w.call_id = "three";
  const auto refused = w.Show(true, Method::kInvite, 0, Sdp("10.1.1.50", 4000));
  EXPECT_EQ(refused.kind, MediaVerdict::Kind::kRefused);
  EXPECT_EQ(refused.status, 503);
  w.anchor->OnFailed("two", "a", "");
  EXPECT_EQ(w.Show(true, Method::kInvite, 0, Sdp("10.1.1.50", 4000)).kind,
            MediaVerdict::Kind::kReplaced);
}

// The large profile's, a side on each interface: every call is set up, latched, and encrypted
// outside.
TEST(Anchor, TenThousandCallsFitTheLargeProfile) {
  constexpr uint32_t kCalls = 10'000;
  World w(Config::When::kAlways, Capacity::For(kCalls));
  w.callee.encryption = MediaEncryption::kForceEncrypted;
  for (uint32_t i = 0; i < kCalls; ++i) {
    w.call_id = "call" + std::to_string(i);
    w.is_answered = false;
    const std::string offer = w.Offer(Sdp("10.1.1.50", 4000));
    const std::string answer =
        w.Answer(Sdp("198.51.100.7", 6000, "RTP/SAVP", Crypto(kTheirKey, 2)));
    ASSERT_NE(PortIn(offer), 0) << i;
    ASSERT_NE(PortIn(answer), 0) << i;
    if (i % 100 == 0) {
      ASSERT_EQ(w.Give({Ip("10.1.1.1"), PortIn(answer)}, kCallerMedia, Rtp(1)).size(), 1u);
      ASSERT_EQ(
          w.Give({Ip("203.0.113.1"), PortIn(offer)}, kCalleeMedia, Srtp(kTheirKey).Seal(Rtp(1)))
              .size(),
          1u);
    }
  }
  EXPECT_EQ(w.relay->session_count(), kCalls);
  EXPECT_EQ(w.relay->port_count(), kCalls * 4);
  // One more is told so, and disturbs nobody; who leaves makes room.
  w.call_id = "one more";
  w.is_answered = false;
  const auto refused = w.Show(true, Method::kInvite, 0, Sdp("10.1.1.50", 4000));
  EXPECT_EQ(refused.kind, MediaVerdict::Kind::kRefused);
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(w.relay->session_count(), kCalls);
  const size_t flows = w.flows.size();
  w.anchor->OnEnded("call5050", "a", "b");
  EXPECT_EQ(w.flows.size(), flows);  // that one had said nothing yet
  (void)w.Offer(Sdp("10.1.1.50", 4000));
  EXPECT_EQ(w.relay->session_count(), kCalls);
  const uint64_t bytes = w.arena_used() / kCalls;
  RecordProperty("bytes_per_call", static_cast<int>(bytes));
  EXPECT_LT(bytes, 16u << 10);
}

TEST(Anchor, SectionsOfABundleShareThePorts) {
  World w;
  const std::string group = "a=group:BUNDLE 0 1\r\n";
  const auto bundle = [&](const std::string& address, int port) {
    std::string text = Sdp(address, port, "RTP/AVP", "a=mid:0\r\na=rtcp-mux\r\n");
    text.insert(text.find("m=audio"), group);
    return text + "m=video " + std::to_string(port) + " RTP/AVP 96\r\na=mid:1\r\na=rtcp-mux\r\n";
  };
  const std::string offer = w.Offer(bundle("10.1.1.50", 4000));
  EXPECT_EQ(PortIn(offer), PortIn(offer, "video"));
  const std::string answer = w.Answer(bundle("198.51.100.7", 6000));
  EXPECT_EQ(PortIn(answer), PortIn(answer, "video"));
  EXPECT_EQ(w.relay->stream_count(), 1u);
  // RTCP beside RTP.
  const net::Endpoint inside{Ip("10.1.1.1"), PortIn(answer)};
  const auto out = w.Give(inside, kCallerMedia, {0x80, 201, 0, 1, 1, 2, 3, 4});
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].to, kCalleeMedia);
}

TEST(StreamMeter, LossAndJitterAreThoseOfRfc3550) {
  StreamMeter meter;
  meter.Start(8000);
  Instant now{1'000'000'000};
  for (uint16_t i = 0; i < 200; ++i) {
    now = now + Duration::Milliseconds(i % 2 == 0 ? 25 : 15);
    if (i % 10 == 3) {
      continue;
    }
    Bytes p = Rtp(i);
    const uint32_t timestamp = i * 160u;
    p[4] = 0;
    p[5] = uint8_t(timestamp >> 16);
    p[6] = uint8_t(timestamp >> 8);
    p[7] = uint8_t(timestamp);
    meter.OnRtp(p, now);
  }
  EXPECT_EQ(meter.counters.received, 180u);
  EXPECT_EQ(meter.counters.lost(), 20u);
  EXPECT_NEAR(static_cast<double>(meter.counters.jitter_us), 5000, 1500);
  EXPECT_GT(EstimateMos(0, 0), 420u);
  EXPECT_NEAR(EstimateMos(100, 0), 340, 10);  // R = 66
  EXPECT_EQ(EstimateMos(1000, 1'000'000), 100u);
}

}  // namespace
}  // namespace gh::rtp
