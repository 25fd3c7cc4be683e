// The steering seam: who sees a frame before the control plane's stack does.
#pragma once

#include <span>

#include "hal/ethernet_port.h"
#include "hal/frame.h"
#include "net/packet.h"

namespace gh::net {

// Taps are asked in the order they were registered, the media plane first.
class FrameTap {
 public:
  // True: the frame is the tap's from now on (it transmits or releases it). False: untouched.
  // `view` is null when the frame is no packet ParsePacket understands.
  virtual bool OnFrame(hal::Frame* frame, const PacketView* view) = 0;
  // A datagram that came in fragments, for a port that no socket has. False: not the tap's either.
  virtual bool OnReassembled(const Endpoint& /*local*/, const Endpoint& /*remote*/,
                             std::span<uint8_t> /*data*/) {
    return false;
  }

 protected:
  ~FrameTap() = default;
};

// Where a packet goes on the wire: what a frame of the media plane begins with.
struct NextHop {
  hal::MacAddress destination = {};
  hal::MacAddress source = {};
  uint16_t mtu = 0;
  uint8_t port_index = 0;
  bool fills_checksum = false;
};

}  // namespace gh::net
