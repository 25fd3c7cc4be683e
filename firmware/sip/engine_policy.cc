// Requests that wait for the word of a policy service (policy.h). While one waits, a context of the
// proxy holds it: that absorbs its repetitions and answers CANCEL. When the word comes, the
// request is taken back and goes on as if it had just been let in.
#include <utility>

#include "firmware/sip/domains.h"
#include "firmware/sip/engine.h"

namespace gh::sip {
namespace {

constexpr uint32_t kTicketShift = 16;
static_assert(kPolicyWaitMax <= 1u << kTicketShift);

std::string_view AliasText(const Uri& uri, dialplan::Alias& out) {
  out.Append(uri.user);
  out.Append(uri.user.empty() ? "" : "@");
  out.Append(uri.host);
  return out.view();
}

}  // namespace

bool Engine::MayGoOn(Incoming& in) {
  const bool is_register = in.message.method() == Method::kRegister;
  const bool is_call = in.message.method() == Method::kInvite && in.message.to_tag().empty() &&
                       !in.plan.is_in_dialog() && !in.plan.path;
  const PolicySubject subject = is_register ? PolicySubject::kRegistration : PolicySubject::kCall;
  if (policy_ == nullptr || in.is_permitted || in.is_emergency || !(is_call || is_register) ||
      !policy_->Asks(subject)) {
    return true;
  }
  uint32_t index = 0;
  while (index < policy_waits_.size() && policy_waits_[index].is_used) {
    ++index;
  }
  if (index == policy_waits_.size()) {
    ++core_.statistics.overload;
    Refuse(in.message, in.flow, {503, RefusalReason::kOverload, {}, {}, "policy"}, in.user);
    return false;
  }
  Proxy::Context* context = OpenProxy(in);
  if (context == nullptr) {
    return false;
  }
  PolicyWait& wait = policy_waits_[index];
  wait = {.is_used = true,
          .number = ++policy_number_,
          .server = Proxy::HandleOf(*context),
          .flow = in.flow,
          .user = {},
          .is_authenticated = in.is_authenticated,
          .is_registration = in.is_registration,
          .is_by_path = in.plan.path.has_value(),
          .source = in.source,
          .subzone = in.subzone,
          .delegate = in.delegate,
          .loop = in.loop,
          .breadth = in.breadth};
  wait.user.Set(in.user.size() <= kUserBytesMax ? in.user : std::string_view());
  dialplan::Alias source;
  dialplan::Alias destination;
  PolicyQuestion question;
  question.subject = subject;
  question.source = AliasText(in.message.from().uri, source);
  question.destination = AliasText(is_register ? in.message.to().uri : in.plan.uri, destination);
  question.user = in.user;
  question.zone = plan_.ZoneName(in.source == dialplan::kNoZone ? dialplan::kLocalZone : in.source);
  question.call_id = in.message.call_id();
  question.address = in.flow.remote;
  question.transport = in.flow.transport;
  policy_->Ask(question, wait.number << kTicketShift | index);
  return false;
}

void Engine::OnPolicy(uint64_t ticket, const PolicyVerdict& verdict) {
  const uint64_t index = ticket & ((uint64_t{1} << kTicketShift) - 1);
  GH_ASSERT_LT(index, policy_waits_.size());
  if (!policy_waits_[index].is_used || policy_waits_[index].number != ticket >> kTicketShift) {
    return;
  }
  const PolicyWait wait = std::exchange(policy_waits_[index], {});
  Buffer* held = proxy_.TakeBack(wait.server);
  if (held == nullptr) {
    return;  // the caller gave up meanwhile
  }
  Message message;
  const bool good =
      message.Index(held->bytes()).ok() && message.Check(true).verdict == Verdict::kGood;
  GH_ASSERT(good);  // it was when it arrived
  Incoming in{message, wait.flow};
  // The settings may have changed: then it is as any request that cannot be routed.
  if (PlanRoutes(core_, message, in.plan)) {
    in.user = wait.user.view();
    in.is_authenticated = wait.is_authenticated;
    in.is_registration = wait.is_registration;
    in.source = wait.source;
    in.subzone = wait.subzone;
    in.delegate = wait.delegate;
    if (!wait.is_by_path) {
      in.plan.path.reset();  // it was worth nothing when the request came
    }
    in.loop = wait.loop;
    in.breadth = wait.breadth;
    in.is_permitted = true;
    GoOn(in, verdict);
  }
  core_.buffers.Release(held);
}

void Engine::GoOn(Incoming& in, const PolicyVerdict& verdict) {
  if (!verdict.allows) {
    Refuse(in.message, in.flow,
           {verdict.status, RefusalReason::kPolicy, verdict.phrase, {}, "policy service"}, in.user);
  } else if (in.is_registration) {
    CompleteRegister(in);
  } else {
    Route(in);
  }
}

}  // namespace gh::sip
