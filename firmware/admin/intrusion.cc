// Intrusion protection by source address. See intrusion.h.
#include "firmware/admin/intrusion.h"

#include <algorithm>

namespace gh::admin {

net::IpPrefix Intrusion::SourceOf(const net::IpAddress& address) {
  net::IpPrefix source{address, static_cast<uint8_t>(address.is_v6() ? 64 : 32)};
  if (address.is_v6()) {
    std::fill(source.address.bytes.begin() + 8, source.address.bytes.end(), uint8_t{0});
  }
  return source;
}

IntrusionEntry* Intrusion::Find(const net::IpAddress& address) {
  const net::IpPrefix source = SourceOf(address);
  for (IntrusionEntry& entry : entries_) {
    if (entry.is_used() && entry.source == source) {
      return &entry;
    }
  }
  return nullptr;
}

bool Intrusion::IsBlocked(const net::IpAddress& address, Instant now) const {
  const IntrusionEntry* entry = const_cast<Intrusion*>(this)->Find(address);
  return !address.is_none() && entry != nullptr && entry->blocked_until > now;
}

bool Intrusion::Refuses(const net::IpAddress& address, Instant now) {
  if (!IsBlocked(address, now)) {
    return false;
  }
  ++Find(address)->refused;
  return true;
}

// An unused entry, else the quietest that is not blocked, else the one that is free soonest.
IntrusionEntry& Intrusion::FindOrReplace(const net::IpPrefix& source, Instant now) {
  if (IntrusionEntry* entry = Find(source.address); entry != nullptr) {
    return *entry;
  }
  const auto rank = [now](const IntrusionEntry& entry) {
    return !entry.is_used() ? 0 : entry.blocked_until <= now ? 1 : 2;
  };
  IntrusionEntry& entry = *std::min_element(
      entries_.begin(), entries_.end(), [&](const IntrusionEntry& a, const IntrusionEntry& b) {
        if (rank(a) != rank(b)) {
          return rank(a) < rank(b);
        }
        return rank(a) == 2 ? a.blocked_until < b.blocked_until : a.last_failure < b.last_failure;
      });
  if (entry.blocked_until > now) {
    Lift(entry);
  }
  entry = {};
  entry.source = source;
  entry.window_start = now;
  return entry;
}

bool Intrusion::Failed(const net::IpAddress& address, const IntrusionSettings& settings,
                       Instant now) {
  if (!settings.is_on || address.is_none()) {
    return false;
  }
  IntrusionEntry& entry = FindOrReplace(SourceOf(address), now);
  if (now - entry.window_start > settings.window) {
    entry.window_start = now;
    entry.failures = 0;
  }
  ++entry.failures;
  entry.last_failure = now;
  if (entry.failures < settings.failures_max || entry.blocked_until > now) {
    return false;
  }
  Block(entry.source, now + settings.block_time, now);
  return true;
}

void Intrusion::Block(const net::IpPrefix& source, Instant until, Instant now) {
  IntrusionEntry& entry = FindOrReplace(source, now);
  entry.blocked_until = until;
  entry.failures = 0;
  entry.window_start = now;
  ++entry.block_count;
  ++blocks_;
  if (blocker_ != nullptr) {
    blocker_->Block(entry.source, until);
  }
}

void Intrusion::Lift(IntrusionEntry& entry) {
  entry.blocked_until = {};
  entry.failures = 0;
  if (blocker_ != nullptr) {
    blocker_->Unblock(entry.source);
  }
}

bool Intrusion::Unblock(const net::IpAddress& address, Instant now) {
  if (!IsBlocked(address, now)) {
    return false;
  }
  Lift(*Find(address));
  return true;
}

uint32_t Intrusion::UnblockAll(Instant now) {
  uint32_t count = 0;
  for (IntrusionEntry& entry : entries_) {
    if (entry.is_used() && entry.blocked_until > now) {
      Lift(entry);
      ++count;
    }
  }
  return count;
}

void Intrusion::Exempt(const net::IpPrefix& prefix, Instant now) {
  for (IntrusionEntry& entry : entries_) {
    if (entry.is_used() && entry.blocked_until > now && prefix.Contains(entry.source.address)) {
      Lift(entry);
    }
  }
}

uint32_t Intrusion::BlockedCount(Instant now) const {
  return static_cast<uint32_t>(std::count_if(
      entries_.begin(), entries_.end(),
      [&](const IntrusionEntry& entry) { return entry.is_used() && entry.blocked_until > now; }));
}

}  // namespace gh::admin
