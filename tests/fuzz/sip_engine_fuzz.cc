// The whole engine under a script: each command of the input is a datagram, bytes on a stream, a
// stream coming or going, a name answered or not, or time passing. Messages may be built from parts
// of earlier replies, so that transactions and dialogs are reached. Where the input asks for them
// there are zones (sip_zones_scene.h), a media anchor, browsers and phones that keep their flows.
// At the end, after all timers, every pool is as it was.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "tests/fuzz/sip_zones_scene.h"

namespace {

using gh::Duration;
using gh::sip::fuzz::ZonesScene;
using gh::sip::test::At;
using gh::sip::test::Sent;
using gh::sip::test::World;

const char* const kMethods[] = {"INVITE",   "ACK",     "BYE",     "CANCEL",
                                "REGISTER", "OPTIONS", "MESSAGE", "PRACK"};
const char* const kUsers[] = {"alice", "bob", "carol", "dave"};
const char* const kHeaders[] = {
    "",
    "Route: <sip:192.0.2.1;lr>\r\n",
    "Route: <sip:far.example>\r\n",
    "Contact: *\r\nExpires: 0\r\n",
    "Max-Breadth: 1\r\n",
    "Require: path\r\nPath: <sip:p.example;lr>\r\n",
    "Proxy-Require: x\r\n",
    "Via: SIP/2.0/TCP x;branch=z9hG4bKold\r\n",
};

struct Script {
  const uint8_t* data;
  size_t size;
  size_t at = 0;
  uint8_t Byte() { return at < size ? data[at++] : 0; }
  std::string Bytes() {
    const size_t wanted = static_cast<size_t>(Byte()) * 4;
    const size_t count = wanted < size - at ? wanted : size - at;
    std::string out(reinterpret_cast<const char*>(data + at), count);
    at += count;
    return out;
  }
};

class Play {
 public:
  explicit Play(const Script& script)
      : script_(script), world_(MakeConfig(script_.Byte()), MakeCapacity(), 8u << 20) {
    if (script_.size != 0 && (script_.data[0] & kHasZones) != 0) {
      zones_ = std::make_unique<ZonesScene>(world_, script_.Byte());
    }
    world_.AddAddress("far.example", "198.51.100.1");
    world_.AddSrv("_sip._tcp.p.example", 1, 1, 5070, "far.example");
  }
  void Run() {
    for (int step = 0; step < 200 && script_.at < script_.size; ++step) {
      Step();
      KeepSome();
    }
    world_.hold_network = false;
    world_.Settle();
    if (zones_ != nullptr) {
      zones_->Stop();
    }
    for (const auto stream : streams_) {
      world_.Hangup(stream);
    }
    world_.Advance(Duration::Hours(26));
    if (zones_ != nullptr) {
      zones_->EndMedia();
    }
    if ((zones_ != nullptr && !zones_->is_empty()) || !world_.Busy().empty() ||
        world_.engine().registration_count() != 0 || world_.engine().stream_count() != 0) {
      std::abort();
    }
  }

 private:
  static constexpr uint8_t kHasZones = 128;
  // Little: what takes long is making the world, and what is small runs out sooner.
  static gh::sip::Capacity MakeCapacity() {
    gh::sip::Capacity c = World::SmallCapacity();
    c.buffers = {40, 40, 40, 4, 1};
    c.calls = 4;
    c.subscriptions = 2;
    return c;
  }
  static gh::sip::Config MakeConfig(uint8_t bits) {
    gh::sip::Config config = World::DefaultConfig();
    config.authenticate_register = (bits & 1) != 0;
    config.authenticate_requests = (bits & 2) != 0;
    config.accept_foreign_senders = (bits & 4) != 0;
    config.record_route = (bits & 8) == 0;
    config.occupancy_max = (bits & 32) != 0 ? 900 : 1000;
    config.unproven_replies_per_s = (bits & 16) != 0 ? 5 : 0;
    config.presence.is_on = (bits & 64) != 0;
    config.presence.publications_max = 2;
    config.presence.watchers_max = 3;
    return config;
  }
  gh::net::Endpoint Peer() {
    return {gh::net::IpAddress::V4(192, 0, 2, static_cast<uint8_t>(20 + (script_.Byte() & 3))),
            5060};
  }
  void Step() {
    const uint8_t what = script_.Byte();
    if (what >= 220 && world_.engine().config().presence.is_on) {
      world_.Deliver(Peer(), PresenceRequest());
      return;
    }
    if (what >= 110 && zones_ != nullptr) {
      ZonesStep(what);
      return;
    }
    switch (what % 11) {
      case 0:
        world_.Deliver(Peer(), script_.Bytes());
        break;
      case 1:
      case 2:
        world_.Deliver(Peer(), Request());
        break;
      case 3:
      case 4:
        AnswerSomething();
        break;
      case 5:
        Replay();
        break;
      case 6:
        world_.Advance(Duration::Milliseconds(int64_t{1} << (script_.Byte() % 18)));
        break;
      case 7:
        StreamStep();
        break;
      case 8:
        world_.hold_network = !world_.hold_network;
        world_.Settle();
        break;
      case 9:
        world_.engine().OnOccupancy(script_.Byte() * 4u);
        break;
      default:
        world_.refusing["198.51.100.1:5060"] = (script_.Byte() & 1) != 0;
        break;
    }
  }
  void StreamStep() {
    const uint8_t what = script_.Byte();
    if (streams_.empty() || what % 4 == 0) {
      const auto stream = world_.Accept({Peer().address, static_cast<uint16_t>(9000 + what)});
      if (stream.valid()) {
        streams_.push_back(stream);
      }
      return;
    }
    const auto stream = streams_[what % streams_.size()];
    switch (what % 5) {
      case 0:
        world_.Hangup(stream);
        break;
      case 1:
        world_.Feed(stream, script_.Bytes());
        break;
      case 2:
        world_.stream(stream).blocked = !world_.stream(stream).blocked;
        break;
      default:
        world_.Feed(stream, Request());
        break;
    }
  }
  std::string Request() {
    const std::string method = kMethods[script_.Byte() % 8];
    const std::string user = kUsers[script_.Byte() % 4];
    const std::string callee = kUsers[script_.Byte() % 4];
    const uint8_t numbers = script_.Byte();
    std::string uri = "sip:" + callee + "@example.com";
    std::string routes;
    if ((numbers & 0x80) != 0 && !seen_.empty()) {
      for (const auto& route : seen_[numbers % seen_.size()].Headers("Record-Route")) {
        routes += "Route: " + route + "\r\n";
      }
      uri = "sip:" + callee + "@192.0.2.21";
    } else if ((numbers & 0x40) != 0) {
      uri = "sip:x@far.example";
    }
    const bool is_register = method == "REGISTER";
    return method + " " + (is_register ? "sip:example.com" : uri) +
           " SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bK" + std::to_string(numbers & 7) +
           ";rport\r\nMax-Forwards: 70\r\nFrom: <sip:" + user +
           "@example.com>;tag=f\r\nTo: <sip:" + (is_register ? user : callee) + "@example.com>" +
           ((numbers & 0x20) != 0 ? ";tag=t" : "") + "\r\nCall-ID: c" +
           std::to_string(numbers & 3) + "\r\nCSeq: " + std::to_string(1 + numbers % 5) + " " +
           method + "\r\nContact: <sip:" + user + "@192.0.2.2" + std::to_string(numbers & 3) +
           ">\r\n" + routes + kHeaders[script_.Byte() % 8] + "Content-Length: 0\r\n\r\n";
  }
  // PUBLISH and SUBSCRIBE, with tags of ours that were seen.
  std::string PresenceRequest() {
    const uint8_t numbers = script_.Byte();
    const std::string user = kUsers[numbers >> 2 & 3];
    const std::string about = kUsers[numbers & 3];
    const bool is_publish = (numbers & 0x80) != 0;
    const std::string method = is_publish ? "PUBLISH" : "SUBSCRIBE";
    std::string tag, etag;
    for (const Sent& sent : seen_) {
      if ((numbers & 0x40) != 0 && !sent.IsRequest()) {
        const std::string to = sent.Header("To");
        tag = to.find(";tag=") == std::string::npos ? tag : to.substr(to.find(";tag="));
        etag = sent.Header("SIP-ETag").empty() ? etag : sent.Header("SIP-ETag");
      }
    }
    const bool has_body = is_publish && (numbers & 0x20) == 0;
    const std::string body =
        has_body ? "<presence xmlns='urn:ietf:params:xml:ns:pidf'><tuple id='a'><status>" +
                       script_.Bytes() + "</status></tuple></presence>"
                 : std::string();
    return method + " sip:" + (is_publish ? user : about) +
           "@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bKp" +
           std::to_string(seen_.size()) + std::to_string(numbers) +
           ";rport\r\nMax-Forwards: 70\r\nFrom: <sip:" + user +
           "@example.com>;tag=f\r\nTo: <sip:" + about + "@example.com>" +
           (is_publish ? std::string() : tag) + "\r\nCall-ID: p" + std::to_string(numbers & 3) +
           "\r\nCSeq: " + std::to_string(1 + script_.Byte()) + " " + method +
           "\r\nEvent: presence\r\nExpires: " + std::to_string(script_.Byte() * 10) +
           "\r\nContact: <sip:" + user + "@192.0.2.2" + std::to_string(numbers & 3) + ">\r\n" +
           (is_publish && !etag.empty() ? "SIP-If-Match: " + etag + "\r\n" : std::string()) +
           (has_body ? "Content-Type: application/pidf+xml\r\n" : "") +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }
  // Among zones. What is picked and how it looks are the script's.
  void ZonesStep(uint8_t what) {
    zones_->AdvanceMedia();
    const Sent* seen = seen_.empty() ? nullptr : &seen_[script_.Byte() % seen_.size()];
    const uint8_t how = script_.Byte();
    switch (what % 6) {
      case 0:
        zones_->Open(how);
        return;
      case 1:
        zones_->Prove(how);
        return;
      case 2:
        if (seen != nullptr) {
          zones_->Answer(*seen, how, script_.Byte());
        }
        return;
      case 3:
        zones_->Close(how);
        return;
      default: {
        const uint8_t whence = script_.Byte();
        const uint8_t body = script_.Byte();
        const std::string raw = body == 0xff ? script_.Bytes() : std::string();
        zones_->Request(seen, {how, whence, body, raw, script_.Byte()});
      }
    }
  }
  void AnswerSomething() {
    if (seen_.empty()) {
      return;
    }
    const Sent& request = seen_[script_.Byte() % seen_.size()];
    const int status = 100 + (script_.Byte() % 7) * 100 + script_.Byte() % 90;
    if (!request.IsRequest() || status > 699) {
      return;
    }
    std::string text = "SIP/2.0 " + std::to_string(status) + " x\r\n";
    for (const char* name : {"Via", "Record-Route", "From", "Call-ID", "CSeq"}) {
      for (const auto& value : request.Headers(name)) {
        text += std::string(name) + ": " + value + "\r\n";
      }
    }
    text += "To: " + request.Header("To") + ";tag=t\r\nContent-Length: 0\r\n\r\n";
    world_.Deliver(request.to, text);
  }
  void Replay() {
    if (!seen_.empty()) {
      const Sent& sent = seen_[script_.Byte() % seen_.size()];
      world_.Deliver(sent.to, sent.text);
    }
  }
  void KeepSome() {
    while (!world_.empty()) {
      Sent sent = world_.Take();
      if (zones_ != nullptr && !zones_->Unframe(sent)) {
        continue;
      }
      if (seen_.size() < 32) {
        seen_.push_back(std::move(sent));
      } else {
        seen_[next_++ % seen_.size()] = std::move(sent);
      }
    }
    world_.events.clear();
  }

  Script script_;
  World world_;
  std::unique_ptr<ZonesScene> zones_;
  std::vector<Sent> seen_;
  std::vector<gh::net::StreamId> streams_;
  size_t next_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  gh::test::Memory::keeps = true;
  Play(Script{data, size}).Run();
  return 0;
}
