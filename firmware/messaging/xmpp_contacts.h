// Jobs on the contact lists of XMPP's users: import, export and renames, from and to the file that
// waits in /backup. One job at a time, in slices; what came of it is a file in /backup as well.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/admin/commands.h"
#include "firmware/log/log.h"
#include "firmware/messaging/federation_service.h"
#include "firmware/messaging/xmpp_service.h"
#include "firmware/operator/backup_folder.h"
#include "firmware/xmpp/contact_lists.h"
#include "hal/rt/fixed_string.h"

namespace gh {

// The name of an exported list in /backup: "users-2026-11-22T101500Z.csv".
FixedString<64> ListName(std::string_view kind, int64_t now_s);

struct XmppListParts {
  Arena& arena;
  hal::Clock& clock;
  XmppService& xmpp;
  FederationService& federation;
  BackupFolder& folder;
  log::Log& log;
};

class XmppContacts {
 public:
  explicit XmppContacts(const XmppListParts& parts);
  static constexpr uint32_t kReportBytes = 64 * 1024;
  void AddTo(admin::CommandTable& commands);

 private:
  enum class Job : uint8_t { kNone, kImport, kRename, kEmails };
  template <Job kJob>
  void AddJob(admin::CommandTable& commands, const char* path, const char* help);
  Result<void> Start(Job job, std::string_view by);
  bool Next(uint64_t& cursor, ByteWriter& out);
  void Slice();
  xmpp::ContactFault Do(std::string_view line);
  void Note(xmpp::ContactFault fault);
  void Finish(ByteWriter& out);
  Result<void> Export(std::string_view by, std::string_view value, ByteWriter& out);

  XmppListParts parts_;
  std::span<uint8_t> report_;
  size_t report_size_ = 0;
  Job job_ = Job::kNone;
  bool is_over_ = true;
  FixedString<80> by_;
  size_t at_ = 0;  // in the file
  uint64_t line_ = 0;
  uint64_t done_ = 0;
  uint32_t noted_ = 0;
  std::array<uint64_t, xmpp::kContactFaultCount> faults_ = {};
  int64_t began_s_ = 0;
};

}  // namespace gh
