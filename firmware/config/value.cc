#include "firmware/config/value.h"

#include <algorithm>
#include <charconv>

#include "firmware/config/line.h"
#include "firmware/config/ssh_key.h"
#include "hal/rt/utf8.h"
#include "net/address.h"

namespace gh::config {
namespace {

// Version 1 ends before the digest by SHA-512-256.
constexpr size_t kStoredDigestSize[] = {1 + 8 + 16 + 32, 1 + 8 + 16 + 32 + 32};

bool IsAlphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// Texts of different limits have the same shape: a size byte, then the characters.
std::string_view TextOf(const void* value) {
  const auto* bytes = static_cast<const uint8_t*>(value);
  return {reinterpret_cast<const char*>(bytes + 1), bytes[0]};
}

void SetTextOf(const SettingInfo& setting, void* value, std::string_view text) {
  auto* bytes = static_cast<uint8_t*>(value);
  GH_ASSERT_LE(text.size(), static_cast<size_t>(setting.max));
  std::memset(bytes, 0, ValueSize(setting));
  bytes[0] = static_cast<uint8_t>(text.size());
  std::memcpy(bytes + 1, text.data(), text.size());
}

bool IsUtf8Printable(std::string_view text) {
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  return IsUtf8(text) && std::none_of(text.begin(), text.end(), is_control);
}

// Some of the setting's words, each once.
bool IsWordList(const SettingInfo& setting, std::string_view text) {
  uint64_t seen = 0;
  while (true) {
    const size_t comma = text.find(',');
    const std::string_view word = text.substr(0, comma);
    uint32_t index = 0;
    while (index < setting.enum_info->count && word != setting.enum_info->words[index]) {
      ++index;
    }
    if (index == setting.enum_info->count || (seen >> index & 1) != 0) {
      return false;
    }
    seen |= uint64_t{1} << index;
    if (comma == text.npos) {
      return true;
    }
    text.remove_prefix(comma + 1);
  }
}

bool AcceptText(const SettingInfo& setting, std::string_view text) {
  if (text.size() > static_cast<size_t>(setting.max) ||
      text.size() < static_cast<size_t>(setting.min)) {
    return false;
  }
  switch (setting.kind) {
    case Kind::kHostName:
      return IsHostName(text);
    case Kind::kHost:
      return IsHostName(text) || net::IpAddress::Parse(text).ok();
    case Kind::kUserName:
      return IsUserName(text);
    case Kind::kSshKey:
      return IsUtf8Printable(text) && IsSshKey(text);
    case Kind::kWordList:
      return IsWordList(setting, text);
    default:
      return IsUtf8Printable(text);
  }
}

bool ParseEnum(const SettingInfo& setting, std::string_view text, void* value) {
  for (uint32_t i = 0; i < setting.enum_info->count; ++i) {
    if (EqualsIgnoreCase(text, setting.enum_info->words[i])) {
      *static_cast<uint8_t*>(value) = static_cast<uint8_t>(i);
      return true;
    }
  }
  return false;
}

bool ParseInteger(const SettingInfo& setting, std::string_view text, void* value) {
  int32_t number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || stop != end || number < setting.min || number > setting.max) {
    return false;
  }
  std::memcpy(value, &number, sizeof(number));
  return true;
}

bool ParseAddress(const SettingInfo& setting, std::string_view text, void* value) {
  auto parsed = net::IpAddress::Parse(text);
  if (!parsed.ok()) {
    return false;
  }
  const net::IpAddress& address = *parsed;
  if ((setting.kind == Kind::kIpv4Address && !address.is_v4()) ||
      (setting.kind == Kind::kIpv6Address && !address.is_v6()) || address.is_unspecified() ||
      address.is_multicast()) {
    return false;
  }
  std::memcpy(value, &address, sizeof(address));
  return true;
}

bool ParseByKind(const SettingInfo& setting, std::string_view text, void* value) {
  switch (setting.kind) {
    case Kind::kEnum:
      return ParseEnum(setting, text, value);
    case Kind::kInteger:
      return ParseInteger(setting, text, value);
    case Kind::kIpAddress:
    case Kind::kIpv4Address:
    case Kind::kIpv6Address:
      return ParseAddress(setting, text, value);
    case Kind::kIpPrefix: {
      auto parsed = net::IpPrefix::Parse(text);
      if (parsed.ok()) {
        std::memcpy(value, &*parsed, sizeof(net::IpPrefix));
      }
      return parsed.ok();
    }
    case Kind::kAdminPassword:
    case Kind::kDigestPassword:
      return false;
    default:
      if (!AcceptText(setting, text)) {
        return false;
      }
      SetTextOf(setting, value, text);
      return true;
  }
}

}  // namespace

bool IsHostName(std::string_view text) {
  if (text.empty() || text.size() > 253) {
    return false;
  }
  size_t label = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '.') {
      if (label == 0 || text[at - 1] == '-') {
        return false;
      }
      label = 0;
      continue;
    }
    if ((!IsAlphanumeric(c) && c != '-' && c != '_') || (c == '-' && label == 0) || ++label > 63) {
      return false;
    }
  }
  return label != 0 && text.back() != '-';
}

bool IsUserName(std::string_view text) {
  for (char c : text) {
    // RFC 3261 unreserved and user-unreserved, without what a shell or a URI reader trips over.
    if (!IsAlphanumeric(c) && std::string_view("-_.!~*'()&=+$,/").find(c) == text.npos) {
      return false;
    }
  }
  return !text.empty();
}

size_t ValueSize(const SettingInfo& setting) {
  switch (setting.kind) {
    case Kind::kEnum:
      return 1;
    case Kind::kInteger:
      return sizeof(int32_t);
    case Kind::kIpAddress:
    case Kind::kIpv4Address:
    case Kind::kIpv6Address:
      return sizeof(net::IpAddress);
    case Kind::kIpPrefix:
      return sizeof(net::IpPrefix);
    case Kind::kAdminPassword:
      return sizeof(AdminSecret);
    case Kind::kDigestPassword:
      return sizeof(DigestSecret);
    default:
      return 1 + static_cast<size_t>(setting.max);
  }
}

Result<void> ParseValue(const SettingInfo& setting, std::string_view text, void* value,
                        Message& expected) {
  if (text.empty() && setting.kind != Kind::kEnum && setting.kind != Kind::kInteger) {
    SetDefault(setting, value);
    return Ok();
  }
  if (ParseByKind(setting, text, value)) {
    return Ok();
  }
  uint8_t buffer[kMessageMax];
  ByteWriter writer(buffer);
  DescribeExpected(setting, writer);
  MessageWriter(expected).Add("expected ").Add(writer.text());
  return Error{ErrorCode::kInvalidArgument, "value not accepted"};
}

void FormatValue(const SettingInfo& setting, const void* value, ByteWriter& out) {
  switch (setting.kind) {
    case Kind::kEnum: {
      const uint8_t index = *static_cast<const uint8_t*>(value);
      GH_ASSERT_LT(index, setting.enum_info->count);
      out.Text(setting.enum_info->words[index]);
      return;
    }
    case Kind::kInteger: {
      int32_t number = 0;
      std::memcpy(&number, value, sizeof(number));
      out.SignedDecimal(number);
      return;
    }
    case Kind::kIpAddress:
    case Kind::kIpv4Address:
    case Kind::kIpv6Address: {
      const auto& address = *static_cast<const net::IpAddress*>(value);
      if (!address.is_none()) {
        address.Format(out);
      }
      return;
    }
    case Kind::kIpPrefix: {
      const auto& prefix = *static_cast<const net::IpPrefix*>(value);
      if (!prefix.address.is_none()) {
        prefix.address.Format(out);
        out.Char('/');
        out.Decimal(prefix.length);
      }
      return;
    }
    case Kind::kAdminPassword:
      out.Text(static_cast<const AdminSecret*>(value)->is_set() ? "********" : "");
      return;
    case Kind::kDigestPassword:
      out.Text(static_cast<const DigestSecret*>(value)->is_set() ? "********" : "");
      return;
    case Kind::kSecretText:
      out.Text(TextOf(value).empty() ? "" : "********");
      return;
    default:
      out.Text(TextOf(value));
  }
}

bool IsDefault(const SettingInfo& setting, const void* value) {
  uint8_t buffer[256];
  ByteWriter writer(buffer);
  FormatValue(setting, value, writer);
  return writer.text() == setting.default_text;
}

void SetDefault(const SettingInfo& setting, void* value) {
  std::memset(value, 0, ValueSize(setting));
  const std::string_view text = setting.default_text;
  if (!text.empty()) {
    GH_ASSERT(ParseByKind(setting, text, value));
  }
}

void EncodeStored(const SettingInfo& setting, const void* value, ByteWriter& out) {
  if (setting.kind == Kind::kAdminPassword) {
    out.Text(static_cast<const AdminSecret*>(value)->hash.view());
    return;
  }
  if (setting.kind == Kind::kDigestPassword) {
    const auto& secret = *static_cast<const DigestSecret*>(value);
    out.U8(secret.set);
    out.Bytes(secret.binding);
    out.Bytes(secret.ha1_md5);
    out.Bytes(secret.ha1_sha256);
    if (secret.has_sha512_256()) {
      out.Bytes(secret.ha1_sha512_256);
    }
    return;
  }
  if (setting.kind == Kind::kSecretText) {
    out.Text(TextOf(value));
    return;
  }
  FormatValue(setting, value, out);
}

Result<void> DecodeStored(const SettingInfo& setting, std::span<const uint8_t> stored,
                          void* value) {
  if (setting.kind == Kind::kAdminPassword) {
    AdminSecret secret;
    if (stored.size() > kAdminHashMax) {
      return Error{ErrorCode::kTooLarge, "stored password hash too long"};
    }
    secret.hash.Set(AsText(stored));
    std::memcpy(value, &secret, sizeof(secret));
    return Ok();
  }
  if (setting.kind == Kind::kDigestPassword) {
    const uint8_t version = stored.empty() ? 0 : stored[0];
    if (version == 0 || version > DigestSecret::kWithSha512256 ||
        stored.size() != kStoredDigestSize[version - 1]) {
      return Error{ErrorCode::kMalformed, "stored digest has a wrong size or version"};
    }
    DigestSecret secret;
    ByteReader reader(stored.subspan(1));
    secret.set = version;
    reader.Copy(secret.binding);
    reader.Copy(secret.ha1_md5);
    reader.Copy(secret.ha1_sha256);
    if (secret.has_sha512_256()) {
      reader.Copy(secret.ha1_sha512_256);
    }
    std::memcpy(value, &secret, sizeof(secret));
    return Ok();
  }
  Message expected;
  return ParseValue(setting, AsText(stored), value, expected);
}

void DescribeExpected(const SettingInfo& setting, ByteWriter& out) {
  switch (setting.kind) {
    case Kind::kEnum:
      out.Text("one of ");
      for (uint32_t i = 0; i < setting.enum_info->count; ++i) {
        out.Text(i == 0 ? "" : ", ");
        out.Text(setting.enum_info->words[i]);
      }
      return;
    case Kind::kWordList:
      out.Text(setting.unit);
      out.Text(setting.unit[0] != '\0' ? ": " : "");
      out.Text("separated by commas, of ");
      for (uint32_t i = 0; i < setting.enum_info->count; ++i) {
        const std::string_view word = setting.enum_info->words[i];
        if (word.size() + std::string_view(" ...").size() + 1 > out.room()) {
          out.Text(" ...");  // xHelp lists them all
          return;
        }
        out.Text(i == 0 ? "" : " ");
        out.Text(word);
      }
      return;
    case Kind::kInteger:
      out.Text("a whole number ");
      out.SignedDecimal(setting.min);
      out.Text("..");
      out.SignedDecimal(setting.max);
      out.Text(setting.unit[0] != '\0' ? " " : "");
      out.Text(setting.unit);
      return;
    case Kind::kIpAddress:
      out.Text("an IP address, for example 192.0.2.10 or 2001:db8::10");
      return;
    case Kind::kIpv4Address:
      out.Text("an IPv4 address, for example 192.0.2.10");
      return;
    case Kind::kIpv6Address:
      out.Text("an IPv6 address, for example 2001:db8::10");
      return;
    case Kind::kIpPrefix:
      out.Text("addresses as prefix, for example 10.0.0.0/8 or 2001:db8::/32");
      return;
    case Kind::kAdminPassword:
      out.Text("a password of at least ");
      out.Decimal(kAdminPasswordMin);
      out.Text(" characters with three of: lower case, upper case, digits, others");
      return;
    case Kind::kDigestPassword:
      out.Text("a password of ");
      out.Decimal(kSipPasswordMin);
      out.Text("..");
      out.Decimal(kPasswordMax);
      out.Text(" characters");
      return;
    default:
      out.Text(setting.kind == Kind::kHostName ? "a host name (letters, digits, hyphens, dots)"
               : setting.kind == Kind::kHost   ? "a host name or an IP address"
               : setting.kind == Kind::kSshKey
                   ? "an ssh-ed25519 or ecdsa-sha2-nistp256 key as in an OpenSSH .pub file, or "
                     "SHA256:... of any key as ssh-keygen -l shows it (for RSA),"
               : setting.kind == Kind::kUserName
                   ? "a user name (letters, digits and -_.!~*'()&=+$,/)"
                   : "printable text");
      out.Text(" of at most ");
      out.SignedDecimal(setting.max);
      out.Text(" characters");
  }
}

}  // namespace gh::config
