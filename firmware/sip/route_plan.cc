#include "firmware/sip/route_plan.h"

#include "firmware/sip/domains.h"

namespace gh::sip {

bool PlanRoutes(const Core& core, const Message& request, RoutePlan& plan) {
  const auto token_of = [&](const Uri& uri) {
    return ReadDialogToken(core, uri.user, request.call_id());
  };
  plan.uri = request.uri();
  // 16.4: the previous hop is a strict router when the Request-URI is what we put into
  // Record-Route; the real one is then the last Route.
  if (request.Has(HeaderId::kRoute) && IsOwnAddress(core.config, plan.uri)) {
    plan.token = token_of(plan.uri);
    plan.drop_last = plan.token.has_value();
  }
  const auto take = [&](const NameAddr& route) {
    if (plan.has_next) {
      return;
    }
    if (!DomainOf(core.config, route.uri)) {
      plan.has_next = true;
      plan.next = route;
      return;
    }
    plan.token = plan.token ? plan.token : token_of(route.uri);
    plan.path = plan.path ? plan.path : ReadPathToken(core, route.uri.user);
    ++plan.skip;
  };
  AddressList list(request, HeaderId::kRoute);
  NameAddr route;
  NameAddr before;
  size_t count = 0;
  while (list.NextItem(route) == Next::kItem) {
    if (count != 0) {
      take(before);
    }
    before = route;
    if (++count > kRouteCountMax) {
      return false;
    }
  }
  if (plan.drop_last) {
    plan.uri = before.uri;
  } else if (count != 0) {
    take(before);
  }
  return true;
}

}  // namespace gh::sip
