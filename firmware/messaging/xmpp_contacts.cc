#include "firmware/messaging/xmpp_contacts.h"

#include <algorithm>

#include "firmware/xmpp/stamp.h"

namespace gh {
namespace {

using xmpp::ContactFault;

constexpr uint32_t kLinesPerSlice = 100;
constexpr uint32_t kNotedMax = 1000;  // ignored lines that are named
constexpr size_t kSummaryBytes = 1024;

struct JobText {
  const char* done;    // what was done with `done` of them
  const char* job;     // for the log
  const char* report;  // the file
};
constexpr JobText kJobTexts[] = {
    {"", "", ""},
    {"contacts imported", "import of contacts", "contacts-import.log"},
    {"contacts renamed", "renaming of contacts", "contacts-rename.log"},
    {"e-mail addresses set", "import of e-mail addresses", "emails-import.log"}};

}  // namespace

// Without the colons of the time, which some file systems do not take.
FixedString<64> ListName(std::string_view kind, int64_t now_s) {
  FixedString<64> name(kind);
  name.Append("-");
  uint8_t bytes[40];
  ByteWriter stamp(bytes);
  xmpp::WriteStamp(now_s, stamp);
  for (const char c : stamp.text()) {
    if (c != ':') {
      name.Append(c);
    }
  }
  name.Append(".csv");
  return name;
}

XmppContacts::XmppContacts(const XmppListParts& parts)
    : parts_(parts), report_(parts.arena.NewArray<uint8_t>(kReportBytes)) {}

template <XmppContacts::Job kJob>
void XmppContacts::AddJob(admin::CommandTable& commands, const char* path, const char* help) {
  admin::Command command = {.path = path, .help = help};
  command.context = this;
  command.administrator_only = true;
  command.run = [](void* self, std::string_view by, ByteWriter&) {
    return static_cast<XmppContacts*>(self)->Start(kJob, by);
  };
  command.next = [](void* self, uint64_t& cursor, ByteWriter& out) {
    return static_cast<XmppContacts*>(self)->Next(cursor, out);
  };
  command.pending = [](void* self, uint64_t) {
    return !static_cast<XmppContacts*>(self)->is_over_;
  };
  commands.Add(command);
}

void XmppContacts::AddTo(admin::CommandTable& commands) {
  AddJob<Job::kImport>(commands, "XMPP Contacts Import",
                       "Adds contacts from the file in /backup, lines of <User ID>,<User Domain>,"
                       "<Contact ID>,<Contact Domain>,<Nickname>,<Group Name>");
  AddJob<Job::kRename>(commands, "XMPP Contacts Rename",
                       "Renames contacts in all lists by the file in /backup, lines of "
                       "<Contact ID>,<New Contact ID>, each user@domain");
  AddJob<Job::kEmails>(commands, "XMPP Emails Import",
                       "Gives users e-mail addresses by the file in /backup, lines of "
                       "<user@domain>,<e-mail address>");
  admin::Command write = {"XMPP Contacts Export",
                          "Writes contact lists to a file in /backup, as Import takes them"};
  write.context = this;
  write.administrator_only = write.slow = true;
  write.value_help = "all, a domain, or user@domain";
  write.run_value = [](void* self, std::string_view by, std::string_view value, ByteWriter& out) {
    return static_cast<XmppContacts*>(self)->Export(by, value, out);
  };
  commands.Add(write);
}

// A job that its session left goes on with whoever starts it again: from the file's beginning.
Result<void> XmppContacts::Start(Job job, std::string_view by) {
  if (!parts_.folder.has_file()) {
    return Error{ErrorCode::kWrongState,
                 "there is no file in /backup: bring one by sftp or scp, or xCommand File Paste"};
  }
  job_ = job;
  is_over_ = false;
  by_.Assign(by);
  at_ = report_size_ = 0;
  line_ = done_ = 0;
  noted_ = 0;
  faults_ = {};
  began_s_ = parts_.clock.Wall().unix_seconds();
  return Ok();
}

bool XmppContacts::Next(uint64_t& cursor, ByteWriter& out) {
  if (is_over_) {
    return false;
  }
  (void)cursor;
  Slice();
  if (at_ < parts_.folder.file().size()) {
    return false;  // asked again: it is pending
  }
  Finish(out);
  is_over_ = true;
  return true;
}

void XmppContacts::Slice() {
  std::string_view file = AsText(parts_.folder.file());
  at_ = std::min(at_, file.size());  // it may have been replaced
  std::string_view rest = file.substr(at_);
  for (uint32_t i = 0; i < kLinesPerSlice && !rest.empty(); ++i) {
    const std::string_view line = xmpp::TakeLine(rest);
    ++line_;
    const bool is_header = line_ == 1 && job_ == Job::kRename && line.starts_with("Contact ID");
    if (!line.empty() && !is_header) {
      Note(Do(line));
    }
  }
  at_ = file.size() - rest.size();
}

ContactFault XmppContacts::Do(std::string_view line) {
  xmpp::Engine& engine = parts_.xmpp.engine();
  if (job_ == Job::kImport) {
    xmpp::ContactLine read;
    const ContactFault fault = xmpp::ReadContactLine(line, read);
    return fault == ContactFault::kNone ? engine.ImportContact(read) : fault;
  }
  xmpp::RenameLine read;
  const ContactFault fault = xmpp::ReadRenameLine(line, read);
  if (fault != ContactFault::kNone) {
    return fault;
  }
  if (job_ == Job::kRename) {
    done_ += engine.RenameContact(read);
    return fault;
  }
  const auto set = parts_.federation.SetEmail(read.before.view(), read.after.view());
  return set.ok()                             ? ContactFault::kNone
         : set.code() == ErrorCode::kNotFound ? ContactFault::kNotOurs
                                              : ContactFault::kFormat;
}

void XmppContacts::Note(ContactFault fault) {
  ++faults_[static_cast<uint8_t>(fault)];
  if (fault == ContactFault::kNone || noted_ == kNotedMax) {
    return;
  }
  ByteWriter out(report_.subspan(report_size_, report_.size() - report_size_ - kSummaryBytes));
  out.Text("line ");
  out.Decimal(line_);
  out.Text(": ");
  out.Text(xmpp::ToText(fault));
  out.Text("\r\n");
  if (out.ok()) {
    ++noted_;
    report_size_ += out.size();
  }
}

// The report: which lines were ignored, when it was done, and in sum, each reason at the end.
void XmppContacts::Finish(ByteWriter& out) {
  uint64_t ignored = 0;
  for (size_t i = 1; i < faults_.size(); ++i) {
    ignored += faults_[i];
  }
  const uint64_t done = job_ == Job::kRename ? done_ : faults_[0];
  const JobText& texts = kJobTexts[static_cast<uint8_t>(job_)];
  ByteWriter sum(report_.subspan(report_size_));
  sum.Text("started ");
  xmpp::WriteStamp(began_s_, sum);
  sum.Text(", ended ");
  xmpp::WriteStamp(parts_.clock.Wall().unix_seconds(), sum);
  sum.Text("\r\n");
  sum.Text(texts.done);
  sum.Text(": ");
  sum.Decimal(done);
  sum.Text("\r\nlines ignored: ");
  sum.Decimal(ignored);
  sum.Text("\r\n");
  for (size_t i = 1; i < faults_.size(); ++i) {
    if (faults_[i] != 0) {
      sum.Text(xmpp::ToText(static_cast<ContactFault>(i)));
      sum.Text(": ");
      sum.Decimal(faults_[i]);
      sum.Text("\r\n");
    }
  }
  GH_ASSERT(sum.ok());
  report_size_ += sum.size();
  BackupFolder& folder = parts_.folder;
  folder.Clear();
  const auto memory = folder.memory();
  const size_t size = std::min(report_size_, memory.size());
  std::copy_n(report_.begin(), size, memory.begin());
  folder.Set(texts.report, size, began_s_);
  parts_.xmpp.FlushRows();
  parts_.log.Emit(log::event::XmppContactsChanged{
      .by = by_.view(), .job = texts.job, .done = done, .ignored = ignored});
  out.Decimal(done);
  out.Char(' ');
  out.Text(texts.done);
  out.Text(", ");
  out.Decimal(ignored);
  out.Text(" lines ignored; see /backup/");
  out.Text(texts.report);
}

Result<void> XmppContacts::Export(std::string_view by, std::string_view value, ByteWriter& out) {
  xmpp::Engine& engine = parts_.xmpp.engine();
  BackupFolder& folder = parts_.folder;
  folder.Clear();
  ByteWriter file(folder.memory());
  uint64_t users = 0;
  for (uint32_t i = 0; i < engine.directory().capacity(); ++i) {
    xmpp::Account* account = engine.directory().At(i);
    const std::string_view name = account != nullptr ? account->name.view() : std::string_view();
    if (account == nullptr ||
        (value != "all" && value != name && value != name.substr(name.find('@') + 1))) {
      continue;
    }
    ++users;
    for (const xmpp::Contact& contact : account->contacts) {
      engine.ExportContact(*account, contact, file);
    }
  }
  if (users == 0) {
    return Error{ErrorCode::kNotFound, "there is no such user, nor one of such a domain"};
  }
  if (!file.ok()) {
    folder.Clear();
    return Error{ErrorCode::kTooLarge, "the lists do not fit in /backup: export by domain or user"};
  }
  const int64_t now = parts_.clock.Wall().unix_seconds();
  const FixedString<64> name = ListName("contacts", now);
  folder.Set(name.view(), file.size(), now);
  parts_.log.Emit(log::event::XmppContactsChanged{
      .by = by, .job = "export of contacts", .done = users, .ignored = 0});
  out.Text("The lists of ");
  out.Decimal(users);
  out.Text(" users are in /backup/");
  out.Text(name.view());
  out.Text(", until the next start.");
  return Ok();
}

}  // namespace gh
