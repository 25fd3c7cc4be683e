// ASN.1 BER as SNMP uses it (RFC 3417 section 8): reading with bounds, writing from the back.
//
// Values are written last first, so that every length is known when its header is written.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/snmp/limits.h"

namespace gh::snmp {

enum Tag : uint8_t {
  kInteger = 0x02,
  kOctetString = 0x04,
  kNull = 0x05,
  kObjectId = 0x06,
  kSequence = 0x30,
  kIpAddress = 0x40,
  kCounter32 = 0x41,
  kGauge32 = 0x42,
  kTimeTicks = 0x43,
  kCounter64 = 0x46,
  kNoSuchObject = 0x80,
  kNoSuchInstance = 0x81,
  kEndOfMibView = 0x82,
  kGetRequest = 0xa0,
  kGetNextRequest = 0xa1,
  kResponse = 0xa2,
  kSetRequest = 0xa3,
  kGetBulkRequest = 0xa5,
  kTrap = 0xa7,
  kReport = 0xa8,
};

struct Oid {
  std::array<uint32_t, kOidMax> ids = {};
  uint32_t size = 0;

  constexpr Oid() = default;
  constexpr Oid(std::initializer_list<uint32_t> list) {
    for (const uint32_t id : list) {
      ids[size++] = id;
    }
  }
  std::span<const uint32_t> view() const { return {ids.data(), size}; }
  // False: it is full.
  bool Append(uint32_t id) {
    if (size == ids.size()) {
      return false;
    }
    ids[size++] = id;
    return true;
  }
  bool Append(std::span<const uint32_t> more) {
    for (const uint32_t id : more) {
      if (!Append(id)) {
        return false;
      }
    }
    return true;
  }
};

// Negative, zero, positive: lexicographic order.
int Compare(std::span<const uint32_t> a, std::span<const uint32_t> b);

// Reads values one after the other; after the first fault nothing is read any more.
class BerReader {
 public:
  explicit BerReader(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  bool ok() const { return ok_; }
  bool at_end() const { return bytes_.empty(); }
  std::span<const uint8_t> rest() const { return bytes_; }

  uint8_t PeekTag() const { return bytes_.empty() ? uint8_t{0} : bytes_[0]; }
  // The content of the next value, which must have this tag.
  std::span<const uint8_t> Value(uint8_t tag);
  // The content of the next value, whichever it is.
  std::span<const uint8_t> Any(uint8_t& tag);
  BerReader Enter(uint8_t tag) { return BerReader(Value(tag), ok_); }
  int32_t Integer();  // fits 32 bits, or it is a fault
  void ObjectId(Oid& out);

 private:
  BerReader(std::span<const uint8_t> bytes, bool ok) : bytes_(bytes), ok_(ok) {}
  std::span<const uint8_t> bytes_;
  bool ok_ = true;
};

// Fills a buffer from its end.
class BerWriter {
 public:
  explicit BerWriter(std::span<uint8_t> buffer) : buffer_(buffer), at_(buffer.size()) {}
  bool ok() const { return ok_; }
  size_t mark() const { return at_; }  // for End
  size_t size() const { return buffer_.size() - at_; }
  std::span<uint8_t> written() const { return buffer_.subspan(at_); }
  // Takes back what was written since `mark`.
  void Rewind(size_t mark) {
    at_ = mark;
    ok_ = true;
  }

  // Writes the header of everything since `mark`.
  void End(uint8_t tag, size_t mark);
  void Bytes(std::span<const uint8_t> bytes);
  void Octets(std::span<const uint8_t> bytes, uint8_t tag = kOctetString);
  void Integer(int64_t value, uint8_t tag = kInteger);
  void Unsigned(uint64_t value, uint8_t tag);
  void ObjectId(std::span<const uint32_t> ids);
  void Empty(uint8_t tag) { End(tag, at_); }

 private:
  void Byte(uint8_t byte);
  std::span<uint8_t> buffer_;
  size_t at_;
  bool ok_ = true;
};

}  // namespace gh::snmp
