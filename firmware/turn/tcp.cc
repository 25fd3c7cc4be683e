// Relays that speak TCP to peers (RFC 6062): Connect, ConnectionBind, ConnectionAttempt.
//
// A link is one connection with a peer and, once the client has bound it, the client's connection
// for its data. Bytes pass between the two in the server (server.h), not here. A peer that is a
// relay of ours is joined without a connection on the wire: two links that name each other, one for
// each allocation. Fault model: a peer that does not answer and a client that does not bind are
// given up after kLinkSeconds; whatever ends one side of a link ends the other.
#include <algorithm>

#include "firmware/turn/engine.h"

namespace gh::turn {

PeerLink* Engine::NewLink(Allocation& allocation, const net::Endpoint& peer) {
  PeerLink* link = allocation.link_count < kLinksMax ? links_.Allocate() : nullptr;
  if (link == nullptr) {
    return nullptr;
  }
  do {
    link->id = ports_.random.U32();
  } while (link->id == 0 || by_link_.Find(link->id) != nullptr);
  if (by_link_.Insert(*link) != HashInsert::kInserted) {
    links_.Release(link);
    return nullptr;
  }
  link->engine = this;
  link->owner = &allocation;
  link->peer = peer;
  link->next = allocation.links;
  allocation.links = link;
  ++allocation.link_count;
  link->deadline.Set(
      [](Timer&, void* context) {
        auto& self = *static_cast<PeerLink*>(context);
        self.engine->EndLink(self);
      },
      link);
  ports_.timers.Arm(link->deadline, Duration::Seconds(int64_t{kLinkSeconds}));
  return link;
}

// Both sides, and the joined one's; a Connect that waits is answered.
void Engine::EndLink(PeerLink& link) {
  if (link.state == LinkState::kConnecting) {
    AnswerConnect(link, 447);
  }
  Allocation& allocation = *link.owner;
  for (PeerLink** at = &allocation.links; *at != nullptr; at = &(*at)->next) {
    if (*at == &link) {
      *at = link.next;
      --allocation.link_count;
      break;
    }
  }
  by_link_.Remove(link);
  ports_.timers.Cancel(link.deadline);
  PeerLink* const joined = link.joined;
  const net::StreamId far = link.far;
  const net::StreamId near = link.near;
  links_.Release(&link);
  for (const net::StreamId stream : {far, near}) {
    if (stream.valid()) {
      ports_.streams.CloseClient(stream);
    }
  }
  if (joined != nullptr) {
    joined->joined = nullptr;
    EndLink(*joined);  // which has none itself any more
  }
}

void Engine::ReleaseLinks(Allocation& allocation) {
  while (allocation.links != nullptr) {
    allocation.links->state = LinkState::kBound;  // nobody is left to be answered
    EndLink(*allocation.links);
  }
}

void Engine::OnConnect(const Request& request) {
  Allocation& allocation = *request.allocation;
  const auto peer = request.message.XorAddress(kXorPeerAddress);
  if (!allocation.is_tcp || !peer.ok() || peer->port == 0) {
    Refuse(request, 400);
    return;
  }
  if (const uint16_t code = CheckPeer(allocation, *peer); code != 0) {
    Refuse(request, code);
    return;
  }
  for (const PeerLink* link = allocation.links; link != nullptr; link = link->next) {
    if (link->peer == *peer) {
      Refuse(request, 446);
      return;
    }
  }
  PeerLink* link = NewLink(allocation, *peer);
  if (link == nullptr) {
    Refuse(request, 508);
    return;
  }
  link->identity.user = request.identity.user;
  link->identity.integrity = request.identity.integrity;
  link->identity.key_size = request.identity.key_size;
  std::ranges::copy(request.identity.key.Expose(), link->identity.key.Expose().begin());
  link->transaction = request.message.transaction();
  if (const net::IpAddress* own = policy_.OwnRelay(peer->address); own != nullptr) {
    JoinRelays(*link, *own);
    return;
  }
  const uint32_t family = peer->address.is_v6() ? kIpv6Index : kIpv4Index;
  const auto far =
      ports_.streams.ConnectPeer(Bound(family, allocation.relay_port[family]), *peer, link->id);
  if (!far.ok()) {
    EndLink(*link);
    return;
  }
  link->far = *far;
}

// The peer is a relay of ours: its client hears of us as of any peer.
void Engine::JoinRelays(PeerLink& link, const net::IpAddress& own) {
  const uint32_t family = own.is_v6() ? kIpv6Index : kIpv4Index;
  Allocation* other = OwnerOf({own, link.peer.port});
  const uint16_t port = link.owner->relay_port[family];
  const net::Endpoint shown = link.peer.address == own ? Bound(family, port) : Shown(family, port);
  if (other == nullptr || !other->is_tcp || other == link.owner ||
      FindPermission(*other, shown.address) == nullptr) {
    EndLink(link);
    return;
  }
  PeerLink* far = NewLink(*other, shown);
  if (far == nullptr) {
    EndLink(link);
    return;
  }
  far->state = LinkState::kWaiting;
  far->joined = &link;
  link.joined = far;
  AnswerConnect(link, 0);
  TellAttempt(*far);
}

void Engine::AnswerConnect(PeerLink& link, uint16_t error) {
  link.state = LinkState::kWaiting;
  Builder builder(out_, error == 0 ? Class::kSuccess : Class::kError, Method::kConnect,
                  link.transaction);
  if (error == 0) {
    builder.U32(kConnectionId, link.id);
  } else {
    builder.Error(error);
    ports_.observer.OnRefused(link.owner->path.remote, link.identity.user.view(), error);
  }
  builder.Sign(link.identity.integrity, link.identity.key_bytes());
  builder.Fingerprint();
  SendToClient(link.owner->path, builder.Finish());
}

void Engine::TellAttempt(const PeerLink& link) {
  TransactionId transaction;
  ports_.random.Fill(transaction);
  Builder builder(out_, Class::kIndication, Method::kConnectionAttempt, transaction);
  builder.U32(kConnectionId, link.id);
  builder.XorAddress(kXorPeerAddress, link.peer);
  builder.Fingerprint();
  SendToClient(link.owner->path, builder.Finish());
}

// On a connection of its own, which then carries data alone.
void Engine::OnConnectionBind(const Request& request) {
  const auto id = request.message.U32(kConnectionId);
  PeerLink* link = id.ok() ? by_link_.Find(*id) : nullptr;
  if (request.path.transport != ClientTransport::kStream || request.allocation != nullptr ||
      link == nullptr || link->state != LinkState::kWaiting) {
    Refuse(request, 400);
    return;
  }
  if (!IsOwner(request.identity, *link->owner)) {
    Refuse(request, 441);
    return;
  }
  Builder builder = Reply(request);
  builder.U32(kConnectionId, link->id);
  SendReply(request, builder);
  link->state = LinkState::kBound;
  link->near = request.path.stream;
  ports_.timers.Cancel(link->deadline);
  ports_.streams.CarryData(link->near, link->id);
  media::Meter* const up = &link->owner->up;
  media::Meter* const down = &link->owner->down;
  if (link->joined == nullptr) {
    ports_.streams.Join(link->near, up, link->far, down);
  } else if (link->joined->state == LinkState::kBound) {
    ports_.streams.Join(link->near, up, link->joined->near, &link->joined->owner->up);
  }
}

uint32_t Engine::OnPeerArrived(const net::Endpoint& relay, const net::Endpoint& peer,
                               net::StreamId far) {
  Allocation* allocation = OwnerOf(relay);
  if (allocation == nullptr || !allocation->is_tcp || !policy_.Allows(peer.address) ||
      FindPermission(*allocation, peer.address) == nullptr) {
    ++counters_.dropped_permission;
    return 0;
  }
  PeerLink* link = NewLink(*allocation, peer);
  if (link == nullptr) {
    return 0;
  }
  link->far = far;
  link->state = LinkState::kWaiting;
  TellAttempt(*link);
  return link->id;
}

bool Engine::OnPeerConnected(uint32_t id) {
  PeerLink* link = by_link_.Find(id);
  if (link == nullptr) {
    return false;
  }
  ports_.timers.Arm(link->deadline, Duration::Seconds(int64_t{kLinkSeconds}));
  AnswerConnect(*link, 0);
  return true;
}

void Engine::OnLinkClosed(uint32_t id) {
  if (PeerLink* link = by_link_.Find(id); link != nullptr) {
    EndLink(*link);
  }
}

}  // namespace gh::turn
