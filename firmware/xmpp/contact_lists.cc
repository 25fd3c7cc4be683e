#include "firmware/xmpp/contact_lists.h"

#include <algorithm>
#include <array>

#include "hal/rt/ascii.h"
#include "hal/rt/utf8.h"

namespace gh::xmpp {
namespace {

constexpr uint32_t kFieldMax = 6;
using Field = FixedString<384>;

struct Fields {
  std::array<Field, kFieldMax> at;
  uint32_t count = 0;
};

// False: more fields than there are, one that is too long, or quotation marks out of place.
bool Split(std::string_view line, Fields& out) {
  if (line.size() > kListLineMax || !IsUtf8(line)) {
    return false;
  }
  for (;;) {
    if (out.count == out.at.size()) {
      return false;
    }
    Field& field = out.at[out.count++];
    line = TrimBlanks(line);
    const bool is_quoted = line.starts_with('"');
    size_t at = is_quoted ? 1 : 0;
    for (; at < line.size(); ++at) {
      if (is_quoted && line[at] == '"') {
        if (!line.substr(at + 1).starts_with('"')) {
          break;
        }
        ++at;
      } else if (!is_quoted && (line[at] == ',' || line[at] == '"')) {
        break;
      }
      if (static_cast<uint8_t>(line[at]) < ' ' || !field.Append(line[at])) {
        return false;
      }
    }
    if (is_quoted) {
      if (at == line.size()) {
        return false;
      }
      ++at;
    } else {
      field = Field(TrimBlanks(Field(field).view()));
    }
    line = TrimBlanks(line.substr(at));
    if (line.empty()) {
      return true;
    }
    if (line.front() != ',') {
      return false;
    }
    line.remove_prefix(1);
    if (TrimBlanks(line).empty()) {  // an empty last field
      return out.count++ < out.at.size();
    }
  }
}

// Labels of letters, digits and hyphens; the last of letters alone.
bool IsDomain(std::string_view text) {
  if (text.empty() || text.size() > kListDomainMax) {
    return false;
  }
  std::string_view label;
  for (std::string_view rest = text; !rest.empty() || !text.empty();) {
    const size_t dot = std::min(rest.find('.'), rest.size());
    label = rest.substr(0, dot);
    const bool is_label = !label.empty() && label.size() <= 63 && label.front() != '-' &&
                          label.back() != '-' && std::ranges::all_of(label, [](char c) {
                            const char low = AsciiLower(c);
                            return (low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') || c == '-';
                          });
    if (!is_label) {
      return false;
    }
    if (dot == rest.size()) {
      break;
    }
    rest.remove_prefix(dot + 1);
  }
  return label.size() >= 2 && std::ranges::all_of(label, [](char c) {
           const char low = AsciiLower(c);
           return low >= 'a' && low <= 'z';
         });
}

// A user's: looser, for it has to be one of ours anyway.
bool IsUserDomain(std::string_view text) {
  return !text.empty() && text.size() <= kListDomainMax && std::ranges::all_of(text, [](char c) {
    const char low = AsciiLower(c);
    return (low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           static_cast<uint8_t>(c) >= 0x80;
  });
}

// XEP-0106.
struct Escape {
  char c;
  std::string_view text;
};
constexpr Escape kEscapes[] = {{' ', "\\20"}, {'"', "\\22"}, {'&', "\\26"}, {'\'', "\\27"},
                               {'/', "\\2f"}, {':', "\\3a"}, {'<', "\\3c"}, {'>', "\\3e"},
                               {'@', "\\40"}, {'\\', "\\5c"}};

bool AppendId(std::string_view id, FixedString<384>& out) {
  for (size_t i = 0; i < id.size(); ++i) {
    const auto* escape = std::ranges::find(kEscapes, id[i], &Escape::c);
    // A backslash is escaped where it would look like an escape.
    const bool looks_so = std::ranges::any_of(
        kEscapes, [&](const Escape& each) { return id.substr(i, 3) == each.text; });
    if (escape == std::end(kEscapes) || (id[i] == '\\' && !looks_so)) {
      out.Append(id[i]);
    } else {
      out.Append(escape->text);
    }
  }
  return !out.truncated();
}

void UnescapeId(std::string_view local, FixedString<384>& out) {
  while (!local.empty()) {
    const auto* escape = std::ranges::find(kEscapes, local.substr(0, 3), &Escape::text);
    const bool is_escape = escape != std::end(kEscapes);
    out.Append(is_escape ? escape->c : local.front());
    local.remove_prefix(is_escape ? 3 : 1);
  }
}

bool IsId(std::string_view id) { return !id.empty() && id.size() <= kListIdMax; }

bool WriteAddress(std::string_view id, std::string_view domain, FixedString<384>& out) {
  return AppendId(id, out) && out.Append('@') && out.Append(domain);
}

void WriteCell(std::string_view text, ByteWriter& out) {
  if (text.find_first_of(",\"") == std::string_view::npos && TrimBlanks(text) == text) {
    out.Text(text);
    return;
  }
  out.Char('"');
  for (const char c : text) {
    out.Text(c == '"' ? "\"\"" : std::string_view(&c, 1));
  }
  out.Char('"');
}

void WriteAddressCells(std::string_view address, ByteWriter& out) {
  const size_t at = std::min(address.rfind('@'), address.size());
  FixedString<384> id;
  UnescapeId(address.substr(0, at), id);
  WriteCell(id.view(), out);
  out.Char(',');
  WriteCell(address.substr(std::min(at + 1, address.size())), out);
}

}  // namespace

const char* ToText(ContactFault fault) {
  constexpr const char* kTexts[] = {"imported",
                                    "Invalid format",
                                    "Invalid accessed domain",
                                    "Cannot add self as a contact",
                                    "User's contact list is over limit",
                                    "User is not assigned to local node",
                                    "Internal server error",
                                    "Password is missing or too long",
                                    "Password hash cannot be used",
                                    "User exists already"};
  static_assert(std::size(kTexts) == kContactFaultCount);
  return kTexts[static_cast<uint8_t>(fault)];
}

ContactFault ReadContactLine(std::string_view line, ContactLine& out) {
  Fields fields;
  if (!Split(line, fields) || fields.count != 6) {
    return ContactFault::kFormat;
  }
  const auto& at = fields.at;
  if (!IsId(at[0].view()) || !IsUserDomain(at[1].view()) || !IsId(at[2].view()) || at[5].empty() ||
      at[4].size() > kListNameMax || at[5].size() > kListNameMax) {
    return ContactFault::kFormat;
  }
  if (!IsDomain(at[3].view())) {
    return ContactFault::kDomain;
  }
  out = {};
  out.nickname.Assign(at[4].view());
  out.group.Assign(at[5].view());
  return WriteAddress(at[0].view(), at[1].view(), out.user) &&
                 WriteAddress(at[2].view(), at[3].view(), out.contact)
             ? ContactFault::kNone
             : ContactFault::kFormat;
}

void WriteContactLine(std::string_view user, std::string_view contact, std::string_view nickname,
                      std::string_view group, ByteWriter& out) {
  WriteAddressCells(user, out);
  out.Char(',');
  WriteAddressCells(contact, out);
  out.Char(',');
  WriteCell(nickname, out);
  out.Char(',');
  WriteCell(group.empty() ? kListGroup : group, out);
  out.Text("\r\n");
}

// An id is split at its last "@": what is before may hold others.
ContactFault ReadRenameLine(std::string_view line, RenameLine& out) {
  Fields fields;
  if (!Split(line, fields) || fields.count != 2) {
    return ContactFault::kFormat;
  }
  out = {};
  for (uint32_t i = 0; i < 2; ++i) {
    const std::string_view whole = fields.at[i].view();
    const size_t at = whole.rfind('@');
    if (at == std::string_view::npos || !IsId(whole.substr(0, at))) {
      return ContactFault::kFormat;
    }
    if (!IsDomain(whole.substr(at + 1))) {
      return ContactFault::kDomain;
    }
    if (!WriteAddress(whole.substr(0, at), whole.substr(at + 1), i == 0 ? out.before : out.after)) {
      return ContactFault::kFormat;
    }
  }
  return ContactFault::kNone;
}

ContactFault ReadUserLine(std::string_view line, UserLine& out) {
  Fields fields;
  if (!Split(line, fields) || fields.count < 2 || fields.count > 3 || !IsId(fields.at[0].view()) ||
      !IsUserDomain(fields.at[1].view())) {
    return ContactFault::kFormat;
  }
  out = {};
  out.secret.Assign(fields.at[2].view());
  return WriteAddress(fields.at[0].view(), fields.at[1].view(), out.user) ? ContactFault::kNone
                                                                          : ContactFault::kFormat;
}

void WriteUserLine(std::string_view user, ByteWriter& out) {
  WriteAddressCells(user, out);
  out.Text("\r\n");
}

std::string_view TakeLine(std::string_view& file) {
  const size_t end = std::min(file.find('\n'), file.size());
  std::string_view line = file.substr(0, end);
  file.remove_prefix(std::min(end + 1, file.size()));
  if (line.ends_with('\r')) {
    line.remove_suffix(1);
  }
  return line;
}

}  // namespace gh::xmpp
