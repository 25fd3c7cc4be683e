// Contact lists and users as files: lines of fields with commas between, as they are exported and
// imported in bulk. Pure.
//
//   <User ID>,<User Domain>,<Contact ID>,<Contact Domain>,<Nickname>,<Group Name>
//   <Contact ID>,<New Contact ID>                          (renames; both are user@domain)
//   <User ID>,<User Domain>,<Password>                     (users; exported without the last)
//
// In place of a password stands what a server keeps of one, as RFC 5803 has it:
// SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>. Such a user has no SCRAM-SHA-1.
//
// A field with a comma or a quotation mark stands between quotation marks, which are doubled inside
// (RFC 4180). Ids may hold what an address may not; it is escaped there as XEP-0106 has it.
#pragma once

#include <cstdint>
#include <string_view>

#include "hal/rt/bytes.h"
#include "hal/rt/fixed_string.h"

namespace gh::xmpp {

inline constexpr uint32_t kListIdMax = 132;
inline constexpr uint32_t kListDomainMax = 128;
inline constexpr uint32_t kListNameMax = 255;
inline constexpr uint32_t kListLineMax = 1200;
inline constexpr std::string_view kListGroup = "General";  // of contacts in none

// Why a line is ignored.
enum class ContactFault : uint8_t {
  kNone,
  kFormat,     // no such line, or a field that must be there is empty or too long
  kDomain,     // the contact's domain is none
  kSelf,       // a user as his own contact
  kOverLimit,  // the user's list is full
  kNotOurs,    // the user is not one of this node
  kInternal,   // it could not be kept
  kPassword,   // of a user: none, or too long
  kHash,       // it is named as a hash and is none that can be kept
  kIsThere,    // the user is there already
};
inline constexpr uint32_t kContactFaultCount = 10;
const char* ToText(ContactFault fault);

struct ContactLine {
  FixedString<384> user;  // addresses
  FixedString<384> contact;
  FixedString<kListNameMax> nickname;
  FixedString<kListNameMax> group;
};
ContactFault ReadContactLine(std::string_view line, ContactLine& out);
void WriteContactLine(std::string_view user, std::string_view contact, std::string_view nickname,
                      std::string_view group, ByteWriter& out);

struct RenameLine {
  FixedString<384> before;
  FixedString<384> after;
};
ContactFault ReadRenameLine(std::string_view line, RenameLine& out);

struct UserLine {
  FixedString<384> user;
  FixedString<384> secret;
};
ContactFault ReadUserLine(std::string_view line, UserLine& out);
void WriteUserLine(std::string_view user, ByteWriter& out);

// The next line of a file, without its end, and the file without it.
std::string_view TakeLine(std::string_view& file);

}  // namespace gh::xmpp
