// What the engine's fuzz target has where its input asks for zones: a neighbour, the server's and
// the client's side of the traversal pair, search rules, a browser's listener, and media that is
// relayed. Small bytes choose what is sent; the rest is as a phone or a peer would say it.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "crypto/init.h"
#include "firmware/rtp/anchor.h"
#include "tests/unit/net/fake_wire.h"
#include "tests/unit/sip/phone.h"

namespace gh::sip::fuzz {

using test::At;
using test::Phone;
using test::Sent;
using test::World;

// Media without packets, on time of its own: what it does each second is little to see, and much to
// wait for in a day.
class Media final : public media::Relay, rtp::Observer {
 public:
  explicit Media(Instant now)
      : timers_(now),
        memory_(rtp::Capacity::For(4).ArenaBytes()),
        arena_(memory_),
        entropy_(1),
        random_(entropy_) {
    crypto::Initialise();
    relay_ = arena_.New<rtp::Relay>(rtp::Ports{arena_, *this, timers_, random_, *this, nullptr},
                                    rtp::Capacity::For(4));
    rtp::Config config;
    config.enabled = true;
    config.when = rtp::Config::When::kAlways;
    config.addresses = {net::IpAddress::V4(192, 0, 2, 1)};
    config.address_count = 1;
    config.port_rest = {};
    config.mux_port = 2776;
    relay_->Apply(config);
    anchor = arena_.New<rtp::Anchor>(arena_, *relay_, random_);
  }
  ~Media() { relay_->~Relay(); }
  bool is_empty() const {
    return relay_->session_count() + relay_->stream_count() + relay_->port_count() +
               relay_->context_count() + relay_->mux_count() ==
           0;
  }
  media::Flow* AddFlow(const media::FlowSpec&) override { return nullptr; }  // the relay's own work
  void RemoveFlow(media::Flow*) override {}
  Result<void> Send(const net::Endpoint&, const net::Endpoint&, std::span<const uint8_t>,
                    bool) override {
    return Ok();
  }
  void OnMediaEnded(const rtp::Session&, bool) override {}
  void Advance(Instant now) { (void)timers_.Advance(now); }
  rtp::Anchor* anchor = nullptr;

 private:
  TimerWheel timers_;
  gh::test::Memory memory_;
  Arena arena_;
  net::test::SeededEntropy entropy_;
  crypto::Random random_;
  rtp::Relay* relay_ = nullptr;
};

class ZonesScene {
 public:
  ZonesScene(World& world, uint8_t bits) : world_(world) {
    Config config = world.engine().config();
    config.AddListener(TransportKind::kTls, At("192.0.2.1:7001"), At("192.0.2.1:7001"), kServer);
    config.AddListener(TransportKind::kTls, At("192.0.2.1:5061"));
    config.AddListener(TransportKind::kWs, At("192.0.2.1:80"));
    config.service_route = (bits & 1) != 0;
    config.fast_path = (bits & 2) != 0;
    config.session_expires_s = (bits & 4) != 0 ? 300 : 0;
    config.AddEmergency("112", "sos");
    world.engine().Apply(config);
    if ((bits & 8) != 0) {
      media_ = std::make_unique<Media>(world.timers().now());
      world.engine().SetMediaAnchor(*media_->anchor);
    }
    dialplan::DialPlan& plan = world.engine().plan();
    plan.Begin();
    world.engine().zones().Begin();
    AddZone(kNeighbour, dialplan::ZoneType::kNeighbour, bits);
    AddZone(kServer, dialplan::ZoneType::kUcTraversalServer, bits);
    AddZone(kClient, dialplan::ZoneType::kUcTraversalClient, bits);
    if ((bits & 16) != 0) {
      dialplan::Zone strangers;
      strangers.type = dialplan::ZoneType::kDefault;
      strangers.trust = dialplan::Trust::kDoNotCheck;
      plan.SetDefault(strangers);
    }
    AddRule(1, "LocalZone", "(.*@)?example\\.com", nullptr);
    AddRule(2, "East", "carol@.*", "carol@east.example");
    AddRule(3, "Server", "(.*@)?(far|example)\\..*", nullptr);
    AddRule(4, "Client", ".*", nullptr);
    plan.Commit();
    world.engine().zones().Commit();
    world.Advance(Duration::Milliseconds(500));
  }

  // A stranger's TCP, a browser, the pair's other side with a good name or a bad one.
  void Open(uint8_t how) {
    static constexpr const char* kTo[] = {"192.0.2.1:5060", "192.0.2.1:80", "192.0.2.1:7001"};
    const uint8_t kind = how % 3;
    if (peers_.size() >= kPeersMax) {
      return;
    }
    const auto port = static_cast<uint16_t>(30'000 + peers_.size());
    const net::StreamId id =
        world_.Accept({AddressOf(how >> 2), port}, At(kTo[kind]),
                      kind == 2 ? net::StreamKind::kTls : net::StreamKind::kTcp);
    if (!id.valid()) {
      return;
    }
    world_.peer_names[id.index] = how < 0xe0 ? "core.example.com" : "mallory.example.com";
    peers_.push_back({id, kind == 1});
    if (kind == 1) {
      world_.Feed(id, net::test::ClientHandshake());
    }
  }
  void Close(uint8_t how) {
    if (!peers_.empty()) {
      world_.Hangup(peers_[how % peers_.size()].id);
    }
  }
  // OPTIONS on a stream, with the answer to the challenge that comes.
  void Prove(uint8_t how) {
    if (peers_.empty() || peers_[how % peers_.size()].is_web) {
      return;
    }
    const net::StreamId id = peers_[how % peers_.size()].id;
    const net::Endpoint at = world_.stream(id).info.remote;
    Phone script(world_, (how & 0x80) != 0 ? "bob" : "alice", World::Key(at));
    Phone::Spec spec{.method = "OPTIONS", .uri = "sip:192.0.2.1:7001"};
    spec.call_id = "prove" + std::to_string(++count_);
    world_.Feed(id, script.Build(spec));
    const Sent challenge = world_.TakeTo(at);
    if (!challenge.text.starts_with("SIP/2.0 401")) {
      return;
    }
    spec.cseq = 2;
    spec.headers = script.Authorization(challenge, "OPTIONS", spec.uri,
                                        (how & 0x40) != 0 ? "wrong" : "wonderland");
    world_.Feed(id, script.Build(spec));
  }

  struct Shape {
    uint8_t method = 0;
    uint8_t whence = 0;  // by which stream or from which address
    uint8_t body = 0;
    std::string raw = {};  // the body where it is a script's
    uint8_t headers = 0;   // bits
  };
  // In the dialog that `seen` made where it did, else out of any.
  void Request(const Sent* seen, const Shape& shape) {
    static constexpr const char* kMethods[] = {"INVITE", "ACK",    "BYE",    "REGISTER",
                                               "UPDATE", "REFER",  "INFO",   "NOTIFY",
                                               "PRACK",  "CANCEL", "INVITE", "MESSAGE"};
    static constexpr const char* kUsers[] = {"alice", "bob", "carol", "112"};
    static constexpr const char* kHosts[] = {"example.com", "far.example", "east.example",
                                             "192.0.2.1"};
    const std::string method = kMethods[shape.method % std::size(kMethods)];
    const std::string user = kUsers[shape.whence >> 4 & 3];
    const std::string host = kHosts[shape.whence >> 6];
    const bool is_in_dialog = (shape.headers & 1) != 0 && seen != nullptr;
    const bool is_register = method == "REGISTER";
    Phone phone(world_, kUsers[shape.method >> 6], World::Key({AddressOf(shape.whence), 5060}));
    Phone::Spec spec{.method = method, .uri = "sip:" + user + "@" + host};
    spec.call_id = "z" + std::to_string(shape.whence & 3);
    spec.cseq = 1 + (shape.method >> 4);
    if (is_register) {
      spec.uri = "sip:" + host;
      spec.to = "sip:" + user + "@" + host;
      spec.from = spec.to;
    }
    spec.headers = HeadersOf(shape.headers, phone);
    if (is_in_dialog) {
      const std::string contact = seen->Header("Contact");
      const size_t end = contact.find('>');
      spec.uri = contact.starts_with("<") && end != std::string::npos ? contact.substr(1, end - 1)
                                                                      : spec.uri;
      const std::string to = seen->Header("To");
      spec.to_tag = to.find(";tag=") == std::string::npos ? "tt" : to.substr(to.find(";tag=") + 5);
      spec.call_id = seen->Header("Call-ID");
      spec.headers += test::RouteSet(*seen, !seen->IsRequest());
      spec.from_tag = seen->IsRequest() ? "tt" : "ft";
      spec.to_tag = seen->IsRequest() ? "ft" : spec.to_tag;
    }
    if (is_register && (shape.headers & 2) != 0) {
      spec.contact = phone.contact() + ";reg-id=" + std::to_string(1 + (shape.body & 1)) +
                     ";+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000A95A0E12" +
                     std::to_string(shape.body >> 1 & 3) + ">\"";
    } else {
      spec.body = BodyOf(shape);
      spec.headers += spec.body.empty() ? "" : "Content-Type: application/sdp\n";
    }
    Send(shape.whence, phone.Build(spec));
  }
  void Answer(const Sent& request, uint8_t how, uint8_t body) {
    static constexpr int kStatus[] = {100, 180, 183, 200, 200, 202, 302, 401,
                                      404, 408, 420, 422, 480, 486, 503, 603};
    if (!request.IsRequest() || request.Header("CSeq").empty()) {
      return;
    }
    const int status = kStatus[how & 15];
    Phone phone(world_, "bob", World::Key(request.to));
    std::string headers;
    if (status == 401) {
      headers = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", algorithm=MD5, qop=\"auth\"\n";
    } else if ((how & 16) != 0) {
      for (const std::string& path : request.Headers("Path")) {
        headers += "Path: " + path + "\nService-Route: " + path + "\n";
      }
      headers += "Session-Expires: 120;refresher=uac\nRequire: timer\n";
    } else if ((how & 32) != 0) {
      headers = "Min-SE: 200\nRequire: 100rel\nRSeq: 1\n";
    }
    const std::string sdp = BodyOf({0, 0, body, {}, 0});
    headers += sdp.empty() ? "" : "Content-Type: application/sdp\n";
    const std::string text =
        phone.Response(request, status, (how & 64) != 0 ? "t2" : "tt", headers, sdp);
    if (!request.stream.valid()) {
      world_.Deliver(request.to, text);
    } else {
      world_.Feed(request.stream,
                  IsWeb(request.stream) ? net::test::ClientFrame(0x81, text) : text);
    }
  }
  // To a browser messages go in frames. False: it was no message.
  bool Unframe(Sent& sent) const {
    if (sent.stream.valid() && IsWeb(sent.stream)) {
      sent.text = net::test::ServerFramePayload(sent.text);
    }
    return !sent.text.empty();
  }
  void Stop() {
    world_.engine().zones().Stop();
    for (const Peer& peer : peers_) {
      world_.Hangup(peer.id);
    }
  }
  void AdvanceMedia() {
    if (media_ != nullptr) {
      media_->Advance(world_.timers().now());
    }
  }
  // What belongs to no call is ended by silence.
  void EndMedia() {
    for (int i = 0; i < 3 && media_ != nullptr; ++i) {
      media_->Advance(world_.timers().now() + Duration::Hours(2 * i));
    }
  }
  bool is_empty() const { return media_ == nullptr || media_->is_empty(); }

 private:
  static constexpr dialplan::ZoneId kNeighbour = 2;
  static constexpr dialplan::ZoneId kServer = 3;
  static constexpr dialplan::ZoneId kClient = 4;
  static constexpr size_t kPeersMax = 12;
  struct Peer {
    net::StreamId id;
    bool is_web = false;
  };

  static net::IpAddress AddressOf(uint8_t number) {
    return net::IpAddress::V4(192, 0, 2, static_cast<uint8_t>(20 + (number & 3)));
  }
  void AddZone(dialplan::ZoneId id, dialplan::ZoneType type, uint8_t bits) {
    static constexpr const char* kNames[] = {"East", "Server", "Client"};
    ZoneConfig zone;
    zone.plan.name.Assign(kNames[id - kNeighbour]);
    zone.plan.type = type;
    zone.plan.trust =
        (bits & 32) != 0 ? dialplan::Trust::kCheckCredentials : dialplan::Trust::kDoNotCheck;
    zone.plan.profile.trusts_identity = (bits & 64) != 0;
    zone.plan.profile.update =
        (bits & 128) != 0 ? dialplan::UpdateMode::kRefreshOnly : dialplan::UpdateMode::kFull;
    zone.user.Set("alice");
    zone.password.Set("wonderland");
    zone.retry = Duration::Seconds(20);
    if (type == dialplan::ZoneType::kNeighbour) {
      zone.transport = TransportKind::kUdp;
      zone.monitors = (bits & 128) != 0;
      zone.peers[0].Set("192.0.2.20");
      zone.peers[1].Set("192.0.2.21");
    } else if (type == dialplan::ZoneType::kUcTraversalServer) {
      zone.port = 7001;
      zone.verify_name.Set("core.example.com");
    } else {
      zone.port = 7002;
      zone.peers[0].Set("192.0.2.22");
      zone.peers[1].Set("192.0.2.23");
    }
    GH_ASSERT(world_.engine().plan().Add(id, zone.plan).ok());
    world_.engine().zones().Add(id, zone);
  }
  void AddRule(uint16_t number, const char* target, const char* pattern, const char* becomes) {
    dialplan::SearchRule rule;
    rule.number = rule.priority = number;
    rule.target_name.Assign(target);
    rule.mode = dialplan::RuleMode::kAliasPattern;
    rule.pattern.text.Assign(pattern);
    rule.pattern.type = dialplan::PatternType::kRegex;
    rule.pattern.behavior = becomes == nullptr ? dialplan::PatternBehavior::kLeave
                                               : dialplan::PatternBehavior::kReplace;
    rule.pattern.replacement.Assign(becomes == nullptr ? "" : becomes);
    GH_ASSERT(world_.engine().plan().Add(rule).ok());
  }
  bool IsWeb(net::StreamId id) const {
    for (const Peer& peer : peers_) {
      if (peer.id.index == id.index) {
        return peer.is_web;
      }
    }
    return false;
  }
  void Send(uint8_t whence, const std::string& text) {
    if ((whence & 8) == 0 || peers_.empty()) {
      world_.Deliver({AddressOf(whence), 5060}, text);
      return;
    }
    const Peer& peer = peers_[whence % peers_.size()];
    world_.Feed(peer.id, peer.is_web ? net::test::ClientFrame(0x81, text) : text);
  }
  static std::string HeadersOf(uint8_t bits, const Phone& phone) {
    std::string text;
    text += (bits & 2) != 0 ? "Supported: outbound, path, gruu, timer, 100rel\n" : "";
    text += (bits & 4) != 0 ? "Session-Expires: 120;refresher=uac\nMin-SE: 90\n" : "";
    text += (bits & 8) != 0 ? "Refer-To: <sip:carol@example.com?Replaces=z1%3Bto-tag%3Dtt%3B"
                              "from-tag%3Dft>\nReferred-By: " +
                                  phone.contact() + "\n"
                            : "";
    text += (bits & 16) != 0 ? "Replaces: z0;to-tag=tt;from-tag=ft\n" : "";
    text += (bits & 32) != 0 ? "Path: <sip:p@192.0.2.22:7001;lr;ob>\nExpires: 600\n" : "";
    text += (bits & 64) != 0 ? "P-Asserted-Identity: <sip:bob@example.com>\nPrivacy: id\n" : "";
    text += (bits & 128) != 0 ? "Event: refer\nSubscription-State: active\nRAck: 1 1 INVITE\n" : "";
    return text;
  }
  static std::string BodyOf(const Shape& shape) {
    if (shape.body == 0xff) {
      return shape.raw;
    }
    if ((shape.body & 1) == 0) {
      return {};
    }
    const bool is_srtp = (shape.body & 2) != 0;
    const std::string port = std::to_string(4000 + (shape.body >> 6) * 2);
    std::string text = "v=0\r\no=- 1 " + std::to_string(shape.body >> 5 & 1) +
                       " IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\nm=audio " +
                       port + (is_srtp ? " RTP/SAVP 0\r\n" : " RTP/AVP 0\r\n");
    text += is_srtp ? "a=crypto:1 AES_CM_128_HMAC_SHA1_80 "
                      "inline:NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj\r\n"
                    : "";
    text += (shape.body & 4) != 0 ? "a=sendonly\r\n" : "";
    text += (shape.body & 8) != 0 ? "m=video " + port + " RTP/AVP 96\r\nb=AS:768\r\n" : "";
    text += (shape.body & 16) != 0 ? "a=x-gatehouse-mux:1 2776 16384 abcdefgh "
                                     "abcdefghijklmnopqrstuvwx\r\n"
                                   : "";
    return text;
  }

  World& world_;
  std::unique_ptr<Media> media_;
  std::vector<Peer> peers_;
  uint32_t count_ = 0;
};

}  // namespace gh::sip::fuzz
