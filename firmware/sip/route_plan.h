// Route processing (RFC 3261 16.4): which Routes are ours and go, what the Request-URI really is,
// and which Route is next. A pure function of the request and the configuration, so it can be done
// again when a branch starts later.
#pragma once

#include <optional>

#include "firmware/sip/core.h"
#include "firmware/sip/dialog_token.h"
#include "firmware/sip/message.h"

namespace gh::sip {

struct RoutePlan {
  Uri uri;                 // the effective Request-URI
  size_t skip = 0;         // Routes at the front that are ours
  bool drop_last = false;  // a strict router's: the last Route became the Request-URI
  bool has_next = false;
  NameAddr next;  // the first Route that is left
  std::optional<DialogToken> token;
  std::optional<DialogSide> path;  // of a REGISTER we passed on: who sent it
  bool is_in_dialog() const { return token.has_value(); }
};

// False when the Routes are too many.
bool PlanRoutes(const Core& core, const Message& request, RoutePlan& plan);

}  // namespace gh::sip
