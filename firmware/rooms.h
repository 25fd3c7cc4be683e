// The rooms of one appliance and what ties them together. Private to firmware/*.cc.
#pragma once

#include "crypto/password.h"
#include "crypto/random.h"
#include "firmware/admin/accounts.h"
#include "firmware/admin/commands.h"
#include "firmware/admin/deferred.h"
#include "firmware/admin/output_queue.h"
#include "firmware/admin/sessions.h"
#include "firmware/admin/status.h"
#include "firmware/admin/terminal.h"
#include "firmware/alarm/alarms.h"
#include "firmware/appliance.h"
#include "firmware/calls/call_service.h"
#include "firmware/calls/dial_plan_service.h"
#include "firmware/calls/rtp_service.h"
#include "firmware/calls/sip_events.h"
#include "firmware/calls/turn_service.h"
#include "firmware/capacity.h"
#include "firmware/commit_checks.h"
#include "firmware/config/configuration.h"
#include "firmware/diagnostics.h"
#include "firmware/log/log.h"
#include "firmware/log/syslog.h"
#include "firmware/maintenance.h"
#include "firmware/management_files.h"
#include "firmware/media/core.h"
#include "firmware/messaging/federation_service.h"
#include "firmware/messaging/xmpp_service.h"
#include "firmware/metrics.h"
#include "firmware/network/guess_guard.h"
#include "firmware/network/network_events.h"
#include "firmware/network/network_services.h"
#include "firmware/occupancy.h"
#include "firmware/operator/alarm_commands.h"
#include "firmware/operator/change_commands.h"
#include "firmware/operator/crashes.h"
#include "firmware/operator/event_log.h"
#include "firmware/operator/trust_status.h"
#include "firmware/sip/engine.h"
#include "firmware/snmp_service.h"
#include "firmware/status.h"
#include "firmware/store/key_record.h"
#include "firmware/store/sqlite_store.h"
#include "firmware/store/store.h"
#include "firmware/trust/hsm_service.h"
#include "firmware/trust/key_store.h"
#include "firmware/trust/tls_services.h"
#include "hal/machine.h"
#include "hal/rt/event_loop.h"
#include "net/dns_resolver.h"
#include "net/sntp.h"
#include "net/stack.h"

namespace gh {

class AcmeService;
class OcspService;
class PolicyService;

namespace admin {
class FileService;
class SshService;
}  // namespace admin

enum class Ending : uint8_t { kNone, kRestart, kPowerOff };

// Made in the order of Appliance::Start, each in the arena; null until then.
struct Appliance::Rooms final : config::ChangeListener,
                                config::LineReporter,
                                net::SntpObserver,
                                FirewallUsers {
  Rooms(hal::Machine& machine, const ApplianceOptions& options);

  // --- Steps of Start, in order (appliance.cc) ---
  void PrintGreeting();
  void TakeOverCrash();
  Result<void> OpenStore();
  Result<void> ChooseCapacity();
  Result<void> LoadConfiguration();
  void Provision();
  void BuildVlans();      // media_core.cc
  void BuildMediaCore();  // media_core.cc
  // assembly.cc
  void BuildNetwork();
  void BuildHsm();
  void BuildCertificates();
  void BuildTls();
  void BuildSip();
  void BuildDialPlan();
  void BuildCalls();
  void BuildTurn();
  void BuildRtp();
  void BuildAcme();
  void BuildPolicy();
  void BuildXmpp();
  void BuildFederation();
  // storage.cc, appliance.cc and as told
  void BuildSyslog();
  void BuildConsole();
  void BuildAdministration();  // management_admin.cc
  void BuildXmppLists();       // assembly.cc
  void BuildSsh();             // management_ssh.cc
  void AllowSsh();
  void BuildChanges();
  void ReportMemory();
  void ReportReadiness();
  void StartWatchdog();
  Result<void> StartMediaCore();  // media_core.cc

  // --- Running (appliance.cc) ---
  void ApplySettings(const config::GroupSet& groups);
  void ApplyNetwork();
  void ApplyServers();
  void ApplySip();
  void ApplySyslog();
  void SayReach();
  void UpdateAlarms();
  void OnHousekeeping();
  void WatchMediaCore();  // media_core.cc
  void WatchSyslog();
  void WatchStore();
  void FlushLog();
  void SayRecovered(const char* fault);
  void SayKeyAway(const char* wrapper, const char* fault);
  void ShowNotices();
  bool RunDeferred(Instant next);
  Instant Turn();
  void NoteTurn(Instant start, Instant next);
  void End(Ending ending, const char* why, std::string_view by);
  void EndIfDue();
  bool Healthy(Instant now) const;
  uint32_t SipAddresses(std::span<net::IpAddress> out) const;
  Result<void> ResetToFactory(bool keep_network, std::string_view by);

  // --- Seams ---
  void OnSettingChanged(config::Selector selector, std::string_view before,
                        std::string_view after) override;
  void OnCommitted(const config::GroupSet& groups, bool restart_needed) override;
  void OnCommitFailed(const Error& error) override;
  std::string_view Author() const override;
  void OnLine(uint32_t number, bool accepted, std::string_view message) override;
  void OnTimeStep(Duration offset, bool was_set, const net::IpAddress& server) override;
  void OnTimeLost() override;
  void OpenFirewall() override;
  void AddCommands();
  bool NextNtpLine(uint64_t& cursor, ByteWriter& out);
  bool NextDnsLine(uint64_t& cursor, ByteWriter& out);
  bool NextMediaCoreLine(uint64_t& cursor, ByteWriter& out);  // media_core.cc
  void AddAdministrationCommands();
  bool NextSessionLine(uint64_t& cursor, ByteWriter& out);
  bool NextAccountLine(uint64_t& cursor, ByteWriter& out);
  bool NextIntrusionLine(uint64_t& cursor, ByteWriter& out);

  hal::Machine& machine;
  const ApplianceOptions& options;
  EventLoop loop;
  crypto::Random random;
  log::Log log;
  alarm::Alarms alarms;
  EventLog event_log{machine, log, alarms};
  Crashes* crashes = nullptr;
  admin::SerialTerminal serial;
  admin::OutputQueue console;

  Maintenance maintenance{*this};
  store::VolatileStore volatile_store;
  store::SqliteStore* sqlite_store = nullptr;
  store::Store* store = nullptr;
  store::NoWrapper key_wrapper;  // of new keys
  bool store_key_away = false;   // the HSM that wraps it did not open it
  bool store_damaged = false;

  uint64_t used_before = 0;  // of the arena, by the board
  Capacity capacity;
  crypto::PasswordHasher* hasher = nullptr;
  config::Configuration* configuration = nullptr;
  CommitChecks commit_checks;
  config::History* history = nullptr;
  ChangeCommands* changes = nullptr;
  bool store_refused = false;  // the last change did not fit

  NetEvents net_events;
  media::MediaCore* media_core = nullptr;  // null: one processor runs both planes
  uint64_t media_core_turns = 0;
  uint32_t media_core_silent = 0;
  std::array<uint16_t, net::kPortMax> vlans = {};  // in force; 0: untagged
  net::Stack* stack = nullptr;
  NetworkServices services{{machine.ports, loop, log, alarms}};
  Diagnostics diagnostics{*this};
  SnmpService snmp{*this};
  Metrics metrics{*this};
  net::DnsResolver* resolver = nullptr;
  net::SntpClient* sntp = nullptr;

  SipEvents sip_events;
  UserCredentials* credentials = nullptr;
  sip::Engine* sip = nullptr;
  DialPlanService* dial_plan = nullptr;
  CallService* calls = nullptr;
  GuessGuard* sip_guard = nullptr;
  PolicyService* policy = nullptr;

  crypto::TlsEnvironment* tls = nullptr;  // of sessions to servers
  Certificates* certificates = nullptr;
  AcmeService* acme = nullptr;
  OcspService* ocsp = nullptr;
  TlsServices* tls_services = nullptr;
  TurnService* turn = nullptr;
  RtpService* rtp = nullptr;
  XmppService* xmpp = nullptr;
  FederationService* federation = nullptr;
  HsmService* hsm = nullptr;

  log::Syslog* syslog = nullptr;
  AlarmCommands alarm_commands{alarms, log};

  admin::DeferredQueue deferred;
  admin::Accounts* accounts = nullptr;
  admin::StatusTree status;
  admin::CommandTable commands;
  admin::Actor actor;
  admin::Sessions* sessions = nullptr;
  admin::FileService* files = nullptr;
  admin::SshService* ssh = nullptr;
  Folders* folders = nullptr;
  StatusPages pages;
  TrustStatus trust;

  Timer housekeeping;
  Instant last_housekeeping;
  Instant started_at;
  config::GroupSet pending_groups;
  uint32_t sip_listeners = 0;
  bool sip_ready = false;
  Duration boot_time;
  Occupancy occupancy;
  uint64_t next_notice = 1;
  uint32_t provision_ok_shown = 0;
  FixedString<16> run_id;  // PROCID in syslog
  Ending ending = Ending::kNone;
  Instant end_at;
};

}  // namespace gh
