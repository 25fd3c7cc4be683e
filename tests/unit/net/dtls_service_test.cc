// DTLS against our own client over datagrams in memory: cookies, data both ways, loss, bounds.
#include "net/dtls_service.h"

#include "tests/unit/net/tls_scene.h"
#include "tests/unit/rt/memory.h"

namespace gh::net::test {
namespace {

// UDP in memory: what the service sends is kept; what it hears is handed to it.
struct FakeUdp final : DatagramService {
  Result<SocketId> OpenDatagram(const Endpoint&, DatagramHandler& listener) override {
    handler = &listener;
    return SocketId{1};
  }
  void CloseDatagram(SocketId) override { handler = nullptr; }
  Result<void> SendDatagram(SocketId, const Endpoint& to, std::span<const uint8_t> data,
                            const IpAddress&) override {
    sent[to.port].emplace_back(data.begin(), data.end());
    ++count;
    return Ok();
  }
  DatagramHandler* handler = nullptr;
  std::map<uint16_t, std::deque<std::vector<uint8_t>>> sent;
  int count = 0;
};

struct Echo final : DatagramHandler {
  void OnDatagram(const DatagramInfo& info, std::span<uint8_t> data) override {
    heard.emplace_back(data.begin(), data.end());
    last = info;
    EXPECT_TRUE(service->SendDatagram(info.socket, info.remote, data).ok());
  }
  DtlsService* service = nullptr;
  std::vector<std::string> heard;
  DatagramInfo last;
};

struct Client final : crypto::TlsWire {
  size_t OnTlsOutput(std::span<const uint8_t> bytes) override {
    out.emplace_back(bytes.begin(), bytes.end());
    return bytes.size();
  }
  void OnTlsReady() override {}
  std::deque<std::vector<uint8_t>> out;
  crypto::TlsSession session;
  std::string heard;
  uint16_t port = 0;
};

class DtlsServiceTest : public ::testing::Test {
 protected:
  DtlsServiceTest()
      : memory_(16 << 20),
        arena_(memory_),
        client_heap_(arena_, 2 << 20),
        client_environment_{client_heap_, random_, clock_},
        service_({udp_, loop_, arena_, random_, clock_}, 4, 3),
        identity_(client_environment_, crypto::KeyType::kEcP256, "turn.example"),
        server_({.environment = service_.environment(),
                 .transport = crypto::TlsTransport::kDatagram,
                 .identities = &identities_}),
        connect_({.environment = client_environment_,
                  .side = crypto::TlsSide::kClient,
                  .transport = crypto::TlsTransport::kDatagram,
                  .peers = &peers_}) {
    clock_.wall_offset_ns = kTestNow * 1'000'000'000 - clock_.now.ns;
    identities_.fallback = &identity_.identity;
    EXPECT_TRUE(server_.Configure({}).ok());
    EXPECT_TRUE(connect_.Configure({}).ok());
    service_.SetEndpoint(server_);
    echo_.service = &service_;
    EXPECT_TRUE(service_.OpenDatagram({IpAddress::V4(192, 0, 2, 1), 5349}, echo_).ok());
  }
  ~DtlsServiceTest() override { service_.CloseDatagram(SocketId{1}); }

  void Begin(Client& client, uint16_t port) {
    client.port = port;
    ASSERT_TRUE(client.session.Start(connect_, client, {.server_name = "turn.example"}).ok());
  }
  // Carries datagrams both ways until there are none; `lose`: every n-th is lost.
  void Carry(Client& client, int rounds = 20, int lose = 0) {
    for (int i = 0; i < rounds; ++i) {
      clock_.now = clock_.now + Duration::Milliseconds(100);
      (void)loop_.RunOnce();
      while (!client.out.empty()) {
        std::vector<uint8_t> datagram = client.out.front();
        client.out.pop_front();
        if (lose == 0 || ++carried_ % lose != 0) {
          udp_.handler->OnDatagram({SocketId{1}, At(client.port), {}, 0}, datagram);
        }
      }
      auto& back = udp_.sent[client.port];
      do {
        std::vector<uint8_t> datagram;
        if (!back.empty()) {
          datagram = back.front();
          back.pop_front();
          if (lose != 0 && ++carried_ % lose == 0) {
            datagram.clear();
          }
        }
        std::span<const uint8_t> in = datagram;
        for (uint8_t plain[2048];;) {
          auto got = client.session.Read(in, plain);
          if (!got.ok() || *got == 0) {
            break;
          }
          client.heard.append(reinterpret_cast<char*>(plain), *got);
        }
      } while (!back.empty());
    }
  }
  static Endpoint At(uint16_t port) { return {IpAddress::V4(192, 0, 2, 77), port}; }

  FakeClock clock_;
  SeededEntropy entropy_{3};
  crypto::Random random_{entropy_};
  EventLoop loop_{clock_};
  gh::test::Memory memory_;
  Arena arena_;
  Heap client_heap_;
  crypto::TlsEnvironment client_environment_;
  FakeUdp udp_;
  DtlsService service_;
  TestIdentity identity_;
  TestIdentities identities_;
  TestPeers peers_;
  crypto::TlsEndpoint server_, connect_;
  Echo echo_;
  int carried_ = 0;
};

TEST_F(DtlsServiceTest, CarriesDatagramsAfterACookie) {
  Client client;
  Begin(client, 1000);
  Carry(client);
  ASSERT_TRUE(client.session.is_open());
  EXPECT_STREQ(client.session.version(), "DTLSv1.2");
  EXPECT_EQ(service_.counts().cookies, 1u);
  EXPECT_EQ(service_.counts().accepted, 1u);
  for (const char* text : {"one", "two", "three"}) {
    ASSERT_TRUE(client.session.Write(AsBytes(std::string_view(text))).ok());
  }
  Carry(client, 3);
  EXPECT_EQ(echo_.heard, (std::vector<std::string>{"one", "two", "three"}));
  EXPECT_TRUE(echo_.last.asked_name.Is("turn.example"));
  EXPECT_EQ(client.heard, "onetwothree");
  EXPECT_EQ(service_.SendDatagram(SocketId{1}, At(999), AsBytes("x")).code(),
            ErrorCode::kUnreachable);
  EXPECT_EQ(
      service_.SendDatagram(SocketId{1}, At(1000), std::vector<uint8_t>(kDatagramSizeMax)).code(),
      ErrorCode::kTooLarge);
}

TEST_F(DtlsServiceTest, AStapleCrossesLosses) {
  const std::vector<uint8_t> response(2500, 0x30);  // more than a datagram holds
  identity_.identity.staple = response;
  Client client;
  Begin(client, 1000);
  Carry(client, 60, 5);
  ASSERT_TRUE(client.session.is_open());
  EXPECT_EQ(peers_.staple, response);
  EXPECT_EQ(peers_.checked, 1);
}

// GHSA-5x2p-4vqj-f6m4: state was kept before the cookie.
TEST_F(DtlsServiceTest, AHelloWithoutACookieLeavesNothingBehind) {
  const uint64_t before = service_.environment().heap.used_bytes();
  Client client;
  Begin(client, 1000);
  std::vector<uint8_t> hello = client.out.front();
  for (uint16_t port = 1; port <= 50; ++port) {
    udp_.handler->OnDatagram({SocketId{1}, At(port), {}, 0}, hello);
    EXPECT_EQ(udp_.sent[port].size(), 1u);
    EXPECT_LT(udp_.sent[port].front().size(), hello.size());  // no amplifier
  }
  EXPECT_EQ(service_.session_count(), 0u);
  EXPECT_EQ(service_.counts().cookies, 50u);
  EXPECT_EQ(service_.environment().heap.used_bytes(), before);
  std::vector<uint8_t> noise(100, 0x17);
  udp_.handler->OnDatagram({SocketId{1}, At(1), {}, 0}, noise);
  EXPECT_EQ(service_.session_count(), 0u);
}

TEST_F(DtlsServiceTest, RepeatsWhatIsLost) {
  Client client;
  Begin(client, 1000);
  Carry(client, 300, 3);
  EXPECT_TRUE(client.session.is_open());
  EXPECT_EQ(service_.counts().accepted, 1u);
}

struct Ended final : DtlsObserver {
  void OnDtlsClosed(const DatagramInfo& info) override { ports.push_back(info.remote.port); }
  std::vector<uint16_t> ports;
};

// Addresses that answer no cookie, and handshakes that go no further, cost no open session.
TEST_F(DtlsServiceTest, HandshakesTakeNoPlaceOfTheOpen) {
  Ended ended;
  service_.SetObserver(ended);
  Client clients[4];
  for (uint16_t i = 0; i < 4; ++i) {
    Begin(clients[i], static_cast<uint16_t>(1000 + i));
    Carry(clients[i]);
  }
  EXPECT_EQ(service_.session_count(), 4u);
  Client strangers[8];
  for (uint16_t i = 0; i < 8; ++i) {
    Begin(strangers[i], static_cast<uint16_t>(2000 + i));
    // The hello, and the one with the cookie.
    for (int step = 0; step < 2 && !strangers[i].out.empty(); ++step) {
      std::vector<uint8_t> hello = strangers[i].out.front();
      strangers[i].out.clear();
      udp_.handler->OnDatagram({SocketId{1}, At(strangers[i].port), {}, 0}, hello);
      auto& back = udp_.sent[strangers[i].port];
      for (uint8_t plain[256]; step == 0 && !back.empty(); back.pop_front()) {
        std::span<const uint8_t> in = back.front();
        (void)strangers[i].session.Read(in, plain);
      }
    }
  }
  EXPECT_EQ(service_.handshake_count(), 3u);
  EXPECT_EQ(service_.session_count(), 7u);
  EXPECT_GE(service_.counts().refused, 5u);
  EXPECT_TRUE(ended.ports.empty());
  for (uint16_t i = 0; i < 4; ++i) {
    EXPECT_TRUE(service_.SendDatagram(SocketId{1}, At(clients[i].port), AsBytes("x")).ok());
  }
  // A fifth that proves itself takes the place of the one silent the longest, which is told.
  clock_.now = clock_.now + Duration::Milliseconds(kTlsHandshakeYieldMs);
  Client fifth;
  Begin(fifth, 3000);
  Carry(fifth);
  EXPECT_TRUE(fifth.session.is_open());
  EXPECT_EQ(ended.ports, (std::vector<uint16_t>{1000}));
}

// The same peer at two sockets of ours has two sessions.
TEST_F(DtlsServiceTest, SocketsAreApart) {
  Client client;
  Begin(client, 1000);
  Carry(client);
  ASSERT_TRUE(client.session.is_open());
  EXPECT_EQ(service_.SendDatagram(SocketId{2}, At(1000), AsBytes("x")).code(),
            ErrorCode::kUnreachable);
}

TEST_F(DtlsServiceTest, TheSilentGiveWayAndAreForgotten) {
  Client clients[6];
  for (uint16_t i = 0; i < 6; ++i) {
    Begin(clients[i], static_cast<uint16_t>(1000 + i));
    Carry(clients[i]);
    EXPECT_TRUE(clients[i].session.is_open());
  }
  EXPECT_EQ(service_.session_count(), 4u);
  EXPECT_EQ(service_.counts().accepted, 6u);
  EXPECT_EQ(service_.SendDatagram(SocketId{1}, At(1000), AsBytes("x")).code(),
            ErrorCode::kUnreachable);
  EXPECT_TRUE(service_.SendDatagram(SocketId{1}, At(1005), AsBytes("x")).ok());
  for (int64_t i = 0; i * 10 < kDtlsIdleSeconds + 20; ++i) {
    clock_.now = clock_.now + Duration::Seconds(10);
    (void)loop_.RunOnce();
  }
  EXPECT_EQ(service_.session_count(), 0u);
}

}  // namespace
}  // namespace gh::net::test
