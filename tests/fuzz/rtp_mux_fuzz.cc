// The port that both sides of a traversal zone share, under hostile datagrams: an Edge and a Core
// with one call between them. The input is a list of datagrams, each from one of four places, some
// as they are, some with the right credentials, channel or transaction put in, so that all of the
// framing is reached. Whoever did not prove itself reaches no phone, and nothing is left.
#include <algorithm>
#include <cstring>
#include <string>

#include "firmware/turn/stun.h"
#include "hal/rt/bytes.h"
#include "tests/fuzz/rtp_scene.h"

using namespace gh;

namespace {

using rtp::fuzz::kFar;
using rtp::fuzz::kMuxPort;
using rtp::fuzz::kNear;

constexpr net::Endpoint kPhone{net::IpAddress::V4(10, 0, 0, 9), 4000};
constexpr net::IpAddress kPeer = net::IpAddress::V4(198, 51, 100, 7);
const net::Endpoint kServer{kPeer, kMuxPort};

std::string Description(const std::string& address, int port, const std::string& more) {
  return "v=0\r\no=- 1 1 IN IP4 " + address + "\r\ns=-\r\nc=IN IP4 " + address +
         "\r\nt=0 0\r\nm=audio " + std::to_string(port) + " RTP/AVP 0\r\n" + more;
}

class Side final : public rtp::fuzz::Scene {
 public:
  explicit Side(bool is_server) : is_server_(is_server) {}

  Result<void> Send(const net::Endpoint&, const net::Endpoint& to, std::span<const uint8_t> data,
                    bool) override {
    to_phone += to.address == kPhone.address ? 1 : 0;
    const auto message = turn::Message::Parse(data);
    if (message.ok() && message->cls() == turn::Class::kRequest) {
      transaction = message->transaction();
    }
    return Ok();
  }

  // A phone inside calls through the zone, and the other side answers.
  void Begin() {
    sip::MediaExchange x = Exchange(true);
    const std::string offer = Description("10.0.0.9", 4000, "");
    x.body = offer;
    const std::string sent(anchor->OnDescription(x).body);
    Take(sent);
    x = Exchange(false);
    const std::string line = "a=x-gatehouse-mux:1";
    const std::string answer =
        is_server_ ? Description("198.51.100.7", 9, line + "\r\n")
                   : Description("198.51.100.7", kMuxPort,
                                 line + " 2776 16400 useruser passwordpasswordpassword\r\n");
    x.body = answer;
    Take(std::string(anchor->OnDescription(x).body));
    if (is_server_ != (channel != 0)) {
      std::abort();  // credentials are the server's to give, and are told to nobody else
    }
    if (!is_server_) {
      channel = 16400;
      user = "useruser";
      password = "passwordpasswordpassword";
    }
    is_proven = false;
    to_phone = 0;
  }

  void Datagram(ByteReader& in);
  void End() {
    anchor->OnEnded("call", "a", "b");
    if (!is_empty()) {
      std::abort();
    }
    channel = 0;
  }

  uint32_t to_phone = 0;
  bool is_proven = false;  // a datagram with the right credentials came
  uint16_t channel = 0;
  std::string user, password;
  turn::TransactionId transaction = {};

 private:
  sip::MediaExchange Exchange(bool is_offer) const {
    sip::MediaSide phone, zone;
    phone.local = phone.shown = kNear;
    phone.remote = {kPhone.address, 5060};
    zone.local = zone.shown = kFar;
    zone.remote = {kPeer, 7001};
    zone.traversal = is_server_ ? sip::TraversalRole::kServer : sip::TraversalRole::kClient;
    sip::MediaExchange x;
    x.call_id = "call";
    x.from_tag = "a";
    x.to_tag = is_offer ? "" : "b";
    x.status = is_offer ? uint16_t{0} : uint16_t{200};
    x.sender = is_offer ? phone : zone;
    x.receiver = is_offer ? zone : phone;
    return x;
  }

  // What the server says of itself.
  void Take(const std::string& sdp) {
    const size_t at = sdp.find("a=x-gatehouse-mux:1 ");
    if (at == std::string::npos) {
      return;
    }
    const std::string line = sdp.substr(at + 18, sdp.find('\r', at) - at - 18);
    const auto said = rtp::ParseMux(line);
    if (!said) {
      std::abort();
    }
    channel = said->channel;
    user = said->user;
    password = said->password;
  }

  bool is_server_;
};

// A request or an answer with attributes of the input in it, signed as the peer would.
std::vector<uint8_t> Signed(Side& side, bool is_request, std::span<const uint8_t> more) {
  std::vector<uint8_t> out(512);
  const turn::TransactionId own = {1, 2, 3};
  turn::Builder b(out, is_request ? turn::Class::kRequest : turn::Class::kSuccess,
                  turn::Method::kBinding, is_request ? own : side.transaction);
  b.Text(turn::kUserName, side.user + ":core");
  b.U32(turn::kChannelNumber, static_cast<uint32_t>(side.channel) << 16);
  if (more.size() > 2) {
    b.Bytes(static_cast<uint16_t>(0x8000 | more[0] << 8 | more[1]), more.subspan(2));
  }
  b.Sign(turn::Integrity::kSha1, AsBytes(std::string_view(side.password)));
  b.Fingerprint();
  const auto done = b.Finish();
  return {done.begin(), done.end()};
}

void Side::Datagram(ByteReader& in) {
  const uint8_t how = in.U8();
  const auto bytes = in.Take(std::min<size_t>(in.U8(), in.remaining()));
  std::vector<uint8_t> data(bytes.begin(), bytes.end());
  const uint8_t kind = how & 3;
  if (kind == 1) {
    data = Signed(*this, is_server_, bytes);
    is_proven = true;
  } else if (kind == 2 && data.size() >= 4) {
    data[0] = static_cast<uint8_t>(channel >> 8);
    data[1] = static_cast<uint8_t>(channel);
  } else if (kind == 3 && data.size() >= 20) {
    std::ranges::copy(transaction, data.begin() + 8);
  }
  const net::Endpoint remote =
      (how & 4) == 0 ? kServer : net::Endpoint{kPeer, static_cast<uint16_t>(1000 + (how >> 6))};
  const net::IpAddress local = (how & 8) == 0 ? kFar : kNear;
  relay->OnRelayDatagram({local, kMuxPort}, remote, data);
  if (!is_proven && to_phone != 0) {
    std::abort();
  }
  if ((how & 0x30) == 0x30) {
    clock.now = clock.now + Duration::Seconds(how >> 6);
    (void)timers.Advance(clock.now);
  }
}

// What is understood of the line is written as it was.
void CheckLine(std::string_view text) {
  const auto said = rtp::ParseMux(text);
  if (!said || said->port == 0) {
    return;
  }
  uint8_t bytes[rtp::kMuxTextMax];
  ByteWriter out(bytes);
  rtp::WriteMux(*said, out);
  const auto again = rtp::ParseMux(out.text());
  if (!out.ok() || !again || again->port != said->port || again->channel != said->channel ||
      again->user != said->user || again->password != said->password) {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Side server(true);
  static Side client(false);
  ByteReader in({data, size});
  if (size > 0 && data[0] == '1') {
    CheckLine(AsText(std::span(data, size)));
    return 0;
  }
  Side& side = (in.U8() & 1) != 0 ? server : client;
  side.Begin();
  for (uint32_t i = 0; i < 64 && in.remaining() > 2; ++i) {
    side.Datagram(in);
  }
  side.End();
  return 0;
}
