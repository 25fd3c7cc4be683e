#include "firmware/s2s/policy.h"

namespace gh::s2s {

bool MatchesDomain(std::string_view pattern, std::string_view domain) {
  if (!pattern.starts_with("*.")) {
    return pattern == domain;
  }
  const std::string_view parent = pattern.substr(2);
  return domain == parent || (domain.size() > parent.size() && domain.ends_with(parent) &&
                              domain[domain.size() - parent.size() - 1] == '.');
}

bool Policy::Allows(std::string_view domain, Direction direction) const {
  for (uint32_t i = 0; i < exception_count; ++i) {
    const Exception& exception = exceptions[i];
    if ((exception.direction == Direction::kBoth || exception.direction == direction) &&
        MatchesDomain(exception.domain.view(), domain)) {
      return !allows_by_default;
    }
  }
  return allows_by_default;
}

}  // namespace gh::s2s
