// Echo requests of our own (ping, traceroute): what comes back, for whoever asks. Sent by
// Stack::SendEcho; one asker at a time, told apart from strangers by a random identifier.
#pragma once

#include <cstdint>

#include "net/address.h"

namespace gh::net {

inline constexpr uint16_t kEchoSizeMax = 1400;  // of the payload: no fragments on any of our ports

enum class EchoOutcome : uint8_t { kReply, kTimeExceeded, kUnreachable };

struct EchoEvent {
  EchoOutcome outcome = EchoOutcome::kReply;
  IpAddress from;
  uint16_t sequence = 0;
  uint8_t hop_limit = 0;  // left, of a reply
  uint8_t code = 0;       // of an ICMP error
  uint16_t size = 0;      // payload of a reply
};

class EchoObserver {
 public:
  virtual void OnEcho(const EchoEvent& event) = 0;

 protected:
  ~EchoObserver() = default;
};

}  // namespace gh::net
