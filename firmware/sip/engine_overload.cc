// What the engine does when there is more to do than it can: by the pools, by the processor's time.
#include "firmware/sip/engine.h"

namespace gh::sip {
namespace {

// An engine at work keeps this part of its transactions for dialogs that exist already.
constexpr uint32_t kReserveDivisor = 10;

// No refusals for so long: the overload is over.
constexpr Duration kOverloadQuiet = Duration::Seconds(5);

// Senders that hold back themselves are not to be cut by the same share again.
constexpr uint32_t kHoldingBackWeight = 4;

bool HoldsBack(const Message& request) {
  Scanner scanner(request.via().params);
  Param param;
  while (NextParam(scanner, param) == Next::kItem) {
    if (EqualsNoCase(param.name, "oc")) {
      return true;
    }
  }
  return false;
}

}  // namespace

// The sender answers our challenge: half of the work is done. Not where even that is too much.
bool Engine::IsAnswerToChallenge(const Incoming& in) const {
  return core_.overload.share() >= 500 &&
         (authenticator_.HasOurNonce(in.message, HeaderId::kAuthorization,
                                     in.flow.remote.address) ||
          authenticator_.HasOurNonce(in.message, HeaderId::kProxyAuthorization,
                                     in.flow.remote.address));
}

// By the processor's time. What goes on, emergency calls and who leaves are not asked.
bool Engine::CheckLoad(Incoming& in) {
  const Method method = in.message.method();
  const bool is_new = !in.plan.is_in_dialog() && !in.is_emergency && method != Method::kBye;
  if (!core_.overload.is_active() || !is_new || IsAnswerToChallenge(in) ||
      core_.overload.Admits(HoldsBack(in.message) ? kHoldingBackWeight : 1)) {
    return true;
  }
  ++core_.statistics.load_refused;
  Refuse(in.message, in.flow, {503, RefusalReason::kOverload, {}, {}, "the processor is busy"});
  return false;
}

void Engine::OnOccupancy(uint32_t occupancy) {
  const uint64_t refused = core_.statistics.load_refused;
  core_.overload.OnPeriod(occupancy, core_.config.occupancy_max);
  if (refused != overload_seen_) {
    overload_last_ = core_.now();
    if (!is_overloaded_) {
      is_overloaded_ = true;
      overload_began_ = core_.now();
      overload_before_ = overload_seen_;
      core_.observer.OnOverload({true, core_.overload.occupancy() / 10, 0, 0, {}});
    }
    overload_seen_ = refused;
  } else if (is_overloaded_ && core_.now() - overload_last_ >= kOverloadQuiet) {
    is_overloaded_ = false;
    core_.observer.OnOverload({false, core_.overload.occupancy() / 10, refused - overload_before_,
                               0, overload_last_ - overload_began_});
  }
}

// A stream's other end and the peers of zones are known; an address in a datagram is only claimed.
bool Engine::MayReply(const Flow& flow) {
  return flow.is_reliable() || zones_.SourceOf(flow) != dialplan::kNoZone ||
         limit_.Take(flow.remote.address);
}

bool Engine::CheckOverload(Incoming& in) {
  if (!CheckLoad(in)) {
    return false;
  }
  const TransactionLayer& t = proxy_.transactions();
  const bool register_or_for_us = in.message.method() == Method::kRegister;
  const uint32_t share = in.plan.is_in_dialog() || in.is_emergency ? 0 : 1;
  const auto low = [share](uint32_t free, uint32_t capacity) {
    return free <= capacity / kReserveDivisor * share;
  };
  const bool full = low(t.server_free(), t.server_capacity()) ||
                    low(t.client_free(), t.client_capacity()) ||
                    low(proxy_.context_free(), proxy_.context_capacity());
  if (!full || register_or_for_us) {
    return true;
  }
  ++core_.statistics.overload;
  Refuse(in.message, in.flow, {503, RefusalReason::kOverload});
  return false;
}

}  // namespace gh::sip
