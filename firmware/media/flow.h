// Flows: what the media plane relays by itself, and what it hands to an engine.
//
// A flow is one direction: datagrams that arrive at `local` from `remote` (behind a ChannelData
// header with number `channel_in`, or bare) leave from `from` to `to` (behind `channel_out`, or
// bare). An engine adds flows when both ends are proven and removes them before they are not; the
// plane only moves bytes. Fault model: any frame may arrive at any time; a flow that may not send
// now (bandwidth, no next hop, too large) drops or goes the slow way, and counts it.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "firmware/media/meter.h"
#include "hal/rt/hash_table.h"
#include "hal/rt/result.h"
#include "hal/rt/time.h"
#include "net/address.h"
#include "net/steering.h"

namespace gh::media {

inline constexpr int8_t kDscpOfPlane = -2;  // what Plane::SetDscp says
inline constexpr int8_t kDscpAsItCame = -1;

struct FlowKey {
  uint64_t words[5] = {};  // IPv4 uses two, the rest are zero
  friend bool operator==(const FlowKey&, const FlowKey&) = default;

  static FlowKey Of(const net::Endpoint& local, const net::Endpoint& remote, uint16_t channel);
};

// What is done to the payloads of flows on their way, by whoever runs the fast path: one of the two
// planes at a time (Plane::Hold). It waits for nothing and allocates nothing.
class FlowProcessor {
 public:
  static constexpr int32_t kDrop = -1;
  static constexpr int32_t kToEngine = -2;  // the payload is untouched, and the engine's
  // `buffer` holds a payload of `size` bytes, behind which there is room. Returns the size of what
  // is to be sent on, at most kProcessorGrowthMax more, or kDrop, or kToEngine.
  virtual int32_t OnPayload(std::span<uint8_t> buffer, uint32_t size, uint32_t tag,
                            Instant now) = 0;

 protected:
  ~FlowProcessor() = default;
};

struct FlowSpec {
  net::Endpoint local;
  net::Endpoint remote;
  uint16_t channel_in = 0;  // 0: bare
  net::Endpoint from;
  net::Endpoint to;
  uint16_t channel_out = 0;  // 0: bare
  Meter* meter = nullptr;
  FlowProcessor* processor = nullptr;  // null: payloads pass as they are
  uint32_t processor_tag = 0;          // given to the processor
  int8_t dscp = kDscpOfPlane;          // differentiated services code point of what is sent
};

struct Flow {
  FlowSpec spec;
  FlowKey key;
  // The fast path's, once added.
  net::NextHop next_hop;
  Instant resolved_at;    // 0: no next hop yet
  bool is_asked = false;  // for a next hop, and not answered yet
  bool is_installed = false;
  HashNode node;
  // The control plane's.
  bool is_waiting = false;  // in its list of what the ring had no room for
  Flow* next_waiting = nullptr;
  // Set by the control plane: no packet passes by this flow any more.
  std::atomic<bool> is_removed = false;
};

// What an engine that relays asks of the plane.
class Relay {
 public:
  // Null: no room, or there is such a flow already. The engine then relays itself.
  virtual Flow* AddFlow(const FlowSpec& spec) = 0;
  virtual void RemoveFlow(Flow* flow) = 0;
  // Between these, frames of the flow are the engine's: nobody else calls its processor.
  virtual void Hold(Flow&) {}
  virtual void LetGo(Flow&) {}
  // One datagram, now or not at all. With `dont_fragment` kTooLarge when it exceeds the MTU.
  virtual Result<void> Send(const net::Endpoint& from, const net::Endpoint& to,
                            std::span<const uint8_t> data, bool dont_fragment) = 0;

 protected:
  ~Relay() = default;
};

// What an engine hears of its relay ports.
class RelayHandler {
 public:
  // A datagram to a relay port that no flow takes. False: nobody has that port.
  virtual bool OnRelayDatagram(const net::Endpoint& local, const net::Endpoint& remote,
                               std::span<uint8_t> data) = 0;
  // An ICMP error about a datagram sent from relay port `local` to `remote`.
  virtual void OnRelayError(const net::Endpoint& local, const net::Endpoint& remote,
                            uint8_t icmp_type, uint8_t icmp_code, uint32_t icmp_data) = 0;

 protected:
  ~RelayHandler() = default;
};

}  // namespace gh::media
