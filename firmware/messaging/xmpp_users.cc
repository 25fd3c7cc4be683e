#include "firmware/messaging/xmpp_users.h"

#include <algorithm>

#include "firmware/messaging/xmpp_contacts.h"
#include "hal/rt/secret.h"

namespace gh {

void XmppUsers::AddTo(admin::CommandTable& commands) {
  admin::Command read = {"XMPP User Import",
                         "Makes XMPP users by the file in /backup, lines of <User ID>,<User "
                         "Domain>,<Password>, or a SCRAM-SHA-256 verifier (RFC 5803) in its place"};
  read.context = this;
  read.administrator_only = true;
  read.run = [](void* self, std::string_view by, ByteWriter&) {
    return static_cast<XmppUsers*>(self)->Start(by);
  };
  read.next = [](void* self, uint64_t&, ByteWriter& out) {
    return static_cast<XmppUsers*>(self)->Next(out);
  };
  read.pending = [](void* self, uint64_t) { return !static_cast<XmppUsers*>(self)->is_over_; };
  commands.Add(read);
  admin::Command write = {"XMPP User Export",
                          "Writes XMPP users to a file in /backup, without passwords"};
  write.context = this;
  write.administrator_only = write.slow = true;
  write.value_help = "all, or a domain";
  write.run_value = [](void* self, std::string_view by, std::string_view value, ByteWriter& out) {
    return static_cast<XmppUsers*>(self)->Export(by, value, out);
  };
  commands.Add(write);
}

Result<void> XmppUsers::Start(std::string_view by) {
  if (!parts_.folder.has_file()) {
    return Error{ErrorCode::kWrongState,
                 "there is no file in /backup: bring one by sftp or scp, or xCommand File Paste"};
  }
  by_.Assign(by);
  is_over_ = false;
  at_ = report_size_ = 0;
  line_ = done_ = ignored_ = 0;
  return Ok();
}

bool XmppUsers::Next(ByteWriter& out) {
  if (is_over_) {
    return false;
  }
  const std::string_view file = AsText(parts_.folder.file());
  at_ = std::min(at_, file.size());  // it may have been replaced
  std::string_view rest = file.substr(at_);
  const std::string_view line = xmpp::TakeLine(rest);
  ++line_;
  if (!line.empty()) {
    xmpp::UserLine read;
    const xmpp::ContactFault fault = xmpp::ReadUserLine(line, read);
    Note(fault == xmpp::ContactFault::kNone ? parts_.xmpp.engine().ImportUser(read) : fault);
    SecureZero({reinterpret_cast<uint8_t*>(&read.secret), sizeof(read.secret)});
  }
  at_ = file.size() - rest.size();
  if (!rest.empty()) {
    return false;  // asked again: it is pending
  }
  Finish(out);
  is_over_ = true;
  return true;
}

// The first lines that are ignored are named.
void XmppUsers::Note(xmpp::ContactFault fault) {
  if (fault == xmpp::ContactFault::kNone) {
    ++done_;
    return;
  }
  ++ignored_;
  ByteWriter out{std::span(report_).subspan(report_size_)};
  out.Text("line ");
  out.Decimal(line_);
  out.Text(": ");
  out.Text(xmpp::ToText(fault));
  out.Text("\r\n");
  report_size_ += out.ok() ? out.size() : 0;
}

// The file with its passwords gives way to the report.
void XmppUsers::Finish(ByteWriter& out) {
  BackupFolder& folder = parts_.folder;
  folder.Clear();
  ByteWriter file(folder.memory());
  file.Bytes(std::span(report_).first(std::min(report_size_, file.room())));
  folder.Set("users-import.log", file.size(), parts_.clock.Wall().unix_seconds());
  parts_.xmpp.FlushRows();
  parts_.log.Emit(log::event::XmppContactsChanged{
      .by = by_.view(), .job = "import of users", .done = done_, .ignored = ignored_});
  out.Decimal(done_);
  out.Text(" users imported, ");
  out.Decimal(ignored_);
  out.Text(" lines ignored; see /backup/users-import.log");
}

Result<void> XmppUsers::Export(std::string_view by, std::string_view value, ByteWriter& out) {
  xmpp::Directory& directory = parts_.xmpp.engine().directory();
  BackupFolder& folder = parts_.folder;
  folder.Clear();
  ByteWriter file(folder.memory());
  uint64_t users = 0;
  for (uint32_t i = 0; i < directory.capacity(); ++i) {
    const xmpp::Account* account = directory.At(i);
    const std::string_view name = account != nullptr ? account->name.view() : std::string_view();
    if (account != nullptr && (value == "all" || value == name.substr(name.find('@') + 1))) {
      xmpp::WriteUserLine(name, file);
      ++users;
    }
  }
  if (users == 0 || !file.ok()) {
    folder.Clear();
    return users == 0 ? Error{ErrorCode::kNotFound, "there is no user of such a domain"}
                      : Error{ErrorCode::kTooLarge, "they do not fit in /backup: export by domain"};
  }
  const int64_t now = parts_.clock.Wall().unix_seconds();
  const FixedString<64> name = ListName("users", now);
  folder.Set(name.view(), file.size(), now);
  parts_.log.Emit(log::event::XmppContactsChanged{
      .by = by, .job = "export of users", .done = users, .ignored = 0});
  out.Decimal(users);
  out.Text(" users are in /backup/");
  out.Text(name.view());
  out.Text(", until the next start.");
  return Ok();
}

}  // namespace gh
