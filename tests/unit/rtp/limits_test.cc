// The room's limits at their edges: sections, packet sizes, what is written, sessions looked at in
// a turn, handshakes kept and given up. That pools are at their end is anchor_test's and
// mux_test's.
#include "tests/unit/rtp/world.h"

namespace gh::rtp {
namespace {

using namespace test;

std::string Sections(const std::string& address, uint32_t count) {
  std::string out = Sdp(address, 4000);
  for (uint32_t i = 1; i < count; ++i) {
    out += "m=audio " + std::to_string(4000 + 2 * i) + " RTP/AVP 0\r\n";
  }
  return out;
}

TEST(Limits, EightSectionsAreRelayedAndNotNine) {
  static_assert(kStreamsPerSession < sdp::kMediaMax);
  World w;
  EXPECT_EQ(w.Show(true, Method::kInvite, 0, Sections("10.1.1.50", kStreamsPerSession)).kind,
            MediaVerdict::Kind::kReplaced);
  EXPECT_EQ(w.relay->stream_count(), kStreamsPerSession);
  World other;
  const auto refused =
      other.Show(true, Method::kInvite, 0, Sections("10.1.1.50", kStreamsPerSession + 1));
  EXPECT_EQ(refused.kind, MediaVerdict::Kind::kRefused);
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(other.relay->stream_count() + other.relay->port_count(), 0u);
}

TEST(Limits, APacketOfTheLargestSizePassesAndNoneBeyond) {
  World w;
  const std::string offer = w.Offer(Sdp("10.1.1.50", 4000));
  const std::string answer = w.Answer(Sdp("198.51.100.7", 6000));
  const net::Endpoint inside{Ip("10.1.1.1"), PortIn(answer)};
  Bytes packet = Rtp(1);
  packet.resize(kPacketMax);
  EXPECT_EQ(w.Give(inside, At("10.1.1.50:4000"), packet).size(), 1u);
  packet[3] = 2;
  packet.resize(kPacketMax + 1);
  EXPECT_TRUE(w.Give(inside, At("10.1.1.50:4000"), packet).empty());
  EXPECT_EQ(w.relay->counters().dropped_other, 1u);
}

TEST(Limits, WhatIsTooLargeToWriteIsRefused) {
  World w;
  // As large as may be read: with what we add it is beyond what may be written.
  std::string sdp = Sdp("10.1.1.50", 4000, "RTP/AVP");
  while (sdp.size() + 1000 < sdp::kBodyMax) {
    sdp += "a=x:" + std::string(990, 'x') + "\r\n";
  }
  sdp += "a=x:" + std::string(sdp::kBodyMax - sdp.size() - 6, 'x') + "\r\n";
  ASSERT_EQ(sdp.size(), sdp::kBodyMax);
  w.callee.encryption = MediaEncryption::kForceEncrypted;  // three lines of keys
  const auto verdict = w.Show(true, Method::kInvite, 0, sdp);
  EXPECT_EQ(verdict.kind, MediaVerdict::Kind::kRefused);
  EXPECT_EQ(verdict.status, 488);
  EXPECT_EQ(w.relay->session_count(), 0u);
}

TEST(Limits, SilenceIsFoundInMoreSessionsThanOneTurnLooksAt) {
  const uint32_t count = kSweepPerTurn + 10;
  World w(Config::When::kAlways, Capacity::For(count));
  for (uint32_t i = 0; i < count; ++i) {
    w.call_id = std::to_string(i) + "@example.com";
    (void)w.Offer(Sdp("10.1.1.50", 4000));
  }
  EXPECT_EQ(w.relay->session_count(), count);
  w.Pass(Duration::Seconds(65));
  EXPECT_EQ(w.relay->session_count(), 0u);
  EXPECT_EQ(w.silent, static_cast<int>(count));
}

TEST(Limits, EachAddressOfOursHasPortsAndAFifthHasNone) {
  World w;
  Config config = w.relay->config();
  config.address_count = kLocalAddressMax;
  for (uint32_t i = 0; i < kLocalAddressMax; ++i) {
    config.addresses[i] = net::IpAddress::V4(10, 9, 9, static_cast<uint8_t>(i));
  }
  w.relay->Apply(config);
  for (uint32_t i = 0; i <= kLocalAddressMax; ++i) {
    w.call_id = std::to_string(i) + "@example.com";
    w.callee.local = w.callee.shown = net::IpAddress::V4(10, 9, 9, static_cast<uint8_t>(i));
    const auto verdict = w.Show(true, Method::kInvite, 0, Sdp("10.1.1.50", 4000));
    EXPECT_EQ(verdict.kind == MediaVerdict::Kind::kReplaced, i < kLocalAddressMax) << i;
  }
  EXPECT_EQ(w.relay->session_count(), kLocalAddressMax);
}

// One more sender than there is room for takes the place of who was silent longest; packets of each
// go on. Only numbers that were seen may be forgotten with it.
TEST(Limits, ASenderBeyondTheLastPassesToo) {
  Srtp out(kOwnKey);
  Srtp in(kOwnKey);
  const auto packet = [](uint8_t ssrc, uint16_t sequence) {
    Bytes p = Rtp(sequence);
    p[11] = ssrc;
    return p;
  };
  for (uint16_t round = 1; round <= 3; ++round) {
    for (uint8_t ssrc = 1; ssrc <= kSsrcMax; ++ssrc) {
      EXPECT_EQ(in.Open(out.Seal(packet(ssrc, round))), packet(ssrc, round));
    }
  }
  const Bytes latest = packet(kSsrcMax + 1, 9);
  EXPECT_EQ(in.Open(out.Seal(latest)), latest);
  EXPECT_EQ(in.Open(out.Seal(packet(kSsrcMax, 4))), packet(kSsrcMax, 4));
}

// What the meter takes for a stream that goes on, and for one that began anew.
TEST(Limits, AJumpOfNumbersIsLossUpToItsLimitAndARestartBeyond) {
  for (const uint32_t missed : {kNumbersMissedMax, kNumbersMissedMax + 1}) {
    StreamMeter meter;
    meter.Start(8000);
    meter.OnRtp(Rtp(1), Instant{1'000'000'000});
    meter.OnRtp(Rtp(static_cast<uint16_t>(1 + missed)), Instant{2'000'000'000});
    EXPECT_EQ(meter.counters.lost(), missed == kNumbersMissedMax ? missed - 1 : 0u);
  }
}

// The client asks twice a second for so long, then seldom, and tells of it at the limit.
TEST(Limits, AMuxIsAskedForQuicklyForSoLongAndThenSeldom) {
  World w(Config::When::kNeeded);
  Config config = w.relay->config();
  config.mux_port = 2776;
  w.relay->Apply(config);
  w.caller.traversal = sip::TraversalRole::kClient;
  w.caller.remote = At("203.0.113.9:7001");
  (void)w.Offer(Sdp("203.0.113.9", 2776, "RTP/AVP",
                    "a=x-gatehouse-mux:1 2776 16384 " + std::string(kIceUserSize, 'u') + " " +
                        std::string(kIcePasswordSize, 'p') + "\r\n"));
  ASSERT_EQ(w.sent.size(), 1u);
  w.Pass(Duration::Seconds(kMuxUnansweredMax - 2));  // by turns of a second
  EXPECT_EQ(w.mux_lost, 0);
  w.Pass(Duration::Seconds(2));
  EXPECT_EQ(w.mux_lost, 1);
  w.sent.clear();
  w.Pass(kMuxPeriod + Duration::Seconds(1));
  EXPECT_LE(w.sent.size(), 2u);
  EXPECT_GE(w.sent.size(), 1u);
  EXPECT_EQ(w.mux_lost, 1);
}

TEST(Limits, HandshakesGrowWithTheCallsBetweenTheirBounds) {
  EXPECT_EQ(Capacity::For(1).handshakes(), 8u);
  EXPECT_EQ(Capacity::For(400).handshakes(), 8u);
  EXPECT_EQ(Capacity::For(450).handshakes(), 9u);
  EXPECT_EQ(Capacity::For(10'000).handshakes(), 200u);
  EXPECT_EQ(Capacity::For(100'000).handshakes(), 200u);
  // Each audio call of the large profile may cross a traversal zone.
  EXPECT_GE(Capacity::For(10'000).muxes, 10'000u);
  EXPECT_LE(Capacity::For(100'000).muxes, uint32_t{kMuxChannelLast} - kMuxChannelFirst + 1);
}

}  // namespace
}  // namespace gh::rtp
