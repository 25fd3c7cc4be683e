// The IP stack of one appliance: Ethernet ports in front, DatagramService and StreamService behind.
//
// Order of a received frame: taps (the media plane), the firewall, then UDP straight to its socket,
// everything else through lwIP. Frames are received and sent in batches; a batch's replies leave in
// the same turn. All randomness comes from `random`, all time from the event loop.
//
// Fault model: any bytes may arrive in any order; pools may run empty (the packet or connection is
// dropped and counted, what exists goes on); links go up and down; addresses change under load
// (connections from the old address are reset).
//
// lwIP is reached only through net/lwip_port.h. One Stack per appliance; several may share a
// process.
#pragma once

#include <array>
#include <cstdint>

#include "crypto/random.h"
#include "hal/clock.h"
#include "hal/ethernet_port.h"
#include "hal/frame.h"
#include "hal/rt/arena.h"
#include "hal/rt/event_loop.h"
#include "hal/rt/siphash.h"
#include "net/capacity.h"
#include "net/capture.h"
#include "net/datagram.h"
#include "net/dns_resolver.h"
#include "net/echo.h"
#include "net/firewall.h"
#include "net/limits.h"
#include "net/lwip_port.h"
#include "net/observer.h"
#include "net/packet.h"
#include "net/stack_config.h"
#include "net/steering.h"
#include "net/stream.h"
#include "net/token_bucket.h"

struct netif;
struct pbuf;

namespace gh::net {

class DatagramSockets;
class Streams;

struct StackParts {
  Arena& arena;
  hal::FramePool& frames;
  EventLoop& loop;
  crypto::Random& random;
  Observer& observer;
  std::array<hal::EthernetPort*, kPortMax> ports = {};
};

struct PortAddress {
  IpAddress address;
  uint8_t prefix_length = 0;
  AddressSource source = AddressSource::kStatic;
};

inline constexpr uint32_t kPortAddressMax = 7;  // one IPv4, six IPv6

struct PortStatus {
  bool present = false;
  bool link_up = false;
  hal::MacAddress mac = {};
  uint16_t mtu = 0;
  const char* driver = "";
  hal::EthernetCounters counters;
  std::array<PortAddress, kPortAddressMax> addresses = {};
  uint32_t address_count = 0;
  IpAddress ipv4_gateway;
  IpAddress ipv6_gateway;
};

struct StackStatus {
  uint32_t connection_count = 0;  // open, ours to use
  uint32_t connection_max = 0;
  uint32_t active_count = 0;  // with a running timer
  uint32_t idle_count = 0;
  uint32_t half_open_count = 0;
  uint32_t time_wait_count = 0;
  uint64_t cookie_sent_count = 0;
  uint64_t cookie_accepted_count = 0;
  uint32_t arp_count = 0;
  uint32_t neighbor_count = 0;
  uint64_t received_datagrams = 0;
  uint64_t sent_datagrams = 0;
  uint64_t buffer_bytes_used = 0;
  uint64_t buffer_bytes_max = 0;  // high-water mark
  uint64_t buffer_bytes_capacity = 0;
};

class Stack final : public Pollable {
 public:
  Stack(const StackParts& parts, const Capacity& capacity);
  ~Stack();
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  // Takes over `config`: what did not change is left alone, so this may be called at any time.
  // kInvalidArgument says what was expected; nothing is changed then.
  Result<void> Configure(const StackConfig& config);
  const StackConfig& config() const { return config_; }

  DatagramService& datagrams();
  StreamService& streams();
  DnsResolver& resolver() { return *resolver_; }
  // Connections beyond `count` on this listener are refused; none by default.
  void SetListenerLimit(ListenerId listener, uint32_t count);
  Firewall& firewall() { return firewall_; }
  const Firewall& firewall() const { return firewall_; }
  // After the firewall has changed: connections it would not admit any more are reset.
  void EnforceFirewall();
  // Registered before anything else sees a frame; at most kFrameTapMax, before traffic flows.
  void AddTap(FrameTap& tap);
  // Shown every frame that comes and goes, before anything else sees it; one, or none.
  void SetCapture(PacketCapture* capture) { capture_ = capture; }
  bool is_capturing() const { return capture_ != nullptr && capture_->active(); }
  // A frame that has not passed here: of the media plane's own core.
  void Capture(uint8_t port_index, const hal::Frame& frame, CaptureDirection direction) {
    if (is_capturing()) {
      capture_->OnFrame(port_index, frame.bytes(), direction);
    }
  }
  // Echo requests with `identifier`; null: nobody asks, replies are dropped.
  void SetEchoObserver(EchoObserver* observer, uint16_t identifier);
  // kUnreachable: no route. What comes back is told to the observer.
  Result<void> SendEcho(const IpAddress& to, uint16_t sequence, uint8_t hop_limit, uint16_t size);

  // For the media plane. The next hop of a packet, if its neighbour is known and its link is up; a
  // datagram sent by SendUnbound asks for one that is not.
  Result<NextHop> FindNextHop(const IpAddress& source, const IpAddress& destination);
  Result<void> SendUnbound(const Endpoint& from, const Endpoint& to, std::span<const uint8_t> data,
                           uint8_t traffic_class);
  // Queues a finished frame; it leaves with the rest of this turn's.
  void Transmit(uint8_t port_index, hal::Frame* frame);
  // For a tap, of a datagram it was shown: `payload` goes back in its frame. False, and untouched:
  // it is not for us, the firewall does not let it in, or it is damaged or no plain one.
  bool Reply(hal::Frame* frame, const PacketView& view, std::span<const uint8_t> payload);
  hal::FramePool& frames() { return frames_; }

  bool Poll(Instant now) override;

  // Servers in the order to be asked: configured ones first, then learnt ones.
  uint32_t DnsServers(std::span<IpAddress> out) const;
  uint32_t LearntNtpServers(std::span<IpAddress> out) const;

  PortStatus port_status(uint8_t port_index) const;
  StackStatus status() const;
  const LwipMemory& memory() const { return lwip_.memory(); }
  // True once every configured address of every port with a link is usable.
  bool addresses_ready() const;
  // The address we would send from to `destination`; none: no route.
  IpAddress SourceFor(const IpAddress& destination);

 private:
  friend class DatagramSockets;
  friend class Streams;
  friend struct StreamCallbacks;
  friend struct StackHooks;  // what lwIP calls, net/lwip_hooks.cc

  struct Port {
    Stack* stack = nullptr;
    hal::EthernetPort* device = nullptr;
    ::netif* netif = nullptr;
    hal::MacAddress mac = {};
    uint8_t index = 0;
    bool link_up = false;
    bool fills_checksum = false;
    uint32_t tx_count = 0;
    std::array<hal::Frame*, hal::kFrameBatchMax> tx = {};
    std::array<IpAddress, kPortAddressMax> reported = {};
    IpAddress gateway_v6;  // configured
    Instant conflict_reported;
  };

  // stack.cc: frames in and out.
  bool ReceiveFrom(Port& port, Instant now);
  void Steer(Port& port, hal::Frame* frame, const PacketView& view, ErrorCode parsed);
  void HandleArp(Port& port, hal::Frame* frame);
  void HandleIpv4(Port& port, hal::Frame* frame, const PacketView& view);
  void HandleIpv6(Port& port, hal::Frame* frame, const PacketView& view);
  void HandleUnicast(Port& port, hal::Frame* frame, const PacketView& view);
  void HandleIcmp(Port& port, hal::Frame* frame, const PacketView& view);
  bool NeedsIcmpv6(Port& port, const hal::Frame& frame, const PacketView& view);
  bool QuotesUs(Port& port, const hal::Frame& frame, const PacketView& view, uint32_t offset);
  // stack_echo.cc
  bool TakeEcho(Port& port, hal::Frame* frame, const PacketView& view);
  int32_t QuotedEcho(const hal::Frame& frame, const PacketView& view) const;
  bool IsDhcpReply(const Port& port, const PacketView& view) const;
  bool IsOwnAddress(const Port& port, const uint8_t* frame, const PacketView& view) const;
  // Unicast from a lawful source to one of the port's addresses and its MAC.
  bool IsForUs(const Port& port, const uint8_t* frame, const PacketView& view) const;
  // Hands the frame to lwIP; the frame is lwIP's from then on.
  void GiveToLwip(Port& port, hal::Frame* frame);
  void NoteDrop(DropReason reason, const hal::Frame& frame, const PacketView* view);
  void Reject(Port& port, hal::Frame* frame, const PacketView& view);  // stack_reject.cc
  void Drop(hal::Frame* frame, DropReason reason, const PacketView* view);
  bool OfferReassembled(const Endpoint& local, const Endpoint& remote, std::span<uint8_t> data);
  // Asks blocks and filter rules; false: the frame is dropped.
  bool Admit(Port& port, hal::Frame* frame, const PacketView& view, FilterProtocol protocol);
  void QueueFrame(Port& port, hal::Frame* frame);
  int LinkOutput(Port& port, ::pbuf* p);
  // A packet about to leave by a port that its source address is kept apart from.
  bool Strays(const Port& port, const ::pbuf& p) const;
  void OffloadChecksum(hal::Frame& frame) const;
  // Sends what this turn queued; deferred to the end of the turn by whoever queues outside Poll.
  void Flush();
  void FlushSoon();
  void ReportDrops(Instant now);

  // stack_config.cc: ports, addresses, routes, timers.
  void AddPort(uint8_t index, hal::EthernetPort* device);
  void ApplyPort(Port& port, const PortConfig& old, const PortConfig& fresh);
  void WatchLinks();
  void ReportAddresses();
  void ReportPortAddresses(Port& port);
  AddressSource SourceOf(const Port& port, const IpAddress& address) const;
  ::netif* RouteIpv4(const IpAddress& source, const IpAddress& destination);
  ::netif* RouteIpv6(const IpAddress& source, const IpAddress& destination);
  ::netif* FindRouteIpv4(const IpAddress& source, const IpAddress& destination);
  ::netif* FindRouteIpv6(const IpAddress& source, const IpAddress& destination);
  // Null when `out` and the port that `source` belongs to are not both, or neither, the management
  // port.
  ::netif* KeepApart(::netif* out, const IpAddress& source) const;
  const RouteConfig* StaticRoute(const IpAddress& destination, int port_index) const;
  void OnSecond();
  void OnTick();
  void OnSlowTimer();
  void OnAckTimer();
  void ArmSlowTimer();
  bool TickNeeded() const;
  void NeedTicks();

  Arena& arena_;
  hal::FramePool& frames_;
  EventLoop& loop_;
  crypto::Random& random_;
  Observer& observer_;
  Capacity capacity_;
  StackConfig config_;
  LwipInstance lwip_;
  Firewall firewall_;
  std::array<Port, kPortMax> ports_;
  std::array<FrameTap*, kFrameTapMax> taps_ = {};
  uint32_t tap_count_ = 0;
  PacketCapture* capture_ = nullptr;
  EchoObserver* echo_observer_ = nullptr;
  uint16_t echo_identifier_ = 0;
  DatagramSockets* datagrams_ = nullptr;
  Streams* streams_ = nullptr;
  DnsResolver* resolver_ = nullptr;
  SipKey hash_key_;
  SipKey isn_key_;

  Timer second_timer_;
  Timer tick_timer_;  // 100 ms: DHCP, MLD, duplicate address detection; armed while needed
  Timer slow_timer_;  // TCP
  Timer ack_timer_;
  Task flush_task_;
  Instant slow_at_;  // time of the last slow tick
  Instant tick_until_;
  uint32_t minute_phase_ = 0;
  uint32_t tick_phase_ = 0;
  bool slow_pending_ = false;
  bool polling_ = false;
  bool addresses_changed_ = false;

  // Servers learnt: DHCP gives IPv4, router advertisements IPv6.
  std::array<IpAddress, 8> learnt_dns_ = {};
  std::array<IpAddress, 4> learnt_ntp_ = {};
  bool servers_changed_ = false;
  alignas(8) uint8_t lwip_address_[32] = {};  // an address lwIP was given a pointer to

  TokenBucket error_bucket_{100, 50};
  TokenBucket echo_bucket_{1000, 200};
  TokenBucket reject_bucket_{kRejectsPerSecond, kRejectBurst};
  TokenBucket reset_bucket_{200, 100};
  TokenBucket fragment_bucket_{2000, 500};
  uint64_t drop_count_ = 0;
  uint64_t drop_count_reported_ = 0;
  Instant drop_reported_at_;
  DropReason drop_reason_ = DropReason::kMalformed;
  Endpoint drop_source_;
  Endpoint drop_destination_;
};

}  // namespace gh::net
