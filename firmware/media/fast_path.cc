#include "firmware/media/fast_path.h"

#include <bit>
#include <cstring>

#include "firmware/media/limits.h"
#include "hal/rt/wake_flag.h"
#include "net/checksum.h"

namespace gh::media {
namespace {

using net::LoadBe16;
using net::StoreBe16;

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

}  // namespace

FlowKey FlowKey::Of(const net::Endpoint& local, const net::Endpoint& remote, uint16_t channel) {
  const size_t size = local.address.byte_count();
  return KeyOf(std::span(local.address.bytes).first(size),
               std::span(remote.address.bytes).first(size), local.port, remote.port, channel);
}

uint64_t FastPath::FlowTraits::HashOf(const SipKey& key, const FlowKey& k) {
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

FastPath::FastPath(Arena& arena, uint32_t flow_count, const SipKey& key, uint16_t ip_id,
                   bool is_shared)
    : table_(arena, flow_count, key), is_shared_(is_shared), ip_id_(ip_id) {}

// --- The control plane's reach ------------------------------------------------------------------

void FastPath::SetRules(const FastRules& rules) {
  static_assert(kBareRangeMax == 2);
  uint64_t word = 0;
  for (const PortRange& range : rules.ports) {
    word = word << 32 | uint64_t{range.first} << 16 | range.last;
  }
  ranges_.store(word, std::memory_order_relaxed);
  rules_.store(uint64_t{rules.is_on} | uint64_t{static_cast<uint8_t>(rules.dscp)} << 8,
               std::memory_order_relaxed);
}

FastRules FastPath::rules() const {
  const uint64_t word = rules_.load(std::memory_order_relaxed);
  const uint64_t ranges = ranges_.load(std::memory_order_relaxed);
  const auto range = [&](uint32_t shift) {
    return PortRange{static_cast<uint16_t>(ranges >> (shift + 16)),
                     static_cast<uint16_t>(ranges >> shift)};
  };
  return {.is_on = (word & 1) != 0,
          .ports = {range(32), range(0)},
          .dscp = static_cast<int8_t>(word >> 8)};
}

// The other core first says which flow it has in hand and then looks whether that is removed; here
// it is the other way round. In the one order of all four, one of the two sees the other.
void FastPath::Forget(Flow& flow) {
  flow.is_removed.store(true, std::memory_order_seq_cst);
  while (in_hand_.load(std::memory_order_seq_cst) == &flow) {
    SpinPause();
  }
}

// --- Flows --------------------------------------------------------------------------------------

bool FastPath::Install(Flow& flow) {
  flow.is_installed = table_.Insert(flow) == HashInsert::kInserted;
  return flow.is_installed;
}

void FastPath::Uninstall(Flow& flow) {
  if (flow.is_installed) {
    table_.Remove(flow);
    flow.is_installed = false;
  }
}

void FastPath::SetNextHop(Flow& flow, const net::NextHop* hop, Instant now) {
  flow.is_asked = false;
  flow.resolved_at = hop != nullptr ? now : Instant();
  if (hop != nullptr) {
    flow.next_hop = *hop;
  }
}

Flow* FastPath::FindFlow(const hal::Frame& frame, const net::PacketView& view,
                         const FastRules& rules, Payload& payload) const {
  const uint8_t* bytes = frame.data();
  payload.offset = view.l4 + kUdpHeaderSize;
  payload.size = view.l4_size - kUdpHeaderSize;
  const bool is_relay_port =
      rules.ports[0].Has(view.destination_port) || rules.ports[1].Has(view.destination_port);
  const auto find = [&](uint16_t channel) {
    return table_.Find(KeyOf(view.destination_bytes(bytes), view.source_bytes(bytes),
                             view.destination_port, view.source_port, channel));
  };
  Flow* bare = is_relay_port ? find(0) : nullptr;
  if (bare != nullptr || payload.size < kChannelHeaderSize || bytes[payload.offset] >> 6 != 1) {
    return bare;
  }
  // A client's, or at a relay port that is a client of another server's.
  return find(LoadBe16(bytes + payload.offset));
}

bool FastPath::OnFrame(hal::Frame* frame, const net::PacketView& view, Instant now) {
  const FastRules in_force = rules();
  if (!in_force.is_on || view.is_fragment || view.protocol != net::kProtocolUdp ||
      (frame->data()[0] & 1) != 0) {  // to many: no flow of ours
    return false;
  }
  Payload payload;
  Flow* flow = FindFlow(*frame, view, in_force, payload);
  if (flow == nullptr) {
    return false;
  }
  if (!is_shared_) {
    return Forward(*flow, frame, view, in_force, payload, now);
  }
  in_hand_.store(flow, std::memory_order_seq_cst);
  const bool is_taken = !flow->is_removed.load(std::memory_order_seq_cst) &&
                        Forward(*flow, frame, view, in_force, payload, now);
  in_hand_.store(nullptr, std::memory_order_release);
  return is_taken;
}

bool FastPath::Forward(Flow& flow, hal::Frame* frame, const net::PacketView& view,
                       const FastRules& rules, Payload payload, Instant now) {
  if (flow.spec.channel_in != 0) {
    const uint32_t size = LoadBe16(frame->data() + payload.offset + 2);
    if (size > payload.size - kChannelHeaderSize) {
      ++counters_.malformed;
      exit_->Release(frame);
      return true;
    }
    payload = {payload.offset + kChannelHeaderSize, size};
  }
  if (!HasNextHop(flow, now)) {
    return false;  // the engine sends it by way of the stack, which asks for the neighbour
  }
  const uint32_t channel_size = flow.spec.channel_out != 0 ? kChannelHeaderSize : 0;
  const uint32_t ip_size = (flow.spec.to.address.is_v6() ? 40 : 20) + kUdpHeaderSize + channel_size;
  const uint32_t growth = flow.spec.processor != nullptr ? kProcessorGrowthMax : 0;
  if (ip_size + payload.size + growth > flow.next_hop.mtu) {
    return false;
  }
  if (!flow.spec.meter->Take(now, payload.size, Side::kMedia)) {
    ++counters_.over_limit;
    exit_->Release(frame);
    return true;
  }
  if (flow.spec.processor != nullptr) {
    const int32_t size = Process(flow, *frame, view, payload, now);
    if (size == FlowProcessor::kToEngine) {
      return false;
    }
    if (size < 0) {
      ++counters_.by_processor;
      exit_->Release(frame);
      return true;
    }
    payload.size = static_cast<uint32_t>(size);
  }
  const int8_t dscp = flow.spec.dscp == kDscpOfPlane ? rules.dscp : flow.spec.dscp;
  Rewrite(flow, *frame, view, payload, dscp);
  ++counters_.relayed;
  if (arrival_count_ < kTurnArrivalMax) {
    arrivals_[arrival_count_++] = frame->received;
  }
  exit_->Transmit(flow.next_hop.port_index, frame);
  return true;
}

// What is damaged must not be made whole: a sum of what leaves says nothing of what came.
int32_t FastPath::Process(Flow& flow, hal::Frame& frame, const net::PacketView& view,
                          const Payload& payload, Instant now) {
  if (!net::UdpChecksumIsGood(frame, view)) {
    return FlowProcessor::kDrop;
  }
  const std::span<uint8_t> buffer{frame.data() + payload.offset,
                                  hal::kFrameBufferSize - uint32_t{frame.start} - payload.offset};
  const int32_t size =
      flow.spec.processor->OnPayload(buffer, payload.size, flow.spec.processor_tag, now);
  if (size >= 0) {
    GH_ASSERT_LE(static_cast<uint32_t>(size), payload.size + kProcessorGrowthMax);
  }
  return size;
}

void FastPath::EndTurn(Instant began, Instant ended) {
  const uint64_t relayed = counters_.relayed;
  for (const Instant arrival : std::span(arrivals_).first(arrival_count_)) {
    delays_.Count(ended - (arrival.ns == 0 ? began : arrival), 1);
  }
  // Beyond what is kept: as late as the last that is.
  const uint64_t uncounted = relayed - relayed_before_ - arrival_count_;
  if (uncounted != 0) {
    const Instant last = arrivals_.back();
    delays_.Count(ended - (last.ns == 0 ? began : last), uncounted);
  }
  arrival_count_ = 0;
  relayed_before_ = relayed;
}

// A next hop that is no longer fresh serves on until the answer has come; but now and then a packet
// goes by way of the stack, which so asks again for neighbours in use.
bool FastPath::HasNextHop(Flow& flow, Instant now) {
  const Instant resolved_at = flow.resolved_at;
  const bool was_resolved = resolved_at.ns != 0;
  if (was_resolved && (flow.is_asked || now - resolved_at < kNextHopFresh)) {
    return true;
  }
  if (!flow.is_asked) {
    flow.is_asked = true;
    exit_->AskNextHop(flow);
  }
  const bool is_unheard = !flow.is_asked && flow.resolved_at == resolved_at;
  return was_resolved ? is_unheard : flow.resolved_at.ns != 0;
}

void FastPath::Rewrite(const Flow& flow, hal::Frame& frame, const net::PacketView& view,
                       const Payload& payload, int8_t dscp) {
  const bool is_v6 = flow.spec.to.address.is_v6();
  const uint8_t* old_udp = frame.data() + view.l4;
  const uint16_t old_field = static_cast<uint16_t>(Load32(old_udp + 4) >> 16);
  const bool is_processed = flow.spec.processor != nullptr;
  const bool is_summed = !is_processed && (frame.flags & hal::kFrameChecksumGood) == 0 &&
                         old_field != 0 &&
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
  WriteHeaders(flow.next_hop, flow.spec.from, flow.spec.to,
               {.traffic_class = TrafficClassOf(dscp, traffic_class), .ip_id = ++ip_id_}, frame);
  uint8_t* udp = frame.data() + net::kEtherHeaderSize + (is_v6 ? 40 : 20);
  if (!is_summed) {
    if (!had_no_sum || is_processed || is_v6) {
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

}  // namespace gh::media
