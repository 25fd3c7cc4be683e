#include "net/datagram_sockets.h"

#include <algorithm>
#include <cstring>

#include "net/checksum.h"
#include "net/lwip_glue.h"

extern "C" {
#include "lwip/ip.h"
#include "lwip/ip4.h"
#include "lwip/ip6.h"
#include "lwip/raw.h"
#include "lwip/udp.h"
}

namespace gh::net {
namespace {

constexpr uint32_t kUdpHeaderSize = 8;
constexpr uint32_t kPortCount = 65536;
// Apart from the ports that media is relayed by unless the operator says otherwise: 24000 to 29999
// and 36002 to 59999.
constexpr uint32_t kEphemeralFirst = 60000;
constexpr uint32_t kEphemeralLowFirst = 30000;
constexpr uint32_t kEphemeralLowCount = 6000;
constexpr uint32_t kEphemeralTries = 64;
constexpr uint32_t kReassembledMax = 65535;

ErrorCode CodeOf(err_t error) {
  switch (error) {
    case ERR_OK:
      return ErrorCode::kOk;
    case ERR_MEM:
    case ERR_BUF:
      return ErrorCode::kExhausted;
    default:
      return ErrorCode::kUnreachable;
  }
}

bool IsSumRight(std::span<const uint8_t> udp, const IpAddress& from, const IpAddress& to) {
  uint8_t addresses[32];
  const size_t n = to.byte_count();
  std::memcpy(addresses, from.bytes.data(), n);
  std::memcpy(addresses + n, to.bytes.data(), n);
  const auto size = static_cast<uint32_t>(udp.size());
  return ChecksumSum(udp, PseudoHeaderSum({addresses, 2 * n}, kProtocolUdp, size)) == 0xffff;
}

}  // namespace

DatagramSockets::DatagramSockets(Stack& stack, Arena& arena, uint32_t socket_count)
    : stack_(stack),
      sockets_(arena.NewArray<Socket>(socket_count)),
      by_port_(arena.NewArray<uint16_t>(kPortCount)),
      reassembled_(arena.NewArray<uint8_t>(kReassembledMax)) {
  GH_ASSERT_LT(socket_count, kNone);
  std::fill(by_port_.begin(), by_port_.end(), kNone);
  LwipScope scope(stack_.lwip_);
  raw_pcb* pcb = raw_new_ip_type(IPADDR_TYPE_ANY, kProtocolUdp);
  GH_ASSERT(pcb != nullptr);
  raw_recv(pcb, OnRaw, this);
}

DatagramSockets::Socket* DatagramSockets::Find(uint16_t port, const IpAddress& local) {
  for (uint16_t i = by_port_[port]; i != kNone; i = sockets_[i].next_same_port) {
    Socket& socket = sockets_[i];
    if (socket.local.address.family == local.family &&
        (socket.local.address.is_unspecified() || socket.local.address == local)) {
      return &socket;
    }
  }
  return nullptr;
}

bool DatagramSockets::IsOpen(const Endpoint& local) const {
  return Find(local.port, local.address) != nullptr;
}

uint16_t DatagramSockets::EphemeralPort() const {
  for (uint32_t i = 0; i < kEphemeralTries; ++i) {
    const uint32_t at = stack_.random_.Below(kEphemeralLowCount + kPortCount - kEphemeralFirst);
    const uint32_t port = at < kEphemeralLowCount ? kEphemeralLowFirst + at
                                                  : kEphemeralFirst + at - kEphemeralLowCount;
    if (by_port_[port] == kNone) {
      return static_cast<uint16_t>(port);
    }
  }
  return 0;
}

Result<void> DatagramSockets::OpenPcb(Socket& socket) {
  LwipScope scope(stack_.lwip_);
  const bool is_v6 = socket.local.address.is_v6();
  udp_pcb* pcb = udp_new_ip_type(is_v6 ? IPADDR_TYPE_V6 : IPADDR_TYPE_V4);
  if (pcb == nullptr) {
    return ErrorCode::kExhausted;
  }
  const ip_addr_t any = ToLwip(socket.local.address);
  if (udp_bind(pcb, &any, socket.local.port) != ERR_OK) {
    udp_remove(pcb);
    return ErrorCode::kAlreadyExists;
  }
  udp_recv(pcb, OnReassembled, this);
  socket.pcb = pcb;
  return Ok();
}

Result<SocketId> DatagramSockets::OpenDatagram(const Endpoint& local, DatagramHandler& handler) {
  if (local.address.is_none()) {
    return Error(ErrorCode::kInvalidArgument, "a socket needs an address family");
  }
  for (uint16_t i = local.port != 0 ? by_port_[local.port] : kNone; i != kNone;
       i = sockets_[i].next_same_port) {
    const IpAddress& other = sockets_[i].local.address;
    if (other.family == local.address.family &&
        (other.is_unspecified() || local.address.is_unspecified() || other == local.address)) {
      return Error(ErrorCode::kAlreadyExists, "the port is in use");
    }
  }
  const auto free = std::find_if(sockets_.begin(), sockets_.end(),
                                 [](const Socket& s) { return s.handler == nullptr; });
  if (free == sockets_.end()) {
    return ErrorCode::kExhausted;
  }
  Socket& socket = *free;
  socket.local = local;
  socket.reply_only = local.port == 0;
  if (local.port == 0) {
    socket.local.port = EphemeralPort();
    if (socket.local.port == 0) {
      return ErrorCode::kExhausted;
    }
  }
  GH_TRY(OpenPcb(socket));
  socket.handler = &handler;
  socket.peers = {};
  socket.peer_next = 0;
  const auto index = static_cast<uint16_t>(&socket - sockets_.data());
  socket.next_same_port = by_port_[socket.local.port];
  by_port_[socket.local.port] = index;
  return SocketId{index};
}

void DatagramSockets::CloseDatagram(SocketId id) {
  if (id.value >= sockets_.size() || sockets_[id.value].handler == nullptr) {
    return;
  }
  Socket& socket = sockets_[id.value];
  uint16_t* link = &by_port_[socket.local.port];
  while (*link != id.value) {
    GH_ASSERT_NE(*link, kNone);
    link = &sockets_[*link].next_same_port;
  }
  *link = socket.next_same_port;
  LwipScope scope(stack_.lwip_);
  udp_remove(socket.pcb);
  if (reassembled_socket_ == &socket) {
    reassembled_socket_ = nullptr;
  }
  socket = Socket();
}

bool DatagramSockets::HasHeard(const Socket& socket, const Endpoint& remote) const {
  return std::find(socket.peers.begin(), socket.peers.end(), remote) != socket.peers.end();
}

void DatagramSockets::Remember(Socket& socket, const Endpoint& remote) {
  if (!HasHeard(socket, remote)) {
    socket.peers[socket.peer_next] = remote;
    socket.peer_next = static_cast<uint8_t>((socket.peer_next + 1) % kReplyPeerMax);
  }
}

void DatagramSockets::Input(Stack::Port& port, hal::Frame* frame, const PacketView& view) {
  DatagramInfo info;
  info.local = {view.Destination(frame->data()), view.destination_port};
  Socket* socket = Find(view.destination_port, info.local.address);
  if (socket == nullptr ||
      (!socket->reply_only &&
       !stack_.firewall_.Allows(Transport::kUdp, view.destination_port, port.index))) {
    stack_.Drop(frame, DropReason::kClosedPort, &view);
    return;
  }
  info.remote = {view.Source(frame->data()), view.source_port};
  if (socket->reply_only && !HasHeard(*socket, info.remote)) {
    stack_.Drop(frame, DropReason::kNotAReply, &view);
    return;
  }
  if (!socket->reply_only && !stack_.Admit(port, frame, view, FilterProtocol::kUdp)) {
    return;
  }
  if (!UdpChecksumIsGood(*frame, view)) {
    stack_.Drop(frame, DropReason::kBadChecksum, &view);
    return;
  }
  ++received_count_;
  info.socket = {static_cast<uint16_t>(socket - sockets_.data())};
  info.port_index = port.index;
  socket->handler->OnDatagram(
      info, frame->bytes().subspan(view.l4 + kUdpHeaderSize, view.l4_size - kUdpHeaderSize));
  stack_.frames_.Release(frame);
}

void DatagramSockets::OnReassembled(void* context, udp_pcb* pcb, pbuf* p, const ::ip_addr* source,
                                    uint16_t source_port) {
  auto& self = *static_cast<DatagramSockets*>(context);
  const auto found = std::find_if(self.sockets_.begin(), self.sockets_.end(),
                                  [pcb](const Socket& s) { return s.pcb == pcb; });
  GH_ASSERT(found != self.sockets_.end());
  const netif* in = ip_current_input_netif();
  self.reassembled_socket_ = &*found;
  self.reassembled_size_ = pbuf_copy_partial(p, self.reassembled_.data(), p->tot_len, 0);
  self.reassembled_info_.socket = {static_cast<uint16_t>(found - self.sockets_.begin())};
  self.reassembled_info_.remote = {FromLwip(*source), source_port};
  self.reassembled_info_.local = {FromLwip(*ip_current_dest_addr()), found->local.port};
  self.reassembled_info_.port_index = static_cast<Stack::Port*>(in->state)->index;
  pbuf_free(p);
}

void DatagramSockets::InputFragment(Stack::Port& port, hal::Frame* frame) {
  in_fragment_ = true;
  stack_.GiveToLwip(port, frame);
  in_fragment_ = false;
  DeliverReassembled();
}

// A datagram that a fragment has completed, with its headers. 1: taken, and freed.
uint8_t DatagramSockets::OnRaw(void* context, raw_pcb*, pbuf* p, const ::ip_addr* source) {
  auto& self = *static_cast<DatagramSockets*>(context);
  const uint16_t headers = ip_current_header_tot_len();
  if (!self.in_fragment_ || p->tot_len < headers + kUdpHeaderSize) {
    return 0;
  }
  const auto udp =
      self.reassembled_.first(pbuf_copy_partial(p, self.reassembled_.data(), p->tot_len, headers));
  const Endpoint local{FromLwip(*ip_current_dest_addr()), LoadBe16(&udp[2])};
  const Endpoint remote{FromLwip(*source), LoadBe16(&udp[0])};
  if (self.Find(local.port, local.address) != nullptr) {
    return 0;
  }
  const uint16_t size = LoadBe16(&udp[4]);
  const bool has_sum = LoadBe16(&udp[6]) != 0;
  if (size >= kUdpHeaderSize && size <= udp.size() && (has_sum || local.address.is_v4()) &&
      (!has_sum || IsSumRight(udp.first(size), remote.address, local.address))) {
    self.reassembled_info_.local = local;
    self.reassembled_info_.remote = remote;
    self.reassembled_size_ = size;
    self.is_reassembled_for_taps_ = true;
  }
  pbuf_free(p);
  return 1;
}

void DatagramSockets::DeliverReassembled() {
  if (is_reassembled_for_taps_) {
    is_reassembled_for_taps_ = false;
    const auto data = reassembled_.first(reassembled_size_).subspan(kUdpHeaderSize);
    if (!stack_.OfferReassembled(reassembled_info_.local, reassembled_info_.remote, data)) {
      stack_.firewall_.CountDrop(DropReason::kClosedPort);
    }
    return;
  }
  if (reassembled_socket_ == nullptr) {
    return;
  }
  Socket& socket = *reassembled_socket_;
  reassembled_socket_ = nullptr;
  const DatagramInfo info = reassembled_info_;
  const bool welcome = socket.reply_only ? HasHeard(socket, info.remote)
                                         : stack_.firewall_.Allows(Transport::kUdp, info.local.port,
                                                                   info.port_index);
  if (!welcome) {
    stack_.firewall_.CountDrop(DropReason::kClosedPort);
    return;
  }
  if (!socket.reply_only) {
    const DropReason why = stack_.firewall_.Judge(
        {FilterProtocol::kUdp, info.remote.address, info.local.port, info.port_index},
        stack_.loop_.now());
    if (why != DropReason::kCount) {
      stack_.firewall_.CountDrop(why);
      return;
    }
  }
  ++received_count_;
  socket.handler->OnDatagram(info, reassembled_.first(reassembled_size_));
}

Result<void> DatagramSockets::SendDatagram(SocketId id, const Endpoint& to,
                                           std::span<const uint8_t> data, const IpAddress& from) {
  if (id.value >= sockets_.size() || sockets_[id.value].handler == nullptr) {
    return ErrorCode::kClosed;
  }
  Socket& socket = sockets_[id.value];
  if (data.size() > kDatagramSizeMax) {
    return ErrorCode::kTooLarge;
  }
  if (to.address.family != socket.local.address.family || to.port == 0 ||
      to.address.is_unspecified()) {
    return ErrorCode::kInvalidArgument;
  }
  LwipScope scope(stack_.lwip_);
  IpAddress source = !from.is_unspecified() ? from : socket.local.address;
  netif* out = to.address.is_v6() ? stack_.RouteIpv6(source, to.address)
                                  : stack_.RouteIpv4(source, to.address);
  if (out == nullptr) {
    return ErrorCode::kUnreachable;
  }
  if (source.is_unspecified()) {
    const ip_addr_t remote = ToLwip(to.address);
    const ip_addr_t* chosen = ip_netif_get_local_ip(out, &remote);
    if (chosen == nullptr || ip_addr_isany(chosen)) {
      return ErrorCode::kUnreachable;
    }
    source = FromLwip(*chosen);
  }
  if (socket.reply_only) {
    Remember(socket, to);
  }
  stack_.FlushSoon();
  const Result<void> sent =
      SendPacket(out, {source, socket.local.port}, &socket.pcb->netif_hints, to, data, 0);
  sent_count_ += sent.ok() ? 1 : 0;
  return sent;
}

Result<void> DatagramSockets::SendUnbound(const Endpoint& from, const Endpoint& to,
                                          std::span<const uint8_t> data, uint8_t traffic_class) {
  if (data.size() > kDatagramSizeMax) {
    return ErrorCode::kTooLarge;
  }
  if (to.address.family != from.address.family || to.port == 0 || from.port == 0 ||
      to.address.is_unspecified() || from.address.is_unspecified()) {
    return ErrorCode::kInvalidArgument;
  }
  LwipScope scope(stack_.lwip_);
  netif* out = to.address.is_v6() ? stack_.RouteIpv6(from.address, to.address)
                                  : stack_.RouteIpv4(from.address, to.address);
  if (out == nullptr) {
    return ErrorCode::kUnreachable;
  }
  stack_.FlushSoon();
  return SendPacket(out, from, nullptr, to, data, traffic_class);
}

// In a frame where one holds it: then it leaves without a copy.
pbuf* DatagramSockets::MakePacket(uint32_t size) {
  if (size > kFramePayloadMax) {
    return pbuf_alloc(PBUF_IP, static_cast<u16_t>(size), PBUF_RAM);
  }
  hal::Frame* frame = stack_.frames_.Allocate();
  return frame == nullptr
             ? nullptr
             : &FramePbuf::Make(stack_.frames_, frame, kFramePayloadStart, size)->custom.pbuf;
}

Result<void> DatagramSockets::SendPacket(netif* out, const Endpoint& from, netif_hint* hints,
                                         const Endpoint& to, std::span<const uint8_t> data,
                                         uint8_t traffic_class) {
  const IpAddress& source = from.address;
  const auto size = static_cast<uint32_t>(kUdpHeaderSize + data.size());
  pbuf* p = MakePacket(size);
  if (p == nullptr) {
    return ErrorCode::kExhausted;
  }
  auto* udp = static_cast<uint8_t*>(p->payload);
  StoreBe16(udp, from.port);
  StoreBe16(udp + 2, to.port);
  StoreBe16(udp + 4, static_cast<uint16_t>(size));
  StoreBe16(udp + 6, 0);
  std::memcpy(udp + kUdpHeaderSize, data.data(), data.size());
  const auto& port = *static_cast<Stack::Port*>(out->state);
  const bool is_v6 = to.address.is_v6();
  const uint32_t packet_size = size + (is_v6 ? 40 : 20);
  if (!port.fills_checksum || packet_size > out->mtu) {
    uint8_t addresses[32];
    const size_t n = to.address.byte_count();
    std::memcpy(addresses, source.bytes.data(), n);
    std::memcpy(addresses + n, to.address.bytes.data(), n);
    const uint16_t start = PseudoHeaderSum({addresses, 2 * n}, kProtocolUdp, size);
    const auto sum = static_cast<uint16_t>(~ChecksumSum({udp, size}, start));
    const uint16_t field = sum == 0 ? 0xffff : sum;
    std::memcpy(udp + 6, &field, 2);
  }
  err_t error = ERR_OK;
  NETIF_SET_HINTS(out, hints);
  if (is_v6) {
    ip6_addr_t from6 = ToLwip6(source);
    ip6_addr_t to6 = ToLwip6(to.address);
    ip6_addr_assign_zone(&from6, IP6_UNICAST, out);
    ip6_addr_assign_zone(&to6, IP6_UNKNOWN, out);
    error = ip6_output_if_src(p, &from6, &to6, UDP_TTL, traffic_class, kProtocolUdp, out);
  } else {
    const ip4_addr_t from4 = ToLwip4(source);
    const ip4_addr_t to4 = ToLwip4(to.address);
    error = ip4_output_if_src(p, &from4, &to4, UDP_TTL, traffic_class, kProtocolUdp, out);
  }
  NETIF_RESET_HINTS(out);
  pbuf_free(p);
  return CodeOf(error);
}

}  // namespace gh::net
