#include "net/sntp.h"

#include <algorithm>
#include <cstdlib>

#include "hal/rt/bytes.h"

namespace gh::net {
namespace {

constexpr uint8_t kVersionMode = 4 << 3 | 3;  // version 4, client
constexpr uint8_t kModeServer = 4;
constexpr uint8_t kLeapUnsynchronised = 3;
constexpr uint8_t kStratumMax = 15;
constexpr int64_t kNtpEpochOffset = 2'208'988'800;  // 1900 to 1970
constexpr int64_t kEraSeconds = int64_t{1} << 32;
constexpr int64_t kEarliestUnix_s = 1'704'067'200;  // 2024-01-01: before this there was no product
constexpr uint32_t kRootMax = 16u << 16;            // delay and dispersion: 16 s (RFC 5905 MAXDIST)
constexpr Duration kServerTimeMax = Duration::Seconds(1);
constexpr Duration kReplyWait = Duration::Seconds(2);
constexpr Duration kFirstPeriod = Duration::Seconds(64);
constexpr Duration kSteadyPeriod = Duration::Seconds(1024);
constexpr Duration kRetryFirst = Duration::Seconds(8);
constexpr Duration kAvoidTime = Duration::Hours(24);
constexpr uint32_t kFirstRounds = 4;
constexpr Duration kAgreement = Duration::Milliseconds(500);
constexpr Duration kStepMin = Duration::Milliseconds(2);

// A 32.32 timestamp in ns since 1970; the era is the one that starts with the most significant bit
// clear after 2036 (RFC 4330 section 3).
int64_t UnixNs(uint64_t ntp) {
  int64_t seconds = static_cast<int64_t>(ntp >> 32) - kNtpEpochOffset;
  if ((ntp >> 63) == 0) {
    seconds += kEraSeconds;
  }
  const auto fraction_ns = static_cast<int64_t>((ntp & 0xffffffff) * 1'000'000'000 >> 32);
  return seconds * 1'000'000'000 + fraction_ns;
}

}  // namespace

void BuildNtpRequest(std::span<uint8_t, kNtpPacketSize> out, uint64_t nonce) {
  std::fill(out.begin(), out.end(), uint8_t{0});
  ByteWriter w(out.last<8>());
  w.U64Be(nonce);
  out[0] = kVersionMode;
}

Result<NtpReply> ParseNtpReply(std::span<const uint8_t> packet, uint64_t nonce) {
  ByteReader r(packet);
  const uint8_t first = r.U8();
  NtpReply reply;
  reply.stratum = r.U8();
  r.Skip(2);
  const uint32_t root_delay = r.U32Be();
  const uint32_t root_dispersion = r.U32Be();
  r.Skip(4 + 8);  // reference id and timestamp
  const uint64_t originate = r.U64Be();
  const uint64_t receive = r.U64Be();
  const uint64_t transmit = r.U64Be();
  if (!r.ok() || (first & 7) != kModeServer || (first >> 3 & 7) < 3 || (first >> 3 & 7) > 4) {
    return ErrorCode::kMalformed;
  }
  if (originate != nonce) {
    return ErrorCode::kUnauthentic;
  }
  if (reply.stratum == 0) {
    reply.kiss_of_death = true;
    return reply;
  }
  if (first >> 6 == kLeapUnsynchronised || reply.stratum > kStratumMax || transmit == 0 ||
      receive == 0 || root_delay > kRootMax || root_dispersion > kRootMax) {
    return ErrorCode::kRefused;
  }
  reply.server_unix_ns = UnixNs(transmit);
  reply.server_time = Duration::Nanoseconds(reply.server_unix_ns - UnixNs(receive));
  if (reply.server_unix_ns < kEarliestUnix_s * 1'000'000'000 || reply.server_time < Duration{} ||
      reply.server_time > kServerTimeMax) {
    return ErrorCode::kRefused;
  }
  return reply;
}

SntpClient::SntpClient(const Parts& parts) : parts_(parts) {
  timer_.Set(
      [](Timer&, void* context) {
        auto& self = *static_cast<SntpClient*>(context);
        if (self.in_round_) {
          self.EndRound();
        } else {
          self.StartRound();
        }
      },
      this);
  for (Server& server : servers_) {
    server.client = this;
    server.query.context = &server;
    server.query.done = [](DnsQuery& query, Result<std::span<const DnsRecord>> records) {
      static_cast<Server*>(query.context)->OnResolved(std::move(records));
    };
  }
}

SntpClient::~SntpClient() {
  for (Server& server : servers_) {
    Close(server);
  }
}

Result<void> SntpClient::SetServers(std::span<const std::string_view> servers) {
  if (servers.size() > servers_.size()) {
    return ErrorCode::kTooLarge;
  }
  for (std::string_view text : servers) {
    DnsName name;
    GH_TRY(NormalizeDnsName(text, name));
  }
  for (Server& server : servers_) {
    Close(server);
    server.avoid_until = {};
  }
  server_count_ = 0;
  for (std::string_view text : servers) {
    NormalizeDnsName(text, servers_[server_count_++].name).ignore("checked above");
  }
  in_round_ = false;
  failure_count_ = success_count_ = 0;
  parts_.loop.timers().Cancel(timer_);
  if (server_count_ > 0) {
    parts_.loop.timers().Arm(timer_, parts_.loop.now());
  } else {
    status_ = {};
  }
  return Ok();
}

void SntpClient::Poll() {
  if (server_count_ > 0 && !in_round_) {
    parts_.loop.timers().Arm(timer_, parts_.loop.now());
  }
}

void SntpClient::Close(Server& server) {
  if (server.socket.valid()) {
    parts_.datagrams.CloseDatagram(server.socket);
    server.socket = {};
  }
  if (server.resolving) {
    parts_.resolver.Cancel(server.query);
    server.resolving = false;
  }
}

void SntpClient::StartRound() {
  in_round_ = true;
  parts_.loop.timers().Arm(timer_, parts_.loop.now() + kReplyWait * 2);
  for (uint32_t i = 0; i < server_count_; ++i) {
    Server& server = servers_[i];
    Close(server);
    server.answered = false;
    server.tried_v6 = false;
    if (server.avoid_until <= parts_.loop.now()) {
      Ask(server);
    }
  }
}

void SntpClient::Ask(Server& server) {
  if (const auto literal = IpAddress::Parse(server.name.view()); literal.ok()) {
    server.address = *literal;
    Send(server);
    return;
  }
  server.resolving =
      parts_.resolver
          .Resolve(server.name.view(), server.tried_v6 ? DnsType::kAaaa : DnsType::kA, server.query)
          .ok();
}

void SntpClient::Server::OnResolved(Result<std::span<const DnsRecord>> records) {
  resolving = false;
  if (!client->in_round_) {
    return;
  }
  if (records.ok() && !records->empty()) {
    address = records->front().address;
    client->Send(*this);
  } else if (!tried_v6) {
    tried_v6 = true;
    client->Ask(*this);
  }
}

void SntpClient::Send(Server& server) {
  IpAddress any;
  any.family = server.address.family;
  const auto socket = parts_.datagrams.OpenDatagram({any, 0}, server);
  if (!socket.ok()) {
    return;
  }
  server.socket = *socket;
  server.nonce = parts_.random.U64();
  std::array<uint8_t, kNtpPacketSize> packet;
  BuildNtpRequest(packet, server.nonce);
  server.sent_at = parts_.clock.Now();
  parts_.datagrams.SendDatagram(*socket, {server.address, kNtpPort}, packet)
      .ignore("a round without answers is reported as a whole");
}

void SntpClient::Server::OnDatagram(const DatagramInfo& info, std::span<uint8_t> data) {
  if (info.remote == Endpoint{address, kNtpPort} && info.socket == socket && !answered) {
    client->HandleReply(*this, data);
  }
}

void SntpClient::HandleReply(Server& server, std::span<const uint8_t> data) {
  const Instant now = parts_.clock.Now();
  const auto reply = ParseNtpReply(data, server.nonce);
  if (!reply.ok()) {
    ++status_.rejected_count;
    return;
  }
  if (reply->kiss_of_death) {
    server.avoid_until = parts_.loop.now() + kAvoidTime;
    ++status_.rejected_count;
    return;
  }
  server.answered = true;
  server.stratum = reply->stratum;
  server.round_trip = std::max(now - server.sent_at - reply->server_time, Duration{});
  const int64_t true_ns = reply->server_unix_ns + server.round_trip.ns / 2;
  server.offset = Duration::Nanoseconds(true_ns - parts_.clock.Wall().unix_ns);
  if (AllAnswered()) {
    parts_.loop.timers().Arm(timer_, parts_.loop.now());
  }
}

bool SntpClient::AllAnswered() const {
  for (uint32_t i = 0; i < server_count_; ++i) {
    if (!servers_[i].answered && servers_[i].avoid_until <= parts_.loop.now()) {
      return false;
    }
  }
  return true;
}

void SntpClient::EndRound() {
  in_round_ = false;
  std::array<Server*, kNtpServerMax> good = {};
  uint32_t count = 0;
  for (uint32_t i = 0; i < server_count_; ++i) {
    Close(servers_[i]);
    if (servers_[i].answered) {
      uint32_t place = count++;  // in the order of their offsets
      for (; place > 0 && servers_[i].offset < good[place - 1]->offset; --place) {
        good[place] = good[place - 1];
      }
      good[place] = &servers_[i];
    }
  }
  Server* chosen = count > 0 ? good[(count - 1) / 2] : nullptr;
  if (chosen != nullptr && count >= 3) {
    const auto agree = std::count_if(good.begin(), good.begin() + count, [&](const Server* s) {
      return std::abs((s->offset - chosen->offset).ns) <= kAgreement.ns;
    });
    chosen = static_cast<uint32_t>(agree) * 2 > count ? chosen : nullptr;
  }
  if (chosen == nullptr) {
    const Duration wait = kRetryFirst * (int64_t{1} << std::min(failure_count_, 7u));
    ++failure_count_;
    parts_.loop.timers().Arm(timer_, parts_.loop.now() + wait);
    if (!lost_reported_) {
      lost_reported_ = true;
      status_.synchronised = false;
      parts_.observer.OnTimeLost();
    }
    return;
  }
  failure_count_ = 0;
  lost_reported_ = false;
  ++success_count_;
  const Duration offset = chosen->offset;
  status_.synchronised = true;
  status_.server = chosen->address;
  status_.stratum = chosen->stratum;
  status_.offset = offset;
  status_.round_trip = chosen->round_trip;
  status_.last_success = parts_.loop.now();
  parts_.loop.timers().Arm(
      timer_, parts_.loop.now() + (success_count_ <= kFirstRounds ? kFirstPeriod : kSteadyPeriod));
  const WallTime wall = parts_.clock.Wall();
  if (!wall.is_set || std::abs(offset.ns) >= kStepMin.ns) {
    parts_.clock.SetWall(wall.unix_ns + offset.ns);
    parts_.observer.OnTimeStep(offset, wall.is_set, chosen->address);
  }
}

}  // namespace gh::net
