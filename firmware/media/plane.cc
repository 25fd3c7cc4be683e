#include "firmware/media/plane.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "net/checksum.h"

namespace gh::media {
namespace {

using net::LoadBe16;
using net::LoadBe32;
using net::StoreBe16;

constexpr uint32_t kUdpHeaderSize = 8;
constexpr uint32_t kChannelHeaderSize = 4;
constexpr uint32_t kIcmpHeaderSize = 8;
constexpr uint8_t kIcmpUnreachable = 3;
constexpr uint8_t kIcmpv6Unreachable = 1;
constexpr uint8_t kIcmpv6TooBig = 2;

SipKey DrawKey(crypto::Random& random) {
  std::array<uint8_t, 16> bytes;
  random.Fill(bytes);
  return SipKey::FromBytes(bytes);
}

uint64_t Load64(const uint8_t* p) {
  uint64_t word;
  std::memcpy(&word, p, sizeof(word));
  return word;
}
uint64_t Load32(const uint8_t* p) {
  uint32_t word;
  std::memcpy(&word, p, sizeof(word));
  return word;
}

FlowKey KeyOf(std::span<const uint8_t> local, std::span<const uint8_t> remote, uint16_t local_port,
              uint16_t remote_port, uint16_t channel) {
  FlowKey key;
  const uint64_t ports =
      uint64_t{local_port} << 48 | uint64_t{remote_port} << 32 | uint64_t{channel} << 16;
  if (local.size() == 4) {
    key.words[0] = Load32(local.data()) << 32 | Load32(remote.data());
    key.words[1] = ports | 4;
    return key;
  }
  key.words[0] = Load64(local.data());
  key.words[1] = ports | 6;
  key.words[2] = Load64(local.data() + 8);
  key.words[3] = Load64(remote.data());
  key.words[4] = Load64(remote.data() + 8);
  return key;
}

// One's complement: a - b.
uint32_t Less(uint32_t a, uint32_t b) { return net::FoldSum(a + (~b & 0xffff)); }

// The sum of a UDP header without its checksum and of its pseudo header, in memory order.
uint32_t HeaderSum(const uint8_t* udp, std::span<const uint8_t> addresses) {
  const uint32_t size = LoadBe16(udp + 4);
  return net::ChecksumSum({udp, 6}, net::PseudoHeaderSum(addresses, net::kProtocolUdp, size));
}

std::span<const uint8_t> AddressesOf(const uint8_t* ip, bool is_v6) {
  return is_v6 ? std::span(ip + 8, 32) : std::span(ip + 12, 8);
}

}  // namespace

FlowKey FlowKey::Of(const net::Endpoint& local, const net::Endpoint& remote, uint16_t channel) {
  const size_t size = local.address.byte_count();
  return KeyOf(std::span(local.address.bytes).first(size),
               std::span(remote.address.bytes).first(size), local.port, remote.port, channel);
}

uint64_t Plane::FlowTraits::HashOf(const SipKey& key, const FlowKey& k) {
  internal::SipState state(key);
  state.Absorb<1>(k.words[0]);
  state.Absorb<1>(k.words[1]);
  if ((k.words[1] & 0xffff) == 6) {
    state.Absorb<1>(k.words[2]);
    state.Absorb<1>(k.words[3]);
    state.Absorb<1>(k.words[4]);
  }
  return state.Finish<3>();
}

Plane::Plane(const PlaneParts& parts, uint32_t flow_count)
    : stack_(parts.stack),
      loop_(parts.loop),
      hop_key_(DrawKey(parts.random)),
      flows_(parts.arena, flow_count),
      table_(parts.arena, flow_count, DrawKey(parts.random)),
      hops_(parts.arena.NewArray<HopEntry>(kHopCacheSize)) {
  ip_id_ = static_cast<uint16_t>(parts.random.U32());
}

void Plane::SetRelayPorts(RelayHandler* handler, std::span<const net::IpAddress> addresses,
                          uint16_t first, uint16_t last) {
  handler_ = handler;
  address_count_ = static_cast<uint32_t>(std::min<size_t>(addresses.size(), addresses_.size()));
  std::copy_n(addresses.begin(), address_count_, addresses_.begin());
  port_first_ = first;
  port_last_ = last;
}

bool Plane::IsRelayAddress(const net::IpAddress& address) const {
  const auto end = addresses_.begin() + address_count_;
  return std::find(addresses_.begin(), end, address) != end;
}

// --- Flows --------------------------------------------------------------------------------------

Flow* Plane::AddFlow(const FlowSpec& spec) {
  Flow* flow = flows_.Allocate();
  if (flow == nullptr) {
    return nullptr;
  }
  flow->spec = spec;
  flow->key = FlowKey::Of(spec.local, spec.remote, spec.channel_in);
  if (table_.Insert(*flow) != HashInsert::kInserted) {
    flows_.Release(flow);
    return nullptr;
  }
  return flow;
}

void Plane::RemoveFlow(Flow* flow) {
  table_.Remove(*flow);
  flows_.Release(flow);
}

Flow* Plane::FindFlow(const hal::Frame& frame, const net::PacketView& view,
                      Payload& payload) const {
  const uint8_t* bytes = frame.data();
  payload.offset = view.l4 + kUdpHeaderSize;
  payload.size = view.l4_size - kUdpHeaderSize;
  const bool is_relay_port =
      view.destination_port >= port_first_ && view.destination_port <= port_last_;
  uint16_t channel = 0;
  if (!is_relay_port) {
    if (payload.size < kChannelHeaderSize || bytes[payload.offset] >> 6 != 1) {
      return nullptr;
    }
    channel = LoadBe16(bytes + payload.offset);
  }
  return table_.Find(KeyOf(view.destination_bytes(bytes), view.source_bytes(bytes),
                           view.destination_port, view.source_port, channel));
}

bool Plane::OnFrame(hal::Frame* frame, const net::PacketView* view) {
  if (handler_ == nullptr || view == nullptr || view->is_fragment) {
    return false;
  }
  if (view->protocol != net::kProtocolUdp) {
    if (view->protocol == net::kProtocolIcmp || view->protocol == net::kProtocolIcmpv6) {
      if (ErrorToEngine(*frame, *view)) {
        stack_.frames().Release(frame);
        return true;
      }
    }
    return false;
  }
  if ((frame->data()[0] & 1) != 0) {
    return false;  // to many: no flow of ours
  }
  Payload payload;
  if (Flow* flow = FindFlow(*frame, *view, payload); flow != nullptr) {
    return Forward(*flow, frame, *view, payload);
  }
  return ToEngine(frame, *view);
}

bool Plane::Forward(Flow& flow, hal::Frame* frame, const net::PacketView& view,
                    const Payload& whole) {
  Payload payload = whole;
  if (flow.spec.channel_in != 0) {
    const uint32_t size = LoadBe16(frame->data() + payload.offset + 2);
    if (size > payload.size - kChannelHeaderSize) {
      ++counters_.malformed;
      stack_.frames().Release(frame);
      return true;
    }
    payload = {payload.offset + kChannelHeaderSize, size};
  }
  if (!Resolve(flow)) {
    // The engine sends it by way of the stack, which asks for the neighbour.
    return flow.spec.channel_in == 0 && ToEngine(frame, view);
  }
  const uint32_t channel_size = flow.spec.channel_out != 0 ? kChannelHeaderSize : 0;
  const uint32_t ip_size = (flow.spec.to.address.is_v6() ? 40 : 20) + kUdpHeaderSize + channel_size;
  if (ip_size + payload.size > flow.next_hop.mtu) {
    return flow.spec.channel_in == 0 && ToEngine(frame, view);
  }
  if (!flow.spec.meter->Take(loop_.now(), payload.size)) {
    ++counters_.over_limit;
    stack_.frames().Release(frame);
    return true;
  }
  Rewrite(flow, *frame, view, payload);
  ++counters_.relayed;
  stack_.Transmit(flow.next_hop.port_index, frame);
  return true;
}

bool Plane::Resolve(Flow& flow) {
  const Instant now = loop_.now();
  if (flow.resolved_at.ns != 0 && now - flow.resolved_at < kNextHopFresh) {
    return true;
  }
  const bool was_resolved = flow.resolved_at.ns != 0;
  const auto hop = stack_.FindNextHop(flow.spec.from.address, flow.spec.to.address);
  flow.resolved_at = hop.ok() ? now : Instant();
  if (hop.ok()) {
    flow.next_hop = *hop;
  }
  // Now and then a packet goes by way of the stack: it asks again for neighbours in use.
  return hop.ok() && !was_resolved;
}

void Plane::Rewrite(const Flow& flow, hal::Frame& frame, const net::PacketView& view,
                    const Payload& payload) {
  const bool is_v6 = flow.spec.to.address.is_v6();
  const uint8_t* old_udp = frame.data() + view.l4;
  const uint16_t old_field = static_cast<uint16_t>(Load32(old_udp + 4) >> 16);
  const bool is_summed = (frame.flags & hal::kFrameChecksumGood) == 0 && old_field != 0 &&
                         payload.offset + payload.size == view.l4 + uint32_t{view.l4_size};
  const bool had_no_sum = (frame.flags & hal::kFrameChecksumGood) == 0 && old_field == 0;
  uint32_t body_sum = 0;  // of the payload alone, by what the sender said
  if (is_summed) {
    body_sum = Less(~uint32_t{old_field} & 0xffff,
                    HeaderSum(old_udp, AddressesOf(frame.data() + view.l3, view.is_v6)));
    if (flow.spec.channel_in != 0) {
      body_sum = Less(body_sum, net::ChecksumSum({old_udp + kUdpHeaderSize, kChannelHeaderSize}));
    }
  }
  const uint8_t* ip = frame.data() + view.l3;
  const auto traffic_class = static_cast<uint8_t>(view.is_v6 ? LoadBe16(ip) >> 4 : ip[1]);
  frame.start = static_cast<uint16_t>(frame.start + payload.offset);
  frame.size = static_cast<uint16_t>(payload.size);
  if (flow.spec.channel_out != 0) {
    uint8_t* channel = frame.Prepend(kChannelHeaderSize);
    StoreBe16(channel, flow.spec.channel_out);
    StoreBe16(channel + 2, static_cast<uint16_t>(payload.size));
  }
  WriteHeaders(flow.next_hop, flow.spec.from, flow.spec.to, frame, TrafficClass(traffic_class),
               false);
  uint8_t* udp = frame.data() + net::kEtherHeaderSize + (is_v6 ? 40 : 20);
  if (!is_summed) {
    if (!had_no_sum || is_v6) {
      FillChecksum(flow.next_hop, frame, is_v6);
    }
    return;
  }
  const uint8_t* new_ip = frame.data() + net::kEtherHeaderSize;
  uint32_t sum = body_sum + HeaderSum(udp, AddressesOf(new_ip, is_v6));
  if (flow.spec.channel_out != 0) {
    sum += net::ChecksumSum({udp + kUdpHeaderSize, kChannelHeaderSize});
  }
  const auto field = static_cast<uint16_t>(~net::FoldSum(sum));
  const uint16_t value = field == 0 ? 0xffff : field;
  std::memcpy(udp + 6, &value, 2);
}

// Ethernet, IP and UDP in front of what the frame holds; the UDP checksum is zero.
void Plane::WriteHeaders(const net::NextHop& hop, const net::Endpoint& from,
                         const net::Endpoint& to, hal::Frame& frame, uint8_t traffic_class,
                         bool dont_fragment) {
  const bool is_v6 = to.address.is_v6();
  const auto udp_size = static_cast<uint16_t>(frame.size + kUdpHeaderSize);
  uint8_t* udp = frame.Prepend(kUdpHeaderSize);
  StoreBe16(udp, from.port);
  StoreBe16(udp + 2, to.port);
  StoreBe16(udp + 4, udp_size);
  StoreBe16(udp + 6, 0);
  uint8_t* ip = frame.Prepend(is_v6 ? 40 : 20);
  if (is_v6) {
    ip[0] = static_cast<uint8_t>(0x60 | traffic_class >> 4);
    ip[1] = static_cast<uint8_t>(traffic_class << 4);
    StoreBe16(ip + 2, 0);
    StoreBe16(ip + 4, udp_size);
    ip[6] = net::kProtocolUdp;
    ip[7] = kHopLimit;
    std::memcpy(ip + 8, from.address.bytes.data(), 16);
    std::memcpy(ip + 24, to.address.bytes.data(), 16);
  } else {
    ip[0] = 0x45;
    ip[1] = traffic_class;
    StoreBe16(ip + 2, static_cast<uint16_t>(udp_size + 20));
    StoreBe16(ip + 4, dont_fragment ? 0 : ++ip_id_);
    StoreBe16(ip + 6, dont_fragment ? 0x4000 : 0);
    ip[8] = kHopLimit;
    ip[9] = net::kProtocolUdp;
    StoreBe16(ip + 10, 0);
    std::memcpy(ip + 12, from.address.bytes.data(), 4);
    std::memcpy(ip + 16, to.address.bytes.data(), 4);
    const auto sum = static_cast<uint16_t>(~net::ChecksumSum({ip, 20}));
    std::memcpy(ip + 10, &sum, 2);
  }
  uint8_t* ether = frame.Prepend(net::kEtherHeaderSize);
  std::memcpy(ether, hop.destination.data(), 6);
  std::memcpy(ether + 6, hop.source.data(), 6);
  StoreBe16(ether + 12, is_v6 ? net::kEtherIpv6 : net::kEtherIpv4);
  frame.flags = 0;
}

void Plane::FillChecksum(const net::NextHop& hop, hal::Frame& frame, bool is_v6) const {
  const uint32_t l4 = net::kEtherHeaderSize + (is_v6 ? 40 : 20);
  uint8_t* udp = frame.data() + l4;
  const uint32_t size = frame.size - l4;
  const uint16_t pseudo = net::PseudoHeaderSum(
      AddressesOf(frame.data() + net::kEtherHeaderSize, is_v6), net::kProtocolUdp, size);
  if (hop.fills_checksum) {
    std::memcpy(udp + 6, &pseudo, 2);
    frame.flags = hal::kFrameChecksumPartial;
    frame.checksum_start = static_cast<uint16_t>(l4);
    frame.checksum_offset = 6;
    return;
  }
  const auto field = static_cast<uint16_t>(~net::ChecksumSum({udp, size}, pseudo));
  const uint16_t value = field == 0 ? 0xffff : field;
  std::memcpy(udp + 6, &value, 2);
}

uint8_t Plane::TrafficClass(uint8_t of_packet) const {
  return dscp_ < 0 ? of_packet : static_cast<uint8_t>(dscp_ << 2 | (of_packet & 3));
}

// --- The engine's -------------------------------------------------------------------------------

bool Plane::ToEngine(hal::Frame* frame, const net::PacketView& view) {
  if (view.destination_port < port_first_ || view.destination_port > port_last_) {
    return false;
  }
  const net::Endpoint local{view.Destination(frame->data()), view.destination_port};
  if (!IsRelayAddress(local.address)) {
    return false;
  }
  if (!net::UdpChecksumIsGood(*frame, view)) {
    ++counters_.bad_checksum;
  } else {
    ++counters_.to_engine;
    const net::Endpoint remote{view.Source(frame->data()), view.source_port};
    const auto data =
        frame->bytes().subspan(view.l4 + kUdpHeaderSize, view.l4_size - kUdpHeaderSize);
    counters_.no_port += handler_->OnRelayDatagram(local, remote, data) ? 0 : 1;
  }
  stack_.frames().Release(frame);
  return true;
}

// True: the error quotes a datagram of a relay port.
bool Plane::ErrorToEngine(const hal::Frame& frame, const net::PacketView& view) {
  const bool is_error =
      view.is_v6 ? view.icmp_type == kIcmpv6Unreachable || view.icmp_type == kIcmpv6TooBig
                 : view.icmp_type == kIcmpUnreachable;
  if (!is_error || view.l4_size <= kIcmpHeaderSize ||
      !IsRelayAddress(view.Destination(frame.data()))) {
    return false;
  }
  const uint8_t* icmp = frame.data() + view.l4;
  const std::span<const uint8_t> quoted_bytes(icmp + kIcmpHeaderSize,
                                              view.l4_size - kIcmpHeaderSize);
  net::PacketView quoted;
  if (!net::ParseQuotedPacket(quoted_bytes, view.is_v6, quoted).ok() || quoted.is_fragment ||
      quoted.protocol != net::kProtocolUdp || quoted.source_port < port_first_ ||
      quoted.source_port > port_last_) {
    return false;
  }
  const net::Endpoint local{quoted.Source(quoted_bytes.data()), quoted.source_port};
  const net::Endpoint remote{quoted.Destination(quoted_bytes.data()), quoted.destination_port};
  handler_->OnRelayError(local, remote, view.icmp_type, view.icmp_code, LoadBe32(icmp + 4));
  return true;
}

const net::NextHop* Plane::HopFor(const net::IpAddress& from, const net::IpAddress& to) {
  const uint64_t hash = SipHash13(hop_key_, to.bytes);
  HopEntry& entry = hops_[hash & (hops_.size() - 1)];
  const Instant now = loop_.now();
  if (entry.resolved_at.ns != 0 && now - entry.resolved_at < kNextHopFresh && entry.to == to &&
      entry.from == from) {
    return &entry.hop;
  }
  const auto hop = stack_.FindNextHop(from, to);
  if (!hop.ok()) {
    return nullptr;
  }
  const bool is_renewal = entry.resolved_at.ns != 0 && entry.to == to && entry.from == from;
  entry = {from, to, *hop, now};
  return is_renewal ? nullptr : &entry.hop;
}

Result<void> Plane::SendByStack(const net::Endpoint& from, const net::Endpoint& to,
                                std::span<const uint8_t> data) {
  ++counters_.sent_by_stack;
  return stack_.SendUnbound(from, to, data);
}

Result<void> Plane::Send(const net::Endpoint& from, const net::Endpoint& to,
                         std::span<const uint8_t> data, bool dont_fragment) {
  const bool is_v6 = to.address.is_v6();
  const net::NextHop* hop = HopFor(from.address, to.address);
  if (hop == nullptr) {
    return SendByStack(from, to, data);
  }
  const size_t packet_size = data.size() + kUdpHeaderSize + (is_v6 ? 40u : 20u);
  if (packet_size > hop->mtu) {
    if (dont_fragment) {
      ++counters_.too_large;
      return ErrorCode::kTooLarge;
    }
    return SendByStack(from, to, data);
  }
  hal::Frame* frame = stack_.frames().Allocate();
  if (frame == nullptr) {
    ++counters_.no_frame;
    return ErrorCode::kExhausted;
  }
  std::memcpy(frame->data(), data.data(), data.size());
  frame->size = static_cast<uint16_t>(data.size());
  WriteHeaders(*hop, from, to, *frame, TrafficClass(0), dont_fragment);
  FillChecksum(*hop, *frame, is_v6);
  ++counters_.sent;
  stack_.Transmit(hop->port_index, frame);
  return Ok();
}

}  // namespace gh::media
