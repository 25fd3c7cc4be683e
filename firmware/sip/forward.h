// Writes forwarded messages: a request on its way out (RFC 3261 16.6), a response on its way back
// (16.7 3 and 9). What is not changed is copied byte for byte.
#pragma once

#include "firmware/sip/core.h"
#include "firmware/sip/flow.h"
#include "firmware/sip/message.h"
#include "firmware/sip/route_plan.h"
#include "firmware/sip/session_timer.h"
#include "hal/rt/bytes.h"

namespace gh::sip {

// ";transport=tcp" of a URI of ours; empty for UDP.
std::string_view TransportParam(TransportKind transport);

struct ForwardSpec {
  std::string_view uri;     // new Request-URI
  std::string_view path;    // Routes to add in front (a binding's Path); may be empty
  std::string_view branch;  // of our Via
  Flow source;              // where the request came from
  Flow target;              // where it goes: its listener is our Via
  bool record_route = false;
  DialogToken token;                         // in our Record-Route
  const DialogSide* path_to = nullptr;       // of a REGISTER: our Path leads there; null: none
  bool asks_for_load = false;                // RFC 7339: we heed what the next one says of it
  bool asks_for_alias = false;               // RFC 5923: what is for us comes by this stream
  uint32_t breadth = 0;                      // Max-Breadth to write; 0: leave it
  uint32_t hop_count_max = kMaxForwardsMax;  // Max-Forwards is made no larger than that
  const std::string_view* body = nullptr;    // in place of the request's; null: that
  std::string_view identity;                 // asserted by us (RFC 3325), a URI; empty: none
  bool keeps_identity = false;               // what the request asserts is believed, and told
  bool hides_update = false;                 // UPDATE is taken out of Allow
  bool strips_proxy_require = false;     // what is left of it was taken out by the zone's profile
  const SessionEdit* session = nullptr;  // in place of its session timer's headers; null: those
};

void WriteForwardedRequest(ByteWriter& out, const Core& core, const Message& request,
                           const RoutePlan& plan, const ForwardSpec& spec);
// RFC 3325 7: whoever asks for privacy of his identity is not named outside the trust domain.
bool WantsPrivacy(const Message& message);
// Each value of Privacy (RFC 3323 4.2).
template <typename Look>
void ForEachPrivacy(const Message& message, Look look) {
  for (const HeaderField* f = message.First(HeaderId::kPrivacy); f != nullptr;
       f = message.NextSame(*f)) {
    for (std::string_view rest = message.Value(*f); !rest.empty();) {
      const size_t end = rest.find_first_of(";,");
      look(TrimLws(rest.substr(0, end)));
      rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    }
  }
}

struct ResponseEdit {
  bool keeps_identity = false;
  bool hides_update = false;
};
// The response without its topmost Via.
// `body`: in place of the response's; null: that. `extra`: whole header lines to add.
void WriteForwardedResponse(ByteWriter& out, const Message& response,
                            const std::string_view* body = nullptr, std::string_view extra = {},
                            const ResponseEdit& edit = {});
// Whether a forwarded request needs Max-Forwards etc. is decided here; the caller has checked them.

}  // namespace gh::sip
