// What a TLS endpoint shows of itself, and whom it believes: the seams between sessions and the
// key store.
//
// A session asks Identities for the certificate that fits the name it was called by, and PeerCheck
// whether the chain it was shown will do. Both answer at once, from memory. An identity stays whole
// while sessions use it, so that certificates are exchanged under running handshakes.
#pragma once

#include <mbedtls/x509_crt.h>

#include <cstdint>
#include <span>
#include <string_view>

#include "crypto/signing_key.h"
#include "hal/rt/result.h"

namespace gh::crypto {

// RFC 8737: the protocol (ALPN) by which an authority asks for a challenge's certificate.
inline constexpr std::string_view kAcmeProtocol = "acme-tls/1";

struct Identity {
  mbedtls_x509_crt* chain = nullptr;  // leaf first, then what leads to a root
  SigningKey* key = nullptr;          // of the leaf
  // OCSP response about the leaf (RFC 6960), DER, shown to clients that ask; empty: there is none.
  // Stays in place for as long as a handshake may last after it was exchanged.
  std::span<const uint8_t> staple = {};
  mutable uint32_t user_count = 0;  // sessions that hold it
};

class Identities {
 public:
  // `server_name` as the client sent it (RFC 6066), empty when it sent none: the domain
  // certificate that names it, else the server certificate. Null: there is none at all.
  // Counted until Release.
  virtual const Identity* Acquire(std::string_view server_name) = 0;
  virtual void Release(const Identity& identity) = 0;
  // For a client that speaks kAcmeProtocol and nothing else: the certificate that answers the
  // challenge for this name; null: there is none.
  virtual const Identity* AcquireChallenge(std::string_view /*server_name*/) { return nullptr; }

 protected:
  ~Identities() = default;
};

// Which certificates a service lets in, and what it holds them to.
enum class PeerRole : uint8_t {
  kServer,      // a server we connect to: serverAuth
  kClient,      // a client with a certificate of its own: clientAuth
  kFederation,  // a peer that is both: serverAuth and clientAuth where the specification says so
};
inline constexpr uint32_t kPeerRoleCount = 3;

struct PeerExpectation {
  PeerRole role = PeerRole::kServer;
  // Must be among the subject alternative names (never the common name); empty: any.
  std::string_view name;
  // The OCSP response that a server showed with its certificate (RFC 6066 section 8); empty: none.
  std::span<const uint8_t> staple = {};
};

// Why a chain will not do, in the words of TLS alerts (RFC 8446 section 6.2).
enum class PeerVerdict : uint8_t {
  kGood,
  kNoCertificate,
  kMalformed,
  kUnknownAuthority,  // no path to a trusted root
  kExpired,
  kNotYetValid,
  kRevoked,
  kWrongName,
  kWrongUsage,  // EKU or key usage
  kNameConstraint,
  kWeak,       // key or hash below the policy
  kBadStatus,  // it comes with an OCSP response that says nothing good, or nothing at all
};
const char* PeerVerdictText(PeerVerdict verdict);  // "expired", "not for this name", ...

class PeerCheck {
 public:
  // `chain` as received, leaf first.
  virtual PeerVerdict Check(const mbedtls_x509_crt& chain, const PeerExpectation& expected) = 0;
  // False: nobody is trusted in this role, there is no use in asking.
  virtual bool TrustsAnyone(PeerRole) const { return true; }

 protected:
  ~PeerCheck() = default;
};

}  // namespace gh::crypto
