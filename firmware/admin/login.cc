// Failed passwords by account name: waits and locks. See login.h.
#include "firmware/admin/login.h"

#include <algorithm>

#include "hal/rt/assert.h"

namespace gh::admin {
namespace {

// 1 s, 2 s, 4 s, ... kLoginDelayMaxSeconds.
Duration DelayAfter(uint32_t failures) {
  const uint32_t doublings = std::min(failures - 1, 6u);
  return Duration::Seconds(std::min(int64_t{1} << doublings, kLoginDelayMaxSeconds));
}

std::string_view Cut(std::string_view name) { return name.substr(0, 64); }

}  // namespace

LoginGuard::Entry* LoginGuard::Find(std::string_view name) {
  for (Entry& entry : entries_) {
    if (entry.failures > 0 && entry.name == Cut(name)) {
      return &entry;
    }
  }
  return nullptr;
}

Duration LoginGuard::WaitFor(std::string_view name, Instant now) const {
  const Entry* entry = Find(name);
  const Instant until = entry != nullptr ? entry->blocked_until : crowded_until_;
  return until > now ? until - now : Duration{};
}

LoginGuard::Entry& LoginGuard::Replace(std::string_view name, Instant now) {
  Entry* oldest = nullptr;
  for (Entry& entry : entries_) {
    if (entry.failures == 0) {
      oldest = &entry;
      break;
    }
    if (!entry.is_account && (oldest == nullptr || entry.last_failure < oldest->last_failure)) {
      oldest = &entry;
    }
  }
  // Two entries per account, network and serial, leave room for others.
  GH_ASSERT(oldest != nullptr);
  if (oldest->failures > 0 && now - oldest->last_failure < Duration::Minutes(1)) {
    crowded_until_ = now + Duration::Seconds(kLoginDelayMaxSeconds);
  }
  *oldest = {};
  oldest->name.Assign(Cut(name));
  return *oldest;
}

uint32_t LoginGuard::Failed(std::string_view name, Instant now, bool is_account) {
  Entry* found = Find(name);
  Entry& entry = found != nullptr ? *found : Replace(name, now);
  entry.is_account = is_account;
  ++entry.failures;
  entry.last_failure = now;
  entry.blocked_until = now + DelayAfter(entry.failures);
  return entry.failures;
}

void LoginGuard::Succeeded(std::string_view name) {
  if (Entry* entry = Find(name); entry != nullptr) {
    *entry = {};
  }
}

void LoginGuard::Lock(std::string_view name, Instant until) {
  if (Entry* entry = Find(name); entry != nullptr) {
    entry->locked_until = until;
  }
}

bool LoginGuard::IsLocked(std::string_view name, Instant now) const {
  return LockedUntil(name) > now;
}

Instant LoginGuard::LockedUntil(std::string_view name) const {
  const Entry* entry = Find(name);
  return entry != nullptr ? entry->locked_until : Instant{};
}

uint32_t LoginGuard::FailuresOf(std::string_view name) const {
  const Entry* entry = Find(name);
  return entry != nullptr ? entry->failures : 0;
}

}  // namespace gh::admin
