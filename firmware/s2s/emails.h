// E-mail addresses as federated addresses: other servers know our users by them, in all that is
// said to them and by them. Works on stanzas' trees; addresses of users who have none stay.
//
// What may hold an address: the attributes that RFC 6120, rooms (XEP-0045), publishing (XEP-0060),
// archives (XEP-0313) and delays (XEP-0203) have for it, and values of forms (XEP-0004).
#pragma once

#include <span>
#include <string_view>

#include "firmware/xmpp/directory.h"
#include "firmware/xmpp/xml.h"

namespace gh::s2s {

class EmailNames {
 public:
  EmailNames(Arena& arena, xmpp::Directory& directory)
      : directory_(directory), texts_(arena.NewArray<char>(kTextMax)) {}
  static constexpr uint64_t ArenaBytes() { return kTextMax; }

  // False: more addresses than there is room for. What they change holds until the next call.
  bool NameOut(xmpp::Node& stanza) { return Rename(stanza, true); }
  bool NameIn(xmpp::Node& stanza) { return Rename(stanza, false); }

 private:
  static constexpr uint32_t kTextMax = 64 * 1024;
  bool Rename(xmpp::Node& root, bool out);
  bool RenameNode(xmpp::Node& node, bool out);
  bool Map(std::string_view& address, bool out);

  xmpp::Directory& directory_;
  std::span<char> texts_;
  size_t used_ = 0;
};

}  // namespace gh::s2s
