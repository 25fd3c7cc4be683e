#include "firmware/rtp/path.h"

#include "firmware/rtp/dtls.h"
#include "firmware/rtp/ice.h"

namespace gh::rtp {

int32_t Path::Refuse(ErrorCode code) {
  StreamCounters& counters = meter.counters;
  ++(code == ErrorCode::kUnauthentic     ? counters.unauthentic
     : code == ErrorCode::kAlreadyExists ? counters.repeated
                                         : counters.malformed);
  return kDrop;
}

int32_t Path::OnPayload(std::span<uint8_t> buffer, uint32_t size, uint32_t tag, Instant now) {
  const bool is_ours =
      size >= 1 && (((is_web || is_ice) && IsStun(buffer[0])) || (is_web && IsDtls(buffer[0])));
  if (is_ours || (splits_rtcp && size >= 2 && IsRtcpType(buffer[1]))) {
    return kToEngine;
  }
  return Convert(buffer, size, tag, now);
}

int32_t Path::Convert(std::span<uint8_t> buffer, uint32_t size, uint32_t tag, Instant now) {
  if (carry == Carry::kAny) {
    ++meter.counters.received;
    meter.counters.bytes += size;
    return static_cast<int32_t>(size);
  }
  if (size < 2) {
    return Refuse(ErrorCode::kMalformed);
  }
  if ((carry == Carry::kDtls && IsDtls(buffer[0])) || (carries_stun && IsStun(buffer[0]))) {
    return static_cast<int32_t>(size);
  }
  return tag == kRtcpTag || IsRtcpType(buffer[1]) ? OnRtcp(buffer, size) : OnRtp(buffer, size, now);
}

int32_t Path::OnRtp(std::span<uint8_t> buffer, uint32_t size, Instant now) {
  if (from_sender != nullptr) {
    const auto plain = from_sender->Unprotect(buffer, size);
    if (!plain.ok()) {
      return Refuse(plain.code());
    }
    size = *plain;
  }
  if (RtpHeaderSize(buffer.first(size)) == 0) {
    return Refuse(ErrorCode::kMalformed);
  }
  meter.OnRtp(buffer.first(size), now);
  if (to_receiver != nullptr) {
    const auto sealed = to_receiver->Protect(buffer, size);
    if (!sealed.ok()) {
      return Refuse(sealed.code());
    }
    size = *sealed;
  }
  return static_cast<int32_t>(size);
}

int32_t Path::OnRtcp(std::span<uint8_t> buffer, uint32_t size) {
  if (from_sender != nullptr) {
    const auto plain = from_sender->UnprotectRtcp(buffer, size);
    if (!plain.ok()) {
      return Refuse(plain.code());
    }
    size = *plain;
  }
  if (size < 8 || buffer[0] >> 6 != 2 || !IsRtcpType(buffer[1])) {
    return Refuse(ErrorCode::kMalformed);
  }
  meter.OnRtcp(buffer.first(size));
  if (to_receiver != nullptr) {
    const auto sealed = to_receiver->ProtectRtcp(buffer, size);
    if (!sealed.ok()) {
      return Refuse(sealed.code());
    }
    size = *sealed;
  }
  return static_cast<int32_t>(size);
}

}  // namespace gh::rtp
