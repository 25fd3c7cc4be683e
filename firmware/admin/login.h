// Log-in attempts: who fails must wait, longer each time. No account is ever locked for good, so
// that nobody can lock the owner out; the wait alone makes guessing hopeless.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "firmware/admin/limits.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/time.h"

namespace gh::admin {

class LoginGuard {
 public:
  // How long `name` must wait now; zero: go on.
  Duration WaitFor(std::string_view name, Instant now) const;
  // Returns the failures in a row.
  uint32_t Failed(std::string_view name, Instant now);
  void Succeeded(std::string_view name);

 private:
  struct Entry {
    FixedString<63> name;
    uint32_t failures = 0;
    Instant blocked_until;
    Instant last_failure;
  };
  Entry* Find(std::string_view name);

  // The longest-quiet entry makes room; one with failures in the last minute only when all have.
  std::array<Entry, kLoginEntryMax> entries_ = {};
  Instant crowded_until_;  // the table is full of fresh failures: everybody unknown waits
};

}  // namespace gh::admin
