#include "net/firewall.h"

#include <algorithm>

namespace gh::net {
namespace {
constexpr uint32_t kMapWords = 65536 / 64;
}

const char* DropReasonName(DropReason reason) {
  constexpr const char* kNames[] = {
      "malformed",     "not-for-us",     "bad-source",   "protocol",    "closed-port",
      "no-connection", "not-a-reply",    "fragment",     "icmp",        "rate-limited",
      "source-limit",  "listener-limit", "bad-checksum", "no-resource",
  };
  static_assert(std::size(kNames) == static_cast<size_t>(DropReason::kCount));
  return kNames[static_cast<size_t>(reason)];
}

Firewall::Firewall(Arena& arena) {
  for (auto& port : maps_) {
    for (auto& map : port) {
      map = arena.NewArray<uint64_t>(kMapWords);
    }
  }
}

void Firewall::Paint(const FirewallRule& rule) {
  for (uint32_t port = 0; port < kPortMax; ++port) {
    if ((rule.port_mask >> port & 1) == 0) {
      continue;
    }
    auto& map = maps_[port][static_cast<size_t>(rule.transport)];
    for (uint32_t service = rule.first; service <= rule.last; ++service) {
      map[service / 64] |= uint64_t{1} << service % 64;
    }
  }
}

Result<void> Firewall::Allow(const FirewallRule& rule) {
  if (rule.first == 0 || rule.last < rule.first) {
    return Error(ErrorCode::kInvalidArgument, "expected service ports 1 to 65535, first to last");
  }
  if (std::find(rules_.begin(), rules_.begin() + rule_count_, rule) !=
      rules_.begin() + rule_count_) {
    return Ok();
  }
  if (rule_count_ == kFirewallRuleMax) {
    return Error(ErrorCode::kExhausted, "too many firewall rules");
  }
  rules_[rule_count_++] = rule;
  Paint(rule);
  return Ok();
}

void Firewall::Revoke(const FirewallRule& rule) {
  const auto end = rules_.begin() + rule_count_;
  const auto kept = std::remove(rules_.begin(), end, rule);
  rule_count_ = static_cast<uint32_t>(kept - rules_.begin());
  for (auto& port : maps_) {
    for (auto& map : port) {
      std::fill(map.begin(), map.end(), 0);
    }
  }
  for (const FirewallRule& left : rules()) {
    Paint(left);
  }
}

void Firewall::RevokeAll() {
  while (rule_count_ > 0) {
    Revoke(rules_[rule_count_ - 1]);
  }
}

}  // namespace gh::net
