// A look at a datagram that costs a tenth of indexing it: is it plainly a request that begins
// something, which may be thrown away unread when there is more to do than can be done? Nothing is
// checked here; what is in any doubt is no such request and goes the whole way.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "firmware/sip/message.h"

namespace gh::sip {

struct Glance {
  Method method = Method::kOther;
  std::string_view user = {};      // of the Request-URI, as written
  bool answers_challenge = false;  // has credentials
  bool holds_back = false;         // says ";oc" in its topmost Via (RFC 7339)
};

// Nothing: a response, part of a dialog or of a transaction (To tag, Route, ACK, BYE, CANCEL and
// the like), no SIP URI, escapes in its user part, folded lines, or no end of the header within
// kGlanceBytesMax. The views lie in `data`.
std::optional<Glance> GlanceAtNew(std::span<const uint8_t> data);

}  // namespace gh::sip
