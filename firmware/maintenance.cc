#include "firmware/maintenance.h"

#include <algorithm>

#include "firmware/config/migrations.h"
#include "firmware/rooms.h"

namespace gh {
namespace {

using log::AlarmId;
using upgrade::Phase;
using namespace gh::log::event;

constexpr const char* kSlotNames[] = {"A", "B", "Golden"};

const char* SlotStateName(image::SlotState state) {
  switch (state) {
    case image::SlotState::kEmpty:
      return "Empty";
    case image::SlotState::kTrial:
      return "Trial";
    case image::SlotState::kConfirmed:
      return "Confirmed";
    case image::SlotState::kBad:
      return "Bad";
  }
  GH_UNREACHABLE();
}

const char* StartReasonName(hal::StartReason reason) {
  switch (reason) {
    case hal::StartReason::kUnknown:
      return "Unknown";
    case hal::StartReason::kConfirmed:
      return "Confirmed";
    case hal::StartReason::kTrial:
      return "Trial";
    case hal::StartReason::kFallback:
      return "Fallback";
    case hal::StartReason::kGolden:
      return "Golden";
    case hal::StartReason::kOperator:
      return "Operator";
  }
  GH_UNREACHABLE();
}

const char* RecordStatusName(image::RecordStatus status) {
  switch (status) {
    case image::RecordStatus::kUnread:
      return "None";
    case image::RecordStatus::kGood:
      return "Good";
    case image::RecordStatus::kRepaired:
      return "Repaired";
    case image::RecordStatus::kDamaged:
      return "Damaged";
    case image::RecordStatus::kLost:
      return "Lost";
  }
  GH_UNREACHABLE();
}

const char* ResetSourceName(image::ResetSource source) {
  switch (source) {
    case image::ResetSource::kUnknown:
      return "an unknown hand";
    case image::ResetSource::kOperator:
      return "the operator";
    case image::ResetSource::kButton:
      return "the reset button";
    case image::ResetSource::kConsole:
      return "the recovery console";
  }
  GH_UNREACHABLE();
}

}  // namespace

Maintenance::Maintenance(Appliance::Rooms& rooms) : rooms_(rooms) {}

bool Maintenance::runs_from_slot() const {
  const char slot = rooms_.machine.boot.report().slot;
  return slot == 'a' || slot == 'b';
}

uint32_t Maintenance::running_slot() const {
  const char slot = rooms_.machine.boot.report().slot;
  return slot == 'a' ? 0 : slot == 'b' ? 1 : image::kStartedGolden;
}

bool Maintenance::has_chain() const {
  return rooms_.machine.boot.report().start_reason != hal::StartReason::kUnknown;
}

// --- Start
// ----------------------------------------------------------------------------------------

void Maintenance::ReadBootState() {
  hal::Machine& machine = rooms_.machine;
  machine.arena.OpenAccount("firmware/upgrade");
  record_ = machine.arena.New<upgrade::BootRecord>(machine.boot_state);
  if (machine.boot_state == nullptr) {
    return;
  }
  if (auto loaded = record_->Load(); !loaded.ok()) {
    rooms_.log.Emit(BootStateFailed{.reason = loaded.error().what});
    rooms_.alarms.Raise(AlarmId::kBootStateFailed, loaded.error().what);
  } else if (record_->status() == image::RecordStatus::kDamaged) {
    rooms_.log.Emit(BootStateFailed{.reason = "copies are damaged and cannot be written"});
    rooms_.alarms.Raise(AlarmId::kBootStateFailed, "copies cannot be written");
  }
  scratch_ = machine.arena.NewArray<uint8_t>(image::kSlotHeaderSize + image::kManifestSizeMax);
  snapshots_ = machine.arena.New<upgrade::Snapshots>(*this);
  kept_ = machine.arena.New<upgrade::KeptNetwork>(machine.arena, *record_);
  for (uint32_t slot = 0; slot <= image::kBootSlotCount; ++slot) {
    ReadVersion(slot);
  }
}

void Maintenance::SwitchConfiguration(store::Store& store) {
  if (snapshots_ != nullptr && runs_from_slot() && !builds_[running_slot()].empty()) {
    snapshots_->AtStart(store, running_slot(), builds_[running_slot()].view());
  }
  const auto migrated = config::Migrate(store, config::kSchema, config::Migrations());
  if (!migrated.ok()) {
    rooms_.log.Emit(StoreFailed{.reason = migrated.error().what});
  } else if (migrated->from != migrated->to) {
    rooms_.log.Emit(ConfigurationMigrated{
        .from = migrated->from, .to = migrated->to, .settings = migrated->changed});
  }
}

void Maintenance::OnSnapshotTaken(char slot, uint32_t rows) {
  rooms_.log.Emit(SnapshotTaken{.slot = std::string_view(&slot, 1), .settings = rows});
}

void Maintenance::OnSnapshotRestored(char slot, uint32_t rows) {
  rooms_.log.Emit(SnapshotRestored{.slot = std::string_view(&slot, 1), .settings = rows});
}

void Maintenance::OnSnapshotFailed(char slot, std::string_view reason) {
  rooms_.log.Emit(SnapshotFailed{.slot = std::string_view(&slot, 1), .reason = reason});
}

void Maintenance::BuildHttps() {
  Arena& arena = rooms_.machine.arena;
  arena.OpenAccount("crypto/tls");
  auto* heap = arena.New<Heap>(arena, crypto::kTlsClientHeap);
  auto* environment = arena.New<crypto::TlsEnvironment>(*heap, rooms_.random, rooms_.machine.clock);
  auto* download = arena.New<net::HttpsDownload>(rooms_.stack->streams(), *rooms_.resolver,
                                                 rooms_.loop.timers(), *environment);
  https_ = arena.New<upgrade::HttpsSource>(
      upgrade::HttpsSource::Parts{*upgrade_, *this, *this, *download, rooms_.loop});
  rooms_.loop.Add(*https_);
}

void Maintenance::Build() {
  hal::Machine& machine = rooms_.machine;
  machine.arena.OpenAccount("firmware/upgrade");
  upgrade_ = machine.arena.New<upgrade::Upgrade>(
      upgrade::Upgrade::Parts{machine.arena, *this, *this, this});
  console_ = machine.arena.New<upgrade::ConsoleSource>(*upgrade_, *this);
  rooms_.loop.Add(*upgrade_);
  const hal::BootReport& report = machine.boot.report();
  for (uint32_t i = 0; i < report.trusted_key_count; ++i) {
    const hal::TrustedKey& key = report.trusted_keys[i];
    image::TrustedKey& trusted = keys_[key_count_++];
    std::copy(std::begin(key.key), std::end(key.key), trusted.key.begin());
    trusted.role = static_cast<gatehouse_image_KeyRole>(key.role);
    trusted.is_development = key.is_development;
  }
  if (record_->is_loaded()) {
    (void)PolicyNow();  // the key list in force, for status
  }
}

// What a slot says of itself, for status: nobody has verified it here.
void Maintenance::ReadVersion(uint32_t slot) {
  hal::Machine& machine = rooms_.machine;
  hal::BlockDevice* device = slot < machine.slots.size() ? machine.slots[slot] : machine.factory;
  if (device == nullptr || !hal::ReadBlocks(*device, 0, scratch_).ok()) {
    return;
  }
  const auto layout =
      image::ParseSlotHeader(scratch_, device->block_count() * device->block_size());
  if (!layout.ok()) {
    return;
  }
  const auto manifest =
      image::DecodeManifest(scratch_.subspan(layout->manifest_offset, layout->manifest_size));
  if (manifest.ok()) {
    SetVersion(slot, *manifest);
  }
}

void Maintenance::SetVersion(uint32_t slot, const image::Manifest& manifest) {
  versions_[slot].Assign(manifest.version);
  versions_[slot].Append(" build=");
  versions_[slot].Append(manifest.build_id);
  builds_[slot].Assign(manifest.build_id);
}

// What the loader did, as events and alarms. The record keeps the reason of a revert until it was
// told here.
void Maintenance::ReportBoot() {
  const hal::BootReport& report = rooms_.machine.boot.report();
  const bool on_trial = report.start_reason == hal::StartReason::kTrial;
  if (report.failed[0] != '\0') {
    rooms_.log.Emit(SlotNotStarted{.reason = report.failed});
    rooms_.alarms.Raise(AlarmId::kSlotNotStarted, report.failed);
  }
  if (report.slot == 'g') {
    const bool was_chosen = report.start_reason == hal::StartReason::kOperator;
    const char* why = was_chosen                 ? "chosen by the operator for this start"
                      : report.failed[0] != '\0' ? report.failed
                                                 : "no slot may be started";
    rooms_.log.Emit(GoldenRunning{.reason = why});
    rooms_.alarms.Raise(AlarmId::kGoldenRunning, why);
  }
  if (record_->is_loaded()) {
    const image::BootState& state = record_->state();
    if (state.revert.slot < image::kBootSlotCount) {
      const char* slot = kSlotNames[state.revert.slot];
      rooms_.log.Emit(ImageReverted{.slot = slot, .reason = state.revert.reason.view()});
      FixedString<alarm::kDetailMax> detail("slot ");
      detail.Append(slot);
      detail.Append(": ");
      detail.Append(state.revert.reason.view());
      rooms_.alarms.Raise(AlarmId::kImageReverted, detail.view());
    }
    if (state.was_reset) {
      rooms_.log.Emit(FactoryResetDone{.by = ResetSourceName(state.reset_source)});
      rooms_.console.PutLine("Factory reset: done; everything that was set or stored is erased");
      if (auto told = record_->AcknowledgeReset(); !told.ok()) {
        rooms_.log.Emit(BootStateFailed{.reason = told.error().what});
      }
    }
  }
  if (on_trial && runs_from_slot()) {
    rooms_.log.Emit(TrialStarted{.slot = kSlotNames[running_slot()], .tries = report.tries_left});
    rooms_.alarms.Raise(AlarmId::kImageOnTrial, kSlotNames[running_slot()]);
    rooms_.console.PutLine("This image runs on trial: not confirmed yet");
  }
  if (runs_from_slot() && record_->is_loaded()) {
    trial_.Start(on_trial, rooms_.machine.clock.Now());
  }
}

void Maintenance::ApplySettings() {
  const auto& settings = rooms_.configuration->active().upgrade();
  if (!record_->is_loaded()) {
    return;
  }
  const auto set = record_->SetTrial(static_cast<uint32_t>(settings.trial_tries),
                                     static_cast<uint32_t>(settings.confirm_time_out));
  if (!set.ok()) {
    rooms_.log.Emit(BootStateFailed{.reason = set.error().what});
  }
}

// --- The health check
// -------------------------------------------------------------------------------

// A write and its removal in one transaction: the disk works, nothing changes.
bool Maintenance::CheckStorage() {
  static constexpr uint8_t kProbe[] = {1};
  store::Store& store = *rooms_.store;
  if (rooms_.store_damaged || !store.status().persistent) {
    return !rooms_.store_damaged && rooms_.machine.store == nullptr;
  }
  if (rooms_.configuration->in_change() || !store.Begin().ok()) {
    return false;
  }
  if (!store.Put("@health", kProbe).ok() || !store.Remove("@health").ok()) {
    store.Rollback();
    return false;
  }
  return store.Commit().ok();
}

upgrade::Health Maintenance::CheckHealth() {
  upgrade::Health health;
  if (!storage_checked_) {  // once a start: it waits for the disk
    storage_checked_ = true;
    storage_good_ = CheckStorage();
  }
  health.storage = storage_good_;
  bool any_port = false;
  for (uint8_t i = 0; i < net::kPortMax; ++i) {
    const net::PortStatus port = rooms_.stack->port_status(i);
    any_port = any_port || port.present;
    health.network = health.network || (port.present && port.link_up && port.address_count > 0);
  }
  const bool factory = rooms_.configuration->is_factory();
  health.network = health.network || factory || !any_port;
  const auto& settings = rooms_.configuration->active();
  const bool wants_sip = settings.sip_udp().mode == config::OnOff::kOn ||
                         settings.sip_tcp().mode == config::OnOff::kOn;
  health.engines = factory || !wants_sip || rooms_.sip_listeners > 0;
  return health;
}

void Maintenance::Watch(Instant now) {
  if (!trial_.open() || rooms_.ending != Ending::kNone) {
    return;
  }
  const auto& settings = rooms_.configuration->active().upgrade();
  const bool automatic = settings.confirm_mode == config::ConfirmMode::kAutomatic;
  switch (
      trial_.Judge(CheckHealth(), automatic, Duration::Seconds(settings.confirm_time_out), now)) {
    case upgrade::Verdict::kWait:
      return;
    case upgrade::Verdict::kConfirm:
      ConfirmRunning("the health check");
      return;
    case upgrade::Verdict::kGiveUp:
      GiveUpRunning();
      return;
  }
}

void Maintenance::ConfirmRunning(std::string_view by) {
  const hal::BootReport& report = rooms_.machine.boot.report();
  const bool was_trial =
      record_->state().slots[running_slot()].state != image::SlotState::kConfirmed;
  const auto confirmed = record_->Confirm(running_slot(), report.security_version);
  if (!confirmed.ok()) {
    rooms_.log.Emit(BootStateFailed{.reason = confirmed.error().what});
    rooms_.alarms.Raise(AlarmId::kBootStateFailed, confirmed.error().what);
    return;
  }
  rooms_.alarms.Lower(AlarmId::kImageOnTrial);
  if (was_trial) {
    rooms_.log.Emit(ImageConfirmed{
        .slot = kSlotNames[running_slot()], .by = by, .security_version = report.security_version});
  }
}

void Maintenance::GiveUpRunning() {
  const char* complaint = trial_.health().complaint();
  const char* reason = complaint[0] != '\0' ? complaint : "nobody confirmed it";
  const char* slot = kSlotNames[running_slot()];
  rooms_.log.Emit(TrialFailed{.slot = slot, .reason = reason});
  FixedString<image::kSlotReasonSizeMax> text("not confirmed in time: ");
  text.Append(reason);
  if (auto given_up = record_->Revert(running_slot(), text.view()); !given_up.ok()) {
    rooms_.log.Emit(BootStateFailed{.reason = given_up.error().what});
  }
  rooms_.End(Ending::kRestart, "the image on trial is given up", "the health check");
}

// --- Upgrade
// ----------------------------------------------------------------------------------------

// Never the running one; from golden, the one that is worth less.
uint32_t Maintenance::TargetSlot() const {
  if (runs_from_slot()) {
    return 1 - running_slot();
  }
  const auto& slots = record_->state().slots;
  const auto worth = [&](uint32_t slot) {
    return slots[slot].state == image::SlotState::kConfirmed ? slots[slot].install_sequence + 1 : 0;
  };
  return worth(0) <= worth(1) ? 0 : 1;
}

Result<void> Maintenance::MayUpgrade() const {
  GH_TRY(record_->MayInstall(TargetSlot()));
  if (upgrade_->active() || (https_ != nullptr && https_->active())) {
    return Error(ErrorCode::kWrongState, "an upgrade is on its way already");
  }
  return Ok();
}

Result<void> Maintenance::BeginUpgrade(std::string_view source, uint64_t announced, Instant now) {
  const uint32_t slot = TargetSlot();
  GH_TRY(record_->MayInstall(slot));
  const image::TrustPolicy policy = PolicyNow();
  // A configuration that is new since the start is noted as this image's.
  if (!rooms_.store_damaged) {
    SwitchConfiguration(*rooms_.store);
  }
  return upgrade_->Begin(source, announced, policy, rooms_.machine.slots[slot], slot, now);
}

Result<void> Maintenance::ForgetSlot(uint32_t slot) {
  GH_TRY(record_->ForgetSlot(slot));
  versions_[slot].Clear();
  builds_[slot].Clear();
  // A store that fails must not keep a machine from the update that mends it.
  if (auto forgotten = snapshots_->Forget(*rooms_.store, slot); !forgotten.ok()) {
    OnSnapshotFailed(kSlotNames[slot][0], forgotten.error().what);
  }
  return Ok();
}

Result<void> Maintenance::OfferTrial(uint32_t slot, uint64_t security_version) {
  return record_->OfferTrial(slot, security_version);
}

void Maintenance::OnUpgradeStarted(std::string_view source, char slot) {
  rooms_.log.Emit(UpgradeStarted{.source = source, .slot = std::string_view(&slot, 1)});
}

void Maintenance::OnUpgradeInstalled(const image::Manifest& manifest, char slot, uint64_t bytes,
                                     Duration took, uint32_t) {
  SetVersion(slot == 'A' ? 0 : 1, manifest);
  rooms_.alarms.Lower(AlarmId::kUpgradeFailed);
  rooms_.log.Emit(UpgradeInstalled{.version = manifest.version,
                                   .build = manifest.build_id,
                                   .slot = std::string_view(&slot, 1),
                                   .bytes = bytes,
                                   .duration_ms = static_cast<uint64_t>(took.milliseconds()),
                                   .security_version = manifest.security_version});
}

void Maintenance::OnUpgradeFailed(std::string_view source, image::UpdateFault fault,
                                  std::string_view reason) {
  if (fault == image::UpdateFault::kRollback) {
    rooms_.log.Emit(RollbackRefused{.source = source, .reason = reason});
  }
  rooms_.log.Emit(
      UpgradeFailed{.source = source, .fault = image::UpdateFaultName(fault), .reason = reason});
  rooms_.alarms.Raise(AlarmId::kUpgradeFailed, reason);
}

// --- The operator's word
// ----------------------------------------------------------------------------

Result<void> Maintenance::ConfirmByOperator(std::string_view by) {
  if (!runs_from_slot() || !record_->is_loaded()) {
    return Error(ErrorCode::kWrongState, "no slot runs that could be confirmed");
  }
  trial_.Close();
  ConfirmRunning(by);
  return Ok();
}

Result<void> Maintenance::RevertByOperator(std::string_view by) {
  if (!runs_from_slot()) {
    return Error(ErrorCode::kWrongState, "no slot runs that could be given up");
  }
  GH_TRY(record_->Revert(running_slot(), "given up by the operator"));
  trial_.Close();
  rooms_.End(Ending::kRestart, "back to the other slot", by);
  return Ok();
}

Result<void> Maintenance::ChooseSlot(std::string_view value, std::string_view by) {
  const bool is_a = config::EqualsIgnoreCase(value, "A");
  const bool is_golden = config::EqualsIgnoreCase(value, "Golden");
  if (!is_a && !is_golden && !config::EqualsIgnoreCase(value, "B")) {
    return Error(ErrorCode::kInvalidArgument, "expected A, B or Golden");
  }
  if (upgrade_->active()) {
    return Error(ErrorCode::kWrongState, "an upgrade is on its way");
  }
  if (is_golden) {
    return ChooseGolden(by);
  }
  GH_TRY(record_->Select(is_a ? 0 : 1));
  rooms_.log.Emit(BootSlotChosen{.slot = kSlotNames[is_a ? 0 : 1], .by = by});
  return Ok();
}

Result<void> Maintenance::Acknowledge() {
  GH_TRY(record_->AcknowledgeRevert());
  rooms_.alarms.Lower(AlarmId::kImageReverted);
  return Ok();
}

Result<void> Maintenance::ResetToFactory(bool keep_network, std::string_view by) {
  if (!has_chain() || !record_->is_loaded()) {
    return Error(ErrorCode::kUnsupported, "the loader does not execute a factory reset");
  }
  if (keep_network) {
    GH_TRY(KeepNetwork());
  }
  GH_TRY(record_->RequestReset(keep_network, image::ResetSource::kOperator));
  rooms_.log.Emit(FactoryReset{.by = by});
  return Ok();
}

void Maintenance::AddTo(admin::StatusTree& status, admin::CommandTable& commands) {
  status.AddMember<&Maintenance::NextBoot>("Boot", "Slots and what was started", this);
  status.AddMember<&Maintenance::NextUpgrade>("Upgrade", "The update on its way", this);
  AddBootCommands(commands);
  AddUpgradeCommands(commands);
}

void Maintenance::AddBootCommands(admin::CommandTable& commands) {
  admin::Command slot = {"Boot Slot", "Chooses the slot that the next start takes"};
  slot.value_help = "A, B, or Golden (once)";
  slot.context = this;
  slot.run_value = [](void* self, std::string_view by, std::string_view value,
                      ByteWriter& out) -> Result<void> {
    GH_TRY(static_cast<Maintenance*>(self)->ChooseSlot(value, by));
    out.Text("OK, at the next start (xCommand Restart)");
    return Ok();
  };
  commands.Add(slot);
  commands.Add({"Boot Confirm", "Confirms the running image", "",
                [](void* self, std::string_view by, ByteWriter&) -> Result<void> {
                  return static_cast<Maintenance*>(self)->ConfirmByOperator(by);
                },
                this});
  commands.Add({"Boot Revert", "Goes back to the other slot",
                "Give up the running image, go back to the other slot and restart?",
                [](void* self, std::string_view by, ByteWriter& out) -> Result<void> {
                  GH_TRY(static_cast<Maintenance*>(self)->RevertByOperator(by));
                  out.Text("Going back. Restarting.");
                  return Ok();
                },
                this});
  commands.Add({"Boot Acknowledge", "Lowers the alarm of an update that was given up", "",
                [](void* self, std::string_view, ByteWriter&) -> Result<void> {
                  return static_cast<Maintenance*>(self)->Acknowledge();
                },
                this});
}

void Maintenance::AddUpgradeCommands(admin::CommandTable& commands) {
  admin::Command receive = {"Upgrade Receive", "Takes an update over this terminal (YMODEM)"};
  receive.context = this;
  receive.guest = console_;
  receive.run = [](void* self, std::string_view, ByteWriter& out) -> Result<void> {
    GH_TRY(static_cast<Maintenance*>(self)->MayUpgrade());
    out.Text("Send the update file with YMODEM now (sb FILE). Ctrl-C ends the waiting.\n");
    return Ok();
  };
  commands.Add(receive);
  admin::Command fetch = {"Upgrade Fetch", "Fetches an update from an HTTPS server"};
  fetch.value_help = "https://HOST[:PORT]/PATH [SHA-256 of the server's certificate]";
  fetch.context = this;
  fetch.run_value = [](void* self, std::string_view, std::string_view value, ByteWriter& out) {
    return static_cast<Maintenance*>(self)->Fetch(value, out);
  };
  commands.Add(fetch);
  admin::Command status = {"Upgrade Status", "How far the update is"};
  status.context = this;
  status.only_looks = true;
  status.run = [](void*, std::string_view, ByteWriter&) -> Result<void> { return Ok(); };
  status.next = [](void* self, uint64_t& cursor, ByteWriter& out) {
    return static_cast<Maintenance*>(self)->NextUpgrade(cursor, out);
  };
  commands.Add(status);
  commands.Add({"Upgrade Cancel", "Ends the update on its way", "",
                [](void* self, std::string_view, ByteWriter&) -> Result<void> {
                  auto& maintenance = *static_cast<Maintenance*>(self);
                  if (maintenance.https_ != nullptr && maintenance.https_->active()) {
                    maintenance.https_->Cancel();
                    return Ok();
                  }
                  if (!maintenance.upgrade_->active()) {
                    return Error(ErrorCode::kWrongState, "no upgrade is on its way");
                  }
                  maintenance.upgrade_->Cancel("cancelled by the operator",
                                               maintenance.rooms_.loop.now());
                  return Ok();
                },
                this});
}

Result<void> Maintenance::Fetch(std::string_view value, ByteWriter& out) {
  GH_TRY(MayUpgrade());
  if (https_ == nullptr) {
    return Error(ErrorCode::kNoDevice, "this machine has no network");
  }
  const size_t space = value.find(' ');
  const std::string_view url = value.substr(0, space);
  std::string_view pin = rooms_.configuration->active().upgrade().server_fingerprint.view();
  if (space != value.npos) {
    pin = value.substr(value.find_first_not_of(' ', space));
  }
  if (pin.empty()) {
    return Error(ErrorCode::kInvalidArgument,
                 "whose certificate? Give its SHA-256 behind the URL, or set "
                 "xConfiguration Upgrade Server Fingerprint");
  }
  if (auto started = https_->Start(url, pin); !started.ok()) {
    return started;
  }
  out.Text("Fetching; xCommand Upgrade Status shows how far it is.\n");
  return Ok();
}

// --- Status
// -----------------------------------------------------------------------------------------

bool Maintenance::NextConnecting(uint64_t& cursor, ByteWriter& out) {
  switch (cursor++) {
    case 0:
      out.Text("Upgrade State: connecting");
      return true;
    case 1:
      out.Text("Upgrade Source: https ");
      out.Text(https_->host());
      return true;
    case 2:
      out.Text("Upgrade Attempt: ");
      out.Decimal(https_->attempt());
      out.Text(" of ");
      out.Decimal(upgrade::kHttpsAttemptsMax);
      return true;
    default:
      return false;
  }
}

bool Maintenance::NextUpgrade(uint64_t& cursor, ByteWriter& out) {
  if (https_ != nullptr && https_->is_connecting()) {
    return NextConnecting(cursor, out);
  }
  const upgrade::Status status = upgrade_->status(rooms_.loop.now());
  const uint64_t line_count = status.phase == Phase::kIdle ? 1 : status.reason.empty() ? 7 : 8;
  if (cursor >= line_count) {
    return false;
  }
  out.Text("Upgrade ");
  switch (cursor++) {
    case 0:
      out.Text("State: ");
      out.Text(upgrade::PhaseName(status.phase));
      return true;
    case 1:
      out.Text("Slot: ");
      out.Char(status.slot);
      return true;
    case 2:
      out.Text("Source: ");
      out.Text(status.source.view());
      return true;
    case 3:
      out.Text("Version: ");
      out.Text(status.version.view());
      out.Text(status.build_id.empty() ? "" : " build=");
      out.Text(status.build_id.view());
      return true;
    case 4:
      out.Text("Progress: ");
      upgrade::FormatProgress(status, out);
      return true;
    case 5:
      out.Text("Bytes: ");
      out.Decimal(status.received);
      out.Text(" of ");
      out.Decimal(status.total);
      return true;
    case 6:
      out.Text("Blocks: written=");
      out.Decimal(status.blocks_written);
      out.Text(" kept=");
      out.Decimal(status.blocks_kept);
      return true;
    default:
      out.Text("Reason: ");
      out.Text(status.reason.view());
      return true;
  }
}

bool Maintenance::NextBoot(uint64_t& cursor, ByteWriter& out) {
  const hal::BootReport& report = rooms_.machine.boot.report();
  const image::BootState& state = record_->state();
  constexpr uint64_t kSlotFields = 6;
  const uint64_t line = cursor++;
  out.Text("Boot ");
  switch (line) {
    case 0:
      out.Text("Running: ");
      out.Text(runs_from_slot() ? kSlotNames[running_slot()] : report.slot == 'g' ? "Golden" : "-");
      return true;
    case 1:
      out.Text("Reason: ");
      out.Text(StartReasonName(report.start_reason));
      return true;
    case 2:
      out.Text("Trial: ");
      out.Text(trial_.on_trial() ? "Yes" : "No");
      return true;
    case 3:
      out.Text("Health: ");
      out.Text(trial_.health().good() ? "Good" : trial_.health().complaint());
      return true;
    case 4:
      out.Text("SecurityFloor: ");
      out.Decimal(std::max(report.security_floor, state.security_version));
      return true;
    case 5:
      out.Text("Record: ");
      out.Text(RecordStatusName(record_->status()));
      return true;
    case 6:
      out.Text("NotStarted: ");
      out.Text(report.failed[0] == '\0' ? "-" : report.failed);
      return true;
    default:
      break;
  }
  const uint64_t field = line - 7;
  constexpr uint64_t kSlotLines = kSlotFields * image::kBootSlotCount;
  if (!record_->is_loaded()) {
    return false;
  }
  if (field >= kSlotLines) {
    return NextKey(field - kSlotLines, out);
  }
  return NextSlot(static_cast<uint32_t>(field / kSlotFields), field % kSlotFields, out);
}

bool Maintenance::NextSlot(uint32_t slot, uint64_t field, ByteWriter& out) {
  const image::SlotRecord& row = record_->state().slots[slot];
  out.Text("Slot ");
  out.Text(kSlotNames[slot]);
  switch (field) {
    case 0:
      out.Text(" State: ");
      out.Text(SlotStateName(row.state));
      return true;
    case 1:
      out.Text(" Version: ");
      out.Text(versions_[slot].empty() ? std::string_view("-") : versions_[slot].view());
      return true;
    case 2:
      out.Text(" TriesLeft: ");
      out.Decimal(row.tries_left);
      return true;
    case 3:
      out.Text(" SecurityVersion: ");
      out.Decimal(row.security_version);
      return true;
    case 4:
      out.Text(" Sequence: ");
      out.Decimal(row.install_sequence);
      return true;
    default:
      out.Text(" Reason: ");
      out.Text(row.reason.empty() ? std::string_view("-") : row.reason.view());
      return true;
  }
}

}  // namespace gh
