// The seam between the proxy and whoever carries media: it sees each description (SDP) of a dialog
// on its way through, and says what is to be sent on instead.
//
// The proxy calls it for every request and response that carries a body of application/sdp, in the
// order they pass; a message that is sent again is shown again, and the answer is the same. What
// the anchor holds for a dialog ends with OnEnded(), or by the anchor's own watch for silence.
#pragma once

#include <cstdint>
#include <string_view>

#include "firmware/sip/config.h"
#include "firmware/sip/message.h"
#include "net/address.h"

namespace gh::sip {

// What we are on a traversal zone's stream.
enum class TraversalRole : uint8_t { kNone, kClient, kServer };

// One side of a dialog, as its signalling shows it.
struct MediaSide {
  net::IpAddress local;  // ours, towards it
  net::IpAddress shown;  // what it is told of ours: another one behind a static NAT
  net::Endpoint remote;  // where its messages come from or go to
  MediaEncryption encryption = MediaEncryption::kAuto;
  bool speaks_ice = false;  // with us, where its media is relayed
  bool passes_ice = false;  // its candidates to the other side, and theirs to it
  TraversalRole traversal = TraversalRole::kNone;
  bool is_web = false;         // it signals by WebSocket: a browser
  bool is_behind_nat = false;  // what it says of itself is not where it is
};

struct MediaExchange {
  uint64_t call = 0;  // for Engine::EndCall()
  std::string_view call_id;
  std::string_view from_tag;  // of the transaction: the requester's
  std::string_view to_tag;    // may be empty in a request
  Method method = Method::kInvite;
  uint16_t status = 0;  // 0: a request
  MediaSide sender;     // of this message
  MediaSide receiver;
  std::string_view body;
};

struct MediaVerdict {
  enum class Kind : uint8_t { kAsIs, kReplaced, kRefused };
  Kind kind = Kind::kAsIs;
  std::string_view body;  // kReplaced; valid until the next call
  uint16_t status = 488;  // kRefused, of a request
  std::string_view why;   // a reason phrase
};

class MediaAnchor {
 public:
  virtual MediaVerdict OnDescription(const MediaExchange& exchange) = 0;
  // A request with a description failed: what it offered is void. The first one of a dialog ends
  // what there is.
  virtual void OnFailed(std::string_view call_id, std::string_view from_tag,
                        std::string_view to_tag) = 0;
  // The dialog of these two tags, in either order, is over.
  virtual void OnEnded(std::string_view call_id, std::string_view tag, std::string_view other) = 0;
  // Whether media of that side of the dialog has come here within that time.
  virtual bool IsHeard(std::string_view /*call_id*/, std::string_view /*caller_tag*/,
                       std::string_view /*callee_tag*/, bool /*is_caller*/, Duration /*within*/) {
    return false;
  }

 protected:
  ~MediaAnchor() = default;
};

}  // namespace gh::sip
