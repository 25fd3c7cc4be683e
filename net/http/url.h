// An http or https URL, taken apart (RFC 3986, RFC 9110 section 4.2).
#pragma once

#include <cstdint>
#include <string_view>

#include "hal/rt/fixed_string.h"
#include "hal/rt/result.h"
#include "net/http/limits.h"
#include "net/resolver.h"

namespace gh::net {

struct HttpsUrl {
  FixedString<kDnsNameMax> host;  // without the brackets of an IPv6 address
  uint16_t port = 443;
  bool is_plain = false;                                            // http: ParseAny alone gives it
  FixedString<kHttpUrlMax> target = FixedString<kHttpUrlMax>("/");  // path and query

  // "https://host[:port][/path][?query]"; a fragment is dropped. kMalformed says what is wrong:
  // another scheme, user information, a host or port that cannot be, control characters, spaces.
  static Result<HttpsUrl> Parse(std::string_view text);
  // "http://..." too, where what comes back is signed by somebody.
  static Result<HttpsUrl> ParseAny(std::string_view text);
  // Where a Location field leads from here: an absolute https URL or an absolute path.
  Result<HttpsUrl> Follow(std::string_view location) const;
  bool is_ipv6() const { return host.view().find(':') != std::string_view::npos; }
};

}  // namespace gh::net
