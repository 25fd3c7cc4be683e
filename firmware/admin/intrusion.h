// Intrusion protection by source address: too many failed log-ins within a window, and the address
// is refused for a while. An IPv6 source counts by its /64, which one attacker has whole.
//
// Fault model: attackers choose addresses freely as far as they can receive answers. The table is
// bounded; when it is full of blocked addresses the one that is free soonest makes room, so that
// an attacker with thousands of addresses gets tries, but the waits of login.h still hold.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "firmware/admin/limits.h"
#include "hal/rt/time.h"
#include "net/address.h"

namespace gh::admin {

// Drops the packets of a blocked address before anything else sees them: the firewall.
class AddressBlocker {
 public:
  virtual void Block(const net::IpPrefix& source, Instant until) = 0;
  virtual void Unblock(const net::IpPrefix& source) = 0;

 protected:
  ~AddressBlocker() = default;
};

struct IntrusionSettings {
  bool is_on = true;
  uint32_t failures_max = 5;
  Duration window = Duration::Minutes(10);
  Duration block_time = Duration::Minutes(10);
};

struct IntrusionEntry {
  net::IpPrefix source;
  uint32_t failures = 0;  // in the window
  uint32_t block_count = 0;
  Instant window_start;
  Instant last_failure;
  Instant blocked_until;
  uint64_t refused = 0;  // connections refused while blocked
  bool is_used() const { return !source.address.is_none(); }
};

class Intrusion {
 public:
  static net::IpPrefix SourceOf(const net::IpAddress& address);

  void SetBlocker(AddressBlocker* blocker) { blocker_ = blocker; }
  bool IsBlocked(const net::IpAddress& address, Instant now) const;
  // The same, and counts the refusal.
  bool Refuses(const net::IpAddress& address, Instant now);
  // True when this failure blocked the address.
  bool Failed(const net::IpAddress& address, const IntrusionSettings& settings, Instant now);
  void Block(const net::IpPrefix& source, Instant until, Instant now);
  // False when it is not blocked.
  bool Unblock(const net::IpAddress& address, Instant now);
  uint32_t UnblockAll(Instant now);
  // Lifts blocks of sources that are exempt now.
  void Exempt(const net::IpPrefix& prefix, Instant now);

  std::span<const IntrusionEntry> entries() const { return entries_; }
  uint32_t BlockedCount(Instant now) const;
  uint64_t blocks() const { return blocks_; }

 private:
  IntrusionEntry* Find(const net::IpAddress& address);
  IntrusionEntry& FindOrReplace(const net::IpPrefix& source, Instant now);
  void Lift(IntrusionEntry& entry);

  std::array<IntrusionEntry, kIntrusionEntryMax> entries_ = {};
  AddressBlocker* blocker_ = nullptr;
  uint64_t blocks_ = 0;
};

}  // namespace gh::admin
