#include "net/firewall.h"

#include <algorithm>
#include <cstring>

namespace gh::net {
namespace {
constexpr uint32_t kMapWords = 65536 / 64;

// What is blocked when `source` is.
IpAddress BlockKey(const IpAddress& source) {
  IpAddress key = source;
  if (key.is_v6()) {
    std::fill(key.bytes.begin() + 8, key.bytes.end(), uint8_t{0});
  }
  return key;
}

// By family, then bytes.
int Compare(const IpAddress& a, const IpAddress& b) {
  if (a.family != b.family) {
    return a.family < b.family ? -1 : 1;
  }
  return std::memcmp(a.bytes.data(), b.bytes.data(), a.bytes.size());
}

bool Fits(const FilterRule& rule, const Arrival& arrival) {
  if ((rule.port_mask >> arrival.port_index & 1) == 0 ||
      (rule.protocol != FilterProtocol::kAny && rule.protocol != arrival.protocol)) {
    return false;
  }
  if (rule.first != 0 && (arrival.service_port < rule.first || arrival.service_port > rule.last)) {
    return false;
  }
  return rule.source.address.is_none() || rule.source.Contains(arrival.source);
}

}  // namespace

const char* DropReasonName(DropReason reason) {
  constexpr const char* kNames[] = {
      "malformed",    "not-for-us",  "bad-source", "protocol",     "closed-port",  "no-connection",
      "not-a-reply",  "fragment",    "icmp",       "rate-limited", "source-limit", "listener-limit",
      "bad-checksum", "no-resource", "filtered",   "rejected",     "blocked",
  };
  static_assert(std::size(kNames) == static_cast<size_t>(DropReason::kCount));
  return kNames[static_cast<size_t>(reason)];
}

Firewall::Firewall(Arena& arena) : blocks_(arena.NewArray<BlockInfo>(kBlockMax)) {
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

// --- Filter rules -------------------------------------------------------------------------------

Result<void> Firewall::SetFilter(std::span<const FilterRule> rules) {
  if (rules.size() > kFilterRuleMax) {
    return Error(ErrorCode::kExhausted, "too many firewall rules");
  }
  for (const FilterRule& rule : rules) {
    if (rule.last < rule.first || (rule.first == 0 && rule.last != 0) ||
        rule.rate > kFilterRateMax) {
      return Error(ErrorCode::kInvalidArgument, "expected service ports first to last, and a rate");
    }
  }
  const std::array<FilterRule, kFilterRuleMax> old_rules = filter_;
  const std::array<FilterState, kFilterRuleMax> old_states = states_;
  const auto old_end = old_rules.begin() + filter_count_;
  filter_count_ = static_cast<uint32_t>(rules.size());
  for (uint32_t i = 0; i < filter_count_; ++i) {
    filter_[i] = rules[i];
    const auto same = std::find(old_rules.begin(), old_end, rules[i]);
    if (same != old_end) {
      states_[i] = old_states[static_cast<size_t>(same - old_rules.begin())];
    } else {
      states_[i] = FilterState();
      states_[i].bucket = TokenBucket(std::max(rules[i].rate, 1u), std::max(rules[i].rate, 1u));
    }
  }
  return Ok();
}

const FilterRule* Firewall::FirstFit(const Arrival& arrival) const {
  for (uint32_t i = 0; i < filter_count_; ++i) {
    if (Fits(filter_[i], arrival)) {
      return &filter_[i];
    }
  }
  return nullptr;
}

DropReason Firewall::JudgeSlowly(const Arrival& arrival, Instant now) {
  if (BlockInfo* block = FindBlock(arrival.source, arrival.service_port, now); block != nullptr) {
    ++block->dropped;
    return DropReason::kBlocked;
  }
  const FilterRule* rule = FirstFit(arrival);
  if (rule == nullptr) {
    return DropReason::kCount;
  }
  FilterState& state = states_[static_cast<size_t>(rule - filter_.data())];
  ++state.counters.matched;
  if (rule->action == FilterAction::kDrop) {
    return DropReason::kFiltered;
  }
  if (rule->action == FilterAction::kReject) {
    return DropReason::kRejected;
  }
  if (rule->rate != 0 && !state.bucket.Take(now)) {
    ++state.counters.limited;
    return DropReason::kRateLimited;
  }
  return DropReason::kCount;
}

bool Firewall::Tolerates(const Arrival& arrival, Instant now) const {
  const FilterRule* rule = FirstFit(arrival);
  return FindBlock(arrival.source, arrival.service_port, now) == nullptr &&
         (rule == nullptr || rule->action == FilterAction::kAllow);
}

// --- Blocks -------------------------------------------------------------------------------------

// Where the block is, or would be inserted.
uint32_t Firewall::PlaceOf(const IpAddress& key, uint16_t service_port) const {
  const auto begin = blocks_.begin();
  const auto at = std::partition_point(begin, begin + block_count_, [&](const BlockInfo& block) {
    const int order = Compare(block.source, key);
    return order < 0 || (order == 0 && block.service_port < service_port);
  });
  return static_cast<uint32_t>(at - begin);
}

BlockInfo* Firewall::FindBlock(const IpAddress& source, uint16_t service_port, Instant now) const {
  const IpAddress key = BlockKey(source);
  for (const uint16_t port : {uint16_t{0}, service_port}) {
    const uint32_t at = PlaceOf(key, port);
    if (at < block_count_ && blocks_[at].service_port == port && blocks_[at].source == key &&
        blocks_[at].until > now) {
      return &blocks_[at];
    }
  }
  return nullptr;
}

bool Firewall::IsBlocked(const IpAddress& source, uint16_t service_port, Instant now) const {
  return FindBlock(source, service_port, now) != nullptr;
}

void Firewall::RemoveBlock(uint32_t at) {
  std::move(blocks_.begin() + at + 1, blocks_.begin() + block_count_, blocks_.begin() + at);
  blocks_[--block_count_] = BlockInfo();
}

void Firewall::Block(const IpAddress& source, Instant until, uint16_t service_port) {
  const IpAddress key = BlockKey(source);
  uint32_t at = PlaceOf(key, service_port);
  if (at < block_count_ && blocks_[at].source == key && blocks_[at].service_port == service_port) {
    blocks_[at].until = std::max(blocks_[at].until, until);
    return;
  }
  if (block_count_ == blocks_.size()) {
    const auto first =
        std::min_element(blocks_.begin(), blocks_.end(),
                         [](const BlockInfo& a, const BlockInfo& b) { return a.until < b.until; });
    RemoveBlock(static_cast<uint32_t>(first - blocks_.begin()));
    at = PlaceOf(key, service_port);
  }
  std::move_backward(blocks_.begin() + at, blocks_.begin() + block_count_,
                     blocks_.begin() + block_count_ + 1);
  blocks_[at] = {key, service_port, until, 0};
  ++block_count_;
}

bool Firewall::Unblock(const IpAddress& source) {
  const IpAddress key = BlockKey(source);
  const uint32_t at = PlaceOf(key, 0);
  bool any = false;
  while (at < block_count_ && blocks_[at].source == key) {
    RemoveBlock(at);
    any = true;
  }
  return any;
}

void Firewall::ExpireBlocks(Instant now) {
  const auto end = blocks_.begin() + block_count_;
  const auto kept =
      std::remove_if(blocks_.begin(), end, [&](const BlockInfo& b) { return b.until <= now; });
  block_count_ = static_cast<uint32_t>(kept - blocks_.begin());
}

}  // namespace gh::net
