#include "firmware/sip/presence_server.h"

#include <algorithm>

namespace gh::sip {
namespace {

constexpr PresenceReply kDone{};
constexpr PresenceReply kFull{503, RefusalReason::kOverload, {}};
constexpr std::string_view kAllowEvents = "Allow-Events: presence\r\n";

bool IsOfPresence(const Message& request) {
  Scanner scanner(request.ValueOf(HeaderId::kEvent));
  return EqualsNoCase(scanner.Run(kToken), "presence");
}

// RFC 3903 11.3.2: one tag.
std::optional<uint64_t> TagOf(std::string_view text) {
  if (text.size() != kEntityTagDigits) {
    return std::nullopt;
  }
  uint64_t tag = 0;
  for (const char c : text) {
    const int digit = HexValue(c);
    if (digit < 0) {
      return std::nullopt;
    }
    tag = tag << 4 | static_cast<uint64_t>(digit);
  }
  return tag;
}

const HeaderField* FieldNamed(const Message& message, std::string_view name) {
  for (const HeaderField& field : message.fields()) {
    if (field.id == HeaderId::kOther && EqualsNoCase(message.Name(field), name)) {
      return &field;
    }
  }
  return nullptr;
}

bool IsPidf(std::string_view type) {
  return EqualsNoCase(TrimLws(type.substr(0, type.find(';'))), presence::kPidfType);
}

// Whether a document of ours is among what the watcher takes; without Accept it is (RFC 3856 6.7).
bool Accepts(const Message& request) {
  bool any = false;
  for (const HeaderField* f = request.First(HeaderId::kAccept); f != nullptr;
       f = request.NextSame(*f)) {
    for (std::string_view rest = request.Value(*f); !rest.empty();) {
      const size_t comma = std::min(rest.find(','), rest.size());
      const std::string_view type = TrimLws(rest.substr(0, comma));
      const std::string_view range = TrimLws(type.substr(0, type.find(';')));
      any = any || !type.empty();
      if (IsPidf(type) || range == "*/*" || EqualsNoCase(range, "application/*")) {
        return true;
      }
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
  }
  return !any;
}

void WriteExpires(ByteWriter& out, uint32_t seconds) {
  out.Text("Expires: ");
  out.Decimal(seconds);
  out.Text("\r\n");
}

std::string_view DomainPart(std::string_view name) { return name.substr(name.rfind('@') + 1); }

}  // namespace

PresenceServer::PresenceServer(Core& core, Arena& arena, const Parts& parts)
    : core_(core),
      parts_(parts),
      store_(core, arena),
      reader_(arena, core.random),
      subscriptions_(arena, core.capacity.subscriptions),
      dialogs_(arena, core.capacity.subscriptions),
      table_(arena, core.capacity.subscriptions),
      scratch_(arena.NewArray<uint8_t>(presence::kPartsBytesMax)) {}

// --- What both read ------------------------------------------------------------------------------

PresenceServer::Expiry PresenceServer::ReadExpiry(const Message& request, ByteWriter& extra) const {
  const PresenceConfig& config = core_.config.presence;
  if (!request.Has(HeaderId::kExpires)) {
    return {kDone, config.expires_max_s};
  }
  const auto wanted = ParseNumberClamped(request.ValueOf(HeaderId::kExpires), kExpiresMax);
  if (!wanted) {
    return {{400, RefusalReason::kMalformed, "Bad Expires"}, 0};
  }
  if (*wanted != 0 && *wanted < config.expires_min_s) {
    extra.Text("Min-Expires: ");
    extra.Decimal(config.expires_min_s);
    extra.Text("\r\n");
    return {{423, RefusalReason::kTooBrief, {}}, 0};
  }
  return {kDone, std::min(*wanted, config.expires_max_s)};
}

bool PresenceServer::IsRegistered(std::string_view name) const {
  const std::string_view host = DomainPart(name);
  const std::string_view user = name.substr(0, name.size() - host.size() - 1);
  for (uint8_t i = 0; i < core_.config.domain_count; ++i) {
    if (EqualsNoCase(core_.config.domains[i].view(), host)) {
      const RegisteredUser* found = parts_.registrar.Find(user, i);
      return found != nullptr && found->first != nullptr;
    }
  }
  return false;
}

// --- PUBLISH -------------------------------------------------------------------------------------

void PresenceServer::WriteTag(const Publication& publication, uint32_t expires_s,
                              ByteWriter& extra) {
  extra.Text("SIP-ETag: ");
  extra.Hex(publication.tag, kEntityTagDigits);
  extra.Text("\r\n");
  WriteExpires(extra, expires_s);
}

PresenceReply PresenceServer::ReadState(const Message& request, uint32_t number,
                                        presence::Parts& out) {
  if (!IsPidf(request.ValueOf(HeaderId::kContentType)) || request.Has(HeaderId::kContentEncoding)) {
    return {415, RefusalReason::kMalformed, {}};
  }
  ByteWriter text(scratch_);
  const auto parts = reader_.Read(request.body(), number, text);
  if (!parts.ok()) {
    return parts.error().code == ErrorCode::kTooLarge
               ? PresenceReply{413, RefusalReason::kMalformed, {}}
               : PresenceReply{400, RefusalReason::kMalformed, "Bad Presence Document"};
  }
  out = *parts;
  return kDone;
}

PresenceReply PresenceServer::Publish(const PresenceRequest& request, ByteWriter& extra) {
  const Message& message = request.message;
  if (!IsOfPresence(message)) {
    extra.Text(kAllowEvents);
    return {489, RefusalReason::kExtension, {}};
  }
  // His own alone (RFC 3903 14.1).
  if (!request.is_own_user || request.sender != request.user) {
    return {403, RefusalReason::kForbiddenSender, {}};
  }
  const Expiry expiry = ReadExpiry(message, extra);
  if (expiry.reply.status != 200) {
    return expiry.reply;
  }
  const HeaderField* match = FieldNamed(message, "SIP-If-Match");
  PresenceReply reply;
  if (match == nullptr) {
    reply = PublishNew(request, expiry.seconds, extra);
  } else {
    Presentity* presentity = store_.Find(request.user);
    const auto tag = TagOf(message.Value(*match));
    Publication* publication =
        presentity == nullptr || !tag ? nullptr : store_.FindPublication(*presentity, *tag);
    if (publication == nullptr) {
      return {412, RefusalReason::kMalformed, {}};
    }
    reply = Modify(request, *presentity, *publication, expiry.seconds, extra);
  }
  if (reply.status == 415) {
    extra.Text("Accept: ");
    extra.Text(presence::kPidfType);
    extra.Text("\r\n");
  }
  core_.statistics.publications += reply.status == 200 ? 1 : 0;
  return reply;
}

PresenceReply PresenceServer::PublishNew(const PresenceRequest& request, uint32_t expires_s,
                                         ByteWriter& extra) {
  if (expires_s == 0 || request.message.body().empty()) {
    return {400, RefusalReason::kMalformed, "Nothing Published"};
  }
  presence::Parts parts;
  const PresenceReply read = ReadState(request.message, store_.next_number(), parts);
  if (read.status != 200) {
    return read;
  }
  Presentity* presentity = store_.Open(request.user);
  if (presentity == nullptr) {
    return kFull;
  }
  if (presentity->publication_count >= core_.config.presence.publications_max) {
    return {403, RefusalReason::kTooManyContacts, "Too Many Publications"};
  }
  Publication* made = store_.Put(*presentity, nullptr, parts, Duration::Seconds(expires_s));
  if (made == nullptr) {
    store_.Settle(*presentity);
    return kFull;
  }
  core_.observer.OnPublished({.user = request.user,
                              .source = request.flow.remote,
                              .transport = request.flow.transport,
                              .expires_s = expires_s,
                              .why = {}});
  WriteTag(*made, expires_s, extra);
  return kDone;
}

PresenceReply PresenceServer::Modify(const PresenceRequest& request, Presentity& presentity,
                                     Publication& publication, uint32_t expires_s,
                                     ByteWriter& extra) {
  if (expires_s == 0) {
    store_.Remove(publication, "removed");
    store_.Settle(presentity);
    WriteExpires(extra, 0);
    return kDone;
  }
  if (request.message.body().empty()) {
    store_.Refresh(publication, Duration::Seconds(expires_s));
    WriteTag(publication, expires_s, extra);
    return kDone;
  }
  presence::Parts parts;
  const PresenceReply read = ReadState(request.message, publication.number, parts);
  if (read.status != 200) {
    return read;
  }
  if (store_.Put(presentity, &publication, parts, Duration::Seconds(expires_s)) == nullptr) {
    return kFull;
  }
  WriteTag(publication, expires_s, extra);
  return kDone;
}

// --- SUBSCRIBE -----------------------------------------------------------------------------------

uint64_t PresenceServer::HashOf(std::string_view call_id, std::string_view from_tag,
                                uint64_t to_tag) const {
  return core_.Hash(kHashSubscription).Add(call_id).Add(from_tag).Add(to_tag).Value();
}

PresenceServer::Subscription* PresenceServer::Find(const Message& request) const {
  const auto to_tag = TagOf(request.to_tag());
  return to_tag ? table_.Find(HashOf(request.call_id(), request.from_tag(), *to_tag)) : nullptr;
}

bool PresenceServer::Knows(const Message& request) const { return Find(request) != nullptr; }

// The operator's rules first, then whom he lets watch at all. Everybody may see himself.
PresenceServer::Permission PresenceServer::PermissionOf(const PresenceRequest& request) const {
  if (request.is_own_user && request.sender == request.user) {
    return Permission::kYes;
  }
  if (const auto ruled = parts_.plan.PresenceOf(request.sender, request.user)) {
    return *ruled == dialplan::PresenceAction::kAllow         ? Permission::kYes
           : *ruled == dialplan::PresenceAction::kPoliteBlock ? Permission::kPolite
                                                              : Permission::kNo;
  }
  using Watchers = PresenceConfig::Watchers;
  const Watchers watchers = core_.config.presence.watchers;
  const bool is_same = EqualsNoCase(DomainPart(request.sender), DomainPart(request.user));
  const bool may = watchers == Watchers::kAll ||
                   (request.is_own_user && (watchers == Watchers::kUsers || is_same));
  return may ? Permission::kYes : Permission::kNo;
}

PresenceReply PresenceServer::Fill(Subscription& subscription, DialogRecord& record,
                                   const PresenceRequest& request) {
  const Message& message = request.message;
  Scanner event(message.ValueOf(HeaderId::kEvent));
  event.Run(kToken);
  const auto id = FindParam(event.rest(), "id");
  if (!record.TakeSubscribe(message, request.to_tag) ||
      !subscription.event_id.Set(id ? id->value : std::string_view()) ||
      !subscription.sender.Set(request.sender)) {
    return {400, RefusalReason::kMalformed, "Bad Contact Or Route"};
  }
  return dialogs_.Keep(subscription.dialog, record) ? kDone : kFull;
}

void PresenceServer::WriteDialog(const DialogRecord& record, const PresenceRequest& request,
                                 uint32_t expires_s, ByteWriter& extra) const {
  const Message& message = request.message;
  WriteExpires(extra, expires_s);
  extra.Text("Contact: <");
  WriteContact(record, request.flow, extra);
  extra.Text(">\r\n");
  for (const HeaderField* f = message.First(HeaderId::kRecordRoute); f != nullptr;
       f = message.NextSame(*f)) {
    extra.Text(message.Line(*f));
  }
}

PresenceReply PresenceServer::Subscribe(const PresenceRequest& request, ByteWriter& extra) {
  const Message& message = request.message;
  const Permission permission = PermissionOf(request);
  if (permission == Permission::kNo) {
    return {403, RefusalReason::kPolicy, {}};
  }
  if (!Accepts(message)) {
    return {406, RefusalReason::kExtension, {}};
  }
  const Expiry expiry = ReadExpiry(message, extra);
  if (expiry.reply.status != 200) {
    return expiry.reply;
  }
  Presentity* presentity = store_.Open(request.user);
  if (presentity == nullptr) {
    return kFull;
  }
  const bool is_crowded = presentity->watcher_count >= core_.config.presence.watchers_max;
  Subscription* made = is_crowded ? nullptr : subscriptions_.Allocate();
  if (made == nullptr) {
    store_.Settle(*presentity);
    return kFull;
  }
  DialogRecord record;
  const PresenceReply filled = Fill(*made, record, request);
  if (filled.status != kDone.status) {
    subscriptions_.Release(made);
    store_.Settle(*presentity);
    return filled;
  }
  made->is_polite = permission == Permission::kPolite;
  made->flow = request.flow;
  made->zone = parts_.zones.IsTraversal(request.source) ? request.source : uint16_t{0};
  made->remote_cseq = message.cseq();
  Begin(*made, HashOf(message.call_id(), message.from_tag(), request.to_tag), *presentity);
  if (expiry.seconds == 0) {  // a fetch (RFC 6665 4.4.3): one NOTIFY
    made->over = "timeout";
  } else {
    core_.timers.Arm(made->expiry, Duration::Seconds(expiry.seconds));
  }
  WriteDialog(record, request, expiry.seconds, extra);
  return kDone;
}

void PresenceServer::Begin(Subscription& subscription, uint64_t hash, Presentity& presentity) {
  ++core_.statistics.subscriptions;
  subscription.server = this;
  subscription.expiry.Set(
      [](Timer&, void* context) {
        auto* s = static_cast<Subscription*>(context);
        s->server->OnExpiry(*s);
      },
      &subscription);
  subscription.notify.Set(
      [](Timer&, void* context) {
        auto* s = static_cast<Subscription*>(context);
        s->server->OnNotifyTimer(*s);
      },
      &subscription);
  subscription.watcher.changed = [](Watcher& watcher, Duration after) {
    auto* s = reinterpret_cast<Subscription*>(&watcher);
    s->server->OnChanged(*s, after);
  };
  subscription.probe.context = &subscription;
  subscription.probe.answered = [](Probe& probe, const Flow&, const Message& response) {
    auto* s = static_cast<Subscription*>(probe.context);
    s->server->OnAnswered(*s, response);
  };
  subscription.probe.failed = [](Probe& probe, ClientFailure why) {
    auto* s = static_cast<Subscription*>(probe.context);
    s->server->Release(*s, why == ClientFailure::kTimeout ? "no answer" : "no connection");
  };
  table_.Insert(subscription, hash);
  store_.Watch(presentity, subscription.watcher);
  core_.observer.OnWatchBegan({.watcher = subscription.sender.view(),
                               .user = presentity.name.view(),
                               .source = subscription.flow.remote,
                               .transport = subscription.flow.transport,
                               .why = subscription.is_polite ? "polite-block" : "allowed"});
  // Behind the answer.
  core_.timers.Arm(subscription.notify, Duration::Milliseconds(1));
}

PresenceReply PresenceServer::Resubscribe(const PresenceRequest& request, ByteWriter& extra) {
  Subscription* found = Find(request.message);
  if (found == nullptr || found->over != nullptr || !IsOfPresence(request.message)) {
    return {481, RefusalReason::kMalformed, {}};
  }
  Subscription& subscription = *found;
  if (request.sender != subscription.sender.view()) {
    return {403, RefusalReason::kForbiddenSender, {}};
  }
  if (request.message.cseq() <= subscription.remote_cseq) {
    return {500, RefusalReason::kCseq, "CSeq Out Of Order"};
  }
  const Expiry expiry = ReadExpiry(request.message, extra);
  if (expiry.reply.status != 200) {
    return expiry.reply;
  }
  subscription.remote_cseq = request.message.cseq();
  subscription.flow = request.flow;
  DialogRecord record;
  dialogs_.Read(subscription.dialog, record);
  if (record.SetContact(true, request.message)) {
    (void)dialogs_.Keep(subscription.dialog, record);  // else the old one may still do
  }
  if (expiry.seconds == 0) {
    End(subscription, "timeout");
  } else {
    core_.timers.Arm(subscription.expiry, Duration::Seconds(expiry.seconds));
    OnChanged(subscription, Duration::Milliseconds(1));  // RFC 6665 4.2.1.2: the state at once
  }
  WriteDialog(record, request, expiry.seconds, extra);
  return kDone;
}

// --- Others --------------------------------------------------------------------------------------

void PresenceServer::OnRegistration(std::string_view user, uint8_t domain) {
  if (!core_.config.presence.is_on || store_.count() == 0) {
    return;
  }
  dialplan::Alias name;
  const bool fits =
      name.Append(user) && name.Append('@') && name.Append(core_.config.domains[domain].view());
  Presentity* presentity = fits ? store_.Find(name.view()) : nullptr;
  if (presentity != nullptr && presentity->first == nullptr) {
    store_.Changed(*presentity);
  }
}

void PresenceServer::OnConfig() {
  for (uint32_t i = 0; i < store_.capacity() && store_.count() != 0; ++i) {
    Presentity* presentity = store_.At(i);
    if (presentity == nullptr) {
      continue;
    }
    const std::string_view host = DomainPart(presentity->name.view());
    bool is_ours = false;
    for (uint32_t d = 0; d < core_.config.domain_count; ++d) {
      is_ours = is_ours || EqualsNoCase(core_.config.domains[d].view(), host);
    }
    if (core_.config.presence.is_on && is_ours) {
      continue;
    }
    for (Watcher* w = presentity->watchers; w != nullptr; w = w->next) {
      End(*reinterpret_cast<Subscription*>(w), is_ours ? "deactivated" : "noresource");
    }
    while (presentity->first != nullptr) {
      store_.Remove(*presentity->first, "not served any more");
    }
    store_.Settle(*presentity);
  }
}

bool PresenceServer::NextWatch(uint32_t& cursor, WatchInfo& out) {
  for (; cursor < subscriptions_.capacity(); ++cursor) {
    const Subscription* found = subscriptions_.At(cursor);
    if (found == nullptr) {
      continue;
    }
    const int64_t left = (found->expiry.deadline() - core_.now()).seconds();
    out = {found->sender.view(),
           found->watcher.presentity->name.view(),
           found->flow.remote,
           found->flow.transport,
           found->over != nullptr || left < 0 ? 0 : static_cast<uint32_t>(left),
           found->is_polite};
    ++cursor;
    return true;
  }
  return false;
}

}  // namespace gh::sip
