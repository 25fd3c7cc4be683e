// Readers and writers over byte spans that cannot overrun: the one place for byte order.
//
// A ByteReader that runs short reads zeros and stays failed; check ok() once at the end. A
// ByteWriter that runs out of room drops the write and stays failed.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace gh {

inline std::span<const uint8_t> AsBytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}
inline std::string_view AsText(std::span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

class ByteReader {
 public:
  explicit ByteReader(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  bool ok() const { return ok_; }
  size_t offset() const { return offset_; }
  size_t remaining() const { return bytes_.size() - offset_; }
  bool at_end() const { return remaining() == 0; }

  uint8_t U8() { return static_cast<uint8_t>(Big(1)); }
  uint16_t U16Be() { return static_cast<uint16_t>(Big(2)); }
  uint32_t U32Be() { return static_cast<uint32_t>(Big(4)); }
  uint64_t U64Be() { return Big(8); }
  uint16_t U16Le() { return static_cast<uint16_t>(Little(2)); }
  uint32_t U32Le() { return static_cast<uint32_t>(Little(4)); }
  uint64_t U64Le() { return Little(8); }

  // `count` bytes, or an empty span and failure.
  std::span<const uint8_t> Take(size_t count) {
    if (!ok_ || count > remaining()) {
      ok_ = false;
      return {};
    }
    auto taken = bytes_.subspan(offset_, count);
    offset_ += count;
    return taken;
  }
  void Skip(size_t count) { (void)Take(count); }
  void Copy(std::span<uint8_t> out) {
    auto taken = Take(out.size());
    if (taken.size() == out.size() && !out.empty()) {
      std::memcpy(out.data(), taken.data(), out.size());
    }
  }
  std::span<const uint8_t> Rest() { return Take(remaining()); }

 private:
  uint64_t Big(size_t count) {
    uint64_t value = 0;
    for (uint8_t byte : Take(count)) {
      value = value << 8 | byte;
    }
    return value;
  }
  uint64_t Little(size_t count) {
    uint64_t value = 0;
    uint32_t shift = 0;
    for (uint8_t byte : Take(count)) {
      value |= static_cast<uint64_t>(byte) << shift;
      shift += 8;
    }
    return value;
  }

  std::span<const uint8_t> bytes_;
  size_t offset_ = 0;
  bool ok_ = true;
};

class ByteWriter {
 public:
  explicit ByteWriter(std::span<uint8_t> out) : out_(out) {}

  bool ok() const { return ok_; }
  size_t size() const { return size_; }
  size_t room() const { return out_.size() - size_; }
  std::span<uint8_t> written() const { return out_.first(size_); }
  std::string_view text() const { return AsText(written()); }

  void U8(uint8_t v) { Big(v, 1); }
  void U16Be(uint16_t v) { Big(v, 2); }
  void U32Be(uint32_t v) { Big(v, 4); }
  void U64Be(uint64_t v) { Big(v, 8); }
  void U16Le(uint16_t v) { Little(v, 2); }
  void U32Le(uint32_t v) { Little(v, 4); }
  void U64Le(uint64_t v) { Little(v, 8); }

  void Bytes(std::span<const uint8_t> bytes) {
    if (!ok_ || bytes.size() > room()) {
      ok_ = false;
      return;
    }
    if (!bytes.empty()) {
      std::memcpy(out_.data() + size_, bytes.data(), bytes.size());
      size_ += bytes.size();
    }
  }
  void Text(std::string_view text) { Bytes(AsBytes(text)); }
  void Char(char c) { U8(static_cast<uint8_t>(c)); }
  void Decimal(uint64_t value) {
    char digits[20];
    size_t at = sizeof(digits);
    do {
      digits[--at] = static_cast<char>('0' + value % 10);
      value /= 10;
    } while (value != 0);
    Text({digits + at, sizeof(digits) - at});
  }
  void SignedDecimal(int64_t value) {
    if (value < 0) {
      Char('-');
    }
    Decimal(value < 0 ? ~static_cast<uint64_t>(value) + 1 : static_cast<uint64_t>(value));
  }
  void Hex(uint64_t value, uint32_t digit_count_min = 1) {
    bool started = false;
    for (uint32_t digit = 16; digit > 0; --digit) {
      const uint32_t nibble = value >> ((digit - 1) * 4) & 0xf;
      started = started || nibble != 0 || digit <= digit_count_min;
      if (started) {
        Char("0123456789abcdef"[nibble]);
      }
    }
  }
  void HexBytes(std::span<const uint8_t> bytes) {
    for (uint8_t byte : bytes) {
      Hex(byte, 2);
    }
  }
  // Reserves `count` bytes to be patched later; an empty span and failure when there is no room.
  std::span<uint8_t> Reserve(size_t count) {
    if (!ok_ || count > room()) {
      ok_ = false;
      return {};
    }
    auto reserved = out_.subspan(size_, count);
    size_ += count;
    return reserved;
  }

 private:
  void Big(uint64_t v, size_t count) {
    // Reserve() gives `count` bytes or none.
    for (uint8_t& byte : Reserve(count)) {
      // NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult)
      byte = static_cast<uint8_t>(v >> (--count * 8));
    }
  }
  void Little(uint64_t v, size_t count) {
    for (uint8_t& byte : Reserve(count)) {
      byte = static_cast<uint8_t>(v);
      v >>= 8;
    }
  }

  std::span<uint8_t> out_;
  size_t size_ = 0;
  bool ok_ = true;
};

}  // namespace gh
