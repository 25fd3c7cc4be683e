// The answer to a datagram that nobody above has been given.
#include <algorithm>
#include <cstring>

#include "net/checksum.h"
#include "net/stack.h"
#include "net/turn_around.h"

namespace gh::net {
namespace {

constexpr uint32_t kUdpHeader = 8;

}  // namespace

bool Stack::Reply(hal::Frame* frame, const PacketView& view, std::span<const uint8_t> payload) {
  Port& port = ports_[frame->port_index];
  const uint32_t size = kUdpHeader + static_cast<uint32_t>(payload.size());
  const bool is_plain = view.protocol == kProtocolUdp && !view.is_fragment &&
                        view.l4 == view.l3 + HeaderSize(view) && view.l4_size > kUdpHeader;
  if (!is_plain || !IsForUs(port, frame->data(), view) ||
      view.l4 + size > frame->size + frame->tailroom() ||
      HeaderSize(view) + size > port.device->mtu() ||
      !firewall_.Allows(Transport::kUdp, view.destination_port, port.index) ||
      !UdpChecksumIsGood(*frame, view)) {
    return false;
  }
  const Arrival arrival{FilterProtocol::kUdp, view.Source(frame->data()), view.destination_port,
                        port.index};
  if (firewall_.Judge(arrival, loop_.now()) != DropReason::kCount) {
    return false;
  }
  uint8_t* bytes = frame->data();
  uint8_t* udp = bytes + view.l4;
  std::swap_ranges(udp, udp + 2, udp + 2);
  StoreBe16(udp + 4, static_cast<uint16_t>(size));
  StoreBe16(udp + 6, 0);
  std::memcpy(udp + kUdpHeader, payload.data(), payload.size());
  TurnAround(bytes, view, kProtocolUdp, size);
  const uint16_t start = PseudoHeaderSum(AddressesOf(bytes, view), kProtocolUdp, size);
  const auto sum = static_cast<uint16_t>(~ChecksumSum({udp, size}, start));
  const uint16_t field = sum == 0 ? 0xffff : sum;
  std::memcpy(udp + 6, &field, 2);
  frame->size = static_cast<uint16_t>(view.l4 + size);
  frame->flags = 0;
  QueueFrame(port, frame);
  return true;
}

}  // namespace gh::net
