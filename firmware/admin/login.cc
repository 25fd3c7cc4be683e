#include "firmware/admin/login.h"

#include <algorithm>

namespace gh::admin {
namespace {

// 1 s, 2 s, 4 s, ... kLoginDelayMaxSeconds.
Duration DelayAfter(uint32_t failures) {
  const uint32_t doublings = std::min(failures - 1, 6u);
  return Duration::Seconds(std::min(int64_t{1} << doublings, kLoginDelayMaxSeconds));
}

}  // namespace

LoginGuard::Entry* LoginGuard::Find(std::string_view name) {
  for (Entry& entry : entries_) {
    if (entry.failures > 0 && entry.name == name) {
      return &entry;
    }
  }
  return nullptr;
}

Duration LoginGuard::WaitFor(std::string_view name, Instant now) const {
  const Entry* entry = const_cast<LoginGuard*>(this)->Find(name.substr(0, 63));
  const Instant until = entry != nullptr ? entry->blocked_until : crowded_until_;
  return until > now ? until - now : Duration{};
}

uint32_t LoginGuard::Failed(std::string_view name, Instant now) {
  name = name.substr(0, 63);
  Entry* entry = Find(name);
  if (entry == nullptr) {
    entry =
        &*std::min_element(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) {
          return a.failures == 0 ? b.failures != 0
                                 : b.failures != 0 && a.last_failure < b.last_failure;
        });
    if (entry->failures > 0 && now - entry->last_failure < Duration::Minutes(1)) {
      crowded_until_ = now + Duration::Seconds(kLoginDelayMaxSeconds);
    }
    *entry = {};
    entry->name.Assign(name);
  }
  ++entry->failures;
  entry->last_failure = now;
  entry->blocked_until = now + DelayAfter(entry->failures);
  return entry->failures;
}

void LoginGuard::Succeeded(std::string_view name) {
  if (Entry* entry = Find(name.substr(0, 63)); entry != nullptr) {
    *entry = {};
  }
}

}  // namespace gh::admin
