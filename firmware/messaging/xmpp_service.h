// XMPP in the appliance: the engine, its listeners over TCP and TLS, and the store, put together;
// settings in, events, alarms, status and commands out.
#pragma once

#include <array>

#include "firmware/admin/commands.h"
#include "firmware/admin/file_service.h"
#include "firmware/admin/status.h"
#include "firmware/alarm/alarms.h"
#include "firmware/config/configuration.h"
#include "firmware/files/sealed_stream.h"
#include "firmware/log/log.h"
#include "firmware/messaging/xmpp_keeper.h"
#include "firmware/messaging/xmpp_listeners.h"
#include "firmware/network/guess_guard.h"
#include "firmware/trust/tls_services.h"
#include "firmware/xmpp/engine.h"
#include "firmware/xmpp/web.h"
#include "hal/machine.h"
#include "net/stack.h"

namespace gh {

class XmppCompliance;

struct XmppParts {
  Arena& arena;
  EventLoop& loop;
  hal::Clock& clock;
  net::Stack& stack;
  TlsServices& tls;
  crypto::Random& random;
  store::Store& store;
  log::Log& log;
  alarm::Alarms& alarms;
  const config::Configuration& configuration;
  hal::BlockDevice* disk = nullptr;  // the log partition
};

class XmppService final : public xmpp::Host,
                          public xmpp::Observer,
                          public xmpp::UploadObserver,
                          private net::StreamHandler {
 public:
  XmppService(const XmppParts& parts, const xmpp::Capacity& capacity);
  static uint64_t ArenaBytes(const xmpp::Capacity& capacity) {
    return XmppKeeper::ArenaBytes() + files::SealedFiles::ArenaBytes() +
           files::SealedStream::ArenaBytes() + sizeof(xmpp::Uploads) + sizeof(GuessGuard) +
           xmpp::Web::ArenaBytes(xmpp::Web::Capacity::For(capacity.sessions)) + 4096;
  }

  xmpp::Engine& engine() { return *engine_; }
  GuessGuard& guard() { return *guard_; }
  admin::FileProvider& compliance_folder();
  void FlushRows() { keeper_->Flush(); }
  // Settings or addresses have changed.
  void Apply();
  void OpenFirewall(uint8_t port_mask);
  void UpdateAlarms();
  void AddTo(admin::StatusTree& status, admin::CommandTable& commands);

  Result<void> Send(net::StreamId stream, std::span<const uint8_t> bytes) override;
  Result<void> StartTls(net::StreamId stream) override;
  void Close(net::StreamId stream) override;
  void Abort(net::StreamId stream) override;
  void Resume(net::StreamId stream) override;
  size_t BindingOf(net::StreamId stream, xmpp::Binding kind, std::span<uint8_t, 64> out) override;
  uint32_t ProvedUsers(net::StreamId stream,
                       std::span<xmpp::ProvedUser, xmpp::kProvedUserMax> out) override;
  int64_t UnixSeconds() override { return parts_.clock.Wall().unix_seconds(); }

  // What of a log partition is for the record of messages.
  static uint64_t ComplianceBytesOf(uint64_t partition);
  void OnFileKept(std::string_view user, uint64_t bytes, std::string_view client) override;
  void OnFileRefused(std::string_view user, const char* reason) override;

  void OnLoggedIn(std::string_view user, const net::Endpoint& client,
                  std::string_view mechanism) override;
  void OnEnded(std::string_view user, const net::Endpoint& client,
               std::string_view reason) override;
  void OnPushGone(std::string_view user, std::string_view service,
                  std::string_view reason) override;
  void OnHeldBack(uint32_t free, uint32_t blocks) override;
  void OnRoom(std::string_view room, std::string_view by, const char* what) override;
  void OnRefused(const net::Endpoint& client, std::string_view user,
                 std::string_view reason) override;
  void OnGuess(const net::Endpoint& client) override { guard_->OnGuess(client.address); }

 private:
  bool OnStreamOpen(net::StreamId id, const net::StreamInfo& info) override;
  size_t OnStreamData(net::StreamId id, std::span<uint8_t> data) override;
  void OnStreamWritable(net::StreamId id) override;
  void OnStreamClosed(net::StreamId id, net::StreamClose why) override;

  void Listen();
  xmpp::Config EngineConfig() const;
  void TellWeb(ByteWriter& out) const;
  bool NextStatus(uint64_t& cursor, ByteWriter& out);
  bool NextSession(uint64_t& cursor, ByteWriter& out);
  bool NextUser(uint64_t& cursor, ByteWriter& out);
  template <Result<void> (XmppService::*Run)(std::string_view, std::string_view, ByteWriter&)>
  void AddCommand(admin::CommandTable& commands, const admin::Command& command) {
    admin::Command out = command;
    out.context = this;
    out.run_value = [](void* context, std::string_view by, std::string_view value,
                       ByteWriter& text) {
      return (static_cast<XmppService*>(context)->*Run)(by, value, text);
    };
    commands.Add(out);
  }
  Result<void> AddUser(std::string_view by, std::string_view value, ByteWriter& out);
  Result<void> SetPassword(std::string_view by, std::string_view value, ByteWriter& out);
  Result<void> RemoveUser(std::string_view by, std::string_view value, ByteWriter& out);
  Result<void> SetPolicy(std::string_view by, std::string_view value, ByteWriter& out);
  Result<void> RevokeUser(std::string_view by, std::string_view value, ByteWriter& out);
  Result<void> Broadcast(std::string_view by, std::string_view value, ByteWriter& out);
  Result<void> CloseSession(std::string_view by, std::string_view value, ByteWriter& out);
  // Rooms and archives (xmpp_rooms.cc).
  void AddRoomsTo(admin::StatusTree& status, admin::CommandTable& commands);
  void ReadRoomRules(const config::Settings& settings, xmpp::Config& out) const;
  bool NextRoomStatus(uint64_t& cursor, ByteWriter& out);
  bool NextRoomAdministrator(uint64_t& cursor, ByteWriter& out);
  bool NextRoom(uint64_t& cursor, ByteWriter& out);
  Result<void> DestroyRoom(std::string_view by, std::string_view value, ByteWriter& out);
  void WatchStorage();
  void TellStorage(ByteWriter& out) const;
  Result<void> PurgeRoom(std::string_view by, std::string_view value, ByteWriter& out);
  // Files of users (xmpp_files.cc).
  void BuildFiles();
  void OpenFiles();
  void ApplyUploads();
  void WatchFiles(bool is_minute);
  bool ReadFilesKey(SecretBytes<files::SealedFiles::kKeyBytes>& out);
  // The record of messages (xmpp_compliance.cc).
  void BuildCompliance();
  void AddComplianceTo(admin::StatusTree& status, admin::CommandTable& commands);
  Result<void> PurgeCompliance(std::string_view by, ByteWriter& out);
  void WatchCompliance();
  bool NextComplianceStatus(uint64_t& cursor, ByteWriter& out);
  void AddFilesTo(admin::StatusTree& status, admin::CommandTable& commands);
  bool NextUploadStatus(uint64_t& cursor, ByteWriter& out);
  // The troubleshooter (xmpp_checks.cc).
  void AddChecksTo(admin::CommandTable& commands);
  bool NextCheck(uint64_t& cursor, ByteWriter& out);
  void CheckLists(ByteWriter& out);
  void CheckDomains(ByteWriter& out);
  void CheckRooms(ByteWriter& out);
  Result<void> PurgeUploads(std::string_view by, std::string_view value, ByteWriter& out);
  Result<xmpp::Address> UserOf(std::string_view text) const;

  XmppParts parts_;
  XmppKeeper* keeper_ = nullptr;
  xmpp::Engine* engine_ = nullptr;
  xmpp::Web* web_ = nullptr;
  files::SealedFiles* files_ = nullptr;
  xmpp::Uploads* uploads_ = nullptr;
  bool files_asked_ = false;  // they are looked for, or have been
  const char* files_fault_ = "";
  XmppCompliance* compliance_ = nullptr;
  const char* compliance_fault_ = "";
  XmppListeners listeners_;
  GuessGuard* guard_ = nullptr;
  uint64_t pruned_told_ = 0;
  int64_t rooms_seen_ = 0;  // when idle ones were looked for
};

}  // namespace gh
