// Streams of ours: where the other server is, TLS as far as it is wanted, our proof; and those that
// only ask whether a dialback key is one.
#include "firmware/s2s/federation.h"
#include "hal/rt/base64.h"

namespace gh::s2s {

using xmpp::Node;
using xmpp::WriteAttribute;
namespace ns = xmpp::ns;

Link* Federation::NewOutgoing(std::string_view local, std::string_view remote, LinkKind kind,
                              Door door) {
  Link* link = links_.Allocate();
  if (link == nullptr) {
    return nullptr;
  }
  link->owner = this;
  link->kind = kind;
  link->door = door;
  link->state = LinkState::kLooking;
  link->pair_count = 1;
  link->used = timers_.now();
  const bool is_named = link->pair().local.Assign(local) && link->pair().remote.Assign(remote);
  if (!is_named || (kind == LinkKind::kOutgoing && door == Door::kServers && !AddRoute(*link))) {
    links_.Release(link);
    return nullptr;
  }
  verifying_ += kind == LinkKind::kVerifying ? 1 : 0;
  return link;
}

// --- To an address -------------------------------------------------------------------------------

void Federation::BeginLookup(Link& link) {
  const std::string_view remote = link.pair().remote.view();
  link.lookup = lookups_.Allocate();
  if (link.lookup == nullptr) {
    link.reason = "too many domains are looked for";
    GiveUp(link);
    return;
  }
  const bool wants_tls = config_.security != Security::kNone;
  const Route* route = nullptr;
  for (uint32_t i = 0; i < config_.route_count && route == nullptr; ++i) {
    route = MatchesDomain(config_.routes[i].domain.view(), remote) ? &config_.routes[i] : nullptr;
  }
  if (IsPartner(link)) {
    link.lookup->StartAt(resolver_, random_, link, remote, config_.edges[edge_].port, true);
  } else if (route != nullptr) {
    link.lookup->StartAt(resolver_, random_, link, route->host.view(), route->port,
                         route->is_tls && wants_tls);
  } else {
    link.lookup->Start(resolver_, random_, link, remote, wants_tls);
  }
  TryNext(link);
}

void Federation::TryNext(Link& link) {
  for (;;) {
    Hop hop;
    const Lookup::Answer answer = link.attempts < kAttemptMax && link.lookup != nullptr
                                      ? link.lookup->Next(hop)
                                      : Lookup::Answer::kNone;
    if (answer == Lookup::Answer::kLater) {
      link.state = LinkState::kLooking;
      Arm(link, Duration::Seconds(kAttemptSeconds));
      return;
    }
    if (answer == Lookup::Answer::kNone) {
      GiveUp(link);
      return;
    }
    TryHop(link, &hop);
    if (link.connected || CarrierOf(link) != nullptr) {
      return;
    }
  }
}

void Link::OnHop(const Hop* next) {
  Federation& federation = *owner;
  if (next == nullptr) {
    federation.GiveUp(*this);
  } else {
    federation.TryHop(*this, next);
    if (!connected && federation.CarrierOf(*this) == nullptr) {
      federation.TryNext(*this);
    }
  }
  federation.Settle();
}

void Federation::TryHop(Link& link, const Hop* hop) {
  ++link.attempts;
  link.hop = *hop;
  link.remote = hop->remote;
  link.state = LinkState::kConnecting;
  link.secure = link.bidirectional = link.proved_by_certificate = false;
  link.unproven_bytes = 0;
  if (Ride(link, hop)) {
    return;
  }
  link.offers_dialback = link.offers_errors = false;
  Arm(link, Duration::Seconds(kAttemptSeconds));
  const auto connected = host_.Connect(*hop, link.pair().remote.view());
  if (!connected.ok()) {
    link.reason = connected.error().what;
  } else if (!Attach(link, *connected)) {
    host_.Abort(*connected);
  }
}

// This address will not do: the next one.
void Federation::AttemptFailed(Link& link, const char* reason) {
  if (link.doomed || link.state == LinkState::kBackingOff) {
    return;
  }
  if (CarrierOf(link) != nullptr) {
    LeaveRide(link);
    return;
  }
  link.reason = reason;
  link.condition = "remote-server-timeout";
  HangUp(link);
  TryNext(link);
}

void Federation::GiveUp(Link& link) {
  if (link.lookup != nullptr) {
    if (link.lookup->found_any() || link.attempts > 0) {
      link.condition = "remote-server-timeout";
    } else {
      link.reason = "there is no such server in DNS";
    }
    lookups_.Release(link.lookup);
    link.lookup = nullptr;
  }
  ++counters_.failed;
  observer_.OnFailed(link.pair().remote.view(), link.reason);
  if (link.kind == LinkKind::kVerifying) {
    OnVerified(link, false, link.condition);
    return;
  }
  link.state = LinkState::kBackingOff;
  (void)EndRides(link);
  Arm(link, Duration::Seconds(kBackOffSeconds));
  if (!link.doomed_node.linked()) {
    doomed_.PushBack(link);  // Settle gives back what waited
  }
  timers_.Arm(settle_timer_, Duration::Seconds(0));
}

// --- The stream ----------------------------------------------------------------------------------

void Federation::OnOutgoing(Link& link, const Node& element) {
  const bool is_negotiating = link.state == LinkState::kNegotiating;
  if (element.Is("features", ns::kStreams)) {
    if (is_negotiating) {
      OnFeatures(link, element);
    }
  } else if (element.Is("proceed", ns::kTls) && is_negotiating && !link.secure) {
    ReturnReader(link);
    link.state = LinkState::kSecuring;
    if (auto begun = host_.SecureAsClient(link.stream, link.pair().remote.view()); !begun.ok()) {
      AttemptFailed(link, begun.error().what);
    }
  } else if (element.Is("failure", ns::kTls)) {
    AttemptFailed(link, "it refused TLS");
  } else if (element.Is("success", ns::kSasl) && link.state == LinkState::kAuthenticating) {
    ReturnReader(link);
    link.proved_by_certificate = true;
    link.state = LinkState::kOpening;
    WriteHeader(link);
  } else if (element.Is("failure", ns::kSasl) && link.state == LinkState::kAuthenticating) {
    if (config_.dialback && !IsPartner(link)) {
      SendKey(link);
    } else {
      AttemptFailed(link, "it refused our certificate");
    }
  } else if (element.Is("result", kDialbackSpace) && link.state == LinkState::kDialback) {
    if (element.Get("type") == "valid") {
      OnReady(link, "dialback");
    } else {
      AttemptFailed(link, "it refused our dialback key");
    }
  } else if (element.Is("result", kDialbackSpace) && link.state == LinkState::kReady) {
    OnRideAnswer(link, element);
  } else if (element.Is("verify", kDialbackSpace) && link.kind == LinkKind::kVerifying &&
             link.state == LinkState::kDialback && element.Get("id") == link.asked_id.view()) {
    const std::string_view type = element.Get("type");
    OnVerified(link, type == "valid", type == "error" ? "item-not-found" : std::string_view());
  }
}

void Federation::OnFeatures(Link& link, const Node& features) {
  link.offers_management = features.Child("sm", ns::kManagement) != nullptr;
  if (const Node* dialback = features.Child("dialback", "urn:xmpp:features:dialback")) {
    link.offers_dialback = true;
    link.offers_errors = dialback->Child("errors", dialback->space) != nullptr;
  }
  const Node* tls = features.Child("starttls", ns::kTls);
  const bool has_tls = tls != nullptr;
  if (!link.secure && has_tls && config_.security != Security::kNone && !link.without_tls) {
    Write(link, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    return;
  }
  if (!link.secure && config_.security == Security::kRequired) {
    AttemptFailed(link, "it offers no TLS, which is required");
    return;
  }
  if (!link.secure && has_tls && tls->Child("required", ns::kTls) != nullptr) {
    AttemptFailed(link, "it requires TLS");  // some would let us wait for nothing
    return;
  }
  if (link.kind == LinkKind::kVerifying) {
    SendVerify(link);
    return;
  }
  if (link.proved_by_certificate) {
    OnReady(link, "its certificate");
    return;
  }
  if ((config_.bidirectional || IsPartner(link)) &&
      features.Child("bidi", "urn:xmpp:features:bidi") != nullptr) {
    link.bidirectional = true;
    Write(link, "<bidi xmlns='urn:xmpp:bidi'/>");
  }
  const Node* mechanisms = features.Child("mechanisms", ns::kSasl);
  bool has_external = false;
  for (const Node* at = mechanisms != nullptr ? mechanisms->FirstElement() : nullptr; at != nullptr;
       at = at->NextElement()) {
    has_external = has_external || at->Text() == "EXTERNAL";
  }
  if (link.secure && has_external && (config_.external_out || IsPartner(link))) {
    uint8_t bytes[512];
    ByteWriter out(bytes);
    out.Text("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>");
    WriteBase64(AsBytes(link.pair().local.view()), out);
    out.Text("</auth>");
    link.state = LinkState::kAuthenticating;
    Write(link, out.written());
  } else if (config_.dialback && !IsPartner(link)) {
    SendKey(link);
  } else {
    AttemptFailed(link, "it takes no certificate, and dialback is off");
  }
}

void Federation::SendKey(Link& link) {
  link.state = LinkState::kDialback;
  WriteKey(link, link.pair());
}

void Federation::WriteKey(Link& stream, const Pair& pair) {
  uint8_t bytes[2 * xmpp::kDomainMax * 6 + 256];
  ByteWriter out(bytes);
  out.Text("<db:result");
  WriteAttribute("from", pair.local.view(), out);
  WriteAttribute("to", pair.remote.view(), out);
  out.Char('>');
  out.Text(MakeKey(config_.secret.view(), pair.remote.view(), pair.local.view(), stream.id.view())
               .view());
  out.Text("</db:result>");
  Write(stream, out.written());
}

void Federation::SendVerify(Link& link) {
  uint8_t bytes[(2 * xmpp::kDomainMax + kStreamIdMax + kKeyMax) * 6 + 128];
  ByteWriter out(bytes);
  out.Text("<db:verify");
  WriteAttribute("from", link.pair().local.view(), out);
  WriteAttribute("to", link.pair().remote.view(), out);
  WriteAttribute("id", link.asked_id.view(), out);
  out.Char('>');
  xmpp::WriteEscaped(link.key.view(), out);
  out.Text("</db:verify>");
  link.state = LinkState::kDialback;
  Write(link, out.written());
}

void Federation::OnReady(Link& link, const char* how) {
  link.state = LinkState::kReady;
  link.unproven = false;
  NoMoreCounted(link);
  link.pair().is_proved = true;
  link.used = timers_.now();
  timers_.Cancel(link.timer);
  if (link.lookup != nullptr) {
    lookups_.Release(link.lookup);
    link.lookup = nullptr;
  }
  ++counters_.connected;
  ++(link.proved_by_certificate ? counters_.by_certificate : counters_.by_dialback);
  observer_.OnFederated(link.pair().local.view(), link.pair().remote.view(), false, link.remote,
                        link.proved_by_certificate ? "certificate" : how);
  if (AskToResume(link)) {
    return;
  }
  if (IsPartner(link)) {
    observer_.OnPartner("Edge", link.pair().remote.view(), link.remote, true, "proved");
  }
  EnableManagement(link);
  Drain(link);
}

}  // namespace gh::s2s
