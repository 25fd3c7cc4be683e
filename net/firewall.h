// What may come in: nothing, until a service is allowed. Replies to what we asked pass by the
// tables of those who asked (connections, reply-only sockets, neighbour discovery, DHCP).
//
// A look-up is one bit of a bitmap per Ethernet port and protocol. Allowing a service does not open
// anything by itself: somebody must also listen. What the bitmap admits then meets two more lists:
// addresses that are blocked for a while, and the operator's filter rules, of which the first that
// fits decides. Both can only take away: no filter rule opens a service.
//
// Fault model: sources are forged, and an attacker may have many of them. Blocks are bounded (the
// one that ends first gives way), kept sorted, and found in a few comparisons; IPv6 senders are
// blocked by their /64.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "hal/rt/arena.h"
#include "hal/rt/result.h"
#include "hal/rt/time.h"
#include "net/address.h"
#include "net/limits.h"
#include "net/observer.h"
#include "net/token_bucket.h"

namespace gh::net {

enum class Transport : uint8_t { kUdp, kTcp };

inline constexpr uint8_t kAllPorts = 0xff;

struct FirewallRule {
  Transport transport = Transport::kUdp;
  uint16_t first = 0;  // service ports first..last
  uint16_t last = 0;
  uint8_t port_mask = kAllPorts;  // bit i: Ethernet port i
  friend bool operator==(const FirewallRule&, const FirewallRule&) = default;
};

// kReject tells the sender: a TCP reset, or an ICMP error.
enum class FilterAction : uint8_t { kAllow, kDrop, kReject };
enum class FilterProtocol : uint8_t { kAny, kUdp, kTcp, kEcho };

// Fits what would begin something: a datagram to a service, a TCP connection request, an echo
// request. Replies and open connections are not looked at.
struct FilterRule {
  FilterAction action = FilterAction::kDrop;
  FilterProtocol protocol = FilterProtocol::kAny;
  uint8_t port_mask = kAllPorts;  // bit i: Ethernet port i
  IpPrefix source;                // none: anybody, IPv4 and IPv6
  uint16_t first = 0;             // service ports first..last; 0: all, and echo requests
  uint16_t last = 0;
  uint32_t rate = 0;  // kAllow: packets a second, with as many in a burst; more are dropped. 0: any
  friend bool operator==(const FilterRule&, const FilterRule&) = default;
};

struct FilterCounters {
  uint64_t matched = 0;
  uint64_t limited = 0;  // of those, dropped for the rate
};

struct BlockInfo {
  IpAddress source;           // an IPv4 address, or the first address of an IPv6 /64
  uint16_t service_port = 0;  // 0: all
  Instant until;
  uint64_t dropped = 0;
};

// What begins something, as a filter sees it.
struct Arrival {
  FilterProtocol protocol = FilterProtocol::kUdp;
  IpAddress source;
  uint16_t service_port = 0;  // 0 for echo requests
  uint8_t port_index = 0;
};

class Firewall {
 public:
  explicit Firewall(Arena& arena);
  Firewall(const Firewall&) = delete;
  Firewall& operator=(const Firewall&) = delete;

  // kInvalidArgument: port 0 or an empty range; kExhausted: kFirewallRuleMax rules.
  Result<void> Allow(const FirewallRule& rule);
  void Revoke(const FirewallRule& rule);  // what another rule also allows stays
  void RevokeAll();
  // Takes the place of all former filter rules; one that stays keeps its counters.
  // kInvalidArgument: an empty range or too high a rate; kExhausted: kFilterRuleMax rules.
  Result<void> SetFilter(std::span<const FilterRule> rules);
  std::span<const FilterRule> filter() const { return std::span(filter_).first(filter_count_); }
  const FilterCounters& filter_counters(uint32_t index) const { return states_[index].counters; }

  // Nothing from `source` (IPv6: its /64) begins anything until then; service_port 0: at no
  // service. Blocking again prolongs, never shortens.
  void Block(const IpAddress& source, Instant until, uint16_t service_port = 0);
  // False: it was not blocked. Lifts the blocks of all services.
  bool Unblock(const IpAddress& source);
  // Those that have ended are forgotten; call now and then.
  void ExpireBlocks(Instant now);
  std::span<const BlockInfo> blocks() const { return blocks_.first(block_count_); }
  bool IsBlocked(const IpAddress& source, uint16_t service_port, Instant now) const;

  // Whether something that the bitmaps allow may begin; counts and takes from the rule's rate.
  // kOk-like: DropReason::kCount means it may.
  DropReason Judge(const Arrival& arrival, Instant now) {
    return block_count_ == 0 && filter_count_ == 0 ? DropReason::kCount : JudgeSlowly(arrival, now);
  }
  // Whether what has begun may stay: as Judge, without rates and counters.
  bool Tolerates(const Arrival& arrival, Instant now) const;

  void AllowEcho(bool allow) { allow_echo_ = allow; }
  bool allows_echo() const { return allow_echo_; }

  bool Allows(Transport transport, uint16_t port, uint8_t port_index) const {
    const auto& words = maps_[port_index][static_cast<size_t>(transport)];
    return (words[port / 64] >> (port % 64) & 1) != 0;
  }
  std::span<const FirewallRule> rules() const { return std::span(rules_).first(rule_count_); }

  void CountDrop(DropReason reason) { ++drops_[static_cast<size_t>(reason)]; }
  uint64_t drops(DropReason reason) const { return drops_[static_cast<size_t>(reason)]; }

 private:
  struct FilterState {
    FilterCounters counters;
    TokenBucket bucket{1, 1};
  };
  void Paint(const FirewallRule& rule);
  DropReason JudgeSlowly(const Arrival& arrival, Instant now);
  const FilterRule* FirstFit(const Arrival& arrival) const;
  uint32_t PlaceOf(const IpAddress& key, uint16_t service_port) const;
  void RemoveBlock(uint32_t at);
  BlockInfo* FindBlock(const IpAddress& source, uint16_t service_port, Instant now) const;

  std::array<std::array<std::span<uint64_t>, 2>, kPortMax> maps_;
  std::array<FirewallRule, kFirewallRuleMax> rules_ = {};
  uint32_t rule_count_ = 0;
  std::array<FilterRule, kFilterRuleMax> filter_ = {};
  std::array<FilterState, kFilterRuleMax> states_ = {};
  uint32_t filter_count_ = 0;
  std::span<BlockInfo> blocks_;  // sorted by source and service port
  uint32_t block_count_ = 0;
  bool allow_echo_ = true;
  std::array<uint64_t, static_cast<size_t>(DropReason::kCount)> drops_ = {};
};

}  // namespace gh::net
