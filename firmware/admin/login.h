// Failed passwords by account name: who fails must wait, longer each time, and after a number of
// failures in a row the account is locked to the network for a while, or until it is unlocked.
//
// The serial console counts apart and is never locked, so that nobody far away can lock the owner
// out. Names that exist keep their entry; names that do not share a small table, and when that is
// full of fresh failures everybody unknown waits.
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
  // Returns the failures in a row. `is_account`: the entry is never given to another name.
  uint32_t Failed(std::string_view name, Instant now, bool is_account = false);
  void Succeeded(std::string_view name);

  // Locks the name until `until`.
  void Lock(std::string_view name, Instant until);
  bool IsLocked(std::string_view name, Instant now) const;
  Instant LockedUntil(std::string_view name) const;
  uint32_t FailuresOf(std::string_view name) const;

 private:
  struct Entry {
    FixedString<64> name;
    uint32_t failures = 0;
    bool is_account = false;
    Instant blocked_until;
    Instant locked_until;
    Instant last_failure;
  };
  Entry* Find(std::string_view name);
  const Entry* Find(std::string_view name) const {
    return const_cast<LoginGuard*>(this)->Find(name);
  }
  Entry& Replace(std::string_view name, Instant now);

  // The longest-quiet entry makes room; one with failures in the last minute only when all have.
  std::array<Entry, kLoginEntryMax> entries_ = {};
  Instant crowded_until_;  // the table is full of fresh failures: everybody unknown waits
};

}  // namespace gh::admin
