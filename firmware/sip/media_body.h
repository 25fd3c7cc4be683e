// Shows the anchor (media_anchor.h) what passes, in its words: which side sent it, by which of our
// addresses either side is reached.
#pragma once

#include "firmware/sip/core.h"
#include "firmware/sip/flow.h"
#include "firmware/sip/media_anchor.h"
#include "firmware/sip/message.h"

namespace gh::sip {

// One side as the proxy knows it.
struct MediaParty {
  const Flow& flow;
  MediaPolicy policy = {};     // of its zone; encryption Auto: of the listener
  bool is_behind_nat = false;  // of a target: it is reached elsewhere than its Contact says
};
// A request on its way from `source` to `target`. Without an anchor, or with nothing for it: as is.
MediaVerdict ShowRequest(const Core& core, const Message& request, const MediaParty& source,
                         const MediaParty& target);
MediaVerdict ShowResponse(const Core& core, const Message& response, const MediaParty& source,
                          const MediaParty& target);
// Whether its body is an SDP description.
bool IsDescription(const Message& message);
// The final response to a request that was forwarded is none of success.
void ShowFailure(const Core& core, const Message& request);
// The end of BYE's transaction: its request or a response to it.
void ShowEnd(const Core& core, const Message& message);
// Whether `host` is an address, and not that one.
bool IsElsewhere(std::string_view host, const net::IpAddress& address);

}  // namespace gh::sip
