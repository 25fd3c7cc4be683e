// What may come in: nothing, until a service is allowed. Replies to what we asked pass by the
// tables of those who asked (connections, reply-only sockets, neighbour discovery, DHCP).
//
// A look-up is one bit of a bitmap per Ethernet port and protocol. Allowing a service does not open
// anything by itself: somebody must also listen.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "hal/rt/arena.h"
#include "hal/rt/result.h"
#include "net/limits.h"
#include "net/observer.h"

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

class Firewall {
 public:
  explicit Firewall(Arena& arena);
  Firewall(const Firewall&) = delete;
  Firewall& operator=(const Firewall&) = delete;

  // kInvalidArgument: port 0 or an empty range; kExhausted: kFirewallRuleMax rules.
  Result<void> Allow(const FirewallRule& rule);
  void Revoke(const FirewallRule& rule);  // what another rule also allows stays
  void RevokeAll();
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
  void Paint(const FirewallRule& rule);

  std::array<std::array<std::span<uint64_t>, 2>, kPortMax> maps_;
  std::array<FirewallRule, kFirewallRuleMax> rules_ = {};
  uint32_t rule_count_ = 0;
  bool allow_echo_ = true;
  std::array<uint64_t, static_cast<size_t>(DropReason::kCount)> drops_ = {};
};

}  // namespace gh::net
