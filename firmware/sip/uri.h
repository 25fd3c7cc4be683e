// SIP, SIPS and tel URIs (RFC 3261 19.1, RFC 3966): parsed in place, compared by RFC 3261 19.1.4.
#pragma once

#include <string_view>

#include "firmware/sip/text.h"
#include "hal/rt/result.h"
#include "net/address.h"

namespace gh::sip {

enum class UriScheme : uint8_t { kSip, kSips, kTel, kOther };

// Views into the parsed text.
struct Uri {
  UriScheme scheme = UriScheme::kOther;
  std::string_view text;  // the whole URI
  std::string_view scheme_text;
  std::string_view user;  // escapes kept; the number of a tel URI
  std::string_view password;
  std::string_view host;     // without brackets
  uint16_t port = 0;         // 0: none given
  std::string_view params;   // "a=b;c", without the leading ';'
  std::string_view headers;  // "x=y&z=w", without the '?'
  bool has_user = false;     // there was an '@'
  bool has_password = false;
  bool host_is_ipv6 = false;
  net::IpAddress address;  // when the host is an address

  bool is_sip() const { return scheme == UriScheme::kSip || scheme == UriScheme::kSips; }
  bool has_param(std::string_view name) const { return FindUriParam(params, name).has_value(); }
  std::string_view param(std::string_view name) const {
    const auto found = FindUriParam(params, name);
    return found ? found->value : std::string_view();
  }
};

// kMalformed, kTooLarge. Unknown schemes are well-formed when they look like absoluteURI.
Result<Uri> ParseUri(std::string_view text);

// Whether two URIs are equivalent: RFC 3261 19.1.4 for SIP(S), RFC 3966 4 for tel (visual
// separators ignored), byte for byte otherwise.
bool UriEquals(const Uri& a, const Uri& b);

// An address written in a header: "192.0.2.1", "2001:db8::1" or "[2001:db8::1]", and the three
// colons that RFC 3261's grammar let slip in (RFC 5118 4.10). kNone when it is none.
net::IpAddress ParseHostAddress(std::string_view host);
// Host of a Via or URI: a name, an IPv4 address or a bracketed IPv6 one.
bool IsHost(std::string_view host);

}  // namespace gh::sip
