// TLS streams against each other over TCP in memory: versions, keys, certificates asked for and
// refused, slow keys, floods, back pressure, bounds, memory.
#include "net/tls_streams.h"

#include "tests/unit/net/tls_scene.h"
#include "tests/unit/rt/memory.h"

namespace gh::net::test {
namespace {

using crypto::ClientAuth;
using crypto::KeyType;
using crypto::TlsFailure;
using crypto::TlsVersion;

class TlsStreamsTest : public ::testing::Test {
 protected:
  TlsStreamsTest() : memory_(64 << 20), arena_(memory_) {
    clock_.wall_offset_ns = kTestNow * 1'000'000'000 - clock_.now.ns;
    clock_.wall_set = true;
    capacity_.connection_count = 256;
    capacity_.tls_session_count = 128;
    capacity_.tls_handshake_count = 64;
  }
  ~TlsStreamsTest() override {
    for (auto* streams : {server_.get(), client_.get()}) {
      if (streams == nullptr) {
        continue;
      }
      for (uint32_t i = 0; i < 256; ++i) {
        streams->AbortStream({i, generation_of_[i]});
      }
    }
    Turn(20);
    server_listen_.reset();
    server_connect_.reset();
    client_connect_.reset();
  }

  void Build(KeyType type = KeyType::kEcP256) {
    server_ = Make();
    client_ = Make();
    key_heap_ = std::make_unique<Heap>(arena_, 1 << 20);
    keys_.emplace(*key_heap_, random_, clock_);
    identity_ = std::make_unique<TestIdentity>(*keys_, type, "sip.example");
    other_ = std::make_unique<TestIdentity>(*keys_, KeyType::kEcP256, "other.example");
    identities_.fallback = &identity_->identity;
    identities_.by_name["other.example"] = &other_->identity;
    server_listen_ = std::make_unique<crypto::TlsEndpoint>(
        crypto::TlsEndpoint::Parts{.environment = server_->environment(),
                                   .identities = &identities_,
                                   .peers = &clients_,
                                   .protocols = server_protocols_});
    client_connect_ = std::make_unique<crypto::TlsEndpoint>(
        crypto::TlsEndpoint::Parts{.environment = client_->environment(),
                                   .side = crypto::TlsSide::kClient,
                                   .identities = &client_identities_,
                                   .peers = &servers_,
                                   .peer_role = crypto::PeerRole::kServer,
                                   .protocols = client_protocols_});
    Configure({}, {});
    server_->SetService(TlsService::kSip, server_listen_.get(), nullptr);
    client_->SetService(TlsService::kSip, nullptr, client_connect_.get());
    StreamOptions options;
    options.kind = StreamKind::kTls;
    auto listener = server_->Listen(at_, options, server_side_);
    ASSERT_TRUE(listener.ok());
    server_side_.echo = server_.get();
  }
  std::unique_ptr<TlsStreams> Make() {
    return std::make_unique<TlsStreams>(TlsStreams::Parts{tcp_, loop_, arena_, random_, clock_},
                                        capacity_);
  }
  void Configure(const crypto::TlsPolicy& server, const crypto::TlsPolicy& client) {
    ASSERT_TRUE(server_listen_->Configure(server).ok());
    ASSERT_TRUE(client_connect_->Configure(client).ok());
  }
  void Turn(int count, Duration step = Duration::Milliseconds(1)) {
    for (int i = 0; i < count; ++i) {
      clock_.now = clock_.now + step;
      (void)loop_.RunOnce();
    }
  }
  StreamId Connect(std::string_view name = "sip.example") {
    StreamOptions options;
    options.kind = StreamKind::kTls;
    options.server_name = name;
    auto id = client_->Connect(at_, options, client_side_);
    EXPECT_TRUE(id.ok());
    generation_of_[id->index] = id->generation;
    return *id;
  }
  uint64_t ServerFailures(TlsFailure failure) {
    return server_->counts().failed[static_cast<size_t>(failure)];
  }
  uint64_t ClientFailures(TlsFailure failure) {
    return client_->counts().failed[static_cast<size_t>(failure)];
  }

  FakeClock clock_;
  SeededEntropy entropy_{7};
  crypto::Random random_{entropy_};
  EventLoop loop_{clock_};
  FakeTcp tcp_{loop_};
  gh::test::Memory memory_;
  Arena arena_;
  Capacity capacity_;
  std::unique_ptr<TlsStreams> server_, client_;
  std::unique_ptr<Heap> key_heap_;
  std::optional<crypto::TlsEnvironment> keys_;
  std::unique_ptr<TestIdentity> identity_, other_;
  TestIdentities identities_, client_identities_;
  TestPeers servers_, clients_;
  std::span<const char*const> server_protocols_, client_protocols_;
  std::unique_ptr<crypto::TlsEndpoint> server_listen_, server_connect_, client_connect_;
  Talker server_side_, client_side_;
  Endpoint at_{IpAddress::V4(192, 0, 2, 1), 5061};
  std::map<uint32_t, uint32_t> generation_of_;
};

struct Shape {
  KeyType key;
  TlsVersion version;
};
class TlsStreamsShapes : public TlsStreamsTest, public ::testing::WithParamInterface<Shape> {};

TEST_P(TlsStreamsShapes, CarryBytesBothWaysAndClose) {
  Build(GetParam().key);
  crypto::TlsPolicy policy;
  policy.minimum = policy.maximum = GetParam().version;
  Configure(policy, {});
  const StreamId id = Connect();
  Turn(20);
  ASSERT_EQ(client_side_.ids.size(), 1u);
  ASSERT_EQ(server_side_.ids.size(), 1u);
  EXPECT_EQ(client_side_.last.kind, StreamKind::kTls);
  EXPECT_EQ(server_side_.last.kind, StreamKind::kTls);
  EXPECT_TRUE(server_side_.last.accepted);
  EXPECT_EQ(servers_.name, "sip.example");
  EXPECT_STREQ(client_->SessionOf(id)->version(),
               GetParam().version == TlsVersion::kTls13 ? "TLSv1.3" : "TLSv1.2");
  std::string all;
  for (int i = 0; i < 40; ++i) {
    const std::string piece(5'000, static_cast<char>('a' + i % 26));
    ASSERT_TRUE(client_->SendStream(id, AsBytes(piece)).ok());
    all += piece;
    Turn(8);
  }
  EXPECT_EQ(client_side_.heard[id.index], all);
  uint8_t ours[32], theirs[32];
  ASSERT_TRUE(client_->SessionOf(id)->ExporterBinding(ours).ok());
  ASSERT_TRUE(server_->SessionOf(server_side_.ids[0])->ExporterBinding(theirs).ok());
  EXPECT_TRUE(std::ranges::equal(ours, theirs));
  const auto bound = client_->SessionOf(id)->end_point_binding();
  EXPECT_TRUE(
      std::ranges::equal(bound, server_->SessionOf(server_side_.ids[0])->end_point_binding()));
  const bool is_long = GetParam().key == KeyType::kEcP384;  // signed with SHA-384
  EXPECT_EQ(bound.size(), is_long ? 48u : 32u);
  EXPECT_TRUE(is_long || std::ranges::equal(bound, identity_->fingerprint()));
  client_->CloseStream(id);
  Turn(20);
  EXPECT_EQ(server_side_.reasons, std::vector{StreamClose::kByPeer});
  EXPECT_EQ(client_side_.reasons, std::vector{StreamClose::kByUs});
  EXPECT_EQ(server_->session_count() + client_->session_count(), 0u);
  EXPECT_EQ(identity_->identity.user_count, 0u);
}

INSTANTIATE_TEST_SUITE_P(All, TlsStreamsShapes,
                         ::testing::Values(Shape{KeyType::kEcP256, TlsVersion::kTls13},
                                           Shape{KeyType::kEcP256, TlsVersion::kTls12},
                                           Shape{KeyType::kEcP384, TlsVersion::kTls13},
                                           Shape{KeyType::kEcP384, TlsVersion::kTls12},
                                           Shape{KeyType::kRsa, TlsVersion::kTls13},
                                           Shape{KeyType::kRsa, TlsVersion::kTls12}));

TEST_F(TlsStreamsTest, PassesTcpThrough) {
  Build();
  const Endpoint at{IpAddress::V4(192, 0, 2, 1), 5060};
  ASSERT_TRUE(server_->Listen(at, {}, server_side_).ok());
  const auto id = client_->Connect(at, {}, client_side_);
  ASSERT_TRUE(id.ok());
  Turn(3);
  ASSERT_TRUE(client_->SendStream(*id, AsBytes("plain")).ok());
  Turn(5);
  EXPECT_EQ(client_side_.heard[id->index], "plain");
  EXPECT_EQ(client_->SessionOf(*id), nullptr);
  client_->CloseStream(*id);
  Turn(5);
  EXPECT_EQ(client_side_.reasons, std::vector{StreamClose::kByUs});
}

// ALPN (RFC 7301): servers of XMPP offer theirs as clients do (XEP-0368).
TEST_F(TlsStreamsTest, BothSidesAgreeOnAProtocol) {
  static constexpr const char* kOurs[] = {"xmpp-server"};
  server_protocols_ = client_protocols_ = kOurs;
  Build();
  const StreamId id = Connect();
  Turn(20);
  ASSERT_NE(client_->SessionOf(id), nullptr);
  EXPECT_STREQ(client_->SessionOf(id)->protocol(), "xmpp-server");
}

TEST_F(TlsStreamsTest, OtherProtocolsAreRefusedWhereThePolicyIsStrict) {
  static constexpr const char* kOurs[] = {"xmpp-server"};
  static constexpr const char* kTheirs[] = {"xmpp-client"};
  server_protocols_ = kOurs;
  client_protocols_ = kTheirs;
  Build();
  const StreamId id = Connect();
  Turn(20);
  ASSERT_NE(client_->SessionOf(id), nullptr);
  EXPECT_STREQ(client_->SessionOf(id)->protocol(), "");
  crypto::TlsPolicy strict;
  strict.strict_protocols = true;
  Configure(strict, {});
  const StreamId refused = Connect();
  Turn(20);
  EXPECT_EQ(client_->SessionOf(refused), nullptr);
}

TEST_F(TlsStreamsTest, ChoosesTheCertificateByName) {
  Build();
  (void)Connect("other.example");
  Turn(20);
  EXPECT_EQ(identities_.asked, "other.example");
  EXPECT_EQ(servers_.last, other_->fingerprint());
  // The name stays with the stream.
  const auto asked = [this] { return server_side_.last.asked_name; };
  EXPECT_TRUE(asked().Is("Other.example") && asked().IsBelow("example"));
  EXPECT_FALSE(asked().Is("example") || asked().IsBelow("other.example") || asked().is_none());
  (void)Connect("unknown.example");
  Turn(20);
  EXPECT_EQ(servers_.last, identity_->fingerprint());
  (void)Connect("192.0.2.1");  // an address is no SNI, but is what the certificate must name
  Turn(20);
  EXPECT_EQ(identities_.asked, "");
  EXPECT_EQ(servers_.name, "192.0.2.1");
  EXPECT_TRUE(asked().is_none() && !asked().Is("") && !asked().IsBelow(""));
}

TEST_F(TlsStreamsTest, WithoutACertificateNobodyIsServed) {
  Build();
  identities_.fallback = nullptr;
  (void)Connect();
  Turn(20);
  EXPECT_EQ(ServerFailures(TlsFailure::kNoIdentity), 1u);
  EXPECT_TRUE(server_side_.ids.empty());
  EXPECT_EQ(client_side_.reasons, std::vector{StreamClose::kTlsFailure});
  EXPECT_EQ(ClientFailures(TlsFailure::kAlert), 1u);
}

TEST_F(TlsStreamsTest, AClientRefusesTheWrongServer) {
  Build();
  servers_.trusted = other_.get();
  servers_.verdict = crypto::PeerVerdict::kWrongName;
  (void)Connect();
  Turn(20);
  EXPECT_EQ(ClientFailures(TlsFailure::kCertificate), 1u);
  // mbedTLS's TLS 1.3 client has no keys of its own yet: its alert is no authentic record.
  EXPECT_EQ(ServerFailures(TlsFailure::kAlert) + ServerFailures(TlsFailure::kAuthentic), 1u);
  EXPECT_TRUE(server_side_.ids.empty());
  EXPECT_TRUE(client_side_.ids.empty());
  EXPECT_EQ(client_side_.reasons, std::vector{StreamClose::kTlsFailure});
}

class TlsClientAuth : public TlsStreamsTest, public ::testing::WithParamInterface<TlsVersion> {};

TEST_P(TlsClientAuth, AsksForCertificatesAsConfigured) {
  Build();
  crypto::TlsPolicy policy, version;
  version.maximum = GetParam();
  policy.client_auth = ClientAuth::kRequired;
  Configure(policy, version);
  clients_.trusted = other_.get();
  (void)Connect();  // shows none
  Turn(20);
  EXPECT_EQ(ServerFailures(TlsFailure::kNoCertificate), 1u);
  client_identities_.fallback = &identity_->identity;  // the wrong one
  (void)Connect();
  Turn(20);
  EXPECT_EQ(ServerFailures(TlsFailure::kCertificate), 1u);
  EXPECT_TRUE(server_side_.ids.empty());
  client_identities_.fallback = &other_->identity;
  const StreamId good = Connect();
  Turn(20);
  ASSERT_EQ(server_side_.ids.size(), 1u);
  ASSERT_NE(server_->SessionOf(server_side_.ids[0])->peer(), nullptr);
  ASSERT_TRUE(client_->SendStream(good, AsBytes("mutual")).ok());
  Turn(10);
  EXPECT_EQ(client_side_.heard[good.index], "mutual");
  // Optional lets nobody's certificate in, and refuses a bad one all the same.
  policy.client_auth = ClientAuth::kOptional;
  Configure(policy, version);
  client_identities_.fallback = nullptr;
  (void)Connect();
  Turn(20);
  EXPECT_EQ(server_side_.ids.size(), 2u);
  EXPECT_EQ(server_->SessionOf(server_side_.ids[1])->peer(), nullptr);
  client_identities_.fallback = &identity_->identity;
  (void)Connect();
  Turn(20);
  EXPECT_EQ(server_side_.ids.size(), 2u);
  EXPECT_EQ(ServerFailures(TlsFailure::kCertificate), 2u);
}

// RFC 6066 section 8: judged with the certificate, once, whether it comes with it (TLS 1.3) or
// behind it (TLS 1.2), or not at all. Keys may be slow, and more may be asked of the client.
TEST_P(TlsClientAuth, JudgesTheOcspResponseThatAServerShows) {
  Build();
  crypto::TlsPolicy policy, version;
  version.maximum = GetParam();
  policy.client_auth = ClientAuth::kRequired;
  Configure(policy, version);
  client_identities_.fallback = &other_->identity;
  (void)Connect();
  Turn(20);
  EXPECT_EQ(server_side_.ids.size(), 1u);
  EXPECT_EQ(servers_.checked, 1);
  EXPECT_TRUE(servers_.staple.empty());
  const std::vector<uint8_t> response(3000, 0x30);
  identity_->identity.staple = response;
  (void)Connect();
  Turn(20);
  EXPECT_EQ(server_side_.ids.size(), 2u);
  EXPECT_EQ(servers_.checked, 2);
  EXPECT_EQ(servers_.staple, response);
  EXPECT_TRUE(clients_.staple.empty()) << "clients are not asked";
}

TEST_P(TlsClientAuth, ABadOcspResponseIsToldByItsAlert) {
  Build();
  crypto::TlsPolicy version;
  version.maximum = GetParam();
  Configure({}, version);
  const std::vector<uint8_t> response(300, 0x30);
  identity_->identity.staple = response;
  servers_.trusted = other_.get();
  servers_.verdict = crypto::PeerVerdict::kBadStatus;
  (void)Connect();
  Turn(20);
  EXPECT_EQ(servers_.checked, 1);
  EXPECT_EQ(ClientFailures(TlsFailure::kCertificate), 1u);
  EXPECT_EQ(ServerFailures(TlsFailure::kAlert) + ServerFailures(TlsFailure::kAuthentic), 1u);
  EXPECT_TRUE(server_side_.ids.empty());
  EXPECT_TRUE(client_side_.ids.empty());
}

TEST_P(TlsClientAuth, AwaitsSlowKeysOfBothSides) {
  Build();
  crypto::TlsPolicy policy, version;
  version.maximum = GetParam();
  policy.client_auth = ClientAuth::kRequired;
  Configure(policy, version);
  client_identities_.fallback = &other_->identity;
  const StreamId open = Connect();
  Turn(20);
  identity_->key.slow = other_->key.slow = true;
  const StreamId id = Connect();
  Turn(50);
  EXPECT_EQ(identity_->key.pending.size(), 1u);
  // Whoever is open is served meanwhile.
  ASSERT_TRUE(client_->SendStream(open, AsBytes("meanwhile")).ok());
  Turn(10);
  EXPECT_EQ(client_side_.heard[open.index], "meanwhile");
  EXPECT_EQ(server_side_.ids.size(), 1u);
  identity_->key.Finish(true);
  Turn(20);
  EXPECT_EQ(other_->key.pending.size(), 1u);
  other_->key.Finish(true);
  Turn(20);
  EXPECT_EQ(server_side_.ids.size(), 2u);
  ASSERT_TRUE(client_->SendStream(id, AsBytes("signed")).ok());
  Turn(10);
  EXPECT_EQ(client_side_.heard[id.index], "signed");
  EXPECT_EQ(identity_->key.cancelled + other_->key.cancelled, 0);
}

// RFC 8446 section 4.2.3: who offers PSS takes it in TLS 1.2 too (crypto/mbedtls-patches/0007).
TEST_P(TlsClientAuth, RsaKeysOfBothSidesSignByPss) {
  Build(KeyType::kRsa);
  TestIdentity phone(*keys_, KeyType::kRsa, "phone.example");
  crypto::TlsPolicy policy, version;
  version.maximum = GetParam();
  policy.client_auth = ClientAuth::kRequired;
  client_identities_.fallback = &phone.identity;
  // With SHA-384 the transcript has another hash.
  for (const char* suites : {"DEFAULT", "TLS_AES_256_GCM_SHA384:ECDHE-RSA-AES256-GCM-SHA384"}) {
    ASSERT_TRUE(version.SetSuites(suites).ok());
    Configure(policy, version);
    client_side_.heard.clear();
    const StreamId id = Connect();
    Turn(30);
    ASSERT_TRUE(client_->SendStream(id, AsBytes("signed")).ok());
    Turn(10);
    EXPECT_EQ(client_side_.heard[id.index], "signed");
    client_->CloseStream(id);
    Turn(10);
  }
  using crypto::SignatureScheme;
  EXPECT_EQ(identity_->key.schemes,
            (std::vector{SignatureScheme::kRsaPssSha256, SignatureScheme::kRsaPssSha256}));
  const bool is_tls12 = GetParam() == TlsVersion::kTls12;
  EXPECT_EQ(phone.key.schemes, (std::vector{SignatureScheme::kRsaPssSha256,
                                            is_tls12 ? SignatureScheme::kRsaPssSha384
                                                     : SignatureScheme::kRsaPssSha256}));
}

INSTANTIATE_TEST_SUITE_P(Versions, TlsClientAuth,
                         ::testing::Values(TlsVersion::kTls12, TlsVersion::kTls13));

TEST_F(TlsStreamsTest, AKeyThatFailsOrIsAwayEndsItsHandshakeOnly) {
  Build();
  const StreamId open = Connect();
  Turn(20);
  identity_->key.slow = true;
  (void)Connect();
  Turn(20);
  identity_->key.Finish(false);
  Turn(20);
  EXPECT_EQ(ServerFailures(TlsFailure::kKeyFailed), 1u);
  identity_->key.available = false;
  (void)Connect();
  Turn(20);
  EXPECT_EQ(ServerFailures(TlsFailure::kKeyAway), 1u);
  EXPECT_EQ(identity_->key.pending.size(), 0u);
  ASSERT_TRUE(client_->SendStream(open, AsBytes("alive")).ok());
  Turn(10);
  EXPECT_EQ(client_side_.heard[open.index], "alive");
}

TEST_F(TlsStreamsTest, ASignatureNobodyWaitsForIsCancelled) {
  Build();
  identity_->key.slow = true;
  const StreamId id = Connect();
  Turn(20);
  ASSERT_EQ(identity_->key.pending.size(), 1u);
  client_->AbortStream(id);
  Turn(10);
  EXPECT_EQ(identity_->key.cancelled, 1);
  EXPECT_EQ(identity_->identity.user_count, 0u);
  // And at the deadline of a handshake.
  (void)Connect();
  Turn(20);
  ASSERT_EQ(identity_->key.pending.size(), 1u);
  Turn(20, Duration::Milliseconds(kTlsHandshakeMs / 10));
  EXPECT_EQ(identity_->key.cancelled, 2);
  EXPECT_GE(ServerFailures(TlsFailure::kTimeout) + ClientFailures(TlsFailure::kTimeout), 1u);
}

TEST_F(TlsStreamsTest, AFloodOfHandshakesTakesItsShareOfEachTurnOnly) {
  capacity_.tls_handshake_count = 50;
  Build();
  const StreamId open = Connect();
  Turn(20);
  const int before = identity_->key.started;
  for (int i = 0; i < 50; ++i) {
    (void)Connect("flood.example");
  }
  // A turn starts two steps at most on each side, and the open stream has its echo at once.
  int most = 0;
  std::string sent;
  for (int turn = 0; turn < 12; ++turn) {
    const int started = identity_->key.started;
    ASSERT_TRUE(client_->SendStream(open, AsBytes("x")).ok());
    sent += "x";
    Turn(1);
    most = std::max(most, identity_->key.started - started);
  }
  EXPECT_LE(most, static_cast<int>(kTlsHandshakeStepsPerTurn));
  EXPECT_GE(client_side_.heard[open.index].size() + 4, sent.size());
  Turn(400);
  EXPECT_EQ(identity_->key.started - before, 50);
  EXPECT_EQ(server_side_.ids.size(), 51u);
  EXPECT_EQ(client_side_.ids.size(), 51u);
  EXPECT_EQ(server_->handshake_count(), 0u);
}

TEST_F(TlsStreamsTest, TheLimitOfHandshakesHoldsAndTheSlowestGivesWay) {
  capacity_.tls_handshake_count = 8;
  Build();
  identity_->key.slow = true;
  for (int i = 0; i < 8; ++i) {
    (void)Connect();
  }
  Turn(40);
  EXPECT_EQ(server_->handshake_count(), 8u);
  StreamOptions options;
  options.kind = StreamKind::kTls;
  // Ours is at its edge too.
  EXPECT_EQ(client_->Connect(at_, options, client_side_).code(), ErrorCode::kExhausted);
  auto raw = tcp_.Connect(at_, {}, client_side_);
  ASSERT_TRUE(raw.ok());
  Turn(5);
  EXPECT_EQ(ServerFailures(TlsFailure::kRefused), 1u);
  // Later, the oldest has been slow: it gives way.
  Turn(3, Duration::Milliseconds(kTlsHandshakeYieldMs / 2));
  raw = tcp_.Connect(at_, {}, client_side_);
  ASSERT_TRUE(raw.ok());
  Turn(5);
  EXPECT_EQ(ServerFailures(TlsFailure::kRefused), 1u);
  EXPECT_EQ(ServerFailures(TlsFailure::kTimeout), 1u);
  EXPECT_EQ(server_->handshake_count(), 8u);
  tcp_.AbortStream(*raw);
}

TEST_F(TlsStreamsTest, WhoSaysNothingIsGoneAtTheDeadline) {
  Build();
  auto raw = tcp_.Connect(at_, {}, client_side_);
  ASSERT_TRUE(raw.ok());
  Turn(5);
  EXPECT_EQ(server_->handshake_count(), 1u);
  EXPECT_EQ(server_->heap().block_count(), server_->heap().block_count());
  Turn(12, Duration::Milliseconds(kTlsHandshakeMs / 10));
  EXPECT_EQ(server_->handshake_count(), 0u);
  EXPECT_EQ(ServerFailures(TlsFailure::kTimeout), 1u);
}

TEST_F(TlsStreamsTest, WhatIsNoTlsIsRefused) {
  Build();
  auto raw = tcp_.Connect(at_, {}, client_side_);
  ASSERT_TRUE(raw.ok());
  Turn(3);
  ASSERT_TRUE(tcp_.SendStream(*raw, AsBytes("REGISTER sip:example.org SIP/2.0\r\n\r\n")).ok());
  Turn(5);
  EXPECT_EQ(ServerFailures(TlsFailure::kNotTls), 1u);
  EXPECT_EQ(server_->session_count(), 0u);
}

TEST_F(TlsStreamsTest, ADamagedRecordEndsTheStream) {
  Build();
  const StreamId id = Connect();
  Turn(20);
  // More than is gathered: it goes down at once.
  ASSERT_TRUE(client_->SendStream(id, AsBytes(std::string(9'000, 'g'))).ok());
  tcp_.Flip();
  Turn(10);
  EXPECT_EQ(ServerFailures(TlsFailure::kAuthentic), 1u);
  EXPECT_EQ(server_side_.reasons, std::vector{StreamClose::kTlsFailure});
  EXPECT_EQ(server_side_.heard[server_side_.ids[0].index], "");
}

TEST_F(TlsStreamsTest, MessagesOfOneTurnShareARecord) {
  Build();
  server_side_.echo = nullptr;
  const StreamId first = Connect(), second = Connect();
  Turn(20);
  const auto heard = [&](size_t i) { return server_side_.heard[server_side_.ids[i].index]; };
  uint64_t before = tcp_.sent;
  for (const char* piece : {"a", "b", "c", "d"}) {
    ASSERT_TRUE(client_->SendStream(first, AsBytes(std::string_view(piece))).ok());
  }
  EXPECT_EQ(tcp_.sent, before);
  Turn(3);
  EXPECT_EQ(heard(0), "abcd");
  EXPECT_LT(tcp_.sent - before, 2 * 22u);  // a record costs 22 bytes
  // Another stream's turn to send is the end of it, and nothing changes places.
  ASSERT_TRUE(client_->SendStream(first, AsBytes("e")).ok());
  before = tcp_.sent;
  ASSERT_TRUE(client_->SendStream(second, AsBytes("x")).ok());
  EXPECT_GT(tcp_.sent, before);
  ASSERT_TRUE(client_->SendStream(first, AsBytes("f")).ok());
  // So is the room's.
  ASSERT_TRUE(client_->SendStream(first, AsBytes(std::string(8'192, 'g'))).ok());
  ASSERT_TRUE(client_->SendStream(first, AsBytes(std::string(8'193, 'h'))).ok());
  ASSERT_TRUE(client_->SendStream(first, AsBytes("i")).ok());
  Turn(20);
  EXPECT_TRUE(heard(0) == "abcdef" + std::string(8'192, 'g') + std::string(8'193, 'h') + "i")
      << heard(0).size();
  EXPECT_EQ(heard(1), "x");
}

TEST_F(TlsStreamsTest, WhatWasGatheredIsSaidBeforeTheEndAndNotAfterAReset) {
  Build();
  server_side_.echo = nullptr;
  const StreamId first = Connect(), second = Connect();
  Turn(20);
  const auto ids = server_side_.ids;
  ASSERT_TRUE(client_->SendStream(first, AsBytes("last words")).ok());
  client_->CloseStream(first);
  ASSERT_TRUE(client_->SendStream(second, AsBytes("unsaid")).ok());
  client_->AbortStream(second);
  Turn(5);
  EXPECT_EQ(server_side_.heard[ids[0].index], "last words");
  EXPECT_EQ(server_side_.heard[ids[1].index], "");
  EXPECT_EQ(client_->session_count(), 0u);
}

TEST_F(TlsStreamsTest, AHandlerThatHoldsBackClosesTheWindow) {
  Build();
  server_side_.echo = nullptr;
  server_side_.appetite = 0;
  const StreamId id = Connect();
  Turn(20);
  std::string all;
  int accepted = 0;
  for (int i = 0; i < 200; ++i) {
    const std::string piece(4'000, static_cast<char>('a' + i % 26));
    const auto sent = client_->SendStream(id, AsBytes(piece));
    if (!sent.ok()) {
      ASSERT_EQ(sent.code(), ErrorCode::kWouldBlock);
      break;
    }
    ++accepted;
    all += piece;
    Turn(3);
  }
  EXPECT_LT(accepted, 100);  // both windows and what was accepted on top, no more
  EXPECT_EQ(client_->SendRoom(id), 0u);
  EXPECT_EQ(client_side_.writable, 0);
  const StreamId other = server_side_.ids[0];
  server_side_.appetite = SIZE_MAX;
  server_->ResumeStream(other);
  Turn(60);
  EXPECT_EQ(server_side_.heard[other.index], all);
  EXPECT_EQ(client_side_.writable, 1);
  EXPECT_GT(client_->SendRoom(id), 0u);
  EXPECT_TRUE(client_->SendStream(id, AsBytes("more")).ok());
  EXPECT_EQ(client_->SendStream(id, std::vector<uint8_t>(kStreamQueueMax + 1)).code(),
            ErrorCode::kTooLarge);
}

TEST_F(TlsStreamsTest, PiecesAreOfferedTogether) {
  Build();
  server_side_.echo = nullptr;
  server_side_.appetite = 0;
  const StreamId id = Connect();
  Turn(20);
  ASSERT_TRUE(client_->SendStream(id, AsBytes("half and ")).ok());
  Turn(5);
  EXPECT_EQ(server_side_.offered, 9u);
  ASSERT_TRUE(client_->SendStream(id, AsBytes("half")).ok());
  Turn(5);
  EXPECT_EQ(server_side_.offered, 13u);  // what was not consumed comes again, with more
  // When the peer closes they are offered a last time.
  server_side_.offered = 0;
  client_->CloseStream(id);
  Turn(10);
  EXPECT_EQ(server_side_.offered, 13u);
  EXPECT_EQ(server_side_.reasons, std::vector{StreamClose::kByPeer});
}

TEST_F(TlsStreamsTest, ClosingWaitsForWhatWasAccepted) {
  Build();
  server_side_.echo = nullptr;
  tcp_.window = 20'000;
  const StreamId id = Connect();
  Turn(20);
  const std::string all(60'000, 'z');
  ASSERT_TRUE(client_->SendStream(id, AsBytes(all)).ok());
  client_->CloseStream(id);
  EXPECT_EQ(client_->SendStream(id, AsBytes("late")).code(), ErrorCode::kClosed);
  Turn(100);
  EXPECT_EQ(server_side_.heard[server_side_.ids[0].index].size(), all.size());
  EXPECT_EQ(server_side_.reasons, std::vector{StreamClose::kByPeer});
  EXPECT_EQ(client_side_.reasons, std::vector{StreamClose::kByUs});
}

TEST_P(TlsClientAuth, AnIdleStreamIsCheap) {
  Build();
  crypto::TlsPolicy policy;
  policy.maximum = GetParam();
  Configure({}, policy);
  const uint64_t none = server_->heap().used_bytes();
  (void)Connect();
  Turn(20);
  const uint64_t peak = server_->heap().used_bytes_max() - none;
  const uint64_t one = server_->heap().used_bytes();
  for (int i = 0; i < 10; ++i) {
    (void)Connect();
    Turn(20);
  }
  const uint64_t heap = (server_->heap().used_bytes() - one) / 10;
  std::printf("%s: idle %d bytes of heap and %d of pool, handshake %d\n",
              GetParam() == TlsVersion::kTls12 ? "TLS 1.2" : "TLS 1.3", static_cast<int>(heap),
              static_cast<int>(TlsStreams::bytes_per_session()), static_cast<int>(peak));
  EXPECT_LE(heap + TlsStreams::bytes_per_session(), 12u * 1024);
  EXPECT_LE(heap, kTlsIdleHeap);
  EXPECT_LE(peak, kTlsHandshakeHeap);
}

TEST_F(TlsStreamsTest, RunsOutOfMemoryInGoodOrder) {
  capacity_.tls_session_count = 40;
  capacity_.tls_handshake_count = 4;  // sizes the heap; more are admitted below
  Build();
  identity_->key.slow = true;
  // Streams whose handler takes nothing fill the heap; others fail, and nothing else does.
  identity_->key.slow = false;
  server_side_.echo = nullptr;
  server_side_.appetite = 0;
  std::vector<StreamId> all;
  for (int i = 0; i < 20; ++i) {
    all.push_back(Connect());
    Turn(12);
    (void)client_->SendStream(all.back(), std::vector<uint8_t>(40'000));
    Turn(12);
  }
  const auto no_room = std::ranges::count(server_side_.reasons, StreamClose::kNoResource);
  EXPECT_GT(static_cast<uint64_t>(no_room) + ServerFailures(TlsFailure::kMemory), 0u);
  for (const StreamId id : all) {
    client_->AbortStream(id);
  }
  Turn(30);
  EXPECT_EQ(server_->session_count(), 0u);
  server_side_.appetite = SIZE_MAX;
  const StreamId id = Connect();
  Turn(20);
  EXPECT_TRUE(client_->SendStream(id, AsBytes("again")).ok());
}

// All write at once and nobody reads: those who find no memory for a record wait, and lose nothing.
TEST_F(TlsStreamsTest, MemoryForRecordsIsWaitedFor) {
  capacity_.tls_session_count = 40;
  capacity_.tls_handshake_count = 4;
  Build();
  server_side_.echo = nullptr;
  std::vector<StreamId> all;
  for (int i = 0; i < 40; ++i) {
    all.push_back(Connect());
    Turn(12);
  }
  ASSERT_EQ(server_side_.ids.size(), 40u);
  for (const StreamId id : all) {
    ASSERT_TRUE(client_->SendStream(id, AsBytes("ping")).ok());
  }
  tcp_.window = 0;
  const std::vector<uint8_t> piece(1000, 'p');
  std::vector<StreamId> waiting;
  for (const StreamId id : server_side_.ids) {
    if (!server_->SendStream(id, piece).ok()) {
      waiting.push_back(id);
    }
  }
  EXPECT_GT(waiting.size(), 4u);
  EXPECT_LT(waiting.size(), 36u);
  Turn(100);
  EXPECT_EQ(server_side_.writable, 0);
  tcp_.window = 64240;
  Turn(200);
  EXPECT_EQ(server_side_.writable, static_cast<int>(waiting.size()));
  for (const StreamId id : waiting) {
    EXPECT_TRUE(server_->SendStream(id, piece).ok());
  }
  Turn(100);
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(server_side_.heard[server_side_.ids[i].index], "ping");
    EXPECT_EQ(client_side_.heard[all[i].index].size(), piece.size());
  }
  EXPECT_EQ(ServerFailures(TlsFailure::kMemory), 0u);
  EXPECT_TRUE(server_side_.reasons.empty());
}

TEST_F(TlsStreamsTest, MemoryIsNotWaitedForWithoutEnd) {
  capacity_.tls_session_count = 40;
  capacity_.tls_handshake_count = 4;
  Build();
  server_side_.echo = nullptr;
  for (int i = 0; i < 40; ++i) {
    (void)Connect();
    Turn(12);
  }
  tcp_.window = 0;
  uint64_t waiting = 0;
  for (const StreamId id : server_side_.ids) {
    waiting += server_->SendStream(id, std::vector<uint8_t>(1000)).ok() ? 0 : 1;
  }
  ASSERT_GT(waiting, 0u);
  Turn(9, Duration::Milliseconds(kTlsStarvedMs / 10));
  EXPECT_EQ(ServerFailures(TlsFailure::kMemory), 0u);
  Turn(2, Duration::Milliseconds(kTlsStarvedMs / 10));
  EXPECT_EQ(ServerFailures(TlsFailure::kMemory), waiting);
}

TEST_F(TlsStreamsTest, WithoutTlsAServiceSaysSo) {
  Build();
  StreamOptions options;
  options.kind = StreamKind::kTls;
  options.service = TlsService::kWeb;
  EXPECT_EQ(server_->Listen(at_, options, server_side_).code(), ErrorCode::kUnsupported);
  EXPECT_EQ(client_->Connect(at_, options, client_side_).code(), ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace gh::net::test
