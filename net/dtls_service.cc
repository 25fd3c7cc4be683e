#include "net/dtls_service.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "hal/rt/assert.h"

namespace gh::net {
namespace {

constexpr uint32_t kPlainMax = 16 * 1024;

uint64_t HeapBytes(uint32_t session_count, uint32_t handshake_count) {
  return 128 * 1024 + uint64_t{session_count} * kTlsIdleHeap +
         uint64_t{handshake_count} * kTlsHandshakeHeap;
}

}  // namespace

DtlsService::DtlsService(const Parts& parts, uint32_t session_count, uint32_t handshake_count)
    : lower_(parts.lower),
      loop_(parts.loop),
      heap_(parts.arena, HeapBytes(session_count, handshake_count),
            session_count + handshake_count + 1),
      environment_{heap_, parts.random, parts.clock},
      peers_(parts.arena, session_count + handshake_count),
      table_(parts.arena, peers_.capacity(), SipKey{parts.random.U64(), parts.random.U64()}),
      scratch_(parts.arena.NewArray<uint8_t>(kPlainMax)),
      session_max_(session_count),
      handshake_max_(handshake_count) {}

uint64_t DtlsService::ArenaBytes(uint32_t session_count, uint32_t handshake_count) {
  const uint64_t place = sizeof(Peer) + 64 + 2 * sizeof(HashNode*);
  return HeapBytes(session_count, handshake_count) + kPlainMax +
         (uint64_t{session_count} + handshake_count) * place;
}

DtlsService::~DtlsService() {
  observer_ = nullptr;
  for (List<Peer, &Peer::use_node>* list : {&by_use_, &handshakes_}) {
    while (Peer* peer = list->front()) {
      Drop(*peer);
    }
  }
}

Result<SocketId> DtlsService::OpenDatagram(const Endpoint& local, DatagramHandler& handler) {
  if (endpoint_ == nullptr || (socket_count_ > 0 && handler_ != &handler)) {
    return Error(ErrorCode::kWrongState, "one handler, and an endpoint first");
  }
  if (socket_count_ == kDtlsSocketMax) {
    return ErrorCode::kExhausted;
  }
  auto socket = lower_.OpenDatagram(local, *this);
  if (socket.ok()) {
    handler_ = &handler;
    ++socket_count_;
  }
  return socket;
}

void DtlsService::CloseDatagram(SocketId socket) {
  DropAll(socket);
  lower_.CloseDatagram(socket);
  GH_ASSERT_GT(socket_count_, 0u);
  --socket_count_;
}

void DtlsService::DropAll(SocketId socket) {
  DtlsObserver* const observer = std::exchange(observer_, nullptr);
  for (uint32_t i = 0; i < peers_.capacity(); ++i) {
    if (Peer* peer = peers_.At(i); peer != nullptr && peer->info.socket == socket) {
      peer->session.Close();
      Drop(*peer);
    }
  }
  observer_ = observer;
}

Result<void> DtlsService::SendDatagram(SocketId socket, const Endpoint& to,
                                       std::span<const uint8_t> data, const IpAddress&) {
  Peer* peer = table_.Find({socket, to});
  if (peer == nullptr || !peer->session.is_open()) {
    return Error(ErrorCode::kUnreachable, "no DTLS session");
  }
  if (data.size() > kDatagramSizeMax - crypto::kTlsRecordOverhead - 16) {
    return ErrorCode::kTooLarge;
  }
  auto written = peer->session.Write(data);
  Touch(*peer);
  peer->session.Rest();
  return written.ok() ? Ok() : Result<void>(written.error());
}

void DtlsService::OnDatagram(const DatagramInfo& info, std::span<uint8_t> data) {
  Peer* peer = table_.Find({info.socket, info.remote});
  if (peer == nullptr) {
    // A handshake record of epoch 0 (RFC 6347 section 4.1), or nothing begins.
    const bool begins = data.size() > 13 && data[0] == 22 && data[1] == 0xfe && data[3] == 0;
    peer = begins ? NewPeer(info) : nullptr;
  }
  if (peer != nullptr) {
    Take(*peer, data);
  }
}

DtlsService::Peer* DtlsService::NewPeer(const DatagramInfo& info) {
  if (handshake_count_ >= handshake_max_) {
    Peer* oldest = handshakes_.front();
    ++counts_.refused;
    if (loop_.now() < oldest->began + Duration::Milliseconds(kTlsHandshakeYieldMs)) {
      return nullptr;
    }
    Drop(*oldest);
  }
  Peer* peer = peers_.Allocate();
  GH_ASSERT(peer != nullptr);
  peer->owner = this;
  peer->info = info;
  peer->began = peer->last_used = loop_.now();
  peer->timer.Bind<&Peer::OnTimer>(peer);
  const uint32_t owner = peers_.IndexOf(*peer) + 1;
  heap_.ResetOwner(owner);
  heap_.SetOwnerLimit(owner, crypto::kTlsSessionHeapMax);
  if (table_.Insert(*peer) != HashInsert::kInserted) {
    peers_.Release(peer);
    ++counts_.refused;
    return nullptr;
  }
  handshakes_.PushBack(*peer);
  ++handshake_count_;
  std::array<uint8_t, 18> address;
  std::ranges::copy(info.remote.address.bytes, address.begin());
  address[16] = static_cast<uint8_t>(info.remote.port >> 8);
  address[17] = static_cast<uint8_t>(info.remote.port);
  if (!peer->session.Start(*endpoint_, *peer, {.server_name = {}, .heap_owner = owner}).ok() ||
      !peer->session.SetPeerAddress(address).ok()) {
    ++counts_.refused;
    Drop(*peer);
    return nullptr;
  }
  return peer;
}

// Gives the session a datagram (or none, when its timer is due) and the handler what was in it.
void DtlsService::Take(Peer& peer, std::span<const uint8_t> data) {
  std::span<const uint8_t> in = data;
  for (;;) {
    auto got = peer.session.Read(in, scratch_);
    if (!got.ok()) {
      const bool cookie = peer.session.sent_cookie();
      counts_.cookies += cookie ? 1 : 0;
      counts_.failed += !cookie && got.code() != ErrorCode::kClosed ? 1 : 0;
      Drop(peer);
      return;
    }
    if (peer.session.is_open() && !peer.was_open) {
      OnOpened(peer);
    }
    if (*got == 0) {
      break;
    }
    Touch(peer);
    const Handle self = peers_.HandleOf(peer);
    handler_->OnDatagram(peer.info, scratch_.first(*got));
    if (peers_.Resolve(self) == nullptr) {
      return;  // the handler has closed the socket
    }
  }
  peer.session.Rest();
  ArmTimer(peer);
}

void DtlsService::OnOpened(Peer& peer) {
  peer.was_open = true;
  handshakes_.Remove(peer);
  --handshake_count_;
  ++counts_.accepted;
  peer.info.asked_name = peer.session.asked_name();
  if (peers_.used_count() - handshake_count_ > session_max_) {
    by_use_.front()->session.Close();
    Drop(*by_use_.front());
  }
  peer.last_used = loop_.now();
  by_use_.PushBack(peer);
}

void DtlsService::Touch(Peer& peer) {
  peer.last_used = loop_.now();
  by_use_.Remove(peer);
  by_use_.PushBack(peer);
}

void DtlsService::ArmTimer(Peer& peer) {
  const Duration patience =
      peer.was_open ? Duration::Seconds(kDtlsIdleSeconds) : Duration::Milliseconds(kTlsHandshakeMs);
  const Instant end = (peer.was_open ? peer.last_used : peer.began) + patience;
  loop_.timers().Arm(peer.timer, std::min(end, peer.session.timer()));
}

void DtlsService::OnPeerTimer(Peer& peer) {
  const Instant now = loop_.now();
  if (peer.was_open ? now >= peer.last_used + Duration::Seconds(kDtlsIdleSeconds)
                    : now >= peer.began + Duration::Milliseconds(kTlsHandshakeMs)) {
    counts_.failed += peer.was_open ? 0 : 1;
    peer.session.Close();
    Drop(peer);
    return;
  }
  Take(peer, {});
}

void DtlsService::Drop(Peer& peer) {
  const DatagramInfo info = peer.info;
  const bool was_open = peer.was_open;
  handshake_count_ -= was_open ? 0 : 1;
  loop_.timers().Cancel(peer.timer);
  table_.Remove(peer);
  (was_open ? by_use_ : handshakes_).Remove(peer);
  peer.session.Reset();
  peers_.Release(&peer);
  if (was_open && observer_ != nullptr) {
    observer_->OnDtlsClosed(info);
  }
}

size_t DtlsService::Peer::OnTlsOutput(std::span<const uint8_t> bytes) {
  owner->lower_.SendDatagram(info.socket, info.remote, bytes, info.local.address)
      .ignore("a datagram that is lost is repeated");
  return bytes.size();
}

// Called by a key, outside of anything of ours.
void DtlsService::Peer::OnTlsReady() { owner->Take(*this, {}); }

}  // namespace gh::net
