// WebRTC's end at the anchor: a browser (ICE checks, DTLS of its own, SRTP under the keys that come
// of it) calls a plain phone and is called by one. What comes without a check, from elsewhere, or
// with another certificate than was said gets nothing, and nothing leaves before there are keys.
#include <deque>

#include "firmware/turn/stun.h"
#include "tests/unit/rtp/world.h"

namespace gh::rtp {
namespace {

using namespace test;

const net::Endpoint kBrowser = At("10.1.1.50:4000");
const net::Endpoint kPhone = At("198.51.100.7:6000");

std::string LineIn(const std::string& sdp, const std::string& name) {
  const size_t at = sdp.find("\r\na=" + name);
  const size_t begin = at + 4 + name.size();
  return at == std::string::npos ? "" : sdp.substr(begin, sdp.find('\r', begin) - begin);
}

// The parts of a browser that the relay meets.
class Browser final : DtlsUser {
 public:
  explicit Browser(World& world)
      : world_(world),
        memory_(new uint8_t[kBytes]),
        arena_({memory_.get(), kBytes}),
        entropy_(11),
        random_(entropy_),
        timers_(world.clock.now) {
    dtls = arena_.New<Dtls>(Dtls::Parts{arena_, timers_, random_, world.clock}, 2u);
    EXPECT_TRUE(dtls->Prepare().ok());
    dtls->SetUser(*this);
    own.Draw(random_);
  }
  ~Browser() { dtls->~Dtls(); }

  std::string Sdp(const std::string& setup, const std::string& more = "") {
    return "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n"
           "m=audio 4000 UDP/TLS/RTP/SAVPF 111 0\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n"
           "a=candidate:1 1 udp 2113937151 abc.local 4000 typ host\r\na=ice-ufrag:" +
           std::string(own.user.view()) + "\r\na=ice-pwd:" + std::string(own.password.view()) +
           "\r\na=ice-options:trickle\r\na=fingerprint:" + fingerprint() + "\r\na=setup:" + setup +
           "\r\na=mid:0\r\na=extmap:1 urn:x\r\na=ssrc:1 cname:x\r\na=msid:- "
           "x\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 "
           "transport-cc\r\n" +
           more;
  }
  std::string fingerprint() const {
    return lies_ ? "sha-256 00" + std::string(dtls->fingerprint().substr(10))
                 : std::string(dtls->fingerprint());
  }
  void Lie() { lies_ = true; }

  // What it heard of the other side.
  void Hear(const std::string& sdp) {
    at = {Ip(sdp.substr(sdp.find("c=IN IP4 ") + 9,
                        sdp.find('\r', sdp.find("c=IN IP4 ")) - sdp.find("c=IN IP4 ") - 9)),
          PortIn(sdp)};
    peer.user.Assign(LineIn(sdp, "ice-ufrag:"));
    peer.password.Assign(LineIn(sdp, "ice-pwd:"));
    expected = Fingerprint::Of(LineIn(sdp, "fingerprint:"));
    EXPECT_NE(expected.size, 0);
    EXPECT_NE(sdp.find("\r\na=ice-lite\r\n"), std::string::npos);
    EXPECT_NE(sdp.find("UDP/TLS/RTP/SAVPF"), std::string::npos);
    EXPECT_NE(sdp.find("a=rtcp-mux"), std::string::npos);
    EXPECT_EQ(sdp.find("a=crypto"), std::string::npos);
  }

  Bytes Check(bool is_nominated, std::string_view password, bool is_controlled = false) {
    Bytes out(300);
    turn::Builder b(out, turn::Class::kRequest, turn::Method::kBinding, {1, 2, 3});
    b.Text(turn::kUserName, std::string(peer.user.view()) + ":" + std::string(own.user.view()));
    b.U32(0x0024, 1'853'824'767);
    if (is_nominated) {
      b.Bytes(0x0025, {});
    }
    b.Bytes(is_controlled ? 0x8029 : 0x802a, Bytes(8, 1));
    b.Sign(turn::Integrity::kSha1, AsBytes(password));
    b.Fingerprint();
    const auto done = b.Finish();
    return {done.begin(), done.end()};
  }
  // The class of what came back; -1: nothing.
  int Checks(const net::Endpoint& from, bool is_nominated, bool is_controlled = false) {
    const auto out =
        world_.Give(at, from, Check(is_nominated, peer.password.view(), is_controlled));
    for (const Sent& sent : out) {
      const auto message = turn::Message::Parse(sent.data);
      if (message.ok()) {
        EXPECT_EQ(sent.to, from);
        EXPECT_EQ(sent.from, at);
        EXPECT_TRUE(message->IsAuthentic(AsBytes(peer.password.view())));
        if (message->cls() == turn::Class::kSuccess) {
          EXPECT_EQ(message->XorAddress(turn::kXorMappedAddress).value_or({}), from);
        }
        return static_cast<int>(message->cls());
      }
    }
    return -1;
  }
  // Its own datagrams go to the relay, and what that sends comes back, until both are silent.
  void Shake(bool is_client, const net::Endpoint& from) {
    if (handshake == nullptr) {
      handshake = dtls->Begin(0, is_client, expected);
      ASSERT_NE(handshake, nullptr);
    }
    for (int turn = 0; turn < 40; ++turn) {
      std::deque<Bytes> mine;
      mine.swap(out_);
      std::vector<Sent> theirs;
      for (Sent& waiting : world_.sent) {
        theirs.push_back(waiting);
      }
      world_.sent.clear();
      for (const Bytes& one : mine) {
        for (Sent& back : world_.Give(at, from, one)) {
          theirs.push_back(back);
        }
      }
      world_.sent.clear();
      for (const Sent& one : theirs) {
        if (handshake != nullptr && one.to == from && IsDtls(one.data[0])) {
          dtls->Take(*handshake, one.data);
        }
      }
      if (out_.empty()) {
        return;
      }
    }
  }

  Bytes FirstFlight() {
    handshake = dtls->Begin(0, true, expected);
    return out_.front();
  }

  void SendDtls(uint32_t, std::span<const uint8_t> datagram) override {
    out_.emplace_back(datagram.begin(), datagram.end());
  }
  void OnDtlsKeys(uint32_t, MediaKeys& keys) override {
    send.SetKey(Suite::kAesCm128_80, keys.ours);
    receive.SetKey(Suite::kAesCm128_80, keys.theirs);
    is_keyed = true;
  }
  void OnDtlsOver(uint32_t, const char*, bool) override { handshake = nullptr; }

  Bytes Seal(Bytes p) {
    const auto size = static_cast<uint32_t>(p.size());
    p.resize(size + kTagBytesMax);
    const bool is_rtcp = IsRtcpType(p[1]);
    p.resize((is_rtcp ? send.ProtectRtcp(p, size) : send.Protect(p, size)).value_or(0));
    return p;
  }
  Bytes Open(Bytes p) {
    const auto size = static_cast<uint32_t>(p.size());
    const bool is_rtcp = IsRtcpType(p[1]);
    p.resize((is_rtcp ? receive.UnprotectRtcp(p, size) : receive.Unprotect(p, size)).value_or(0));
    return p;
  }

  Dtls* dtls = nullptr;
  Dtls::Handshake* handshake = nullptr;
  IceCredentials own, peer;
  Fingerprint expected;
  net::Endpoint at;
  bool is_keyed = false;
  SrtpContext send, receive;

 private:
  static constexpr size_t kBytes = 1u << 20;
  World& world_;
  std::unique_ptr<uint8_t[]> memory_;
  Arena arena_;
  net::test::SeededEntropy entropy_;
  crypto::Random random_;
  TimerWheel timers_;
  std::deque<Bytes> out_;
  bool lies_ = false;
};

struct Scene {
  explicit Scene(Config::When when = Config::When::kNeeded, Capacity capacity = Capacity::For(20))
      : w(when, capacity, 4), browser(w) {
    w.caller.is_web = true;
    w.callee.local = w.callee.shown = w.caller.local;
    w.callee.remote = At("198.51.100.7:5060");
  }
  // The browser calls, the phone answers.
  void Call(const std::string& setup = "actpass") {
    offer = w.Offer(browser.Sdp(setup));
    answer = w.Answer(Sdp("198.51.100.7", 6000));
    browser.Hear(answer);
    outside = {Ip("10.1.1.1"), PortIn(offer)};
  }
  World w;
  Browser browser;
  std::string offer, answer;
  net::Endpoint outside;
};

const Bytes kReport = {0x80, 201, 0, 1, 1, 2, 3, 4};

TEST(WebRtc, ABrowserCallsAPlainPhone) {
  Scene s;
  s.Call();
  EXPECT_NE(s.offer.find(" RTP/AVP 111 0"), std::string::npos);
  for (const char* gone : {"fingerprint", "setup", "ice-", "candidate", "rtcp-mux", "BUNDLE",
                           "rtcp-fb", "extmap", "ssrc", "msid", "0.0.0.0"}) {
    EXPECT_EQ(s.offer.find(gone), std::string::npos) << gone << " in " << s.offer;
  }
  EXPECT_NE(s.answer.find("a=setup:passive"), std::string::npos);
  EXPECT_NE(s.answer.find("a=group:BUNDLE 0\r\n"), std::string::npos);
  EXPECT_NE(s.answer.find("a=mid:0\r\n"), std::string::npos);
  // Without a check nothing is taken; with one, and before keys, nothing passes.
  EXPECT_TRUE(s.w.Give(s.browser.at, kBrowser, Rtp(1)).empty());
  EXPECT_EQ(s.browser.Checks(kBrowser, true), 2);
  EXPECT_TRUE(s.w.Give(s.browser.at, kBrowser, Rtp(1)).empty());
  EXPECT_TRUE(s.w.Give(s.outside, kPhone, Rtp(1)).empty());
  EXPECT_TRUE(s.w.flows.empty());
  s.browser.Shake(true, kBrowser);
  ASSERT_TRUE(s.browser.is_keyed);
  auto out = s.w.Give(s.browser.at, kBrowser, s.browser.Seal(Rtp(1)));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].to, kPhone);
  EXPECT_EQ(out[0].data, Rtp(1));
  out = s.w.Give(s.outside, kPhone, Rtp(7));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].to, kBrowser);
  EXPECT_EQ(out[0].from, s.browser.at);
  EXPECT_EQ(s.browser.Open(out[0].data), Rtp(7));
  EXPECT_EQ(s.w.flows.size(), 2u);
  s.w.anchor->OnEnded(s.w.call_id, "a", "b");
  EXPECT_EQ(s.w.relay->web_count() + s.w.dtls->handshake_count(), 0u);
}

TEST(WebRtc, TheCandidateIsTheAddressOfAStaticNat) {
  Scene s;
  s.w.caller.shown = Ip("192.0.2.9");
  s.Call();
  EXPECT_NE(s.answer.find(" 192.0.2.9 " + std::to_string(PortIn(s.answer)) + " typ host"),
            std::string::npos);
  s.browser.at.address = s.w.caller.local;  // what the NAT makes of it
  EXPECT_EQ(s.browser.Checks(kBrowser, true), 2);
}

TEST(WebRtc, RtcpOfOnePortFindsThePhonesOther) {
  Scene s;
  s.Call();
  s.browser.Checks(kBrowser, true);
  s.browser.Shake(true, kBrowser);
  s.w.Give(s.browser.at, kBrowser, s.browser.Seal(Rtp(1)));
  ASSERT_FALSE(s.w.flows.empty());
  // A flow has one end to lead to: STUN, DTLS and what is to be split go to the engine.
  Bytes report = s.browser.Seal(kReport);
  const auto size = static_cast<uint32_t>(report.size());
  for (media::Flow* flow : s.w.flows) {
    const bool is_browsers = flow->spec.remote == kBrowser;
    Bytes copy = report;
    copy.resize(size + 32);
    EXPECT_EQ(flow->spec.processor->OnPayload(copy, size, 0, s.w.clock.now) ==
                  media::FlowProcessor::kToEngine,
              is_browsers);
  }
  auto out = s.w.Give(s.browser.at, kBrowser, report);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].to, At("198.51.100.7:6001"));
  EXPECT_EQ(out[0].from.port, s.outside.port + 1);
  EXPECT_EQ(out[0].data, kReport);
  out =
      s.w.Give({s.outside.address, uint16_t(s.outside.port + 1)}, At("198.51.100.7:6001"), kReport);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].from, s.browser.at);
  EXPECT_EQ(s.browser.Open(out[0].data), kReport);
}

TEST(WebRtc, APhoneCallsABrowserWhoMayTakeEitherRole) {
  for (const bool is_browser_client : {true, false}) {
    Scene s;
    std::swap(s.w.caller, s.w.callee);
    const std::string offer = s.w.Offer(Sdp("198.51.100.7", 6000));
    EXPECT_NE(offer.find("a=setup:actpass"), std::string::npos);
    s.browser.Hear(offer);
    const std::string answer = s.w.Answer(s.browser.Sdp(is_browser_client ? "active" : "passive"));
    EXPECT_NE(answer.find(" RTP/AVP 111 0"), std::string::npos) << answer;
    if (!is_browser_client) {
      // We say hello as soon as the pair is proven.
      s.browser.handshake = s.browser.dtls->Begin(0, false, s.browser.expected);
      s.w.sent.clear();
      Bytes check = s.browser.Check(true, s.browser.peer.password.view());
      EXPECT_TRUE(s.w.relay->OnRelayDatagram(s.browser.at, kBrowser, check));
    } else {
      EXPECT_EQ(s.browser.Checks(kBrowser, true), 2);
    }
    s.browser.Shake(is_browser_client, kBrowser);
    ASSERT_TRUE(s.browser.is_keyed) << is_browser_client;
    const auto out = s.w.Give(s.browser.at, kBrowser, s.browser.Seal(Rtp(1)));
    ASSERT_EQ(out.size(), 1u);
    EXPECT_EQ(out[0].to, kPhone);
    EXPECT_EQ(out[0].data, Rtp(1));
  }
}

TEST(WebRtc, AnotherCertificateGetsNoKeys) {
  Scene s;
  s.browser.Lie();
  s.Call();
  s.browser.Checks(kBrowser, true);
  s.browser.Shake(true, kBrowser);
  ASSERT_EQ(s.w.keys_failed.size(), 1u);
  EXPECT_NE(s.w.keys_failed[0].find("certificate"), std::string::npos);
  EXPECT_EQ(s.w.relay->counters().keyed, 0u);
  EXPECT_TRUE(s.w.Give(s.outside, kPhone, Rtp(1)).empty());
}

TEST(WebRtc, OnlyAGoodCheckLatchesAndANominationMoves) {
  Scene s;
  s.Call();
  EXPECT_TRUE(s.w.Give(s.browser.at, kBrowser, s.browser.Check(true, "wrong")).size() <= 1);
  EXPECT_EQ(s.w.relay->counters().latched, 0u);
  EXPECT_EQ(s.browser.Checks(kBrowser, true, true), 3);  // two that are controlled: 487
  EXPECT_EQ(s.w.relay->counters().latched, 0u);
  EXPECT_EQ(s.browser.Checks(kBrowser, false), 2);
  EXPECT_EQ(s.w.relay->counters().latched, 1u);
  const net::Endpoint other = At("203.0.113.77:999");
  EXPECT_EQ(s.browser.Checks(other, false), 2);  // answered, and not chosen
  EXPECT_EQ(s.w.relay->counters().latched, 1u);
  s.browser.Shake(true, kBrowser);
  ASSERT_TRUE(s.browser.is_keyed);
  EXPECT_TRUE(s.w.Give(s.browser.at, other, s.browser.Seal(Rtp(1))).empty());
  EXPECT_EQ(s.browser.Checks(other, true), 2);
  EXPECT_EQ(s.w.Give(s.browser.at, other, s.browser.Seal(Rtp(2))).size(), 1u);
  EXPECT_EQ(s.w.Give(s.outside, kPhone, Rtp(1)).at(0).to, other);
  const Bytes stranger = {0x80, 0, 0, 1};
  EXPECT_TRUE(s.w.Give(s.browser.at, kBrowser, stranger).empty());
}

TEST(WebRtc, AHoldKeepsKeysAndANewUserFragmentBeginsIceAnew) {
  Scene s;
  s.Call();
  s.browser.Checks(kBrowser, true);
  s.browser.Shake(true, kBrowser);
  s.w.is_answered = true;
  (void)s.w.Offer(s.browser.Sdp("actpass", "a=sendonly\r\n"));
  const std::string again = s.w.Answer(Sdp("198.51.100.7", 6000));
  EXPECT_EQ(LineIn(again, "ice-ufrag:"), s.browser.peer.user.view());
  EXPECT_EQ(s.w.Give(s.browser.at, kBrowser, s.browser.Seal(Rtp(1))).size(), 1u);
  // ICE again: the address has to be proven anew, the keys stay.
  s.browser.own.user.Assign("anew");
  (void)s.w.Offer(s.browser.Sdp("actpass"));
  s.browser.Hear(s.w.Answer(Sdp("198.51.100.7", 6000)));
  EXPECT_TRUE(s.w.Give(s.browser.at, kBrowser, s.browser.Seal(Rtp(2))).empty());
  const net::Endpoint moved = At("192.0.2.200:5");
  EXPECT_EQ(s.browser.Checks(moved, true), 2);
  EXPECT_EQ(s.w.Give(s.browser.at, moved, s.browser.Seal(Rtp(3))).size(), 1u);
}

TEST(WebRtc, PlacesForHandshakesAreBoundedAndGivenBack) {
  Scene s(Config::When::kNeeded, Capacity::For(20));
  s.Call();
  EXPECT_EQ(s.w.dtls->handshake_capacity(), 4u);
  s.browser.Checks(kBrowser, true);
  // What is no hello ends at once, and does not keep the peer from saying one.
  const Bytes nonsense = {22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1};
  s.w.Give(s.browser.at, kBrowser, nonsense);
  EXPECT_EQ(s.w.dtls->handshake_count(), 0u);
  s.w.keys_failed.clear();
  s.w.Give(s.browser.at, kBrowser, s.browser.FirstFlight());
  EXPECT_EQ(s.w.dtls->handshake_count(), 1u);
  s.w.Pass(kDtlsPatience + Duration::Seconds(2));
  EXPECT_EQ(s.w.dtls->handshake_count(), 0u);
  ASSERT_EQ(s.w.keys_failed.size(), 1u);
}

TEST(WebRtc, BrowsersBetweenThemselvesAreLeftAlone) {
  Scene s;
  s.w.callee.is_web = true;
  EXPECT_EQ(s.w.Show(true, Method::kInvite, 0, s.browser.Sdp("actpass")).kind,
            MediaVerdict::Kind::kAsIs);
}

// Two browsers with sound and pictures, relayed.
struct Couple {
  explicit Couple() : w(Config::When::kAlways, Capacity::For(20), 4), caller(w), callee(w) {
    w.caller.is_web = w.callee.is_web = true;
    w.callee.local = w.callee.shown = w.caller.local;
    w.callee.remote = At("198.51.100.7:5060");
    callee.own.user.Assign("calleeXX");
  }
  // As a browser says it: at first with a port of its own, later, or by max-bundle, without.
  static std::string Video(const Browser& of, int port, const std::string& more = "") {
    return "m=video " + std::to_string(port) +
           " UDP/TLS/RTP/SAVPF 96 97\r\nc=IN IP4 0.0.0.0\r\n"
           "a=ice-ufrag:" +
           std::string(of.own.user.view()) +
           "\r\na=ice-pwd:" + std::string(of.own.password.view()) +
           "\r\na=fingerprint:" + of.fingerprint() +
           "\r\na=setup:actpass\r\na=mid:1\r\na=rtcp-mux\r\n"
           "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=rtpmap:96 VP8/90000\r\n"
           "a=rtcp-fb:96 nack pli\r\na=ssrc-group:FID 7 8\r\n" +
           more;
  }
  World w;
  Browser caller, callee;
};

std::string VideoIn(const std::string& sdp) { return sdp.substr(sdp.find("m=video")); }

TEST(WebRtc, BetweenBrowsersABundleStaysOneTransport) {
  for (const bool is_bundle_only : {false, true}) {
    Couple c;
    const int port = is_bundle_only ? 0 : 4002;
    const std::string offer = c.w.Offer(c.caller.Sdp(
        "actpass", Couple::Video(c.caller, port, is_bundle_only ? "a=bundle-only\r\n" : "")));
    EXPECT_NE(offer.find("a=group:BUNDLE 0 1\r\n"), std::string::npos);
    const std::string video = VideoIn(offer);
    EXPECT_TRUE(video.starts_with("m=video 0 UDP/TLS/RTP/SAVPF 96 97\r\n")) << video;
    EXPECT_NE(video.find("a=bundle-only\r\n"), std::string::npos);
    EXPECT_EQ(video.find("a=bundle-only\r\n"), video.rfind("a=bundle-only\r\n"));
    for (const char* gone : {"a=ice", "a=candidate", "a=fingerprint", "a=setup", "a=crypto"}) {
      EXPECT_EQ(video.find(gone), std::string::npos) << gone << " in " << video;
    }
    for (const char* kept : {"a=mid:1", "a=rtcp-mux", "a=extmap:4", "a=rtcp-fb:96", "ssrc-group"}) {
      EXPECT_NE(video.find(kept), std::string::npos) << kept << " in " << video;
    }
    c.callee.Hear(offer);
    const std::string answer = c.w.Answer(c.callee.Sdp("active", Couple::Video(c.callee, 4000)));
    EXPECT_NE(answer.find("a=group:BUNDLE 0 1\r\n"), std::string::npos);
    EXPECT_EQ(PortIn(answer), PortIn(answer, "video"));
    EXPECT_EQ(VideoIn(answer).find("bundle-only"), std::string::npos);
    c.caller.Hear(answer);
    EXPECT_EQ(c.w.relay->stream_count(), 1u);
    EXPECT_EQ(c.w.relay->web_count(), 2u);
    const net::Endpoint far = At("198.51.100.7:7000");
    EXPECT_EQ(c.caller.Checks(kBrowser, true), 2);
    EXPECT_EQ(c.callee.Checks(far, true), 2);
    c.caller.Shake(true, kBrowser);
    c.callee.Shake(true, far);
    ASSERT_TRUE(c.caller.is_keyed && c.callee.is_keyed);
    // Sound, a picture, its repetition, and reports: each sender's numbers are its own.
    for (uint8_t sender = 1; sender < kSsrcMax; ++sender) {
      Bytes packet = Rtp(5);
      packet[11] = sender;
      const auto out = c.w.Give(c.caller.at, kBrowser, c.caller.Seal(packet));
      ASSERT_EQ(out.size(), 1u);
      EXPECT_EQ(out[0].to, far);
      EXPECT_EQ(out[0].from, c.callee.at);
      EXPECT_EQ(c.callee.Open(out[0].data), packet);
    }
    const auto out = c.w.Give(c.callee.at, far, c.callee.Seal(kReport));
    ASSERT_EQ(out.size(), 1u);
    EXPECT_EQ(out[0].to, kBrowser);
    EXPECT_EQ(c.caller.Open(out[0].data), kReport);
    EXPECT_EQ(c.w.flows.size(), 2u);  // one each way, whatever comes by it
    // Said again, all of it has a port.
    c.w.is_answered = true;
    const std::string again = c.w.Offer(c.caller.Sdp("actpass", Couple::Video(c.caller, 4000)));
    EXPECT_EQ(PortIn(again), PortIn(again, "video"));
    EXPECT_EQ(PortIn(again), PortIn(offer));
    c.w.anchor->OnEnded(c.w.call_id, "a", "b");
    EXPECT_EQ(c.w.relay->web_count() + c.w.relay->port_count(), 0u);
  }
}

TEST(WebRtc, ABrowserThatLeavesTheGroupHasItsFirstSectionAlone) {
  Couple c;
  (void)c.w.Offer(c.caller.Sdp("actpass", Couple::Video(c.caller, 4002)));
  std::string sdp = c.callee.Sdp("active", Couple::Video(c.callee, 4444));
  sdp.erase(sdp.find("a=group:BUNDLE 0 1\r\n"), 20);
  const std::string answer = c.w.Answer(sdp);
  EXPECT_NE(PortIn(answer), 0);
  EXPECT_EQ(PortIn(answer, "video"), 0);
  EXPECT_EQ(VideoIn(answer).find("a=candidate"), std::string::npos);
  EXPECT_EQ(c.w.relay->stream_count(), 1u);
}

TEST(WebRtc, WithoutItsFirstSectionAGroupHasNoTransport) {
  Couple c;
  (void)c.w.Offer(c.caller.Sdp("actpass", Couple::Video(c.caller, 4002)));
  std::string sdp = c.callee.Sdp("active", Couple::Video(c.callee, 4444));
  sdp.replace(sdp.find("m=audio 4000"), 12, "m=audio 0");
  const std::string answer = c.w.Answer(sdp);
  EXPECT_EQ(PortIn(answer), 0);
  EXPECT_EQ(PortIn(answer, "video"), 0);
  EXPECT_EQ(c.w.relay->stream_count(), 0u);
}

TEST(WebRtc, WithTheModeOffDtlsIsCarried) {
  Scene s(Config::When::kAlways);
  Config config = s.w.relay->config();
  config.ends_dtls = false;
  s.w.relay->Apply(config);
  const std::string offer = s.w.Offer(s.browser.Sdp("actpass"));
  EXPECT_NE(offer.find(std::string(s.browser.dtls->fingerprint())), std::string::npos);
}

TEST(WebRtc, AFingerprintThatIsWeakOrMalformedIsRefused) {
  EXPECT_EQ(Fingerprint::Of("sha-1 00:11").size, 0);
  EXPECT_EQ(Fingerprint::Of("sha-256").size, 0);
  std::string text = "sha-256 ";
  for (int i = 0; i < 31; ++i) {
    text += "a0:";
  }
  EXPECT_EQ(Fingerprint::Of(text + "0").size, 0);
  EXPECT_EQ(Fingerprint::Of(text + "0f:").size, 0);
  EXPECT_EQ(Fingerprint::Of(text + "0g").size, 0);
  EXPECT_EQ(Fingerprint::Of(text + "0f").size, 32);
  Scene s;
  std::string sdp = s.browser.Sdp("actpass");
  sdp.replace(sdp.find("sha-256"), 7, "sha-1  ");
  EXPECT_EQ(s.w.Show(true, Method::kInvite, 0, sdp).status, 488);
}

}  // namespace
}  // namespace gh::rtp
