// The words for what is wrong with a peer's certificate.
#include "crypto/tls_identity.h"

namespace gh::crypto {

const char* PeerVerdictText(PeerVerdict verdict) {
  switch (verdict) {
    case PeerVerdict::kGood:
      return "good";
    case PeerVerdict::kNoCertificate:
      return "no certificate";
    case PeerVerdict::kMalformed:
      return "malformed certificate";
    case PeerVerdict::kUnknownAuthority:
      return "not from a trusted authority";
    case PeerVerdict::kExpired:
      return "expired";
    case PeerVerdict::kNotYetValid:
      return "not valid yet";
    case PeerVerdict::kRevoked:
      return "revoked";
    case PeerVerdict::kWrongName:
      return "not for this name";
    case PeerVerdict::kWrongUsage:
      return "not for this use";
    case PeerVerdict::kNameConstraint:
      return "outside of its authority's name constraints";
    case PeerVerdict::kWeak:
      return "weak key or hash";
    case PeerVerdict::kBadStatus:
      return "its OCSP response does not speak for it";
  }
  return "?";
}

}  // namespace gh::crypto
