#include "firmware/sip/observer.h"

namespace gh::sip {

std::string_view RefusalReasonName(RefusalReason reason) {
  switch (reason) {
    case RefusalReason::kMalformed:
      return "malformed";
    case RefusalReason::kUnauthenticated:
      return "unauthenticated";
    case RefusalReason::kBadCredentials:
      return "bad-credentials";
    case RefusalReason::kStaleNonce:
      return "stale-nonce";
    case RefusalReason::kForbiddenSender:
      return "forbidden-sender";
    case RefusalReason::kForbiddenRelay:
      return "forbidden-relay";
    case RefusalReason::kUnknownDomain:
      return "unknown-domain";
    case RefusalReason::kUnknownUser:
      return "unknown-user";
    case RefusalReason::kNotRegistered:
      return "not-registered";
    case RefusalReason::kLoop:
      return "loop";
    case RefusalReason::kTooManyHops:
      return "too-many-hops";
    case RefusalReason::kExtension:
      return "extension";
    case RefusalReason::kScheme:
      return "scheme";
    case RefusalReason::kMethod:
      return "method";
    case RefusalReason::kTooBrief:
      return "too-brief";
    case RefusalReason::kTooManyContacts:
      return "too-many-contacts";
    case RefusalReason::kOverload:
      return "overload";
    case RefusalReason::kRateLimited:
      return "rate-limited";
    case RefusalReason::kMerged:
      return "merged";
    case RefusalReason::kUnreachable:
      return "unreachable";
    case RefusalReason::kCseq:
      return "cseq";
    case RefusalReason::kPolicy:
      return "policy";
    case RefusalReason::kZone:
      return "zone";
    case RefusalReason::kMaintenance:
      return "maintenance";
    case RefusalReason::kCallLimit:
      return "call-limit";
  }
  return "unknown";
}

std::string_view CallEndName(CallEnd end) {
  switch (end) {
    case CallEnd::kByCaller:
      return "by-caller";
    case CallEnd::kByCallee:
      return "by-callee";
    case CallEnd::kTimeout:
      return "timeout";
    case CallEnd::kDisconnected:
      return "disconnected";
    case CallEnd::kSessionExpired:
      return "session-expired";
    case CallEnd::kFlowLost:
      return "connection-lost";
    case CallEnd::kMediaLost:
      return "media-lost";
  }
  return "unknown";
}

}  // namespace gh::sip
