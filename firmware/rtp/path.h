// One direction of a relayed stream: what is done to each packet, on whichever plane passes it.
//
// A packet is checked to be RTP or RTCP, taken out of the sender's protection, counted, and put
// under the receiver's. Where neither side's keys are ours it passes as it came. Invariant: one
// plane at a time is in OnPayload() (media::Plane::Hold); keys change only while no flow leads
// here.
#pragma once

#include <cstdint>
#include <span>

#include "firmware/media/flow.h"
#include "firmware/rtp/srtp.h"
#include "firmware/rtp/stream_meter.h"

namespace gh::rtp {

inline constexpr uint32_t kComponentCount = 2;  // RTP, RTCP

enum class Carry : uint8_t {
  kRtp,   // RTP and RTCP alone pass
  kDtls,  // and DTLS: keys are agreed end to end
  kAny,   // another protocol over UDP
};

// RFC 5761 4: with rtcp-mux, by the second byte.
constexpr bool IsRtcpType(uint8_t second) { return second >= 192 && second <= 223; }

class Path final : public media::FlowProcessor {
 public:
  static constexpr uint32_t kRtpTag = 0;
  static constexpr uint32_t kRtcpTag = 1;

  // Null: not protected, or not by us.
  SrtpContext* from_sender = nullptr;
  SrtpContext* to_receiver = nullptr;
  Carry carry = Carry::kRtp;
  // The sender's STUN and DTLS are for us; or its STUN alone.
  bool is_web = false;
  bool is_ice = false;
  // STUN is the parties' own, and passes.
  bool carries_stun = false;
  // It sends RTCP by the port of RTP, and the receiver hears it by another one.
  bool splits_rtcp = false;
  StreamMeter meter;
  media::Meter passed;
  // Flows in force, by component.
  media::Flow* flows[kComponentCount] = {};

  // In a flow, which leads to one place: what has to go elsewhere is the engine's.
  int32_t OnPayload(std::span<uint8_t> buffer, uint32_t size, uint32_t tag, Instant now) override;
  // The same for the engine, who knows where to.
  int32_t Convert(std::span<uint8_t> buffer, uint32_t size, uint32_t tag, Instant now);

 private:
  int32_t OnRtp(std::span<uint8_t> buffer, uint32_t size, Instant now);
  int32_t OnRtcp(std::span<uint8_t> buffer, uint32_t size);
  int32_t Refuse(ErrorCode code);
};

}  // namespace gh::rtp
