// The keys of what XMPP keeps: a letter for the kind, then hexadecimal numbers of fixed width, so
// that rows come in the order of their numbers, and those that others need come before them.
//
//   a account   b blocked address   c contact   d when he was last here   e e-mail address
//   f token of a client   k secret of salts for nobody   l allowed address
//   m waiting message (parts)   o policy towards others   p archive preferences
//   q privacy list (without a number: which is the default)
//   r room      s affiliation       t archive of an account (parts)        u archive of a room
//   (parts) v roster version   w node of an account   x its items (parts)
//   y vCard of a room (parts)   z subscriber or affiliate of a node
#pragma once

#include <charconv>
#include <cstdint>
#include <string_view>

#include "hal/rt/bytes.h"

namespace gh::xmpp {

inline constexpr uint32_t kIdDigits = 8;
inline constexpr uint32_t kNumberDigits = 16;
inline constexpr uint32_t kPartDigits = 2;

struct RowKey {
  RowKey(char kind, uint32_t id) {
    writer.Char(kind);
    writer.Hex(id, kIdDigits);
  }
  RowKey(char kind, uint32_t id, uint64_t number) : RowKey(kind, id) {
    writer.Hex(number, kNumberDigits);
  }
  RowKey(char kind, uint32_t id, uint64_t number, uint32_t part) : RowKey(kind, id, number) {
    writer.Hex(part, kPartDigits);
  }
  operator std::string_view() const { return writer.text(); }
  uint8_t bytes[32] = {};
  ByteWriter writer{bytes};
};

inline bool ReadHex(std::string_view digits, uint64_t& out) {
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, out, 16);
  return error == std::errc() && stop == end;
}

// A key taken apart; what is not there is 0.
struct RowName {
  char kind = 0;
  uint32_t id = 0;
  uint64_t number = 0;
  uint32_t part = 0;

  static bool Read(std::string_view key, RowName& out) {
    uint64_t id = 0;
    uint64_t part = 0;
    if (key.size() < 1 + kIdDigits || !ReadHex(key.substr(1, kIdDigits), id)) {
      return false;
    }
    out.kind = key[0];
    out.id = static_cast<uint32_t>(id);
    key = key.substr(1 + kIdDigits);
    if (key.empty()) {
      return true;
    }
    if (key.size() < kNumberDigits || !ReadHex(key.substr(0, kNumberDigits), out.number)) {
      return false;
    }
    key = key.substr(kNumberDigits);
    if (key.empty()) {
      return true;
    }
    if (key.size() != kPartDigits || !ReadHex(key, part)) {
      return false;
    }
    out.part = static_cast<uint32_t>(part);
    return true;
  }
};

}  // namespace gh::xmpp
