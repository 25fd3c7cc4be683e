// The fast path: finds a frame's flow and sends the frame on, in place.
//
// It belongs to whoever receives frames: the control plane where there is one core, else the media
// core, and only there its table of flows is touched. The control plane reaches in by two words
// alone: the rules (an atomic), and the flow in hand, by which Forget() knows that no packet passes
// by a flow any more. Nothing here waits, and nothing is allocated.
#pragma once

#include <array>
#include <atomic>

#include "firmware/media/delays.h"
#include "firmware/media/flow.h"
#include "firmware/media/headers.h"
#include "firmware/media/limits.h"
#include "hal/rt/arena.h"
#include "hal/rt/counter.h"
#include "hal/rt/siphash.h"

namespace gh::media {

// Whoever runs the fast path.
class FastExit {
 public:
  virtual void Transmit(uint8_t port_index, hal::Frame* frame) = 0;
  virtual void Release(hal::Frame* frame) = 0;
  // The answer is SetNextHop(), within the call or later; until then it is not asked again. Who
  // cannot ask now takes `is_asked` back.
  virtual void AskNextHop(Flow& flow) = 0;

 protected:
  ~FastExit() = default;
};

struct FastCounters {
  Counter relayed;
  Counter over_limit;    // dropped
  Counter malformed;     // dropped
  Counter by_processor;  // dropped
};

// Relay ports: what comes there has no ChannelData header. None where `last` is less.
struct PortRange {
  uint16_t first = 1;
  uint16_t last = 0;
  bool Has(uint16_t port) const { return port >= first && port <= last; }
};

struct FastRules {
  bool is_on = false;
  std::array<PortRange, kBareRangeMax> ports;
  int8_t dscp = -1;  // of what is relayed; negative: as it came
};

class FastPath {
 public:
  // `is_shared`: flows are removed by another core than the one that calls OnFrame().
  FastPath(Arena& arena, uint32_t flow_count, const SipKey& key, uint16_t ip_id, bool is_shared);
  FastPath(const FastPath&) = delete;
  FastPath& operator=(const FastPath&) = delete;
  void SetExit(FastExit& exit) { exit_ = &exit; }

  // --- Whoever owns the engine ---
  void SetRules(const FastRules& rules);
  // Returns when no packet passes by `flow` any more: at most the time of one packet.
  void Forget(Flow& flow);
  // After Forget(): the flow is in force again.
  static void Remember(Flow& flow) { flow.is_removed.store(false, std::memory_order_release); }
  const FastCounters& counters() const { return counters_; }
  const Delays& delays() const { return delays_; }

  // --- Whoever receives ---
  // False: there is one with that key already.
  bool Install(Flow& flow);
  void Uninstall(Flow& flow);
  void SetNextHop(Flow& flow, const net::NextHop* hop, Instant now);
  // True: the frame is sent on or dropped. False: it is untouched, and the control plane's.
  bool OnFrame(hal::Frame* frame, const net::PacketView& view, Instant now);

  // What was relayed since the last call is sent; what has no time of arrival came at `began`.
  void EndTurn(Instant began, Instant ended);

  static constexpr uint64_t bytes_per_flow() { return sizeof(HashNode*); }

 private:
  struct FlowTraits {
    using Key = FlowKey;
    static const Key& KeyOf(const Flow& flow) { return flow.key; }
    static uint64_t HashOf(const SipKey& key, const Key& k);
  };
  struct Payload {
    uint32_t offset = 0;  // in the frame
    uint32_t size = 0;
  };

  FastRules rules() const;
  Flow* FindFlow(const hal::Frame& frame, const net::PacketView& view, const FastRules& rules,
                 Payload& payload) const;
  bool Forward(Flow& flow, hal::Frame* frame, const net::PacketView& view, const FastRules& rules,
               Payload payload, Instant now);
  bool HasNextHop(Flow& flow, Instant now);
  int32_t Process(Flow& flow, hal::Frame& frame, const net::PacketView& view,
                  const Payload& payload, Instant now);
  void Rewrite(const Flow& flow, hal::Frame& frame, const net::PacketView& view,
               const Payload& payload, int8_t dscp);

  HashTable<Flow, &Flow::node, FlowTraits> table_;
  FastExit* exit_ = nullptr;
  bool is_shared_;
  uint16_t ip_id_;
  FastCounters counters_;
  Delays delays_;
  std::array<Instant, kTurnArrivalMax> arrivals_ = {};  // of what was relayed this turn
  uint32_t arrival_count_ = 0;
  uint64_t relayed_before_ = 0;  // this turn
  std::atomic<uint64_t> rules_ = 0;
  std::atomic<uint64_t> ranges_ = 0;
  std::atomic<Flow*> in_hand_ = nullptr;
};

// The one of the rules, or the packet's own; the two bits of congestion notification stay.
inline uint8_t TrafficClassOf(int8_t dscp, uint8_t of_packet) {
  return dscp < 0 ? of_packet : static_cast<uint8_t>(dscp << 2 | (of_packet & 3));
}

}  // namespace gh::media
