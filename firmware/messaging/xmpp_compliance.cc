#include "firmware/messaging/xmpp_compliance.h"

#include <algorithm>

#include "firmware/admin/status_text.h"
#include "firmware/log/limits.h"
#include "firmware/messaging/xmpp_service.h"
#include "firmware/xmpp/stamp.h"

namespace gh {
namespace {

constexpr std::string_view kFileName = "messages.txt";
constexpr size_t kPieceMax = 512;

}  // namespace

// One line: new lines inside it are written as XML's references.
bool XmppCompliance::Record(std::span<const uint8_t> stanza) {
  if (!enabled_) {
    return true;
  }
  const auto extra = static_cast<size_t>(
      std::ranges::count_if(stanza, [](uint8_t byte) { return byte == '\n' || byte == '\r'; }));
  // All or nothing: the room is looked at once, for the longest it may become.
  if (!stream_.is_open() || stanza.size() + 4 * extra + 64 > stream_.room()) {
    ++missed_;
    return !required_;
  }
  uint8_t bytes[kPieceMax];
  ByteWriter piece(bytes);
  xmpp::WriteStamp(clock_.Wall().unix_seconds(), piece);
  piece.Char(' ');
  for (const uint8_t byte : stanza) {
    if (piece.size() + 8 > kPieceMax) {
      (void)stream_.Append(piece.written());
      piece = ByteWriter(bytes);
    }
    if (byte == '\n' || byte == '\r') {
      piece.Text(byte == '\n' ? "&#10;" : "&#13;");
    } else {
      piece.U8(byte);
    }
  }
  piece.Char('\n');
  (void)stream_.Append(piece.written());
  ++recorded_;
  return true;
}

bool XmppCompliance::List(uint32_t index, admin::FileInfo& out) {
  if (index > 0 || stream_.end() == 0) {
    return false;
  }
  out = {};
  out.name.Assign(kFileName);
  out.size = stream_.end() - stream_.begin();
  return true;
}

// notes: where it begins.
Result<void> XmppCompliance::OpenRead(std::string_view, admin::FileReading& reading) {
  reading.notes[0] = stream_.begin();
  reading.size = stream_.end() - reading.notes[0];
  return Ok();
}

Result<size_t> XmppCompliance::Read(std::string_view, admin::FileReading& reading,
                                    std::span<uint8_t> out) {
  const uint64_t left = reading.size - std::min(reading.offset, reading.size);
  return stream_.Read(reading.notes[0] + reading.offset,
                      out.first(std::min<uint64_t>(out.size(), left)));
}

// --- In the service ------------------------------------------------------------------------------

void XmppService::BuildCompliance() {
  const uint64_t bytes =
      parts_.disk != nullptr ? parts_.disk->block_count() * parts_.disk->block_size() : 0;
  const uint64_t share = ComplianceBytesOf(bytes);
  auto* stream =
      parts_.arena.New<files::SealedStream>(parts_.arena, parts_.loop.timers(), parts_.random,
                                            parts_.disk, bytes - share, share > 0 ? bytes : 0);
  compliance_ = parts_.arena.New<XmppCompliance>(*stream, parts_.clock);
}

admin::FileProvider& XmppService::compliance_folder() { return *compliance_; }

void XmppService::AddComplianceTo(admin::StatusTree& status, admin::CommandTable& commands) {
  status.AddMember<&XmppService::NextComplianceStatus>("XMPP Compliance", "The record of messages",
                                                       this);
  admin::Command purge;
  purge.path = "XMPP Compliance Purge";
  purge.help = "Removes the record of messages";
  purge.question = "The record of messages will be lost.";
  purge.administrator_only = purge.slow = true;
  purge.context = this;
  purge.run = [](void* self, std::string_view by, ByteWriter& out) {
    return static_cast<XmppService*>(self)->PurgeCompliance(by, out);
  };
  commands.Add(purge);
}

Result<void> XmppService::PurgeCompliance(std::string_view by, ByteWriter& out) {
  GH_TRY(compliance_->stream().Erase());
  parts_.log.Emit(log::event::XmppCompliancePurged{.by = by});
  out.Text("The record is empty.");
  return Ok();
}

void XmppService::WatchCompliance() {
  const config::XmppCompliance& from = parts_.configuration.active().xmpp_compliance();
  const bool is_wanted = engine_->config().enabled && from.mode == config::OnOff::kOn;
  files::SealedStream& stream = compliance_->stream();
  SecretBytes<files::SealedFiles::kKeyBytes> key;
  if (is_wanted && stream.has_room() && !stream.is_open() && ReadFilesKey(key)) {
    stream.Open(key.Expose());
  }
  compliance_->Apply(is_wanted, from.required == config::OnOff::kOn);
  engine_->SetRecorder(is_wanted ? compliance_ : nullptr);
  const char* fault = is_wanted && !stream.is_open() ? "there is no room for it" : stream.fault();
  parts_.alarms.Set(log::AlarmId::kXmppCompliance, is_wanted && fault[0] != '\0', fault);
  if (is_wanted && fault[0] != '\0' && fault != compliance_fault_) {
    parts_.log.Emit(log::event::XmppComplianceFailed{.reason = fault});
  }
  compliance_fault_ = fault;
}

bool XmppService::NextComplianceStatus(uint64_t& cursor, ByteWriter& out) {
  if (cursor++ > 0) {
    return false;
  }
  out.Text("XMPP Compliance:");
  Tell(out, "mode", compliance_->enabled() ? "on" : "off");
  Tell(out, "recorded", compliance_->recorded());
  Tell(out, "missed", compliance_->missed());
  Tell(out, "bytes", compliance_->stream().end() - compliance_->stream().begin());
  Tell(out, "bytes_max", compliance_->stream().bytes_capacity());
  return true;
}

}  // namespace gh
