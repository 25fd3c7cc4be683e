// The engine's side of the presence server: which requests are for it, who sent them, answers.
#include "firmware/sip/domains.h"
#include "firmware/sip/engine.h"
#include "firmware/sip/writer.h"

namespace gh::sip {
namespace {

bool IsEvent(const Message& request, std::string_view name) {
  Scanner scanner(request.ValueOf(HeaderId::kEvent));
  return EqualsNoCase(scanner.Run(kToken), name);
}

}  // namespace

// "user@host" with the user unescaped and a domain of ours as it is configured.
bool Engine::NameOf(const Uri& uri, dialplan::Alias& out) const {
  char text[kUserBytesMax];
  std::string_view user;
  const auto domain = DomainOf(core_.config, uri);
  out.Clear();
  return UserOf(uri, text, user) && out.Append(user) && out.Append('@') &&
         out.Append(domain ? core_.config.domains[*domain].view() : uri.host);
}

// A zone that we ask for no credentials vouches for nobody of ours.
bool Engine::ProveSender(Incoming& in) {
  if (in.is_authenticated || in.source == dialplan::kLocalZone ||
      !core_.config.authenticate_requests || !DomainOf(core_.config, in.message.from().uri)) {
    return true;
  }
  const AuthOutcome outcome =
      authenticator_.Verify(in.message, HeaderId::kProxyAuthorization, in.flow.remote.address);
  if (outcome.result != AuthResult::kGood) {
    return Challenge(in, HeaderId::kProxyAuthorization, outcome);
  }
  in.user = outcome.user;
  in.is_authenticated = true;
  limit_.GiveBack(in.flow.remote.address);
  return CheckSender(in);
}

bool Engine::TakePresence(Incoming& in) {
  const Message& request = in.message;
  const Method method = request.method();
  const bool is_publish = method == Method::kPublish;
  if (!core_.config.presence.is_on || (!is_publish && method != Method::kSubscribe) ||
      in.plan.is_in_dialog() || in.plan.has_next) {
    return false;
  }
  const auto domain = DomainOf(core_.config, in.plan.uri);
  dialplan::Alias user;
  if (!domain || in.plan.uri.has_param("gr") || !NameOf(in.plan.uri, user) ||
      (!is_publish && !IsEvent(request, "presence"))) {
    return false;  // other events are the phone's own
  }
  if (!ProveSender(in)) {
    return true;
  }
  dialplan::Alias sender;
  NameOf(request.from().uri, sender);
  const Uri& from = request.from().uri;
  const bool is_own =
      DomainOf(core_.config, from).has_value() && (in.user.empty() || IsSameUser(in.user, from));
  const PresenceRequest asked{.message = request,
                              .flow = in.flow,
                              .source = in.source,
                              .user = user.view(),
                              .sender = sender.view(),
                              .is_own_user = is_own,
                              .to_tag = ToTagOf(request)};
  ByteWriter extra(core_.extra_scratch);
  PresenceReply reply{
      static_cast<uint16_t>(in.is_authenticated ? 404 : 480), RefusalReason::kUnknownUser, {}};
  if (!is_publish && !request.to_tag().empty()) {
    reply = presence_.Resubscribe(asked, extra);
  } else if (IsKnownUser(user.view().substr(0, user.view().rfind('@')), *domain)) {
    reply = is_publish ? presence_.Publish(asked, extra) : presence_.Subscribe(asked, extra);
  }
  if (reply.status == 200 && extra.ok()) {
    AnswerKept(request, in.flow, 200, extra.text());
  } else {
    const uint16_t status = reply.status == 200 ? uint16_t{500} : reply.status;
    Refuse(request, in.flow, {status, reply.reason, reply.why, extra.ok() ? extra.text() : ""},
           in.user);
  }
  return true;
}

bool Engine::IsKnownUser(std::string_view user, uint8_t domain) const {
  Ha1 ha1;
  return registrar_.Find(user, domain) != nullptr ||
         core_.credentials.FindHa1(core_.config.Realm(), user, DigestAlgorithm::kSha256, ha1) ||
         core_.credentials.FindHa1(core_.config.Realm(), user, DigestAlgorithm::kMd5, ha1);
}

void Engine::AnswerKept(const Message& request, const Flow& flow, uint16_t status,
                        std::string_view extra) {
  ServerTransaction* server = proxy_.transactions().CreateServer(request, flow);
  if (server == nullptr) {  // it is done all the same
    Answer(request, flow, status, {}, extra);
    return;
  }
  ByteWriter out(core_.scratch);
  const OverloadReport report = ReportOf(core_);
  WriteResponse(out, request, flow,
                {.status = status,
                 .reason = {},
                 .to_tag = ToTagOf(request),
                 .extra = extra,
                 .overload = &report});
  if (out.ok()) {
    proxy_.transactions().Respond(*server, status, out.written());
  } else {  // its Via and Record-Route are more than a message holds
    proxy_.transactions().Abandon(*server);
  }
}

}  // namespace gh::sip
