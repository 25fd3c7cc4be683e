// Session timers (RFC 4028) as a proxy sees them: intervals that are too short are refused or
// raised, long ones cut down, one is asked for where the caller asked for none, and a caller who
// knows timers refreshes where the callee does not. Pure functions of a message and the policy.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "firmware/sip/config.h"
#include "firmware/sip/message.h"
#include "hal/rt/bytes.h"

namespace gh::sip {

struct SessionExpires {
  uint32_t seconds = 0;
  std::string_view refresher;  // "uac", "uas" or empty
};

// The header's value; nothing when there is none or it is malformed.
std::optional<SessionExpires> SessionExpiresOf(const Message& message);
bool SupportsTimer(const Message& message);

// What becomes of an INVITE or UPDATE.
struct SessionEdit {
  bool is_too_brief = false;  // 422 with Min-SE of `min_s`
  bool replaces = false;      // Session-Expires and Min-SE are written anew
  uint32_t expires_s = 0;
  uint32_t min_s = 0;  // 0: no Min-SE is written
  std::string_view refresher;
  // A 2xx that says nothing of timers gets this interval, refreshed by the caller; 0: nothing.
  uint32_t answer_s = 0;
};
SessionEdit SessionEditOf(const Config& config, const Message& request);

// The header lines that go in place of the request's Session-Expires and Min-SE.
void WriteSessionLines(ByteWriter& out, const SessionEdit& edit);
// Those that go into a 2xx.
void WriteAnswerLines(ByteWriter& out, uint32_t seconds);

}  // namespace gh::sip
