// How much the appliance can hold: every pool of every room, decided before the first is carved.
//
// A profile is a row of one table; a number of registrations gives a row in between. What a row
// costs is known before anything is allocated (ArenaBytes, checked by a test against what the rooms
// then take), so a profile that does not fit is refused with both numbers.
#pragma once

#include <cstdint>
#include <string_view>

#include "crypto/password.h"
#include "firmware/rtp/relay.h"
#include "firmware/s2s/federation.h"
#include "firmware/sip/config.h"
#include "firmware/turn/config.h"
#include "firmware/xmpp/engine.h"
#include "hal/rt/result.h"
#include "net/capacity.h"

namespace gh {

inline constexpr uint32_t kRegistrationsMax = 1'000'000;

struct Capacity {
  const char* profile = "";    // "small", "medium", "large", "by number"
  uint32_t registrations = 0;  // contacts registered at a time
  uint32_t users = 0;          // SIP users with a password
  uint32_t calls = 0;          // calls in progress
  uint32_t call_setups_per_s = 0;
  uint32_t streams = 0;   // TCP connections
  uint32_t sessions = 0;  // of administrators, over the network
  crypto::PasswordCost password_cost;
  net::Capacity net;
  sip::Capacity sip;
  turn::Capacity turn;
  rtp::Capacity rtp;
  xmpp::Capacity xmpp;
  s2s::Capacity s2s;

  // An upper bound of what the rooms take from the arena.
  uint64_t ArenaBytes() const;

  static Capacity Small();
  static Capacity Medium();
  static Capacity Large();
  static Capacity Largest();  // large, with the XMPP users of a machine of more memory
  static Capacity ForRegistrations(uint32_t registrations);

  // `name`: a profile's, a number of registrations, or "" or "auto": the largest profile that
  // fits. kInvalidArgument: no such profile; kNoSpace: it does not fit `arena_bytes`.
  static Result<Capacity> For(std::string_view name, uint64_t arena_bytes);
};

}  // namespace gh
