// The engine without a network: connections that record what is sent, a keeper with a disk that is
// flushed by hand, a clock that is turned, and a client that logs in by SCRAM of its own.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "crypto/digest.h"
#include "crypto/init.h"
#include "crypto/legacy.h"
#include "crypto/mac.h"
#include "firmware/xmpp/engine.h"
#include "firmware/xmpp/web.h"
#include "hal/rt/base64.h"
#include "tests/unit/net/fake_wire.h"
#include "tests/unit/rt/memory.h"

namespace gh::xmpp::test {

inline constexpr const char* kDomain = "example.com";
inline constexpr const char* kRooms = "rooms.example.com";

class World final : public Host, public Keeper, public Observer, public UploadObserver {
 public:
  static Config MakeConfig() {
    Config config;
    config.enabled = true;
    config.domains[0].Assign(kDomain);
    config.domain_count = 1;
    config.rooms.enabled = true;
    config.rooms.hosts[0].Assign(kRooms);
    config.rooms.host_count = 1;
    return config;
  }
  // `bytes` 0: as much as it needs; more costs time.
  explicit World(uint32_t accounts = 20, uint32_t sessions = 20, size_t bytes = 0,
                 const char* domain = kDomain)
      : World(Capacity::For(accounts, sessions),
              bytes != 0 ? bytes : Capacity::For(accounts, sessions).ArenaBytes() + (1 << 20),
              domain) {}
  // `keeper`: another's, in place of the tree in memory; rows are then loaded by hand.
  World(const Capacity& capacity, size_t bytes, const char* domain = kDomain,
        Keeper* keeper = nullptr)
      : domain_(domain), memory_(bytes) {
    crypto::Initialise();
    arena_ = std::make_unique<Arena>(memory_);
    random_ = std::make_unique<crypto::Random>(entropy_);
    timers_ = std::make_unique<TimerWheel>(clock.now);
    engine_ = std::make_unique<Engine>(*arena_, *timers_, *random_, *this,
                                       keeper != nullptr ? *keeper : *this, *this, capacity);
    Config config = MakeConfig();
    config.domains[0].Assign(domain_);
    engine_->Apply(config);
  }
  // Little memory to make ready, and what is small runs out sooner.
  static Capacity FewCapacity() {
    Capacity capacity = Capacity::For(4, 8);
    capacity.rooms.rooms = 4;
    capacity.rooms.occupants = 16;
    capacity.rooms.affiliates = 16;
    capacity.readers = 6;
    capacity.unproven_readers = 4;
    capacity.blocks = 1500;
    return capacity;
  }
  static size_t FewBytes() { return FewCapacity().ArenaBytes() + (1 << 20); }
  // Fuzz targets make one for each input.
  static Capacity FewestCapacity() {
    Capacity capacity = FewCapacity();
    capacity.readers = capacity.unproven_readers = 3;
    return capacity;
  }
  Engine& engine() { return *engine_; }
  TimerWheel& timers() { return *timers_; }
  crypto::Random& random() { return *random_; }
  const std::string& domain() const { return domain_; }
  Account* AddUser(const std::string& name, const std::string& password = "secret") {
    const auto verifier = MakeVerifier(password, 16, *random_);
    auto added = engine_->directory().Add(name + "@" + domain_, *verifier);
    GH_ASSERT(added.ok());
    return *added;
  }
  void Turn(Duration by) {
    clock.now = clock.now + by;
    timers_->Advance(clock.now);
  }
  // What the disk has is what a new start finds.
  void Commit() {
    for (auto& [key, value] : pending) {
      if (value.empty()) {
        disk.erase(key);
      } else {
        disk[key] = value;
      }
    }
    pending.clear();
    ++durable_;
    engine_->OnDurable();
  }

  Result<void> Send(net::StreamId stream, std::span<const uint8_t> bytes) override {
    if (web != nullptr && Web::Owns(stream)) {
      return web->Send(stream, bytes);
    }
    if (blocked || deaf.contains(stream.index) || bytes.size() > most) {
      return ErrorCode::kWouldBlock;
    }
    most -= most == SIZE_MAX ? 0 : bytes.size();
    sent[stream.index] += std::string(AsText(bytes));
    return Ok();
  }
  Result<void> StartTls(net::StreamId stream) override {
    started_tls.push_back(stream.index);
    return Ok();
  }
  void Close(net::StreamId stream) override {
    closed[stream.index] = true;
    if (web != nullptr && Web::Owns(stream)) {
      web->Close(stream);
    }
  }
  void Abort(net::StreamId stream) override { Close(stream); }
  void Resume(net::StreamId stream) override {
    if (web != nullptr && Web::Owns(stream)) {
      web->Resume(stream);
    } else {
      resumed.push_back(stream.index);
    }
  }
  size_t BindingOf(net::StreamId, Binding kind, std::span<uint8_t, 64> out) override {
    const std::string& data = kind == Binding::kExporter ? exporter : end_point;
    std::ranges::copy(AsBytes(data), out.begin());
    return data.size();
  }
  uint32_t ProvedUsers(net::StreamId stream, std::span<ProvedUser, kProvedUserMax> out) override {
    uint32_t count = 0;
    for (const std::string& each : proved[stream.index]) {
      out[count++].Assign(each);
    }
    return count;
  }
  int64_t UnixSeconds() override { return unix_seconds; }
  uint64_t Put(std::string_view key, std::span<const uint8_t> value) override {
    if (keeper_full) {
      return 0;
    }
    pending[std::string(key)] = std::string(AsText(value));
    return durable_ + 1;
  }
  uint64_t Remove(std::string_view key) override {
    pending[std::string(key)] = "";
    return durable_ + 1;
  }
  uint64_t durable() const override { return durable_; }
  void Flush() override { Commit(); }
  size_t Read(std::string_view key, std::span<uint8_t> out) override {
    const auto in_pending = pending.find(std::string(key));
    const std::string value = in_pending != pending.end()       ? in_pending->second
                              : disk.contains(std::string(key)) ? disk[std::string(key)]
                                                                : "";
    std::copy(value.begin(), value.end(), out.begin());
    return value.size();
  }
  KeeperRoom room() const override { return store_room; }
  void OnLoggedIn(std::string_view user, const net::Endpoint&, std::string_view) override {
    events.push_back("in " + std::string(user));
  }
  void OnEnded(std::string_view user, const net::Endpoint&, std::string_view reason) override {
    events.push_back("out " + std::string(user) + ": " + std::string(reason));
  }
  void OnRefused(const net::Endpoint&, std::string_view, std::string_view reason) override {
    events.push_back("refused: " + std::string(reason));
  }

  void OnGuess(const net::Endpoint&) override { ++guesses; }
  void OnHeldBack(uint32_t, uint32_t) override { events.push_back("held back"); }
  void OnRoom(std::string_view room, std::string_view by, const char* what) override {
    events.push_back(std::string(room) + " " + what + " by " + std::string(by));
  }

  void OnFileKept(std::string_view user, uint64_t bytes, std::string_view) override {
    events.push_back(std::string(user) + " kept " + std::to_string(bytes));
  }
  void OnFileRefused(std::string_view user, const char* reason) override {
    events.push_back(std::string(user) + " file: " + reason);
  }

  inline static uint64_t seed = 7;  // of what the next one has at random
  net::test::FakeClock clock;
  std::map<uint32_t, std::string> sent;
  std::map<uint32_t, bool> closed;
  std::map<uint32_t, std::vector<std::string>> proved;  // users that a certificate names
  std::string exporter = std::string(32, '\x07');       // of every TLS session; empty: none
  std::string end_point;
  std::vector<uint32_t> started_tls;
  std::vector<uint32_t> resumed;
  std::map<std::string, std::string> pending;
  std::map<std::string, std::string> disk;
  std::vector<std::string> events;
  uint32_t guesses = 0;
  bool keeper_full = false;
  // What Say() does while answers wait for the disk; none: they go on waiting.
  std::function<void()> settle = [this] { Commit(); };
  KeeperRoom store_room;
  bool blocked = false;
  std::set<uint32_t> deaf;  // streams whose clients do not read
  size_t most = SIZE_MAX;   // bytes that the network takes from now on
  int64_t unix_seconds = 1'790'000'000;
  Web* web = nullptr;  // of clients by HTTP

 private:
  std::string domain_;
  net::test::SeededEntropy entropy_{seed};
  gh::test::Memory memory_;
  std::unique_ptr<Arena> arena_;
  std::unique_ptr<crypto::Random> random_;
  std::unique_ptr<TimerWheel> timers_;
  std::unique_ptr<Engine> engine_;
  uint64_t durable_ = 0;
};

inline std::string Base64Of(std::string_view text) {
  std::vector<uint8_t> bytes(Base64Size(text.size()));
  ByteWriter out(bytes);
  WriteBase64(AsBytes(text), out);
  return std::string(out.text());
}

inline std::string FromBase64(std::string_view text) {
  std::vector<uint8_t> bytes(text.size());
  ByteWriter out(bytes);
  GH_ASSERT(ReadBase64(text, out));
  return std::string(out.text());
}

inline std::string Between(const std::string& text, const std::string& a, const std::string& b) {
  const size_t from = text.find(a);
  if (from == std::string::npos) {
    return "";
  }
  const size_t end = text.find(b, from + a.size());
  return text.substr(from + a.size(), end - from - a.size());
}

struct Sha256Scram {
  using Digest = crypto::Sha256;
  static auto Mac(std::span<const uint8_t> key, std::span<const uint8_t> bytes) {
    return crypto::HmacSha256::Of(key, bytes);
  }
};
struct Sha1Scram {
  using Digest = crypto::Sha1;
  static auto Mac(std::span<const uint8_t> key, std::span<const uint8_t> bytes) {
    return crypto::HmacSha1(key, bytes);
  }
};

// The client's final message of SCRAM (RFC 5802, RFC 7677).
template <typename Scram = Sha256Scram>
std::string ScramProof(const std::string& password, const std::string& gs2,
                       const std::string& channel, const std::string& first,
                       const std::string& server) {
  const std::string nonce = Between(server, "r=", ",");
  const std::string salt = FromBase64(Between(server, "s=", ","));
  const int count = std::stoi(server.substr(server.find("i=") + 2));
  auto u = Scram::Mac(AsBytes(password), AsBytes(salt + std::string("\0\0\0\1", 4)));
  auto salted = u;
  for (int i = 1; i < count; ++i) {
    u = Scram::Mac(AsBytes(password), u);
    for (size_t k = 0; k < u.size(); ++k) {
      salted[k] ^= u[k];
    }
  }
  const auto key = Scram::Mac(salted, AsBytes(std::string_view("Client Key")));
  const auto stored = Scram::Digest::Of(key);
  const std::string last = "c=" + Base64Of(gs2 + channel) + ",r=" + nonce;
  const std::string all = first + "," + server + "," + last;
  auto proof = Scram::Mac(stored, AsBytes(all));
  for (size_t k = 0; k < proof.size(); ++k) {
    proof[k] ^= key[k];
  }
  return last + ",p=" + Base64Of(AsText(proof));
}

class Client {
 public:
  Client(World& world, uint32_t number, bool secure = true, const net::Endpoint& remote = {})
      : world_(world) {
    stream_ = {number, 1};
    GH_ASSERT(world.engine().OnOpen(stream_, remote, secure));
  }
  // Returns what came back since the last call.
  std::string Say(std::string_view text) {
    world_.engine().OnData(stream_, AsBytes(text));
    if (world_.engine().is_holding() && world_.settle) {
      world_.settle();
    }
    return Take();
  }
  std::string Take() { return std::exchange(world_.sent[stream_.index], ""); }
  std::string Header(const std::string& to = "") {
    return Say(
        "<?xml version='1.0'?><stream:stream to='" + (to.empty() ? world_.domain() : to) +
        "' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>");
  }
  // SCRAM, with the channel bound when `gs2` says so. The answer to the proof.
  std::string Authenticate(const std::string& user, const std::string& password,
                           const std::string& gs2 = "n,,", const std::string& channel = "",
                           const std::string& mechanism = "SCRAM-SHA-256") {
    const std::string first = "n=" + user + ",r=abcdef";
    std::string got = Say("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='" + mechanism +
                          "'>" + Base64Of(gs2 + first) + "</auth>");
    if (got.find("<challenge") == std::string::npos) {
      return got;
    }
    const std::string server = FromBase64(Between(got, "xmpp-sasl'>", "<"));
    const bool is_weak = mechanism.starts_with("SCRAM-SHA-1");
    const std::string last = is_weak ? ScramProof<Sha1Scram>(password, gs2, channel, first, server)
                                     : ScramProof(password, gs2, channel, first, server);
    return Say("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>" + Base64Of(last) +
               "</response>");
  }
  void LogIn(const std::string& user, const std::string& resource, const std::string& to = "") {
    Header(to);
    GH_ASSERT(Authenticate(user, "secret").find("<success") != std::string::npos);
    Header(to);
    const std::string got =
        Say("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>" +
            resource + "</resource></bind></iq>");
    GH_ASSERT(got.find("/" + resource + "</jid>") != std::string::npos);
  }
  void Break() { world_.engine().OnClosed(stream_); }
  net::StreamId stream() const { return stream_; }

 private:
  World& world_;
  net::StreamId stream_;
};

}  // namespace gh::xmpp::test
