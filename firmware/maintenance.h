// Upgrade, boot and factory reset as the operator meets them: commands, status, events and alarms
// around firmware/upgrade, and the health check that confirms an image after a start.
#pragma once

#include "firmware/appliance.h"
#include "firmware/upgrade/boot_record.h"
#include "firmware/upgrade/console_source.h"
#include "firmware/upgrade/https_source.h"
#include "firmware/upgrade/kept_network.h"
#include "firmware/upgrade/snapshots.h"
#include "firmware/upgrade/trial.h"
#include "firmware/upgrade/upgrade.h"

namespace gh {

namespace admin {
class StatusTree;
class CommandTable;
}  // namespace admin

class Maintenance final : public upgrade::Observer,
                          public upgrade::Intake,
                          public upgrade::SlotLedger,
                          public upgrade::KeyLedger,
                          public upgrade::SnapshotObserver {
 public:
  // `rooms` outlives this; most of it is not built yet.
  explicit Maintenance(Appliance::Rooms& rooms);
  Maintenance(const Maintenance&) = delete;
  Maintenance& operator=(const Maintenance&) = delete;

  // Early in the start, before the store is used: what the loader left to be told.
  void ReadBootState();
  // The store's rows become those of the image that runs. Before anything reads them.
  void SwitchConfiguration(store::Store& store);
  // Later: buffers from the arena.
  void Build();
  // When there are streams and names.
  void BuildHttps();
  void AddTo(admin::StatusTree& status, admin::CommandTable& commands);
  // Tells what this start was. Once, when the log and alarms are there to be seen.
  void ReportBoot();
  void ApplySettings();
  // Once a second.
  void Watch(Instant now);
  upgrade::BootRecord& record() { return *record_; }
  // Sources of other rooms put these together as upgrade::PushSource. After Build().
  upgrade::Upgrade& upgrade() { return *upgrade_; }
  upgrade::Intake& intake() { return *this; }
  // The running slot: 0 or 1, or nothing (golden, no loader).
  bool runs_from_slot() const;
  uint32_t running_slot() const;
  // The loader in front of this image executes what the boot state asks for.
  bool has_chain() const;
  Result<void> ResetToFactory(bool keep_network, std::string_view by);
  // In factory state: the network settings that a reset has kept come into force.
  void PresetNetwork();
  // Keeps the network settings in force beside the store, for a reset that is to leave them.
  Result<void> KeepNetwork();

 private:
  void OnUpgradeStarted(std::string_view source, char slot) override;
  void OnUpgradeInstalled(const image::Manifest& manifest, char slot, uint64_t bytes, Duration took,
                          uint32_t blocks_kept) override;
  void OnUpgradeFailed(std::string_view source, image::UpdateFault fault,
                       std::string_view reason) override;
  Result<void> BeginUpgrade(std::string_view source, uint64_t announced, Instant now) override;
  Result<void> MayUpgrade() const override;

  // --- Keys, golden, what a reset keeps (maintenance_trust.cc) ---
  Result<uint64_t> TakeKeyList(std::span<const uint8_t> list, std::span<uint8_t> scratch) override;
  image::TrustPolicy PolicyNow();
  void WarnOfRefused(const image::TrustPolicy& policy, std::span<uint8_t> scratch);
  Result<void> ChooseGolden(std::string_view by);
  bool NextKey(uint64_t line, ByteWriter& out);

  Result<void> ForgetSlot(uint32_t slot) override;
  Result<void> OfferTrial(uint32_t slot, uint64_t security_version) override;
  void OnSnapshotTaken(char slot, uint32_t rows) override;
  void OnSnapshotRestored(char slot, uint32_t rows) override;
  void OnSnapshotFailed(char slot, std::string_view reason) override;

  upgrade::Health CheckHealth();
  bool CheckStorage();
  void ConfirmRunning(std::string_view by);
  void GiveUpRunning();
  uint32_t TargetSlot() const;
  void ReadVersion(uint32_t slot);
  void SetVersion(uint32_t slot, const image::Manifest& manifest);

  Result<void> ConfirmByOperator(std::string_view by);
  Result<void> RevertByOperator(std::string_view by);
  Result<void> ChooseSlot(std::string_view value, std::string_view by);
  Result<void> Acknowledge();
  bool NextUpgrade(uint64_t& cursor, ByteWriter& out);
  bool NextConnecting(uint64_t& cursor, ByteWriter& out);
  bool NextBoot(uint64_t& cursor, ByteWriter& out);
  bool NextSlot(uint32_t slot, uint64_t field, ByteWriter& out);
  void AddBootCommands(admin::CommandTable& commands);
  void AddUpgradeCommands(admin::CommandTable& commands);
  // `value`: URL, and the server's fingerprint unless the setting has it.
  Result<void> Fetch(std::string_view value, ByteWriter& out);

  Appliance::Rooms& rooms_;
  upgrade::BootRecord* record_ = nullptr;
  upgrade::Snapshots* snapshots_ = nullptr;
  upgrade::KeptNetwork* kept_ = nullptr;  // null: no boot state
  upgrade::Upgrade* upgrade_ = nullptr;
  upgrade::ConsoleSource* console_ = nullptr;
  upgrade::HttpsSource* https_ = nullptr;  // null until the network is built
  upgrade::Trial trial_;
  std::array<image::TrustedKey, hal::kTrustedKeyMax> keys_ = {};
  uint32_t key_count_ = 0;
  image::KeyRing ring_;         // the key list in force
  std::span<uint8_t> scratch_;  // a slot's header and manifest
  std::array<FixedString<100>, image::kBootSlotCount + 1> versions_;  // a, b, golden
  std::array<FixedString<65>, image::kBootSlotCount + 1> builds_;
  bool storage_checked_ = false;
  bool storage_good_ = false;
};

}  // namespace gh
