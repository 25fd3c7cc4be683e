// Text and classes of IP addresses (RFC 4291, 5952, 6890).
#include "net/address.h"

#include <algorithm>

namespace gh::net {
namespace {

constexpr uint32_t kGroupCount = 8;

// One to three digits, no leading zero, at most 255. Advances `at`.
bool ParseOctet(std::string_view text, size_t& at, uint8_t& value) {
  uint32_t v = 0;
  const size_t first = at;
  while (at < text.size() && text[at] >= '0' && text[at] <= '9' && at - first < 4) {
    v = v * 10 + static_cast<uint32_t>(text[at] - '0');
    ++at;
  }
  const size_t count = at - first;
  if (count == 0 || count > 3 || v > 255 || (count > 1 && text[first] == '0')) {
    return false;
  }
  value = static_cast<uint8_t>(v);
  return true;
}

bool ParseV4(std::string_view text, std::span<uint8_t, 4> out) {
  size_t at = 0;
  for (size_t i = 0; i < 4; ++i) {
    if (i > 0) {
      if (at >= text.size() || text[at] != '.') {
        return false;
      }
      ++at;
    }
    if (!ParseOctet(text, at, out[i])) {
      return false;
    }
  }
  return at == text.size();
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  if (c >= 'a' && c <= 'f') {
    return c - 'a' + 10;
  }
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

struct V6Parser {
  std::string_view text;
  size_t at = 0;
  uint32_t count = 0;  // groups read
  int gap = -1;        // group index of "::"
  uint8_t bytes[16] = {};

  bool AtGap() const { return text.substr(at, 2) == "::"; }

  bool Group() {
    const size_t dot = text.find('.', at);
    const size_t colon = text.find(':', at);
    if (dot != std::string_view::npos && colon == std::string_view::npos) {
      if (count > kGroupCount - 2 ||
          !ParseV4(text.substr(at), std::span<uint8_t, 4>(bytes + count * 2, 4))) {
        return false;
      }
      count += 2;
      at = text.size();
      return true;
    }
    uint32_t value = 0;
    size_t digits = 0;
    for (; at < text.size() && HexDigit(text[at]) >= 0; ++at, ++digits) {
      if (digits == 4) {
        return false;
      }
      value = value << 4 | static_cast<uint32_t>(HexDigit(text[at]));
    }
    if (digits == 0 || count == kGroupCount) {
      return false;
    }
    bytes[count * 2] = static_cast<uint8_t>(value >> 8);
    bytes[count * 2 + 1] = static_cast<uint8_t>(value);
    ++count;
    return true;
  }

  bool Gap() {
    if (gap >= 0) {
      return false;
    }
    gap = static_cast<int>(count);
    at += 2;
    return true;
  }

  bool Parse() {
    if (AtGap() && !Gap()) {
      return false;
    }
    while (at < text.size()) {
      if (!Group()) {
        return false;
      }
      if (at == text.size()) {
        break;
      }
      if (AtGap()) {
        if (!Gap()) {
          return false;
        }
      } else if (text[at] == ':' && at + 1 < text.size()) {
        ++at;
      } else {
        return false;
      }
    }
    if (gap < 0) {
      return count == kGroupCount;
    }
    if (count >= kGroupCount) {
      return false;  // "::" stands for one group at least
    }
    const size_t tail = (count - static_cast<uint32_t>(gap)) * 2;
    std::memmove(bytes + 16 - tail, bytes + gap * 2, tail);
    std::memset(bytes + gap * 2, 0, 16 - tail - static_cast<size_t>(gap) * 2);
    return true;
  }
};

void FormatV6(const std::array<uint8_t, 16>& b, ByteWriter& out) {
  const auto group = [&b](uint32_t i) {
    return static_cast<uint32_t>(b[i * 2] << 8 | b[i * 2 + 1]);
  };
  if (std::all_of(b.begin(), b.begin() + 10, [](uint8_t v) { return v == 0; }) && b[10] == 0xff &&
      b[11] == 0xff) {  // RFC 5952 section 5
    out.Text("::ffff:");
    for (uint32_t i = 12; i < 16; ++i) {
      out.Decimal(b[i]);
      if (i < 15) {
        out.Char('.');
      }
    }
    return;
  }
  uint32_t best = kGroupCount;
  uint32_t best_size = 1;  // a single zero group is not shortened
  for (uint32_t i = 0; i < kGroupCount;) {
    uint32_t end = i;
    while (end < kGroupCount && group(end) == 0) {
      ++end;
    }
    if (end - i > best_size) {
      best = i;
      best_size = end - i;
    }
    i = end + 1;
  }
  for (uint32_t i = 0; i < kGroupCount;) {
    if (i == best) {
      out.Text("::");
      i += best_size;
      continue;
    }
    if (i > 0 && i != best + best_size) {
      out.Char(':');
    }
    out.Hex(group(i));
    ++i;
  }
}

bool ParsePort(std::string_view text, uint16_t& port) {
  uint32_t value = 0;
  if (text.empty() || text.size() > 5) {
    return false;
  }
  for (char c : text) {
    if (c < '0' || c > '9') {
      return false;
    }
    value = value * 10 + static_cast<uint32_t>(c - '0');
  }
  port = static_cast<uint16_t>(value);
  return value <= UINT16_MAX;
}

template <typename T>
EndpointText TextOf(const T& value) {
  EndpointText text;
  ByteWriter out(std::span(reinterpret_cast<uint8_t*>(text.text), sizeof(text.text)));
  value.Format(out);
  text.size = static_cast<uint8_t>(out.size());
  return text;
}

}  // namespace

Result<IpAddress> IpAddress::Parse(std::string_view text) {
  if (text.find(':') == std::string_view::npos) {
    uint8_t octets[4];
    if (!ParseV4(text, octets)) {
      return Error(ErrorCode::kMalformed, "expected an IPv4 or IPv6 address");
    }
    return V4FromBytes(octets);
  }
  V6Parser parser;
  parser.text = text;
  if (text.size() > 45 || !parser.Parse()) {
    return Error(ErrorCode::kMalformed, "expected an IPv4 or IPv6 address");
  }
  return V6FromBytes(parser.bytes);
}

bool IpAddress::is_unspecified() const {
  return std::all_of(bytes.begin(), bytes.end(), [](uint8_t v) { return v == 0; });
}

bool IpAddress::is_loopback() const {
  if (is_v4()) {
    return bytes[0] == 127;
  }
  return is_v6() && bytes[15] == 1 &&
         std::all_of(bytes.begin(), bytes.end() - 1, [](uint8_t v) { return v == 0; });
}

bool IpAddress::is_multicast() const {
  return is_v4() ? bytes[0] >> 4 == 14 : is_v6() && bytes[0] == 0xff;
}

bool IpAddress::is_link_local() const {
  return is_v4() ? bytes[0] == 169 && bytes[1] == 254
                 : is_v6() && bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
}

void IpAddress::Format(ByteWriter& out) const {
  if (is_v6()) {
    FormatV6(bytes, out);
    return;
  }
  if (is_none()) {
    out.Char('-');
    return;
  }
  for (uint32_t i = 0; i < 4; ++i) {
    if (i > 0) {
      out.Char('.');
    }
    out.Decimal(bytes[i]);
  }
}

bool IpPrefix::Contains(const IpAddress& a) const {
  if (a.family != address.family || length > a.byte_count() * 8) {
    return false;
  }
  const size_t whole = length / 8;
  if (std::memcmp(a.bytes.data(), address.bytes.data(), whole) != 0) {
    return false;
  }
  const uint32_t bits = length % 8;
  return bits == 0 || (a.bytes[whole] ^ address.bytes[whole]) >> (8 - bits) == 0;
}

Result<IpPrefix> IpPrefix::Parse(std::string_view text) {
  constexpr Error kExpected(ErrorCode::kMalformed, "expected ADDRESS/LENGTH, as in 10.0.0.0/8");
  const size_t slash = text.find('/');
  uint16_t length = 0;
  if (slash == std::string_view::npos) {
    return kExpected;
  }
  const std::string_view digits = text.substr(slash + 1);
  auto address = IpAddress::Parse(text.substr(0, slash));
  if (!address.ok() || digits.size() > 3 || !ParsePort(digits, length) ||
      (digits.size() > 1 && digits[0] == '0') || length > address->byte_count() * 8) {
    return kExpected;
  }
  return IpPrefix{*address, static_cast<uint8_t>(length)};
}

void Endpoint::Format(ByteWriter& out) const {
  if (address.is_v6()) {
    out.Char('[');
    address.Format(out);
    out.Char(']');
  } else {
    address.Format(out);
  }
  out.Char(':');
  out.Decimal(port);
}

Result<Endpoint> Endpoint::Parse(std::string_view text) {
  constexpr Error kExpected(ErrorCode::kMalformed, "expected ADDRESS:PORT or [ADDRESS]:PORT");
  const size_t colon = text.rfind(':');
  Endpoint endpoint;
  if (colon == std::string_view::npos || !ParsePort(text.substr(colon + 1), endpoint.port)) {
    return kExpected;
  }
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) {
    host = host.substr(1, host.size() - 2);
  }
  auto address = IpAddress::Parse(host);
  if (!address.ok() || address->is_v6() != bracketed) {
    return kExpected;
  }
  endpoint.address = *address;
  return endpoint;
}

EndpointText ToText(const IpAddress& address) { return TextOf(address); }
EndpointText ToText(const Endpoint& endpoint) { return TextOf(endpoint); }

}  // namespace gh::net
