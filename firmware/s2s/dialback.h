// Keys of dialback (XEP-0220), made so that they need not be remembered (XEP-0185).
#pragma once

#include <span>
#include <string_view>

#include "hal/rt/fixed_string.h"

namespace gh::s2s {

using DialbackKey = FixedString<64>;

// By which `originating` proves to `receiving`, on the stream `id`, that it holds `secret`.
DialbackKey MakeKey(std::string_view secret, std::string_view receiving,
                    std::string_view originating, std::string_view id);
// In constant time.
bool IsKey(const DialbackKey& key, std::string_view claimed);

}  // namespace gh::s2s
