// A scripted SSH client against one server connection, both in this process: shares the primitives
// with the server (whose interoperability OpenSSH proves in tests/system/test_ssh.py) so that tests
// and fuzzers can send any message at any point, protected or not.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "crypto/init.h"
#include "crypto/kem.h"
#include "crypto/key_agreement.h"
#include "firmware/admin/ssh/connection.h"
#include "hal/rt/arena.h"

namespace gh::ssh::test {

using Bytes = std::vector<uint8_t>;

class Clock final : public hal::Clock {
 public:
  Instant Now() override { return now; }
  WallTime Wall() override { return {now.ns, true}; }
  void SetWall(int64_t) override {}
  Instant now{1'000'000'000};
};

class Entropy final : public hal::Entropy {
 public:
  void Fill(std::span<uint8_t> out) override {
    for (uint8_t& byte : out) {
      state_ = state_ * 6364136223846793005u + 1442695040888963407u;
      byte = static_cast<uint8_t>(state_ >> 56);
    }
  }
  const char* source() const override { return "test"; }

 private:
  uint64_t state_ = 7;
};

class Vault final : public HostKeyVault {
 public:
  Result<void> Load(HostKeyKind kind, SecretBytes<kHostSecretSize>& secret) override {
    const auto& kept = keys[static_cast<size_t>(kind)];
    if (fails || kept.empty()) {
      return fails ? ErrorCode::kIoError : ErrorCode::kNotFound;
    }
    std::copy(kept.begin(), kept.end(), secret.Expose().begin());
    return Ok();
  }
  Result<void> Save(HostKeyKind kind, const SecretBytes<kHostSecretSize>& secret) override {
    keys[static_cast<size_t>(kind)].assign(secret.Expose().begin(), secret.Expose().end());
    return Ok();
  }
  Bytes keys[kHostKeyKinds];
  bool fails = false;
};

// A message as a test writes it down.
class Packet {
 public:
  explicit Packet(uint8_t message) { bytes_.push_back(message); }
  Packet& U8(uint8_t v) {
    bytes_.push_back(v);
    return *this;
  }
  Packet& U32(uint32_t v) {
    for (int shift = 24; shift >= 0; shift -= 8) {
      bytes_.push_back(static_cast<uint8_t>(v >> shift));
    }
    return *this;
  }
  Packet& Str(std::string_view text) {
    U32(static_cast<uint32_t>(text.size()));
    bytes_.insert(bytes_.end(), text.begin(), text.end());
    return *this;
  }
  Packet& Raw(std::span<const uint8_t> bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return *this;
  }
  const Bytes& bytes() const { return bytes_; }

 private:
  Bytes bytes_;
};

// Echoes what comes in "shell"; an exec prints its command and ends with status 7; "flood" writes
// `flood_left` bytes as room allows.
class EchoSession final : public ChannelSession {
 public:
  EchoSession(ChannelPort& channel, const SessionRequest& request)
      : channel_(channel), command_(request.command), kind_(request.kind) {}
  void OnInput() override {
    while (kind_ == SessionKind::kShell && !holds && !channel_.Input().empty()) {
      const size_t taken = channel_.Write(channel_.Input());
      if (taken == 0) {
        return;
      }
      received += taken;
      channel_.ConsumeInput(taken);
    }
    if (kind_ == SessionKind::kShell && channel_.input_ended() && channel_.Input().empty()) {
      ended = true;
      channel_.Finish(0);
    }
  }
  void OnRoom() override {
    if (command_ == "flood") {
      static const Bytes kBlock(8192, 'x');
      while (flood_left > 0) {
        const size_t taken =
            channel_.Write(std::span(kBlock).first(std::min(kBlock.size(), flood_left)));
        flood_left -= taken;
        if (taken == 0) {
          return;
        }
      }
      ended = true;
      channel_.Finish(0);
    } else if (kind_ == SessionKind::kExec) {
      channel_.Write(AsBytes(command_));
      channel_.WriteError(AsBytes("warned"));
      ended = true;
      channel_.Finish(7);
    } else {
      OnInput();
    }
  }
  void OnResize(uint32_t c, uint32_t r) override {
    columns = c;
    rows = r;
  }
  void OnSignal(std::string_view name) override { signal = name; }
  void OnClosed() override { closed = true; }

  ChannelPort& channel_;
  std::string command_;
  SessionKind kind_;
  bool holds = false;
  bool ended = false;
  bool closed = false;
  size_t received = 0;
  size_t flood_left = 300'000;
  uint32_t columns = 0;
  uint32_t rows = 0;
  std::string signal;
};

// The house around one connection.
class World final : public Authenticator, public SessionHost, public ConnectionOwner {
 public:
  World() : World(ConnectionSettings{}) {}
  explicit World(const ConnectionSettings& s)
      : memory_(new uint8_t[kMemory]),
        arena({memory_.get(), kMemory}),
        random(entropy),
        heap(arena, kCryptoHeapBytes),
        environment{heap, random, clock},
        keys(environment),
        channels(arena, 10),
        input(arena.NewArray<uint8_t>(kInputBytes)),
        output(arena.NewArray<uint8_t>(kOutputBytes)),
        held(arena.NewArray<uint8_t>(kHeldBytes)),
        settings(s) {
    crypto::Initialise();
    loaded = keys.Load(vault).ok();
    Open();
  }
  void Open() {
    connection.reset();
    connection = std::make_unique<Connection>(
        Connection::Parts{
            environment, keys, settings, {input, output, held}, channels, *this, *this, *this},
        Handle{1, 1}, net::Endpoint{net::IpAddress::V4(192, 0, 2, 1), 40000}, clock.now);
  }

  Verdict CheckPassword(Handle, std::string_view user, std::string_view password,
                        const net::IpAddress&) override {
    ++password_count;
    const bool right = user == "admin" && password == "right";
    return pending ? Verdict::kPending : right ? Verdict::kAccepted : Verdict::kRefused;
  }
  void CancelPassword(Handle) override { cancelled = true; }
  bool MayUseKey(std::string_view user, const PublicKeyView& key) override {
    return user == "admin" && Bytes(key.blob.begin(), key.blob.end()) == known_key;
  }
  bool AcceptKey(Handle, std::string_view, const PublicKeyView&, const net::IpAddress&) override {
    ++key_accepted;
    return true;
  }
  void RefuseKey(std::string_view, const net::IpAddress&) override { ++key_refused; }
  Result<ChannelSession*> OpenSession(const SessionRequest& request,
                                      ChannelPort& channel) override {
    if (request.command == "refuse" || sessions.size() >= 100) {
      return Error(ErrorCode::kExhausted, "no session");
    }
    columns = request.columns;
    terminal = request.terminal;
    sessions.push_back(std::make_unique<EchoSession>(channel, request));
    return static_cast<ChannelSession*>(sessions.back().get());
  }
  void OnOutput(Connection&) override { ++output_count; }
  void OnLoggedIn(Connection&) override { ++login_count; }
  void OnLoginRefused(Connection&, std::string_view, std::string_view) override { ++refused_count; }

  static constexpr size_t kMemory = 4 << 20;
  std::unique_ptr<uint8_t[]> memory_;
  Arena arena;
  Clock clock;
  Entropy entropy;
  crypto::Random random;
  Heap heap;
  crypto::TlsEnvironment environment;
  Vault vault;
  HostKeys keys;
  ChannelPool channels;
  std::span<uint8_t> input, output, held;
  ConnectionSettings settings;
  bool loaded = false;
  std::vector<std::unique_ptr<EchoSession>> sessions;
  std::unique_ptr<Connection> connection;

  bool pending = false;
  bool cancelled = false;
  Bytes known_key;
  int password_count = 0;
  int key_accepted = 0;
  int key_refused = 0;
  int login_count = 0;
  int refused_count = 0;
  int output_count = 0;
  uint32_t columns = 0;
  std::string terminal;
};

// What the client asks for; changed by tests.
struct Offer {
  std::string version = "SSH-2.0-test\r\n";
  std::string kex = "curve25519-sha256,ext-info-c,kex-strict-c-v00@openssh.com";
  std::string host_key = "ssh-ed25519";
  std::string cipher = "chacha20-poly1305@openssh.com";
  std::string mac = "hmac-sha2-256-etm@openssh.com";
  std::string compression = "none";
  bool guesses = false;
};

class Client {
 public:
  explicit Client(World& world, const Offer& offer = Offer()) : world_(world), offer_(offer) {}

  // --- Bytes ---
  // All of `bytes` to the server, then what it answers.
  void Feed(std::span<const uint8_t> bytes) {
    while (!bytes.empty()) {
      const size_t taken = world_.connection->Receive(bytes, world_.clock.now);
      bytes = bytes.subspan(taken);
      Drain();
      if (taken == 0) {
        stuck = true;
        return;
      }
    }
    Drain();
  }
  void Drain() {
    if (holds_output) {
      return;
    }
    for (int i = 0; i < 100; ++i) {
      const auto output = world_.connection->transport().output();
      if (output.empty()) {
        return;
      }
      received_.insert(received_.end(), output.begin(), output.end());
      world_.connection->transport().ConsumeOutput(output.size());
      if (!world_.connection->is_over()) {
        world_.connection->Pump(world_.clock.now);
      }
    }
  }
  Bytes Seal(std::span<const uint8_t> payload) {
    Bytes packet(out_.SealedSize(payload.size()));
    std::copy(payload.begin(), payload.end(), packet.begin() + PacketCipher::kPayloadOffset);
    (void)out_.Seal(sequence_out_++, packet, payload.size(), world_.random).ok();
    return packet;
  }
  void Send(std::span<const uint8_t> payload) { Feed(Seal(payload)); }
  void Send(const Packet& packet) { Send(packet.bytes()); }

  // The next message of the server, or nothing.
  Bytes Next() {
    Drain();
    if (!has_version_) {
      const auto end = std::find(received_.begin(), received_.end(), '\n');
      if (end == received_.end()) {
        return {};
      }
      has_version_ = true;
      server_version.assign(received_.begin(), end - 1);
      received_.erase(received_.begin(), end + 1);
    }
    if (received_.size() < 4) {
      return {};
    }
    const auto length = in_.ReadLength(sequence_in_, std::span(received_).first<4>());
    if (!length.ok() || received_.size() < 4 + *length + in_.tag_size()) {
      return {};
    }
    const size_t size = 4 + *length + in_.tag_size();
    Bytes packet(received_.begin(), received_.begin() + static_cast<ptrdiff_t>(size));
    received_.erase(received_.begin(), received_.begin() + static_cast<ptrdiff_t>(size));
    const auto payload = in_.Open(sequence_in_++, packet);
    return payload.ok() ? Bytes(payload->begin(), payload->end()) : Bytes();
  }
  // The next message of this kind; others are dropped.
  Bytes Wait(uint8_t message) {
    for (Bytes next = Next(); !next.empty(); next = Next()) {
      if (next[0] == message) {
        return next;
      }
      if (next[0] == kMsgDisconnect) {
        ByteReader in(std::span<const uint8_t>(next).subspan(5));
        disconnect_text = TakeText(in);
      }
    }
    return {};
  }

  // --- Steps ---
  Bytes KexInit() const {
    Packet packet(kMsgKexInit);
    packet.Raw(Bytes(16, 9));
    packet.Str(offer_.kex).Str(offer_.host_key);
    packet.Str(offer_.cipher).Str(offer_.cipher).Str(offer_.mac).Str(offer_.mac);
    packet.Str(offer_.compression).Str(offer_.compression).Str("").Str("");
    packet.U8(offer_.guesses ? 1 : 0).U32(0);
    return packet.bytes();
  }
  void SendVersion() { Feed(AsBytes(offer_.version)); }
  Kex AgreedKex(const Bytes& server_init) const {
    ByteReader in(std::span<const uint8_t>(server_init).subspan(17));
    const std::string_view offered = TakeText(in);
    std::string_view ours = offer_.kex;
    while (!ours.empty()) {
      const std::string_view name = TakeName(ours);
      const auto names = AlgorithmNames(AlgorithmKind::kKex);
      const auto found = std::find(names.begin(), names.end(), name);
      if (found != names.end() && ListHas(offered, name)) {
        return static_cast<Kex>(found - names.begin());
      }
    }
    return Kex::kCurve25519;
  }
  // A hybrid's first part; nothing for the others.
  Bytes KemPublic(Kex kex, Bytes& kem_secret) {
    if (kex == Kex::kMlKem768X25519) {
      std::array<uint8_t, crypto::kMlKem768SeedSize> seed;
      world_.random.Fill(seed);
      Bytes key(crypto::kMlKem768PublicSize);
      crypto::MlKem768MakeKey(seed, std::span(key).first<crypto::kMlKem768PublicSize>(),
                              std::span(kem_secret).first<crypto::kMlKem768SecretSize>());
      return key;
    }
    if (kex == Kex::kSntrup761X25519 || kex == Kex::kSntrup761X25519Old) {
      Bytes key(crypto::kSntrup761PublicSize);
      crypto::Sntrup761MakeKey(world_.random, std::span(key).first<crypto::kSntrup761PublicSize>(),
                               std::span(kem_secret).first<crypto::kSntrup761SecretSize>());
      return key;
    }
    return {};
  }
  static void SharedOf(Kex kex, const Bytes& kem_secret, std::span<const uint8_t> server_value,
                       const SecretBytes<32>& number, SharedSecret& shared) {
    ByteWriter out(shared.bytes.Expose());
    std::array<uint8_t, 64> both;
    std::copy(number.Expose().begin(), number.Expose().end(), both.begin() + 32);
    const auto kem = std::span(both).first<32>();
    const std::span<const uint8_t> secret(kem_secret);
    if (kex == Kex::kMlKem768X25519) {
      crypto::MlKem768Decapsulate(secret.first<crypto::kMlKem768SecretSize>(),
                                  server_value.first<crypto::kMlKem768CipherSize>(), kem);
      crypto::Sha256 hash;
      hash.Add(both);
      PutString(out, hash.Finish());
    } else if (kex == Kex::kSntrup761X25519 || kex == Kex::kSntrup761X25519Old) {
      crypto::Sntrup761Decapsulate(secret.first<crypto::kSntrup761SecretSize>(),
                                   server_value.first<crypto::kSntrup761CipherSize>(), kem);
      crypto::Sha512 hash;
      hash.Add(both);
      PutString(out, hash.Finish());
    } else {
      PutMpint(out, number.Expose());
    }
    shared.size = out.size();
  }
  // Sends our public value after both KEXINITs; takes the keys into use.
  bool Exchange(const Bytes& own_init, const Bytes& server_init) {
    const Kex kex = AgreedKex(server_init);
    SecretBytes<32> secret;
    world_.random.Fill(secret.Expose());
    Bytes kem_secret(crypto::kMlKem768SecretSize);
    Bytes point = KemPublic(kex, kem_secret);
    const size_t kem_cipher = kex == Kex::kMlKem768X25519 ? crypto::kMlKem768CipherSize
                              : point.empty()             ? 0
                                                          : crypto::kSntrup761CipherSize;
    const auto own_point = crypto::X25519PublicOf(secret.Expose());
    point.insert(point.end(), own_point.begin(), own_point.end());
    Send(Packet(kMsgKexEcdhInit).Str(AsText(point)));
    const Bytes reply = Wait(kMsgKexEcdhReply);
    ByteReader in(std::span<const uint8_t>(reply).subspan(reply.empty() ? 0 : 1));
    const auto host_key = TakeString(in);
    const auto server_point = TakeString(in);
    const auto signature = TakeString(in);
    if (!in.ok() || server_point.size() != kem_cipher + 32) {
      return false;
    }
    SecretBytes<32> number;
    (void)crypto::X25519Agree(secret.Expose(), server_point.last<32>(), number.Expose()).ok();
    SharedSecret shared;
    SharedOf(kex, kem_secret, server_point, number, shared);
    KexHash hash;
    hash.Start(kex);
    std::string version = offer_.version;
    version.resize(version.find('\r'));
    hash.UpdateString(AsBytes(version));
    hash.UpdateString(AsBytes(server_version));
    hash.UpdateString(own_init);
    hash.UpdateString(server_init);
    hash.UpdateString(host_key);
    hash.UpdateString(point);
    hash.UpdateString(server_point);
    hash.Update(shared.view());
    KexHash::Digest digest;
    const auto exchange_hash = std::span<const uint8_t>(digest).first(hash.Finish(digest));
    const auto key = ParsePublicKey(host_key);
    host_key_verified =
        key.ok() && VerifyBlob(world_.environment, *key, offer_.host_key, exchange_hash, signature);
    if (session_id.empty()) {
      session_id.assign(exchange_hash.begin(), exchange_hash.end());
    }
    if (Wait(kMsgNewKeys).empty()) {
      return false;
    }
    const bool is_strict = offer_.kex.find("kex-strict-c") != std::string::npos;
    const auto& names = AlgorithmNames(AlgorithmKind::kCipher);
    const auto index = std::find(names.begin(), names.end(), offer_.cipher) - names.begin();
    const auto cipher = static_cast<Cipher>(index);
    const Mac mac = IsAead(cipher)                                ? Mac::kOfCipher
                    : offer_.mac.find("512") == std::string::npos ? Mac::kHmacSha256Etm
                                                                  : Mac::kHmacSha512Etm;
    KeyMaterial to_server;
    KeyMaterial to_client;
    DeriveKeys(kex, shared, exchange_hash, session_id, "ACE", to_server);
    DeriveKeys(kex, shared, exchange_hash, session_id, "BDF", to_client);
    Send(Packet(kMsgNewKeys));
    (void)out_.SetKeys(world_.environment, cipher, mac, to_server).ok();
    (void)in_.SetKeys(world_.environment, cipher, mac, to_client).ok();
    sequence_in_ = is_strict ? 0 : sequence_in_;
    sequence_out_ = is_strict ? 0 : sequence_out_;
    return true;
  }
  bool Handshake() {
    SendVersion();
    const Bytes server_init = Next();
    const Bytes own_init = KexInit();
    Send(own_init);
    return !server_init.empty() && Exchange(own_init, server_init);
  }
  // New keys by the client's wish.
  bool Rekey() {
    const Bytes own_init = KexInit();
    Send(own_init);
    const Bytes server_init = Wait(kMsgKexInit);
    return !server_init.empty() && Exchange(own_init, server_init);
  }
  bool StartService() {
    Send(Packet(kMsgServiceRequest).Str("ssh-userauth"));
    return !Wait(kMsgServiceAccept).empty();
  }
  void SendPassword(std::string_view user, std::string_view password) {
    Send(Packet(kMsgUserauthRequest)
             .Str(user)
             .Str("ssh-connection")
             .Str("password")
             .U8(0)
             .Str(password));
  }
  bool LogIn() {
    if (!Handshake() || !StartService()) {
      return false;
    }
    SendPassword("admin", "right");
    return !Wait(kMsgUserauthSuccess).empty();
  }
  bool OpenChannel(uint32_t number, uint32_t window = 1 << 20, uint32_t packet = 32768) {
    Send(Packet(kMsgChannelOpen).Str("session").U32(number).U32(window).U32(packet));
    return !Wait(kMsgChannelOpenConfirmation).empty();
  }
  bool Request(uint32_t channel, std::string_view name, const Packet& rest = Packet(0)) {
    Packet packet(kMsgChannelRequest);
    packet.U32(channel).Str(name).U8(1);
    packet.Raw(std::span(rest.bytes()).subspan(1));
    Send(packet);
    for (Bytes next = Next(); !next.empty(); next = Next()) {
      if (next[0] == kMsgChannelSuccess || next[0] == kMsgChannelFailure) {
        return next[0] == kMsgChannelSuccess;
      }
      early.push_back(next);
    }
    return false;
  }
  void SendData(uint32_t channel, std::string_view data) {
    Send(Packet(kMsgChannelData).U32(channel).Str(data));
  }

  std::string server_version;
  Bytes session_id;
  bool host_key_verified = false;
  bool holds_output = false;
  bool stuck = false;
  std::string disconnect_text;
  std::vector<Bytes> early;
  PacketCipher in_;
  PacketCipher out_;
  uint32_t sequence_in_ = 0;
  uint32_t sequence_out_ = 0;
  Bytes received_;

 private:
  World& world_;
  Offer offer_;
  bool has_version_ = false;
};

}  // namespace gh::ssh::test
