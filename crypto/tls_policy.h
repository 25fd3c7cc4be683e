// Which versions, cipher suites and groups a TLS service offers or accepts, and whom it asks for a
// certificate. All suites are AEAD with forward secrecy (RFC 9325); a policy only chooses among
// them.
//
// A list is words between ':' or ',' in the order of preference: names as IANA or OpenSSL writes
// them, DEFAULT (all), FIPS (AES-GCM only), and !NAME, which takes a suite out again, wherever it
// stands.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "crypto/limits.h"
#include "hal/rt/result.h"

namespace gh::crypto {

enum class TlsVersion : uint8_t { kTls12, kTls13 };
enum class ClientAuth : uint8_t {
  kOff,       // no certificate is asked for
  kOptional,  // asked for; none is fine, a bad one is not
  kRequired,
};

struct TlsSuite {
  uint16_t id;  // IANA's number
  TlsVersion version;
  bool fips;
  const char* name;     // IANA's
  const char* openssl;  // OpenSSL's
};
std::span<const TlsSuite> TlsSuites();  // in the default's order

class TlsPolicy {
 public:
  TlsPolicy() { SetDefault(); }

  // kInvalidArgument: an unknown word, or nothing is left for the versions that are allowed. The
  // policy is then unchanged.
  Result<void> SetSuites(std::string_view list);
  // Suites and groups of FIPS 140 only, whatever the list says.
  void Restrict(bool restricted) { restricted_ = restricted; }
  bool restricted() const { return restricted_; }
  // Writes the suites that hold under the versions and the restriction, ending with 0.
  uint32_t Suites(std::span<int, kTlsSuiteMax + 1> out) const;
  std::span<const uint16_t> Groups() const;  // ends with 0

  TlsVersion minimum = TlsVersion::kTls12;
  TlsVersion maximum = TlsVersion::kTls13;
  ClientAuth client_auth = ClientAuth::kOff;
  bool tickets = true;  // never with client authentication: a ticket proves no certificate
  // A certificate that will not do ends no handshake: whoever holds the session looks at its
  // verdict and may have another proof (XMPP's dialback).
  bool judges_later = false;
  // TLS 1.2 only with the extended master secret (RFC 7627): without it a session is not bound to
  // its handshake, and another one may have the same keys.
  bool requires_extended_master_secret = false;
  // ALPN: clients that offer none of the service's protocols are refused.
  bool strict_protocols = false;

 private:
  void SetDefault();

  std::array<uint8_t, kTlsSuiteMax> order_ = {};  // indices into TlsSuites()
  uint8_t count_ = 0;
  bool restricted_ = false;
};

}  // namespace gh::crypto
