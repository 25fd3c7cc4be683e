#include "firmware/sip/media_body.h"

#include "firmware/sip/zones.h"
#include "hal/rt/ascii.h"

namespace gh::sip {

bool IsDescription(const Message& message) {
  const std::string_view type = message.ValueOf(HeaderId::kContentType);
  const std::string_view name = TrimBlanks(type.substr(0, type.find(';')));
  return EqualsIgnoringCase(name, "application/sdp") && !message.Has(HeaderId::kContentEncoding);
}

namespace {

bool IsForAnchor(const Core& core, const Message& message) {
  if (core.anchor == nullptr) {
    return false;
  }
  switch (message.method()) {
    case Method::kInvite:
    case Method::kAck:
    case Method::kUpdate:
    case Method::kPrack:
      // An INVITE without a description asks for one: that is to be known.
      return message.body().empty() ? message.is_request() && message.method() == Method::kInvite
                                    : IsDescription(message);
    default:
      return false;
  }
}

MediaSide SideOf(const Core& core, const MediaParty& party) {
  const Flow& flow = party.flow;
  const Listener& listener = core.config.listeners[flow.listener];
  MediaSide side;
  side.local = listener.bind.address;
  side.shown = listener.advertise.address;
  side.remote = flow.remote;
  side.is_web = flow.is_websocket();
  side.traversal = core.zones != nullptr ? core.zones->RoleOn(flow) : TraversalRole::kNone;
  const MediaPolicy& policy = party.policy;
  side.encryption =
      policy.encryption != MediaEncryption::kAuto ? policy.encryption : listener.media;
  side.speaks_ice = policy.speaks_ice;
  side.passes_ice = policy.passes_ice;
  return side;
}

MediaExchange ExchangeOf(const Core& core, const Message& message) {
  MediaExchange exchange;
  exchange.call = core.LadderOf(message.call_id());
  exchange.call_id = message.call_id();
  exchange.from_tag = message.from_tag();
  exchange.to_tag = message.to_tag();
  exchange.method = message.method();
  exchange.status = message.is_request() ? uint16_t{0} : message.status();
  exchange.body = AsText(message.body());
  return exchange;
}

}  // namespace

bool IsElsewhere(std::string_view host, const net::IpAddress& address) {
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  }
  const auto said = net::IpAddress::Parse(host);
  return said.ok() && *said != address;
}

MediaVerdict ShowRequest(const Core& core, const Message& request, const MediaParty& source,
                         const MediaParty& target) {
  if (!IsForAnchor(core, request)) {
    return {};
  }
  MediaExchange exchange = ExchangeOf(core, request);
  exchange.sender = SideOf(core, source);
  exchange.receiver = SideOf(core, target);
  exchange.sender.is_behind_nat =
      request.via_count() == 1 && IsElsewhere(request.via().host, source.flow.remote.address);
  exchange.receiver.is_behind_nat = target.is_behind_nat;
  return core.anchor->OnDescription(exchange);
}

MediaVerdict ShowResponse(const Core& core, const Message& response, const MediaParty& source,
                          const MediaParty& target) {
  if (!IsForAnchor(core, response) || response.status() >= 300) {
    return {};
  }
  MediaExchange exchange = ExchangeOf(core, response);
  exchange.sender = SideOf(core, source);
  exchange.receiver = SideOf(core, target);
  return core.anchor->OnDescription(exchange);
}

void ShowFailure(const Core& core, const Message& request) {
  if (IsForAnchor(core, request)) {
    core.anchor->OnFailed(request.call_id(), request.from_tag(), request.to_tag());
  }
}

void ShowEnd(const Core& core, const Message& message) {
  if (core.anchor != nullptr) {
    core.anchor->OnEnded(message.call_id(), message.from_tag(), message.to_tag());
  }
}

}  // namespace gh::sip
