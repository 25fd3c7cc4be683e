#include "firmware/admin/ssh_service.h"

#include <algorithm>

#include "firmware/log/events.gen.h"

namespace gh::admin {
namespace {

using namespace gh::log::event;

constexpr uint32_t kExitSignal = 130;
constexpr uint32_t kExitRefused = 5;

// '@': a note beside the settings; a factory reset takes it with them.
std::string_view KeyOf(ssh::HostKeyKind kind) {
  return kind == ssh::HostKeyKind::kEd25519 ? "@ssh-host-key-ed25519" : "@ssh-host-key-ecdsa";
}

class SecretFinder final : public store::EntryVisitor {
 public:
  SecretFinder(std::string_view key, SecretBytes<ssh::kHostSecretSize>& secret)
      : key_(key), secret_(secret) {}
  void OnEntry(std::string_view key, std::span<const uint8_t> value) override {
    if (key == key_) {
      is_there = true;
      fits = value.size() == secret_.size();
      if (fits) {
        secret_.Set(value.first<ssh::kHostSecretSize>());
      }
    }
  }
  bool is_there = false;
  bool fits = false;

 private:
  std::string_view key_;
  SecretBytes<ssh::kHostSecretSize>& secret_;
};

ssh::AlgorithmList ListOf(ssh::AlgorithmKind kind, std::string_view text) {
  std::array<uint8_t, 512> expected;
  ByteWriter out(expected);
  const auto list = ssh::ParseAlgorithms(kind, text, out);
  return list.ok() ? *list : ssh::DefaultAlgorithms(kind);  // an emptied setting
}

ssh::ServerSettings SettingsOf(const config::Settings& settings) {
  const config::Ssh& from = settings.ssh();
  const config::Ciphers& ciphers = settings.ciphers();
  ssh::ServerSettings to;
  to.enabled = from.mode == config::OnOff::kOn;
  to.port = static_cast<uint16_t>(from.port);
  ssh::ConnectionSettings& connection = to.connection;
  connection.transport.kex = ListOf(ssh::AlgorithmKind::kKex, ciphers.sshd_kex.view());
  connection.transport.ciphers = ListOf(ssh::AlgorithmKind::kCipher, ciphers.sshd_ciphers.view());
  connection.transport.macs = ListOf(ssh::AlgorithmKind::kMac, ciphers.sshd_macs.view());
  connection.transport.rekey_bytes = static_cast<uint64_t>(from.rekey_megabytes) << 20;
  connection.transport.rekey_time = Duration::Minutes(from.rekey_minutes);
  connection.authentication.tries_max = static_cast<uint32_t>(from.tries_max);
  connection.authentication.allows_password = from.password == config::OnOff::kOn;
  connection.authentication.banner.Assign(settings.administration().banner.view());
  connection.login_grace = Duration::Seconds(from.login_grace);
  connection.keepalive_interval = Duration::Seconds(from.keepalive_interval);
  connection.keepalive_max = static_cast<uint32_t>(from.keepalive_count);
  return to;
}

void PutPair(ByteWriter& out, const char* name, std::string_view value) {
  out.Text(name);
  out.Text(value);
  out.Char('"');
}

}  // namespace

SshService::SshService(const Parts& parts)
    : parts_(parts),
      server_(
          {parts.arena, parts.loop, parts.streams, parts.random, parts.clock, *this, *this, *this}),
      visitors_(parts.arena.NewArray<Visitor>(ssh::kConnectionCount)),
      bridges_(parts.arena, ssh::kChannelCount),
      files_(parts.arena, parts.files) {
  parts.loop.Add(files_);
  for (Visitor& visitor : visitors_) {
    visitor.service = this;
  }
}

uint64_t SshService::ArenaBytes() {
  return ssh::kConnectionCount * (ssh::Server::bytes_per_connection() + sizeof(Visitor) + 64) +
         ssh::kChannelCount * (ssh::Server::bytes_per_channel() + sizeof(Bridge) + 64) +
         SshFiles::ArenaBytes() + ssh::kCryptoHeapBytes + sizeof(SshService) + 4096;
}

void SshService::Apply() {
  if (!keys_loaded_) {
    LoadKeys();
  }
  SaveKeysIfDue();
  server_.Configure(SettingsOf(parts_.configuration.active()));
}

// --- Host keys -----------------------------------------------------------------------------------

void SshService::LoadKeys() {
  keys_loaded_ = true;
  const Result<void> loaded = server_.LoadKeys(*this);
  if (!loaded.ok()) {
    parts_.log.Emit(ServiceFailed{.service = "ssh host keys", .reason = loaded.error().what});
  }
  if (server_.keys().made_new()) {
    parts_.log.Emit(SshHostKeysMade{.fingerprint = fingerprint().view()});
  }
}

void SshService::SaveKeysIfDue() {
  if (!keys_unsaved_ || parts_.configuration.is_factory()) {
    return;
  }
  const Result<void> saved = server_.SaveKeys(*this);
  if (!saved.ok()) {
    parts_.log.Emit(ServiceFailed{.service = "ssh host keys", .reason = saved.error().what});
  }
}

Result<void> SshService::Load(ssh::HostKeyKind kind, SecretBytes<ssh::kHostSecretSize>& secret) {
  SecretFinder finder(KeyOf(kind), secret);
  GH_TRY(parts_.store.ForEach(finder));
  if (!finder.is_there) {
    return ErrorCode::kNotFound;
  }
  return finder.fits ? Ok() : Error{ErrorCode::kMalformed, "the stored host key is damaged"};
}

Result<void> SshService::Save(ssh::HostKeyKind kind,
                              const SecretBytes<ssh::kHostSecretSize>& secret) {
  if (parts_.configuration.is_factory()) {
    keys_unsaved_ = true;  // with the first configuration
    return Ok();
  }
  GH_TRY(parts_.store.Begin());
  if (auto put = parts_.store.Put(KeyOf(kind), secret.Expose()); !put.ok()) {
    parts_.store.Rollback();
    return put;
  }
  GH_TRY(parts_.store.Commit());
  keys_unsaved_ = false;
  return Ok();
}

// --- Who it is -----------------------------------------------------------------------------------

void SshService::Visitor::OnPasswordChecked(admin::Verdict verdict, const Identity& who) {
  const bool accepted = verdict == admin::Verdict::kAccepted;
  identity = accepted ? who : Identity{};
  service->server_.OnPasswordChecked(id, accepted);
}

ssh::Verdict SshService::CheckPassword(Handle id, std::string_view user, std::string_view password,
                                       const net::IpAddress& remote) {
  Visitor& visitor = visitors_[id.index];
  visitor.id = id;
  visitor.identity = {};
  parts_.accounts.BeginPasswordCheck(visitor.check, Origin::Ssh(remote), user, password, visitor);
  return ssh::Verdict::kPending;
}

void SshService::CancelPassword(Handle id) { parts_.accounts.Cancel(visitors_[id.index].check); }

bool SshService::MayUseKey(std::string_view user, const ssh::PublicKeyView& key) {
  return parts_.accounts.FindKey(user, key.blob);
}

bool SshService::AcceptKey(Handle id, std::string_view user, const ssh::PublicKeyView& key,
                           const net::IpAddress& remote) {
  const auto identity = parts_.accounts.AcceptKey(user, key.blob, Origin::Ssh(remote));
  visitors_[id.index].identity = identity.ok() ? *identity : Identity{};
  return identity.ok();
}

void SshService::RefuseKey(std::string_view user, const net::IpAddress& remote) {
  (void)parts_.accounts.Refuse(user, Origin::Ssh(remote), "wrong key or signature");
}

bool SshService::MayConnect(const net::IpAddress& remote) {
  return parts_.accounts.Admits(Origin::Ssh(remote));
}

// --- Programs ------------------------------------------------------------------------------------

Result<ssh::ChannelSession*> SshService::OpenSession(const ssh::SessionRequest& request,
                                                     ssh::ChannelPort& channel) {
  const Identity& identity = visitors_[request.connection.index].identity;
  const FileUser file_user = {identity, Origin::Ssh(request.remote)};
  if (request.kind == ssh::SessionKind::kSubsystem) {
    return request.command == "sftp" ? files_.OpenSftp(file_user, channel)
                                     : Error{ErrorCode::kUnsupported, "no such subsystem"};
  }
  if (const auto scp = ScpServer::Parse(request.command);
      scp.has_value() && request.kind == ssh::SessionKind::kExec) {
    return files_.OpenScp(*scp, file_user, channel);
  }
  Bridge* bridge = bridges_.Allocate(*this, channel);
  if (bridge == nullptr) {
    return Error{ErrorCode::kExhausted, "too many programs"};
  }
  SessionRequest wanted;
  wanted.kind = request.kind == ssh::SessionKind::kExec ? SessionKind::kExec
                : request.has_terminal                  ? SessionKind::kShell
                                                        : SessionKind::kScript;
  wanted.terminal = bridge;
  wanted.observer = bridge;
  wanted.origin = Origin::Ssh(request.remote);
  wanted.identity = identity;
  wanted.columns = request.columns;
  wanted.rows = request.rows;
  wanted.command_line = request.command;
  const auto session = parts_.sessions.Open(wanted);
  if (session.ok()) {
    bridge->SetSession(**session);
  } else {
    bridge->SetRefusal(session.error().what);  // told in words, then it ends
  }
  return static_cast<ssh::ChannelSession*>(bridge);
}

// Told behind the turn's round of the sessions: without another turn the rest of a long answer
// would wait for the next event.
void SshService::Bridge::OnRoom() {
  if (refusal_ == nullptr) {
    service_.parts_.loop.Defer(service_.another_turn_);
    return;
  }
  channel_.WriteError(AsBytes(std::string_view(refusal_)));
  channel_.WriteError(AsBytes(std::string_view("\r\n")));
  Finish(kExitRefused);
}

void SshService::Bridge::OnResize(uint32_t columns, uint32_t rows) {
  if (session_ != nullptr) {
    session_->Resize(columns, rows);
  }
}

void SshService::Bridge::OnSignal(std::string_view name) {
  if (name == "INT") {
    interrupted_ = true;
    return;
  }
  if (session_ != nullptr && (name == "TERM" || name == "HUP" || name == "KILL")) {
    service_.parts_.sessions.Close(*session_);
    Finish(kExitSignal);
  }
}

void SshService::Bridge::OnClosed() {
  if (session_ != nullptr) {
    service_.parts_.sessions.Close(*session_);
  }
  service_.bridges_.Release(this);
}

// Ends the channel and this object.
void SshService::Bridge::Finish(uint32_t status) {
  channel_.Finish(status);
  service_.bridges_.Release(this);
}

void SshService::Bridge::OnSessionEnded(Session&, ExitCode code) {
  Finish(static_cast<uint32_t>(code));
}

uint32_t SshService::Bridge::Read(std::span<uint8_t> out) {
  if (interrupted_ && !out.empty()) {
    interrupted_ = false;
    out[0] = 3;
    return 1;
  }
  uint32_t count = 0;
  while (count < out.size() && !channel_.Input().empty()) {
    const auto input = channel_.Input();
    const size_t part = std::min(input.size(), out.size() - count);
    std::copy_n(input.begin(), part, out.begin() + count);
    channel_.ConsumeInput(part);
    count += static_cast<uint32_t>(part);
  }
  return count;
}

uint32_t SshService::Bridge::Write(std::span<const uint8_t> data) {
  return static_cast<uint32_t>(channel_.Write(data));
}

bool SshService::Bridge::at_end() const {
  return channel_.input_ended() && channel_.Input().empty();
}

// --- Events --------------------------------------------------------------------------------------

void SshService::OnLoggedIn(const ssh::Connection& connection) {
  const ssh::Negotiated& with = connection.transport().negotiated();
  parts_.log.Emit(SshConnected{.user = connection.authentication().user(),
                               .from = net::ToText(connection.remote()).view(),
                               .client = connection.transport().peer_version(),
                               .kex = ssh::NameOf(with.kex),
                               .cipher = ssh::NameOf(with.cipher_in),
                               .key = connection.authentication().fingerprint()});
}

void SshService::OnLoggedOut(const ssh::Connection& connection, Duration duration) {
  parts_.log.Emit(SshDisconnected{.user = connection.authentication().user(),
                                  .from = net::ToText(connection.remote()).view(),
                                  .reason = connection.transport().end_reason(),
                                  .seconds = static_cast<uint64_t>(duration.seconds())});
}

void SshService::OnConnectionsRefused(const net::IpAddress& last, ssh::RefusalReason reason,
                                      uint64_t count) {
  parts_.log.Emit(SshConnectionsRefused{
      .count = count, .last = net::ToText(last).view(), .reason = ssh::ToText(reason)});
}

void SshService::OnListening(uint16_t port, const Result<void>& outcome) {
  parts_.alarms.Set(log::AlarmId::kSshFailed, !outcome.ok(),
                    outcome.ok() ? "" : outcome.error().what);
  if (outcome.ok()) {
    parts_.log.Emit(SshListening{.port = port, .fingerprint = fingerprint().view()});
  }
}

// --- xStatus -------------------------------------------------------------------------------------

void SshService::AddTo(StatusTree& status) {
  status.AddMember<&SshService::NextStatusLine>("SSH", "SSH server: host keys, connections", this);
}

// The lines before those of connections; false: no such line.
bool SshService::NextCountLine(uint64_t cursor, ByteWriter& out) const {
  const ssh::ServerStatus now = server_.status();
  switch (cursor) {
    case 0:
      out.Text("SSH Mode: ");
      out.Text(!server_.settings().enabled ? "Off" : now.listening ? "On" : "On, not listening");
      return true;
    case 1:
      out.Text("SSH Port: ");
      out.Decimal(server_.settings().port);
      return true;
    case 2:
    case 3: {
      const auto kind = static_cast<ssh::HostKeyKind>(cursor - 2);
      out.Text("SSH HostKey ");
      out.Text(ssh::NameOf(kind));
      out.Text(": ");
      out.Text(server_.keys().FingerprintOf(kind).view());
      return true;
    }
    case 4:
      out.Text("SSH Connections: ");
      out.Decimal(now.connection_count);
      out.Text(" of ");
      out.Decimal(ssh::kConnectionCount);
      out.Text(", logged in ");
      out.Decimal(now.logged_in_count);
      out.Text(", half-open ");
      out.Decimal(now.half_open_count);
      out.Text(", channels ");
      out.Decimal(now.channel_count);
      return true;
    case 5:
      out.Text("SSH Counters: accepted=");
      out.Decimal(now.accepted_count);
      out.Text(" refused=");
      out.Decimal(now.refused_count);
      out.Text(" displaced=");
      out.Decimal(now.evicted_count);
      out.Text(" logins=");
      out.Decimal(now.login_count);
      out.Text(" refused_logins=");
      out.Decimal(now.login_refused_count);
      return true;
    case 6:
      out.Text("SSH Memory: bytes_per_connection=");
      out.Decimal(ssh::Server::bytes_per_connection());
      out.Text(" bytes_per_channel=");
      out.Decimal(ssh::Server::bytes_per_channel());
      out.Text(" crypto_bytes_used=");
      out.Decimal(now.heap_used);
      return true;
    default:
      return false;
  }
}

bool SshService::NextStatusLine(uint64_t& cursor, ByteWriter& out) {
  constexpr uint64_t kCountLines = 7;
  if (cursor < kCountLines) {
    return NextCountLine(cursor++, out);
  }
  for (; cursor - kCountLines < ssh::kConnectionCount; ++cursor) {
    const auto index = static_cast<uint32_t>(cursor - kCountLines);
    const ssh::Connection* connection = server_.At(index);
    if (connection == nullptr || !connection->is_logged_in()) {
      continue;
    }
    const ssh::Negotiated& with = connection->transport().negotiated();
    out.Text("SSH Connection ");
    out.Decimal(index + 1);
    PutPair(out, ": user=\"", connection->authentication().user());
    PutPair(out, " from=\"", net::ToText(connection->remote()).view());
    PutPair(out, " method=\"", connection->authentication().method());
    PutPair(out, " client=\"", connection->transport().peer_version());
    PutPair(out, " kex=\"", ssh::NameOf(with.kex));
    PutPair(out, " cipher=\"", ssh::NameOf(with.cipher_in));
    PutPair(out, " mac=\"",
            with.mac_in == ssh::Mac::kOfCipher ? std::string_view("of the cipher")
                                               : ssh::NameOf(with.mac_in));
    out.Text(" rekeyed=");
    out.Decimal(connection->transport().exchange_count() - 1);
    out.Text(" channels=");
    out.Decimal(connection->channel_count());
    out.Text(" seconds=");
    out.Decimal(static_cast<uint64_t>((parts_.loop.now() - connection->opened_at()).seconds()));
    ++cursor;
    return true;
  }
  return false;
}

}  // namespace gh::admin
