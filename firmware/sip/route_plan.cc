#include "firmware/sip/route_plan.h"

#include "firmware/sip/domains.h"

namespace gh::sip {

bool PlanRoutes(const Core& core, const Message& request, RoutePlan& plan) {
  std::array<NameAddr, kRouteCountMax> routes;
  size_t count = 0;
  AddressList list(request, HeaderId::kRoute);
  NameAddr route;
  while (list.NextItem(route) == Next::kItem) {
    if (count == kRouteCountMax) {
      return false;
    }
    routes[count++] = route;
  }
  plan.uri = request.uri();
  const auto token_of = [&](const Uri& uri) {
    return ReadDialogToken(core, uri.user, request.call_id());
  };
  // 16.4: the previous hop is a strict router when the Request-URI is what we put into
  // Record-Route; the real one is then the last Route.
  if (count != 0 && IsOwnAddress(core.config, plan.uri)) {
    plan.token = token_of(plan.uri);
    if (plan.token) {
      --count;
      plan.drop_last = true;
      plan.uri = routes[count].uri;
    }
  }
  while (plan.skip < count && DomainOf(core.config, routes[plan.skip].uri)) {
    if (!plan.token) {
      plan.token = token_of(routes[plan.skip].uri);
    }
    ++plan.skip;
  }
  plan.has_next = plan.skip < count;
  if (plan.has_next) {
    plan.next = routes[plan.skip];
  }
  return true;
}

}  // namespace gh::sip
