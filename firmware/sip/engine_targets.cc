// Whom a Request-URI of ours means: all contacts of a user, the user agent that a public GRUU
// names, or the one binding behind a temporary one (RFC 5627); and where parties are, as bandwidth
// and media see it.
#include "firmware/sip/domains.h"
#include "firmware/sip/engine.h"

namespace gh::sip {
namespace {

constexpr MediaEncryption ModeOf(dialplan::Encryption encryption) {
  return static_cast<MediaEncryption>(encryption);
}
static_assert(ModeOf(dialplan::Encryption::kBestEffort) == MediaEncryption::kBestEffort);
static_assert(ModeOf(dialplan::Encryption::kForceEncrypted) == MediaEncryption::kForceEncrypted);

constexpr MediaPolicy PolicyOf(dialplan::Encryption encryption, dialplan::Ice ice) {
  return {ModeOf(encryption), ice.speaks, ice.passes};
}

// Where the first flow of that user agent stands in the list, plus one.
uint8_t GroupOf(const RegisteredUser& user, const Binding& binding) {
  uint8_t place = 1;
  for (const Binding* b = user.first; b != &binding; b = b->next, ++place) {
    if (b->reg_id != 0 && b->instance() == binding.instance()) {
      return place;
    }
  }
  return place;
}

bool IsFirstOf(const RegisteredUser& user, const Binding& binding, uint8_t group) {
  const Binding* b = user.first;
  for (uint8_t place = 1; place < group; ++place) {
    b = b->next;
  }
  return b == &binding;
}

}  // namespace

Result<void> Engine::Disconnect(uint64_t id) {
  Call* call = calls_.FindById(id);
  if (call == nullptr) {
    return Error(ErrorCode::kNotFound, "no call has that number");
  }
  if (!call->can_be_ended) {
    return Error(ErrorCode::kUnsupported,
                 "its names and routes are not kept: too long, or no room");
  }
  proxy_.EndCall(*call, CallEnd::kDisconnected);
  return Ok();
}

bool Engine::LadderOfCall(uint64_t id, uint64_t& ladder) {
  const Call* call = calls_.FindById(id);
  ladder = call != nullptr ? call->ladder : ladder;
  return call != nullptr;
}

void Engine::EndCalls(uint64_t call, CallEnd how) {
  while (Call* found = calls_.FindByLadder(call)) {
    proxy_.EndCall(*found, how);
  }
}

Engine::Sought Engine::Seek(const Uri& uri, std::string_view user, uint8_t domain) {
  Sought sought;
  if (!uri.has_param("gr")) {
    sought.user = registrar_.Find(user, domain);
    return sought;
  }
  sought.instance = uri.param("gr");
  if (!sought.instance.empty()) {
    const RegisteredUser* found = registrar_.Find(user, domain);
    for (const Binding* b = found == nullptr ? nullptr : found->first; b != nullptr; b = b->next) {
      if (Registrar::IsInstance(*b, sought.instance)) {
        sought.user = found;
      }
    }
    return sought;
  }
  sought.only = registrar_.FindTemporary(user, domain);
  sought.user = sought.only == nullptr ? nullptr : sought.only->user;
  return sought;
}

bool Engine::IsMeant(const Sought& sought, const Binding& binding) {
  if (sought.only != nullptr) {
    return &binding == sought.only;
  }
  return sought.instance.empty() ? binding.q != 0 || sought.user->first->next == nullptr
                                 : Registrar::IsInstance(binding, sought.instance);
}

const Binding* Engine::BindingOf(const Uri& uri) {
  const auto domain = DomainOf(core_.config, uri);
  char text[kUserBytesMax];
  std::string_view user;
  if (!domain || !UserOf(uri, text, user)) {
    return nullptr;
  }
  const Sought sought = Seek(uri, user, *domain);
  const Binding* binding = sought.user == nullptr ? nullptr : sought.user->first;
  while (binding != nullptr && !IsMeant(sought, *binding)) {
    binding = binding->next;
  }
  return binding;
}

void Engine::AddBindings(Proxy::Context& context, const Incoming& in, const Sought& sought,
                         uint16_t q) {
  const RegisteredUser& user = *sought.user;
  const bool is_call = in.message.method() == Method::kInvite;
  for (const Binding* b = user.first; b != nullptr; b = b->next) {
    if (!IsMeant(sought, *b)) {
      continue;
    }
    std::string_view uri = b->contact();
    uri = uri.substr(0, uri.find('?'));  // headers have no place in a Request-URI
    TargetSpec spec{.uri = uri, .path = b->path(), .q = static_cast<uint16_t>(q + b->q)};
    spec.flow = FlowToward(*b, uri);
    if (is_call) {
      spec.place = PlaceOfBinding(*b);
    }
    if (b->zone != 0) {
      spec.zone = b->zone;
      spec.flow = nullptr;
      spec.peer_first = zones_.PeerBehind(b->zone, b->flow);
      spec.peer_only = spec.peer_first != kZonePeerMax && b->path_size != 0;
      if (spec.peer_only && b->reg_id != 0) {
        spec.instance = GroupOf(user, *b);
        spec.is_alternate = sought.only == nullptr && !IsFirstOf(user, *b, spec.instance);
      }
    } else if (b->reg_id != 0 && b->path_size == 0) {
      spec.flow = &b->flow;
      spec.flow_only = true;
      spec.instance = GroupOf(user, *b);
      spec.is_alternate = sought.only == nullptr && !IsFirstOf(user, *b, spec.instance);
    }
    proxy_.AddTarget(context, spec);
  }
}

// RFC 3891, as attended transfers make it: an INVITE for the Contact of somebody in a call of ours.
// That address may mean nothing where the INVITE begins, and lie behind NAT or a zone; the call
// knows the way. False: to be sent as any other.
bool Engine::RouteByReplaces(Incoming& in) {
  const auto replaces = ParseReplaces(in.message.ValueOf(HeaderId::kReplaces));
  if (in.message.method() != Method::kInvite || !replaces || in.plan.has_next ||
      DomainOf(core_.config, in.plan.uri)) {
    return false;
  }
  bool to_caller = false;
  const Call* call = calls_.Find(*replaces, to_caller);
  DialogRecord record;
  Flow flow;
  if (call == nullptr || !calls_.ReadDialog(*call, record) ||
      !proxy_.FlowToSide(*call, record, to_caller, flow)) {
    return false;
  }
  using R = DialogRecord;
  const auto contact = ParseUri(record.Get(to_caller ? R::kCallerContact : R::kCalleeContact));
  if (!contact.ok() || !UriEquals(*contact, in.plan.uri)) {
    return false;
  }
  const std::string_view name = record.Get(to_caller ? R::kCaller : R::kCallee);
  StartProxy(in, in.plan.uri.text, &flow,
             PlaceOfParty(flow, (to_caller ? call->caller : call->callee).In(name)));
  return true;
}

Place Engine::PlaceOfParty(const Flow& flow, std::string_view address) {
  if (const ZoneId zone = zones_.SourceOf(flow); zone != dialplan::kNoZone) {
    return PlaceOfZone(zone);
  }
  const auto uri = ParseUri(address);
  if (!uri.ok() || !DomainOf(core_.config, *uri)) {
    return PlaceOfZone(dialplan::kDefaultZone);
  }
  const size_t colon = address.find(':');
  return PlaceOfSubzone(plan_.SubzoneOf(flow.remote.address, address.substr(colon + 1)));
}

Place Engine::PlaceOfZone(ZoneId zone) const {
  const dialplan::Zone& found = plan_.zone(zone);
  return {NodeOfZone(zone), PolicyOf(found.encryption, found.ice)};
}

Place Engine::PlaceOfSubzone(uint32_t subzone) const {
  return {NodeOfSubzone(subzone),
          PolicyOf(plan_.EncryptionOfSubzone(subzone), plan_.IceOfSubzone(subzone))};
}

Place Engine::PlaceOfBinding(const Binding& binding) const {
  dialplan::Alias alias;
  const bool fits = alias.Append(binding.user->view()) && alias.Append('@') &&
                    alias.Append(core_.config.domains[binding.user->domain].view());
  Place place = PlaceOfSubzone(
      plan_.SubzoneOf(binding.flow.remote.address, fits ? alias.view() : std::string_view()));
  if (binding.zone != 0) {  // media goes between the two of that zone, whoever is behind it
    place.media = PlaceOfZone(binding.zone).media;
  }
  return place;
}

Place Engine::SourcePlace(const Incoming& in) const {
  if (in.message.method() != Method::kInvite || in.source == dialplan::kNoZone) {
    return {};
  }
  Place place =
      in.source == dialplan::kLocalZone ? PlaceOfSubzone(in.subzone) : PlaceOfZone(in.source);
  if (in.is_emergency) {
    place.node = dialplan::kNodeMax;  // no bandwidth is counted, none is refused
  }
  return place;
}

}  // namespace gh::sip
