// The media plane: takes the frames of flows in front of the stack and sends them on, in place.
//
// Per frame: one keyed-hash look-up, new headers written over the old ones, an incremental or
// offloaded checksum, the next hop the flow remembers, the port's transmit batch. No lwIP, no copy,
// no allocation. Frames to relay ports that no flow takes go to the engine; all others are left to
// the stack. Engine datagrams outside flows are built here too (Send), with a cache of next hops.
//
// Not relayed here: IP fragments (dropped by the stack's firewall, no relay port is open to it).
#pragma once

#include <array>
#include <span>

#include "crypto/random.h"
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
};

struct PlaneCounters {
  uint64_t relayed = 0;        // in place
  uint64_t to_engine = 0;      // to a relay port, outside flows
  uint64_t sent = 0;           // built for the engine
  uint64_t sent_by_stack = 0;  // by way of lwIP: next hop not known, or due to be confirmed
  uint64_t over_limit = 0;     // dropped: bandwidth
  uint64_t malformed = 0;      // dropped: ChannelData shorter than it says
  uint64_t bad_checksum = 0;   // dropped
  uint64_t no_port = 0;        // dropped: relay port not in use
  uint64_t no_frame = 0;       // dropped: frame pool empty
  uint64_t too_large = 0;      // dropped: beyond the MTU and not to be fragmented
};

class Plane final : public net::FrameTap, public Relay {
 public:
  Plane(const PlaneParts& parts, uint32_t flow_count);
  Plane(const Plane&) = delete;
  Plane& operator=(const Plane&) = delete;

  // Relay ports first..last of these addresses are `handler`'s. Flows stay.
  void SetRelayPorts(RelayHandler* handler, std::span<const net::IpAddress> addresses,
                     uint16_t first, uint16_t last);
  // Differentiated services code point of what is relayed; negative: as it came.
  void SetDscp(int dscp) { dscp_ = dscp; }

  bool OnFrame(hal::Frame* frame, const net::PacketView* view) override;
  Flow* AddFlow(const FlowSpec& spec) override;
  void RemoveFlow(Flow* flow) override;
  Result<void> Send(const net::Endpoint& from, const net::Endpoint& to,
                    std::span<const uint8_t> data, bool dont_fragment) override;

  const PlaneCounters& counters() const { return counters_; }
  uint32_t flow_count() const { return flows_.used_count(); }
  uint32_t flow_capacity() const { return flows_.capacity(); }
  static constexpr uint64_t bytes_per_flow() {
    return Pool<Flow>::bytes_per_item() + sizeof(HashNode*);
  }

 private:
  struct FlowTraits {
    using Key = FlowKey;
    static const Key& KeyOf(const Flow& flow) { return flow.key; }
    static uint64_t HashOf(const SipKey& key, const Key& k);
  };
  struct HopEntry {
    net::IpAddress from;
    net::IpAddress to;
    net::NextHop hop;
    Instant resolved_at;
  };
  struct Payload {
    uint32_t offset = 0;  // in the frame
    uint32_t size = 0;
  };

  Flow* FindFlow(const hal::Frame& frame, const net::PacketView& view, Payload& payload) const;
  bool Forward(Flow& flow, hal::Frame* frame, const net::PacketView& view, const Payload& payload);
  bool Resolve(Flow& flow);
  void Rewrite(const Flow& flow, hal::Frame& frame, const net::PacketView& view,
               const Payload& payload);
  void WriteHeaders(const net::NextHop& hop, const net::Endpoint& from, const net::Endpoint& to,
                    hal::Frame& frame, uint8_t traffic_class, bool dont_fragment);
  void FillChecksum(const net::NextHop& hop, hal::Frame& frame, bool is_v6) const;
  bool IsRelayAddress(const net::IpAddress& address) const;
  bool ToEngine(hal::Frame* frame, const net::PacketView& view);
  bool ErrorToEngine(const hal::Frame& frame, const net::PacketView& view);
  const net::NextHop* HopFor(const net::IpAddress& from, const net::IpAddress& to);
  Result<void> SendByStack(const net::Endpoint& from, const net::Endpoint& to,
                           std::span<const uint8_t> data);
  uint8_t TrafficClass(uint8_t of_packet) const;

  net::Stack& stack_;
  EventLoop& loop_;
  SipKey hop_key_;
  Pool<Flow> flows_;
  HashTable<Flow, &Flow::node, FlowTraits> table_;
  std::span<HopEntry> hops_;
  RelayHandler* handler_ = nullptr;
  std::array<net::IpAddress, kRelayAddressMax> addresses_ = {};
  uint32_t address_count_ = 0;
  uint16_t port_first_ = 0;
  uint16_t port_last_ = 0;
  int dscp_ = -1;
  uint16_t ip_id_ = 0;
  PlaneCounters counters_;
};

}  // namespace gh::media
