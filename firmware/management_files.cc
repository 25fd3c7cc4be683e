// Folders of administrators and the commands around them. See management_files.h.
#include "firmware/management_files.h"

#include <algorithm>
#include <charconv>

#include "firmware/config/tree.h"
#include "firmware/config/value.h"
#include "firmware/operator/backup_content.h"
#include "firmware/operator/crashes.h"
#include "firmware/rooms.h"
#include "hal/rt/base64.h"

namespace gh {
namespace {

using namespace gh::log::event;
using admin::FileInfo;
using admin::FileReading;

constexpr std::string_view kBackupName = "gatehouse-backup.ghb";
constexpr std::string_view kPastedName = "pasted";
constexpr std::string_view kArmourBegin = "-----BEGIN GATEHOUSE BACKUP-----";
constexpr std::string_view kArmourEnd = "-----END GATEHOUSE BACKUP-----";
constexpr size_t kArmourLineBytes = 48;
constexpr uint64_t kBytesPerUser = 320;  // a user's two rows, in a chunk or as text
// Settings, and as many certificates, keys and lists as the key store takes, as base64.
constexpr uint64_t kFileBytesMin = 2304 * 1024;
constexpr uint64_t kBundleBytes = 1024 * 1024;

constexpr Error kGone = {ErrorCode::kWrongState, "the file was replaced while it was read"};

// The first line that is refused, for the operator.
class FirstFault final : public config::LineReporter {
 public:
  explicit FirstFault(FixedString<240>& said) : said_(said) { said_.Clear(); }
  void OnLine(uint32_t number, bool accepted, std::string_view message) override {
    if (accepted || !said_.empty()) {
      return;
    }
    uint8_t bytes[240];
    ByteWriter out(bytes);
    out.Text("nothing was changed; line ");
    out.Decimal(number);
    out.Text(": ");
    out.Text(message.substr(0, 190));
    said_.Assign(out.text());
  }

 private:
  FixedString<240>& said_;
};

}  // namespace

// --- /upgrade -----------------------------------------------------------------------------------

Result<void> UpgradeFolder::OpenWrite(std::string_view, uint64_t announced, Instant now) {
  return source_.Open("ssh", announced, now);
}

Result<size_t> UpgradeFolder::Write(std::span<const uint8_t> bytes, Instant now) {
  return source_.Write(bytes, now);
}

Result<void> UpgradeFolder::FinishWrite(Instant now) {
  if (source_.is_open() && source_.Close(now) == upgrade::PushSource::End::kPending) {
    return Error{ErrorCode::kWouldBlock, ""};
  }
  return source_.outcome();
}

void UpgradeFolder::AbortWrite(const char* why, Instant now) { source_.Abort(why, now); }

// --- /crashes -----------------------------------------------------------------------------------

bool CrashFolder::List(uint32_t index, FileInfo& out) {
  uint64_t number = 0;
  const std::string_view text = crashes_.TextAt(index, number);
  if (text.empty()) {
    return false;
  }
  uint8_t bytes[40];
  ByteWriter name(bytes);
  name.Text("crash-");
  name.Decimal(number);
  name.Text(".txt");
  out = {};
  out.name.Assign(name.text());
  out.size = text.size();
  return true;
}

// notes: the record's index, its number.
Result<void> CrashFolder::OpenRead(std::string_view name, FileReading& reading) {
  FileInfo info;
  for (uint32_t i = 0; List(i, info); ++i) {
    if (info.name == name) {
      reading.notes[0] = i;
      reading.size = crashes_.TextAt(i, reading.notes[1]).size();
      return Ok();
    }
  }
  return kGone;
}

Result<size_t> CrashFolder::Read(std::string_view, FileReading& reading, std::span<uint8_t> out) {
  uint64_t number = 0;
  const std::string_view text = crashes_.TextAt(static_cast<uint32_t>(reading.notes[0]), number);
  if (number != reading.notes[1] || text.size() != reading.size) {
    return kGone;
  }
  const std::string_view rest = text.substr(reading.offset);
  const size_t count = std::min(rest.size(), out.size());
  std::copy_n(rest.begin(), count, out.begin());
  return count;
}

// --- Paste --------------------------------------------------------------------------------------

void PasteGuest::Enter(Instant) {
  folder_.Clear();
  size_ = line_start_ = 0;
  too_long_ = cancelled_ = done_ = after_return_ = false;
}

// True while it goes on.
bool PasteGuest::TakeByte(uint8_t byte) {
  const bool second = byte == '\n' && after_return_;
  after_return_ = byte == '\r';
  if (second) {
    return true;
  }
  if (byte == 3 || byte == 4) {
    cancelled_ = byte == 3;
    return false;
  }
  const auto memory = folder_.memory();
  if (byte == '\r' || byte == '\n') {
    if (size_ == line_start_ + 1 && memory[line_start_] == '.') {
      size_ = line_start_;
      return false;
    }
    byte = '\n';
  }
  if (size_ == memory.size()) {
    too_long_ = true;
    return true;  // to the end all the same, so that the rest is not taken for commands
  }
  memory[size_++] = byte;
  line_start_ = byte == '\n' ? size_ : line_start_;
  return true;
}

bool PasteGuest::Serve(admin::Terminal& terminal, Instant) {
  std::array<uint8_t, 256> bytes;
  for (;;) {
    const uint32_t count = terminal.Read(std::span(bytes).first(1));
    if (count == 0) {
      return !terminal.at_end();
    }
    if (!TakeByte(bytes[0])) {
      done_ = true;
      return false;
    }
  }
}

void PasteGuest::Leave(ByteWriter& out) {
  if (cancelled_ || too_long_ || size_ == 0) {
    folder_.Clear();
    out.Text(too_long_ ? "It is larger than a backup of this system can be: nothing was kept."
                       : "Nothing was kept.");
    return;
  }
  folder_.Set(kPastedName, size_, 0);
  out.Decimal(size_);
  out.Text(" bytes are kept as /backup/pasted.");
}

// --- Commands -----------------------------------------------------------------------------------

uint64_t Folders::MemoryFor(uint32_t users) { return kFileBytesMin + users * kBytesPerUser; }

Folders::Folders(Appliance::Rooms& rooms)
    : rooms_(rooms),
      service_(rooms.log, rooms.machine.clock),
      codec_(*rooms.hasher, rooms.random),
      upgrade_(rooms.maintenance.upgrade(), rooms.maintenance.intake()),
      backup_(rooms.machine.arena.NewArray<uint8_t>(MemoryFor(rooms.capacity.users))),
      events_(rooms.event_log, rooms.log),
      bundle_(rooms, events_, rooms.machine.arena.NewArray<uint8_t>(kBundleBytes)),
      logs_(events_, bundle_),
      crashes_(*rooms.crashes),
      paste_(backup_) {
  service_.Add("upgrade", upgrade_);
  service_.Add("backup", backup_);
  service_.Add("logs", logs_);
  service_.Add("crashes", crashes_);
  bundle_.AddTo(rooms.commands);
  AddCommands();
}

Result<void> Folders::MakeBackup(std::string_view by, std::string_view password, ByteWriter& out) {
  backup_.Clear();
  BackupContent content(rooms_.configuration->active(), *rooms_.store);
  uint32_t rows = 0;
  const WallTime wall = rooms_.machine.clock.Wall();
  const int64_t now_s = wall.is_set ? wall.unix_seconds() : 0;
  GH_TRY_ASSIGN(const size_t size, codec_.Write(password, now_s, content, backup_.memory(), rows));
  backup_.Set(kBackupName, size, now_s);
  rooms_.log.Emit(BackupMade{.settings = content.settings(), .by = by, .rows = content.rows()});
  out.Decimal(content.settings());
  out.Text(" settings and ");
  out.Decimal(content.rows());
  out.Text(" rows of keys, certificates and trust are in /backup/");
  out.Text(kBackupName);
  out.Text(", ");
  out.Decimal(size);
  out.Text(" bytes, until the next start.\nFetch it by sftp or scp, or see xCommand Backup Show.");
  return Ok();
}

// The waiting file; armoured text becomes bytes in place (they are fewer).
Result<std::span<const uint8_t>> Folders::Unarmoured() {
  if (!backup_.has_file()) {
    return Error{ErrorCode::kWrongState,
                 "there is no file in /backup: bring one by sftp or scp, or xCommand File Paste"};
  }
  std::string_view text = AsText(backup_.file());
  const size_t begin = text.find(kArmourBegin);
  if (begin == text.npos) {
    return backup_.file();
  }
  text.remove_prefix(begin + kArmourBegin.size());
  const size_t end = text.find(kArmourEnd);
  if (end == text.npos) {
    return Error{ErrorCode::kTruncated, "the backup is cut short: its last line is missing"};
  }
  text = text.substr(0, end);
  size_t size = 0;
  while (!text.empty()) {
    const size_t line_end = std::min(text.find('\n'), text.size());
    const std::string_view line = config::Trim(text.substr(0, line_end));
    text.remove_prefix(std::min(line_end + 1, text.size()));
    uint8_t bytes[kArmourLineBytes];
    ByteWriter decoded(bytes);
    if (!ReadBase64(line, decoded)) {
      backup_.Clear();  // half of it is overwritten
      return Error{ErrorCode::kCorrupt, "the backup is damaged: a line is not base64"};
    }
    std::copy_n(bytes, decoded.size(), backup_.memory().begin() + static_cast<ptrdiff_t>(size));
    size += decoded.size();
  }
  backup_.Set(kPastedName, size, 0);
  return backup_.file();
}

Result<void> Folders::RestoreBackup(std::string_view by, std::string_view password,
                                    ByteWriter& out) {
  GH_TRY_ASSIGN(const std::span<const uint8_t> file, Unarmoured());
  if (rooms_.certificates->is_busy()) {
    return Error{ErrorCode::kWrongState, "a certificate request is being made; try again then"};
  }
  config::Configuration& configuration = *rooms_.configuration;
  configuration.Begin();
  configuration.StageDefaults();
  BackupStaging staging(configuration);
  const auto info = codec_.Read(password, file, staging);
  if (!info.ok()) {
    configuration.Abort();
    return info.error();
  }
  // Keys and certificates are written with the settings, or neither is.
  BackupRowsFromFile rows(codec_, password, file, *rooms_.store);
  const bool has_rows = staging.rows() > 0 && rooms_.store->status().persistent;
  config::Message note;
  if (const auto done = configuration.Commit(note, has_rows ? &rows : nullptr); !done.ok()) {
    said_.Assign(note.view());
    return Error{done.code(), said_.c_str()};
  }
  backup_.Clear();
  rooms_.log.Emit(BackupRestored{.settings = staging.settings(), .by = by, .rows = staging.rows()});
  out.Decimal(staging.settings());
  out.Text(" settings");
  if (has_rows) {
    out.Text(" and ");
    out.Decimal(staging.rows());
    out.Text(" rows of keys, certificates and trust");
    rooms_.certificates->Load();
  }
  out.Text(" are in force");
  if (staging.unknown() > 0) {
    out.Text("; ");
    out.Decimal(staging.unknown());
    out.Text(" that this version or machine does not have were left out");
  }
  if (staging.rows() > 0 && !has_rows) {
    out.Text("; keys and certificates were left out: this machine has no store for them");
  }
  out.Text(configuration.restart_needed() ? ".\nSome need a restart (xCommand Restart)." : ".");
  if (!note.empty()) {
    out.Char('\n');
    out.Text(note.view());
  }
  return Ok();
}

Result<void> Folders::Import(std::string_view by, ByteWriter& out) {
  if (!backup_.has_file()) {
    return Error{ErrorCode::kWrongState,
                 "there is no file in /backup: bring one by sftp or scp, or xCommand File Paste"};
  }
  FirstFault fault(said_);
  config::Message note;
  const auto report = rooms_.configuration->Import(AsText(backup_.file()), fault, note);
  if (!report.ok() || !report->committed) {
    if (said_.empty()) {
      said_.Assign("nothing was changed: ");
      said_.Append(note.view());
    }
    return Error{ErrorCode::kInvalidArgument, said_.c_str()};
  }
  backup_.Clear();  // it may hold passwords
  rooms_.log.Emit(ConfigurationImported{.lines = report->line_count, .by = by});
  out.Decimal(report->line_count);
  out.Text(" lines are in force.");
  if (!note.empty()) {
    out.Char('\n');
    out.Text(note.view());
  }
  return Ok();
}

bool Folders::NextArmouredLine(uint64_t& cursor, ByteWriter& out) const {
  const auto file = backup_.file();
  const uint64_t lines = (file.size() + kArmourLineBytes - 1) / kArmourLineBytes;
  if (cursor > lines + 1) {
    return false;
  }
  const uint64_t at = cursor++;
  if (at == 0 || at == lines + 1) {
    out.Text(at == 0 ? kArmourBegin : kArmourEnd);
    return true;
  }
  const auto rest = file.subspan((at - 1) * kArmourLineBytes);
  WriteBase64(rest.first(std::min(rest.size(), kArmourLineBytes)), out);
  return true;
}

// Every setting that is not at its default, as a line that goes back in. Passwords are shown as
// they are kept where that form can be put in, else as asterisks, which leave what is set.
bool Folders::NextExportedLine(uint64_t& cursor, ByteWriter& out) const {
  const auto& settings = rooms_.configuration->active();
  SettingWalk walk(settings);
  walk.SetPosition({static_cast<uint32_t>(cursor & 0xffff), static_cast<uint32_t>(cursor >> 16)});
  config::Selector here;
  if (!walk.Next(here)) {
    cursor = config::kSettingCount;
    return false;
  }
  cursor = walk.position().setting | uint64_t{walk.position().instance} << 16;
  const config::SettingInfo& info = config::InfoOf(here);
  uint8_t bytes[256];
  ByteWriter value(bytes);
  if (info.kind == config::Kind::kAdminPassword) {
    config::EncodeStored(info, settings.Field(here), value);
  } else {
    config::FormatValue(info, settings.Field(here), value);
  }
  out.Text("xConfiguration ");
  config::FormatPath(here, out);
  out.Text(": ");
  config::WriteQuoted(out, value.text());
  return true;
}

void Folders::AddCommands() {
  admin::CommandTable& commands = rooms_.commands;
  const auto nothing = [](void*, std::string_view, ByteWriter&) -> Result<void> { return Ok(); };
  commands.Add(
      {.path = "Backup Create",
       .help = "Makes an encrypted backup of settings, keys, certificates and trust in /backup",
       .context = this,
       .value_help = "a password of at least 8 characters",
       .run_value =
           [](void* context, std::string_view by, std::string_view password, ByteWriter& out) {
             return static_cast<Folders*>(context)->MakeBackup(by, password, out);
           },
       .administrator_only = true,
       .secret_value = true,
       .slow = true});
  commands.Add(
      {.path = "Backup Restore",
       .help = "Puts the backup in /backup in force, in place of all settings and keys",
       .question = "Replace ALL settings, keys and trust by those of the backup?",
       .context = this,
       .value_help = "the backup's password",
       .run_value =
           [](void* context, std::string_view by, std::string_view password, ByteWriter& out) {
             return static_cast<Folders*>(context)->RestoreBackup(by, password, out);
           },
       .administrator_only = true,
       .secret_value = true,
       .slow = true});
  commands.Add({.path = "Backup Show",
                .help = "Shows the backup in /backup as text to be copied",
                .run = [](void* context, std::string_view, ByteWriter&) -> Result<void> {
                  if (!static_cast<Folders*>(context)->backup_.has_file()) {
                    return Error{ErrorCode::kWrongState, "there is no file in /backup"};
                  }
                  return Ok();
                },
                .context = this,
                .next =
                    [](void* context, uint64_t& cursor, ByteWriter& out) {
                      return static_cast<Folders*>(context)->NextArmouredLine(cursor, out);
                    },
                .administrator_only = true});
  commands.Add({.path = "File Paste",
                .help = "Takes lines into /backup until a line with a dot alone; Ctrl-C gives up",
                .run = [](void*, std::string_view, ByteWriter& out) -> Result<void> {
                  out.Text("Paste; end with a line with a dot alone.");
                  return Ok();
                },
                .context = this,
                .guest = &paste_,
                .administrator_only = true});
  commands.Add(
      {.path = "Configuration Import",
       .help = "Puts the xConfiguration lines in /backup in force, all or none",
       .question = "Change the settings as the file in /backup says?",
       .run = [](void* context, std::string_view by,
                 ByteWriter& out) { return static_cast<Folders*>(context)->Import(by, out); },
       .context = this,
       .administrator_only = true,
       .slow = true});
  commands.Add({.path = "Configuration Export",
                .help = "Shows all settings that are not at their default, as lines to put in",
                .run = nothing,
                .context = this,
                .next =
                    [](void* context, uint64_t& cursor, ByteWriter& out) {
                      return static_cast<Folders*>(context)->NextExportedLine(cursor, out);
                    },
                .administrator_only = true});
}

}  // namespace gh
