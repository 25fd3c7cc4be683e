#include "board/host/packet_port.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "board/host/offload.h"

namespace gh::board {
namespace {

constexpr int kReceiveBufferBytes = 8 << 20;
constexpr size_t kHeaderBytes = sizeof(VirtioNetHeader);

bool SetOption(int fd, int level, int option, int value) {
  return setsockopt(fd, level, option, &value, sizeof(value)) == 0;
}

bool Configure(int fd, uint32_t interface_index) {
  // A larger buffer is a favour, the rest is what the port is built on.
  if (!SetOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, kReceiveBufferBytes)) {
    (void)SetOption(fd, SOL_SOCKET, SO_RCVBUF, kReceiveBufferBytes);
  }
  packet_mreq promiscuous = {};
  promiscuous.mr_ifindex = static_cast<int>(interface_index);
  promiscuous.mr_type = PACKET_MR_PROMISC;
  sockaddr_ll address = {};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(interface_index);
  return SetOption(fd, SOL_PACKET, PACKET_VNET_HDR, 1) &&
         SetOption(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1) &&
         SetOption(fd, SOL_PACKET, PACKET_AUXDATA, 1) &&
         SetOption(fd, SOL_PACKET, PACKET_QDISC_BYPASS, 1) &&
         setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof(promiscuous)) ==
             0 &&
         bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
}

bool HasVlanTag(msghdr& message) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
       part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level == SOL_PACKET && part->cmsg_type == PACKET_AUXDATA) {
      tpacket_auxdata data;
      std::memcpy(&data, CMSG_DATA(part), sizeof(data));
      return (data.tp_status & TP_STATUS_VLAN_VALID) != 0;
    }
  }
  return false;
}

}  // namespace

Result<int> OpenPacket(const PortOptions& options) {
  const uint32_t index = if_nametoindex(options.interface);
  if (index == 0) {
    return Error(ErrorCode::kNotFound, "no such interface");
  }
  const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    return Error(ErrorCode::kPermissionDenied, "no permission for packet sockets (CAP_NET_RAW)");
  }
  if (!Configure(fd, index)) {
    close(fd);
    return Error(ErrorCode::kUnsupported, "this interface or kernel lacks a packet socket option");
  }
  return fd;
}

PacketPort::PacketPort(int fd, uint8_t port_index, hal::FramePool& pool, Arena& arena)
    : fd_(fd), port_index_(port_index), pool_(pool) {
  overflow_ = arena.NewArray<uint8_t>(kPacketBatchMax * kGsoBytesMax);
}

Result<void> PacketPort::Start(const PortOptions& options, hal::Clock& clock) {
  GH_TRY(link_.Open(options.interface, clock));
  mac_ = options.has_mac ? options.mac : link_.mac();
  return Ok();
}

int16_t PacketPort::poll_events() const { return POLLIN; }

bool PacketPort::IsForUs(const hal::Frame& frame) const {
  const uint8_t* destination = frame.data();
  return (destination[0] & 1) != 0 || std::memcmp(destination, mac_.data(), 6) == 0;
}

void PacketPort::Append(hal::Frame* frame) {
  frame->next = nullptr;
  *pending_tail_ = frame;
  pending_tail_ = &frame->next;
}

uint32_t PacketPort::TakePending(std::span<hal::Frame*> out) {
  uint32_t count = 0;
  while (pending_ != nullptr && count < out.size()) {
    hal::Frame* frame = pending_;
    pending_ = frame->next;
    frame->next = nullptr;
    frame->port_index = port_index_;
    ++counters_.rx_frames;
    counters_.rx_bytes += frame->size;
    out[count++] = frame;
  }
  if (pending_ == nullptr) {
    pending_tail_ = &pending_;
  }
  return count;
}

// Gives each slot a frame; returns how many slots are ready.
uint32_t PacketPort::PrepareReceive(uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    Slot& slot = slots_[i];
    slot.frame = slot.frame != nullptr ? slot.frame : pool_.Allocate();
    if (slot.frame == nullptr) {
      return i;
    }
    slot.parts[0] = {&slot.header, kHeaderBytes};
    slot.parts[1] = {slot.frame->data(), slot.frame->tailroom()};
    slot.parts[2] = {overflow_.data() + i * kGsoBytesMax, kGsoBytesMax};
    messages_[i] = {};
    messages_[i].msg_hdr.msg_iov = slot.parts;
    messages_[i].msg_hdr.msg_iovlen = 3;
    messages_[i].msg_hdr.msg_control = slot.control;
    messages_[i].msg_hdr.msg_controllen = sizeof(slot.control);
  }
  return count;
}

void PacketPort::Accept(Slot& slot, mmsghdr& message) {
  const size_t size = message.msg_len;
  const size_t room = slot.parts[1].iov_len;
  const bool whole = (message.msg_hdr.msg_flags & MSG_TRUNC) == 0 && size >= kHeaderBytes + 14;
  if (!whole || HasVlanTag(message.msg_hdr)) {
    ++counters_.rx_dropped;
    return;
  }
  if (slot.header.gso_type == kVirtioGsoNone && size <= kHeaderBytes + room) {
    slot.frame->size = static_cast<uint16_t>(size - kHeaderBytes);
    if (!IsForUs(*slot.frame)) {
      slot.frame->size = 0;
      return;  // promiscuous: somebody else's
    }
    if (!AcceptReceived(*slot.frame, slot.header)) {
      slot.frame->size = 0;
      ++counters_.rx_dropped;
      return;
    }
    Append(slot.frame);
    slot.frame = nullptr;
    return;
  }
  if (!IsForUs(*slot.frame)) {
    return;
  }
  // Oversized: gather it behind the frame's part, then cut it.
  const size_t bytes = size - kHeaderBytes;
  uint8_t* whole_packet = static_cast<uint8_t*>(slot.parts[2].iov_base);
  const size_t head = std::min(bytes, room);
  std::memmove(whole_packet + head, whole_packet, std::min(bytes - head, kGsoBytesMax - head));
  std::memcpy(whole_packet, slot.frame->data(), head);
  hal::Frame* segment =
      bytes <= kGsoBytesMax ? CutSegments({whole_packet, bytes}, slot.header, pool_) : nullptr;
  counters_.rx_dropped += segment == nullptr ? 1 : 0;
  while (segment != nullptr) {
    hal::Frame* next = segment->next;
    Append(segment);
    segment = next;
  }
}

// The pool is empty: take a packet off the socket all the same, or the machine would spin.
void PacketPort::DropOne() {
  uint8_t scratch[16];
  if (recv(fd_, scratch, sizeof(scratch), MSG_DONTWAIT | MSG_TRUNC) >= 0) {
    ++counters_.rx_dropped;
  }
}

uint32_t PacketPort::Receive(std::span<hal::Frame*> out) {
  uint32_t count = TakePending(out);
  const auto room = static_cast<uint32_t>(out.size()) - count;
  if (room == 0) {
    return count;
  }
  const uint32_t ready = PrepareReceive(std::min(room, kPacketBatchMax));
  if (ready == 0) {
    DropOne();
    return count;
  }
  const int got = recvmmsg(fd_, messages_.data(), ready, MSG_DONTWAIT, nullptr);
  if (got < 0 && errno == EINVAL) {
    ++counters_.rx_dropped;  // a packet the kernel could not describe; it is consumed
  }
  for (int i = 0; i < got; ++i) {
    Accept(slots_[static_cast<size_t>(i)], messages_[static_cast<size_t>(i)]);
  }
  return count + TakePending(out.subspan(count));
}

void PacketPort::Transmit(std::span<hal::Frame* const> frames) {
  for (hal::Frame* frame : frames) {
    if (queue_count_ == queue_.size()) {
      Flush();
    }
    queue_[queue_count_++] = frame;
  }
}

void PacketPort::Flush() {
  if (queue_count_ == 0) {
    return;
  }
  std::array<mmsghdr, kPacketBatchMax> messages = {};
  std::array<VirtioNetHeader, kPacketBatchMax> headers;
  std::array<std::array<iovec, 2>, kPacketBatchMax> parts;
  for (uint32_t i = 0; i < queue_count_; ++i) {
    headers[i] = HeaderFor(*queue_[i]);
    parts[i] = {{{&headers[i], kHeaderBytes}, {queue_[i]->data(), queue_[i]->size}}};
    messages[i].msg_hdr.msg_iov = parts[i].data();
    messages[i].msg_hdr.msg_iovlen = 2;
  }
  // What the device does not take at once is lost, as on any wire.
  const int sent = sendmmsg(fd_, messages.data(), queue_count_, MSG_DONTWAIT);
  const uint32_t sent_count = sent > 0 ? static_cast<uint32_t>(sent) : 0;
  for (uint32_t i = 0; i < queue_count_; ++i) {
    counters_.tx_frames += i < sent_count ? 1 : 0;
    counters_.tx_bytes += i < sent_count ? queue_[i]->size : 0;
    counters_.tx_dropped += i < sent_count ? 0 : 1;
    pool_.Release(queue_[i]);
  }
  queue_count_ = 0;
}

}  // namespace gh::board
