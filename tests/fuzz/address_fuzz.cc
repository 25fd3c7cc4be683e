// Addresses, prefixes and endpoints as text: what parses is written back and parses to the same.
#include <cstdint>
#include <string_view>

#include "hal/rt/assert.h"
#include "net/address.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gh::net;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto address = IpAddress::Parse(text); address.ok()) {
    const auto again = IpAddress::Parse(ToText(*address).view());
    GH_ASSERT(again.ok() && *again == *address);
  }
  if (const auto endpoint = Endpoint::Parse(text); endpoint.ok()) {
    const auto again = Endpoint::Parse(ToText(*endpoint).view());
    GH_ASSERT(again.ok() && *again == *endpoint);
  }
  if (const auto prefix = IpPrefix::Parse(text); prefix.ok()) {
    GH_ASSERT(prefix->Contains(prefix->address));
  }
  return 0;
}
