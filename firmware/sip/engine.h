// The SIP engine: registrar and stateful proxy over UDP and TCP, without I/O of its own.
//
// Bytes come in through net::DatagramService and net::StreamService, time through the timer wheel,
// names through net::Resolver; facts go out through Observer. Everything it holds is carved from
// the arena in its constructor. Nothing it is sent can make it allocate, recurse or assert.
//
//   sip::Engine engine(arena, {datagrams, streams, resolver, timers, random, credentials,
//   observer},
//                      capacity);
//   engine.Apply(config);   // opens the listeners; again at every change
//
// What is let in: REGISTER of our users with their password; requests from our users to each other
// (and to others where `relay_for_users`), with their password; requests inside dialogs that were
// let in (proved by the token in our Record-Route); and from strangers to our users only where
// `accept_foreign_senders`. Everything else is challenged or refused without keeping any state.
#pragma once

#include "firmware/dialplan/history.h"
#include "firmware/sip/calls.h"
#include "firmware/sip/core.h"
#include "firmware/sip/digest.h"
#include "firmware/sip/policy.h"
#include "firmware/sip/presence_server.h"
#include "firmware/sip/proxy.h"
#include "firmware/sip/rate_limit.h"
#include "firmware/sip/registrar.h"
#include "firmware/sip/transport.h"
#include "firmware/sip/zones.h"

namespace gh::sip {

struct EnginePorts {
  net::DatagramService& datagrams;
  net::StreamService& streams;
  net::Resolver& resolver;
  TimerWheel& timers;
  crypto::Random& random;
  Credentials& credentials;
  Observer& observer;
};

// One pool, for xStatus and the memory table.
struct PoolStatus {
  const char* name = "";
  uint32_t used = 0;
  uint32_t capacity = 0;
  uint64_t bytes_per_item = 0;
};

class Engine final : private TransportUser {
 public:
  Engine(Arena& arena, const EnginePorts& ports, const Capacity& capacity);

  // Takes a new configuration; listeners that are not in it any more are closed, new ones opened.
  // Returns how many are open.
  uint32_t Apply(const Config& config);
  // Whoever carries media; before the first request.
  void SetMediaAnchor(MediaAnchor& anchor) { core_.anchor = &anchor; }
  // Whoever decides about calls and registrations; null: nobody but the dial plan.
  void SetPolicy(PolicyPort& policy) { policy_ = &policy; }
  void OnPolicy(uint64_t ticket, const PolicyVerdict& verdict);
  void SetRoutes(Routes& routes) { core_.routes = &routes; }
  void Stop();

  // The dial plan is filled by whoever has the settings, before or after Apply; zones with it.
  dialplan::DialPlan& plan() { return plan_; }
  Zones& zones() { return zones_; }
  const dialplan::SearchHistory& history() const { return history_; }
  // The bandwidth plan, filled the same way; nodes are NodeOf() a subzone or a zone.
  dialplan::Bandwidth& bandwidth() { return bandwidth_; }
  static constexpr uint16_t NodeOfSubzone(uint32_t subzone) {
    return static_cast<uint16_t>(subzone);
  }
  static constexpr uint16_t NodeOfZone(ZoneId zone) {
    return static_cast<uint16_t>(dialplan::kSubzoneMax + zone);
  }
  // How busy the processor was for the last kOverloadPeriod or more, of 1000.
  void OnOccupancy(uint32_t occupancy);
  const OverloadControl& overload() const { return core_.overload; }
  // Asked of a datagram for `port` before anything else is done with it. True: there is more to do
  // than can be done, and this begins something; it is counted, and nobody is told. False: to be
  // delivered at once, before the next is asked about.
  bool DiscardsUnread(const net::Endpoint& remote, uint16_t port, std::span<const uint8_t> data);
  // Asked next about what is thrown away: a 503 to go back whence it came. False: nobody is told.
  bool AnswersUnread(const net::Endpoint& remote, std::span<const uint8_t> data, ByteWriter& out);
  void SetMinuteOfWeek(uint32_t minute) { minute_of_week_ = minute; }
  // What would become of a call to `alias`, step by step; nothing is sent.
  void Locate(std::string_view alias, ZoneId source, bool is_authenticated, ByteWriter& out);

  const Config& config() const { return core_.config; }
  const Statistics& statistics() const { return core_.statistics; }
  // Lists: start with cursor 0 and call until false.
  bool NextRegistration(uint32_t& cursor, RegistrationInfo& out) {
    return registrar_.Next(cursor, out);
  }
  PresenceServer& presence() { return presence_; }
  const PresenceServer& presence() const { return presence_; }
  bool NextCall(uint32_t& cursor, CallInfo& out) { return calls_.Next(cursor, out); }
  const CallHistory& call_history() const { return calls_.history(); }
  const CallLadder& ladder() const { return core_.ladder; }
  uint64_t LadderOf(std::string_view call_id) const { return core_.LadderOf(call_id); }
  // Of a call of the list; false: it is over.
  bool LadderOfCall(uint64_t id, uint64_t& ladder);
  // BYE to both sides of a call of the list. kNotFound; kUnsupported: it is not known how to reach
  // them, the call stays.
  Result<void> Disconnect(uint64_t id);
  // Of that Call-ID (MediaExchange::call), each of its dialogs: BYE as far as it is known how.
  void EndCalls(uint64_t call, CallEnd how);
  uint32_t call_capacity() const { return calls_.capacity(); }
  uint32_t RemoveRegistrations(std::string_view user, std::string_view domain) {
    return registrar_.RemoveUser(user, domain);
  }
  uint32_t registration_count() const { return registrar_.binding_count(); }
  uint32_t call_count() const { return calls_.count(); }
  uint32_t stream_count() const { return transport_.stream_count(); }
  static constexpr uint32_t kPoolCount = 14;
  std::array<PoolStatus, kPoolCount> Pools() const;

 private:
  struct Incoming {
    const Message& message;
    const Flow& flow;
    RoutePlan plan = {};
    std::string_view user = {};  // authenticated
    bool is_authenticated = false;
    ZoneId source = dialplan::kNoZone;
    uint32_t subzone = 0;  // when the source is the local zone
    bool is_emergency = false;
    bool is_registration = false;         // with us
    bool is_permitted = false;            // by the policy service
    RegistrationWay way = {};             // of a registration, if it is to be kept
    ZoneId delegate = dialplan::kNoZone;  // where its credentials are asked for
    uint64_t loop = 0;
    uint32_t breadth = kMaxBreadthDefault;
  };

  // What is known of a request that waits for the policy service.
  struct PolicyWait {
    bool is_used = false;
    uint64_t number = 0;
    Handle server;
    Flow flow;
    FixedText<kUserBytesMax> user;
    bool is_authenticated = false;
    bool is_registration = false;
    bool is_by_path = false;
    ZoneId source = dialplan::kNoZone;
    uint32_t subzone = 0;
    ZoneId delegate = dialplan::kNoZone;
    uint64_t loop = 0;
    uint32_t breadth = 0;
  };

  void OnPacket(const Flow& flow, std::span<const uint8_t> data) override;
  void OnUnframed(const Flow& flow, const char* why) override;

  void OnRequest(const Message& request, const Flow& flow);
  void OnAck(const Message& ack, const Flow& flow);
  void OnCancel(const Message& cancel, const Flow& flow);
  void OnNewRequest(const Message& request, const Flow& flow);
  // Each says whether to go on; when not, the request was answered.
  bool TakeService(Incoming& in, std::span<uint8_t> text) const;
  uint32_t WeightOf(const Flow& flow);
  bool AnswersChallenge(const Message& request, const Flow& flow) const;
  bool AdmitsNew(const Message& request, const Flow& flow);
  bool Shed(Message& message, const Flow& flow);
  bool CheckLoad(Incoming& in);
  bool MayReply(const Flow& flow);
  bool CheckOverload(Incoming& in);
  bool CheckHops(Incoming& in);
  bool CheckExtensions(Incoming& in, HeaderId header);
  bool CheckDraining(Incoming& in);
  bool CheckSession(Incoming& in);
  bool Authorise(Incoming& in);
  bool Challenge(Incoming& in, HeaderId header, const AuthOutcome& outcome);
  bool CheckSender(Incoming& in);
  void Route(Incoming& in);
  void RouteToUser(Incoming& in, uint8_t domain);
  // By the dial plan (engine_plan.cc).
  void RouteByPlan(Incoming& in);
  bool RouteByKnownWay(Incoming& in);
  void RouteTransformed(Incoming& in, const dialplan::Step& step);
  void AddStep(Proxy::Context& context, const Incoming& in, const dialplan::Step& step, uint16_t q);
  void AddUser(Proxy::Context& context, const Incoming& in, const Uri& uri, uint16_t q);
  void Describe(const dialplan::Step& step, ByteWriter& out);
  // Of who calls himself `user`: From; To of a registration with us.
  dialplan::Trust TrustOf(Incoming& in, const Uri& user);
  bool IsRegisteredThere(const Uri& user, const Flow& flow) const;
  void OnTraversalOptions(Incoming& in);
  bool CheckTraversal(Incoming& in);
  // By the profiles of zones (engine_profile.cc).
  bool CheckProfile(Incoming& in);
  bool CheckUpdate(Incoming& in, ZoneId from);
  bool IsStrippedOption(const Incoming& in, std::string_view option);
  bool CheckPrivacy(Incoming& in);
  bool IsDelegated(Incoming& in);
  void RouteInDialog(Incoming& in);
  void RouteOutside(Incoming& in);
  void RouteByPath(Incoming& in);
  bool RouteByReplaces(Incoming& in);
  bool IsByServiceRoute(const Incoming& in) const;
  void RouteIntoZone(Incoming& in, ZoneId zone);
  void WriteServiceRoute(ByteWriter& out, const Message& request, const Flow& flow,
                         bool through_zone) const;
  void OnRegister(Incoming& in);
  void CompleteRegister(Incoming& in);
  // Whether a request is done with the policy service; when not, it waits or was answered.
  bool MayGoOn(Incoming& in);
  void GoOn(Incoming& in, const PolicyVerdict& verdict);
  bool CheckRegistration(Incoming& in, std::string_view user, std::string_view host);
  void OnForUs(Incoming& in);
  // By the presence server (engine_presence.cc). False: it is not for it.
  bool TakePresence(Incoming& in);
  bool ProveSender(Incoming& in);
  bool NameOf(const Uri& uri, dialplan::Alias& out) const;
  bool IsKnownUser(std::string_view user, uint8_t domain) const;
  Proxy::Context* OpenProxy(Incoming& in);
  void StartProxy(Incoming& in, std::string_view uri, const Flow* flow, const Place& place = {});
  // Whom a Request-URI of ours means (engine_targets.cc).
  struct Sought {
    const RegisteredUser* user = nullptr;
    const Binding* only = nullptr;   // a temporary GRUU's
    std::string_view instance = {};  // a public GRUU's; empty: all
  };
  Sought Seek(const Uri& uri, std::string_view user, uint8_t domain);
  static bool IsMeant(const Sought& sought, const Binding& binding);
  const Binding* BindingOf(const Uri& uri);  // the latest that it means; null: none, or not ours
  void AddBindings(Proxy::Context& context, const Incoming& in, const Sought& sought, uint16_t q);
  Place PlaceOfZone(ZoneId zone) const;
  Place PlaceOfSubzone(uint32_t subzone) const;
  Place PlaceOfBinding(const Binding& binding) const;
  Place PlaceOfParty(const Flow& flow, std::string_view address);
  Place SourcePlace(const Incoming& in) const;

  struct Refusal {
    uint16_t status;
    RefusalReason reason;
    std::string_view phrase = {};
    std::string_view extra = {};
    std::string_view detail = {};
    bool is_guess = false;
  };
  void Refuse(const Message& request, const Flow& flow, const Refusal& refusal,
              std::string_view user = {});
  void Answer(const Message& request, const Flow& flow, uint16_t status, std::string_view phrase,
              std::string_view extra);
  // Over a server transaction: a repeated request is answered again.
  void AnswerKept(const Message& request, const Flow& flow, uint16_t status,
                  std::string_view extra);
  void AnswerBusy(const Message& request, const Flow& flow, std::string_view phrase,
                  bool is_noted = true);
  uint64_t ToTagOf(const Message& request) const;
  uint64_t LoopHashOf(const Message& request) const;
  bool UserOf(const Uri& uri, char (&out)[kUserBytesMax], std::string_view& user) const;
  bool IsSameUser(std::string_view credential_user, const Uri& uri) const;

  Core core_;
  SipTransport transport_;
  Authenticator authenticator_;
  RateLimit limit_;
  Registrar registrar_;
  CallTable calls_;
  Proxy proxy_;
  dialplan::DialPlan plan_;
  dialplan::Bandwidth bandwidth_;
  dialplan::SearchHistory history_;
  Zones zones_;
  PresenceServer presence_;
  // Of the message being looked at, whether it was asked if one more is taken; and what was said of
  // the datagram that is on its way here.
  enum class Admission : uint8_t { kOpen, kTaken, kRefused };
  struct Door {
    net::Endpoint remote;
    Admission admission = Admission::kOpen;
  };
  Admission admission_ = Admission::kOpen;
  Door door_;
  Method unread_method_ = Method::kOther;  // of what was thrown away last
  PolicyPort* policy_ = nullptr;
  std::array<PolicyWait, kPolicyWaitMax> policy_waits_ = {};
  uint64_t policy_number_ = 0;
  uint32_t minute_of_week_ = 0;
  bool is_overloaded_ = false;  // as it was told
  uint64_t overload_seen_ = 0;
  uint64_t overload_before_ = 0;
  uint64_t silent_seen_ = 0;
  uint64_t silent_before_ = 0;
  Instant overload_began_;
  Instant overload_last_;
};

}  // namespace gh::sip
