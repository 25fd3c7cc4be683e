// Partners: components (XEP-0114), devices inside whose Edge we are, and our own Edge. Components
// prove themselves by a secret, the others by certificates, and each speaks for its domains alone.
// A partner that connects anew takes the place of its old stream, which may be dead.
#include "crypto/legacy.h"
#include "firmware/s2s/federation.h"
#include "hal/rt/secret.h"

namespace gh::s2s {

using xmpp::Node;
namespace ns = xmpp::ns;

namespace {

const char* KindOf(const Link& link) {
  return link.door == Door::kComponents     ? "component"
         : link.kind == LinkKind::kOutgoing ? "Edge"
                                            : "device";
}

}  // namespace

bool Federation::IsEmailDomain(std::string_view domain) {
  if (!config_.emails) {
    return false;
  }
  for (const auto& each : std::span(config_.email_domains).first(config_.email_domain_count)) {
    if (each == domain) {
      return true;
    }
  }
  return engine_.directory().HasEmailDomain(domain);
}

bool Federation::Serves(std::string_view domain) {
  return engine_.Serves(domain) || IsEmailDomain(domain) || PartnerOf(domain) != kNoPartner;
}

uint32_t Federation::PartnerOf(std::string_view domain) const {
  for (uint32_t i = 0; i < config_.partner_count; ++i) {
    if (MatchesDomain(config_.partners[i].domain.view(), domain)) {
      return i;
    }
  }
  return kNoPartner;
}

bool Federation::IsConnected(uint32_t partner) { return LinkOf(partner) != nullptr; }

bool Federation::IsEdgeConnected() {
  const Link* link = links_.Resolve(trunk_);
  return link != nullptr && link->state == LinkState::kReady;
}

// --- They connect --------------------------------------------------------------------------------

void Federation::OnPartnerHeader(Link& link, const Node& header) {
  const bool is_component = link.door == Door::kComponents;
  FixedString<xmpp::kDomainMax> domain, ours;
  const bool is_addressed =
      xmpp::PrepareDomain(header.Get(is_component ? "to" : "from"), domain).ok() &&
      (is_component || xmpp::PrepareDomain(header.Get("to"), ours).ok());
  const uint32_t partner = is_addressed ? PartnerOf(domain.view()) : kNoPartner;
  if (partner == kNoPartner || config_.partners[partner].is_component() != is_component) {
    StreamError(link, is_addressed ? "host-unknown" : "improper-addressing",
                "a domain that is no partner's");
    return;
  }
  Pair& pair = link.pair();
  if (pair.is_proved && pair.remote != domain.view()) {
    StreamError(link, "invalid-from", "another domain than it has proved");
    return;
  }
  if (is_component) {  // answered as by itself (XEP-0114 section 3)
    pair.local = domain;
  } else {
    pair.local = ours;
  }
  pair.remote.Clear();
  if (!is_component) {
    pair.remote = domain;
  }
  WriteHeader(link);
  pair.remote = domain;
  link.state = pair.is_proved ? LinkState::kReady : LinkState::kNegotiating;
  if (!is_component) {
    WriteFeatures(link);
  }
  if (pair.is_proved) {
    timers_.Cancel(link.timer);
    ProvePartner(link, partner);
  }
}

// Whether its certificate is that of whoever serves `domain`.
bool Federation::IsProvedPeer(const Link& link, std::string_view domain) {
  if (!IsPartner(link)) {
    return host_.IsProved(link.stream, domain);
  }
  const uint32_t partner = PartnerOf(domain);
  return partner != kNoPartner && !config_.partners[partner].is_component() &&
         host_.IsProved(link.stream, config_.partners[partner].peer.view());
}

void Federation::OnComponent(Link& link, const Node& element) {
  const uint32_t partner = PartnerOf(link.pair().remote.view());
  // Parsers that were lent anew take the stream's name space for servers'.
  const bool is_handshake =
      element.Is("handshake", kComponentSpace) || element.Is("handshake", "jabber:server");
  if (!link.unproven || !is_handshake || partner == kNoPartner) {
    StreamError(link, link.unproven ? "not-authorized" : "unsupported-stanza-type",
                "an element that is no stanza");
    return;
  }
  crypto::Sha1 digest;
  digest.Update(AsBytes(link.id.view()));
  digest.Update(AsBytes(config_.partners[partner].secret.view()));
  uint8_t bytes[40];
  ByteWriter wanted(bytes);
  wanted.HexBytes(digest.Finish());
  const std::string_view said = element.Text();
  if (config_.partners[partner].secret.empty() || said.size() != sizeof(bytes) ||
      !ConstantTimeEqual(AsBytes(said), wanted.written())) {
    StreamError(link, "not-authorized", "its secret is another");
    return;
  }
  Write(link, "<handshake/>");
  link.unproven = false;
  --unproven_incoming_;
  timers_.Cancel(link.timer);
  ReturnReader(link);  // that of strangers is small
  link.state = LinkState::kReady;
  ++counters_.accepted;
  link.pair().is_proved = true;
  ProvePartner(link, partner);
}

void Federation::ProvePartner(Link& link, uint32_t partner) {
  for (uint32_t i = 0; i < config_.partner_count; ++i) {
    const bool is_its = config_.partners[partner].is_component()
                            ? i == partner
                            : config_.partners[i].peer == config_.partners[partner].peer.view();
    if (!is_its) {
      continue;
    }
    Link* old = LinkOf(i);
    if (old != nullptr && !old->resume_id.empty() && old->kind == LinkKind::kIncoming &&
        old != &link) {
      continue;  // it may be going to resume: Promote
    }
    partner_links_[i] = links_.HandleOf(link);
    if (old != nullptr && old != &link) {
      StreamError(*old, "conflict", "it has connected anew");
    }
  }
  link.used = timers_.now();
  observer_.OnPartner(KindOf(link), link.pair().remote.view(), link.remote, true, "proved");
}

// A new stream does not resume the old one: it takes its place. False: it is of no partner.
bool Federation::Promote(Link& link) {
  bool is_any = false;
  const uint32_t its = PartnerOf(link.pair().remote.view());
  for (uint32_t i = 0; i < config_.partner_count && link.door == Door::kRelay; ++i) {
    if (its == kNoPartner || config_.partners[i].is_component() ||
        !(config_.partners[i].peer == config_.partners[its].peer.view())) {
      continue;
    }
    Link* old = LinkOf(i);
    partner_links_[i] = links_.HandleOf(link);
    is_any = true;
    if (old != nullptr && old != &link) {
      StreamError(*old, "conflict", "it has connected anew");
    }
  }
  return is_any;
}

// Before it ends: nobody is sent to it any more.
void Federation::PartnerLost(Link& link) {
  if (!IsPartner(link) || (link.unproven && !link.is_resuming)) {
    return;
  }
  const Handle handle = links_.HandleOf(link);
  for (Handle& each : partner_links_) {
    if (each == handle) {
      each = {};
    }
  }
  if (trunk_ == handle) {
    trunk_ = {};
    timers_.Arm(tick_timer_, Duration::Seconds(1));  // another one
  }
  observer_.OnPartner(KindOf(link), link.pair().remote.view(), link.remote, false, link.reason);
}

// --- What they say -------------------------------------------------------------------------------

void Federation::OnPartnerStanza(Link& link, const xmpp::Address& from, const xmpp::Address& to,
                                 Node& stanza) {
  bool is_allowed = false;
  if (link.kind == LinkKind::kOutgoing) {  // our Edge: for others, to us
    is_allowed = link.state == LinkState::kReady && !Serves(from.domain()) && Serves(to.domain());
  } else {
    const uint32_t partner = PartnerOf(from.domain());
    is_allowed = !link.unproven && partner != kNoPartner &&
                 (LinkOf(partner) == &link ||
                  (IsProvedPeer(link, from.domain()) && Promote(link) && LinkOf(partner) == &link));
  }
  if (!is_allowed) {
    StreamError(link, "invalid-from", "a stanza of a domain it does not speak for");
    return;
  }
  CountIn(link);
  ++counters_.relayed;
  if (link.kind == LinkKind::kOutgoing &&
      !config_.policy.Allows(from.domain(), Direction::kIncoming)) {
    ++counters_.forbidden;
    return;
  }
  TakeAsClients(stanza);
  Forward(from, to, stanza);
  link.last_commit = std::max(link.last_commit, engine_.remote_commit());
}

// --- Our Edge ------------------------------------------------------------------------------------

// There is a stream to one of our Edges, or an attempt to have one.
void Federation::KeepTrunk() {
  if (!config_.enabled || !config_.by_edge || config_.edge_count == 0 ||
      engine_.config().domain_count == 0 || links_.Resolve(trunk_) != nullptr) {
    return;
  }
  edge_ = (edge_ + 1) % config_.edge_count;
  Link* link = NewOutgoing(engine_.config().domains[0].view(), config_.edges[edge_].host.view(),
                           LinkKind::kOutgoing, Door::kRelay);
  if (link != nullptr) {
    trunk_ = links_.HandleOf(*link);
    BeginLookup(*link);
  }
}

}  // namespace gh::s2s
