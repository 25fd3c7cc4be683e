#include "net/dtls_service.h"

#include <algorithm>
#include <cstring>

#include "hal/rt/assert.h"

namespace gh::net {
namespace {

constexpr uint32_t kPlainMax = 16 * 1024;

uint64_t HeapBytes(uint32_t session_count, uint32_t handshake_count) {
  return 128 * 1024 + session_count * kTlsIdleHeap + handshake_count * kTlsHandshakeHeap;
}

}  // namespace

DtlsService::DtlsService(const Parts& parts, uint32_t session_count, uint32_t handshake_count)
    : lower_(parts.lower),
      loop_(parts.loop),
      heap_(parts.arena, HeapBytes(session_count, handshake_count), session_count + 1),
      environment_{heap_, parts.random, parts.clock},
      peers_(parts.arena, session_count),
      table_(parts.arena, session_count, SipKey{parts.random.U64(), parts.random.U64()}),
      scratch_(parts.arena.NewArray<uint8_t>(kPlainMax)),
      handshake_max_(handshake_count) {}

DtlsService::~DtlsService() {
  while (Peer* peer = by_use_.front()) {
    Drop(*peer);
  }
}

Result<SocketId> DtlsService::OpenDatagram(const Endpoint& local, DatagramHandler& handler) {
  if (handler_ != nullptr || endpoint_ == nullptr) {
    return Error(ErrorCode::kWrongState, "one socket, and an endpoint first");
  }
  auto socket = lower_.OpenDatagram(local, *this);
  handler_ = socket.ok() ? &handler : nullptr;
  return socket;
}

void DtlsService::CloseDatagram(SocketId socket) {
  while (Peer* peer = by_use_.front()) {
    peer->session.Close();
    Drop(*peer);
  }
  lower_.CloseDatagram(socket);
  handler_ = nullptr;
}

Result<void> DtlsService::SendDatagram(SocketId, const Endpoint& to, std::span<const uint8_t> data,
                                       const IpAddress&) {
  Peer* peer = table_.Find(to);
  if (peer == nullptr || !peer->session.is_open()) {
    return Error(ErrorCode::kUnreachable, "no DTLS session");
  }
  if (data.size() > kDatagramSizeMax - crypto::kTlsRecordOverhead - 16) {
    return ErrorCode::kTooLarge;
  }
  auto written = peer->session.Write(data);
  peer->session.Rest();
  return written.ok() ? Ok() : Result<void>(written.error());
}

void DtlsService::OnDatagram(const DatagramInfo& info, std::span<uint8_t> data) {
  Peer* peer = table_.Find(info.remote);
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
    ++counts_.refused;
    return nullptr;
  }
  if (peers_.free_count() == 0) {
    Drop(*by_use_.front());
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
  by_use_.PushBack(*peer);
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
      peer.was_open = true;
      --handshake_count_;
      ++counts_.accepted;
    }
    if (*got == 0) {
      break;
    }
    peer.last_used = loop_.now();
    by_use_.Remove(peer);
    by_use_.PushBack(peer);
    const Handle self = peers_.HandleOf(peer);
    handler_->OnDatagram(peer.info, scratch_.first(*got));
    if (peers_.Resolve(self) == nullptr) {
      return;  // the handler has closed the socket
    }
  }
  peer.session.Rest();
  ArmTimer(peer);
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
  handshake_count_ -= peer.was_open ? 0 : 1;
  loop_.timers().Cancel(peer.timer);
  table_.Remove(peer);
  by_use_.Remove(peer);
  peer.session.Reset();
  peers_.Release(&peer);
}

size_t DtlsService::Peer::OnTlsOutput(std::span<const uint8_t> bytes) {
  owner->lower_.SendDatagram(info.socket, info.remote, bytes, info.local.address)
      .ignore("a datagram that is lost is repeated");
  return bytes.size();
}

// Called by a key, outside of anything of ours.
void DtlsService::Peer::OnTlsReady() { owner->Take(*this, {}); }

}  // namespace gh::net
