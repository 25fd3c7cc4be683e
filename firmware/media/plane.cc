#include "firmware/media/plane.h"

#include <algorithm>
#include <cstring>

#include "net/checksum.h"

namespace gh::media {
namespace {

using net::LoadBe32;

constexpr uint32_t kIcmpHeaderSize = 8;
constexpr uint8_t kIcmpUnreachable = 3;
constexpr uint8_t kIcmpv6Unreachable = 1;
constexpr uint8_t kIcmpv6TooBig = 2;

SipKey DrawKey(crypto::Random& random) {
  std::array<uint8_t, 16> bytes;
  random.Fill(bytes);
  return SipKey::FromBytes(bytes);
}

}  // namespace

Plane::Plane(const PlaneParts& parts, uint32_t flow_count)
    : stack_(parts.stack),
      loop_(parts.loop),
      core_(parts.core),
      clock_(parts.clock),
      turn_end_(
          [](void* context) {
            auto& self = *static_cast<Plane*>(context);
            self.fast_.EndTurn(self.loop_.now(), self.clock_->Now());
          },
          this),
      hop_key_(DrawKey(parts.random)),
      flows_(parts.arena, flow_count),
      fast_(parts.arena, flow_count, DrawKey(parts.random),
            static_cast<uint16_t>(parts.random.U32()), parts.core != nullptr),
      hops_(parts.arena.NewArray<HopEntry>(kHopCacheSize)) {
  ip_id_ = static_cast<uint16_t>(parts.random.U32());
  fast_.SetExit(*this);
  if (core_ != nullptr) {
    core_->Attach(fast_);
    loop_.Add(*this);
  }
}

void Plane::SetRelayPorts(RelayHandler* handler, std::span<const net::IpAddress> addresses,
                          uint16_t first, uint16_t last, uint32_t range) {
  RelayRange& own = ranges_[range];
  own.handler = handler;
  own.address_count =
      static_cast<uint32_t>(std::min<size_t>(addresses.size(), own.addresses.size()));
  std::copy_n(addresses.begin(), own.address_count, own.addresses.begin());
  own.ports = {first, last};
  is_on_ = std::ranges::any_of(ranges_, [](const RelayRange& r) { return r.handler != nullptr; });
  SetRules();
}

void Plane::SetDscp(int dscp) {
  dscp_ = static_cast<int8_t>(dscp);
  SetRules();
}

void Plane::SetRules() {
  FastRules rules{.is_on = is_on_, .ports = {}, .dscp = dscp_};
  for (uint32_t i = 0; i < kBareRangeMax; ++i) {
    rules.ports[i] = ranges_[i].handler != nullptr ? ranges_[i].ports : PortRange{};
  }
  fast_.SetRules(rules);
}

bool Plane::RelayRange::Owns(const net::IpAddress& address) const {
  const auto end = addresses.begin() + address_count;
  return std::find(addresses.begin(), end, address) != end;
}

Plane::RelayRange* Plane::RangeOf(uint16_t port) {
  for (RelayRange& range : ranges_) {
    if (range.handler != nullptr && range.ports.Has(port)) {
      return &range;
    }
  }
  return nullptr;
}

PlaneCounters Plane::counters() const {
  PlaneCounters out = counters_;
  out.relayed = fast_.counters().relayed;
  out.over_limit = fast_.counters().over_limit;
  out.malformed = fast_.counters().malformed;
  out.by_processor = fast_.counters().by_processor;
  return out;
}

// --- Flows --------------------------------------------------------------------------------------

Flow* Plane::AddFlow(const FlowSpec& spec) {
  // What waits may hold the very key: the other core would see two at a time.
  Flow* flow = waiting_first_ == nullptr ? flows_.Allocate() : nullptr;
  if (flow == nullptr) {
    return nullptr;
  }
  flow->spec = spec;
  flow->key = FlowKey::Of(spec.local, spec.remote, spec.channel_in);
  const bool is_added = core_ != nullptr ? core_->Tell({flow, FlowCommand::Kind::kInstall, {}})
                                         : fast_.Install(*flow);
  if (!is_added) {
    flows_.Release(flow);
    return nullptr;
  }
  ++flow_count_;
  return flow;
}

void Plane::RemoveFlow(Flow* flow) {
  --flow_count_;
  if (core_ == nullptr) {
    fast_.Uninstall(*flow);
    flows_.Release(flow);
    return;
  }
  fast_.Forget(*flow);
  flow->spec.meter = nullptr;
  TellOrWait(*flow);
}

void Plane::AskNextHop(Flow& flow) {
  const auto hop = stack_.FindNextHop(flow.spec.from.address, flow.spec.to.address);
  fast_.SetNextHop(flow, hop.ok() ? &*hop : nullptr, loop_.now());
}

// --- The other core -----------------------------------------------------------------------------

// What a flow's core is to hear: that it is removed, or else its next hop.
bool Plane::TellCore(Flow& flow) {
  if (flow.is_removed.load(std::memory_order_relaxed)) {
    return core_->Tell({&flow, FlowCommand::Kind::kUninstall, {}});
  }
  const auto hop = stack_.FindNextHop(flow.spec.from.address, flow.spec.to.address);
  return hop.ok() ? core_->Tell({&flow, FlowCommand::Kind::kNextHop, *hop})
                  : core_->Tell({&flow, FlowCommand::Kind::kNoNextHop, {}});
}

void Plane::TellOrWait(Flow& flow) {
  if (flow.is_waiting || (waiting_first_ == nullptr && TellCore(flow))) {
    return;  // one that waits says when its turn comes what is true then
  }
  flow.is_waiting = true;
  flow.next_waiting = nullptr;
  (waiting_first_ == nullptr ? waiting_first_ : waiting_last_->next_waiting) = &flow;
  waiting_last_ = &flow;
}

bool Plane::Poll(Instant) {
  while (waiting_first_ != nullptr) {
    Flow& flow = *waiting_first_;
    if (!TellCore(flow)) {
      break;
    }
    waiting_first_ = flow.next_waiting;
    flow.is_waiting = false;
  }
  std::array<FlowNote, kFlowNoteBatch> notes;
  const uint32_t count = core_->TakeNotes(notes);
  for (const FlowNote& note : std::span(notes).first(count)) {
    OnNote(note);
  }
  ShowMirrored();
  return count == notes.size() || waiting_first_ != nullptr;
}

void Plane::OnNote(const FlowNote& note) {
  if (note.kind == FlowNote::Kind::kUninstalled) {
    flows_.Release(note.flow);
  } else if (!note.flow->is_removed.load(std::memory_order_relaxed)) {
    TellOrWait(*note.flow);
  }
}

void Plane::ShowMirrored() {
  core_->SetMirroring(stack_.is_capturing());
  std::array<MirroredFrame, kFlowNoteBatch> batch;
  const uint32_t count = core_->TakeMirrored(batch);
  for (const MirroredFrame& shown : std::span(batch).first(count)) {
    stack_.Capture(shown.port_index, *shown.frame, shown.direction);
    stack_.frames().Release(shown.frame);
  }
}

// --- Frames -------------------------------------------------------------------------------------

bool Plane::OnFrame(hal::Frame* frame, const net::PacketView* view) {
  if (!is_on_ || view == nullptr || view->is_fragment) {
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
  if (core_ == nullptr && fast_.OnFrame(frame, *view, loop_.now())) {
    if (clock_ != nullptr) {
      loop_.Defer(turn_end_);
    }
    return true;
  }
  return ToEngine(frame, *view);
}

void Plane::Transmit(uint8_t port_index, hal::Frame* frame) { stack_.Transmit(port_index, frame); }
void Plane::Release(hal::Frame* frame) { stack_.frames().Release(frame); }

// --- The engine's -------------------------------------------------------------------------------

bool Plane::ToEngine(hal::Frame* frame, const net::PacketView& view) {
  const RelayRange* range = RangeOf(view.destination_port);
  const net::Endpoint local{view.Destination(frame->data()), view.destination_port};
  if (range == nullptr || !range->Owns(local.address)) {
    return false;
  }
  if (!net::UdpChecksumIsGood(*frame, view)) {
    ++counters_.bad_checksum;
  } else {
    ++counters_.to_engine;
    const net::Endpoint remote{view.Source(frame->data()), view.source_port};
    const auto data =
        frame->bytes().subspan(view.l4 + kUdpHeaderSize, view.l4_size - kUdpHeaderSize);
    if (!range->handler->OnRelayDatagram(local, remote, data)) {
      ++counters_.no_port;
      return false;  // a socket of the stack may have the port
    }
  }
  stack_.frames().Release(frame);
  return true;
}

// The stack has put it together, and its sum is right.
bool Plane::OnReassembled(const net::Endpoint& local, const net::Endpoint& remote,
                          std::span<uint8_t> data) {
  const RelayRange* range = RangeOf(local.port);
  if (range == nullptr || !range->Owns(local.address)) {
    return false;
  }
  ++counters_.to_engine;
  const bool is_taken = range->handler->OnRelayDatagram(local, remote, data);
  counters_.no_port += is_taken ? 0 : 1;
  return is_taken;
}

// True: the error quotes a datagram of a relay port.
bool Plane::ErrorToEngine(const hal::Frame& frame, const net::PacketView& view) {
  const bool is_error =
      view.is_v6 ? view.icmp_type == kIcmpv6Unreachable || view.icmp_type == kIcmpv6TooBig
                 : view.icmp_type == kIcmpUnreachable;
  if (!is_error || view.l4_size <= kIcmpHeaderSize) {
    return false;
  }
  const uint8_t* icmp = frame.data() + view.l4;
  const std::span<const uint8_t> quoted_bytes(icmp + kIcmpHeaderSize,
                                              view.l4_size - kIcmpHeaderSize);
  net::PacketView quoted;
  if (!net::ParseQuotedPacket(quoted_bytes, view.is_v6, quoted).ok() || quoted.is_fragment ||
      quoted.protocol != net::kProtocolUdp) {
    return false;
  }
  const RelayRange* range = RangeOf(quoted.source_port);
  if (range == nullptr || !range->Owns(view.Destination(frame.data()))) {
    return false;
  }
  const net::Endpoint local{quoted.Source(quoted_bytes.data()), quoted.source_port};
  const net::Endpoint remote{quoted.Destination(quoted_bytes.data()), quoted.destination_port};
  range->handler->OnRelayError(local, remote, view.icmp_type, view.icmp_code, LoadBe32(icmp + 4));
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
  return stack_.SendUnbound(from, to, data, TrafficClassFor(from.port));
}

uint8_t Plane::TrafficClassFor(uint16_t port) {
  const RelayRange* range = RangeOf(port);
  const bool is_own = range != nullptr && range->dscp != kDscpOfPlane;
  return TrafficClassOf(is_own ? range->dscp : dscp_, 0);
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
  WriteHeaders(*hop, from, to,
               {.traffic_class = TrafficClassFor(from.port),
                .dont_fragment = dont_fragment,
                .ip_id = ++ip_id_},
               *frame);
  FillChecksum(*hop, *frame, is_v6);
  ++counters_.sent;
  stack_.Transmit(hop->port_index, frame);
  return Ok();
}

}  // namespace gh::media
