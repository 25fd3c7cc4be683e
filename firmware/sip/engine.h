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

#include "firmware/sip/calls.h"
#include "firmware/sip/core.h"
#include "firmware/sip/digest.h"
#include "firmware/sip/proxy.h"
#include "firmware/sip/rate_limit.h"
#include "firmware/sip/registrar.h"
#include "firmware/sip/transport.h"

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
  void Stop();

  const Config& config() const { return core_.config; }
  const Statistics& statistics() const { return core_.statistics; }
  // Lists: start with cursor 0 and call until false.
  bool NextRegistration(uint32_t& cursor, RegistrationInfo& out) {
    return registrar_.Next(cursor, out);
  }
  bool NextCall(uint32_t& cursor, CallInfo& out) { return calls_.Next(cursor, out); }
  uint32_t RemoveRegistrations(std::string_view user, std::string_view domain) {
    return registrar_.RemoveUser(user, domain);
  }
  uint32_t registration_count() const { return registrar_.binding_count(); }
  uint32_t call_count() const { return calls_.count(); }
  uint32_t stream_count() const { return transport_.stream_count(); }
  static constexpr uint32_t kPoolCount = 9;
  std::array<PoolStatus, kPoolCount> Pools() const;

 private:
  struct Incoming {
    const Message& message;
    const Flow& flow;
    RoutePlan plan;
    std::string_view user;  // authenticated
    bool is_authenticated = false;
    uint64_t loop = 0;
    uint32_t breadth = kMaxBreadthDefault;
  };

  void OnPacket(const Flow& flow, std::span<const uint8_t> data) override;
  void OnUnframed(const Flow& flow, const char* why) override;

  void OnRequest(const Message& request, const Flow& flow);
  void OnAck(const Message& ack, const Flow& flow);
  void OnCancel(const Message& cancel, const Flow& flow);
  void OnNewRequest(const Message& request, const Flow& flow);
  // Each says whether to go on; when not, the request was answered.
  bool CheckOverload(Incoming& in);
  bool CheckHops(Incoming& in);
  bool CheckExtensions(Incoming& in, HeaderId header);
  bool Authorise(Incoming& in);
  bool Challenge(Incoming& in, HeaderId header, const AuthOutcome& outcome);
  bool CheckSender(Incoming& in);
  void Route(Incoming& in);
  void RouteToUser(Incoming& in, uint8_t domain);
  void RouteInDialog(Incoming& in);
  void RouteOutside(Incoming& in);
  void OnRegister(Incoming& in);
  void OnForUs(Incoming& in);
  void StartProxy(Incoming& in, std::string_view uri, const Flow* flow);

  struct Refusal {
    uint16_t status;
    RefusalReason reason;
    std::string_view phrase = {};
    std::string_view extra = {};
    std::string_view detail = {};
  };
  void Refuse(const Message& request, const Flow& flow, const Refusal& refusal,
              std::string_view user = {});
  void Answer(const Message& request, const Flow& flow, uint16_t status, std::string_view phrase,
              std::string_view extra);
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
};

}  // namespace gh::sip
