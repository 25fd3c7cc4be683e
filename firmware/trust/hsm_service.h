// The HSM in the appliance: settings in; keys for certificates, commands, status, events and alarms
// out. See firmware/hsm/README.md for operators.
#pragma once

#include <array>
#include <string_view>

#include "firmware/admin/commands.h"
#include "firmware/admin/status.h"
#include "firmware/admin/terminal.h"
#include "firmware/alarm/alarms.h"
#include "firmware/config/configuration.h"
#include "firmware/hsm/network_link.h"
#include "firmware/hsm/service.h"
#include "firmware/hsm/store_key.h"
#include "firmware/hsm/tpm_store_key.h"
#include "firmware/log/log.h"
#include "firmware/store/sqlite_store.h"
#include "firmware/store/store.h"
#include "hal/machine.h"

namespace gh {

struct HsmParts {
  Arena& arena;
  EventLoop& loop;
  crypto::Random& random;
  log::Log& log;
  alarm::Alarms& alarms;
  config::Configuration& configuration;
  store::Store& store;
  crypto::PasswordHasher& hasher;
  store::SqliteStore* sealed_store = nullptr;  // null: the store is not sealed
  bool is_store_key_away = false;              // the HSM did not open it at the start
  hal::TokenLink* token = nullptr;             // of the machine
  hal::Tpm* tpm = nullptr;                     // of the machine
  crypto::pkcs11::Provider* module = nullptr;  // that the board has loaded
};

class HsmService final : public hsm::Observer, public admin::TerminalGuest, public Pollable {
 public:
  explicit HsmService(const HsmParts& parts);

  hsm::Keys& keys() { return engine_; }
  hsm::Service& engine() { return engine_; }
  // Where modules with Transport Network are reached: TLS with both certificates.
  void SetStreams(net::StreamService& streams) { streams_ = &streams; }
  void Apply();
  void UpdateAlarms();
  bool is_store_wrapped() const;
  void AddTo(admin::StatusTree& status, admin::CommandTable& commands);

  void OnModuleUp(const hsm::Module& module) override;
  void OnModuleDown(const hsm::Module& module, const Error& why) override;
  void OnActive(const hsm::Module* module) override;
  bool Poll(Instant now) override;

  void Enter(Instant) override {}
  bool Serve(admin::Terminal&, Instant) override { return is_busy_; }
  void Leave(ByteWriter& out) override;

 private:
  Result<void> Change(std::span<const std::string_view> lines);
  Result<void> SetMode(std::string_view value, ByteWriter& out);
  Result<void> AddModule(std::string_view value, ByteWriter& out);
  Result<void> DeleteModule(std::string_view value, ByteWriter& out);
  Result<void> StartKey(hsm::Chore::Kind kind, std::string_view value, std::string_view by);
  void FinishChore();
  void FinishWrap();
  Result<void> StartWrap(std::string_view password, std::string_view by);
  Result<void> UnwrapStore(std::string_view by);
  Result<void> RecoverStore(std::string_view password, std::string_view by, ByteWriter& out);
  Result<void> RewrapByTpm();
  const char* StoreWrapper() const;
  Result<void> WrapByTpm(std::string_view password, std::string_view by, ByteWriter& out);
  Result<void> UnwrapFromTpm(std::string_view by);
  void AddTpmCommands(admin::CommandTable& commands);
  void AddStoreCommands(admin::CommandTable& commands);
  Result<void> Keep(const hsm::KeyRecord& record);
  void LoadKeys();
  void AddKeyCommands(admin::CommandTable& commands);
  bool NextStatus(uint64_t& cursor, ByteWriter& out);
  bool NextModule(uint64_t& cursor, ByteWriter& out);
  bool NextKey(uint64_t& cursor, ByteWriter& out);
  void TellKey(const hsm::HsmKey& key, ByteWriter& out) const;

  HsmParts parts_;
  hsm::Service engine_;
  net::StreamService* streams_ = nullptr;
  std::span<hsm::NetworkLink> network_;
  hsm::Chore chore_;
  bool is_busy_ = false;
  FixedString<32> chore_by_;
  hsm::StoreEnvelope envelope_;
  SecretBytes<crypto::kAeadKeySize> recovery_key_;
  FixedString<160> said_;
  config::Message refused_;
};

}  // namespace gh
