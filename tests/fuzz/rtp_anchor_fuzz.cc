// A dialog's media as a hostile sequence: descriptions as offers and answers of either side, by any
// method, of phones, browsers and both sides of a traversal zone; and packets to the ports that
// were given and to the shared one: RTP, checks of ICE, DTLS, frames. Nothing is left when the
// dialog ends, whatever came; what is written can be read again.
#include "hal/rt/bytes.h"
#include "tests/fuzz/rtp_scene.h"

using namespace gh;

namespace {

using rtp::fuzz::kFar;
using rtp::fuzz::kMuxPort;
using rtp::fuzz::kNear;

class Dialog final : public rtp::fuzz::Scene {
 public:
  void Describe(ByteReader& in, uint8_t how);
  void Packet(ByteReader& in, uint8_t how);

  std::vector<uint16_t> ports;
};

void Dialog::Describe(ByteReader& in, uint8_t how) {
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
  x.sender.local = x.sender.shown = is_near ? kNear : kFar;
  x.receiver.local = x.receiver.shown = is_near ? kFar : kNear;
  x.sender.remote = {net::IpAddress::V4(10, 0, 0, 9), 5060};
  x.receiver.remote = {net::IpAddress::V4(10, 0, 0, 9), 5060};
  x.sender.encryption = static_cast<sip::MediaEncryption>(modes & 3);
  x.receiver.encryption = static_cast<sip::MediaEncryption>(modes >> 2 & 3);
  (is_near ? x.sender : x.receiver).speaks_ice = (how & 32) != 0;
  (is_near ? x.receiver : x.sender).speaks_ice = (how & 64) != 0;
  x.sender.passes_ice = x.receiver.passes_ice = (how & 128) != 0;
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

void Dialog::Packet(ByteReader& in, uint8_t how) {
  const uint8_t size = in.U8();
  const auto bytes = in.Take(std::min<size_t>(size, in.remaining()));
  if (ports.empty()) {
    return;
  }
  std::vector<uint8_t> data(bytes.begin(), bytes.end());
  const net::IpAddress local = (how & 1) != 0 ? kNear : kFar;
  const auto own = static_cast<uint16_t>(ports[how % ports.size()] + (how >> 7));
  const uint16_t port = (how & 0x60) == 0x60 ? kMuxPort : own;
  relay->OnRelayDatagram({local, port}, {net::IpAddress::V4(10, 0, 0, 9), uint16_t(4000 + how)},
                         data);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Dialog scene;
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
  if (!scene.is_empty()) {
    std::abort();
  }
  return 0;
}
