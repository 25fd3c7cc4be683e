#include "net/http_request.h"

#include <algorithm>
#include <charconv>

#include "hal/rt/ascii.h"

namespace gh::net {
namespace {

bool IsTokenChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

bool IsToken(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), IsTokenChar);
}

// Visible characters: no spaces, no controls, nothing above ASCII.
bool IsVisible(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; });
}

Result<void> ParseLine(std::string_view line, HttpRequest& out) {
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == line.npos || first == last) {
    return Error(ErrorCode::kMalformed, "no request line");
  }
  out.method = line.substr(0, first);
  const std::string_view target = line.substr(first + 1, last - first - 1);
  const std::string_view version = line.substr(last + 1);
  if (!IsToken(out.method) || !IsVisible(target) || target.front() != '/') {
    return Error(ErrorCode::kMalformed, "no request line");
  }
  if (version != "HTTP/1.1" && version != "HTTP/1.0") {
    return Error(ErrorCode::kUnsupported, "not HTTP/1.1");
  }
  const size_t mark = target.find('?');
  out.closes = version == "HTTP/1.0";
  out.path = target.substr(0, mark);
  out.query = mark == target.npos ? std::string_view() : target.substr(mark + 1);
  return Ok();
}

// Of one field, and of all there are: two lengths are two ways to read a request.
Result<void> ParseLength(std::string_view value, HttpRequest& out) {
  const char* end = value.data() + value.size();
  uint64_t length = 0;
  const auto [stop, error] = std::from_chars(value.data(), end, length);
  if (error != std::errc() || stop != end || out.has_length) {
    return Error(ErrorCode::kMalformed, "no length, or two");
  }
  out.has_length = true;
  out.length = length;
  out.has_body = out.has_body || length != 0;
  return Ok();
}

Result<void> ParseField(std::string_view line, HttpRequest& out) {
  const size_t colon = line.find(':');
  if (colon == line.npos || !IsToken(line.substr(0, colon))) {
    return Error(ErrorCode::kMalformed, "no header field");  // also folded lines
  }
  const std::string_view name = line.substr(0, colon);
  const std::string_view value = TrimBlanks(line.substr(colon + 1));
  const bool printable = std::all_of(value.begin(), value.end(), [](char c) {
    return c == '\t' || (static_cast<unsigned char>(c) >= ' ' && c != 0x7f);
  });
  if (!printable) {
    return Error(ErrorCode::kMalformed, "a control character in a header field");
  }
  if (EqualsIgnoringCase(name, "host")) {
    if (!out.host.empty()) {
      return Error(ErrorCode::kMalformed, "two hosts");
    }
    out.host = value;
  } else if (EqualsIgnoringCase(name, "transfer-encoding")) {
    out.has_body = out.is_chunked = true;
  } else if (EqualsIgnoringCase(name, "content-length")) {
    return ParseLength(value, out);
  } else if (EqualsIgnoringCase(name, "expect")) {
    out.expects = EqualsIgnoringCase(value, "100-continue");
  } else if (EqualsIgnoringCase(name, "connection")) {
    out.closes = out.closes || EqualsIgnoringCase(value, "close");
  }
  return Ok();
}

}  // namespace

size_t HttpHeadSize(std::string_view bytes) {
  const size_t end = bytes.find("\r\n\r\n");
  return end == bytes.npos ? 0 : end + 4;
}

Result<HttpRequest> ParseHttpRequest(std::string_view head) {
  HttpRequest out;
  if (!head.ends_with("\r\n\r\n")) {
    return Error(ErrorCode::kMalformed, "not a whole head");
  }
  head.remove_suffix(2);
  size_t end = head.find("\r\n");
  GH_TRY(ParseLine(head.substr(0, end), out));
  head.remove_prefix(end + 2);
  for (size_t count = 0; !head.empty(); ++count) {
    if (count == kHttpRequestFieldMax) {
      return Error(ErrorCode::kTooLarge, "too many header fields");
    }
    end = head.find("\r\n");
    GH_TRY(ParseField(head.substr(0, end), out));
    head.remove_prefix(end + 2);
  }
  return out;
}

}  // namespace gh::net
