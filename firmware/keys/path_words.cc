#include "firmware/keys/path_words.h"

#include <mbedtls/oid.h>

#include <algorithm>

#include "firmware/keys/x509_text.h"

namespace gh::keys {
namespace {

using crypto::PeerRole;
using crypto::PeerVerdict;

void Quote(const mbedtls_x509_name& name, ByteWriter& out) {
  out.Char('"');
  WriteName(name, out);
  out.Char('"');
}

void ExplainGap(const mbedtls_x509_crt& last, ByteWriter& out) {
  if (IsSelfIssued(last)) {
    Quote(last.subject, out);
    out.Text(" is self-signed and not trusted here for this role (xCommand Trust List)");
    return;
  }
  out.Text("the issuer ");
  Quote(last.issuer, out);
  out.Text(" of ");
  Quote(last.subject, out);
  out.Text(" is neither sent by the peer nor trusted here for this role (xCommand Trust List)");
}

void ExplainWeakness(uint32_t flags, ByteWriter& out) {
  const bool is_hash = (flags & (MBEDTLS_X509_BADCERT_BAD_MD | MBEDTLS_X509_BADCRL_BAD_MD)) != 0;
  out.Text(is_hash ? " is signed with a hash that is too weak (SHA-1 or MD5)"
                   : " has a key that is too short or of a kind that is not accepted");
}

void ExplainNames(const mbedtls_x509_crt& leaf, std::string_view wanted, ByteWriter& out) {
  if (!mbedtls_x509_crt_has_ext_type(&leaf, MBEDTLS_X509_EXT_SUBJECT_ALT_NAME)) {
    out.Text("it has no subject alternative names; the common name is not looked at");
    return;
  }
  out.Text("it is not for \"");
  out.Text(wanted);
  out.Text("\" but for ");
  WriteAlternativeNames(leaf, out);
}

void ExplainUsage(const crypto::PathReport& report, const mbedtls_x509_crt& leaf, PeerRole role,
                  ByteWriter& out) {
  const bool is_explicit = role == PeerRole::kFederation;
  const bool server = role != PeerRole::kClient;
  const bool client = role != PeerRole::kServer;
  if (server && !crypto::HasUsage(leaf, true, false, is_explicit)) {
    out.Text("it is not for server authentication (extended key usage)");
  } else if (client && !crypto::HasUsage(leaf, false, true, is_explicit)) {
    out.Text("it is not for client authentication (extended key usage)");
  } else if (report.depth > 0 && report.culprit != nullptr) {
    Quote(report.culprit->subject, out);
    out.Text(" above it may not vouch for this use");
  } else {
    out.Text("its key usage does not allow this");
  }
}

}  // namespace

void ExplainPath(const crypto::PathReport& report, const mbedtls_x509_crt& leaf,
                 const crypto::PeerExpectation& expected, ByteWriter& out) {
  const mbedtls_x509_crt& culprit = report.culprit == nullptr ? leaf : *report.culprit;
  const mbedtls_x509_crt& last = report.last == nullptr ? leaf : *report.last;
  switch (report.verdict) {
    case PeerVerdict::kGood:
      out.Text("vouched for by ");
      Quote(last.subject, out);
      out.Text(report.has_status ? ", and its OCSP response says that it is not revoked" : "");
      return;
    case PeerVerdict::kUnknownAuthority:
      ExplainGap(last, out);
      return;
    case PeerVerdict::kExpired:
      Quote(culprit.subject, out);
      out.Text(" expired on ");
      WriteDate(culprit.valid_to, out);
      return;
    case PeerVerdict::kNotYetValid:
      Quote(culprit.subject, out);
      out.Text(" is not valid before ");
      WriteDate(culprit.valid_from, out);
      return;
    case PeerVerdict::kRevoked:
      Quote(culprit.subject, out);
      out.Text(" is revoked by ");
      Quote(culprit.issuer, out);
      out.Text(report.has_status ? " (the OCSP response that comes with it)" : "");
      return;
    case PeerVerdict::kBadStatus:
      out.Text("the OCSP response that comes with it will not do: ");
      out.Text(report.status_objection == nullptr ? "" : report.status_objection);
      return;
    case PeerVerdict::kWeak:
      Quote(culprit.subject, out);
      ExplainWeakness(report.flags, out);
      return;
    case PeerVerdict::kNameConstraint:
      Quote(culprit.subject, out);
      out.Text(" has a name that the constraints of an authority above it exclude");
      return;
    case PeerVerdict::kWrongName:
      ExplainNames(leaf, expected.name, out);
      return;
    case PeerVerdict::kWrongUsage:
      ExplainUsage(report, leaf, expected.role, out);
      return;
    case PeerVerdict::kNoCertificate:
    case PeerVerdict::kMalformed:
      break;
  }
  out.Text(crypto::PeerVerdictText(report.verdict));
}

void WriteAlert(uint8_t alert, ByteWriter& out) {
  static constexpr struct {
    uint8_t number;
    const char* name;
  } kAlerts[] = {{0, "close_notify"},
                 {10, "unexpected_message"},
                 {20, "bad_record_mac"},
                 {40, "handshake_failure"},
                 {42, "bad_certificate"},
                 {43, "unsupported_certificate"},
                 {44, "certificate_revoked"},
                 {45, "certificate_expired"},
                 {46, "certificate_unknown"},
                 {47, "illegal_parameter"},
                 {48, "unknown_ca"},
                 {49, "access_denied"},
                 {50, "decode_error"},
                 {51, "decrypt_error"},
                 {70, "protocol_version"},
                 {71, "insufficient_security"},
                 {80, "internal_error"},
                 {112, "unrecognized_name"},
                 {113, "bad_certificate_status_response"},
                 {116, "certificate_required"},
                 {120, "no_application_protocol"}};
  const auto found = std::find_if(std::begin(kAlerts), std::end(kAlerts),
                                  [&](const auto& row) { return row.number == alert; });
  if (found != std::end(kAlerts)) {
    out.Text(found->name);
    return;
  }
  out.Text("alert ");
  out.Decimal(alert);
}

}  // namespace gh::keys
