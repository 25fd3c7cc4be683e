// What the profiles of zones make of requests and responses on their way: identities inside the
// trust domain (RFC 3325), UPDATE, Proxy-Require.
#include "firmware/sip/digest.h"
#include "firmware/sip/domains.h"
#include "firmware/sip/proxy_context.h"

namespace gh::sip {
namespace {

// The address of record of a user who was proved; false: that is not one of ours.
bool WriteIdentity(const Core& core, const Message& request, std::string_view name,
                   ByteWriter& out) {
  const size_t at = name.rfind('@');
  const auto sender = DomainOf(core.config, request.from().uri);
  out.Text("sip:");
  out.Text(name);
  if (at == std::string_view::npos) {
    out.Char('@');
    out.Text(core.config.domains[sender.value_or(0)].view());
  }
  const auto uri = ParseUri(out.text());
  return AllAre(name.substr(0, at), kUserChar) && out.ok() && core.config.domain_count != 0 &&
         uri.ok() && DomainOf(core.config, *uri);
}

// The user of the `proof`-th credentials, from 1; empty: there are none.
std::string_view UserOfProof(const Message& request, uint8_t proof) {
  const HeaderField* field = proof == 0 ? nullptr : request.First(HeaderId::kProxyAuthorization);
  for (; field != nullptr && proof > 1; --proof) {
    field = request.NextSame(*field);
  }
  if (field == nullptr) {
    return {};
  }
  const auto credentials = ParseDigestCredentials(request.Value(*field));
  return credentials.ok() ? credentials->user : std::string_view();
}

constexpr dialplan::ZoneProfile kPlain{};

}  // namespace

const dialplan::ZoneProfile& Proxy::ProfileOf(ZoneId zone) const {
  const bool has = zones_ != nullptr && zone >= dialplan::kFirstZone;
  return has ? zones_->config(zone).plan.profile : kPlain;
}

void Proxy::SetUser(Context& context, const Message& request, std::string_view user) {
  uint8_t number = 1;
  for (const HeaderField* f = request.First(HeaderId::kProxyAuthorization);
       f != nullptr && number <= kCredentialCountMax; f = request.NextSame(*f), ++number) {
    const auto credentials = ParseDigestCredentials(request.Value(*f));
    if (credentials.ok() && credentials->user == user) {
      context.proof = number;
      return;
    }
  }
}

void Proxy::SetProfile(ForwardSpec& spec, const Branch& branch, const Message& request,
                       ClientTransaction& client, ByteWriter& text) const {
  const Context& context = *branch.context;
  const ZoneId target_zone = context.targets[branch.target].zone;
  if (context.source_zone < dialplan::kFirstZone && target_zone < dialplan::kFirstZone) {
    return;
  }
  const dialplan::ZoneProfile& source = ProfileOf(context.source_zone);
  const dialplan::ZoneProfile& target = ProfileOf(target_zone);
  const bool is_private = WantsPrivacy(request);
  spec.keeps_identity = source.trusts_identity && request.Has(HeaderId::kPAssertedIdentity) &&
                        (target.trusts_identity || !is_private);
  const std::string_view user = UserOfProof(request, context.proof);
  if (!spec.keeps_identity && target.trusts_identity && !user.empty() &&
      WriteIdentity(core_, request, user, text)) {
    spec.identity = text.text();
  }
  client.keeps_identity = target.trusts_identity;
  client.keeps_private = source.trusts_identity;
  spec.hides_update =
      source.update == dialplan::UpdateMode::kNone || target.update == dialplan::UpdateMode::kNone;
  client.hides_update = spec.hides_update;
  spec.strips_proxy_require = !source.strips.empty();
}

}  // namespace gh::sip
