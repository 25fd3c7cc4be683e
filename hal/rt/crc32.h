// CRC-32 (IEEE 802.3, as in zlib and GPT): finds accidents in stored records, not malice.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace gh {

namespace internal {
constexpr std::array<uint32_t, 256> MakeCrc32Table() {
  std::array<uint32_t, 256> table = {};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) {
      value = (value & 1) != 0 ? value >> 1 ^ 0xedb88320 : value >> 1;
    }
    table[i] = value;
  }
  return table;
}
inline constexpr std::array<uint32_t, 256> kCrc32Table = MakeCrc32Table();
}  // namespace internal

// `previous`: the result over the bytes before these, for data in pieces.
constexpr uint32_t Crc32(std::span<const uint8_t> bytes, uint32_t previous = 0) {
  uint32_t crc = ~previous;
  for (uint8_t byte : bytes) {
    crc = internal::kCrc32Table[(crc ^ byte) & 0xff] ^ crc >> 8;
  }
  return ~crc;
}

}  // namespace gh
