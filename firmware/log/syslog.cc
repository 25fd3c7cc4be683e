#include "firmware/log/syslog.h"

#include <algorithm>

namespace gh::log {
namespace {

constexpr const char* kStateNames[] = {"Off", "Resolving", "Connecting", "Waiting", "Sending"};

}  // namespace

const char* SyslogStateName(SyslogState state) { return kStateNames[static_cast<uint8_t>(state)]; }

Syslog::Syslog(const Parts& parts) : parts_(parts) {
  poll_name = "syslog";
  for (Server& server : servers_) {
    server.owner = this;
    server.query.done = OnResolved;
    server.query.context = &server;
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
    server.config = config;
    if (!config.enabled || config.address.empty()) {
      continue;
    }
    // A new server hears of everything the ring still has: the boot event among it.
    server.next = server.next == 0 ? parts_.log.first_sequence() : server.next;
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

void Syslog::Begin(Server& server) {
  const bool was_lost = server.told_lost;
  server.state = SyslogState::kSending;
  server.blocked = false;
  server.told_lost = false;
  if (server.config.transport == SyslogTransport::kTcp || was_lost) {
    parts_.log.Emit(event::SyslogConnected{.server = NameOf(server).view()});
  }
}

void Syslog::Fail(Server& server, const char* why) {
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
  server.state = SyslogState::kOff;
}

bool Syslog::OnStreamOpen(net::StreamId id, const net::StreamInfo& info) {
  Server* server = FindByStream(id);
  if (server == nullptr || info.accepted) {
    return false;
  }
  Begin(*server);
  return true;
}

size_t Syslog::OnStreamData(net::StreamId, std::span<uint8_t> data) { return data.size(); }

void Syslog::OnStreamWritable(net::StreamId id) {
  if (Server* server = FindByStream(id); server != nullptr) {
    server->blocked = false;
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

// Events the ring has overwritten before this server had them.
void Syslog::CountLost(Server& server) {
  const uint64_t first = parts_.log.first_sequence();
  if (server.next < first) {
    server.dropped += first - server.next;
    server.next = first;
  }
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
  FormatSyslog(record, {host_name_.view(), "gatehouse", proc_id_.view()}, message);
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
  return parts_.streams.SendStream(server.stream, {start, count.size() + message.size()});
}

// True when more is waiting and the network takes more.
bool Syslog::SendBatch(Server& server) {
  for (uint32_t batch = 0; batch < kSyslogBatchMax;) {
    CountLost(server);
    const Record* record = parts_.log.Find(server.next);
    if (record == nullptr) {
      break;
    }
    if (kEvents[record->event].severity > server.config.severity) {
      ++server.next;
      continue;
    }
    const auto sent = SendOne(server, *record);
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
    if (server.config.transport == SyslogTransport::kTcp && server.stream.valid()) {
      const net::StreamId stream = server.stream;
      server.stream = {};
      parts_.streams.AbortStream(stream);
    }
    Fail(server, "the network does not take the message");
    return false;
  }
  if (server.dropped != server.dropped_told) {
    const uint64_t count = server.dropped - server.dropped_told;
    server.dropped_told = server.dropped;
    parts_.log.Emit(event::EventsDropped{.server = NameOf(server).view(), .count = count});
  }
  return parts_.log.Find(server.next) != nullptr;
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
        if (now >= server.deadline) {
          const net::StreamId stream = server.stream;
          server.stream = {};
          parts_.streams.AbortStream(stream);
          Fail(server, "the server does not answer");
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
