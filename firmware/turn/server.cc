#include "firmware/turn/server.h"

#include <algorithm>

namespace gh::turn {
namespace {

// A stream that carried no whole frame for this long is closed; what an allocation's client sends
// to keep it (Refresh, permissions) comes more often.
constexpr Duration kIdleMax = Duration::Minutes(15);
constexpr Duration kFirstFrameMax = Duration::Seconds(20);

}  // namespace

Server::Server(const ServerParts& parts, uint32_t stream_count)
    : datagrams_(parts.datagrams),
      dtls_(parts.dtls),
      streams_(parts.streams),
      timers_(parts.timers),
      clients_(parts.arena, stream_count),
      by_stream_(parts.arena, stream_count, SipKey{}) {  // keys are ours, not the wire's
  dtls_door_.server = this;
  peer_door_.server = this;
}

void Server::CloseAll() {
  for (Listener& listener : std::span(listeners_).first(listener_count_)) {
    if (listener.socket.valid()) {
      (listener.is_dtls ? *dtls_ : datagrams_).CloseDatagram(listener.socket);
    }
    if (listener.listener.valid()) {
      streams_.CloseListener(listener.listener);
    }
    listener = {};
  }
  listener_count_ = 0;
}

void Server::Open(const net::Endpoint& at, const ListenConfig& config, net::Endpoint* failed) {
  Listener& listener = listeners_[listener_count_];
  if (config.udp) {
    if (auto socket = datagrams_.OpenDatagram(at, *this); socket.ok()) {
      listener.socket = *socket;
    } else {
      *failed = at;
    }
  }
  if (config.tcp) {
    if (auto opened = streams_.Listen(at, {}, *this); opened.ok()) {
      listener.listener = *opened;
    } else {
      *failed = at;
    }
  }
  listener_count_ += listener.socket.valid() || listener.listener.valid() ? 1 : 0;
}

void Server::OpenTls(const net::IpAddress& address, const ListenConfig& config,
                     net::Endpoint* failed) {
  const net::Endpoint at{address, config.tls_port};
  net::StreamOptions options;
  options.kind = net::StreamKind::kTls;
  options.service = net::TlsService::kTurn;
  const auto opened =
      listener_count_ < kListenerMax ? streams_.Listen(at, options, *this) : ErrorCode::kExhausted;
  if (!opened.ok()) {
    *failed = at;
    return;
  }
  listeners_[listener_count_++].listener = *opened;
}

void Server::OpenDtls(const net::IpAddress& address, const ListenConfig& config,
                      net::Endpoint* failed) {
  const net::Endpoint at{address, config.tls_port};
  const auto opened = listener_count_ < kListenerMax && dtls_ != nullptr
                          ? dtls_->OpenDatagram(at, dtls_door_)
                          : ErrorCode::kExhausted;
  if (!opened.ok()) {
    *failed = at;
    return;
  }
  Listener& listener = listeners_[listener_count_++];
  listener.socket = *opened;
  listener.is_dtls = true;
}

uint32_t Server::Listen(const ListenConfig& config, net::Endpoint* failed) {
  if (config == config_) {
    return listener_count_;
  }
  CloseAll();
  config_ = config;
  for (const net::IpAddress& address : std::span(config.addresses).first(config.address_count)) {
    for (uint32_t port = config.port_first; port <= config.port_last; ++port) {
      if (listener_count_ == kListenerMax) {
        *failed = {address, static_cast<uint16_t>(port)};
        return listener_count_;
      }
      Open({address, static_cast<uint16_t>(port)}, config, failed);
    }
    if (config.tls) {
      OpenTls(address, config, failed);
    }
    if (config.dtls) {
      OpenDtls(address, config, failed);
    }
    if (config.discovery_port != 0 && address.is_v4() && listener_count_ < kListenerMax) {
      ListenConfig udp = config;
      udp.tcp = false;
      Open({address, config.discovery_port}, udp, failed);
    }
  }
  return listener_count_;
}

void Server::OnDatagram(const net::DatagramInfo& info, std::span<uint8_t> data) {
  ClientPath path;
  path.local = info.local;
  path.remote = info.remote;
  engine_->OnClientData(path, data);
}

ClientPath Server::DtlsPath(const net::DatagramInfo& info) {
  ClientPath path;
  path.transport = ClientTransport::kDtls;
  path.local = info.local;
  path.remote = info.remote;
  path.socket = info.socket;
  path.is_secure = true;
  path.asked_name = info.asked_name;
  return path;
}

// Whoever comes from there next is another session, and has to prove himself anew.
void Server::OnDtlsClosed(const net::DatagramInfo& info) {
  engine_->OnStreamClosed(DtlsPath(info));
}

Result<void> Server::SendToDtls(const ClientPath& path, std::span<const uint8_t> bytes) {
  return dtls_->SendDatagram(path.socket, path.remote, bytes);
}

Server::Client* Server::NewClient(net::StreamId id) {
  Client* client = clients_.Allocate();
  if (client == nullptr) {
    return nullptr;
  }
  client->server = this;
  client->key = KeyOf(id);
  client->path.stream = id;
  if (by_stream_.Insert(*client) != HashInsert::kInserted) {
    clients_.Release(client);
    return nullptr;
  }
  return client;
}

bool Server::OnStreamOpen(net::StreamId id, const net::StreamInfo& info) {
  Client* client = info.accepted ? NewClient(id) : nullptr;
  if (client == nullptr) {
    return false;
  }
  client->path.transport = ClientTransport::kStream;
  client->path.local = info.local;
  client->path.remote = info.remote;
  client->path.is_secure = info.kind == net::StreamKind::kTls;
  client->path.asked_name = info.asked_name;
  client->deadline.Set(
      [](Timer&, void* context) {
        auto& self = *static_cast<Client*>(context);
        self.server->streams_.AbortStream(self.path.stream);
      },
      client);
  timers_.Arm(client->deadline, kFirstFrameMax);
  return true;
}

size_t Server::OnStreamData(net::StreamId id, std::span<uint8_t> data) {
  size_t used = 0;
  for (;;) {
    Client* client = by_stream_.Find(KeyOf(id));
    if (client == nullptr) {
      return data.size();  // being closed
    }
    const auto rest = data.subspan(used);
    if (client->link != 0) {
      return used + Pass(*client, rest);
    }
    const auto size = FrameSize(rest);
    if (!size.ok()) {
      streams_.AbortStream(id);
      return data.size();
    }
    if (*size == 0 || *size > rest.size()) {
      return used;
    }
    timers_.Arm(client->deadline, kIdleMax);
    const ClientPath path = client->path;
    engine_->OnClientData(path, rest.first(*size));
    used += *size;
  }
}

void Server::OnStreamClosed(net::StreamId id, net::StreamClose) {
  Client* client = by_stream_.Take(KeyOf(id));
  if (client == nullptr) {
    return;
  }
  const ClientPath path = client->path;
  const uint32_t link = client->link;
  timers_.Cancel(client->deadline);
  clients_.Release(client);
  if (link != 0) {
    engine_->OnLinkClosed(link);
    return;
  }
  engine_->OnStreamClosed(path);
}

Result<void> Server::SendToStream(net::StreamId stream, std::span<const uint8_t> frame) {
  return streams_.SendStream(stream, frame);
}

void Server::CloseClient(net::StreamId stream) { streams_.CloseStream(stream); }

}  // namespace gh::turn
