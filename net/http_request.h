// The head of an HTTP/1.1 request (RFC 9112), for servers that take no bodies, or such as say how
// long they are. Pure.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
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
  bool has_length = false;
  uint64_t length = 0;      // of the body; 0 when it does not say
  bool is_chunked = false;  // or coded in some other way
  bool expects = false;     // "100-continue", before it sends the body
  bool closes = false;      // its sender wants no other request on this connection
};

// The size of the head, its empty line included; 0: it is not complete.
size_t HttpHeadSize(std::string_view bytes);

// The head of one request, gathered as it comes.
template <size_t kBytesMax>
class HttpHeadBuffer {
 public:
  void Clear() { size_ = 0; }
  // Takes what there is room for. The head when it is whole, else nothing.
  std::string_view Add(std::span<const uint8_t> data) {
    const size_t count = std::min(data.size(), bytes_.size() - size_);
    std::copy_n(data.begin(), count, bytes_.begin() + static_cast<ptrdiff_t>(size_));
    size_ += count;
    const std::string_view all(bytes_.data(), size_);
    return all.substr(0, HttpHeadSize(all));
  }
  bool is_full() const { return size_ == bytes_.size(); }

 private:
  std::array<char, kBytesMax> bytes_ = {};
  size_t size_ = 0;
};

// `head`: HttpHeadSize bytes. kMalformed: no request, or one that could be read in two ways;
// kUnsupported: another version than HTTP/1.0 and 1.1; kTooLarge: too many fields.
Result<HttpRequest> ParseHttpRequest(std::string_view head);

}  // namespace gh::net
