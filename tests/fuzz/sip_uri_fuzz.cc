// Two URIs: parsing terminates within its limits; equivalence is reflexive and symmetric.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "firmware/sip/uri.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t split = text.find('\n');
  const auto a = gh::sip::ParseUri(text.substr(0, split));
  const auto b = split == std::string_view::npos ? gh::sip::ParseUri("sip:a@b")
                                                 : gh::sip::ParseUri(text.substr(split + 1));
  if (!a.ok() || !b.ok()) {
    return 0;
  }
  if (!gh::sip::UriEquals(*a, *a) || gh::sip::UriEquals(*a, *b) != gh::sip::UriEquals(*b, *a)) {
    std::abort();
  }
  return 0;
}
