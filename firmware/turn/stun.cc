#include "firmware/turn/stun.h"

#include <algorithm>

#include "crypto/legacy.h"
#include "crypto/mac.h"
#include "hal/rt/crc32.h"
#include "hal/rt/secret.h"

namespace gh::turn {
namespace {

constexpr uint32_t kFingerprintXor = 0x5354554e;
constexpr uint32_t kAttributeHeaderSize = 4;
constexpr size_t kSha1Size = crypto::Sha1::kSize;
constexpr size_t kSha256Size = crypto::HmacSha256::kSize;

uint16_t Load16(const uint8_t* p) { return static_cast<uint16_t>(p[0] << 8 | p[1]); }
uint32_t Load32(const uint8_t* p) { return static_cast<uint32_t>(Load16(p)) << 16 | Load16(p + 2); }

constexpr size_t Padded(size_t size) { return (size + 3) & ~size_t{3}; }

// A message's first bytes with the length its integrity is computed with (RFC 8489 14.5).
struct Prefix {
  Prefix(std::span<const uint8_t> prefix, size_t length) : size(prefix.size()) {
    std::copy(prefix.begin(), prefix.end(), bytes.begin());
    bytes[2] = static_cast<uint8_t>(length >> 8);
    bytes[3] = static_cast<uint8_t>(length);
  }
  std::span<const uint8_t> view() const { return std::span(bytes).first(size); }
  std::array<uint8_t, kMessageMax> bytes;
  size_t size;
};

bool MustBeKnown(uint16_t type) {
  switch (type) {
    case kMappedAddress:
    case kChangeRequest:
    case kUserName:
    case kMessageIntegrity:
    case kErrorCode:
    case kUnknownAttributes:
    case kChannelNumber:
    case kLifetime:
    case kXorPeerAddress:
    case kData:
    case kRealm:
    case kNonce:
    case kXorRelayedAddress:
    case kRequestedAddressFamily:
    case kEvenPort:
    case kRequestedTransport:
    case kDontFragment:
    case kAccessToken:
    case kMessageIntegritySha256:
    case kPasswordAlgorithm:
    case kUserHash:
    case kXorMappedAddress:
    case kReservationToken:
    case kPadding:
    case kResponsePort:
    case kConnectionId:
      return false;  // and is
    default:
      return type < 0x8000;
  }
}

}  // namespace

Result<Message> Message::Parse(std::span<const uint8_t> bytes) {
  if (bytes.size() < kStunHeaderSize || bytes.size() > kMessageMax || bytes[0] >> 6 != 0 ||
      Load32(&bytes[4]) != kMagicCookie) {
    return ErrorCode::kMalformed;
  }
  const size_t length = Load16(&bytes[2]);
  if (length % 4 != 0 || length + kStunHeaderSize != bytes.size()) {
    return ErrorCode::kMalformed;
  }
  Message message;
  message.bytes_ = bytes;
  const uint16_t type = Load16(bytes.data());
  message.cls_ = static_cast<Class>((type >> 7 & 2) | (type >> 4 & 1));
  message.method_ = static_cast<Method>((type & 0xf) | (type >> 1 & 0x70) | (type >> 2 & 0xf80));
  std::copy_n(bytes.begin() + 8, message.transaction_.size(), message.transaction_.begin());
  if (const auto indexed = message.Index(); !indexed.ok()) {
    return indexed.error();
  }
  return message;
}

Result<void> Message::Index() {
  size_t at = kStunHeaderSize;
  while (at < bytes_.size()) {
    if (bytes_.size() - at < kAttributeHeaderSize) {
      return ErrorCode::kMalformed;
    }
    Entry entry;
    entry.type = Load16(&bytes_[at]);
    entry.size = Load16(&bytes_[at + 2]);
    entry.offset = static_cast<uint16_t>(at + kAttributeHeaderSize);
    if (Padded(entry.size) > bytes_.size() - entry.offset) {
      return ErrorCode::kMalformed;
    }
    if (!Take(entry)) {
      return ErrorCode::kMalformed;
    }
    at = entry.offset + Padded(entry.size);
  }
  return Ok();
}

// False: the message is to be given up.
bool Message::Take(const Entry& entry) {
  const auto at = static_cast<uint16_t>(entry.offset - kAttributeHeaderSize);
  if (entry.type == kFingerprint) {
    const uint32_t crc = Crc32(bytes_.first(at)) ^ kFingerprintXor;
    return entry.size == 4 && at + 8u == bytes_.size() && Load32(&bytes_[entry.offset]) == crc;
  }
  if (sha256_at_ != 0 || (sha1_at_ != 0 && entry.type != kMessageIntegritySha256)) {
    return true;  // not covered by the integrity before it: as if it were not there
  }
  if (entry.type == kMessageIntegrity) {
    sha1_at_ = at;
    return entry.size == kSha1Size;
  }
  if (entry.type == kMessageIntegritySha256) {
    sha256_at_ = at;
    return entry.size == kSha256Size;  // TURN does not agree on a shorter one
  }
  if (MustBeKnown(entry.type)) {
    if (unknown_count_ < unknown_.size()) {
      unknown_[unknown_count_++] = entry.type;
    }
    return true;
  }
  if (entry_count_ == entries_.size()) {
    return false;
  }
  entries_[entry_count_++] = entry;
  return true;
}

const Message::Entry* Message::Find(uint16_t type, uint32_t index) const {
  for (const Entry& entry : std::span(entries_).first(entry_count_)) {
    if (entry.type == type && index-- == 0) {
      return &entry;
    }
  }
  return nullptr;
}

uint32_t Message::Count(uint16_t type) const {
  return static_cast<uint32_t>(
      std::count_if(entries_.begin(), entries_.begin() + entry_count_,
                    [type](const Entry& entry) { return entry.type == type; }));
}

std::span<const uint8_t> Message::Value(uint16_t type, uint32_t index) const {
  const Entry* entry = Find(type, index);
  return entry == nullptr ? std::span<const uint8_t>() : bytes_.subspan(entry->offset, entry->size);
}

Result<uint32_t> Message::U32(uint16_t type) const {
  const Entry* entry = Find(type);
  if (entry == nullptr) {
    return ErrorCode::kNotFound;
  }
  if (entry->size != 4) {
    return ErrorCode::kMalformed;
  }
  return Load32(&bytes_[entry->offset]);
}

Result<net::Endpoint> Message::XorAddress(uint16_t type, uint32_t index) const {
  const Entry* entry = Find(type, index);
  if (entry == nullptr) {
    return ErrorCode::kNotFound;
  }
  const auto value = bytes_.subspan(entry->offset, entry->size);
  if (value.size() < 4) {
    return ErrorCode::kMalformed;
  }
  const bool is_v4 = value[1] == 1 && value.size() == 8;
  const bool is_v6 = value[1] == 2 && value.size() == 20;
  if (!is_v4 && !is_v6) {
    return ErrorCode::kMalformed;
  }
  net::Endpoint out;
  out.port = static_cast<uint16_t>(Load16(&value[2]) ^ kMagicCookie >> 16);
  out.address.family = is_v4 ? net::IpFamily::kIpv4 : net::IpFamily::kIpv6;
  for (size_t i = 0; i < value.size() - 4; ++i) {
    out.address.bytes[i] = value[4 + i] ^ bytes_[4 + i];  // the cookie, then the transaction
  }
  return out;
}

Integrity Message::integrity() const {
  return sha256_at_ != 0 ? Integrity::kSha256 : sha1_at_ != 0 ? Integrity::kSha1 : Integrity::kNone;
}

bool Message::IsAuthentic(std::span<const uint8_t> key) const {
  const size_t at = sha256_at_ != 0 ? sha256_at_ : sha1_at_;
  if (at == 0) {
    return false;
  }
  const bool is_sha256 = sha256_at_ != 0;
  const size_t tag_size = is_sha256 ? kSha256Size : kSha1Size;
  const Prefix prefix(bytes_.first(at), at + kAttributeHeaderSize + tag_size - kStunHeaderSize);
  const auto tag = bytes_.subspan(at + kAttributeHeaderSize, tag_size);
  return is_sha256 ? ConstantTimeEqual(crypto::HmacSha256::Of(key, prefix.view()), tag)
                   : ConstantTimeEqual(crypto::HmacSha1(key, prefix.view()), tag);
}

// --- Writing ------------------------------------------------------------------------------------

Builder::Builder(std::span<uint8_t> out, Class cls, Method method, const TransactionId& transaction)
    : out_(out), writer_(out) {
  const auto m = static_cast<uint16_t>(method);
  const auto c = static_cast<uint16_t>(cls);
  writer_.U16Be(static_cast<uint16_t>((m & 0xf) | (m & 0x70) << 1 | (m & 0xf80) << 2 |
                                      (c & 1) << 4 | (c & 2) << 7));
  writer_.U16Be(0);
  writer_.U32Be(kMagicCookie);
  writer_.Bytes(transaction);
}

void Builder::Bytes(uint16_t type, std::span<const uint8_t> value) {
  writer_.U16Be(type);
  writer_.U16Be(static_cast<uint16_t>(value.size()));
  writer_.Bytes(value);
  for (size_t i = value.size(); i < Padded(value.size()); ++i) {
    writer_.U8(0);
  }
}

void Builder::U32(uint16_t type, uint32_t value) {
  writer_.U16Be(type);
  writer_.U16Be(4);
  writer_.U32Be(value);
}

void Builder::Address(uint16_t type, const net::Endpoint& value, bool is_xored) {
  uint8_t bytes[20] = {0, static_cast<uint8_t>(value.address.is_v6() ? 2 : 1)};
  const auto port = static_cast<uint16_t>(value.port ^ (is_xored ? kMagicCookie >> 16 : 0));
  bytes[2] = static_cast<uint8_t>(port >> 8);
  bytes[3] = static_cast<uint8_t>(port);
  const size_t size = value.address.byte_count();
  for (size_t i = 0; i < size; ++i) {
    bytes[4 + i] =
        static_cast<uint8_t>(value.address.bytes[i] ^ (is_xored && writer_.ok() ? out_[4 + i] : 0));
  }
  Bytes(type, std::span<const uint8_t>(bytes).first(4 + size));
}

void Builder::XorAddress(uint16_t type, const net::Endpoint& value) { Address(type, value, true); }
void Builder::PlainAddress(uint16_t type, const net::Endpoint& value) {
  Address(type, value, false);
}

// No reason phrase: it tells nothing the number does not, and is sent to strangers.
void Builder::Error(uint16_t code) {
  U32(kErrorCode, static_cast<uint32_t>(code / 100) << 8 | code % 100);
}

void Builder::SetLength(size_t size_behind) {
  if (writer_.ok()) {
    const size_t length = writer_.size() + size_behind - kStunHeaderSize;
    out_[2] = static_cast<uint8_t>(length >> 8);
    out_[3] = static_cast<uint8_t>(length);
  }
}

void Builder::Sign(Integrity integrity, std::span<const uint8_t> key) {
  if (!writer_.ok() || integrity == Integrity::kNone) {
    return;
  }
  if (integrity == Integrity::kSha256) {
    SetLength(kAttributeHeaderSize + kSha256Size);
    Bytes(kMessageIntegritySha256, crypto::HmacSha256::Of(key, writer_.written()));
    return;
  }
  SetLength(kAttributeHeaderSize + kSha1Size);
  Bytes(kMessageIntegrity, crypto::HmacSha1(key, writer_.written()));
}

void Builder::Fingerprint() {
  SetLength(8);
  U32(kFingerprint, Crc32(writer_.written()) ^ kFingerprintXor);
}

std::span<const uint8_t> Builder::Finish() {
  SetLength(0);
  return writer_.ok() ? std::span<const uint8_t>(writer_.written()) : std::span<const uint8_t>();
}

// --- Framing ------------------------------------------------------------------------------------

Result<uint32_t> FrameSize(std::span<const uint8_t> bytes) {
  if (bytes.size() < 4) {
    return !bytes.empty() && bytes[0] >> 6 > 1 ? Result<uint32_t>(ErrorCode::kMalformed)
                                               : Result<uint32_t>(0u);
  }
  const uint32_t length = Load16(&bytes[2]);
  uint32_t size = 0;
  if (bytes[0] >> 6 == 0) {
    size = kStunHeaderSize + length;
    if (length % 4 != 0 || (bytes.size() >= 8 && Load32(&bytes[4]) != kMagicCookie)) {
      return ErrorCode::kMalformed;
    }
  } else if (bytes[0] >> 6 == 1) {
    size = static_cast<uint32_t>(kChannelHeaderSize + Padded(length));
  } else {
    return ErrorCode::kMalformed;
  }
  return size > kMessageMax ? Result<uint32_t>(ErrorCode::kMalformed) : Result<uint32_t>(size);
}

Result<ChannelData> ParseChannelData(std::span<const uint8_t> bytes) {
  if (bytes.size() < kChannelHeaderSize || !IsChannelData(bytes)) {
    return ErrorCode::kMalformed;
  }
  const size_t length = Load16(&bytes[2]);
  if (length > bytes.size() - kChannelHeaderSize) {
    return ErrorCode::kMalformed;
  }
  return ChannelData{Load16(bytes.data()), bytes.subspan(kChannelHeaderSize, length)};
}

}  // namespace gh::turn
