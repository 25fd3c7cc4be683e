#include "firmware/messaging/federation_service.h"

#include "crypto/other_names.h"
#include "crypto/path_check.h"
#include "firmware/admin/status_text.h"

namespace gh {

using namespace gh::log::event;
using log::AlarmId;

namespace {

s2s::Direction DirectionOf(config::FederationDirection direction) {
  switch (direction) {
    case config::FederationDirection::kIncoming:
      return s2s::Direction::kIncoming;
    case config::FederationDirection::kOutgoing:
      return s2s::Direction::kOutgoing;
    default:
      return s2s::Direction::kBoth;
  }
}

// "*.example.com" as well as "example.com", prepared; false: it is none.
bool PreparePattern(std::string_view text, FixedString<xmpp::kDomainMax>& out) {
  const bool is_wild = text.starts_with("*.");
  FixedString<xmpp::kDomainMax> domain;
  if (text.empty() || !xmpp::PrepareDomain(is_wild ? text.substr(2) : text, domain).ok()) {
    return false;
  }
  out.Assign(is_wild ? "*." : "");
  return out.Append(domain.view());
}

std::string_view StateOf(const s2s::Link& link) {
  switch (link.state) {
    case s2s::LinkState::kLooking:
      return "looking";
    case s2s::LinkState::kConnecting:
      return "connecting";
    case s2s::LinkState::kReady:
      return "ready";
    case s2s::LinkState::kSuspended:
      return "suspended";
    case s2s::LinkState::kBackingOff:
      return "failed";
    default:
      return "negotiating";
  }
}

}  // namespace

FederationService::FederationService(const FederationParts& parts, const s2s::Capacity& capacity)
    : parts_(parts),
      listeners_(parts.stack, parts.tls, parts.log, "XMPP federation"),
      partner_listeners_(parts.stack, parts.tls, parts.log, "XMPP partners") {
  uint8_t bytes[64];
  ByteWriter secret(bytes);
  for (uint32_t i = 0; i < 4; ++i) {
    secret.Hex(parts.random.U64(), 16);
  }
  own_secret_.Assign(secret.text());
  federation_ = parts.arena.New<s2s::Federation>(
      s2s::Federation::Parts{parts.arena, parts.loop.timers(), parts.random, parts.resolver,
                             parts.xmpp.engine(), *this, *this},
      capacity);
  parts.xmpp.engine().SetRemote(federation_);
}

// --- Settings ------------------------------------------------------------------------------------

s2s::Config FederationService::EngineConfig() const {
  const config::Settings& settings = parts_.configuration.active();
  const config::XmppFederation& from = settings.xmpp_federation();
  const auto is_on = [](config::OnOff value) { return value == config::OnOff::kOn; };
  s2s::Config out;
  out.enabled = is_on(from.mode) && parts_.xmpp.engine().config().enabled;
  out.security = from.security == config::XmppSecurity::kNoTLS         ? s2s::Security::kNone
                 : from.security == config::XmppSecurity::kTLSOptional ? s2s::Security::kOptional
                                                                       : s2s::Security::kRequired;
  out.requires_certificate = is_on(from.certificates);
  out.external_in = is_on(from.external_in);
  out.external_out = is_on(from.external_out);
  out.dialback = is_on(from.dialback);
  out.bidirectional = is_on(from.bidirectional);
  out.multiplexing = is_on(from.multiplexing);
  out.management = is_on(from.management);
  out.resume = Duration::Seconds(from.resume_s);
  out.secret.Assign(from.dialback_secret.empty() ? own_secret_.view()
                                                 : from.dialback_secret.view());
  out.idle = Duration::Minutes(from.idle_minutes);
  out.stanza_max = parts_.xmpp.engine().config().stanza_max;
  out.policy.allows_by_default = from.policy == config::FederationPolicy::kAllow;
  for (const config::XmppFederationException& each : settings.xmpp_federation_exception()) {
    s2s::Exception& exception = out.policy.exceptions[out.policy.exception_count];
    if (PreparePattern(each.domain.view(), exception.domain)) {
      exception.direction = DirectionOf(each.direction);
      ++out.policy.exception_count;
    }
  }
  for (const config::XmppFederationRoute& each : settings.xmpp_federation_route()) {
    s2s::Route& route = out.routes[out.route_count];
    if (!each.address.empty() && PreparePattern(each.domain.view(), route.domain)) {
      route.host.Assign(each.address.view());
      route.port = static_cast<uint16_t>(each.port);
      route.is_tls = is_on(each.tls);
      ++out.route_count;
    }
  }
  out.draining = settings.maintenance().mode == config::OnOff::kOn;
  out.stanza_rate = static_cast<uint32_t>(from.stanza_rate);
  out.domain_streams = static_cast<uint32_t>(from.domain_streams);
  out.emails = is_on(from.email);
  for (const config::XmppFederationEmailDomain& each : settings.xmpp_federation_email_domain()) {
    auto& domain = out.email_domains[out.email_domain_count];
    out.email_domain_count +=
        xmpp::IsEmailDomain(each.name.view()) && xmpp::PrepareDomain(each.name.view(), domain).ok()
            ? 1
            : 0;
  }
  AddPartners(out);
  return out;
}

void FederationService::AddPartners(s2s::Config& out) const {
  const config::Settings& settings = parts_.configuration.active();
  out.by_edge = settings.xmpp_federation().path == config::XmppFederationPath::kEdge;
  for (const config::XmppFederationEdge& each : settings.xmpp_federation_edge()) {
    if (!each.address.empty()) {
      s2s::Route& edge = out.edges[out.edge_count++];
      edge.host.Assign(each.address.view());
      edge.port = static_cast<uint16_t>(each.port);
      edge.is_tls = true;
    }
  }
  for (const config::XmppFederationRelay& each : settings.xmpp_federation_relay()) {
    s2s::Partner& partner = out.partners[out.partner_count];
    if (!each.peer.empty() && PreparePattern(each.domain.view(), partner.domain)) {
      partner.peer.Assign(each.peer.view());
      ++out.partner_count;
    }
  }
  const config::XmppComponent& components = settings.xmpp_component();
  out.component_rate = static_cast<uint32_t>(components.stanza_rate);
  if (components.mode != config::OnOff::kOn || !parts_.xmpp.engine().config().enabled) {
    return;
  }
  for (const config::XmppComponentService& each : settings.xmpp_component_service()) {
    s2s::Partner& partner = out.partners[out.partner_count];
    if (!each.secret.empty() && PreparePattern(each.name.view(), partner.domain)) {
      partner.secret.Assign(each.secret.view());
      ++out.partner_count;
    }
  }
}

void FederationService::Listen() {
  const config::XmppFederation& from = parts_.configuration.active().xmpp_federation();
  std::array<XmppDoor, XmppListeners::kDoorMax> doors;
  size_t count = 0;
  if (federation_->config().enabled && !federation_->config().by_edge) {  // EXP-004
    doors[count++] = {from.port, false, net::TlsService::kXmppServer, this};
    if (from.tls_mode == config::OnOff::kOn &&
        federation_->config().security != s2s::Security::kNone) {
      doors[count++] = {from.tls_port, true, net::TlsService::kXmppServer, this};
    }
  }
  listeners_.Open(std::span(doors).first(count));
}

void FederationService::ListenForPartners() {
  const config::Settings& settings = parts_.configuration.active();
  const config::XmppComponent& components = settings.xmpp_component();
  std::array<XmppDoor, XmppListeners::kDoorMax> doors;
  size_t count = 0;
  bool has_components = false, has_devices = false;
  for (uint32_t i = 0; i < federation_->config().partner_count; ++i) {
    const bool is_component = federation_->config().partners[i].is_component();
    has_components = has_components || is_component;
    has_devices = has_devices || !is_component;
  }
  component_port_ = relay_port_ = 0;
  if (has_components && components.source.address.byte_count() != 0) {  // from nowhere else
    component_source_ = components.source;
    component_port_ = static_cast<uint16_t>(components.port);
    doors[count++] = {.port = components.port,
                      .is_tls = components.tls == config::OnOff::kOn,
                      .service = net::TlsService::kXmppServer,
                      .handler = this,
                      .port_mask = static_cast<uint8_t>(1u << (components.lan - 1))};
  }
  if (has_devices && federation_->config().enabled) {
    relay_port_ = static_cast<uint16_t>(settings.xmpp_federation().relay_port);
    doors[count++] = {relay_port_, true, net::TlsService::kXmppServer, this};
  }
  partner_listeners_.Open(std::span(doors).first(count));
}

void FederationService::Apply() {
  federation_->Apply(EngineConfig());
  Listen();
  ListenForPartners();
  UpdateAlarms();
}

void FederationService::UpdateAlarms() {
  const bool is_wanted =
      parts_.configuration.active().xmpp_federation().mode == config::OnOff::kOn &&
      !parts_.configuration.is_factory();
  const bool by_edge = federation_->config().by_edge;
  parts_.alarms.Set(AlarmId::kXmppFederationNotServing,
                    is_wanted && !by_edge && listeners_.count() == 0, "");
  parts_.alarms.Set(AlarmId::kXmppEdgeAway, is_wanted && by_edge && !federation_->IsEdgeConnected(),
                    "");
  WatchNames();
  WatchMaintenance();
}

// In maintenance what is there may stay as long as the operator says.
void FederationService::WatchMaintenance() {
  const config::Maintenance& from = parts_.configuration.active().maintenance();
  if (maintenance_.IsOver(from.mode == config::OnOff::kOn, Duration::Minutes(from.xmpp_minutes),
                          parts_.loop.now())) {
    const uint64_t clients = parts_.xmpp.engine().CloseAll("maintenance");
    const uint64_t servers = federation_->CloseAll("maintenance");
    parts_.log.Emit(XmppDrained{.clients = clients, .servers = servers});
  }
}

void FederationService::OpenFirewall(uint8_t port_mask) {
  listeners_.OpenFirewall(port_mask);
  partner_listeners_.OpenFirewall(port_mask);
}

// --- Streams -------------------------------------------------------------------------------------

bool FederationService::OnStreamOpen(net::StreamId id, const net::StreamInfo& info) {
  const bool is_tls = info.kind == net::StreamKind::kTls;
  if (federation_->Knows(id)) {  // one of ours, or after STARTTLS
    federation_->OnConnected(id, is_tls);
    return true;
  }
  const bool is_component = component_port_ != 0 && info.local.port == component_port_;
  const bool is_device = relay_port_ != 0 && info.local.port == relay_port_;
  if (!info.accepted || (is_component && !component_source_.Contains(info.remote.address))) {
    return false;
  }
  return federation_->OnOpen(id, info.remote, is_tls,
                             is_component ? s2s::Door::kComponents
                             : is_device  ? s2s::Door::kRelay
                                          : s2s::Door::kServers);
}

size_t FederationService::OnStreamData(net::StreamId id, std::span<uint8_t> data) {
  return federation_->OnData(id, data);
}

void FederationService::OnStreamWritable(net::StreamId id) { federation_->OnWritable(id); }

void FederationService::OnStreamClosed(net::StreamId id, net::StreamClose why) {
  federation_->OnClosed(id, why);
}

Result<net::StreamId> FederationService::Connect(const s2s::Hop& hop, std::string_view name) {
  FixedString<xmpp::kDnsDomainMax> encoded;
  if (!xmpp::DomainForDns(name, encoded)) {
    return Error{ErrorCode::kMalformed, "no name that DNS could have"};
  }
  net::StreamOptions options;
  options.kind = net::StreamKind::kTls;
  options.service = net::TlsService::kXmppServer;
  options.server_name = encoded.view();
  options.starts_plain = !hop.is_tls;
  return parts_.tls.streams().Connect(hop.remote, options, *this);
}

Result<void> FederationService::Send(net::StreamId stream, std::span<const uint8_t> bytes) {
  return parts_.tls.streams().SendStream(stream, bytes);
}

Result<void> FederationService::StartTls(net::StreamId stream) {
  return parts_.tls.streams().StartTls(stream);
}

Result<void> FederationService::SecureAsClient(net::StreamId stream, std::string_view name) {
  FixedString<xmpp::kDnsDomainMax> encoded;
  if (!xmpp::DomainForDns(name, encoded)) {
    return Error{ErrorCode::kMalformed, "no name that DNS could have"};
  }
  return parts_.tls.streams().SecureAsClient(stream, encoded.view());
}

void FederationService::Close(net::StreamId stream) { parts_.tls.streams().CloseStream(stream); }

void FederationService::Abort(net::StreamId stream) { parts_.tls.streams().AbortStream(stream); }

void FederationService::Resume(net::StreamId stream) { parts_.tls.streams().ResumeStream(stream); }

bool FederationService::IsProved(net::StreamId stream, std::string_view domain) {
  const crypto::TlsSession* session = parts_.tls.streams().SessionOf(stream);
  const mbedtls_x509_crt* peer = session != nullptr ? session->peer() : nullptr;
  FixedString<xmpp::kDnsDomainMax> name;
  // RFC 6120 section 13.7.2.1.
  return peer != nullptr && session->verdict() == crypto::PeerVerdict::kGood &&
         xmpp::DomainForDns(domain, name) &&
         (crypto::NamesHost(*peer, name.view()) ||
          crypto::NamesService(*peer, "_xmpp-server", name.view()) ||
          crypto::NamesXmppDomain(*peer, domain));
}

// --- Events --------------------------------------------------------------------------------------

void FederationService::OnFederated(std::string_view local, std::string_view remote, bool incoming,
                                    const net::Endpoint& peer, std::string_view how) {
  parts_.log.Emit(XmppFederated{.local = local,
                                .remote = remote,
                                .direction = incoming ? "from" : "to",
                                .peer = net::ToText(peer).view(),
                                .method = how});
}

void FederationService::OnFailed(std::string_view remote, std::string_view reason) {
  parts_.log.Emit(XmppFederationFailed{.remote = remote, .reason = reason});
}

void FederationService::OnRefused(std::string_view remote, const net::Endpoint& peer,
                                  std::string_view reason) {
  parts_.log.Emit(
      XmppFederationRefused{.peer = net::ToText(peer).view(), .remote = remote, .reason = reason});
}

void FederationService::OnPartner(const char* kind, std::string_view name,
                                  const net::Endpoint& peer, bool is_up, std::string_view reason) {
  parts_.log.Emit(XmppPartnerChanged{.kind = kind,
                                     .name = name,
                                     .peer = net::ToText(peer).view(),
                                     .state = is_up ? "connected" : "away",
                                     .reason = reason});
}

void FederationService::OnDropped(std::string_view remote, std::string_view address) {
  parts_.log.Emit(XmppEmailDropped{.remote = remote, .address = address});
}

// --- Commands and status -------------------------------------------------------------------------

void FederationService::AddTo(admin::StatusTree& status, admin::CommandTable& commands) {
  status.AddMember<&FederationService::NextStatus>(
      "XMPP Federation", "Streams with other XMPP servers, counted", this);
  status.AddMember<&FederationService::NextStream>("XMPP FederationStream",
                                                   "Streams with other XMPP servers", this);
  admin::Command disconnect;
  disconnect.path = "XMPP Federation Disconnect";
  disconnect.help = "Closes the streams with another server's domain; they open again when wanted";
  disconnect.value_help = "the domain, or All";
  disconnect.context = this;
  disconnect.run_value = [](void* context, std::string_view by, std::string_view value,
                            ByteWriter& out) {
    return static_cast<FederationService*>(context)->Disconnect(by, value, out);
  };
  commands.Add(disconnect);
  AddNamesTo(status, commands);
}

Result<void> FederationService::Disconnect(std::string_view by, std::string_view value,
                                           ByteWriter& out) {
  FixedString<xmpp::kDomainMax> domain;
  if (value != "All" && !xmpp::PrepareDomain(value, domain).ok()) {
    return Error{ErrorCode::kInvalidArgument, "expected a domain, or All"};
  }
  const uint32_t count = federation_->Disconnect(domain.view());
  if (count == 0) {
    return Error{ErrorCode::kNotFound, "there is no such stream (xStatus XMPP FederationStream)"};
  }
  parts_.log.Emit(XmppFederationClosed{.by = by, .count = count});
  out.Decimal(count);
  out.Text(count == 1 ? " stream closed." : " streams closed.");
  return Ok();
}

bool FederationService::NextStatus(uint64_t& cursor, ByteWriter& out) {
  const s2s::Counters& counters = federation_->counters();
  switch (cursor++) {
    case 0:
      out.Text("XMPP Federation Server: ");
      out.Text(listeners_.count() > 0 ? "Serving" : "Off");
      Tell(out, "listeners", listeners_.count());
      Tell(out, "streams", federation_->link_count());
      Tell(out, "capacity", federation_->link_capacity());
      Tell(out, "bytes_each", s2s::Federation::bytes_per_link());
      Tell(out, "readers", federation_->reader_count());
      return true;
    case 1:
      out.Text("XMPP Federation Proofs:");
      Tell(out, "connected", counters.connected);
      Tell(out, "accepted", counters.accepted);
      Tell(out, "failed", counters.failed);
      Tell(out, "refused", counters.refused);
      Tell(out, "by_certificate", counters.by_certificate);
      Tell(out, "by_dialback", counters.by_dialback);
      Tell(out, "keys_verified", counters.keys_verified);
      return true;
    case 2:
      out.Text("XMPP Federation Stanzas:");
      Tell(out, "in", counters.stanzas_in);
      Tell(out, "out", counters.stanzas_out);
      Tell(out, "acknowledged", counters.acknowledged);
      Tell(out, "resumed", counters.resumed);
      Tell(out, "returned", counters.returned);
      Tell(out, "forbidden", counters.forbidden);
      Tell(out, "relayed", counters.relayed);
      Tell(out, "dropped", counters.dropped);
      Tell(out, "held_back", counters.held_back);
      Tell(out, "blocks_free", federation_->chains().free_count());
      Tell(out, "blocks", federation_->chains().capacity());
      return true;
    default:
      return false;
  }
}

bool FederationService::NextStream(uint64_t& cursor, ByteWriter& out) {
  for (; cursor < federation_->link_capacity(); ++cursor) {
    s2s::Link* link = federation_->LinkAt(static_cast<uint32_t>(cursor));
    if (link == nullptr) {
      continue;
    }
    ++cursor;
    out.Text("XMPP FederationStream ");
    out.Decimal(cursor);
    out.Text(link->kind == s2s::LinkKind::kIncoming    ? ": from "
             : link->kind == s2s::LinkKind::kVerifying ? ": asking "
                                                       : ": to ");
    out.Text(link->pair().remote.empty() ? "?" : link->pair().remote.view());
    Tell(out, "local", link->pair().local.empty() ? "?" : link->pair().local.view());
    Tell(out, "peer", net::ToText(link->remote).view());
    Tell(out, "state", StateOf(*link));
    Tell(out, "tls", link->secure ? "yes" : "no");
    Tell(out, "proof",
         link->unproven                ? "none"
         : link->proved_by_certificate ? "certificate"
                                       : "dialback");
    Tell(out, "both_ways", link->bidirectional ? "yes" : "no");
    Tell(out, "in", link->stanzas_in);
    Tell(out, "out", link->stanzas_out);
    Tell(out, "waiting", link->queued);
    Tell(out, "carried", link->carrier.valid() ? "yes" : "no");
    return true;
  }
  return false;
}

}  // namespace gh
