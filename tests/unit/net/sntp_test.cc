// The SNTP client against scripted servers.
#include "net/sntp.h"

#include <gtest/gtest.h>

#include "tests/unit/net/craft.h"

namespace gh::net {
namespace {

using namespace test;

constexpr int64_t kTrueUnix_s = 1'800'000'000;
constexpr uint64_t kNtpOffset = 2'208'988'800;

Bytes Reply(std::span<const uint8_t> request, uint64_t ntp_time) {
  Bytes reply(kNtpPacketSize, 0);
  reply[0] = 0x24;
  reply[1] = 2;
  std::copy_n(request.begin() + 40, 8, reply.begin() + 24);
  for (size_t at : {32u, 40u}) {
    Put32(reply, at, static_cast<uint32_t>(ntp_time >> 32));
    Put32(reply, at + 4, static_cast<uint32_t>(ntp_time));
  }
  return reply;
}

TEST(NtpMessageTest, AGoodReplyGivesTheTimeAndEveryFlawIsSeen) {
  std::array<uint8_t, kNtpPacketSize> request;
  BuildNtpRequest(request, 0x1122334455667788);
  EXPECT_EQ(request[0], 0x23);
  const uint64_t time = (kTrueUnix_s + kNtpOffset) << 32 | 0x80000000;
  const Bytes good = Reply(request, time);
  const auto reply = ParseNtpReply(good, 0x1122334455667788);
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply->server_unix_ns, kTrueUnix_s * 1'000'000'000 + 500'000'000);
  EXPECT_EQ(ParseNtpReply(good, 1).code(), ErrorCode::kUnauthentic);
  const auto flawed = [&](size_t at, uint8_t value) {
    Bytes b = good;
    b[at] = value;
    return ParseNtpReply(b, 0x1122334455667788).code();
  };
  EXPECT_EQ(flawed(0, 0x23), ErrorCode::kMalformed);  // a client's
  EXPECT_EQ(flawed(0, 0x14), ErrorCode::kMalformed);  // version 2
  EXPECT_EQ(flawed(0, 0xe4), ErrorCode::kRefused);    // unsynchronised
  EXPECT_EQ(flawed(1, 16), ErrorCode::kRefused);      // stratum
  EXPECT_EQ(flawed(5, 0xff), ErrorCode::kRefused);    // root delay
  EXPECT_EQ(flawed(40, 0xa0), ErrorCode::kRefused);   // 1985
  EXPECT_TRUE(ParseNtpReply(
                  [&] {
                    Bytes b = good;
                    b[1] = 0;
                    return b;
                  }(),
                  0x1122334455667788)
                  ->kiss_of_death);
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(ParseNtpReply(std::span(good).first(size), 0x1122334455667788).ok());
  }
  // After 2036 the count starts again.
  const Bytes late = Reply(request, uint64_t{1000} << 32);
  EXPECT_EQ(ParseNtpReply(late, 0x1122334455667788)->server_unix_ns,
            ((int64_t{1} << 32) + 1000 - static_cast<int64_t>(kNtpOffset)) * 1'000'000'000);
}

struct Watcher final : SntpObserver {
  void OnTimeStep(Duration by, bool was_set, const IpAddress& server) override {
    offsets.push_back(by);
    sets.push_back(was_set);
    from = server;
  }
  void OnTimeLost() override { ++lost; }
  std::vector<Duration> offsets;
  std::vector<bool> sets;
  IpAddress from;
  uint32_t lost = 0;
};

// Serves true time plus `error`, or what `mangle` makes of it.
struct NtpServer final : DatagramHandler {
  NtpServer(Lab& owner, Node& on) : lab(owner), node(on) {
    node.stack.firewall().Allow({Transport::kUdp, 123, 123}).ignore("constant");
    socket = node.stack.datagrams().OpenDatagram({IpAddress::V4(0, 0, 0, 0), 123}, *this).value();
  }
  void OnDatagram(const DatagramInfo& info, std::span<uint8_t> data) override {
    ++count;
    if (silent) {
      return;
    }
    const int64_t ns = lab.clock.now.ns + error.ns;
    const auto seconds = static_cast<uint64_t>(kTrueUnix_s + ns / 1'000'000'000) + kNtpOffset;
    const uint64_t fraction = (static_cast<uint64_t>(ns % 1'000'000'000) << 32) / 1'000'000'000;
    Bytes reply = Reply(data, seconds << 32 | fraction);
    if (kiss) {
      reply[1] = 0;
    }
    if (key.id != 0) {
      was_sealed = IsSealedNtp(key, data);
      reply.resize(kNtpPacketSize + kNtpMacMax);
      reply.resize(SealNtp(key, reply, kNtpPacketSize));
    }
    node.stack.datagrams().SendDatagram(socket, info.remote, reply).ignore("test");
  }
  NtpKey key;
  bool was_sealed = false;
  Lab& lab;
  Node& node;
  SocketId socket;
  Duration error;
  bool silent = false;
  bool kiss = false;
  uint32_t count = 0;
};

struct SntpLab : Lab {
  SntpLab() : a(Add(1)), b(Add(2)), c(Add(3)), d(Add(4)) {
    uint8_t number = 1;
    for (auto& node : nodes) {
      node->ConfigureStatic(number++);
    }
    Run(Duration::Seconds(3));
    sb.emplace(*this, b);
    sc.emplace(*this, c);
    sd.emplace(*this, d);
    client.emplace(SntpClient::Parts{a.loop, clock, a.random, a.stack.datagrams(),
                                     a.stack.resolver(), watcher});
  }
  int64_t ErrorNs() const { return clock.wall_offset_ns - kTrueUnix_s * 1'000'000'000; }
  Node& a;
  Node& b;
  Node& c;
  Node& d;
  Watcher watcher;
  std::optional<NtpServer> sb, sc, sd;
  std::optional<SntpClient> client;
};

TEST(SntpClientTest, SetsTheClockAndAsksAgainLater) {
  SntpLab lab;
  const std::string_view servers[] = {"10.0.0.2"};
  ASSERT_TRUE(lab.client->SetServers(servers).ok());
  ASSERT_TRUE(lab.RunUntil([&] { return !lab.watcher.offsets.empty(); }, Duration::Seconds(5)));
  EXPECT_LT(std::abs(lab.ErrorNs()), 1'000'000);
  EXPECT_FALSE(lab.watcher.sets[0]);
  EXPECT_EQ(lab.watcher.from, IpAddress::V4(10, 0, 0, 2));
  EXPECT_TRUE(lab.client->status().synchronised);
  lab.Run(Duration::Minutes(5));
  EXPECT_GE(lab.sb->count, 4u);
  EXPECT_LE(lab.sb->count, 6u);
}

NtpKey KeyOf(uint32_t id, NtpDigest digest, std::string_view text) {
  return MakeNtpKey(id, digest, text).value();
}

// The code behind the packet 00 01 .. 2f with the key 0..15, as OpenSSL computes it.
TEST(NtpKeyTest, CodesAreThoseOfOthers) {
  Bytes packet(kNtpPacketSize + kNtpMacMax);
  for (size_t i = 0; i < kNtpPacketSize; ++i) {
    packet[i] = static_cast<uint8_t>(i);
  }
  const auto code = [&](NtpDigest digest) {
    const NtpKey key = KeyOf(10, digest, "HEX:000102030405060708090a0b0c0d0e0f");
    const size_t size = SealNtp(key, packet, kNtpPacketSize);
    EXPECT_TRUE(IsSealedNtp(key, std::span(packet).first(size)));
    uint8_t text[64];
    ByteWriter out(text);
    out.HexBytes(std::span(packet).first(size).subspan(kNtpPacketSize));
    return std::string(out.text());
  };
  EXPECT_EQ(code(NtpDigest::kMd5), "0000000aa8cb92ddf33a7acbe8dc5255db777038");
  EXPECT_EQ(code(NtpDigest::kSha1), "0000000a4a19701529e63c54224113b97bf6c18b7b96b347");
  EXPECT_EQ(code(NtpDigest::kSha256), "0000000ac2e5b81371b2f08e1d49d47a8bf7f254d9e3c7cb");
  EXPECT_EQ(code(NtpDigest::kSha512), "0000000a36efd0d43ea32ffd5892401c4e5c5422cba48050");
  EXPECT_EQ(code(NtpDigest::kAesCmac), "0000000a5247121db0e50733fb83bab08fbba8ea");
}

TEST(NtpKeyTest, EveryChangedByteIsSeen) {
  for (const auto digest : {NtpDigest::kMd5, NtpDigest::kSha512, NtpDigest::kAesCmac}) {
    const NtpKey key = KeyOf(3, digest, "0123456789abcdef");
    Bytes packet(kNtpPacketSize + kNtpMacMax, 7);
    packet.resize(SealNtp(key, packet, kNtpPacketSize));
    for (size_t i = 0; i < packet.size(); ++i) {
      packet[i] ^= 0x10;
      EXPECT_FALSE(IsSealedNtp(key, packet));
      packet[i] ^= 0x10;
    }
    EXPECT_FALSE(IsSealedNtp(key, std::span(packet).first(packet.size() - 1)));
    EXPECT_FALSE(IsSealedNtp(key, std::span(packet).first(kNtpPacketSize)));
    packet.push_back(0);
    EXPECT_FALSE(IsSealedNtp(key, packet));
  }
}

TEST(NtpKeyTest, RefusesKeysThatDoNotFit) {
  EXPECT_FALSE(MakeNtpKey(0, NtpDigest::kSha1, "x").ok());
  EXPECT_FALSE(MakeNtpKey(1, NtpDigest::kSha1, "").ok());
  EXPECT_FALSE(MakeNtpKey(1, NtpDigest::kAesCmac, "fifteen bytes..").ok());
  EXPECT_TRUE(MakeNtpKey(1, NtpDigest::kSha1, std::string(kNtpKeyMax, 'x')).ok());
  EXPECT_FALSE(MakeNtpKey(1, NtpDigest::kSha1, std::string(kNtpKeyMax + 1, 'x')).ok());
  EXPECT_FALSE(MakeNtpKey(1, NtpDigest::kSha1, "HEX:0").ok());
  EXPECT_FALSE(MakeNtpKey(1, NtpDigest::kSha1, "HEX:0g").ok());
  EXPECT_FALSE(MakeNtpKey(1, NtpDigest::kSha1, "HEX:" + std::string(130, '0')).ok());
}

TEST(SntpClientTest, AServerWithAKeyMustProveToKnowIt) {
  SntpLab lab;
  const NtpKey key = KeyOf(5, NtpDigest::kSha256, "shared secret");
  const NtpServerConfig servers[] = {{"10.0.0.2", key}};
  lab.sb->key = KeyOf(5, NtpDigest::kSha256, "another secret");
  ASSERT_TRUE(lab.client->SetServers(servers).ok());
  lab.Run(Duration::Seconds(20));
  EXPECT_FALSE(lab.client->status().synchronised);
  EXPECT_GE(lab.client->server_status(0).unauthentic_count, 1u);
  lab.sb->key = {};  // says nothing at all
  lab.Run(Duration::Seconds(40));
  EXPECT_FALSE(lab.client->status().synchronised);
  lab.sb->kiss = true;  // a forged kiss of death is no reason to stay away
  lab.Run(Duration::Minutes(2));
  lab.sb->kiss = false;
  lab.sb->key = key;
  lab.Run(Duration::Minutes(20));
  EXPECT_TRUE(lab.client->status().synchronised);
  EXPECT_TRUE(lab.sb->was_sealed);
  EXPECT_TRUE(lab.client->server_status(0).chosen);
}

TEST(SntpClientTest, PollIntervalsAreTheOperators) {
  SntpLab lab;
  const std::string_view servers[] = {"10.0.0.2"};
  lab.client->SetPoll({Duration::Seconds(16), Duration::Seconds(600)});
  ASSERT_TRUE(lab.client->SetServers(servers).ok());
  lab.Run(Duration::Seconds(60));
  EXPECT_EQ(lab.sb->count, 4u);
  lab.Run(Duration::Minutes(60));
  EXPECT_GE(lab.sb->count, 9u);
  EXPECT_LE(lab.sb->count, 12u);
}

TEST(SntpClientTest, AMinorityThatLiesIsOutvoted) {
  SntpLab lab;
  lab.sc->error = Duration::Hours(5);
  const std::string_view servers[] = {"10.0.0.2", "10.0.0.3", "10.0.0.4"};
  ASSERT_TRUE(lab.client->SetServers(servers).ok());
  lab.RunUntil([&] { return !lab.watcher.offsets.empty(); }, Duration::Seconds(10));
  EXPECT_LT(std::abs(lab.ErrorNs()), 1'000'000);
  // Three that all disagree: nobody is believed.
  lab.sb->error = Duration::Hours(-5);
  lab.watcher.offsets.clear();
  lab.Run(Duration::Minutes(3));
  EXPECT_TRUE(lab.watcher.offsets.empty());
  EXPECT_EQ(lab.watcher.lost, 1u);
}

TEST(SntpClientTest, SilenceIsReportedOnceAndNamesAreResolved) {
  SntpLab lab;
  lab.sb->silent = true;
  ASSERT_TRUE(
      lab.a.stack.resolver().AddStaticHost("time.example", IpAddress::V4(10, 0, 0, 2)).ok());
  const std::string_view servers[] = {"time.example"};
  ASSERT_TRUE(lab.client->SetServers(servers).ok());
  lab.Run(Duration::Minutes(5));
  EXPECT_EQ(lab.watcher.lost, 1u);
  EXPECT_GE(lab.sb->count, 3u);
  lab.sb->silent = false;
  ASSERT_TRUE(lab.RunUntil([&] { return !lab.watcher.offsets.empty(); }, Duration::Minutes(20)));
  EXPECT_LT(std::abs(lab.ErrorNs()), 1'000'000);
}

TEST(SntpClientTest, AKissOfDeathIsObeyed) {
  SntpLab lab;
  lab.sb->kiss = true;
  const std::string_view servers[] = {"10.0.0.2", "10.0.0.3"};
  ASSERT_TRUE(lab.client->SetServers(servers).ok());
  lab.Run(Duration::Minutes(10));
  EXPECT_EQ(lab.sb->count, 1u);
  EXPECT_GE(lab.sc->count, 4u);
  EXPECT_EQ(lab.watcher.offsets.size(), 1u);
}

}  // namespace
}  // namespace gh::net
