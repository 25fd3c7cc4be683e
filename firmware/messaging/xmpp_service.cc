#include "firmware/messaging/xmpp_service.h"

#include <charconv>

#include "crypto/other_names.h"
#include "firmware/admin/status_text.h"
#include "firmware/config/line.h"

namespace gh {

using namespace gh::log::event;
using log::AlarmId;

namespace {

// 0 stands for none.
uint32_t LimitOf(int32_t setting) {
  return setting == 0 ? UINT32_MAX : static_cast<uint32_t>(setting);
}

const char* WordOf(xmpp::UserPolicy policy) {
  constexpr const char* kWords[] = {"default", "ask", "allow", "block"};
  return kWords[static_cast<size_t>(policy)];
}

xmpp::UserPolicy PolicyOf(config::XmppPolicy policy) {
  return policy == config::XmppPolicy::kAllow   ? xmpp::UserPolicy::kAllow
         : policy == config::XmppPolicy::kBlock ? xmpp::UserPolicy::kBlock
                                                : xmpp::UserPolicy::kAsk;
}

void TellSessions(const xmpp::Engine& engine, ByteWriter& out) {
  out.Text("XMPP Sessions:");
  Tell(out, "streams", engine.session_count());
  Tell(out, "bound", engine.bound_count());
  Tell(out, "capacity", engine.session_capacity());
  Tell(out, "unproven", engine.stranger_count());
  Tell(out, "addresses", engine.source_count());
  Tell(out, "crowded_out", engine.counters().crowded_out);
  Tell(out, "bytes_each", xmpp::Engine::bytes_per_session());
}

void TellStanzas(const xmpp::Counters& counters, ByteWriter& out) {
  out.Text("XMPP Stanzas:");
  Tell(out, "in", counters.stanzas_in);
  Tell(out, "out", counters.stanzas_out);
  Tell(out, "messages", counters.messages);
  Tell(out, "presences", counters.presences);
  Tell(out, "queries", counters.queries);
  Tell(out, "kept", counters.kept);
  Tell(out, "delivered_later", counters.delivered);
  Tell(out, "pushes", counters.pushes);
  Tell(out, "refused", counters.refused);
}

GuessGuard::Rules GuardRules(const config::Settings& settings) {
  const auto& from = settings.intrusion_protection_xmpp();
  return {from.mode == config::OnOff::kOn, static_cast<uint32_t>(from.failures)};
}

}  // namespace

XmppService::XmppService(const XmppParts& parts, const xmpp::Capacity& capacity)
    : parts_(parts), listeners_(parts.stack, parts.tls, parts.log, "XMPP") {
  keeper_ = parts.arena.New<XmppKeeper>(parts.arena, parts.loop, parts.clock, parts.store,
                                        parts.log, parts.alarms);
  engine_ = parts.arena.New<xmpp::Engine>(parts.arena, parts.loop.timers(), parts.random, *this,
                                          *keeper_, *this, capacity);
  guard_ = parts.arena.New<GuessGuard>(GuessGuard::Parts{
      parts.configuration, parts.log, parts.clock, listeners_, "XMPP", "xmpp", GuardRules});
  BuildFiles();
  web_ =
      parts.arena.New<xmpp::Web>(xmpp::Web::Parts{parts.arena, parts.loop, parts.tls.streams(),
                                                  parts.random, *engine_, *this, *this, uploads_},
                                 xmpp::Web::Capacity::For(capacity.sessions));
  keeper_->SetEngine(*engine_);
  keeper_->Load();
}

// --- Settings ------------------------------------------------------------------------------------

xmpp::Config XmppService::EngineConfig() const {
  const config::Settings& settings = parts_.configuration.active();
  const config::Xmpp& from = settings.xmpp();
  xmpp::Config out;
  for (const config::XmppDomain& domain : settings.xmpp_domain()) {
    FixedString<xmpp::kDomainMax> prepared;
    if (!domain.name.empty() && out.domain_count < out.domains.size() &&
        xmpp::PrepareDomain(domain.name.view(), prepared).ok()) {
      out.domains[out.domain_count++].Assign(prepared.view());
    }
  }
  out.enabled =
      from.mode == config::OnOff::kOn && !parts_.configuration.is_factory() && out.domain_count > 0;
  out.draining = settings.maintenance().mode == config::OnOff::kOn;
  out.channel_binding = from.channel_binding == config::OnOff::kOn;
  out.downgrade_protection = from.downgrade_protection == config::OnOff::kOn;
  out.sha1 = from.sha1 == config::OnOff::kOn;
  out.plain = from.plain == config::OnOff::kOn;
  out.external = from.client_certificate != config::TlsClientAuthentication::kOff;
  out.tokens = from.token_mode == config::OnOff::kOn;
  out.token_life = Duration::Seconds(int64_t{from.token_days} * 24 * 3600);
  out.auto_authorization = from.auto_authorization == config::OnOff::kOn;
  out.stanza_max = static_cast<uint32_t>(from.stanza_max);
  out.stanza_rate = static_cast<uint32_t>(from.stanza_rate);
  out.keep_alive = Duration::Seconds(from.keep_alive_s);
  out.messages = from.messages == config::OnOff::kOn;
  out.presence = from.presence == config::OnOff::kOn;
  out.policy = PolicyOf(from.presence_policy);
  out.temporary = from.temporary_mode == config::OnOff::kOn;
  out.temporary_max = static_cast<uint32_t>(from.temporary_max);
  out.temporary_life = Duration::Seconds(from.temporary_s);
  out.watchers_per_user = LimitOf(from.watchers_per_user);
  out.reply = Duration::Seconds(from.reply_s);
  out.resume = Duration::Seconds(from.resume_s);
  out.sessions_per_user = static_cast<uint32_t>(from.sessions_per_user);
  out.address_percent = static_cast<uint32_t>(from.address_percent);
  out.address_strangers_percent = static_cast<uint32_t>(from.address_strangers_percent);
  out.contacts_per_user = LimitOf(from.contacts_per_user);
  // Without a store nothing can be kept for anybody.
  out.messages_per_user =
      parts_.store.status().persistent ? static_cast<uint32_t>(from.offline_per_user) : 0;
  out.search = from.search == config::OnOff::kOn;
  out.push = settings.xmpp_push().mode == config::OnOff::kOn;
  out.push_contents = settings.xmpp_push().contents == config::OnOff::kOn;
  out.file_transfer = settings.xmpp_file_transfer().mode == config::OnOff::kOn;
  out.client_history = settings.xmpp_client().history == config::OnOff::kOn;
  out.client_cut_paste = settings.xmpp_client().cut_paste == config::OnOff::kOn;
  ReadRoomRules(settings, out);
  out.rooms.enabled = out.rooms.enabled && out.messages;  // IM-02
  return out;
}

void XmppService::Listen() {
  const config::Xmpp& from = parts_.configuration.active().xmpp();
  std::array<XmppDoor, XmppListeners::kDoorMax> doors;
  size_t count = 0;
  if (engine_->config().enabled) {
    doors[count++] = {from.port, false, net::TlsService::kXmpp, this};
    if (from.tls_mode == config::OnOff::kOn) {
      doors[count++] = {from.tls_port, true, net::TlsService::kXmpp, this};
    }
    if (from.web_mode == config::OnOff::kOn) {
      doors[count++] = {from.web_port, true, net::TlsService::kWeb, web_};
    }
  }
  listeners_.Open(std::span(doors).first(count));
}

void XmppService::Apply() {
  engine_->Apply(EngineConfig());
  ApplyUploads();
  Listen();
  UpdateAlarms();
}

void XmppService::UpdateAlarms() {
  const bool is_wanted = parts_.configuration.active().xmpp().mode == config::OnOff::kOn &&
                         !parts_.configuration.is_factory();
  parts_.alarms.Set(AlarmId::kXmppNotServing, is_wanted && listeners_.count() == 0, "");
  WatchStorage();
  const int64_t now = UnixSeconds();
  const bool is_minute = now / 60 != rooms_seen_;
  if (is_minute) {
    rooms_seen_ = now / 60;
    (void)engine_->CloseIdleRooms();
  }
  WatchFiles(is_minute);
}

void XmppService::OpenFirewall(uint8_t port_mask) { listeners_.OpenFirewall(port_mask); }

// --- Streams -------------------------------------------------------------------------------------

bool XmppService::OnStreamOpen(net::StreamId id, const net::StreamInfo& info) {
  if (engine_->Knows(id)) {  // after StartTls
    engine_->OnSecured(id);
    return true;
  }
  return engine_->OnOpen(id, info.remote, info.kind == net::StreamKind::kTls);
}

size_t XmppService::OnStreamData(net::StreamId id, std::span<uint8_t> data) {
  return engine_->OnData(id, data);
}

void XmppService::OnStreamWritable(net::StreamId id) { engine_->OnWritable(id); }

void XmppService::OnStreamClosed(net::StreamId id, net::StreamClose) { engine_->OnClosed(id); }

Result<void> XmppService::Send(net::StreamId stream, std::span<const uint8_t> bytes) {
  return xmpp::Web::Owns(stream) ? web_->Send(stream, bytes)
                                 : parts_.tls.streams().SendStream(stream, bytes);
}

Result<void> XmppService::StartTls(net::StreamId stream) {
  return parts_.tls.streams().StartTls(stream);
}

void XmppService::Close(net::StreamId stream) {
  if (xmpp::Web::Owns(stream)) {
    web_->Close(stream);
  } else {
    parts_.tls.streams().CloseStream(stream);
  }
}

void XmppService::Abort(net::StreamId stream) {
  if (xmpp::Web::Owns(stream)) {
    web_->Close(stream);
  } else {
    parts_.tls.streams().AbortStream(stream);
  }
}

void XmppService::Resume(net::StreamId stream) {
  if (xmpp::Web::Owns(stream)) {
    web_->Resume(stream);
  } else {
    parts_.tls.streams().ResumeStream(stream);
  }
}

// tls-exporter only with TLS 1.3: before it, it is unique only with extended master secrets
// (RFC 9266 section 4.2).
size_t XmppService::BindingOf(net::StreamId stream, xmpp::Binding kind,
                              std::span<uint8_t, 64> out) {
  crypto::TlsSession* session = parts_.tls.streams().SessionOf(stream);
  if (session == nullptr) {
    return 0;
  }
  if (kind == xmpp::Binding::kExporter) {
    const bool is_13 = std::string_view(session->version()) == "TLSv1.3";
    return is_13 && session->ExporterBinding(out.first<32>()).ok() ? 32 : 0;
  }
  const auto end_point = session->end_point_binding();
  std::ranges::copy(end_point, out.begin());
  return end_point.size();
}

uint32_t XmppService::ProvedUsers(net::StreamId stream,
                                  std::span<xmpp::ProvedUser, xmpp::kProvedUserMax> out) {
  const crypto::TlsSession* session = parts_.tls.streams().SessionOf(stream);
  const mbedtls_x509_crt* peer = session != nullptr ? session->peer() : nullptr;
  if (peer == nullptr || session->verdict() != crypto::PeerVerdict::kGood) {
    return 0;
  }
  std::array<std::string_view, xmpp::kProvedUserMax> names;
  uint32_t count = crypto::XmppUsersOf(*peer, names);
  if (count == 0 && parts_.configuration.active().xmpp().certificate_email == config::OnOff::kOn) {
    count = crypto::MailAddressesOf(*peer, names);
  }
  uint32_t taken = 0;
  for (const std::string_view name : std::span(names).first(count)) {
    taken += out[taken].Assign(name) ? 1 : 0;
  }
  return taken;
}

// --- Events --------------------------------------------------------------------------------------

void XmppService::OnLoggedIn(std::string_view user, const net::Endpoint& client,
                             std::string_view mechanism) {
  parts_.log.Emit(
      XmppLoggedIn{.user = user, .client = net::ToText(client).view(), .mechanism = mechanism});
}

void XmppService::OnEnded(std::string_view user, const net::Endpoint& client,
                          std::string_view reason) {
  parts_.log.Emit(XmppEnded{.user = user, .client = net::ToText(client).view(), .reason = reason});
}

void XmppService::OnRefused(const net::Endpoint& client, std::string_view user,
                            std::string_view reason) {
  parts_.log.Emit(
      XmppRefused{.client = net::ToText(client).view(), .user = user, .reason = reason});
}

void XmppService::OnPushGone(std::string_view user, std::string_view service,
                             std::string_view reason) {
  parts_.log.Emit(XmppPushFailed{.service = service, .user = user, .reason = reason});
}

void XmppService::OnHeldBack(uint32_t free, uint32_t blocks) {
  parts_.log.Emit(XmppHeldBack{.free = free, .blocks = blocks});
}

// --- Commands ------------------------------------------------------------------------------------

void XmppService::AddTo(admin::StatusTree& status, admin::CommandTable& commands) {
  status.AddMember<&XmppService::NextStatus>("XMPP", "The XMPP server", this);
  status.AddMember<&XmppService::NextSession>("XMPP Session", "Sessions of XMPP users", this);
  status.AddMember<&XmppService::NextUser>("XMPP User", "Local XMPP users", this);
  admin::Command add;
  add.path = "XMPP User Add";
  add.help = "Makes an XMPP user";
  add.value_help = "user@domain and the password, a blank between";
  add.secret_value = add.slow = true;
  AddCommand<&XmppService::AddUser>(commands, add);
  admin::Command password = add;
  password.path = "XMPP User Password";
  password.help = "Gives an XMPP user another password and ends his sessions";
  AddCommand<&XmppService::SetPassword>(commands, password);
  admin::Command remove;
  remove.path = "XMPP User Remove";
  remove.help = "Removes an XMPP user with his roster and waiting messages";
  remove.value_help = "user@domain";
  remove.question = "The user's roster and messages will be lost.";
  AddCommand<&XmppService::RemoveUser>(commands, remove);
  admin::Command revoke;
  revoke.path = "XMPP User Revoke";
  revoke.help = "Forgets the tokens an XMPP user's clients log in by, and ends his sessions";
  revoke.value_help = "user@domain";
  AddCommand<&XmppService::RevokeUser>(commands, revoke);
  admin::Command policy;
  policy.path = "XMPP User Policy";
  policy.help =
      "Sets what an XMPP user's policy is towards whom he neither allows nor blocks, and "
      "adds users and domains he allows";
  policy.value_help =
      "user@domain, Ask, Allow, Block or Default, and whom to allow, blanks between";
  AddCommand<&XmppService::SetPolicy>(commands, policy);
  admin::Command close;
  close.path = "XMPP Session Close";
  close.help = "Ends one session of an XMPP user, or all of a user's";
  close.value_help = "the number of a session (xStatus XMPP Session), or user@domain";
  AddCommand<&XmppService::CloseSession>(commands, close);
  admin::Command broadcast;
  broadcast.path = "XMPP Broadcast";
  broadcast.help = "Sends a message to all users who are there now";
  broadcast.value_help = "a domain or all, a blank, and the text";
  AddCommand<&XmppService::Broadcast>(commands, broadcast);
  AddRoomsTo(status, commands);
  AddChecksTo(commands);
  AddFilesTo(status, commands);
}

Result<xmpp::Address> XmppService::UserOf(std::string_view text) const {
  auto address = xmpp::Address::Parse(text);
  if (!address.ok() || address->local().empty() || address->has_resource()) {
    return Error{ErrorCode::kInvalidArgument, "expected user@domain"};
  }
  return address;
}

Result<void> XmppService::AddUser(std::string_view by, std::string_view value, ByteWriter& out) {
  const size_t blank = std::min(value.find(' '), value.size());
  GH_TRY_ASSIGN(const xmpp::Address user, UserOf(value.substr(0, blank)));
  bool is_ours = false;
  for (const auto& domain : EngineConfig().domains) {
    is_ours = is_ours || domain == user.domain();
  }
  if (!is_ours) {
    return Error{ErrorCode::kInvalidArgument, "not a domain of ours (xConfiguration XMPP Domain)"};
  }
  GH_TRY_ASSIGN(const xmpp::Verifier verifier,
                xmpp::MakeVerifier(value.substr(std::min(blank + 1, value.size())),
                                   xmpp::kScramIterations, parts_.random));
  GH_TRY(engine_->directory().Add(user.full(), verifier));
  keeper_->Flush();
  parts_.log.Emit(XmppUserChanged{.by = by, .user = user.full(), .change = "was added"});
  out.Text(user.full());
  out.Text(" added.");
  return Ok();
}

Result<void> XmppService::SetPassword(std::string_view by, std::string_view value,
                                      ByteWriter& out) {
  const size_t blank = std::min(value.find(' '), value.size());
  GH_TRY_ASSIGN(const xmpp::Address user, UserOf(value.substr(0, blank)));
  xmpp::Account* account = engine_->directory().Find(user.full());
  if (account == nullptr) {
    return Error{ErrorCode::kNotFound, "there is no such XMPP user"};
  }
  GH_TRY_ASSIGN(const xmpp::Verifier verifier,
                xmpp::MakeVerifier(value.substr(std::min(blank + 1, value.size())),
                                   xmpp::kScramIterations, parts_.random));
  GH_TRY(engine_->directory().SetVerifier(*account, verifier));
  keeper_->Flush();
  (void)engine_->RevokeTokens(user.full());
  (void)engine_->EndSessions(user.full(), "the password was changed");
  parts_.log.Emit(XmppUserChanged{.by = by, .user = user.full(), .change = "has a new password"});
  out.Text("Password changed.");
  return Ok();
}

Result<void> XmppService::RemoveUser(std::string_view by, std::string_view value, ByteWriter& out) {
  GH_TRY_ASSIGN(const xmpp::Address user, UserOf(value));
  GH_TRY(engine_->RemoveUser(user.full()));
  (void)uploads_->Purge(user.full());
  keeper_->Flush();
  parts_.log.Emit(XmppUserChanged{.by = by, .user = user.full(), .change = "was removed"});
  out.Text(user.full());
  out.Text(" removed.");
  return Ok();
}

Result<void> XmppService::RevokeUser(std::string_view by, std::string_view value, ByteWriter& out) {
  GH_TRY_ASSIGN(const xmpp::Address user, UserOf(value));
  if (engine_->directory().Find(user.full()) == nullptr) {
    return Error{ErrorCode::kNotFound, "there is no such XMPP user"};
  }
  const uint32_t count = engine_->RevokeTokens(user.full());
  keeper_->Flush();
  (void)engine_->EndSessions(user.full(), "its tokens were revoked");
  parts_.log.Emit(XmppUserChanged{.by = by, .user = user.full(), .change = "lost his tokens"});
  out.Decimal(count);
  out.Text(count == 1 ? " token revoked." : " tokens revoked.");
  return Ok();
}

Result<void> XmppService::SetPolicy(std::string_view by, std::string_view value, ByteWriter& out) {
  const auto next = [&value] {
    const size_t blank = std::min(value.find(' '), value.size());
    const std::string_view word = value.substr(0, blank);
    value.remove_prefix(std::min(blank + 1, value.size()));
    return word;
  };
  GH_TRY_ASSIGN(const xmpp::Address user, UserOf(next()));
  xmpp::Account* account = engine_->directory().Find(user.full());
  if (account == nullptr) {
    return Error{ErrorCode::kNotFound, "there is no such XMPP user"};
  }
  FixedString<16> word;
  for (const char c : next()) {
    word.Append(c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c);
  }
  xmpp::UserPolicy policy = account->policy;
  if (!xmpp::ReadUserPolicy(word.view(), policy)) {
    return Error{ErrorCode::kInvalidArgument, "expected Ask, Allow, Block or Default"};
  }
  GH_TRY(engine_->SetPolicy(*account, policy));
  while (!value.empty()) {
    GH_TRY_ASSIGN(const xmpp::Address whom, xmpp::Address::Parse(next()));
    GH_TRY(engine_->Allow(*account, whom));
  }
  keeper_->Flush();
  parts_.log.Emit(XmppUserChanged{.by = by, .user = user.full(), .change = "has another policy"});
  out.Text("Policy set.");
  return Ok();
}

Result<void> XmppService::Broadcast(std::string_view by, std::string_view value, ByteWriter& out) {
  const size_t blank = value.find(' ');
  const std::string_view domain = value.substr(0, blank);
  if (blank == std::string_view::npos || value.substr(blank + 1).empty()) {
    return Error{ErrorCode::kInvalidArgument, "expected a domain or all, and a text"};
  }
  bool is_ours = domain == "all";
  for (const auto& each : engine_->config().domains) {
    is_ours = is_ours || each == domain;
  }
  if (!is_ours) {
    return Error{ErrorCode::kNotFound, "not a domain of ours (xConfiguration XMPP Domain)"};
  }
  const uint32_t count =
      engine_->Broadcast(domain == "all" ? std::string_view() : domain, value.substr(blank + 1));
  parts_.log.Emit(XmppBroadcast{.by = by, .count = count});
  out.Text("Sent to ");
  out.Decimal(count);
  out.Text(count == 1 ? " user." : " users.");
  return Ok();
}

Result<void> XmppService::CloseSession(std::string_view by, std::string_view value,
                                       ByteWriter& out) {
  uint32_t count = 0;
  if (const auto user = UserOf(value); user.ok()) {
    count = engine_->EndSessions(user->full(), "closed by an administrator");
  } else {
    uint32_t id = 0;
    const char* end = value.data() + value.size();
    const auto [stop, error] = std::from_chars(value.data(), end, id);
    if (error != std::errc() || stop != end || id == 0) {
      return Error{ErrorCode::kInvalidArgument, "expected the number of a session or user@domain"};
    }
    count = engine_->EndSession(id - 1, "closed by an administrator") ? 1 : 0;
  }
  if (count == 0) {
    return Error{ErrorCode::kNotFound, "there is no such session (xStatus XMPP Session)"};
  }
  parts_.log.Emit(XmppUserChanged{.by = by, .user = value, .change = "had a session closed"});
  out.Decimal(count);
  out.Text(count == 1 ? " session closed." : " sessions closed.");
  return Ok();
}

// --- Status --------------------------------------------------------------------------------------

void XmppService::TellWeb(ByteWriter& out) const {
  out.Text("XMPP Web:");
  Tell(out, "connections", web_->connection_count());
  Tell(out, "requests", web_->counters().requests);
  Tell(out, "refused", web_->counters().refused);
  Tell(out, "websockets", web_->counters().websockets);
  Tell(out, "bosh_sessions", web_->bosh_count());
}

bool XmppService::NextStatus(uint64_t& cursor, ByteWriter& out) {
  const xmpp::Counters& counters = engine_->counters();
  switch (cursor++) {
    case 0:
      out.Text("XMPP Server: ");
      out.Text(listeners_.count() == 0      ? "Off"
               : engine_->config().draining ? "Maintenance"
                                            : "Serving");
      Tell(out, "listeners", listeners_.count());
      Tell(out, "domains", engine_->config().domain_count);
      return true;
    case 1:
      TellSessions(*engine_, out);
      return true;
    case 2:
      out.Text("XMPP Memory:");
      Tell(out, "readers", engine_->reader_count());
      Tell(out, "readers_max", engine_->reader_capacity());
      Tell(out, "blocks_free", engine_->chains().free_count());
      Tell(out, "blocks", engine_->chains().capacity());
      Tell(out, "refused", engine_->chains().refused_count());
      Tell(out, "held_back", counters.held_back);
      Tell(out, "shed", counters.shed);
      Tell(out, "too_fast", counters.too_fast);
      return true;
    case 3:
      out.Text("XMPP Directory:");
      Tell(out, "users", engine_->directory().account_count());
      Tell(out, "users_max", engine_->directory().capacity());
      Tell(out, "contacts", engine_->directory().contact_count());
      Tell(out, "contact_bytes", Pool<xmpp::Contact>::bytes_per_item());
      Tell(out, "user_bytes", Pool<xmpp::Account>::bytes_per_item());
      Tell(out, "messages_waiting", engine_->directory().waiting_count());
      return true;
    case 4:
      out.Text("XMPP Logins:");
      Tell(out, "streams", counters.streams);
      Tell(out, "accepted", counters.logins);
      Tell(out, "failed", counters.login_failures);
      Tell(out, "by_token", counters.token_logins);
      Tell(out, "watches", engine_->watch_count());
      Tell(out, "clients_away", engine_->client_away_count());
      Tell(out, "node_entities", engine_->items().entity_count());
      Tell(out, "resumed", counters.resumed);
      Tell(out, "stream_errors", counters.stream_errors);
      return true;
    case 5:
      TellStanzas(counters, out);
      return true;
    case 6:
      out.Text("XMPP Store:");
      Tell(out, "commits", keeper_->commit_count());
      Tell(out, "pending", keeper_->pending_count());
      Tell(out, "spared", keeper_->saved_count());
      Tell(out, "gather_ms", static_cast<uint64_t>(keeper_->gather().ns / 1'000'000));
      return true;
    case 7:
      TellWeb(out);
      return true;
    case 8:
      TellStorage(out);
      return true;
    default:
      return false;
  }
}

bool XmppService::NextSession(uint64_t& cursor, ByteWriter& out) {
  auto at = static_cast<uint32_t>(cursor);
  xmpp::SessionInfo info;
  if (!engine_->NextSession(at, info)) {
    return false;
  }
  cursor = at;
  out.Text("XMPP Session ");
  out.Decimal(info.id + 1);
  out.Text(": ");
  out.Text(info.user);
  out.Char('/');
  out.Text(info.resource);
  Tell(out, "client", net::ToText(info.remote).view());
  Tell(out, "state", info.connected ? "connected" : "waiting");
  Tell(out, "presence", info.available ? "available" : "unavailable");
  Tell(out, "managed", info.managed ? "yes" : "no");
  Tell(out, "unacknowledged", info.unconfirmed);
  return true;
}

bool XmppService::NextUser(uint64_t& cursor, ByteWriter& out) {
  xmpp::Directory& directory = engine_->directory();
  for (; cursor < directory.capacity(); ++cursor) {
    const xmpp::Account* account = directory.At(static_cast<uint32_t>(cursor));
    if (account == nullptr) {
      continue;
    }
    ++cursor;
    out.Text("XMPP User ");
    out.Decimal(account->id);
    out.Text(": ");
    out.Text(account->name.view());
    Tell(out, "sessions", account->session_count);
    Tell(out, "contacts", account->contacts.size());
    Tell(out, "blocked", account->blocked.size());
    Tell(out, "messages_waiting", account->waiting.size());
    Tell(out, "tokens", engine_->TokenCount(*account));
    Tell(out, "allowed", account->allowed.size());
    Tell(out, "policy", WordOf(account->policy));
    return true;
  }
  return false;
}

}  // namespace gh
