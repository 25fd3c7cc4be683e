// Base64 (RFC 4648 4), with padding. Decoding is strict: no line breaks, no other characters, and
// the unused bits of the last character are zero, so that every value has one spelling.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "hal/rt/bytes.h"

namespace gh {

inline constexpr std::string_view kBase64Alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr size_t Base64Size(size_t byte_count) { return (byte_count + 2) / 3 * 4; }

inline void WriteBase64(std::span<const uint8_t> bytes, ByteWriter& out) {
  for (size_t at = 0; at < bytes.size(); at += 3) {
    const size_t count = bytes.size() - at < 3 ? bytes.size() - at : 3;
    uint32_t group = 0;
    for (size_t i = 0; i < 3; ++i) {
      group = group << 8 | (i < count ? bytes[at + i] : 0u);
    }
    for (size_t i = 0; i < 4; ++i) {
      out.Char(i <= count ? kBase64Alphabet[group >> (18 - 6 * i) & 0x3f] : '=');
    }
  }
}

// False when `text` is not base64 or does not fit `out`.
inline bool ReadBase64(std::string_view text, ByteWriter& out) {
  if (text.size() % 4 != 0) {
    return false;
  }
  for (size_t at = 0; at < text.size(); at += 4) {
    const bool last = at + 4 == text.size();
    const size_t pad = !last ? 0 : text[at + 3] != '=' ? 0 : text[at + 2] != '=' ? 1 : 2;
    uint32_t group = 0;
    for (size_t i = 0; i < 4; ++i) {
      const size_t value = i < 4 - pad ? kBase64Alphabet.find(text[at + i]) : 0;
      if (value == std::string_view::npos) {
        return false;
      }
      group = group << 6 | static_cast<uint32_t>(value);
    }
    if ((group & ((1u << (8 * pad)) - 1)) != 0) {
      return false;
    }
    for (size_t i = 0; i < 3 - pad; ++i) {
      out.U8(static_cast<uint8_t>(group >> (16 - 8 * i)));
    }
  }
  return out.ok();
}

}  // namespace gh
