// Who TURN knows: SIP's local users, TURN's own, and the keys that tokens are sealed with.
//
// Fault model: names and hashes come from anybody; one that is not known costs what a known one
// does. Passwords of TURN's own users are secrets of the configuration; keys are made of them for
// each request and wiped.
#pragma once

#include <span>

#include "crypto/tls_environment.h"
#include "firmware/config/configuration.h"
#include "firmware/turn/auth.h"
#include "hal/rt/arena.h"

namespace gh {

class TurnCredentials final : public turn::Credentials {
 public:
  TurnCredentials(Arena& arena, const config::Configuration& configuration,
                  crypto::TlsEnvironment& environment, uint32_t user_count);
  // Users or realms have changed: the USERHASHes are computed anew.
  void Refresh(const turn::Config& config);
  bool FindKeys(std::string_view user, const turn::Realm& realm, turn::UserKeys& out) override;
  std::string_view FindByHash(std::span<const uint8_t> hash, const turn::Realm& realm) override;
  bool OpenToken(std::string_view key_name, std::string_view server,
                 std::span<const uint8_t, 12> nonce, std::span<uint8_t> data,
                 std::span<const uint8_t, 16> tag) override;

 private:
  struct Entry {
    uint64_t prefix = 0;  // of the hash
    uint32_t instance = 0;
    bool is_own = false;  // TURN's own users, else SIP's
  };
  std::string_view NameOf(const Entry& entry) const;
  const config::TraversalServerTurnUser* FindOwn(std::string_view user, uint8_t realm) const;

  const config::Configuration& configuration_;
  crypto::TlsEnvironment& environment_;  // of AES
  std::span<Entry> entries_;             // by prefix
  uint32_t count_ = 0;
};

}  // namespace gh
