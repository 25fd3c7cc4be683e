// What administrators fetch and bring as files, and the commands around it: backup and restore,
// export and import of the configuration, images for the other slot, events and crash records.
//
// One file at a time waits in /backup, in memory: a backup that was made, or what was brought or
// pasted to be restored or imported. It is gone with the next start.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/admin/backup_file.h"
#include "firmware/admin/file_service.h"
#include "firmware/admin/terminal.h"
#include "firmware/appliance.h"
#include "firmware/log_files.h"
#include "firmware/operator/backup_folder.h"
#include "firmware/upgrade/push_source.h"

namespace gh {

class Crashes;

// /upgrade: an image goes straight into the slot that does not run; it is never read back.
class UpgradeFolder final : public admin::FileProvider {
 public:
  UpgradeFolder(upgrade::Upgrade& upgrade, upgrade::Intake& intake) : source_(upgrade, intake) {}
  bool takes_files() const override { return true; }
  bool List(uint32_t, admin::FileInfo&) override { return false; }
  Result<void> OpenWrite(std::string_view name, uint64_t announced, Instant now) override;
  Result<size_t> Write(std::span<const uint8_t> bytes, Instant now) override;
  Result<void> FinishWrite(Instant now) override;
  void AbortWrite(const char* why, Instant now) override;

 private:
  upgrade::PushSource source_;
};

// /crashes: a text for each crash record.
class CrashFolder final : public admin::FileProvider {
 public:
  explicit CrashFolder(Crashes& crashes) : crashes_(crashes) {}
  bool List(uint32_t index, admin::FileInfo& out) override;
  Result<void> OpenRead(std::string_view name, admin::FileReading& reading) override;
  Result<size_t> Read(std::string_view name, admin::FileReading& reading,
                      std::span<uint8_t> out) override;

 private:
  Crashes& crashes_;
};

// "xCommand File Paste": lines from the terminal into /backup until a line with a dot alone.
class PasteGuest final : public admin::TerminalGuest {
 public:
  explicit PasteGuest(BackupFolder& folder) : folder_(folder) {}
  void Enter(Instant now) override;
  bool Serve(admin::Terminal& terminal, Instant now) override;
  void Leave(ByteWriter& out) override;

 private:
  bool TakeByte(uint8_t byte);

  BackupFolder& folder_;
  size_t size_ = 0;
  size_t line_start_ = 0;
  bool too_long_ = false;
  bool cancelled_ = false;
  bool done_ = false;
  bool after_return_ = false;
};

class Folders {
 public:
  explicit Folders(Appliance::Rooms& rooms);
  Folders(const Folders&) = delete;
  Folders& operator=(const Folders&) = delete;

  // Bytes that the waiting file may take.
  static uint64_t MemoryFor(uint32_t users);
  admin::FileService& service() { return service_; }
  BackupFolder& backup() { return backup_; }
  const LogBundle& bundle() const { return bundle_; }
  // Once a second: the events are counted as they come, so that opening them is quick.
  void Watch() { (void)events_.Advance(kEventsPerSecond); }

 private:
  static constexpr uint32_t kEventsPerSecond = 1000;

  void AddCommands();
  Result<void> MakeBackup(std::string_view by, std::string_view password, ByteWriter& out);
  Result<void> RestoreBackup(std::string_view by, std::string_view password, ByteWriter& out);
  Result<void> Import(std::string_view by, ByteWriter& out);
  Result<std::span<const uint8_t>> Unarmoured();
  bool NextArmouredLine(uint64_t& cursor, ByteWriter& out) const;
  bool NextExportedLine(uint64_t& cursor, ByteWriter& out) const;

  Appliance::Rooms& rooms_;
  admin::FileService service_;
  admin::BackupCodec codec_;
  UpgradeFolder upgrade_;
  BackupFolder backup_;
  EventText events_;
  LogBundle bundle_;
  LogFolder logs_;
  CrashFolder crashes_;
  PasteGuest paste_;
  FixedString<240> said_;  // what the last command found, for its error
};

}  // namespace gh
