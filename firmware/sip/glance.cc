#include "firmware/sip/glance.h"

#include <algorithm>
#include <cstring>

#include "firmware/sip/limits.h"
#include "firmware/sip/text.h"

namespace gh::sip {
namespace {

bool BeginsSomething(Method method) {
  switch (method) {
    case Method::kInvite:
    case Method::kRegister:
    case Method::kOptions:
    case Method::kMessage:
    case Method::kSubscribe:
    case Method::kPublish:
      return true;
    default:
      return false;
  }
}

// "INVITE sip:user@host SIP/2.0"
bool ReadStartLine(std::string_view line, Glance& out) {
  const size_t space = line.find(' ');
  if (space == std::string_view::npos || !line.ends_with(" SIP/2.0")) {
    return false;
  }
  out.method = MethodOf(line.substr(0, space));
  const std::string_view uri = line.substr(space + 1);
  const size_t scheme = uri.find(':');
  if (!BeginsSomething(out.method) || scheme == std::string_view::npos ||
      (!EqualsNoCase(uri.substr(0, scheme), "sip") &&
       !EqualsNoCase(uri.substr(0, scheme), "sips"))) {
    return false;
  }
  const std::string_view rest = uri.substr(scheme + 1);
  const size_t at = rest.find('@');
  const std::string_view user_info = at == std::string_view::npos ? "" : rest.substr(0, at);
  out.user = user_info.substr(0, user_info.find(':'));
  return out.user.find('%') == std::string_view::npos;
}

// The value, when `line` is a field of that name.
bool IsField(std::string_view line, std::string_view name, std::string_view& value) {
  if (line.size() <= name.size() || !EqualsNoCase(line.substr(0, name.size()), name)) {
    return false;
  }
  std::string_view rest = line.substr(name.size());
  while (!rest.empty() && (rest.front() == ' ' || rest.front() == '\t')) {
    rest.remove_prefix(1);
  }
  if (rest.empty() || rest.front() != ':') {
    return false;
  }
  value = rest.substr(1);
  return true;
}

bool HasParam(std::string_view value, std::string_view name) {
  for (size_t at = value.find(';'); at != std::string_view::npos; at = value.find(';', at + 1)) {
    const std::string_view param = TrimLws(value.substr(at + 1));
    if (param.size() >= name.size() && EqualsNoCase(param.substr(0, name.size()), name) &&
        (param.size() == name.size() || !Is(param[name.size()], kToken))) {
      return true;
    }
  }
  return false;
}

// False: the request belongs to something that exists.
bool ReadField(std::string_view line, Glance& out, bool& saw_via) {
  std::string_view value;
  switch (Lower(line.front())) {
    case 'r':
      return !IsField(line, "Route", value);
    case 't':
      return (!IsField(line, "To", value) && !IsField(line, "t", value)) || !HasParam(value, "tag");
    case 'a':
      out.answers_challenge = out.answers_challenge || IsField(line, "Authorization", value);
      return true;
    case 'p':
      out.answers_challenge = out.answers_challenge || IsField(line, "Proxy-Authorization", value);
      return true;
    case 'v':
      if (!saw_via && (IsField(line, "Via", value) || IsField(line, "v", value))) {
        saw_via = true;
        out.holds_back = HasParam(value.substr(0, value.find(',')), "oc");
      }
      return true;
    default:
      return true;
  }
}

}  // namespace

std::optional<Glance> GlanceAtNew(std::span<const uint8_t> data) {
  const std::string_view text(reinterpret_cast<const char*>(data.data()),
                              std::min(data.size(), kGlanceBytesMax));
  Glance out;
  bool saw_via = false;
  for (size_t at = 0; at < text.size();) {
    const void* found = std::memchr(text.data() + at, '\n', text.size() - at);
    if (found == nullptr) {
      return std::nullopt;
    }
    const auto end = static_cast<size_t>(static_cast<const char*>(found) - text.data());
    std::string_view line = text.substr(at, end - at);
    if (!line.empty() && line.back() == '\r') {
      line.remove_suffix(1);
    }
    if (line.empty()) {
      return at == 0 ? std::nullopt : std::optional(out);
    }
    const bool is_folded = line.front() == ' ' || line.front() == '\t';
    if (is_folded || (at == 0 ? !ReadStartLine(line, out) : !ReadField(line, out, saw_via))) {
      return std::nullopt;
    }
    at = end + 1;
  }
  return std::nullopt;
}

}  // namespace gh::sip
