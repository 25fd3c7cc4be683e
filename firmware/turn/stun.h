// STUN messages (RFC 8489) and ChannelData (RFC 8656 12.4): pure functions over bytes.
//
// A Message is an index over the bytes it was parsed from: nothing is copied, every offset lies
// within them. What stands behind MESSAGE-INTEGRITY is not seen, but MESSAGE-INTEGRITY-SHA256 and
// FINGERPRINT; a FINGERPRINT that is there must be right. Parse() takes whole messages only: one
// datagram, or what FrameSize() cut from a stream.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "firmware/turn/limits.h"
#include "hal/rt/bytes.h"
#include "hal/rt/result.h"
#include "net/address.h"

namespace gh::turn {

inline constexpr uint32_t kStunHeaderSize = 20;
inline constexpr uint32_t kMagicCookie = 0x2112a442;
inline constexpr uint32_t kChannelHeaderSize = 4;

enum class Method : uint16_t {
  kBinding = 1,
  kAllocate = 3,
  kRefresh = 4,
  kSend = 6,
  kData = 7,
  kCreatePermission = 8,
  kChannelBind = 9,
  kConnect = 10,  // RFC 6062
  kConnectionBind = 11,
  kConnectionAttempt = 12,
};
enum class Class : uint8_t { kRequest = 0, kIndication = 1, kSuccess = 2, kError = 3 };

enum Attribute : uint16_t {
  kMappedAddress = 0x0001,
  kChangeRequest = 0x0003,
  kUserName = 0x0006,
  kMessageIntegrity = 0x0008,
  kErrorCode = 0x0009,
  kUnknownAttributes = 0x000a,
  kChannelNumber = 0x000c,
  kLifetime = 0x000d,
  kXorPeerAddress = 0x0012,
  kData = 0x0013,
  kRealm = 0x0014,
  kNonce = 0x0015,
  kXorRelayedAddress = 0x0016,
  kRequestedAddressFamily = 0x0017,
  kEvenPort = 0x0018,
  kRequestedTransport = 0x0019,
  kDontFragment = 0x001a,
  kAccessToken = 0x001b,
  kMessageIntegritySha256 = 0x001c,
  kPasswordAlgorithm = 0x001d,
  kUserHash = 0x001e,
  kXorMappedAddress = 0x0020,
  kReservationToken = 0x0022,
  kPadding = 0x0026,
  kResponsePort = 0x0027,
  kConnectionId = 0x002a,
  // Comprehension optional from here on.
  kAdditionalAddressFamily = 0x8000,
  kAddressErrorCode = 0x8001,
  kPasswordAlgorithms = 0x8002,
  kIcmp = 0x8004,
  kSoftware = 0x8022,
  kAlternateServer = 0x8023,
  kFingerprint = 0x8028,
  kResponseOrigin = 0x802b,
  kOtherAddress = 0x802c,
  kThirdPartyAuthorization = 0x802e,
  kOrigin = 0x802f,  // draft-ietf-tram-stun-origin
  kMobilityTicket = 0x8030,
};

using TransactionId = std::array<uint8_t, 12>;
enum class Integrity : uint8_t { kNone, kSha1, kSha256 };

class Message {
 public:
  // kMalformed: not a STUN message, cut short, too much of it, or a wrong FINGERPRINT.
  static Result<Message> Parse(std::span<const uint8_t> bytes);

  Class cls() const { return cls_; }
  Method method() const { return method_; }
  const TransactionId& transaction() const { return transaction_; }
  size_t size() const { return bytes_.size(); }

  bool Has(uint16_t type) const { return Find(type) != nullptr; }
  // The first of its type; empty when there is none.
  std::span<const uint8_t> Value(uint16_t type, uint32_t index = 0) const;
  std::string_view Text(uint16_t type, uint32_t index = 0) const {
    return AsText(Value(type, index));
  }
  // kNotFound; kMalformed: not four bytes.
  Result<uint32_t> U32(uint16_t type) const;
  // The `index`th of its type. kNotFound; kMalformed: not an address.
  Result<net::Endpoint> XorAddress(uint16_t type, uint32_t index = 0) const;
  uint32_t Count(uint16_t type) const;

  // Attributes that must be understood and are not, in the order they came.
  std::span<const uint16_t> unknown() const { return {unknown_.data(), unknown_count_}; }
  // The stronger of those that are there; and whether it is right under `key`.
  Integrity integrity() const;
  bool IsAuthentic(std::span<const uint8_t> key) const;

 private:
  struct Entry {
    uint16_t type = 0;
    uint16_t offset = 0;  // of the value
    uint16_t size = 0;
  };
  const Entry* Find(uint16_t type, uint32_t index = 0) const;
  Result<void> Index();
  bool Take(const Entry& entry);

  std::span<const uint8_t> bytes_;
  Class cls_ = Class::kRequest;
  Method method_ = Method::kBinding;
  TransactionId transaction_ = {};
  std::array<Entry, kAttributeMax> entries_ = {};
  uint32_t entry_count_ = 0;
  uint16_t sha1_at_ = 0;  // offset of the attribute, 0: none
  uint16_t sha256_at_ = 0;
  std::array<uint16_t, kUnknownMax> unknown_ = {};
  uint32_t unknown_count_ = 0;
};

// Writes one message into `out`; what does not fit makes Finish() empty.
class Builder {
 public:
  Builder(std::span<uint8_t> out, Class cls, Method method, const TransactionId& transaction);

  void Bytes(uint16_t type, std::span<const uint8_t> value);
  void Text(uint16_t type, std::string_view value) { Bytes(type, AsBytes(value)); }
  void U32(uint16_t type, uint32_t value);
  void XorAddress(uint16_t type, const net::Endpoint& value);
  void PlainAddress(uint16_t type, const net::Endpoint& value);  // ALTERNATE-SERVER
  void Error(uint16_t code);
  // Over all that was written so far. `key`: 16 or 32 bytes of long-term key.
  void Sign(Integrity integrity, std::span<const uint8_t> key);
  void Fingerprint();
  std::span<const uint8_t> Finish();

 private:
  void SetLength(size_t size_behind);
  void Address(uint16_t type, const net::Endpoint& value, bool is_xored);

  std::span<uint8_t> out_;
  ByteWriter writer_;
};

// What is at the head of a stream: bytes of the next frame with its padding. 0: not enough is here
// to tell. kMalformed: neither STUN nor ChannelData, or too large.
Result<uint32_t> FrameSize(std::span<const uint8_t> bytes);

struct ChannelData {
  uint16_t number = 0;
  std::span<const uint8_t> data;
};
// Padding behind the data is allowed and left out.
Result<ChannelData> ParseChannelData(std::span<const uint8_t> bytes);

inline bool IsChannelData(std::span<const uint8_t> bytes) {
  return !bytes.empty() && bytes[0] >> 6 == 1;
}

}  // namespace gh::turn
