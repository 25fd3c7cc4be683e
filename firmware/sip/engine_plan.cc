// The engine's side of the dial plan: where a request comes from and what is asked of it, where the
// search rules send it, traversal zones.
#include "firmware/sip/domains.h"
#include "firmware/sip/engine.h"

namespace gh::sip {
namespace {

using dialplan::Alias;
using dialplan::Search;
using dialplan::Step;
using dialplan::Trust;
using dialplan::ZoneType;

// The steps of a search are tried one after the other; within one, contacts by their q.
constexpr uint16_t kQPerStep = 1001;
static_assert((dialplan::kStepMax + 1) * kQPerStep <= UINT16_MAX);

// "user@host", as patterns see it. False: too long.
bool AliasOf(const Uri& uri, Alias& out) {
  out.Clear();
  bool fits = true;
  if (!uri.user.empty()) {
    fits = out.Append(uri.user) && out.Append('@');
  }
  if (uri.host_is_ipv6) {
    return fits && out.Append('[') && out.Append(uri.host) && out.Append(']');
  }
  return fits && out.Append(uri.host);
}

// The URI of a step: the request's own as long as nothing changed it.
std::string_view UriOfStep(const Step& step, const Uri& asked, ByteWriter& text) {
  Alias alias;
  if (AliasOf(asked, alias) && alias == step.alias) {
    return asked.text;
  }
  text.Text(asked.scheme == UriScheme::kSips ? "sips:" : "sip:");
  text.Text(step.alias.view());
  return text.text();
}

}  // namespace

// Whether one of that user's contacts registered over this very flow.
bool Engine::IsRegisteredThere(const Uri& user, const Flow& flow) const {
  const auto domain = DomainOf(core_.config, user);
  char text[kUserBytesMax];
  std::string_view name;
  if (!domain || !UserOf(user, text, name)) {
    return false;
  }
  const RegisteredUser* found = registrar_.Find(name, *domain);
  for (const Binding* b = found == nullptr ? nullptr : found->first; b != nullptr; b = b->next) {
    if (b->zone == 0 && b->flow.transport == flow.transport && b->flow.remote == flow.remote) {
      return true;
    }
  }
  return false;
}

// A name alone opens nothing: who is not registered where he sends from, and is in no subzone by
// his address, is asked for his password unless strangers are not asked either, and is one then.
Trust Engine::TrustOf(Incoming& in, const Uri& user) {
  in.source = zones_.SourceOf(in.flow);
  if (in.source != dialplan::kNoZone) {
    return plan_.zone(in.source).trust;
  }
  const Trust of_strangers = plan_.zone(dialplan::kDefaultZone).trust;
  if (!DomainOf(core_.config, user)) {
    in.source = dialplan::kDefaultZone;
    return of_strangers;
  }
  in.source = dialplan::kLocalZone;
  Alias alias;
  AliasOf(user, alias);
  bool is_there = false;
  in.subzone = plan_.SubzoneOf(in.flow.remote.address, alias.view(), &is_there);
  const Trust trust = plan_.TrustOfSubzone(in.subzone);
  if (trust == Trust::kCheckCredentials || is_there || in.is_registration ||
      IsRegisteredThere(user, in.flow)) {
    return trust;
  }
  if (of_strangers == Trust::kCheckCredentials) {
    return of_strangers;
  }
  in.source = dialplan::kDefaultZone;
  in.subzone = 0;
  return trust == Trust::kDoNotCheck ? trust : of_strangers;
}

bool Engine::CheckRegistration(Incoming& in, std::string_view user, std::string_view host) {
  Alias alias;
  const bool fits = alias.Append(user) && alias.Append('@') && alias.Append(host);
  if (fits && plan_.MayRegister(alias.view())) {
    return true;
  }
  Refuse(in.message, in.flow, {403, RefusalReason::kPolicy, {}, {}, "registration is not allowed"});
  return false;
}

// --- Traversal zones -----------------------------------------------------------------------------

// On a traversal zone's own port nothing is taken but its client's OPTIONS until that one has
// proved who it is.
bool Engine::CheckTraversal(Incoming& in) {
  const ZoneId zone = transport_.listener(in.flow).zone;
  if (zone == 0) {
    return true;
  }
  const bool is_attached = zones_.SourceOf(in.flow) == zone;
  const bool is_options = in.message.method() == Method::kOptions && !in.plan.uri.has_user;
  if (is_options && zones_.IsTraversal(zone)) {
    OnTraversalOptions(in);
    return false;
  }
  if (!is_attached) {
    Refuse(in.message, in.flow, {403, RefusalReason::kZone, {}, {}, "not a traversal client"});
  }
  return is_attached;
}

void Engine::OnTraversalOptions(Incoming& in) {
  const ZoneId zone = transport_.listener(in.flow).zone;
  const ZoneConfig& config = zones_.config(zone);
  if (zones_.SourceOf(in.flow) != zone) {
    const std::string_view name = config.verify_name.view();
    if (!name.empty() && !transport_.IsPeerNamed(in.flow, name)) {
      Refuse(in.message, in.flow,
             {403, RefusalReason::kZone, {}, {}, "its certificate has another name"});
      transport_.Hangup(in.flow);
      return;
    }
    const AuthOutcome outcome =
        authenticator_.Verify(in.message, HeaderId::kAuthorization, in.flow.remote.address);
    if (outcome.result != AuthResult::kGood) {
      Challenge(in, HeaderId::kAuthorization, outcome);
      return;
    }
    limit_.GiveBack(in.flow.remote.address);
    if (outcome.user != config.user.view() || config.user.empty()) {
      Refuse(in.message, in.flow, {403, RefusalReason::kZone, {}, {}, "not this zone's user name"},
             outcome.user);
      return;
    }
  }
  if (!zones_.Attach(zone, in.flow)) {
    Refuse(in.message, in.flow, {503, RefusalReason::kZone, {}, {}, "too many traversal clients"});
    return;
  }
  Answer(in.message, in.flow, 200, {}, "Accept: application/sdp\r\n");
}

// --- By the plan ---------------------------------------------------------------------------------

void Engine::AddUser(Proxy::Context& context, const Incoming& in, const Uri& uri, uint16_t q) {
  const auto domain = DomainOf(core_.config, uri);
  char text[kUserBytesMax];
  std::string_view user;
  if (!domain || !UserOf(uri, text, user)) {
    return;
  }
  const Sought sought = Seek(uri, user, *domain);
  if (sought.user != nullptr) {
    AddBindings(context, in, sought, q);
  }
}

void Engine::AddStep(Proxy::Context& context, const Incoming& in, const Step& step, uint16_t q) {
  uint8_t bytes[dialplan::kAliasBytesMax + 8];
  ByteWriter text(bytes);
  const std::string_view uri_text = UriOfStep(step, in.plan.uri, text);
  const auto uri = ParseUri(uri_text);
  if (!uri.ok()) {
    return;
  }
  if (step.zone == dialplan::kLocalZone) {
    AddUser(context, in, *uri, q);
  } else if (plan_.zone(step.zone).type == ZoneType::kDns) {
    proxy_.AddTarget(context, {.uri = uri_text, .q = q, .place = PlaceOfZone(step.zone)});
  } else if (zones_.IsUp(step.zone) && step.zone != in.source) {
    proxy_.AddTarget(context,
                     {.uri = uri_text, .q = q, .zone = step.zone, .place = PlaceOfZone(step.zone)});
  }
}

void Engine::Describe(const Step& step, ByteWriter& out) {
  out.Text(step.alias.view());
  out.Text(" in ");
  out.Text(plan_.ZoneName(step.zone));
  out.Text(": ");
  if (step.zone != dialplan::kLocalZone) {
    out.Text(zones_.IsUp(step.zone) ? "the zone is reachable\n" : "NO PEER OF THE ZONE IS UP\n");
    return;
  }
  uint8_t bytes[dialplan::kAliasBytesMax + 8];
  ByteWriter text(bytes);
  text.Text("sip:");
  text.Text(step.alias.view());
  const auto uri = ParseUri(text.text());
  const auto domain = uri.ok() ? DomainOf(core_.config, *uri) : std::nullopt;
  char user_text[kUserBytesMax];
  std::string_view user;
  if (!domain || !UserOf(*uri, user_text, user)) {
    out.Text("not one of our domains\n");
    return;
  }
  const RegisteredUser* registered = registrar_.Find(user, *domain);
  if (registered == nullptr) {
    out.Text("not registered\n");
    return;
  }
  out.Text("registered:");
  for (const Binding* b = registered->first; b != nullptr; b = b->next) {
    out.Char(' ');
    out.Text(b->contact());
  }
  out.Char('\n');
}

void Engine::Locate(std::string_view alias, ZoneId source, bool is_authenticated, ByteWriter& out) {
  Search search;
  plan_.Find({alias, {}, source, is_authenticated, minute_of_week_}, search, &out);
  if (search.is_refused) {
    return;
  }
  if (!plan_.has_rules()) {
    out.Text("no search rules: our own users, then the outside\n");
    search.count = 1;
  }
  for (uint32_t i = 0; i < search.count; ++i) {
    Describe(search.steps[i], out);
  }
}

// A registration whose like went into a zone before takes the same way (R-FPR-01). The operator's
// policy may change with the hour: where there is one, it is asked each time.
bool Engine::RouteByKnownWay(Incoming& in) {
  if (!core_.config.fast_path || in.message.method() != Method::kRegister || plan_.has_policy() ||
      plan_.has_transforms() || !plan_.has_rules()) {
    return false;
  }
  in.way = {RegistrationWays::KeyOf(core_, in.flow, in.message.from().uri_text, in.plan.uri.text),
            plan_.generation(), 0, 0};
  const RegistrationWay* way = proxy_.ways().Find(in.way.key, in.way.plan);
  if (way == nullptr || !zones_.IsUp(way->zone) || way->zone == in.source) {
    return false;
  }
  Proxy::Context* context = OpenProxy(in);
  if (context == nullptr) {
    return true;
  }
  ++core_.statistics.known_ways;
  Proxy::SetWay(*context, in.way);
  proxy_.AddTarget(*context, {.uri = in.plan.uri.text,
                              .zone = way->zone,
                              .peer_first = way->peer,
                              .place = PlaceOfZone(way->zone)});
  proxy_.Start(*context, in.message, in.plan);
  return true;
}

void Engine::RouteByPlan(Incoming& in) {
  if (RouteByKnownWay(in)) {
    return;
  }
  Alias alias;
  Alias caller;
  AliasOf(in.message.from().uri, caller);
  const bool fits = AliasOf(in.plan.uri, alias);
  const bool is_told = in.message.method() == Method::kInvite;
  ByteWriter explanation(is_told ? history_.Start(core_.now()) : std::span<uint8_t>());
  Search search;
  if (fits) {
    plan_.Find({alias.view(), caller.view(), in.source, in.is_authenticated, minute_of_week_},
               search, &explanation);
  }
  for (uint32_t i = 0; is_told && i < search.count; ++i) {
    Describe(search.steps[i], explanation);
  }
  if (is_told) {
    history_.Finish(explanation.size());
  }
  if (search.is_refused) {
    Refuse(in.message, in.flow, {403, RefusalReason::kPolicy}, in.user);
    return;
  }
  if (fits && !plan_.has_rules()) {  // transforms alone: then as without a plan
    RouteTransformed(in, search.steps[0]);
    return;
  }
  Proxy::Context* context = OpenProxy(in);
  if (context == nullptr) {
    return;
  }
  // One step that changes nothing: the way can be kept.
  if (in.way.key != 0 && search.count == 1 && search.steps[0].alias == alias) {
    Proxy::SetWay(*context, in.way);
  }
  for (uint32_t i = 0; i < search.count; ++i) {
    AddStep(*context, in, search.steps[i],
            static_cast<uint16_t>((dialplan::kStepMax - i) * kQPerStep));
  }
  if (Proxy::TargetCountOf(*context) != 0) {
    proxy_.Start(*context, in.message, in.plan);
    return;
  }
  proxy_.Discard(*context);
  Refuse(in.message, in.flow,
         {static_cast<uint16_t>(in.is_authenticated ? 404 : 480), RefusalReason::kNotRegistered},
         in.user);
}

// Into the zone that it registered in, or that knows its sender: without a search; the operator's
// policy is asked.
void Engine::RouteIntoZone(Incoming& in, ZoneId zone) {
  Alias alias;
  Alias caller;
  Search search;
  const bool fits = AliasOf(in.plan.uri, alias) && AliasOf(in.message.from().uri, caller);
  if (fits && plan_.has_policy()) {
    plan_.Find({alias.view(), caller.view(), in.source, false, minute_of_week_}, search, nullptr);
  }
  if (!fits || search.is_refused) {
    Refuse(in.message, in.flow, {403, RefusalReason::kPolicy}, in.user);
    return;
  }
  if (Proxy::Context* context = OpenProxy(in)) {
    proxy_.AddTarget(*context, {.uri = in.plan.uri.text, .zone = zone, .place = PlaceOfZone(zone)});
    proxy_.Start(*context, in.message, in.plan);
  }
}

// The URI the transforms made lives as long as the call.
void Engine::RouteTransformed(Incoming& in, const Step& step) {
  uint8_t bytes[dialplan::kAliasBytesMax + 8];
  ByteWriter text(bytes);
  const auto uri = ParseUri(UriOfStep(step, in.plan.uri, text));
  if (!uri.ok()) {
    Refuse(in.message, in.flow, {404, RefusalReason::kUnknownUser}, in.user);
    return;
  }
  in.plan.uri = *uri;
  if (const auto domain = DomainOf(core_.config, in.plan.uri)) {
    RouteToUser(in, *domain);
  } else {
    RouteOutside(in);
  }
}

}  // namespace gh::sip
