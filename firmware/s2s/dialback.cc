#include "firmware/s2s/dialback.h"

#include <array>

#include "crypto/digest.h"
#include "crypto/mac.h"
#include "hal/rt/bytes.h"
#include "hal/rt/secret.h"

namespace gh::s2s {

DialbackKey MakeKey(std::string_view secret, std::string_view receiving,
                    std::string_view originating, std::string_view id) {
  std::array<uint8_t, 64> hex;
  ByteWriter key(hex);
  key.HexBytes(crypto::Sha256::Of(AsBytes(secret)));
  crypto::HmacSha256 mac(hex);
  mac.Update(receiving);
  mac.Update(" ");
  mac.Update(originating);
  mac.Update(" ");
  mac.Update(id);
  const auto tag = mac.Finish();
  ByteWriter out(hex);
  out.HexBytes(tag);
  return DialbackKey(out.text());
}

bool IsKey(const DialbackKey& key, std::string_view claimed) {
  return key.size() == claimed.size() && ConstantTimeEqual(AsBytes(key.view()), AsBytes(claimed));
}

}  // namespace gh::s2s
