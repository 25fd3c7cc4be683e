// The proxy's side of calls: what begins and ends them, what bandwidth they get, and how one is
// ended from here: a BYE to each side in the other's name (the dialog is ours to end, we have been
// in its way from the beginning). Whoever says BYE himself meanwhile is answered by the other party
// or by its absence, as in any crossing of two BYEs.
#include <algorithm>

#include "firmware/sdp/bandwidth.h"
#include "firmware/sip/media_body.h"
#include "firmware/sip/proxy_context.h"
#include "firmware/sip/session_timer.h"

namespace gh::sip {
namespace {

std::string_view TagOf(const DialogRecord& record, DialogRecord::Part part) {
  Scanner scanner(record.Get(part));
  const auto party = ParseNameAddr(scanner);
  return party.ok() ? party->tag() : std::string_view();
}

std::string_view ReasonOf(CallEnd how) {
  switch (how) {
    case CallEnd::kDisconnected:
      return "Ended by the operator";
    case CallEnd::kFlowLost:
      return "The other party's connection is lost";
    case CallEnd::kMediaLost:
      return "The other party sends nothing any more";
    default:
      return "Session expired";
  }
}

}  // namespace

void Proxy::NoteAnswer(Context& context, Branch& branch, const Message& response) {
  if (!IsSessionRefresh(context.method)) {
    return;
  }
  const auto agreed = SessionExpiresOf(response);
  const ServerTransaction* server = transactions_.ResolveServer(context.server_handle);
  const uint32_t session_s = agreed ? agreed->seconds : server != nullptr ? server->session_s : 0;
  if (!context.is_initial_invite) {
    calls_.Refresh(response, session_s);
    return;
  }
  const Target& target = context.targets[branch.target];
  const Flow& flow = branch.client->flow;
  const auto traversal = [this](ZoneId zone) {
    return zone != 0 && zones_ != nullptr && zones_->IsTraversal(zone) ? zone : ZoneId{0};
  };
  Request request;
  const bool has_request = context.server != nullptr && context.server->request != nullptr;
  if (has_request) {
    Parse(*context.server, request);
  }
  const bool next_to_us = has_request && request.message.via_count() == 1;
  const Flow source = context.server != nullptr ? context.server->flow : Flow{};
  const CallStart start{
      .answer = response,
      .request = has_request ? &request.message : nullptr,
      .caller = {next_to_us, source.transport, context.source, traversal(context.source_zone)},
      .callee = {target.has_flow && target.path_size == 0, flow.transport, flow.remote,
                 traversal(target.zone)},
      .load = branch.calls,
      .hold = branch.hold,
      .is_slowed = branch.limit_kbps != 0,
      .is_by_flow = {next_to_us && source.is_reliable() &&
                         context.source_zone == dialplan::kLocalZone,
                     target.has_flow && target.path_size == 0 && flow.is_reliable() &&
                         target.zone == 0},
      .setup = core_.now() - context.arrived,
      .session_s = session_s};
  if (calls_.Start(start)) {
    branch.hold = {};
  }
  if ((start.is_by_flow[0] || start.is_by_flow[1]) && !flow_watch_.armed()) {
    core_.timers.Arm(flow_watch_, Duration::Seconds(1));
  }
}

void Proxy::NoteFailure(const Message& request, const Context& context, uint16_t status) {
  if (status == 401 || status == 407) {
    return;
  }
  CallEvent event;
  event.caller = request.from().uri_text;
  event.callee = request.to().uri_text;
  event.call_id = request.call_id();
  event.ladder = core_.LadderOf(request.call_id());
  event.caller_address = context.source;
  event.setup = core_.now() - context.arrived;
  calls_.Fail(event, status);
}

// The call is over for the one who hung up, whether the other answered or not.
void Proxy::NoteByeFailed(Context& context) {
  Request request;
  Parse(*context.server, request);
  calls_.End(request.message);
  ShowEnd(core_, request.message);
}

// --- Bandwidth -----------------------------------------------------------------------------------

bool Proxy::Admit(Context& context, Branch& branch, const Message& request) {
  const Target& target = context.targets[branch.target];
  if (bandwidth_ == nullptr || !context.is_initial_invite || branch.hold.kbps != 0 ||
      context.place.node >= dialplan::kNodeMax || target.place.node >= dialplan::kNodeMax) {
    return true;
  }
  const uint32_t said = IsDescription(request) ? sdp::BandwidthOf(AsText(request.body())) : 0;
  const uint32_t wanted = said != 0 ? said : bandwidth_->default_kbps();
  auto admitted = bandwidth_->Admit(context.place.node, target.place.node, wanted);
  BandwidthEvent event;
  event.caller = request.from().uri_text;
  event.callee = request.to().uri_text;
  event.call_id = request.call_id();
  event.wanted_kbps = wanted;
  if (!admitted.ok()) {
    context.lacks_bandwidth = true;
    event.why = admitted.error().what;
    core_.observer.OnBandwidth(event);
    return false;
  }
  branch.hold = *admitted;
  if (branch.hold.kbps < wanted) {
    branch.limit_kbps = branch.hold.kbps;
    event.granted_kbps = branch.hold.kbps;
    event.why = "slowed down";
    core_.observer.OnBandwidth(event);
  }
  return true;
}

// A description inside a dialog may ask for more than the call holds: that is tried, and what there
// is decides. 0: as it is said.
uint32_t Proxy::LimitInDialog(const Message& request) {
  if (bandwidth_ == nullptr || request.to_tag().empty() || !IsDescription(request)) {
    return 0;
  }
  Call* call = calls_.Find(request);
  if (call == nullptr || call->hold.kbps == 0) {
    return 0;
  }
  const uint32_t wanted = sdp::BandwidthOf(AsText(request.body()));
  if (wanted <= call->hold.kbps) {
    return wanted == 0 && call->is_slowed ? call->hold.kbps : 0;
  }
  const dialplan::BandwidthHold before = call->hold;
  bandwidth_->Release(call->hold);
  auto admitted = bandwidth_->Admit(before.from, before.to, wanted);
  if (!admitted.ok()) {
    admitted = bandwidth_->Admit(before.from, before.to, before.kbps);
  }
  if (!admitted.ok()) {
    return before.kbps;  // the operator has taken it away meanwhile: what is there goes on
  }
  call->hold = *admitted;
  call->is_slowed = call->hold.kbps < wanted;
  return call->is_slowed ? call->hold.kbps : 0;
}

// Whether `body`, what is sent in place of the message's, is one that was cut down to the limit.
bool Proxy::Limit(const Message& message, uint32_t limit_kbps, const MediaVerdict& media,
                  std::string_view& body) {
  if (limit_kbps == 0 || message.body().empty() || !IsDescription(message)) {
    return false;
  }
  const bool is_replaced = media.kind == MediaVerdict::Kind::kReplaced;
  ByteWriter out(core_.body_scratch);
  sdp::LimitBandwidth(is_replaced ? media.body : AsText(message.body()), limit_kbps, out);
  if (out.ok()) {
    body = out.text();
  }
  return out.ok();
}

// --- Phones that are gone ------------------------------------------------------------------------

// Nobody can connect to such a phone: without its connection neither party's BYE finds it. It may
// come again, and as long as its media does it lives.
bool Proxy::IsLost(Call& call, uint32_t side) {
  const DialogSide& where = side == 0 ? call.caller_side : call.callee_side;
  Instant& lost_at = call.lost_at[side];
  if (!call.is_by_flow[side] || transport_.IsReachable(where.transport, where.remote)) {
    lost_at = {};
    return false;
  }
  const Instant now = core_.now();
  if (lost_at.ns == 0) {
    lost_at = now;
  }
  if (now - lost_at < core_.config.flow_loss) {
    return false;
  }
  DialogRecord record;
  const bool is_heard =
      core_.anchor != nullptr && calls_.ReadDialog(call, record) &&
      core_.anchor->IsHeard(record.Get(DialogRecord::kCallId), TagOf(record, DialogRecord::kCaller),
                            TagOf(record, DialogRecord::kCallee), side == 0,
                            core_.config.flow_loss);
  lost_at = is_heard ? now : lost_at;
  return !is_heard;
}

void Proxy::WatchFlows() {
  for (uint32_t i = 0; i < std::min(kFlowWatchMax, calls_.capacity()); ++i) {
    flow_watch_at_ = (flow_watch_at_ + 1) % calls_.capacity();
    Call* call = calls_.At(flow_watch_at_);
    if (call != nullptr && core_.config.flow_loss.ns != 0 &&
        (IsLost(*call, 0) || IsLost(*call, 1))) {
      EndCall(*call, CallEnd::kFlowLost);
    }
  }
  if (calls_.count() != 0) {
    core_.timers.Arm(flow_watch_, Duration::Seconds(1));
  }
}

// --- Ending a call from here ---------------------------------------------------------------------

// To who is next to us where its messages come from; to others where the dialog's Routes say.
bool Proxy::FlowToSide(const Call& call, const DialogRecord& record, bool to_caller, Flow& out) {
  const DialogSide& side = to_caller ? call.caller_side : call.callee_side;
  if (side.zone != 0) {
    return zones_ != nullptr && zones_->FlowInto(side.zone, side.remote, out);
  }
  const auto take = [&](TransportKind transport, const net::Endpoint& remote) {
    const auto flow = transport_.FlowTo(transport, remote);
    if (flow.ok()) {
      out = *flow;
    }
    return flow.ok();
  };
  const bool is_reachable = transport_.IsReachable(side.transport, side.remote);
  if (side.adjacent && is_reachable) {
    return take(side.transport, side.remote);
  }
  const Uri uri = record.NextHop(to_caller);
  Hop hop;
  if (uri.is_sip() && Locator::Direct(uri, hop) && take(hop.transport, hop.remote)) {
    return true;
  }
  return is_reachable && take(side.transport, side.remote);
}

// Simple devices know no route set: what such a caller acknowledges goes to whoever answered, as
// long as that is somebody next to us.
bool Proxy::ForwardAckOfCall(const Message& ack, const Flow& flow, const RoutePlan& plan) {
  using R = DialogRecord;
  const Call* call = plan.has_next ? nullptr : calls_.FindOfCaller(ack, flow.remote);
  DialogRecord record;
  Flow to;
  if (call == nullptr || !calls_.ReadDialog(*call, record) ||
      !record.Get(R::kCalleeRoutes).empty() || record.Get(R::kCalleeContact).empty() ||
      !FlowToSide(*call, record, false, to)) {
    return false;
  }
  calls_.Touch(ack);
  transport_.Prove(flow);
  ForwardAck(ack, flow, plan, record.Get(R::kCalleeContact), &to);
  return true;
}

void Proxy::SendBye(Call& call, const DialogRecord& record, bool to_caller, CallEnd how) {
  Flow flow;
  ClientTransaction* client = nullptr;
  if (!FlowToSide(call, record, to_caller, flow) ||
      (client = transactions_.CreateClient(Method::kBye, 0)) == nullptr) {
    return;  // that side finds out by silence
  }
  uint8_t branch_text[64];
  ByteWriter branch(branch_text);
  transactions_.WriteBranch(branch, *client);
  uint32_t& cseq = to_caller ? call.callee_cseq : call.caller_cseq;
  cseq = cseq % kCseqMax + 1;
  ByteWriter out(core_.scratch);
  WriteBye(out, record,
           {.listener = transport_.listener(flow),
            .branch = branch.text(),
            .to_caller = to_caller,
            .cseq = cseq,
            .reason = ReasonOf(how)});
  const bool sent = out.ok() && transactions_.Launch(*client, flow, out.written()).ok();
  if (!sent) {
    transactions_.ReleaseClient(*client);
    return;
  }
  core_.ladder.Note(
      {call.ladder, core_.now(), flow.remote, cseq, 0, Method::kBye, flow.transport, true});
}

void Proxy::EndCall(Call& call, CallEnd how) {
  DialogRecord record;
  if (calls_.ReadDialog(call, record)) {
    SendBye(call, record, true, how);
    SendBye(call, record, false, how);
    if (core_.anchor != nullptr) {
      core_.anchor->OnEnded(record.Get(DialogRecord::kCallId), TagOf(record, DialogRecord::kCaller),
                            TagOf(record, DialogRecord::kCallee));
    }
  }
  calls_.Finish(call, how);
}

}  // namespace gh::sip
