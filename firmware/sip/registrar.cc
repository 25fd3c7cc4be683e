#include "firmware/sip/registrar.h"

#include <algorithm>

#include "firmware/sip/presence_server.h"

namespace gh::sip {
namespace {

// The text area is raw storage: everything a binding says is written before it is linked.
size_t TextSize(std::string_view uri, size_t path_size, std::string_view instance) {
  return uri.size() + path_size + instance.size();
}

constexpr RegisterOutcome kDone{};

}  // namespace

Registrar::Registrar(Core& core, Arena& arena)
    : core_(core),
      bindings_(arena, core.capacity.bindings),
      overflows_(arena, core.capacity.binding_overflows),
      users_(arena, core.capacity.users),
      table_(arena, core.capacity.users) {}

uint64_t Registrar::UserHash(std::string_view user, std::string_view domain) const {
  return core_.Hash(kHashAor).Add(user).AddNoCase(domain).Value();
}

const RegisteredUser* Registrar::Find(std::string_view user, uint8_t domain) const {
  GH_ASSERT_LT(domain, core_.config.domain_count);
  return table_.Find(UserHash(user, core_.config.domains[domain].view()),
                     [&](const RegisteredUser& u) { return u.view() == user; });
}

const Binding* Registrar::FindContact(const RegisteredUser& user, const Uri& contact) const {
  for (const Binding* b = user.first; b != nullptr; b = b->next) {
    if (b->contact() == contact.text) {
      return b;
    }
    const auto uri = ParseUri(b->contact());
    if (uri.ok() && UriEquals(*uri, contact)) {
      return b;
    }
  }
  return nullptr;
}

// --- Reading the request -------------------------------------------------------------------------

RegisterOutcome Registrar::ReadContact(const Message& request, const NameAddr& address,
                                       Wanted& out) {
  out.address = address;
  const Config& config = core_.config;
  uint32_t expires = config.expires_default_s;
  if (const auto param = FindParam(address.params, "expires")) {
    // RFC 3261 10.3 7: malformed is treated as the default; huge is clamped.
    expires = ParseNumberClamped(param->value, kExpiresMax).value_or(config.expires_default_s);
  } else if (request.Has(HeaderId::kExpires)) {
    expires = ParseNumberClamped(request.ValueOf(HeaderId::kExpires), kExpiresMax)
                  .value_or(config.expires_default_s);
  }
  if (expires != 0 && expires < config.expires_min_s) {
    return {423, "", RefusalReason::kTooBrief};
  }
  out.expires_s = std::min(expires, config.expires_max_s);
  if (const auto q = FindParam(address.params, "q")) {
    const auto value = ParseQvalue(q->value);
    if (!value) {
      return {400, "Bad Contact q", RefusalReason::kMalformed};
    }
    out.q = *value;
  }
  if (const auto instance = FindParam(address.params, "+sip.instance")) {
    out.instance = instance->value;
  }
  if (const auto reg_id = FindParam(address.params, "reg-id")) {
    out.reg_id = ParseNumber(reg_id->value, UINT32_MAX).value_or(0);
  }
  if (!address.uri.is_sip() && address.uri.scheme != UriScheme::kTel) {
    return {400, "Unsupported Contact Scheme", RefusalReason::kScheme};
  }
  return kDone;
}

RegisterOutcome Registrar::ReadContacts(const Message& request,
                                        const RegisterExtensions& extensions, WantedList& wanted,
                                        size_t& count) {
  AddressList list(request, HeaderId::kContact);
  NameAddr address;
  while (list.NextItem(address) == Next::kItem) {
    if (address.is_star) {
      return {400, "Bad Contact", RefusalReason::kMalformed};
    }
    if (count == kContactPerRegisterMax) {
      return {403, "Too Many Contacts", RefusalReason::kTooManyContacts};
    }
    const RegisterOutcome read = ReadContact(request, address, wanted[count]);
    if (read.status != 200) {
      return read;
    }
    Wanted& one = wanted[count];
    const bool is_flow = one.reg_id != 0 && !one.instance.empty() && extensions.outbound;
    if (is_flow && extensions.lacks_first_hop) {
      return {439, "", RefusalReason::kExtension};
    }
    one.reg_id = is_flow ? one.reg_id : 0;  // RFC 5626 6: else it is not looked at
    ++count;
  }
  return kDone;
}

// All Path values in one list, as they will be written into Route.
RegisterOutcome Registrar::ReadPath(const Message& request, char (&out)[kBindingTextMax],
                                    size_t& size) {
  size = 0;
  AddressList list(request, HeaderId::kPath);
  NameAddr address;
  sip::Next next;
  while ((next = list.NextItem(address)) == sip::Next::kItem) {
    const size_t comma = size == 0 ? 0 : 1;
    if (!address.bracketed || size + comma + address.text.size() > sizeof(out)) {
      return {400, "Bad Path", RefusalReason::kMalformed};
    }
    if (comma != 0) {
      out[size++] = ',';
    }
    std::memcpy(out + size, address.text.data(), address.text.size());
    size += address.text.size();
  }
  return next == sip::Next::kEnd ? kDone
                                 : RegisterOutcome{400, "Bad Path", RefusalReason::kMalformed};
}

// --- Deciding ------------------------------------------------------------------------------------

RegisterOutcome Registrar::CheckOrder(const Binding& binding, const Order& order) const {
  if (binding.call_id != order.call_id || order.cseq > binding.cseq) {
    return kDone;
  }
  if (order.cseq == binding.cseq) {
    // The same request again is answered again; one that came another way is merged (8.2.2.2).
    return order.branch == binding.branch ? kDone
                                          : RegisterOutcome{482, "", RefusalReason::kMerged};
  }
  return {500, "CSeq Out Of Order", RefusalReason::kCseq};
}

Binding* Registrar::Match(RegisteredUser& user, const Wanted& wanted) const {
  for (Binding* b = user.first; b != nullptr; b = b->next) {
    // RFC 5626 6: with instance and reg-id these identify the binding, whatever its contact.
    if (wanted.reg_id != 0 && !wanted.instance.empty() && b->reg_id != 0) {
      if (b->reg_id == wanted.reg_id && b->instance() == wanted.instance) {
        return b;
      }
      continue;
    }
    if (b->contact() == wanted.address.uri_text) {
      return b;
    }
    const auto uri = ParseUri(b->contact());
    if (uri.ok() && UriEquals(*uri, wanted.address.uri)) {
      return b;
    }
  }
  return nullptr;
}

RegisterOutcome Registrar::Plan(RegisteredUser* user, std::span<Wanted> wanted, const Order& order,
                                size_t path_size) {
  uint32_t added = 0;
  uint32_t removed = 0;
  uint32_t overflow = 0;
  for (Wanted& one : wanted) {
    one.existing = user == nullptr ? nullptr : Match(*user, one);
    if (one.existing != nullptr) {
      const RegisterOutcome ordered = CheckOrder(*one.existing, order);
      if (ordered.status != 200) {
        return ordered;
      }
    }
    if (one.expires_s == 0) {
      removed += one.existing != nullptr ? 1 : 0;
      continue;
    }
    const size_t text = TextSize(one.address.uri_text, path_size, one.instance);
    if (text > kBindingTextMax) {
      return {400, "Contact Too Long", RefusalReason::kMalformed};
    }
    added += one.existing == nullptr ? 1 : 0;
    const bool has_block = one.existing != nullptr && one.existing->overflow != nullptr;
    overflow += text > kBindingTextInline && !has_block ? 1 : 0;
  }
  uint32_t held = 0;
  for (const Binding* b = user == nullptr ? nullptr : user->first; b != nullptr; b = b->next) {
    ++held;
  }
  if (held + added > core_.config.contacts_per_user_max + removed) {
    return {403, "Too Many Contacts", RefusalReason::kTooManyContacts};
  }
  if (added > bindings_.free_count() || overflow > overflows_.free_count() ||
      (user == nullptr && added != 0 && users_.free_count() == 0)) {
    return {503, "", RefusalReason::kOverload};
  }
  return kDone;
}

RegisterOutcome Registrar::RemoveAll(const Message& request, RegisteredUser* user,
                                     const Order& order) {
  AddressList list(request, HeaderId::kContact);
  NameAddr address;
  size_t count = 0;
  while (list.NextItem(address) == sip::Next::kItem) {
    ++count;
  }
  if (count != 1 || request.ValueOf(HeaderId::kExpires) != "0") {
    return {400, "Bad Contact: *", RefusalReason::kMalformed};
  }
  if (user == nullptr) {
    return kDone;
  }
  for (const Binding* b = user->first; b != nullptr; b = b->next) {
    const RegisterOutcome ordered = CheckOrder(*b, order);
    if (ordered.status != 200) {
      return ordered;
    }
  }
  while (user->first != nullptr) {
    core_.observer.OnUnregistered(EventOf(*user->first));
    Unlink(*user->first);
  }
  return kDone;
}

RegisterOutcome Registrar::Process(const Message& request, const Flow& flow, uint16_t zone,
                                   std::string_view user_name, uint8_t domain, ByteWriter& extra) {
  ++core_.statistics.registers;
  auto* user = const_cast<RegisteredUser*>(Find(user_name, domain));
  const Order order{
      core_.Hash(kHashCallId).Add(request.call_id()).Value(), request.cseq(),
      static_cast<uint32_t>(core_.Hash(kHashCallId).Add(request.via().branch).Value())};
  NameAddr first;
  AddressList list(request, HeaderId::kContact);
  const bool any = list.NextItem(first) == sip::Next::kItem;
  const RegisterExtensions extensions = ExtensionsOf(request);
  RegisterOutcome outcome;
  if (any && first.is_star) {
    outcome = RemoveAll(request, user, order);
    if (outcome.status == 200 && user != nullptr) {
      ReleaseIfEmpty(*user);
    }
    return outcome;
  }
  if (any) {
    WantedList wanted;
    size_t count = 0;
    char path[kBindingTextMax];
    size_t path_size = 0;
    outcome = ReadContacts(request, extensions, wanted, count);
    outcome = outcome.status == 200 ? ReadPath(request, path, path_size) : outcome;
    outcome =
        outcome.status == 200 ? Plan(user, {wanted.data(), count}, order, path_size) : outcome;
    if (outcome.status == 423) {
      extra.Text("Min-Expires: ");
      extra.Decimal(core_.config.expires_min_s);
      extra.Text("\r\n");
    }
    if (outcome.status != 200) {
      return outcome;
    }
    user = user == nullptr ? FindOrAdd(user_name, domain) : user;
    for (size_t i = 0; user != nullptr && i < count; ++i) {
      wanted[i].zone = zone;
      Apply(*user, wanted[i], flow, order, {path, path_size});
    }
  }
  WriteContacts(user, extensions.gruu, extra);
  if (any && extensions.outbound && !extensions.lacks_first_hop) {
    extra.Text("Require: outbound\r\nFlow-Timer: 120\r\n");
  }
  for (const HeaderField* f = request.First(HeaderId::kPath); f != nullptr;
       f = request.NextSame(*f)) {
    extra.Text(request.Line(*f));
  }
  if (user != nullptr) {
    ReleaseIfEmpty(*user);
  }
  return outcome;
}

// --- Changing ------------------------------------------------------------------------------------

RegisteredUser* Registrar::FindOrAdd(std::string_view name, uint8_t domain) {
  GH_ASSERT(name.size() <= kUserBytesMax);
  RegisteredUser* user = users_.Allocate();
  if (user == nullptr) {
    return nullptr;
  }
  user->registrar = this;
  user->domain = domain;
  user->name_size = static_cast<uint8_t>(name.size());
  std::memcpy(user->name, name.data(), name.size());
  table_.Insert(*user, UserHash(name, core_.config.domains[domain].view()));
  if (core_.presence != nullptr) {
    core_.presence->OnRegistration(name, domain);
  }
  return user;
}

void Registrar::Apply(RegisteredUser& user, const Wanted& wanted, const Flow& flow,
                      const Order& order, std::string_view path) {
  // An earlier contact of the same request may have been this one already.
  Binding* binding = Match(user, wanted);
  if (wanted.expires_s == 0) {
    if (binding != nullptr) {
      core_.observer.OnUnregistered(EventOf(*binding));
      Unlink(*binding);
    }
    return;
  }
  const bool is_new = binding == nullptr;
  if (is_new) {
    binding = bindings_.Allocate();
    GH_ASSERT(binding != nullptr);  // planned
    binding->user = &user;
    binding->next = user.first;
    user.first = binding;
    binding->expiry.Set(
        [](Timer&, void* context) {
          auto* self = static_cast<Binding*>(context);
          self->user->registrar->OnExpiry(*self);
        },
        binding);
  }
  SetText(*binding, wanted, path);
  binding->flow = flow;
  binding->call_id = order.call_id;
  binding->cseq = order.cseq;
  binding->branch = order.branch;
  binding->expires_s = wanted.expires_s;
  binding->reg_id = wanted.reg_id;
  binding->q = wanted.q;
  binding->zone = wanted.zone;
  core_.timers.Arm(binding->expiry, Duration::Seconds(wanted.expires_s));
  if (is_new) {
    core_.observer.OnRegistered(EventOf(*binding));
  } else {
    core_.observer.OnRefreshed(EventOf(*binding));
  }
}

void Registrar::SetText(Binding& binding, const Wanted& wanted, std::string_view path) {
  const std::string_view uri = wanted.address.uri_text;
  const bool long_text = TextSize(uri, path.size(), wanted.instance) > kBindingTextInline;
  if (long_text && binding.overflow == nullptr) {
    binding.overflow = overflows_.Allocate();
    GH_ASSERT(binding.overflow != nullptr);  // planned
  } else if (!long_text && binding.overflow != nullptr) {
    overflows_.Release(binding.overflow);
    binding.overflow = nullptr;
  }
  char* at = binding.overflow != nullptr ? binding.overflow->text : binding.text;
  for (const std::string_view part : {uri, path, wanted.instance}) {
    if (!part.empty()) {
      std::memcpy(at, part.data(), part.size());
      at += part.size();
    }
  }
  binding.contact_size = static_cast<uint16_t>(uri.size());
  binding.path_size = static_cast<uint16_t>(path.size());
  binding.instance_size = static_cast<uint16_t>(wanted.instance.size());
}

void Registrar::Unlink(Binding& binding) {
  Binding** place = &binding.user->first;
  while (*place != &binding) {
    GH_ASSERT(*place != nullptr);
    place = &(*place)->next;
  }
  *place = binding.next;
  core_.timers.Cancel(binding.expiry);
  if (binding.overflow != nullptr) {
    overflows_.Release(binding.overflow);
  }
  bindings_.Release(&binding);
}

void Registrar::ReleaseIfEmpty(RegisteredUser& user) {
  if (user.first == nullptr) {
    if (core_.presence != nullptr) {
      core_.presence->OnRegistration(user.view(), user.domain);
    }
    table_.Remove(user);
    users_.Release(&user);
  }
}

void Registrar::OnExpiry(Binding& binding) {
  RegisteredUser& user = *binding.user;
  core_.observer.OnExpired(EventOf(binding));
  Unlink(binding);
  ReleaseIfEmpty(user);
}

// --- Telling -------------------------------------------------------------------------------------

void Registrar::WriteContacts(const RegisteredUser* user, bool with_gruus,
                              ByteWriter& extra) const {
  for (const Binding* b = user == nullptr ? nullptr : user->first; b != nullptr; b = b->next) {
    const int64_t left_ms = (b->expiry.deadline() - core_.now()).milliseconds();
    extra.Text("Contact: <");
    extra.Text(b->contact());
    extra.Text(">;expires=");
    extra.Decimal(left_ms <= 0 ? 0 : static_cast<uint64_t>((left_ms + 999) / 1000));
    if (b->q != 1000) {
      extra.Text(";q=0.");
      extra.Decimal(b->q / 100);
      extra.Decimal(b->q / 10 % 10);
      extra.Decimal(b->q % 10);
    }
    if (b->instance_size != 0) {
      extra.Text(";+sip.instance=\"");
      extra.Text(b->instance());
      extra.Text("\"");
    }
    if (b->reg_id != 0) {
      extra.Text(";reg-id=");
      extra.Decimal(b->reg_id);
    }
    if (with_gruus) {
      WriteGruus(extra, *b);
    }
    extra.Text("\r\n");
  }
}

RegistrationEvent Registrar::EventOf(const Binding& binding) const {
  RegistrationEvent event;
  event.user = binding.user->view();
  event.domain = core_.config.domains[binding.user->domain].view();
  event.contact = binding.contact();
  event.source = binding.flow.remote;
  event.transport = binding.flow.transport;
  event.expires_s = binding.expires_s;
  return event;
}

bool Registrar::Next(uint32_t& cursor, RegistrationInfo& out) {
  for (; cursor < bindings_.capacity(); ++cursor) {
    const Binding* b = bindings_.At(cursor);
    if (b == nullptr) {
      continue;
    }
    out.user = b->user->view();
    out.domain = core_.config.domains[b->user->domain].view();
    out.contact = b->contact();
    out.path = b->path();
    out.instance = b->instance();
    out.source = b->flow.remote;
    out.transport = b->flow.transport;
    out.q = b->q;
    const int64_t left = (b->expiry.deadline() - core_.now()).seconds();
    out.remaining_s = left < 0 ? 0 : static_cast<uint32_t>(left);
    ++cursor;
    return true;
  }
  return false;
}

uint32_t Registrar::RemoveUser(std::string_view name, std::string_view domain) {
  RegisteredUser* user = table_.Find(UserHash(name, domain),
                                     [&](const RegisteredUser& u) { return u.view() == name; });
  uint32_t count = 0;
  while (user != nullptr && user->first != nullptr) {
    core_.observer.OnUnregistered(EventOf(*user->first));
    Unlink(*user->first);
    ++count;
  }
  if (user != nullptr) {
    ReleaseIfEmpty(*user);
  }
  return count;
}

void Registrar::OnDomainsChanged(const Config& before) {
  for (uint32_t i = 0; i < users_.capacity(); ++i) {
    RegisteredUser* user = users_.At(i);
    if (user == nullptr) {
      continue;
    }
    const std::string_view name = before.domains[user->domain].view();
    bool found = false;
    for (uint8_t d = 0; d < core_.config.domain_count && !found; ++d) {
      found = EqualsNoCase(core_.config.domains[d].view(), name);
      user->domain = found ? d : user->domain;
    }
    if (found) {
      continue;
    }
    while (user->first != nullptr) {
      RegistrationEvent event = EventOf(*user->first);
      event.domain = name;
      core_.observer.OnUnregistered(event);
      Unlink(*user->first);
    }
    ReleaseIfEmpty(*user);
  }
}

const Flow* FlowToward(const Binding& binding, std::string_view contact) {
  const auto uri = ParseUri(contact);
  const bool contact_decides =
      !binding.flow.is_reliable() && uri.ok() && uri->address == binding.flow.remote.address;
  return contact_decides ? nullptr : &binding.flow;
}

}  // namespace gh::sip
