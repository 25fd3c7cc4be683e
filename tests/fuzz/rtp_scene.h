// The RTP room for fuzz targets: an anchor and a relay without a network, two addresses of ours and
// the port that traversal zones share. What leaves is counted, and shown to whoever wants it.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <set>
#include <vector>

#include "crypto/init.h"
#include "firmware/rtp/anchor.h"
#include "tests/unit/net/fake_wire.h"
#include "tests/unit/rt/memory.h"

namespace gh::rtp::fuzz {

inline constexpr uint16_t kMuxPort = 2776;
inline constexpr net::IpAddress kNear = net::IpAddress::V4(10, 0, 0, 1);
inline constexpr net::IpAddress kFar = net::IpAddress::V4(192, 0, 2, 1);

class Scene : public media::Relay, public Observer {
 public:
  Scene() : memory_(8u << 20), arena_(memory_), entropy_(1), random_(entropy_), timers(clock.now) {
    crypto::Initialise();
    dtls = arena_.New<Dtls>(Dtls::Parts{arena_, timers, random_, clock}, 4u);
    if (!dtls->Prepare().ok()) {
      std::abort();
    }
    relay = arena_.New<rtp::Relay>(Ports{arena_, *this, timers, random_, *this, dtls},
                                   Capacity::For(4));
    Config config;
    config.enabled = true;
    config.when = Config::When::kAlways;
    config.addresses = {kNear, kFar};
    config.address_count = 2;
    config.port_rest = {};
    config.ends_dtls = true;
    config.mux_port = kMuxPort;
    relay->Apply(config);
    anchor = arena_.New<Anchor>(arena_, *relay, random_);
    description = std::make_unique<sdp::Description>();
  }

  media::Flow* AddFlow(const media::FlowSpec& spec) override {
    auto* flow = new media::Flow;
    flow->spec = spec;
    flows.insert(flow);
    return flow;
  }
  void RemoveFlow(media::Flow* flow) override {
    GH_ASSERT_EQ(flows.erase(flow), 1u);
    delete flow;
  }
  Result<void> Send(const net::Endpoint&, const net::Endpoint&, std::span<const uint8_t>,
                    bool) override {
    return Ok();
  }
  void OnMediaEnded(const Session&, bool) override {}

  // Of what is held for dialogs.
  bool is_empty() const {
    return relay->session_count() + relay->stream_count() + relay->port_count() +
               relay->context_count() + relay->web_count() + relay->mux_count() +
               relay->ice_count() + dtls->handshake_count() + flows.size() ==
           0;
  }

  net::test::FakeClock clock;
  Dtls* dtls = nullptr;
  rtp::Relay* relay = nullptr;
  Anchor* anchor = nullptr;
  std::unique_ptr<sdp::Description> description;
  std::set<media::Flow*> flows;

 private:
  gh::test::Memory memory_;
  Arena arena_;
  net::test::SeededEntropy entropy_;
  crypto::Random random_;

 public:
  TimerWheel timers;
};

}  // namespace gh::rtp::fuzz
