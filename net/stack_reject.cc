// The answer to what a filter rule rejects: a TCP reset, or an ICMP error that says it is
// prohibited (RFC 1812 5.2.7.1, RFC 4443 3.1).
//
// Answers are bounded (a rejected flood with forged senders must not become one of ours) and go out
// the way the packet came: to its sender's MAC, whatever the routes say. What is not worth an
// answer is dropped: damaged packets, packets with IP options or extension headers.
#include <algorithm>
#include <cstring>

#include "net/checksum.h"
#include "net/stack.h"
#include "net/turn_around.h"

namespace gh::net {
namespace {

constexpr uint32_t kTcpHeader = 20;
constexpr uint32_t kIcmpErrorHeader = 8;
constexpr uint8_t kUnreachable4 = 3;
constexpr uint8_t kProhibited4 = 13;
constexpr uint8_t kUnreachable6 = 1;
constexpr uint8_t kProhibited6 = 1;
constexpr uint32_t kQuoteMax4 = 576 - 20 - kIcmpErrorHeader;
constexpr uint32_t kQuoteMax6 = 1280 - 40 - kIcmpErrorHeader;

bool TransportSumIsGood(const hal::Frame& frame, const PacketView& view) {
  const uint8_t* bytes = frame.data();
  if ((frame.flags & hal::kFrameChecksumGood) != 0) {
    return true;
  }
  const bool has_none =
      view.protocol == kProtocolUdp && !view.is_v6 && LoadBe16(bytes + view.l4 + 6) == 0;
  const uint16_t start =
      view.protocol == kProtocolIcmp
          ? uint16_t{0}
          : PseudoHeaderSum(AddressesOf(bytes, view), view.protocol, view.l4_size);
  return has_none || ChecksumSum({bytes + view.l4, view.l4_size}, start) == 0xffff;
}

// The request becomes its reset (RFC 9293 3.10.7.1).
void MakeReset(hal::Frame& frame, const PacketView& view) {
  uint8_t* bytes = frame.data();
  uint8_t* tcp = bytes + view.l4;
  const uint32_t sequence = LoadBe32(tcp + 4);
  TurnAround(bytes, view, kProtocolTcp, kTcpHeader);
  std::swap_ranges(tcp, tcp + 2, tcp + 2);
  StoreBe32(tcp + 4, 0);
  StoreBe32(tcp + 8, sequence + 1);
  tcp[12] = kTcpHeader / 4 << 4;
  tcp[13] = kTcpRst | kTcpAck;
  StoreBe16(tcp + 14, 0);
  StoreBe32(tcp + 16, 0);
  const uint16_t start = PseudoHeaderSum(AddressesOf(bytes, view), kProtocolTcp, kTcpHeader);
  const auto sum = static_cast<uint16_t>(~ChecksumSum({tcp, kTcpHeader}, start));
  std::memcpy(tcp + 16, &sum, 2);
  frame.size = static_cast<uint16_t>(view.l4 + kTcpHeader);
  frame.flags = 0;
}

// The packet moves back by the error's headers, and is quoted.
bool MakeUnreachable(hal::Frame& frame, const PacketView& view) {
  uint8_t* bytes = frame.data();
  const uint32_t header = HeaderSize(view);
  const uint32_t packet = header + view.l4_size;
  const uint32_t quoted = std::min(packet, view.is_v6 ? kQuoteMax6 : kQuoteMax4);
  const uint32_t total = view.l4 + kIcmpErrorHeader + quoted;
  if (total > frame.size + frame.tailroom()) {
    return false;
  }
  uint8_t* icmp = bytes + view.l4;
  std::memmove(icmp + kIcmpErrorHeader, bytes + view.l3, quoted);
  std::memset(icmp, 0, kIcmpErrorHeader);
  icmp[0] = view.is_v6 ? kUnreachable6 : kUnreachable4;
  icmp[1] = view.is_v6 ? kProhibited6 : kProhibited4;
  const uint8_t protocol = view.is_v6 ? kProtocolIcmpv6 : kProtocolIcmp;
  const uint32_t size = kIcmpErrorHeader + quoted;
  TurnAround(bytes, view, protocol, size);
  const uint16_t start =
      view.is_v6 ? PseudoHeaderSum(AddressesOf(bytes, view), protocol, size) : uint16_t{0};
  const auto sum = static_cast<uint16_t>(~ChecksumSum({icmp, size}, start));
  std::memcpy(icmp + 2, &sum, 2);
  frame.size = static_cast<uint16_t>(total);
  frame.flags = 0;
  return true;
}

}  // namespace

void Stack::Reject(Port& port, hal::Frame* frame, const PacketView& view) {
  const bool is_plain = view.l4 == view.l3 + HeaderSize(view) && !view.is_fragment;
  if (!is_plain || !TransportSumIsGood(*frame, view) || !reject_bucket_.Take(loop_.now())) {
    Drop(frame, DropReason::kRejected, &view);
    return;
  }
  NoteDrop(DropReason::kRejected, *frame, &view);
  if (view.protocol == kProtocolTcp) {
    MakeReset(*frame, view);
  } else if (!MakeUnreachable(*frame, view)) {
    frames_.Release(frame);
    return;
  }
  QueueFrame(port, frame);
}

}  // namespace gh::net
