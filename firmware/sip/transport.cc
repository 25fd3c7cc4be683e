#include "firmware/sip/transport.h"

#include <algorithm>
#include <utility>

#include "firmware/sip/routes.h"

namespace gh::sip {
namespace {

net::StreamKind KindOf(TransportKind transport) {
  return transport == TransportKind::kTls || transport == TransportKind::kWss
             ? net::StreamKind::kTls
             : net::StreamKind::kTcp;
}

constexpr size_t kPingSize = 4;  // CRLFCRLF

bool IsCrlf(std::span<const uint8_t> data) {
  return data.size() >= 2 && data[0] == '\r' && data[1] == '\n';
}

}  // namespace

SipTransport::SipTransport(Core& core, Arena& arena, net::DatagramService& datagrams,
                           net::StreamService& streams, TransportUser& user)
    : core_(core),
      datagrams_(datagrams),
      streams_(streams),
      user_(user),
      frame_(arena.NewArray<uint8_t>(kWebSocketMessageMax + net::kWebSocketHeaderMax)),
      connections_(arena, core.capacity.streams),
      by_stream_(arena, core.capacity.streams),
      by_remote_(arena, core.capacity.streams),
      by_alias_(arena, core.capacity.streams) {}

SipTransport::~SipTransport() { Close(); }

uint32_t SipTransport::Listen() {
  // A socket stays when the configuration still has its place, transport and address.
  for (uint32_t i = 0; i < kListenerMax; ++i) {
    Socket& socket = sockets_[i];
    const Listener& wanted = core_.config.listeners[i];
    const bool keep = i < core_.config.listener_count && socket.transport == wanted.transport &&
                      socket.bind == wanted.bind && socket.zone == wanted.zone;
    if (socket.open && !keep) {
      CloseOne(socket);
    }
  }
  uint32_t open = 0;
  for (uint32_t i = 0; i < core_.config.listener_count; ++i) {
    open += sockets_[i].open || OpenOne(i) ? 1 : 0;
  }
  return open;
}

bool SipTransport::OpenOne(uint32_t index) {
  const Listener& listener = core_.config.listeners[index];
  Socket& socket = sockets_[index];
  socket.transport = listener.transport;
  socket.bind = listener.bind;
  socket.zone = listener.zone;
  if (listener.transport == TransportKind::kUdp) {
    auto id = datagrams_.OpenDatagram(listener.bind, *this);
    if (!id.ok()) {
      core_.observer.OnListenFailed(listener, id.error().what);
      return false;
    }
    socket.id = *id;
  } else {
    net::StreamOptions options;
    options.kind = KindOf(listener.transport);
    if (listener.zone != 0) {
      options.service = net::TlsService::kFederation;  // both sides show certificates
    } else if (listener.transport == TransportKind::kWss) {
      options.service = net::TlsService::kWeb;  // browsers have no certificates to show
    }
    auto id = streams_.Listen(listener.bind, options, *this);
    if (!id.ok()) {
      core_.observer.OnListenFailed(listener, id.error().what);
      return false;
    }
    socket.listener = *id;
  }
  socket.open = true;
  return true;
}

void SipTransport::CloseOne(Socket& socket) {
  if (socket.transport == TransportKind::kUdp) {
    datagrams_.CloseDatagram(socket.id);
  } else {
    streams_.CloseListener(socket.listener);
  }
  socket = {};
}

void SipTransport::Close() {
  for (Socket& socket : sockets_) {
    if (socket.open) {
      CloseOne(socket);
    }
  }
  for (uint32_t i = 0; i < connections_.capacity(); ++i) {
    if (Connection* connection = connections_.At(i)) {
      Drop(*connection, true);
    }
  }
}

// --- Which listener ------------------------------------------------------------------------------

std::optional<uint8_t> SipTransport::ListenerFor(TransportKind transport,
                                                 const net::IpAddress& remote) const {
  const net::IpAddress source =
      core_.routes != nullptr ? core_.routes->SourceFor(remote) : net::IpAddress();
  std::optional<uint8_t> found;
  for (uint32_t i = 0; i < core_.config.listener_count; ++i) {
    const Listener& listener = core_.config.listeners[i];
    if (!sockets_[i].open || listener.transport != transport || listener.zone != 0 ||
        listener.advertise.address.family != remote.family) {
      continue;
    }
    if (listener.bind.address == source) {
      return static_cast<uint8_t>(i);
    }
    found = found ? found : static_cast<uint8_t>(i);
  }
  return found;
}

uint8_t SipTransport::ListenerOf(TransportKind transport, const net::Endpoint& local) const {
  for (uint32_t i = 0; i < core_.config.listener_count; ++i) {
    const Listener& listener = core_.config.listeners[i];
    if (sockets_[i].open && listener.transport == transport && listener.bind == local) {
      return static_cast<uint8_t>(i);
    }
  }
  uint8_t fallback = 0;
  for (uint32_t i = 0; i < core_.config.listener_count; ++i) {
    const Listener& listener = core_.config.listeners[i];
    if (!sockets_[i].open || listener.transport != transport ||
        listener.advertise.address.family != local.address.family) {
      continue;
    }
    if (listener.advertise.address == local.address || listener.bind.address == local.address) {
      return static_cast<uint8_t>(i);
    }
    fallback = static_cast<uint8_t>(i);
  }
  return fallback;
}

// Of an accepted stream: by the port it came to.
TransportKind SipTransport::TransportOf(const net::StreamInfo& info) const {
  for (uint32_t i = 0; i < core_.config.listener_count; ++i) {
    const TransportKind transport = sockets_[i].transport;
    if (sockets_[i].open && transport != TransportKind::kUdp && KindOf(transport) == info.kind &&
        sockets_[i].bind.port == info.local.port) {
      return transport;
    }
  }
  return info.kind == net::StreamKind::kTls ? TransportKind::kTls : TransportKind::kTcp;
}

bool SipTransport::HasDatagramPort(uint16_t port) const {
  for (uint32_t i = 0; i < core_.config.listener_count; ++i) {
    const Listener& listener = core_.config.listeners[i];
    if (listener.transport == TransportKind::kUdp && listener.bind.port == port) {
      return true;
    }
  }
  return false;
}

bool SipTransport::IsOurs(const net::Endpoint& endpoint) const {
  for (uint32_t i = 0; i < core_.config.listener_count; ++i) {
    const Listener& listener = core_.config.listeners[i];
    if (listener.advertise == endpoint || listener.bind == endpoint) {
      return true;
    }
  }
  return false;
}

bool SipTransport::IsAllowedTarget(const net::Endpoint& endpoint) const {
  const net::IpAddress& a = endpoint.address;
  if (a.is_unspecified() || a.is_multicast() || endpoint.port == 0) {
    return false;
  }
  if (a.is_v4() && (a.bytes[0] == 0 || a.bytes[0] >= 240)) {  // this network, class E, broadcast
    return false;
  }
  return !IsOurs(endpoint);
}

// --- Connections ---------------------------------------------------------------------------------

uint64_t SipTransport::StreamHash(net::StreamId id) const {
  return core_.Hash(kHashConnection).Add(uint64_t{id.index} << 32 | id.generation).Value();
}

uint64_t SipTransport::RemoteHash(TransportKind transport, const net::Endpoint& remote) const {
  return core_.Hash(kHashConnection)
      .Add(std::span<const uint8_t>(remote.address.bytes))
      .Add(uint64_t{remote.port} << 8 | static_cast<uint64_t>(transport))
      .Value();
}

SipTransport::Connection* SipTransport::Find(net::StreamId id) const {
  return by_stream_.Find(StreamHash(id), [id](const Connection& c) { return c.id == id; });
}

uint64_t SipTransport::NameHash(std::string_view name) const {
  return core_.Hash(kHashConnection).AddNoCase(name).Value() | 1;
}

SipTransport::Connection* SipTransport::FindRemote(TransportKind transport,
                                                   const net::Endpoint& remote,
                                                   uint64_t name_hash) const {
  return by_remote_.Find(RemoteHash(transport, remote), [&](const Connection& c) {
    return c.flow.remote == remote && c.flow.transport == transport &&
           (name_hash == 0 || c.name_hash == name_hash);
  });
}

SipTransport::Connection* SipTransport::FindAlias(const net::Endpoint& remote,
                                                  std::string_view name) const {
  return by_alias_.Find(RemoteHash(TransportKind::kTls, remote), [&](const Connection& c) {
    return c.flow.remote.address == remote.address && c.alias_port == remote.port &&
           streams_.IsPeerNamed(c.id, name);
  });
}

void SipTransport::TakeAlias(const Flow& flow, uint16_t port) {
  Connection* connection = flow.transport == TransportKind::kTls ? Find(flow.stream) : nullptr;
  if (connection == nullptr || !connection->is_accepted || connection->by_alias.linked) {
    return;
  }
  connection->alias_port = port;
  by_alias_.Insert(*connection, RemoteHash(flow.transport, {flow.remote.address, port}));
}

bool SipTransport::MayAskForAlias(const Flow& flow) const {
  const Connection* connection =
      flow.transport == TransportKind::kTls ? Find(flow.stream) : nullptr;
  return connection != nullptr && !connection->is_accepted;
}

SipTransport::Connection* SipTransport::AddConnection(net::StreamId id, const Flow& flow,
                                                      bool open) {
  Connection* connection = connections_.Allocate();
  if (connection == nullptr) {
    return nullptr;
  }
  connection->id = id;
  connection->flow = flow;
  connection->flow.stream = id;
  connection->transport = this;
  connection->open = open;
  connection->last_used = core_.now();
  connection->timer.Set(
      [](Timer&, void* context) {
        auto* self = static_cast<Connection*>(context);
        self->transport->OnTimer(*self);
      },
      connection);
  by_stream_.Insert(*connection, StreamHash(id));
  by_remote_.Insert(*connection, RemoteHash(flow.transport, flow.remote));
  ArmTimer(*connection);
  return connection;
}

// Part of a ping may wait for the rest as long as it likes.
bool SipTransport::IsMessageBegun(const Connection& connection) {
  return connection.assembly != nullptr && connection.assembly->size >= kPingSize;
}

// What waits for a peer that does not read; while we connect, the network bounds the time.
bool SipTransport::IsBackedUp(const Connection& connection) {
  return connection.open && !connection.queue.empty();
}

// Whether the peer is not heard until it has read what it is owed: over a stream nothing is sent
// again, so an answer that found no room would be lost for good.
bool SipTransport::IsHeldBack(const Connection& connection) {
  return connection.open && connection.queue.size() >= kStreamHoldAt;
}

void SipTransport::ArmTimer(Connection& connection) {
  const Duration idle = connection.proven ? core_.config.stream_idle : core_.config.stream_unproven;
  Instant deadline = connection.last_used + idle;
  if (IsMessageBegun(connection)) {
    deadline = std::min(deadline, connection.message_began + core_.config.message_deadline);
  }
  if (IsBackedUp(connection)) {
    deadline = std::min(deadline, connection.took_last + core_.config.message_deadline);
  }
  if (connection.is_starved) {
    deadline = std::min(deadline, core_.now() + Duration::Milliseconds(kStarvedRetryMs));
  }
  core_.timers.Arm(connection.timer, deadline);
}

void SipTransport::OnTimer(Connection& connection) {
  const Duration idle = connection.proven ? core_.config.stream_idle : core_.config.stream_unproven;
  const Duration longest = core_.config.message_deadline;
  const bool stuck =
      (IsMessageBegun(connection) && core_.now() >= connection.message_began + longest) ||
      (IsBackedUp(connection) && core_.now() >= connection.took_last + longest) ||
      (connection.is_starved && core_.now() >= connection.starved_since + longest);
  if (!stuck && std::exchange(connection.is_starved, false)) {
    ArmTimer(connection);
    streams_.ResumeStream(connection.id);
    return;
  }
  if (!stuck && core_.now() < connection.last_used + idle) {
    ArmTimer(connection);  // used since the timer was armed
    return;
  }
  Drop(connection, stuck);
}

// The service reports nothing more for a stream that we dropped and no longer know.
void SipTransport::Drop(Connection& connection, bool abort) {
  const net::StreamId id = connection.id;
  Forget(connection);
  if (abort) {
    streams_.AbortStream(id);
  } else {
    streams_.CloseStream(id);
  }
}

void SipTransport::Forget(Connection& connection) {
  by_stream_.Remove(connection);
  by_remote_.Remove(connection);
  if (connection.by_alias.linked) {
    by_alias_.Remove(connection);
  }
  core_.timers.Cancel(connection.timer);
  core_.buffers.Release(connection.assembly);
  connection.assembly = nullptr;
  while (Buffer* buffer = connection.queue.PopFront()) {
    core_.buffers.Release(buffer);
  }
  // A user's reaction may end other users: take one at a time.
  while (FlowUser* user = connection.users.PopFront()) {
    user->lost(*user);
  }
  connections_.Release(&connection);
}

bool SipTransport::IsAlive(const Flow& flow) {
  return !flow.is_reliable() || Find(flow.stream) != nullptr;
}

void SipTransport::Watch(const Flow& flow, FlowUser& user) {
  if (!flow.is_reliable()) {
    return;
  }
  if (Connection* connection = Find(flow.stream)) {
    connection->users.PushBack(user);
  }
}

void SipTransport::Unwatch(const Flow& flow, FlowUser& user) {
  Connection* connection = Find(flow.stream);
  GH_ASSERT(connection != nullptr);
  connection->users.Remove(user);
}

void SipTransport::Prove(const Flow& flow) {
  if (!flow.is_reliable()) {
    return;
  }
  if (Connection* connection = Find(flow.stream); connection != nullptr && !connection->proven) {
    connection->proven = true;
    ArmTimer(*connection);
  }
}

void SipTransport::Hangup(const Flow& flow) {
  if (Connection* connection = flow.is_reliable() ? Find(flow.stream) : nullptr) {
    Drop(*connection, false);
  }
}

// --- Sending -------------------------------------------------------------------------------------

Result<Flow> SipTransport::FlowTo(TransportKind transport, const net::Endpoint& remote,
                                  std::string_view name) {
  if (!IsAllowedTarget(remote)) {
    return Error(ErrorCode::kPermissionDenied, "target address not allowed");
  }
  const auto listener = ListenerFor(transport, remote.address);
  if (!listener) {
    return Error(ErrorCode::kUnsupported, "no listener of that transport");
  }
  Flow flow;
  flow.remote = remote;
  flow.transport = transport;
  flow.listener = *listener;
  flow.local = core_.config.listeners[*listener].advertise;
  if (transport == TransportKind::kUdp) {
    flow.socket = sockets_[*listener].id;
    flow.local = core_.config.listeners[*listener].bind;
    return flow;
  }
  const uint64_t name_hash = transport == TransportKind::kTls && !name.empty() ? NameHash(name) : 0;
  if (Connection* connection = FindRemote(transport, remote, name_hash)) {
    return connection->flow;
  }
  if (Connection* connection = name_hash != 0 ? FindAlias(remote, name) : nullptr) {
    return connection->flow;
  }
  if (transport == TransportKind::kWs || transport == TransportKind::kWss) {
    return Error(ErrorCode::kUnreachable, "the WebSocket client is gone");
  }
  if (connections_.free_count() == 0) {
    return Error(ErrorCode::kExhausted, "streams");
  }
  net::StreamOptions options;
  options.kind = KindOf(transport);
  options.server_name = name;
  GH_TRY_ASSIGN(const net::StreamId id, streams_.Connect(remote, options, *this));
  Connection* connection = AddConnection(id, flow, false);
  GH_ASSERT(connection != nullptr);
  connection->name_hash = name_hash;
  return connection->flow;
}

// The socket a flow began on may have been closed by a new configuration since.
Result<void> SipTransport::SendByUdp(const Flow& flow, std::span<const uint8_t> data) {
  const Socket& socket = sockets_[flow.listener];
  if (socket.open && socket.transport == TransportKind::kUdp && socket.id == flow.socket) {
    return datagrams_.SendDatagram(flow.socket, flow.remote, data, flow.local.address);
  }
  const auto other = ListenerFor(TransportKind::kUdp, flow.remote.address);
  if (!other) {
    return Error(ErrorCode::kUnreachable, "no UDP listener");
  }
  return datagrams_.SendDatagram(sockets_[*other].id, flow.remote, data);
}

Result<void> SipTransport::Send(const Flow& flow, std::span<const uint8_t> data) {
  ++core_.statistics.messages_out;
  Result<void> result;
  if (!flow.is_reliable()) {
    result = SendByUdp(flow, data);
  } else {
    Connection* connection = Find(flow.stream);
    if (flow.is_websocket()) {
      data = Framed(data);
    }
    if (connection == nullptr) {
      result = Error(ErrorCode::kClosed, "stream");
    } else if (data.empty()) {
      result = Error(ErrorCode::kTooLarge, "message for a WebSocket");
    } else if (!connection->open || !connection->queue.empty()) {
      result = Enqueue(*connection, data);
    } else {
      connection->last_used = core_.now();
      result = streams_.SendStream(connection->id, data);
      if (result.code() == ErrorCode::kWouldBlock) {
        result = Enqueue(*connection, data);
      }
    }
  }
  core_.statistics.send_failed += result.ok() ? 0 : 1;
  return result;
}

Result<void> SipTransport::Enqueue(Connection& connection, std::span<const uint8_t> data) {
  const size_t capacity = core_.buffers.capacity();
  const bool plenty = core_.buffers.used_count() < capacity / 2;
  const size_t most = std::max(kStreamQueueMax, capacity / kStreamQueueShare);
  if (connection.queue.size() >= (plenty ? most : kStreamQueueShortMax)) {
    return Error(ErrorCode::kExhausted, "stream queue");
  }
  Buffer* buffer = core_.buffers.Copy(data);
  if (buffer == nullptr) {
    return Error(ErrorCode::kExhausted, "buffers");
  }
  connection.queue.PushBack(*buffer);
  if (connection.queue.size() == 1) {
    connection.took_last = core_.now();
    ArmTimer(connection);
  }
  return Ok();
}

void SipTransport::OnStreamWritable(net::StreamId id) {
  Connection* connection = Find(id);
  while (connection != nullptr && connection->open) {
    Buffer* buffer = connection->queue.front();
    if (buffer == nullptr) {
      GoOn(*connection);
      return;
    }
    const Result<void> sent = streams_.SendStream(id, buffer->bytes());
    if (sent.code() == ErrorCode::kWouldBlock) {
      return;
    }
    connection->queue.Remove(*buffer);
    core_.buffers.Release(buffer);
    connection->last_used = connection->took_last = core_.now();
    if (!sent.ok()) {
      ++core_.statistics.send_failed;
      Drop(*connection, true);
      return;
    }
  }
}

// The peer has read all: what it was held back with is heard.
void SipTransport::GoOn(Connection& connection) {
  const net::StreamId id = connection.id;
  if (connection.assembly != nullptr && !connection.flow.is_websocket()) {
    TakeKept(connection);
  }
  if (const Connection* still = Find(id); still != nullptr && !IsHeldBack(*still)) {
    streams_.ResumeStream(id);
  }
}

// --- Receiving -----------------------------------------------------------------------------------

void SipTransport::OnDatagram(const net::DatagramInfo& info, std::span<uint8_t> data) {
  Flow flow;
  flow.remote = info.remote;
  flow.local = info.local;
  flow.socket = info.socket;
  flow.transport = TransportKind::kUdp;
  for (uint32_t i = 0; i < core_.config.listener_count; ++i) {
    if (sockets_[i].open && sockets_[i].id == info.socket) {
      flow.listener = static_cast<uint8_t>(i);
    }
  }
  if (TakeStun(flow, data)) {
    return;
  }
  // Keep-alives: CRLF alone (also double) is answered by silence, or over UDP by nothing at all
  // (RFC 5626 uses STUN there); leading CRLF before a message is skipped (RFC 3261 7.5).
  std::span<const uint8_t> rest = data;
  while (IsCrlf(rest)) {
    rest = rest.subspan(2);
  }
  if (rest.size() < 4) {
    ++core_.statistics.keep_alives;
    return;
  }
  user_.OnPacket(flow, rest);
}

bool SipTransport::OnStreamOpen(net::StreamId id, const net::StreamInfo& info) {
  if (!info.accepted) {
    Connection* connection = Find(id);
    if (connection == nullptr) {
      return false;
    }
    connection->open = true;
    connection->flow.local = info.local;
    connection->last_used = connection->took_last = core_.now();
    OnStreamWritable(id);
    return true;
  }
  Flow flow;
  flow.remote = info.remote;
  flow.local = info.local;
  flow.transport = TransportOf(info);
  flow.listener = ListenerOf(flow.transport, info.local);
  Connection* connection = AddConnection(id, flow, true);
  if (connection != nullptr) {
    connection->is_accepted = true;
  }
  return connection != nullptr;
}

void SipTransport::OnStreamClosed(net::StreamId id, net::StreamClose /*why*/) {
  if (Connection* connection = Find(id)) {
    Forget(*connection);
  }
}

size_t SipTransport::OnStreamData(net::StreamId id, std::span<uint8_t> data) {
  Connection* connection = Find(id);
  if (connection == nullptr || data.empty()) {
    return data.size();
  }
  if (!IsHeldBack(*connection)) {
    connection->last_used = core_.now();
  }
  size_t used = 0;
  while (connection != nullptr && used < data.size() && !IsHeldBack(*connection) &&
         !connection->is_starved) {
    used += TakePiece(*connection, data.subspan(used));
    connection = Find(id);
    if (connection != nullptr && !connection->is_starved) {
      connection->starved_since = {};
    }
  }
  return connection == nullptr ? data.size() : used;
}

// The count of bytes taken; all of them when the stream is gone.
size_t SipTransport::TakePiece(Connection& connection, std::span<uint8_t> data) {
  if (connection.assembly != nullptr) {
    const auto piece = data.first(NeededOf(connection, data));
    if (!Keep(connection, piece)) {
      Starve(connection);
      return 0;
    }
    TakeKept(connection);
    return piece.size();
  }
  if (connection.flow.is_websocket()) {
    TakeFramesOf(connection, data);
    return data.size();
  }
  const net::StreamId id = connection.id;
  const auto used = TakeMessages(connection, data);
  Connection* still = Find(id);
  if (!used || still == nullptr) {
    return data.size();
  }
  if (IsHeldBack(*still)) {
    still->scanned = still->expected = 0;
    return *used;
  }
  if (*used < data.size() && !Keep(*still, data.subspan(*used))) {
    still->scanned = still->expected = 0;
    Starve(*still);
    return *used;
  }
  return data.size();
}

// How much of `data` to put behind the assembly: what its first message lacks, as far as that can
// be told. What is behind needs no copy then, and a message of any size finds room.
size_t SipTransport::NeededOf(const Connection& connection, std::span<const uint8_t> data) {
  const Buffer& assembly = *connection.assembly;
  GH_ASSERT_LT(assembly.size, kBufferSizes.back());
  size_t needed = data.size();
  if (!connection.flow.is_websocket()) {
    const uint8_t last = assembly.data[assembly.size - 1];
    size_t ends = 0;  // the header section's end may be cut anywhere
    while ((last == '\r' || last == '\n') && ends < std::min<size_t>(data.size(), 3) &&
           (data[ends] == '\r' || data[ends] == '\n')) {
      ++ends;
    }
    needed = connection.expected > assembly.size ? connection.expected - assembly.size
             : ends != 0                         ? ends
                         : Message::FindHeaderEnd(data, 0).value_or(data.size());
  }
  const size_t room = kBufferSizes[assembly.size < kBufferSizes[3] ? 3 : 4] - assembly.size;
  return std::min({needed, data.size(), room});
}

// Without a buffer nothing more is heard for a while: whoever sent it has it still.
void SipTransport::Starve(Connection& connection) {
  ++core_.statistics.overload;
  connection.is_starved = true;
  if (connection.starved_since == Instant{}) {
    connection.starved_since = core_.now();
  }
  ArmTimer(connection);
}

// The assembly is taken out while its messages are handled: they may end the stream.
void SipTransport::TakeKept(Connection& connection) {
  const net::StreamId id = connection.id;
  Buffer* assembly = connection.assembly;
  connection.assembly = nullptr;
  if (connection.flow.is_websocket()) {
    TakeKeptFrames(connection, assembly);
    return;
  }
  const auto used = TakeMessages(connection, assembly->bytes());
  Connection* still = Find(id);
  if (!used || still == nullptr || *used == assembly->size) {
    core_.buffers.Release(assembly);
    return;
  }
  const auto rest = assembly->bytes().subspan(*used);
  if (*used != 0 && Keep(*still, rest)) {
    core_.buffers.Release(assembly);
    return;
  }
  std::memmove(assembly->data, rest.data(), rest.size());
  assembly->size = static_cast<uint32_t>(rest.size());
  still->assembly = assembly;
}

// Appends to the assembly, moving to a larger buffer when needed. False when there is none.
bool SipTransport::Keep(Connection& connection, std::span<const uint8_t> rest) {
  Buffer* old = connection.assembly;
  const size_t old_size = old == nullptr ? 0 : old->size;
  if (old == nullptr) {
    connection.scanned = connection.expected = 0;
    connection.message_began = core_.now();
  }
  if (old == nullptr || old->capacity - old->size < rest.size()) {
    Buffer* grown = core_.buffers.Allocate(old_size + rest.size());
    if (grown == nullptr) {
      return false;
    }
    if (old != nullptr) {
      std::memcpy(grown->data, old->data, old_size);
    }
    grown->size = static_cast<uint32_t>(old_size);
    core_.buffers.Release(old);
    connection.assembly = grown;
  }
  Buffer* assembly = connection.assembly;
  std::memcpy(assembly->data + assembly->size, rest.data(), rest.size());
  assembly->size += static_cast<uint32_t>(rest.size());
  if (old_size < kPingSize) {
    ArmTimer(connection);
  }
  return true;
}

std::optional<size_t> SipTransport::MessageSize(Connection& connection,
                                                std::span<const uint8_t> data, const char*& fault) {
  if (connection.expected > data.size()) {
    return std::nullopt;
  }
  // The last three bytes seen before may begin the empty line.
  const size_t from = connection.scanned > 3 ? connection.scanned - 3 : 0;
  const auto end = Message::FindHeaderEnd(data, from);
  if (!end) {
    connection.scanned = data.size();
    fault = data.size() >= kMessageBytesMax ? "header section too large" : nullptr;
    return std::nullopt;
  }
  const auto length = Message::FindContentLength(data.first(*end));
  if (!length) {
    fault = "no Content-Length";
    return std::nullopt;
  }
  if (uint64_t{*end} + *length > kMessageBytesMax) {
    fault = "message too large";
    return std::nullopt;
  }
  const size_t size = *end + *length;
  connection.scanned = *end - 4;
  connection.expected = size;
  return size <= data.size() ? std::optional<size_t>(size) : std::nullopt;
}

std::optional<size_t> SipTransport::TakeMessages(Connection& connection,
                                                 std::span<const uint8_t> data) {
  const net::StreamId id = connection.id;
  size_t at = 0;
  size_t answered = 0;
  while (at < data.size()) {
    const auto rest = data.subspan(at);
    if (rest[0] == '\r') {
      if (rest.size() >= 4 && IsCrlf(rest) && IsCrlf(rest.subspan(2))) {
        at += 4;  // ping; pong is one CRLF (RFC 5626 3.5.1)
        ++core_.statistics.keep_alives;
        if (answered++ < kKeepAlivePerTurnMax) {
          constexpr uint8_t kPong[] = {'\r', '\n'};
          streams_.SendStream(id, kPong).ignore("the next ping will tell");
        }
        connection.scanned = 0;
        continue;
      }
      // A lone CRLF before a message, or the first half of a ping still on its way.
      if (rest.size() >= 3 && IsCrlf(rest) && rest[2] != '\r') {
        at += 2;
        continue;
      }
      if (rest.size() <= 3) {
        break;
      }
    }
    const char* fault = nullptr;
    const auto size = MessageSize(connection, rest, fault);
    if (fault != nullptr) {
      const Flow flow = connection.flow;
      user_.OnUnframed(flow, fault);
      if (Connection* still = Find(id)) {
        Drop(*still, false);
      }
      return std::nullopt;
    }
    if (!size) {
      break;
    }
    connection.scanned = connection.expected = 0;
    at += *size;
    user_.OnPacket(connection.flow, rest.first(*size));
    const Connection* still = Find(id);
    if (still == nullptr) {
      return std::nullopt;
    }
    if (IsHeldBack(*still)) {
      break;
    }
  }
  return at;
}

}  // namespace gh::sip
