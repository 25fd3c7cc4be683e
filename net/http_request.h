// The head of an HTTP/1.1 request (RFC 9112), for servers that take no bodies. Pure.
#pragma once

#include <cstddef>
#include <string_view>

#include "hal/rt/result.h"

namespace gh::net {

inline constexpr size_t kHttpRequestHeadMax = 4096;
inline constexpr size_t kHttpRequestFieldMax = 64;

struct HttpRequest {
  std::string_view method;
  std::string_view path;   // of the target, without query
  std::string_view query;  // behind the "?"
  std::string_view host;
  bool has_body = false;  // it announces one
};

// The size of the head, its empty line included; 0: it is not complete.
size_t HttpHeadSize(std::string_view bytes);

// `head`: HttpHeadSize bytes. kMalformed: no request, or one that could be read in two ways;
// kUnsupported: another version than HTTP/1.0 and 1.1; kTooLarge: too many fields.
Result<HttpRequest> ParseHttpRequest(std::string_view head);

}  // namespace gh::net
