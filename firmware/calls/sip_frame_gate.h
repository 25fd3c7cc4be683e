// The door before the stack: datagrams for SIP's ports that begin something are thrown away here,
// unread, when the engine says so.
#pragma once

#include "firmware/sip/engine.h"
#include "hal/frame.h"
#include "net/steering.h"

namespace gh {

class SipFrameGate final : public net::FrameTap {
 public:
  SipFrameGate(sip::Engine& engine, hal::FramePool& frames) : engine_(engine), frames_(frames) {}

  bool OnFrame(hal::Frame* frame, const net::PacketView* view) override {
    constexpr uint16_t kUdpHeaderSize = 8;
    if (!engine_.overload().is_active() || view == nullptr || view->is_fragment ||
        view->protocol != net::kProtocolUdp || view->l4_size <= kUdpHeaderSize) {
      return false;
    }
    const net::Endpoint remote{view->Source(frame->data()), view->source_port};
    if (!engine_.DiscardsUnread(
            remote, view->destination_port,
            frame->bytes().subspan(view->l4 + kUdpHeaderSize, view->l4_size - kUdpHeaderSize))) {
      return false;
    }
    frames_.Release(frame);
    return true;
  }

 private:
  sip::Engine& engine_;
  hal::FramePool& frames_;
};

}  // namespace gh
