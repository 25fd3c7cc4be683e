// What the engine does when there is more to do than it can: by the pools, by the processor's time.
#include "firmware/sip/busy_answer.h"
#include "firmware/sip/engine.h"
#include "firmware/sip/glance.h"
#include "firmware/sip/writer.h"

namespace gh::sip {
namespace {

// An engine at work keeps this part of its transactions for dialogs that exist already.
constexpr uint32_t kReserveDivisor = 10;

// No refusals for so long: the overload is over.
constexpr Duration kOverloadQuiet = Duration::Seconds(5);

// Peers of zones and those of whom little comes are not cut as much as others.
constexpr uint32_t kFavouredWeight = 4;
constexpr uint32_t kFewPerSecond = 2;

// Who holds back himself comes already by his share; who answers our challenge, half of the work
// for him is done.
constexpr uint32_t kHeedingBoost = 4;
constexpr uint32_t kAnswerBoost = 16;
constexpr uint32_t BoostOf(bool holds_back, bool answers_challenge) {
  return (holds_back ? kHeedingBoost : 1) * (answers_challenge ? kAnswerBoost : 1);
}

// So many eighths of a refusal may be told for each request that is taken: a small part of what the
// taken one costs.
constexpr uint32_t kRefusalsPerInvite = 4;
constexpr uint32_t kRefusalsPerOther = 1;

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

// How many times a new request of this sender counts. The address in a datagram is only claimed.
uint32_t Engine::WeightOf(const Flow& flow) {
  const bool is_favoured = zones_.SourceOf(flow) != dialplan::kNoZone ||
                           limit_.CountNew(flow.remote.address) <= kFewPerSecond;
  return is_favoured ? kFavouredWeight : 1;
}

bool Engine::AnswersChallenge(const Message& request, const Flow& flow) const {
  const net::IpAddress& source = flow.remote.address;
  return authenticator_.HasOurNonce(request, HeaderId::kAuthorization, source) ||
         authenticator_.HasOurNonce(request, HeaderId::kProxyAuthorization, source);
}

bool Engine::AdmitsNew(const Message& request, const Flow& flow) {
  return core_.overload.Admits(WeightOf(flow),
                               BoostOf(HoldsBack(request), AnswersChallenge(request, flow)));
}

// No more than kTaken or kRefused is kept for Shed(), which is called next if anything is.
bool Engine::DiscardsUnread(const net::Endpoint& remote, uint16_t port,
                            std::span<const uint8_t> data) {
  door_ = {};
  if (!core_.overload.is_active() || !transport_.HasDatagramPort(port)) {
    return false;
  }
  const std::optional<Glance> glance = GlanceAtNew(data);
  if (!glance || core_.config.IsEmergency(glance->user)) {
    return false;
  }
  Flow flow;
  flow.remote = remote;
  unread_method_ = glance->method;
  const bool is_call = glance->method == Method::kInvite;
  if (core_.overload.Admits(WeightOf(flow),
                            BoostOf(glance->holds_back, glance->answers_challenge))) {
    core_.overload.AllowRefusals(is_call ? kRefusalsPerInvite : kRefusalsPerOther);
    door_ = {remote, Admission::kTaken};
    return false;
  }
  // Of calls the ladder is to have it, who asks for our load has to be told it, and the log is to
  // have some.
  const bool is_engines = is_call || glance->holds_back || core_.overload.has_telling();
  if (is_engines && core_.overload.TakesRefusal()) {
    door_ = {remote, Admission::kRefused};
    return false;
  }
  ++core_.statistics.messages_in;
  ++core_.statistics.requests_in;
  ++core_.statistics.refused;
  ++core_.statistics.load_refused;
  ++core_.statistics.load_silent;
  return true;
}

// What was taken before and comes again is no news to its transaction, nor is it refused. Who asks
// for the first time of late is told nothing yet: he repeats it, and the overload may be over by
// then.
bool Engine::AnswersUnread(const net::Endpoint& remote, std::span<const uint8_t> data,
                           ByteWriter& out) {
  Flow flow;
  flow.remote = remote;
  const bool is_peer = zones_.SourceOf(flow) != dialplan::kNoZone;
  const bool may_be_told = is_peer || limit_.IsAgain(remote.address);
  if (unread_method_ == Method::kInvite || !may_be_told || !core_.overload.TakesAnswer()) {
    return false;
  }
  const std::optional<Via> via = GlanceAtVia(data, flow);
  if (!via || proxy_.transactions().MayHaveServer(unread_method_, *via) ||
      !(is_peer || limit_.Take(remote.address)) ||
      !WriteBusyAnswer(data, *via, flow, core_.Hash(kHashToTag), core_.config.retry_after_s, out)) {
    return false;
  }
  ++core_.statistics.messages_out;
  --core_.statistics.load_silent;
  return true;
}

// By the processor's time. What goes on, emergency calls and who leaves are not asked.
bool Engine::CheckLoad(Incoming& in) {
  const Method method = in.message.method();
  const bool is_new = !in.plan.is_in_dialog() && !in.is_emergency && method != Method::kBye;
  if (!core_.overload.is_active() || !is_new) {
    return true;
  }
  const bool is_admitted = admission_ == Admission::kOpen ? AdmitsNew(in.message, in.flow)
                                                          : admission_ == Admission::kTaken;
  if (is_admitted) {
    return true;
  }
  ++core_.statistics.load_refused;
  const uint64_t limited = core_.statistics.rate_limited;
  Refuse(in.message, in.flow, {503, RefusalReason::kOverload, {}, {}, "the processor is busy"});
  core_.statistics.load_silent += core_.statistics.rate_limited - limited;
  return false;
}

// Asked before a message is checked: most refusals take no more than a look at its head and one
// short answer. True: that was all. Whatever is not plainly new goes the whole way.
bool Engine::Shed(Message& message, const Flow& flow) {
  const bool was_asked = !flow.is_reliable() && door_.remote == flow.remote;
  admission_ = was_asked ? door_.admission : Admission::kOpen;
  door_ = {};
  if (!core_.overload.is_active() || !message.is_request() || message.Has(HeaderId::kRoute) ||
      transport_.listener(flow).zone != 0 || !message.CheckTop()) {
    return false;
  }
  const Method method = message.method();
  if (method == Method::kAck) {  // to a refusal that was not kept
    const bool is_stray = proxy_.transactions().FindServer(message) == nullptr;
    core_.statistics.requests_in += is_stray ? 1 : 0;
    core_.statistics.dropped_stray += is_stray ? 1 : 0;
    return is_stray;
  }
  const Uri& uri = message.uri();
  if (method == Method::kBye || method == Method::kCancel || uri.scheme == UriScheme::kOther ||
      core_.config.IsEmergency(uri.user)) {
    return false;
  }
  // What was taken before is only repeated here; its transaction answers.
  // Credentials open the door further before anybody has read them: not those of no nonce of ours.
  const bool has_credentials =
      message.Has(HeaderId::kAuthorization) || message.Has(HeaderId::kProxyAuthorization);
  const bool pretends = was_asked && admission_ == Admission::kTaken && has_credentials &&
                        !AnswersChallenge(message, flow);
  if (admission_ == Admission::kOpen || pretends) {
    admission_ = AdmitsNew(message, flow) ? Admission::kTaken : Admission::kRefused;
  }
  if (admission_ == Admission::kTaken) {
    return false;
  }
  if (proxy_.transactions().FindServer(message) != nullptr || core_.overload.TakesTelling()) {
    return false;
  }
  ++core_.statistics.requests_in;
  ++core_.statistics.refused;
  ++core_.statistics.load_refused;
  if (MayReply(flow)) {
    AnswerBusy(message, flow, {}, false);
  } else {
    ++core_.statistics.load_silent;
  }
  return true;
}

// `is_noted`: in the ladder of its call.
void Engine::AnswerBusy(const Message& request, const Flow& flow, std::string_view phrase,
                        bool is_noted) {
  const uint64_t to_tag = ToTagOf(request);
  // Those that are sent away at once do not come back at once.
  const uint32_t spread = core_.overload.is_active() ? core_.config.retry_after_s : 0;
  uint8_t text[64];
  ByteWriter retry(text);
  retry.Text("Retry-After: ");
  retry.Decimal(core_.config.retry_after_s + to_tag % (spread + 1));
  retry.Text("\r\n");
  ByteWriter out(core_.scratch);
  const OverloadReport report = ReportOf(core_);
  WriteResponse(out, request, flow,
                {.status = 503,
                 .reason = phrase,
                 .to_tag = to_tag,
                 .extra = retry.text(),
                 .overload = &report});
  if (!out.ok()) {
    return;
  }
  if (is_noted) {
    proxy_.transactions().SendStateless(request, flow, out.written());
  } else {
    Flow target = flow;
    target.remote = ResponseTarget(flow, request.via());
    transport_.Send(target, out.written()).ignore("the sender repeats its request");
  }
}

void Engine::OnOccupancy(uint32_t occupancy) {
  const uint64_t refused = core_.statistics.load_refused;
  const uint64_t silent = core_.statistics.load_silent;
  core_.overload.OnPeriod(occupancy, core_.config.occupancy_max);
  if (refused != overload_seen_) {
    overload_last_ = core_.now();
    if (!is_overloaded_) {
      is_overloaded_ = true;
      overload_began_ = core_.now();
      overload_before_ = overload_seen_;
      silent_before_ = silent_seen_;
      core_.observer.OnOverload({true, core_.overload.occupancy() / 10, 0, 0, {}});
    }
    overload_seen_ = refused;
    silent_seen_ = silent;
  } else if (is_overloaded_ && core_.now() - overload_last_ >= kOverloadQuiet) {
    is_overloaded_ = false;
    core_.observer.OnOverload({false, core_.overload.occupancy() / 10, refused - overload_before_,
                               silent - silent_before_, overload_last_ - overload_began_});
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
