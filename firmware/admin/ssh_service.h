// SSH in the appliance: the server bound to the gate (accounts.h), the pool of sessions
// (sessions.h), the store (host keys), the log and xStatus.
//
// Each channel with a program is a Bridge: a terminal to the session, a session to the channel. The
// host keys are made at the first start and kept in the store once it holds a configuration; before
// that nobody has an account to log in with, and the store stays in factory state.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "firmware/admin/accounts.h"
#include "firmware/admin/sessions.h"
#include "firmware/admin/ssh/server.h"
#include "firmware/admin/ssh_files.h"
#include "firmware/admin/status.h"
#include "firmware/alarm/alarms.h"
#include "firmware/config/configuration.h"
#include "firmware/log/log.h"
#include "firmware/store/store.h"
#include "hal/rt/arena.h"
#include "hal/rt/event_loop.h"
#include "hal/rt/pool.h"
#include "net/stream.h"

namespace gh::admin {

class SshService final : private ssh::Authenticator,
                         private ssh::SessionHost,
                         private ssh::ServerObserver,
                         private ssh::HostKeyVault {
 public:
  struct Parts {
    Arena& arena;
    EventLoop& loop;
    net::StreamService& streams;
    crypto::Random& random;
    hal::Clock& clock;
    store::Store& store;
    config::Configuration& configuration;
    log::Log& log;
    alarm::Alarms& alarms;
    Accounts& accounts;
    Sessions& sessions;
    FileService& files;
  };
  explicit SshService(const Parts& parts);
  SshService(const SshService&) = delete;
  SshService& operator=(const SshService&) = delete;

  // The settings are in force from here on; the first time this opens the listener.
  void Apply();
  void AddTo(StatusTree& status);
  ssh::Fingerprint fingerprint() const {
    return server_.keys().FingerprintOf(ssh::HostKeyKind::kEd25519);
  }
  const ssh::Server& server() const { return server_; }
  // What all of it takes from the arena, at most.
  static uint64_t ArenaBytes();

 private:
  // Who a connection is, or the check that will say so.
  struct Visitor final : PasswordCheck::Observer {
    void OnPasswordChecked(Verdict verdict, const Identity& who) override;
    SshService* service = nullptr;
    Handle id;
    Identity identity;
    PasswordCheck check;
  };

  // One program at the end of a channel.
  class Bridge final : public ssh::ChannelSession, public Terminal, public SessionObserver {
   public:
    Bridge(SshService& service, ssh::ChannelPort& channel) : service_(service), channel_(channel) {}
    void SetSession(Session& session) { session_ = &session; }
    void SetRefusal(const char* why) { refusal_ = why; }

    void OnInput() override {}  // the session is polled in this same turn
    void OnRoom() override;
    void OnResize(uint32_t columns, uint32_t rows) override;
    void OnSignal(std::string_view name) override;
    void OnClosed() override;

    uint32_t Read(std::span<uint8_t> out) override;
    uint32_t Write(std::span<const uint8_t> data) override;
    const char* name() const override { return "ssh"; }
    bool at_end() const override;

    void OnSessionEnded(Session& session, ExitCode code) override;

   private:
    void Finish(uint32_t status);
    SshService& service_;
    ssh::ChannelPort& channel_;
    Session* session_ = nullptr;
    const char* refusal_ = nullptr;
    bool interrupted_ = false;  // the session is to read a Ctrl-C
  };

  ssh::Verdict CheckPassword(Handle id, std::string_view user, std::string_view password,
                             const net::IpAddress& remote) override;
  void CancelPassword(Handle id) override;
  bool MayUseKey(std::string_view user, const ssh::PublicKeyView& key) override;
  bool AcceptKey(Handle id, std::string_view user, const ssh::PublicKeyView& key,
                 const net::IpAddress& remote) override;
  void RefuseKey(std::string_view user, const net::IpAddress& remote) override;

  Result<ssh::ChannelSession*> OpenSession(const ssh::SessionRequest& request,
                                           ssh::ChannelPort& channel) override;

  void OnLoggedIn(const ssh::Connection& connection) override;
  void OnLoggedOut(const ssh::Connection& connection, Duration duration) override;
  void OnLoginRefused(const net::IpAddress&, std::string_view, std::string_view) override {}
  void OnConnectionsRefused(const net::IpAddress& last, ssh::RefusalReason reason,
                            uint64_t count) override;
  void OnListening(uint16_t port, const Result<void>& outcome) override;
  bool MayConnect(const net::IpAddress& remote) override;

  Result<void> Load(ssh::HostKeyKind kind, SecretBytes<ssh::kHostSecretSize>& secret) override;
  Result<void> Save(ssh::HostKeyKind kind,
                    const SecretBytes<ssh::kHostSecretSize>& secret) override;
  void LoadKeys();
  void SaveKeysIfDue();
  bool NextStatusLine(uint64_t& cursor, ByteWriter& out);
  bool NextCountLine(uint64_t cursor, ByteWriter& out) const;

  Parts parts_;
  ssh::Server server_;
  std::span<Visitor> visitors_;  // by connection
  Pool<Bridge> bridges_;
  SshFiles files_;
  Task another_turn_{[](void*) {}, nullptr};  // does nothing: the loop turns once more
  bool keys_loaded_ = false;
  bool keys_unsaved_ = false;
};

}  // namespace gh::admin
