#include "firmware/appliance.h"

#include <algorithm>

#include "crypto/init.h"
#include "firmware/admin/ssh_service.h"
#include "firmware/calls/policy_service.h"
#include "firmware/config/network_settings.h"
#include "firmware/log/render.h"
#include "firmware/rooms.h"
#include "firmware/settings_map.h"
#include "firmware/trust/acme_service.h"
#include "firmware/trust/ocsp_service.h"
#include "hal/rt/ascii.h"
#include "version.h"

namespace gh {
namespace {

using config::GroupId;
using config::GroupSet;
using log::AlarmId;
using namespace gh::log::event;

constexpr Duration kHousekeepingPeriod = Duration::Seconds(1);
constexpr Duration kWatchdogTimeout = Duration::Seconds(15);
constexpr Duration kHealthTimeout = Duration::Seconds(5);
constexpr Duration kGoodbyeTime = Duration::Milliseconds(100);  // for streams to end in
constexpr Duration kEndDelay = Duration::Milliseconds(500);  // for the last events and the console
constexpr Duration kLastWordsMax = Duration::Seconds(1);
constexpr Duration kConsoleRetry = Duration::Milliseconds(5);
constexpr uint32_t kProvisionOkShownMax = 100;
constexpr uint32_t kLogRecords = 4096;

constexpr GroupSet kNetworkGroups = GroupId::kSystem | GroupId::kNetworkPort | GroupId::kNetwork |
                                    GroupId::kNetworkRoute | GroupId::kDnsServer;
constexpr GroupSet kSshGroups =
    GroupId::kSsh | GroupId::kCiphers | GroupId::kAdministration | GroupId::kAdministrator;
// Not DNS: those come by way of the stack, which says so. Naming them here would configure the
// stack again each time it has said so, for ever.
constexpr GroupSet kServerGroups =
    GroupId::kNtpServer | GroupId::kNtp | GroupId::kDnsPerDomainServer;
constexpr GroupSet kSnmpGroups = GroupId::kSnmp | GroupId::kSnmpUser;
constexpr GroupSet kServiceGroups = GroupId::kAdministrationDmi | GroupId::kFirewallRule |
                                    GroupId::kFirewall | GroupId::kSnmp | GroupId::kMetrics;
constexpr GroupSet kSipGroups =
    GroupId::kSipUdp | GroupId::kSipTcp | GroupId::kSipTls | GroupId::kSipWs | GroupId::kSipWss |
    GroupId::kSipWebSocketOrigin | GroupId::kSipDomain | GroupId::kSipRegistration |
    GroupId::kSipAuthentication | GroupId::kAuthenticationUser | GroupId::kSipMedia |
    GroupId::kTraversalMedia | GroupId::kSipSessionRefresh | GroupId::kSipEmergency |
    GroupId::kSipOverload | GroupId::kSipCall | GroupId::kMaintenance;
constexpr GroupSet kDialPlanGroups =
    GroupId::kZonesProfile | GroupId::kSipDelegation | GroupId::kSipPresence |
    GroupId::kSipPresenceRule | GroupId::kTime | GroupId::kZonesZone | GroupId::kZonesDefaultZone |
    GroupId::kZonesLocalZoneDefaultSubZone | GroupId::kZonesLocalZoneSubZonesSubZone |
    GroupId::kZonesLocalZoneMembershipRule | GroupId::kZonesPolicySearchRulesRule |
    GroupId::kTransform | GroupId::kCallPolicy | GroupId::kCallPolicyRule |
    GroupId::kRegistrationRestrictionPolicy | GroupId::kRegistrationRestrictionRule |
    GroupId::kBandwidth | GroupId::kBandwidthPipe | GroupId::kBandwidthLink;
constexpr GroupSet kTlsGroups = GroupId::kTls | GroupId::kSipTls | GroupId::kXmpp |
                                GroupId::kTlsSip | GroupId::kTlsTurn | GroupId::kTlsWeb |
                                GroupId::kTlsHsm;
constexpr GroupSet kTurnGroups =
    GroupId::kTraversalServerTurn | GroupId::kTraversalServerTurnRealm |
    GroupId::kTraversalServerTurnUser | GroupId::kTraversalServerTurnSecret |
    GroupId::kTraversalServerTurnToken | GroupId::kTraversalServerTurnAllow |
    GroupId::kTraversalServerTurnDeny;
constexpr GroupSet kAcmeGroups =
    GroupId::kCertificateAcme | GroupId::kCertificateRequest | GroupId::kSystem;
constexpr GroupSet kXmppGroups =
    GroupId::kXmpp | GroupId::kXmppDomain | GroupId::kXmppRoom | GroupId::kXmppRoomAlias |
    GroupId::kXmppRoomAdministrator | GroupId::kXmppArchive | GroupId::kXmppUpload |
    GroupId::kXmppFileTransfer | GroupId::kXmppClient | GroupId::kXmppPush |
    GroupId::kXmppCompliance | GroupId::kXmppFederation | GroupId::kXmppFederationException |
    GroupId::kXmppFederationRoute | GroupId::kXmppFederationEmailDomain |
    GroupId::kXmppFederationEdge | GroupId::kXmppFederationRelay | GroupId::kXmppComponent |
    GroupId::kXmppComponentService | GroupId::kMaintenance;
constexpr GroupSet kHsmGroups = GroupId::kHsm | GroupId::kHsmModule;
constexpr GroupSet kSyslogGroups = GroupId::kSystem | GroupId::kSyslogServer;

// One line for the console, put together from pieces.
template <typename... Pieces>
void PrintLine(admin::OutputQueue& console, const Pieces&... pieces) {
  uint8_t bytes[400];
  ByteWriter out(bytes);
  const auto add = [&](const auto& piece) {
    if constexpr (std::is_integral_v<std::decay_t<decltype(piece)>>) {
      out.SignedDecimal(static_cast<int64_t>(piece));
    } else {
      out.Text(piece);
    }
  };
  (add(pieces), ...);
  console.PutLine(out.text());
  console.Pump();
}

// Between what an operator types, once there is a session; before that as part of the boot report.
void Say(admin::Sessions& sessions, admin::OutputQueue& console, std::string_view text) {
  if (sessions.console().is_open()) {
    sessions.console().Notice(text);
  } else {
    PrintLine(console, text);
  }
}

// Waits, for at most a moment, until the console has taken everything: before an end.
void DrainConsole(hal::Machine& machine, admin::OutputQueue& console) {
  const Instant deadline = machine.clock.Now() + kLastWordsMax;
  while (console.Pump() && machine.clock.Now() < deadline) {
  }
}

// The value of one setting, from stored rows or a provisioning text, before there is a
// configuration: the capacity profile decides how large that one is.
class Peek final : public store::EntryVisitor {
 public:
  void OnEntry(std::string_view key, std::span<const uint8_t> value) override {
    Look(key, AsText(value));
  }
  void OnText(std::string_view text) {
    while (!text.empty()) {
      const size_t end = std::min(text.find('\n'), text.size());
      config::Message ignored;
      const auto line = config::ParseLine(text.substr(0, end), ignored);
      text.remove_prefix(std::min(end + 1, text.size()));
      if (line.ok() && line->has_value && line->word_count == 2 &&
          config::EqualsIgnoreCase(line->words[0], "System")) {
        Look(config::EqualsIgnoreCase(line->words[1], "Profile")         ? "System Profile"
             : config::EqualsIgnoreCase(line->words[1], "Registrations") ? "System Registrations"
                                                                         : "",
             line->value.view());
      }
    }
  }
  // What Capacity::For takes.
  std::string_view choice() const {
    return registrations.empty() || registrations == "0" ? profile.view() : registrations.view();
  }
  FixedString<24> profile;
  FixedString<24> registrations;

 private:
  void Look(std::string_view path, std::string_view value) {
    if (path == "System Profile") {
      profile.Assign(value);
    } else if (path == "System Registrations") {
      registrations.Assign(value);
    }
  }
};

}  // namespace

Appliance::Appliance(hal::Machine& machine, const ApplianceOptions& options)
    : machine_(machine), options_(options) {}

Appliance::~Appliance() {
  if (rooms_ != nullptr && rooms_->crashes != nullptr) {
    rooms_->crashes->~Crashes();
  }
  if (rooms_ != nullptr && rooms_->sqlite_store != nullptr) {
    rooms_->sqlite_store->~SqliteStore();
  }
  if (rooms_ != nullptr && rooms_->stack != nullptr) {
    rooms_->sntp->~SntpClient();
    rooms_->resolver->~DnsResolver();
    rooms_->stack->~Stack();
  }
}

// What exists, and in which order.
Result<void> Appliance::Start() {
  crypto::Initialise();
  const uint64_t used_before = machine_.arena.used();
  machine_.arena.OpenAccount("firmware/base");
  rooms_ = machine_.arena.New<Rooms>(machine_, options_);
  Rooms& rooms = *rooms_;
  rooms.used_before = used_before;
  rooms.event_log.Open();
  rooms.PrintGreeting();
  rooms.TakeOverCrash();
  rooms.maintenance.ReadBootState();
  Result<void> outcome = rooms.OpenStore();
  outcome = outcome.ok() ? rooms.ChooseCapacity() : outcome;
  outcome = outcome.ok() ? rooms.LoadConfiguration() : outcome;
  if (!outcome.ok()) {
    PrintLine(rooms.console, "Cannot start: ", outcome.error().what);
    DrainConsole(machine_, rooms.console);
    return outcome;
  }
  rooms.maintenance.PresetNetwork();
  rooms.Provision();
  rooms.services.ReadAtStart(*rooms.configuration);
  rooms.BuildVlans();
  rooms.BuildMediaCore();
  rooms.BuildNetwork();
  rooms.BuildHsm();
  rooms.BuildCertificates();
  rooms.BuildTls();
  rooms.BuildSip();
  rooms.BuildDialPlan();
  rooms.BuildCalls();
  rooms.BuildTurn();
  rooms.BuildRtp();
  rooms.BuildAcme();
  rooms.BuildPolicy();
  rooms.BuildXmpp();
  rooms.BuildFederation();
  rooms.BuildSyslog();
  rooms.maintenance.Build();
  rooms.maintenance.BuildHttps();
  rooms.diagnostics.Build();
  rooms.snmp.Build();
  rooms.BuildChanges();
  rooms.BuildConsole();
  rooms.ReportMemory();
  machine_.arena.Seal();
  if (auto media = rooms.StartMediaCore(); !media.ok()) {
    PrintLine(rooms.console, "Cannot start: ", media.error().what);
    DrainConsole(machine_, rooms.console);
    return media;
  }
  rooms.configuration->SetListener(&rooms);
  rooms.ApplySettings(GroupSet::All());
  (void)rooms.loop.RunOnce();  // links are looked at before they are reported
  rooms.ReportReadiness();
  rooms.maintenance.ReportBoot();
  rooms.StartWatchdog();
  rooms.sessions->StartConsole(rooms.loop.now());
  rooms.console.Pump();
  return Ok();
}

namespace {

// Clients and servers are told that streams end. False: there were none.
bool CloseXmpp(Appliance::Rooms& rooms) {
  if (rooms.xmpp == nullptr || rooms.federation == nullptr) {
    return false;
  }
  const bool has_any = rooms.xmpp->engine().session_count() + rooms.federation->stream_count() > 0;
  rooms.xmpp->engine().Stop();
  rooms.federation->Stop();
  return has_any;
}

}  // namespace

Instant Appliance::RunOnce() {
  Rooms& rooms = *rooms_;
  rooms.crashes->TraceTurn(rooms.loop.now());
  const Instant turn_start = rooms.machine.clock.Now();
  const Instant next = rooms.Turn();
  rooms.NoteTurn(turn_start, next);
  return next;
}

Instant Appliance::Rooms::Turn() {
  Instant next = loop.RunOnce();
  const bool addresses_changed = net_events.TakeAddressesChanged();
  const bool servers_changed = net_events.TakeServersChanged();
  if (!pending_groups.empty() || addresses_changed || servers_changed) {
    const GroupSet groups = pending_groups | (addresses_changed ? kSipGroups : GroupSet()) |
                            (addresses_changed || servers_changed ? kServerGroups : GroupSet());
    pending_groups = {};
    ApplySettings(groups);
    next = loop.now();
  }
  ShowNotices();
  next = std::min(next, event_log.Step(loop.now()));
  if (RunDeferred(next)) {
    next = loop.now();
  } else if (!deferred.empty() || sessions->is_waiting()) {
    next = std::min(next, loop.now() + kConsoleRetry);
  }
  if (Healthy(loop.now())) {
    machine.watchdog.Pet();
  }
  EndIfDue();
  return console.Pump() ? std::min(next, loop.now() + kConsoleRetry) : next;
}

// How busy this processor is, for SIP's overload control.
void Appliance::Rooms::NoteTurn(Instant start, Instant next) {
  const auto busy = occupancy.OnTurn(start, machine.clock.Now(), next, sip::kOverloadPeriod);
  if (busy) {
    sip->OnOccupancy(*busy);
  }
}

void Appliance::PrepareToStop(const char* why) {
  if (rooms_ == nullptr || rooms_->sessions == nullptr) {
    return;
  }
  rooms_->log.Emit(SystemStopping{.reason = why, .by = "the board"});
  const Instant begun = machine_.clock.Now();
  const Instant said = CloseXmpp(*rooms_) ? begun + kGoodbyeTime : begun;
  const Instant deadline = begun + kEndDelay;
  while (machine_.clock.Now() < deadline) {
    (void)rooms_->loop.RunOnce();
    bool waiting = rooms_->console.Pump() || machine_.clock.Now() < said;
    for (uint32_t i = 0; i < log::kSyslogServerMax; ++i) {
      const auto status = rooms_->syslog->status(i);
      waiting = waiting || (status.state == log::SyslogState::kSending && status.waiting > 0);
    }
    if (!waiting) {
      break;
    }
  }
  rooms_->FlushLog();
}

// --- Steps of Start -----------------------------------------------------------------------------

Appliance::Rooms::Rooms(hal::Machine& the_machine, const ApplianceOptions& the_options)
    : machine(the_machine),
      options(the_options),
      loop(the_machine.clock),
      random(the_machine.entropy),
      log(the_machine.arena, the_machine.clock, kLogRecords),
      alarms(log, the_machine.clock),
      serial(the_machine.console),
      console(the_machine.arena, serial),
      net_events(log, alarms),
      sip_events(log),
      trust(the_machine.boot) {
  started_at = machine.clock.Now();
  housekeeping.Bind<&Rooms::OnHousekeeping>(this);
}

void Appliance::Rooms::PrintGreeting() {
  const hal::BootReport& report = machine.boot.report();
  PrintLine(console, "");
  PrintLine(console, "Gatehouse ", kVersion, " (commit ", kCommit, ", build ", kBuildId, ") on ",
            machine.board);
  PrintLine(console, "Machine: ", machine.description);
  if (report.is_development) {
    PrintLine(console, "DEVELOPMENT IMAGE: signed by a development key, not for production");
  }
  PrintLine(console, "Entropy: ", random.source(), ". Watchdog: ", machine.watchdog.name());
}

// Before the store: a crash that the store brings about is to be told all the same.
void Appliance::Rooms::TakeOverCrash() {
  machine.arena.OpenAccount("firmware/crash");
  crashes = machine.arena.New<Crashes>(machine, log, alarms);
  const std::string_view crash = crashes->TakeOver();
  if (!crash.empty()) {
    PrintLine(console, "The previous run ended in a crash:");
    console.Print(crash);
  }
}

Result<void> Appliance::Rooms::ChooseCapacity() {
  const hal::BlockDevice* disk = machine.store;
  const uint64_t store_bytes =
      disk != nullptr ? store::BytesBeyondUsual(disk->block_count() * disk->block_size()) : 0;
  uint64_t room = machine.arena.size() - used_before;  // by the board
  room -= std::min(room, store_bytes);
  if (!options.profile.empty()) {
    auto chosen = Capacity::For(options.profile, room);
    if (!chosen.ok()) {
      return chosen.error();
    }
    capacity = *chosen;
    return Ok();
  }
  Peek peek;
  if (auto read = store->ForEach(peek); !read.ok()) {
    PrintLine(console, "Store: ", read.error().what);
  }
  if (peek.choice().empty()) {
    peek.OnText(machine.boot.provision_text());
  }
  auto chosen = Capacity::For(peek.choice(), room);
  if (!chosen.ok() && !peek.choice().empty()) {
    PrintLine(console, "Capacity ", peek.choice(), ": ", chosen.error().what, "; choosing anew");
    log.Emit(ServiceFailed{.service = "capacity profile", .reason = chosen.error().what});
    chosen = Capacity::For("", room);
  }
  if (!chosen.ok()) {
    PrintLine(console, "The small profile needs ", Capacity::Small().ArenaBytes() >> 20,
              " MiB; the machine has ", room >> 20, " MiB");
    return chosen.error();
  }
  capacity = *chosen;
  return Ok();
}

Result<void> Appliance::Rooms::LoadConfiguration() {
  machine.arena.OpenAccount("crypto/password");
  hasher = machine.arena.New<crypto::PasswordHasher>(machine.arena, capacity.password_cost);
  machine.arena.OpenAccount("firmware/config", capacity.users);
  history = machine.arena.New<config::History>(*store, machine.clock);
  configuration = machine.arena.New<config::Configuration>(
      machine.arena, capacity.users,
      config::Configuration::Parts{*store, *hasher, random, history});
  configuration->SetCheck(&commit_checks);
  const auto loaded = configuration->Load();
  if (!loaded.ok()) {
    return loaded.error();
  }
  if (!configuration->is_factory()) {
    log.Emit(ConfigurationLoaded{
        .loaded = loaded->loaded, .refused = loaded->refused, .unknown = loaded->unknown});
  }
  if (loaded->refused + loaded->unknown > 0) {
    PrintLine(console, "Configuration: ", loaded->loaded, " settings loaded, ", loaded->refused,
              " refused, ", loaded->unknown, " unknown to this version");
  }
  return Ok();
}

void Appliance::Rooms::Provision() {
  const std::string_view text = machine.boot.provision_text();
  if (text.empty()) {
    return;
  }
  const char* source = machine.boot.provision_source();
  if (!configuration->is_factory() || store_damaged) {
    PrintLine(console, "Provisioning from ", source, " is not taken: ",
              store_damaged ? "the store is damaged" : "this is not factory state");
    return;
  }
  PrintLine(console, "Provisioning from ", source, ":");
  config::Message note;
  const auto report = configuration->Provision(text, *this, note);
  if (report.ok() && report->committed) {
    PrintLine(console, "Provisioning: ", report->line_count, " lines, all applied");
    log.Emit(Provisioned{.source = source, .lines = report->line_count});
    return;
  }
  const uint64_t lines = report.ok() ? report->line_count : 0;
  const uint64_t refused = report.ok() ? report->refused_count : 0;
  PrintLine(console, "Provisioning: NOTHING WAS APPLIED, ", refused, " of ", lines,
            " lines refused: ", note.view());
  log.Emit(ProvisioningRefused{
      .source = source, .lines = lines, .refused = refused, .reason = note.view()});
  alarms.Raise(AlarmId::kProvisioningRefused, note.view());
}

void Appliance::Rooms::OnLine(uint32_t number, bool accepted, std::string_view message) {
  if (!accepted) {
    PrintLine(console, "  line ", number, ": ERROR: ", message);
    return;
  }
  if (++provision_ok_shown <= kProvisionOkShownMax) {
    PrintLine(console, "  line ", number, ": OK");
  } else if (provision_ok_shown == kProvisionOkShownMax + 1) {
    PrintLine(console, "  more lines are OK; those that are not are shown");
  }
}

void Appliance::Rooms::BuildConsole() {
  machine.arena.OpenAccount("firmware/admin");
  pages.AddTo(status, this);
  trust.AddTo(status);
  trust.AddTo(commands);
  maintenance.AddTo(status, commands);
  event_log.AddTo(commands);
  certificates->AddTo(status, commands);
  acme->AddTo(status, commands);
  policy->AddTo(status);
  ocsp->AddTo(status, commands);
  alarm_commands.AddTo(commands);
  dial_plan->AddTo(status, commands);
  calls->AddTo(status, commands);
  turn->AddTo(status, commands);
  rtp->AddTo(status);
  xmpp->AddTo(status, commands);
  federation->AddTo(status, commands);
  tls_services->AddTo(status);
  hsm->AddTo(status, commands);
  AddCommands();
  BuildAdministration();
  BuildSsh();
  services.AddTo(status, commands);
  diagnostics.AddTo(status, commands);
  snmp.AddTo(status);
  metrics.AddTo(status);
  status.AddMember<&Rooms::NextNtpLine>("NTP", "Time servers", this);
  status.AddMember<&Rooms::NextMediaCoreLine>("Media", "Which processor relays media", this);
  status.AddMember<&Rooms::NextDnsLine>("DNS", "The resolver", this);
  accounts->intrusion().SetBlocker(&services);
  files->Add("captures", diagnostics.files());
  files->Add("certificates", certificates->folder());
}

void Appliance::Rooms::ReportMemory() {
  PrintLine(console, "Capacity: ", capacity.profile, ": ", capacity.registrations,
            " registrations, ", capacity.users, " users, ", capacity.streams, " TCP connections, ",
            capacity.calls, " calls");
  PrintLine(console, "Memory, KiB:");
  for (const ArenaAccount& account : machine.arena.accounts()) {
    uint8_t bytes[120];
    ByteWriter out(bytes);
    uint8_t digit_bytes[24];
    ByteWriter digits(digit_bytes);
    digits.Decimal((account.bytes + 1023) / 1024);
    for (size_t i = digits.size(); i < 12; ++i) {
      out.Char(' ');
    }
    out.Text(digits.text());
    out.Text("  ");
    out.Text(account.name);
    if (account.items > 0) {
      out.Text(" (");
      out.Decimal(account.items);
      out.Text(")");
    }
    PrintLine(console, out.text());
  }
  PrintLine(console, "  of ", machine.arena.size() >> 20, " MiB, ",
            (machine.arena.size() - machine.arena.used()) >> 20, " MiB are free; sealed now");
}

void Appliance::Rooms::ReportReadiness() {
  for (uint8_t i = 0; i < net::kPortMax; ++i) {
    const net::PortStatus port = stack->port_status(i);
    if (!port.present) {
      continue;
    }
    uint8_t bytes[300];
    ByteWriter out(bytes);
    for (const net::PortAddress& address : std::span(port.addresses).first(port.address_count)) {
      out.Char(' ');
      address.address.Format(out);
      out.Char('/');
      out.Decimal(address.prefix_length);
    }
    PrintLine(console, PortName(i), ": ", port.driver, port.link_up ? ", link up," : ", no link,",
              port.address_count == 0 ? " no address yet" : "", out.text());
  }
  if (ssh->server().status().listening) {
    PrintLine(console, "SSH: host key ssh-ed25519 ", ssh->fingerprint().view());
  }
  const Duration since_loader = machine.clock.Now() - machine.boot.report().loader_entry;
  boot_time = since_loader;
  if (!sip_ready) {
    PrintLine(console, configuration->is_factory() ? "SIP: waits for first set-up"
                                                   : "SIP: no address to listen on yet");
  }
  const hal::BootReport& report = machine.boot.report();
  static constexpr const char* kCauses[] = {"power-on", "restart", "watchdog", "panic", "unknown"};
  log.Emit(SystemStarted{.product = "Gatehouse",
                         .version = kVersion,
                         .commit = kCommit,
                         .build = kBuildId,
                         .board = machine.board,
                         .slot = std::string_view(&report.slot, 1),
                         .cause = kCauses[static_cast<uint8_t>(report.cause)],
                         .profile = capacity.profile,
                         .boot_ms = static_cast<uint64_t>(since_loader.milliseconds()),
                         .image = report.is_development ? "development" : "release"});
}

void Appliance::Rooms::StartWatchdog() {
  last_housekeeping = machine.clock.Now();
  loop.timers().Arm(housekeeping, kHousekeepingPeriod);
  if (machine.watchdog.present()) {
    machine.watchdog.Arm(kWatchdogTimeout);
  }
}

// --- Running ------------------------------------------------------------------------------------

void Appliance::Rooms::OnSettingChanged(config::Selector selector, std::string_view before,
                                        std::string_view after) {
  uint8_t bytes[config::kPathTextMax];
  ByteWriter path(bytes);
  config::FormatPath(selector, path);
  log.Emit(
      SettingChanged{.setting = path.text(), .before = before, .after = after, .by = actor.view()});
}

void Appliance::Rooms::OnCommitted(const GroupSet& groups, bool) {
  pending_groups |= groups;
  store_refused = false;
}

void Appliance::Rooms::ApplySettings(const GroupSet& groups) {
  crashes->Trace(ApplianceTrace::kSettings, groups.first_word());
  if (groups.Meets(kTlsGroups)) {
    tls_services->Apply();
  }
  if (groups.Meets(kNetworkGroups)) {
    ApplyNetwork();
  }
  if (groups.Meets(config::NetworkGroups())) {
    maintenance.KeepNetwork().ignore("told by an event");
  }
  if (groups.Meets(kServerGroups)) {
    ApplyServers();
  }
  if (groups.Meets(kSipGroups | kDialPlanGroups | kNetworkGroups)) {
    ApplySip();
  }
  if (groups.Meets(kTurnGroups | kSipGroups | kNetworkGroups | kTlsGroups)) {
    turn->Apply();
  }
  if (groups.Meets(kXmppGroups | kSipGroups | kNetworkGroups | kTlsGroups)) {
    xmpp->Apply();
    federation->Apply();
  }
  if (groups.Meets(kHsmGroups)) {
    hsm->Apply();
  }
  if (groups.Meets(kAcmeGroups)) {
    acme->Apply();
  }
  if (groups.Meets(GroupId::kCallPolicyService)) {
    policy->Apply();
  }
  if (groups.Meets(GroupId::kCertificateOcsp)) {
    ocsp->Apply();
  }
  if (groups.Meets(kSyslogGroups)) {
    ApplySyslog();
  }
  if (groups.Meets(kSshGroups)) {
    ssh->Apply();
    AllowSsh();
  }
  if (groups.Meets(GroupId::kLog | GroupId::kTime)) {
    event_log.ApplySettings(configuration->active());
  }
  if (groups.Meets(GroupId::kUpgrade)) {
    maintenance.ApplySettings();
  }
  if (groups.Meets(kSnmpGroups)) {
    snmp.ApplySettings();
  }
  if (groups.Meets(GroupId::kMetrics)) {
    metrics.ApplySettings();
  }
  if (groups.Meets(kServiceGroups | kSshGroups | kSipGroups | kDialPlanGroups | kTurnGroups |
                   kXmppGroups | kNetworkGroups)) {
    services.Apply();  // when all who listen have said where
  }
  UpdateAlarms();
}

void Appliance::Rooms::ApplyNetwork() {
  const net::StackConfig net_config =
      NetConfigOf(configuration->active(), services.dmi_active() ? &services.dmi() : nullptr);
  const auto configured = stack->Configure(net_config);
  if (!configured.ok()) {
    log.Emit(ServiceFailed{.service = "network", .reason = configured.error().what});
    alarms.Raise(AlarmId::kServiceFailed, configured.error().what);
    PrintLine(console, "Network settings are not in force: ", configured.error().what);
  } else {
    alarms.Lower(AlarmId::kServiceFailed);
  }
  for (uint8_t i = 0; i < net::kPortMax; ++i) {
    const net::PortConfig& port = net_config.ports[i];
    net_events.SetWanted(i, machine.ports[i] != nullptr && (port.ipv4_mode != net::Ipv4Mode::kOff ||
                                                            port.ipv6_mode != net::Ipv6Mode::kOff));
  }
}

// Addresses SIP listens on: all of ours that others can reach from outside the link.
uint32_t Appliance::Rooms::SipAddresses(std::span<net::IpAddress> out) const {
  uint32_t count = 0;
  for (uint8_t i = 0; i < net::kPortMax; ++i) {
    if (services.dmi_active() && i == kManagementPort) {
      continue;
    }
    const net::PortStatus port = stack->port_status(i);
    for (const net::PortAddress& address : std::span(port.addresses).first(port.address_count)) {
      if (!address.address.is_link_local() && count < out.size()) {
        out[count++] = address.address;
      }
    }
  }
  return count;
}

void Appliance::Rooms::ApplySip() {
  const config::Settings& settings = configuration->active();
  std::array<net::IpAddress, sip::kListenerMax / sip::kTransportCount> addresses;
  const uint32_t count = configuration->is_factory() ? 0 : SipAddresses(addresses);
  sip::Config sip_config = SipConfigOf(settings, std::span(addresses).first(count));
  dial_plan->AddListeners(std::span(addresses).first(count), sip_config);
  rtp->Apply(std::span(addresses).first(count), sip_config);
  std::array<uint16_t, sip::kTransportCount> ports = {};
  for (const sip::Listener& listener :
       std::span(sip_config.listeners).first(sip_config.listener_count)) {
    if (listener.zone == 0) {  // those of zones are opened by the dial plan
      ports[static_cast<size_t>(listener.transport)] = listener.bind.port;
    }
  }
  for (uint8_t i = 0; i < sip::kTransportCount; ++i) {
    services.Open(static_cast<ServiceId>(static_cast<uint8_t>(ServiceId::kSipUdp) + i), ports[i]);
  }
  sip_listeners = sip->Apply(sip_config);
  dial_plan->Apply();
  if (sip_listeners == 0 || sip_ready) {
    return;
  }
  sip_ready = true;
  boot_time = machine.clock.Now() - machine.boot.report().loader_entry;
  uint8_t bytes[300];
  ByteWriter out(bytes);
  for (const sip::Listener& listener :
       std::span(sip_config.listeners).first(sip_config.listener_count)) {
    out.Char(' ');
    for (const char c : sip::TransportName(listener.transport)) {
      out.Char(AsciiLower(c));
    }
    out.Char('/');
    listener.bind.Format(out);
  }
  uint8_t line_bytes[400];
  ByteWriter line(line_bytes);
  line.Text("SIP ready ");
  line.SignedDecimal(boot_time.milliseconds());
  line.Text(" ms after loader entry:");
  line.Text(out.text());
  Say(*sessions, console, line.text());
  SayReach();
}

void Appliance::Rooms::SayReach() {
  std::string_view text = machine.boot.reach_text();
  while (!text.empty()) {
    const size_t end = text.find('\n');
    uint8_t line_bytes[160];
    ByteWriter line(line_bytes);
    line.Text("From the host: ");
    // The text is the host's: only what prints may reach the console.
    for (const char c : text.substr(0, end < 120 ? end : 120)) {
      line.Char(c >= ' ' && c <= '~' ? c : '?');
    }
    Say(*sessions, console, line.text());
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
}

void Appliance::Rooms::ApplySyslog() {
  uint8_t run[8];
  if (run_id.empty()) {
    random.Fill(run);
    uint8_t text_bytes[16];
    ByteWriter text(text_bytes);
    text.HexBytes(std::span(run).first(4));
    run_id.Assign(text.text());
  }
  syslog->SetIdentity(configuration->active().system().name.view(), run_id.view());
  syslog->Configure(SyslogConfigOf(configuration->active()));
}

void Appliance::Rooms::UpdateAlarms() {
  const bool factory = configuration->is_factory();
  alarms.Set(AlarmId::kNoSipDomain, !factory && sip->config().domain_count == 0, "");
  alarms.Set(AlarmId::kMaintenanceMode, sip->config().is_draining, "");
  alarms.Set(AlarmId::kRestartNeeded, configuration->restart_needed(), "");
  alarms.Set(AlarmId::kPasswordsUnusable, configuration->unusable_password_count() > 0, "");
  if (!factory && !store_damaged) {
    alarms.Lower(AlarmId::kProvisioningRefused);
  }
}

void Appliance::Rooms::OnHousekeeping() {
  crashes->Trace(ApplianceTrace::kHousekeeping);
  last_housekeeping = loop.now();
  loop.timers().Arm(housekeeping, kHousekeepingPeriod);
  log.ReportSuppressed(loop.now());
  net_events.UpdateAlarm();
  alarms.Set(AlarmId::kClockNotSet,
             !machine.clock.Wall().is_set && loop.now() - started_at > Duration::Minutes(1), "");
  WatchMediaCore();
  WatchSyslog();
  dial_plan->Watch();
  turn->UpdateAlarms();
  xmpp->UpdateAlarms();
  federation->UpdateAlarms();
  certificates->Watch();
  acme->Watch(loop.now());
  policy->Watch(loop.now());
  ocsp->Watch(loop.now());
  hsm->UpdateAlarms();
  maintenance.Watch(loop.now());
  services.Watch(loop.now());
  diagnostics.Watch();
  snmp.Watch();
  metrics.Watch(loop.now());
  WatchStore();
  event_log.Watch();
  folders->Watch();
}

void Appliance::Rooms::WatchSyslog() {
  FixedString<alarm::kDetailMax> lost;
  for (uint32_t i = 0; i < log::kSyslogServerMax; ++i) {
    const log::SyslogServerStatus server = syslog->status(i);
    const bool away = server.state == log::SyslogState::kWaiting ||
                      server.state == log::SyslogState::kConnecting ||
                      server.state == log::SyslogState::kResolving;
    if (away && server.last_error[0] != '\0') {
      lost.Append(lost.empty() ? "" : " ");
      lost.Append(net::ToText(server.endpoint).view());
    }
  }
  alarms.Set(AlarmId::kSyslogUnreachable, !lost.empty(), lost.view());
}

// Events grave enough for the console.
void Appliance::Rooms::ShowNotices() {
  if (sessions->has_guest()) {
    return;  // later
  }
  next_notice = std::max(next_notice, log.first_sequence());
  const auto severity = configuration->active().console().severity;
  for (; next_notice < log.next_sequence(); ++next_notice) {
    const log::Record* record = log.Find(next_notice);
    GH_ASSERT(record != nullptr);
    const log::EventInfo& info = log::kEvents[record->event];
    if (static_cast<uint8_t>(info.severity) > static_cast<uint8_t>(severity)) {
      continue;
    }
    uint8_t bytes[700];
    ByteWriter out(bytes);
    out.Char('[');
    out.Text(log::SeverityName(info.severity));
    out.Text("] ");
    log::FormatText(*record, out);
    Say(*sessions, console, out.text());
  }
}

// Argon2id runs when no engine has work, at the latest after a moment; never between packets of
// one turn.
bool Appliance::Rooms::RunDeferred(Instant next) {
  const Instant now = loop.now();
  admin::DeferredWork* work = deferred.FindDue(now);
  if (work == nullptr) {
    return false;
  }
  const bool idle = next > now;
  if (!idle &&
      now - work->deferred_since < Duration::Milliseconds(admin::kDeferredWaitMaxMilliseconds)) {
    return false;
  }
  const Instant start = machine.clock.Now();
  crashes->Trace(ApplianceTrace::kDeferred);
  deferred.Run(*work, now);
  deferred.Note(machine.clock.Now() - start);
  return true;
}

bool Appliance::Rooms::Healthy(Instant now) const {
  return now - last_housekeeping < kHealthTimeout;
}

void Appliance::Rooms::End(Ending how, const char* why, std::string_view by) {
  log.Emit(SystemStopping{.reason = why, .by = by});
  CloseXmpp(*this);
  crashes->Trace(ApplianceTrace::kEnding, static_cast<uint64_t>(how));
  ending = how;
  end_at = loop.now() + kEndDelay;
}

void Appliance::Rooms::EndIfDue() {
  if (ending == Ending::kNone || loop.now() < end_at) {
    return;
  }
  DrainConsole(machine, console);
  FlushLog();
  if (ending == Ending::kRestart) {
    machine.boot.Restart();
  }
  machine.boot.PowerOff();
}

// By the loader, where there is one that can: it erases what the running image cannot. Else here.
Result<void> Appliance::Rooms::ResetToFactory(bool keep_network, std::string_view by) {
  if (maintenance.has_chain()) {
    return maintenance.ResetToFactory(keep_network, by);
  }
  if (keep_network) {
    return Error{ErrorCode::kUnsupported, "this machine cannot keep its network settings"};
  }
  log.Emit(FactoryReset{.by = by});
  // With a new key: what is left of the old content cannot be read, wherever it lies.
  if (log::EventStore* events = event_log.store(); events != nullptr) {
    GH_TRY(events->Erase());
  }
  return sqlite_store != nullptr ? sqlite_store->Reformat() : configuration->ResetToFactory();
}

void Appliance::Rooms::AddCommands() {
  crashes->AddTo(commands);
  commands.Add({"Restart", "Restarts the system", "Restart now? Calls in progress will end.",
                [](void* context, std::string_view by, ByteWriter& out) -> Result<void> {
                  static_cast<Rooms*>(context)->End(Ending::kRestart, "restart", by);
                  out.Text("Restarting.");
                  return Ok();
                },
                this});
  commands.Add({"PowerOff", "Stops the system and switches the machine off",
                "Switch off now? Calls in progress will end.",
                [](void* context, std::string_view by, ByteWriter& out) -> Result<void> {
                  static_cast<Rooms*>(context)->End(Ending::kPowerOff, "power off", by);
                  out.Text("Switching off.");
                  return Ok();
                },
                this});
  commands.Add({"FactoryReset", "Removes all configuration and restarts",
                "Remove ALL configuration, users and passwords, and restart?",
                [](void* context, std::string_view by, ByteWriter& out) -> Result<void> {
                  auto& rooms = *static_cast<Rooms*>(context);
                  GH_TRY(rooms.ResetToFactory(false, by));
                  rooms.End(Ending::kRestart, "factory reset", by);
                  out.Text("All configuration is removed. Restarting.");
                  return Ok();
                },
                this});
  admin::Command keep = {"FactoryReset Keep",
                         "Removes all configuration but the network settings, and restarts",
                         "Remove ALL users, passwords and settings but those of the network, and "
                         "restart?"};
  keep.value_help = "Network";
  keep.context = this;
  keep.run_value = [](void* context, std::string_view by, std::string_view value,
                      ByteWriter& out) -> Result<void> {
    auto& rooms = *static_cast<Rooms*>(context);
    if (!config::EqualsIgnoreCase(value, "Network")) {
      return Error{ErrorCode::kInvalidArgument, "expected Network"};
    }
    GH_TRY(rooms.ResetToFactory(true, by));
    rooms.End(Ending::kRestart, "factory reset, keeping the network", by);
    out.Text("All but the network settings is removed. Restarting.");
    return Ok();
  };
  commands.Add(keep);
}

}  // namespace gh
