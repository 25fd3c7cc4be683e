// What the engine tells the house: one typed call per fact, made where the fact is certain. The
// appliance turns them into log events. Views are valid during the call.
#pragma once

#include <cstdint>
#include <string_view>

#include "firmware/sip/config.h"
#include "hal/rt/time.h"
#include "net/address.h"

namespace gh::sip {

struct RegistrationEvent {
  std::string_view user;  // unescaped
  std::string_view domain;
  std::string_view contact;  // URI
  net::Endpoint source;
  TransportKind transport = TransportKind::kUdp;
  uint32_t expires_s = 0;
};

enum class RefusalReason : uint8_t {
  kMalformed,
  kUnauthenticated,
  kBadCredentials,
  kStaleNonce,
  kForbiddenSender,
  kForbiddenRelay,
  kUnknownDomain,
  kUnknownUser,
  kNotRegistered,
  kLoop,
  kTooManyHops,
  kExtension,
  kScheme,
  kMethod,
  kTooBrief,
  kTooManyContacts,
  kOverload,
  kRateLimited,
  kMerged,
  kUnreachable,
  kCseq,
  kPolicy,
  kZone,
  kMaintenance,
  kCallLimit,
};
std::string_view RefusalReasonName(RefusalReason reason);  // "bad-credentials"

struct RefusalEvent {
  RefusalReason reason = RefusalReason::kMalformed;
  uint16_t status = 0;  // 0: dropped without a reply
  std::string_view method;
  std::string_view from;  // URI, may be empty
  std::string_view to;
  std::string_view user;  // of the credentials, may be empty
  std::string_view detail;
  net::Endpoint source;
  TransportKind transport = TransportKind::kUdp;
  // Wrong credentials for a challenge of ours: whoever sends is where he says, and guesses.
  bool is_guess = false;
};

enum class CallEnd : uint8_t {
  kByCaller,
  kByCallee,
  kTimeout,
  kDisconnected,
  kSessionExpired,
  kFlowLost,   // a party's connection
  kMediaLost,  // a party sends nothing any more
};
std::string_view CallEndName(CallEnd end);

struct CallEvent {
  uint64_t id = 0;          // of the call table, for correlation
  std::string_view caller;  // URI
  std::string_view callee;
  std::string_view call_id;  // may be cut
  net::Endpoint caller_address;
  net::Endpoint callee_address;
  Duration duration;  // from answer to end; 0 at the start
  Duration setup;     // from INVITE to answer
  uint32_t kbps = 0;  // bandwidth it holds; 0: none is counted
  uint64_t ladder = 0;
  CallEnd end = CallEnd::kByCaller;
};

// A call asked for more bandwidth than its way has.
struct BandwidthEvent {
  std::string_view caller;
  std::string_view callee;
  std::string_view call_id;
  uint32_t wanted_kbps = 0;
  uint32_t granted_kbps = 0;  // 0: it was refused
  std::string_view why;
};

// A peer of a zone can be reached, or cannot any more.
struct ZonePeerEvent {
  std::string_view zone;
  std::string_view peer;  // as the operator named it; a traversal client's address
  net::Endpoint remote;
  bool is_up = false;
  std::string_view why;
};

// New requests are refused because the processor is busy, or are not any more.
struct OverloadEvent {
  bool began = false;
  uint32_t occupancy_percent = 0;
  uint64_t refused = 0;
  uint64_t unanswered = 0;  // of them
  Duration duration;
};

// A peer asks to be spared part of what is new (RFC 7339), another part, or none any more.
struct ThrottleEvent {
  std::string_view zone;
  std::string_view peer;
  net::Endpoint remote;
  uint32_t percent = 0;
};

// Somebody publishes a user's presence, or does not any more (`why`).
struct PublicationEvent {
  std::string_view user;  // user@host
  net::Endpoint source;
  TransportKind transport = TransportKind::kUdp;
  uint32_t expires_s = 0;
  std::string_view why;
};

// Somebody watches a user's presence, or does not any more (`why`).
struct WatchEvent {
  std::string_view watcher;  // user@host
  std::string_view user;
  net::Endpoint source;
  TransportKind transport = TransportKind::kUdp;
  std::string_view why;  // at the beginning: "allowed" or "polite-block"
};

class Observer {
 public:
  virtual void OnRegistered(const RegistrationEvent& event) = 0;    // a new binding
  virtual void OnRefreshed(const RegistrationEvent& event) = 0;     // an old one extended
  virtual void OnUnregistered(const RegistrationEvent& event) = 0;  // by its owner or operator
  virtual void OnExpired(const RegistrationEvent& event) = 0;
  virtual void OnRefused(const RefusalEvent& event) = 0;
  virtual void OnCallStarted(const CallEvent& event) = 0;
  virtual void OnCallEnded(const CallEvent& event) = 0;
  // An attempt that got a final failure: its status.
  virtual void OnCallFailed(const CallEvent& event, uint16_t status) = 0;
  virtual void OnBandwidth(const BandwidthEvent& /*event*/) {}
  virtual void OnZonePeer(const ZonePeerEvent& /*event*/) {}
  virtual void OnOverload(const OverloadEvent& /*event*/) {}
  virtual void OnThrottle(const ThrottleEvent& /*event*/) {}
  virtual void OnPublished(const PublicationEvent& /*event*/) {}
  virtual void OnPublicationEnded(const PublicationEvent& /*event*/) {}
  virtual void OnWatchBegan(const WatchEvent& /*event*/) {}
  virtual void OnWatchEnded(const WatchEvent& /*event*/) {}
  virtual void OnListenFailed(const Listener& listener, const char* why) = 0;

 protected:
  ~Observer() = default;
};

}  // namespace gh::sip
