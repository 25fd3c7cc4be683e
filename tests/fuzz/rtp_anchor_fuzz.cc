// A dialog's media as a hostile sequence: descriptions as offers and answers of either side, by any
// method, of phones, browsers and both sides of a traversal zone; and packets to the ports that
// were given and to the shared one: RTP, checks of ICE, DTLS, frames. Nothing is left when the
// dialog ends, whatever came; what is written can be read again.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <set>
#include <vector>

#include "crypto/init.h"
#include "firmware/rtp/anchor.h"
#include "hal/rt/bytes.h"
#include "tests/unit/net/fake_wire.h"

using namespace gh;

namespace {

constexpr uint16_t kMuxPort = 2776;

class Scene final : public media::Relay, rtp::Observer {
 public:
  Scene()
      : memory_(8u << 20), arena_(memory_), entropy_(1), random_(entropy_), timers_(clock_.now) {
    crypto::Initialise();
    rtp::Capacity capacity = rtp::Capacity::For(4);
    dtls = arena_.New<rtp::Dtls>(rtp::Dtls::Parts{arena_, timers_, random_, clock_}, 4u);
    if (!dtls->Prepare().ok()) {
      std::abort();
    }
    relay =
        arena_.New<rtp::Relay>(rtp::Ports{arena_, *this, timers_, random_, *this, dtls}, capacity);
    rtp::Config config;
    config.enabled = true;
    config.when = rtp::Config::When::kAlways;
    config.addresses = {net::IpAddress::V4(10, 0, 0, 1), net::IpAddress::V4(192, 0, 2, 1)};
    config.address_count = 2;
    config.port_rest = {};
    config.ends_dtls = true;
    config.mux_port = kMuxPort;
    relay->Apply(config);
    anchor = arena_.New<rtp::Anchor>(arena_, *relay, random_);
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
  void OnMediaEnded(const rtp::Session&, bool) override {}

  void Describe(ByteReader& in, uint8_t how);
  void Packet(ByteReader& in, uint8_t how);

  rtp::Dtls* dtls = nullptr;
  rtp::Relay* relay = nullptr;
  rtp::Anchor* anchor = nullptr;
  std::unique_ptr<sdp::Description> description;
  std::set<media::Flow*> flows;
  std::vector<uint16_t> ports;

 private:
  std::vector<uint8_t> memory_;
  net::test::FakeClock clock_;
  Arena arena_;
  net::test::SeededEntropy entropy_;
  crypto::Random random_;
  TimerWheel timers_;
};

void Scene::Describe(ByteReader& in, uint8_t how) {
  constexpr sip::Method kMethods[] = {sip::Method::kInvite, sip::Method::kAck, sip::Method::kPrack,
                                      sip::Method::kUpdate};
  const uint8_t modes = in.U8();
  const auto text = in.Take(std::min<size_t>(in.U16Be(), in.remaining()));
  sip::MediaExchange x;
  x.call_id = "call";
  x.from_tag = (how & 1) != 0 ? "a" : "b";
  x.to_tag = (how & 1) != 0 ? "b" : "a";
  x.method = kMethods[how >> 1 & 3];
  x.status = (how & 8) == 0 ? uint16_t{0} : (how & 16) != 0 ? uint16_t{183} : uint16_t{200};
  const bool is_near = ((how & 1) != 0) == (x.status == 0);
  const net::IpAddress near = net::IpAddress::V4(10, 0, 0, 1);
  const net::IpAddress far = net::IpAddress::V4(192, 0, 2, 1);
  x.sender.local = x.sender.shown = is_near ? near : far;
  x.receiver.local = x.receiver.shown = is_near ? far : near;
  x.sender.remote = {net::IpAddress::V4(10, 0, 0, 9), 5060};
  x.receiver.remote = {net::IpAddress::V4(10, 0, 0, 9), 5060};
  x.sender.encryption = static_cast<sip::MediaEncryption>(modes & 3);
  x.receiver.encryption = static_cast<sip::MediaEncryption>(modes >> 2 & 3);
  x.sender.is_web = (modes & 16) != 0;
  x.receiver.is_web = (modes & 32) != 0;
  const auto role = (modes & 64) == 0    ? sip::TraversalRole::kNone
                    : (modes & 128) != 0 ? sip::TraversalRole::kServer
                                         : sip::TraversalRole::kClient;
  (is_near ? x.receiver : x.sender).traversal = role;
  x.body = AsText(text);
  const sip::MediaVerdict verdict = anchor->OnDescription(x);
  if (verdict.kind != sip::MediaVerdict::Kind::kReplaced ||
      !sdp::Parse(verdict.body, *description).ok()) {
    return;
  }
  for (const sdp::Media& media : description->sections()) {
    ports.push_back(media.port);
  }
}

void Scene::Packet(ByteReader& in, uint8_t how) {
  const uint8_t size = in.U8();
  const auto bytes = in.Take(std::min<size_t>(size, in.remaining()));
  if (ports.empty()) {
    return;
  }
  std::vector<uint8_t> data(bytes.begin(), bytes.end());
  const net::IpAddress local =
      (how & 1) != 0 ? net::IpAddress::V4(10, 0, 0, 1) : net::IpAddress::V4(192, 0, 2, 1);
  const auto own = static_cast<uint16_t>(ports[how % ports.size()] + (how >> 7));
  const uint16_t port = (how & 0x60) == 0x60 ? kMuxPort : own;
  relay->OnRelayDatagram({local, port}, {net::IpAddress::V4(10, 0, 0, 9), uint16_t(4000 + how)},
                         data);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Scene scene;
  scene.ports.clear();
  ByteReader in({data, size});
  for (uint32_t i = 0; i < 64 && in.remaining() > 2; ++i) {
    const uint8_t kind = in.U8();
    const uint8_t how = in.U8();
    if (kind % 8 == 0) {
      scene.anchor->OnFailed("call", (how & 1) != 0 ? "a" : "b", (how & 1) != 0 ? "b" : "a");
    } else if (kind % 2 == 0) {
      scene.Packet(in, how);
    } else {
      scene.Describe(in, how);
    }
  }
  scene.anchor->OnEnded("call", "a", "b");
  scene.anchor->OnEnded("call", "b", "a");
  if (scene.relay->session_count() + scene.relay->stream_count() + scene.relay->port_count() +
          scene.relay->context_count() + scene.relay->web_count() + scene.relay->mux_count() +
          scene.dtls->handshake_count() + scene.flows.size() !=
      0) {
    std::abort();
  }
  return 0;
}
