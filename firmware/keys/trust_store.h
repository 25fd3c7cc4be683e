// Certificates an operator trusts, each for one or more roles: servers we connect to, clients that
// show a certificate, federated peers. Checks the chains of peers against them, with the lists of
// revocations the operator has brought.
//
// Kept in the store as DER: Table::kTrust, "<fingerprint>/<roles>". Entries are unique; of two
// self-signed certificates with the same common name only one is taken (R-TLS-10, R-TLS-11,
// CERT-10). Changes count for the next handshake.
//
// Fault model: what is stored and is not a certificate any more is left out and told.
#pragma once

#include <mbedtls/x509_crl.h>
#include <mbedtls/x509_crt.h>

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "crypto/path_check.h"
#include "crypto/tls_identity.h"
#include "firmware/keys/limits.h"
#include "firmware/log/log.h"
#include "firmware/store/store.h"
#include "hal/rt/bytes.h"
#include "hal/rt/result.h"

namespace gh::keys {

// Bits of a set of roles.
inline constexpr uint8_t RoleBit(crypto::PeerRole role) {
  return static_cast<uint8_t>(1u << static_cast<uint32_t>(role));
}
inline constexpr uint8_t kAllRoles = (1u << crypto::kPeerRoleCount) - 1;
// "Server", "Client", "Federation" or "All", or several with commas between; 0: none of these.
uint8_t ParseRoles(std::string_view text);
void WriteRoles(uint8_t roles, ByteWriter& out);

class TrustStore final : public crypto::PeerCheck {
 public:
  TrustStore(crypto::TlsEnvironment& environment, store::Store& store, log::Log& log);
  TrustStore(const TrustStore&) = delete;
  TrustStore& operator=(const TrustStore&) = delete;
  ~TrustStore();

  // What the store has, in place of what was trusted. How many rows were not accepted.
  Result<uint32_t> Load();

  // In the list, and in the store. kMalformed: not a certificate; kInvalidArgument: neither of an
  // authority nor self-signed, too weak, or of a common name that is taken; kAlreadyExists;
  // kNoSpace; kTooLarge.
  Result<void> Add(std::span<const uint8_t> der, uint8_t roles, std::string_view by);
  Result<void> SetRoles(uint32_t index, uint8_t roles, std::string_view by);
  Result<void> Remove(uint32_t index, std::string_view by);
  uint32_t count() const { return count_; }
  const mbedtls_x509_crt& certificate(uint32_t index) const { return entries_[index].certificate; }
  uint8_t roles(uint32_t index) const { return entries_[index].roles; }

  // A list of revocations; it takes the place of the former one of the same issuer. kMalformed;
  // kUnauthentic: its issuer is trusted here and did not sign it; kTooLarge; kNoSpace.
  Result<void> AddCrl(std::span<const uint8_t> der, std::string_view by);
  Result<void> RemoveCrl(uint32_t index, std::string_view by);
  uint32_t crl_count() const { return crl_count_; }
  const mbedtls_x509_crl& crl(uint32_t index) const { return crls_[index]; }

  crypto::PeerVerdict Check(const mbedtls_x509_crt& chain,
                            const crypto::PeerExpectation& expected) override {
    return Examine(chain, expected).verdict;
  }
  bool TrustsAnyone(crypto::PeerRole role) const override;
  crypto::PathReport Examine(const mbedtls_x509_crt& chain,
                             const crypto::PeerExpectation& expected);
  // Any role's anchors and `extra` (may be null) besides: for what is uploaded.
  crypto::PathReport ExamineOwn(const mbedtls_x509_crt& chain, mbedtls_x509_crt* extra,
                                const crypto::PeerExpectation& expected);

 private:
  struct Entry {
    mbedtls_x509_crt certificate;
    uint8_t roles = 0;
  };
  class Loader;

  void Forget();
  Result<void> Parse(std::span<const uint8_t> der, Entry& out);
  Result<void> CheckNew(const Entry& entry) const;
  Result<void> ParseCrl(std::span<const uint8_t> der, mbedtls_x509_crl& out);
  Result<void> CheckCrl(mbedtls_x509_crl& crl);
  void LoadCrls(uint32_t& refused);
  Result<void> StoreCrl(const mbedtls_x509_crl& crl);
  Result<void> DropCrlRows(const mbedtls_x509_crl& crl);
  void JudgeStatus(const mbedtls_x509_crt& chain, std::span<const uint8_t> staple,
                   crypto::PathReport& report);
  mbedtls_x509_crt* Anchors(uint8_t roles);
  mbedtls_x509_crl* Crls();
  void Report(const char* action, const mbedtls_x509_crt& certificate, std::string_view by);
  void ReportCrl(const char* action, const mbedtls_x509_crl& crl, std::string_view by);

  crypto::TlsEnvironment& environment_;
  store::Store& store_;
  log::Log& log_;
  std::array<Entry, kTrustMax> entries_;
  uint32_t count_ = 0;
  std::array<mbedtls_x509_crl, kCrlMax> crls_;
  uint32_t crl_count_ = 0;
};

}  // namespace gh::keys
