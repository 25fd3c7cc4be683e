// What tests of TLS streams stand on: certificates and keys made on the spot, keys that are slow,
// peers that are believed or not, and TCP without a network.
#pragma once

#include <gtest/gtest.h>
#include <mbedtls/x509_crt.h>

#include <cstdio>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "crypto/digest.h"
#include "crypto/software_key.h"
#include "crypto/tls_identity.h"
#include "crypto/x509_writer.h"
#include "hal/rt/event_loop.h"
#include "net/stream.h"
#include "tests/unit/net/fake_wire.h"

namespace gh::net::test {

inline constexpr int64_t kTestNow = 1'800'000'000;  // seconds; within every certificate

// Signs when it is told to.
struct SlowKey final : crypto::SigningKey {
  explicit SlowKey(crypto::SoftwareKey& inner) : key(inner) {}
  crypto::KeyType type() const override { return key.type(); }
  uint32_t bits() const override { return key.bits(); }
  std::span<const uint8_t> public_key() const override { return key.public_key(); }
  bool is_available() const override { return available; }
  void Start(crypto::SignRequest& request) override {
    ++started;
    schemes.push_back(request.scheme());
    if (!slow) {
      key.Start(request);
      return;
    }
    request.SetPending();
    pending.push_back(&request);
  }
  void Cancel(crypto::SignRequest& request) override {
    ++cancelled;
    std::erase(pending, &request);
  }
  // Carries out, or fails, what waits.
  void Finish(bool good) {
    std::vector<crypto::SignRequest*> all;
    all.swap(pending);
    for (crypto::SignRequest* request : all) {
      if (!good) {
        request->Fail(Error(ErrorCode::kTimeout, "no answer"), true);
        continue;
      }
      crypto::SignRequest inner;
      inner.Prepare(request->scheme(), request->digest(), nobody, request->deadline());
      key.Start(inner);
      ASSERT_EQ(inner.state(), crypto::SignRequest::State::kDone);
      request->Complete(inner.signature(), true);
    }
  }

  struct Nobody final : crypto::SignListener {
    void OnSigned(crypto::SignRequest&) override {}
  } nobody;
  crypto::SoftwareKey& key;
  bool slow = false;
  bool available = true;
  int started = 0;
  int cancelled = 0;
  std::vector<crypto::SignatureScheme> schemes;  // of what was to be signed
  std::vector<crypto::SignRequest*> pending;
};

// A key and its self-signed certificate for one name.
struct TestIdentity {
  TestIdentity(crypto::TlsEnvironment& keys, crypto::KeyType type, const std::string& name)
      : environment(keys), software(keys), key(software) {
    if (type == crypto::KeyType::kRsa) {
      FILE* pipe = popen(
          "openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -outform DER "
          "2>/dev/null",
          "r");
      std::vector<uint8_t> der(4096);
      der.resize(fread(der.data(), 1, der.size(), pipe));
      pclose(pipe);
      EXPECT_TRUE(software.Load(der).ok());
    } else {
      EXPECT_TRUE(software.GenerateEc(type).ok());
    }
    mbedtls_x509_crt_init(&chain);
    Certify(name);
    identity.chain = &chain;
    identity.key = &key;
  }
  ~TestIdentity() {
    crypto::TlsScope scope(environment);
    mbedtls_x509_crt_free(&chain);
  }

  void Certify(const std::string& name) {
    crypto::TlsScope scope(environment);
    const crypto::SignatureScheme scheme = crypto::CertificateSchemeOf(software.type());
    const crypto::AlternativeName names[] = {{.dns = name}};
    std::vector<uint8_t> buffer(4096), der(4096);
    const auto info = crypto::WriteCertificateInfo(
        {.common_name = name}, names,
        {.serial = {1}, .valid_from_s = kTestNow - 86400, .valid_until_s = kTestNow + 86400 * 365},
        software, scheme, buffer);
    ASSERT_TRUE(info.ok());
    uint8_t digest[crypto::kSignDigestMax];
    const size_t size = crypto::DigestFor(scheme, *info, digest);
    crypto::SignRequest request;
    request.Prepare(scheme, std::span(digest).first(size), key.nobody, Instant::Max());
    software.Start(request);
    const auto written = crypto::WriteSigned(*info, scheme, request.signature(), der);
    ASSERT_TRUE(written.ok());
    ASSERT_EQ(mbedtls_x509_crt_parse_der(&chain, der.data(), *written), 0);
  }
  std::array<uint8_t, 32> fingerprint() const {
    return crypto::Sha256::Of(std::span<const uint8_t>(chain.raw.p, chain.raw.len));
  }

  crypto::TlsEnvironment& environment;
  crypto::SoftwareKey software;
  SlowKey key;
  mbedtls_x509_crt chain;
  crypto::Identity identity;
};

struct TestIdentities final : crypto::Identities {
  const crypto::Identity* Acquire(std::string_view server_name) override {
    asked = std::string(server_name);
    const auto found = by_name.find(asked);
    const crypto::Identity* identity = found == by_name.end() ? fallback : found->second;
    if (identity != nullptr) {
      ++identity->user_count;
    }
    return identity;
  }
  void Release(const crypto::Identity& identity) override {
    ASSERT_GT(identity.user_count, 0u);
    --identity.user_count;
  }
  std::map<std::string, const crypto::Identity*> by_name;
  const crypto::Identity* fallback = nullptr;
  std::string asked;
};

struct TestPeers final : crypto::PeerCheck {
  crypto::PeerVerdict Check(const mbedtls_x509_crt& chain,
                            const crypto::PeerExpectation& expected) override {
    ++checked;
    name = std::string(expected.name);
    staple = {expected.staple.begin(), expected.staple.end()};
    const auto seen = crypto::Sha256::Of(std::span<const uint8_t>(chain.raw.p, chain.raw.len));
    last = seen;
    return trusted == nullptr || trusted->fingerprint() == seen ? crypto::PeerVerdict::kGood
                                                                : verdict;
  }
  const TestIdentity* trusted = nullptr;  // null: everybody
  crypto::PeerVerdict verdict = crypto::PeerVerdict::kUnknownAuthority;
  std::array<uint8_t, 32> last = {};
  std::string name;
  std::vector<uint8_t> staple;  // the last one shown
  int checked = 0;
};

// TCP in memory: what one end sends is offered to the other in the next turn.
class FakeTcp final : public StreamService, public Pollable {
 public:
  explicit FakeTcp(EventLoop& loop) : loop_(loop) { loop_.Add(*this); }
  ~FakeTcp() { loop_.Remove(*this); }

  Result<ListenerId> Listen(const Endpoint& local, const StreamOptions& options,
                            StreamHandler& handler) override {
    EXPECT_EQ(options.kind, StreamKind::kTcp);
    listeners_[local.port] = &handler;
    return ListenerId{local.port};
  }
  void CloseListener(ListenerId listener) override { listeners_.erase(listener.value); }
  Result<StreamId> Connect(const Endpoint& to, const StreamOptions&,
                           StreamHandler& handler) override {
    const uint32_t a = Take(handler), b = Take(*listeners_.at(to.port));
    ends_[a]->peer = b;
    ends_[b]->peer = a;
    ends_[a]->info.remote = to;
    ends_[b]->info.local = to;
    ends_[b]->info.remote = {to.address, static_cast<uint16_t>(40000 + a)};
    ends_[b]->info.accepted = true;
    return ends_[a]->id;
  }
  Result<void> SendStream(StreamId id, std::span<const uint8_t> data) override {
    End* end = Find(id);
    End* peer = end == nullptr || end->gone ? nullptr : Peer(*end);
    if (peer == nullptr) {
      return ErrorCode::kClosed;
    }
    if (peer->inbox.size() + data.size() > window) {
      end->wants_room = true;
      return ErrorCode::kWouldBlock;
    }
    peer->inbox.insert(peer->inbox.end(), data.begin(), data.end());
    peer->fresh = true;
    sent += data.size();
    return Ok();
  }
  size_t SendRoom(StreamId id) const override {
    auto* self = const_cast<FakeTcp*>(this);
    End* end = self->Find(id);
    const End* peer = end == nullptr || end->gone ? nullptr : self->Peer(*end);
    return peer == nullptr ? 0 : window - std::min(window, peer->inbox.size());
  }
  void ResumeStream(StreamId id) override {
    if (End* end = Find(id)) {
      end->resumes = true;
    }
  }
  void CloseStream(StreamId id) override { Leave(id, false); }
  void AbortStream(StreamId id) override { Leave(id, true); }
  const StreamInfo* InfoOf(StreamId id) const override {
    const End* end = const_cast<FakeTcp*>(this)->Find(id);
    return end == nullptr ? nullptr : &end->info;
  }

  bool Poll(Instant) override {
    bool more = false;
    for (size_t i = 0; i < ends_.size(); ++i) {
      if (ends_[i] != nullptr) {
        more = Step(*ends_[i]) || more;
      }
    }
    return more;
  }
  // Damages the next byte sent on its way to every end.
  void Flip() {
    for (auto& end : ends_) {
      if (end != nullptr && !end->inbox.empty()) {
        end->inbox.back() ^= 1;
      }
    }
  }

  size_t window = 64240;
  uint64_t sent = 0;

 private:
  struct End {
    StreamId id;
    StreamHandler* handler = nullptr;
    StreamInfo info;
    uint32_t peer = 0;
    uint32_t peer_generation = 0;
    std::vector<uint8_t> inbox;
    bool told = false, fresh = false, resumes = false, wants_room = false;
    bool fin = false, reset = false, gone = false, refused = false;
    StreamClose why = StreamClose::kByUs;
  };

  uint32_t Take(StreamHandler& handler) {
    uint32_t i = 0;
    while (i < ends_.size() && ends_[i] != nullptr) {
      ++i;
    }
    if (i == ends_.size()) {
      ends_.emplace_back();
    }
    ends_[i] = std::make_unique<End>();
    ends_[i]->id = {i, ++generation_};
    ends_[i]->handler = &handler;
    return i;
  }
  End* Find(StreamId id) {
    return id.index < ends_.size() && ends_[id.index] != nullptr && ends_[id.index]->id == id
               ? ends_[id.index].get()
               : nullptr;
  }
  End* Peer(End& end) {
    End* peer = ends_[end.peer].get();
    return peer != nullptr && peer->peer == end.id.index ? peer : nullptr;
  }
  void Leave(StreamId id, bool reset) {
    End* end = Find(id);
    if (end == nullptr || end->gone) {
      return;
    }
    if (End* peer = Peer(*end)) {
      (reset ? peer->reset : peer->fin) = true;
    }
    end->gone = true;
    end->why = StreamClose::kByUs;
  }
  bool Step(End& end) {
    if (!end.told && !end.gone) {
      end.told = true;
      if (!end.handler->OnStreamOpen(end.id, end.info)) {
        end.refused = true;
        Leave(end.id, true);
      }
    }
    if (!end.gone && !end.inbox.empty() && (end.fresh || end.resumes || end.fin)) {
      end.fresh = end.resumes = false;
      std::vector<uint8_t> copy(
          end.inbox.begin(),
          end.inbox.begin() + static_cast<ptrdiff_t>(std::min<size_t>(end.inbox.size(), 1460 * 3)));
      const size_t taken = end.handler->OnStreamData(end.id, copy);
      end.inbox.erase(end.inbox.begin(), end.inbox.begin() + static_cast<ptrdiff_t>(taken));
      end.fresh = end.fresh || (taken == copy.size() && !end.inbox.empty());
    }
    if (!end.gone && end.wants_room && SendRoom(end.id) > window / 2) {
      end.wants_room = false;
      end.handler->OnStreamWritable(end.id);
    }
    if (!end.gone && (end.reset || (end.fin && !end.fresh))) {
      end.gone = true;
      end.why = end.reset ? StreamClose::kReset : StreamClose::kByPeer;
    }
    if (!end.gone) {
      return end.fresh || end.resumes;
    }
    const StreamId id = end.id;
    StreamHandler* handler = end.refused ? nullptr : end.handler;
    const StreamClose why = end.why;
    ends_[id.index] = nullptr;
    if (handler != nullptr) {
      handler->OnStreamClosed(id, why);
    }
    return true;
  }

  EventLoop& loop_;
  std::map<uint16_t, StreamHandler*> listeners_;
  std::vector<std::unique_ptr<End>> ends_;
  uint32_t generation_ = 0;
};

// Keeps what it hears; echoes, or holds back, if told so.
struct Talker final : StreamHandler {
  bool OnStreamOpen(StreamId id, const StreamInfo& info) override {
    ids.push_back(id);
    last = info;
    return welcome;
  }
  size_t OnStreamData(StreamId id, std::span<uint8_t> data) override {
    const size_t count = std::min(appetite, data.size());
    offered = data.size();
    heard[id.index].append(reinterpret_cast<char*>(data.data()), count);
    if (echo != nullptr && count > 0) {
      EXPECT_TRUE(echo->SendStream(id, data.first(count)).ok());
    }
    return count;
  }
  void OnStreamWritable(StreamId) override { ++writable; }
  void OnStreamClosed(StreamId id, StreamClose why) override {
    closed.push_back(id);
    reasons.push_back(why);
  }
  StreamService* echo = nullptr;
  bool welcome = true;
  size_t appetite = SIZE_MAX;
  size_t offered = 0;
  int writable = 0;
  std::vector<StreamId> ids, closed;
  std::vector<StreamClose> reasons;
  std::map<uint32_t, std::string> heard;
  StreamInfo last;
};

}  // namespace gh::net::test
