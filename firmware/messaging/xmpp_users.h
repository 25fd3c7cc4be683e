// XMPP's users as a file in /backup: import with passwords or what another server kept of them, in
// slices of one line, for a password takes tens of milliseconds; export without either.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "firmware/admin/commands.h"
#include "firmware/messaging/xmpp_contacts.h"
#include "firmware/xmpp/contact_lists.h"

namespace gh {

class XmppUsers {
 public:
  explicit XmppUsers(const XmppListParts& parts) : parts_(parts) {}
  void AddTo(admin::CommandTable& commands);

 private:
  static constexpr size_t kReportBytes = 16 * 1024;

  Result<void> Start(std::string_view by);
  bool Next(ByteWriter& out);
  void Note(xmpp::ContactFault fault);
  void Finish(ByteWriter& out);
  Result<void> Export(std::string_view by, std::string_view value, ByteWriter& out);

  XmppListParts parts_;
  std::array<uint8_t, kReportBytes> report_ = {};
  size_t report_size_ = 0;
  FixedString<80> by_;
  bool is_over_ = true;
  size_t at_ = 0;  // in the file
  uint64_t line_ = 0;
  uint64_t done_ = 0;
  uint64_t ignored_ = 0;
};

}  // namespace gh
