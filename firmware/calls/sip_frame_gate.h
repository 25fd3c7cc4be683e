// The door before the stack: datagrams for SIP's ports that begin something are thrown away here,
// unread, when the engine says so; some are answered, in their own frame.
#pragma once

#include <array>

#include "firmware/sip/engine.h"
#include "hal/frame.h"
#include "net/stack.h"
#include "net/steering.h"

namespace gh {

class SipFrameGate final : public net::FrameTap {
 public:
  // `answers`: where a frame is sent by writing to a ring. Where the system has to be called for
  // it, an answer costs as much as to serve would.
  SipFrameGate(sip::Engine& engine, net::Stack& stack, bool answers)
      : engine_(engine), stack_(stack), answers_(answers) {}

  bool OnFrame(hal::Frame* frame, const net::PacketView* view) override {
    constexpr uint16_t kUdpHeaderSize = 8;
    if (!engine_.overload().is_active() || view == nullptr || view->is_fragment ||
        view->protocol != net::kProtocolUdp || view->l4_size <= kUdpHeaderSize) {
      return false;
    }
    const net::Endpoint remote{view->Source(frame->data()), view->source_port};
    const auto data =
        frame->bytes().subspan(view->l4 + kUdpHeaderSize, view->l4_size - kUdpHeaderSize);
    if (!engine_.DiscardsUnread(remote, view->destination_port, data)) {
      return false;
    }
    ByteWriter answer(answer_);
    if (!answers_ || !engine_.AnswersUnread(remote, data, answer) ||
        !stack_.Reply(frame, *view, answer.written())) {
      stack_.frames().Release(frame);
    }
    return true;
  }

 private:
  sip::Engine& engine_;
  net::Stack& stack_;
  const bool answers_;
  std::array<uint8_t, hal::kFrameBufferSize> answer_;
};

}  // namespace gh
