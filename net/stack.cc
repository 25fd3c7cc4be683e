// Frames in and out of the stack. Ports, addresses, routes and timers are in stack_config.cc.
#include "net/stack.h"

#include <algorithm>
#include <cstring>

#include "net/checksum.h"
#include "net/datagram_sockets.h"
#include "net/lwip_glue.h"
#include "net/streams.h"

extern "C" {
#include "lwip/dhcp.h"
#include "lwip/init.h"
#include "netif/ethernet.h"
}

namespace gh::net {
namespace {

constexpr uint32_t kArpPacketSize = 28;
constexpr uint8_t kIcmpEchoRequest = 8;
constexpr uint8_t kIcmpUnreachable = 3;
constexpr uint8_t kIcmpv6Unreachable = 1;
constexpr uint8_t kIcmpv6ParameterProblem = 4;
constexpr uint8_t kIcmpv6EchoRequest = 128;
constexpr uint8_t kIcmpv6MldQuery = 130;
constexpr uint8_t kIcmpv6RouterAdvertisement = 134;
constexpr uint8_t kIcmpv6NeighborSolicitation = 135;
constexpr uint8_t kIcmpv6NeighborAdvertisement = 136;
constexpr uint32_t kIcmpErrorHeaderSize = 8;
constexpr Duration kDropReportPeriod = Duration::Seconds(1);

void FreeFramePbuf(pbuf* p) {
  auto* self = reinterpret_cast<FramePbuf*>(p);
  if (self->frame != nullptr) {
    self->pool->Release(self->frame);
  }
}

bool IsMulticastMac(const uint8_t* mac) { return (mac[0] & 1) != 0; }

// Of a packet lwIP has just built: its headers lie in the first pbuf.
bool IsTcp(const pbuf& p) {
  PacketView view;
  return ParsePacket({static_cast<const uint8_t*>(p.payload), p.len}, view).ok() &&
         view.protocol == kProtocolTcp;
}

// Sources no unicast packet has: wrong or forged.
bool IsBadSource(std::span<const uint8_t> source, std::span<const uint8_t> destination) {
  if (source.size() == 4) {
    return source[0] >= 224 || source[0] == 127 || source[0] == 0 ||
           std::memcmp(source.data(), destination.data(), 4) == 0;
  }
  static constexpr uint8_t kZero[15] = {};
  return source[0] == 0xff || (std::memcmp(source.data(), kZero, 15) == 0 && source[15] <= 1) ||
         std::memcmp(source.data(), destination.data(), 16) == 0;
}

}  // namespace

FramePbuf* FramePbuf::Make(hal::FramePool& pool, hal::Frame* frame, uint32_t start, uint32_t size) {
  GH_ASSERT_GE(start, kPbufRoom);
  GH_ASSERT_LE(start + size, hal::kFrameBufferSize);
  auto* self = reinterpret_cast<FramePbuf*>(frame->buffer);
  self->custom.custom_free_function = FreeFramePbuf;
  self->frame = frame;
  self->pool = &pool;
  pbuf* p = pbuf_alloced_custom(PBUF_RAW, static_cast<u16_t>(size), PBUF_RAM, &self->custom,
                                frame->buffer + start, static_cast<u16_t>(size));
  GH_ASSERT(p == &self->custom.pbuf);
  return self;
}

FramePbuf* FramePbuf::Of(pbuf* p) {
  if ((p->flags & PBUF_FLAG_IS_CUSTOM) == 0 ||
      reinterpret_cast<pbuf_custom*>(p)->custom_free_function != FreeFramePbuf) {
    return nullptr;
  }
  return reinterpret_cast<FramePbuf*>(p);
}

void Stack::AddTap(FrameTap& tap) {
  GH_ASSERT_LT(tap_count_, kFrameTapMax);
  taps_[tap_count_++] = &tap;
}

DatagramService& Stack::datagrams() { return *datagrams_; }
StreamService& Stack::streams() { return *streams_; }
void Stack::SetListenerLimit(ListenerId listener, uint32_t count) {
  streams_->SetListenerLimit(listener, count);
}

bool Stack::Poll(Instant now) {
  bool more = false;
  polling_ = true;
  WatchLinks();
  for (Port& port : ports_) {
    if (port.device != nullptr) {
      more = ReceiveFrom(port, now) || more;
    }
  }
  if (slow_pending_) {
    slow_pending_ = streams_->RunSlowTimer(0);
  }
  more = streams_->Dispatch() || more || slow_pending_;
  Flush();
  polling_ = false;
  if (addresses_changed_) {
    addresses_changed_ = false;
    ReportAddresses();
  }
  ReportDrops(now);
  return more;
}

bool Stack::ReceiveFrom(Port& port, Instant) {
  std::array<hal::Frame*, kReceiveBatch> batch;
  const uint32_t count = port.device->Receive(batch);
  if (count == 0) {
    return false;
  }
  std::array<PacketView, kReceiveBatch> views;
  std::array<ErrorCode, kReceiveBatch> parsed;
  for (uint32_t i = 0; i < count; ++i) {
    if (i + 1 < count) {
      __builtin_prefetch(batch[i + 1]->data());
    }
    parsed[i] = ParsePacket(batch[i]->bytes(), views[i]).code();
  }
  streams_->Prefetch(port, std::span(batch).first(count), views, parsed);
  for (uint32_t i = 0; i < count; ++i) {
    Steer(port, batch[i], views[i], parsed[i]);
  }
  return count == batch.size();
}

void Stack::Steer(Port& port, hal::Frame* frame, const PacketView& view, ErrorCode parsed) {
  frame->port_index = port.index;
  if (capture_ != nullptr && capture_->active()) [[unlikely]] {
    capture_->OnFrame(port.index, frame->bytes(), CaptureDirection::kReceived);
  }
  for (uint32_t i = 0; i < tap_count_; ++i) {
    if (taps_[i]->OnFrame(frame, parsed == ErrorCode::kOk ? &view : nullptr)) {
      return;
    }
  }
  if (parsed != ErrorCode::kOk) {
    Drop(frame, parsed == ErrorCode::kMalformed ? DropReason::kMalformed : DropReason::kProtocol,
         nullptr);
    return;
  }
  if (view.ether_type == kEtherArp) {
    HandleArp(port, frame);
  } else if (view.is_v6) {
    HandleIpv6(port, frame, view);
  } else {
    HandleIpv4(port, frame, view);
  }
}

void Stack::HandleArp(Port& port, hal::Frame* frame) {
  if (frame->size < kEtherHeaderSize + kArpPacketSize) {
    Drop(frame, DropReason::kMalformed, nullptr);
    return;
  }
  const uint8_t* arp = frame->data() + kEtherHeaderSize;
  const ip4_addr_t* own = netif_ip4_addr(port.netif);
  const bool has_address = own->addr != 0;
  if (has_address && std::memcmp(arp + 14, &own->addr, 4) == 0 &&
      std::memcmp(arp + 8, port.mac.data(), 6) != 0) {
    // Somebody else says our address is his: report, and do not learn it.
    if (port.conflict_reported.ns == 0 ||
        loop_.now() - port.conflict_reported > Duration::Seconds(10)) {
      port.conflict_reported = loop_.now();
      observer_.OnAddressConflict(port.index, FromLwip4(*own));
    }
    Drop(frame, DropReason::kBadSource, nullptr);
    return;
  }
  if (!has_address || std::memcmp(arp + 24, &own->addr, 4) != 0) {
    frames_.Release(frame);  // other machines' business; not worth a count
    return;
  }
  GiveToLwip(port, frame);
}

bool Stack::IsDhcpReply(const Port& port, const PacketView& view) const {
  return config_.ports[port.index].ipv4_mode == Ipv4Mode::kDhcp && view.protocol == kProtocolUdp &&
         view.destination_port == 68 && view.source_port == 67;
}

bool Stack::IsOwnAddress(const Port& port, const uint8_t* frame, const PacketView& view) const {
  const auto destination = view.destination_bytes(frame);
  if (!view.is_v6) {
    const uint32_t own = netif_ip4_addr(port.netif)->addr;
    return own != 0 && std::memcmp(destination.data(), &own, 4) == 0;
  }
  for (uint32_t i = 0; i < LWIP_IPV6_NUM_ADDRESSES; ++i) {
    if (ip6_addr_isvalid(netif_ip6_addr_state(port.netif, i)) &&
        std::memcmp(destination.data(), netif_ip6_addr(port.netif, i)->addr, 16) == 0) {
      return true;
    }
  }
  return false;
}

bool Stack::IsForUs(const Port& port, const uint8_t* frame, const PacketView& view) const {
  return std::memcmp(frame, port.mac.data(), 6) == 0 && IsOwnAddress(port, frame, view) &&
         !IsBadSource(view.source_bytes(frame), view.destination_bytes(frame));
}

void Stack::HandleIpv4(Port& port, hal::Frame* frame, const PacketView& view) {
  if (IsDhcpReply(port, view)) {
    GiveToLwip(port, frame);
    return;
  }
  if (!IsOwnAddress(port, frame->data(), view) || IsMulticastMac(frame->data())) {
    Drop(frame, DropReason::kNotForUs, &view);
    return;
  }
  HandleUnicast(port, frame, view);
}

void Stack::HandleIpv6(Port& port, hal::Frame* frame, const PacketView& view) {
  const auto destination = view.destination_bytes(frame->data());
  const bool is_icmp = view.protocol == kProtocolIcmpv6 && !view.is_fragment;
  if (is_icmp && view.icmp_type != kIcmpv6EchoRequest) {
    if (TakeEcho(port, frame, view)) {
      return;
    }
    if (!NeedsIcmpv6(port, *frame, view)) {
      Drop(frame, DropReason::kIcmp, &view);
      return;
    }
    GiveToLwip(port, frame);
    return;
  }
  if (destination[0] == 0xff || IsMulticastMac(frame->data()) ||
      !IsOwnAddress(port, frame->data(), view)) {
    Drop(frame, DropReason::kNotForUs, &view);
    return;
  }
  HandleUnicast(port, frame, view);
}

void Stack::HandleUnicast(Port& port, hal::Frame* frame, const PacketView& view) {
  if (IsBadSource(view.source_bytes(frame->data()), view.destination_bytes(frame->data()))) {
    Drop(frame, DropReason::kBadSource, &view);
    return;
  }
  if (std::memcmp(frame->data(), port.mac.data(), 6) != 0) {
    Drop(frame, DropReason::kNotForUs, &view);  // a flooding switch, or a promiscuous device
    return;
  }
  if (view.protocol == kProtocolUdp && !view.is_fragment) {
    datagrams_->Input(port, frame, view);
    return;
  }
  if (view.is_fragment) {
    // Ports are in the first fragment only: what is put together is checked again at its socket.
    if (view.protocol != kProtocolUdp) {
      Drop(frame, DropReason::kFragment, &view);
    } else if (!fragment_bucket_.Take(loop_.now())) {
      Drop(frame, DropReason::kRateLimited, &view);
    } else {
      datagrams_->InputFragment(port, frame);
    }
    return;
  }
  if (view.protocol == kProtocolTcp) {
    streams_->Input(port, frame, view);
    return;
  }
  HandleIcmp(port, frame, view);
}

bool Stack::Admit(Port& port, hal::Frame* frame, const PacketView& view, FilterProtocol protocol) {
  const bool has_service = protocol != FilterProtocol::kEcho;
  const DropReason why =
      firewall_.Judge({protocol, view.Source(frame->data()),
                       has_service ? view.destination_port : uint16_t{0}, port.index},
                      loop_.now());
  if (why == DropReason::kRejected) {
    Reject(port, frame, view);
    return false;
  }
  if (why != DropReason::kCount) {
    Drop(frame, why, &view);
    return false;
  }
  return true;
}

bool Stack::OfferReassembled(const Endpoint& local, const Endpoint& remote,
                             std::span<uint8_t> data) {
  for (uint32_t i = 0; i < tap_count_; ++i) {
    if (taps_[i]->OnReassembled(local, remote, data)) {
      return true;
    }
  }
  return false;
}

void Stack::EnforceFirewall() { streams_->AbortUnwelcome(); }

void Stack::HandleIcmp(Port& port, hal::Frame* frame, const PacketView& view) {
  const uint8_t request = view.is_v6 ? kIcmpv6EchoRequest : kIcmpEchoRequest;
  if (view.icmp_type == request && firewall_.allows_echo()) {
    if (!Admit(port, frame, view, FilterProtocol::kEcho)) {
      return;
    }
    if (!echo_bucket_.Take(loop_.now())) {
      Drop(frame, DropReason::kRateLimited, &view);
      return;
    }
    GiveToLwip(port, frame);
    return;
  }
  if (!view.is_v6 && TakeEcho(port, frame, view)) {
    return;
  }
  if (!view.is_v6 && view.icmp_type == kIcmpUnreachable &&
      QuotesUs(port, *frame, view, kIcmpErrorHeaderSize)) {
    streams_->OnUnreachable(port, *frame, view);
    frames_.Release(frame);
    return;
  }
  Drop(frame, DropReason::kIcmp, &view);
}

// Neighbour discovery needs hop limit 255: nobody beyond the link can have sent it (RFC 4861).
bool Stack::NeedsIcmpv6(Port& port, const hal::Frame& frame, const PacketView& view) {
  if (config_.ports[port.index].ipv6_mode == Ipv6Mode::kOff) {
    return false;
  }
  switch (view.icmp_type) {
    case kIcmpv6NeighborSolicitation:
    case kIcmpv6NeighborAdvertisement:
      return view.hop_limit == 255;
    case kIcmpv6RouterAdvertisement:
      return view.hop_limit == 255 && config_.ports[port.index].ipv6_mode == Ipv6Mode::kSlaac;
    case kIcmpv6MldQuery:
      return view.hop_limit == 1;
    default:
      return view.icmp_type >= kIcmpv6Unreachable && view.icmp_type <= kIcmpv6ParameterProblem &&
             IsOwnAddress(port, frame.data(), view) &&
             QuotesUs(port, frame, view, kIcmpErrorHeaderSize);
  }
}

// An ICMP error is believed when it quotes a packet of a connection or socket that exists.
bool Stack::QuotesUs(Port& port, const hal::Frame& frame, const PacketView& view, uint32_t offset) {
  if (view.l4_size <= offset) {
    return false;
  }
  const auto quoted_bytes = frame.bytes().subspan(view.l4 + offset, view.l4_size - offset);
  PacketView quoted;
  if (!ParseQuotedPacket(quoted_bytes, view.is_v6, quoted).ok() || quoted.is_fragment) {
    return false;
  }
  const Endpoint local{quoted.Source(quoted_bytes.data()), quoted.source_port};
  const Endpoint remote{quoted.Destination(quoted_bytes.data()), quoted.destination_port};
  if (quoted.protocol == kProtocolTcp) {
    return streams_->IsConnected(port, local, remote);
  }
  return quoted.protocol == kProtocolUdp && datagrams_->IsOpen(local);
}

void Stack::GiveToLwip(Port& port, hal::Frame* frame) {
  if (frame->start < kPbufRoom) {  // a device that leaves less headroom than hal promises
    Drop(frame, DropReason::kNoResource, nullptr);
    return;
  }
  LwipScope scope(lwip_);
  FramePbuf* p = FramePbuf::Make(frames_, frame, frame->start, frame->size);
  // The device has verified TCP and UDP sums of frames marked so; lwIP does the others.
  const u16_t checked = (frame->flags & hal::kFrameChecksumGood) != 0
                            ? NETIF_CHECKSUM_CHECK_TCP | NETIF_CHECKSUM_CHECK_UDP
                            : 0;
  port.netif->chksum_flags = static_cast<u16_t>(port.netif->chksum_flags & ~checked);
  if (port.netif->input(&p->custom.pbuf, port.netif) != ERR_OK) {
    pbuf_free(&p->custom.pbuf);
  }
  port.netif->chksum_flags = static_cast<u16_t>(port.netif->chksum_flags | checked);
}

void Stack::Drop(hal::Frame* frame, DropReason reason, const PacketView* view) {
  NoteDrop(reason, *frame, view);
  frames_.Release(frame);
}

void Stack::NoteDrop(DropReason reason, const hal::Frame& frame, const PacketView* view) {
  firewall_.CountDrop(reason);
  ++drop_count_;
  if (view != nullptr) {
    drop_reason_ = reason;
    drop_source_ = {view->Source(frame.data()), view->source_port};
    drop_destination_ = {view->Destination(frame.data()), view->destination_port};
  }
}

void Stack::ReportDrops(Instant now) {
  if (drop_count_ == drop_count_reported_ || now - drop_reported_at_ < kDropReportPeriod) {
    return;
  }
  // Broadcasts for others are no news; only what was addressed to us or broken is.
  if (!drop_source_.address.is_none()) {
    observer_.OnDrops(drop_count_ - drop_count_reported_, drop_reason_, drop_source_,
                      drop_destination_);
  }
  drop_count_reported_ = drop_count_;
  drop_reported_at_ = now;
  drop_source_ = {};
}

void Stack::QueueFrame(Port& port, hal::Frame* frame) {
  if (capture_ != nullptr && capture_->active()) [[unlikely]] {
    capture_->OnFrame(port.index, frame->bytes(), CaptureDirection::kSent);
  }
  if (port.tx_count == port.tx.size()) {
    port.device->Transmit(port.tx);
    port.tx_count = 0;
  }
  port.tx[port.tx_count++] = frame;
}

// lwIP routes by itself where our hook has no answer: this has the last word.
bool Stack::Strays(const Port& port, const pbuf& p) const {
  if (config_.management_port >= kPortMax || p.len < kEtherHeaderSize + 20) {
    return false;
  }
  const auto* bytes = static_cast<const uint8_t*>(p.payload);
  const uint16_t ether_type = LoadBe16(bytes + 12);
  IpAddress source;
  if (ether_type == kEtherIpv4) {
    source = IpAddress::V4FromBytes(std::span<const uint8_t, 4>(bytes + 26, 4));
  } else if (ether_type == kEtherIpv6 && p.len >= kEtherHeaderSize + 40) {
    source = IpAddress::V6FromBytes(std::span<const uint8_t, 16>(bytes + 22, 16));
  }
  return !source.is_none() && KeepApart(port.netif, source) == nullptr;
}

// lwIP's way out. A frame-backed pbuf nobody else holds is sent as it is; others are copied, for
// TCP keeps its segments until they are acknowledged.
int Stack::LinkOutput(Port& port, pbuf* p) {
  if (streams_->swallows_output() && IsTcp(*p)) {
    return ERR_OK;  // the answer to a replayed SYN: the peer has it already
  }
  if (Strays(port, *p)) {
    return ERR_RTE;
  }
  FramePbuf* own = FramePbuf::Of(p);
  hal::Frame* frame = nullptr;
  if (own != nullptr && p->next == nullptr && p->ref == 1 && own->frame != nullptr) {
    frame = own->frame;
    own->frame = nullptr;
    frame->start = static_cast<uint16_t>(static_cast<uint8_t*>(p->payload) - frame->buffer);
    frame->size = p->len;
  } else {
    frame = frames_.Allocate();
    if (frame == nullptr || p->tot_len > hal::kFrameBufferSize - hal::kFrameHeadroom) {
      if (frame != nullptr) {
        frames_.Release(frame);
      }
      return ERR_MEM;
    }
    frame->size = p->tot_len;
    pbuf_copy_partial(p, frame->data(), p->tot_len, 0);
  }
  frame->flags = 0;
  if (port.fills_checksum) {
    OffloadChecksum(*frame);
  }
  QueueFrame(port, frame);
  return ERR_OK;
}

// lwIP left the TCP or UDP sum zero (AddPort told it to): the device adds the payload to the
// pseudo header's sum.
void Stack::OffloadChecksum(hal::Frame& frame) const {
  PacketView view;
  if (!ParsePacket(frame.bytes(), view).ok() || view.is_fragment || view.ether_type == kEtherArp) {
    return;
  }
  const uint32_t offset = view.protocol == kProtocolTcp ? 16 : 6;
  if ((view.protocol != kProtocolTcp && view.protocol != kProtocolUdp) ||
      LoadBe16(frame.data() + view.l4 + offset) != 0) {
    return;
  }
  const uint32_t address_size = view.is_v6 ? 32 : 8;
  const uint8_t* addresses = frame.data() + view.l3 + (view.is_v6 ? 8 : 12);
  const uint16_t sum = PseudoHeaderSum({addresses, address_size}, view.protocol, view.l4_size);
  std::memcpy(frame.data() + view.l4 + offset, &sum, 2);
  frame.flags = hal::kFrameChecksumPartial;
  frame.checksum_start = view.l4;
  frame.checksum_offset = static_cast<uint16_t>(offset);
}

void Stack::Flush() {
  streams_->FlushOutput();
  for (Port& port : ports_) {
    if (port.device == nullptr) {
      continue;
    }
    if (port.tx_count > 0) {
      port.device->Transmit(std::span(port.tx).first(port.tx_count));
      port.tx_count = 0;
    }
    port.device->Flush();
  }
  ArmSlowTimer();
}

void Stack::Transmit(uint8_t port_index, hal::Frame* frame) {
  QueueFrame(ports_[port_index], frame);
  if (!polling_) {
    FlushSoon();
  }
}

void Stack::FlushSoon() { loop_.Defer(flush_task_); }

}  // namespace gh::net
