// The user-based security model (RFC 3414) with HMAC-SHA-96, HMAC-192-SHA-256 (RFC 7860) and
// AES-128 (RFC 3826): keys from passwords, tags, encryption. Pure functions and one small machine
// that turns a password into a key piece by piece: it hashes a megabyte.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "crypto/digest.h"
#include "crypto/legacy.h"
#include "firmware/snmp/limits.h"
#include "hal/rt/secret.h"

namespace gh::snmp {

enum class AuthProtocol : uint8_t { kSha1, kSha256 };

inline constexpr size_t KeySize(AuthProtocol protocol) {
  return protocol == AuthProtocol::kSha1 ? 20 : 32;
}
inline constexpr size_t TagSize(AuthProtocol protocol) {
  return protocol == AuthProtocol::kSha1 ? 12 : 24;
}
inline constexpr size_t kTagMax = 24;

using Key = SecretBytes<kKeyMax>;

// RFC 3414 appendix A.2: the password, repeated to 1,048,576 bytes, hashed; then bound to an
// engine.
class KeyMaker {
 public:
  void Start(AuthProtocol protocol, std::string_view password);
  // Hashes some more; true when done.
  bool Work();
  // Of a maker that is done.
  void Localise(std::span<const uint8_t> engine_id, Key& out);

 private:
  static constexpr uint32_t kTotal = 1'048'576;
  static constexpr uint32_t kPerStep = 65'536;
  AuthProtocol protocol_ = AuthProtocol::kSha1;
  SecretBytes<64> password_;
  uint32_t password_size_ = 0;
  uint32_t done_ = 0;
  std::optional<crypto::Sha1> sha1_;
  std::optional<crypto::Sha256> sha256_;
  Key key_;
};

// The tag of a whole message, whose place for it is zero; TagSize bytes of it count.
std::array<uint8_t, kTagMax> TagOf(AuthProtocol protocol, const Key& key,
                                   std::span<const uint8_t> message);

// RFC 3826 section 3.1.2.1; `salt` is msgPrivacyParameters.
void Crypt(bool encrypt, const Key& key, uint32_t boots, uint32_t time,
           std::span<const uint8_t, 8> salt, std::span<uint8_t> bytes);

}  // namespace gh::snmp
