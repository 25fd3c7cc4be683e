// The data types of SSH (RFC 4251 section 5) over ByteReader and ByteWriter, and the numbers of its
// messages.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "hal/rt/bytes.h"

namespace gh::ssh {

enum Message : uint8_t {
  kMsgDisconnect = 1,
  kMsgIgnore = 2,
  kMsgUnimplemented = 3,
  kMsgDebug = 4,
  kMsgServiceRequest = 5,
  kMsgServiceAccept = 6,
  kMsgExtInfo = 7,
  kMsgKexInit = 20,
  kMsgNewKeys = 21,
  kMsgKexEcdhInit = 30,
  kMsgKexEcdhReply = 31,
  kMsgUserauthRequest = 50,
  kMsgUserauthFailure = 51,
  kMsgUserauthSuccess = 52,
  kMsgUserauthBanner = 53,
  kMsgUserauthPkOk = 60,
  kMsgGlobalRequest = 80,
  kMsgRequestSuccess = 81,
  kMsgRequestFailure = 82,
  kMsgChannelOpen = 90,
  kMsgChannelOpenConfirmation = 91,
  kMsgChannelOpenFailure = 92,
  kMsgChannelWindowAdjust = 93,
  kMsgChannelData = 94,
  kMsgChannelExtendedData = 95,
  kMsgChannelEof = 96,
  kMsgChannelClose = 97,
  kMsgChannelRequest = 98,
  kMsgChannelSuccess = 99,
  kMsgChannelFailure = 100,
};

enum class DisconnectReason : uint32_t {
  kHostNotAllowed = 1,
  kProtocolError = 2,
  kKeyExchangeFailed = 3,
  kMacError = 5,
  kServiceNotAvailable = 7,
  kVersionNotSupported = 8,
  kConnectionLost = 10,
  kByApplication = 11,
  kTooManyConnections = 12,
  kNoMoreAuthMethods = 14,
};

enum class OpenFailure : uint32_t {
  kProhibited = 1,
  kUnknownType = 3,
  kNoResources = 4,
};

inline std::span<const uint8_t> TakeString(ByteReader& in) { return in.Take(in.U32Be()); }
inline std::string_view TakeText(ByteReader& in) { return AsText(TakeString(in)); }
inline bool TakeBool(ByteReader& in) { return in.U8() != 0; }

inline void PutString(ByteWriter& out, std::span<const uint8_t> bytes) {
  out.U32Be(static_cast<uint32_t>(bytes.size()));
  out.Bytes(bytes);
}
inline void PutString(ByteWriter& out, std::string_view text) { PutString(out, AsBytes(text)); }

// A non-negative number, big-endian, as an mpint: no leading zeros but the one before a high bit.
inline void PutMpint(ByteWriter& out, std::span<const uint8_t> number) {
  while (!number.empty() && number[0] == 0) {
    number = number.subspan(1);
  }
  const bool has_high_bit = !number.empty() && (number[0] & 0x80) != 0;
  out.U32Be(static_cast<uint32_t>(number.size() + (has_high_bit ? 1 : 0)));
  if (has_high_bit) {
    out.U8(0);
  }
  out.Bytes(number);
}

// An mpint that is not negative, without its leading zero; failure of `in` otherwise.
inline std::span<const uint8_t> TakeMpint(ByteReader& in) {
  auto number = TakeString(in);
  if (!number.empty() && (number[0] & 0x80) != 0) {
    in.Skip(SIZE_MAX);
    return {};
  }
  while (!number.empty() && number[0] == 0) {
    number = number.subspan(1);
  }
  return number;
}

// The first name of a name-list, which is taken off it. Empty names are not names.
inline std::string_view TakeName(std::string_view& list) {
  const size_t comma = list.find(',');
  const std::string_view name = list.substr(0, comma);
  list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
  return name;
}

inline bool ListHas(std::string_view list, std::string_view wanted) {
  while (!list.empty()) {
    if (TakeName(list) == wanted) {
      return true;
    }
  }
  return false;
}

}  // namespace gh::ssh
