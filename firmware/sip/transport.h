// Sockets and streams: receives messages, frames streams by Content-Length (RFC 3261 18.3), sends,
// connects, and keeps connections for reuse. Knows nothing of transactions.
//
// A stream costs no buffer while nothing is half-received or waiting to be sent. A message that
// began must end within `message_deadline`, and a peer that is owed messages must read within it; a
// stream nobody proved himself on is closed after `stream_unproven`, an idle one after
// `stream_idle`. A peer that does not read what it is owed is not heard meanwhile: TCP's window
// closes, and no answer is lost.
//
// A WebSocket (RFC 7118; transport_websocket.cc) is a stream that clients alone open: a message is
// one frame's or several frames' payload, an HTTP handshake comes first.
#pragma once

#include <span>

#include "firmware/sip/core.h"
#include "firmware/sip/flow.h"
#include "firmware/sip/message.h"
#include "firmware/sip/table.h"
#include "hal/rt/pool.h"
#include "net/datagram.h"
#include "net/stream.h"
#include "net/websocket.h"

namespace gh::sip {

// Whoever wants to know that a stream is gone (client transactions). Linked while it matters.
struct FlowUser {
  ListNode node;
  void (*lost)(FlowUser& user) = nullptr;
};

class TransportUser {
 public:
  // One whole message (stream) or datagram. `data` is ours until the call returns.
  virtual void OnPacket(const Flow& flow, std::span<const uint8_t> data) = 0;
  // Bytes on a stream that can never become a message; the stream is closed after the call.
  virtual void OnUnframed(const Flow& flow, const char* why) = 0;

 protected:
  ~TransportUser() = default;
};

class SipTransport final : private net::DatagramHandler, private net::StreamHandler {
 public:
  SipTransport(Core& core, Arena& arena, net::DatagramService& datagrams,
               net::StreamService& streams, TransportUser& user);
  ~SipTransport();

  // Opens what the configuration lists and closes what it no longer lists. Failures are reported
  // to the observer; the count of open listeners is returned.
  uint32_t Listen();
  void Close();

  // Sends now, or queues on a stream that is connecting or full. kUnreachable, kExhausted,
  // kTooLarge, kClosed.
  Result<void> Send(const Flow& flow, std::span<const uint8_t> data);
  // A flow to `remote`: the socket of that family, an open stream to it, or a new one.
  // kUnsupported when there is no listener of that transport and family. TLS: with a `name` only a
  // stream of ours whose peer proved that name will do (RFC 5922).
  Result<Flow> FlowTo(TransportKind transport, const net::Endpoint& remote,
                      std::string_view name = {});
  // Whether a message to `remote` needs no new connection.
  bool IsReachable(TransportKind transport, const net::Endpoint& remote) const {
    return transport == TransportKind::kUdp || FindRemote(transport, remote) != nullptr;
  }
  // Whether a stream flow still exists (datagram flows always do).
  bool IsAlive(const Flow& flow);
  // Told once when the stream dies; no effect for datagrams.
  void Watch(const Flow& flow, FlowUser& user);
  void Unwatch(const Flow& flow, FlowUser& user);
  // RFC 5923: the peer of an accepted TLS stream listens at `port` and asks that what is for it
  // there comes by this stream; it does, for the names that its certificate holds.
  void TakeAlias(const Flow& flow, uint16_t port);
  // A TLS stream that we opened: its peer may reach us by it when we ask for that (RFC 5923 4).
  bool MayAskForAlias(const Flow& flow) const;
  // The sender on this flow was let in: the stream may stay.
  void Prove(const Flow& flow);

  const Listener& listener(const Flow& flow) const { return core_.config.listeners[flow.listener]; }
  bool HasDatagramPort(uint16_t port) const;
  bool IsOurs(const net::Endpoint& endpoint) const;  // one of our listening endpoints
  // Whether we may send there at all: not to broadcast, multicast, unspecified or ourselves.
  bool IsAllowedTarget(const net::Endpoint& endpoint) const;
  // TLS: whether the peer's certificate holds that name.
  bool IsPeerNamed(const Flow& flow, std::string_view name) {
    return flow.transport == TransportKind::kTls && streams_.IsPeerNamed(flow.stream, name);
  }
  // Ends a stream, for a peer that may not stay.
  void Hangup(const Flow& flow);
  uint32_t stream_count() const { return connections_.used_count(); }
  uint32_t stream_capacity() const { return connections_.capacity(); }
  static constexpr uint64_t bytes_per_stream() { return Pool<Connection>::bytes_per_item(); }

 private:
  struct Connection {
    TableNode<Connection> by_stream;
    TableNode<Connection> by_remote;
    TableNode<Connection> by_alias;  // linked where the peer asked for it
    net::StreamId id;
    Flow flow;
    Timer timer;
    SipTransport* transport = nullptr;
    Buffer* assembly = nullptr;  // a message that has not all arrived
    size_t scanned = 0;          // of the assembly, for the end of its header section
    size_t expected = 0;         // its size, once known
    BufferQueue queue;           // waiting for room
    List<FlowUser, &FlowUser::node> users;
    Instant last_used;
    Instant message_began;
    Instant took_last;       // something of the queue
    Instant starved_since;   // not heard for want of a buffer; none since: zero
    uint64_t name_hash = 0;  // TLS: of the name the peer had to prove; 0: none
    uint16_t alias_port = 0;
    net::WebSocketReader frames;
    bool open = false;
    bool is_starved = false;
    bool is_accepted = false;
    bool proven = false;
    bool is_upgraded = false;  // WebSocket: the handshake is done
  };
  struct Socket {
    net::SocketId id;
    net::ListenerId listener;
    net::Endpoint bind;
    TransportKind transport = TransportKind::kUdp;
    uint16_t zone = 0;
    bool open = false;
  };

  void OnDatagram(const net::DatagramInfo& info, std::span<uint8_t> data) override;
  bool OnStreamOpen(net::StreamId id, const net::StreamInfo& info) override;
  size_t OnStreamData(net::StreamId id, std::span<uint8_t> data) override;
  void OnStreamWritable(net::StreamId id) override;
  void OnStreamClosed(net::StreamId id, net::StreamClose why) override;

  bool OpenOne(uint32_t index);
  // transport_stun.cc: false when it is none.
  bool TakeStun(const Flow& flow, std::span<const uint8_t> data);
  void CloseOne(Socket& socket);
  // The listener by whose interface `remote` is reached.
  std::optional<uint8_t> ListenerFor(TransportKind transport, const net::IpAddress& remote) const;
  uint8_t ListenerOf(TransportKind transport, const net::Endpoint& local) const;
  TransportKind TransportOf(const net::StreamInfo& info) const;
  uint64_t StreamHash(net::StreamId id) const;
  uint64_t RemoteHash(TransportKind transport, const net::Endpoint& remote) const;
  Connection* Find(net::StreamId id) const;
  uint64_t NameHash(std::string_view name) const;
  // `name_hash` of 0: whoever the peer is.
  Connection* FindRemote(TransportKind transport, const net::Endpoint& remote,
                         uint64_t name_hash = 0) const;
  Connection* FindAlias(const net::Endpoint& remote, std::string_view name) const;
  Connection* AddConnection(net::StreamId id, const Flow& flow, bool open);
  void Drop(Connection& connection, bool abort);
  void Forget(Connection& connection);
  void OnTimer(Connection& connection);
  void ArmTimer(Connection& connection);
  static bool IsMessageBegun(const Connection& connection);
  static bool IsBackedUp(const Connection& connection);
  static bool IsHeldBack(const Connection& connection);
  void GoOn(Connection& connection);
  Result<void> SendByUdp(const Flow& flow, std::span<const uint8_t> data);
  Result<void> Enqueue(Connection& connection, std::span<const uint8_t> data);
  // Consumes whole messages from `data`; the count of bytes used, or nothing when the stream is
  // beyond repair (and already gone).
  std::optional<size_t> TakeMessages(Connection& connection, std::span<const uint8_t> data);
  std::optional<size_t> MessageSize(Connection& connection, std::span<const uint8_t> data,
                                    const char*& fault);
  size_t TakePiece(Connection& connection, std::span<uint8_t> data);
  static size_t NeededOf(const Connection& connection, std::span<const uint8_t> data);
  bool Keep(Connection& connection, std::span<const uint8_t> rest);
  void Starve(Connection& connection);
  void TakeKept(Connection& connection);
  // transport_websocket.cc: `data` in place; how many bytes, now at its front, must be kept, or
  // nothing when the stream is gone.
  std::optional<size_t> TakeFrames(net::StreamId id, std::span<uint8_t> data);
  std::optional<size_t> TakeHandshake(Connection& connection, std::span<uint8_t> data);
  bool OnFrame(Connection& connection, const net::WebSocketReader::Event& event);
  void TakeFramesOf(Connection& connection, std::span<uint8_t> data);
  void TakeKeptFrames(Connection& connection, Buffer* assembly);
  bool IsOriginAllowed(std::string_view origin) const;
  void Refuse(Connection& connection, const net::WebSocketRefusal& refusal);
  void SendControl(Connection& connection, net::WebSocketOpcode opcode,
                   std::span<const uint8_t> payload);
  // `data` behind a frame's header; empty when it is too large.
  std::span<const uint8_t> Framed(std::span<const uint8_t> data);

  Core& core_;
  net::DatagramService& datagrams_;
  net::StreamService& streams_;
  TransportUser& user_;
  std::span<uint8_t> frame_;  // an outgoing message behind its frame's header
  std::array<Socket, kListenerMax> sockets_;
  Pool<Connection> connections_;
  Table<Connection, &Connection::by_stream> by_stream_;
  Table<Connection, &Connection::by_remote> by_remote_;
  Table<Connection, &Connection::by_alias> by_alias_;
};

}  // namespace gh::sip
