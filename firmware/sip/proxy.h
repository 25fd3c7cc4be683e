// The stateful proxy (RFC 3261 16): forwards a request to one or several targets, in parallel where
// they are equally wanted, one after the other where not; chooses the best response; cancels.
//
// A proxied request has one ProxyContext from its arrival until every branch has ended. Its server
// transaction keeps the request; what a later branch needs is parsed from there again. Responses
// after the end (2xx sent again) go straight to the server transaction by its handle.
//
// Faults: pools that run out turn into 503 for that branch or request; lost targets into 408, or
// 500 when unreachable (a 503 is not passed on: 16.7 6).
#pragma once

#include <array>

#include "firmware/sip/busy_hops.h"
#include "firmware/sip/calls.h"
#include "firmware/sip/forward.h"
#include "firmware/sip/locate.h"
#include "firmware/sip/media_anchor.h"
#include "firmware/sip/registrar.h"
#include "firmware/sip/registration_ways.h"
#include "firmware/sip/transaction.h"
#include "firmware/sip/zones.h"

namespace gh::sip {

// Where a party is, as bandwidth and media see it: its subzone or zone.
struct Place {
  uint16_t node = dialplan::kNodeMax;  // of the bandwidth plan; kNodeMax: none
  MediaPolicy media;
};

// What the request may be sent to; the strings live in the context's text buffer.
struct Target {
  uint16_t uri_offset = 0;
  uint16_t uri_size = 0;
  uint16_t path_offset = 0;
  uint16_t path_size = 0;
  uint16_t q = 1000;
  bool has_flow = false;
  bool flow_decides = false;  // over Routes and Paths: into a traversal zone
  bool flow_only = false;     // RFC 5626: there is no other way than a flow
  bool is_alternate = false;  // taken when the first flow to its instance fails
  bool is_tried = false;
  uint8_t instance = 0;  // those of one user agent have the same; 0: a single one
  ZoneId zone = 0;       // to whose peers it goes, one after the other; 0: none
  uint8_t peer_first = kZonePeerMax;
  bool peer_only = false;
  Place place;
  Flow flow;
};
struct TargetSpec {
  std::string_view uri;
  std::string_view path = {};
  uint16_t q = 1000;
  const Flow* flow = nullptr;
  bool flow_decides = false;
  bool flow_only = false;
  bool is_alternate = false;
  uint8_t instance = 0;
  ZoneId zone = 0;
  uint8_t peer_first = kZonePeerMax;  // of the zone's peers the one that is tried before others
  bool peer_only = false;             // or instead of them
  Place place = {};
};

class Proxy final : private TransactionUser {
 public:
  Proxy(Core& core, Arena& arena, SipTransport& transport, net::Resolver& resolver,
        CallTable& calls);

  TransactionLayer& transactions() { return transactions_; }
  Locator& locator() { return locator_; }
  void SetZones(Zones& zones) { zones_ = &zones; }
  RegistrationWays& ways() { return ways_; }
  void SetBandwidth(dialplan::Bandwidth& bandwidth) { bandwidth_ = &bandwidth; }
  struct Context;

  // Takes a request that was let in. Returns null when a pool is empty: nothing was done.
  Context* Open(const Message& request, const Flow& flow, uint64_t loop, uint32_t breadth);
  // False when there is no room for another target.
  bool AddTarget(Context& context, const TargetSpec& spec);
  // The zone the request came from, when it is one, and where its sender is.
  void SetSource(Context& context, ZoneId zone, const Place& place);
  // Nobody may be spared it: an emergency call.
  static void SetUrgent(Context& context);
  // Whose credentials of our realm it shows were good.
  static void SetUser(Context& context, const Message& request, std::string_view user);
  // A registration whose way is kept once it is taken.
  static void SetWay(Context& context, const RegistrationWay& way);
  // Answers 100 to INVITE and starts the first branches.
  void Start(Context& context, const Message& request, const RoutePlan& plan);

  // Takes nothing after all: there is no target. The request is as it was before Open.
  void Discard(Context& context);
  static uint32_t TargetCountOf(const Context& context);
  // A request may wait as an open context without targets. TakeBack ends that: its text, to be
  // released; null when it was given up meanwhile.
  static Handle HandleOf(const Context& context);
  Buffer* TakeBack(Handle server);

  // ACK to a 2xx: forwarded without a transaction (16.11 and 17.1.1.3).
  // An ACK without our Route, by the call it belongs to; false: it belongs to none.
  bool ForwardAckOfCall(const Message& ack, const Flow& flow, const RoutePlan& plan);
  void ForwardAck(const Message& ack, const Flow& flow, const RoutePlan& plan, std::string_view uri,
                  const Flow* target);
  // The client gave the request up.
  void Cancel(ServerTransaction& server);

  // A flow to the side of the dialog that did not send this request; false when it is not next to
  // us or its stream is gone. Into a traversal zone there is no other way, whatever Route says.
  bool FlowOfPeer(const DialogToken& token, const Message& request, const RoutePlan& plan,
                  Flow& out);

  // A flow to one side of a call: where its messages come from if it is next to us, else to where
  // the dialog's Routes say.
  bool FlowToSide(const Call& call, const DialogRecord& record, bool to_caller, Flow& out);

  // Ends a call from here: BYE to both sides, as far as it is known how.
  void EndCall(Call& call, CallEnd how);

  uint32_t context_count() const { return contexts_.used_count(); }
  uint32_t context_free() const { return contexts_.free_count(); }
  uint32_t context_capacity() const { return contexts_.capacity(); }
  uint32_t location_count() const { return locator_.used_count(); }
  static uint64_t bytes_per_context();

 private:
  struct Branch;
  struct Request {  // a request parsed again from its transaction
    Message message;
    RoutePlan plan;
  };

  void OnResponse(ClientTransaction& client, const Message& response) override;
  void OnClientFailed(ClientTransaction& client, ClientFailure why) override;

  bool Parse(ServerTransaction& server, Request& out) const;
  Flow SourceOf(const ServerTransaction& server) const;
  void StartGroup(Context& context, const Message& request, const RoutePlan& plan);
  void StartBranch(Context& context, Branch& branch, const Message& request, const RoutePlan& plan);
  bool NextUri(const Context& context, const Branch& branch, const RoutePlan& plan, Uri& out) const;
  bool ToHop(Branch& branch, const Hop& hop, std::string_view name, const Message& request,
             const RoutePlan& plan);
  bool Launch(Branch& branch, const Flow& flow, const Message& request, const RoutePlan& plan);
  // proxy_identity.cc
  void SetProfile(ForwardSpec& spec, const Branch& branch, const Message& request,
                  ClientTransaction& client, ByteWriter& text) const;
  const dialplan::ZoneProfile& ProfileOf(ZoneId zone) const;
  Result<void> Send(Branch& branch, const Flow& flow, const Message& request, const RoutePlan& plan,
                    bool may_switch);
  void SetDialog(ForwardSpec& spec, const Branch& branch, const Message& request,
                 const RoutePlan& plan) const;
  void OnLocated(Branch& branch);
  bool TryNextHop(Branch& branch);
  bool TryNextPeer(Branch& branch, const Message& request, const RoutePlan& plan);
  static void KeepToPeer(Branch& branch);
  static bool HasNextFlow(const Branch& branch);
  bool TryNextFlow(Branch& branch, const Message& request, const RoutePlan& plan);
  static void OnAckLocated(Location& location);

  void OnProvisional(Context& context, Branch& branch, const Message& response);
  void OnFinal(Context& context, Branch& branch, const Message& response);
  void EndBranch(Branch& branch);
  void CancelBranches(Context& context);
  void KeepIfBest(Context& context, uint16_t status, const Message* response);
  void AddChallenges(Context& context, const Message& response);
  void Advance(Context& context);
  void SendBest(Context& context);
  void SendLocal(Context& context, uint16_t status);
  void Detach(Context& context);
  void Release(Context& context);
  void Relay(ServerTransaction& server, const Message& response, const ClientTransaction& client);

  // --- Calls and their bandwidth (proxy_calls.cc).
  static bool IsSessionRefresh(Method method) {
    return method == Method::kInvite || method == Method::kUpdate;
  }
  void NoteAnswer(Context& context, Branch& branch, const Message& response);
  void NoteFailure(const Message& request, const Context& context, uint16_t status);
  void NoteByeFailed(Context& context);
  bool Admit(Context& context, Branch& branch, const Message& request);
  uint32_t LimitInDialog(const Message& request);
  bool Limit(const Message& message, uint32_t limit_kbps, const MediaVerdict& media,
             std::string_view& body);
  void SendBye(Call& call, const DialogRecord& record, bool to_caller, CallEnd how);
  // Connections of phones in calls.
  void WatchFlows();
  bool IsLost(Call& call, uint32_t side);

  Core& core_;
  SipTransport& transport_;
  CallTable& calls_;
  TransactionLayer transactions_;
  Locator locator_;
  Pool<Context> contexts_;
  RegistrationWays ways_;
  BusyHops busy_hops_;
  Zones* zones_ = nullptr;
  dialplan::Bandwidth* bandwidth_ = nullptr;
  Timer flow_watch_;
  uint32_t flow_watch_at_ = 0;
};

}  // namespace gh::sip
