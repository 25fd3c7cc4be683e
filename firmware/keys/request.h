// Certification requests made in the device: which names are asked for, one request in progress at
// a time, its key kept until the certificate comes or the request is discarded.
//
// The names follow the specification (CERT-20 to CERT-36): the device's own and the cluster's, the
// chat node aliases, at the edge the registration and federation domains, inside the phone security
// profiles. Client and server authentication are asked for, always.
//
// Kept in the store over a restart: Table::kKeys "csr" (the key, or its label in the token),
// Table::kCertificates "csr" (the request), "csr/info" (for which domain).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "crypto/software_key.h"
#include "crypto/x509_writer.h"
#include "firmware/keys/key_store.h"
#include "firmware/keys/limits.h"
#include "firmware/log/log.h"
#include "firmware/store/store.h"
#include "hal/rt/fixed_string.h"
#include "hal/rt/result.h"

namespace gh::keys {

// What an operator has set, all of it optional but the name. Lists have commas between.
struct RequestPlan {
  std::string_view name;  // of this device: a DNS name or an address
  bool is_edge = true;    // else inside
  std::string_view additional_names;
  std::string_view cluster_name;
  std::string_view registration_domains;  // edge
  bool collab_edge_prefix = false;        // "collab-edge." in front of each of them
  std::string_view federation_domains;    // edge
  std::string_view chat_aliases;
  std::string_view xmpp_domains;    // all that are served, inside and at the edge (XCERT-006)
  std::string_view phone_profiles;  // inside; full names only (CERT-31)
  crypto::Subject subject;          // its common name is set here
};

// The names of a request, each once, in the order the operator sees them.
class RequestNames {
 public:
  // kInvalidArgument: one is no DNS name; kTooLarge: more than 64. `what` of the error says which
  // list. A request of a domain asks for that name and the additional ones.
  Result<void> Fill(const RequestPlan& plan, std::string_view domain);
  std::span<const crypto::AlternativeName> names() const { return {names_.data(), count_}; }

 private:
  Result<void> Add(std::string_view name, bool wildcard, const char* wrong);
  Result<void> AddList(std::string_view list, std::string_view prefix, const char* wrong);

  std::array<FixedString<255>, kRequestNameMax> texts_;
  std::array<crypto::AlternativeName, kRequestNameMax> names_;
  uint32_t count_ = 0;
};

// "a.b.example": labels of letters, digits and hyphens, more than one, the last beginning with a
// letter (CERT-32).
bool IsFullName(std::string_view name);

enum class RequestKey : uint8_t { kEcP256, kEcP384, kRsa2048, kRsa3072, kRsa4096 };

class Requests final : crypto::SignListener {
 public:
  enum class State : uint8_t {
    kNone,
    kSearching,  // for an RSA key: Step() goes on
    kSigning,    // a token is at it
    kReady,
  };

  // `row`: what its rows are called, beside those of others. Static.
  Requests(Arena& arena, crypto::TlsEnvironment& environment, store::Store& store, log::Log& log,
           std::string_view row = "csr");
  Requests(const Requests&) = delete;
  Requests& operator=(const Requests&) = delete;

  Result<void> Load(TokenKeys* tokens);
  // kWrongState: one is in progress. `hash`: of RSA signatures; EC keys have that of their curve.
  Result<void> Begin(const RequestPlan& plan, std::string_view domain, RequestKey key,
                     crypto::SignatureScheme rsa_scheme, std::string_view by);
  // With a key of the token.
  Result<void> BeginToken(const RequestPlan& plan, std::string_view domain, std::string_view label,
                          crypto::SigningKey& key, crypto::SignatureScheme rsa_scheme,
                          std::string_view by, Instant deadline);
  // Some milliseconds of the search. False: there is no more to do.
  bool Step();
  // The key and the request are gone. kNotFound.
  Result<void> Discard(std::string_view by, const char* action = "discarded");

  State state() const { return state_; }
  std::string_view domain() const { return domain_.view(); }
  std::string_view token_label() const { return label_.view(); }
  std::span<const uint8_t> request() const { return der_.first(der_size_); }
  // What is asked for, of the last one begun.
  std::span<const crypto::AlternativeName> names() const { return names_.names(); }
  // Of the request in progress; its public key is what a certificate has to hold.
  crypto::SoftwareKey& key() { return key_; }
  const crypto::SigningKey* signing_key() const { return signer_; }
  const char* fault() const { return fault_; }  // why the last one came to nothing

 private:
  Result<void> Prepare(const RequestPlan& plan, std::string_view domain, std::string_view by);
  Result<void> Sign(crypto::SigningKey& key, Instant deadline);
  void OnSigned(crypto::SignRequest& request) override;
  Result<void> Finish();
  Result<void> Save();
  Result<void> RemoveRows();
  void Forget();
  void Fail(const Error& error);
  void Report(const char* action, std::string_view by);

  crypto::TlsEnvironment& environment_;
  store::Store& store_;
  log::Log& log_;
  std::string_view row_;
  FixedString<32> info_row_;
  crypto::SoftwareKey key_;
  crypto::RsaGenerator search_;
  crypto::SigningKey* signer_ = nullptr;
  crypto::SignRequest signing_;
  crypto::SignatureScheme rsa_scheme_ = crypto::SignatureScheme::kRsaPkcs1Sha256;
  RequestNames& names_;
  std::span<uint8_t> info_room_;
  std::span<const uint8_t> info_;
  std::span<uint8_t> der_;
  size_t der_size_ = 0;
  State state_ = State::kNone;
  const char* fault_ = "";
  FixedString<kDomainNameMax> domain_;
  FixedString<kLabelMax> label_;
  FixedString<64> by_;
  std::array<FixedString<crypto::kSubjectFieldMax>, 6> subject_texts_;
  crypto::Subject subject_;
};

}  // namespace gh::keys
