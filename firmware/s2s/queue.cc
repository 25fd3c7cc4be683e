// Stanzas on their way out: which stream they take, how they wait, and how they come back to their
// senders when there is no way.
#include <utility>

#include "firmware/s2s/federation.h"

namespace gh::s2s {

using xmpp::Node;
using xmpp::WriteAttribute;
namespace ns = xmpp::ns;

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

xmpp::Remote::Taken Federation::SendRemote(std::string_view local, std::string_view remote,
                                           std::span<const uint8_t> stanza) {
  if (!config_.enabled || remote.empty()) {
    return Taken::kUnknown;
  }
  if (!config_.policy.Allows(remote, Direction::kOutgoing)) {
    ++counters_.forbidden;
    return Taken::kForbidden;
  }
  Link* link = FindRoute(local, remote);
  if (link == nullptr) {
    link = NewOutgoing(local, remote, LinkKind::kOutgoing);
    if (link == nullptr) {
      return Taken::kFull;
    }
    const bool is_queued = Enqueue(*link, stanza);
    BeginLookup(*link);
    return is_queued ? Taken::kYes : Taken::kFull;
  }
  if (link->state == LinkState::kBackingOff) {
    return Taken::kUnknown;
  }
  if (link->state != LinkState::kReady || IsSilent(*link) || !link->unsent.empty() ||
      !link->queue.empty() || !MaySend(*link, stanza.size())) {
    return Enqueue(*link, stanza) ? Taken::kYes : Taken::kFull;
  }
  SendCounted(*link, stanza);
  return Taken::kYes;
}

bool Federation::HoldUntil(std::string_view local, std::string_view remote, uint64_t commit) {
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

Node* Federation::Reread(std::span<const uint8_t> stanza) {
  xmpp::XmlReader& reader = own_reader_[0];
  reader.Begin(true);
  reader.SetStanzaMax(xmpp::kStanzaMax);
  std::span<const uint8_t> in = stanza;
  return reader.Read(in) == xmpp::XmlEvent::kStanza ? &reader.root() : nullptr;
}

// RFC 6120 section 8.3: the sender hears it; answers are not answered.
void Federation::Return(Link& link, std::span<const uint8_t> stanza) {
  const Node* lost = Reread(stanza);
  if (lost == nullptr) {
    return;
  }
  const std::string_view type = lost->Get("type");
  const bool is_presence = lost->name == "presence";
  if (type == "error" || type == "result" || (is_presence && !type.empty())) {
    return;
  }
  const auto from = xmpp::Address::Parse(lost->Get("to"));
  const auto to = xmpp::Address::Parse(lost->Get("from"));
  if (!from.ok() || !to.ok() || !engine_.Serves(to->domain()) || engine_.Serves(from->domain())) {
    return;
  }
  ByteWriter out(scratch_);
  out.Char('<');
  out.Text(lost->name);
  WriteAttribute("from", from->full(), out);
  WriteAttribute("to", to->full(), out);
  if (const xmpp::Attribute* id = lost->Find("id")) {
    WriteAttribute("id", id->value, out);
  }
  out.Text(" type='error'>");
  xmpp::WriteError(link.condition == "remote-server-not-found" ? "cancel" : "wait", link.condition,
                   out);
  out.Text("</");
  out.Text(lost->name);
  out.Char('>');
  Node* error = out.ok() ? Reread(out.written()) : nullptr;
  if (error == nullptr) {
    return;
  }
  ++counters_.returned;
  error->space = ns::kClient;
  for (Node* child = error->first; child != nullptr; child = child->next) {
    child->space = ns::kClient;  // <error/>; what it holds has a name space of its own
  }
  engine_.OnRemote(*from, *to, *error);
}

}  // namespace gh::s2s
