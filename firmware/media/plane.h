// The media plane's control side: the flows of an engine, what reaches it of its relay ports, and
// what it sends outside flows.
//
// The frames of flows are FastPath's: it runs within this plane, as a tap in front of the stack, or
// on a core of its own (MediaCore), and what is here then tells that core of flows and next hops.
// Frames to relay ports that no flow takes go to the engine; all others are left to the stack.
// Engine datagrams outside flows are built here (Send), with a cache of next hops.
//
// A removed flow passes no packet any more when RemoveFlow() returns, on either core; its memory is
// used again when the core has let go of it.
//
// Not relayed here: IP fragments (dropped by the stack's firewall, no relay port is open to it).
#pragma once

#include <array>
#include <span>

#include "crypto/random.h"
#include "firmware/media/core.h"
#include "firmware/media/fast_path.h"
#include "firmware/media/flow.h"
#include "firmware/media/limits.h"
#include "hal/rt/arena.h"
#include "hal/rt/pool.h"
#include "net/stack.h"

namespace gh::media {

struct PlaneParts {
  Arena& arena;
  net::Stack& stack;
  crypto::Random& random;
  EventLoop& loop;
  MediaCore* core = nullptr;    // null: one core runs both planes
  hal::Clock* clock = nullptr;  // null: delays are not measured where one core does
};

struct PlaneCounters {
  uint64_t relayed = 0;        // in place
  uint64_t to_engine = 0;      // to a relay port, outside flows
  uint64_t sent = 0;           // built for the engine
  uint64_t sent_by_stack = 0;  // by way of lwIP: next hop not known, or due to be confirmed
  uint64_t over_limit = 0;     // dropped: bandwidth
  uint64_t malformed = 0;      // dropped: ChannelData shorter than it says
  uint64_t by_processor = 0;   // dropped: not for the other side
  uint64_t bad_checksum = 0;   // dropped
  uint64_t no_port = 0;        // dropped: relay port not in use
  uint64_t no_frame = 0;       // dropped: frame pool empty
  uint64_t too_large = 0;      // dropped: beyond the MTU and not to be fragmented
};

class Plane final : public net::FrameTap, public Relay, public Pollable, FastExit {
 public:
  Plane(const PlaneParts& parts, uint32_t flow_count);
  Plane(const Plane&) = delete;
  Plane& operator=(const Plane&) = delete;

  // Relay ports first..last of these addresses are `handler`'s. Flows stay.
  // Ranges of two engines must not meet.
  void SetRelayPorts(RelayHandler* handler, std::span<const net::IpAddress> addresses,
                     uint16_t first, uint16_t last, uint32_t range = kTurnRange);
  static constexpr uint32_t kTurnRange = 0;
  static constexpr uint32_t kRtpRange = 1;
  static constexpr uint32_t kMuxRange = 2;  // its flows are of channels
  // Differentiated services code point of what is relayed; negative: as it came.
  void SetDscp(int dscp);
  // Of what the engine of that range sends itself; negative: 0.
  void SetDscp(int dscp, uint32_t range) { ranges_[range].dscp = static_cast<int8_t>(dscp); }

  bool OnFrame(hal::Frame* frame, const net::PacketView* view) override;
  bool OnReassembled(const net::Endpoint& local, const net::Endpoint& remote,
                     std::span<uint8_t> data) override;
  Flow* AddFlow(const FlowSpec& spec) override;
  void RemoveFlow(Flow* flow) override;
  Result<void> Send(const net::Endpoint& from, const net::Endpoint& to,
                    std::span<const uint8_t> data, bool dont_fragment) override;

  void Hold(Flow& flow) override {
    if (core_ != nullptr) {
      fast_.Forget(flow);
    }
  }
  void LetGo(Flow& flow) override {
    if (core_ != nullptr) {
      FastPath::Remember(flow);
    }
  }

  bool Poll(Instant now) override;  // what the other core says

  PlaneCounters counters() const;
  const Delays& delays() const { return fast_.delays(); }
  uint32_t flow_count() const { return flow_count_; }
  uint32_t flow_capacity() const { return flows_.capacity(); }
  static constexpr uint64_t bytes_per_flow() {
    return Pool<Flow>::bytes_per_item() + FastPath::bytes_per_flow();
  }

 private:
  struct RelayRange {
    RelayHandler* handler = nullptr;
    std::array<net::IpAddress, kRelayAddressMax> addresses = {};
    uint32_t address_count = 0;
    PortRange ports;
    int8_t dscp = kDscpOfPlane;
    bool Owns(const net::IpAddress& address) const;
  };
  struct HopEntry {
    net::IpAddress from;
    net::IpAddress to;
    net::NextHop hop;
    Instant resolved_at;
  };
  // FastExit, where one core runs both planes.
  void Transmit(uint8_t port_index, hal::Frame* frame) override;
  void Release(hal::Frame* frame) override;
  void AskNextHop(Flow& flow) override;

  void SetRules();
  bool TellCore(Flow& flow);
  void TellOrWait(Flow& flow);
  void OnNote(const FlowNote& note);
  void ShowMirrored();
  RelayRange* RangeOf(uint16_t port);
  bool ToEngine(hal::Frame* frame, const net::PacketView& view);
  bool ErrorToEngine(const hal::Frame& frame, const net::PacketView& view);
  const net::NextHop* HopFor(const net::IpAddress& from, const net::IpAddress& to);
  Result<void> SendByStack(const net::Endpoint& from, const net::Endpoint& to,
                           std::span<const uint8_t> data);
  uint8_t TrafficClassFor(uint16_t port);

  net::Stack& stack_;
  EventLoop& loop_;
  MediaCore* core_;
  hal::Clock* clock_;
  Task turn_end_;
  SipKey hop_key_;
  Pool<Flow> flows_;
  uint32_t flow_count_ = 0;  // without those the core has not let go of
  FastPath fast_;
  // Flows of which the core is to hear, but its ring is full; in order.
  Flow* waiting_first_ = nullptr;
  Flow* waiting_last_ = nullptr;
  std::span<HopEntry> hops_;
  std::array<RelayRange, kRelayRangeMax> ranges_;
  bool is_on_ = false;
  int8_t dscp_ = -1;
  uint16_t ip_id_ = 0;
  PlaneCounters counters_;
};

}  // namespace gh::media
