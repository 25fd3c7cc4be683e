// What settings are made of: the value types of the generated structs and the rows of the tables.
//
// Every value type is trivially copyable and zero-padded, so that two settings are equal exactly
// when their bytes are: comparing and copying a whole group is memcmp and memcpy.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "firmware/config/limits.h"
#include "hal/rt/assert.h"

namespace gh::config {

// At most N bytes of text, kept inside; the unused rest is zero.
template <uint32_t N>
struct Text {
  static_assert(N <= 255);
  uint8_t size = 0;
  char data[N] = {};

  constexpr Text() = default;
  constexpr Text(const char* text) {
    while (size < N && text[size] != '\0') {
      data[size] = text[size];
      ++size;
    }
  }
  constexpr std::string_view view() const { return {data, size}; }
  constexpr bool empty() const { return size == 0; }
  static constexpr uint32_t max_size() { return N; }
  // Cuts what does not fit.
  void Set(std::string_view text) {
    *this = {};
    size = static_cast<uint8_t>(text.size() < N ? text.size() : N);
    std::memcpy(data, text.data(), size);
  }
  friend bool operator==(const Text&, const Text&) = default;
};

// An administrator's password as an Argon2id string; never the password.
struct AdminSecret {
  Text<kAdminHashMax> hash;
  bool is_set() const { return !hash.empty(); }
};

// A SIP user's password as HA1 (RFC 7616 3.4.2) for each algorithm; never the password. HA1 covers
// user and realm: `binding` is a digest of both, to see when they have changed since.
struct DigestSecret {
  uint8_t set = 0;  // the version it is stored by; before kWithSha512256 that digest is not there
  std::array<uint8_t, 8> binding = {};
  std::array<uint8_t, 16> ha1_md5 = {};
  std::array<uint8_t, 32> ha1_sha256 = {};
  std::array<uint8_t, 32> ha1_sha512_256 = {};
  static constexpr uint8_t kWithSha512256 = 2;
  bool is_set() const { return set != 0; }
  bool has_sha512_256() const { return set >= kWithSha512256; }
};

enum class Kind : uint8_t {
  kEnum,
  kInteger,
  kString,
  kHostName,
  kHost,
  kUserName,
  kIpAddress,
  kIpv4Address,
  kIpv6Address,
  kIpPrefix,
  kAdminPassword,
  kDigestPassword,
  kSshKey,
  kWordList,  // enum_info: the words
  kSecretText,
};

inline constexpr uint8_t kSettingSecret = 1;
inline constexpr uint8_t kSettingRestart = 2;

struct EnumInfo {
  const char* const* words;
  uint32_t count;
};

struct SettingInfo {
  const char* path;  // the last words, after the group's and the instance number
  const char* help;
  const char* default_text;
  const char* unit;
  const char* spec;
  const EnumInfo* enum_info;
  int32_t min;  // integers: range; texts: lengths
  int32_t max;
  uint16_t offset;  // in the group's struct
  uint8_t group;
  Kind kind;
  uint8_t flags;

  bool is_secret() const { return (flags & kSettingSecret) != 0; }
  bool needs_restart() const { return (flags & kSettingRestart) != 0; }
};

struct GroupInfo {
  const char* path;
  uint32_t count;  // instances are 1..count; 0: one without a number
  bool by_capacity;
  bool administrator_only;  // other roles may not change it
  uint16_t setting_first;
  uint16_t setting_count;
  uint32_t size;
  void (*construct)(void* place);

  bool is_table() const { return count != 0; }
};

// One setting of one instance (0-based; 0 for groups without instances).
struct Selector {
  uint32_t setting = 0;  // index into kSettings
  uint32_t instance = 0;
  friend bool operator==(Selector, Selector) = default;
};

// What a secret that is set looks like.
inline constexpr std::string_view kSecretShown = "********";

using Message = Text<kMessageMax>;

}  // namespace gh::config
