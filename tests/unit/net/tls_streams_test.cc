// TLS streams against each other over TCP in memory: versions, keys, certificates asked for and
// refused, slow keys, floods, back pressure, bounds, memory.
#include "net/tls_streams.h"

#include "tests/unit/net/tls_scene.h"

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
    server_listen_ = std::make_unique<crypto::TlsEndpoint>(crypto::TlsEndpoint::Parts{
        .environment = server_->environment(), .identities = &identities_, .peers = &clients_});
    client_connect_ = std::make_unique<crypto::TlsEndpoint>(
        crypto::TlsEndpoint::Parts{.environment = client_->environment(),
                                   .side = crypto::TlsSide::kClient,
                                   .identities = &client_identities_,
                                   .peers = &servers_,
                                   .peer_role = crypto::PeerRole::kServer});
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
  std::vector<uint8_t> memory_;
  Arena arena_;
  Capacity capacity_;
  std::unique_ptr<TlsStreams> server_, client_;
  std::unique_ptr<Heap> key_heap_;
  std::optional<crypto::TlsEnvironment> keys_;
  std::unique_ptr<TestIdentity> identity_, other_;
  TestIdentities identities_, client_identities_;
  TestPeers servers_, clients_;
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

}  // namespace
}  // namespace gh::net::test
