// The key of a long-term credential (RFC 8489 section 9.2.2): by MD5 or SHA-256.
#pragma once

#include <string_view>

namespace gh::turn {

template <typename Hash>
auto LongTermKey(std::string_view user, std::string_view realm, std::string_view password) {
  Hash hash;
  hash.Update(user);
  hash.Update(":");
  hash.Update(realm);
  hash.Update(":");
  hash.Update(password);
  return hash.Finish();
}

}  // namespace gh::turn
