#include "board/host/packet_port.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>

#include "board/host/offload.h"
#include "board/host/udp_run.h"
#include "net/vlan.h"

namespace gh::board {
namespace {

constexpr int kReceiveBufferBytes = 8 << 20;
constexpr int kSendBufferBytes = 8 << 20;  // what a receiver has not come to yet counts
constexpr Duration kStampAgeMax = Duration::Seconds(10);  // more: the wall clock was set
constexpr size_t kHeaderBytes = sizeof(VirtioNetHeader);

bool SetOption(int fd, int level, int option, int value) {
  return setsockopt(fd, level, option, &value, sizeof(value)) == 0;
}

bool Configure(int fd, uint32_t interface_index) {
  // Larger buffers are a favour, the rest is what the port is built on.
  if (!SetOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, kReceiveBufferBytes)) {
    (void)SetOption(fd, SOL_SOCKET, SO_RCVBUF, kReceiveBufferBytes);
  }
  if (!SetOption(fd, SOL_SOCKET, SO_SNDBUFFORCE, kSendBufferBytes)) {
    (void)SetOption(fd, SOL_SOCKET, SO_SNDBUF, kSendBufferBytes);
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
         SetOption(fd, SOL_PACKET, PACKET_VERSION, TPACKET_V2) &&
         SetOption(fd, SOL_PACKET, PACKET_COPY_THRESH, 1) &&
         SetOption(fd, SOL_PACKET, PACKET_QDISC_BYPASS, 1) &&
         setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof(promiscuous)) ==
             0 &&
         bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
}

// The ring starts at slot 0 again, whoever used the socket before (a restart of
// the appliance).
bool ResetRing(int fd) {
  tpacket_req none = {};
  tpacket_req wanted = {};
  wanted.tp_block_size = kRingBlockBytes;
  wanted.tp_block_nr = kRingSlots / (kRingBlockBytes / kRingSlotBytes);
  wanted.tp_frame_size = kRingSlotBytes;
  wanted.tp_frame_nr = kRingSlots;
  return setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &none, sizeof(none)) == 0 &&
         setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &wanted, sizeof(wanted)) == 0;
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
    : fd_(fd), port_index_(port_index), pool_(&pool) {
  overflow_ = arena.NewArray<uint8_t>(kGsoBytesMax);
}

Result<void> PacketPort::Start(const PortOptions& options, hal::Clock& clock) {
  clock_ = &clock;
  GH_TRY(link_.Open(options.interface, clock));
  mac_ = options.has_mac ? options.mac : link_.mac();
  joins_udp_ = link_.CutsUdp();
  if (!ResetRing(fd_)) {
    return Error(ErrorCode::kUnsupported, "this kernel has no receive ring for packet sockets");
  }
  void* ring = mmap(nullptr, size_t{kRingSlots} * kRingSlotBytes, PROT_READ | PROT_WRITE,
                    MAP_SHARED, fd_, 0);
  if (ring == MAP_FAILED) {
    return Error(ErrorCode::kNoSpace, "the receive ring cannot be mapped");
  }
  ring_ = static_cast<uint8_t*>(ring);
  return Ok();
}

bool PacketPort::SlotIsFull() const {
  const uint32_t status = __atomic_load_n(&SlotAt(ring_at_)->tp_status, __ATOMIC_ACQUIRE);
  return (status & TP_STATUS_USER) != 0;
}

int16_t PacketPort::poll_events() const { return POLLIN; }

bool PacketPort::IsForUs(const uint8_t* packet) const {
  return (packet[0] & 1) != 0 || std::memcmp(packet, mac_.data(), 6) == 0;
}

// The kernel stamps by the wall clock, which anybody may set between the two.
Instant PacketPort::ArrivalOf(const tpacket2_hdr& slot) const {
  const int64_t stamp = int64_t{slot.tp_sec} * 1'000'000'000 + slot.tp_nsec;
  const Duration age{wall_now_ - stamp};
  return age.ns < 0 || age > kStampAgeMax ? now_ : now_ - age;
}

void PacketPort::Append(hal::Frame* frame, const tpacket2_hdr& slot) {
  if ((slot.tp_status & TP_STATUS_VLAN_VALID) != 0) {
    net::PushVlanTag(*frame, slot.tp_vlan_tci);
  }
  frame->received = ArrivalOf(slot);
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

void PacketPort::Accept(const tpacket2_hdr& slot) {
  if ((slot.tp_status & TP_STATUS_COPY) != 0) {
    AcceptOversized(slot);
    return;
  }
  const uint32_t size = slot.tp_snaplen;
  const uint32_t offset = slot.tp_mac;
  if (offset < kHeaderBytes || size < 14 || size != slot.tp_len || size > kRingSlotBytes ||
      offset > kRingSlotBytes - size) {
    ++counters_.rx_dropped;
    return;
  }
  const uint8_t* packet = reinterpret_cast<const uint8_t*>(&slot) + offset;
  if (!IsForUs(packet)) {
    return;  // promiscuous: somebody else's
  }
  VirtioNetHeader header;
  std::memcpy(&header, packet - kHeaderBytes, kHeaderBytes);
  if (header.gso_type != kVirtioGsoNone) {  // of any size: it may fit a slot and no frame
    Cut({packet, size}, header, slot);
    return;
  }
  hal::Frame* frame = pool_->Allocate();
  if (frame == nullptr || size > frame->tailroom()) {
    if (frame != nullptr) {
      pool_->Release(frame);
    }
    ++counters_.rx_dropped;
    return;
  }
  std::memcpy(frame->data(), packet, size);
  frame->size = static_cast<uint16_t>(size);
  if (!AcceptReceived(*frame, header)) {
    pool_->Release(frame);
    ++counters_.rx_dropped;
    return;
  }
  Append(frame, slot);
}

void PacketPort::Cut(std::span<const uint8_t> packet, const VirtioNetHeader& header,
                     const tpacket2_hdr& slot) {
  hal::Frame* segment = CutSegments(packet, header, *pool_);
  counters_.rx_dropped += segment == nullptr ? 1 : 0;
  while (segment != nullptr) {
    hal::Frame* next = segment->next;
    Append(segment, slot);
    segment = next;
  }
}

// The kernel kept the whole packet for us; the slot says only that it did.
void PacketPort::AcceptOversized(const tpacket2_hdr& slot) {
  VirtioNetHeader header;
  iovec parts[2] = {{&header, kHeaderBytes}, {overflow_.data(), overflow_.size()}};
  msghdr message = {};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  const ssize_t got = recvmsg(fd_, &message, MSG_DONTWAIT);
  if (got < static_cast<ssize_t>(kHeaderBytes + 14) || (message.msg_flags & MSG_TRUNC) != 0) {
    ++counters_.rx_dropped;
    return;
  }
  const auto packet = overflow_.first(static_cast<size_t>(got) - kHeaderBytes);
  if (IsForUs(packet.data())) {
    Cut(packet, header, slot);
  }
}

uint32_t PacketPort::Receive(std::span<hal::Frame*> out) {
  uint32_t count = TakePending(out);
  if (count < out.size() && SlotIsFull()) {
    timespec wall = {};
    (void)clock_gettime(CLOCK_REALTIME, &wall);
    wall_now_ = int64_t{wall.tv_sec} * 1'000'000'000 + wall.tv_nsec;
    now_ = clock_->Now();
  }
  // One slot may become many frames: what is not asked for now stays pending.
  bool loses = false;
  while (count < out.size() && SlotIsFull()) {
    tpacket2_hdr& slot = *SlotAt(ring_at_);
    loses = loses || (slot.tp_status & TP_STATUS_LOSING) != 0;
    Accept(slot);
    __atomic_store_n(&slot.tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
    ring_at_ = (ring_at_ + 1) % kRingSlots;
    count += TakePending(out.subspan(count));
  }
  if (loses) {
    CountLost();
  }
  return count;
}

// What found the ring full. The kernel marks what comes after it until it is asked.
void PacketPort::CountLost() {
  tpacket_stats said = {};
  socklen_t size = sizeof(said);
  if (getsockopt(fd_, SOL_PACKET, PACKET_STATISTICS, &said, &size) == 0) {
    counters_.rx_dropped += said.tp_drops;
  }
}

void PacketPort::Transmit(std::span<hal::Frame* const> frames) {
  for (hal::Frame* frame : frames) {
    if (queue_count_ == queue_.size()) {
      Flush();
    }
    queue_[queue_count_++] = frame;
  }
}

// `parts` gets the message's header and bytes; how many parts there are.
size_t PacketPort::FillParts(std::span<hal::Frame* const> run, VirtioNetHeader& header,
                             iovec* parts) {
  uint32_t headers = 0;
  if (run.size() == 1) {
    header = HeaderFor(*run[0]);
  } else {
    headers = JoinUdpRun(run, header);
  }
  parts[0] = {&header, kHeaderBytes};
  parts[1] = {run[0]->data(), run[0]->size};
  for (size_t i = 1; i < run.size(); ++i) {
    parts[i + 1] = {run[i]->data() + headers, run[i]->size - headers};
  }
  return run.size() + 1;
}

void PacketPort::Flush() {
  if (queue_count_ == 0) {
    return;
  }
  std::array<mmsghdr, kPacketBatchMax> messages;
  std::array<VirtioNetHeader, kPacketBatchMax> headers;
  std::array<iovec, 2 * kPacketBatchMax> parts;
  std::array<uint8_t, kPacketBatchMax> runs;
  std::array<hal::Frame*, kPacketBatchMax> grouped;
  std::span<hal::Frame* const> rest = std::span(queue_).first(queue_count_);
  if (joins_udp_) {
    GroupByFlow(rest, grouped);
    rest = std::span(grouped).first(queue_count_);
  }
  const auto frames = rest;
  uint32_t message_count = 0;
  size_t part_count = 0;
  for (; !rest.empty(); rest = rest.subspan(runs[message_count++])) {
    runs[message_count] = static_cast<uint8_t>(joins_udp_ ? UdpRunLength(rest) : 1);
    msghdr& message = messages[message_count].msg_hdr;
    message = {};
    message.msg_iov = &parts[part_count];
    message.msg_iovlen =
        FillParts(rest.first(runs[message_count]), headers[message_count], message.msg_iov);
    part_count += message.msg_iovlen;
  }
  // What the device does not take at once is lost, as on any wire.
  const int sent = sendmmsg(fd_, messages.data(), message_count, MSG_DONTWAIT);
  if (sent < 0 && errno == EINVAL) {
    joins_udp_ = false;  // a kernel before 6.2 knows no such packet
  }
  const uint32_t sent_count = sent > 0 ? static_cast<uint32_t>(sent) : 0;
  for (uint32_t i = 0, at = 0; i < message_count; at += runs[i++]) {
    Account(frames.subspan(at, runs[i]), i < sent_count);
  }
  queue_count_ = 0;
}

void PacketPort::Account(std::span<hal::Frame* const> run, bool was_sent) {
  for (hal::Frame* frame : run) {
    counters_.tx_frames += was_sent ? 1 : 0;
    counters_.tx_bytes += was_sent ? frame->size : 0;
    counters_.tx_dropped += was_sent ? 0 : 1;
    pool_->Release(frame);
  }
}

}  // namespace gh::board
