// What our Record-Route URI remembers about a dialog, so that we need not: which way the caller is,
// how to reach a caller or callee that is right next to us (through its NAT or its stream), and a
// keyed tag over all of it and the Call-ID. A request that shows the token back is inside a dialog
// that was let in; nobody else can relay through us (RFC 5626's flow tokens, both ends in one).
#pragma once

#include <optional>
#include <string_view>

#include "firmware/sip/core.h"
#include "firmware/sip/flow.h"
#include "hal/rt/bytes.h"

namespace gh::sip {

struct DialogSide {
  bool adjacent = false;  // `remote` is the user agent itself
  TransportKind transport = TransportKind::kUdp;
  net::Endpoint remote;
  uint16_t zone = 0;  // reached through that traversal zone, and no other way
};

struct DialogToken {
  uint32_t caller_tag = 0;  // keyed hash of the caller's From tag
  DialogSide caller;
  DialogSide callee;
};

// In the Path of a REGISTER that we pass on (RFC 3327, 5626 5.2): by which flow its sender is
// reached. Good for whatever comes back with it, for as long as the flow lasts.
void WritePathToken(ByteWriter& out, const Core& core, const DialogSide& side);
std::optional<DialogSide> ReadPathToken(const Core& core, std::string_view text);

uint32_t CallerTagHash(const Core& core, std::string_view tag);
void WriteDialogToken(ByteWriter& out, const Core& core, const DialogToken& token,
                      std::string_view call_id);
std::optional<DialogToken> ReadDialogToken(const Core& core, std::string_view text,
                                           std::string_view call_id);

}  // namespace gh::sip
