// Messages we write: responses of our own, ACK and CANCEL made from a request we sent, and the
// pieces a forwarded message is put together from.
#pragma once

#include <string_view>

#include "firmware/sip/core.h"
#include "firmware/sip/flow.h"
#include "firmware/sip/message.h"
#include "hal/rt/bytes.h"

namespace gh::sip {

std::string_view ReasonPhrase(uint16_t status);

// What a sender that asked for it (";oc" in its Via) is told of our load, RFC 7339 4.
struct OverloadReport {
  uint32_t loss_percent = 0;  // RFC 7415: of its new requests that it is to hold back
  uint32_t validity_ms = 0;
  uint64_t sequence_ms = 0;
};

struct ResponseSpec {
  uint16_t status = 500;
  std::string_view reason;  // empty: the usual phrase
  uint64_t to_tag = 0;      // added when the request's To has none; 0: never
  std::string_view extra;   // whole header lines, each with its CRLF
  const OverloadReport* overload = nullptr;
};

// A response to `request`, which may have failed Check(): what it lacks is left out. The topmost
// Via gets `received` and `rport` from `source` (RFC 3261 18.2.1, RFC 3581).
void WriteResponse(ByteWriter& out, const Message& request, const Flow& source,
                   const ResponseSpec& spec);
// Of the load of this moment.
OverloadReport ReportOf(const Core& core);
// What else is in the field of the topmost Via, as a field line of its own; maybe nothing.
void WriteRestOfVia(ByteWriter& out, const Message& message, const HeaderField& field);

// What a topmost Via gets of where it came from: `rport` and `received`, as far as they are due.
void WriteSource(ByteWriter& out, const Via& via, const Flow& source);
// The Via field lines of a message that arrived from `source`.
void WriteReceivedVias(ByteWriter& out, const Message& message, const Flow& source,
                       const OverloadReport* overload = nullptr);
// "host:port" with brackets as needed; port 0 is left out.
void WriteHostPort(ByteWriter& out, const net::Endpoint& endpoint);

// ACK for a final response above 299, from the request as we sent it (RFC 3261 17.1.1.3).
void WriteAck(ByteWriter& out, const Message& sent, const Message& response);
// CANCEL for the request as we sent it (RFC 3261 9.1).
void WriteCancel(ByteWriter& out, const Message& sent);

// Where a response to a request from this flow with this Via goes (RFC 3261 18.2.2, RFC 3581).
net::Endpoint ResponseTarget(const Flow& source, const Via& via);

}  // namespace gh::sip
