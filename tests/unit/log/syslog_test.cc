#include "firmware/log/syslog.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "firmware/log/event_store.h"
#include "tests/unit/store/fake_disk.h"

namespace gh::log {
namespace {

// A network that takes or refuses what it is told to.
class FakeNetwork final : public net::DatagramService,
                          public net::StreamService,
                          public net::Resolver {
 public:
  Result<net::SocketId> OpenDatagram(const net::Endpoint&, net::DatagramHandler&) override {
    return net::SocketId{1};
  }
  void CloseDatagram(net::SocketId) override {}
  Result<void> SendDatagram(net::SocketId, const net::Endpoint& to, std::span<const uint8_t> data,
                            const net::IpAddress&) override {
    if (refuse) {
      return ErrorCode::kUnreachable;
    }
    datagrams.push_back(std::string(AsText(data)));
    last_to = to;
    return Ok();
  }
  Result<net::ListenerId> Listen(const net::Endpoint&, const net::StreamOptions&,
                                 net::StreamHandler&) override {
    return ErrorCode::kUnsupported;
  }
  void CloseListener(net::ListenerId) override {}
  Result<net::StreamId> Connect(const net::Endpoint&, const net::StreamOptions&,
                                net::StreamHandler& opened) override {
    ++connects;
    handler = &opened;
    stream = net::StreamId{7, ++generation};
    return stream;
  }
  Result<void> SendStream(net::StreamId id, std::span<const uint8_t> data) override {
    EXPECT_EQ(id, stream);
    if (room < data.size()) {
      return ErrorCode::kWouldBlock;
    }
    room -= data.size();
    bytes += AsText(data);
    return Ok();
  }
  size_t SendRoom(net::StreamId) const override { return acknowledged ? 65536 : 1024; }
  bool acknowledged = true;
  void CloseStream(net::StreamId) override { ++closes; }
  void AbortStream(net::StreamId) override { ++closes; }
  const net::StreamInfo* InfoOf(net::StreamId) const override { return nullptr; }
  Result<void> Resolve(std::string_view name, net::DnsType type,
                       net::DnsQuery& asked_for) override {
    asked.push_back(std::string(name) + (type == net::DnsType::kA ? " A" : " AAAA"));
    query = &asked_for;
    return Ok();
  }
  void Cancel(net::DnsQuery&) override { query = nullptr; }

  bool refuse = false;
  std::vector<std::string> datagrams;
  net::Endpoint last_to;
  int connects = 0;
  int closes = 0;
  net::StreamHandler* handler = nullptr;
  net::StreamId stream;
  uint32_t generation = 0;
  size_t room = SIZE_MAX;
  std::string bytes;
  std::vector<std::string> asked;
  net::DnsQuery* query = nullptr;
};

// RFC 6587 3.4.1: MSG-LEN SP SYSLOG-MSG, without rest.
std::vector<std::string> Frames(std::string bytes) {
  std::vector<std::string> frames;
  while (!bytes.empty()) {
    size_t used = 0;
    const size_t size = std::stoul(bytes, &used);
    EXPECT_EQ(bytes.at(used), ' ');
    EXPECT_NE(bytes[0], '0');
    frames.push_back(bytes.substr(used + 1, size));
    EXPECT_EQ(frames.back().size(), size);
    bytes.erase(0, used + 1 + size);
  }
  return frames;
}

class SyslogTest : public ::testing::Test {
 protected:
  SyslogTest()
      : memory_(1u << 20),
        arena_({memory_.data(), memory_.size()}),
        log_(arena_, clock_, 64),
        loop_(clock_),
        syslog_({log_, loop_, network_, network_, &network_}) {
    syslog_.SetIdentity("edge1", "run1");
  }
  void Configure(const char* address, SyslogTransport transport,
                 Severity severity = Severity::kInformational) {
    SyslogServerConfig config;
    config.enabled = true;
    config.address.Assign(address);
    config.transport = transport;
    config.severity = severity;
    syslog_.Configure({&config, 1});
  }
  void Run(double seconds) {
    const Instant until = clock_.now + Duration::Milliseconds(static_cast<int64_t>(seconds * 1000));
    do {
      while (syslog_.Poll(clock_.now)) {
      }
      clock_.now = clock_.now + Duration::Milliseconds(100);
    } while (clock_.now < until);
  }
  void Emit(const std::string& port) { log_.Emit(event::LinkUp{.port = port}); }

  store::FakeClock clock_;
  FakeNetwork network_;
  std::vector<uint8_t> memory_;
  Arena arena_;
  Log log_;
  EventLoop loop_;
  Syslog syslog_;
};

TEST_F(SyslogTest, UdpSendsOneMessageADatagram) {
  Emit("LAN1");
  Configure("192.0.2.9", SyslogTransport::kUdp);
  Run(0.3);
  Emit("LAN2");
  Run(0.3);
  ASSERT_EQ(network_.datagrams.size(), 2u);
  EXPECT_NE(network_.datagrams[0].find("port=\"LAN1\""), std::string::npos);
  EXPECT_EQ(network_.last_to.port, 514);
  EXPECT_EQ(syslog_.status(0).sent, 2u);
}

TEST_F(SyslogTest, SeverityFilters) {
  Configure("192.0.2.9", SyslogTransport::kUdp, Severity::kWarning);
  Emit("LAN1");                                     // notice
  log_.Emit(event::LinkDown{.port = "LAN1"});       // warning
  log_.Emit(event::StoreFailed{.reason = "disk"});  // critical
  Run(0.3);
  ASSERT_EQ(network_.datagrams.size(), 2u);
  EXPECT_NE(network_.datagrams[0].find(" link-down "), std::string::npos);
}

TEST_F(SyslogTest, AnUnreachableNetworkIsTriedAgainAndNothingIsLost) {
  network_.refuse = true;
  Configure("192.0.2.9", SyslogTransport::kUdp);
  for (int i = 0; i < 5; ++i) {
    Emit("P" + std::to_string(i));
  }
  Run(2);
  EXPECT_EQ(syslog_.status(0).state, SyslogState::kWaiting);
  network_.refuse = false;
  Run(10);
  std::string all;
  for (const std::string& one : network_.datagrams) {
    all += one;
  }
  for (int i = 0; i < 5; ++i) {
    EXPECT_NE(all.find("P" + std::to_string(i) + "\""), std::string::npos);
  }
  EXPECT_NE(all.find(" syslog-lost "), std::string::npos);
  EXPECT_NE(all.find(" syslog-connected "), std::string::npos);
}

TEST_F(SyslogTest, TcpCountsOctets) {
  Configure("192.0.2.9", SyslogTransport::kTcp);
  Emit("LAN1");
  Run(0.2);
  ASSERT_EQ(network_.connects, 1);
  EXPECT_TRUE(network_.bytes.empty());
  EXPECT_TRUE(network_.handler->OnStreamOpen(network_.stream, {}));
  Run(0.2);
  const auto frames = Frames(network_.bytes);
  ASSERT_EQ(frames.size(), 2u);
  EXPECT_NE(frames[0].find(" link-up "), std::string::npos);
  EXPECT_NE(frames[1].find(" syslog-connected "), std::string::npos);
}

TEST_F(SyslogTest, TcpWaitsForRoomAndGoesOn) {
  Configure("192.0.2.9", SyslogTransport::kTcp);
  Run(0.2);
  network_.room = 10;
  network_.handler->OnStreamOpen(network_.stream, {});
  for (int i = 0; i < 3; ++i) {
    Emit("P" + std::to_string(i));
  }
  Run(0.5);
  EXPECT_TRUE(network_.bytes.empty());
  network_.room = SIZE_MAX;
  network_.handler->OnStreamWritable(network_.stream);
  Run(0.2);
  EXPECT_EQ(Frames(network_.bytes).size(), 4u);
}

TEST_F(SyslogTest, TcpReconnectsWithGrowingPauses) {
  Configure("192.0.2.9", SyslogTransport::kTcp);
  std::vector<double> at;
  double seconds = 0;
  int seen = 0;
  while (seconds < 200) {
    Run(0.1);
    seconds += 0.1;
    if (network_.connects != seen) {
      seen = network_.connects;
      at.push_back(seconds);
      network_.handler->OnStreamClosed(network_.stream, net::StreamClose::kRefused);
    }
  }
  ASSERT_GE(at.size(), 6u);
  for (size_t i = 2; i < at.size(); ++i) {
    const double pause = at[i] - at[i - 1];
    EXPECT_GE(pause + 0.2, at[i - 1] - at[i - 2]);
    EXPECT_LE(pause, kReconnectMaxSeconds + 1.0);
  }
  // Said once, not at every try.
  int told = 0;
  for (uint64_t s = log_.first_sequence(); s < log_.next_sequence(); ++s) {
    told += kEvents[log_.Find(s)->event].name == std::string_view("syslog-lost");
  }
  EXPECT_EQ(told, 1);
}

TEST_F(SyslogTest, AConnectThatHangsIsGivenUp) {
  Configure("192.0.2.9", SyslogTransport::kTcp);
  Run(kConnectTimeoutSeconds + 1.0);
  EXPECT_EQ(network_.closes, 1);
  EXPECT_EQ(syslog_.status(0).state, SyslogState::kWaiting);
}

TEST_F(SyslogTest, WhatTheRingOverwritesIsCountedAndTold) {
  network_.refuse = true;
  Configure("192.0.2.9", SyslogTransport::kUdp);
  Run(0.2);
  for (int i = 0; i < 200; ++i) {
    clock_.now = clock_.now + Duration::Milliseconds(100);
    Emit("P" + std::to_string(i));
  }
  network_.refuse = false;
  Run(70);
  const auto status = syslog_.status(0);
  EXPECT_GE(status.dropped, 130u);
  EXPECT_EQ(status.waiting, 0u);
  bool told = false;
  for (const std::string& one : network_.datagrams) {
    told = told || one.find("count=\"" + std::to_string(status.dropped) + "\"") != one.npos;
  }
  EXPECT_TRUE(told);
}

TEST_F(SyslogTest, NamesAreResolvedAndAaaaIsTriedAfterA) {
  Configure("logs.example.com", SyslogTransport::kUdp);
  Emit("LAN1");
  Run(0.2);
  ASSERT_EQ(network_.asked, std::vector<std::string>{"logs.example.com A"});
  network_.query->done(*network_.query, ErrorCode::kNotFound);
  ASSERT_EQ(network_.asked.back(), "logs.example.com AAAA");
  net::DnsRecord record;
  record.type = net::DnsType::kAaaa;
  record.address = *net::IpAddress::Parse("2001:db8::9");
  network_.query->done(*network_.query, std::span<const net::DnsRecord>(&record, 1));
  Run(0.2);
  EXPECT_EQ(network_.datagrams.size(), 1u);
  EXPECT_TRUE(network_.last_to.address.is_v6());
}

TEST_F(SyslogTest, AChangedServerBeginsAnewAndOthersAreLeftAlone) {
  Configure("192.0.2.9", SyslogTransport::kTcp);
  Run(0.2);
  network_.handler->OnStreamOpen(network_.stream, {});
  Configure("192.0.2.9", SyslogTransport::kTcp);
  EXPECT_EQ(network_.closes, 0);
  Configure("192.0.2.10", SyslogTransport::kTcp);
  EXPECT_EQ(network_.closes, 1);
  Run(0.2);
  EXPECT_EQ(network_.connects, 2);
  // The old connection's end is nobody's news.
  network_.handler->OnStreamClosed(net::StreamId{7, 1}, net::StreamClose::kByPeer);
  EXPECT_EQ(syslog_.status(0).state, SyslogState::kConnecting);
  syslog_.Configure({});
  EXPECT_EQ(syslog_.status(0).state, SyslogState::kOff);
}

TEST_F(SyslogTest, WhatWasNotAcknowledgedIsSentAgainOnTheNextConnection) {
  Configure("192.0.2.9", SyslogTransport::kTcp);
  Run(0.2);
  network_.handler->OnStreamOpen(network_.stream, {});
  Emit("A");
  Run(6);  // acknowledged, and long ago
  network_.bytes.clear();
  network_.acknowledged = false;
  Emit("B");
  Emit("C");
  Run(1);
  EXPECT_EQ(Frames(network_.bytes).size(), 2u);
  network_.handler->OnStreamClosed(network_.stream, net::StreamClose::kTimeout);
  network_.bytes.clear();
  network_.acknowledged = true;
  Run(2);
  network_.handler->OnStreamOpen(network_.stream, {});
  Run(1);
  std::string all;
  for (const std::string& one : Frames(network_.bytes)) {
    all += one.substr(0, one.find(']')) +
           one.substr(one.find("port=") == one.npos ? 0 : one.find("port="), 8);
  }
  EXPECT_EQ(all.find("port=\"A"), all.npos);
  EXPECT_NE(all.find("port=\"B"), all.npos);
  EXPECT_LT(all.find("port=\"B"), all.find("port=\"C"));
}

TEST_F(SyslogTest, CategoriesFilterAndBsdFormat) {
  SyslogServerConfig config;
  config.enabled = true;
  config.address.Assign("192.0.2.9");
  config.format = SyslogFormat::kBsd;
  config.categories = *ParseCategories("Network, audit");
  syslog_.Configure({&config, 1});
  log_.Emit(event::StoreFailed{.reason = "disk"});
  clock_.wall = {.unix_ns = int64_t{1'795'248'605} * 1'000'000'000, .is_set = true};
  Emit("LAN1");
  Run(0.3);
  ASSERT_EQ(network_.datagrams.size(), 1u);
  EXPECT_EQ(network_.datagrams[0].substr(0, 53),
            "<133>Nov 21 08:10:05 edge1 gatehouse[run1]: link-up: ");
}

// Memory first, then the disk: as the appliance reads its log.
class DiskSource final : public EventSource {
 public:
  DiskSource(Log& log, EventStore& events) : log_(log), events_(events) {}
  const Record* FindFrom(uint64_t sequence) override {
    if (sequence < log_.first_sequence() && events_.Find(sequence, record_) &&
        record_.sequence < log_.first_sequence()) {
      return &record_;
    }
    return log_.Find(std::max(sequence, log_.first_sequence()));
  }
  uint64_t MarkOf(uint32_t server) override { return events_.MarkOf(server); }
  void SetMark(uint32_t index, uint32_t server, uint64_t next) override {
    events_.SetMark(index, {server, next});
  }

 private:
  Log& log_;
  EventStore& events_;
  Record record_;
};

// Five minutes of the server's absence, far more events than memory holds, and a restart in
// between.
TEST(SyslogQueue, AnOutageOfFiveMinutesLosesNoEventThatFitsTheDisk) {
  store::FakeDisk disk(512, (kCrashAreaBytes + 400 * kEventPageBytes) / 512);
  store::FakeClock clock;
  FakeNetwork network;
  int emitted = 0;
  std::string received;
  for (int run = 0; run < 2; ++run) {
    std::vector<uint8_t> memory(1u << 20);
    Arena arena({memory.data(), memory.size()});
    Log log(arena, clock, 64);
    EventStore events(arena, disk, log);
    ASSERT_TRUE(events.Open().ok());
    log.StartAt(events.next_sequence());
    DiskSource source(log, events);
    EventLoop loop(clock);
    Syslog syslog({log, loop, network, network, &network, &source});
    SyslogServerConfig config;
    config.enabled = true;
    config.address.Assign("192.0.2.9");
    config.transport = SyslogTransport::kTcp;
    const int connects = network.connects;
    syslog.Configure({&config, 1});
    int opened = connects;
    const int seconds = run == 0 ? 150 : 300;
    for (int tenth = 0; tenth < seconds * 10; ++tenth) {
      clock.now = clock.now + Duration::Milliseconds(100);
      const bool is_away = run == 0 || tenth < 1500;
      if (is_away && tenth % 5 == 0) {
        log.Emit(event::LinkUp{.port = "P" + std::to_string(emitted++)});
      }
      if (network.connects != opened) {
        opened = network.connects;
        if (is_away) {
          network.handler->OnStreamClosed(network.stream, net::StreamClose::kRefused);
        } else {
          network.handler->OnStreamOpen(network.stream, {});
        }
      }
      (void)syslog.Poll(clock.now);
      (void)events.Step(clock.now);
    }
    received = network.bytes;
    EXPECT_EQ(syslog.status(0).dropped, 0u);
    syslog.Configure({});
    events.Flush();
  }
  EXPECT_EQ(emitted, 600);
  int next = 0;
  for (const std::string& one : Frames(received)) {
    if (one.find("port=\"P" + std::to_string(next) + "\"") != one.npos) {
      ++next;
    }
  }
  EXPECT_EQ(next, emitted);
}

TEST(SyslogWords, CategoriesAndFingerprints) {
  EXPECT_EQ(*ParseCategories(""), kAllCategories);
  EXPECT_EQ(*ParseCategories("sip"), 1u << 6);
  EXPECT_EQ(*ParseCategories("system,SIP"), 1u << 6 | 1u);
  EXPECT_FALSE(ParseCategories("sip,nothing").ok());
  std::string hex;
  for (int i = 0; i < 32; ++i) {
    hex += "aB:";
  }
  EXPECT_FALSE(ParseFingerprint(hex + "0").ok());
  hex.pop_back();
  ASSERT_TRUE(ParseFingerprint(hex).ok());
  EXPECT_EQ((*ParseFingerprint(hex))[31], 0xab);
  EXPECT_FALSE(ParseFingerprint(hex.substr(1)).ok());
  EXPECT_FALSE(ParseFingerprint("").ok());
}

}  // namespace
}  // namespace gh::log
