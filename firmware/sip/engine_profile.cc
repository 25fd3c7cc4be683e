// What the profile of a zone lets through, and domains whose users somebody else asks for their
// credentials.
#include <algorithm>

#include "firmware/sip/domains.h"
#include "firmware/sip/engine.h"

namespace gh::sip {

using dialplan::UpdateMode;
using dialplan::ZoneProfile;

namespace {

constexpr std::string_view kAllowWithoutUpdate =
    "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, MESSAGE, INFO, PRACK, SUBSCRIBE, NOTIFY, "
    "PUBLISH, REFER\r\n";

}  // namespace

// R-ML-01: through some zones UPDATE is there to refresh sessions, or not at all.
bool Engine::CheckUpdate(Incoming& in, ZoneId from) {
  const DialogToken& token = *in.plan.token;
  const bool by_caller = CallerTagHash(core_, in.message.from_tag()) == token.caller_tag;
  const DialogSide& other = by_caller ? token.callee : token.caller;
  // Who is not next to us is reached where the dialog's route leads.
  Hop hop = {other.transport, other.remote};
  if (!other.adjacent) {
    Locator::Direct(in.plan.has_next ? in.plan.next.uri : in.plan.uri, hop);
  }
  Flow towards;
  towards.remote = hop.remote;
  towards.transport = hop.transport;
  const ZoneId to = other.zone != 0 ? other.zone : zones_.SourceOf(towards);
  UpdateMode mode = UpdateMode::kFull;
  for (const ZoneId zone : {from, to}) {
    mode = zone == dialplan::kNoZone ? mode : std::max(mode, plan_.zone(zone).profile.update);
  }
  if (mode == UpdateMode::kNone) {
    Refuse(in.message, in.flow,
           {405, RefusalReason::kPolicy, {}, kAllowWithoutUpdate, "the zone takes no UPDATE"});
    return false;
  }
  if (mode == UpdateMode::kRefreshOnly && !in.message.body().empty()) {
    Refuse(in.message, in.flow,
           {488, RefusalReason::kPolicy, {}, {}, "UPDATE is for session timers alone"});
    return false;
  }
  return true;
}

bool Engine::CheckProfile(Incoming& in) {
  const Method method = in.message.method();
  if (!plan_.has_profiles() ||
      (method != Method::kUpdate && method != Method::kRefer && method != Method::kOptions)) {
    return true;
  }
  const ZoneId from = zones_.SourceOf(in.flow);
  if (method == Method::kUpdate) {
    return !in.plan.is_in_dialog() || CheckUpdate(in, from);
  }
  if (from == dialplan::kNoZone) {
    return true;
  }
  const ZoneProfile& profile = plan_.zone(from).profile;
  if (method == Method::kRefer && profile.refuses_refer) {
    Refuse(in.message, in.flow,
           {403, RefusalReason::kPolicy, {}, {}, "the zone may not transfer calls"});
    return false;
  }
  const bool is_search = method == Method::kOptions && in.plan.uri.has_user &&
                         !in.plan.is_in_dialog() && !in.plan.has_next;
  if (!is_search || !profile.answers_searches) {
    return true;
  }
  Answer(in.message, in.flow, 200, {}, "Accept: application/sdp\r\n");
  return false;
}

bool Engine::IsStrippedOption(const Incoming& in, std::string_view option) {
  const ZoneId from = plan_.has_profiles() ? zones_.SourceOf(in.flow) : dialplan::kNoZone;
  if (from == dialplan::kNoZone) {
    return false;
  }
  std::string_view rest = plan_.zone(from).profile.strips.view();
  while (!rest.empty()) {
    const size_t end = std::min(rest.find(' '), rest.size());
    if (EqualsNoCase(rest.substr(0, end), option)) {
      return true;
    }
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return false;
}

// RFC 3323 5: what cannot be kept private, and is critical, is not sent on. Identities (`id`) we
// keep; addresses in headers and descriptions and the caller's own words we do not. Who names the
// next one by Route may know it for a privacy service.
bool Engine::CheckPrivacy(Incoming& in) {
  const Message& request = in.message;
  if (!request.Has(HeaderId::kPrivacy) || !request.to_tag().empty() || in.plan.has_next ||
      in.is_emergency) {
    return true;
  }
  uint8_t text[80];
  ByteWriter phrase(text);
  phrase.Text("Privacy Failure:");
  bool is_critical = false;
  bool is_unmet = false;
  ForEachPrivacy(request, [&](std::string_view value) {
    if (EqualsNoCase(value, "critical")) {
      is_critical = true;
    } else if (!value.empty() && !EqualsNoCase(value, "id") && !EqualsNoCase(value, "none")) {
      is_unmet = true;
      const bool is_told = phrase.room() > value.size() && AllAre(value, kToken);
      phrase.Text(is_told ? " " : "");
      phrase.Text(is_told ? value : std::string_view());
    }
  });
  if (!is_critical || !is_unmet) {
    return true;
  }
  Refuse(request, in.flow, {500, RefusalReason::kPolicy, phrase.text(), {}, "privacy"});
  return false;
}

// True: the request is another's to judge (`delegate` says whose), or it was answered because that
// one is not there.
bool Engine::IsDelegated(Incoming& in) {
  if (in.plan.has_next) {
    return false;
  }
  const ZoneId zone = plan_.DelegateOf(in.message.from().uri.host);
  if (zone == dialplan::kNoZone) {
    return false;
  }
  TrustOf(in, in.message.from().uri);
  if (in.source != dialplan::kDefaultZone) {
    return false;
  }
  if (!zones_.IsUp(zone)) {
    Refuse(in.message, in.flow,
           {503, RefusalReason::kZone, {}, {}, "nobody is there to ask for credentials"});
    return true;
  }
  transport_.Prove(in.flow);
  in.delegate = zone;
  return true;
}

}  // namespace gh::sip
