#include "firmware/sip/engine.h"

#include <algorithm>

#include "firmware/sip/domains.h"
#include "firmware/sip/session_timer.h"
#include "firmware/sip/writer.h"

namespace gh::sip {
namespace {

constexpr std::string_view kAllowLine =
    "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, MESSAGE, INFO, PRACK, UPDATE, SUBSCRIBE, "
    "NOTIFY, PUBLISH, REFER\r\n";
constexpr std::string_view kAcceptLine = "Accept: application/sdp\r\n";
constexpr std::string_view kSupportedLine = "Supported: path, outbound, gruu\r\n";

}  // namespace

Engine::Engine(Arena& arena, const EnginePorts& ports, const Capacity& capacity)
    : core_(arena, ports.timers, ports.random, ports.credentials, ports.observer, capacity),
      transport_(core_, arena, ports.datagrams, ports.streams, *this),
      authenticator_(core_, arena),
      limit_(core_, arena),
      registrar_(core_, arena),
      calls_(core_, arena),
      proxy_(core_, arena, transport_, ports.resolver, calls_),
      plan_(arena, capacity.search_rules),
      bandwidth_(arena),
      history_(arena),
      zones_(core_, arena, transport_, proxy_.transactions(), proxy_.locator()),
      presence_(core_, arena, {transport_, proxy_.transactions(), zones_, registrar_, plan_}) {
  proxy_.SetZones(zones_);
  proxy_.SetBandwidth(bandwidth_);
  calls_.SetBandwidth(bandwidth_);
  core_.zones = &zones_;
  core_.presence = &presence_;
}

uint32_t Engine::Apply(const Config& config) {
  const Config before = core_.config;
  core_.config = config;
  core_.config.contacts_per_user_max =
      std::min<uint32_t>(config.contacts_per_user_max, kContactPerRegisterMax);
  registrar_.OnDomainsChanged(before);
  presence_.OnConfig();
  return transport_.Listen();
}

void Engine::Stop() {
  zones_.Stop();
  transport_.Close();
}

std::array<PoolStatus, Engine::kPoolCount> Engine::Pools() const {
  auto& proxy = const_cast<Proxy&>(proxy_);
  const TransactionLayer& t = proxy.transactions();
  const Capacity& c = core_.capacity;
  return {{
      {"bindings", registrar_.binding_count(), c.bindings, Pool<Binding>::bytes_per_item()},
      {"users", registrar_.user_count(), c.users, Pool<RegisteredUser>::bytes_per_item()},
      {"server transactions", t.server_count(), c.server_transactions,
       TransactionLayer::bytes_per_server()},
      {"client transactions", t.client_count(), c.client_transactions,
       TransactionLayer::bytes_per_client()},
      {"proxied requests", proxy_.context_count(), c.proxies, Proxy::bytes_per_context()},
      {"name searches", proxy_.location_count(), c.resolutions, sizeof(Location)},
      {"streams", transport_.stream_count(), c.streams, SipTransport::bytes_per_stream()},
      {"calls", calls_.count(), c.calls, CallTable::bytes_per_call()},
      {"call texts", calls_.dialogs().used_count(), calls_.dialogs().capacity(),
       DialogStore::bytes_per_chunk()},
      {"presentities", presence_.store().count(), c.presentities,
       PresenceStore::bytes_per_presentity()},
      {"publications", presence_.store().publication_count(), c.publications,
       PresenceStore::bytes_per_publication()},
      {"subscriptions", presence_.subscription_count(), c.subscriptions,
       PresenceServer::bytes_per_subscription()},
      {"subscription texts", presence_.dialogs().used_count(), presence_.dialogs().capacity(),
       DialogStore::bytes_per_chunk()},
      {"buffers", core_.buffers.used_count(), core_.buffers.capacity(), 0},
  }};
}

// --- In ------------------------------------------------------------------------------------------

void Engine::OnUnframed(const Flow& flow, const char* why) {
  ++core_.statistics.dropped_malformed;
  RefusalEvent event;
  event.reason = RefusalReason::kMalformed;
  event.detail = why;
  event.source = flow.remote;
  event.transport = flow.transport;
  core_.observer.OnRefused(event);
}

void Engine::OnPacket(const Flow& flow, std::span<const uint8_t> data) {
  ++core_.statistics.messages_in;
  Message message;
  if (data.size() > kMessageBytesMax || !message.Index(data).ok()) {
    OnUnframed(flow, "not a message");
    return;
  }
  if (Shed(message, flow)) {
    return;
  }
  const CheckResult check = message.Check(flow.has_boundaries());
  if (check.verdict == Verdict::kDrop) {
    OnUnframed(flow, check.why);
    return;
  }
  core_.Note(message, flow, false);
  if (!message.is_request()) {
    ++core_.statistics.responses_in;
    // RFC 4320, 6026: a response that belongs to nothing goes nowhere.
    if (!proxy_.transactions().OnResponse(message, flow)) {
      ++core_.statistics.dropped_stray;
    }
    return;
  }
  ++core_.statistics.requests_in;
  if (check.verdict == Verdict::kReject) {
    if (message.method() != Method::kAck) {
      Refuse(message, flow, {check.status, RefusalReason::kMalformed, check.why});
    }
    return;
  }
  OnRequest(message, flow);
}

void Engine::OnRequest(const Message& request, const Flow& flow) {
  if (request.method() == Method::kAck) {
    OnAck(request, flow);
    return;
  }
  if (ServerTransaction* server = proxy_.transactions().FindServer(request)) {
    proxy_.transactions().OnRetransmission(*server);
    return;
  }
  if (request.method() == Method::kCancel) {
    OnCancel(request, flow);
    return;
  }
  OnNewRequest(request, flow);
}

void Engine::OnAck(const Message& ack, const Flow& flow) {
  ServerTransaction* server = proxy_.transactions().FindServer(ack);
  if (server != nullptr && server->state != ServerState::kAccepted) {
    proxy_.transactions().OnAck(*server);
    return;
  }
  RoutePlan plan;
  // Only inside a dialog of ours; the ACK to a refusal of ours ends here too.
  if (!PlanRoutes(core_, ack, plan) || ack.max_forwards().value_or(70) == 0) {
    ++core_.statistics.dropped_stray;
    return;
  }
  if (!plan.token) {
    core_.statistics.dropped_stray += proxy_.ForwardAckOfCall(ack, flow, plan) ? 0 : 1;
    return;
  }
  calls_.Touch(ack);
  transport_.Prove(flow);
  Flow target;
  bool is_found = proxy_.FlowOfPeer(*plan.token, ack, plan, target);
  if (const Binding* binding = plan.has_next ? nullptr : BindingOf(plan.uri)) {
    std::string_view contact = binding->contact();
    contact = contact.substr(0, contact.find('?'));
    plan.uri = ParseUri(contact).value_or(plan.uri);
    if (const Flow* own = FlowToward(*binding, contact); own != nullptr && !is_found) {
      target = *own;
      is_found = transport_.IsAlive(target);
    }
  }
  proxy_.ForwardAck(ack, flow, plan, plan.uri.text, is_found ? &target : nullptr);
}

void Engine::OnCancel(const Message& cancel, const Flow& flow) {
  ServerTransaction* server = proxy_.transactions().FindCancelled(cancel);
  if (server == nullptr) {
    Refuse(cancel, flow, {481, RefusalReason::kMalformed});
    return;
  }
  Answer(cancel, flow, 200, {}, {});
  proxy_.Cancel(*server);
}

// RFC 5031: a call to urn:service:sos goes to the number that is kept for it, in our first domain.
bool Engine::TakeService(Incoming& in, std::span<uint8_t> text) const {
  constexpr std::string_view kUrn = "urn:service:";
  const std::string_view uri = in.message.uri().text;
  if (uri.size() <= kUrn.size() || !EqualsNoCase(uri.substr(0, kUrn.size()), kUrn) ||
      in.plan.is_in_dialog() || core_.config.domain_count == 0) {
    return false;
  }
  const std::string_view number = core_.config.EmergencyOf(uri.substr(kUrn.size()));
  ByteWriter out(text);
  out.Text("sip:");
  out.Text(number);
  out.Char('@');
  out.Text(core_.config.domains[0].view());
  const auto sip = ParseUri(out.text());
  if (number.empty() || !out.ok() || !sip.ok()) {
    return false;
  }
  in.plan.uri = *sip;
  return true;
}

void Engine::OnNewRequest(const Message& request, const Flow& flow) {
  Incoming in{request, flow};
  if (request.via().has_alias) {
    transport_.TakeAlias(flow, request.via().port != 0 ? request.via().port : uint16_t{5061});
  }
  if (!PlanRoutes(core_, request, in.plan)) {
    Refuse(request, flow, {400, RefusalReason::kMalformed, "Too Many Routes"});
    return;
  }
  uint8_t service_uri[kEmergencyBytesMax + kDomainBytesMax + 8];
  if (request.uri().scheme == UriScheme::kOther && !TakeService(in, service_uri)) {
    Refuse(request, flow, {416, RefusalReason::kScheme});
    return;
  }
  in.is_emergency = core_.config.IsEmergency(in.plan.uri.user);
  if (!CheckTraversal(in) || !CheckOverload(in) || !CheckDraining(in) || !CheckHops(in) ||
      !CheckProfile(in) || !CheckExtensions(in, HeaderId::kProxyRequire) || !CheckPrivacy(in) ||
      !CheckSession(in)) {
    return;
  }
  if (request.method() == Method::kRegister && !in.plan.has_next &&
      DomainOf(core_.config, in.plan.uri)) {
    OnRegister(in);
    return;
  }
  const bool for_us =
      !in.plan.has_next && !in.plan.uri.has_user && DomainOf(core_.config, in.plan.uri).has_value();
  if (for_us) {
    OnForUs(in);
    return;
  }
  if (Authorise(in) && MayGoOn(in) && !TakePresence(in)) {
    Route(in);
  }
}

// --- Checks --------------------------------------------------------------------------------------

// In maintenance nothing new is begun: others are told to look elsewhere, OPTIONS too, so that
// neighbours take us for down; what there is goes on, and who wants to go may.
bool Engine::CheckDraining(Incoming& in) {
  if (in.is_emergency) {
    return true;
  }
  const Message& request = in.message;
  const bool is_new_call =
      request.method() == Method::kInvite && request.to_tag().empty() && !in.plan.is_in_dialog();
  if (is_new_call && calls_.is_full()) {
    ++core_.statistics.overload;
    Refuse(request, in.flow, {503, RefusalReason::kCallLimit});
    return false;
  }
  const bool is_leaving =
      request.method() == Method::kRegister && request.ValueOf(HeaderId::kExpires) == "0";
  const bool goes_on = request.method() == Method::kBye ||
                       (request.method() == Method::kSubscribe && !request.to_tag().empty());
  if (!core_.config.is_draining || in.plan.is_in_dialog() || is_leaving || goes_on) {
    return true;
  }
  Refuse(request, in.flow, {503, RefusalReason::kMaintenance});
  return false;
}

// RFC 4028 8.1: a session interval below ours is refused where the caller knows what that means.
bool Engine::CheckSession(Incoming& in) {
  if (in.message.method() != Method::kInvite && in.message.method() != Method::kUpdate) {
    return true;
  }
  const SessionEdit edit = SessionEditOf(core_.config, in.message);
  if (!edit.is_too_brief) {
    return true;
  }
  uint8_t text[32];
  ByteWriter extra(text);
  extra.Text("Min-SE: ");
  extra.Decimal(edit.min_s);
  extra.Text("\r\n");
  Refuse(in.message, in.flow, {422, RefusalReason::kTooBrief, {}, extra.text()});
  return false;
}

uint64_t Engine::LoopHashOf(const Message& request) const {
  KeyedHash hash = core_.Hash(kHashLoop);
  hash.Add(request.uri_text()).Add(request.call_id()).Add(request.from_tag());
  for (const HeaderId id : {HeaderId::kRoute, HeaderId::kProxyRequire, HeaderId::kTo}) {
    for (const HeaderField* f = request.First(id); f != nullptr; f = request.NextSame(*f)) {
      hash.Add(request.Value(*f));
    }
  }
  return hash.Value();
}

// Max-Forwards, loops (RFC 3261 16.3, RFC 5393 4.2) and Max-Breadth (RFC 5393 5).
bool Engine::CheckHops(Incoming& in) {
  const Message& request = in.message;
  if (request.max_forwards().value_or(kMaxForwardsDefault) == 0) {
    Refuse(request, in.flow, {483, RefusalReason::kTooManyHops});
    return false;
  }
  in.loop = LoopHashOf(request);
  ViaList vias(request);
  Via via;
  while (vias.NextItem(via) == Next::kItem) {
    const auto loop = proxy_.transactions().OwnLoopHash(via);
    if (loop && *loop == in.loop) {
      Refuse(request, in.flow, {482, RefusalReason::kLoop});
      return false;
    }
  }
  if (request.Has(HeaderId::kMaxBreadth)) {
    const auto breadth = ParseNumberClamped(request.ValueOf(HeaderId::kMaxBreadth), UINT16_MAX);
    if (!breadth) {
      Refuse(request, in.flow, {400, RefusalReason::kMalformed, "Bad Max-Breadth"});
      return false;
    }
    if (*breadth == 0) {
      Refuse(request, in.flow, {440, RefusalReason::kLoop});
      return false;
    }
    in.breadth = std::min(*breadth, kMaxBreadthDefault);
  }
  return true;
}

// Everything asked for must be known (20.29, 20.32): to the registrar some things are.
bool Engine::CheckExtensions(Incoming& in, HeaderId header) {
  if (!in.message.Has(header)) {
    return true;
  }
  uint8_t text[kErrorResponseBytesMax / 2];
  ByteWriter extra(text);
  bool first = true;
  ForEachToken(in.message, header, [&](std::string_view token) {
    const bool known = header == HeaderId::kRequire &&
                       (EqualsNoCase(token, "path") || EqualsNoCase(token, "outbound") ||
                        EqualsNoCase(token, "gruu"));
    const bool is_stripped = header == HeaderId::kProxyRequire && IsStrippedOption(in, token);
    if (!known && !is_stripped && extra.room() > token.size() + 32) {
      extra.Text(first ? "Unsupported: " : ", ");
      extra.Text(token);
      first = false;
    }
    return true;
  });
  if (first) {
    return true;
  }
  extra.Text("\r\n");
  Refuse(in.message, in.flow, {420, RefusalReason::kExtension, {}, extra.text()});
  return false;
}

// --- Who may -------------------------------------------------------------------------------------

bool Engine::Challenge(Incoming& in, HeaderId header, const AuthOutcome& outcome) {
  uint8_t text[1024];
  ByteWriter extra(text);
  char sender[kUserBytesMax];
  std::string_view user = outcome.user;
  if (user.empty() && !UserOf(in.message.from().uri, sender, user)) {
    user = {};
  }
  authenticator_.WriteChallenge(extra, header, in.flow.remote.address,
                                outcome.result == AuthResult::kStale, user);
  const RefusalReason reason =
      outcome.result == AuthResult::kAbsent  ? RefusalReason::kUnauthenticated
      : outcome.result == AuthResult::kStale ? RefusalReason::kStaleNonce
                                             : RefusalReason::kBadCredentials;
  // Who guesses behind a peer of a zone is not that peer, which others need.
  const bool is_guess = outcome.is_guess && zones_.SourceOf(in.flow) == dialplan::kNoZone;
  const uint16_t status = header == HeaderId::kAuthorization ? 401 : 407;
  Refuse(in.message, in.flow,
         {.status = status, .reason = reason, .extra = extra.text(), .is_guess = is_guess},
         outcome.user);
  return false;
}

bool Engine::UserOf(const Uri& uri, char (&out)[kUserBytesMax], std::string_view& user) const {
  const auto size = Unescape(uri.user, out, sizeof(out));
  user = {out, size.value_or(0)};
  return size && *size != 0;
}

// "alice" or "alice@example.com" are both the user of sip:alice@example.com.
bool Engine::IsSameUser(std::string_view credential_user, const Uri& uri) const {
  char text[kUserBytesMax];
  std::string_view user;
  if (!UserOf(uri, text, user)) {
    return false;
  }
  if (credential_user == user) {
    return true;
  }
  const size_t at = credential_user.rfind('@');
  return at != std::string_view::npos && credential_user.substr(0, at) == user &&
         EqualsNoCase(credential_user.substr(at + 1), uri.host);
}

bool Engine::Authorise(Incoming& in) {
  const Config& config = core_.config;
  const Message& request = in.message;
  if (in.plan.is_in_dialog()) {
    transport_.Prove(in.flow);
    return true;
  }
  if (in.plan.path) {  // the registrar alone knows it, and whom it told
    TrustOf(in, request.from().uri);
    if ((in.source != dialplan::kLocalZone && in.source != dialplan::kDefaultZone) ||
        IsByServiceRoute(in)) {
      return true;
    }
    in.plan.path.reset();
  }
  const bool to_us = !in.plan.has_next && DomainOf(config, in.plan.uri).has_value();
  if (IsDelegated(in)) {
    return in.delegate != dialplan::kNoZone;
  }
  const dialplan::Trust trust = TrustOf(in, request.from().uri);
  const bool open_method =
      (config.open_methods >> static_cast<uint32_t>(request.method()) & 1) != 0;
  const bool from_local = in.source == dialplan::kLocalZone;
  const bool foreign_good = config.accept_foreign_senders && to_us;
  const bool is_open = from_local ? !config.authenticate_requests || open_method
                                  : in.source == dialplan::kDefaultZone && foreign_good;
  if (trust != dialplan::Trust::kCheckCredentials || is_open) {
    in.is_authenticated = trust == dialplan::Trust::kTreatAsAuthenticated;
    transport_.Prove(in.flow);
    return true;
  }
  const AuthOutcome outcome =
      authenticator_.Verify(request, HeaderId::kProxyAuthorization, in.flow.remote.address);
  if (outcome.result != AuthResult::kGood) {
    return Challenge(in, HeaderId::kProxyAuthorization, outcome);
  }
  in.user = outcome.user;
  in.is_authenticated = true;
  limit_.GiveBack(in.flow.remote.address);
  transport_.Prove(in.flow);
  return CheckSender(in);
}

bool Engine::CheckSender(Incoming& in) {
  const Uri& from = in.message.from().uri;
  const bool anonymous = EqualsNoCase(from.host, "anonymous.invalid");  // RFC 3323
  if (!core_.config.sender_must_match || anonymous) {
    return true;
  }
  if (DomainOf(core_.config, from) && IsSameUser(in.user, from)) {
    return true;
  }
  Refuse(in.message, in.flow, {403, RefusalReason::kForbiddenSender}, in.user);
  return false;
}

// --- Where to ------------------------------------------------------------------------------------

void Engine::Route(Incoming& in) {
  if (in.plan.is_in_dialog()) {
    RouteInDialog(in);
    return;
  }
  if (in.plan.path) {
    if (IsByServiceRoute(in)) {
      RouteIntoZone(in, in.plan.path->zone);
    } else {
      RouteByPath(in);
    }
    return;
  }
  if (in.delegate != dialplan::kNoZone) {
    RouteIntoZone(in, in.delegate);
    return;
  }
  if (in.message.Has(HeaderId::kReplaces) && RouteByReplaces(in)) {
    return;
  }
  if ((plan_.has_rules() || plan_.has_transforms() || plan_.has_policy()) && !in.plan.has_next &&
      in.plan.uri.is_sip()) {
    RouteByPlan(in);
    return;
  }
  const auto domain = DomainOf(core_.config, in.plan.uri);
  if (domain && !in.plan.has_next) {
    RouteToUser(in, *domain);
    return;
  }
  RouteOutside(in);
}

Proxy::Context* Engine::OpenProxy(Incoming& in) {
  Proxy::Context* context = proxy_.Open(in.message, in.flow, in.loop, in.breadth);
  if (context == nullptr) {
    Refuse(in.message, in.flow, {503, RefusalReason::kOverload});
    return nullptr;
  }
  if (in.plan.is_in_dialog() && plan_.has_profiles()) {
    const ZoneId zone = zones_.SourceOf(in.flow);
    proxy_.SetSource(*context, zone == dialplan::kNoZone ? dialplan::kLocalZone : zone, {});
  } else {
    proxy_.SetSource(*context, in.source == dialplan::kNoZone ? dialplan::kLocalZone : in.source,
                     SourcePlace(in));
  }
  if (in.is_emergency) {
    Proxy::SetUrgent(*context);
  }
  if (!in.user.empty()) {
    Proxy::SetUser(*context, in.message, in.user);
  }
  return context;
}

void Engine::StartProxy(Incoming& in, std::string_view uri, const Flow* flow, const Place& place) {
  Proxy::Context* context = OpenProxy(in);
  if (context == nullptr) {
    return;
  }
  if (!uri.empty()) {
    proxy_.AddTarget(*context,
                     {.uri = uri, .flow = flow, .flow_decides = flow != nullptr, .place = place});
  }
  proxy_.Start(*context, in.message, in.plan);
}

void Engine::RouteInDialog(Incoming& in) {
  calls_.Touch(in.message);
  const auto domain = DomainOf(core_.config, in.plan.uri);
  Flow peer;
  if (domain && !in.plan.has_next && in.plan.uri.has_param("gr")) {
    RouteToUser(in, *domain);  // a GRUU stands for the contact of the moment
  } else if (proxy_.FlowOfPeer(*in.plan.token, in.message, in.plan, peer)) {
    StartProxy(in, in.plan.uri.text, &peer);
  } else if (domain && !in.plan.has_next) {
    RouteToUser(in, *domain);
  } else {
    StartProxy(in, in.plan.uri.text, nullptr);
  }
}

// From the phone itself: the registrar made our Path its Service-Route (RFC 3608).
bool Engine::IsByServiceRoute(const Incoming& in) const {
  const DialogSide& side = *in.plan.path;
  return side.zone != 0 && side.transport == in.flow.transport && side.remote == in.flow.remote;
}

// Along the Path of a registration that went through us: to the phone, and nowhere else.
void Engine::RouteByPath(Incoming& in) {
  const DialogSide& side = *in.plan.path;
  const auto flow = transport_.IsReachable(side.transport, side.remote)
                        ? transport_.FlowTo(side.transport, side.remote)
                        : Result<Flow>(Error(ErrorCode::kClosed, "the flow is gone"));
  if (!flow.ok()) {
    Refuse(in.message, in.flow, {430, RefusalReason::kUnreachable});
    return;
  }
  StartProxy(in, in.plan.uri.text, &*flow, PlaceOfZone(dialplan::kDefaultZone));
}

void Engine::RouteOutside(Incoming& in) {
  if (!in.plan.uri.is_sip() && !in.plan.has_next) {
    Refuse(in.message, in.flow, {416, RefusalReason::kScheme});
    return;
  }
  const bool allowed = in.is_authenticated
                           ? core_.config.relay_for_users
                           : !core_.config.authenticate_requests && core_.config.relay_for_users &&
                                 DomainOf(core_.config, in.message.from().uri);
  if (!allowed) {
    Refuse(in.message, in.flow, {403, RefusalReason::kForbiddenRelay}, in.user);
    return;
  }
  StartProxy(in, in.plan.uri.text, nullptr, PlaceOfZone(dialplan::kDefaultZone));
}

void Engine::RouteToUser(Incoming& in, uint8_t domain) {
  char text[kUserBytesMax];
  std::string_view user;
  if (!UserOf(in.plan.uri, text, user)) {
    Refuse(in.message, in.flow, {404, RefusalReason::kUnknownUser}, in.user);
    return;
  }
  const Sought sought = Seek(in.plan.uri, user, domain);
  if (sought.user == nullptr) {
    Ha1 ha1;
    const bool known =
        core_.credentials.FindHa1(core_.config.Realm(), user, DigestAlgorithm::kSha256, ha1) ||
        core_.credentials.FindHa1(core_.config.Realm(), user, DigestAlgorithm::kMd5, ha1);
    const bool tell = in.is_authenticated && !known;
    Refuse(in.message, in.flow,
           {static_cast<uint16_t>(tell ? 404 : 480),
            known ? RefusalReason::kNotRegistered : RefusalReason::kUnknownUser},
           in.user);
    return;
  }
  Proxy::Context* context = OpenProxy(in);
  if (context == nullptr) {
    return;
  }
  AddBindings(*context, in, sought, 0);
  proxy_.Start(*context, in.message, in.plan);
}

// --- For us --------------------------------------------------------------------------------------

void Engine::OnForUs(Incoming& in) {
  const Message& request = in.message;
  if (!CheckExtensions(in, HeaderId::kRequire)) {
    return;
  }
  if (request.method() != Method::kOptions) {
    const bool invite = request.method() == Method::kInvite;
    Refuse(request, in.flow,
           {static_cast<uint16_t>(invite ? 404 : 405),
            RefusalReason::kMethod,
            {},
            invite ? std::string_view() : kAllowLine});
    return;
  }
  uint8_t text[512];
  ByteWriter extra(text);
  extra.Text(kAllowLine);
  extra.Text(kAcceptLine);
  extra.Text(kSupportedLine);
  if (MayReply(in.flow)) {
    Answer(request, in.flow, 200, {}, extra.text());
  }
}

void Engine::OnRegister(Incoming& in) {
  const Message& request = in.message;
  const Uri& to = request.to().uri;
  if (!CheckExtensions(in, HeaderId::kRequire)) {
    return;
  }
  char text[kUserBytesMax];
  std::string_view user;
  if (!to.is_sip() || !to.has_user || !UserOf(to, text, user)) {
    Refuse(request, in.flow, {400, RefusalReason::kMalformed, "Bad Address-Of-Record"});
    return;
  }
  if (!CheckRegistration(in, user, to.host)) {
    return;
  }
  in.is_registration = true;
  const dialplan::Trust trust = TrustOf(in, to);
  // Through a zone strangers come too: only one that is trusted itself vouches for them.
  const bool through_zone = in.source >= dialplan::kFirstZone;
  const bool asks = trust == dialplan::Trust::kCheckCredentials ||
                    (through_zone && trust == dialplan::Trust::kDoNotCheck);
  if (core_.config.authenticate_register && asks) {
    const AuthOutcome outcome =
        authenticator_.Verify(request, HeaderId::kAuthorization, in.flow.remote.address);
    if (outcome.result != AuthResult::kGood) {
      Challenge(in, HeaderId::kAuthorization, outcome);
      return;
    }
    in.user = outcome.user;
    in.is_authenticated = true;
    limit_.GiveBack(in.flow.remote.address);
    if (!IsSameUser(in.user, to)) {
      Refuse(request, in.flow, {403, RefusalReason::kForbiddenSender}, in.user);
      return;
    }
  }
  if (MayGoOn(in)) {
    CompleteRegister(in);
  }
}

// RFC 3608 6.3: by the way the registration came, the proxy next to the phone first. Only our own
// Edge knows what its Path means in front of a request.
void Engine::WriteServiceRoute(ByteWriter& out, const Message& request, const Flow& flow,
                               bool through_zone) const {
  AddressList list(request, HeaderId::kPath);
  NameAddr path;
  NameAddr edge;
  while (through_zone && list.NextItem(path) == Next::kItem) {
    edge = path;
  }
  if (!edge.uri_text.empty()) {
    out.Text("Service-Route: <");
    out.Text(edge.uri_text);
    out.Text(">\r\n");
  }
  const Listener& listener = transport_.listener(flow);
  out.Text("Service-Route: <sip:");
  WriteHostPort(out, listener.advertise);
  out.Text(TransportParam(listener.transport));
  out.Text(";lr>\r\n");
}

void Engine::CompleteRegister(Incoming& in) {
  const Message& request = in.message;
  const auto domain = DomainOf(core_.config, request.to().uri);
  char text[kUserBytesMax];
  std::string_view user;
  if (!domain || !UserOf(request.to().uri, text, user)) {
    Refuse(request, in.flow, {404, RefusalReason::kUnknownDomain}, in.user);
    return;
  }
  const bool through_zone = zones_.IsTraversal(in.source);
  transport_.Prove(in.flow);
  ByteWriter extra(core_.extra_scratch);
  const RegisterOutcome outcome = registrar_.Process(
      request, in.flow, through_zone ? in.source : dialplan::kLocalZone, user, *domain, extra);
  if (outcome.status == 200 && core_.config.service_route) {
    WriteServiceRoute(extra, request, in.flow, through_zone);
  }
  if (outcome.status == 200 && extra.ok()) {
    Answer(request, in.flow, 200, {}, extra.text());
    return;
  }
  const uint16_t status = outcome.status == 200 ? uint16_t{500} : outcome.status;
  Refuse(request, in.flow,
         {status, outcome.reason, outcome.why, extra.ok() ? extra.text() : std::string_view()},
         in.user);
}

// --- Out -----------------------------------------------------------------------------------------

// The same for a request, its retransmissions and the ACK to a refusal: no state is needed (8.2.7).
uint64_t Engine::ToTagOf(const Message& request) const {
  return core_.Hash(kHashToTag)
             .Add(request.call_id())
             .Add(request.from_tag())
             .Add(uint64_t{request.cseq()})
             .Value() |
         1;
}

void Engine::Answer(const Message& request, const Flow& flow, uint16_t status,
                    std::string_view phrase, std::string_view extra) {
  ByteWriter out(core_.scratch);
  const OverloadReport report = ReportOf(core_);
  WriteResponse(out, request, flow,
                {.status = status,
                 .reason = phrase,
                 .to_tag = ToTagOf(request),
                 .extra = extra,
                 .overload = &report});
  if (out.ok()) {
    proxy_.transactions().SendStateless(request, flow, out.written());
  }
}

void Engine::Refuse(const Message& request, const Flow& flow, const Refusal& refusal,
                    std::string_view user) {
  ++core_.statistics.refused;
  RefusalEvent event;
  event.reason = refusal.reason;
  event.status = refusal.status;
  event.method = request.method_text();
  event.from = request.from().uri_text;
  event.to = request.to().uri_text;
  event.user = user;
  event.detail = refusal.detail.empty() ? refusal.phrase : refusal.detail;
  event.source = flow.remote;
  event.transport = flow.transport;
  event.is_guess = refusal.is_guess;
  if (!MayReply(flow)) {
    event.status = 0;
    event.reason = RefusalReason::kRateLimited;
    core_.observer.OnRefused(event);
    return;
  }
  core_.observer.OnRefused(event);
  if (refusal.status == 503) {
    AnswerBusy(request, flow, refusal.phrase);
    return;
  }
  Answer(request, flow, refusal.status, refusal.phrase, refusal.extra);
}

}  // namespace gh::sip
