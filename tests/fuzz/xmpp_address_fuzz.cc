// Addresses: preparing one that is prepared changes nothing, its parts make it up, and what DNS has
// for its domain is that domain.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "firmware/xmpp/address.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto once = gh::xmpp::Address::Parse({reinterpret_cast<const char*>(data), size});
  if (!once.ok()) {
    return 0;
  }
  const auto again = gh::xmpp::Address::Parse(once->full());
  const auto built = gh::xmpp::Address::Of(once->local(), once->domain(), once->resource());
  if (!again.ok() || again->full() != once->full() || built.full() != once->full() ||
      again->resource() != once->resource()) {
    std::abort();
  }
  gh::FixedString<gh::xmpp::kDnsDomainMax> encoded;
  gh::FixedString<gh::xmpp::kDomainMax> domain;
  if (gh::xmpp::DomainForDns(once->domain(), encoded) &&
      (!gh::xmpp::PrepareDomain(encoded.view(), domain).ok() || domain.view() != once->domain())) {
    std::abort();
  }
  return 0;
}
