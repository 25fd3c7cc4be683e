#include "firmware/sip/zones.h"

#include <utility>

#include "firmware/sip/digest.h"
#include "firmware/sip/writer.h"
#include "hal/rt/secret.h"

namespace gh::sip {

using dialplan::IsTraversalClient;
using dialplan::IsTraversalServer;
using dialplan::ZoneType;

namespace {

// Of a traversal server's clients the one heard of last: one that came back after its end was lost
// on the way has a stream that lives and one that does not, which silence has not betrayed yet.
template <typename Peer>
bool IsFresher(const Peer& peer, const Peer& other) {
  return peer.timer.deadline() > other.timer.deadline();
}

}  // namespace

Zones::Zones(Core& core, Arena& arena, SipTransport& transport, TransactionLayer& transactions,
             Locator& locator)
    : core_(core), transport_(transport), transactions_(transactions), locator_(locator) {
  const std::span<Zone> all = arena.NewArray<Zone>(dialplan::kZoneMax);
  for (uint32_t i = 0; i < all.size(); ++i) {
    zones_[i + dialplan::kFirstZone] = &all[i];
    for (Peer& peer : all[i].peers) {
      peer.zones = this;
      peer.zone = static_cast<ZoneId>(i + dialplan::kFirstZone);
      peer.flow_user.lost = [](FlowUser& user) {
        auto* self = reinterpret_cast<Peer*>(&user);
        self->zones->OnLost(*self);
      };
      peer.timer.Set(
          [](Timer&, void* context) {
            auto* self = static_cast<Peer*>(context);
            self->zones->OnTimer(*self);
          },
          &peer);
    }
  }
}

// --- Configuration -------------------------------------------------------------------------------

bool Zones::Same(const ZoneConfig& a, const ZoneConfig& b) {
  bool same = a.plan.type == b.plan.type && a.plan.name == b.plan.name && a.port == b.port &&
              a.transport == b.transport && a.verifies == b.verifies &&
              a.verify_name.view() == b.verify_name.view() && a.user.view() == b.user.view() &&
              a.password.view() == b.password.view() && a.monitors == b.monitors;
  for (uint32_t i = 0; i < kZonePeerMax; ++i) {
    same = same && a.peers[i].view() == b.peers[i].view();
  }
  return same;
}

void Zones::Begin() {
  for (Zone* zone : zones_) {
    if (zone != nullptr) {
      zone->is_kept = false;
    }
  }
}

void Zones::Add(ZoneId id, const ZoneConfig& config) {
  Zone* zone = ZoneOf(id);
  GH_ASSERT(zone != nullptr);
  zone->is_kept = true;
  if (zone->is_used && Same(zone->config, config)) {
    zone->config = config;  // what is not compared decides about requests to come only
    return;
  }
  StopZone(*zone);
  zone->config = config;
  zone->is_used = true;
  const ZoneType type = config.plan.type;
  if (type != ZoneType::kNeighbour && !IsTraversalClient(type)) {
    return;
  }
  for (uint32_t i = 0; i < kZonePeerMax; ++i) {
    zone->peers[i].host = config.peers[i];
    if (!config.peers[i].empty()) {
      core_.timers.Arm(zone->peers[i].timer, kZoneStartDelay);
    }
  }
}

void Zones::Commit() {
  used_count_ = 0;
  for (ZoneId id = 0; id < zones_.size(); ++id) {
    Zone* zone = zones_[id];
    if (zone == nullptr || !zone->is_used) {
      continue;
    }
    if (!zone->is_kept) {
      StopZone(*zone);
      continue;
    }
    used_[used_count_++] = id;
  }
}

void Zones::Stop() {
  for (Zone* zone : zones_) {
    if (zone != nullptr) {
      StopZone(*zone);
    }
  }
  used_count_ = 0;
}

void Zones::StopZone(Zone& zone) {
  for (Peer& peer : zone.peers) {
    StopPeer(peer);
  }
  zone.is_used = false;
}

void Zones::StopPeer(Peer& peer) {
  core_.timers.Cancel(peer.timer);
  Leave(peer);
  if (peer.location != nullptr) {
    locator_.Release(*peer.location);
    peer.location = nullptr;
  }
  if (peer.probe.client != nullptr) {
    peer.probe.client->probe = nullptr;  // its transaction ends by itself
    peer.probe.client = nullptr;
  }
  peer.host = {};
  peer.remote = {};
  peer.state = PeerState::kUnknown;
  peer.throttle = {};
  peer.status = 0;
  peer.why = "";
}

// --- Asking the peers ----------------------------------------------------------------------------

void Zones::OnTimer(Peer& peer) {
  Zone& zone = *zones_[peer.zone];
  if (IsTraversalServer(zone.config.plan.type)) {
    const Flow flow = peer.flow;
    SetDown(peer, "silent");
    transport_.Hangup(flow);
    return;
  }
  if (peer.location != nullptr || peer.probe.client != nullptr) {
    return;
  }
  peer.answered_challenge = false;
  const net::IpAddress address = ParseHostAddress(peer.host.view());
  if (!address.is_none()) {
    peer.remote = {address, zone.config.port};
    Ask(peer);
    return;
  }
  uint8_t text[kDomainBytesMax + 40];
  ByteWriter uri_text(text);
  uri_text.Text("sip:");
  uri_text.Text(peer.host.view());
  uri_text.Char(':');
  uri_text.Decimal(zone.config.port);
  const auto uri = ParseUri(uri_text.text());
  peer.location = uri.ok() ? locator_.Allocate() : nullptr;
  if (peer.location == nullptr) {
    SetDown(peer, uri.ok() ? "too many names are looked up" : "not a host name");
    return;
  }
  peer.location->context = &peer;
  peer.location->done = [](Location& location) {
    auto* self = static_cast<Peer*>(location.context);
    self->zones->OnLocated(*self);
  };
  if (!locator_.Start(*peer.location, *uri).ok()) {
    locator_.Release(*peer.location);
    peer.location = nullptr;
    SetDown(peer, "its name cannot be looked up");
  }
}

void Zones::OnLocated(Peer& peer) {
  const uint32_t count = peer.location->hop_count;
  // One address after the other when the last did not answer.
  const net::Endpoint found =
      count == 0 ? net::Endpoint{} : peer.location->hops[peer.attempt % count].remote;
  locator_.Release(*peer.location);
  peer.location = nullptr;
  if (count == 0) {
    SetDown(peer, "its name is not known");
    return;
  }
  peer.remote = found;
  Ask(peer);
}

void Zones::Ask(Peer& peer) {
  const Zone& zone = *zones_[peer.zone];
  const bool is_traversal = IsTraversalClient(zone.config.plan.type);
  if (!is_traversal && !zone.config.monitors) {
    SetUp(peer, {});
    return;
  }
  if (is_traversal && peer.has_flow) {
    if (!SendOptions(peer, peer.flow, {}).ok()) {
      SetDown(peer, "cannot be asked");
    }
    return;
  }
  const std::string_view name = zone.config.verifies ? peer.host.view() : std::string_view();
  const auto flow = transport_.FlowTo(zone.config.transport, peer.remote, name);
  if (!flow.ok()) {
    SetDown(peer, flow.error().what);
    return;
  }
  if (!SendOptions(peer, *flow, {}).ok()) {
    SetDown(peer, "cannot be asked");
  }
}

Result<void> Zones::SendOptions(Peer& peer, const Flow& flow, std::string_view authorization) {
  ClientTransaction* client = transactions_.CreateClient(Method::kOptions, 0);
  if (client == nullptr) {
    return Error(ErrorCode::kExhausted, "client transactions");
  }
  const Listener& listener = transport_.listener(flow);
  uint8_t bytes[2048];
  ByteWriter out(bytes);
  out.Text("OPTIONS sip:");
  WriteHostPort(out, peer.remote);
  out.Text(" SIP/2.0\r\nVia: SIP/2.0/");
  out.Text(TransportName(listener.transport));
  out.Char(' ');
  WriteHostPort(out, listener.advertise);
  out.Text(listener.transport == TransportKind::kUdp ? ";rport;branch=" : ";branch=");
  transactions_.WriteBranch(out, *client);
  const bool is_client = IsTraversalClient(zones_[peer.zone]->config.plan.type);
  out.Text(!is_client && transport_.MayAskForAlias(flow) ? ";alias" : "");
  out.Text("\r\nMax-Forwards: 1\r\nFrom: <sip:");
  WriteHostPort(out, listener.advertise);
  out.Text(">;tag=");
  out.Hex(core_.random.U64(), 16);
  out.Text("\r\nTo: <sip:");
  WriteHostPort(out, peer.remote);
  out.Text(">\r\nCall-ID: ");
  out.Hex(core_.random.U64(), 16);
  out.Text("\r\nCSeq: ");
  out.Decimal(peer.cseq = peer.cseq % kCseqMax + 1);
  out.Text(" OPTIONS\r\nAccept: application/sdp\r\n");
  out.Text(authorization);
  out.Text("Content-Length: 0\r\n\r\n");
  const Result<void> sent = out.ok() ? transactions_.Launch(*client, flow, out.written())
                                     : Result<void>(Error(ErrorCode::kTooLarge, "OPTIONS"));
  if (!sent.ok()) {
    transactions_.ReleaseClient(*client);
    return sent.error();
  }
  client->probe = &peer.probe;
  peer.probe.client = client;
  peer.probe.context = &peer;
  peer.probe.answered = [](Probe& probe, const Flow& from, const Message& response) {
    auto* self = static_cast<Peer*>(probe.context);
    self->zones->OnAnswered(*self, from, response);
  };
  peer.probe.failed = [](Probe& probe, ClientFailure why) {
    auto* self = static_cast<Peer*>(probe.context);
    self->zones->SetDown(*self, why == ClientFailure::kTimeout ? "no answer" : "no connection");
  };
  return Ok();
}

// The answer to the topmost challenge that we can meet (RFC 8760 2.4).
bool Zones::WriteAuthorization(const Peer& peer, const Message& challenge, ByteWriter& out) {
  const ZoneConfig& config = zones_[peer.zone]->config;
  uint8_t uri_bytes[80];
  ByteWriter uri(uri_bytes);
  uri.Text("sip:");
  WriteHostPort(uri, peer.remote);
  uint8_t cnonce_bytes[16];
  ByteWriter cnonce(cnonce_bytes);
  cnonce.Hex(core_.random.U64(), 16);
  const DigestProof proof{config.user.view(), config.password.view(), "OPTIONS", uri.text(),
                          cnonce.text()};
  for (const HeaderField* f = challenge.First(HeaderId::kWwwAuthenticate); f != nullptr;
       f = challenge.NextSame(*f)) {
    const auto asked = ParseDigestCredentials(challenge.Value(*f));
    if (asked.ok() && WriteDigestAnswer(out, *asked, proof)) {
      return true;
    }
  }
  return false;
}

void Zones::OnAnswered(Peer& peer, const Flow& flow, const Message& response) {
  const ZoneConfig& config = zones_[peer.zone]->config;
  peer.status = response.status();
  if (!IsTraversalClient(config.plan.type)) {
    if (peer.status == 503) {
      SetDown(peer, "out of service");
    } else {
      SetUp(peer, flow);
    }
    return;
  }
  if (peer.status == 401 && !config.user.empty() && !peer.answered_challenge) {
    peer.answered_challenge = true;
    uint8_t bytes[1200];
    ByteWriter authorization(bytes);
    if (WriteAuthorization(peer, response, authorization) &&
        SendOptions(peer, flow, authorization.text()).ok()) {
      return;
    }
  }
  if (peer.status == 200) {
    SetUp(peer, flow);
  } else {
    SetDown(peer, peer.status == 401 || peer.status == 403 ? "does not let us in" : "refuses");
  }
}

// --- Up and down ---------------------------------------------------------------------------------

void Zones::Tell(const Peer& peer, bool is_up) const {
  ZonePeerEvent event;
  event.zone = zones_[peer.zone]->config.plan.name.view();
  event.peer = peer.host.view();
  event.remote = peer.remote;
  event.is_up = is_up;
  event.why = peer.why;
  core_.observer.OnZonePeer(event);
}

void Zones::Take(Peer& peer, const Flow& flow) {
  if (peer.has_flow && peer.flow.stream == flow.stream) {
    return;
  }
  Leave(peer);
  peer.flow = flow;
  peer.has_flow = true;
  transport_.Watch(flow, peer.flow_user);
  transport_.Prove(flow);
}

void Zones::Leave(Peer& peer) {
  if (peer.has_flow && peer.flow_user.node.linked()) {
    transport_.Unwatch(peer.flow, peer.flow_user);
  }
  peer.has_flow = false;
}

void Zones::SetUp(Peer& peer, const Flow& flow) {
  const bool is_traversal = IsTraversal(peer.zone);
  if (is_traversal) {
    Take(peer, flow);
    core_.timers.Arm(peer.timer, IsTraversalServer(zones_[peer.zone]->config.plan.type)
                                     ? kTraversalSilenceMax
                                     : kTraversalPeriod);
  } else {
    core_.timers.Arm(peer.timer, kZoneCheckPeriod);
  }
  peer.why = "";
  if (std::exchange(peer.state, PeerState::kUp) != PeerState::kUp) {
    Tell(peer, true);
  }
}

void Zones::SetDown(Peer& peer, const char* why) {
  const Zone& zone = *zones_[peer.zone];
  Leave(peer);
  peer.why = why;
  ++peer.attempt;
  if (IsTraversalServer(zone.config.plan.type)) {
    core_.timers.Cancel(peer.timer);
  } else {
    core_.timers.Arm(peer.timer, zone.config.retry);
  }
  if (std::exchange(peer.state, PeerState::kDown) != PeerState::kDown) {
    Tell(peer, false);
  }
}

// The stream is gone; the list has let go of us already.
void Zones::OnLost(Peer& peer) {
  peer.has_flow = false;
  const bool was_up = peer.state == PeerState::kUp;
  SetDown(peer, "the connection ended");
  if (was_up && IsTraversalClient(zones_[peer.zone]->config.plan.type)) {
    core_.timers.Arm(peer.timer, kZoneReconnectDelay);
  }
}

bool Zones::Attach(ZoneId id, const Flow& flow) {
  Zone* zone = ZoneOf(id);
  if (zone == nullptr || !zone->is_used) {
    return false;
  }
  Peer* free = nullptr;
  for (Peer& peer : zone->peers) {
    if (peer.has_flow && peer.flow.stream == flow.stream) {
      SetUp(peer, flow);
      return true;
    }
    free = free == nullptr && !peer.has_flow ? &peer : free;
  }
  if (free == nullptr) {
    return false;
  }
  free->remote = flow.remote;
  free->host.Set(net::ToText(flow.remote).view());
  SetUp(*free, flow);
  return true;
}

// --- Asked by others -----------------------------------------------------------------------------

bool Zones::IsTraversal(ZoneId id) const {
  if (id >= zones_.size() || zones_[id] == nullptr || !zones_[id]->is_used) {
    return false;
  }
  const ZoneType type = zones_[id]->config.plan.type;
  return IsTraversalClient(type) || IsTraversalServer(type);
}

TraversalRole Zones::RoleOn(const Flow& flow) const {
  for (uint32_t i = 0; i < used_count_ && flow.is_reliable(); ++i) {
    const Zone& zone = *zones_[used_[i]];
    const bool is_traversal = IsTraversal(used_[i]);
    for (const Peer& peer : zone.peers) {
      if (is_traversal && peer.has_flow && peer.flow.stream == flow.stream) {
        return IsTraversalClient(zone.config.plan.type) ? TraversalRole::kClient
                                                        : TraversalRole::kServer;
      }
    }
  }
  return TraversalRole::kNone;
}

ZoneId Zones::SourceOf(const Flow& flow) {
  for (uint32_t i = 0; i < used_count_; ++i) {
    const Zone& zone = *zones_[used_[i]];
    const bool is_traversal = IsTraversal(used_[i]);
    const bool is_neighbour = zone.config.plan.type == ZoneType::kNeighbour;
    for (const Peer& peer : zone.peers) {
      if (is_traversal && flow.is_reliable() && peer.has_flow && peer.flow.stream == flow.stream) {
        return used_[i];
      }
      const bool is_address =
          is_neighbour && !peer.host.empty() && peer.remote.address == flow.remote.address;
      const bool proves = zone.config.verifies && zone.config.transport == TransportKind::kTls;
      if (is_address && (!proves || transport_.IsPeerNamed(flow, peer.host.view()))) {
        return used_[i];
      }
    }
  }
  return dialplan::kNoZone;
}

bool Zones::IsUp(ZoneId id) const {
  if (id >= zones_.size() || zones_[id] == nullptr || !zones_[id]->is_used) {
    return false;
  }
  if (zones_[id]->config.plan.type == ZoneType::kDns) {
    return true;
  }
  for (const Peer& peer : zones_[id]->peers) {
    if (peer.state == PeerState::kUp) {
      return true;
    }
  }
  return false;
}

Zones::Peer* Zones::BestPeer(Zone& zone, uint8_t tried, const PeerWish& wish) {
  const bool is_traversal = IsTraversal(zone.peers[0].zone);
  const bool is_server = IsTraversalServer(zone.config.plan.type);
  Peer* best = nullptr;
  for (Peer& peer : zone.peers) {
    const uint32_t index = IndexOf(zone, peer);
    if (peer.state != PeerState::kUp || (is_traversal && !peer.has_flow) ||
        (tried >> index & 1) != 0) {
      continue;
    }
    if (index == wish.first) {
      return &peer;
    }
    const bool is_better = best == nullptr ||
                           (zone.config.is_least_loaded && peer.calls < best->calls) ||
                           (is_server && IsFresher(peer, *best));
    best = is_better ? &peer : best;
  }
  return best;
}

bool Zones::NextPeer(ZoneId id, uint8_t& tried, PeerRef& out, const PeerWish& wish) {
  Zone* zone = ZoneOf(id);
  if (zone == nullptr || !zone->is_used) {
    return false;
  }
  while (Peer* best = BestPeer(*zone, tried, wish)) {
    tried = static_cast<uint8_t>(tried | 1u << IndexOf(*zone, *best));
    if (!wish.is_urgent && !best->throttle.Admits(core_.now())) {
      out.was_throttled = true;
      continue;
    }
    out.calls = &best->calls;
    out.index = static_cast<uint8_t>(IndexOf(*zone, *best));
    out.has_other = BestPeer(*zone, tried, wish) != nullptr;
    if (IsTraversal(id)) {
      out.flow = best->flow;
      return true;
    }
    const std::string_view name = zone->config.verifies ? best->host.view() : std::string_view();
    if (const auto flow = transport_.FlowTo(zone->config.transport, best->remote, name);
        flow.ok()) {
      out.flow = *flow;
      return true;
    }
  }
  return false;
}

Zones::Peer* Zones::PeerAt(ZoneId id, const Flow& flow) {
  Zone* zone = ZoneOf(id);
  Peer* by_its_own = nullptr;  // a connection that it opened, from some port (RFC 5923)
  for (Peer& peer : zone == nullptr ? std::span<Peer>() : std::span<Peer>(zone->peers)) {
    if (peer.state != PeerState::kUp) {
      continue;
    }
    if (peer.has_flow ? peer.flow.stream == flow.stream : peer.remote == flow.remote) {
      return &peer;
    }
    const bool is_host = flow.is_reliable() && peer.remote.address == flow.remote.address;
    by_its_own = is_host && !peer.has_flow ? &peer : by_its_own;
  }
  return by_its_own;
}

void Zones::OnReport(ZoneId id, const Flow& flow, std::string_view via_params) {
  const auto word = ParseOverloadWord(via_params);
  Peer* peer = word ? PeerAt(id, flow) : nullptr;
  if (peer != nullptr && peer->throttle.Take(*word, core_.now())) {
    TellThrottle(*peer);
  }
}

void Zones::Doubt(ZoneId id, const Flow& flow) {
  Peer* peer = PeerAt(id, flow);
  if (peer == nullptr) {
    return;
  }
  if (IsTraversalServer(zones_[id]->config.plan.type)) {
    // A client that lives says so before; until then all others are taken first.
    const Instant last = core_.now() + kTraversalPeriod + kTraversalDoubt;
    core_.timers.Arm(peer->timer, std::min(last, peer->timer.deadline()));
  } else if (peer->probe.client == nullptr && peer->location == nullptr) {
    core_.timers.Arm(peer->timer, kZoneStartDelay);
  }
}

void Zones::TellThrottle(const Peer& peer) const {
  core_.observer.OnThrottle({.zone = zones_[peer.zone]->config.plan.name.view(),
                             .peer = peer.host.view(),
                             .remote = peer.remote,
                             .percent = peer.throttle.percent(core_.now())});
}

bool Zones::FlowInto(ZoneId id, const net::Endpoint& remote, Flow& out) {
  Zone* zone = ZoneOf(id);
  if (zone == nullptr || !IsTraversal(id)) {
    return false;
  }
  const Peer* best = nullptr;
  for (const Peer& peer : zone->peers) {
    const bool is_better = best == nullptr || peer.flow.remote == remote ||
                           (best->flow.remote != remote && IsFresher(peer, *best));
    best = peer.has_flow && is_better ? &peer : best;
  }
  if (best != nullptr) {
    out = best->flow;
  }
  return best != nullptr;
}

uint8_t Zones::PeerBehind(ZoneId id, const Flow& flow) const {
  const Zone* zone = id < zones_.size() ? zones_[id] : nullptr;
  const bool has_addresses = zone != nullptr && IsTraversalClient(zone->config.plan.type);
  for (uint8_t i = 0; zone != nullptr && i < kZonePeerMax; ++i) {
    // Who comes to us comes from another port each time.
    if (zone->peers[i].remote == flow.remote && (has_addresses || zone->peers[i].has_flow)) {
      return i;
    }
  }
  return kZonePeerMax;
}

bool Zones::Next(uint32_t& cursor, ZonePeerStatus& out) const {
  for (; cursor < zones_.size() * kZonePeerMax; ++cursor) {
    const Zone* zone = zones_[cursor / kZonePeerMax];
    if (zone == nullptr || !zone->is_used) {
      continue;
    }
    const auto index = static_cast<uint32_t>(cursor % kZonePeerMax);
    const Peer& peer = zone->peers[index];
    const bool is_dns = zone->config.plan.type == ZoneType::kDns;
    // A zone without any peer shows itself once.
    if (peer.host.empty() && index != 0) {
      continue;
    }
    out = {static_cast<ZoneId>(cursor / kZonePeerMax),
           zone->config.plan.name.view(),
           dialplan::ZoneTypeName(zone->config.plan.type),
           peer.host.view(),
           peer.remote,
           is_dns ? PeerState::kUp : peer.state,
           peer.calls,
           peer.status,
           peer.why};
    ++cursor;
    return true;
  }
  return false;
}

}  // namespace gh::sip
