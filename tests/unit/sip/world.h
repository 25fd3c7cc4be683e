// A world for the SIP engine: a network that records, a resolver with a zone, users with passwords,
// an observer that remembers, and time that moves when told. Used by unit and conformance tests,
// fuzz targets and benchmarks.
#pragma once

#include <deque>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "crypto/random.h"
#include "firmware/sip/engine.h"
#include "tests/unit/rt/memory.h"

namespace gh::sip::test {

inline std::string Crlf(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '\n') {
      out += "\r\n";
    } else {
      out += c;
    }
  }
  return out;
}

inline net::Endpoint At(std::string_view text) {
  if (text.find(':') == std::string_view::npos) {
    return {net::IpAddress::Parse(text).value(), 5060};
  }
  return net::Endpoint::Parse(text).value();
}

struct Sent {
  net::Endpoint to;
  std::string text;
  net::StreamId stream;  // valid: over that stream
  bool IsRequest() const { return !text.starts_with("SIP/"); }
  int Status() const { return IsRequest() ? 0 : std::stoi(text.substr(8, 3)); }
  std::string StartLine() const { return text.substr(0, text.find("\r\n")); }
  std::string Method() const { return text.substr(0, text.find(' ')); }
  // All values of a header, in order (name as written, long form).
  std::vector<std::string> Headers(const std::string& name) const {
    std::vector<std::string> values;
    size_t at = text.find("\r\n");
    while (at != std::string::npos && text.compare(at, 4, "\r\n\r\n") != 0) {
      at += 2;
      const size_t end = text.find("\r\n", at);
      const std::string line = text.substr(at, end - at);
      const size_t colon = line.find(':');
      if (colon != std::string::npos && EqualsNoCase(TrimLws(line.substr(0, colon)), name)) {
        values.emplace_back(TrimLws(std::string_view(line).substr(colon + 1)));
      }
      at = end;
    }
    return values;
  }
  std::string Header(const std::string& name) const {
    const auto values = Headers(name);
    return values.empty() ? std::string() : values[0];
  }
  std::string Body() const {
    const size_t at = text.find("\r\n\r\n");
    return at == std::string::npos ? std::string() : text.substr(at + 4);
  }
};

inline std::string ParamOf(const std::string& value, const std::string& name) {
  const std::string key = name + "=";
  size_t at = value.find(key);
  if (at == std::string::npos) {
    return {};
  }
  at += key.size();
  if (value[at] == '"') {
    return value.substr(at + 1, value.find('"', at + 1) - at - 1);
  }
  return value.substr(at, value.find_first_of(";,\r\n >", at) - at);
}

class World final : public net::DatagramService,
                    public net::StreamService,
                    public net::Resolver,
                    public Credentials,
                    public Observer,
                    public hal::Entropy {
 public:
  static constexpr std::string_view kServer = "192.0.2.1:5060";

  static Config DefaultConfig() {
    Config config;
    config.AddDomain("example.com");
    config.AddListener(TransportKind::kUdp, At(kServer));
    config.AddListener(TransportKind::kTcp, At(kServer));
    config.AddListener(TransportKind::kUdp, At("[2001:db8::1]:5060"));
    config.authenticate_register = false;
    config.authenticate_requests = false;
    config.unproven_replies_per_s = 0;
    config.expires_min_s = 10;
    return config;
  }
  static Capacity SmallCapacity() {
    Capacity c;
    c.bindings = 64;
    c.binding_overflows = 16;
    c.users = 32;
    c.server_transactions = 100;
    c.client_transactions = 100;
    c.proxies = 50;
    c.resolutions = 8;
    c.streams = 16;
    c.calls = 32;
    c.search_rules = 32;
    c.buffers = {100, 100, 100, 30, 4};
    return c;
  }

  explicit World(const Config& config = DefaultConfig(), const Capacity& capacity = SmallCapacity(),
                 size_t arena_bytes = 24u << 20, uint64_t seed = 42)
      : memory_(arena_bytes),
        arena_(memory_),
        timers_(Instant{1'000'000'000}),
        seed_(seed),
        random_(*this) {
    engine_ = arena_.New<Engine>(
        arena_, EnginePorts{*this, *this, *this, timers_, random_, *this, *this}, capacity);
    engine_->Apply(config);
    arena_.Seal();
  }
  ~World() { engine_->~Engine(); }

  Engine& engine() { return *engine_; }
  TimerWheel& timers() { return timers_; }
  uint64_t arena_used() const { return arena_.used(); }

  // --- Time.
  void Advance(Duration duration) {
    const Instant end = timers_.now() + duration;
    while (timers_.now() < end) {
      Instant next = timers_.NextDeadline();
      next = next < end ? next : end;
      next = next > timers_.now() ? next : timers_.now() + Duration::Milliseconds(1);
      while (timers_.Advance(next, 1000) == 1000) {
      }
      Settle();
    }
  }

  // --- Datagrams.
  void Deliver(const net::Endpoint& from, std::string_view text) { Deliver(from, text, server); }
  void Deliver(const net::Endpoint& from, std::string_view text, const net::Endpoint& to) {
    std::vector<uint8_t> bytes(text.begin(), text.end());
    const auto count = static_cast<uint16_t>(sockets_.size());
    for (uint16_t i = 0; i < count; ++i) {
      if (sockets_[i].open && sockets_[i].local == to) {
        net::DatagramInfo info;
        info.socket = {i};
        info.remote = from;
        info.local = to;
        sockets_[i].handler->OnDatagram(info, bytes);
        break;
      }
    }
    Settle();
  }
  Result<net::SocketId> OpenDatagram(const net::Endpoint& local,
                                     net::DatagramHandler& handler) override {
    sockets_.push_back({local, &handler, true});
    return net::SocketId{static_cast<uint16_t>(sockets_.size() - 1)};
  }
  void CloseDatagram(net::SocketId socket) override { sockets_[socket.value].open = false; }
  Result<void> SendDatagram(net::SocketId, const net::Endpoint& to, std::span<const uint8_t> data,
                            const net::IpAddress&) override {
    if (!unreachable.empty() && unreachable.contains(Key(to))) {
      return Error(ErrorCode::kUnreachable);
    }
    ++sent_count;
    if (record) {
      sent_.push_back({to, {data.begin(), data.end()}, {}});
    }
    return Ok();
  }

  // --- Streams.
  struct Stream {
    net::StreamInfo info;
    bool open = false;  // known to the engine's side
    bool connecting = false;
    bool blocked = false;
    uint32_t generation = 1;
  };
  Result<net::ListenerId> Listen(const net::Endpoint& local, const net::StreamOptions&,
                                 net::StreamHandler& handler) override {
    stream_handler_ = &handler;
    listeners_.push_back(local);
    return net::ListenerId{static_cast<uint16_t>(listeners_.size() - 1)};
  }
  void CloseListener(net::ListenerId) override {}
  // A peer connects; an invalid id when it was refused.
  net::StreamId Accept(const net::Endpoint& from) { return Accept(from, server); }
  net::StreamId Accept(const net::Endpoint& from, const net::Endpoint& to,
                       net::StreamKind kind = net::StreamKind::kTcp) {
    Stream stream;
    stream.info.kind = kind;
    stream.info.remote = from;
    stream.info.local = to;
    stream.info.accepted = true;
    stream.open = true;
    streams_.push_back(stream);
    const net::StreamId id{static_cast<uint32_t>(streams_.size() - 1), 1};
    if (!stream_handler_->OnStreamOpen(id, streams_.back().info)) {
      streams_[id.index].open = false;
      return {};
    }
    return id;
  }
  Result<net::StreamId> Connect(const net::Endpoint& to, const net::StreamOptions&,
                                net::StreamHandler&) override {
    Stream stream;
    stream.info.remote = to;
    stream.info.local = {server.address, 40000};
    stream.open = true;
    stream.connecting = true;
    streams_.push_back(stream);
    pending_connects_.push_back(static_cast<uint32_t>(streams_.size() - 1));
    return net::StreamId{static_cast<uint32_t>(streams_.size() - 1), 1};
  }
  // Bytes arrive; what the engine leaves unconsumed is offered again with the next ones.
  void Feed(net::StreamId id, std::string_view text) {
    auto& rest = unread_[id.index];
    rest.insert(rest.end(), text.begin(), text.end());
    if (streams_[id.index].open) {
      std::vector<uint8_t> bytes(rest.begin(), rest.end());
      const size_t used = stream_handler_->OnStreamData(id, bytes);
      rest.erase(0, used);
    }
    Settle();
  }
  void ResumeStream(net::StreamId id) override { resumed_.push_back(id); }
  void Hangup(net::StreamId id) {
    if (streams_[id.index].open) {
      streams_[id.index].open = false;
      stream_handler_->OnStreamClosed(id, net::StreamClose::kByPeer);
    }
    Settle();
  }
  // The peer reads again: what was left unconsumed is offered when the engine asks for it.
  void Unblock(net::StreamId id) {
    streams_[id.index].blocked = false;
    stream_handler_->OnStreamWritable(id);
    Resume();
  }
  // What the engine asked for again is offered.
  void Resume() {
    while (!resumed_.empty()) {
      const net::StreamId next = resumed_.front();
      resumed_.pop_front();
      Feed(next, "");
    }
    Settle();
  }
  size_t unread(net::StreamId id) { return unread_[id.index].size(); }
  Result<void> SendStream(net::StreamId id, std::span<const uint8_t> data) override {
    Stream& stream = streams_[id.index];
    if (!stream.open) {
      return Error(ErrorCode::kClosed);
    }
    if (stream.blocked || stream.connecting) {
      return Error(ErrorCode::kWouldBlock);
    }
    ++sent_count;
    if (record) {
      sent_.push_back({stream.info.remote, {data.begin(), data.end()}, id});
    }
    return Ok();
  }
  bool IsPeerNamed(net::StreamId id, std::string_view name) override {
    return streams_[id.index].open && peer_names[id.index] == name;
  }
  std::deque<net::StreamId> resumed_;
  std::map<uint32_t, std::string> peer_names;  // certificates of the peers, by stream
  size_t SendRoom(net::StreamId) const override { return 65536; }
  void CloseStream(net::StreamId id) override { streams_[id.index].open = false; }
  void AbortStream(net::StreamId id) override { streams_[id.index].open = false; }
  const net::StreamInfo* InfoOf(net::StreamId id) const override {
    return streams_[id.index].open ? &streams_[id.index].info : nullptr;
  }
  Stream& stream(net::StreamId id) { return streams_[id.index]; }

  // --- Names: "A host", "SRV _sip._udp.host", "NAPTR host".
  struct Record {
    net::DnsRecord record;
    std::string target, flags, service;
  };
  void AddAddress(const std::string& name, std::string_view address) {
    Record r;
    r.record.address = net::IpAddress::Parse(address).value();
    r.record.type = r.record.address.is_v6() ? net::DnsType::kAaaa : net::DnsType::kA;
    zone[{name, r.record.type}].push_back(r);
  }
  void AddSrv(const std::string& name, uint16_t priority, uint16_t weight, uint16_t port,
              const std::string& target) {
    Record r;
    r.record.type = net::DnsType::kSrv;
    r.record.priority = priority;
    r.record.weight = weight;
    r.record.port = port;
    r.target = target;
    zone[{name, net::DnsType::kSrv}].push_back(r);
  }
  void AddNaptr(const std::string& name, uint16_t order, const std::string& service,
                const std::string& target) {
    Record r;
    r.record.type = net::DnsType::kNaptr;
    r.record.priority = order;
    r.flags = "s";
    r.service = service;
    r.target = target;
    zone[{name, net::DnsType::kNaptr}].push_back(r);
  }
  Result<void> Resolve(std::string_view name, net::DnsType type, net::DnsQuery& query) override {
    if (resolver_full) {
      return Error(ErrorCode::kExhausted);
    }
    questions.push_back(std::string(name));
    pending_queries_.push_back({{std::string(name), type}, &query});
    return Ok();
  }
  void Cancel(net::DnsQuery& query) override {
    std::erase_if(pending_queries_, [&](const auto& p) { return p.second == &query; });
  }

  // Outstanding work of the network: connects complete, names are answered.
  void Settle() {
    if (settling_ || hold_network) {
      return;
    }
    settling_ = true;
    while (!pending_connects_.empty() || !pending_queries_.empty()) {
      if (!pending_connects_.empty()) {
        const uint32_t index = pending_connects_.front();
        pending_connects_.pop_front();
        Stream& stream = streams_[index];
        if (!stream.open) {
          continue;
        }
        stream.connecting = false;
        if (refusing.contains(Key(stream.info.remote))) {
          stream.open = false;
          stream_handler_->OnStreamClosed({index, 1}, net::StreamClose::kRefused);
        } else {
          const net::StreamInfo info = stream.info;
          stream_handler_->OnStreamOpen({index, 1}, info);
        }
        continue;
      }
      AnswerQuery();
    }
    settling_ = false;
  }

  // --- Users.
  bool FindHa1(std::string_view realm, std::string_view user, DigestAlgorithm algorithm,
               Ha1& out) override {
    std::string name(user.substr(0, user.find('@')));
    const auto found = users.find(name);
    if (found == users.end() ||
        (algorithm == DigestAlgorithm::kSha512_256 && old_users.contains(name))) {
      return false;
    }
    out = ComputeHa1(algorithm, user, realm, found->second);
    return true;
  }
  std::map<std::string, std::string> users = {{"alice", "wonderland"}, {"bob", "builder"}};
  std::set<std::string> old_users;  // stored before SHA-512-256 was there

  // --- Events, as text.
  std::vector<std::string> events;
  uint32_t guesses = 0;
  void Note(std::string text) {
    if (record) {
      events.push_back(std::move(text));
    }
  }
  static std::string S(std::string_view v) { return std::string(v); }
  void OnRegistered(const RegistrationEvent& e) override {
    Note("registered " + S(e.user) + "@" + S(e.domain) + " " + S(e.contact));
  }
  void OnRefreshed(const RegistrationEvent& e) override { Note("refreshed " + S(e.user)); }
  void OnUnregistered(const RegistrationEvent& e) override {
    Note("unregistered " + S(e.user) + " " + S(e.contact));
  }
  void OnExpired(const RegistrationEvent& e) override { Note("expired " + S(e.user)); }
  void OnRefused(const RefusalEvent& e) override {
    Note("refused " + S(RefusalReasonName(e.reason)) + " " + std::to_string(e.status));
    guesses += e.is_guess ? 1 : 0;
  }
  void OnCallStarted(const CallEvent& e) override {
    Note("call-started " + S(e.caller) + " " + S(e.callee));
  }
  void OnCallEnded(const CallEvent& e) override {
    Note("call-ended " + S(CallEndName(e.end)) + " " + std::to_string(e.duration.seconds()));
  }
  void OnCallFailed(const CallEvent&, uint16_t status) override {
    Note("call-failed " + std::to_string(status));
  }
  void OnListenFailed(const Listener&, const char* why) override { Note(S("listen ") + why); }
  void OnBandwidth(const BandwidthEvent& e) override {
    Note("bandwidth " + std::to_string(e.wanted_kbps) + " " + std::to_string(e.granted_kbps));
  }
  void OnOverload(const OverloadEvent& e) override {
    Note("overload " + S(e.began ? "began" : "ended " + std::to_string(e.refused)));
  }
  void OnThrottle(const ThrottleEvent& e) override {
    Note("throttle " + S(e.zone) + " " + S(e.peer) + " " + std::to_string(e.percent));
  }
  void OnZonePeer(const ZonePeerEvent& e) override {
    Note(S(e.is_up ? "zone-up " : "zone-down ") + S(e.zone) + " " + S(e.peer) + " " + S(e.why));
  }
  void OnPublished(const PublicationEvent& e) override { Note("published " + S(e.user)); }
  void OnPublicationEnded(const PublicationEvent& e) override {
    Note("withdrawn " + S(e.user) + " " + S(e.why));
  }
  void OnWatchBegan(const WatchEvent& e) override {
    Note("watch-began " + S(e.watcher) + " " + S(e.user) + " " + S(e.why));
  }
  void OnWatchEnded(const WatchEvent& e) override {
    Note("watch-ended " + S(e.watcher) + " " + S(e.user) + " " + S(e.why));
  }
  bool HasEvent(std::string_view prefix) const {
    for (const auto& e : events) {
      if (std::string_view(e).starts_with(prefix)) {
        return true;
      }
    }
    return false;
  }

  // --- Entropy.
  void Fill(std::span<uint8_t> out) override {
    for (uint8_t& b : out) {
      seed_ = seed_ * 6364136223846793005u + 1442695040888963407u;
      b = static_cast<uint8_t>(seed_ >> 56);
    }
  }
  const char* source() const override { return "test"; }

  // --- What was sent.
  bool empty() const { return sent_.empty(); }
  size_t count() const { return sent_.size(); }
  Sent Take() {
    if (sent_.empty()) {
      return {};
    }
    Sent sent = sent_.front();
    sent_.pop_front();
    return sent;
  }
  // The first one to that endpoint, out of order; an empty one when there is none.
  Sent TakeTo(const net::Endpoint& to) {
    for (size_t i = 0; i < sent_.size(); ++i) {
      if (sent_[i].to == to) {
        Sent sent = sent_[i];
        sent_.erase(sent_.begin() + static_cast<std::ptrdiff_t>(i));
        return sent;
      }
    }
    return {};
  }
  void Clear() { sent_.clear(); }
  const std::deque<Sent>& sent() const { return sent_; }

  static std::string Key(const net::Endpoint& endpoint) {
    return std::string(net::ToText(endpoint).view());
  }
  std::map<std::string, bool> unreachable;  // datagrams there fail
  std::map<std::string, bool> refusing;     // connections there are refused
  std::map<std::pair<std::string, net::DnsType>, std::vector<Record>> zone;
  std::vector<std::string> questions;
  bool hold_network = false;
  bool resolver_full = false;
  bool record = true;
  net::Endpoint server = At(kServer);  // whom phones speak to
  uint64_t sent_count = 0;

  // Pools in use, but for bindings, users and streams: all zero when nothing is going on.
  std::string Busy() const {
    std::string text;
    for (const PoolStatus& pool : engine_->Pools()) {
      const std::string_view name = pool.name;
      if (pool.used != 0 && name != "bindings" && name != "users" && name != "streams") {
        text += std::string(name) + "=" + std::to_string(pool.used) + " ";
      }
    }
    return text;
  }

 private:
  void AnswerQuery() {
    auto [key, query] = pending_queries_.front();
    pending_queries_.pop_front();
    const auto found = zone.find(key);
    if (found == zone.end()) {
      query->done(*query, Error(ErrorCode::kNotFound));
      return;
    }
    std::vector<net::DnsRecord> records;
    for (const Record& r : found->second) {
      net::DnsRecord record_out = r.record;
      record_out.target = r.target;
      record_out.flags = r.flags;
      record_out.service = r.service;
      records.push_back(record_out);
    }
    query->done(*query, std::span<const net::DnsRecord>(records));
  }

  struct Socket {
    net::Endpoint local;
    net::DatagramHandler* handler;
    bool open;
  };
  gh::test::Memory memory_;
  Arena arena_;
  TimerWheel timers_;
  uint64_t seed_;  // of two that are to meet: another one
  crypto::Random random_;
  Engine* engine_ = nullptr;
  std::vector<Socket> sockets_;
  std::vector<net::Endpoint> listeners_;
  std::vector<Stream> streams_;
  std::map<uint32_t, std::string> unread_;
  net::StreamHandler* stream_handler_ = nullptr;
  std::deque<uint32_t> pending_connects_;
  std::deque<std::pair<std::pair<std::string, net::DnsType>, net::DnsQuery*>> pending_queries_;
  std::deque<Sent> sent_;
  bool settling_ = false;
};

}  // namespace gh::sip::test
