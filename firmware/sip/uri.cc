#include "firmware/sip/uri.h"

#include "firmware/sip/limits.h"

namespace gh::sip {
namespace {

bool IsScheme(std::string_view text) {
  if (text.empty() || !Is(text[0], kAlpha)) {
    return false;
  }
  for (char c : text) {
    if (!Is(c, kAlpha | kDigit) && c != '+' && c != '-' && c != '.') {
      return false;
    }
  }
  return true;
}

Result<void> ParseParams(std::string_view params) {
  const std::string_view all = params;
  size_t count = 0;
  Param param;
  while (true) {
    const Next next = NextUriParam(params, param);
    if (next == Next::kEnd) {
      return Ok();
    }
    if (next == Next::kMalformed || !AllAreOrEscaped(param.name, kUriParamChar) ||
        !AllAreOrEscaped(param.value, kUriParamChar)) {
      return Error(ErrorCode::kMalformed, "URI parameter");
    }
    if (++count > kParamCountMax) {
      return Error(ErrorCode::kTooLarge, "URI parameters");
    }
    // RFC 3261 19.1.1: no name twice.
    const auto first = count == 1 ? std::nullopt : FindUriParam(all, param.name);
    if (first && first->name.data() != param.name.data()) {
      return Error(ErrorCode::kMalformed, "repeated URI parameter");
    }
  }
}

Result<void> ParseUriHeaders(std::string_view headers) {
  while (!headers.empty()) {
    const size_t end = headers.find('&');
    const std::string_view one = headers.substr(0, end);
    const size_t equals = one.find('=');
    if (equals == std::string_view::npos || equals == 0 ||
        !AllAreOrEscaped(one.substr(0, equals), kUriHeaderChar) ||
        !AllAreOrEscaped(one.substr(equals + 1), kUriHeaderChar)) {
      return Error(ErrorCode::kMalformed, "URI header");
    }
    if (end == std::string_view::npos) {
      return Ok();
    }
    headers = headers.substr(end + 1);
  }
  return Error(ErrorCode::kMalformed, "URI header");
}

Result<void> ParseHostPort(Uri& uri, std::string_view text) {
  std::string_view port;
  bool has_port = false;
  if (!text.empty() && text[0] == '[') {
    const size_t close = text.find(']');
    if (close == std::string_view::npos) {
      return Error(ErrorCode::kMalformed, "IPv6 reference");
    }
    uri.host = text.substr(1, close - 1);
    uri.host_is_ipv6 = true;
    const std::string_view after = text.substr(close + 1);
    has_port = !after.empty();
    if (has_port && after[0] != ':') {
      return Error(ErrorCode::kMalformed, "host");
    }
    port = has_port ? after.substr(1) : after;
  } else {
    const size_t colon = text.find(':');
    uri.host = text.substr(0, colon);
    has_port = colon != std::string_view::npos;
    port = has_port ? text.substr(colon + 1) : std::string_view();
  }
  uri.address = ParseHostAddress(uri.host);
  const bool good =
      uri.host_is_ipv6 ? uri.address.is_v6() : !uri.host.empty() && AllAre(uri.host, kHostChar);
  if (!good) {
    return Error(ErrorCode::kMalformed, "host");
  }
  if (has_port) {
    const auto number = ParseNumber(port, 65535);
    if (!number || *number == 0) {
      return Error(ErrorCode::kMalformed, "port");
    }
    uri.port = static_cast<uint16_t>(*number);
  }
  return Ok();
}

Result<void> ParseSip(Uri& uri, std::string_view rest) {
  // The user part may hold ";" and "?" (RFC 3261 25.1): the last '@' before the headers ends it.
  const size_t at = rest.find('@');
  if (at != std::string_view::npos) {
    std::string_view userinfo = rest.substr(0, at);
    uri.has_user = true;
    const size_t colon = userinfo.find(':');
    uri.user = userinfo.substr(0, colon);
    if (colon != std::string_view::npos) {
      uri.has_password = true;
      uri.password = userinfo.substr(colon + 1);
    }
    if (uri.user.empty() || !AllAreOrEscaped(uri.user, kUserChar) ||
        !AllAreOrEscaped(uri.password, kPasswordChar)) {
      return Error(ErrorCode::kMalformed, "user part");
    }
    rest = rest.substr(at + 1);
  }
  const size_t question = rest.find('?');
  if (question != std::string_view::npos) {
    uri.headers = rest.substr(question + 1);
    GH_TRY(ParseUriHeaders(uri.headers));
    rest = rest.substr(0, question);
  }
  const size_t semicolon = rest.find(';');
  if (semicolon != std::string_view::npos) {
    uri.params = rest.substr(semicolon + 1);
    if (uri.params.empty()) {
      return Error(ErrorCode::kMalformed, "URI parameter");
    }
    GH_TRY(ParseParams(uri.params));
    rest = rest.substr(0, semicolon);
  }
  return ParseHostPort(uri, rest);
}

Result<void> ParseTel(Uri& uri, std::string_view rest) {
  const size_t semicolon = rest.find(';');
  uri.user = rest.substr(0, semicolon);
  uri.has_user = true;
  if (semicolon != std::string_view::npos) {
    uri.params = rest.substr(semicolon + 1);
    GH_TRY(ParseParams(uri.params));
  }
  size_t digits = 0;
  for (size_t i = 0; i < uri.user.size(); ++i) {
    const char c = uri.user[i];
    const bool separator = c == '-' || c == '.' || c == '(' || c == ')';
    if (c == '+' ? i != 0 : !separator && !Is(c, kHexDigit) && c != '*' && c != '#') {
      return Error(ErrorCode::kMalformed, "telephone number");
    }
    digits += separator || c == '+' ? 0 : 1;
  }
  if (digits == 0) {
    return Error(ErrorCode::kMalformed, "telephone number");
  }
  return Ok();
}

// Parameters that must match when either URI has them (RFC 3261 19.1.4).
bool IsDecisiveParam(std::string_view name) {
  for (std::string_view known : {"user", "ttl", "method", "maddr", "transport"}) {
    if (EqualsUnescaped(name, known, true)) {
      return true;
    }
  }
  return false;
}

// Each parameter of `a` that is also in `b` matches; decisive ones are in both.
bool ParamsAgree(std::string_view a, std::string_view b) {
  Param param;
  while (NextUriParam(a, param) == Next::kItem) {
    const auto other = FindUriParam(b, param.name);
    if (!other) {
      if (IsDecisiveParam(param.name)) {
        return false;
      }
      continue;
    }
    if (!EqualsUnescaped(param.value, other->value, true)) {
      return false;
    }
  }
  return true;
}

size_t HeaderCount(std::string_view headers) {
  size_t count = headers.empty() ? 0 : 1;
  for (char c : headers) {
    count += c == '&' ? 1 : 0;
  }
  return count;
}

// Every header of `a` is in `b` with the same value.
bool HeadersAgree(std::string_view a, std::string_view b) {
  while (!a.empty()) {
    const size_t end = a.find('&');
    const std::string_view one = a.substr(0, end);
    a = end == std::string_view::npos ? std::string_view() : a.substr(end + 1);
    const size_t equals = one.find('=');
    bool found = false;
    for (std::string_view rest = b; !rest.empty() && !found;) {
      const size_t other_end = rest.find('&');
      const std::string_view other = rest.substr(0, other_end);
      rest = other_end == std::string_view::npos ? std::string_view() : rest.substr(other_end + 1);
      const size_t other_equals = other.find('=');
      found = equals != std::string_view::npos && other_equals != std::string_view::npos &&
              EqualsUnescaped(one.substr(0, equals), other.substr(0, other_equals), true) &&
              EqualsUnescaped(one.substr(equals + 1), other.substr(other_equals + 1), false);
    }
    if (!found) {
      return false;
    }
  }
  return true;
}

bool TelEquals(std::string_view a, std::string_view b) {
  auto next = [](std::string_view text, size_t& at) {
    while (at < text.size() &&
           (text[at] == '-' || text[at] == '.' || text[at] == '(' || text[at] == ')')) {
      ++at;
    }
    return at < text.size() ? Lower(text[at++]) : '\0';
  };
  size_t at_a = 0;
  size_t at_b = 0;
  while (true) {
    const char left = next(a, at_a);
    const char right = next(b, at_b);
    if (left != right) {
      return false;
    }
    if (left == '\0') {
      return true;
    }
  }
}

}  // namespace

net::IpAddress ParseHostAddress(std::string_view host) {
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  if (host.empty() || host.size() > 48 || (!Is(host[0], kHexDigit) && host[0] != ':')) {
    return {};
  }
  const size_t colons = host.find(":::");
  if (colons == std::string_view::npos) {
    return net::IpAddress::Parse(host).value_or(net::IpAddress{});
  }
  char text[48];
  std::memcpy(text, host.data(), colons);
  std::memcpy(text + colons, host.data() + colons + 1, host.size() - colons - 1);
  return net::IpAddress::Parse({text, host.size() - 1}).value_or(net::IpAddress{});
}

bool IsHost(std::string_view host) {
  if (!host.empty() && host[0] == '[') {
    return ParseHostAddress(host).is_v6();
  }
  return !host.empty() && AllAre(host, kHostChar);
}

Result<Uri> ParseUri(std::string_view text) {
  if (text.size() > kUriBytesMax) {
    return Error(ErrorCode::kTooLarge, "URI");
  }
  Uri uri;
  uri.text = text;
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos || !IsScheme(text.substr(0, colon))) {
    return Error(ErrorCode::kMalformed, "URI scheme");
  }
  uri.scheme_text = text.substr(0, colon);
  const std::string_view rest = text.substr(colon + 1);
  if (EqualsNoCase(uri.scheme_text, "sip")) {
    uri.scheme = UriScheme::kSip;
    GH_TRY(ParseSip(uri, rest));
  } else if (EqualsNoCase(uri.scheme_text, "sips")) {
    uri.scheme = UriScheme::kSips;
    GH_TRY(ParseSip(uri, rest));
  } else if (EqualsNoCase(uri.scheme_text, "tel")) {
    uri.scheme = UriScheme::kTel;
    GH_TRY(ParseTel(uri, rest));
  } else if (rest.empty() || !AllAre(rest, kOpaqueChar)) {
    return Error(ErrorCode::kMalformed, "URI");
  }
  return uri;
}

bool UriEquals(const Uri& a, const Uri& b) {
  if (a.scheme != b.scheme) {
    return false;
  }
  if (a.scheme == UriScheme::kOther) {
    return a.text == b.text;
  }
  if (a.scheme == UriScheme::kTel) {
    return TelEquals(a.user, b.user) && ParamsAgree(a.params, b.params) &&
           ParamsAgree(b.params, a.params);
  }
  const bool same_host =
      a.address.is_none() ? EqualsNoCase(a.host, b.host) : a.address == b.address;
  return a.has_user == b.has_user && EqualsUnescaped(a.user, b.user, false) &&
         a.has_password == b.has_password && EqualsUnescaped(a.password, b.password, false) &&
         same_host && a.port == b.port && ParamsAgree(a.params, b.params) &&
         ParamsAgree(b.params, a.params) && HeaderCount(a.headers) == HeaderCount(b.headers) &&
         HeadersAgree(a.headers, b.headers) && HeadersAgree(b.headers, a.headers);
}

}  // namespace gh::sip
