#include "firmware/s2s/federation.h"

#include <algorithm>
#include <utility>

#include "firmware/s2s/tree.h"

namespace gh::s2s {

using xmpp::Node;
using xmpp::WriteAttribute;
using xmpp::XmlEvent;
namespace ns = xmpp::ns;

namespace {

constexpr size_t kPieceMax = 8192;  // given to the network at a time
// What the headers of servers declare; dialback's prefix is part of XEP-0220.
constexpr std::string_view kPrimer =
    "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' "
    "xmlns:db='jabber:server:dialback'>";

uint64_t ParserHeapBytes(uint32_t readers) {
  return uint64_t{readers} * xmpp::kParserHeapUsual + 4 * xmpp::kParserHeapMax;
}

}  // namespace

// Servers' stanzas are in their stream's name space, which means what clients' does.
void TakeAsClients(Node& root) {
  for (Node* at = &root; at != nullptr; at = NextInTree(at, root)) {
    if (at->space == "jabber:server" || at->space == kComponentSpace) {
      at->space = ns::kClient;
    }
  }
}

Capacity Capacity::For(uint32_t sessions) {
  Capacity c;
  c.links = std::clamp(sessions / 16, 32u, 1024u);
  c.readers = std::clamp(c.links / 8, 8u, 64u);
  c.unproven_readers = std::clamp(c.links / 8, 8u, 64u);
  c.lookups = std::clamp(c.links / 4, 16u, 128u);
  c.blocks = c.links * 64 + 8 * 1024;
  return c;
}

uint64_t Capacity::ArenaBytes() const {
  return xmpp::ChainPool::ArenaBytes(blocks) +
         uint64_t{links} * (Pool<Link>::bytes_per_item() + 64) +
         uint64_t{lookups} * Pool<Lookup>::bytes_per_item() +
         uint64_t{unproven_readers} *
             (xmpp::XmlReader::ArenaBytes(xmpp::XmlLimits::Unproven()) + 64) +
         uint64_t{readers + 2} * (xmpp::XmlReader::ArenaBytes(xmpp::XmlLimits()) + 64) +
         uint64_t{readers + unproven_readers + 2} * sizeof(HeapOwner) +
         ParserHeapBytes(readers + unproven_readers + 2) + 2 * xmpp::kOutputMax +
         2 * EmailNames::ArenaBytes() + sizeof(Federation) + 8 * 1024;
}

Federation::Federation(const Parts& parts, const Capacity& capacity)
    : timers_(parts.timers),
      random_(parts.random),
      resolver_(parts.resolver),
      engine_(parts.engine),
      host_(parts.host),
      observer_(parts.observer),
      key_{parts.random.U64(), parts.random.U64()},
      chains_(parts.arena, capacity.blocks),
      links_(parts.arena, capacity.links),
      by_stream_(parts.arena, capacity.links, SipKey{}),
      by_route_(parts.arena, capacity.links, SipKey{}),  // keys are hashes of ours
      lookups_(parts.arena, capacity.lookups),
      parser_heap_(parts.arena, ParserHeapBytes(capacity.readers + capacity.unproven_readers + 2),
                   capacity.readers + capacity.unproven_readers + 2),
      own_readers_(parts.arena.NewArray<xmpp::XmlReader>(2)),
      names_in_(parts.arena, parts.engine.directory()),
      names_out_(parts.arena, parts.engine.directory()),
      renamed_(parts.arena.NewArray<uint8_t>(xmpp::kOutputMax)),
      scratch_(parts.arena.NewArray<uint8_t>(xmpp::kOutputMax)) {
  InitReaders(parts.arena, readers_, capacity.readers, 0, xmpp::XmlLimits());
  InitReaders(parts.arena, unproven_readers_, capacity.unproven_readers, capacity.readers,
              xmpp::XmlLimits::Unproven());
  for (uint32_t i = 0; i < own_readers_.size(); ++i) {
    own_readers_[i].Init(parts.arena, parser_heap_,
                         capacity.readers + capacity.unproven_readers + i, random_,
                         xmpp::XmlLimits());
    own_readers_[i].SetPrimer(kPrimer);
  }
  settle_timer_.Bind<&Federation::Settle>(this);
  tick_timer_.Bind<&Federation::OnTick>(this);
  rate_timer_.Bind<&Federation::OnRate>(this);
  kept_timer_.Bind<&Federation::OnDeliveryTimer>(this);
}

void Federation::InitReaders(Arena& arena, ReaderPool& pool, uint32_t count, uint32_t first_owner,
                             const xmpp::XmlLimits& limits) {
  pool.all = arena.NewArray<xmpp::XmlReader>(count);
  pool.free = arena.NewArray<uint16_t>(count);
  pool.free_count = count;
  for (uint32_t i = 0; i < count; ++i) {
    pool.all[i].Init(arena, parser_heap_, first_owner + i, random_, limits);
    pool.all[i].SetPrimer(kPrimer);
    pool.free[i] = static_cast<uint16_t>(count - 1 - i);
  }
}

Federation::~Federation() {
  timers_.Cancel(settle_timer_);
  timers_.Cancel(tick_timer_);
  timers_.Cancel(rate_timer_);
  timers_.Cancel(kept_timer_);
  for (uint32_t i = 0; i < links_.capacity(); ++i) {
    if (Link* link = links_.At(i)) {
      timers_.Cancel(link->timer);
      if (link->lookup != nullptr) {
        lookups_.Release(link->lookup);
      }
    }
  }
  for (auto readers : {readers_.all, unproven_readers_.all, own_readers_}) {
    for (xmpp::XmlReader& reader : readers) {
      reader.~XmlReader();
    }
  }
}

void Federation::Apply(const Config& config) {
  const bool keeps_partners = config.partners == config_.partners &&
                              config.by_edge == config_.by_edge &&
                              config.enabled == config_.enabled;
  config_ = config;
  for (uint32_t i = 0; i < links_.capacity(); ++i) {
    Link* link = links_.At(i);
    if (link == nullptr || link->doomed) {
      continue;
    }
    if (IsPartner(*link)) {
      if (!keeps_partners) {
        Finish(*link, "reset", "settings have changed");
      }
      continue;
    }
    const bool is_served = link->pair().local.empty() || Serves(link->pair().local.view());
    const bool is_open = link->kind == LinkKind::kIncoming || link->state == LinkState::kReady;
    if (!config.enabled || !is_served) {
      Finish(*link, "host-gone", "the domain is not served any more");
    } else if (config.security == Security::kRequired && is_open && !link->secure) {
      Finish(*link, "reset", "streams without TLS are not allowed any more");
    } else if (link->state == LinkState::kBackingOff) {
      Doom(*link, "settings have changed");
    }
  }
  if ((config.enabled || config.partner_count > 0) && !tick_timer_.armed()) {
    timers_.Arm(tick_timer_, Duration::Seconds(kTickSeconds));
  }
  Settle();
  KeepTrunk();
  Settle();
}

// A stream with a word about it; an attempt without, and without another.
void Federation::Finish(Link& link, std::string_view condition, const char* reason) {
  if (link.kind == LinkKind::kIncoming || link.state == LinkState::kReady) {
    StreamError(link, condition, reason);
  } else {
    Doom(link, reason);
  }
}

void Federation::Stop() {
  config_.enabled = false;
  config_.partner_count = 0;  // nobody is let in any more
  (void)CloseAll("the system stops");
}

uint32_t Federation::CloseAll(const char* reason) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < links_.capacity(); ++i) {
    if (Link* link = links_.At(i); link != nullptr && !link->doomed) {
      Finish(*link, "system-shutdown", reason);
      ++count;
    }
  }
  Settle();
  return count;
}

uint32_t Federation::Disconnect(std::string_view remote) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < links_.capacity(); ++i) {
    Link* link = links_.At(i);
    if (link != nullptr && !link->doomed && (remote.empty() || link->pair().remote == remote)) {
      Finish(*link, "reset", "closed by an administrator");
      ++count;
    }
  }
  Settle();
  return count;
}

// --- Connections ---------------------------------------------------------------------------------

bool Federation::Attach(Link& link, net::StreamId stream) {
  link.stream = stream;
  link.stream_key = KeyOf(stream);
  link.connected = by_stream_.Insert(link) == HashInsert::kInserted;
  link.closing = false;
  return link.connected;
}

// The connection is not this link's any more.
void Federation::Detach(Link& link) {
  if (link.connected) {
    ReturnReader(link);
    by_stream_.Remove(link);
    link.connected = false;
    chains_.Free(link.unsent);
  }
}

bool Federation::OnOpen(net::StreamId stream, const net::Endpoint& remote, bool secure, Door door) {
  // Some room stays for those that are proved, and for streams of ours.
  const bool is_wanted = config_.enabled || door == Door::kComponents;
  Link* link =
      is_wanted && unproven_incoming_ < links_.capacity() / 3 ? links_.Allocate() : nullptr;
  if (link == nullptr) {
    ++counters_.refused;
    return false;
  }
  link->owner = this;
  link->remote = remote;
  link->secure = secure;
  link->door = door;
  link->pair_count = 1;
  link->used = timers_.now();
  if (!Attach(*link, stream)) {
    links_.Release(link);
    return false;
  }
  ++unproven_incoming_;
  Arm(*link, Duration::Seconds(kUnprovenSeconds));
  return true;
}

void Federation::OnConnected(net::StreamId stream, bool secure) {
  Link* link = Find(stream);
  if (link == nullptr || link->doomed) {
    return;
  }
  const bool is_ours = link->kind != LinkKind::kIncoming;
  if (link->state != LinkState::kSecuring && link->state != LinkState::kConnecting) {
    return;
  }
  link->secure = secure;
  link->state = LinkState::kOpening;
  if (is_ours && secure && (config_.requires_certificate || IsPartner(*link)) &&
      !host_.IsProved(stream, link->pair().remote.view())) {
    AttemptFailed(*link, "its certificate is not good for the domain");
  } else if (is_ours) {
    WriteHeader(*link);
  }
  Settle();
}

size_t Federation::OnData(net::StreamId stream, std::span<const uint8_t> data) {
  std::span<const uint8_t> in = data;
  for (;;) {
    Link* link = Find(stream);
    if (link == nullptr || link->doomed || link->closing || link->state == LinkState::kSecuring) {
      in = {};
      break;
    }
    if (!in.empty() && IsTooFast(*link)) {
      break;
    }
    if (link->reader == nullptr) {
      while (!in.empty() && (in[0] == ' ' || in[0] == '\t' || in[0] == '\r' || in[0] == '\n')) {
        in = in.subspan(1);
      }
      if (in.empty() || !LendReader(*link)) {
        break;
      }
    }
    const size_t before = in.size();
    const XmlEvent event = link->reader->Read(in);
    link->elements_left = link->unproven ? link->reader->elements_left() : link->elements_left;
    link->used = timers_.now();
    if (!TakeUnproven(*link, before - in.size())) {
      continue;
    }
    if (event == XmlEvent::kMore) {
      if (link->reader->is_at_rest() && link->state != LinkState::kOpening) {
        ReturnReader(*link);
      }
      break;
    }
    OnEvent(*link, event);
  }
  Settle();
  return data.size() - in.size();
}

bool Federation::TakeUnproven(Link& link, size_t bytes) {
  if (!link.unproven) {
    return true;
  }
  link.unproven_bytes += static_cast<uint32_t>(bytes);
  if (link.unproven_bytes <= xmpp::kUnprovenBytes) {
    return true;
  }
  StreamError(link, "policy-violation", "too much before it is proved");
  return false;
}

void Federation::OnEvent(Link& link, XmlEvent event) {
  switch (event) {
    case XmlEvent::kHeader:
      OnHeader(link, link.reader->root());
      return;
    case XmlEvent::kStanza:
      if (link.state == LinkState::kReady) {
        Arm(link, Duration::Seconds(kStanzaSeconds));  // the next may have begun
      }
      OnElement(link, link.reader->root());
      return;
    case XmlEvent::kEnd:
      if (link.kind != LinkKind::kIncoming && link.state != LinkState::kReady) {
        AttemptFailed(link, "it closed the stream");
        return;
      }
      CloseStream(link);
      Doom(link, "closed by the other side");
      return;
    case XmlEvent::kRestricted:
      StreamError(link, "restricted-xml", "restricted XML");
      return;
    case XmlEvent::kTooLarge:
      StreamError(link, "policy-violation", "a stanza beyond the limits");
      return;
    case XmlEvent::kNoMemory:
      StreamError(link, "resource-constraint", "a stanza beyond the parser's memory");
      return;
    default:
      StreamError(link, "not-well-formed", "XML that is not well-formed");
      return;
  }
}

void Federation::OnWritable(net::StreamId stream) {
  Link* link = Find(stream);
  if (link == nullptr) {
    return;
  }
  while (!link->unsent.empty()) {
    uint8_t bytes[4096];
    const size_t count = chains_.Copy(link->unsent, 0, bytes);
    if (!host_.Send(stream, std::span(bytes).first(count)).ok()) {
      return;
    }
    chains_.Drop(link->unsent, static_cast<uint32_t>(count));
  }
  if (link->closing) {
    host_.Close(stream);
  } else if (link->state == LinkState::kReady) {
    Drain(*link);
  }
  Settle();
}

void Federation::OnClosed(net::StreamId stream, net::StreamClose why) {
  Link* link = Find(stream);
  if (link == nullptr) {
    return;
  }
  const bool is_attempt = link->kind != LinkKind::kIncoming && link->state != LinkState::kReady;
  const bool was_securing = link->state == LinkState::kSecuring;
  Detach(*link);
  if (!link->doomed && !is_attempt && !link->closing && Suspend(*link)) {
    Settle();
    return;
  }
  if (link->doomed || !is_attempt) {
    Doom(*link, "the connection broke");
  } else if (why == net::StreamClose::kTlsFailure && was_securing && !link->without_tls &&
             config_.security == Security::kOptional && !config_.requires_certificate) {
    link->without_tls = true;
    const Hop again = link->hop;
    TryHop(*link, &again);
  } else {
    AttemptFailed(*link, why == net::StreamClose::kTlsFailure ? "TLS has failed"
                         : why == net::StreamClose::kRefused  ? "connections are refused"
                         : why == net::StreamClose::kTimeout  ? "it does not answer"
                                                              : "the connection broke");
  }
  Settle();
}

// --- Readers -------------------------------------------------------------------------------------

bool Federation::LendReader(Link& link) {
  ReaderPool& pool = link.unproven ? unproven_readers_ : readers_;
  if (pool.free_count == 0) {
    if (!link.waiting_node.linked()) {
      pool.waiting.PushBack(link);
    }
    return false;
  }
  link.reader = &pool.all[pool.free[--pool.free_count]];
  ++pool.lent;
  link.reader->Begin(link.state != LinkState::kOpening);
  link.reader->SetStanzaMax(config_.stanza_max);
  link.reader->SetElementsLeft(link.unproven ? link.elements_left : xmpp::XmlReader::kAnyNumber);
  if (link.state == LinkState::kReady) {
    Arm(link, Duration::Seconds(kStanzaSeconds));
  }
  return true;
}

void Federation::ReturnReader(Link& link) {
  for (ReaderPool* pool : {&readers_, &unproven_readers_}) {
    if (link.waiting_node.linked() && &(link.unproven ? unproven_readers_ : readers_) == pool) {
      pool->waiting.Remove(link);
    }
    if (link.reader == nullptr || link.reader < pool->all.data() ||
        link.reader >= pool->all.data() + pool->all.size()) {
      continue;
    }
    pool->free[pool->free_count++] = static_cast<uint16_t>(link.reader - pool->all.data());
    --pool->lent;
    link.reader = nullptr;
    if (Link* next = pool->waiting.PopFront()) {
      host_.Resume(next->stream);
    }
  }
  if (link.state == LinkState::kReady) {
    timers_.Cancel(link.timer);
  }
}

// --- Time ----------------------------------------------------------------------------------------

void Link::OnTimer() { owner->OnTimer(*this); }

void Federation::Arm(Link& link, Duration after) {
  link.timer.Bind<&Link::OnTimer>(&link);
  timers_.Arm(link.timer, after);
}

void Federation::OnTimer(Link& link) {
  if (link.state == LinkState::kBackingOff) {
    Doom(link, "it may be tried again");
  } else if (link.state == LinkState::kSuspended) {
    Doom(link, "the connection broke");
  } else if (link.kind != LinkKind::kIncoming && link.state != LinkState::kReady) {
    AttemptFailed(link, "it does not answer");
  } else {
    StreamError(link, "connection-timeout",
                link.unproven ? "not proved in time" : "a stanza that did not end");
  }
  Settle();
}

// Who opened a stream closes it; the other side waits longer.
Duration Federation::IdleOf(const Link& link) const {
  return link.kind == LinkKind::kOutgoing ? config_.idle : config_.idle * 4;
}

void Federation::OnTick() {
  for (uint32_t i = 0; i < links_.capacity(); ++i) {
    Link* link = links_.At(i);
    if (link != nullptr && !link->doomed && link->asked &&
        timers_.now() - link->asked_at > Duration::Seconds(kAcknowledgeSeconds)) {
      StreamError(*link, "connection-timeout", "it does not acknowledge");
    } else if (link != nullptr && !link->doomed && IsPartner(*link)) {
      if (link->state == LinkState::kReady && link->unsent.empty()) {
        Write(*link, " ");  // so that who is gone is found
      }
    } else if (link != nullptr && !link->doomed && link->queued > 0 &&
               CarrierOf(*link) != nullptr) {
      Drain(*link);
    } else if (link != nullptr && !link->doomed && link->state == LinkState::kReady &&
               timers_.now() - link->used > IdleOf(*link)) {
      CloseStream(*link);
      Doom(*link, "idle");
    }
  }
  if (config_.enabled || config_.partner_count > 0) {
    timers_.Arm(tick_timer_, Duration::Seconds(kTickSeconds));
  }
  Settle();
  KeepTrunk();
  Settle();
}

// --- Sending -------------------------------------------------------------------------------------

void Federation::Write(Link& link, std::span<const uint8_t> bytes) {
  if (!link.connected || link.closing || link.doomed) {
    return;
  }
  while (link.unsent.empty() && !bytes.empty()) {
    const auto piece = bytes.first(std::min(bytes.size(), kPieceMax));
    if (!host_.Send(link.stream, piece).ok()) {
      break;
    }
    bytes = bytes.subspan(piece.size());
  }
  if (!bytes.empty() && !chains_.Append(link.unsent, bytes)) {
    host_.Abort(link.stream);
    Doom(link, "it does not read");
  }
}

void Federation::WriteHeader(Link& link) {
  uint8_t bytes[2 * xmpp::kDomainMax * 6 + kStreamIdMax + 512];
  ByteWriter out(bytes);
  out.Text(link.door == Door::kComponents
               ? "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' "
                 "xmlns:stream='http://etherx.jabber.org/streams'"
               : "<?xml version='1.0'?><stream:stream xmlns='jabber:server' "
                 "xmlns:stream='http://etherx.jabber.org/streams' "
                 "xmlns:db='jabber:server:dialback' version='1.0' xml:lang='en'");
  if (link.kind == LinkKind::kIncoming) {
    uint8_t id_bytes[32];
    ByteWriter id(id_bytes);
    id.Hex(random_.U64(), 16);
    id.Hex(random_.U64(), 16);
    link.id.Assign(id.text());
    WriteAttribute("id", link.id.view(), out);
  }
  if (!link.pair().local.empty()) {
    WriteAttribute("from", link.pair().local.view(), out);
  }
  if (!link.pair().remote.empty()) {
    WriteAttribute("to", link.pair().remote.view(), out);
  }
  out.Char('>');
  if (link.kind != LinkKind::kIncoming) {
    link.elements_left = xmpp::kUnprovenElements;
  }
  Write(link, out.written());
}

// --- Ends ----------------------------------------------------------------------------------------

void Federation::CloseStream(Link& link) {
  if (!link.connected || link.closing) {
    return;
  }
  if (link.counts_in && link.last_commit <= engine_.durable()) {
    link.owed = link.handled;
    SendOwed(link);
  }
  Write(link, "</stream:stream>");
  link.closing = true;
  if (link.unsent.empty()) {
    host_.Close(link.stream);
  }
}

void Federation::StreamError(Link& link, std::string_view condition, const char* reason) {
  if (link.doomed) {
    return;
  }
  if (link.connected && !link.closing && link.state != LinkState::kSecuring &&
      link.state != LinkState::kConnecting) {
    if (link.kind == LinkKind::kIncoming && link.state == LinkState::kOpening) {
      WriteHeader(link);
    }
    uint8_t bytes[256];
    ByteWriter out(bytes);
    out.Text("<stream:error><");
    out.Text(condition);
    out.Text(" xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>");
    Write(link, out.text());
    CloseStream(link);
    if (link.unsent.empty()) {
      ForgetSent(link);
    }
  }
  if (link.kind == LinkKind::kIncoming && link.unproven) {
    ++counters_.refused;
    observer_.OnRefused(link.pair().remote.view(), link.remote, reason);
  } else if (link.kind != LinkKind::kIncoming && link.state != LinkState::kReady) {
    AttemptFailed(link, reason);
    return;
  }
  Doom(link, reason);
}

void Federation::Doom(Link& link, const char* reason) {
  if (link.doomed) {
    return;
  }
  link.doomed = true;
  link.reason = reason;
  RemoveRoute(link);
  ForgetDelivered(link);
  (void)EndRides(link);
  PartnerLost(link);
  if (link.fast_node.linked()) {
    fast_.Remove(link);
  }
  if (!link.doomed_node.linked()) {
    doomed_.PushBack(link);
  }
  timers_.Arm(settle_timer_, Duration::Seconds(0));
}

// Ends what is doomed, and gives back what those that failed were to send. Never from inside the
// engine: what comes back goes into it.
void Federation::Settle() {
  if (settling_) {
    return;
  }
  settling_ = true;
  while (Link* link = doomed_.PopFront()) {
    if (link->doomed) {
      End(*link);
    } else {
      ReturnAll(*link);
    }
  }
  settling_ = false;
}

void Federation::HangUp(Link& link) {
  if (!link.connected) {
    return;
  }
  if (!link.closing) {
    host_.Abort(link.stream);
  } else if (!link.unsent.empty()) {
    host_.Close(link.stream);
  }
  Detach(link);
}

void Federation::End(Link& link) {
  timers_.Cancel(link.timer);
  HangUp(link);
  if (link.lookup != nullptr) {
    lookups_.Release(link.lookup);
    link.lookup = nullptr;
  }
  if (link.owing_node.linked()) {
    owing_.Remove(link);
  }
  if (link.silent_node.linked()) {
    silent_.Remove(link);
  }
  verifying_ -= link.kind == LinkKind::kVerifying ? 1 : 0;
  unproven_incoming_ -= link.kind == LinkKind::kIncoming && link.unproven ? 1 : 0;
  link.condition = "remote-server-timeout";
  ReturnAll(link);
  chains_.Free(link.unsent);
  links_.Release(&link);
}

// --- What comes in -------------------------------------------------------------------------------

void Federation::OnHeader(Link& link, const Node& header) {
  if (link.state != LinkState::kOpening) {
    StreamError(link, "not-well-formed", "a stream inside a stream");
    return;
  }
  if (!header.Is("stream", ns::kStreams)) {
    StreamError(link, "invalid-namespace", "a header that is not a stream's");
    return;
  }
  if (link.kind == LinkKind::kIncoming && IsPartner(link)) {
    OnPartnerHeader(link, header);
    return;
  }
  if (!header.Get("version").starts_with('1')) {
    StreamError(link, "unsupported-version", "a stream from before RFC 3920");
    return;
  }
  if (link.kind != LinkKind::kIncoming) {
    if (header.Get("id").empty() || !link.id.Assign(header.Get("id"))) {
      AttemptFailed(link, "a stream without an id");
      return;
    }
    link.state = LinkState::kNegotiating;
    return;
  }
  FixedString<xmpp::kDomainMax> local, remote;
  const bool is_addressed =
      xmpp::PrepareDomain(header.Get("to"), local).ok() &&
      (header.Get("from").empty() || xmpp::PrepareDomain(header.Get("from"), remote).ok());
  if (!is_addressed || !Serves(local.view()) || Serves(remote.view())) {
    StreamError(link, !is_addressed ? "improper-addressing" : "host-unknown",
                "a domain that is not served");
    return;
  }
  if (StreamsOf(remote.view()) >= config_.domain_streams && !link.pair().is_proved) {
    StreamError(link, "resource-constraint", "the domain has as many streams as it may");
    return;
  }
  Pair& pair = link.pair();
  if (pair.is_proved && (pair.local != local.view() || pair.remote != remote.view())) {
    StreamError(link, "invalid-from", "another domain than it has proved");
    return;
  }
  pair.local = local;
  pair.remote = remote;
  WriteHeader(link);
  link.state = pair.is_proved ? LinkState::kReady : LinkState::kNegotiating;
  WriteFeatures(link);
  if (pair.is_proved) {
    timers_.Cancel(link.timer);
    if (link.bidirectional) {
      (void)AddRoute(link);
    }
  }
}

void Federation::OnElement(Link& link, Node& element) {
  if (element.Is("error", ns::kStreams)) {
    if (link.kind != LinkKind::kIncoming && link.state != LinkState::kReady) {
      AttemptFailed(link, "it answered with a stream error");
    } else {
      CloseStream(link);
      Doom(link, "a stream error from the other side");
    }
    return;
  }
  const bool is_stanza =
      (element.space == "jabber:server" ||
       (link.door == Door::kComponents && element.space == kComponentSpace)) &&
      (element.name == "message" || element.name == "presence" || element.name == "iq");
  if (is_stanza) {
    OnStanza(link, element);
  } else if (link.door == Door::kComponents) {
    OnComponent(link, element);
  } else if (OnManagement(link, element)) {
    return;
  } else if (link.kind == LinkKind::kIncoming) {
    OnIncoming(link, element);
  } else {
    OnOutgoing(link, element);
  }
}

void Federation::OnStanza(Link& link, Node& stanza) {
  const auto from = xmpp::Address::Parse(stanza.Get("from"));
  const auto to = xmpp::Address::Parse(stanza.Get("to"));
  if (!from.ok() || !to.ok()) {
    StreamError(link, "improper-addressing", "a stanza without addresses");
    return;
  }
  if (IsPartner(link)) {
    OnPartnerStanza(link, *from, *to, stanza);
    return;
  }
  const Pair* pair = FindPair(link, to->domain(), from->domain());
  const bool is_way =
      link.kind == LinkKind::kIncoming || (link.kind == LinkKind::kOutgoing && link.bidirectional);
  if (pair == nullptr || !pair->is_proved || !is_way) {
    StreamError(link, "invalid-from", "a stanza of a domain it has not proved");
    return;
  }
  CountIn(link);
  if (!config_.policy.Allows(from->domain(), Direction::kIncoming)) {
    ++counters_.forbidden;
    return;
  }
  if (!Serves(to->domain()) || Serves(from->domain())) {
    StreamError(link, "host-gone", "the domain is not served any more");
    return;
  }
  TakeAsClients(stanza);
  Forward(*from, *to, stanza);
  link.last_commit = std::max(link.last_commit, engine_.remote_commit());
}

void Federation::CountIn(Link& link) {
  ++link.stanzas_in;
  link.handled += link.counts_in ? 1 : 0;
  link.allowance -= kStanzaAllowance;
  ++counters_.stanzas_in;
}

// Proved ones, of theirs.
uint32_t Federation::StreamsOf(std::string_view domain) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < links_.capacity(); ++i) {
    const Link* link = links_.At(i);
    count += link != nullptr && !link->doomed && link->kind == LinkKind::kIncoming &&
                     !link->unproven && link->pairs[0].remote == domain
                 ? 1
                 : 0;
  }
  return count;
}

}  // namespace gh::s2s
