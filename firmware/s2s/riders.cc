// Several pairs of domains on one stream of ours (XEP-0220 section 2.6): a link may use the stream
// of another, its carrier, once the other side has let its pair in by dialback. What the link is
// given goes the carrier's way. Where the other side will not, the link gets a stream of its own.
#include "firmware/s2s/federation.h"

namespace gh::s2s {

using xmpp::Node;

Link* Federation::CarrierOf(const Link& link) { return links_.Resolve(link.carrier); }

bool Federation::MayCarry(Link& carrier, const Link& link, const Hop* hop) {
  const bool is_stream = carrier.kind == LinkKind::kOutgoing && carrier.door == Door::kServers &&
                         carrier.state == LinkState::kReady && carrier.connected &&
                         !carrier.closing && !carrier.doomed && !carrier.is_resuming;
  if (!is_stream || !carrier.offers_dialback) {
    return false;
  }
  const std::string_view remote = link.pairs[0].remote.view();
  if (hop == nullptr) {
    return carrier.pair().remote == remote;
  }
  // Another domain at the same server: it is believed by what it would show for a stream of its
  // own, and its refusal must not end the stream.
  return carrier.offers_errors && carrier.hop.remote == hop->remote &&
         carrier.hop.is_tls == hop->is_tls &&
         (!carrier.secure || !config_.requires_certificate ||
          host_.IsProved(carrier.stream, remote));
}

// True: its pair is asked for on a stream that there is. `hop`: where it would connect to; null: to
// the same domain.
bool Federation::Ride(Link& link, const Hop* hop) {
  if (!config_.multiplexing || !config_.dialback || link.may_not_ride || IsPartner(link) ||
      link.kind != LinkKind::kOutgoing || link.is_resuming) {
    return false;
  }
  const Pair wanted = link.pair();
  for (uint32_t i = 0; i < links_.capacity(); ++i) {
    Link* carrier = links_.At(i);
    if (carrier == nullptr || carrier == &link || !MayCarry(*carrier, link, hop)) {
      continue;
    }
    Pair* pair = FindPair(*carrier, wanted.local.view(), wanted.remote.view());
    if (pair == nullptr && carrier->pair_count < kPairMax) {
      pair = &carrier->pairs[carrier->pair_count++];
    }
    if (pair == nullptr) {
      continue;
    }
    *pair = wanted;
    link.carrier = links_.HandleOf(*carrier);
    link.remote = carrier->remote;
    link.secure = carrier->secure;
    link.state = LinkState::kDialback;
    Arm(link, Duration::Seconds(kRideSeconds));
    WriteKey(*carrier, wanted);
    return true;
  }
  return false;
}

void Federation::LeaveRide(Link& link) {
  link.carrier = {};
  link.may_not_ride = true;
  link.state = LinkState::kLooking;
  if (link.lookup == nullptr) {
    BeginLookup(link);
    return;
  }
  const Hop again = link.hop;
  TryHop(link, &again);
  if (!link.connected) {
    TryNext(link);
  }
}

// What the other side says of a pair that was asked for on `carrier`.
void Federation::OnRideAnswer(Link& carrier, const Node& element) {
  FixedString<xmpp::kDomainMax> local, remote;
  if (!xmpp::PrepareDomain(element.Get("to"), local).ok() ||
      !xmpp::PrepareDomain(element.Get("from"), remote).ok()) {
    return;
  }
  Link* link = FindRoute(local.view(), remote.view());
  Pair* pair = FindPair(carrier, local.view(), remote.view());
  if (link == nullptr || pair == nullptr || CarrierOf(*link) != &carrier ||
      link->state != LinkState::kDialback) {
    return;  // nobody asked
  }
  if (element.Get("type") != "valid") {
    LeaveRide(*link);
    return;
  }
  pair->is_proved = true;
  link->state = LinkState::kReady;
  link->unproven = false;
  link->pair().is_proved = true;
  link->used = timers_.now();
  timers_.Cancel(link->timer);
  if (link->lookup != nullptr) {
    lookups_.Release(link->lookup);
    link->lookup = nullptr;
  }
  ++counters_.connected;
  ++counters_.by_dialback;
  observer_.OnFederated(local.view(), remote.view(), false, link->remote,
                        "dialback on a stream there is");
  Drain(*link);
}

// What waited for the pair. What finds no room goes on waiting: OnTick.
void Federation::HandOver(Link& link, Link& carrier) {
  while (link.state == LinkState::kReady && link.queued > 0) {
    uint8_t head[4];
    (void)chains_.Copy(link.queue, 0, head);
    const uint32_t size = ByteReader(head).U32Be();
    const auto stanza = scratch_.first(size);
    (void)chains_.Copy(link.queue, 4, stanza);
    if (SendOn(carrier, stanza) != Taken::kYes) {
      return;
    }
    chains_.Drop(link.queue, 4 + size);
    --link.queued;
    ++link.stanzas_out;
  }
}

// The carrier's stream is no more, or another: whoever has proved nothing yet goes his own way.
// Whether there was anybody.
bool Federation::EndRides(Link& carrier) {
  if (carrier.kind != LinkKind::kOutgoing || carrier.pair_count == 1) {
    return false;
  }
  const Handle handle = links_.HandleOf(carrier);
  carrier.pair_count = 1;
  for (uint32_t i = 0; i < links_.capacity(); ++i) {
    Link* link = links_.At(i);
    if (link == nullptr || link->doomed || link->carrier != handle) {
      continue;
    }
    if (link->state == LinkState::kReady) {
      link->carrier = {};
      Doom(*link, "the stream it used has ended");
    } else {
      LeaveRide(*link);
    }
  }
  return true;
}

}  // namespace gh::s2s
