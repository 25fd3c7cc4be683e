// Ping and traceroute: echo requests out, replies and the ICMP errors that quote them in.
#include <cstring>

#include "net/checksum.h"
#include "net/lwip_glue.h"
#include "net/stack.h"

extern "C" {
#include "lwip/ip.h"
#include "lwip/ip4.h"
#include "lwip/ip6.h"
}

namespace gh::net {
namespace {

constexpr uint32_t kEchoHeaderSize = 8;
constexpr uint8_t kEchoReply4 = 0;
constexpr uint8_t kUnreachable4 = 3;
constexpr uint8_t kEchoRequest4 = 8;
constexpr uint8_t kTimeExceeded4 = 11;
constexpr uint8_t kUnreachable6 = 1;
constexpr uint8_t kTooBig6 = 2;
constexpr uint8_t kTimeExceeded6 = 3;
constexpr uint8_t kEchoRequest6 = 128;
constexpr uint8_t kEchoReply6 = 129;

bool SumIsGood(const hal::Frame& frame, const PacketView& view) {
  const uint8_t* bytes = frame.data();
  const uint16_t start =
      view.is_v6 ? PseudoHeaderSum({bytes + view.l3 + 8, 32}, kProtocolIcmpv6, view.l4_size)
                 : uint16_t{0};
  return ChecksumSum({bytes + view.l4, view.l4_size}, start) == 0xffff;
}

}  // namespace

void Stack::SetEchoObserver(EchoObserver* observer, uint16_t identifier) {
  echo_observer_ = observer;
  echo_identifier_ = identifier;
}

Result<void> Stack::SendEcho(const IpAddress& to, uint16_t sequence, uint8_t hop_limit,
                             uint16_t size) {
  if (size > kEchoSizeMax || to.is_none() || to.is_unspecified() || to.is_multicast()) {
    return Error(ErrorCode::kInvalidArgument, "expected a host's address and at most 1400 bytes");
  }
  LwipScope scope(lwip_);
  netif* out = to.is_v6() ? RouteIpv6({}, to) : RouteIpv4({}, to);
  const ip_addr_t remote = ToLwip(to);
  const ip_addr_t* chosen = out == nullptr ? nullptr : ip_netif_get_local_ip(out, &remote);
  if (chosen == nullptr || ip_addr_isany(chosen)) {
    return Error(ErrorCode::kUnreachable, "no route");
  }
  const IpAddress source = FromLwip(*chosen);
  hal::Frame* frame = frames_.Allocate();
  if (frame == nullptr) {
    return ErrorCode::kExhausted;
  }
  const uint32_t total = kEchoHeaderSize + size;
  uint8_t* icmp = frame->buffer + kFramePayloadStart;
  icmp[0] = to.is_v6() ? kEchoRequest6 : kEchoRequest4;
  icmp[1] = 0;
  StoreBe16(icmp + 2, 0);
  StoreBe16(icmp + 4, echo_identifier_);
  StoreBe16(icmp + 6, sequence);
  for (uint16_t i = 0; i < size; ++i) {
    icmp[kEchoHeaderSize + i] = static_cast<uint8_t>('a' + i % 26);
  }
  uint16_t start = 0;
  if (to.is_v6()) {
    uint8_t addresses[32];
    std::memcpy(addresses, source.bytes.data(), 16);
    std::memcpy(addresses + 16, to.bytes.data(), 16);
    start = PseudoHeaderSum(addresses, kProtocolIcmpv6, total);
  }
  const auto sum = static_cast<uint16_t>(~ChecksumSum({icmp, total}, start));
  std::memcpy(icmp + 2, &sum, 2);
  pbuf* p = &FramePbuf::Make(frames_, frame, kFramePayloadStart, total)->custom.pbuf;
  err_t error = ERR_OK;
  if (to.is_v6()) {
    ip6_addr_t from6 = ToLwip6(source);
    ip6_addr_t to6 = ToLwip6(to);
    ip6_addr_assign_zone(&from6, IP6_UNICAST, out);
    ip6_addr_assign_zone(&to6, IP6_UNKNOWN, out);
    error = ip6_output_if_src(p, &from6, &to6, hop_limit, 0, kProtocolIcmpv6, out);
  } else {
    const ip4_addr_t from4 = ToLwip4(source);
    const ip4_addr_t to4 = ToLwip4(to);
    error = ip4_output_if_src(p, &from4, &to4, hop_limit, 0, kProtocolIcmp, out);
  }
  pbuf_free(p);
  FlushSoon();
  return error == ERR_OK ? Ok() : Result<void>(Error(ErrorCode::kUnreachable, "no way out"));
}

// The request of ours that an ICMP error quotes, as its sequence number; negative: none.
int32_t Stack::QuotedEcho(const hal::Frame& frame, const PacketView& view) const {
  if (view.l4_size <= kEchoHeaderSize) {
    return -1;
  }
  const auto bytes =
      frame.bytes().subspan(view.l4 + kEchoHeaderSize, view.l4_size - kEchoHeaderSize);
  PacketView quoted;
  if (!ParseQuotedPacket(bytes, view.is_v6, quoted).ok() || quoted.is_fragment ||
      quoted.protocol != view.protocol || bytes.size() < quoted.l4 + kEchoHeaderSize) {
    return -1;
  }
  const uint8_t* icmp = bytes.data() + quoted.l4;
  const bool ours = icmp[0] == (view.is_v6 ? kEchoRequest6 : kEchoRequest4) &&
                    LoadBe16(icmp + 4) == echo_identifier_;
  return ours ? LoadBe16(icmp + 6) : -1;
}

// True: it answered the asker, and is released.
bool Stack::TakeEcho(Port& port, hal::Frame* frame, const PacketView& view) {
  if (echo_observer_ == nullptr || view.l4_size < kEchoHeaderSize ||
      !IsOwnAddress(port, frame->data(), view)) {
    return false;
  }
  const uint8_t type = view.icmp_type;
  const bool is_reply = type == (view.is_v6 ? kEchoReply6 : kEchoReply4);
  const bool is_expiry = type == (view.is_v6 ? kTimeExceeded6 : kTimeExceeded4);
  const bool is_error =
      view.is_v6 ? type == kUnreachable6 || type == kTooBig6 : type == kUnreachable4;
  if ((!is_reply && !is_expiry && !is_error) || !SumIsGood(*frame, view)) {
    return false;
  }
  const uint8_t* icmp = frame->data() + view.l4;
  int32_t sequence = -1;
  if (is_reply) {
    sequence = LoadBe16(icmp + 4) == echo_identifier_ ? LoadBe16(icmp + 6) : -1;
  } else {
    sequence = QuotedEcho(*frame, view);
  }
  if (sequence < 0) {
    return false;
  }
  EchoEvent event;
  event.outcome = is_reply    ? EchoOutcome::kReply
                  : is_expiry ? EchoOutcome::kTimeExceeded
                              : EchoOutcome::kUnreachable;
  event.from = view.Source(frame->data());
  event.sequence = static_cast<uint16_t>(sequence);
  event.hop_limit = view.hop_limit;
  event.code = view.icmp_code;
  event.size = static_cast<uint16_t>(view.l4_size - kEchoHeaderSize);
  frames_.Release(frame);
  echo_observer_->OnEcho(event);
  return true;
}

}  // namespace gh::net
