#include "firmware/log/syslog.h"

#include <algorithm>

#include "hal/rt/crc32.h"

namespace gh::log {
namespace {

constexpr const char* kStateNames[] = {"Off",     "Resolving", "Connecting",
                                       "Waiting", "Sending",   "Securing"};

// TCP acknowledgements count when they are this old: what a server's kernel took in the moment
// before it went is sent again.
constexpr Duration kAcknowledgeDelay = Duration::Seconds(2);

bool IsStream(SyslogTransport transport) { return transport != SyslogTransport::kUdp; }

}  // namespace

uint32_t SyslogServerConfig::Identity() const {
  uint8_t bytes[4];
  ByteWriter out(bytes);
  out.U16Be(port);
  out.U8(static_cast<uint8_t>(transport));
  return Crc32(out.written(), Crc32(AsBytes(address.view()))) | 1;  // 0 is none
}

Result<uint32_t> ParseCategories(std::string_view text) {
  uint32_t mask = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find_first_of(", "), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    uint32_t bit = 0;
    for (uint32_t i = 0; i < kCategoryCount; ++i) {
      const std::string_view name = CategoryName(static_cast<Category>(i));
      const bool same =
          std::ranges::equal(word, name, [](char a, char b) { return (a | 32) == b; });
      bit = same ? 1u << i : bit;
    }
    if (bit == 0 && !word.empty()) {
      return Error(ErrorCode::kInvalidArgument,
                   "expected categories with commas between: system, alarm, audit, store, "
                   "network, firewall, sip, turn");
    }
    mask |= bit;
  }
  return mask == 0 ? kAllCategories : mask;
}

Result<crypto::CertificateFingerprint> ParseFingerprint(std::string_view text) {
  crypto::CertificateFingerprint out = {};
  size_t digits = 0;
  for (const char c : text) {
    const int value = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (c == ':' && digits % 2 == 0) {
      continue;
    }
    if (value < 0 || digits == 2 * out.size()) {
      digits = 0;
      break;
    }
    out[digits / 2] = static_cast<uint8_t>(out[digits / 2] << 4 | value);
    ++digits;
  }
  if (digits != 2 * out.size()) {
    return Error(ErrorCode::kInvalidArgument, "expected a SHA-256 fingerprint: 64 hex digits");
  }
  return out;
}

const char* SyslogStateName(SyslogState state) { return kStateNames[static_cast<uint8_t>(state)]; }

Syslog::Syslog(const Parts& parts) : parts_(parts) {
  poll_name = "syslog";
  for (Server& server : servers_) {
    server.owner = this;
    server.query.done = OnResolved;
    server.query.context = &server;
    if (parts_.tls != nullptr) {
      server.tls = parts_.arena->New<crypto::TlsClient>(*parts_.tls);
    }
  }
}

void Syslog::SetIdentity(std::string_view host_name, std::string_view proc_id) {
  host_name_.Assign(host_name);
  proc_id_.Assign(proc_id);
}

void Syslog::Configure(std::span<const SyslogServerConfig> configs) {
  for (uint32_t i = 0; i < kSyslogServerMax; ++i) {
    Server& server = servers_[i];
    const SyslogServerConfig config = i < configs.size() ? configs[i] : SyslogServerConfig{};
    if (config == server.config) {
      continue;
    }
    Stop(server);
    const bool is_other = server.config.Identity() != config.Identity();
    server.config = config;
    if (!config.enabled || config.address.empty()) {
      continue;
    }
    // A server that was told before hears the rest; a new one everything of this run that the ring
    // still has: the boot event among it.
    const uint64_t mark = parts_.source != nullptr ? parts_.source->MarkOf(config.Identity()) : 0;
    if (server.next == 0 || (is_other && mark != 0)) {
      server.next = mark != 0 ? mark : parts_.log.first_sequence();
    }
    server.acknowledged = server.candidate = server.next;
    server.candidate_at = parts_.loop.now();
    SaveMark(server);
    server.state = SyslogState::kWaiting;
    server.retry_at = parts_.loop.now();
    server.pause_s = kReconnectMinSeconds;
    server.told_lost = false;
  }
}

SyslogServerStatus Syslog::status(uint32_t index) const {
  const Server& server = servers_[index];
  SyslogServerStatus status;
  status.state = server.state;
  status.endpoint = server.endpoint;
  status.sent = server.sent;
  status.dropped = server.dropped;
  status.waiting = server.state == SyslogState::kOff ? 0 : parts_.log.next_sequence() - server.next;
  status.last_error = server.last_error;
  return status;
}

FixedString<192> Syslog::NameOf(const Server& server) const {
  uint8_t bytes[160];
  ByteWriter out(bytes);
  out.Text(server.config.address.view());
  out.Char(':');
  out.Decimal(server.config.port);
  return FixedString<192>(out.text());
}

Syslog::Server* Syslog::FindByStream(net::StreamId id) {
  for (Server& server : servers_) {
    if (server.stream.valid() && server.stream == id) {
      return &server;
    }
  }
  return nullptr;
}

void Syslog::Start(Server& server) {
  const auto address = net::IpAddress::Parse(server.config.address.view());
  if (address.ok()) {
    server.endpoint = {*address, server.config.port};
    Connect(server);
    return;
  }
  Resolve(server, net::DnsType::kA);
}

void Syslog::Resolve(Server& server, net::DnsType type) {
  if (parts_.resolver == nullptr) {
    Fail(server, "no DNS server is configured");
    return;
  }
  server.query_type = type;
  server.state = SyslogState::kResolving;
  const auto asked = parts_.resolver->Resolve(server.config.address.view(), type, server.query);
  server.query_pending = asked.ok();
  if (!asked.ok()) {
    Fail(server, "the name cannot be resolved");
  }
}

void Syslog::OnResolved(net::DnsQuery& query, Result<std::span<const net::DnsRecord>> records) {
  auto& server = *static_cast<Server*>(query.context);
  server.query_pending = false;
  if (server.state == SyslogState::kResolving) {
    server.owner->HandleAnswer(server, records);
  }
}

void Syslog::HandleAnswer(Server& server, const Result<std::span<const net::DnsRecord>>& records) {
  if (records.ok()) {
    for (const net::DnsRecord& record : *records) {
      if (record.type == server.query_type && !record.address.is_none()) {
        server.endpoint = {record.address, server.config.port};
        Connect(server);
        return;
      }
    }
  }
  if (server.query_type == net::DnsType::kA) {
    Resolve(server, net::DnsType::kAaaa);
    return;
  }
  Fail(server, "the name cannot be resolved");
}

void Syslog::Connect(Server& server) {
  if (server.config.transport == SyslogTransport::kUdp) {
    Begin(server);
    return;
  }
  const auto stream = parts_.streams.Connect(server.endpoint, {}, *this);
  if (!stream.ok()) {
    Fail(server, stream.error().what[0] != '\0' ? stream.error().what : "no connection");
    return;
  }
  server.stream = *stream;
  server.state = SyslogState::kConnecting;
  server.deadline = now_ + Duration::Seconds(kConnectTimeoutSeconds);
}

// The stream is open: the session on it begins.
void Syslog::Secure(Server& server) {
  const auto& config = server.config;
  if (server.tls == nullptr) {
    Break(server, "this machine has no memory for TLS sessions");
    return;
  }
  server.state = SyslogState::kSecuring;
  server.deadline = now_ + Duration::Seconds(kConnectTimeoutSeconds);
  const auto started = config.has_fingerprint
                           ? server.tls->Start(config.address.view(), config.fingerprint)
                           : server.tls->Start(config.address.view(), *parts_.trust);
  if (!started.ok()) {
    Break(server, started.error().what);
    return;
  }
  PumpTls(server);
}

void Syslog::PumpTls(Server& server) {
  while (!server.tls->output().empty() && server.stream.valid()) {
    const size_t size =
        std::min(server.tls->output().size(), parts_.streams.SendRoom(server.stream));
    if (size == 0) {
      server.blocked = true;
      return;
    }
    const auto sent = parts_.streams.SendStream(server.stream, server.tls->output().first(size));
    if (!sent.ok()) {
      server.blocked = sent.code() == ErrorCode::kWouldBlock;
      if (!server.blocked) {
        Break(server, "the connection was lost");
      }
      return;
    }
    server.tls->ConsumeOutput(size);
  }
}

void Syslog::Break(Server& server, const char* why) {
  if (server.stream.valid()) {
    const net::StreamId stream = server.stream;
    server.stream = {};
    parts_.streams.AbortStream(stream);
  }
  Fail(server, why);
}

void Syslog::Begin(Server& server) {
  const bool was_lost = server.told_lost;
  server.state = SyslogState::kSending;
  server.blocked = false;
  server.told_lost = false;
  if (IsStream(server.config.transport)) {
    server.room_full = parts_.streams.SendRoom(server.stream);
    server.candidate = server.next;
    server.candidate_at = now_;
  }
  if (IsStream(server.config.transport) || was_lost) {
    parts_.log.Emit(event::SyslogConnected{.server = NameOf(server).view()});
  }
}

void Syslog::Fail(Server& server, const char* why) {
  if (IsStream(server.config.transport) && server.state == SyslogState::kSending) {
    server.next = std::min(server.next, server.acknowledged);
  }
  if (server.tls != nullptr) {
    server.tls->Reset();
  }
  server.state = SyslogState::kWaiting;
  server.stream = {};
  server.retry_at = now_ + Duration::Seconds(server.pause_s);
  server.pause_s = std::min(server.pause_s * 2, kReconnectMaxSeconds);
  server.last_error = why;
  if (!server.told_lost) {
    server.told_lost = true;
    parts_.log.Emit(event::SyslogLost{.server = NameOf(server).view(), .reason = why});
  }
}

void Syslog::Stop(Server& server) {
  if (server.query_pending) {
    parts_.resolver->Cancel(server.query);
    server.query_pending = false;
  }
  if (server.stream.valid()) {
    const net::StreamId stream = server.stream;
    server.stream = {};
    parts_.streams.CloseStream(stream);
  }
  if (server.tls != nullptr) {
    server.tls->Reset();
  }
  if (IsStream(server.config.transport) && server.state == SyslogState::kSending) {
    server.next = std::min(server.next, server.acknowledged);
  }
  server.state = SyslogState::kOff;
}

bool Syslog::OnStreamOpen(net::StreamId id, const net::StreamInfo& info) {
  Server* server = FindByStream(id);
  if (server == nullptr || info.accepted) {
    return false;
  }
  if (server->config.transport == SyslogTransport::kTls) {
    Secure(*server);
  } else {
    Begin(*server);
  }
  return true;
}

// Servers say nothing but TLS records; plain bytes are passed over.
size_t Syslog::OnStreamData(net::StreamId id, std::span<uint8_t> data) {
  Server* server = FindByStream(id);
  if (server == nullptr || server->config.transport != SyslogTransport::kTls) {
    return data.size();
  }
  std::span<const uint8_t> in = data;
  uint8_t plain[256];
  for (bool more = true; more;) {
    const size_t before = in.size();
    const auto got = server->tls->Read(in, plain);
    if (!got.ok()) {
      Break(*server, got.error().what);
      return data.size();
    }
    more = *got > 0 || (!in.empty() && in.size() != before);
  }
  PumpTls(*server);
  if (server->state == SyslogState::kSecuring && server->tls->is_open()) {
    Begin(*server);
  }
  return data.size() - in.size();
}

void Syslog::OnStreamWritable(net::StreamId id) {
  if (Server* server = FindByStream(id); server != nullptr) {
    server->blocked = false;
    if (server->config.transport == SyslogTransport::kTls) {
      PumpTls(*server);
    }
  }
}

void Syslog::OnStreamClosed(net::StreamId id, net::StreamClose why) {
  Server* server = FindByStream(id);
  if (server == nullptr) {
    return;
  }
  Fail(*server, why == net::StreamClose::kByPeer    ? "the server closed the connection"
                : why == net::StreamClose::kRefused ? "the server refused the connection"
                : why == net::StreamClose::kTimeout ? "the server does not answer"
                                                    : "the connection was lost");
}

// The next event for a server. Those that are nowhere any more are counted.
const Record* Syslog::Next(Server& server) {
  const Record* record = nullptr;
  if (parts_.source != nullptr && server.next < parts_.log.first_sequence()) {
    record = parts_.source->FindFrom(server.next);
  } else {
    record = parts_.log.Find(std::max(server.next, parts_.log.first_sequence()));
  }
  if (record != nullptr && record->sequence > server.next) {
    server.dropped += record->sequence - server.next;
    server.next = record->sequence;
  }
  return record;
}

bool Syslog::Wants(const Server& server, const Record& record) const {
  const EventInfo& info = kEvents[record.event];
  const uint32_t bit = 1u << static_cast<uint32_t>(info.category);
  return info.severity <= server.config.severity && (server.config.categories & bit) != 0;
}

void Syslog::SaveMark(Server& server) {
  if (parts_.source != nullptr) {
    const auto index = static_cast<uint32_t>(&server - servers_.data());
    const uint64_t next = IsStream(server.config.transport) ? server.acknowledged : server.next;
    parts_.source->SetMark(index, server.config.Identity(), next);
  }
}

// The stream has as much room as at its beginning when the peer has acknowledged everything.
void Syslog::NoteAcknowledged(Server& server) {
  if (!IsStream(server.config.transport)) {
    return;
  }
  const bool is_clean =
      parts_.streams.SendRoom(server.stream) >= server.room_full &&
      (server.config.transport != SyslogTransport::kTls || server.tls->output().empty());
  if (!is_clean || now_ - server.candidate_at < kAcknowledgeDelay) {
    return;
  }
  server.acknowledged = std::max(server.acknowledged, server.candidate);
  server.candidate = server.next;
  server.candidate_at = now_;
  SaveMark(server);
}

Result<void> Syslog::SendDatagram(const Server& server, std::span<const uint8_t> message) {
  net::SocketId& socket = server.endpoint.address.is_v6() ? socket_v6_ : socket_v4_;
  if (!socket.valid()) {
    net::Endpoint any;
    any.address.family = server.endpoint.address.family;
    GH_TRY_ASSIGN(socket, parts_.datagrams.OpenDatagram(any, *this));
  }
  return parts_.datagrams.SendDatagram(socket, server.endpoint, message);
}

Result<void> Syslog::SendOne(Server& server, const Record& record) {
  uint8_t frame[kSyslogFrameMax];
  constexpr size_t kCountRoom = kSyslogFrameMax - kSyslogMessageMax;
  ByteWriter message({frame + kCountRoom, kSyslogMessageMax});
  const SyslogIdentity identity{host_name_.view(), "gatehouse", proc_id_.view()};
  if (server.config.format == SyslogFormat::kBsd) {
    FormatBsdSyslog(record, identity, message);
  } else {
    FormatSyslog(record, identity, message);
  }
  if (!message.ok()) {
    return Error{ErrorCode::kTooLarge, "event does not fit a syslog message"};
  }
  if (server.config.transport == SyslogTransport::kUdp) {
    return SendDatagram(server, message.written());
  }
  // MSG-LEN SP SYSLOG-MSG, the count written right in front of the message.
  uint8_t count_bytes[kCountRoom];
  ByteWriter count(count_bytes);
  count.Decimal(message.size());
  count.Char(' ');
  GH_ASSERT(count.ok());
  uint8_t* start = frame + kCountRoom - count.size();
  std::memcpy(start, count_bytes, count.size());
  return SendFrame(server, {start, count.size() + message.size()});
}

Result<void> Syslog::SendFrame(Server& server, std::span<const uint8_t> frame) {
  if (server.config.transport == SyslogTransport::kTcp) {
    return parts_.streams.SendStream(server.stream, frame);
  }
  auto written = server.tls->Write(frame);
  if (written.code() == ErrorCode::kWouldBlock) {
    PumpTls(server);
    if (server.blocked || !server.stream.valid()) {
      return written;
    }
    written = server.tls->Write(frame);
  }
  if (written.ok()) {
    PumpTls(server);  // what does not go now goes when there is room
    server.blocked = false;
  }
  return written;
}

// True when more is waiting and the network takes more.
bool Syslog::SendBatch(Server& server) {
  NoteAcknowledged(server);
  for (uint32_t batch = 0, looked = 0; batch < kSyslogBatchMax && looked < kSyslogLookMax;
       ++looked) {
    const Record* record = Next(server);
    if (record == nullptr) {
      break;
    }
    if (!Wants(server, *record)) {
      ++server.next;
      continue;
    }
    const auto sent = SendOne(server, *record);
    if (server.state != SyslogState::kSending) {
      return false;  // it broke on the way
    }
    if (sent.ok()) {
      ++server.sent;
      ++server.next;
      ++batch;
      server.pause_s = kReconnectMinSeconds;
      server.told_lost = false;
      continue;
    }
    if (sent.code() == ErrorCode::kTooLarge) {
      ++server.dropped;
      ++server.next;
      continue;
    }
    if (sent.code() == ErrorCode::kWouldBlock) {
      server.blocked = true;
      return false;
    }
    Break(server, "the network does not take the message");
    return false;
  }
  if (server.dropped != server.dropped_told) {
    const uint64_t count = server.dropped - server.dropped_told;
    server.dropped_told = server.dropped;
    parts_.log.Emit(event::EventsDropped{.server = NameOf(server).view(), .count = count});
  }
  if (!IsStream(server.config.transport)) {
    SaveMark(server);
  }
  return server.next < parts_.log.next_sequence();
}

bool Syslog::Poll(Instant now) {
  now_ = now;
  bool more = false;
  for (Server& server : servers_) {
    switch (server.state) {
      case SyslogState::kWaiting:
        if (now >= server.retry_at) {
          Start(server);
        }
        break;
      case SyslogState::kConnecting:
      case SyslogState::kSecuring:
        if (now >= server.deadline) {
          Break(server, "the server does not answer");
        }
        break;
      case SyslogState::kSending:
        more = (!server.blocked && SendBatch(server)) || more;
        break;
      default:
        break;
    }
  }
  return more;
}

}  // namespace gh::log
