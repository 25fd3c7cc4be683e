// Files of XMPP's users in the appliance: where they lie, under which key, the operator's view.
#include <algorithm>

#include "firmware/admin/status_text.h"
#include "firmware/log/limits.h"
#include "firmware/messaging/xmpp_service.h"
#include "firmware/store/transaction.h"

namespace gh {
namespace {

constexpr std::string_view kKeyRow = "xmpp files";

// The last part of the log partition, without the record for compliance (xmpp_compliance.cc).
files::SealedFiles::Part PartOf(hal::BlockDevice* disk) {
  if (disk == nullptr) {
    return {};
  }
  const uint64_t bytes = disk->block_count() * disk->block_size();
  const uint64_t begin = log::EventBytesOf(bytes);
  return {disk, begin, std::max(begin, bytes - XmppService::ComplianceBytesOf(bytes))};
}

class KeyReader final : public store::EntryVisitor {
 public:
  void OnEntry(std::string_view key, std::span<const uint8_t> value) override {
    if (key == kKeyRow && value.size() == bytes.size()) {
      std::ranges::copy(value, bytes.Expose().begin());
      is_there = true;
    }
  }
  SecretBytes<files::SealedFiles::kKeyBytes> bytes;
  bool is_there = false;
};

}  // namespace

// An eighth of a partition that is shared.
uint64_t XmppService::ComplianceBytesOf(uint64_t partition) {
  return partition < log::kFilesPartitionMin ? 0 : partition / 8;
}

void XmppService::BuildFiles() {
  files_ = parts_.arena.New<files::SealedFiles>(parts_.arena, parts_.loop.timers(), parts_.random,
                                                PartOf(parts_.disk));
  uploads_ = parts_.arena.New<xmpp::Uploads>(*files_, parts_.random, *this);
  engine_->SetUploads(uploads_);
  BuildCompliance();
}

// The key of files is a row of the store, so that a reset of the store is the end of them all.
// Without a store, or with one that is closed for now, there are none: they would be lost under
// another key.
bool XmppService::ReadFilesKey(SecretBytes<files::SealedFiles::kKeyBytes>& out) {
  KeyReader key;
  if (!parts_.store.status().persistent ||
      !parts_.store.ForEachIn(store::Table::kNotes, "", UINT32_MAX, key).ok()) {
    return false;
  }
  if (!key.is_there) {
    parts_.random.Fill(key.bytes.Expose());
    const auto kept = store::InTransaction(parts_.store, [&] {
      return parts_.store.PutIn(store::Table::kNotes, kKeyRow, key.bytes.Expose());
    });
    if (!kept.ok()) {
      return false;  // asked again a second later
    }
  }
  out.TakeFrom(key.bytes);
  return true;
}

void XmppService::OpenFiles() {
  SecretBytes<files::SealedFiles::kKeyBytes> key;
  if (files_->has_room() && !files_asked_ && ReadFilesKey(key)) {
    files_asked_ = true;
    files_->Open(key.Expose());
  }
}

void XmppService::ApplyUploads() {
  const config::Settings& settings = parts_.configuration.active();
  const config::XmppUpload& from = settings.xmpp_upload();
  xmpp::UploadConfig out;
  out.enabled = engine_->config().enabled && from.mode == config::OnOff::kOn &&
                settings.xmpp().web_mode == config::OnOff::kOn;
  out.host.Assign(from.host.view());
  out.port = static_cast<uint16_t>(from.port != 0 ? from.port : settings.xmpp().web_port);
  out.size_max = static_cast<uint64_t>(from.size_kib) << 10;
  out.user_max = static_cast<uint64_t>(from.user_kib) << 10;
  out.total_max = static_cast<uint64_t>(from.total_kib) << 10;
  out.keep_s = int64_t{from.hours} * 3600;
  uploads_->Apply(out);
}

// Once a second; what is over goes once a minute.
void XmppService::WatchFiles(bool is_minute) {
  const bool is_wanted = engine_->config().enabled &&
                         parts_.configuration.active().xmpp_upload().mode == config::OnOff::kOn;
  const char* fault = files_->fault();
  if (uploads_->config().enabled) {
    OpenFiles();
  }
  parts_.alarms.Set(log::AlarmId::kXmppFiles,
                    is_wanted && (!uploads_->config().enabled || !files_asked_ || fault[0] != '\0'),
                    fault);
  if (fault != files_fault_ && fault[0] != '\0') {
    parts_.log.Emit(log::event::XmppFilesFailed{.reason = fault});
  }
  files_fault_ = fault;
  WatchCompliance();
  if (is_minute) {
    uploads_->Expire(UnixSeconds());
  }
}

void XmppService::OnFileKept(std::string_view user, uint64_t bytes, std::string_view client) {
  parts_.log.Emit(log::event::XmppFileKept{.user = user, .bytes = bytes, .client = client});
}

void XmppService::OnFileRefused(std::string_view user, const char* reason) {
  parts_.log.Emit(log::event::XmppFileRefused{.user = user, .reason = reason});
}

// --- The operator --------------------------------------------------------------------------------

void XmppService::AddFilesTo(admin::StatusTree& status, admin::CommandTable& commands) {
  status.AddMember<&XmppService::NextUploadStatus>("XMPP Upload", "Files users left for others",
                                                   this);
  AddComplianceTo(status, commands);
  admin::Command purge;
  purge.path = "XMPP Upload Purge";
  purge.help = "Removes the files that a user left for others, or all";
  purge.value_help = "user@domain, or all";
  purge.question = "The files will be lost.";
  AddCommand<&XmppService::PurgeUploads>(commands, purge);
}

// Whose files there are and how large; what they are called is their owner's alone.
bool XmppService::NextUploadStatus(uint64_t& cursor, ByteWriter& out) {
  if (cursor == 0) {
    ++cursor;
    const xmpp::UploadCounters& counters = uploads_->counters();
    out.Text("XMPP Upload:");
    Tell(out, "mode", uploads_->is_on() ? "on" : "off");
    Tell(out, "files", files_->file_count());
    Tell(out, "bytes", files_->bytes_used());
    Tell(out, "bytes_max", files_->bytes_capacity());
    Tell(out, "slots", counters.slots);
    Tell(out, "kept", counters.kept);
    Tell(out, "fetched", counters.fetched);
    Tell(out, "refused", counters.refused);
    Tell(out, "expired", files_->counters().expired);
    Tell(out, "faults", files_->counters().faults);
    return true;
  }
  for (; cursor <= files_->capacity(); ++cursor) {
    const files::File* file = files_->At(static_cast<uint32_t>(cursor - 1));
    if (file == nullptr || file->state == files::FileState::kLeaving) {
      continue;
    }
    out.Text("XMPP Upload ");
    out.Decimal(cursor);
    out.Text(": ");
    out.Text(file->head.owner.view());
    Tell(out, "bytes", file->head.size);
    Tell(out, "state", file->state == files::FileState::kWhole ? "kept" : "awaited");
    Tell(out, "seconds_left",
         static_cast<uint64_t>(std::max<int64_t>(file->head.ends_s - UnixSeconds(), 0)));
    ++cursor;
    return true;
  }
  return false;
}

Result<void> XmppService::PurgeUploads(std::string_view by, std::string_view value,
                                       ByteWriter& out) {
  FixedString<xmpp::kBareMax> owner;
  if (value != "all") {
    GH_TRY_ASSIGN(const xmpp::Address user, UserOf(value));
    owner.Assign(user.full());
  }
  const uint32_t count = uploads_->Purge(owner.view());
  parts_.log.Emit(log::event::XmppFilesRemoved{
      .by = by,
      .count = count,
      .user = owner.empty() ? std::string_view("all users") : owner.view()});
  out.Decimal(count);
  out.Text(count == 1 ? " file removed." : " files removed.");
  return Ok();
}

}  // namespace gh
