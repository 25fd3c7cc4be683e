// What the profiles of zones make of requests and responses on their way: identities inside the
// trust domain (RFC 3325), UPDATE, Proxy-Require.
#include "firmware/sip/digest.h"
#include "firmware/sip/domains.h"
#include "firmware/sip/proxy_context.h"

namespace gh::sip {
namespace {

// The user whose credentials the request shows, as an address of record.
bool WriteIdentity(const Core& core, const Message& request, ByteWriter& out) {
  for (const HeaderField* f = request.First(HeaderId::kProxyAuthorization); f != nullptr;
       f = request.NextSame(*f)) {
    const auto credentials = ParseDigestCredentials(request.Value(*f));
    if (!credentials.ok() || credentials->realm != core.config.Realm()) {
      continue;
    }
    const std::string_view name = credentials->user;
    const size_t at = name.rfind('@');
    const auto domain = DomainOf(core.config, request.from().uri);
    out.Text("sip:");
    out.Text(name);
    if (at == std::string_view::npos) {
      out.Char('@');
      out.Text(core.config.domains[domain.value_or(0)].view());
    }
    const bool is_plain = AllAre(name.substr(0, at), kUserChar) &&
                          (at == std::string_view::npos || AllAre(name.substr(at + 1), kHostChar));
    return is_plain && out.ok() && core.config.domain_count != 0;
  }
  return false;
}

constexpr dialplan::ZoneProfile kPlain{};

}  // namespace

const dialplan::ZoneProfile& Proxy::ProfileOf(ZoneId zone) const {
  const bool has = zones_ != nullptr && zone >= dialplan::kFirstZone;
  return has ? zones_->config(zone).plan.profile : kPlain;
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
  if (!spec.keeps_identity && target.trusts_identity && context.is_authenticated &&
      WriteIdentity(core_, request, text)) {
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
