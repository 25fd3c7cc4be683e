#include "net/sntp.h"

#include <algorithm>
#include <cstdlib>

#include "crypto/digest.h"
#include "crypto/legacy.h"
#include "hal/rt/bytes.h"
#include "hal/rt/secret.h"

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

size_t CodeSize(NtpDigest digest) {
  return digest == NtpDigest::kMd5 || digest == NtpDigest::kAesCmac ? 16 : kNtpMacMax - 4;
}

template <typename Hash>
void HashCode(const NtpKey& key, std::span<const uint8_t> packet, std::span<uint8_t> out) {
  Hash hash;
  hash.Add(std::span(key.bytes).first(key.size));
  hash.Add(packet);
  const auto digest = hash.Finish();
  std::copy_n(digest.begin(), std::min(out.size(), digest.size()), out.begin());
}

// Of `packet` alone, CodeSize bytes.
void Code(const NtpKey& key, std::span<const uint8_t> packet, std::span<uint8_t> out) {
  switch (key.digest) {
    case NtpDigest::kMd5:
      HashCode<crypto::Md5>(key, packet, out);
      return;
    case NtpDigest::kSha1:
      HashCode<crypto::Sha1>(key, packet, out);
      return;
    case NtpDigest::kSha256:
      HashCode<crypto::Sha256>(key, packet, out);
      return;
    case NtpDigest::kSha512:
      HashCode<crypto::Sha512>(key, packet, out);
      return;
    case NtpDigest::kAesCmac: {
      const auto code = crypto::AesCmac(
          std::span<const uint8_t, crypto::kAesBlock>(key.bytes.data(), crypto::kAesBlock), packet);
      std::copy(code.begin(), code.end(), out.begin());
      return;
    }
  }
}

int HexDigit(char c) {
  return c >= '0' && c <= '9'   ? c - '0'
         : c >= 'a' && c <= 'f' ? c - 'a' + 10
         : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                : -1;
}

}  // namespace

Result<NtpKey> MakeNtpKey(uint32_t id, NtpDigest digest, std::string_view text) {
  NtpKey key;
  key.id = id;
  key.digest = digest;
  if (text.starts_with("HEX:")) {
    text.remove_prefix(4);
    if (text.size() % 2 != 0 || text.size() / 2 > key.bytes.size()) {
      return Error(ErrorCode::kInvalidArgument, "expected at most 128 hexadecimal digits in pairs");
    }
    for (size_t i = 0; i < text.size(); i += 2) {
      const int high = HexDigit(text[i]);
      const int low = HexDigit(text[i + 1]);
      if (high < 0 || low < 0) {
        return Error(ErrorCode::kInvalidArgument, "expected hexadecimal digits behind HEX:");
      }
      key.bytes[key.size++] = static_cast<uint8_t>(high << 4 | low);
    }
  } else {
    if (text.size() > key.bytes.size()) {
      return Error(ErrorCode::kInvalidArgument, "expected a time server's key of at most 64 bytes");
    }
    std::copy(text.begin(), text.end(), key.bytes.begin());
    key.size = static_cast<uint8_t>(text.size());
  }
  if (id == 0 || key.size == 0 ||
      (digest == NtpDigest::kAesCmac && key.size != crypto::kAesBlock)) {
    return Error(ErrorCode::kInvalidArgument,
                 "expected a time server's key with a number; of 16 bytes for AES128");
  }
  return key;
}

size_t SealNtp(const NtpKey& key, std::span<uint8_t> out, size_t size) {
  const size_t code_size = CodeSize(key.digest);
  GH_ASSERT_LE(size + 4 + code_size, out.size());
  ByteWriter w(out.subspan(size, 4));
  w.U32Be(key.id);
  Code(key, out.first(size), out.subspan(size + 4, code_size));
  return size + 4 + code_size;
}

bool IsSealedNtp(const NtpKey& key, std::span<const uint8_t> packet) {
  const size_t code_size = CodeSize(key.digest);
  if (packet.size() != kNtpPacketSize + 4 + code_size) {
    return false;
  }
  ByteReader r(packet.subspan(kNtpPacketSize));
  if (r.U32Be() != key.id) {
    return false;  // 0: the server does not know the key
  }
  std::array<uint8_t, kNtpMacMax> wanted = {};
  Code(key, packet.first(kNtpPacketSize), std::span(wanted).first(code_size));
  return ConstantTimeEqual(std::span(wanted).first(code_size), packet.last(code_size));
}

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
  std::array<NtpServerConfig, kNtpServerMax> configs;
  if (servers.size() > configs.size()) {
    return ErrorCode::kTooLarge;
  }
  std::transform(servers.begin(), servers.end(), configs.begin(), [](std::string_view name) {
    return NtpServerConfig{name, {}};
  });
  return SetServers(std::span<const NtpServerConfig>(configs).first(servers.size()));
}

NtpServerStatus SntpClient::server_status(uint32_t index) const {
  GH_ASSERT_LT(index, server_count_);
  const Server& server = servers_[index];
  NtpServerStatus out;
  out.name = server.name.view();
  out.address = server.address;
  out.answered = server.answered;
  out.chosen = server.chosen;
  out.avoided = server.avoid_until > parts_.loop.now();
  out.has_key = server.key.id != 0;
  out.stratum = server.stratum;
  out.offset = server.offset;
  out.round_trip = server.round_trip;
  out.sent_count = server.sent_count;
  out.good_count = server.good_count;
  out.rejected_count = server.rejected_count;
  out.unauthentic_count = server.unauthentic_count;
  return out;
}

Result<void> SntpClient::SetServers(std::span<const NtpServerConfig> servers) {
  if (servers.size() > servers_.size()) {
    return ErrorCode::kTooLarge;
  }
  for (const NtpServerConfig& server : servers) {
    DnsName name;
    GH_TRY(NormalizeDnsName(server.name, name));
  }
  for (Server& server : servers_) {
    Close(server);
    server.avoid_until = {};
    server.answered = server.chosen = false;
    server.address = {};
    server.stratum = 0;
    server.sent_count = server.good_count = 0;
    server.rejected_count = server.unauthentic_count = 0;
  }
  server_count_ = 0;
  for (const NtpServerConfig& server : servers) {
    servers_[server_count_].key = server.key;
    NormalizeDnsName(server.name, servers_[server_count_++].name).ignore("checked above");
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
  std::array<uint8_t, kNtpPacketSize + kNtpMacMax> packet;
  BuildNtpRequest(std::span(packet).first<kNtpPacketSize>(), server.nonce);
  const size_t size =
      server.key.id != 0 ? SealNtp(server.key, packet, kNtpPacketSize) : kNtpPacketSize;
  ++server.sent_count;
  server.sent_at = parts_.clock.Now();
  parts_.datagrams.SendDatagram(*socket, {server.address, kNtpPort}, std::span(packet).first(size))
      .ignore("a round without answers is reported as a whole");
}

void SntpClient::Server::OnDatagram(const DatagramInfo& info, std::span<uint8_t> data) {
  if (info.remote == Endpoint{address, kNtpPort} && info.socket == socket && !answered) {
    client->HandleReply(*this, data);
  }
}

void SntpClient::HandleReply(Server& server, std::span<const uint8_t> data) {
  const Instant now = parts_.clock.Now();
  // A kiss of death counts only when it is sealed too: whoever forges one wants us to lose a
  // server.
  if (server.key.id != 0 && !IsSealedNtp(server.key, data)) {
    ++server.unauthentic_count;
    ++status_.rejected_count;
    return;
  }
  const auto reply = ParseNtpReply(data, server.nonce);
  if (!reply.ok()) {
    ++server.rejected_count;
    ++status_.rejected_count;
    return;
  }
  if (reply->kiss_of_death) {
    server.avoid_until = parts_.loop.now() + kAvoidTime;
    ++server.rejected_count;
    ++status_.rejected_count;
    return;
  }
  server.answered = true;
  ++server.good_count;
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
    servers_[i].chosen = false;
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
  chosen->chosen = true;
  const Duration offset = chosen->offset;
  status_.synchronised = true;
  status_.server = chosen->address;
  status_.stratum = chosen->stratum;
  status_.offset = offset;
  status_.round_trip = chosen->round_trip;
  status_.last_success = parts_.loop.now();
  parts_.loop.timers().Arm(
      timer_, parts_.loop.now() + (success_count_ <= kFirstRounds ? poll_.min : poll_.max));
  const WallTime wall = parts_.clock.Wall();
  if (!wall.is_set || std::abs(offset.ns) >= kStepMin.ns) {
    parts_.clock.SetWall(wall.unix_ns + offset.ns);
    parts_.observer.OnTimeStep(offset, wall.is_set, chosen->address);
  }
}

}  // namespace gh::net
