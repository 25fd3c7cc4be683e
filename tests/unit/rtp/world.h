// The anchor and the relay without a network: a dialog's descriptions are shown by hand, packets
// given, and what leaves is kept.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "crypto/init.h"
#include "firmware/rtp/anchor.h"
#include "hal/rt/base64.h"
#include "tests/unit/net/fake_wire.h"

namespace gh::rtp::test {

using sip::MediaEncryption;
using sip::MediaVerdict;
using sip::Method;
using Bytes = std::vector<uint8_t>;

inline net::Endpoint At(std::string_view text) { return net::Endpoint::Parse(text).value_or({}); }
inline net::IpAddress Ip(std::string_view text) { return net::IpAddress::Parse(text).value_or({}); }

inline const std::string kOwnKey = "NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj";
inline const std::string kTheirKey = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

inline std::string Sdp(const std::string& address, int port,
                       const std::string& protocol = "RTP/AVP", const std::string& more = "") {
  return "v=0\r\no=- 1 1 IN IP4 " + address + "\r\ns=-\r\nc=IN IP4 " + address +
         "\r\nt=0 0\r\nm=audio " + std::to_string(port) + " " + protocol + " 0\r\n" + more;
}
inline std::string Crypto(const std::string& key, int tag = 1) {
  return "a=crypto:" + std::to_string(tag) + " AES_CM_128_HMAC_SHA1_80 inline:" + key + "\r\n";
}

struct Sent {
  net::Endpoint from, to;
  Bytes data;
};

class World final : public media::Relay, Observer {
 public:
  explicit World(Config::When when = Config::When::kAlways, Capacity capacity = Capacity::For(20),
                 uint32_t handshakes = 0)
      : bytes_(capacity.ArenaBytes() + (handshakes != 0 ? Dtls::ArenaBytes(handshakes) : 0)),
        memory_(new uint8_t[bytes_]),  // and not a byte more
        arena_({memory_.get(), bytes_}),
        entropy_(7),
        random_(entropy_),
        timers_(clock.now) {
    crypto::Initialise();
    if (handshakes != 0) {
      dtls = arena_.New<Dtls>(Dtls::Parts{arena_, timers_, random_, clock}, handshakes);
      EXPECT_TRUE(dtls->Prepare().ok());
    }
    relay = arena_.New<rtp::Relay>(Ports{arena_, *this, timers_, random_, *this, dtls}, capacity);
    Config config;
    config.ends_dtls = handshakes != 0;
    config.enabled = true;
    config.when = when;
    config.addresses = {Ip("10.1.1.1"), Ip("203.0.113.1")};
    config.address_count = 2;
    config.inactivity = Duration::Seconds(60);
    relay->Apply(config);
    anchor = arena_.New<Anchor>(arena_, *relay, random_);
    caller.local = caller.shown = Ip("10.1.1.1");
    caller.remote = At("10.1.1.50:5060");
    callee.local = Ip("203.0.113.1");
    callee.shown = Ip("203.0.113.1");
    callee.remote = At("198.51.100.7:5060");
  }
  ~World() {
    relay->Apply({});
    if (dtls != nullptr) {
      dtls->~Dtls();
    }
  }

  MediaVerdict Show(bool from_caller, Method method, uint16_t status, std::string_view body,
                    bool requested_by_caller = true) {
    sip::MediaExchange x;
    x.call_id = call_id;
    x.from_tag = requested_by_caller ? "a" : "b";
    x.to_tag = status == 0 && method == Method::kInvite && !is_answered ? ""
               : requested_by_caller                                    ? "b"
                                                                        : "a";
    x.method = method;
    x.status = status;
    x.sender = from_caller ? caller : callee;
    x.receiver = from_caller ? callee : caller;
    x.body = body;
    is_answered = is_answered || status == 200;
    return anchor->OnDescription(x);
  }
  std::string Offer(const std::string& sdp) {
    const auto v = Show(true, Method::kInvite, 0, sdp);
    EXPECT_EQ(v.kind, MediaVerdict::Kind::kReplaced);
    return std::string(v.body);
  }
  std::string Answer(const std::string& sdp, uint16_t status = 200) {
    const auto v = Show(false, Method::kInvite, status, sdp);
    EXPECT_EQ(v.kind, MediaVerdict::Kind::kReplaced);
    return std::string(v.body);
  }
  // What leaves when this arrives.
  std::vector<Sent> Give(const net::Endpoint& local, const net::Endpoint& remote, Bytes data) {
    sent.clear();
    EXPECT_TRUE(relay->OnRelayDatagram(local, remote, data));
    return sent;
  }
  void Pass(Duration duration) {
    for (int64_t s = 0; s < duration.ns / 1'000'000'000; ++s) {
      clock.now = clock.now + Duration::Seconds(1);
      (void)timers_.Advance(clock.now);
    }
  }

  void Tick(Duration duration) {
    clock.now = clock.now + duration;
    (void)timers_.Advance(clock.now);
  }
  template <typename Change>
  void Configure(Change&& change) {
    Config config = relay->config();
    change(config);
    relay->Apply(config);
  }

  media::Flow* AddFlow(const media::FlowSpec& spec) override {
    if (carrier != nullptr) {
      return carrier->AddFlow(spec);
    }
    auto* flow = new media::Flow;
    flow->spec = spec;
    flows.insert(flow);
    return flow;
  }
  void RemoveFlow(media::Flow* flow) override {
    if (carrier != nullptr) {
      carrier->RemoveFlow(flow);
      return;
    }
    GH_ASSERT_EQ(flows.erase(flow), 1u);
    delete flow;
  }
  Result<void> Send(const net::Endpoint& from, const net::Endpoint& to,
                    std::span<const uint8_t> data, bool dont_fragment) override {
    if (carrier != nullptr) {
      return carrier->Send(from, to, data, dont_fragment);
    }
    sent.push_back({from, to, Bytes(data.begin(), data.end())});
    return Ok();
  }
  void OnMediaEnded(const Session&, bool by_silence) override { silent += by_silence ? 1 : 0; }

  void OnMediaKeysFailed(const Session&, const net::Endpoint&, const char* why) override {
    keys_failed.emplace_back(why);
  }
  void OnPartySilent(const Session& session, uint32_t end, Duration) override {
    silent_parties.push_back(end);
    if (ends_silent) {
      relay->Close(*relay->Find(session.key));
    }
  }
  void OnIceAgreed(const Session&, const net::Endpoint& local, const net::Endpoint& remote,
                   bool) override {
    agreed.push_back({local, remote, {}});
  }
  void OnIceLost(const Session&, const char* why) override { ice_lost.emplace_back(why); }
  void OnTurnServerLost(const char* why) override { turn_lost.emplace_back(why); }
  void OnMuxLost(const Session&, const net::Endpoint&) override { ++mux_lost; }
  uint64_t arena_used() const { return arena_.used(); }

  net::test::FakeClock clock;
  sip::MediaSide caller, callee;
  std::string call_id = "one@example.com";
  bool is_answered = false;
  Dtls* dtls = nullptr;
  rtp::Relay* relay = nullptr;
  Anchor* anchor = nullptr;
  media::Relay* carrier = nullptr;  // a media plane; null: what leaves is kept here
  std::set<media::Flow*> flows;
  std::vector<Sent> sent;
  int silent = 0;
  int mux_lost = 0;
  std::vector<std::string> keys_failed;
  std::vector<uint32_t> silent_parties;
  bool ends_silent = false;
  std::vector<Sent> agreed;
  std::vector<std::string> ice_lost, turn_lost;

 private:
  uint64_t bytes_;
  std::unique_ptr<uint8_t[]> memory_;
  Arena arena_;
  net::test::SeededEntropy entropy_;
  crypto::Random random_;
  TimerWheel timers_;
};

inline uint16_t PortIn(const std::string& sdp, const std::string& type = "audio") {
  const size_t at = sdp.find("m=" + type + " ");
  return at == std::string::npos
             ? 0
             : static_cast<uint16_t>(std::stoul(sdp.substr(at + 3 + type.size())));
}
inline std::string KeyIn(const std::string& sdp,
                         const std::string& suite = "AES_CM_128_HMAC_SHA1_80") {
  const size_t at = sdp.find(suite + " inline:");
  const size_t begin = at + suite.size() + 8;
  return at == std::string::npos ? "" : sdp.substr(begin, sdp.find('\r', begin) - begin);
}
inline Bytes Rtp(uint16_t sequence, uint8_t fill = 0x55) {
  Bytes p = {0x80, 0, uint8_t(sequence >> 8), uint8_t(sequence), 0, 0, uint8_t(sequence), 0, 1, 2,
             3,    4};
  p.resize(172, fill);
  return p;
}
struct Srtp {
  explicit Srtp(const std::string& key) {
    Master master;
    ByteWriter out(master.Expose());
    EXPECT_TRUE(ReadBase64(key, out));
    context.SetKey(Suite::kAesCm128_80, master);
  }
  Bytes Seal(Bytes p) {
    const auto size = static_cast<uint32_t>(p.size());
    p.resize(size + kTagBytesMax);
    p.resize(context.Protect(p, size).value_or(0));
    return p;
  }
  Bytes Open(Bytes p) {
    p.resize(context.Unprotect(p, static_cast<uint32_t>(p.size())).value_or(0));
    return p;
  }
  SrtpContext context;
};

}  // namespace gh::rtp::test
