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

bool Federation::HoldUntil(std::string_view local, std::string_view remote, uint64_t commit) {
  // Where a stanza may take another way than its names say, the disk is waited for.
  if (config_.by_edge || config_.emails || PartnerOf(remote) != kNoPartner) {
    return false;
  }
  Link* link = FindRoute(local, remote);
  if (link == nullptr) {
    return false;
  }
  link->silent_until = std::max(link->silent_until, commit);
  if (!link->silent_node.linked()) {
    silent_.PushBack(*link);
  }
  return true;
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

// --- Back ----------------------------------------------------------------------------------------

void Federation::ReturnAll(Link& link) {
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
