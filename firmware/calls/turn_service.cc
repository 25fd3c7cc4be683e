#include "firmware/calls/turn_service.h"

#include <algorithm>
#include <charconv>

#include "firmware/admin/status_text.h"
#include "firmware/config/line.h"
#include "firmware/network/network_events.h"

namespace gh {
namespace {

using namespace gh::log::event;
using log::AlarmId;

uint64_t BytesPerSecond(int32_t kilobits) { return static_cast<uint64_t>(kilobits) * 125; }

net::IpAddress BroadcastOf(const net::PortAddress& address) {
  net::IpAddress out = address.address;
  for (uint32_t bit = address.prefix_length; bit < 32; ++bit) {
    out.bytes[bit / 8] = static_cast<uint8_t>(out.bytes[bit / 8] | 0x80 >> bit % 8);
  }
  return out;
}

const char* NameOf(const turn::ClientPath& path) {
  switch (path.transport) {
    case turn::ClientTransport::kUdp:
      return "UDP";
    case turn::ClientTransport::kDtls:
      return "DTLS";
    default:
      return path.is_secure ? "TLS" : "TCP";
  }
}

net::EndpointText RelayTextOf(const turn::AllocationInfo& info) {
  return net::ToText(info.relay[info.relay[0].port != 0 ? 0 : 1]);
}

}  // namespace

// --- Putting together ---------------------------------------------------------------------------

TurnService::TurnService(const TurnParts& parts, const turn::Capacity& capacity,
                         uint32_t user_count)
    : parts_(parts) {
  Arena& arena = parts.arena;
  const uint32_t flow_count = capacity.channels * 2 + parts.other_flows;
  arena.OpenAccount("firmware/media", flow_count);
  plane_ = arena.New<media::Plane>(
      media::PlaneParts{arena, parts.stack, parts.random, parts.loop, parts.core, &parts.clock},
      flow_count);
  parts.stack.AddTap(*plane_);
  arena.OpenAccount("firmware/turn", capacity.allocations);
  credentials_ =
      arena.New<TurnCredentials>(arena, parts.configuration, parts.tls.environment(), user_count);
  BuildDtls(capacity.streams);
  server_ = arena.New<turn::Server>(turn::ServerParts{arena, parts.stack.datagrams(), dtls_,
                                                      parts.tls.streams(), parts.loop.timers()},
                                    capacity.streams);
  dtls_->SetObserver(*this);
  engine_ = arena.New<turn::Engine>(arena,
                                    turn::Ports{*plane_, *server_, parts.loop.timers(),
                                                parts.random, parts.clock, *credentials_, *this},
                                    capacity);
  server_->SetEngine(*engine_);
}

void TurnService::BuildDtls(uint32_t session_count) {
  Arena& arena = parts_.arena;
  arena.OpenAccount("net/dtls", session_count);
  dtls_ = arena.New<net::DtlsService>(net::DtlsService::Parts{parts_.stack.datagrams(), parts_.loop,
                                                              arena, parts_.random, parts_.clock},
                                      session_count, turn::Capacity::DtlsHandshakes(session_count));
  const TlsServiceParts& tls = parts_.tls.parts();
  dtls_endpoint_ = arena.New<crypto::TlsEndpoint>(
      crypto::TlsEndpoint::Parts{.environment = dtls_->environment(),
                                 .transport = crypto::TlsTransport::kDatagram,
                                 .identities = &tls.identities,
                                 .peers = &tls.peers,
                                 .protocols = TlsServices::TurnProtocols()});
  dtls_->SetEndpoint(*dtls_endpoint_);
  arena.OpenAccount("firmware/turn");
}

void TurnService::ApplyDtls() {
  const auto configured = dtls_endpoint_->Configure(parts_.tls.PolicyOf(net::TlsService::kTurn));
  if (!configured.ok()) {
    parts_.log.Emit(TlsPolicyRefused{.service = "TURN", .reason = configured.error().what});
  }
}

turn::Config TurnService::EngineConfig() const {
  const config::Settings& settings = parts_.configuration.active();
  const config::TraversalServerTurn& from = settings.traversal_server_turn();
  turn::Config out;
  out.enabled = from.mode == config::OnOff::kOn && !parts_.configuration.is_factory();
  out.realm.Assign(from.realm.empty() ? config::Configuration::RealmOf(settings)
                                      : from.realm.view());
  out.keys = static_cast<turn::KeyPolicy>(from.keys);
  out.answers_binding = from.binding == config::OnOff::kOn;
  out.is_strict_channels = from.channels == config::TurnChannels::kStrict;
  out.allows_mobility = from.mobility == config::OnOff::kOn;
  out.allows_tcp = from.relay_tcp == config::OnOff::kOn;
  if (from.discovery_mode == config::OnOff::kOn) {
    out.discovery = {from.discovery_address, static_cast<uint16_t>(from.discovery_port)};
    out.discovery_first_port = static_cast<uint16_t>(from.port);
  }
  out.token_server.Assign(from.token_server.view());
  out.lifetime_default_s = static_cast<uint32_t>(from.lifetime_default);
  out.lifetime_max_s = static_cast<uint32_t>(std::max(from.lifetime_max, from.lifetime_default));
  out.nonce_lifetime_s = static_cast<uint32_t>(from.nonce_lifetime);
  for (const auto& secret : settings.traversal_server_turn_secret()) {
    if (!secret.value.empty()) {
      out.secrets[out.secret_count++].Assign(secret.value.view());
    }
  }
  for (const auto& allow : settings.traversal_server_turn_allow()) {
    if (!allow.prefix.address.is_none()) {
      (void)out.allowed.Add(allow.prefix);
    }
  }
  for (const auto& deny : settings.traversal_server_turn_deny()) {
    if (!deny.prefix.address.is_none()) {
      (void)out.denied.Add(deny.prefix);
    }
  }
  out.shown = {from.nat_ipv4, from.nat_ipv6};
  out.port_first = static_cast<uint16_t>(from.media_port_start);
  out.port_last = static_cast<uint16_t>(from.media_port_end);
  out.port_rest = Duration::Seconds(from.media_port_rest);
  out.allocations_per_user = static_cast<uint32_t>(from.user_quota);
  out.allocations_total = static_cast<uint32_t>(from.total_quota);
  out.allocation_bytes_per_s = BytesPerSecond(from.allocation_rate);
  out.user_bytes_per_s = BytesPerSecond(from.user_rate);
  out.total_bytes_per_s = BytesPerSecond(from.total_rate);
  out.unproven_replies_per_s = static_cast<uint32_t>(from.unproven_rate);
  out.unproven_replies_burst = out.unproven_replies_per_s * 4;
  out.unproven_total_per_s = static_cast<uint32_t>(from.unproven_total);
  if (!from.alternate_address.is_none()) {
    out.alternate = {from.alternate_address, static_cast<uint16_t>(from.alternate_port)};
  }
  AddRealms(out);
  AddAddresses(out);
  return out;
}

void TurnService::AddRealms(turn::Config& out) const {
  const auto from = parts_.configuration.active().traversal_server_turn_realm();
  GH_ASSERT_EQ(from.size(), turn::kRealmCountMax);
  for (uint32_t i = 0; i < turn::kRealmCountMax; ++i) {
    turn::RealmConfig& realm = out.realms[i];
    realm.name.Assign(from[i].name.view());
    realm.listener = {from[i].address, static_cast<uint16_t>(from[i].port)};
    realm.domain.Assign(from[i].domain.view());
    for (const auto* secret : {&from[i].secret, &from[i].second_secret}) {
      if (!secret->empty()) {
        realm.secrets[realm.secret_count++].Assign(secret->view());
      }
    }
    realm.allocations_per_user = static_cast<uint32_t>(from[i].user_quota);
    realm.allocations_total = static_cast<uint32_t>(from[i].total_quota);
    realm.user_bytes_per_s = BytesPerSecond(from[i].user_rate);
    realm.total_bytes_per_s = BytesPerSecond(from[i].total_rate);
  }
}

// Its relay addresses, and those of ours that nobody is relayed to.
void TurnService::AddAddresses(turn::Config& out) const {
  const config::TraversalServerTurn& from = parts_.configuration.active().traversal_server_turn();
  for (uint8_t i = 0; i < net::kPortMax; ++i) {
    const net::PortStatus port = parts_.stack.port_status(i);
    for (const net::PortAddress& address : std::span(port.addresses).first(port.address_count)) {
      const uint8_t whole = address.address.is_v6() ? 128 : 32;
      const bool is_management = i == kManagementPort && from.interface != kManagementPort + 1;
      (void)out.own.Add({address.address, is_management ? address.prefix_length : whole});
      if (address.address.is_v4() && address.prefix_length < 31) {
        (void)out.own.Add({BroadcastOf(address), 32});
      }
      const uint32_t family = address.address.is_v6() ? turn::kIpv6Index : turn::kIpv4Index;
      if (i + 1 == from.interface && !address.address.is_link_local() &&
          out.relay[family].is_none()) {
        out.relay[family] = address.address;
      }
    }
  }
}

turn::ListenConfig TurnService::ListenersConfig() const {
  const config::TraversalServerTurn& from = parts_.configuration.active().traversal_server_turn();
  turn::ListenConfig out;
  out.udp = from.transport != config::TurnTransport::kTcp;
  out.tcp = from.transport != config::TurnTransport::kUdp;
  out.tls = from.tls_mode == config::OnOff::kOn;
  out.dtls = from.dtls_mode == config::OnOff::kOn;
  out.tls_port = static_cast<uint16_t>(from.tls_port);
  if (from.discovery_mode == config::OnOff::kOn) {
    out.discovery_port = static_cast<uint16_t>(from.discovery_port);
  }
  out.port_first = static_cast<uint16_t>(from.port);
  out.port_last = static_cast<uint16_t>(std::min(from.port + from.port_count - 1, 65535));
  if (from.mode != config::OnOff::kOn || parts_.configuration.is_factory()) {
    return out;
  }
  for (uint8_t i = 0; i < net::kPortMax; ++i) {
    const net::PortStatus port = parts_.stack.port_status(i);
    for (const net::PortAddress& address : std::span(port.addresses).first(port.address_count)) {
      if (!address.address.is_link_local() && out.address_count < out.addresses.size()) {
        out.addresses[out.address_count++] = address.address;
      }
    }
  }
  return out;
}

void TurnService::OpenFirewall(uint8_t port_mask) {
  const turn::ListenConfig listen = ListenersConfig();
  if (listen.address_count == 0) {
    return;
  }
  for (const bool is_udp : {true, false}) {
    if (is_udp ? listen.udp : listen.tcp) {
      parts_.stack.firewall()
          .Allow({is_udp ? net::Transport::kUdp : net::Transport::kTcp, listen.port_first,
                  listen.port_last, port_mask})
          .ignore("port numbers from the schema's range, few rules");
    }
  }
  const config::TraversalServerTurn& from = parts_.configuration.active().traversal_server_turn();
  if (listen.discovery_port != 0) {
    parts_.stack.firewall()
        .Allow({net::Transport::kUdp, listen.discovery_port, listen.discovery_port, port_mask})
        .ignore("port numbers from the schema's range, few rules");
  }
  if (from.relay_tcp == config::OnOff::kOn) {
    // Only ports of allocations that speak TCP are listened at.
    parts_.stack.firewall()
        .Allow({net::Transport::kTcp, static_cast<uint16_t>(from.media_port_start),
                static_cast<uint16_t>(from.media_port_end), port_mask})
        .ignore("an empty range opens nothing");
  }
  for (const bool is_udp : {true, false}) {
    if (is_udp ? listen.dtls : listen.tls) {
      parts_.stack.firewall()
          .Allow({is_udp ? net::Transport::kUdp : net::Transport::kTcp, listen.tls_port,
                  listen.tls_port, port_mask})
          .ignore("port numbers from the schema's range, few rules");
    }
  }
}

void TurnService::Apply() {
  turn::Config config = EngineConfig();
  const turn::ListenConfig listen = ListenersConfig();
  const bool has_relay = !config.relay[0].is_none() || !config.relay[1].is_none();
  config.enabled = config.enabled && has_relay && !config.realm.empty();
  if (config.enabled) {
    credentials_->Refresh(config);
  }
  std::array<net::IpAddress, turn::kFamilyCount> relays;
  uint32_t count = 0;
  for (const net::IpAddress& address : config.relay) {
    if (!address.is_none()) {
      relays[count++] = address;
    }
  }
  plane_->SetRelayPorts(config.enabled ? engine_ : nullptr, std::span(relays).first(count),
                        config.port_first, config.port_last);
  plane_->SetDscp(parts_.configuration.active().traversal_server_turn().dscp);
  engine_->Apply(config);
  ApplyDtls();
  net::Endpoint failed;
  const uint32_t listeners = server_->Listen(listen, &failed);
  if (failed.port != 0) {
    parts_.log.Emit(ServiceFailed{.service = "TURN", .reason = net::ToText(failed).view()});
  }
  is_serving_ = config.enabled && listeners > 0;
  UpdateAlarms();
}

void TurnService::UpdateAlarms() {
  const config::TraversalServerTurn& settings =
      parts_.configuration.active().traversal_server_turn();
  const bool is_wanted = settings.mode == config::OnOff::kOn && !parts_.configuration.is_factory();
  parts_.alarms.Set(AlarmId::kTurnNotServing, is_wanted && !is_serving_, "");
  const uint32_t used = engine_->allocation_count();
  const turn::RelayPorts& ports = engine_->ports(turn::kIpv4Index);
  const bool few_ports = ports.port_count() > 0 && ports.free_count() * 10 < ports.port_count();
  parts_.alarms.Set(AlarmId::kTurnExhausted,
                    used * uint64_t{10} >= engine_->allocation_capacity() * uint64_t{9} ||
                        (is_serving_ && few_ports),
                    few_ports ? "relay ports" : "allocations");
}

// --- Events -------------------------------------------------------------------------------------

// The user, with its realm where that is not the general one.
std::string_view TurnService::WhoIs(const turn::AllocationInfo& info) {
  who_.Assign(info.user);
  if (info.realm != 0) {
    who_.Append('@');
    who_.Append(engine_->config().RealmAt(info.realm).name);
  }
  return who_.view();
}

void TurnService::OnAllocated(const turn::AllocationInfo& info) {
  parts_.log.Emit(TurnAllocated{.user = WhoIs(info),
                                .client = net::ToText(info.path->remote).view(),
                                .transport = NameOf(*info.path),
                                .relay = RelayTextOf(info).view(),
                                .allocation = info.id});
}

void TurnService::OnEnded(const turn::AllocationInfo& info, turn::EndReason reason) {
  parts_.log.Emit(TurnEnded{.user = WhoIs(info),
                            .client = net::ToText(info.path->remote).view(),
                            .relay = RelayTextOf(info).view(),
                            .allocation = info.id,
                            .reason = turn::EndReasonName(reason),
                            .duration_ms = static_cast<uint64_t>(info.age.milliseconds()),
                            .bytes_up = info.up->bytes(),
                            .bytes_down = info.down->bytes()});
}

void TurnService::OnRefused(const net::Endpoint& client, std::string_view user, uint16_t code) {
  parts_.log.Emit(TurnRefused{.user = user, .client = net::ToText(client).view(), .status = code});
}

// --- Status and commands ------------------------------------------------------------------------

void TurnService::AddTo(admin::StatusTree& status, admin::CommandTable& commands) {
  status.AddMember<&TurnService::NextStatus>("TURN", "The TURN server and the media plane", this);
  status.AddMember<&TurnService::NextDelays>("TURN Delays", "How long packets took, step by step",
                                             this, true);
  status.AddMember<&TurnService::NextAllocation>("TURN Allocation", "Relays in use", this);
  status.AddMember<&TurnService::NextRealm>("TURN Realm", "Realms beside the general one", this);
  admin::Command close;
  close.path = "TURN Close";
  close.help = "Ends one TURN allocation, or all";
  close.context = this;
  close.value_help = "the number of an allocation (xStatus TURN Allocation), or all";
  close.run_value = CloseCommand;
  commands.Add(close);
}

Result<void> TurnService::CloseCommand(void* context, std::string_view by, std::string_view value,
                                       ByteWriter& out) {
  auto& self = *static_cast<TurnService*>(context);
  uint32_t count = 0;
  if (config::EqualsIgnoreCase(value, "all")) {
    count = self.engine_->CloseAll(turn::EndReason::kByOperator);
  } else {
    uint32_t id = 0;
    const char* end = value.data() + value.size();
    const auto [stop, error] = std::from_chars(value.data(), end, id);
    if (error != std::errc() || stop != end) {
      return Error{ErrorCode::kInvalidArgument, "expected the number of an allocation, or all"};
    }
    if (!self.engine_->Close(id)) {
      return Error{ErrorCode::kNotFound, "there is no such allocation (xStatus TURN Allocation)"};
    }
    count = 1;
  }
  self.parts_.log.Emit(TurnClosed{.by = by, .count = count});
  out.Decimal(count);
  out.Text(count == 1 ? " allocation closed." : " allocations closed.");
  return Ok();
}

bool TurnService::NextStatus(uint64_t& cursor, ByteWriter& out) {
  const turn::RelayPorts& ports = engine_->ports(turn::kIpv4Index);
  const uint64_t line = cursor++;
  switch (line) {
    case 0:
      out.Text("TURN Server: ");
      out.Text(is_serving_ ? "Serving" : "Off");
      Tell(out, "listeners", server_->listener_count());
      Tell(out, "streams", server_->stream_count());
      return true;
    case 1:
      out.Text("TURN Allocations:");
      Tell(out, "used", engine_->allocation_count());
      Tell(out, "capacity", engine_->allocation_capacity());
      Tell(out, "users", engine_->user_count());
      Tell(out, "permissions", engine_->permission_count());
      Tell(out, "channels", engine_->channel_count());
      Tell(out, "reservations", engine_->reservation_count());
      Tell(out, "tcp_links", engine_->link_count());
      return true;
    case 2:
      out.Text("TURN Ports:");
      Tell(out, "used", ports.used_count());
      Tell(out, "resting", ports.resting_count());
      Tell(out, "free", ports.free_count());
      Tell(out, "ipv6_used", engine_->ports(turn::kIpv6Index).used_count());
      return true;
    case 3:
      WriteDtls(out);
      return true;
    case 4:
      WriteDelays(out);
      return true;
    default:
      return NextCounters(line - 5, out);
  }
}

void TurnService::WriteDelays(ByteWriter& out) const {
  const media::Delays& delays = plane_->delays();
  out.Text("TURN Delay:");
  Tell(out, "packets", delays.total());
  Tell(out, "p50_ns", delays.PermilleNs(500));
  Tell(out, "p99_ns", delays.PermilleNs(990));
  Tell(out, "p999_ns", delays.PermilleNs(999));
}

// A row for each doubling within which anything was counted.
bool TurnService::NextDelays(uint64_t& cursor, ByteWriter& out) {
  while (cursor < media::kDelayRows) {
    if (WriteDelayRow(static_cast<uint32_t>(cursor++), out)) {
      return true;
    }
  }
  return false;
}

// Each step under its upper bound; false: nothing was counted in this row.
bool TurnService::WriteDelayRow(uint32_t row, ByteWriter& out) const {
  const media::Delays& delays = plane_->delays();
  const uint32_t first = row * media::kDelaySteps;
  const uint32_t end = std::min(first + media::kDelaySteps, media::kDelayBucketMax);
  bool has_any = false;
  for (uint32_t i = first; i < end; ++i) {
    const uint64_t count = delays.bucket(i);
    if (count == 0) {
      continue;
    }
    if (!has_any) {
      has_any = true;
      out.Text("TURN Delays ");
      out.Decimal(row);
      out.Text(":");
    }
    FixedString<20> name(i + 1 < media::kDelayBucketMax ? "ns_" : "more");
    if (i + 1 < media::kDelayBucketMax) {
      uint8_t digits[16];
      ByteWriter bound(digits);
      bound.Decimal(media::Delays::BoundNs(i));
      name.Append(bound.text());
    }
    Tell(out, name.view(), count);
  }
  return has_any;
}

void TurnService::WriteDtls(ByteWriter& out) const {
  const net::DtlsCounts& counts = dtls_->counts();
  out.Text("TURN DTLS:");
  Tell(out, "sessions", dtls_->session_count());
  Tell(out, "capacity", dtls_->session_capacity());
  Tell(out, "handshakes", dtls_->handshake_count());
  Tell(out, "accepted", counts.accepted);
  Tell(out, "cookies", counts.cookies);
  Tell(out, "refused", counts.refused);
  Tell(out, "failed", counts.failed);
}

bool TurnService::NextCounters(uint64_t line, ByteWriter& out) const {
  const turn::Counters& counters = engine_->counters();
  const media::PlaneCounters plane = plane_->counters();
  switch (line) {
    case 0:
      out.Text("TURN Requests:");
      Tell(out, "in", counters.requests);
      Tell(out, "challenges", counters.challenges);
      Tell(out, "auth_failures", counters.auth_failures);
      Tell(out, "allocated", counters.allocated);
      Tell(out, "rate_limited", engine_->rate_limited_count());
      return true;
    case 1:
      out.Text("TURN Refused:");
      Tell(out, "quota", counters.refused_quota);
      Tell(out, "capacity", counters.refused_capacity);
      Tell(out, "peer", counters.refused_peer);
      Tell(out, "unanswered", counters.dropped_unanswered);
      return true;
    case 2:
      out.Text("TURN Relayed:");
      Tell(out, "packets", engine_->total().packets());
      Tell(out, "bytes", engine_->total().bytes());
      Tell(out, "in_place", plane.relayed);
      Tell(out, "by_engine", plane.to_engine);
      Tell(out, "sent", plane.sent);
      Tell(out, "by_stack", plane.sent_by_stack);
      Tell(out, "flows", plane_->flow_count());
      return true;
    case 3:
      out.Text("TURN Dropped:");
      Tell(out, "malformed", counters.dropped_malformed + plane.malformed);
      Tell(out, "stray", counters.dropped_stray + plane.no_port);
      Tell(out, "permission", counters.dropped_permission);
      Tell(out, "bandwidth", counters.dropped_limit + plane.over_limit);
      Tell(out, "checksum", plane.bad_checksum);
      Tell(out, "too_large", plane.too_large);
      Tell(out, "no_frame", plane.no_frame);
      return true;
    default:
      return false;
  }
}

bool TurnService::NextAllocation(uint64_t& cursor, ByteWriter& out) {
  turn::AllocationInfo info;
  auto at = static_cast<uint32_t>(cursor);
  if (!engine_->NextAllocation(at, info)) {
    return false;
  }
  cursor = at;
  out.Text("TURN Allocation ");
  out.Decimal(info.id);
  out.Text(": ");
  out.Text(WhoIs(info));
  out.Text(" client=");
  out.Text(net::ToText(info.path->remote).view());
  out.Text(" transport=");
  out.Text(NameOf(*info.path));
  for (const net::Endpoint& relay : info.relay) {
    if (relay.port != 0) {
      out.Text(" relay=");
      out.Text(net::ToText(relay).view());
    }
  }
  Tell(out, "permissions", info.permission_count);
  Tell(out, "channels", info.channel_count);
  Tell(out, "flows", info.flow_count);
  Tell(out, "packets_up", info.up->packets());
  Tell(out, "packets_down", info.down->packets());
  Tell(out, "bytes_up", info.up->bytes());
  Tell(out, "bytes_down", info.down->bytes());
  Tell(out, "dropped", info.up->dropped() + info.down->dropped());
  Tell(out, "expires_s", info.remaining_s);
  return true;
}

bool TurnService::NextRealm(uint64_t& cursor, ByteWriter& out) {
  const turn::Config& config = engine_->config();
  while (cursor < turn::kRealmCountMax && config.realms[cursor].name.empty()) {
    ++cursor;
  }
  if (cursor >= turn::kRealmCountMax) {
    return false;
  }
  const auto number = static_cast<uint32_t>(++cursor);
  const media::Meter& meter = engine_->realm_meter(number);
  out.Text("TURN Realm ");
  out.Decimal(number);
  out.Text(": ");
  out.Text(config.RealmAt(number).name);
  Tell(out, "allocations", engine_->realm_allocation_count(number));
  Tell(out, "packets", meter.packets());
  Tell(out, "bytes", meter.bytes());
  return true;
}

}  // namespace gh
