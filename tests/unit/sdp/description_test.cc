// Descriptions are read as RFC 8866 means them, refused where they are not SDP or beyond the
// limits, and written anew with the relay's addresses and keys and nothing else changed. The texts
// are those of RFC 3264, RFC 4568 and of phones and browsers.
#include "firmware/sdp/description.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "firmware/sdp/rewrite.h"

namespace gh::sdp {
namespace {

const std::string kPhone =
    "v=0\r\n"
    "o=alice 2890844526 2890844526 IN IP4 192.168.1.5\r\n"
    "s=-\r\n"
    "c=IN IP4 192.168.1.5\r\n"
    "t=0 0\r\n"
    "m=audio 49170 RTP/AVP 0 8 97\r\n"
    "i=voice\r\n"
    "a=rtpmap:0 PCMU/8000\r\n"
    "a=rtpmap:97 iLBC/8000\r\n"
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 "
    "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4\r\n"
    "a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj|2^20\r\n"
    "a=sendonly\r\n"
    "m=video 51372 RTP/AVP 31 32\r\n"
    "c=IN IP4 192.168.1.6\r\n"
    "a=rtcp:51400 IN IP4 192.168.1.7\r\n"
    "a=rtpmap:31 H261/90000\r\n";

struct Parsed {
  explicit Parsed(const std::string& from) : text(from) {
    const auto result = Parse(text, *d);
    ok = result.ok();
    why = ok ? "" : result.error().what;
  }
  std::string text;
  std::unique_ptr<Description> d = std::make_unique<Description>();
  bool ok = false;
  std::string why;
};

std::string Replace(std::string text, const std::string& a, const std::string& b) {
  return text.replace(text.find(a), a.size(), b);
}

std::string Write(const Description& d, std::span<const MediaEdit> edits, const char* origin) {
  std::vector<uint8_t> bytes(32768);
  ByteWriter out(bytes);
  Rewrite(d, edits, net::IpAddress::Parse(origin).value_or({}), out);
  EXPECT_TRUE(out.ok());
  return std::string(out.text());
}

TEST(Sdp, ReadsWhereMediaGoesAndHowItIsProtected) {
  const Parsed p(kPhone);
  ASSERT_TRUE(p.ok) << p.why;
  ASSERT_EQ(p.d->media_count, 2);
  const Media& audio = p.d->media[0];
  EXPECT_EQ(audio.type, "audio");
  EXPECT_EQ(audio.port, 49170);
  EXPECT_EQ(net::ToText(audio.address).view(), "192.168.1.5");
  EXPECT_EQ(audio.profile, Profile::kRtp);
  EXPECT_EQ(audio.direction, Direction::kSendOnly);
  EXPECT_EQ(audio.clock_rate, 8000u);
  ASSERT_EQ(audio.crypto_count, 2);
  EXPECT_TRUE(audio.crypto[0].has_mki);
  EXPECT_FALSE(audio.crypto[1].has_mki);
  EXPECT_EQ(audio.crypto[1].key, "NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj");
  const Media& video = p.d->media[1];
  EXPECT_EQ(net::ToText(video.address).view(), "192.168.1.6");
  EXPECT_EQ(net::ToText(video.rtcp).view(), "192.168.1.7:51400");
  EXPECT_EQ(video.clock_rate, 90000u);
}

TEST(Sdp, ACopyIsTheSame) {
  const Parsed p(kPhone);
  ASSERT_TRUE(p.ok);
  const std::array<MediaEdit, 2> edits;
  EXPECT_EQ(Write(*p.d, edits, ""), kPhone);
}

TEST(Sdp, ARelayPutsItselfInAndLeavesCodecsAlone) {
  const Parsed p(kPhone);
  ASSERT_TRUE(p.ok);
  std::array<MediaEdit, 2> edits;
  edits[0].kind = MediaEdit::Kind::kRelay;
  edits[0].at = net::Endpoint::Parse("203.0.113.9:36002").value_or({});
  edits[0].profile = Profile::kSrtp;
  edits[0].replaces_crypto = true;
  edits[0].crypto_count = 1;
  edits[0].crypto[0] = {7, "AES_CM_128_HMAC_SHA1_80", "S0VZ"};
  edits[1].kind = MediaEdit::Kind::kRefuse;
  EXPECT_EQ(Write(*p.d, edits, "203.0.113.9"),
            "v=0\r\n"
            "o=alice 2890844526 2890844526 IN IP4 203.0.113.9\r\n"
            "s=-\r\n"
            "c=IN IP4 203.0.113.9\r\n"
            "t=0 0\r\n"
            "m=audio 36002 RTP/SAVP 0 8 97\r\n"
            "i=voice\r\n"
            "c=IN IP4 203.0.113.9\r\n"
            "a=rtpmap:0 PCMU/8000\r\n"
            "a=rtpmap:97 iLBC/8000\r\n"
            "a=sendonly\r\n"
            "a=crypto:7 AES_CM_128_HMAC_SHA1_80 inline:S0VZ\r\n"
            "m=video 0 RTP/AVP 31 32\r\n"
            "c=IN IP4 192.168.1.6\r\n"
            "a=rtpmap:31 H261/90000\r\n");
}

TEST(Sdp, IceAndItsCandidatesGoAndIceLiteComes) {
  const Parsed p(
      "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 "
      "1\r\na=ice-options:trickle\r\n"
      "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n"
      "a=candidate:1 1 udp 2113937151 192.0.2.4 50000 typ host\r\na=ice-ufrag:abcd\r\n"
      "a=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=fingerprint:sha-256 00:11\r\na=setup:actpass\r\n"
      "a=mid:0\r\na=rtcp-mux\r\n"
      "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=bundle-only\r\n");
  ASSERT_TRUE(p.ok) << p.why;
  EXPECT_EQ(p.d->media[0].profile, Profile::kDtlsSrtp);
  EXPECT_EQ(p.d->media[0].fingerprint, "sha-256 00:11");
  EXPECT_EQ(p.d->media[0].setup, "actpass");
  EXPECT_TRUE(p.d->media[0].has_ice && p.d->media[0].has_fingerprint && p.d->media[0].rtcp_mux);
  EXPECT_FALSE(p.d->media[0].is_held);  // with ICE the address says nothing
  EXPECT_FALSE(p.d->media[0].is_bundled);
  EXPECT_TRUE(p.d->media[1].is_bundled);
  std::array<MediaEdit, 2> edits;
  edits[0].kind = MediaEdit::Kind::kRelay;
  edits[0].at = net::Endpoint::Parse("203.0.113.9:36002").value_or({});
  edits[0].profile = Profile::kDtlsSrtp;
  edits[0].ice_user = "ours";
  edits[0].ice_password = "secretsecretsecretsecret";
  const std::string out = Write(*p.d, edits, "203.0.113.9");
  EXPECT_EQ(out.find("192.0.2.4"), std::string::npos);
  EXPECT_EQ(out.find("abcdefghij"), std::string::npos);
  EXPECT_NE(out.find("a=ice-lite\r\n"), std::string::npos);
  EXPECT_NE(out.find("a=candidate:1 1 UDP 2130706431 203.0.113.9 36002 typ host\r\n"),
            std::string::npos);
  EXPECT_NE(out.find("a=fingerprint:sha-256 00:11\r\n"), std::string::npos);
}

TEST(Sdp, ASectionThatIsCopiedKeepsTheAddressTheSessionHad) {
  const Parsed p(
      "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n"
      "m=audio 4000 RTP/AVP 0\r\nm=application 5000 TCP/BFCP *\r\na=setup:active\r\n");
  ASSERT_TRUE(p.ok) << p.why;
  std::array<MediaEdit, 2> edits;
  edits[0].kind = MediaEdit::Kind::kRelay;
  edits[0].at = net::Endpoint::Parse("203.0.113.9:36002").value_or({});
  const std::string out = Write(*p.d, edits, "203.0.113.9");
  EXPECT_NE(out.find("m=application 5000 TCP/BFCP *\r\nc=IN IP4 10.0.0.1\r\n"), std::string::npos);
}

TEST(Sdp, WhatIsNotSdpIsRefused) {
  const char* const bad[] = {
      "",
      "v=1\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\n",
      "o=- 1 1 IN IP4 10.0.0.1\r\nv=0\r\n",
      "v=0\r\ns=-\r\n",
      "v=0\r\no=- 1 1 IN IP4\r\n",
      "v=0\r\no=- 1 1 IN IP9 10.0.0.1\r\n",
      "v=0\r\no=- 1 1 IN IP6 10.0.0.1\r\n",
      "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\nx=1\r\n",
      "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\n\r\ns=-\r\n",
      "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\nm=audio 70000 RTP/AVP 0\r\n",
      "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\nm=audio 5000 RTP/AVP 0\r\n",  // no c=
      "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\nm=audio 0 RTP/AVP\r\n",
      "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\nm=audio 0 RTP/AVP 0\r\ns=-\r\n",
      "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\nm=audio 0 RTP/AVP 0\r\na=rtcp:x\r\n",
  };
  for (const char* text : bad) {
    EXPECT_FALSE(Parsed(text).ok) << text;
  }
  const std::string nul = kPhone + std::string("a=x\0y\r\n", 7);
  EXPECT_FALSE(Parsed(nul).ok);
  EXPECT_TRUE(Parsed(Replace(kPhone, "\r\n", "\n")).ok);
  EXPECT_TRUE(Parsed(kPhone + "\r\n").ok);
}

TEST(Sdp, EachLimitHoldsAtItsEdge) {
  const std::string head = "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\n";
  EXPECT_TRUE(Parsed(head + "a=" + std::string(kLineMax - 2, 'x') + "\r\n").ok);
  EXPECT_FALSE(Parsed(head + "a=" + std::string(kLineMax - 1, 'x') + "\r\n").ok);
  const auto repeat = [](const std::string& line, uint32_t count) {
    std::string out;
    for (uint32_t i = 0; i < count; ++i) {
      out += line;
    }
    return out;
  };
  EXPECT_TRUE(Parsed(head + repeat("a=x\r\n", kLinesMax - 4)).ok);
  EXPECT_FALSE(Parsed(head + repeat("a=x\r\n", kLinesMax - 3)).ok);
  EXPECT_TRUE(Parsed(head + repeat("m=audio 4000 RTP/AVP 0\r\n", kMediaMax)).ok);
  EXPECT_FALSE(Parsed(head + repeat("m=audio 4000 RTP/AVP 0\r\n", kMediaMax + 1)).ok);
  const std::string line = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:QUFB\r\n";
  const std::string audio = head + "m=audio 4000 RTP/AVP 0\r\n";
  EXPECT_TRUE(Parsed(audio + repeat(line, kCryptoMax)).ok);
  EXPECT_FALSE(Parsed(audio + repeat(line, kCryptoMax + 1)).ok);
  EXPECT_TRUE(Parsed(head + "m=audio 4000 RTP/AVP 0" + repeat(" 0", kFormatsMax - 1) + "\r\n").ok);
  EXPECT_FALSE(Parsed(head + "m=audio 4000 RTP/AVP 0" + repeat(" 0", kFormatsMax) + "\r\n").ok);
  const std::string tags = "m=audio 4000 RTP/AVP 0\r\na=crypto:";
  const std::string key = " AES_CM_128_HMAC_SHA1_80 inline:QUFB\r\n";
  EXPECT_EQ(Parsed(head + tags + std::to_string(kCryptoTagMax) + key).d->media[0].crypto_count, 1);
  EXPECT_EQ(Parsed(head + tags + std::to_string(kCryptoTagMax + 1) + key).d->media[0].crypto_count,
            0);
  std::string whole = head;
  while (whole.size() + 1500 < kBodyMax) {
    whole += "a=" + std::string(1000, 'x') + "\r\n";
  }
  const std::string rest(kBodyMax - whole.size() - 4, 'x');
  EXPECT_TRUE(Parsed(whole + "a=" + rest + "\r\n").ok);
  EXPECT_FALSE(Parsed(whole + "a=x" + rest + "\r\n").ok);
}

}  // namespace
}  // namespace gh::sdp
