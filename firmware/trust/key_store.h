// Keys and certificates in the appliance: the key store and the trust of peers put together, the
// temporary certificate of a first start, alarms.
#pragma once

#include "crypto/tls_environment.h"
#include "firmware/admin/commands.h"
#include "firmware/admin/status.h"
#include "firmware/alarm/alarms.h"
#include "firmware/config/configuration.h"
#include "firmware/hsm/keys.h"
#include "firmware/keys/key_store.h"
#include "firmware/keys/trust_store.h"
#include "firmware/log/log.h"
#include "firmware/operator/certificate_commands.h"
#include "firmware/operator/trust_commands.h"
#include "firmware/store/store.h"
#include "hal/machine.h"

namespace gh {

struct CertificateParts {
  Arena& arena;
  hal::Clock& clock;
  crypto::Random& random;
  store::Store& store;
  log::Log& log;
  alarm::Alarms& alarms;
  EventLoop& loop;
  admin::DeferredQueue& deferred;
  const config::Configuration& configuration;
};

// The domain whose certificate is the device's own in connections to network HSMs.
inline constexpr std::string_view kHsmLinkName = "hsm-link.internal";

class Certificates {
 public:
  explicit Certificates(const CertificateParts& parts);
  Certificates(const Certificates&) = delete;
  Certificates& operator=(const Certificates&) = delete;

  // What is stored, at the start and when a backup was restored; without a server certificate the
  // device makes one.
  void Load();
  // A request is being made: nothing may be loaded now.
  bool is_busy() const {
    return requests_.state() == keys::Requests::State::kSearching ||
           requests_.state() == keys::Requests::State::kSigning;
  }
  void UpdateAlarms();
  // Now and then.
  void Watch();
  void AddTo(admin::StatusTree& status, admin::CommandTable& commands);

  keys::KeyStore& keys() { return keys_; }
  crypto::TlsEnvironment& environment() { return environment_; }
  // For decoding what is brought, within one call.
  std::span<uint8_t> decode_room() { return decode_room_; }
  keys::TokenKeys* tokens() { return tokens_; }
  crypto::Identities& identities() { return keys_; }
  // What network HSMs are shown (kHsmLinkName).
  crypto::Identities& hsm_identities() { return hsm_identities_; }
  keys::TrustStore& trust() { return trust_; }
  admin::FileProvider& folder() { return commands_; }
  void SetFederation(FederationNames& federation) { commands_.SetFederation(federation); }
  // Keys of the HSM, once there are some: certificates of theirs are in force from then on.
  void SetHsm(hsm::Keys& hsm);

 private:
  // What the key store asks, asked of the HSM.
  class HsmTokens final : public keys::TokenKeys {
   public:
    crypto::SigningKey* FindKey(std::string_view label) override {
      return hsm == nullptr ? nullptr : hsm->FindKey(label);
    }
    hsm::Keys* hsm = nullptr;
  };
  // A network HSM is shown a certificate of its own kind: with its key in that very module neither
  // could come first. An authority's may take its place; without any it is the server certificate.
  class HsmIdentities final : public crypto::Identities {
   public:
    explicit HsmIdentities(keys::KeyStore& keys) : keys_(keys) {}
    const crypto::Identity* Acquire(std::string_view) override {
      return keys_.Acquire(kHsmLinkName);
    }
    void Release(const crypto::Identity& identity) override { keys_.Release(identity); }

   private:
    keys::KeyStore& keys_;
  };

  Result<void> MakeTemporary(std::string_view domain);
  void WatchHsmLink();
  void WatchTemporary();
  void TellHsm();
  void CheckExpiry(const WallTime& now);

  CertificateParts parts_;
  Heap heap_;
  crypto::TlsEnvironment environment_;
  keys::KeyStore keys_;
  HsmIdentities hsm_identities_{keys_};
  keys::TrustStore trust_;
  std::span<uint8_t> decode_room_;
  TrustCommands trust_commands_;
  keys::Requests requests_;
  keys::FilePassword password_;
  HsmTokens hsm_tokens_;
  keys::TokenKeys* tokens_ = nullptr;
  CertificateCommands commands_;
  int64_t checked_at_s_ = 0;      // wall clock of the last one
  uint32_t generation_seen_ = 0;  // by the look at what ends
  uint32_t generation_told_ = 0;  // to the HSM; needs no clock
  bool hsm_link_failed_ = false;  // told; not tried again
  uint32_t temporary_tries_ = 0;
};

}  // namespace gh
