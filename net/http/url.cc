#include "net/http/url.h"

#include <algorithm>
#include <charconv>

#include "hal/rt/ascii.h"
#include "net/address.h"

namespace gh::net {
namespace {

constexpr std::string_view kScheme = "https://";
constexpr std::string_view kPlainScheme = "http://";

bool IsAlphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool IsHostCharacter(char c) { return IsAlphanumeric(c) || c == '-' || c == '.' || c == '_'; }

bool IsTargetCharacter(char c) { return c > ' ' && c < 0x7f && c != '"' && c != '<' && c != '>'; }

bool HasScheme(std::string_view text, std::string_view scheme) {
  return EqualsIgnoringCase(text.substr(0, scheme.size()), scheme);
}

Result<void> TakePort(std::string_view text, uint16_t& port) {
  const auto end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, port);
  if (error != std::errc() || at != end || port == 0) {
    return Error(ErrorCode::kMalformed, "the URL's port is not 1 to 65535");
  }
  return Ok();
}

Result<void> TakeAuthority(std::string_view text, HttpsUrl& url) {
  if (text.find('@') != text.npos) {
    return Error(ErrorCode::kMalformed, "a URL with a user name is not taken");
  }
  std::string_view host = text.substr(0, text.find(':'));
  std::string_view rest = text.substr(host.size());
  if (text.starts_with('[')) {
    const size_t close = text.find(']');
    host = text.substr(1, close == text.npos ? 0 : close - 1);
    rest = close == text.npos ? std::string_view() : text.substr(close + 1);
    const auto address = IpAddress::Parse(host);
    if (!address.ok() || !address.value().is_v6()) {
      return Error(ErrorCode::kMalformed, "the URL's IPv6 address is not one");
    }
  } else if (host.empty() || !std::ranges::all_of(host, IsHostCharacter)) {
    return Error(ErrorCode::kMalformed, "the URL has no proper host");
  }
  if (!url.host.Assign(host)) {
    return Error(ErrorCode::kTooLarge, "the URL's host is too long");
  }
  if (rest.empty()) {
    return Ok();
  }
  return rest.starts_with(':') ? TakePort(rest.substr(1), url.port)
                               : Error(ErrorCode::kMalformed, "the URL has no proper host");
}

Result<void> TakeTarget(std::string_view text, HttpsUrl& url) {
  text = text.substr(0, text.find('#'));
  if (!std::ranges::all_of(text, IsTargetCharacter)) {
    return Error(ErrorCode::kMalformed, "the URL has a character that must be percent-encoded");
  }
  url.target.Assign(text.starts_with('/') ? "" : "/");
  if (!url.target.Append(text)) {
    return Error(ErrorCode::kTooLarge, "the URL is too long");
  }
  return Ok();
}

// What is behind the scheme.
Result<HttpsUrl> ParseRest(std::string_view text, bool is_plain) {
  const size_t end = std::min(text.find_first_of("/?#"), text.size());
  HttpsUrl url;
  url.is_plain = is_plain;
  url.port = is_plain ? 80 : 443;
  if (auto taken = TakeAuthority(text.substr(0, end), url); !taken.ok()) {
    return taken.error();
  }
  if (auto taken = TakeTarget(text.substr(end), url); !taken.ok()) {
    return taken.error();
  }
  return url;
}

}  // namespace

Result<HttpsUrl> HttpsUrl::Parse(std::string_view text) {
  if (text.size() > kHttpUrlMax) {
    return Error(ErrorCode::kTooLarge, "the URL is too long");
  }
  if (!HasScheme(text, kScheme)) {
    return Error(ErrorCode::kMalformed, "expected a URL that begins with https://");
  }
  return ParseRest(text.substr(kScheme.size()), false);
}

Result<HttpsUrl> HttpsUrl::ParseAny(std::string_view text) {
  if (text.size() > kHttpUrlMax || !HasScheme(text, kPlainScheme)) {
    return Parse(text);
  }
  return ParseRest(text.substr(kPlainScheme.size()), true);
}

Result<HttpsUrl> HttpsUrl::Follow(std::string_view location) const {
  if (!location.starts_with('/') || location.starts_with("//")) {
    return Parse(location);
  }
  HttpsUrl url = *this;
  if (auto taken = TakeTarget(location, url); !taken.ok()) {
    return taken.error();
  }
  return url;
}

}  // namespace gh::net
