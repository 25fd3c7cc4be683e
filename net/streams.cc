#include "net/streams.h"

#include <algorithm>
#include <cstring>

#include "net/checksum.h"
#include "net/lwip_glue.h"

extern "C" {
#include "arch/gh_hooks.h"
#include "lwip/ip.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/tcp.h"
}

namespace gh::net {
namespace {

constexpr uint32_t kDispatchMax = 512;   // connections told about per turn
constexpr uint32_t kHeldFirst = 2048;    // first size of a buffer for what is not consumed
constexpr uint32_t kPrefetchMin = 1000;  // connections from which on a batch is prefetched
constexpr size_t kCacheLine = 64;
constexpr uint32_t kTcpHeaderSize = 20;
constexpr uint16_t kSegmentSizeDefault = 536;
constexpr uint8_t kOptionMss = 2;
constexpr uint32_t kMssOptionSize = 4;
constexpr uint8_t kSourceArg = 0;  // lwIP's ext arg that holds the Source

ip_addr_t ZonedFor(netif* netif, const IpAddress& address) {
  ip_addr_t out = ToLwip(address);
  if (address.is_v6()) {
    ip6_addr_assign_zone(&out.u_addr.ip6, IP6_UNKNOWN, netif);
  }
  return out;
}

// The peer's segment size in a SYN's options, 536 when it names none.
uint16_t SegmentSizeOf(std::span<const uint8_t> options) {
  for (size_t at = 0; at < options.size();) {
    const uint8_t kind = options[at];
    if (kind == 0) {
      break;
    }
    if (kind == 1) {
      ++at;
      continue;
    }
    if (options.size() - at < 2 || options[at + 1] < 2 || options[at + 1] > options.size() - at) {
      break;
    }
    if (kind == kOptionMss && options[at + 1] == kMssOptionSize) {
      return LoadBe16(&options[at + 2]);
    }
    at += options[at + 1];
  }
  return kSegmentSizeDefault;
}

// Writes the IP length and the checksums of a TCP packet without payload at `view`.
void FinishTcpPacket(uint8_t* frame, const PacketView& view, uint32_t tcp_size) {
  uint8_t* ip = frame + view.l3;
  if (view.is_v6) {
    StoreBe16(ip + 4, static_cast<uint16_t>(tcp_size));
    ip[6] = kProtocolTcp;
    ip[7] = 64;
  } else {
    StoreBe16(ip + 2, static_cast<uint16_t>(20 + tcp_size));
    StoreBe16(ip + 6, 0);
    ip[8] = 64;
    StoreBe16(ip + 10, 0);
    const auto sum = static_cast<uint16_t>(~ChecksumSum({ip, 20}));
    std::memcpy(ip + 10, &sum, 2);
  }
  uint8_t* tcp = frame + view.l4;
  StoreBe16(tcp + 16, 0);
  const auto addresses =
      view.is_v6 ? std::span<const uint8_t>(ip + 8, 32) : std::span<const uint8_t>(ip + 12, 8);
  const uint16_t start = PseudoHeaderSum(addresses, kProtocolTcp, tcp_size);
  const auto sum = static_cast<uint16_t>(~ChecksumSum({tcp, tcp_size}, start));
  std::memcpy(tcp + 16, &sum, 2);
}

void WriteSynHeader(uint8_t* tcp, uint32_t sequence, uint32_t acknowledgement, uint8_t flags,
                    uint16_t window, uint16_t segment_size) {
  StoreBe32(tcp + 4, sequence);
  StoreBe32(tcp + 8, acknowledgement);
  tcp[12] = static_cast<uint8_t>((kTcpHeaderSize + kMssOptionSize) / 4 << 4);
  tcp[13] = flags;
  StoreBe16(tcp + 14, window);
  StoreBe16(tcp + 18, 0);
  tcp[20] = kOptionMss;
  tcp[21] = kMssOptionSize;
  StoreBe16(tcp + 22, segment_size);
}

// Whether a quarter is left for what comes in: a connection whose bytes find no place is lost, one
// that has to wait before it may say more is not.
bool LeavesRoom(const Heap& heap, uint32_t size) {
  return heap.used_bytes() + size <= heap.capacity() / 4 * 3;
}

}  // namespace

// What lwIP calls. Nothing here calls a handler.
struct StreamCallbacks {
  static Streams& Self() { return *internal::g_lwip_active.instance->owner().streams_; }

  static err_t Received(void* arg, tcp_pcb*, pbuf* p, err_t) {
    auto& connection = *static_cast<Streams::Connection*>(arg);
    if (p == nullptr) {
      connection.got_fin = true;
    } else if (connection.received == nullptr) {
      connection.received = p;
    } else {
      pbuf_cat(connection.received, p);
    }
    connection.unread += p == nullptr ? 0 : p->tot_len;
    Self().Ready(connection);
    return ERR_OK;
  }

  static err_t Sent(void* arg, tcp_pcb* pcb, u16_t) {
    auto& connection = *static_cast<Streams::Connection*>(arg);
    if (connection.wants_room && tcp_sndbuf(pcb) >= kStreamQueueMax / 2) {
      connection.has_room = true;
      Self().Ready(connection);
    }
    return ERR_OK;
  }

  static void Failed(void* arg, err_t error) {
    if (arg == nullptr) {
      return;
    }
    auto& connection = *static_cast<Streams::Connection*>(arg);
    connection.pcb = nullptr;
    const bool connecting = connection.state == Streams::State::kConnecting;
    connection.state = Streams::State::kGone;
    if (error == ERR_RST) {
      connection.why = connecting ? StreamClose::kRefused : StreamClose::kReset;
    } else {
      connection.why = error == ERR_CLSD ? StreamClose::kByPeer : StreamClose::kTimeout;
    }
    Self().Ready(connection);
  }

  static err_t Connected(void* arg, tcp_pcb*, err_t) {
    auto& connection = *static_cast<Streams::Connection*>(arg);
    connection.state = Streams::State::kOpening;
    Self().Ready(connection);
    return ERR_OK;
  }

  static err_t Accepted(void* arg, tcp_pcb* pcb, err_t error) {
    Streams& self = Self();
    auto& listener = *static_cast<Streams::Listener*>(arg);
    if (error != ERR_OK || pcb == nullptr) {
      ++self.refused_count_;
      return ERR_VAL;
    }
    const uint8_t port_index = static_cast<Stack::Port*>(ip_current_input_netif()->state)->index;
    // The firewall may have changed since the request.
    const bool welcome = self.MayStay(port_index, {FromLwip(pcb->local_ip), pcb->local_port},
                                      {FromLwip(pcb->remote_ip), pcb->remote_port});
    Streams::Connection* connection = welcome ? self.connections_.Allocate() : nullptr;
    if (connection == nullptr) {
      ++self.refused_count_;
      tcp_arg(pcb, nullptr);
      return ERR_MEM;  // lwIP resets it
    }
    connection->pcb = pcb;
    connection->handler = listener.handler;
    connection->listener = static_cast<uint16_t>(&listener - self.listeners_.data());
    connection->listener_serial = listener.serial;
    ++listener.connection_count;
    connection->state = Streams::State::kOpening;
    connection->info.kind = listener.options.kind;
    connection->keeps = listener.options.keep_until_read;
    connection->info.accepted = true;
    connection->info.remote = {FromLwip(pcb->remote_ip), pcb->remote_port};
    connection->info.local = {FromLwip(pcb->local_ip), pcb->local_port};
    connection->info.port_index = port_index;
    if (listener.options.no_delay) {
      tcp_nagle_disable(pcb);
    }
    self.SetUp(*connection);
    self.Ready(*connection);
    return ERR_OK;
  }

  static err_t PassiveOpen(u8_t, tcp_pcb_listen*, tcp_pcb* pcb) {
    Streams::Source* source = Self().SourceOf(FromLwip(pcb->remote_ip));
    if (source == nullptr) {
      return ERR_MEM;
    }
    ++source->count;
    tcp_ext_arg_set(pcb, kSourceArg, source);
    tcp_ext_arg_set_callbacks(pcb, kSourceArg, &kAcceptedArgs);
    return ERR_OK;
  }

  static void Destroyed(u8_t, void* data) {
    if (data != nullptr) {
      Self().ReleaseSource(static_cast<Streams::Source*>(data));
    }
  }

  // What is only remembered gives way to whoever comes: it is no connection of its source any more.
  static void TimeWait(tcp_pcb* pcb) {
    if (void* source = tcp_ext_arg_get(pcb, kSourceArg); source != nullptr) {
      tcp_ext_arg_set(pcb, kSourceArg, nullptr);
      Self().ReleaseSource(static_cast<Streams::Source*>(source));
    }
  }

  static const tcp_ext_arg_callbacks kListenerArgs;
  static const tcp_ext_arg_callbacks kAcceptedArgs;
};

const tcp_ext_arg_callbacks StreamCallbacks::kListenerArgs = {nullptr, PassiveOpen};
const tcp_ext_arg_callbacks StreamCallbacks::kAcceptedArgs = {Destroyed, nullptr};

Streams::Streams(Stack& stack, Arena& arena, const Capacity& capacity, crypto::Random& random)
    : stack_(stack),
      connections_(arena, capacity.connection_count),
      sources_(arena,
               capacity.connection_count + capacity.time_wait_count + capacity.half_open_count),
      source_table_(arena, sources_.capacity(), SipKey{random.U64(), random.U64()}),
      cookies_(SipKey{random.U64(), random.U64()}),
      half_open_max_(capacity.half_open_count),
      source_connection_max_(capacity.source_connection_max) {
  // Twice as many buckets as connections: chains stay at one or two.
  const uint32_t bucket_count = std::bit_ceil(
      2 * (capacity.connection_count + capacity.time_wait_count + capacity.half_open_count));
  LwipScope scope(stack_.lwip_);
  gh_tcp.buckets = arena.NewArray<tcp_pcb*>(bucket_count).data();
  gh_tcp.bucket_mask = bucket_count - 1;
  gh_tcp.close_ticks = static_cast<uint32_t>(kCloseDeadlineMs / (2 * TCP_TMR_INTERVAL));
  GH_ASSERT_EQ(tcp_ext_arg_alloc_id(), kSourceArg);
}

Streams::~Streams() = default;

IpAddress Streams::SourceKey(const IpAddress& address) {
  IpAddress key = address;
  if (key.is_v6()) {
    std::fill(key.bytes.begin() + 8, key.bytes.end(), uint8_t{0});
  }
  return key;
}

Streams::Source* Streams::SourceOf(const IpAddress& address) {
  const IpAddress key = SourceKey(address);
  Source* source = source_table_.Find(key);
  if (source != nullptr) {
    return source;
  }
  source = sources_.Allocate();
  if (source == nullptr) {
    return nullptr;
  }
  source->key = key;
  if (source_table_.Insert(*source) != HashInsert::kInserted) {
    sources_.Release(source);
    return nullptr;
  }
  return source;
}

void Streams::ReleaseSource(Source* source) {
  GH_ASSERT_GT(source->count, 0u);
  if (--source->count == 0) {
    source_table_.Remove(*source);
    sources_.Release(source);
  }
}

Result<ListenerId> Streams::Listen(const Endpoint& local, const StreamOptions& options,
                                   StreamHandler& handler) {
  if (local.address.is_none() || local.port == 0) {
    return Error(ErrorCode::kInvalidArgument, "a listener needs an address family and a port");
  }
  if (options.kind != StreamKind::kTcp) {
    return Error(ErrorCode::kUnsupported, "TLS streams are made above TCP");
  }
  const auto free = std::find_if(listeners_.begin(), listeners_.end(),
                                 [](const Listener& l) { return l.handler == nullptr; });
  if (free == listeners_.end()) {
    return ErrorCode::kExhausted;
  }
  LwipScope scope(stack_.lwip_);
  tcp_pcb* pcb = tcp_new_ip_type(local.address.is_v6() ? IPADDR_TYPE_V6 : IPADDR_TYPE_V4);
  if (pcb == nullptr) {
    return ErrorCode::kExhausted;
  }
  const ip_addr_t address = ToLwip(local.address);
  if (tcp_bind(pcb, &address, local.port) != ERR_OK) {
    tcp_abort(pcb);
    return Error(ErrorCode::kAlreadyExists, "the port is in use");
  }
  tcp_ext_arg_set_callbacks(pcb, kSourceArg, &StreamCallbacks::kListenerArgs);
  ip_set_option(pcb, SOF_KEEPALIVE);
  tcp_pcb* listening = tcp_listen_with_backlog(pcb, 255);
  if (listening == nullptr) {
    tcp_abort(pcb);
    return ErrorCode::kExhausted;
  }
  // The bound on half-open connections is the stack's (HandleSyn), not a listener's.
  reinterpret_cast<tcp_pcb_listen*>(listening)->backlog = UINT32_MAX;
  Listener& listener = *free;
  listener = {&handler, local, options, listening, 0, UINT32_MAX, ++listener_serial_};
  tcp_arg(listening, &listener);
  tcp_accept(listening, StreamCallbacks::Accepted);
  return ListenerId{static_cast<uint16_t>(free - listeners_.begin())};
}

void Streams::CloseListener(ListenerId id) {
  if (id.value >= listeners_.size() || listeners_[id.value].handler == nullptr) {
    return;
  }
  LwipScope scope(stack_.lwip_);
  tcp_close(listeners_[id.value].pcb);
  listeners_[id.value] = Listener();
}

void Streams::SetListenerLimit(ListenerId id, uint32_t count) {
  GH_ASSERT_LT(id.value, listeners_.size());
  listeners_[id.value].connection_max = count;
}

Streams::Listener* Streams::ListenerFor(uint16_t port, const IpAddress& local) {
  for (Listener& listener : listeners_) {
    if (listener.handler != nullptr && listener.local.port == port &&
        listener.local.address.family == local.family &&
        (listener.local.address.is_unspecified() || listener.local.address == local)) {
      return &listener;
    }
  }
  return nullptr;
}

void Streams::SetUp(Connection& connection) {
  tcp_pcb* pcb = connection.pcb;
  ip_set_option(pcb, SOF_KEEPALIVE);
  tcp_arg(pcb, &connection);
  tcp_recv(pcb, StreamCallbacks::Received);
  tcp_sent(pcb, StreamCallbacks::Sent);
  tcp_err(pcb, StreamCallbacks::Failed);
}

Result<StreamId> Streams::Connect(const Endpoint& to, const StreamOptions& options,
                                  StreamHandler& handler) {
  if (to.address.is_unspecified() || to.port == 0) {
    return ErrorCode::kInvalidArgument;
  }
  if (options.kind != StreamKind::kTcp) {
    return Error(ErrorCode::kUnsupported, "TLS streams are made above TCP");
  }
  Connection* connection = connections_.Allocate();
  if (connection == nullptr) {
    return ErrorCode::kExhausted;
  }
  LwipScope scope(stack_.lwip_);
  netif* out = to.address.is_v6() ? stack_.RouteIpv6(options.local.address, to.address)
                                  : stack_.RouteIpv4(options.local.address, to.address);
  if (out == nullptr) {
    connections_.Release(connection);
    return ErrorCode::kUnreachable;
  }
  tcp_pcb* pcb = tcp_new_ip_type(to.address.is_v6() ? IPADDR_TYPE_V6 : IPADDR_TYPE_V4);
  if (pcb == nullptr) {
    connections_.Release(connection);
    return ErrorCode::kExhausted;
  }
  connection->pcb = pcb;
  connection->handler = &handler;
  connection->is_known = true;
  SetUp(*connection);
  if (options.no_delay) {
    tcp_nagle_disable(pcb);
  }
  const ip_addr_t address = ToLwip(to.address);
  if (options.local.port != 0) {
    const ip_addr_t local = ZonedFor(out, options.local.address);
    if (gh_tcp_find(&local, options.local.port, &address, to.port) != nullptr) {
      tcp_err(pcb, nullptr);
      tcp_abort(pcb);
      connections_.Release(connection);
      return ErrorCode::kAlreadyExists;
    }
    // Not by tcp_bind, which refuses a port that is listened at; the pair of ends is unique.
    ip_addr_copy(pcb->local_ip, local);
    pcb->local_port = options.local.port;
  }
  const err_t error = tcp_connect(pcb, &address, to.port, StreamCallbacks::Connected);
  if (error != ERR_OK) {
    tcp_err(pcb, nullptr);
    tcp_abort(pcb);
    connections_.Release(connection);
    return error == ERR_RTE ? ErrorCode::kUnreachable : ErrorCode::kExhausted;
  }
  connection->info.kind = options.kind;
  connection->keeps = options.keep_until_read;
  connection->info.remote = to;
  connection->info.local = {FromLwip(pcb->local_ip), pcb->local_port};
  connection->info.port_index = static_cast<Stack::Port*>(out->state)->index;
  stack_.FlushSoon();
  return connections_.HandleOf(*connection);
}

Result<void> Streams::SendStream(StreamId id, std::span<const uint8_t> data) {
  Connection* connection = connections_.Resolve(id);
  if (connection == nullptr || connection->pcb == nullptr || connection->state != State::kOpen) {
    return ErrorCode::kClosed;
  }
  if (data.size() > kStreamQueueMax) {
    return ErrorCode::kTooLarge;
  }
  if (data.empty()) {
    return Ok();
  }
  LwipScope scope(stack_.lwip_);
  const auto size = static_cast<u16_t>(data.size());
  if (tcp_sndbuf(connection->pcb) < size || !LeavesRoom(stack_.lwip_.memory().heap(), size) ||
      tcp_write(connection->pcb, data.data(), size, TCP_WRITE_FLAG_COPY) != ERR_OK) {
    connection->wants_room = true;
    if (tcp_sndqueuelen(connection->pcb) == 0) {
      // No acknowledgement will come to wake us: memory is short elsewhere. Ask again by timer.
      if (!connection->starved_node.linked()) {
        starved_.PushBack(*connection);
      }
    }
    return ErrorCode::kWouldBlock;
  }
  if (!connection->dirty_node.linked()) {
    dirty_.PushBack(*connection);
    stack_.FlushSoon();
  }
  return Ok();
}

size_t Streams::SendRoom(StreamId id) const {
  const Connection* connection = connections_.Resolve(id);
  if (connection == nullptr || connection->pcb == nullptr || connection->state != State::kOpen) {
    return 0;
  }
  return tcp_sndqueuelen(connection->pcb) + 4 >= TCP_SND_QUEUELEN ? 0 : tcp_sndbuf(connection->pcb);
}

size_t Streams::UndeliveredBytes(StreamId id) const {
  const Connection* connection = connections_.Resolve(id);
  return connection == nullptr || connection->pcb == nullptr
             ? 0
             : size_t{TCP_SND_BUF} - tcp_sndbuf(connection->pcb);
}

// lwIP finishes the connection alone: sends what is queued and FIN, answers the peer, within the
// deadline of gh_tcp_detach.
void Streams::Detach(Connection& connection) {
  tcp_pcb* pcb = connection.pcb;
  connection.pcb = nullptr;
  while (connection.unread > 0) {
    const auto count = static_cast<u16_t>(std::min<uint32_t>(connection.unread, UINT16_MAX));
    tcp_recved(pcb, count);  // closing with unread bytes would be a reset
    connection.unread -= count;
  }
  tcp_arg(pcb, nullptr);
  tcp_recv(pcb, nullptr);
  tcp_sent(pcb, nullptr);
  tcp_err(pcb, nullptr);
  if (pcb->state != SYN_SENT) {
    gh_tcp_detach(pcb);
  }
  if (tcp_close(pcb) != ERR_OK) {
    tcp_abort(pcb);
  }
}

void Streams::ResumeStream(StreamId id) {
  Connection* connection = connections_.Resolve(id);
  if (connection != nullptr && connection->held != nullptr) {
    connection->resumes = true;
    Ready(*connection);
  }
}

void Streams::CloseStream(StreamId id) {
  Connection* connection = connections_.Resolve(id);
  if (connection == nullptr || connection->state == State::kGone) {
    return;
  }
  LwipScope scope(stack_.lwip_);
  if (connection->pcb != nullptr) {
    Detach(*connection);
  }
  Finish(*connection, StreamClose::kByUs);
}

void Streams::AbortStream(StreamId id) {
  Connection* connection = connections_.Resolve(id);
  if (connection == nullptr || connection->state == State::kGone) {
    return;
  }
  LwipScope scope(stack_.lwip_);
  if (connection->pcb != nullptr) {
    tcp_err(connection->pcb, nullptr);
    tcp_abort(connection->pcb);
    connection->pcb = nullptr;
  }
  Finish(*connection, StreamClose::kByUs);
}

void Streams::Finish(Connection& connection, StreamClose why) {
  connection.state = State::kGone;
  connection.why = why;
  Ready(connection);
}

const StreamInfo* Streams::InfoOf(StreamId id) const {
  const Connection* connection = connections_.Resolve(id);
  return connection == nullptr ? nullptr : &connection->info;
}

void Streams::Ready(Connection& connection) {
  if (!connection.ready_node.linked()) {
    ready_.PushBack(connection);
    stack_.FlushSoon();
  }
}

bool Streams::Dispatch() {
  for (uint32_t i = 0; i < kDispatchMax; ++i) {
    Connection* connection = ready_.PopFront();
    if (connection == nullptr) {
      return false;
    }
    DispatchOne(*connection);
  }
  return !ready_.empty();
}

void Streams::DispatchOne(Connection& connection) {
  const StreamId id = connections_.HandleOf(connection);
  bool refused = false;
  if (connection.state == State::kOpening) {
    connection.state = State::kOpen;
    connection.is_known = true;
    refused = !connection.handler->OnStreamOpen(id, connection.info);
    if (refused) {
      AbortStream(id);
    }
  }
  if (connection.state == State::kOpen && Offer(connection) && connection.got_fin) {
    EndByPeer(connection);
  }
  if (connection.state == State::kOpen && connection.wants_room && connection.has_room) {
    connection.wants_room = connection.has_room = false;
    connection.handler->OnStreamWritable(id);
  }
  if (connection.state != State::kGone) {
    return;
  }
  GH_ASSERT(connection.pcb == nullptr);
  StreamHandler& handler = *connection.handler;
  const StreamClose why = connection.why;
  DropReceived(connection);
  if (connection.ready_node.linked()) {
    ready_.Remove(connection);
  }
  if (connection.dirty_node.linked()) {
    dirty_.Remove(connection);
  }
  if (connection.starved_node.linked()) {
    starved_.Remove(connection);
  }
  if (connection.listener != UINT16_MAX &&
      listeners_[connection.listener].serial == connection.listener_serial) {
    --listeners_[connection.listener].connection_count;
  }
  const bool tell = connection.is_known && !refused;
  connections_.Release(&connection);
  if (tell) {
    handler.OnStreamClosed(id, why);
  }
}

// The peer has said all it had to say: what is left is offered a last time, or waits.
void Streams::EndByPeer(Connection& connection) {
  if (connection.held != nullptr && (connection.keeps || !OfferHeld(connection))) {
    return;
  }
  LwipScope scope(stack_.lwip_);
  if (connection.pcb != nullptr) {
    Detach(connection);
  }
  Finish(connection, StreamClose::kByPeer);
}

// Offers what came in; false when the connection went away meanwhile.
bool Streams::Offer(Connection& connection) {
  const bool resumes = std::exchange(connection.resumes, false);
  if (resumes && connection.held != nullptr && !OfferHeld(connection)) {
    return false;
  }
  while (connection.received != nullptr && connection.state == State::kOpen) {
    if (!(connection.held != nullptr ? OfferHeld(connection) : OfferReceived(connection))) {
      return false;
    }
  }
  return connection.state == State::kOpen;
}

pbuf* Streams::TakeFirst(Connection& connection) {
  pbuf* first = connection.received;
  connection.received = first->next;
  if (first->next != nullptr) {
    first->next = nullptr;
    first->tot_len = first->len;
  }
  return first;
}

bool Streams::OfferReceived(Connection& connection) {
  LwipScope scope(stack_.lwip_);
  pbuf* p = TakeFirst(connection);
  const std::span<uint8_t> data(static_cast<uint8_t*>(p->payload), p->len);
  size_t count = 0;
  if (!data.empty()) {
    count = connection.handler->OnStreamData(connections_.HandleOf(connection), data);
    GH_ASSERT_LE(count, data.size());
  }
  bool open = connection.state == State::kOpen;
  if (open) {
    Consumed(connection, count);
    open = count == data.size() || Hold(connection, data.subspan(count));
  }
  pbuf_free(p);
  return open;
}

bool Streams::OfferHeld(Connection& connection) {
  LwipScope scope(stack_.lwip_);
  while (connection.received != nullptr) {
    pbuf* p = TakeFirst(connection);
    const bool kept = Hold(connection, {static_cast<uint8_t*>(p->payload), p->len});
    pbuf_free(p);
    if (!kept) {
      return false;
    }
  }
  const size_t count = connection.handler->OnStreamData(connections_.HandleOf(connection),
                                                        {connection.held, connection.held_size});
  GH_ASSERT_LE(count, connection.held_size);
  if (connection.state != State::kOpen) {
    return false;
  }
  Consumed(connection, count);
  connection.held_size -= static_cast<uint32_t>(count);
  if (connection.held_size == 0) {
    stack_.lwip_.memory().heap().Free(connection.held);
    connection.held = nullptr;
    connection.held_capacity = 0;
  } else {
    std::memmove(connection.held, connection.held + count, connection.held_size);
  }
  return true;
}

// Keeps bytes out of their frame. False: no memory, and the connection is gone.
bool Streams::Hold(Connection& connection, std::span<const uint8_t> bytes) {
  const auto needed = static_cast<uint32_t>(connection.held_size + bytes.size());
  if (needed > connection.held_capacity) {
    const uint32_t capacity = std::max(kHeldFirst, std::bit_ceil(needed));
    void* grown = stack_.lwip_.memory().heap().Reallocate(connection.held, capacity);
    if (grown == nullptr) {
      tcp_err(connection.pcb, nullptr);
      tcp_abort(connection.pcb);
      connection.pcb = nullptr;
      Finish(connection, StreamClose::kNoResource);
      return false;
    }
    connection.held = static_cast<uint8_t*>(grown);
    connection.held_capacity = capacity;
  }
  if (!bytes.empty()) {
    std::memcpy(connection.held + connection.held_size, bytes.data(), bytes.size());
  }
  connection.held_size = needed;
  return true;
}

void Streams::Consumed(Connection& connection, size_t count) {
  if (count > 0 && connection.pcb != nullptr) {
    GH_ASSERT_LE(count, connection.unread);
    connection.unread -= static_cast<uint32_t>(count);
    tcp_recved(connection.pcb, static_cast<u16_t>(count));
  }
}

void Streams::DropReceived(Connection& connection) {
  LwipScope scope(stack_.lwip_);
  if (connection.received != nullptr) {
    pbuf_free(connection.received);
    connection.received = nullptr;
  }
  stack_.lwip_.memory().heap().Free(connection.held);
  connection.held = nullptr;
}

void Streams::FlushOutput() {
  LwipScope scope(stack_.lwip_);
  while (Connection* connection = dirty_.PopFront()) {
    if (connection->pcb != nullptr) {
      tcp_output(connection->pcb);
    }
  }
}

bool Streams::RunSlowTimer(uint32_t tick_count) {
  for (Connection* connection = tick_count > 0 ? starved_.PopFront() : nullptr;
       connection != nullptr; connection = starved_.PopFront()) {
    connection->has_room = true;
    Ready(*connection);
  }
  LwipScope scope(stack_.lwip_);
  return gh_tcp_slow_slice(tick_count, kSlowSlice) != 0;
}

bool Streams::IsConnected(Stack::Port& port, const Endpoint& local, const Endpoint& remote) const {
  LwipScope scope(stack_.lwip_);
  const ip_addr_t here = ZonedFor(port.netif, local.address);
  const ip_addr_t there = ZonedFor(port.netif, remote.address);
  return gh_tcp_find(&here, local.port, &there, remote.port) != nullptr;
}

// A client that uses its port again before TIME-WAIT is over: its request ends it if it begins
// behind all that was sent before (RFC 1122 section 4.2.2.13, RFC 6191). lwIP would only
// acknowledge it.
bool Streams::MakesWay(Stack::Port& port, const Endpoint& local, const Endpoint& remote,
                       const hal::Frame& frame, const PacketView& view) {
  if ((view.tcp_flags & (kTcpSyn | kTcpAck | kTcpRst | kTcpFin)) != kTcpSyn) {
    return false;
  }
  LwipScope scope(stack_.lwip_);
  const ip_addr_t here = ZonedFor(port.netif, local.address);
  const ip_addr_t there = ZonedFor(port.netif, remote.address);
  tcp_pcb* pcb = gh_tcp_find(&here, local.port, &there, remote.port);
  const uint32_t sequence = LoadBe32(frame.data() + view.l4 + 4);
  if (pcb->state != TIME_WAIT || !TCP_SEQ_GT(sequence, pcb->rcv_nxt)) {
    return false;
  }
  tcp_abort(pcb);  // says nothing to the peer in this state
  return true;
}

// Three passes, each one touching what the one before has fetched: bucket, control block, ours.
void Streams::Prefetch(Stack::Port& port, std::span<hal::Frame* const> frames,
                       std::span<const PacketView> views, std::span<const ErrorCode> parsed) const {
  if (frames.size() < 2 || connection_count() < kPrefetchMin) {
    return;  // nothing to overlap with, or all of it is in the cache anyway
  }
  LwipScope scope(stack_.lwip_);
  std::array<tcp_pcb**, kReceiveBatch> buckets;
  uint32_t count = 0;
  for (size_t i = 0; i < frames.size(); ++i) {
    const PacketView& view = views[i];
    if (parsed[i] == ErrorCode::kOk && view.protocol == kProtocolTcp && !view.is_fragment) {
      const ip_addr_t local = ZonedFor(port.netif, view.Destination(frames[i]->data()));
      const ip_addr_t remote = ZonedFor(port.netif, view.Source(frames[i]->data()));
      const uint32_t hash =
          gh_lwip_tcp_hash(&local, view.destination_port, &remote, view.source_port);
      buckets[count] = &gh_tcp.buckets[hash & gh_tcp.bucket_mask];
      __builtin_prefetch(buckets[count++]);
    }
  }
  for (uint32_t i = 0; i < count; ++i) {
    const auto* pcb = reinterpret_cast<const uint8_t*>(*buckets[i]);
    for (size_t at = 0; pcb != nullptr && at < sizeof(tcp_pcb); at += kCacheLine) {
      __builtin_prefetch(pcb + at, 1);
    }
  }
  for (uint32_t i = 0; i < count; ++i) {
    if (*buckets[i] == nullptr || (*buckets[i])->callback_arg == nullptr) {
      continue;
    }
    const auto* ours = static_cast<const uint8_t*>((*buckets[i])->callback_arg);
    for (size_t at = 0; at <= sizeof(Connection); at += kCacheLine) {
      __builtin_prefetch(ours + at, 1);
    }
    if ((*buckets[i])->gh_prev != nullptr) {
      __builtin_prefetch(&(*buckets[i])->gh_prev->next, 1);
    }
    if ((*buckets[i])->next != nullptr) {
      __builtin_prefetch(&(*buckets[i])->next->gh_prev, 1);
    }
  }
}

void Streams::Input(Stack::Port& port, hal::Frame* frame, const PacketView& view) {
  const Endpoint local{view.Destination(frame->data()), view.destination_port};
  const Endpoint remote{view.Source(frame->data()), view.source_port};
  if (IsConnected(port, local, remote) && !MakesWay(port, local, remote, *frame, view)) {
    stack_.GiveToLwip(port, frame);
    return;
  }
  if (!stack_.firewall_.Allows(Transport::kTcp, view.destination_port, port.index)) {
    stack_.Drop(
        frame,
        (view.tcp_flags & kTcpSyn) != 0 ? DropReason::kClosedPort : DropReason::kNoConnection,
        &view);
    return;
  }
  // A segment that proves a cookie was a request before, and has taken from the rate then.
  const bool proves = (view.tcp_flags & kTcpSyn) == 0;
  if (proves ? !MayStay(port.index, local, remote)
             : !stack_.Admit(port, frame, view, FilterProtocol::kTcp)) {
    if (proves) {
      stack_.Drop(frame, DropReason::kNoConnection, &view);
    }
    return;
  }
  Listener* listener = ListenerFor(view.destination_port, local.address);
  if ((view.tcp_flags & (kTcpSyn | kTcpAck | kTcpRst | kTcpFin)) == kTcpSyn) {
    if (listener == nullptr) {
      stack_.Drop(frame, DropReason::kClosedPort, &view);
      return;
    }
    HandleSyn(port, frame, view, *listener);
    return;
  }
  HandleStray(port, frame, view, listener);
}

bool Streams::MayStay(uint8_t port_index, const Endpoint& local, const Endpoint& remote) const {
  const Arrival arrival{FilterProtocol::kTcp, remote.address, local.port, port_index};
  return stack_.firewall_.Allows(Transport::kTcp, local.port, port_index) &&
         stack_.firewall_.Tolerates(arrival, stack_.loop_.now());
}

void Streams::AbortUnwelcome() {
  for (uint32_t i = 0; i < connections_.capacity(); ++i) {
    const Connection* connection = connections_.At(i);
    if (connection != nullptr && connection->info.accepted && connection->pcb != nullptr &&
        !MayStay(connection->info.port_index, connection->info.local, connection->info.remote)) {
      AbortStream(connections_.HandleOf(*connection));
    }
  }
}

void Streams::HandleSyn(Stack::Port& port, hal::Frame* frame, const PacketView& view,
                        Listener& listener) {
  if (listener.connection_count >= listener.connection_max) {
    stack_.Drop(frame, DropReason::kListenerLimit, &view);
    return;
  }
  const Source* source = source_table_.Find(SourceKey(view.Source(frame->data())));
  if (source != nullptr && source->count >= source_connection_max_) {
    stack_.Drop(frame, DropReason::kSourceLimit, &view);
    return;
  }
  if (connections_.free_count() == 0) {
    ++refused_count_;
    stack_.Drop(frame, DropReason::kNoResource, &view);
    return;
  }
  uint32_t half_open = 0;
  {
    LwipScope scope(stack_.lwip_);
    half_open = gh_tcp.half_open_count;
  }
  if (half_open >= half_open_max_) {
    SendCookie(port, frame, view);
    return;
  }
  stack_.GiveToLwip(port, frame);
}

// Turns the SYN's own frame into the answer.
void Streams::SendCookie(Stack::Port& port, hal::Frame* frame, const PacketView& view) {
  uint8_t* bytes = frame->data();
  uint8_t* tcp = bytes + view.l4;
  const uint16_t start = PseudoHeaderSum(
      {bytes + view.l3 + (view.is_v6 ? 8 : 12), view.is_v6 ? 32u : 8u}, kProtocolTcp, view.l4_size);
  if ((frame->flags & hal::kFrameChecksumGood) == 0 &&
      ChecksumSum({tcp, view.l4_size}, start) != 0xffff) {
    stack_.Drop(frame, DropReason::kBadChecksum, &view);
    return;
  }
  const size_t header_size = kTcpHeaderSize + kMssOptionSize;
  if (view.l4 + header_size > frame->size + frame->tailroom() ||
      (view.is_v6 && view.l4 != view.l3 + 40)) {
    stack_.Drop(frame, DropReason::kNoResource, &view);
    return;
  }
  const Endpoint local{view.Destination(bytes), view.destination_port};
  const Endpoint remote{view.Source(bytes), view.source_port};
  const uint16_t segment_size =
      SegmentSizeOf({tcp + kTcpHeaderSize, view.tcp_header_size - kTcpHeaderSize});
  const uint32_t peer_sequence = LoadBe32(tcp + 4);
  const uint32_t cookie =
      cookies_.Make(local, remote, peer_sequence, segment_size, stack_.loop_.now());
  std::swap_ranges(bytes, bytes + 6, bytes + 6);
  const uint32_t address_size = view.is_v6 ? 16 : 4;
  uint8_t* addresses = bytes + view.l3 + (view.is_v6 ? 8 : 12);
  std::swap_ranges(addresses, addresses + address_size, addresses + address_size);
  std::swap_ranges(tcp, tcp + 2, tcp + 2);
  const auto own_size = static_cast<uint16_t>(port.netif->mtu - (view.is_v6 ? 60 : 40));
  WriteSynHeader(tcp, cookie, peer_sequence + 1, kTcpSyn | kTcpAck, TCP_WND, own_size);
  FinishTcpPacket(bytes, view, header_size);
  frame->size = static_cast<uint16_t>(view.l4 + header_size);
  frame->flags = 0;
  ++cookie_sent_count_;
  stack_.QueueFrame(port, frame);
}

// A segment of no connection: the proof of a cookie, or something from before a restart.
void Streams::HandleStray(Stack::Port& port, hal::Frame* frame, const PacketView& view,
                          Listener* listener) {
  const uint8_t* tcp = frame->data() + view.l4;
  const bool is_ack = (view.tcp_flags & (kTcpSyn | kTcpAck | kTcpRst)) == kTcpAck;
  if (listener != nullptr && is_ack && connections_.free_count() > 0) {
    const Endpoint local{view.Destination(frame->data()), view.destination_port};
    const Endpoint remote{view.Source(frame->data()), view.source_port};
    const Source* source = source_table_.Find(SourceKey(remote.address));
    const auto size = cookies_.Check(local, remote, LoadBe32(tcp + 4) - 1, LoadBe32(tcp + 8) - 1,
                                     stack_.loop_.now());
    const bool within = (source == nullptr || source->count < source_connection_max_) &&
                        listener->connection_count < listener->connection_max;
    if (size.has_value() && within && ReplaySyn(port, *frame, view, *size)) {
      ++cookie_accepted_count_;
      stack_.GiveToLwip(port, frame);
      return;
    }
  }
  if ((view.tcp_flags & kTcpRst) != 0 || !stack_.reset_bucket_.Take(stack_.loop_.now())) {
    stack_.Drop(frame, DropReason::kNoConnection, &view);
    return;
  }
  stack_.firewall_.CountDrop(DropReason::kNoConnection);
  stack_.GiveToLwip(port, frame);  // answers with a reset, so that the peer starts anew at once
}

// Gives lwIP the SYN that a proven cookie stands for; its answer is known to the peer already.
bool Streams::ReplaySyn(Stack::Port& port, const hal::Frame& frame, const PacketView& view,
                        uint16_t segment_size) {
  hal::Frame* syn = stack_.frames_.Allocate();
  if (syn == nullptr) {
    return false;
  }
  const uint32_t header_size = kTcpHeaderSize + kMssOptionSize;
  std::memcpy(syn->data(), frame.data(), view.l4 + kTcpHeaderSize);
  syn->size = static_cast<uint16_t>(view.l4 + header_size);
  uint8_t* tcp = syn->data() + view.l4;
  const uint32_t cookie = LoadBe32(tcp + 8) - 1;
  WriteSynHeader(tcp, LoadBe32(tcp + 4) - 1, 0, kTcpSyn, LoadBe16(tcp + 14), segment_size);
  FinishTcpPacket(syn->data(), view, header_size);
  replay_isn_ = cookie;
  replays_ = swallows_output_ = true;
  stack_.GiveToLwip(port, syn);
  replays_ = swallows_output_ = false;
  const Endpoint local{view.Destination(frame.data()), view.destination_port};
  const Endpoint remote{view.Source(frame.data()), view.source_port};
  return IsConnected(port, local, remote);
}

void Streams::OnUnreachable(Stack::Port& port, const hal::Frame& frame, const PacketView& view) {
  // RFC 1122 4.2.3.9: protocol, port unreachable and prohibited end a connect; others are soft.
  if (view.icmp_code != 2 && view.icmp_code != 3 && view.icmp_code != 10 && view.icmp_code != 13) {
    return;
  }
  const auto bytes = frame.bytes().subspan(view.l4 + 8, view.l4_size - 8u);
  PacketView quoted;
  if (!ParseQuotedPacket(bytes, false, quoted).ok() || quoted.protocol != kProtocolTcp) {
    return;
  }
  LwipScope scope(stack_.lwip_);
  const ip_addr_t local = ZonedFor(port.netif, quoted.Source(bytes.data()));
  const ip_addr_t remote = ZonedFor(port.netif, quoted.Destination(bytes.data()));
  tcp_pcb* pcb = gh_tcp_find(&local, quoted.source_port, &remote, quoted.destination_port);
  // The quoted sequence number must be the SYN's: a blind guesser does not know it.
  if (pcb == nullptr || pcb->state != SYN_SENT || bytes.size() < quoted.l4 + 8u ||
      LoadBe32(bytes.data() + quoted.l4 + 4) != pcb->lastack || pcb->callback_arg == nullptr) {
    return;
  }
  auto& connection = *static_cast<Connection*>(pcb->callback_arg);
  tcp_err(pcb, nullptr);
  tcp_abandon(pcb, 0);
  connection.pcb = nullptr;
  Finish(connection, StreamClose::kRefused);
}

}  // namespace gh::net

extern "C" void gh_lwip_time_wait(tcp_pcb* pcb) { gh::net::StreamCallbacks::TimeWait(pcb); }
