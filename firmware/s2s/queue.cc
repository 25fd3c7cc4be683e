// Stanzas on their way out: which stream they take, how they wait, and how they come back to their
// senders when there is no way.
#include <utility>

#include "firmware/s2s/federation.h"

namespace gh::s2s {

using xmpp::Node;

uint64_t Federation::RouteKey(std::string_view local, std::string_view remote) const {
  return SipHash13(key_, local) * 0x9e3779b97f4a7c15u ^ SipHash13(key_, remote);
}

Link* Federation::FindRoute(std::string_view local, std::string_view remote) {
  Link* link = by_route_.Find(RouteKey(local, remote));
  return link != nullptr && link->pair().local == local && link->pair().remote == remote ? link
                                                                                         : nullptr;
}

bool Federation::AddRoute(Link& link) {
  if (link.route_node.linked) {
    return true;
  }
  link.route_key = RouteKey(link.pair().local.view(), link.pair().remote.view());
  return by_route_.Insert(link) == HashInsert::kInserted;
}

void Federation::RemoveRoute(Link& link) {
  if (link.route_node.linked) {
    by_route_.Remove(link);
  }
}

// `local` is a host of rooms, which has no other name towards other servers.
void Federation::HoldUntil(std::string_view local, std::string_view remote, uint64_t commit) {
  Taken refusal = Taken::kYes;
  if (Link* link = WayTo(local, remote, refusal)) {
    Silence(*link, commit);
  }
}

void Federation::Silence(Link& link, uint64_t commit) {
  for (Link* each : {&link, CarrierOf(link)}) {
    if (each == nullptr || each->doomed) {
      continue;
    }
    each->silent_until = std::max(each->silent_until, commit);
    if (!each->silent_node.linked()) {
      silent_.PushBack(*each);
    }
  }
}

bool Federation::IsSilent(const Link& link) const { return link.silent_until > engine_.durable(); }

bool Federation::Enqueue(Link& link, std::span<const uint8_t> stanza) {
  uint8_t head[4];
  ByteWriter size(head);
  size.U32Be(static_cast<uint32_t>(stanza.size()));
  if (link.queued == kQueueStanzaMax || link.queue.size + stanza.size() + 4 > kQueueBytesMax ||
      chains_.free_count() < (stanza.size() + 4) / xmpp::ChainPool::kBlockBytes + 2) {
    return false;
  }
  (void)chains_.Append(link.queue, head);
  (void)chains_.Append(link.queue, stanza);
  ++link.queued;
  return true;
}

// Whole stanzas, while the stream takes them: those that wait here can still come back.
void Federation::Drain(Link& link) {
  if (Link* carrier = CarrierOf(link)) {
    HandOver(link, *carrier);
    return;
  }
  while (link.queued > 0 && link.unsent.empty() && !link.doomed && !IsSilent(link)) {
    uint8_t head[4];
    (void)chains_.Copy(link.queue, 0, head);
    const uint32_t size = ByteReader(head).U32Be();
    GH_ASSERT_LE(size, scratch_.size());
    if (!MaySend(link, size)) {
      return;
    }
    const auto stanza = scratch_.first(size);
    (void)chains_.Copy(link.queue, 4, stanza);
    chains_.Drop(link.queue, 4 + size);
    --link.queued;
    SendCounted(link, stanza);
  }
}

// --- Not delivered -------------------------------------------------------------------------------

// Streams that do not count stanzas: those that the other side's TCP has not acknowledged are kept,
// in the order they went. Every byte of them was at least one on the wire.
void Federation::KeepSent(Link& link, std::span<const uint8_t> stanza) {
  uint8_t head[4];
  ByteWriter size(head);
  size.U32Be(static_cast<uint32_t>(stanza.size()));
  if (link.unacknowledged.size + stanza.size() + 4 > kQueueBytesMax ||
      chains_.free_count() < (stanza.size() + 4) / xmpp::ChainPool::kBlockBytes + 2) {
    return;  // it is not known whether it arrives
  }
  (void)chains_.Append(link.unacknowledged, head);
  (void)chains_.Append(link.unacknowledged, stanza);
  ++link.kept;
  if (!link.kept_node.linked()) {
    kept_.PushBack(link);
  }
  if (!kept_timer_.armed()) {
    timers_.Arm(kept_timer_, Duration::Milliseconds(kDeliveryMilliseconds));
  }
}

void Federation::ForgetDelivered(Link& link) {
  if (!link.connected || !link.kept_node.linked()) {
    return;
  }
  const size_t undelivered = host_.UndeliveredBytes(link.stream) + link.unsent.size;
  while (link.kept > 0) {
    uint8_t head[4];
    (void)chains_.Copy(link.unacknowledged, 0, head);
    const uint32_t size = ByteReader(head).U32Be();
    const size_t behind = link.unacknowledged.size - (size + 4) - (link.kept - 1) * size_t{4};
    if (behind < undelivered) {
      return;
    }
    chains_.Drop(link.unacknowledged, 4 + size);
    --link.kept;
  }
  kept_.Remove(link);
}

void Federation::OnDeliveryTimer() {
  for (Link& link : kept_) {
    ForgetDelivered(link);
  }
  if (!kept_.empty()) {
    timers_.Arm(kept_timer_, Duration::Milliseconds(kDeliveryMilliseconds));
  }
}

// They were handed to a stream that closes in order, or will be counted from now on.
void Federation::ForgetSent(Link& link) {
  if (link.kept_node.linked()) {
    kept_.Remove(link);
    chains_.Free(link.unacknowledged);
    link.kept = 0;
  }
}

// --- Back ----------------------------------------------------------------------------------------

void Federation::ReturnAll(Link& link) {
  if (link.kept_node.linked()) {
    kept_.Remove(link);
    link.kept = 0;
  }
  ReturnEach(link, link.unacknowledged);
  link.unconfirmed = 0;
  ReturnEach(link, link.queue);
  link.queued = 0;
}

void Federation::ReturnEach(Link& link, xmpp::Chain& stanzas) {
  while (!stanzas.empty()) {
    uint8_t head[4];
    (void)chains_.Copy(stanzas, 0, head);
    const uint32_t size = ByteReader(head).U32Be();
    const auto stanza = scratch_.first(size);
    (void)chains_.Copy(stanzas, 4, stanza);
    chains_.Drop(stanzas, 4 + size);
    Return(link, stanza);
  }
}

Node* Federation::Reread(std::span<const uint8_t> stanza, uint32_t reader) {
  xmpp::XmlReader& own = own_readers_[reader];
  own.Begin(true);
  own.SetStanzaMax(xmpp::kStanzaMax);
  std::span<const uint8_t> in = stanza;
  return own.Read(in) == xmpp::XmlEvent::kStanza ? &own.root() : nullptr;
}

void Federation::Return(Link& link, std::span<const uint8_t> stanza) {
  if (const Node* lost = Reread(stanza)) {
    AnswerError(*lost, link.condition);
  }
}

}  // namespace gh::s2s
