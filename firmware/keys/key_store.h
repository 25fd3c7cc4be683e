// What the device shows of itself: the server certificate and certificates of domains, with their
// keys, in memory or in a token.
//
// A handshake asks by the name it was called by (SNI): the domain certificate that names it
// exactly, then the server certificate if it does, then a domain's wildcard, else the server
// certificate (SNI-02). A certificate that is replaced stays whole while sessions use it.
//
// Kept in the store: Table::kCertificates "<slot>/<n>" (DER, leaf first), "<slot>/info"; the key
// apart in Table::kKeys "<slot>": its DER, or the label it has in the token. Slots are "00" (the
// server certificate) to "16". Keys are never shown; they leave the
// device in an encrypted backup alone (backup_rows.h).
//
// Fault model: rows that do not fit each other are left out, and told.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "crypto/software_key.h"
#include "crypto/tls_identity.h"
#include "firmware/keys/limits.h"
#include "firmware/log/log.h"
#include "firmware/store/store.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/result.h"

namespace gh::keys {

// Where keys in tokens are found; null: there is none of this label, or no token is set up.
class TokenKeys {
 public:
  virtual crypto::SigningKey* FindKey(std::string_view label) = 0;

 protected:
  ~TokenKeys() = default;
};

struct SlotInfo {
  FixedString<kDomainNameMax> domain;  // empty: the server certificate
  bool is_temporary = false;           // the device made it itself
  bool is_acme = false;                // an authority gave it by itself, and renews it
};

// A certificate that is in force.
struct Installed {
  const SlotInfo* info = nullptr;
  const crypto::Identity* identity = nullptr;
  std::string_view token_label;  // empty: the key is in memory
};

class KeyStore final : public crypto::Identities {
 public:
  KeyStore(Arena& arena, crypto::TlsEnvironment& environment, store::Store& store, log::Log& log);
  KeyStore(const KeyStore&) = delete;
  KeyStore& operator=(const KeyStore&) = delete;
  ~KeyStore();

  void SetTokenKeys(TokenKeys& keys) { token_keys_ = &keys; }
  // What the store has comes in force, in place of what was. How many certificates could not be
  // used.
  Result<uint32_t> Load();
  // Again, after tokens were set up: certificates whose key was not found then.
  void FindTokenKeys();

  // Puts a certificate in force, in the store and for the next handshake. `chain`: DER, leaf
  // first; `key` is emptied. kInvalidArgument: the key is not the leaf's. kExhausted: sessions hold
  // too many that were replaced. An empty `domain` is the server certificate.
  Result<void> Install(const SlotInfo& info, std::span<const std::span<const uint8_t>> chain,
                       crypto::SoftwareKey& key, std::string_view by);
  Result<void> InstallToken(const SlotInfo& info, std::span<const std::span<const uint8_t>> chain,
                            std::string_view label, std::string_view by);
  Result<void> Remove(std::string_view domain, std::string_view by);

  // The index-th that is in force, the server certificate first; false: no more.
  bool At(uint32_t index, Installed& out) const;
  bool Find(std::string_view domain, Installed& out) const;
  bool has_server_certificate() const { return slots_[0].identity != kNone; }
  // Rises with every change of what is in force.
  uint32_t generation() const { return generation_; }
  // A copy of the key of what is in force, to certify it anew. kNotFound; kUnsupported: it is in a
  // token.
  Result<void> CopyKey(std::string_view domain, crypto::SoftwareKey& out);

  // --- crypto::Identities ---
  const crypto::Identity* Acquire(std::string_view server_name) override;
  void Release(const crypto::Identity& identity) override;
  const crypto::Identity* AcquireChallenge(std::string_view server_name) override;

  // The OCSP response that is shown with what is in force for `domain`; empty: none. It stays where
  // it is while a handshake may be sending it.
  void SetStaple(std::string_view domain, std::span<const uint8_t> response);
  // The certificate that answers a challenge (tls-alpn-01), for this name alone; not stored, and
  // shown to nobody who does not ask for it. In place of the former one. `key` is emptied.
  Result<void> SetChallenge(std::string_view name, std::span<const uint8_t> der,
                            crypto::SoftwareKey& key);
  void ClearChallenge();
  uint32_t identity_count() const;  // in use, with those that were replaced

 private:
  static constexpr uint8_t kNone = 0xff;
  struct Held : crypto::Identity {
    explicit Held(crypto::TlsEnvironment& environment) : software(environment) {}
    mbedtls_x509_crt certificates;
    crypto::SoftwareKey software;
    FixedString<kLabelMax> label;
    bool is_used = false;
    bool is_retired = false;
  };
  struct Slot {
    SlotInfo info;
    uint8_t identity = kNone;
  };
  class RowLoader;

  uint32_t FindSlot(std::string_view domain) const;
  Result<uint32_t> SlotFor(std::string_view domain) const;
  Held* TakeHeld();
  void FreeHeld(Held& held);
  void Retire(uint32_t slot);
  Result<void> Parse(std::span<const std::span<const uint8_t>> chain, Held& held);
  Result<void> Commit(uint32_t slot, const SlotInfo& info, Held& held, std::string_view by);
  Result<void> StoreRows(uint32_t slot, const SlotInfo& info, const Held& held);
  Result<void> StoreKey(uint32_t slot, const Held& held);
  Result<void> RemoveRows(uint32_t slot);
  uint32_t SlotNamed(std::string_view name, bool exactly) const;

  crypto::TlsEnvironment& environment_;
  store::Store& store_;
  log::Log& log_;
  TokenKeys* token_keys_ = nullptr;
  std::array<Slot, kSlotMax> slots_ = {};
  std::array<Held*, kIdentityMax> held_ = {};
  Held* challenge_ = nullptr;
  FixedString<253> challenge_name_;
  uint32_t generation_ = 0;
};

}  // namespace gh::keys
