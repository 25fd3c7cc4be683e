// The engine without a network: a relay that records, credentials by name, a clock that is turned,
// and a client that speaks STUN as stock ones do.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "crypto/digest.h"
#include "crypto/init.h"
#include "firmware/turn/engine.h"
#include "tests/unit/net/fake_wire.h"
#include "tests/unit/rt/memory.h"

namespace gh::turn::test {

using Bytes = std::vector<uint8_t>;

struct Sent {
  net::Endpoint from;
  net::Endpoint to;
  Bytes data;
  bool dont_fragment = false;
  bool is_stream = false;
};

inline net::Endpoint At(std::string_view text) {
  const auto endpoint = net::Endpoint::Parse(text);
  GH_ASSERT(endpoint.ok());
  return endpoint.ok() ? *endpoint : net::Endpoint();
}
inline net::IpAddress Ip(std::string_view text) {
  const auto address = net::IpAddress::Parse(text);
  GH_ASSERT(address.ok());
  return address.ok() ? *address : net::IpAddress();
}
inline net::IpPrefix Net(std::string_view text) {
  const auto prefix = net::IpPrefix::Parse(text);
  GH_ASSERT(prefix.ok());
  return prefix.ok() ? *prefix : net::IpPrefix();
}

class World final : public media::Relay, ClientStreams, Credentials, Observer {
 public:
  static Config MakeConfig() {
    Config config;
    config.enabled = true;
    config.realm.Assign("example.com");
    config.relay[kIpv4Index] = Ip("9.9.9.9");
    config.relay[kIpv6Index] = Ip("2600::9");
    config.own.Add(Net("9.9.9.9/32"));
    config.own.Add(Net("2600::9/128"));
    return config;
  }
  static Capacity MakeCapacity() {
    Capacity capacity = Capacity::For(20);
    capacity.relay_ports = 100;
    return capacity;
  }

  explicit World(const Config& config = MakeConfig(), const Capacity& capacity = MakeCapacity())
      : memory_(kMemory), arena_(memory_), entropy_(7), random_(entropy_), timers_(clock.now) {
    crypto::Initialise();
    clock.SetWall(1'700'000'000'000'000'000);
    engine_ = arena_.New<Engine>(arena_, Ports{*this, *this, timers_, random_, clock, *this, *this},
                                 capacity);
    engine_->Apply(config);
    AddUser("alice", "secret");
    AddUser("bob", "hidden");
  }
  ~World() {
    (void)engine_->CloseAll(EndReason::kByOperator);
    engine_->~Engine();
  }

  Engine& engine() { return *engine_; }
  uint64_t arena_used() const { return arena_.used(); }
  void AddUser(const std::string& name, const std::string& password) { users[name] = password; }
  void Pass(Duration duration) {
    clock.now = clock.now + duration;
    (void)timers_.Advance(clock.now);
  }
  void Give(const ClientPath& path, std::span<const uint8_t> bytes) {
    Bytes copy(bytes.begin(), bytes.end());
    engine_->OnClientData(path, copy);
  }
  bool GiveRelay(const net::Endpoint& local, const net::Endpoint& remote, std::string_view text) {
    Bytes copy(text.begin(), text.end());
    return engine_->OnRelayDatagram(local, remote, copy);
  }
  std::optional<Sent> Take() {
    if (sent.empty()) {
      return std::nullopt;
    }
    Sent first = sent.front();
    sent.pop_front();
    return first;
  }

  // media::Relay
  media::Flow* AddFlow(const media::FlowSpec& spec) override {
    if (!gives_flows) {
      return nullptr;
    }
    auto* flow = new media::Flow;
    flow->spec = spec;
    flows.insert(flow);
    return flow;
  }
  void RemoveFlow(media::Flow* flow) override {
    const size_t erased = flows.erase(flow);
    GH_ASSERT_EQ(erased, 1u);
    delete flow;
  }
  Result<void> Send(const net::Endpoint& from, const net::Endpoint& to,
                    std::span<const uint8_t> data, bool dont_fragment) override {
    if (dont_fragment && data.size() > mtu) {
      return ErrorCode::kTooLarge;
    }
    sent.push_back({from, to, Bytes(data.begin(), data.end()), dont_fragment, false});
    return Ok();
  }
  // ClientStreams
  Result<void> SendToDtls(const ClientPath&, std::span<const uint8_t> bytes) override {
    sent.push_back({{}, {}, Bytes(bytes.begin(), bytes.end()), false, true});
    return Ok();
  }
  Result<void> SendToStream(net::StreamId, std::span<const uint8_t> frame) override {
    sent.push_back({{}, {}, Bytes(frame.begin(), frame.end()), false, true});
    return Ok();
  }
  void CloseClient(net::StreamId stream) override {
    ++closed_streams;
    closed.push_back(stream);
  }
  Result<void> OpenRelay(const net::Endpoint& relay) override {
    if (open_relays.size() >= relay_max) {
      return ErrorCode::kExhausted;
    }
    open_relays.insert(relay.port);
    return Ok();
  }
  void CloseRelay(const net::Endpoint& relay) override { open_relays.erase(relay.port); }
  Result<net::StreamId> ConnectPeer(const net::Endpoint& relay, const net::Endpoint& peer,
                                    uint32_t link) override {
    connects.push_back({relay, peer, link});
    return net::StreamId{1000 + static_cast<uint32_t>(connects.size()), 1};
  }
  void CarryData(net::StreamId stream, uint32_t link) override { carrying[stream.index] = link; }
  void Join(net::StreamId a, media::Meter*, net::StreamId b, media::Meter*) override {
    joins.emplace_back(a.index, b.index);
  }
  // Credentials
  bool FindKeys(std::string_view user, const Realm& of, UserKeys& out) override {
    const std::string_view realm = of.name;
    const std::string key =
        of.number == 0 ? std::string(user) : std::string(realm) + "/" + std::string(user);
    const auto found = users.find(key);
    if (found == users.end()) {
      return false;
    }
    const std::string text = std::string(user) + ":" + std::string(realm) + ":" + found->second;
    out.md5.Set(crypto::Md5::Of(text));
    out.sha256.Set(crypto::Sha256::Of(text));
    return true;
  }
  std::string_view FindByHash(std::span<const uint8_t> hash, const Realm& of) override {
    const std::string_view realm = of.name;
    for (const auto& [name, password] : users) {
      const auto own = crypto::Sha256::Of(name + ":" + std::string(realm));
      if (ConstantTimeEqual(own, hash)) {
        return name;
      }
    }
    return {};
  }
  bool OpenToken(std::string_view key_name, std::string_view server,
                 std::span<const uint8_t, 12> nonce, std::span<uint8_t> data,
                 std::span<const uint8_t, 16> tag) override {
    // In place of a cipher: what was sealed is there in the clear, and its tag says by whom.
    const Bytes wanted(16, static_cast<uint8_t>(nonce[0] ^ server.size() ^ data.size()));
    return key_name == "north" && std::ranges::equal(tag, wanted);
  }
  // Observer
  void OnAllocated(const AllocationInfo&) override { ++allocated; }
  void OnEnded(const AllocationInfo&, EndReason reason) override { ends.push_back(reason); }
  void OnRefused(const net::Endpoint&, std::string_view, uint16_t code) override {
    refusals.push_back(code);
  }

  net::test::FakeClock clock;
  std::deque<Sent> sent;
  std::set<media::Flow*> flows;
  std::map<std::string, std::string> users;
  std::vector<EndReason> ends;
  std::vector<uint16_t> refusals;
  uint32_t allocated = 0;
  uint32_t closed_streams = 0;
  struct Connecting {
    net::Endpoint relay;
    net::Endpoint peer;
    uint32_t link = 0;
  };
  std::vector<net::StreamId> closed;
  std::set<uint16_t> open_relays;
  size_t relay_max = 8;
  std::vector<Connecting> connects;
  std::map<uint32_t, uint32_t> carrying;
  std::vector<std::pair<uint32_t, uint32_t>> joins;
  size_t mtu = 1400;
  bool gives_flows = true;

 private:
  static constexpr size_t kMemory = 16u << 20;
  gh::test::Memory memory_;
  Arena arena_;
  net::test::SeededEntropy entropy_;
  crypto::Random random_;
  TimerWheel timers_;
  Engine* engine_ = nullptr;
};

// A message as somebody received it, with bytes of its own.
struct Got {
  Got() = default;
  explicit Got(const Bytes& the_bytes) : bytes(the_bytes) {
    const auto parsed = Message::Parse(bytes);
    GH_ASSERT(parsed.ok());
    message = *parsed;
  }
  Got(const Got& other) : bytes(other.bytes), message(*Message::Parse(bytes)) {}
  Got& operator=(const Got& other) {
    bytes = other.bytes;
    message = *Message::Parse(bytes);
    return *this;
  }
  Bytes bytes;
  Message message;  // of these bytes
  uint16_t code() const {
    const auto value = message.U32(kErrorCode);
    return value.ok() ? static_cast<uint16_t>((*value >> 8) * 100 + (*value & 0xff)) : 0;
  }
  bool ok() const { return message.cls() == Class::kSuccess; }
  net::Endpoint relay(uint32_t index = 0) const {
    const auto address = message.XorAddress(kXorRelayedAddress, index);
    return address.ok() ? *address : net::Endpoint();
  }
};

class Client {
 public:
  Client(World& world, std::string_view remote, std::string user = "alice",
         std::string password = "secret")
      : world_(world), user_(std::move(user)), password_(std::move(password)) {
    path.local = At("9.9.9.9:3478");
    path.remote = At(remote);
  }

  using Fill = std::function<void(Builder&)>;

  Bytes Build(Class cls, Method method, const Fill& fill, bool is_signed) {
    NextTransaction();
    return BuildAgain(cls, method, fill, is_signed);
  }
  Bytes BuildAgain(Class cls, Method method, const Fill& fill, bool is_signed) {
    uint8_t out[kMessageMax];
    Builder builder(out, cls, method, transaction);
    if (fill) {
      fill(builder);
    }
    if (is_signed) {
      if (hashed) {
        builder.Bytes(kUserHash, crypto::Sha256::Of(user_ + ":" + realm));
      } else {
        builder.Text(kUserName, user_);
      }
      builder.Text(kRealm, realm);
      builder.Text(kNonce, nonce);
      if (sha256) {
        builder.Bytes(kPasswordAlgorithms, algorithms);
        builder.U32(kPasswordAlgorithm, 2u << 16);
      }
      const std::string text = user_ + ":" + realm + ":" + password_;
      if (sha256) {
        builder.Sign(Integrity::kSha256, crypto::Sha256::Of(text));
      } else {
        builder.Sign(Integrity::kSha1, crypto::Md5::Of(text));
      }
    }
    const auto bytes = builder.Finish();
    return Bytes(bytes.begin(), bytes.end());
  }
  std::optional<Got> Exchange(const Bytes& request) {
    world_.sent.clear();
    world_.Give(path, request);
    const auto sent = world_.Take();
    if (!sent) {
      return std::nullopt;
    }
    return Got(sent->data);
  }
  // A signed request, through a challenge if need be.
  Got Ask(Method method, const Fill& fill = {}) {
    for (int tries = 0; tries < 3; ++tries) {
      auto got = Exchange(Build(Class::kRequest, method, fill, !nonce.empty()));
      GH_ASSERT(got.has_value());
      const uint16_t code = got->code();
      if (code == 438 || (code == 401 && tries == 0)) {
        Learn(*got);
        continue;
      }
      return *got;
    }
    GH_ASSERT(!"challenged again and again");
    return {};
  }
  void Learn(const Got& challenge) {
    realm = challenge.message.Text(kRealm);
    nonce = challenge.message.Text(kNonce);
    const auto offered = challenge.message.Value(kPasswordAlgorithms);
    algorithms.assign(offered.begin(), offered.end());
  }
  Got Allocate(const Fill& more = {}) {
    return Ask(Method::kAllocate, [&](Builder& builder) {
      builder.U32(kRequestedTransport, 17u << 24);
      if (more) {
        more(builder);
      }
    });
  }
  Got Refresh(uint32_t lifetime) {
    return Ask(Method::kRefresh, [&](Builder& b) { b.U32(kLifetime, lifetime); });
  }
  Got Permit(std::string_view peer) {
    return Ask(Method::kCreatePermission,
               [&](Builder& b) { b.XorAddress(kXorPeerAddress, At(peer)); });
  }
  Got Bind(uint16_t number, std::string_view peer) {
    return Ask(Method::kChannelBind, [&](Builder& b) {
      b.U32(kChannelNumber, static_cast<uint32_t>(number) << 16);
      b.XorAddress(kXorPeerAddress, At(peer));
    });
  }
  void Send(std::string_view peer, std::string_view text, bool dont_fragment = false) {
    world_.sent.clear();
    world_.Give(path, Build(
                          Class::kIndication, Method::kSend,
                          [&](Builder& b) {
                            b.XorAddress(kXorPeerAddress, At(peer));
                            b.Text(kData, text);
                            if (dont_fragment) {
                              b.Bytes(kDontFragment, {});
                            }
                          },
                          false));
  }
  void SendChannel(uint16_t number, std::string_view text) {
    world_.sent.clear();
    Bytes bytes{static_cast<uint8_t>(number >> 8), static_cast<uint8_t>(number),
                static_cast<uint8_t>(text.size() >> 8), static_cast<uint8_t>(text.size())};
    bytes.insert(bytes.end(), text.begin(), text.end());
    world_.Give(path, bytes);
  }

  ClientPath path;
  std::string realm;
  std::string nonce;
  Bytes algorithms;
  bool sha256 = false;
  bool hashed = false;
  TransactionId transaction = {};

 private:
  void NextTransaction() {
    for (uint8_t& byte : transaction) {
      if (++byte != 0) {
        break;
      }
    }
  }
  World& world_;
  std::string user_;
  std::string password_;
};

}  // namespace gh::turn::test
