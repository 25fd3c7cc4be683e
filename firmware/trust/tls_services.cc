// Carries settings into endpoints, and what endpoints meet into events and status.
#include "firmware/trust/tls_services.h"

namespace gh {
namespace {

using namespace log::event;

using net::TlsService;

constexpr const char* kServiceNames[] = {"SIP",        "TURN", "Web",  "HSM",
                                         "Federation", "ACME", "XMPP", "XMPP-Server"};
static_assert(std::size(kServiceNames) == net::kTlsServiceCount);

// RFC 3261's, RFC 7443, RFC 8737.
constexpr const char* kSipProtocols[] = {"sip/2"};
constexpr const char* kTurnProtocols[] = {"stun.turn", "stun.nat-discovery"};
constexpr const char* kWebProtocols[] = {"http/1.1"};
constexpr const char* kAcmeProtocols[] = {"acme-tls/1"};
constexpr const char* kXmppProtocols[] = {"xmpp-client"};        // XEP-0368
constexpr const char* kXmppServerProtocols[] = {"xmpp-server"};  // both ways

std::span<const char* const> ProtocolsOf(TlsService service) {
  switch (service) {
    case TlsService::kSip:
      return kSipProtocols;
    case TlsService::kTurn:
      return kTurnProtocols;
    case TlsService::kWeb:
      return kWebProtocols;
    case TlsService::kAcme:
      return kAcmeProtocols;
    case TlsService::kXmpp:
      return kXmppProtocols;
    case TlsService::kXmppServer:
      return kXmppServerProtocols;
    default:
      return {};
  }
}

const char* NameOf(TlsService service) { return kServiceNames[static_cast<size_t>(service)]; }

crypto::ClientAuth AuthOf(config::TlsClientAuthentication asked) {
  switch (asked) {
    case config::TlsClientAuthentication::kOptional:
      return crypto::ClientAuth::kOptional;
    case config::TlsClientAuthentication::kRequired:
      return crypto::ClientAuth::kRequired;
    default:
      return crypto::ClientAuth::kOff;
  }
}

template <typename Group>
Result<void> Take(const Group& group, crypto::TlsPolicy& policy) {
  policy.minimum = group.minimum_version == config::TlsMinimum::kTLSv13
                       ? crypto::TlsVersion::kTls13
                       : crypto::TlsVersion::kTls12;
  return policy.SetSuites(group.ciphers.view());
}

}  // namespace

TlsServices::TlsServices(const TlsServiceParts& parts, const net::Capacity& capacity)
    : parts_(parts),
      streams_({parts.tcp, parts.loop, parts.arena, parts.random, parts.clock}, capacity) {
  streams_.SetObserver(*this);
  Build(TlsService::kSip, true, true);
  Build(TlsService::kTurn, true, false);
  Build(TlsService::kWeb, true, false);
  Build(TlsService::kAcme, true, false);
  Build(TlsService::kFederation, true, false);
  Build(TlsService::kHsm, false, true);
  Build(TlsService::kXmpp, true, false);
  Build(TlsService::kXmppServer, true, true);
}

void TlsServices::Build(TlsService service, bool server, bool client) {
  const auto index = static_cast<size_t>(service);
  crypto::TlsEndpoint::Parts parts{
      .environment = streams_.environment(),
      .identities = service == TlsService::kHsm ? &parts_.hsm_identities : &parts_.identities,
      .peers = &parts_.peers};
  if (service == TlsService::kXmppServer) {
    parts.peer_role = crypto::PeerRole::kServer;  // few certificates of servers allow more
  }
  if (server) {
    parts.protocols = ProtocolsOf(service);
    servers_[index].emplace(parts);
  }
  if (client) {
    parts.protocols =
        service == TlsService::kXmppServer ? ProtocolsOf(service) : std::span<const char* const>();
    parts.side = crypto::TlsSide::kClient;
    parts.peer_role = crypto::PeerRole::kServer;
    clients_[index].emplace(parts);
  }
  streams_.SetService(service, server ? &*servers_[index] : nullptr,
                      client ? &*clients_[index] : nullptr);
}

std::span<const char* const> TlsServices::TurnProtocols() { return kTurnProtocols; }

crypto::TlsPolicy TlsServices::PolicyOf(TlsService service) const {
  const config::Settings& settings = parts_.configuration.active();
  crypto::TlsPolicy policy;
  policy.Restrict(settings.tls().profile == config::TlsProfile::kRestricted);
  policy.strict_protocols = settings.tls().strict_protocols == config::OnOff::kOn;
  Result<void> taken = Ok();
  switch (service) {
    case TlsService::kSip:
      taken = Take(settings.tls_sip(), policy);
      policy.client_auth = AuthOf(settings.sip_tls().client_authentication);
      break;
    case TlsService::kTurn:
      taken = Take(settings.tls_turn(), policy);
      break;
    case TlsService::kHsm:
      taken = Take(settings.tls_hsm(), policy);
      break;
    case TlsService::kFederation:  // traversal: both sides show certificates
      taken = Take(settings.tls_sip(), policy);
      policy.client_auth = crypto::ClientAuth::kRequired;
      break;
    case TlsService::kWeb:
      taken = Take(settings.tls_web(), policy);
      break;
    case TlsService::kAcme:
      policy.strict_protocols = true;  // challenges of certificates, nothing else
      break;
    case TlsService::kXmpp:
      policy.client_auth = AuthOf(settings.xmpp().client_certificate);
      policy.requires_extended_master_secret = true;
      break;
    case TlsService::kXmppServer:  // a bad certificate is dialback's to mend, if settings allow
      policy.client_auth = crypto::ClientAuth::kOptional;
      policy.judges_later = true;
      policy.requires_extended_master_secret = true;
      break;
  }
  if (!taken.ok()) {
    parts_.log.Emit(TlsPolicyRefused{.service = NameOf(service), .reason = taken.error().what});
  }
  return policy;
}

void TlsServices::Apply() {
  for (uint32_t i = 0; i < net::kTlsServiceCount; ++i) {
    const crypto::TlsPolicy policy = PolicyOf(static_cast<TlsService>(i));
    for (auto* endpoint : {&servers_[i], &clients_[i]}) {
      if (!endpoint->has_value()) {
        continue;
      }
      if (auto configured = (*endpoint)->Configure(policy); !configured.ok()) {
        parts_.log.Emit(
            TlsPolicyRefused{.service = kServiceNames[i], .reason = configured.error().what});
      }
    }
  }
}

void TlsServices::OnTlsFailure(TlsService service, const net::StreamInfo& info,
                               crypto::TlsFailure failure, crypto::PeerVerdict verdict) {
  if (!events_.Take(parts_.loop.now())) {
    ++unreported_;
    return;
  }
  uint8_t peer_bytes[64];
  ByteWriter peer(peer_bytes);
  info.remote.Format(peer);
  FixedString<120> reason(crypto::TlsFailureText(failure));
  if (failure == crypto::TlsFailure::kCertificate) {
    reason.Append(": ");
    reason.Append(crypto::PeerVerdictText(verdict));
  }
  parts_.log.Emit(TlsRefused{.service = NameOf(service),
                             .peer = peer.text(),
                             .reason = reason.view(),
                             .unreported = std::exchange(unreported_, 0)});
}

// --- Status --------------------------------------------------------------------------------------

void TlsServices::AddTo(admin::StatusTree& status) {
  status.AddMember<&TlsServices::NextLine>("TLS", "TLS sessions, handshakes and their failures",
                                           this);
}

bool TlsServices::NextLine(uint64_t& cursor, ByteWriter& out) {
  const net::TlsCounts& counts = streams_.counts();
  const struct {
    const char* name;
    uint64_t value;
  } lines[] = {
      {"Sessions: ", streams_.session_count()},
      {"Sessions Max: ", streams_.session_capacity()},
      {"Handshakes: ", streams_.handshake_count()},
      {"Handshakes Max: ", streams_.handshake_capacity()},
      {"Accepted: ", counts.accepted},
      {"Connected: ", counts.connected},
      {"Resumed: ", counts.resumed},
      {"TLSv1.3: ", counts.tls13},
      {"TLSv1.2: ", counts.tls12},
      {"Memory Bytes: ", streams_.heap().used_bytes()},
      {"Memory Bytes Max: ", streams_.heap().used_bytes_max()},
      {"Session Bytes: ", net::TlsStreams::bytes_per_session()},
  };
  const uint64_t at = cursor++;
  if (at < std::size(lines)) {
    out.Text("TLS ");
    out.Text(lines[at].name);
    out.Decimal(lines[at].value);
    return true;
  }
  const uint64_t failure = at - std::size(lines) + 1;  // after kNone
  if (failure >= crypto::kTlsFailureCount) {
    return false;
  }
  out.Text("TLS Failed ");
  out.Text(crypto::TlsFailureName(static_cast<crypto::TlsFailure>(failure)));
  out.Text(": ");
  out.Decimal(counts.failed[failure]);
  return true;
}

}  // namespace gh
